//! Where a [`RedbStore`] and a [`RedbLedger`](crate::RedbLedger) lie: a file, or the data directory that holds it.
//!
//! Invariant: a file under its own name is complete. It is made beside, under another name, and renamed
//! when its first commit is durable, so that a crash while it is made leaves nothing that looks like a store.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;

use crate::detached::Detached;
use crate::watched::classify;
use crate::{Identity, OpenError, RedbStore, StorageError};

/// The name of the store's file in a data directory.
pub const STORE_FILE: &str = "deltaic.redb";

/// The name of the ledger's file in a data directory.
pub const LEDGER_FILE: &str = "budgets.redb";

/// The name of the file of events in a data directory.
pub const EVENTS_FILE: &str = "events.redb";

impl RedbStore {
    /// A new store in a new file. Its directory must be there.
    pub fn create(path: impl AsRef<Path>, identity: Identity) -> Result<Self, OpenError> {
        create(path.as_ref(), |backend| Self::create_with_backend(backend, identity))
    }

    /// Opens the store in a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        open(path.as_ref(), Self::open_with_backend)
    }

    /// Opens the store in a file for looking at it: the file is read and never written, and what this process writes
    /// goes with it.
    pub fn open_detached(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        open_detached(path.as_ref(), Self::open_with_backend)
    }

    /// Opens the store of a data directory. Where there is none it is made, with `identity`, and the directory
    /// with it; the header says whose store it is.
    pub fn open_or_create(directory: impl AsRef<Path>, identity: Identity) -> Result<Self, OpenError> {
        open_or_create(directory.as_ref(), STORE_FILE, Self::open_with_backend, |backend| {
            Self::create_with_backend(backend, identity)
        })
    }
}

/// Makes a file of ours: beside its place first, then under its name.
fn create<T>(path: &Path, make: impl FnOnce(FileBackend) -> Result<T, OpenError>) -> Result<T, OpenError> {
    if path.try_exists().map_err(|error| refused(path, error))? {
        return Err(OpenError::AlreadyExists);
    }
    let mut beside = OsString::from(path);
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(&beside, error)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&beside)
        .map_err(|error| refused(&beside, error))?;
    let made = make(file_backend(file)?)?;
    fs::rename(&beside, path).map_err(|error| refused(path, error))?;
    sync_directory(path)?;
    Ok(made)
}

fn open<T>(path: &Path, take: impl FnOnce(FileBackend) -> Result<T, OpenError>) -> Result<T, OpenError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| refused(path, error))?;
    take(file_backend(file)?)
}

/// Opens a file for looking at it.
pub(crate) fn open_detached<T>(
    path: &Path,
    take: impl FnOnce(Detached) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let file = File::open(path).map_err(|error| refused(path, error))?;
    take(Detached::new(file_backend(file)?).map_err(classify)?)
}

/// Opens a file of a data directory, or makes it.
pub(crate) fn open_or_create<T>(
    directory: &Path,
    name: &str,
    take: impl FnOnce(FileBackend) -> Result<T, OpenError>,
    make: impl FnOnce(FileBackend) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    fs::create_dir_all(directory).map_err(|error| refused(directory, error))?;
    let path = directory.join(name);
    match open(&path, take) {
        Err(OpenError::NotFound { .. }) => create(&path, make),
        other => other,
    }
}

fn file_backend(file: File) -> Result<FileBackend, OpenError> {
    FileBackend::new(file).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse,
        redb::DatabaseError::Storage(redb::StorageError::Io(error)) => classify(error).into(),
        other => StorageError::Io { source: io::Error::other(other) }.into(),
    })
}

/// A file system's refusal, as an opener is told of it.
fn refused(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound { path: path.to_owned() },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::PermissionDenied { path: path.to_owned() }
        }
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            OpenError::NotADirectory { path: path.to_owned() }
        }
        _ => classify(error).into(),
    }
}

/// Makes the name of a new file durable.
fn sync_directory(path: &Path) -> Result<(), OpenError> {
    // Only there a directory can be opened as a file; elsewhere the file system keeps names itself.
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(parent.unwrap_or(Path::new("."))).map_err(classify)?;
        directory.sync_all().map_err(|source| StorageError::SyncFailed { source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_file_system_are_told_apart() {
        let path = Path::new("there");
        let refused = |kind: io::ErrorKind| refused(path, kind.into());
        assert!(matches!(refused(io::ErrorKind::NotFound), OpenError::NotFound { .. }));
        let denied = refused(io::ErrorKind::PermissionDenied);
        assert_eq!(
            denied.to_string(),
            "no permission to read and write there: run as its owner, or choose another data directory"
        );
        assert!(matches!(refused(io::ErrorKind::ReadOnlyFilesystem), OpenError::PermissionDenied { .. }));
        for kind in [io::ErrorKind::AlreadyExists, io::ErrorKind::NotADirectory, io::ErrorKind::IsADirectory]
        {
            assert!(matches!(refused(kind), OpenError::NotADirectory { .. }));
        }
        let full = refused(io::ErrorKind::StorageFull);
        assert!(matches!(full, OpenError::Storage(StorageError::DiskFull { .. })));
    }
}

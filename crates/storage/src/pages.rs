//! [`Pages`]: a redb database whose panics and errors come out as [`StorageError`].
//!
//! Invariant: no bytes of a file make a call panic, and after a failure of the file every call says so until it is
//! opened anew.
//!
//! redb verifies checksums of its pages after a crash but not when it reads them, and a page that is damaged in
//! other ways can make it panic. Such a panic is caught here, where nothing of ours is half done: the closures
//! given to [`Pages::run`] call redb and decode, and own what they change. What was caught is damage of the file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};

use crate::caught::caught;
use crate::watched::{Failures, Watched, classify};
use crate::{Damage, OpenError, StorageError};

/// The name of the format in [`META`].
pub(crate) const FORMAT: &str = "format";

/// What redb opens its files with.
const REDB_MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// Memory for pages that redb keeps; rows that the engine needs often are in its own memory.
const CACHE_BYTES: usize = 32 << 20;

/// Why a closure given to [`Pages::run`] stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Redb(redb::Error),
    Damage { part: &'static str, damage: Damage },
}

macro_rules! stop_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}
stop_from!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

impl Stop {
    /// For `map_err`: damage in one part of the store.
    pub(crate) fn damage<D: Into<Damage>>(part: &'static str) -> impl Fn(D) -> Self {
        move |damage| Self::Damage { part, damage: damage.into() }
    }
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Pages {
    /// None once it is closed. Calls hold it for reading, so that closing waits for those on other threads.
    database: RwLock<Option<Database>>,
    failures: Failures,
    /// Whether the failure that closed the database was reported to its owner.
    closed: AtomicBool,
}

/// What stands in a file, by its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Empty,
    Redb,
    Foreign,
}

pub(crate) fn contents(backend: &dyn StorageBackend) -> Result<Contents, OpenError> {
    let length = backend.len().map_err(classify)?;
    let mut first = [0; REDB_MAGIC.len()];
    if length == 0 {
        return Ok(Contents::Empty);
    }
    if length >= first.len() as u64 {
        backend.read(0, &mut first).map_err(classify)?;
    }
    Ok(if first == REDB_MAGIC { Contents::Redb } else { Contents::Foreign })
}

/// What stands beside the rows of a file: its format first.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// What every version of the format begins with.
const MAGIC: &[u8; 8] = b"deltaic\0";

/// The record that says whose file this is and in which format; the same bytes in every version.
pub(crate) fn write_format(version: u32) -> Vec<u8> {
    [&MAGIC[..], &version.to_le_bytes()].concat()
}

/// The version of the format, or None where the file is not ours.
pub(crate) fn read_format(record: &[u8]) -> Option<u32> {
    let version = record.strip_prefix(MAGIC)?;
    Some(u32::from_le_bytes(version.try_into().ok()?))
}

/// The records of [`META`], by name.
pub(crate) type Meta = BTreeMap<String, Vec<u8>>;

impl Pages {
    /// Begins a database in an empty backend.
    pub(crate) fn begin(backend: impl StorageBackend) -> Result<Self, OpenError> {
        match contents(&backend)? {
            Contents::Empty => Self::open(Box::new(backend)),
            Contents::Redb => Err(OpenError::AlreadyExists),
            Contents::Foreign => Err(OpenError::Foreign),
        }
    }

    /// Begins a file beside the store's in an empty backend: its tables, its format, and a mark in [`META`] that tells it from
    /// files of other kinds.
    pub(crate) fn begin_beside(
        backend: impl StorageBackend,
        (mark, version): (&str, u32),
        tables: impl FnOnce(&WriteTransaction) -> Result<(), Stop>,
    ) -> Result<Self, OpenError> {
        let pages = Self::begin(backend)?;
        pages.run(|database| {
            let transaction = database.begin_write()?;
            {
                let mut meta = transaction.open_table(META)?;
                meta.insert(FORMAT, &write_format(version)[..])?;
                meta.insert(mark, &[][..])?;
                tables(&transaction)?;
            }
            Ok(transaction.commit()?)
        })?;
        Ok(pages)
    }

    /// Opens the database in a backend, and gives what [`META`] says: it is `ours` in every format, and its format is
    /// one that is read here.
    pub(crate) fn resume(
        backend: impl StorageBackend,
        newest: u32,
        ours: impl Fn(&Meta) -> bool,
    ) -> Result<(Self, Meta), OpenError> {
        if contents(&backend)? != Contents::Redb {
            return Err(OpenError::Foreign);
        }
        let pages = Self::open(Box::new(backend))?;
        let meta = pages.run(|database| {
            let transaction = database.begin_read()?;
            let meta = match transaction.open_table(META) {
                Ok(meta) => meta,
                Err(redb::TableError::Storage(error)) => return Err(error.into()),
                Err(_) => return Ok(None),
            };
            let mut records = Meta::new();
            for entry in meta.iter()? {
                let (key, value) = entry?;
                records.insert(key.value().to_owned(), value.value().to_vec());
            }
            Ok(Some(records))
        })?;
        let meta = meta.filter(ours).ok_or(OpenError::Foreign)?;
        let format = meta.get(FORMAT).ok_or(OpenError::Foreign)?;
        let found = read_format(format).ok_or(OpenError::Foreign)?;
        if found > newest {
            return Err(OpenError::Newer { found, supported: newest });
        }
        Ok((pages, meta))
    }

    /// Opens the database in the backend, or begins one where it is empty.
    fn open(backend: Box<dyn StorageBackend>) -> Result<Self, OpenError> {
        let failures = Failures::default();
        let watched = Watched::new(backend, failures.clone());
        let open = || Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(watched);
        let database = match caught(open) {
            Ok(Ok(database)) => database,
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => return Err(OpenError::InUse),
            // Written by a redb before the first that a store of ours was written with.
            Ok(Err(DatabaseError::UpgradeRequired(_))) => return Err(OpenError::Foreign),
            Ok(Err(DatabaseError::Storage(redb::StorageError::Io(error)))) => {
                return Err(failures.report(Some(error)).into());
            }
            Ok(Err(error)) => {
                return Err(pages_damaged(error.to_string()).into());
            }
            Err(_) => return Err(pages_damaged(PANICKED.to_owned()).into()),
        };
        Ok(Self { database: RwLock::new(Some(database)), failures, closed: AtomicBool::new(false) })
    }

    /// Runs calls of redb for whoever owns the file: a failure of it is told once, then that it is closed.
    pub(crate) fn run<T>(&self, calls: impl FnOnce(&Database) -> Result<T, Stop>) -> Result<T, StorageError> {
        self.call(true, calls)
    }

    /// Runs calls of redb beside the owner's writes, on any thread. A failure that it meets is left for the owner to be
    /// told of as well, who knows what to do about a disk that is full.
    pub(crate) fn run_beside<T>(
        &self,
        calls: impl FnOnce(&Database) -> Result<T, Stop>,
    ) -> Result<T, StorageError> {
        self.call(false, calls)
    }

    fn call<T>(
        &self,
        owner: bool,
        calls: impl FnOnce(&Database) -> Result<T, Stop>,
    ) -> Result<T, StorageError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else { return Err(StorageError::Closed) };
        match caught(|| calls(database)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(stop)) => Err(self.report(owner, stop)),
            Err(_) => Err(pages_damaged(PANICKED.to_owned())),
        }
    }

    /// Whether redb's own checksums of all pages hold. Reads the whole file.
    ///
    /// redb mends what it can, so this belongs behind reading the store as it is, never before.
    pub(crate) fn verify(&self) -> Result<bool, StorageError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_mut() else { return Err(StorageError::Closed) };
        match caught(|| database.check_integrity()) {
            Ok(Ok(clean)) => Ok(clean),
            Ok(Err(error)) => Err(self.report(true, Stop::Redb(error.into()))),
            Err(_) => Err(pages_damaged(PANICKED.to_owned())),
        }
    }

    fn report(&self, owner: bool, stop: Stop) -> StorageError {
        match stop {
            Stop::Damage { part, damage } => StorageError::Corrupted { part, damage },
            Stop::Redb(redb::Error::Io(error)) => {
                self.closed.fetch_or(owner, Ordering::Relaxed);
                self.failures.report(Some(error))
            }
            Stop::Redb(
                redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_),
            ) => {
                if self.closed.fetch_or(owner, Ordering::Relaxed) {
                    StorageError::Closed
                } else {
                    self.failures.report(None)
                }
            }
            Stop::Redb(error) => pages_damaged(error.to_string()),
        }
    }
}

const PANICKED: &str = "redb stopped at a page that it cannot read";

fn pages_damaged(message: String) -> StorageError {
    StorageError::Corrupted { part: "pages", damage: Damage::Pages { message } }
}

impl Pages {
    /// Ends the database, also for those on other threads who share it: the file may be opened anew and its pages be
    /// written over, so nothing that was begun before reads on.
    pub(crate) fn close(&self) {
        // Closing writes; after damage that can panic as a read can, and there is nobody to tell.
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = caught(|| drop(database));
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_same_bytes_in_every_version() {
        assert_eq!(write_format(1), *b"deltaic\0\x01\0\0\0");
        assert_eq!(read_format(&write_format(6)), Some(6));
        assert_eq!(read_format(b"deltaic\0\x01"), None);
    }
}

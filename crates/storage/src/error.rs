//! What can go wrong: [`OpenError`] before there is a store, [`StorageError`] with one.
//!
//! Invariant: the variant alone says what a caller may still rely on, so nobody has to read messages.

use std::io;
use std::path::PathBuf;

use deltaic_types::Lsn;
use deltaic_types::codec::DecodeError;
use thiserror::Error;

/// A read or an append that failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Stored bytes are not what was written. Other parts of the store may well be whole.
    #[error(
        "the stored {part} is damaged ({damage}): put back a copy from before the damage; `deltaic check` lists what is damaged"
    )]
    Corrupted {
        /// Which part of the store: `meta`, `log`, `hot`, `cold`, `staged`, or `pages` where redb itself noticed.
        part: &'static str,
        /// What is wrong.
        damage: Damage,
    },
    /// There is no room for this append. Nothing is lost; none of its commits is there. The store is closed.
    #[error("the disk is full ({source}): make room and open the store again; nothing is lost")]
    DiskFull {
        /// What the system said.
        source: io::Error,
    },
    /// The device did not confirm that it wrote. Whether the append is there is unknown until the store is opened
    /// anew, and the memory of this process is not to be trusted: the process must end.
    #[error(
        "the disk did not confirm a write ({source}): this process must end; check the disk before the next start"
    )]
    SyncFailed {
        /// What the system said.
        source: io::Error,
    },
    /// Another failure of the file. The store is closed; whether an append is there is unknown until it is opened
    /// anew.
    #[error("the disk failed ({source}): check the disk, then open the store again")]
    Io {
        /// What the system said.
        source: io::Error,
    },
    /// An earlier error closed the store.
    #[error("an earlier error closed the store: open it again")]
    Closed,
    /// A commit is too large for the log. The store is as it was and stays open.
    #[error("a commit of more than {limit} bytes: split the transaction")]
    CommitTooLarge {
        /// The most bytes of a commit as encoded.
        limit: usize,
    },
    /// Changes that were written ahead are not in this store, or a commit has them already: they are gone when the
    /// store is opened anew before their append. The store is as it was and stays open.
    #[error("the changes written ahead are not there since the store was opened: run the transaction again")]
    StageGone,
    /// Commits were asked for that are in the log no more.
    #[error(
        "the log begins with commit {first}, those before were trimmed: take the rows as they are now, and the commits from there on"
    )]
    Trimmed {
        /// The first commit that is there.
        first: Lsn,
    },
}

impl StorageError {
    /// Whether it says that nothing of the append is there.
    pub fn is_undone(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Closed | Self::CommitTooLarge { .. } | Self::StageGone)
    }
}

/// How stored bytes show that they are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// The bytes do not have their checksum.
    #[error("checksum differs")]
    Checksum,
    /// The bytes have their checksum and yet are no record.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The catalog is no JSON of a catalog.
    #[error("no catalog: {message}")]
    Catalog {
        /// What the JSON parser said.
        message: String,
    },
    /// A record that must be there is not.
    #[error("a record is missing")]
    Missing,
    /// A record stands where none may be, or under another key than its own.
    #[error("a record is out of place")]
    Misplaced,
    /// redb found its own pages damaged.
    #[error("{message}")]
    Pages {
        /// What redb said.
        message: String,
    },
}

/// Why there is no store. Nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the store open, or this one has it twice.
    #[error("another process uses this data directory: stop it or choose another")]
    InUse,
    /// There is no store to open.
    #[error("no store at {}: create one, or choose another data directory", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is a store where a new one was to be made.
    #[error("there is a store already: open it, or choose another data directory")]
    AlreadyExists,
    /// The file is not one of ours. It was not touched.
    #[error("the file is not a deltaic store: choose another data directory")]
    Foreign,
    /// The store was written by a newer version. It was not touched.
    #[error("the store has format {found}, this program reads up to {supported}: use the newer program")]
    Newer {
        /// The format of the store.
        found: u32,
        /// The newest format this program knows.
        supported: u32,
    },
    /// The file or its directory may not be read and written.
    #[error("no permission to read and write {}: run as its owner, or choose another data directory", path.display())]
    PermissionDenied {
        /// The file or directory.
        path: PathBuf,
    },
    /// Something that is no directory stands where the directory is to be, or no file where the store is to be.
    #[error("{} is in the way: the data directory is a directory, and the store a file in it", path.display())]
    NotADirectory {
        /// What is in the way, or beneath it.
        path: PathBuf,
    },
    /// Reading what is there, or writing the beginnings, failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

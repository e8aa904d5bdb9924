//! [`Watched`]: a file under redb whose failures are remembered.
//!
//! Invariant: once a sync has failed, nothing reported afterwards hides it. redb passes on the first error of a
//! call and later says only that there was one; what a caller may rely on depends on which operation it was.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

use crate::{Damage, StorageError};

/// The failure that decides what is reported.
#[derive(Debug, Clone)]
struct Failure {
    sync: bool,
    kind: io::ErrorKind,
    os_code: Option<i32>,
    message: String,
}

/// What has failed so far, shared between the file and who reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(Arc<Mutex<Option<Failure>>>);

impl Failures {
    fn lock(&self) -> MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, sync: bool, error: &io::Error) {
        let mut last = self.lock();
        if sync || !last.as_ref().is_some_and(|failure| failure.sync) {
            *last = Some(Failure {
                sync,
                kind: error.kind(),
                os_code: error.raw_os_error(),
                message: error.to_string(),
            });
        }
    }

    /// The error for a caller, after redb said that the file failed; `said` is redb's own word for it.
    pub(crate) fn report(&self, said: Option<io::Error>) -> StorageError {
        let Some(failure) = self.lock().clone() else {
            return said.map_or(StorageError::Closed, classify);
        };
        let source = match failure.os_code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(failure.kind, failure.message),
        };
        if failure.sync { StorageError::SyncFailed { source } } else { classify(source) }
    }
}

/// An error that is not of a sync.
pub(crate) fn classify(source: io::Error) -> StorageError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::DiskFull { source }
        }
        // Pages are looked for where the file has none, or are not what redb can read.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            let damage = Damage::Pages { message: source.to_string() };
            StorageError::Corrupted { part: "pages", damage }
        }
        _ => StorageError::Io { source },
    }
}

/// Passes everything on and remembers what failed.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Box<dyn StorageBackend>,
    failures: Failures,
}

impl Watched {
    pub(crate) fn new(inner: Box<dyn StorageBackend>, failures: Failures) -> Self {
        Self { inner, failures }
    }

    fn watch<T>(&self, sync: bool, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.failures.record(sync, error);
        }
        result
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.watch(false, self.inner.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.watch(false, self.inner.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.watch(false, self.inner.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.watch(true, self.inner.sync_data())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.watch(false, self.inner.write(offset, bytes))
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}

//! [`Detached`]: a file that is read and never written.
//!
//! Invariant: the file stays as it is to the last byte. What is written to it is kept in memory, by pages, and read
//! from there; so a store can be opened, mended and verified on a copy that nobody may touch.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

/// The bytes of a page kept in memory; nothing else depends on it.
const PAGE: u64 = 4_096;

/// A file and what was written since it was opened.
#[derive(Debug)]
pub(crate) struct Detached {
    file: FileBackend,
    /// The bytes of the file that are still to be seen: fewer once it was made shorter.
    in_file: u64,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    length: u64,
    /// The least length since the file was opened: what lies beyond in the file was cut off.
    kept: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Detached {
    pub(crate) fn new(file: FileBackend) -> io::Result<Self> {
        let length = file.len()?;
        let changes = Changes { length, kept: length, pages: BTreeMap::new() };
        Ok(Self { file, in_file: length, changes: Mutex::new(changes) })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as it is in the file, with zeros behind its end.
    fn page_of_file(&self, number: u64, kept: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE as usize];
        let start = number * PAGE;
        let held = self.in_file.min(kept).saturating_sub(start).min(PAGE) as usize;
        if held > 0 {
            self.file.read(start, &mut page[..held])?;
        }
        Ok(page)
    }
}

impl StorageBackend for Detached {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        if offset.saturating_add(out.len() as u64) > changes.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PAGE, (at % PAGE) as usize);
            let count = (PAGE as usize - within).min(out.len() - done);
            let part = &mut out[done..done + count];
            match changes.pages.get(&number) {
                Some(page) => part.copy_from_slice(&page[within..within + count]),
                None => {
                    part.copy_from_slice(&self.page_of_file(number, changes.kept)?[within..within + count]);
                }
            }
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changes = self.changes();
        changes.kept = changes.kept.min(length);
        changes.length = length;
        // What is cut off is zero if the file grows again.
        changes.pages.retain(|number, _| number * PAGE < length);
        if let Some(page) = changes.pages.get_mut(&(length / PAGE)) {
            page[(length % PAGE) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        let end = offset + bytes.len() as u64;
        changes.length = changes.length.max(end);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (number, within) = (at / PAGE, (at % PAGE) as usize);
            let count = (PAGE as usize - within).min(bytes.len() - done);
            let kept = changes.kept;
            let page = match changes.pages.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(self.page_of_file(number, kept)?)
                }
            };
            page[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // Who only reads asks for shared locks; a process that writes to the file holds others, which exclude them.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let length = 0_u64..3 * PAGE;
        let write = (length.clone(), proptest::collection::vec(any::<u8>(), 1..5_000));
        let step = prop_oneof![
            3 => write.prop_map(|(offset, bytes)| Step::Write(offset, bytes)),
            1 => length.prop_map(Step::SetLen),
        ];
        proptest::collection::vec(step, 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_reads_as_a_file_that_was_written_and_leaves_the_file_alone(
            first in proptest::collection::vec(any::<u8>(), 0..10_000),
            steps in steps(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            fs::write(&path, &first).unwrap();
            let detached = Detached::new(FileBackend::new(File::open(&path).unwrap()).unwrap()).unwrap();
            let mut model = first.clone();
            for step in steps {
                match step {
                    Step::Write(offset, bytes) => {
                        let end = offset as usize + bytes.len();
                        model.resize(model.len().max(end), 0);
                        model[offset as usize..end].copy_from_slice(&bytes);
                        detached.write(offset, &bytes).unwrap();
                    }
                    Step::SetLen(length) => {
                        model.resize(length as usize, 0);
                        detached.set_len(length).unwrap();
                    }
                }
                prop_assert_eq!(detached.len().unwrap(), model.len() as u64);
                let mut read = vec![0; model.len()];
                detached.read(0, &mut read).unwrap();
                prop_assert!(read == model);
                let tail = model.len() / 3;
                let mut read = vec![0; model.len() - tail];
                detached.read(tail as u64, &mut read).unwrap();
                prop_assert!(read == model[tail..]);
                prop_assert!(detached.read(1, &mut vec![0; model.len()]).is_err());
            }
            prop_assert!(fs::read(&path).unwrap() == first);
        }
    }
}

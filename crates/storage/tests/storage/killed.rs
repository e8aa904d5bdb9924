//! Processes that are killed over a ledger in a file, in the middle of its transactions too.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use deltaic_quota::Guarantee;
use deltaic_storage::{LEDGER_FILE, RedbLedger};
use redb::StorageBackend;
use redb::backends::FileBackend;

#[path = "../killed/mod.rs"]
mod orders;

/// The steps of a batch, and those of the ones that close the node.
const POINTS: [&str; 8] = [
    "before",
    "inside",
    "after",
    "installed",
    "closing before",
    "closing inside",
    "closing after",
    "closing installed",
];

/// The file, with a place to stop at before each operation of a batch.
#[derive(Debug)]
struct Stopping(FileBackend);

fn inside() {
    if orders::APPLIES.load(Ordering::Relaxed) {
        orders::reach("inside");
    }
}

impl StorageBackend for Stopping {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        inside();
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        inside();
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        inside();
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

#[test]
fn process() {
    orders::obey(|directory| {
        let path = Path::new(directory).join(LEDGER_FILE);
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        RedbLedger::open_with_backend(Stopping(FileBackend::new(file).unwrap())).unwrap()
    });
}

fn kill_everywhere(guarantee: Guarantee) {
    let directory = tempfile::tempdir().unwrap();
    drop(RedbLedger::open_or_create(directory.path()).unwrap());
    let place = directory.path().to_str().unwrap();
    let ledger = || RedbLedger::open_or_create(directory.path()).unwrap();
    orders::kill_everywhere("killed::process", guarantee, &POINTS, place, ledger);
}

#[test]
fn escrow_is_never_over_and_under_by_its_bound() {
    kill_everywhere(Guarantee::Escrow);
}

#[test]
fn group_commit_is_never_over_and_under_by_its_bound() {
    kill_everywhere(Guarantee::GroupCommit);
}

#[test]
fn volatile_is_over_by_its_bound() {
    kill_everywhere(Guarantee::Volatile);
}

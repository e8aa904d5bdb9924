#![doc = include_str!("../README.md")]

mod caught;
mod check;
mod chunk;
mod commit;
mod detached;
mod directory;
mod error;
mod fault;
mod heat;
mod layer;
mod ledger;
mod memory;
mod pages;
mod record;
mod redb_store;
mod rows;
mod stage;
mod staged;
mod store;
mod turns;
mod watched;
mod writer;

pub use caught::panic_is_caught;
pub use check::{CheckReport, Difference, check};
pub use commit::{CellVersion, Change, Commit, StoredRow};
pub use directory::{LEDGER_FILE, STORE_FILE};
pub use error::{Damage, OpenError, StorageError};
pub use fault::{FaultPlan, FaultyDisk};
pub use heat::hot_columns;
pub use ledger::RedbLedger;
pub use memory::MemoryStore;
pub use record::COMMIT_BYTES;
pub use redb_store::{FORMAT_VERSION, RedbStore};
pub use staged::{Changes, PROVISIONAL, Staged, Stager};
pub use store::{Header, Identity, Reader, Store, TableSize};

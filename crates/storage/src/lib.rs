#![doc = include_str!("../README.md")]

mod commit;
mod error;
mod heat;
mod memory;
mod record;
mod store;

pub use commit::{CellVersion, Change, Commit, StoredRow};
pub use error::{Damage, OpenError, StorageError};
pub use heat::hot_columns;
pub use memory::MemoryStore;
pub use record::COMMIT_BYTES;
pub use store::{Header, Identity, Store, TableSize};

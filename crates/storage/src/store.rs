//! [`Store`]: the durable state that an engine reads and appends to; [`Reader`]: its rows, which others read too.
//!
//! Invariant: what is read of the tables are the changes of all commits, applied in order. A store keeps both because
//! reading a row must not cost a replay, and neither is ever changed without the other. The log may forget its oldest
//! commits; the tables keep what those made.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltaic_causality::{ActorId, HybridTime};
use deltaic_types::{Catalog, DatabaseId, Lsn, Row, TableId, Value};

use crate::{Commit, Stager, StorageError, StoredRow};

/// Whose state a store holds: given at its creation, the same for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The database.
    pub database: DatabaseId,
    /// The replica that owns this store and gives dots in it.
    pub actor: ActorId,
}

/// The state after the last commit, without the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose state it is.
    pub identity: Identity,
    /// The last commit; 0 before the first.
    pub lsn: Lsn,
    /// The greatest number of a dot that this store's actor has given; 0 before the first.
    pub seq: u64,
    /// The time of the last commit.
    pub time: HybridTime,
    /// The tables.
    pub catalog: Catalog,
}

/// How much a table holds, without the changes of staged commits that are not settled: what those replace is found when
/// they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableSize {
    /// Its rows.
    pub rows: u64,
    /// Bytes of keys and hot records as encoded, without what the store needs to find them.
    pub hot_bytes: u64,
    /// Bytes of cold records as encoded.
    pub cold_bytes: u64,
    /// Changes of rows that are seen and not counted above; where it is 0 the counts are of all that is seen. A row that
    /// two commits changed may count twice.
    pub unsettled: u64,
}

/// The rows of a store, to be read.
pub trait Reader {
    /// The row of a key, or None. `key` holds the values of the primary key, in its order. Costs a search in each
    /// part.
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError>;

    /// Calls `visit` with the values at `columns` of each row, in key order. Reads the cold part only of rows that
    /// keep one of the columns in it. A table that does not exist has no rows.
    fn scan(&self, table: TableId, columns: &[usize], visit: &mut dyn FnMut(Row))
    -> Result<(), StorageError>;
}

/// A commit log and the tables that it has made.
///
/// Reads see every commit that was appended. After an error of [`append`](Store::append) reads may fail with
/// [`StorageError::Closed`]; the state is whole again once the store is opened anew.
pub trait Store: Reader {
    /// The state after the last commit. Costs a copy of the catalog.
    fn header(&self) -> Result<Header, StorageError>;

    /// The rows as they are now, for another thread: what is appended afterwards is not seen. Costs nothing that grows
    /// with the rows. A store in a file keeps the pages of a snapshot until it is dropped; reads of a snapshot that
    /// outlives its store fail with [`StorageError::Closed`] where the store is in a file.
    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError>;

    /// The commits after `after`, oldest first, `limit` at most. [`StorageError::Trimmed`] where the one behind `after` is
    /// not in the log any more.
    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError>;

    /// Appends commits, atomically and durably: when it returns Ok, every one of them survives any crash.
    ///
    /// When it returns an error, none of them is there after the store is opened anew, with one exception:
    /// [`StorageError::SyncFailed`] and [`StorageError::Io`] leave open whether all of them or none is there,
    /// because the device did not say.
    ///
    /// Inline changes are in their tables then. Staged ones are seen as well, and cost nothing that grows with them; they
    /// are brought into the tables by [`settle`](Store::settle), and by a commit that changes the catalog.
    ///
    /// [`StorageError::StageGone`] says that staged changes are of an earlier opening, or of another store.
    ///
    /// # Panics
    /// Where a commit's lsn is not its predecessor's plus one, its `seq` falls, or a change is not one of the
    /// catalog: a table that does not exist, a row with another number of columns, a key that is not the row's;
    /// where a dot of inline changes is provisional; where a commit gives fewer dots than its staged changes have.
    fn append(&mut self, commits: &[Commit]) -> Result<(), StorageError>;

    /// Who writes the changes of a large commit ahead of its append, on any thread, beside appends.
    fn stager(&self) -> Box<dyn Stager>;

    /// Brings `limit` staged changes at most into their tables; true where some are left. Nothing that can be read
    /// changes. A little of what staged changes have left in memory and in the file is removed as well, for which it
    /// may be called, and say true, where all is settled.
    fn settle(&mut self, limit: usize) -> Result<bool, StorageError>;

    /// Removes the oldest commits of the log, `limit` at most, so that the last `keep` stay, and one at least; true where
    /// more can be removed now. Commits stay from the first one on that has changes which are not settled. What staged
    /// changes of removed commits have left in the file is removed a little at a time, by this or by
    /// [`settle`](Store::settle). Costs a transaction, and nothing where nothing is to be removed. A store without a log that
    /// grows has nothing to do.
    ///
    /// [`StorageError::Corrupted`] says that a commit that was to go is damaged: the log stays as it is, and so do the
    /// tables, which do not need it.
    fn trim(&mut self, keep: u64, limit: usize) -> Result<bool, StorageError> {
        let _ = (keep, limit);
        Ok(false)
    }

    /// The first commit of the log, those before were trimmed; the one after the last where it has none. Costs nothing.
    fn first(&self) -> Lsn;

    /// The size of each table of the catalog. Costs nothing that grows with the rows.
    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError>;
}

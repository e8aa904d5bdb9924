//! [`MemoryStore`]: the store as plain maps, gone with the process.
//!
//! Invariant: it is what [`Store`] means, in the fewest words; other stores are tested against it. It counts the
//! same bytes as they do, by the same encoding, and encodes nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltaic_causality::HybridTime;
use deltaic_types::{Catalog, Lsn, Row, TableId, Value, key};

use crate::chunk::Chunks;
use crate::commit::{advance, schema};
use crate::record::{self, COMMIT_BYTES};
use crate::trim;
use crate::{
    Change, Changes, Commit, Header, Identity, Reader, Staged, Stager, StorageError, Store, StoredRow,
    TableSize, hot_columns,
};

#[derive(Debug, Clone)]
struct Entry {
    row: StoredRow,
    hot_bytes: u64,
    cold_bytes: u64,
}

/// The rows of all tables. A clone shares each table until one of both changes it.
#[derive(Debug, Clone, Default)]
struct Tables(BTreeMap<TableId, Arc<BTreeMap<Vec<u8>, Entry>>>);

/// A store in memory. Its appends cannot fail, but for a commit that is too large.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    header: Header,
    /// Where the log begins.
    first: Lsn,
    log: Vec<Commit>,
    tables: Tables,
    sizes: BTreeMap<TableId, TableSize>,
}

impl MemoryStore {
    /// A store without tables.
    pub fn new(identity: Identity) -> Self {
        let header =
            Header { identity, lsn: Lsn(0), seq: 0, time: HybridTime(0), catalog: Catalog::default() };
        Self { header, first: Lsn(1), log: Vec::new(), tables: Tables::default(), sizes: BTreeMap::new() }
    }

    fn apply(&mut self, catalog: &mut Catalog, change: &Change) {
        match change {
            Change::Catalog(next) => {
                *catalog = next.clone();
                self.tables.0.retain(|id, _| catalog.get(*id).is_some());
                self.sizes.retain(|id, _| catalog.get(*id).is_some());
                for table in catalog.tables() {
                    self.sizes.entry(table.id).or_default();
                }
            }
            Change::Put { table, key, row } => {
                let key = key::encode(key);
                let split = record::split(*table, &key, row, &hot_columns(schema(catalog, *table)));
                let entry = Entry {
                    row: row.clone(),
                    hot_bytes: (key.len() + split.hot.len()) as u64,
                    cold_bytes: split.cold.map_or(0, |cold| cold.len()) as u64,
                };
                let size = self.sizes.entry(*table).or_default();
                size.rows += 1;
                size.hot_bytes += entry.hot_bytes;
                size.cold_bytes += entry.cold_bytes;
                let old = self.tables.table(*table).insert(key, entry);
                self.forget(*table, old.as_ref());
            }
            Change::Delete { table, key, .. } => {
                let old = self.tables.table(*table).remove(&key::encode(key));
                self.forget(*table, old.as_ref());
            }
        }
    }

    fn forget(&mut self, table: TableId, old: Option<&Entry>) {
        if let Some(old) = old {
            let size = self.sizes.entry(table).or_default();
            size.rows -= 1;
            size.hot_bytes -= old.hot_bytes;
            size.cold_bytes -= old.cold_bytes;
        }
    }
}

impl Tables {
    fn get(&self, table: TableId, key: &[Value]) -> Option<&StoredRow> {
        self.0.get(&table)?.get(&key::encode(key)).map(|entry| &entry.row)
    }

    fn rows(&self, table: TableId) -> impl Iterator<Item = &StoredRow> {
        self.0.get(&table).into_iter().flat_map(|rows| rows.values()).map(|entry| &entry.row)
    }

    /// A table to be changed.
    fn table(&mut self, table: TableId) -> &mut BTreeMap<Vec<u8>, Entry> {
        Arc::make_mut(self.0.entry(table).or_default())
    }
}

/// Writes nothing ahead: an append in memory waits for no disk.
struct MemoryStager;

impl Stager for MemoryStager {
    fn stage(&self, changes: Vec<Change>) -> Result<Staged, StorageError> {
        for chunk in Chunks::new(0, &changes, COMMIT_BYTES) {
            chunk?;
        }
        Ok(Staged::new(0, 0, changes, &Catalog::default(), None))
    }
}

impl Reader for Tables {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        Ok(self.get(table, key).cloned())
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        for row in self.rows(table) {
            visit(row.values.project(columns));
        }
        Ok(())
    }
}

impl Reader for MemoryStore {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        self.tables.row(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        self.tables.scan(table, columns, visit)
    }
}

impl Store for MemoryStore {
    fn header(&self) -> Result<Header, StorageError> {
        Ok(self.header.clone())
    }

    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
        Ok(Arc::new(self.tables.clone()))
    }

    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
        let first = self.first;
        let skipped = after.next().0.checked_sub(first.0).ok_or(StorageError::Trimmed { first })?;
        Ok(self.log.iter().skip(skipped as usize).take(limit).cloned().collect())
    }

    fn append(&mut self, commits: &[Commit]) -> Result<(), StorageError> {
        let next = advance(&self.header, commits);
        for commit in commits {
            // Staged changes were found to be within the limit.
            if let Changes::Inline(changes) = &commit.changes {
                record::write_commit(commit, changes, COMMIT_BYTES)?;
            }
        }
        let mut catalog = self.header.catalog.clone();
        for commit in commits {
            let commit = commit.resolved();
            for change in commit.changes.as_slice() {
                self.apply(&mut catalog, change);
            }
            self.log.push(commit);
        }
        self.header = next;
        Ok(())
    }

    fn stager(&self) -> Box<dyn Stager> {
        Box::new(MemoryStager)
    }

    fn settle(&mut self, _: usize) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn trim(&mut self, keep: u64, limit: usize) -> Result<bool, StorageError> {
        let end = trim::kept_from(self.header.lsn, keep, None);
        let removed = end.0.saturating_sub(self.first.0).min(limit as u64);
        self.log.drain(..removed as usize);
        self.first = Lsn(self.first.0 + removed);
        Ok(self.first < end)
    }

    fn first(&self) -> Lsn {
        self.first
    }

    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
        Ok(self.sizes.clone())
    }
}

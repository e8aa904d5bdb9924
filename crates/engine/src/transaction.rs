//! [`Transaction`]: the working state of one request: a snapshot of the tables and what it has written.
//!
//! Statements see the state with the writes before them. Invariant: nothing outside is touched until the
//! transaction's commit is durable; giving it up is dropping it.

use std::collections::BTreeSet;

use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_storage::{CellVersion, Change, StorageError, Store, StoredRow};
use deltaic_types::{LiveView, Row, TableId, TableSchema, Value};

use crate::{
    error::RequestError,
    input::Now,
    tables::{DefineError, Tables, Writes},
};

/// The working state of a request.
pub(crate) struct Transaction<'a> {
    pub(crate) tables: Tables,
    pub(crate) now: Now,
    store: &'a dyn Store,
    /// What earlier requests of the batch have written.
    earlier: &'a Writes,
    writes: Writes,
    schema_changed: bool,
    actor: ActorId,
    time: HybridTime,
    seq: u64,
}

/// Where a transaction starts: the number of the last dot, and the time its writes carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) actor: ActorId,
    pub(crate) seq: u64,
    pub(crate) time: HybridTime,
    pub(crate) now: Now,
}

/// What a transaction has done.
pub(crate) struct Done {
    pub(crate) tables: Tables,
    pub(crate) writes: Writes,
    pub(crate) changes: Vec<Change>,
    pub(crate) seq: u64,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(tables: Tables, store: &'a dyn Store, earlier: &'a Writes, start: Start) -> Self {
        Self {
            tables,
            now: start.now,
            store,
            earlier,
            writes: Writes::new(),
            schema_changed: false,
            actor: start.actor,
            time: start.time,
            seq: start.seq,
        }
    }

    /// The whole row of a primary key, as the transaction sees it.
    pub(crate) fn stored(&self, table: TableId, key: &Row) -> Result<Option<StoredRow>, StorageError> {
        let name = (table, key.clone());
        match self.writes.get(&name).or_else(|| self.earlier.get(&name)) {
            Some(row) => Ok(row.clone()),
            None => self.store.row(table, key),
        }
    }

    /// Brings the columns that a statement reads into memory.
    pub(crate) fn make_hot(&mut self, columns: &BTreeSet<(TableId, usize)>) -> Result<(), StorageError> {
        self.tables.make_hot(columns, self.store, &[self.earlier, &self.writes])
    }

    /// The number of the next dot: a value that no other row has.
    pub(crate) fn next_row_id(&mut self) -> i64 {
        self.seq += 1;
        self.seq as i64
    }

    /// Removes a row from memory and notes its deletion.
    pub(crate) fn remove(&mut self, table: TableId, key: &Row) {
        let row = self.tables.get(table, key).expect("invariant: a removed row is there").clone();
        self.tables.relation_mut(table).remove(&row);
        self.writes.insert((table, key.clone()), None);
    }

    /// Adds a row to memory and notes it. A column that is as it was keeps the version it had.
    pub(crate) fn insert(&mut self, table: TableId, key: Row, values: Row, was: Option<&StoredRow>) {
        self.seq += 1;
        let version = Dot { actor: self.actor, seq: self.seq };
        let cells = was.map_or_else(Vec::new, |was| unchanged_cells(was, &values));
        let hot = self.tables.hot(table, &values);
        self.tables.relation_mut(table).insert(&hot);
        let row = StoredRow { version, time: self.time, cells, values };
        self.writes.insert((table, key), Some(row));
    }

    /// Takes a table's definition.
    pub(crate) fn define(&mut self, table: TableSchema) -> Result<(), RequestError> {
        self.schema_changed = true;
        self.tables.define(table, self.store, &[self.earlier, &self.writes]).map_err(|error| match error {
            DefineError::Catalog(error) => RequestError::Catalog(error),
            DefineError::Storage(error) => error.into(),
        })
    }

    /// Takes a live view's definition.
    pub(crate) fn define_view(&mut self, view: LiveView) -> Result<(), RequestError> {
        self.schema_changed = true;
        self.tables.define_view(view).map_err(RequestError::Catalog)
    }

    /// Removes a live view.
    pub(crate) fn drop_view(&mut self, name: &str) {
        self.schema_changed = true;
        self.tables.drop_view(name);
    }

    /// Removes a table with its rows.
    pub(crate) fn drop_table(&mut self, table: TableId) {
        self.schema_changed = true;
        self.tables.drop(table);
        self.writes.retain(|(id, _), _| *id != table);
    }

    /// Every row of a table, whole. Cost: a read of the store for each.
    pub(crate) fn all_rows(&self, table: TableId) -> Result<Vec<StoredRow>, StorageError> {
        let keys: Vec<Row> = self
            .tables
            .relation(table)
            .primary()
            .iter()
            .map(|(row, _)| self.tables.key_in_memory(table, row))
            .collect();
        keys.iter().filter_map(|key| self.stored(table, key).transpose()).collect()
    }

    /// Ends the transaction: what is to be logged, the definitions first.
    pub(crate) fn finish(self) -> Done {
        let mut changes = Vec::new();
        if self.schema_changed {
            changes.push(Change::Catalog(self.tables.catalog().clone()));
        }
        let mut seq = self.seq;
        for ((table, key), row) in &self.writes {
            let (table, key) = (*table, key.clone());
            changes.push(if let Some(row) = row {
                Change::Put { table, key, row: row.clone() }
            } else {
                seq += 1;
                let dot = Dot { actor: self.actor, seq };
                Change::Delete { table, key, dot, time: self.time }
            });
        }
        Done { tables: self.tables, writes: self.writes, changes, seq }
    }
}

/// The versions of the columns that a new row has from the row before it.
fn unchanged_cells(was: &StoredRow, values: &[Value]) -> Vec<CellVersion> {
    was.values
        .iter()
        .zip(values)
        .enumerate()
        .filter(|(_, (before, after))| before == after)
        .map(|(column, _)| {
            let own = was.cells.iter().find(|cell| cell.column == column);
            own.copied().unwrap_or(CellVersion { column, dot: was.version, time: was.time })
        })
        .collect()
}

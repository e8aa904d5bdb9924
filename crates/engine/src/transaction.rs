//! [`Transaction`]: the working state of one request: a snapshot of the tables and what it has written.
//!
//! Statements see the state with the writes before them. Invariant: nothing outside is touched until the
//! transaction's commit is durable; giving it up is dropping it.

use std::{collections::BTreeSet, ops::Range};

use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_dataflow::{Allowance, Exhausted};
use deltaic_storage::{CellVersion, Change, Reader, StorageError, StoredRow};
use deltaic_types::{Allocation, Budget, LiveView, Row, TableId, TableSchema, Value, limits};

use crate::{
    budgets::Purse,
    error::RequestError,
    input::Now,
    mesh::draft::Draft,
    slice::Slice,
    tables::{DefineError, Tables, Writes},
};

/// The working state of a request.
pub(crate) struct Transaction<'a> {
    pub(crate) tables: Tables,
    pub(crate) now: Now,
    store: &'a dyn Reader,
    /// What earlier requests of the batch have written.
    earlier: &'a Writes,
    writes: Writes,
    reads: BTreeSet<TableId>,
    schema_changed: bool,
    pace: Pace,
    /// The bytes of the rows that were read and written whole.
    bytes: u64,
    /// Whether it cannot go on at its pace.
    is_stopped: bool,
    /// What it may consume, and what it would.
    pub(crate) purse: Purse,
    /// Its writes to rows that merge, where there are other members.
    pub(crate) draft: Option<Draft>,
    actor: ActorId,
    time: HybridTime,
    seq: u64,
}

/// Where a transaction runs, and so how much it may do.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    /// Between two inputs, a slice at most.
    Slice(Slice),
    /// Beside them, on a snapshot, where nothing can be defined. The keys are for rows of tables without a primary key.
    Aside { row_ids: Range<u64> },
    /// Between two inputs, to its end.
    Whole,
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
    /// The tables that its queries read.
    pub(crate) reads: BTreeSet<TableId>,
    pub(crate) seq: u64,
    /// Which of its grants it has consumed, by place.
    pub(crate) used: Vec<usize>,
    /// Its writes to rows that merge.
    pub(crate) draft: Option<Draft>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(
        tables: Tables,
        store: &'a dyn Reader,
        earlier: &'a Writes,
        start: Start,
        pace: Pace,
    ) -> Self {
        Self {
            tables,
            now: start.now,
            store,
            earlier,
            writes: Writes::new(),
            reads: BTreeSet::new(),
            schema_changed: false,
            pace,
            bytes: 0,
            is_stopped: false,
            purse: Purse::default(),
            draft: None,
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
    pub(crate) fn make_hot(&mut self, columns: &BTreeSet<(TableId, usize)>) -> Result<(), RequestError> {
        if let Pace::Slice(slice) = &self.pace {
            let rows = self.tables.rows_of_cold(columns) as u64;
            if rows > slice.scans {
                self.is_stopped = true;
                return Err(Exhausted::Rows { limit: slice.scans }.into());
            }
        }
        Ok(self.tables.make_hot(columns, self.store, &[self.earlier, &self.writes])?)
    }

    /// The tables, where nothing but columns was brought into them.
    pub(crate) fn unwritten(self) -> Option<Tables> {
        (self.writes.is_empty() && !self.schema_changed).then_some(self.tables)
    }

    /// What a query may do.
    pub(crate) fn allowance(&self) -> Allowance {
        let visited = limits::JOINED_ROWS;
        match &self.pace {
            Pace::Slice(slice) => Allowance {
                visited: visited.min(slice.visits),
                scanned: slice.scans,
                made: limits::COMPUTED_BYTES.min(slice.bytes),
            },
            Pace::Aside { .. } | Pace::Whole => visited.into(),
        }
    }

    /// A query went beyond its allowance: that of the slice, or that of all queries.
    pub(crate) fn exhausted(&mut self, exhausted: Exhausted) -> RequestError {
        let limit = limits::JOINED_ROWS;
        self.is_stopped |= matches!(&self.pace, Pace::Slice(_)) && exhausted != Exhausted::Rows { limit };
        exhausted.into()
    }

    /// Notes the tables that a query reads.
    pub(crate) fn reads(&mut self, tables: impl IntoIterator<Item = TableId>) {
        self.reads.extend(tables);
    }

    /// The tables that were read and not written to.
    pub(crate) fn read_only(&self) -> impl Iterator<Item = TableId> {
        self.reads.iter().filter(|table| !self.writes.keys().any(|(written, _)| written == *table)).copied()
    }

    /// Fails where a slice has no room for so many more rows.
    pub(crate) fn expect_writes(&mut self, rows: usize) -> Result<(), RequestError> {
        let Pace::Slice(slice) = &self.pace else { return Ok(()) };
        let rows = self.writes.len() + rows;
        if rows <= slice.writes {
            return Ok(());
        }
        self.is_stopped = true;
        Err(RequestError::TooManyRows { rows, limit: slice.writes })
    }

    /// Fails where a slice has no room for so many more bytes of whole rows.
    pub(crate) fn expect_bytes(&mut self, bytes: usize) -> Result<(), RequestError> {
        self.bytes += bytes as u64;
        match &self.pace {
            Pace::Slice(slice) if self.bytes > slice.bytes => {
                self.is_stopped = true;
                Err(Exhausted::Bytes { limit: slice.bytes }.into())
            }
            _ => Ok(()),
        }
    }

    /// Fails where nothing can be defined.
    pub(crate) fn expect_definition(&mut self) -> Result<(), RequestError> {
        match &self.pace {
            Pace::Whole => Ok(()),
            Pace::Slice(_) => {
                // What is defined is looked at as a whole.
                self.pace = Pace::Whole;
                Ok(())
            }
            Pace::Aside { .. } => {
                self.is_stopped = true;
                Err(RequestError::Transaction { statement: "a definition" })
            }
        }
    }

    /// Whether it failed because it cannot go on at its pace: a slice is too small for it, or it cannot run aside.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// A value that no other row has: the number of the next dot, or one of those that were kept.
    pub(crate) fn next_row_id(&mut self) -> Result<i64, RequestError> {
        if let Pace::Aside { row_ids } = &mut self.pace {
            let Some(id) = row_ids.next() else {
                self.is_stopped = true;
                return Err(RequestError::TooManyRows { rows: 0, limit: limits::STATEMENT_ROWS });
            };
            return Ok(row_id(self.actor, id));
        }
        self.seq += 1;
        Ok(row_id(self.actor, self.seq))
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

    /// The draft knows the tables as they are defined.
    fn redraft(&mut self) {
        if let Some(draft) = &mut self.draft {
            draft.define(self.tables.catalog());
        }
    }

    /// Takes a table's definition.
    pub(crate) fn define(&mut self, table: TableSchema) -> Result<(), RequestError> {
        self.schema_changed = true;
        self.tables.define(table, self.store, &[self.earlier, &self.writes]).map_err(
            |error| match error {
                DefineError::Catalog(error) => RequestError::Catalog(error),
                DefineError::Storage(error) => error.into(),
            },
        )?;
        self.redraft();
        Ok(())
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

    /// Takes a budget's definition.
    pub(crate) fn define_budget(&mut self, budget: Budget) -> Result<(), RequestError> {
        self.schema_changed = true;
        self.tables.define_budget(budget).map_err(RequestError::Catalog)
    }

    /// Removes a budget.
    pub(crate) fn drop_budget(&mut self, name: &str) {
        self.schema_changed = true;
        self.tables.drop_budget(name);
    }

    /// Takes an allocation's definition, whose views are there.
    pub(crate) fn define_allocation(&mut self, allocation: Allocation) {
        self.schema_changed = true;
        self.tables.define_allocation(allocation);
    }

    /// Removes an allocation, but not its views.
    pub(crate) fn drop_allocation(&mut self, name: &str) -> Option<Allocation> {
        self.schema_changed = true;
        self.tables.drop_allocation(name)
    }

    /// Removes a table with its rows.
    pub(crate) fn drop_table(&mut self, table: TableId) {
        self.schema_changed = true;
        if let Some(draft) = &mut self.draft {
            draft.drop_table(table);
        }
        self.tables.drop(table);
        self.writes.retain(|(id, _), _| *id != table);
        self.redraft();
    }

    /// The number of the last dot, for writes that are drafted.
    pub(crate) fn seq_mut(&mut self) -> (&mut u64, Option<&mut Draft>) {
        (&mut self.seq, self.draft.as_mut())
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
    pub(crate) fn finish(mut self) -> Done {
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
        let used = std::mem::take(&mut self.purse).into_used();
        let Self { tables, writes, reads, draft, .. } = self;
        Done { tables, writes, changes, reads, seq, used, draft }
    }
}

/// A number that no other member's row has, nor another of this one's: 22 bits of the actor's sum, then the number.
fn row_id(actor: ActorId, number: u64) -> i64 {
    const NUMBERS: u32 = 41;
    // As a sum of splitmix64's, so that actors that differ little differ here.
    let mut sum = actor.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    sum = (sum ^ (sum >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((sum >> 42 << NUMBERS) | (number & ((1 << NUMBERS) - 1))).cast_signed()
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

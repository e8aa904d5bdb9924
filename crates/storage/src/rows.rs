//! The rows in a redb store, as one read transaction sees them: for the store itself and for its [`Snapshot`]s.
//!
//! Invariant: what is given was written. Records have their checksums; a key that is not found is missing between two
//! whole neighbours, and a scan meets as many rows in the tables as the store counts. Layers are looked through first.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use deltaic_types::{Row, TableId, Value, key};
use redb::{Range, ReadOnlyTable, ReadTransaction, TableDefinition};

use crate::layer::{Layers, Merged};
use crate::pages::{Pages, Stop};
use crate::record::{self, Hot, row_key};
use crate::{Damage, Reader, StorageError, StoredRow, TableSize};

pub(crate) const HOT: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("hot");
pub(crate) const COLD: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("cold");

/// Rows that are read at a time: between two such steps the visitor runs.
const STEP_ROWS: usize = 256;

/// The rows of one table among those of all.
pub(crate) fn rows_of(table: TableId) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let end = match table.0.checked_add(1) {
        Some(next) => Bound::Excluded(row_key(TableId(next), &[])),
        None => Bound::Unbounded,
    };
    (Bound::Included(row_key(table, &[])), end)
}

pub(crate) fn as_slices(range: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (range.0.as_ref().map(Vec::as_slice), range.1.as_ref().map(Vec::as_slice))
}

/// The row of a key.
pub(crate) fn row(
    transaction: &ReadTransaction,
    layers: &Layers,
    table: TableId,
    key: &[Value],
) -> Result<Option<StoredRow>, Stop> {
    let place = row_key(table, &key::encode(key));
    if let Some((layer, index)) = layers.find(&place) {
        return Ok(layer.row(index));
    }
    let hot = transaction.open_table(HOT)?;
    let Some(found) = hot.get(&place[..])? else {
        verify_absent(&hot, &place)?;
        return Ok(None);
    };
    let mut row = Hot::read(found.value(), &place).map_err(Stop::damage("hot"))?;
    if !row.is_whole() {
        let cold = transaction.open_table(COLD)?;
        let rest = cold.get(&place[..])?.ok_or_else(|| Stop::damage("cold")(Damage::Missing))?;
        row.complete(rest.value(), &place).map_err(Stop::damage("cold"))?;
    }
    row.into_row().map(Some).map_err(Stop::damage("cold"))
}

/// Fails where a key was not found although it may be there: where its neighbours do not stand on both sides of it,
/// the search went astray on a damaged branch page, and a neighbour that is damaged may be the key itself.
fn verify_absent(hot: &ReadOnlyTable<&[u8], &[u8]>, place: &[u8]) -> Result<(), Stop> {
    let before = hot.range::<&[u8]>(..place)?.next_back();
    let behind = hot.range::<&[u8]>(place..)?.next();
    for (entry, side) in [(before, Ordering::Less), (behind, Ordering::Greater)] {
        let Some(entry) = entry else { continue };
        let (key, record) = entry?;
        if key.value().cmp(place) != side {
            return Err(Stop::damage("hot")(Damage::Misplaced));
        }
        record::verify(record.value(), key.value()).map_err(Stop::damage("hot"))?;
    }
    Ok(())
}

/// A scan of one table.
pub(crate) struct Scan {
    end: Bound<Vec<u8>>,
    hot: Range<'static, &'static [u8], &'static [u8]>,
    cold: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// From the first row on that needs it, the cold part is read beside the hot one.
    cold_rows: Option<Range<'static, &'static [u8], &'static [u8]>>,
    /// Where the last row stood.
    last: Vec<u8>,
    /// The rows met so far, and how many there must be.
    rows: u64,
    counted: u64,
    table: TableId,
    /// The next row of the tables, at `last`, until the layers have come that far.
    ahead: Option<Row>,
}

impl Scan {
    pub(crate) fn begin(transaction: &ReadTransaction, table: TableId, counted: u64) -> Result<Self, Stop> {
        let range = rows_of(table);
        let hot = transaction.open_table(HOT)?.range::<&[u8]>(as_slices(&range))?;
        let cold = transaction.open_table(COLD)?;
        Ok(Self {
            end: range.1,
            hot,
            cold,
            cold_rows: None,
            last: Vec::new(),
            rows: 0,
            counted,
            table,
            ahead: None,
        })
    }

    /// Calls `visit` with the values at `columns` of each row.
    pub(crate) fn run(
        mut self,
        pages: &Pages,
        layers: &Layers,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        let mut layered = layers.rows_of(self.table);
        loop {
            let mut step = Vec::new();
            // The visitor runs outside: its panics are not redb's.
            pages.run_beside(|_| {
                while step.len() < STEP_ROWS {
                    let Some(row) = self.next_seen(columns, &mut layered)? else { break };
                    step.push(row);
                }
                Ok(())
            })?;
            let done = step.len() < STEP_ROWS;
            step.into_iter().for_each(&mut *visit);
            if done {
                break;
            }
        }
        // A damaged branch page can hide rows from every search and look whole.
        if self.rows == self.counted {
            Ok(())
        } else {
            Err(StorageError::Corrupted { part: "hot", damage: Damage::Missing })
        }
    }

    /// The values at `columns` of the next row, of a layer where one has it.
    fn next_seen(&mut self, columns: &[usize], layers: &mut Merged<'_>) -> Result<Option<Row>, Stop> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.next(columns)?;
            }
            let Some(place) = layers.place() else { return Ok(self.ahead.take()) };
            let order = if self.ahead.is_some() { self.last[..].cmp(place) } else { Ordering::Greater };
            if order == Ordering::Less {
                return Ok(self.ahead.take());
            }
            if order == Ordering::Equal {
                self.ahead = None;
            }
            if let Some(row) = layers.next_row() {
                return Ok(Some(row.values.project(columns)));
            }
        }
    }

    /// The values at `columns` of the next row of the tables, whose place is then in `last`.
    fn next(&mut self, columns: &[usize]) -> Result<Option<Row>, Stop> {
        let Some(entry) = self.hot.next() else { return Ok(None) };
        let (place, found) = entry?;
        let place = place.value();
        if !self.last.is_empty() && place <= &self.last[..] {
            return Err(Stop::damage("hot")(Damage::Misplaced));
        }
        self.last.clear();
        self.last.extend_from_slice(place);
        let mut row = Hot::read(found.value(), place).map_err(Stop::damage("hot"))?;
        if self.cold_rows.is_none() && row.lacks(columns) {
            let rest = (Bound::Included(place), self.end.as_ref().map(Vec::as_slice));
            self.cold_rows = Some(self.cold.range::<&[u8]>(rest)?);
        }
        if let Some(cold_rows) = self.cold_rows.as_mut().filter(|_| !row.is_whole()) {
            let missing = || Stop::damage("cold")(Damage::Missing);
            let (cold_place, rest) = cold_rows.next().ok_or_else(missing)??;
            if cold_place.value() != place {
                return Err(Stop::damage("cold")(Damage::Misplaced));
            }
            row.complete(rest.value(), place).map_err(Stop::damage("cold"))?;
        }
        self.rows += 1;
        row.project(columns).map(Some).map_err(Stop::damage("hot"))
    }
}

/// The rows at one moment, for any thread.
pub(crate) struct Snapshot {
    pub(crate) pages: Arc<Pages>,
    pub(crate) transaction: ReadTransaction,
    pub(crate) sizes: BTreeMap<TableId, TableSize>,
    pub(crate) layers: Layers,
}

impl Reader for Snapshot {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        self.pages.run_beside(|_| row(&self.transaction, &self.layers, table, key))
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        let Some(size) = self.sizes.get(&table) else { return Ok(()) };
        let scan = self.pages.run_beside(|_| Scan::begin(&self.transaction, table, size.rows))?;
        scan.run(&self.pages, &self.layers, columns, visit)
    }
}

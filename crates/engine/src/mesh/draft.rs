//! [`Draft`]: the writes of one transaction to rows that merge, made beside the replica.
//!
//! Invariant: a write replaces what its author had seen and nothing else: what is in the replica where no basis is given, and the
//! transaction's own writes before it. Until the draft is put in place nobody else sees anything of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime, VersionVector};
use deltaic_crdt::{Cell, Change, RowGone, Stamp, State as _, WriteError};
use deltaic_types::{Catalog, Row, TableId, limits};

use super::{
    claims::Hidden,
    name::{RowKey, TableTag},
    rich_text::Author,
    rights::Want,
    shape::{Merged, Shape, Shift, shapes},
    state::{Shown, State},
};
use crate::error::MergeError;

/// A row that was written to.
#[derive(Debug, Clone)]
pub(crate) struct Drafted {
    pub(crate) row: Merged,
    /// The writes, each with what it removed.
    pub(crate) made: Vec<(Dot, RowGone)>,
}

/// The writes of a transaction.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) state: Arc<State>,
    actor: ActorId,
    time: HybridTime,
    /// What was seen here, with the writes of the draft.
    seen: CausalContext,
    /// What the author had seen, with the writes of the draft.
    basis: CausalContext,
    basis_cut: VersionVector,
    pub(crate) rows: BTreeMap<RowKey, Drafted>,
    /// The tables, where the transaction defines some.
    shapes: Option<BTreeMap<TableTag, Shape>>,
    /// What is seen when it is in place.
    pub(crate) shown: Shown,
    /// The rights that a write lacked.
    pub(crate) want: Option<Want>,
    /// How many conflicts were recorded, and how many went for them, with the last of these.
    pub(super) recorded: usize,
    pub(super) dropped: usize,
    pub(super) oldest: Option<(i64, RowKey)>,
    /// Whether nobody else has any of it.
    is_alone: bool,
    /// Whether nobody else will take anything of it any more.
    pub(super) has_ended: bool,
    /// Tables that were dropped where nobody else has their rows: nothing is left of these.
    gone: BTreeSet<TableTag>,
    /// The rows that went with them.
    pub(super) forgotten: Vec<RowKey>,
    /// All of the state when it is in place, where the transaction defines tables.
    pub(crate) defined: Option<State>,
}

impl Draft {
    /// A transaction of an author who had seen `basis`, or all that is here.
    pub(crate) fn new(
        state: Arc<State>,
        actor: ActorId,
        time: HybridTime,
        basis: Option<&VersionVector>,
    ) -> Self {
        let seen = state.rows.seen().clone();
        let basis_cut =
            basis.map_or_else(|| state.rows.cut().clone(), |basis| common(basis, state.rows.cut()));
        let basis = if basis.is_some() { CausalContext::from(&basis_cut) } else { seen.clone() };
        let (rows, shown) = (BTreeMap::new(), Shown::default());
        Self {
            state,
            actor,
            time,
            seen,
            basis,
            basis_cut,
            rows,
            shapes: None,
            shown,
            want: None,
            recorded: 0,
            dropped: 0,
            oldest: None,
            is_alone: false,
            has_ended: false,
            gone: BTreeSet::new(),
            forgotten: Vec::new(),
            defined: None,
        }
    }

    /// Whether the author had seen all that is here.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.basis.includes(&self.seen)
    }

    pub(super) fn basis(&self) -> &CausalContext {
        &self.basis
    }

    pub(super) fn basis_cut(&self) -> &VersionVector {
        &self.basis_cut
    }

    pub(super) fn time(&self) -> HybridTime {
        self.time
    }

    pub(super) fn actor(&self) -> ActorId {
        self.actor
    }

    /// Whether the author had seen a write, or made it.
    pub(crate) fn has_seen(&self, dot: Dot) -> bool {
        self.basis.contains(dot)
    }

    /// Says whether nobody else has any of the rows, and whether nobody else will take anything of them any more.
    pub(super) fn among(self, is_alone: bool, has_ended: bool) -> Self {
        Self { is_alone, has_ended, ..self }
    }

    /// A table goes. Where others have its rows they stay for them.
    pub(crate) fn drop_table(&mut self, table: TableId) {
        let Some(tag) = self.shape(table).map(|shape| shape.tag).filter(|_| self.is_alone) else { return };
        self.gone.insert(tag);
        self.rows.retain(|key, _| key.table != tag);
    }

    /// Whether a row of this key is there and not seen, and was so before the transaction.
    pub(crate) fn is_hidden(&self, key: &RowKey) -> bool {
        let is_there = || self.row(key).is_some_and(Merged::is_there);
        !self.rows.contains_key(key) && self.state.hidden(key).is_some() && is_there()
    }

    /// Takes the tables as the transaction defines them.
    pub(crate) fn define(&mut self, catalog: &Catalog) {
        self.shapes = Some(shapes(catalog));
    }

    pub(crate) fn is_defined(&self) -> bool {
        self.shapes.is_some()
    }

    pub(crate) fn shape(&self, table: TableId) -> Option<&Shape> {
        match &self.shapes {
            Some(shapes) => shapes.values().find(|shape| shape.table == table),
            None => self.state.shape(table),
        }
    }

    pub(crate) fn shape_of(&self, key: &RowKey) -> Option<&Shape> {
        self.table(key.table)
    }

    /// The table of a tag.
    pub(crate) fn table(&self, tag: TableTag) -> Option<&Shape> {
        match &self.shapes {
            Some(shapes) => shapes.get(&tag),
            None => self.state.table(tag),
        }
    }

    /// Works out what is seen when the draft is in place: of each row that may be concerned its values, nothing, or why it is
    /// there and not seen; of those written to only the last. Cost: the rows that share constraints with those written to; where tables are defined, all rows.
    pub(crate) fn look_ahead(&mut self) -> Vec<(RowKey, Result<Option<Row>, Hidden>)> {
        if let Some(shapes) = &self.shapes {
            let mut next = State::clone(&self.state);
            self.forgotten = next.rows.forget(|key| self.gone.contains(&key.table));
            next.put(self.rows.clone());
            next.define(shapes.clone());
            let all: Vec<RowKey> = next.rows.iter().map(|(key, _)| key.clone()).collect();
            let all = all.into_iter().map(|key| {
                let show = next.hidden(&key).cloned().map_or_else(|| Ok(next.seen(&key)), Err);
                (key, show)
            });
            let all = all.collect();
            self.defined = Some(next);
            return all;
        }
        self.shown = self.state.look_ahead(&self.rows);
        let settled = &self.shown.settled;
        let of = |key: &RowKey| {
            // What is written to is in its table as it is read.
            if self.rows.get(key).is_some_and(|drafted| drafted.row.is_there()) {
                return None;
            }
            let is_kept = || settled.kept.get(key).copied().unwrap_or_else(|| self.state.is_kept(key));
            let row = self.row(key).filter(|row| row.is_there() || is_kept())?;
            self.shape_of(key)?.values(key, row)
        };
        let rows = settled.rows.iter();
        let rows = rows.map(|(key, hidden)| (key.clone(), hidden.clone().map_or_else(|| Ok(of(key)), Err)));
        let gone = settled.kept.iter().filter(|(_, is_kept)| !**is_kept);
        rows.chain(gone.map(|(key, _)| (key.clone(), Ok(None)))).collect()
    }

    /// A row as the transaction sees it.
    pub(crate) fn row(&self, key: &RowKey) -> Option<&Merged> {
        let held = || self.state.rows.get(key).filter(|_| !self.gone.contains(&key.table));
        self.rows.get(key).map(|drafted| &drafted.row).or_else(held)
    }

    /// Makes one write, named by the number behind `seq`.
    fn write(
        &mut self,
        seq: &mut u64,
        key: &RowKey,
        change: impl FnOnce(&mut Merged, &CausalContext, &CausalContext, Stamp) -> Result<RowGone, WriteError>,
    ) -> Result<(), WriteError> {
        let dot = Dot { actor: self.actor, seq: *seq + 1 };
        let mut row = self.row(key).cloned().unwrap_or_default();
        let gone = change(&mut row, &self.seen, &self.basis, Stamp { time: self.time, dot })?;
        *seq += 1;
        self.seen.insert(dot);
        self.basis.insert(dot);
        let made = self.rows.remove(key).map_or_else(Vec::new, |drafted| drafted.made);
        let made = made.into_iter().chain([(dot, gone)]).collect();
        self.rows.insert(key.clone(), Drafted { row, made });
        Ok(())
    }

    /// Changes one column of a row that is there, where nobody has asked for it: a deletion that has not seen it stands.
    pub(crate) fn adjust(
        &mut self,
        seq: &mut u64,
        key: &RowKey,
        slot: u32,
        change: Change,
    ) -> Result<(), WriteError> {
        self.write(seq, key, |row, seen, _, stamp| row.adjust(seen, stamp, slot, change))
    }

    /// Begins a row with these values; they are given back as they are read.
    pub(crate) fn insert(&mut self, seq: &mut u64, shape: &Shape, values: &Row) -> Result<Row, MergeError> {
        let key = shape.key_of(values);
        let author = Author { actor: self.actor, seen: &self.basis, row: None };
        let mut writes = shape.inserted(values, author)?.into_iter();
        let first = writes.next().unwrap_or_default();
        self.write(seq, &key, |row, seen, _, stamp| row.insert(seen, stamp, first))?;
        self.update_row(seq, shape, &key, values, writes.as_slice())
    }

    /// Writes to a row what makes the one of the other; the values are given back as they are read.
    pub(crate) fn update(
        &mut self,
        seq: &mut u64,
        shape: &Shape,
        before: &Row,
        after: &Row,
        shifts: &[(usize, Shift)],
    ) -> Result<Row, MergeError> {
        let key = shape.key_of(before);
        let open = self.open_conflicts(shape, &key);
        let (mut before, mut after) = (before.clone(), after.clone());
        if !self.is_up_to_date()
            && let Some(row) = self.row(&key).cloned()
        {
            let custom = self.custom(shape, &row, &before, &after);
            if !custom.is_empty() {
                let (mut made, mut rest) = (before.to_vec(), after.to_vec());
                for (place, value) in &custom {
                    made[*place] = value.clone();
                    rest[*place] = value.clone();
                }
                // It has seen both, so it replaces both.
                let made = Row::from(made);
                let author = Author { actor: self.actor, seen: &self.seen, row: Some(&row) };
                for changes in shape.updated(&before, &made, &[], author)? {
                    self.write(seq, &key, |row, seen, _, stamp| row.update(seen, stamp, seen, changes))?;
                }
                for (place, value) in &custom {
                    self.record_custom(seq, shape, &key, (*place, value), (&before, &after))?;
                }
                (before, after) = (made, Row::from(rest));
            }
        }
        let author = Author { actor: self.actor, seen: &self.basis, row: self.row(&key) };
        let writes = shape.updated(&before, &after, shifts, author)?;
        let values = self.update_row(seq, shape, &key, &before, &writes)?;
        self.record_ended(seq, shape, &key, &open)?;
        Ok(values)
    }

    fn update_row(
        &mut self,
        seq: &mut u64,
        shape: &Shape,
        key: &RowKey,
        before: &Row,
        writes: &[Vec<(u32, Change)>],
    ) -> Result<Row, MergeError> {
        for changes in writes {
            let changes = changes.iter().cloned();
            let row = self.row(key);
            let values =
                |(slot, _): &(u32, Change)| row.and_then(|row| row.cell(*slot)).map_or(0, Cell::values);
            let is_crowded = changes.clone().any(|change| values(&change) >= limits::VALUES_BESIDE);
            let made = self.write(seq, key, |row, seen, basis, stamp| {
                row.update(seen, stamp, if is_crowded { seen } else { basis }, changes)
            });
            made.map_err(|error| self.lacks(key, writes, error))?;
        }
        let row = self.row(key).and_then(|row| shape.values_after(key, row, before, writes));
        Ok(row.expect("invariant: a row that was written to has a key of its table"))
    }

    /// Notes which rights are to be asked for where a write lacked some.
    fn lacks(&mut self, key: &RowKey, writes: &[Vec<(u32, Change)>], error: WriteError) -> MergeError {
        let WriteError::Rights { amount, available } = error else { return error.into() };
        let spent = |(_, change): &&(u32, Change)| matches!(change, Change::Spend(units) if *units == amount);
        if let Some((slot, _)) = writes.iter().flatten().find(spent) {
            self.want = Some(Want { key: key.clone(), slot: *slot, units: amount - available });
        }
        MergeError::Rights { amount, available }
    }

    /// Deletes what the author had seen of a row. Whether it is there all the same: somebody wrote to it meanwhile.
    pub(crate) fn delete(&mut self, seq: &mut u64, shape: &Shape, key: &RowKey) -> Result<bool, MergeError> {
        self.write(seq, key, |row, seen, basis, Stamp { dot, .. }| {
            if shape.deletions_win { row.delete(seen, dot, basis) } else { row.delete_seen(seen, dot, basis) }
        })?;
        Ok(self.row(key).is_some_and(Merged::is_there))
    }
}

/// What is in both cuts: an author who says to have seen what is not here has seen what is.
fn common(basis: &VersionVector, cut: &VersionVector) -> VersionVector {
    let mut common = basis.clone();
    common.meet(cut);
    common
}

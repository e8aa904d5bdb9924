//! [`Row`]: a row of a table that merges: whether it is there, and its cells.
//!
//! Invariant: a row is of the *generation* of the insertion that began it, and of two the later one stands, alone: what was
//! written to the earlier goes with it, wherever it arrives. Within a generation each write says that the row is there, and
//! a deletion removes what its author had seen: a write that it had not seen brings the row back, with all its cells (or does
//! not, where deletions win: [`DisableWinsFlag`] as `E`). Cells that nobody can bring back any more go when the
//! deletion is stable ([`crate::Replica::trim`]).
//!
//! A dot is at one place of a cell at most, so a write changes each column once.
//!
//! ```
//! use deltaic_causality::{ActorId, HybridTime};
//! use deltaic_crdt::{Change, Exact, Replica, Row, State, Table};
//! use deltaic_types::Value;
//!
//! let text = |text: &str| Change::Write(vec![Exact(Value::from(text))]);
//! let (mut berlin, mut tokyo) = (Table::<u64>::new(ActorId(1)), Table::<u64>::new(ActorId(2)));
//! berlin.insert(&7, HybridTime(1), [(0, text("Draft")), (1, Change::Set(0))])?;
//! tokyo.merge(&berlin.whole(), berlin.cut())?;
//!
//! // A deletion, and two writes that have not seen it.
//! berlin.delete(&7, None)?;
//! tokyo.update_row(&7, HybridTime(2), None, [(0, text("Final Title"))])?;
//! tokyo.update_row(&7, HybridTime(3), None, [(1, Change::Increment(1))])?;
//! berlin.merge(&tokyo.whole(), tokyo.cut())?;
//! let row = berlin.get(&7).filter(|row| row.is_there()).expect("the row is back");
//! let (_, title) = row.cell(0).and_then(|cell| cell.last()).expect("it has a title");
//! assert_eq!(title, [Exact(Value::from("Final Title"))]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use deltaic_causality::{CausalContext, Dot, HybridTime, VersionVector};
use deltaic_types::codec::{DecodeError, Reader, write_u64};
use deltaic_types::limits;

use crate::cell::replace;
use crate::crdt::check_fresh;
use crate::merge::{Gone, Merge, Theirs};
use crate::{
    Cell, Change, DisableWinsFlag, DotStore, Element, EnableWinsFlag, Replica, ReplicaError, Stamp, State,
    WriteError,
};

/// Whether a row is there, by writes and deletions that may not have seen each other.
pub trait Existence: DotStore {
    /// Whether it is.
    fn is_there(&self) -> bool;
    /// A write alone; nothing for a dot that names none.
    fn there(dot: Dot) -> Self;
    /// A deletion alone; nothing for a dot that names none.
    fn gone(dot: Dot) -> Self;
}

impl Existence for EnableWinsFlag {
    fn is_there(&self) -> bool {
        self.is_enabled()
    }

    fn there(dot: Dot) -> Self {
        let mut flag = Self::default();
        let written = flag.enable(&CausalContext::default(), dot);
        written.map(|_| flag).unwrap_or_default()
    }

    fn gone(_: Dot) -> Self {
        Self::default()
    }
}

impl Existence for DisableWinsFlag {
    fn is_there(&self) -> bool {
        self.is_enabled()
    }

    fn there(dot: Dot) -> Self {
        let mut flag = Self::default();
        let written = flag.enable(&CausalContext::default(), dot);
        written.map(|_| flag).unwrap_or_default()
    }

    fn gone(dot: Dot) -> Self {
        let mut flag = Self::default();
        let written = flag.disable(&CausalContext::default(), dot);
        written.map(|_| flag).unwrap_or_default()
    }
}

/// A row. About 50 bytes, and its cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<E = EnableWinsFlag> {
    /// The insertion that began it; none before the first.
    generation: Option<Stamp>,
    existence: E,
    cells: BTreeMap<u32, Cell>,
}

/// What a write to a row removed, by its places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowGone {
    existence: CausalContext,
    pub(crate) cells: BTreeMap<u32, CausalContext>,
}

impl<E: Existence> Default for Row<E> {
    fn default() -> Self {
        Self { generation: None, existence: E::default(), cells: BTreeMap::new() }
    }
}

impl<E: Existence> Row<E> {
    /// Whether the row is there.
    pub fn is_there(&self) -> bool {
        self.existence.is_there()
    }

    /// The cell of a column or a column group; none where nothing was written to it, which reads as its default.
    pub fn cell(&self, column: u32) -> Option<&Cell> {
        self.cells.get(&column)
    }

    /// The cells, by columns.
    pub fn cells(&self) -> impl Iterator<Item = (u32, &Cell)> {
        self.cells.iter().map(|(column, cell)| (*column, cell))
    }

    /// The insertion that began the row.
    pub fn generation(&self) -> Option<Stamp> {
        self.generation
    }

    /// Begins the row, anew if there was one: nothing of that is left.
    pub fn insert(
        &mut self,
        seen: &CausalContext,
        stamp: Stamp,
        changes: impl IntoIterator<Item = (u32, Change)>,
    ) -> Result<RowGone, WriteError> {
        check_fresh(seen, stamp.dot)?;
        stamp.check_after(self.generation)?;
        let mut row =
            Self { generation: Some(stamp), existence: E::there(stamp.dot), cells: BTreeMap::new() };
        for (column, change) in changes {
            let cell = row.cells.get(&column);
            let (cell, _) = Cell::change(cell, seen, &CausalContext::default(), stamp, change)?;
            row.cells.insert(column, cell);
        }
        row.drop_empty();
        *self = row;
        Ok(RowGone::default())
    }

    /// Writes to the row, which is there from then on if no deletion wins. `basis` is what the author had seen: of what has
    /// come here since nothing is replaced. An error changes nothing.
    pub fn update(
        &mut self,
        seen: &CausalContext,
        stamp: Stamp,
        basis: &CausalContext,
        changes: impl IntoIterator<Item = (u32, Change)>,
    ) -> Result<RowGone, WriteError> {
        check_fresh(seen, stamp.dot)?;
        if self.generation.is_none() {
            return Err(WriteError::NoRow);
        }
        let (mut gone, mut cells) = (RowGone::default(), Vec::new());
        for (column, change) in changes {
            let (cell, removed) = Cell::change(self.cells.get(&column), seen, basis, stamp, change)?;
            cells.push((column, cell));
            if !removed.is_empty() {
                gone.cells.insert(column, removed);
            }
        }
        self.cells.extend(cells);
        self.drop_empty();
        gone.existence = replace(&mut self.existence, &E::there(stamp.dot), basis);
        Ok(gone)
    }

    /// Changes a cell and says nothing of whether the row is there: so somebody who had not seen it can delete the row all the
    /// same. An error changes nothing.
    pub fn adjust(
        &mut self,
        seen: &CausalContext,
        stamp: Stamp,
        column: u32,
        change: Change,
    ) -> Result<RowGone, WriteError> {
        check_fresh(seen, stamp.dot)?;
        if self.generation.is_none() {
            return Err(WriteError::NoRow);
        }
        let (cell, removed) = Cell::change(self.cells.get(&column), seen, seen, stamp, change)?;
        self.cells.insert(column, cell);
        self.drop_empty();
        let removed = Some((column, removed)).filter(|(_, removed)| !removed.is_empty());
        Ok(RowGone { existence: CausalContext::default(), cells: removed.into_iter().collect() })
    }

    /// A cell of which nothing is left is as one that was never written: equal rows have equal bytes.
    fn drop_empty(&mut self) {
        self.cells.retain(|_, cell| *cell != cell.empty());
    }

    /// Deletes what the author had seen of the row.
    pub fn delete(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        basis: &CausalContext,
    ) -> Result<RowGone, WriteError> {
        self.end(seen, dot, basis, &E::gone(dot))
    }

    /// The same, standing against nothing that the author had not seen, also where deletions would: so that in one replica some
    /// tables may let deletions win and others not.
    pub fn delete_seen(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        basis: &CausalContext,
    ) -> Result<RowGone, WriteError> {
        self.end(seen, dot, basis, &E::default())
    }

    /// Takes what the author had seen away, and leaves this in its place.
    fn end(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        basis: &CausalContext,
        left: &E,
    ) -> Result<RowGone, WriteError> {
        check_fresh(seen, dot)?;
        if self.generation.is_none() {
            return Err(WriteError::NoRow);
        }
        let existence = replace(&mut self.existence, left, basis);
        Ok(RowGone { existence, cells: BTreeMap::new() })
    }

    /// The latest time that a write to it has, as far as writes have times: a clock that gives a time to a write behind it
    /// must have observed it.
    pub fn latest(&self) -> Option<HybridTime> {
        let cells = self.cells.values().filter_map(Cell::latest);
        self.generation.map(|stamp| stamp.time).into_iter().chain(cells).max()
    }
}

impl Gone for RowGone {
    fn is_nothing(&self) -> bool {
        self.existence.is_empty() && self.cells.is_empty()
    }

    fn is_within(&self, held: &CausalContext) -> bool {
        held.includes(&self.existence) && self.cells.values().all(|gone| held.includes(gone))
    }

    /// What went of the row's being there, and of each column.
    fn put(&self, bytes: &mut Vec<u8>) {
        self.existence.write(bytes);
        write_u64(bytes, self.cells.len() as u64);
        for (column, gone) in &self.cells {
            write_u64(bytes, u64::from(*column));
            gone.write(bytes);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let existence = CausalContext::read(reader)?;
        let cells = read_columns(reader, CausalContext::read)?;
        if cells.values().any(CausalContext::is_empty) {
            return Err(DecodeError::Invalid("row: a column of which nothing went"));
        }
        Ok(Self { existence, cells })
    }
}

fn read_columns<T>(
    reader: &mut Reader<'_>,
    read: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<BTreeMap<u32, T>, DecodeError> {
    let mut columns = BTreeMap::new();
    for _ in 0..reader.length(limits::VALUE_BYTES)? {
        let column = u32::try_from(reader.u64()?).map_err(|_| DecodeError::Invalid("row: a column"))?;
        if columns.last_key_value().is_some_and(|(last, _)| *last >= column) {
            return Err(DecodeError::Invalid("row: the order of its columns"));
        }
        columns.insert(column, read(reader)?);
    }
    Ok(columns)
}

impl<E: Existence> Merge for Row<E> {
    type Gone = RowGone;

    fn merge(&mut self, own: &CausalContext, other: &Self, theirs: Theirs<'_, RowGone>) {
        let nothing = Self::default();
        let other = match other.generation.cmp(&self.generation) {
            // All that is here is of an insertion before.
            Ordering::Greater => {
                *self = Self { generation: other.generation, ..Self::default() };
                other
            }
            Ordering::Equal => other,
            // What is there is of one before. That the other side has no row at all says that it has seen its end.
            Ordering::Less if other.generation.is_none() => &nothing,
            Ordering::Less => return,
        };
        let context = theirs.context(other.existence.dots(), |gone| Some(&gone.existence));
        self.existence.join(own, &other.existence, &context);
        if other.generation.is_none() && matches!(theirs, Theirs::Whole(_)) {
            return;
        }
        let columns: BTreeSet<u32> = self.cells.keys().chain(other.cells.keys()).copied().collect();
        for column in columns {
            let there = other.cells.get(&column).or_else(|| self.cells.get(&column));
            let Some(empty) = there.map(Cell::empty) else { continue };
            let there = other.cells.get(&column).unwrap_or(&empty);
            let here = self.cells.entry(column).or_insert_with(|| empty.clone());
            here.merge(own, there, |has| theirs.context(has, |gone| gone.cells.get(&column)));
        }
        self.drop_empty();
    }

    fn unseen(&self, seen: &CausalContext) -> Self {
        let cells = self.cells.iter().map(|(column, cell)| (*column, cell.novel(seen)));
        let cells = cells.filter(|(_, cell)| *cell != cell.empty()).collect();
        Self { generation: self.generation, existence: self.existence.novel(seen), cells }
    }

    fn is_gone(&self) -> bool {
        !self.is_there()
    }

    fn is_within(&self, held: &CausalContext) -> bool {
        self.generation.is_none_or(|stamp| held.contains(stamp.dot))
            && self.existence.is_within(held)
            && self.cells.values().all(|cell| cell.is_within(held))
    }

    /// The generation; what says that the row is there; the cells by their columns.
    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.generation.is_some()));
        if let Some(generation) = self.generation {
            generation.write(bytes);
        }
        self.existence.write(bytes);
        write_u64(bytes, self.cells.len() as u64);
        for (column, cell) in &self.cells {
            write_u64(bytes, u64::from(*column));
            cell.write(bytes);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let generation = match reader.take()? {
            [0] => None,
            [1] => Some(Stamp::read(reader)?),
            [tag] => return Err(DecodeError::UnknownTag(tag)),
        };
        let existence = E::read(reader)?;
        let cells = read_columns(reader, Cell::read)?;
        if cells.values().any(|cell| *cell == cell.empty()) {
            return Err(DecodeError::Invalid("row: an empty cell"));
        }
        if generation.is_none() && !(existence.is_empty() && cells.is_empty()) {
            return Err(DecodeError::Invalid("row: writes before an insertion"));
        }
        Ok(Self { generation, existence, cells })
    }
}

/// Rows by key.
pub type Table<K, E = EnableWinsFlag> = Replica<K, Row<E>>;

impl<K: Element, E: Existence> Replica<K, Row<E>> {
    /// Whether the row is there.
    pub fn has<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some_and(Row::is_there)
    }

    /// Begins a row: [`Row::insert`].
    pub fn insert(
        &mut self,
        key: &K,
        time: HybridTime,
        changes: impl IntoIterator<Item = (u32, Change)>,
    ) -> Result<(), ReplicaError> {
        self.change(key, |row, seen, dot| row.insert(seen, Stamp { time, dot }, changes))
    }

    /// Writes to a row, by what its author had seen, or by all that is here: [`Row::update`].
    pub fn update_row(
        &mut self,
        key: &K,
        time: HybridTime,
        basis: Option<&VersionVector>,
        changes: impl IntoIterator<Item = (u32, Change)>,
    ) -> Result<(), ReplicaError> {
        let basis = CausalContext::from(basis.unwrap_or(self.cut()));
        self.change(key, |row, seen, dot| row.update(seen, Stamp { time, dot }, &basis, changes))
    }

    /// Deletes what the author had seen of a row: [`Row::delete`].
    pub fn delete(&mut self, key: &K, basis: Option<&VersionVector>) -> Result<(), ReplicaError> {
        let basis = CausalContext::from(basis.unwrap_or(self.cut()));
        self.change(key, |row, seen, dot| row.delete(seen, dot, &basis))
    }
}

#[cfg(test)]
mod tests {
    use deltaic_causality::ActorId;

    use super::*;
    use crate::Exact;

    /// What a write may not be is refused, and nothing of it is done.
    #[test]
    fn writes_that_cannot_be_are_refused_whole() {
        let mut table = Table::<u64>::new(ActorId(1));
        let refused = |outcome: Result<(), ReplicaError>, error: WriteError| {
            assert_eq!(outcome, Err(ReplicaError::Refused(error)));
            assert!(!error.to_string().is_empty());
        };
        refused(table.update_row(&7, HybridTime(1), None, []), WriteError::NoRow);
        refused(table.delete(&7, None), WriteError::NoRow);
        assert_eq!(table.iter().count(), 0);
        let number = |number| Exact(deltaic_types::Value::Integer(number));
        table.insert(&7, HybridTime(1), [(0, Change::Set(1)), (1, Change::Write(vec![number(5)]))]).unwrap();
        let before = table.digest();
        let changes = [(1, Change::Write(vec![number(6)])), (0, Change::Add(number(1)))];
        refused(table.update_row(&7, HybridTime(2), None, changes), WriteError::OtherKind);
        assert_eq!((table.digest(), table.cut().last(ActorId(1))), (before, 1));

        let stamp = Stamp { time: HybridTime(9), dot: Dot { actor: ActorId(1), seq: 1 } };
        let mut row = table.get(&7).unwrap().clone();
        let seen = CausalContext::from(table.cut());
        let used = WriteError::UsedDot { dot: stamp.dot };
        assert_eq!(row.insert(&seen, stamp, []), Err(used));
        assert_eq!(row.update(&seen, stamp, &seen, []), Err(used));
        assert_eq!(row.delete(&seen, stamp.dot, &seen), Err(used));
        assert!(row.is_there());
    }

    #[test]
    fn concurrent_writes_of_a_column_are_a_conflict_until_somebody_who_has_seen_both_writes() {
        let write = |number| [(0, Change::Write(vec![Exact(deltaic_types::Value::Integer(number))]))];
        let (mut here, mut there) = (Table::<u64>::new(ActorId(1)), Table::<u64>::new(ActorId(2)));
        here.insert(&7, HybridTime(1), write(1)).unwrap();
        there.merge(&here.whole(), here.cut()).unwrap();
        here.update_row(&7, HybridTime(5), None, write(2)).unwrap();
        there.update_row(&7, HybridTime(4), None, write(3)).unwrap();
        here.merge(&there.whole(), there.cut()).unwrap();
        let title = |table: &Table<u64>| table.get(&7).unwrap().cell(0).unwrap().clone();
        assert_eq!(title(&here).conflict().unwrap().iter().count(), 2);
        let (stamp, last) = (title(&here).last().unwrap().0, title(&here).last().unwrap().1.to_vec());
        assert_eq!((stamp.time, last), (HybridTime(5), vec![Exact(deltaic_types::Value::Integer(2))]));
        here.update_row(&7, HybridTime(6), None, write(4)).unwrap();
        assert_eq!(title(&here).conflict(), None);
    }

    /// Writes made beside a replica and put in place are those made in it, and what is restored from its records is the same
    /// replica: equal states, equal deltas for whoever lacks something, also behind removals.
    #[test]
    fn what_is_put_is_what_is_written_and_what_is_restored_is_what_was() {
        let write = |number| (0, Change::Write(vec![Exact(deltaic_types::Value::Integer(number))]));
        let tag = |number| Exact(deltaic_types::Value::Integer(number));
        let (mut here, mut there) = (Table::<u64>::new(ActorId(1)), Table::<u64>::new(ActorId(2)));
        here.insert(&7, HybridTime(1), [write(1), (1, Change::Add(tag(1)))]).unwrap();
        here.insert(&8, HybridTime(2), [write(2)]).unwrap();
        there.merge(&here.whole(), here.cut()).unwrap();
        there.update_row(&7, HybridTime(3), None, [(1, Change::Remove(tag(1)))]).unwrap();
        there.delete(&8, None).unwrap();
        let mut beside = here.clone();
        here.update_row(&7, HybridTime(4), None, [write(3), (1, Change::Add(tag(2)))]).unwrap();
        here.update_row(&7, HybridTime(5), None, [(1, Change::Remove(tag(2)))]).unwrap();

        let (mut row, mut seen) = (beside.get(&7).unwrap().clone(), beside.seen().clone());
        let mut made = Vec::new();
        let changes = [vec![write(3), (1, Change::Add(tag(2)))], vec![(1, Change::Remove(tag(2)))]];
        for (place, changes) in changes.into_iter().enumerate() {
            let seq = 3 + place as u64;
            let dot = Dot { actor: ActorId(1), seq };
            let stamp = Stamp { time: HybridTime(4 + place as u64), dot };
            let gone = row.update(&seen, stamp, &seen, changes).unwrap();
            seen.insert(dot);
            made.push((dot, gone));
        }
        assert_eq!(row.latest(), Some(HybridTime(4)));
        beside.put(vec![(7, row, made)]);
        assert_eq!((beside.digest(), beside.whole()), (here.digest(), here.whole()));

        assert_eq!(here.merge(&there.delta(here.cut()).unwrap(), there.cut()), Ok(vec![7, 8]));
        assert_eq!(here.merge(&there.delta(&VersionVector::default()).unwrap(), there.cut()), Ok(vec![]));
        let records: Vec<Vec<u8>> = [7, 8].iter().filter_map(|key| here.record(key)).collect();
        let restore = || {
            let records = records.iter().map(Vec::as_slice);
            Table::<u64>::restore(ActorId(1), here.cut(), here.trimmed(), records)
        };
        let mut again = restore().unwrap();
        assert_eq!((again.digest(), again.notes(), again.cut()), (here.digest(), here.notes(), here.cut()));
        for since in [VersionVector::default(), there.cut().clone(), beside.cut().clone()] {
            assert_eq!(again.delta(&since), here.delta(&since));
        }
        let written: Vec<u64> = here.written_since(beside.cut()).into_iter().copied().collect();
        assert_eq!(written, [7, 8]);
        let stable = here.cut().clone();
        here.trim(&stable);
        again.trim(&stable);
        assert_eq!((again.whole(), again.notes()), (here.whole(), 0));
        assert!(here.record(&8).is_none(), "nothing is left of what was deleted");

        let short = VersionVector::default();
        let refused = Table::<u64>::restore(ActorId(1), &short, &short, records.iter().map(Vec::as_slice));
        assert_eq!(refused.err(), Some(DecodeError::Invalid("record: a write beyond the cut")));
    }

    /// In one replica deletions of some rows win and of others do not.
    #[test]
    fn a_deletion_that_wins_and_one_that_does_not() {
        type Rows = Table<u64, DisableWinsFlag>;
        let (mut here, mut there) = (Rows::new(ActorId(1)), Rows::new(ActorId(2)));
        for key in [1, 2] {
            here.insert(&key, HybridTime(key), []).unwrap();
        }
        there.merge(&here.whole(), here.cut()).unwrap();
        let basis = here.cut().clone();
        here.delete(&1, None).unwrap();
        here.change(&2, |row, seen, dot| row.delete_seen(seen, dot, seen)).unwrap();
        assert!(!here.has(&1) && !here.has(&2));
        for key in [1, 2] {
            there.update_row(&key, HybridTime(9), None, [(0, Change::Increment(1))]).unwrap();
        }
        here.merge(&there.delta(here.cut()).unwrap(), there.cut()).unwrap();
        there.merge(&here.delta(&basis).unwrap(), here.cut()).unwrap();
        assert_eq!((here.has(&1), here.has(&2), here.digest()), (false, true, there.digest()));
    }
}

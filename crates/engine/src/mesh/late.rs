//! What an author who had not seen all meets: conflicts that are recorded with the write, for all members and for good.
//!
//! Conflicts that the rows themselves show end when somebody who has seen them writes; that they were is recorded by whoever ended them. What
//! a writer had read and was not so any more can be known only where the write is admitted, and is recorded there. Invariant: a record
//! is a row that merges like any other, written once by whoever admits the write, in its commit; the oldest go when there are too many.

use std::collections::BTreeSet;
use std::ops::Bound;

use deltaic_causality::Dot;
use deltaic_crdt::Stamp;
use deltaic_query::evaluate;
use deltaic_types::{CONFLICTS, ConflictPolicy, Row, TableId, Value, limits};

use super::{
    conflict::{conflicts, key_text, record},
    draft::Draft,
    name::RowKey,
    shape::{Merged, Shape},
};
use crate::error::MergeError;

/// The place of a conflict's state among its columns.
const STATE: usize = 9;

/// The columns that name what lost: the relation, the key, the columns, the dot. What loses to another write now is not decided yet.
fn name(row: &Row) -> Row {
    row.project(&[1, 2, 3, 4])
}

impl Draft {
    /// Records the conflicts of a row that a write has ended.
    pub(super) fn record_ended(
        &mut self,
        seq: &mut u64,
        shape: &Shape,
        key: &RowKey,
        before: &[Row],
    ) -> Result<(), MergeError> {
        if before.is_empty() {
            return Ok(());
        }
        let left: BTreeSet<Row> = self.open_conflicts(shape, key).iter().map(name).collect();
        for ended in before.iter().filter(|row| !left.contains(&name(row))) {
            let mut values = ended.to_vec();
            values[STATE] = "resolved".into();
            self.record(seq, &Row::from(values))?;
        }
        Ok(())
    }

    /// The conflicts of a row's cells.
    pub(super) fn open_conflicts(&self, shape: &Shape, key: &RowKey) -> Vec<Row> {
        self.row(key).map_or_else(Vec::new, |row| conflicts(shape, key, row, None))
    }

    /// Records that the author had read what was not so any more: of a row that they wrote to, the columns that decided about it.
    pub(crate) fn record_stale(
        &mut self,
        seq: &mut u64,
        table: TableId,
        values: &Row,
        read: &[usize],
    ) -> Result<(), MergeError> {
        let Some(shape) = self.shape(table).cloned() else { return Ok(()) };
        let key = shape.key_of(values);
        let Some(row) = self.state.rows.get(&key).cloned() else { return Ok(()) };
        let losing = self.last(*seq);
        for slot in shape.slots.iter().filter(|slot| slot.columns.iter().any(|place| read.contains(place))) {
            let Some(cell) = row.cell(slot.number).filter(|cell| cell.is_beyond(self.basis())) else {
                continue;
            };
            let winner = slot.winner(cell);
            let dot = winner.map(|(stamp, _)| stamp.dot).filter(|dot| !self.has_seen(*dot));
            let columns: Vec<&str> = slot.columns.iter().map(|place| shape.names[*place].as_str()).collect();
            let now: Vec<Value> = slot.columns.iter().map(|place| values[*place].clone()).collect();
            let now = shape.json_of(&slot.columns, &now);
            let row = record(
                "read-write",
                (&shape.name, key_text(&shape, &key), &columns.join(", ")),
                (losing, dot),
                (None, Some(now)),
                (slot.policy.name(), "decided"),
                self.time(),
            );
            self.record(seq, &row)?;
        }
        Ok(())
    }

    /// Records that tables which the author had read, and not written to, had changed since.
    pub(crate) fn record_stale_tables(
        &mut self,
        seq: &mut u64,
        tables: impl IntoIterator<Item = TableId>,
    ) -> Result<(), MergeError> {
        let losing = self.last(*seq);
        let stale: Vec<String> = {
            let since = self.state.rows.written_since(self.basis_cut());
            let is_stale = |shape: &Shape| since.iter().any(|key| key.table == shape.tag);
            let shapes = tables.into_iter().filter_map(|table| self.shape(table));
            shapes.filter(|shape| is_stale(shape)).map(|shape| shape.name.clone()).collect()
        };
        for name in stale {
            let place = (name.as_str(), Value::from("[]"), "");
            let row =
                record("read-write", place, (losing, None), (None, None), ("lww", "decided"), self.time());
            self.record(seq, &row)?;
        }
        Ok(())
    }

    /// The value that a column's own expression makes of what is here and what comes late; none where the author had seen what is
    /// here, or the column has none.
    pub(super) fn custom(
        &self,
        shape: &Shape,
        row: &Merged,
        before: &Row,
        after: &Row,
    ) -> Vec<(usize, Value)> {
        let mut values = Vec::new();
        for slot in shape.slots.iter().filter(|slot| matches!(slot.policy, ConflictPolicy::Custom { .. })) {
            let is_late = row.cell(slot.number).is_some_and(|cell| cell.is_beyond(self.basis()));
            let (Some((place, expr)), true) = (&slot.custom, is_late) else { continue };
            if before[*place] != after[*place] {
                let both = Row::from_iter([before[*place].clone(), after[*place].clone()]);
                // One that fails decides nothing: the late write is as any other.
                values.extend(evaluate(expr, &both).ok().map(|value| (*place, value)));
            }
        }
        values
    }

    /// Records what a column's own expression made of a value that was here and of one that came late.
    pub(super) fn record_custom(
        &mut self,
        seq: &mut u64,
        shape: &Shape,
        key: &RowKey,
        (place, made): (usize, &Value),
        (ours, theirs): (&Row, &Row),
    ) -> Result<(), MergeError> {
        let lost = if theirs[place] == *made { &ours[place] } else { &theirs[place] };
        if lost == made {
            return Ok(());
        }
        let json = |value: &Value| Some(shape.json_of(&[place], std::slice::from_ref(value)));
        let row = record(
            "write-write",
            (&shape.name, key_text(shape, key), &shape.names[place]),
            (self.last(*seq + 1), None),
            (json(lost), json(made)),
            ("custom", "decided"),
            self.time(),
        );
        self.record(seq, &row)
    }

    /// Writes a row of `deltaic.conflicts`, and lets the oldest go where there are too many.
    fn record(&mut self, seq: &mut u64, row: &Row) -> Result<(), MergeError> {
        let Some(shape) = self.shape(CONFLICTS).cloned() else { return Ok(()) };
        if self.row(&shape.key_of(row)).is_some_and(Merged::is_there) {
            return Ok(());
        }
        while self.state.records().len() + self.recorded - self.dropped >= limits::CONFLICTS {
            let after = self.oldest.clone().map_or(Bound::Unbounded, Bound::Excluded);
            let Some(oldest) = self.state.records().range((after, Bound::Unbounded)).next().cloned() else {
                break;
            };
            if self.row(&oldest.1).is_some_and(Merged::is_there) {
                self.delete(seq, &shape, &oldest.1)?;
            }
            (self.oldest, self.dropped) = (Some(oldest), self.dropped + 1);
        }
        self.recorded += 1;
        self.insert(seq, &shape, row).map(|_| ())
    }

    fn last(&self, seq: u64) -> Stamp {
        Stamp { time: self.time(), dot: Dot { actor: self.actor(), seq } }
    }
}

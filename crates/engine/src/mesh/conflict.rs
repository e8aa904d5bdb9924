//! The rows of `deltaic.conflicts` that a merged row makes by itself.
//!
//! Invariant: they are a function of the merged row and of why it is hidden, so that servers that hold the same writes list the same
//! conflicts. Writes of one cell that have not seen each other are listed until somebody who has seen them writes to it; a row that a
//! constraint hides, until it is seen or gone.

use deltaic_causality::{Dot, HybridTime};
use deltaic_crdt::{Exact, Stamp, Written};
use deltaic_types::{ConflictPolicy, Row, Value, json_format};

use super::{
    claims::Hidden,
    name::RowKey,
    shape::{Merged, Shape, Slot},
};

/// The rows of `deltaic.conflicts` of one row.
pub(crate) fn conflicts(shape: &Shape, key: &RowKey, row: &Merged, hidden: Option<&Hidden>) -> Vec<Row> {
    let mut rows = Vec::new();
    for slot in shape.slots.iter().filter(|slot| slot.has_conflicts()) {
        let Some(cell) = row.cell(slot.number) else { continue };
        let (Some(register), Some((winning, winner))) = (cell.conflict(), slot.winner(cell)) else {
            continue;
        };
        for (dot, loser) in register.iter().filter(|(dot, _)| *dot != winning.dot) {
            let losing = Stamp { time: loser.time, dot };
            let state = if slot.policy == ConflictPolicy::Manual { "open" } else { "decided" };
            rows.push(written(shape, key, slot, (losing, loser), (winning, winner), state));
        }
    }
    rows.extend(hidden.zip(row.generation()).map(|(hidden, began)| of_hidden(shape, key, began, hidden)));
    rows
}

/// A write that another stands for.
pub(crate) fn written(
    shape: &Shape,
    key: &RowKey,
    slot: &Slot,
    (losing, loser): (Stamp, &Written),
    (winning, winner): (Stamp, &Written),
    state: &str,
) -> Row {
    let columns: Vec<&str> = slot.columns.iter().map(|place| shape.names[*place].as_str()).collect();
    let values = |written: &Written| {
        let values: Vec<Value> = written.values.iter().map(|Exact(value)| value.clone()).collect();
        shape.json_of(&slot.columns, &values)
    };
    record(
        "write-write",
        (&shape.name, key_text(shape, key), &columns.join(", ")),
        (losing, Some(winning.dot)),
        (Some(values(loser)), Some(values(winner))),
        (slot.policy.name(), state),
        losing.time.max(winning.time),
    )
}

/// A row of `deltaic.conflicts`: the kind; the relation, the key and the columns; the dots; the values; the policy and the state.
pub(super) fn record(
    kind: &str,
    (relation, key, columns): (&str, Value, &str),
    (losing, winning): (Stamp, Option<Dot>),
    (loser, winner): (Option<String>, Option<String>),
    (policy, state): (&str, &str),
    at: HybridTime,
) -> Row {
    let json = |value: Option<String>| value.map_or(Value::Null, Value::from);
    let winning = winning.map_or_else(String::new, |dot| dot.to_string());
    Row::from_iter([
        kind.into(),
        relation.into(),
        key,
        columns.into(),
        dot(losing),
        winning.into(),
        json(loser),
        json(winner),
        policy.into(),
        state.into(),
        time(at),
    ])
}

fn of_hidden(shape: &Shape, key: &RowKey, began: Stamp, hidden: &Hidden) -> Row {
    let (kind, constraint, losing, winning, loser, winner, at) = match hidden {
        Hidden::Unique { constraint, losing, winner, winning } => (
            "unique",
            constraint,
            dot(*losing),
            dot(*winning),
            key_text(shape, key),
            key_text(shape, winner),
            losing.time.max(winning.time),
        ),
        Hidden::Reference { constraint, values } => {
            let values: Vec<_> = values.iter().map(plain).collect();
            let values = serde_json::Value::Array(values).to_string();
            let nothing = Value::from("");
            (
                "reference",
                constraint,
                nothing.clone(),
                nothing,
                values.as_str().into(),
                Value::Null,
                began.time,
            )
        }
    };
    Row::from_iter([
        kind.into(),
        shape.name.as_str().into(),
        key_text(shape, key),
        constraint.as_str().into(),
        losing,
        winning,
        loser,
        winner,
        "rule".into(),
        "open".into(),
        time(at),
    ])
}

fn dot(stamp: Stamp) -> Value {
    stamp.dot.to_string().as_str().into()
}

fn time(time: HybridTime) -> Value {
    Value::Timestamp(crate::engine::micros(time).0)
}

/// The key of a row as a JSON array.
pub(crate) fn key_text(shape: &Shape, key: &RowKey) -> Value {
    let values = key.values().unwrap_or_else(Row::empty);
    let json = shape.key.iter().zip(values.iter()).map(|(place, value)| shape.json(*place, value));
    serde_json::Value::Array(json.collect()).to_string().as_str().into()
}

/// A value whose type is its own.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Integer(number) => (*number).into(),
        other => deltaic_types::text_format::to_text(other).into(),
    }
}

impl Shape {
    /// The values of some columns as JSON: that of one as it is, those of several as an array.
    pub(super) fn json_of(&self, columns: &[usize], values: &[Value]) -> String {
        let values: Vec<_> =
            columns.iter().zip(values).map(|(place, value)| self.json(*place, value)).collect();
        match &values[..] {
            [value] => value.to_string(),
            _ => serde_json::Value::Array(values).to_string(),
        }
    }

    /// A value of a column as JSON.
    fn json(&self, place: usize, value: &Value) -> serde_json::Value {
        json_format::to_json(value, self.data_type(place))
    }
}

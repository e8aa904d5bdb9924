//! [`LiveResult`]: the client's copy of a live result.
//!
//! Invariant: after each event its rows are the result at that commit, in the order asked for.

use std::cmp::Ordering;

use anyhow::{Context, bail};
use deltaic_protocol::{Change, Column, ErrorBody, Event, OrderColumn, Snapshot};
use serde_json::Value as Json;

/// A row with what only the order uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveRow {
    pub(crate) row: Vec<Json>,
    key: Vec<Json>,
}

/// What an event did.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The whole result is new.
    Snapshot,
    /// Rows came or went.
    Changed(Change),
    /// Nothing changed.
    Current,
    /// The result cannot be told.
    Error(ErrorBody),
}

/// The rows of a result.
#[derive(Debug, Default)]
pub(crate) struct LiveResult {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<LiveRow>,
    pub(crate) lsn: u64,
    order: Vec<OrderColumn>,
}

impl LiveResult {
    /// Takes an event of the stream.
    pub(crate) fn take(&mut self, event: &Event) -> anyhow::Result<Outcome> {
        let read = || format!("the event `{}` is not of this protocol", event.name);
        match event.name.as_str() {
            "snapshot" => {
                let Snapshot { columns, rows, lsn, order, keys } =
                    serde_json::from_str(&event.data).with_context(read)?;
                let keys = keys.into_iter().chain(std::iter::repeat(Vec::new()));
                let rows = rows.into_iter().zip(keys).map(|(row, key)| LiveRow { row, key });
                *self = Self { columns, rows: rows.collect(), lsn, order };
                Ok(Outcome::Snapshot)
            }
            "change" => {
                let change: Change = serde_json::from_str(&event.data).with_context(read)?;
                self.apply(&change)?;
                Ok(Outcome::Changed(change))
            }
            "current" => Ok(Outcome::Current),
            "error" => Ok(Outcome::Error(serde_json::from_str(&event.data).with_context(read)?)),
            other => bail!("the event `{other}` is not of this protocol"),
        }
    }

    fn apply(&mut self, change: &Change) -> anyhow::Result<()> {
        for change in &change.changes {
            let row = LiveRow { row: change.row.clone(), key: change.key.clone() };
            for _ in 0..change.weight.abs() {
                if change.weight > 0 {
                    let at =
                        self.rows.partition_point(|other| self.compare(other, &row) != Ordering::Greater);
                    self.rows.insert(at, row.clone());
                } else {
                    let place = self.rows.iter().position(|other| *other == row);
                    let place = place.context("a row went that was not there: the stream has a gap")?;
                    self.rows.remove(place);
                }
            }
        }
        self.lsn = change.lsn;
        Ok(())
    }

    fn compare(&self, a: &LiveRow, b: &LiveRow) -> Ordering {
        let value = |row: &'_ LiveRow, place: usize| -> Json {
            let columns = self.columns.len();
            let part = if place < columns { row.row.get(place) } else { row.key.get(place - columns) };
            part.cloned().unwrap_or(Json::Null)
        };
        let mut orderings = self.order.iter().map(|order| {
            let (x, y) = (value(a, order.column), value(b, order.column));
            let nulls = |null_first: bool| if null_first { Ordering::Less } else { Ordering::Greater };
            match (x.is_null(), y.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) => nulls(order.nulls_first),
                (false, true) => nulls(!order.nulls_first),
                (false, false) => {
                    let name = self.columns.get(order.column).map_or("", |column| column.data_type.as_str());
                    let ordering = compare_values(&x, &y, name);
                    if order.descending { ordering.reverse() } else { ordering }
                }
            }
        });
        orderings.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// Compares two values of a type, as near as a terminal needs: numbers as doubles, the rest as text.
fn compare_values(a: &Json, b: &Json, data_type: &str) -> Ordering {
    let number = |value: &Json| match value {
        Json::Number(n) => n.as_str().parse().ok(),
        Json::Bool(b) => Some(f64::from(u8::from(*b))),
        Json::String(text)
            if data_type.starts_with("numeric") || matches!(data_type, "bigint" | "double precision") =>
        {
            text.parse::<f64>().ok()
        }
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        // What is no number among numbers is NaN, the greatest.
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => match (a.as_str(), b.as_str()) {
            // Without its Z, an instant with a fraction is longer than the one it begins with.
            (Some(a), Some(b)) => a.trim_end_matches('Z').cmp(b.trim_end_matches('Z')),
            _ => a.to_string().cmp(&b.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str, data: &Json) -> Event {
        Event { name: name.into(), id: None, data: data.to_string() }
    }

    #[test]
    fn rows_come_and_go_in_order() {
        let mut live = LiveResult::default();
        let columns = json!([{"name": "n", "type": "numeric"}]);
        let order = json!([{"column": 1, "descending": true, "nulls_first": false}, {"column": 0, "descending": false, "nulls_first": false}]);
        live.take(&event("snapshot", &json!({"columns": columns, "rows": [["9.5"], ["10"]], "keys": [[2], [1]], "lsn": 1, "order": order}))).unwrap();
        let changes = json!([
            {"weight": -1, "row": ["9.5"], "key": [2]},
            {"weight": 2, "row": ["9.5"], "key": [1]},
            {"weight": 1, "row": ["1"], "key": [null]},
        ]);
        live.take(&event("change", &json!({"lsn": 2, "changes": changes}))).unwrap();
        let rows: Vec<Json> = live.rows.iter().map(|row| row.row[0].clone()).collect();
        assert_eq!(rows, [json!("9.5"), json!("9.5"), json!("10"), json!("1")]);
        let gone = json!({"lsn": 3, "changes": [{"weight": -1, "row": ["7"]}]});
        assert!(live.take(&event("change", &gone)).unwrap_err().to_string().contains("gap"));
    }
}

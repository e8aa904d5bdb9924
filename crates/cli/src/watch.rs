//! `deltaic watch`: a query's result in the terminal, kept up to date.
//!
//! On a terminal it is a table that is drawn anew with each change and marks the rows that came with it;
//! elsewhere the snapshot and each change are lines of JSON, for other programs to read.

use std::{
    cmp::Ordering,
    io::{BufRead, IsTerminal, Write},
};

use anyhow::{Context, Result, bail};
use crossterm::{cursor, queue, style::Stylize, terminal};
use deltaic_protocol::{Change, ErrorBody, EventReader, Snapshot};
use serde_json::Value as Json;

use crate::{
    client::{Client, show_error},
    output, table,
};

/// A row with the sort key beside it, and whether the last change brought it.
struct Entry {
    row: Vec<Json>,
    key: Vec<Json>,
    fresh: bool,
}

/// The result as it is known here.
struct Watched {
    snapshot: Snapshot,
    entries: Vec<Entry>,
    lsn: u64,
}

/// Shows a query's result until the server ends it.
pub(crate) fn run(query: &str, params: &[String], url: &str) -> Result<()> {
    let params: Result<Vec<Json>, _> = params.iter().map(|text| serde_json::from_str(text)).collect();
    let params = Json::Array(params.context("a parameter is JSON: 7, \"text\", null")?);
    let lines = match Client::new(url).live(query, &params)? {
        Ok(lines) => lines,
        Err(error) => bail!("{}", show_error(&error, query)),
    };
    let draws = std::io::stdout().is_terminal();
    let mut reader = EventReader::default();
    let mut watched: Option<Watched> = None;
    for line in lines.lines() {
        let Some(event) = reader.line(&line.context("the server ended the stream")?) else { continue };
        if !draws {
            output::line(format_args!("{} {}", event.name, event.data))?;
            continue;
        }
        match event.name.as_str() {
            "snapshot" => watched = Some(Watched::new(serde_json::from_str(&event.data)?)),
            "change" => {
                if let Some(watched) = &mut watched {
                    watched.apply(&serde_json::from_str(&event.data)?);
                }
            }
            "error" => {
                let error: ErrorBody = serde_json::from_str(&event.data)?;
                output::complain(show_error(&error, query));
                continue;
            }
            _ => {}
        }
        if let Some(watched) = &watched {
            watched.draw(query)?;
        }
    }
    bail!("the server ended the stream")
}

impl Watched {
    fn new(mut snapshot: Snapshot) -> Self {
        let rows = std::mem::take(&mut snapshot.rows);
        let mut keys = std::mem::take(&mut snapshot.keys).into_iter();
        let entries = rows
            .into_iter()
            .map(|row| Entry { row, key: keys.next().unwrap_or_default(), fresh: false })
            .collect();
        Self { lsn: snapshot.lsn, snapshot, entries }
    }

    fn apply(&mut self, change: &Change) {
        self.lsn = change.lsn;
        for entry in &mut self.entries {
            entry.fresh = false;
        }
        for change in &change.changes {
            for _ in 0..change.weight.unsigned_abs() {
                if change.weight > 0 {
                    let (row, key) = (change.row.clone(), change.key.clone());
                    let fresh = Entry { row, key, fresh: true };
                    let place = self.entries.partition_point(|entry| self.order(entry, &fresh).is_le());
                    self.entries.insert(place, fresh);
                } else {
                    let gone = self
                        .entries
                        .iter()
                        .position(|entry| entry.row == change.row && entry.key == change.key);
                    if let Some(place) = gone {
                        self.entries.remove(place);
                    }
                }
            }
        }
    }

    /// The query's order: of the row's columns, then of those beside it.
    fn order(&self, a: &Entry, b: &Entry) -> Ordering {
        let width = self.snapshot.columns.len();
        for key in &self.snapshot.order {
            let at = |entry: &Entry| -> Json {
                let place = key.column;
                let value = if place < width { entry.row.get(place) } else { entry.key.get(place - width) };
                value.cloned().unwrap_or(Json::Null)
            };
            let order = match (at(a), at(b)) {
                (Json::Null, Json::Null) => Ordering::Equal,
                (Json::Null, _) => {
                    if key.nulls_first {
                        Ordering::Less
                    } else {
                        Ordering::Greater
                    }
                }
                (_, Json::Null) => {
                    if key.nulls_first {
                        Ordering::Greater
                    } else {
                        Ordering::Less
                    }
                }
                (a, b) if key.descending => compare(&b, &a),
                (a, b) => compare(&a, &b),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    fn draw(&self, query: &str) -> Result<()> {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        let room = usize::from(height).saturating_sub(5);
        let columns = &self.snapshot.columns;
        let limit = usize::from(width).saturating_sub(columns.len() * 3) / columns.len().max(1);
        let shown = self.entries.iter().take(room);
        let widths = table::widths(columns, shown.clone().map(|entry| &entry.row), limit.max(8));
        let mut out = std::io::stdout().lock();
        queue!(out, cursor::MoveTo(0, 0), terminal::Clear(terminal::ClearType::All))?;
        let title: String = query.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(out, "{}", title.chars().take(usize::from(width)).collect::<String>().dim())?;
        let [names, rule] = table::header(columns, &widths);
        writeln!(out, "{}\n{rule}", names.bold())?;
        for entry in shown {
            let line = table::line(&entry.row, columns, &widths);
            if entry.fresh { writeln!(out, "{}", line.reverse())? } else { writeln!(out, "{line}")? }
        }
        let hidden = self.entries.len().saturating_sub(room);
        let more = if hidden > 0 { format!(", {hidden} not shown") } else { String::new() };
        writeln!(out, "{}", format!("{} rows{more}, lsn {}", self.entries.len(), self.lsn).dim())?;
        out.flush()?;
        Ok(())
    }
}

/// The order of two values of one type in the encoding of values in JSON.
fn compare(a: &Json, b: &Json) -> Ordering {
    let number = |value: &Json| match value {
        Json::Number(n) => n.as_str().parse::<f64>().ok(),
        Json::String(text) => text.parse::<f64>().ok(),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => table::cell(a).cmp(&table::cell(b)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_keep_the_order_and_mark_what_came() {
        let snapshot = json!({
            "columns": [{"name": "n", "type": "integer"}], "rows": [[3], [1], [null]], "lsn": 1,
            "order": [{"column": 0, "descending": true, "nulls_first": false}],
        });
        let mut watched = Watched::new(serde_json::from_value(snapshot).unwrap());
        let change = json!({"lsn": 2, "changes": [
            {"weight": -1, "row": [3]}, {"weight": 1, "row": [2]}, {"weight": 2, "row": [1]},
        ]});
        watched.apply(&serde_json::from_value(change).unwrap());
        let rows: Vec<(Json, bool)> =
            watched.entries.iter().map(|entry| (entry.row[0].clone(), entry.fresh)).collect();
        assert_eq!(
            rows,
            [(json!(2), true), (json!(1), false), (json!(1), true), (json!(1), true), (Json::Null, false)]
        );
    }
}

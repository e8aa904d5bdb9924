//! [`Watched`]: a live result as a client knows it: the rows of the snapshot with each change applied.
//!
//! Invariant: the entries are in the query's order, and rows that the last change brought are marked.

use crossterm::style::Stylize;
use deltaic_protocol::{Change, Snapshot};
use serde_json::Value as Json;

use crate::table::{self, cut, visible};

/// A row with its sort key (empty where there is no order), and whether the last change brought it.
struct Entry {
    row: Vec<Json>,
    key: String,
    fresh: bool,
}

/// The result as it is known here.
pub(crate) struct Watched {
    snapshot: Snapshot,
    entries: Vec<Entry>,
    lsn: u64,
}

impl Watched {
    pub(crate) fn new(mut snapshot: Snapshot) -> Self {
        let rows = std::mem::take(&mut snapshot.rows);
        let mut keys = std::mem::take(&mut snapshot.keys).into_iter();
        let entries = rows
            .into_iter()
            .map(|row| Entry { row, key: keys.next().unwrap_or_default(), fresh: false })
            .collect();
        Self { lsn: snapshot.lsn, snapshot, entries }
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        self.lsn = change.lsn;
        for entry in &mut self.entries {
            entry.fresh = false;
        }
        for change in &change.changes {
            let key = change.key.as_deref().unwrap_or_default();
            for _ in 0..change.weight.unsigned_abs() {
                if change.weight > 0 {
                    let (row, key) = (change.row.clone(), key.to_owned());
                    let place = self.entries.partition_point(|entry| entry.key <= key);
                    self.entries.insert(place, Entry { row, key, fresh: true });
                } else {
                    let gone =
                        self.entries.iter().position(|entry| entry.row == change.row && entry.key == key);
                    if let Some(place) = gone {
                        self.entries.remove(place);
                    }
                }
            }
        }
    }

    /// The lines of a terminal of a size: the query, the table, how many rows there are and what else is to say.
    pub(crate) fn frame(&self, query: &str, note: &str, (width, height): (usize, usize)) -> Vec<String> {
        let columns = &self.snapshot.columns;
        let shown = self.entries.iter().take(height.saturating_sub(5).max(1));
        let limit = (width.saturating_sub(columns.len() * 3) / columns.len().max(1)).max(8);
        let widths = table::widths(columns, shown.clone().map(|entry| &entry.row), limit);
        let title: Vec<&str> = query.split_whitespace().collect();
        let [names, rule] = table::header(columns, &widths);
        let mut lines = vec![
            cut(&visible(&title.join(" ")), width).dim().to_string(),
            cut(&names, width).bold().to_string(),
            cut(&rule, width),
        ];
        for entry in shown {
            let line = cut(&table::line(&entry.row, columns, &widths), width);
            lines.push(if entry.fresh { line.reverse().to_string() } else { line });
        }
        let hidden = self.entries.len() + 3 - lines.len();
        let more = if hidden > 0 { format!(", {hidden} not shown") } else { String::new() };
        let count = table::rows(self.entries.len() as u64);
        lines
            .push(cut(&format!("{count}{more}, lsn {}{}", self.lsn, visible(note)), width).dim().to_string());
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn watched() -> Watched {
        let snapshot = json!({
            "columns": [{"name": "n", "type": "integer"}], "rows": [[3], [1], [null]], "lsn": 1,
            "keys": ["A", "C", "D"],
        });
        Watched::new(serde_json::from_value(snapshot).unwrap())
    }

    #[test]
    fn changes_keep_the_order_and_mark_what_came() {
        let mut watched = watched();
        let change = json!({"lsn": 2, "changes": [
            {"weight": -1, "row": [3], "key": "A"}, {"weight": 1, "row": [2], "key": "B"},
            {"weight": 2, "row": [1], "key": "C"},
        ]});
        watched.apply(&serde_json::from_value(change).unwrap());
        let rows: Vec<(Json, bool)> =
            watched.entries.iter().map(|entry| (entry.row[0].clone(), entry.fresh)).collect();
        assert_eq!(
            rows,
            [(json!(2), true), (json!(1), false), (json!(1), true), (json!(1), true), (Json::Null, false)]
        );
    }

    #[test]
    fn a_frame_fits_its_terminal() {
        let watched = watched();
        let frame = watched.frame("SELECT n\nFROM t", ", \u{1b}lost", (12, 7));
        assert_eq!(frame.len(), 6);
        assert!(frame[0].contains("SELECT n FR…"), "{frame:?}");
        assert!(frame[5].contains("3 rows, 1 n…"), "{frame:?}");
        let wide = watched.frame("q", "", (80, 24));
        assert!(wide[6].contains("3 rows, lsn 1"), "{wide:?}");
    }
}

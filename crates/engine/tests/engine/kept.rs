//! [`Kept`]: live queries as a client keeps them, each compared after every request with what asking anew gives.
//!
//! Invariant: no change takes a row away and gives the same row, and none is empty unless an error has ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::common::{Db, Got, one, text};

/// Rows in any order, without the columns that only the order uses.
pub(crate) fn take(rows: &mut Vec<String>, got: &Got) {
    match got {
        Got::Snapshot(snapshot) => {
            *rows = snapshot.rows.iter().map(|row| text(&row[..snapshot.columns.len()])).collect();
        }
        Got::Change(change) => {
            let sides: [BTreeSet<_>; 2] = [true, false].map(|leaves| {
                change
                    .changes
                    .iter()
                    .filter(|(_, weight)| (*weight < 0) == leaves)
                    .map(|(row, _)| row)
                    .collect()
            });
            assert!(sides[0].is_disjoint(&sides[1]), "a row leaves and comes: {}", got.text());
            for (row, weight) in &change.changes {
                assert_ne!(*weight, 0);
                let row = text(&row[..change.columns.len()]);
                for _ in 0..weight.unsigned_abs() {
                    if *weight > 0 {
                        rows.push(row.clone());
                    } else {
                        let place = rows.iter().position(|other| *other == row);
                        rows.swap_remove(place.unwrap_or_else(|| panic!("{row} leaves and is not there")));
                    }
                }
            }
        }
        other => panic!("{other:?}"),
    }
}

struct Live {
    sql: String,
    parameters: Vec<Json>,
    rows: Vec<String>,
    error: Option<String>,
}

/// A database and the live queries of one client, numbered from 1 in the order of their coming.
pub(crate) struct Kept {
    pub(crate) db: Db,
    live: BTreeMap<u64, Live>,
    last: u64,
}

impl Kept {
    /// A database after these statements.
    pub(crate) fn with(sql: &str) -> Self {
        Self { db: Db::with(sql), live: BTreeMap::new(), last: 0 }
    }

    /// Subscribes, and gives the first message.
    #[track_caller]
    pub(crate) fn watch(&mut self, sql: &str) -> String {
        self.watch_with(sql, &[])
    }

    #[track_caller]
    pub(crate) fn watch_with(&mut self, sql: &str, parameters: &[Json]) -> String {
        self.last += 1;
        let got = self.db.subscribe_with(self.last, sql, parameters);
        let first = one(&got);
        let (sql, parameters) = (sql.to_owned(), parameters.to_vec());
        let mut live = Live { sql, parameters, rows: Vec::new(), error: None };
        live.take(&got[0]);
        self.live.insert(self.last, live);
        self.check("the subscription");
        first
    }

    /// Ends a subscription.
    pub(crate) fn drop_live(&mut self, number: u64) {
        self.live.remove(&number);
        self.db.unsubscribe(number);
    }

    /// Runs one request and gives its news.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) -> Vec<String> {
        self.run_all(&[sql])
    }

    /// Runs requests that arrive together and gives their news.
    #[track_caller]
    pub(crate) fn run_all(&mut self, sql: &[&str]) -> Vec<String> {
        for (sql, reply) in sql.iter().zip(self.db.batch(sql).1) {
            if let Err(error) = reply {
                panic!("{sql}: {error}");
            }
        }
        let news = self.db.read();
        for (number, got) in &news {
            let live =
                self.live.get_mut(number).unwrap_or_else(|| panic!("{number} has ended, and has news"));
            live.take(got);
        }
        self.check(&sql.join("; "));
        news.into_iter().map(|(number, got)| format!("{number}: {}", got.text())).collect()
    }

    #[track_caller]
    fn check(&mut self, after: &str) {
        for live in self.live.values() {
            match self.db.run(&live.sql, &live.parameters) {
                Ok(outcome) => {
                    assert_eq!(live.error, None, "after {after}: {}", live.sql);
                    let mut fresh: Vec<String> = outcome.rows.iter().map(|row| text(row)).collect();
                    let mut rows = live.rows.clone();
                    fresh.sort();
                    rows.sort();
                    assert_eq!(rows, fresh, "live, and asked anew after {after}: {}", live.sql);
                }
                Err(error) => {
                    assert_eq!(live.error.as_deref(), Some(error.sqlstate()), "after {after}: {}", live.sql);
                }
            }
        }
    }

    /// Ends all subscriptions: nothing of them is left.
    #[track_caller]
    pub(crate) fn end(mut self) {
        for number in self.live.keys() {
            self.db.unsubscribe(*number);
        }
        self.db.pass(60);
        assert!(self.db.engine.is_idle());
    }
}

impl Live {
    fn take(&mut self, got: &Got) {
        match got {
            Got::Error(error, _) => self.error = Some(error.sqlstate().to_owned()),
            got => {
                if let (Got::Change(change), None) = (got, &self.error) {
                    assert!(!change.changes.is_empty(), "an empty change of {}", self.sql);
                }
                take(&mut self.rows, got);
                self.error = None;
            }
        }
    }
}

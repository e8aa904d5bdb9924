//! [`Watched`]: a live query that the engine follows itself.
//!
//! Invariant: its rows are those of the result as it was last told, also while it cannot be told; then [`Watched::failure`] says why.

use std::collections::BTreeMap;

use deltaic_query::plan::ResultColumn;
use deltaic_types::Row;

use crate::effects::News;

/// What is known of the query's result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    columns: Vec<ResultColumn>,
    /// Each as often as it is there.
    rows: BTreeMap<Row, i64>,
    standing: Standing,
}

#[derive(Debug, Clone, Default)]
enum Standing {
    /// Nothing was told yet.
    #[default]
    Waiting,
    Told,
    Failed(String),
    /// It was refused, or has ended: whoever follows it asks anew.
    Over(String),
}

impl Watched {
    /// Takes news in; the rows that came or went, some perhaps in vain.
    pub(crate) fn take(&mut self, news: &News) -> Vec<Row> {
        let mut touched = Vec::new();
        match news {
            News::Snapshot(snapshot) => {
                self.columns.clone_from(&snapshot.columns);
                touched.extend(std::mem::take(&mut self.rows).into_keys());
                for row in &snapshot.rows {
                    *self.rows.entry(row.clone()).or_default() += 1;
                    touched.push(row.clone());
                }
            }
            News::Change(change) => {
                for (row, weight) in &change.changes {
                    let held = self.rows.entry(row.clone()).or_default();
                    *held += weight;
                    if *held == 0 {
                        self.rows.remove(row);
                    }
                    touched.push(row.clone());
                }
            }
            News::Current(_) => {}
            News::Error { error, cookie: Some(_) } => {
                self.standing = Standing::Failed(error.to_string());
                return touched;
            }
            News::Error { error, cookie: None } => {
                self.standing = Standing::Over(error.to_string());
                return touched;
            }
        }
        self.standing = Standing::Told;
        touched
    }

    /// The columns, once a result was told.
    pub(crate) fn columns(&self) -> &[ResultColumn] {
        &self.columns
    }

    /// The rows, each with how often it is there.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Row, i64)> {
        self.rows.iter().map(|(row, count)| (row, *count))
    }

    /// How often a row is there.
    pub(crate) fn count(&self, row: &Row) -> i64 {
        self.rows.get(row).copied().unwrap_or(0)
    }

    /// Whether its result is told, and not an error.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self.standing, Standing::Told)
    }

    /// Whether nothing comes of it any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Over(_))
    }

    /// Why its result cannot be told.
    pub(crate) fn failure(&self) -> Option<&str> {
        match &self.standing {
            Standing::Failed(why) | Standing::Over(why) => Some(why),
            Standing::Waiting | Standing::Told => None,
        }
    }
}

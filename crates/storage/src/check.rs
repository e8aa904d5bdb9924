//! [`check()`]: whether a store is what its log says.
//!
//! Invariant: it changes nothing, and it trusts no part of the store: the log is replayed into a model of its own,
//! and every row, the catalog and the counts are compared with it.

use std::collections::BTreeSet;
use std::{fmt, slice};

use deltaic_types::{Lsn, REPLICA, Row, TableId, TableSchema};

use crate::commit::header_after;
use crate::{MemoryStore, StorageError, Store};

/// Commits that are read at a time.
const STEP_COMMITS: usize = 64;

/// The most differences that are listed: more say no more.
const DIFFERENCES: usize = 1_000;

/// What a check has read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Commits in the log.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Tables in the catalog.
    pub tables: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Bytes of keys and hot records, as the store counts them.
    pub hot_bytes: u64,
    /// Bytes of cold records, as the store counts them.
    pub cold_bytes: u64,
    /// Where the store is not what its log says; the first thousand.
    pub differences: Vec<Difference>,
    /// Differences that are not listed.
    pub unlisted: u64,
}

impl CheckReport {
    /// Whether the store is what its log says.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    fn add(&mut self, difference: Difference) {
        if self.differences.len() < DIFFERENCES {
            self.differences.push(difference);
        } else {
            self.unlisted += 1;
        }
    }
}

/// One place where a store is not what its log says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The log ends, or has another commit, where this one must be. What follows was not compared.
    Log {
        /// The commit that must be there.
        expected: Lsn,
    },
    /// The last lsn, number of a dot or time is not that of the last commit.
    State,
    /// The catalog is another.
    Catalog,
    /// A row of the log is not in the table.
    Missing {
        /// The table.
        table: TableId,
        /// The row's key.
        key: Row,
    },
    /// A row of the table is not in the log.
    Unexpected {
        /// The table.
        table: TableId,
        /// The row's key.
        key: Row,
    },
    /// A row is another than in the log.
    Row {
        /// The table.
        table: TableId,
        /// The row's key.
        key: Row,
    },
    /// A row cannot be read.
    Damaged {
        /// The table.
        table: TableId,
        /// The row's key, or None where the rows of the table cannot be listed.
        key: Option<Row>,
        /// What reading said.
        message: String,
    },
    /// The count of rows is not that of the log.
    Size {
        /// The table.
        table: TableId,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log { expected } => {
                write!(f, "the log lacks commit {expected}, or it does not fit those before")
            }
            Self::State => f.write_str("the last lsn, dot or time is not that of the last commit"),
            Self::Catalog => f.write_str("the catalog is not that of the log"),
            Self::Missing { table, key } => write!(f, "table {}: row {key:?} is missing", table.0),
            Self::Unexpected { table, key } => write!(f, "table {}: row {key:?} is not in the log", table.0),
            Self::Row { table, key } => write!(f, "table {}: row {key:?} is not that of the log", table.0),
            Self::Damaged { table, key: Some(key), message } => {
                write!(f, "table {}: row {key:?}: {message}", table.0)
            }
            Self::Damaged { table, key: None, message } => write!(f, "table {}: {message}", table.0),
            Self::Size { table } => write!(f, "table {}: the count of rows is not that of the log", table.0),
        }
    }
}

/// Compares a store with its own log. Reads everything once, and holds all rows in memory while it does.
///
/// Damage of rows is listed; a log that cannot be read is an error, since there is nothing to compare with.
pub fn check(store: &dyn Store) -> Result<CheckReport, StorageError> {
    let header = store.header()?;
    let mut report = CheckReport::default();
    let mut model = MemoryStore::new(header.identity);
    let mut replayed = model.header()?;
    while replayed.lsn < header.lsn {
        let commits = store.commits(replayed.lsn, STEP_COMMITS)?;
        if commits.is_empty() {
            report.add(Difference::Log { expected: replayed.lsn.next() });
            return Ok(report);
        }
        for commit in commits {
            let Ok(next) = header_after(&replayed, slice::from_ref(&commit)) else {
                report.add(Difference::Log { expected: replayed.lsn.next() });
                return Ok(report);
            };
            replayed = next;
            report.commits += 1;
            report.changes += commit.changes.len() as u64;
            model.append(&[commit])?;
        }
    }
    if (replayed.lsn, replayed.seq, replayed.time) != (header.lsn, header.seq, header.time) {
        report.add(Difference::State);
    }
    if replayed.catalog != header.catalog {
        report.add(Difference::Catalog);
    }
    let (sizes, expected) = (store.sizes()?, model.sizes()?);
    for table in replayed.catalog.stored_tables() {
        if table.id == REPLICA && !sizes.contains_key(&REPLICA) && !expected.contains_key(&REPLICA) {
            continue;
        }
        report.tables += 1;
        let counted = sizes.get(&table.id).zip(expected.get(&table.id));
        // Each change that is not settled yet adds a row to the count, or takes one from it, or neither.
        if counted.is_none_or(|(size, expected)| size.rows.abs_diff(expected.rows) > size.unsettled) {
            report.add(Difference::Size { table: table.id });
        }
        if let Some(size) = sizes.get(&table.id) {
            report.hot_bytes += size.hot_bytes;
            report.cold_bytes += size.cold_bytes;
        }
        compare(store, &model, table, &mut report)?;
    }
    Ok(report)
}

/// Compares the rows of one table, read in both ways that there are.
fn compare(
    store: &dyn Store,
    model: &MemoryStore,
    table: &TableSchema,
    report: &mut CheckReport,
) -> Result<(), StorageError> {
    let id = table.id;
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let mut differing: BTreeSet<Row> = BTreeSet::new();
    let scanned = store.scan(id, &columns, &mut |values| {
        let key = values.project(&table.primary_key);
        match model.get(id, &key) {
            None => report.add(Difference::Unexpected { table: id, key }),
            Some(row) if row.values == values => {}
            Some(_) => {
                differing.insert(key);
            }
        }
    });
    if let Err(damage) = scanned {
        report.add(Difference::Damaged { table: id, key: None, message: damage_or_stop(damage)? });
    }
    for expected in model.rows(id) {
        let key = expected.values.project(&table.primary_key);
        match store.row(id, &key) {
            Ok(Some(row)) if row == *expected && !differing.contains(&key) => report.rows += 1,
            Ok(Some(_)) => report.add(Difference::Row { table: id, key }),
            Ok(None) => report.add(Difference::Missing { table: id, key }),
            Err(damage) => {
                let message = damage_or_stop(damage)?;
                report.add(Difference::Damaged { table: id, key: Some(key), message });
            }
        }
    }
    Ok(())
}

/// What damage says of itself; other errors end the check.
fn damage_or_stop(error: StorageError) -> Result<String, StorageError> {
    match error {
        StorageError::Corrupted { part, damage } => Ok(format!("{part}: {damage}")),
        other => Err(other),
    }
}

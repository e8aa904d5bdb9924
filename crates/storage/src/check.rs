//! [`check()`]: whether a store is what its log says.
//!
//! Invariant: it changes nothing, and it trusts no part of the store: the log is replayed into a model of its own,
//! and every row, the catalog and the counts are compared with it. Of rows that only trimmed commits have changed the log says
//! nothing: they must be readable in both ways that there are, of their tables, and counted.

use std::collections::BTreeSet;
use std::fmt;

use deltaic_types::{Catalog, Lsn, REPLICA, Row, TableId, TableSchema};

use crate::commit::fits;
use crate::replay::{Replay, Said};
use crate::{Change, StorageError, Store};

/// Commits that are read at a time.
const STEP_COMMITS: usize = 64;

/// The most differences that are listed: more say no more.
const DIFFERENCES: usize = 1_000;

/// What a check has read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// The first commit of the log; those before were trimmed where it is not commit 1.
    pub first: Lsn,
    /// Commits in the log.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Tables in the catalog.
    pub tables: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that no commit of the log has changed, since they are older than it: they were read, and compared with nothing.
    pub unlogged: u64,
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
    /// A row that is older than the log is another where it is looked for by its key, or is none of its table.
    Unfit {
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
    /// The count of rows is not that of the log, or of a trimmed one that of the rows that are there.
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
            Self::Unfit { table, key } => {
                write!(f, "table {}: row {key:?} differs by how it is read, or is none of the table", table.0)
            }
            Self::Damaged { table, key: Some(key), message } => {
                write!(f, "table {}: row {key:?}: {message}", table.0)
            }
            Self::Damaged { table, key: None, message } => write!(f, "table {}: {message}", table.0),
            Self::Size { table } => write!(f, "table {}: the count of rows is wrong", table.0),
        }
    }
}

/// Compares a store with its own log. Reads everything once, and holds all rows that the log has changed in memory while it
/// does.
///
/// Damage of rows is listed; a log that cannot be read is an error, since there is nothing to compare with.
pub fn check(store: &dyn Store) -> Result<CheckReport, StorageError> {
    let header = store.header()?;
    let first = store.first();
    let mut report = CheckReport { first, ..CheckReport::default() };
    let mut replay = Replay::new(header.identity, first);
    while replay.header().lsn < header.lsn {
        let expected = replay.header().lsn.next();
        let commits = store.commits(replay.header().lsn, STEP_COMMITS)?;
        if commits.is_empty() {
            report.add(Difference::Log { expected });
            return Ok(report);
        }
        for commit in &commits {
            let expected = replay.header().lsn.next();
            if replay.take(commit).is_err() {
                report.add(Difference::Log { expected });
                return Ok(report);
            }
            report.commits += 1;
            report.changes += commit.changes.len() as u64;
        }
    }
    let replayed = replay.header();
    if (replayed.lsn, replayed.seq, replayed.time) != (header.lsn, header.seq, header.time) {
        report.add(Difference::State);
    }
    if !replay.explains(&header.catalog) {
        report.add(Difference::Catalog);
    }
    let catalog = replay.catalog().unwrap_or(&header.catalog);
    let sizes = store.sizes()?;
    for table in catalog.stored_tables() {
        let size = sizes.get(&table.id);
        if table.id == REPLICA && size.is_none() && replay.rows(REPLICA).next().is_none() {
            continue;
        }
        report.tables += 1;
        let found = compare(store, &replay, (catalog, table), &mut report)?;
        let expected = if replay.is_whole() { Some(replay.rows(table.id).count() as u64) } else { found };
        // Each change that is not settled yet adds a row to the count, or takes one from it, or neither.
        let is_counted = |expected: u64| size.is_some_and(|s| s.rows.abs_diff(expected) <= s.unsettled);
        if expected.is_some_and(|expected| !is_counted(expected)) {
            report.add(Difference::Size { table: table.id });
        }
        if let Some(size) = size {
            report.hot_bytes += size.hot_bytes;
            report.cold_bytes += size.cold_bytes;
        }
    }
    Ok(report)
}

/// Compares the rows of one table, read in both ways that there are. How many a scan has met, if it came to the end.
fn compare(
    store: &dyn Store,
    replay: &Replay,
    (catalog, table): (&Catalog, &TableSchema),
    report: &mut CheckReport,
) -> Result<Option<u64>, StorageError> {
    let id = table.id;
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let mut differing: BTreeSet<Row> = BTreeSet::new();
    let (mut met, mut stopped) = (0, Ok(()));
    let scanned = store.scan(id, &columns, &mut |values| {
        met += 1;
        let key = values.project(&table.primary_key);
        match replay.said(id, &key) {
            Said::Gone => report.add(Difference::Unexpected { table: id, key }),
            Said::Row(row) if row.values == values => {}
            Said::Row(_) => {
                differing.insert(key);
            }
            Said::Nothing if stopped.is_ok() => {
                stopped = read_unlogged(store, (catalog, id), key, &values, report);
            }
            Said::Nothing => {}
        }
    });
    stopped?;
    let met = scanned.is_ok().then_some(met);
    if let Err(damage) = scanned {
        report.add(Difference::Damaged { table: id, key: None, message: damage_or_stop(damage)? });
    }
    for expected in replay.rows(id) {
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
    Ok(met)
}

/// Reads a row that a scan has met, and of which the log says nothing, by its key.
fn read_unlogged(
    store: &dyn Store,
    (catalog, table): (&Catalog, TableId),
    key: Row,
    values: &Row,
    report: &mut CheckReport,
) -> Result<(), StorageError> {
    match store.row(table, &key) {
        Ok(Some(row)) if row.values == *values => {
            let put = Change::Put { table, key: key.clone(), row };
            match fits(catalog, &put) {
                Ok(()) => report.unlogged += 1,
                Err(_) => report.add(Difference::Unfit { table, key }),
            }
        }
        Ok(_) => report.add(Difference::Unfit { table, key }),
        Err(damage) => {
            let message = damage_or_stop(damage)?;
            report.add(Difference::Damaged { table, key: Some(key), message });
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

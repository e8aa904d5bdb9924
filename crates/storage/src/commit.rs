//! [`Commit`]: what one transaction changed, as the log keeps it.
//!
//! Invariant: a commit holds the whole new version of each row it changes, so that applying it needs nothing but
//! the catalog, and replaying the log gives the same tables wherever it is done.

use deltaic_causality::{Dot, HybridTime};
use deltaic_types::{Catalog, Lsn, Row, TableId, TableSchema};

use crate::Header;

/// The version of a cell that was not written by its row's last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellVersion {
    /// The place of the column.
    pub column: usize,
    /// The write that gave the cell its value.
    pub dot: Dot,
    /// When that was.
    pub time: HybridTime,
}

/// A row with the versions that merging needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The last write of the row.
    pub version: Dot,
    /// When that was.
    pub time: HybridTime,
    /// Cells whose last write is another one than the row's; by column, ascending.
    pub cells: Vec<CellVersion>,
    /// The values of all columns of the table, in their order.
    pub values: Row,
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The catalog is this one from here on. The rows of tables that it no longer has are gone. Columns that it
    /// adds get their values by a [`Change::Put`] for every row.
    Catalog(Catalog),
    /// A row is new, or has a new version.
    Put {
        /// The table.
        table: TableId,
        /// The values of the primary key, in its order.
        key: Row,
        /// The row.
        row: StoredRow,
    },
    /// A row is gone, if it was there.
    Delete {
        /// The table.
        table: TableId,
        /// The values of the primary key, in its order.
        key: Row,
        /// The write that deleted it.
        dot: Dot,
        /// When that was.
        time: HybridTime,
    },
}

/// What one transaction changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its place in the log.
    pub lsn: Lsn,
    /// Its time.
    pub time: HybridTime,
    /// The greatest number of a dot that the store's actor has given, this commit's own included.
    pub seq: u64,
    /// Its changes, in the order in which they apply.
    pub changes: Vec<Change>,
}

/// The header after `commits`; panics where [`crate::Store::append`] says so.
pub(crate) fn advance(header: &Header, commits: &[Commit]) -> Header {
    let mut next = header.clone();
    for commit in commits {
        assert_eq!(commit.lsn, next.lsn.next(), "a commit's lsn is its predecessor's plus one");
        assert!(
            commit.seq >= next.seq,
            "numbers of dots are not given twice: {} after {}",
            commit.seq,
            next.seq
        );
        next.lsn = commit.lsn;
        next.seq = commit.seq;
        next.time = commit.time;
        for change in &commit.changes {
            match change {
                Change::Catalog(catalog) => next.catalog = catalog.clone(),
                Change::Put { table, key, row } => {
                    let schema = schema(&next.catalog, *table);
                    assert_eq!(row.values.len(), schema.columns.len(), "a row has its table's columns");
                    let keyed = schema.primary_key.iter().map(|&column| &row.values[column]).eq(key.iter());
                    assert!(keyed, "a row's key is made of its own values");
                    let ascending = row.cells.windows(2).all(|pair| pair[0].column < pair[1].column);
                    let within = row.cells.iter().all(|cell| cell.column < schema.columns.len());
                    assert!(ascending && within, "cells have ascending columns of the table");
                }
                Change::Delete { table, key, .. } => {
                    let schema = schema(&next.catalog, *table);
                    assert_eq!(key.len(), schema.primary_key.len(), "a key has its table's key columns");
                }
            }
        }
    }
    next
}

pub(crate) fn schema(catalog: &Catalog, table: TableId) -> &TableSchema {
    catalog.get(table).expect("invariant: a change is of a table in the catalog")
}

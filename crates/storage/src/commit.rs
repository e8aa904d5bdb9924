//! [`Commit`]: what one transaction changed, as the log keeps it.
//!
//! Invariant: a commit holds the whole new version of each row it changes, so that applying it needs nothing but
//! the catalog, and replaying the log gives the same tables wherever it is done.

use deltaic_causality::{Dot, HybridTime};
use deltaic_types::{Catalog, Lsn, Row, TableId, TableSchema};

use crate::staged::dots_of;
use crate::{Changes, Header, PROVISIONAL};

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
    pub changes: Changes,
}

/// The header after `commits`, or which rule of [`crate::Store::append`] they break.
pub(crate) fn header_after(header: &Header, commits: &[Commit]) -> Result<Header, &'static str> {
    let mut next = header.clone();
    for commit in commits {
        require(commit.lsn == next.lsn.next(), "a commit's lsn is its predecessor's plus one")?;
        require(commit.seq >= next.seq, "the numbers of dots never fall")?;
        let known = match &commit.changes {
            Changes::Inline(changes) => {
                let resolved = changes.iter().flat_map(dots_of).all(|dot| dot.seq < PROVISIONAL);
                require(resolved, "inline changes have no provisional dots")?;
                false
            }
            Changes::Staged(staged) => {
                let given = commit.seq - next.seq;
                require(staged.is_numbered(), "provisional dots are counted from 1")?;
                require(given >= staged.dots(), "a commit gives the dots of its staged changes")?;
                require(commit.seq < PROVISIONAL, "numbers of dots are not provisional")?;
                staged.is_known_to_fit(&next.catalog)
            }
        };
        next.lsn = commit.lsn;
        next.seq = commit.seq;
        next.time = commit.time;
        for change in commit.changes.as_slice().iter().filter(|_| !known) {
            fits(&next.catalog, change)?;
            if let Change::Catalog(catalog) = change {
                next.catalog = catalog.clone();
            }
        }
    }
    Ok(next)
}

/// Which rule a change breaks that is made to the tables of a catalog.
pub(crate) fn fits(catalog: &Catalog, change: &Change) -> Result<(), &'static str> {
    match change {
        Change::Catalog(_) => Ok(()),
        Change::Put { table, key, row } => {
            let schema = table_with_key(catalog, *table, key)?;
            require(row.values.len() == schema.columns.len(), "a row has its table's columns")?;
            let own = schema.primary_key.iter().map(|&column| &row.values[column]);
            require(own.eq(key.iter()), "a row's key is made of its own values")?;
            let ascending = row.cells.windows(2).all(|pair| pair[0].column < pair[1].column);
            let within = row.cells.last().is_none_or(|cell| cell.column < schema.columns.len());
            require(ascending && within, "cells have ascending columns of the table")
        }
        Change::Delete { table, key, .. } => table_with_key(catalog, *table, key).map(|_| ()),
    }
}

fn require(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}

fn table_with_key<'c>(
    catalog: &'c Catalog,
    table: TableId,
    key: &Row,
) -> Result<&'c TableSchema, &'static str> {
    let schema = catalog.get(table).ok_or("a change is of a table in the catalog")?;
    require(key.len() == schema.primary_key.len(), "a key has its table's key columns")?;
    let types = schema.primary_key.iter().map(|&column| &schema.columns[column].data_type);
    let fits = types.zip(key.iter()).all(|(data_type, value)| data_type.is_key() && data_type.admits(value));
    require(fits, "a key has its columns' types")?;
    Ok(schema)
}

/// [`header_after`]; panics where commits break a rule.
pub(crate) fn advance(header: &Header, commits: &[Commit]) -> Header {
    match header_after(header, commits) {
        Ok(next) => next,
        Err(rule) => panic!("invariant of the commits given to append: {rule}"),
    }
}

pub(crate) fn schema(catalog: &Catalog, table: TableId) -> &TableSchema {
    catalog.get(table).expect("invariant: a change is of a table in the catalog")
}

//! [`Replay`]: what a log says of the rows.
//!
//! Invariant: it is made of the commits alone, in their order. Of a log whose oldest commits were trimmed it knows the rows that
//! those which are left have changed, and the catalog from the first one on that changes it; of the rest it says nothing.

use std::collections::BTreeMap;

use deltaic_causality::HybridTime;
use deltaic_types::{Catalog, Lsn, Row, TableId, key};

use crate::commit::header_after;
use crate::{Change, Commit, Header, Identity, StoredRow};

/// What the commits so far have made.
#[derive(Debug)]
pub(crate) struct Replay {
    /// The state after the last of them; its catalog is none while none is known.
    header: Header,
    /// Whether no commit before them is missing.
    is_whole: bool,
    knows_catalog: bool,
    /// The last change of each row, None where it is deleted. A log that is whole need not remember those.
    rows: BTreeMap<TableId, BTreeMap<Vec<u8>, Option<StoredRow>>>,
}

/// What a log says of one row.
#[derive(Debug)]
pub(crate) enum Said<'r> {
    /// It is this one.
    Row(&'r StoredRow),
    /// There is none.
    Gone,
    /// Nothing: the commits that are left do not change it.
    Nothing,
}

impl Replay {
    /// Of a log that begins with the commit `first`.
    pub(crate) fn new(identity: Identity, first: Lsn) -> Self {
        let lsn = Lsn(first.0.saturating_sub(1));
        let is_whole = lsn == Lsn(0);
        let header = Header { identity, lsn, seq: 0, time: HybridTime(0), catalog: Catalog::default() };
        Self { header, is_whole, knows_catalog: is_whole, rows: BTreeMap::new() }
    }

    /// The state after the last commit, with [`catalog`](Self::catalog) for its tables.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The tables, where the commits say.
    pub(crate) fn catalog(&self) -> Option<&Catalog> {
        self.knows_catalog.then_some(&self.header.catalog)
    }

    /// Whether the tables may be these.
    pub(crate) fn explains(&self, catalog: &Catalog) -> bool {
        match self.catalog() {
            Some(own) => own == catalog,
            None => self.rows.keys().all(|table| catalog.get(*table).is_some()),
        }
    }

    /// The next commit. An error where it breaks a rule of [`crate::Store::append`]; changes before the first catalog that is
    /// known are not held against one.
    pub(crate) fn take(&mut self, commit: &Commit) -> Result<(), &'static str> {
        let changes = commit.changes.as_slice();
        if self.knows_catalog {
            self.header = header_after(&self.header, std::slice::from_ref(commit))?;
        } else {
            let first = changes.iter().position(|change| matches!(change, Change::Catalog(_)));
            let known = changes[first.unwrap_or(changes.len())..].to_vec().into();
            self.header = header_after(&self.header, &[Commit { changes: known, ..*commit }])?;
            self.knows_catalog = first.is_some();
        }
        for change in changes {
            match change {
                Change::Catalog(catalog) => self.rows.retain(|table, _| catalog.get(*table).is_some()),
                Change::Put { table, key, row } => {
                    self.rows.entry(*table).or_default().insert(key::encode(key), Some(row.clone()));
                }
                Change::Delete { table, key, .. } if self.is_whole => {
                    self.rows.entry(*table).or_default().remove(&key::encode(key));
                }
                Change::Delete { table, key, .. } => {
                    self.rows.entry(*table).or_default().insert(key::encode(key), None);
                }
            }
        }
        Ok(())
    }

    /// What is known of the row of a key.
    pub(crate) fn said(&self, table: TableId, key: &Row) -> Said<'_> {
        match self.rows.get(&table).and_then(|rows| rows.get(&key::encode(key))) {
            Some(Some(row)) => Said::Row(row),
            Some(None) => Said::Gone,
            None if self.is_whole => Said::Gone,
            None => Said::Nothing,
        }
    }

    /// The rows of a table that must be there, in key order.
    pub(crate) fn rows(&self, table: TableId) -> impl Iterator<Item = &StoredRow> {
        self.rows.get(&table).into_iter().flat_map(|rows| rows.values().flatten())
    }
}

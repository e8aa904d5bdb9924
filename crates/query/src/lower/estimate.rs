//! Which input a join binds next: the one of which a probe finds the fewest rows, as samples of the indexes tell.
//!
//! A template is lowered once and lives long, while its tables grow and shrink, so the figures are coarse: less than
//! a factor of four decides nothing, and a bounded number of rows goes before any that follows a table. Where nothing is known of a
//! table, the keys alone decide, as they do among inputs that are expected to find alike.

use std::{cell::RefCell, collections::BTreeMap};

use deltaic_types::TableId;

use super::{Tables, access::Access, block::Leaf};

/// The share of a table that a search behind no key finds.
const SEARCHED: usize = 3;

/// The share of a table that an equality without an index finds.
const EQUAL: usize = 16;

/// How many tuples may be live of a template, where each is looked at.
const TUPLES: usize = 1_000;

/// Columns of a table.
type Key = (TableId, Vec<usize>);

/// What is known of a join's inputs.
pub(super) struct Estimates {
    /// Whether anything is.
    measured: bool,
    samples: RefCell<BTreeMap<Key, Option<f64>>>,
}

impl Estimates {
    /// Of inputs of which the tables are all measured, or nothing.
    pub(super) fn of(leaves: &[Leaf], tables: &dyn Tables) -> Self {
        let measured = leaves.iter().filter_map(|leaf| leaf.table).all(|table| tables.rows(table).is_some());
        Self { measured, samples: RefCell::default() }
    }

    /// How many rows a probe of the leaf is expected to find, as a power of four; None where nothing is known.
    pub(super) fn found(&self, tables: &dyn Tables, leaf: Leaf, access: &Access) -> Option<u32> {
        if !self.measured {
            return None;
        }
        let served = !access.key.is_empty() || access.search.is_some();
        let Some(table) = leaf.table else {
            // Of a template's tuples a row finds as few as it concerns; of what is computed nothing is known.
            return match (served, leaf.is_domain) {
                (true, _) => Some(0),
                (false, true) => Some(magnitude(TUPLES as f64)),
                (false, false) => None,
            };
        };
        let rows = tables.rows(table)?;
        let columns: Vec<usize> = access.key.iter().map(|(column, _)| *column).collect();
        let share = if columns.is_empty() { 1 } else { EQUAL };
        let known = (!columns.is_empty()).then(|| self.sampled(tables, table, columns)).flatten();
        let found = known.unwrap_or((rows / share) as f64);
        let found = if access.search.is_some() { found / SEARCHED as f64 } else { found };
        Some(magnitude(found))
    }

    fn sampled(&self, tables: &dyn Tables, table: TableId, columns: Vec<usize>) -> Option<f64> {
        let mut known = self.samples.borrow_mut();
        let key = (table, columns);
        if let Some(found) = known.get(&key) {
            return *found;
        }
        let found = tables.sample(table, &key.1).map(|sample| sample.found());
        known.insert(key, found);
        found
    }
}

fn magnitude(rows: f64) -> u32 {
    (rows.max(1.0).log2() / 2.0) as u32
}

//! [`Budget`]: how many rows a run may still visit and read and how many bytes make, so that no query grows without end.
//!
//! Invariant: a run that used up its budget has an output that nobody may use; its caller is told, and what the run
//! had changed is taken back.

use std::cell::Cell;

use deltaic_types::{Row, limits};
use thiserror::Error;

/// A query that would visit more rows, or make larger ones, than its budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exhausted {
    /// Too many rows meet.
    #[error(
        "the joins visit more than {limit} rows: join the tables by columns that say which rows belong together"
    )]
    Rows {
        /// The most that may.
        limit: u64,
    },
    /// The rows are too large.
    #[error("the rows that are computed take more than {limit} bytes: select fewer, or less of each")]
    Bytes {
        /// The most that they may.
        limit: u64,
    },
}

/// What one run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The rows that its joins visit.
    pub visited: u64,
    /// The rows of relations that it reads from end to end.
    pub scanned: u64,
    /// The bytes of the rows that it makes.
    pub made: u64,
}

impl From<u64> for Allowance {
    fn from(visited: u64) -> Self {
        Self { visited, scanned: u64::MAX, made: limits::COMPUTED_BYTES }
    }
}

/// What is left of a budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    left: Cell<u64>,
    scanned: Cell<u64>,
    /// None where nobody counts.
    bytes: Cell<Option<u64>>,
    /// What `bytes` began with.
    most_bytes: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: Cell::new(u64::MAX),
            scanned: Cell::new(u64::MAX),
            bytes: Cell::new(None),
            most_bytes: Cell::new(0),
        }
    }
}

impl Budget {
    /// Begins a run; its bytes are counted where its rows have a limit.
    pub(crate) fn begin(&self, allowance: Allowance) {
        self.left.set(allowance.visited.saturating_add(1));
        self.scanned.set(allowance.scanned);
        self.bytes.set((allowance.visited < u64::MAX).then_some(allowance.made.max(1)));
        self.most_bytes.set(allowance.made);
    }

    /// Takes the rows of a relation that is read from end to end; false where there are fewer left.
    pub(crate) fn scan(&self, rows: usize) -> bool {
        let left = self.scanned.get().checked_sub(rows as u64);
        match left {
            Some(left) => self.scanned.set(left),
            None => self.left.set(0),
        }
        left.is_some()
    }

    /// Takes a row; false where there is none left.
    pub(crate) fn spend(&self) -> bool {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        left > 0
    }

    /// Takes the bytes of a row that was made; false where there are none left.
    pub(crate) fn make(&self, row: &Row) -> bool {
        let Some(bytes) = self.bytes.get() else { return true };
        let left = bytes.saturating_sub(row.heap_bytes() as u64);
        self.bytes.set(Some(left));
        if left == 0 {
            self.left.set(0);
        }
        left > 0
    }

    /// Whether the run asked for more than it had.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted(0).is_some()
    }

    /// The same, and of what; the run began with so many rows.
    pub(crate) fn exhausted(&self, limit: u64) -> Option<Exhausted> {
        if self.bytes.get() == Some(0) {
            return Some(Exhausted::Bytes { limit: self.most_bytes.get() });
        }
        (self.left.get() == 0).then_some(Exhausted::Rows { limit })
    }
}

#[cfg(test)]
mod tests {
    use deltaic_types::Value;

    use super::*;

    #[test]
    fn a_budget_is_used_up_by_one_row_too_many() {
        let budget = Budget::default();
        budget.begin(2.into());
        assert!(budget.spend() && budget.spend() && budget.exhausted(2).is_none());
        assert!(!budget.spend());
        assert_eq!(budget.exhausted(2), Some(Exhausted::Rows { limit: 2 }));
    }

    #[test]
    fn a_budget_is_used_up_by_what_is_read() {
        let budget = Budget::default();
        budget.begin(Allowance { scanned: 5, ..2.into() });
        assert!(budget.scan(3) && budget.scan(2) && !budget.is_exhausted());
        assert!(!budget.scan(1));
        assert_eq!(budget.exhausted(2), Some(Exhausted::Rows { limit: 2 }));
    }

    #[test]
    fn a_budget_is_used_up_by_large_rows() {
        let row = Row::from_iter([Value::from("x".repeat(1 << 20).as_str())]);
        let budget = Budget::default();
        budget.begin(u64::MAX.into());
        assert!((0..4_000).all(|_| budget.make(&row)), "nobody counts");
        budget.begin(9.into());
        assert_eq!((0..4_000).take_while(|_| budget.make(&row)).count(), 2_047);
        assert!(!budget.spend());
        assert_eq!(budget.exhausted(9), Some(Exhausted::Bytes { limit: limits::COMPUTED_BYTES }));
    }
}

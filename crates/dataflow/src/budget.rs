//! [`Budget`]: how many rows joins may still visit, so that no query grows without end.
//!
//! Invariant: a run that used up its budget has an output that nobody may use; its caller is told, and what the run
//! had changed is taken back.

use std::cell::Cell;

use thiserror::Error;

/// A query that would visit more rows than its budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the joins visit more than {limit} rows")]
pub struct Exhausted {
    /// The budget.
    pub limit: u64,
}

/// What is left of a budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Cell::new(u64::MAX) }
    }
}

impl Budget {
    /// Begins a run with so many rows.
    pub(crate) fn begin(&self, rows: u64) {
        self.left.set(rows.saturating_add(1));
    }

    /// Takes a row; false where there is none left.
    pub(crate) fn spend(&self) -> bool {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        left > 0
    }

    /// Whether the run asked for more than it had.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_by_one_row_too_many() {
        let budget = Budget::default();
        budget.begin(2);
        assert!(budget.spend() && budget.spend() && !budget.is_exhausted());
        assert!(!budget.spend() && budget.is_exhausted());
    }
}

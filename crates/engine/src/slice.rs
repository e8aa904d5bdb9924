//! [`Slice`]: how much is done before the next input.
//!
//! Invariant: it changes when something is done, and on which thread, and no result.

use deltaic_types::limits;

/// What is done before the next input, and not beside the inputs that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The rows of the tables of a live query that is computed for the first time.
    pub rows: usize,
    /// The rows that a request reads from end to end.
    pub scans: u64,
    /// The rows that the joins of a query visit.
    pub visits: u64,
    /// The rows that a request writes.
    pub writes: usize,
    /// The bytes of the rows that a request computes, and of those that it reads and writes whole.
    pub bytes: u64,
    /// The work of bringing a commit to the live queries, in probes and rows.
    pub units: u64,
}

impl Slice {
    /// Nothing that may be done beside.
    pub const NONE: Self = Self { rows: 0, scans: 0, visits: 0, writes: 0, bytes: 0, units: 0 };
    /// All of it.
    pub const WHOLE: Self = Self {
        rows: usize::MAX,
        scans: u64::MAX,
        visits: limits::JOINED_ROWS,
        writes: usize::MAX,
        bytes: u64::MAX,
        units: u64::MAX,
    };
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            rows: limits::SLICE_ROWS,
            scans: limits::SLICE_ROWS as u64,
            visits: limits::SLICE_VISITS,
            writes: limits::SLICE_WRITES,
            bytes: limits::SLICE_BYTES,
            units: limits::SLICE_UNITS,
        }
    }
}

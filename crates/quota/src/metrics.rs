//! [`Metrics`]: what a node did, and the most that could be wrong at this moment.
//!
//! Invariant: counters only rise; nothing here is counted on the way of an admission. What was admitted is what
//! leases no longer have, as of each key's last flush.

use crate::{Bound, Units};

/// A node's counters and gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Units admitted, gross, as of each key's last flush.
    pub admitted: Units,
    /// Requests refused, of keys that are in memory or were.
    pub denied: u64,
    /// Rows written for keys. One more is written per batch for the node.
    pub rows: u64,
    /// Batches acknowledged.
    pub batches: u64,
    /// Units spent by crashes before this epoch, and by reservations that expired.
    pub burnt: Units,
    /// Keys in memory, each window for itself.
    pub keys: u64,
    /// Of these, the ones that nobody has used for a while, and that take little memory.
    pub resting: u64,
    /// Keys that were looked at for what is to be written: those that changed, not those that there are.
    pub visited: u64,
    /// What leases have unspent now.
    pub exposure: Units,
    /// What the ledger holds reserved for this node: what it would burn.
    pub exposure_at_most: Units,
    /// The most that could be wrong if the node stopped at this moment.
    pub wrong_at_most: Bound,
}

impl Metrics {
    /// Admitted units for each row that was written: 1 where every unit costs a row.
    pub fn write_reduction(&self) -> f64 {
        self.admitted.0 as f64 / self.rows.max(1) as f64
    }
}

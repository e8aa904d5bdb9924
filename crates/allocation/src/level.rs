//! [`Level`]: how much a node gives for each unit of weight: the height to which it is filled.
//!
//! Invariant: a level is an exact ratio of two whole numbers and is compared by products in 128 bits: no rounding
//! decides an order.

use std::cmp::Ordering;
use std::fmt;

use crate::ids::write_millionths;

/// A quantity in millionths, over a weight in units of 2^-40 of a participant's whole recognition. Equal ratios are
/// equal levels. It prints as what whole recognition would get.
#[derive(Debug, Clone, Copy)]
pub struct Level {
    /// What is shared, in millionths.
    pub quantity: u64,
    /// By how much weight; not 0.
    pub weight: u64,
}

impl Level {
    pub(crate) const ZERO: Self = Self { quantity: 0, weight: 1 };
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Level {}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        product(self.quantity, other.weight).cmp(&product(other.quantity, self.weight))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, (u128::from(self.quantity) << 40) / u128::from(self.weight.max(1)))
    }
}

//! [`Contestant`] and [`Trial`]: what is compared, and one of them in the middle of a workload.
//!
//! Invariant: a step times itself, so that making its rows, checking its result and crossing a pipe are not
//! measured.

use std::time::Duration;

use crate::workload::Workload;

/// Who takes part.
pub trait Contestant {
    /// The heading of its column.
    fn name(&self) -> String;

    /// Loads the workload's data and its live queries; None where it has no such thing.
    fn open(&mut self, workload: &Workload) -> Option<Box<dyn Trial>>;
}

/// A contestant with a workload open.
pub trait Trial {
    /// Does some steps one after the other, from the one with this number, and times each.
    fn run(&mut self, first: u32, count: u32) -> Vec<Sample>;

    /// The sum of [`crate::workload::weigh`] over the result after the last step; None where there is no result.
    fn sum(&mut self) -> Option<i64>;

    /// What its circuits have done so far.
    fn work(&self) -> Option<Work> {
        None
    }
}

/// The time of a step.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// All of it.
    pub whole: Duration,
    /// The part in the circuits, where that is told apart.
    pub circuit: Option<Duration>,
}

impl Sample {
    pub fn of(whole: Duration) -> Self {
        Self { whole, circuit: None }
    }
}

/// Counted work, which no other load on the machine changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Index probes.
    pub probes: u64,
    /// Entries that operators read and gave out.
    pub rows: u64,
}

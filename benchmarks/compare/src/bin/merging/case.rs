//! [`Case`]: what is measured, and the [`Contestant`]s that take turns at it.
//!
//! Invariant: what a contestant prepares is outside its [`Watch`]; contestants that compute the same give the same sum, or
//! the run fails.

use std::hint::black_box;
use std::time::Instant;

use crate::counting::counted;

/// What is measured.
pub struct Case {
    pub label: String,
    /// What an operation is.
    pub unit: &'static str,
    /// Nanoseconds of an operation that the first contestant is to keep.
    pub aim: Option<f64>,
    pub contestants: Vec<Contestant>,
}

/// One that takes part.
pub struct Contestant {
    pub name: String,
    pub turn: Box<dyn FnMut(&mut Watch) -> Outcome>,
}

/// What came out of a turn: the operations that were made, and a sum of the result where others have the same.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub operations: usize,
    pub sum: Option<u64>,
}

/// One of the name, which does this.
pub fn contestant(name: impl Into<String>, turn: impl FnMut(&mut Watch) -> Outcome + 'static) -> Contestant {
    Contestant { name: name.into(), turn: Box::new(turn) }
}

/// An outcome that can be compared.
pub fn sum(operations: usize, sum: u64) -> Outcome {
    Outcome { operations, sum: Some(sum) }
}

/// Takes the time of the parts of a turn that count, or counts their allocations instead.
#[derive(Debug, Default)]
pub struct Watch {
    pub counts: bool,
    pub nanos: u128,
    pub allocations: u64,
}

impl Watch {
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if self.counts {
            let (result, calls, _) = counted(work);
            self.allocations += calls;
            return black_box(result);
        }
        let begun = Instant::now();
        let result = black_box(work());
        self.nanos += begun.elapsed().as_nanos();
        result
    }
}

//! The node as a whole: against ledgers that fail, against real threads, against an executable specification, and
//! against the faults that its predecessors had.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking, in shared functions too")]

mod boundaries;
mod buckets;
mod crashes;
mod driver;
mod errors;
mod life;
mod linearizable;
mod model;
mod peers;
mod pipelined;
mod regressions;
mod standing;
mod windows;

#![doc = include_str!("../README.md")]

mod dot;
mod hybrid_clock;

pub use dot::{ActorId, Dot};
pub use hybrid_clock::{ClockError, HybridLogicalClock, HybridTime};

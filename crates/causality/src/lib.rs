#![doc = include_str!("../README.md")]

mod dot;
mod hybrid_clock;
pub mod itc;

pub use dot::{ActorId, Dot};
pub use hybrid_clock::{ClockError, HybridLogicalClock, HybridTime};

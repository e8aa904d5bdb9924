#![doc = include_str!("../README.md")]

mod causal_context;
mod dot;
mod hybrid_clock;
pub mod itc;
pub mod life;
mod vector_clock;
mod version_vector;

pub use causal_context::CausalContext;
pub use dot::{ActorId, Dot};
pub use hybrid_clock::{ClockError, HybridLogicalClock, HybridTime};
pub use vector_clock::{NotReady, VectorClock, VectorClockError};
pub use version_vector::VersionVector;

//! Interval tree clocks: who has seen what, while replicas come and go without a registry.
//!
//! A replica owns an interval of the line from 0 to 1 (its [`Id`]) and counts its events above it (in its
//! [`Event`]). To fork is to give away a part of the interval, to retire is to give all of it back; so the clock of
//! a thousand replicas is about a thousand bytes and no names are needed.
//!
//! Invariant: of two [`Stamp`]s of owners that descend from one [`Owner::seed`] by [`Owner::fork`] and
//! [`Owner::join`], one is [`leq`](Stamp::leq) the other exactly if the other's owner knew all events of the first.
//! What makes that true is that no point of the line has two owners at a time. The types help: an [`Owner`] cannot
//! be cloned, its id stays with it, and what others get to see is a stamp, which has none. Across crashes and lost
//! messages it is the [life](crate::life) of an id that keeps it.
//!
//! After Almeida, Baquero, Fonte, "Interval Tree Clocks: A Logical Clock for Dynamic Systems" (2008), whose binary
//! form is the one on the wire. Trees are flat arrays in the normal form: equal clocks are equal arrays and equal
//! bytes. Comparing allocates nothing, joining allocates its result, and neither recurses.
//!
//! ```
//! use deltaic_causality::itc::Owner;
//!
//! let mut a = Owner::seed();
//! let mut b = a.fork()?;
//! a.event()?;
//! b.event()?;
//! // Nobody has heard of the other's event.
//! assert_eq!(a.peek().partial_cmp(b.peek()), None);
//!
//! // A message from a to b carries a's stamp.
//! b.receive(a.peek());
//! assert!(a.peek() < b.peek());
//!
//! // b retires: its interval goes home.
//! a.join(b)?;
//! assert_eq!(a, {
//!     let mut whole = Owner::seed();
//!     whole.event()?;
//!     whole
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bits;
mod codec;
mod event;
mod fill;
mod id;
mod latest;
mod owner;
mod stamp;
mod tree;

#[cfg(test)]
mod paper;
#[cfg(test)]
mod tests;

pub use codec::{Limits, TreeError};
pub use event::Event;
pub use id::{Id, Overlap};
pub use latest::{Answer, Latest, SayError, Word};
pub use owner::{ForkError, Owner};
pub use stamp::Stamp;

/// How deep a tree may be: forks beyond it are refused here, trees beyond it where bytes are read. A replica that
/// is forked from every time gets one level deeper a fork; balanced forks of a million replicas need 20.
pub const DEPTH: u32 = 1 << 14;

/// A counter has no number after the last one: 2^64 events in one place, or a stamp that somebody made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("an event counter of the clock is at its end; start a new epoch, and find out who sent such a stamp")]
pub struct CounterOverflow;

//! [`WriteError`]: why a write was not made.
//!
//! Invariant: a mutator that returns an error has changed nothing.

use deltaic_causality::{Dot, HybridTime};
use thiserror::Error;

/// Why a mutator refused. The value is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The dot is not the actor's next: a write with this number was made, or the number is 0.
    #[error(
        "write {dot} was made before, or its number is 0: give each write the actor's next number, and a replica that \
         was restored from a copy a new actor"
    )]
    UsedDot {
        /// The dot that was given.
        dot: Dot,
    },
    /// The time is not above that of the write it would replace, so that the write would be lost.
    #[error(
        "time {time} is not after {current}, that of the write it replaces: let the clock observe each merged write"
    )]
    NotLater {
        /// The time that was given.
        time: HybridTime,
        /// The time of the write that stands.
        current: HybridTime,
    },
    /// A total would leave its 64 bits.
    #[error("{amount} more would leave the counter's 64 bits: begin a new counter, or set it")]
    Overflow {
        /// The change that was asked for.
        amount: u64,
    },
    /// The element of a two-phase set was removed, which is for ever.
    #[error(
        "the element was removed from a two-phase set and cannot come back: use an add-wins set, or another element"
    )]
    Removed,
    /// A removal names a cut that this replica does not hold yet: it could not remove what it never had.
    #[error("the removal's author had seen writes that are missing here: repeat it when they have come")]
    Unseen,
    /// A change that is for another kind of cell.
    #[error(
        "the change is for another kind of column: counters are added to, sets take elements, registers are written"
    )]
    OtherKind,
    /// A write to a row that nobody has inserted.
    #[error("there is no such row: insert it first")]
    NoRow,
    /// The actor has not so many rights to spend or to send.
    #[error(
        "{amount} asked for and {available} at hand: obtain rights from an actor that has some, or ask for less"
    )]
    Rights {
        /// How many were asked for.
        amount: u64,
        /// How many the actor has.
        available: u64,
    },
}

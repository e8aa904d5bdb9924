//! [`TextError`]: why a text did not do what it was asked.
//!
//! Invariant: who returns an error has changed nothing.

use deltaic_causality::{ActorId, Dot};
use deltaic_types::codec::DecodeError;
use thiserror::Error;

/// Why an operation on a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// The bytes are no update, state or version.
    #[error("these are no bytes of a text: {0}")]
    Decode(#[from] DecodeError),
    /// The bytes are of a Yjs document, but hold what no text of ours has.
    #[error(
        "{what} is nothing that a text holds: send updates of one root text named `text`, without embedded values"
    )]
    Unsupported {
        /// What was found.
        what: &'static str,
    },
    /// A place of the log of a client holds one thing here and another in the update.
    #[error(
        "unit {clock} of client {client} is one thing here and another in the update: two writers had one id, or one was \
         restored from a copy; give each life of a writer an actor of its own"
    )]
    Conflict {
        /// The client whose units they are.
        client: u64,
        /// The first of the units that differ.
        clock: u32,
    },
    /// Another writer uses the id under which this one writes.
    #[error(
        "client {client} has written {written} units as it says, and {held} by what is held: begin under an actor that \
         was never used"
    )]
    OtherLife {
        /// The client.
        client: u64,
        /// What the writer says it has written.
        written: u32,
        /// What is held of it.
        held: u32,
    },
    /// An actor whose number has no client id.
    #[error(
        "actor {actor} is 0 or does not fit 53 bits, which is what a text keeps of it: give writers of texts smaller numbers"
    )]
    ActorOutOfRange {
        /// The actor.
        actor: ActorId,
    },
    /// An edit of a text that nobody has begun to write to.
    #[error("the text has no writer: call `begin` first")]
    NoWriter,
    /// A place behind the end.
    #[error("place {at} is behind the end of the text, which has {length} characters")]
    BeyondEnd {
        /// The place, in Unicode scalar values.
        at: usize,
        /// How many the text has.
        length: usize,
    },
    /// A range whose end is before its start.
    #[error("the range {start}..{end} ends before it starts")]
    Backwards {
        /// The start.
        start: usize,
        /// The end.
        end: usize,
    },
    /// An edit that changes nothing where a write must change something.
    #[error("the edit changes nothing: make no write of it")]
    Nothing,
    /// The name of a format is too long.
    #[error("the name of the format has {length} bytes, and may have {limit}")]
    LongName {
        /// Its bytes.
        length: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The text would be larger than a value may be.
    #[error("the text would take {bytes} bytes with this, and may take {limit}: begin another text")]
    TooLarge {
        /// What it would take, at most.
        bytes: usize,
        /// What it may take.
        limit: usize,
    },
    /// The write was made before.
    #[error("write {dot} was made before, or one after it: give each write the actor's next number")]
    UsedDot {
        /// The write.
        dot: Dot,
    },
    /// The library refused what was checked before.
    #[error("the library that orders the text refused what was found to be sound: {reason}")]
    Library {
        /// Its words.
        reason: String,
    },
}

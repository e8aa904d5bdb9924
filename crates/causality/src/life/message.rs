//! [`Message`]: what replicas send each other about ids.
//!
//! Invariant: an id that somebody may own travels in `Grant` and `Give` alone.

use super::{Epoch, Nonce};
use crate::itc::{Id, Stamp};

/// A message. Its order among others, its loss and its repetition do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// In which epoch it was sent.
    pub epoch: Epoch,
    /// What it says.
    pub body: Body,
}

/// What a candidate is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To grant a part of its id.
    Sponsor,
    /// To inherit an id of this shape.
    Heir(Footprint),
}

/// The shape of an id that is to be given away, for comparing: nobody can own it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint(pub(super) Id);

impl Footprint {
    /// By how many leaves the two ids together are smaller than apart.
    pub fn saves(&self, id: &Id) -> u64 {
        let apart = self.0.leaves() + id.leaves();
        apart.saturating_sub(self.0.union(id).leaves()) as u64
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// What do you know? Answered with `Known` and the same nonce.
    Hello {
        /// Comes back with the answer.
        nonce: Nonce,
        /// What the asking one knows.
        stamp: Stamp,
    },
    /// This is what I know.
    Known {
        /// Of the question.
        nonce: Nonce,
        /// What the answering one knows.
        stamp: Stamp,
    },
    /// What could you do for me?
    Ask {
        /// Comes back with the offer.
        nonce: Nonce,
        /// What is needed.
        purpose: Purpose,
    },
    /// An answer to `Ask`: the greater, the better.
    Offer {
        /// Of the question.
        nonce: Nonce,
        /// How good a choice it would be.
        rank: u64,
    },
    /// Grant me a part of your id.
    Join {
        /// Names the attempt.
        nonce: Nonce,
    },
    /// If you have not granted it yet, never do.
    Withdraw {
        /// The attempt.
        nonce: Nonce,
    },
    /// A part of the sponsor's id for a newcomer.
    Grant {
        /// The attempt.
        nonce: Nonce,
        /// The part.
        id: Id,
        /// What the sponsor knew, and the event that proves who has the part.
        stamp: Stamp,
    },
    /// The id of a replica that retires, for its heir.
    Give {
        /// Names the transfer.
        nonce: Nonce,
        /// The id.
        id: Id,
        /// What the giver knew, and the event that proves who has the id.
        stamp: Stamp,
    },
    /// I have it: the stamp knows the event that proves it.
    Taken {
        /// What was granted or given.
        nonce: Nonce,
        /// What the taker knows.
        stamp: Stamp,
    },
    /// I have not taken or granted it and never will.
    Refused {
        /// The attempt or the transfer.
        nonce: Nonce,
    },
    /// You sent in an epoch that has ended: this message's epoch is the present one.
    Fenced,
}

//! [`VectorClock`]: the clock of a fixed circle of processes that exchange messages.
//!
//! Invariant: entries that are zero do not exist, so that equal knowledge is equal clocks; of two clocks exactly one
//! of before, equal, after and concurrent (`None`) holds, over the actors of both.
//!
//! Two disciplines use one clock, and must not be mixed on one of them:
//! - *messages* (Fidge 1988, Mattern 1989): sending and receiving are events. [`tick`](VectorClock::tick),
//!   [`send`](VectorClock::send), [`receive`](VectorClock::receive).
//! - *causal delivery* (Birman, Schiper, Stephenson 1991): only sending counts, a delivery raises the sender's entry
//!   and nothing else, so that the clock is the number of messages delivered of each. [`send`](VectorClock::send),
//!   [`can_deliver`](VectorClock::can_deliver), [`deliver`](VectorClock::deliver).
//!
//! State that replicas merge is neither: a merge is no event, or equal states would differ for ever. It has a
//! [`VersionVector`]; here that is [`learn`](VectorClock::learn).
//!
//! ```
//! use deltaic_causality::{ActorId, VectorClock};
//!
//! let (a, b) = (ActorId(1), ActorId(2));
//! let (mut at_a, mut at_b) = (VectorClock::default(), VectorClock::default());
//! let question = at_a.send(a)?;
//! at_b.deliver(a, &question).unwrap();
//! let answer = at_b.send(b)?;
//! assert!(question < answer);
//!
//! // A third hears the answer first, and keeps it until it has the question.
//! let mut at_c = VectorClock::default();
//! assert!(!at_c.can_deliver(b, &answer));
//! at_c.deliver(a, &question).unwrap();
//! assert!(at_c.can_deliver(b, &answer));
//! # Ok::<(), deltaic_causality::VectorClockError>(())
//! ```

use std::cmp::Ordering;
use std::fmt;

use deltaic_types::codec::{DecodeError, Reader};
use thiserror::Error;

use crate::{ActorId, Dot, VersionVector};

/// How many events of each actor are known. 16 bytes an actor; comparing and learning are linear in the actors of
/// both, and comparing allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct VectorClock {
    known: VersionVector,
}

/// Why no event was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VectorClockError {
    /// The actor has made 2^64 - 1 events.
    #[error("actor {actor} has no event numbers left; give it a new id")]
    Exhausted {
        /// Who.
        actor: ActorId,
    },
}

/// Why a message cannot be delivered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It was delivered before: drop it.
    #[error("message {message} was delivered already; drop it")]
    Delivered {
        /// The sender and its number.
        message: Dot,
    },
    /// Another message comes first: keep this one.
    #[error("message {missing} comes first; keep this one until it was delivered")]
    Missing {
        /// The next message that is wanted of one of those this one depends on.
        missing: Dot,
    },
}

impl VectorClock {
    /// How many events of the actor are known.
    pub fn get(&self, actor: ActorId) -> u64 {
        self.known.last(actor)
    }

    /// Counts an event of the clock's own actor, and gives its number. An error leaves the clock as it was.
    pub fn tick(&mut self, own: ActorId) -> Result<Dot, VectorClockError> {
        let next = self.known.next(own).ok_or(VectorClockError::Exhausted { actor: own })?;
        self.known.raise(next);
        Ok(next)
    }

    /// Counts the sending of a message, and gives the clock that goes with it.
    pub fn send(&mut self, own: ActorId) -> Result<Self, VectorClockError> {
        self.tick(own)?;
        Ok(self.clone())
    }

    /// Learns what a message's sender knew, and counts the receipt as an event of its own.
    pub fn receive(&mut self, own: ActorId, message: &Self) -> Result<Dot, VectorClockError> {
        let mut after = self.clone();
        after.learn(message);
        let receipt = after.tick(own)?;
        *self = after;
        Ok(receipt)
    }

    /// Learns what another clock knows. This is no event: learning twice, or what is known, changes nothing.
    pub fn learn(&mut self, other: &Self) {
        self.known.join(&other.known);
    }

    /// Whether all of the other's events are known here.
    pub fn contains(&self, other: &Self) -> bool {
        matches!(self.partial_cmp(other), Some(Ordering::Greater | Ordering::Equal))
    }

    /// Whether each clock knows an event that the other does not.
    pub fn is_concurrent(&self, other: &Self) -> bool {
        self.partial_cmp(other).is_none()
    }

    /// Whether the message is the sender's next one and everything its sender had delivered was delivered here.
    pub fn can_deliver(&self, sender: ActorId, message: &Self) -> bool {
        self.readiness(sender, message).is_ok()
    }

    /// Delivers the message, if it is its turn; otherwise says what to do with it and changes nothing.
    pub fn deliver(&mut self, sender: ActorId, message: &Self) -> Result<(), NotReady> {
        self.readiness(sender, message)?;
        self.known.raise(Dot { actor: sender, seq: message.get(sender) });
        Ok(())
    }

    /// The actors of which events are known, ascending, with how many.
    pub fn iter(&self) -> impl Iterator<Item = (ActorId, u64)> + '_ {
        self.known.iter()
    }

    /// What is known, as the cut of a replica.
    pub fn as_version_vector(&self) -> &VersionVector {
        &self.known
    }

    /// Appends the clock: 2 to 20 bytes an actor.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        self.known.write(bytes);
    }

    /// Reads what [`VectorClock::write`] wrote. Actors out of order, twice, or without an event are an error.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { known: VersionVector::read(reader)? })
    }

    fn readiness(&self, sender: ActorId, message: &Self) -> Result<(), NotReady> {
        let number = message.get(sender);
        if number <= self.get(sender) {
            return Err(NotReady::Delivered { message: Dot { actor: sender, seq: number } });
        }
        for (actor, needed) in message.iter() {
            let needed = if actor == sender { needed - 1 } else { needed };
            let delivered = self.get(actor);
            if delivered < needed {
                return Err(NotReady::Missing { missing: Dot { actor, seq: delivered + 1 } });
            }
        }
        Ok(())
    }
}

impl From<VersionVector> for VectorClock {
    fn from(known: VersionVector) -> Self {
        Self { known }
    }
}

impl PartialOrd for VectorClock {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.known.partial_cmp(&other.known)
    }
}

impl fmt::Display for VectorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ActorId = ActorId(1);
    const B: ActorId = ActorId(2);
    const C: ActorId = ActorId(3);

    fn clock(entries: &[(ActorId, u64)]) -> VectorClock {
        let dots = entries.iter().map(|&(actor, seq)| Dot { actor, seq });
        VectorClock { known: dots.collect() }
    }

    /// The original requirements looked only at the actors of the left clock.
    #[test]
    fn an_actor_that_only_the_other_knows_counts() {
        assert!(clock(&[(A, 1)]) < clock(&[(A, 1), (B, 1)]));
        assert!(!clock(&[(A, 1)]).is_concurrent(&clock(&[(A, 1), (B, 1)])));
        assert!(VectorClock::default() < clock(&[(A, 1)]));
    }

    /// They called a clock concurrent with itself, and with itself plus an entry of zero.
    #[test]
    fn equal_is_not_concurrent_and_zero_is_no_entry() {
        let one = clock(&[(A, 1)]);
        assert_eq!(one.partial_cmp(&one), Some(Ordering::Equal));
        assert!(!one.is_concurrent(&one));
        assert_eq!(clock(&[(A, 1), (B, 0)]), one);
        assert!(one.contains(&clock(&[(A, 1), (B, 0)])));
    }

    /// They delivered what was known already and what misses something, and held back what was due.
    #[test]
    fn delivery_takes_the_next_and_neither_the_old_nor_the_early() {
        let mut at = clock(&[(A, 1), (C, 3)]);
        assert!(at.can_deliver(A, &clock(&[(A, 2)])));
        let old = at.deliver(A, &clock(&[(A, 1)])).unwrap_err();
        assert_eq!(old, NotReady::Delivered { message: Dot { actor: A, seq: 1 } });
        assert!(old.to_string().contains("drop it"));
        // It comes after a:2 to a:5.
        let early = at.deliver(B, &clock(&[(A, 5), (B, 1)])).unwrap_err();
        assert_eq!(early, NotReady::Missing { missing: Dot { actor: A, seq: 2 } });
        assert!(early.to_string().contains("keep this one"));
        assert_eq!(at, clock(&[(A, 1), (C, 3)]));
        at.deliver(A, &clock(&[(A, 2)])).unwrap();
        assert!(!at.can_deliver(A, &clock(&[(A, 2)])));
        assert!(!at.can_deliver(A, &clock(&[(A, 4)])));
    }

    /// They let each dependency on another actor be one behind, and counted deliveries as events of their own.
    #[test]
    fn a_dependency_is_not_one_behind_and_a_delivery_is_the_senders() {
        let mut at = VectorClock::default();
        assert!(!at.can_deliver(B, &clock(&[(A, 1), (B, 1)])));
        at.deliver(A, &clock(&[(A, 1)])).unwrap();
        at.deliver(B, &clock(&[(A, 1), (B, 1)])).unwrap();
        assert_eq!(at, clock(&[(A, 1), (B, 1)]));
    }

    #[test]
    fn a_merge_is_no_event_and_a_receipt_is() {
        let (mut one, mut two) = (clock(&[(A, 1)]), clock(&[(B, 1)]));
        one.learn(&two);
        two.learn(&one);
        one.learn(&two);
        assert_eq!(one, two);
        assert_eq!(two.receive(B, &one), Ok(Dot { actor: B, seq: 2 }));
        assert!(one < two);
    }

    #[test]
    fn the_last_number_is_an_error_and_changes_nothing() {
        let mut last = clock(&[(A, u64::MAX)]);
        let before = last.clone();
        assert_eq!(last.tick(A), Err(VectorClockError::Exhausted { actor: A }));
        assert_eq!(last.send(A), Err(VectorClockError::Exhausted { actor: A }));
        assert_eq!(last.receive(A, &clock(&[(B, 1)])), Err(VectorClockError::Exhausted { actor: A }));
        assert_eq!(last, before);
        assert!(VectorClockError::Exhausted { actor: A }.to_string().contains("new id"));
        assert!(last.can_deliver(B, &clock(&[(A, u64::MAX), (B, 1)])));
    }

    /// A message of a group of three: who sent it, and with which clock.
    type Sent = (ActorId, VectorClock);

    proptest! {
        /// Messages are lost, repeated and reordered, and sent again until everybody has all: each is delivered
        /// once everywhere, after all that its sender had delivered or sent.
        #[test]
        fn causal_delivery(draws in proptest::collection::vec((0_usize..3, any::<bool>(), any::<usize>()), 0..120)) {
            let actors = [A, B, C];
            let mut clocks = vec![VectorClock::default(); 3];
            let mut sent: Vec<Sent> = Vec::new();
            // What each delivered, in order, as places in `sent`; and what the sender of each had by then.
            let mut delivered: Vec<Vec<usize>> = vec![Vec::new(); 3];
            let mut causes: Vec<Vec<usize>> = Vec::new();
            let sends = draws.iter().filter(|draw| draw.1).count();
            // At last each is sent to each, the youngest first, as often as it may take.
            let rounds = (0..sends).flat_map(|_| (0..3).flat_map(move |at| (0..sends).rev().map(move |i| (at, false, i))));
            for (at, sends, pick) in draws.iter().copied().chain(rounds) {
                if sends {
                    let message = clocks[at].send(actors[at]).unwrap();
                    causes.push(delivered[at].clone());
                    delivered[at].push(sent.len());
                    sent.push((actors[at], message));
                } else if !sent.is_empty() {
                    let place = pick % sent.len();
                    let (sender, message) = &sent[place];
                    match clocks[at].deliver(*sender, message) {
                        Ok(()) => {
                            prop_assert!(causes[place].iter().all(|cause| delivered[at].contains(cause)));
                            prop_assert!(!delivered[at].contains(&place));
                            delivered[at].push(place);
                        }
                        Err(NotReady::Delivered { .. }) => prop_assert!(delivered[at].contains(&place)),
                        Err(NotReady::Missing { .. }) => {
                            prop_assert!(!causes[place].iter().all(|cause| delivered[at].contains(cause)));
                        }
                    }
                }
            }
            for at in 0..3 {
                prop_assert_eq!(delivered[at].len(), sent.len());
                prop_assert_eq!(&clocks[at], &clocks[0]);
            }
        }

        #[test]
        fn a_clock_comes_back(entries in proptest::collection::vec((0_u64..9, any::<u64>()), 0..9)) {
            let dots = entries.iter().map(|&(actor, seq)| Dot { actor: ActorId(actor), seq });
            let clock = VectorClock::from(dots.collect::<VersionVector>());
            let mut bytes = Vec::new();
            clock.write(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(VectorClock::read(&mut reader), Ok(clock));
            prop_assert!(reader.is_empty());
        }
    }
}

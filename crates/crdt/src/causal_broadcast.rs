//! [`CausalBroadcast`]: operations to all members, each once and in causal order.
//!
//! Invariant: an operation is delivered when all that its author had delivered before it is delivered here: it is the next
//! of its author, and of every other member no more was known to the author than is delivered here (Birman, Schiper and
//! Stephenson, "Lightweight Causal and Atomic Group Multicast", 1991). What comes early waits, bounded; what comes again
//! is dropped; what is lost is sent again by its author, who keeps it until every member has acknowledged it.
//!
//! For logs of operations. State that merges needs none of this: [`Crdt::join`](crate::Crdt::join) takes deltas in any
//! order. An author that is gone for good takes along what only it had: members that lack it catch up from another's
//! state.
//!
//! ```
//! use deltaic_causality::ActorId;
//! use deltaic_crdt::{BroadcastLimits, CausalBroadcast};
//!
//! let member = |actor| CausalBroadcast::new(ActorId(actor), (1..=3).map(ActorId), BroadcastLimits::default());
//! let (mut ann, mut bob, mut cleo) = (member(1), member(2), member(3));
//! let question = ann.send("lunch?".to_owned())?;
//! bob.receive(question.clone())?;
//! let answer = bob.send("yes".to_owned())?;
//!
//! // The answer comes first, and waits for the question.
//! assert!(cleo.receive(answer)?.is_empty());
//! let heard: Vec<_> = cleo.receive(question)?.into_iter().map(|message| message.payload).collect();
//! assert_eq!(heard, ["lunch?", "yes"]);
//! # Ok::<(), deltaic_crdt::BroadcastError>(())
//! ```

use std::collections::{BTreeMap, VecDeque};

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader};
use thiserror::Error;

use crate::Element;

/// How much a member holds at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BroadcastLimits {
    /// Operations of each other member that came early.
    pub waiting: usize,
    /// Own operations that some member has not acknowledged.
    pub kept: usize,
}

impl Default for BroadcastLimits {
    /// 1,000 of each.
    fn default() -> Self {
        Self { waiting: 1_000, kept: 1_000 }
    }
}

/// An operation on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<P> {
    /// Which operation it is: the author's first is 1.
    pub dot: Dot,
    /// What its author had delivered of the other members before it.
    pub after: VersionVector,
    /// The operation.
    pub payload: P,
}

/// Why an operation was not taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// Too much of what was sent is not acknowledged.
    #[error(
        "{limit} operations wait for acknowledgements: let the members catch up, or let one that is gone leave"
    )]
    Unacknowledged {
        /// The most that may be.
        limit: usize,
    },
    /// Too much of this author came before its time.
    #[error(
        "{limit} operations of {actor} wait for earlier ones: it comes again when they have been delivered"
    )]
    Waiting {
        /// The author.
        actor: ActorId,
        /// The most that may wait.
        limit: usize,
    },
    /// The author is no member.
    #[error("{actor} is no member: let it join before it sends")]
    Stranger {
        /// The author.
        actor: ActorId,
    },
    /// The message names operations of this member's that it never made.
    #[error(
        "{dot} was sent or seen as an operation of this member's, which never made it: two members have one id, or this \
             one was restored from a copy and must come back with a new id"
    )]
    NeverMade {
        /// The operation.
        dot: Dot,
    },
    /// The message contradicts itself.
    #[error("{dot} says of its own author what came before it: a damaged or foreign message")]
    Contradiction {
        /// The operation.
        dot: Dot,
    },
}

/// One member's side. It sends nothing itself: the caller carries messages and acknowledgements.
#[derive(Debug, Clone)]
pub struct CausalBroadcast<P> {
    actor: ActorId,
    limits: BroadcastLimits,
    delivered: VersionVector,
    /// Of each other member the number of this one's operations that it has acknowledged.
    acknowledged: BTreeMap<ActorId, u64>,
    /// Own operations that some member may lack, ascending without a gap.
    kept: VecDeque<Message<P>>,
    waiting: BTreeMap<ActorId, BTreeMap<u64, Message<P>>>,
}

impl<P: Clone> CausalBroadcast<P> {
    /// A member that has delivered nothing. Whether the members name itself makes no difference.
    pub fn new(actor: ActorId, members: impl IntoIterator<Item = ActorId>, limits: BroadcastLimits) -> Self {
        let others = members.into_iter().filter(|member| *member != actor);
        Self {
            actor,
            limits,
            delivered: VersionVector::default(),
            acknowledged: others.map(|member| (member, 0)).collect(),
            kept: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// What was delivered here, own operations too: what acknowledgements say.
    pub fn delivered(&self) -> &VersionVector {
        &self.delivered
    }

    /// How many operations of others wait for earlier ones.
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(BTreeMap::len).sum()
    }

    /// How many own operations some member has not acknowledged.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Makes an operation, which counts as delivered here, and gives the message to all others.
    pub fn send(&mut self, payload: P) -> Result<Message<P>, BroadcastError> {
        if self.kept.len() >= self.limits.kept {
            return Err(BroadcastError::Unacknowledged { limit: self.limits.kept });
        }
        let next = self.delivered.next(self.actor);
        let dot = next.expect("invariant: nobody makes 2^64 operations one by one");
        let mut after = self.delivered.clone();
        after.forget(self.actor);
        self.delivered.raise(dot);
        let message = Message { dot, after, payload };
        if !self.acknowledged.is_empty() {
            self.kept.push_back(message.clone());
        }
        Ok(message)
    }

    /// Takes a message in, and gives what can be delivered now, in causal order. Nothing where it came before or waits.
    ///
    /// O(members) for each operation that is delivered.
    pub fn receive(&mut self, message: Message<P>) -> Result<Vec<Message<P>>, BroadcastError> {
        let dot = message.dot;
        let own = Dot { actor: self.actor, seq: message.after.last(self.actor) };
        if dot.actor == self.actor && !self.delivered.contains(dot) {
            return Err(BroadcastError::NeverMade { dot });
        }
        if own.seq > self.delivered.last(self.actor) {
            return Err(BroadcastError::NeverMade { dot: own });
        }
        if dot.seq == 0 || message.after.last(dot.actor) != 0 {
            return Err(BroadcastError::Contradiction { dot });
        }
        if self.delivered.contains(dot) {
            return Ok(Vec::new());
        }
        if !self.acknowledged.contains_key(&dot.actor) {
            return Err(BroadcastError::Stranger { actor: dot.actor });
        }
        if !self.is_next(&message) {
            let waiting = self.waiting.entry(dot.actor).or_default();
            if waiting.len() >= self.limits.waiting && !waiting.contains_key(&dot.seq) {
                return Err(BroadcastError::Waiting { actor: dot.actor, limit: self.limits.waiting });
            }
            waiting.entry(dot.seq).or_insert(message);
            return Ok(Vec::new());
        }
        Ok(self.deliver(Some(message)))
    }

    /// Takes over what the cut holds, which came as a state and not as operations: to a newcomer, or where an author is
    /// gone. Gives what can be delivered now.
    pub fn catch_up(&mut self, cut: &VersionVector) -> Result<Vec<Message<P>>, BroadcastError> {
        let own = Dot { actor: self.actor, seq: cut.last(self.actor) };
        if own.seq > self.delivered.last(self.actor) {
            return Err(BroadcastError::NeverMade { dot: own });
        }
        self.delivered.join(cut);
        for (actor, waiting) in &mut self.waiting {
            let last = self.delivered.last(*actor);
            waiting.retain(|seq, _| *seq > last);
        }
        Ok(self.deliver(None))
    }

    /// A member has delivered what the cut holds. What all have is not kept any longer.
    pub fn acknowledge(&mut self, member: ActorId, cut: &VersionVector) {
        // What this member never made nobody has.
        let seq = cut.last(self.actor).min(self.delivered.last(self.actor));
        if let Some(known) = self.acknowledged.get_mut(&member) {
            *known = seq.max(*known);
            self.trim();
        }
    }

    /// The own operations that a member lacks who has delivered what the cut holds, in order.
    pub fn missing(&self, cut: &VersionVector) -> impl Iterator<Item = &Message<P>> {
        let last = cut.last(self.actor);
        self.kept.iter().filter(move |message| message.dot.seq > last)
    }

    /// A member joins: what is sent from now on is kept until it has acknowledged it. It begins by
    /// [catching up](Self::catch_up) with a state that holds what each member sent before it called this.
    pub fn join(&mut self, member: ActorId) {
        if member != self.actor {
            self.acknowledged.entry(member).or_insert(0);
        }
    }

    /// A member leaves: nothing is kept for it, and what of its operations waits is dropped.
    pub fn leave(&mut self, member: ActorId) {
        self.acknowledged.remove(&member);
        self.waiting.remove(&member);
        self.trim();
    }

    /// Delivers this operation and all that waited for it, so that nothing that waits is ready afterwards.
    fn deliver(&mut self, first: Option<Message<P>>) -> Vec<Message<P>> {
        let mut delivered = Vec::new();
        let mut next = first.or_else(|| self.take_next());
        while let Some(message) = next {
            self.delivered.raise(message.dot);
            delivered.push(message);
            next = self.take_next();
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        delivered
    }

    fn trim(&mut self) {
        let all = self.acknowledged.values().copied().min().unwrap_or(u64::MAX);
        while self.kept.front().is_some_and(|message| message.dot.seq <= all) {
            self.kept.pop_front();
        }
    }

    fn is_next(&self, message: &Message<P>) -> bool {
        let next = self.delivered.next(message.dot.actor) == Some(message.dot);
        next && message.after.iter().all(|(actor, last)| last <= self.delivered.last(actor))
    }

    /// An operation that waits no longer.
    fn take_next(&mut self) -> Option<Message<P>> {
        let next = |waiting: &BTreeMap<u64, Message<P>>| {
            waiting.values().next().filter(|message| self.is_next(message)).map(|message| message.dot)
        };
        let dot = self.waiting.values().find_map(next)?;
        self.waiting.get_mut(&dot.actor)?.remove(&dot.seq)
    }
}

impl<P: Element> Message<P> {
    /// Appends the message: its dot, its cut and the operation.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        self.dot.write(bytes);
        self.after.write(bytes);
        self.payload.write(bytes);
    }

    /// Reads what [`Message::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { dot: Dot::read(reader)?, after: VersionVector::read(reader)?, payload: P::read(reader)? })
    }
}

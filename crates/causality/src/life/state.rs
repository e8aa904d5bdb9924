//! [`State`]: what a replica must not forget about its id.
//!
//! Invariant: the id and the ids in `outgoing` have no point in common, and no public stamp knows the event that
//! proves who has an id of `outgoing`, until somebody has it. It cannot be cloned; a copy from storage is found out
//! by [`Life`](super::Life).

use std::collections::{BTreeMap, VecDeque};

use super::{Epoch, Nonce};
use crate::ActorId;
use crate::itc::{CounterOverflow, Id, Stamp};

/// How many transfers may be under way, from here and to here.
pub(super) const TRANSFERS: usize = 1_024;

/// How many attempts that will not be granted any more are remembered. The repetition of one that is older would be
/// granted to nobody.
pub(super) const SETTLED: usize = 1_024;

/// What is durable of a replica's life.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    pub(super) me: ActorId,
    pub(super) epoch: Epoch,
    pub(super) role: Role,
    pub(super) stamp: Stamp,
    pub(super) baseline: Stamp,
    pub(super) asked: BTreeMap<Nonce, Asked>,
    pub(super) outgoing: BTreeMap<Nonce, Transfer>,
    pub(super) settled: VecDeque<Nonce>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Owns nothing.
    Outside,
    /// Owns this and counts events.
    Member(Id),
    /// Counts no more events; its id is in `outgoing`.
    Retiring,
    /// Everything it had is somebody else's.
    Left,
    /// It is a copy from before.
    Quarantined,
}

/// An attempt to join that may still be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) sponsor: ActorId,
    pub(super) withdrawn: bool,
}

/// An id on its way to another replica.
#[derive(Debug, PartialEq, Eq)]
pub struct Transfer {
    pub(super) to: To,
    pub(super) id: Id,
    pub(super) stamp: Stamp,
}

/// Whom a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// A newcomer that asked for it.
    Joiner(ActorId),
    /// The heir of one that retires.
    Heir(ActorId),
    /// An heir that is still to be found.
    Anyone,
}

impl Transfer {
    /// An id with the event that proves who has it: of each point, for it may be taken apart later.
    pub(super) fn new(to: To, id: Id, known: &Stamp) -> Result<Self, CounterOverflow> {
        let stamp = Stamp::from(known.event().mark(&id)?);
        Ok(Self { to, id, stamp })
    }

    /// Whether somebody has taken it, as one can tell who knows this.
    pub(super) fn is_taken(&self, known: &Stamp) -> bool {
        is_taken(&self.id, &self.stamp, known)
    }

    /// Whom it is for.
    pub fn to(&self) -> To {
        self.to
    }

    /// What is on its way.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// What its taker will know, with the event that proves that it has taken it.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

/// Whether who knows `known` can tell that the id was taken: the event that its giver counted in it is known.
pub(super) fn is_taken(id: &Id, transfer: &Stamp, known: &Stamp) -> bool {
    transfer.leq_within(known, id)
}

impl State {
    /// The first replica of all: it owns the whole line. There must be one.
    pub fn founder(me: ActorId) -> Self {
        Self { role: Role::Member(Id::whole()), ..Self::outside(me) }
    }

    /// A replica that has still to join.
    pub fn outside(me: ActorId) -> Self {
        Self {
            me,
            epoch: Epoch::default(),
            role: Role::Outside,
            stamp: Stamp::default(),
            baseline: Stamp::default(),
            asked: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            settled: VecDeque::new(),
        }
    }

    /// Whose state it is.
    pub fn me(&self) -> ActorId {
        self.me
    }

    /// The epoch it is in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What it knows, in this epoch.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// What was known of the epoch before when this one began, in that epoch's counts. All of it is below whatever
    /// is counted in this epoch.
    pub fn baseline(&self) -> &Stamp {
        &self.baseline
    }

    /// What it owns, if it is a member.
    pub fn id(&self) -> Option<&Id> {
        match &self.role {
            Role::Member(id) => Some(id),
            _ => None,
        }
    }

    /// Whether it owns an id and counts events.
    pub fn is_member(&self) -> bool {
        matches!(self.role, Role::Member(_))
    }

    /// Whether it has stopped counting events and still has something to give away.
    pub fn is_retiring(&self) -> bool {
        matches!(self.role, Role::Retiring)
    }

    /// Whether it has left for good. The state may be deleted when peers have stopped sending to it; before that it
    /// still says that it takes nothing.
    pub fn has_left(&self) -> bool {
        matches!(self.role, Role::Left)
    }

    /// Whether it was found to be a copy from before. It only tells others what it knows; its data go on as
    /// [`anew`](Self::anew).
    pub fn is_quarantined(&self) -> bool {
        matches!(self.role, Role::Quarantined)
    }

    /// The same data under the id of another actor, which was never used: it knows the same and has still to join.
    #[must_use]
    pub fn anew(&self, me: ActorId) -> Self {
        let (stamp, baseline) = (self.stamp.clone(), self.baseline.clone());
        Self { epoch: self.epoch, stamp, baseline, ..Self::outside(me) }
    }

    /// The ids that are on their way and not known to be taken. One whose taker is gone is an orphan: it stays here
    /// until it is [abandoned](super::Input::Abandon) or the epoch ends.
    pub fn outgoing(&self) -> impl Iterator<Item = (Nonce, &Transfer)> + '_ {
        self.outgoing.iter().map(|(nonce, transfer)| (*nonce, transfer))
    }

    /// The attempts to join that may still be granted.
    pub fn asked(&self) -> impl Iterator<Item = Nonce> + '_ {
        self.asked.keys().copied()
    }

    /// Remembers that the attempt is not to be granted any more.
    pub(super) fn settle(&mut self, nonce: Nonce) {
        if self.settled.len() == SETTLED {
            self.settled.pop_front();
        }
        self.settled.push_back(nonce);
    }

    /// Drops the transfers that are taken, as one can tell who knows this; whether there were any.
    pub(super) fn drop_taken(&mut self, known: &Stamp) -> bool {
        let taken: Vec<Nonce> = self
            .outgoing()
            .filter(|(_, transfer)| transfer.is_taken(known))
            .map(|(nonce, _)| nonce)
            .collect();
        for nonce in &taken {
            if let Some(Transfer { to: To::Joiner(_), .. }) = self.outgoing.remove(nonce) {
                self.settle(*nonce);
            }
        }
        !taken.is_empty()
    }

    /// Whether some of an id that comes is here already: owned, or on its way and not known to be taken by who sent
    /// the stamp.
    pub(super) fn holds_some_of(&self, id: &Id, known: &Stamp) -> bool {
        let under_way = |transfer: &Transfer| !transfer.is_taken(known) && transfer.id.overlaps(id);
        self.id().is_some_and(|own| own.overlaps(id)) || self.outgoing.values().any(under_way)
    }

    /// Leaves, if it retires and nothing is under way any more; whether it did.
    pub(super) fn leave_if_done(&mut self) -> bool {
        let done = self.is_retiring() && self.outgoing.is_empty() && self.asked.is_empty();
        if done {
            self.role = Role::Left;
        }
        done
    }
}

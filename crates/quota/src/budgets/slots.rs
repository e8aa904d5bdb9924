//! [`Slots`]: the keys in memory: those in use, and those at rest in a fifth of the space.
//!
//! Invariant: a key is at rest only while nobody has it in hand, nobody waits for it, the ledger knows all that it
//! did and nothing about it is under way. Then it is a few sums: what it wakes to is what it was.

use super::{PolicyId, Slot};
use crate::{Key, Time, Units, WindowId};

/// Places are made so many at once, so that a node with few keys is small and one with many wastes little.
const CHUNK: usize = 64;

/// A key at rest: its lease in cumulative amounts, settled.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) key: Key,
    pub(super) window: WindowId,
    /// When it is next to be looked at.
    pub(super) look_at: Time,
    pub(super) sums: Sums,
    policy: u32,
}

/// A lease that is settled, in cumulative amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) granted: Units,
    pub(crate) returned: Units,
    pub(crate) consumed: Units,
    pub(crate) refunded: Units,
    /// What the ledger had left, and what the limit is to be.
    pub(crate) left: Units,
    pub(crate) target: Units,
}

impl Sums {
    /// What the lease has unspent.
    pub(crate) fn held(&self) -> Units {
        self.granted.minus(self.returned).minus(self.consumed.minus(self.refunded))
    }
}

impl Resting {
    pub(super) fn new(key: Key, window: WindowId, policy: PolicyId, look_at: Time, sums: Sums) -> Self {
        let policy = u32::try_from(policy.0).expect("invariant: there are fewer policies than a word counts");
        Self { key, window, look_at, sums, policy }
    }

    pub(super) fn policy(&self) -> PolicyId {
        PolicyId(self.policy as usize)
    }
}

#[derive(Debug)]
enum Place {
    Free,
    InUse(Box<Slot>),
    AtRest(Resting),
}

/// Keys by a number that stays theirs as long as they are in memory.
#[derive(Debug, Default)]
pub(super) struct Slots {
    chunks: Vec<Vec<Place>>,
    free: Vec<u32>,
    taken: usize,
}

impl Slots {
    /// A free place: it is taken by the next [`Slots::put`].
    pub(super) fn vacant(&mut self) -> usize {
        if let Some(free) = self.free.pop() {
            return free as usize;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.last_mut().expect("invariant: a chunk was just made");
        last.push(Place::Free);
        before + last.len() - 1
    }

    fn place(&self, index: usize) -> Option<&Place> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn place_mut(&mut self, index: usize) -> Option<&mut Place> {
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    fn set(&mut self, index: usize, place: Place) -> Place {
        let old = self.place_mut(index).expect("invariant: a place was made before it is used");
        std::mem::replace(old, place)
    }

    /// Puts a key in use into a place, over the same key at rest if that was there.
    pub(super) fn put(&mut self, index: usize, slot: Slot) {
        if matches!(self.set(index, Place::InUse(Box::new(slot))), Place::Free) {
            self.taken += 1;
        }
    }

    /// Lays a key to rest in its place.
    pub(super) fn rest(&mut self, index: usize, resting: Resting) {
        self.set(index, Place::AtRest(resting));
    }

    /// Forgets a key in use.
    pub(super) fn remove(&mut self, index: usize) -> Option<Slot> {
        let slot = match self.place_mut(index) {
            Some(place @ Place::InUse(_)) => std::mem::replace(place, Place::Free),
            _ => return None,
        };
        self.release(index);
        if let Place::InUse(slot) = slot { Some(*slot) } else { None }
    }

    /// Forgets a key at rest.
    pub(super) fn remove_resting(&mut self, index: usize) {
        self.set(index, Place::Free);
        self.release(index);
    }

    fn release(&mut self, index: usize) {
        self.taken -= 1;
        self.free.push(u32::try_from(index).expect("invariant: there are fewer slots than a word counts"));
    }

    /// A key in use.
    pub(super) fn get(&self, index: usize) -> Option<&Slot> {
        match self.place(index)? {
            Place::InUse(slot) => Some(slot),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Slot> {
        match self.place_mut(index)? {
            Place::InUse(slot) => Some(slot),
            _ => None,
        }
    }

    /// A key at rest.
    pub(super) fn resting(&self, index: usize) -> Option<&Resting> {
        match self.place(index)? {
            Place::AtRest(resting) => Some(resting),
            _ => None,
        }
    }

    /// The keys in use.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flatten().filter_map(|place| match place {
            Place::InUse(slot) => Some(&**slot),
            _ => None,
        })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.chunks.iter_mut().flatten().filter_map(|place| match place {
            Place::InUse(slot) => Some(&mut **slot),
            _ => None,
        })
    }

    /// The keys at rest.
    pub(super) fn iter_resting(&self) -> impl Iterator<Item = &Resting> {
        self.chunks.iter().flatten().filter_map(|place| match place {
            Place::AtRest(resting) => Some(resting),
            _ => None,
        })
    }

    /// Every number that may name a key.
    pub(super) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.chunks.iter().map(Vec::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }
}

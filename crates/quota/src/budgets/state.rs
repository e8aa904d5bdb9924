//! [`KeyState`]: where the keys of a node stand, for whoever shows it.
//!
//! Invariant: who watches is told of a key after each change of it, at most once between two questions, and when it is
//! forgotten; asking costs the keys that changed.

use std::collections::BTreeSet;

use super::{Budgets, PolicyId, Slot, Stage};
use crate::bucket::Bucket;
use crate::{Baseline, Bound, Guarantee, Input, Key, Place, Stored, Time, Units, WindowId};

/// Where a key stands in its window, as this node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyState {
    /// What the limit is to be; of a bucket, what it holds.
    pub limit: Units,
    /// Spent for good, as the ledger knows it, and what went over the limit without cover. Of a standing share: what this
    /// node has spent of it.
    pub used: Units,
    /// Held by leases, of this node and others, spent or not.
    pub reserved: Units,
    /// What can still be admitted: here, and what the ledger could grant.
    pub available: Units,
    /// What a crash of this node would cost at this moment.
    pub bound: Bound,
    /// Requests that this node has refused in this window.
    pub denied: u64,
    /// When the window is over.
    pub ends: Time,
}

/// A key whose state has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its policy.
    pub policy: PolicyId,
    /// The key.
    pub key: Key,
    /// The window.
    pub window: WindowId,
    /// Where it stands; none if the node has forgotten it.
    pub state: Option<KeyState>,
}

/// The keys that changed since somebody asked.
#[derive(Debug, Default)]
pub(super) struct Watched {
    touched: BTreeSet<usize>,
    gone: Vec<Changed>,
}

impl Watched {
    pub(super) fn touch(&mut self, index: usize) {
        self.touched.insert(index);
    }

    pub(super) fn remove(&mut self, index: usize, (policy, key, window): (PolicyId, Key, WindowId)) {
        self.touched.remove(&index);
        self.gone.push(Changed { policy, key, window, state: None });
    }
}

impl Slot {
    fn changed(&self, clock: Time) -> Changed {
        let (policy, key, window) = (self.policy, self.key.clone(), self.window);
        Changed { policy, key, window, state: Some(self.state(clock)) }
    }

    fn state(&self, clock: Time) -> KeyState {
        let accumulator = &self.accumulator;
        let baseline = accumulator.baseline().unwrap_or_default();
        let available = accumulator.available_at(clock);
        let settled = baseline.used.plus(baseline.overrun);
        let is_leased = accumulator.guarantee() != Guarantee::Volatile;
        KeyState {
            limit: accumulator.bucket().map_or_else(|| accumulator.limit(), Bucket::burst),
            // A share is not settled, and what other nodes do with theirs is not known here.
            used: if self.stands() { accumulator.spent_of_share() } else { settled },
            reserved: baseline.reserved,
            available: if is_leased { available.local.plus(available.durable) } else { available.local },
            bound: available.bound,
            denied: accumulator.denied(),
            ends: accumulator.ends(),
        }
    }
}

impl Budgets {
    /// Begins to note which keys change. From now on [`Budgets::changed`] is to be asked now and then.
    pub fn watch(&mut self) {
        self.watched.get_or_insert_default();
    }

    /// The keys that changed since it was asked last: those that were forgotten first. Cost: those.
    pub fn changed(&mut self) -> Vec<Changed> {
        let Some(watched) = &mut self.watched else { return Vec::new() };
        let Watched { touched, gone } = std::mem::take(watched);
        // One that has gone to rest meanwhile was told of when its last row was written.
        let there = touched.into_iter().filter_map(|index| self.slots.get(index));
        let there: Vec<Changed> = there.map(|slot| slot.changed(self.clock)).collect();
        gone.into_iter().chain(there).collect()
    }

    /// The window of a policy at a moment, which is at least the latest that the node has heard of.
    pub fn window(&self, now: Time, policy: PolicyId) -> Place {
        self.policies[policy.0].window.at(self.clock.max(now))
    }

    /// Whether the ledger has told where a key stands in its present window.
    pub fn is_known(&self, key: &Key) -> bool {
        let Some(&index) = self.current.get(key) else { return false };
        let slot = self.slots.get(index as usize);
        // What is at rest is settled.
        slot.is_none_or(|slot| slot.stands() || slot.accumulator.is_known())
    }

    /// Where a key stands, if the node has it in memory.
    pub fn state(&self, key: &Key) -> Option<KeyState> {
        let index = *self.current.get(key)? as usize;
        if let Some(slot) = self.slots.get(index) {
            return Some(slot.state(self.clock));
        }
        let resting = self.slots.resting(index)?;
        let (sums, held) = (resting.sums, resting.sums.held());
        let window = self.policies[resting.policy().0].window;
        let bound = Bound { under: held, over: Units::ZERO };
        Some(KeyState {
            limit: sums.target,
            used: sums.target.minus(sums.left).minus(held),
            reserved: held,
            available: sums.left.plus(held),
            bound,
            denied: 0,
            ends: window.at(window.begins(resting.window)).ends,
        })
    }

    /// Sets the limit of a key that is in memory; of another nothing is done.
    pub fn set_limit(&mut self, now: Time, policy: PolicyId, key: &Key, limit: Units) -> super::Effects {
        if self.current.contains_key(key) {
            self.step(now, Input::SetLimit { policy, key: key.clone(), limit })
        } else {
            super::Effects::default()
        }
    }

    /// Admits nothing more under a policy, and settles and forgets its keys. Those who wait are refused.
    pub fn retire_policy(&mut self, now: Time, policy: PolicyId) -> super::Effects {
        let mut effects = super::Effects::default();
        if !matches!(self.stage, Stage::Running | Stage::Unopened) {
            return effects;
        }
        let is_of = |index: &usize| match self.slots.get(*index) {
            Some(slot) => slot.policy == policy,
            None => self.slots.resting(*index).is_some_and(|resting| resting.policy() == policy),
        };
        let all: Vec<usize> = self.slots.numbers().filter(is_of).collect();
        for index in all {
            self.wake(index);
            self.refuse(index, &mut effects);
            self.retire(index);
        }
        let mut more = self.step(now, Input::Tick);
        effects.replies.append(&mut more.replies);
        super::Effects { replies: effects.replies, ..more }
    }

    /// Where a key stands that the node does not have in memory, by what the ledger has of it. One that the ledger does not
    /// know either has the limit that is given.
    pub fn state_by(&self, now: Time, policy: PolicyId, stored: Option<&Stored>, limit: Units) -> KeyState {
        let window = self.policies[policy.0].window;
        let now = self.clock.max(now);
        let place = window.at(now);
        let untouched = Baseline { target: limit, ..Baseline::default() };
        let baseline = stored.map_or(untouched, |stored| stored.at(&place));
        let state = KeyState {
            limit: baseline.target,
            used: baseline.used.plus(baseline.overrun),
            reserved: baseline.reserved,
            available: baseline.left(),
            bound: Bound::default(),
            denied: 0,
            ends: place.ends,
        };
        let Some(rate) = window.rate() else { return state };
        let bucket = Bucket::new(rate, baseline.target);
        KeyState { limit: rate.burst, available: bucket.has_after(baseline.high, now), ..state }
    }
}

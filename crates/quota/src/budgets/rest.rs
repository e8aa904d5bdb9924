//! How keys go to rest and wake.
//!
//! Invariant: see [`slots`](super::slots). A key that wakes admits what it admitted before; only how fast it was
//! spent is forgotten, and the ledger's word counts as old.

use std::sync::Arc;

use super::slots::Resting;
use super::{Budgets, Call};
use crate::timers::shared;
use crate::{Guarantee, Limit, Time};

impl Budgets {
    /// Lays a key to rest that nobody has used for a while, if nothing keeps it up.
    pub(super) fn rest(&mut self, index: usize) -> bool {
        let slot = self.at(index);
        if slot.is_share() || slot.call != Call::No || slot.accumulator.bucket().is_some() {
            return false;
        }
        // One that is to begin soon is named as that.
        if self.early.get(&slot.key) == Some(&index) {
            return false;
        }
        let Some(sums) = slot.accumulator.sums() else { return false };
        let (key, policy, window) = (slot.key.clone(), slot.policy, slot.window);
        let idle_millis = self.policies[policy.0].idle_millis.max(1);
        let over = shared(slot.quiet_since.after(idle_millis), idle_millis / 8);
        // Of what stands on a share nothing may be forgotten while its window lasts.
        let over = if slot.stands() { Time::NEVER } else { over };
        let look_at = slot.accumulator.ends().min(over);
        let mut done = self.done;
        slot.count(&mut done);
        self.done = done;
        self.pending.remove(&index);
        self.asking.remove(&index);
        self.slots.rest(index, Resting::new(key, window, policy, look_at, sums));
        if look_at > self.clock && look_at != Time::NEVER {
            self.timers.set(look_at, index);
        }
        true
    }

    /// Wakes a key that is at rest; others stay as they are.
    pub(super) fn wake(&mut self, index: usize) {
        let Some(resting) = self.slots.resting(index) else { return };
        let (key, policy, sums, window) =
            (resting.key.clone(), resting.policy(), resting.sums, resting.window);
        let chosen = self.policies[policy.0];
        let Limit::Of(limit) = chosen.limit else { return };
        let place = chosen.window.at(chosen.window.begins(window));
        self.fill(index, policy, &key, limit, place);
        let slot = self.at_mut(index);
        slot.accumulator.restore(sums);
        (slot.flushed, slot.sampled) = (Time(0), Time(0));
        slot.consumed = slot.accumulator.consumed_now();
        (slot.counted, slot.seen) = (slot.consumed, (slot.consumed, 0));
    }

    /// The moment of a key at rest has come: its window is over, or nobody came for it.
    pub(super) fn look_at_resting(&mut self, index: usize) {
        let Some(resting) = self.slots.resting(index) else { return };
        let stands = self.policies[resting.policy().0].guarantee == Guarantee::Standing;
        if stands {
            // It has no row to close, and its window is over.
            let (policy, key, window) = (resting.policy(), resting.key.clone(), resting.window);
            self.slots.remove_resting(index);
            if let Some(watched) = &mut self.watched {
                watched.remove(index, (policy, key.clone(), window));
            }
            if self.is_current(&key, index) {
                self.current.remove(&key);
            }
        } else {
            self.wake(index);
            let alone = Arc::get_mut(&mut self.at_mut(index).accumulator).is_some();
            debug_assert!(alone, "invariant: nobody has a key that was at rest");
            self.retire(index);
        }
    }
}

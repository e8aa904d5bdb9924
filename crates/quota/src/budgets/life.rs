//! How keys come to their end: windows that are over, keys that nobody uses, a node that closes or fails.
//!
//! Invariant: a lease is closed only after nothing can be admitted under it any more, and a key is forgotten only
//! after its close was acknowledged. A key that somebody has in hand is not evicted, so that an eviction and a
//! request can never be about two copies of one key.

use std::sync::Arc;

use super::{Budgets, Effects, Stage};
use crate::ledger::Opened;
use crate::permit::{Denied, Reason};
use crate::{Seq, Units};

impl Budgets {
    pub(super) fn opened(&mut self, opened: &Opened) {
        if self.stage == Stage::Unopened {
            (self.epoch, self.seq, self.stage) = (opened.epoch, Seq(0), Stage::Running);
            self.done.burnt = self.done.burnt.plus(opened.burnt);
            self.peers.spoke(self.clock);
        }
    }

    /// Ends the windows that are over. Those who wait go to the window that has begun.
    pub(super) fn roll(&mut self) {
        while let Some(&(ends, index)) = self.ends.first() {
            if ends > self.clock {
                return;
            }
            self.ends.pop_first();
            let slot = self.at(index);
            let (key, policy) = (slot.key.clone(), slot.policy);
            if !slot.waiting.is_empty() && self.current.get(&key) == Some(&index) {
                self.slot(policy, &key);
            } else {
                self.retire(index);
            }
        }
    }

    /// Keys that nobody has used since they were last looked at, and that nobody has in hand.
    pub(super) fn retire_idle(&mut self) {
        while let Some(&(when, index)) = self.idle.first() {
            if when > self.clock {
                return;
            }
            self.idle.pop_first();
            let again = self.clock.after(self.policies[self.at(index).policy.0].idle_millis.max(1));
            let under_way = self.under_way.as_ref().is_some_and(|batch| batch.slots.contains(&index));
            let slot = self.at_mut(index);
            if slot.closing {
                continue;
            }
            let seen = (slot.accumulator.consumed_now(), slot.accumulator.denied());
            let used = seen != slot.seen || !slot.waiting.is_empty() || slot.accumulator.has_untold();
            (slot.seen, slot.idle_at) = (seen, again);
            // Nobody else has it, and nobody can get it but through this node: from here on it stays so.
            let alone = Arc::get_mut(&mut slot.accumulator).is_some();
            if used || !alone || under_way {
                self.idle.insert((again, index));
            } else {
                self.retire(index);
            }
        }
    }

    /// From here on nothing is admitted in this slot, and its lease is closed with the next batch.
    pub(super) fn retire(&mut self, index: usize) {
        let slot = self.at_mut(index);
        slot.accumulator.shut();
        slot.closing = true;
        let told = slot.accumulator.is_known();
        let owes = slot.accumulator.has_untold() || !slot.accumulator.consumed_now().is_zero();
        let under_way = self.under_way.as_ref().is_some_and(|batch| batch.slots.contains(&index));
        // What the ledger never heard of has nothing to close.
        if told || owes || under_way {
            self.pending.insert(index);
        } else {
            self.remove(index);
        }
    }

    /// Forgets a slot. Those who still wait in it begin anew.
    pub(super) fn remove(&mut self, index: usize) {
        let Some(slot) = self.slots[index].take() else { return };
        slot.count(&mut self.done);
        self.pending.remove(&index);
        self.asking.remove(&index);
        self.free.push(index);
        self.idle.remove(&(slot.idle_at, index));
        self.ends.remove(&(slot.accumulator.ends(), index));
        if self.current.get(&slot.key) == Some(&index) {
            self.current.remove(&slot.key);
        }
        if !slot.waiting.is_empty() {
            let fresh = self.slot(slot.policy, &slot.key).expect("invariant: a key that waits is limited");
            self.at_mut(fresh).waiting.extend(slot.waiting);
            self.pending.insert(fresh);
            self.asking.insert(fresh);
        }
    }

    pub(super) fn stop(&mut self, effects: &mut Effects) {
        if matches!(self.stage, Stage::Running | Stage::Unopened) {
            self.stage = if self.stage == Stage::Unopened { Stage::Closed } else { Stage::Stopped };
            self.refuse_all(Reason::Closed, effects);
        }
    }

    pub(super) fn close(&mut self, effects: &mut Effects) {
        self.stop(effects);
        if self.stage == Stage::Stopped {
            self.stage = Stage::Closing;
            let all: Vec<usize> =
                (0..self.slots.len()).filter(|index| self.slots[*index].is_some()).collect();
            for index in all {
                self.retire(index);
            }
        }
        self.again(effects);
        effects.closed = self.stage == Stage::Closed;
    }

    /// Says that it is over when it is.
    pub(super) fn end(&mut self, effects: &mut Effects) {
        if self.stage == Stage::Closing && self.slots.iter().all(Option::is_none) {
            self.stage = Stage::Closed;
            effects.closed = true;
        }
    }

    pub(super) fn fail(&mut self, effects: &mut Effects) {
        self.stage = Stage::Failed;
        self.refuse_all(Reason::Closed, effects);
    }

    fn refuse_all(&mut self, reason: Reason, effects: &mut Effects) {
        for slot in self.slots.iter_mut().flatten() {
            slot.accumulator.shut();
            let denied = Denied { available: Units::ZERO, retry_after: None, reason };
            effects.replies.extend(slot.waiting.drain(..).map(|(request, _)| (request, Err(denied))));
            slot.asked = 0;
        }
    }
}

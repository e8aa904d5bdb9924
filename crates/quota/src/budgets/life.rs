//! How keys come to their end: windows that are over, keys that nobody uses, a node that closes or fails.
//!
//! Invariant: a lease is closed only after nothing can be admitted under it any more, and a key is forgotten only
//! after its close was acknowledged. A key that somebody has in hand is not evicted, so that an eviction and a
//! request can never be about two copies of one key.

use std::sync::Arc;

use super::{Budgets, Call, Effects, Slot, Stage};
use crate::ledger::Opened;
use crate::permit::{Denied, Reason};
use crate::policy::Limit;
use crate::{Key, Seq, Time, Units};

impl Budgets {
    pub(super) fn opened(&mut self, opened: &Opened) {
        if self.stage == Stage::Unopened {
            (self.epoch, self.seq, self.stage) = (opened.epoch, Seq(0), Stage::Running);
            (self.first, self.horizon) = (opened.horizon, opened.horizon);
            self.done.burnt = self.done.burnt.plus(opened.burnt);
            self.peers.spoke(self.clock);
        }
    }

    /// Looks at the slots whose moment has come: their window is over or soon will be, or nobody uses them.
    pub(super) fn look(&mut self) {
        while let Some((when, slots)) = self.timers.take(self.clock) {
            for index in slots {
                let index = index as usize;
                if self.slots.resting(index).is_some_and(|resting| resting.look_at == when) {
                    self.look_at_resting(index);
                } else if self.slots.get(index).is_some_and(|slot| slot.look_at == when && !slot.closing) {
                    self.look_at(index);
                }
            }
        }
    }

    fn look_at(&mut self, index: usize) {
        let clock = self.clock;
        // What never comes does not come with the last moment either.
        let has_come = |moment: Time| moment <= clock && moment != Time::NEVER;
        if has_come(self.at(index).accumulator.ends()) {
            self.roll(index);
            return;
        }
        if has_come(self.at(index).warm_at) {
            self.at_mut(index).warm_at = Time::NEVER;
            self.warm(index);
        }
        if self.at(index).idle_at <= clock && self.rest_or_retire(index) {
            return;
        }
        let slot = self.at_mut(index);
        slot.look_at = slot.accumulator.ends().min(slot.warm_at).min(slot.idle_at);
        let look_at = slot.look_at;
        // At the end of time there is no later moment.
        if look_at > clock {
            self.timers.set(look_at, index);
        }
    }

    /// Ends a window that is over. Those who wait go to the window that has begun.
    fn roll(&mut self, index: usize) {
        let slot = self.at(index);
        let (key, policy) = (slot.key.clone(), slot.policy);
        let goes_on = !slot.waiting.is_empty() || self.early.contains_key(&key);
        if goes_on && self.is_current(&key, index) {
            self.slot(policy, &key);
        } else {
            self.retire(index);
        }
    }

    pub(super) fn is_current(&self, key: &Key, index: usize) -> bool {
        self.current.get(key).is_some_and(|current| *current as usize == index)
    }

    /// A key that is in use gets the next window before this one ends, so that nobody waits for it.
    fn warm(&mut self, index: usize) {
        let slot = self.at(index);
        let (key, policy, ends) = (slot.key.clone(), slot.policy, slot.accumulator.ends());
        let chosen = self.policies[policy.0];
        let Limit::Of(limit) = chosen.limit else { return };
        let consumed = slot.accumulator.consumed_now();
        let recent = self.clock.since(slot.flushed) <= chosen.flush.max_age_millis.saturating_mul(2);
        let used = consumed > slot.consumed || (recent && !consumed.is_zero());
        let next = chosen.window.at(ends);
        if self.stage != Stage::Running || !used || next.id <= slot.window || !self.is_current(&key, index) {
            return;
        }
        if let Some(early) = self.early.get(&key) {
            let next = Arc::clone(&self.at(*early).accumulator);
            self.at(index).accumulator.set_next(next);
            return;
        }
        let begun = chosen.window.begins(slot.window);
        let elapsed = self.clock.since(begun).max(1);
        let rate = u128::from(consumed.0) * 1_000 / u128::from(elapsed);
        let rate = slot.rate.max(Units(u64::try_from(rate).unwrap_or(u64::MAX)));
        let early = self.make(policy, &key, limit, next);
        let next = Arc::clone(&self.at(early).accumulator);
        self.at(index).accumulator.set_next(next);
        self.early.insert(key, early);
        let slot = self.at_mut(early);
        (slot.call, slot.rate) = (Call::First, rate);
        if slot.stands() {
            self.share(early);
        } else {
            self.pending.insert(early);
            // Afterwards nothing more is granted from the window that ends: it is provided for with the same batch.
            let last = self.at_mut(index);
            (last.call, last.rate) = (Call::Last, rate);
            self.pending.insert(index);
        }
    }

    /// A key that nobody has used since it was last looked at, and that nobody has in hand, goes to rest; one that
    /// was not used for the policy's time is retired. What stands on a share stays while its window lasts: it would be spent again.
    fn rest_or_retire(&mut self, index: usize) -> bool {
        let (clock, policy) = (self.clock, self.at(index).policy);
        let (again, idle_millis) = (self.idle_at(policy), self.policies[policy.0].idle_millis);
        let slot = self.at_mut(index);
        let seen = (slot.accumulator.consumed_now(), slot.accumulator.denied());
        let used = seen != slot.seen || !slot.waiting.is_empty() || slot.accumulator.has_untold();
        (slot.seen, slot.idle_at) = (seen, again);
        // Nobody else has it, and nobody can get it but through this node: from here on it stays so.
        let alone = Arc::get_mut(&mut slot.accumulator).is_some();
        let idle = !used && alone && !slot.is_under_way();
        if used {
            slot.quiet_since = clock;
        }
        let over = slot.quiet_since.after(idle_millis.max(1)) <= clock;
        if slot.stands() {
            slot.idle_at = if idle { Time::NEVER } else { again };
        } else if idle && over {
            self.retire(index);
            return true;
        }
        idle && self.rest(index)
    }

    /// From here on nothing is admitted in this slot, and its lease is closed with the next batch.
    pub(super) fn retire(&mut self, index: usize) {
        let slot = self.at_mut(index);
        slot.accumulator.shut();
        slot.closing = true;
        if slot.stands() {
            self.remove(index);
            return;
        }
        let told = slot.accumulator.is_known();
        let owes = slot.accumulator.has_untold() || !slot.accumulator.consumed_now().is_zero();
        let under_way = slot.is_under_way();
        // What the ledger never heard of has nothing to close.
        if told || owes || under_way {
            self.pending.insert(index);
        } else {
            self.remove(index);
        }
    }

    /// Forgets a slot. Those who still wait in it begin anew.
    pub(super) fn remove(&mut self, index: usize) {
        let Some(slot) = self.slots.remove(index) else { return };
        slot.count(&mut self.done);
        if let Some(watched) = &mut self.watched {
            watched.remove(index, (slot.policy, slot.key.clone(), slot.window));
        }
        self.pending.remove(&index);
        self.asking.remove(&index);
        self.uncovered.remove(&index);
        if slot.is_share() {
            self.standing.remove(&slot.policy.0);
        } else if self.current.get(&slot.key).is_some_and(|current| *current as usize == index) {
            self.current.remove(&slot.key);
        }
        if self.early.get(&slot.key) == Some(&index) {
            self.early.remove(&slot.key);
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
            for index in self.slots.numbers() {
                self.wake(index);
                if self.slots.get(index).is_some() {
                    self.retire(index);
                }
            }
        }
        self.again(effects);
        effects.closed = self.stage == Stage::Closed;
    }

    /// Says that it is over when it is.
    pub(super) fn end(&mut self, effects: &mut Effects) {
        if self.stage == Stage::Closing && self.slots.is_empty() && !self.is_waiting() {
            self.stage = Stage::Closed;
            effects.closed = true;
        }
    }

    pub(super) fn fail(&mut self, effects: &mut Effects) {
        self.stage = Stage::Failed;
        self.under_way.clear();
        self.refuse_all(Reason::Closed, effects);
    }

    fn refuse_all(&mut self, reason: Reason, effects: &mut Effects) {
        for slot in self.slots.iter_mut() {
            slot.accumulator.shut();
            slot.refuse(reason, effects);
        }
    }

    /// Refuses those who wait in a slot.
    pub(super) fn refuse(&mut self, index: usize, effects: &mut Effects) {
        self.at_mut(index).refuse(Reason::Closed, effects);
    }
}

impl Slot {
    fn refuse(&mut self, reason: Reason, effects: &mut Effects) {
        let denied = Denied { available: Units::ZERO, retry_after: None, reason };
        effects.replies.extend(self.waiting.drain(..).map(|(request, _)| (request, Err(denied))));
        self.asked = 0;
    }
}

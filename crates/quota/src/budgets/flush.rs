//! Which rows are written when, and what their answers do.
//!
//! Invariant: what is due is decided from the keys that changed since they were last written. A key whose traffic
//! never rests is written all the same, because its age counts from its last row and not from its last request.

use std::sync::Arc;

use super::{Budgets, Call, Effects, Lost, Slot, Stage, UnderWay};
use crate::ledger::{Batch, Entry, LedgerError, Reply, Then};
use crate::permit::{Denied, Reason};
use crate::policy::{Policy, WhenAway};
use crate::{Guarantee, Time, Units};

/// The shortest time over which a key's rate is seen.
const SAMPLE_MILLIS: u64 = 10;

/// How often the ledger is asked for somebody who others are quicker than.
const TRIES: u8 = 3;

/// The most rows of a batch.
const ROWS: usize = 4_096;

impl Budgets {
    /// Collects what changed and, if nothing is under way, sends what is due.
    pub(super) fn pump(&mut self, all: bool, effects: &mut Effects) {
        if matches!(self.stage, Stage::Unopened | Stage::Failed | Stage::Closed) {
            return;
        }
        for (number, segment) in self.segments.iter().enumerate() {
            segment.take(|slot| {
                let index = number * crate::dirty::SLOTS + slot;
                self.pending.insert(index);
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.dirty_since.get_or_insert(self.clock);
                    if let Some(watched) = &mut self.watched {
                        watched.touch(index);
                    }
                }
            });
        }
        self.look();
        self.note_shares();
        if self.under_way.is_some() {
            return;
        }
        let (clock, closing) = (self.clock, self.stage == Stage::Closing);
        let mut due = Vec::new();
        let mut clean = Vec::new();
        let looked_at = if all { &self.pending } else { &self.asking };
        for &index in looked_at {
            self.done.visited += 1;
            let Some(slot) = self.slots.get_mut(index) else {
                clean.push(index);
                continue;
            };
            let since = *slot.dirty_since.get_or_insert(clock);
            let is_due = match self.standing.get_mut(&slot.policy.0).filter(|_| slot.is_share()) {
                Some(share) => share.is_due(&slot.accumulator, clock),
                None => slot.is_due(&self.policies[slot.policy.0], clock, since),
            };
            if slot.closing || closing || is_due {
                due.push(index);
                if due.len() == ROWS {
                    break;
                }
            } else if slot.is_settled(&self.policies[slot.policy.0], clock, since) {
                slot.dirty_since = None;
                clean.push(index);
            }
        }
        for index in clean {
            self.pending.remove(&index);
            self.asking.remove(&index);
        }
        let needed = self.horizon_needed().filter(|_| self.stage == Stage::Running);
        if due.is_empty() && needed.is_none() && !self.owes_heartbeat() {
            self.end(effects);
            return;
        }
        // It never falls: what a window was begun under stays known.
        self.horizon = self.horizon.max(clock).max(needed.unwrap_or_default());
        due.sort_by_cached_key(|index| self.at(*index).accumulator.account());
        let entries = due.iter().map(|index| self.entry(*index)).collect();
        self.seq = self.seq.next();
        let (node, epoch, seq) = (self.node, self.epoch, self.seq);
        let batch = Batch { node, epoch, seq, now: clock, horizon: self.horizon, entries };
        self.peers.spoke(clock);
        effects.send = Some(batch.clone());
        self.under_way = Some(UnderWay { batch, slots: due, again: false });
    }

    fn entry(&mut self, index: usize) -> Entry {
        self.pending.remove(&index);
        self.asking.remove(&index);
        let clock = self.clock;
        let policy = self.policies[self.at(index).policy.0];
        let slot = self.at_mut(index);
        slot.dirty_since = None;
        slot.armed = false;
        slot.asked = slot.waiting.len();
        slot.under_way = true;
        if slot.closing {
            return slot.accumulator.entry(Units::ZERO, Units(u64::MAX), Then::Close);
        }
        if slot.is_share() {
            let (number, row) = (slot.policy.0, Arc::clone(&slot.accumulator));
            let share = self.standing.get_mut(&number).expect("invariant: a row of a share has a share");
            return share.entry(&row, clock);
        }
        let missed = slot.accumulator.take_missed();
        if let Some(bucket) = slot.accumulator.bucket() {
            let demand = slot.demand().plus(missed);
            return slot.accumulator.entry_of_bucket(bucket, clock, demand, policy.flush.max_age_millis);
        }
        let (want, home) = slot.extend(&policy, clock, missed);
        slot.accumulator.entry(want, home, Then::Keep)
    }

    pub(super) fn replied(&mut self, outcome: Result<Reply, LedgerError>, effects: &mut Effects) {
        // An answer that nobody waits for: the driver heard twice.
        let Some(mut under_way) = self.under_way.take() else { return };
        match outcome {
            Ok(reply) if reply.seq == under_way.batch.seq => self.install(&under_way, &reply, effects),
            Ok(_) => self.under_way = Some(under_way),
            Err(LedgerError::Away | LedgerError::Refused { .. }) => {
                under_way.again = true;
                self.under_way = Some(under_way);
                self.gone(effects);
            }
            Err(error) => {
                if let LedgerError::Gap { expected, .. } = error {
                    if expected < under_way.batch.seq {
                        let acknowledged = crate::Seq(under_way.batch.seq.0 - 1);
                        effects.lost = Some(Lost::Batch { acknowledged, expected });
                    }
                }
                self.fail(effects);
                effects.failed = Some(error);
            }
        }
    }

    fn install(&mut self, under_way: &UnderWay, reply: &Reply, effects: &mut Effects) {
        self.done.batches += 1;
        self.done.rows += under_way.batch.entries.len() as u64;
        if std::mem::take(&mut self.away) {
            self.slots.iter().for_each(|slot| slot.accumulator.resume());
        }
        self.cover(under_way.batch.horizon);
        let clock = self.clock;
        if let Some(watched) = &mut self.watched {
            under_way.slots.iter().for_each(|index| watched.touch(*index));
        }
        for ((entry, row), &index) in under_way.batch.entries.iter().zip(&reply.rows).zip(&under_way.slots) {
            let policy = self.policies[self.at(index).policy.0];
            let slot = self.at_mut(index);
            slot.under_way = false;
            let low = if slot.leases_ahead() {
                policy.chunk.target(row.baseline.left(), slot.rate)
            } else {
                Units::ZERO
            };
            slot.flushed = clock;
            let received = match slot.accumulator.bucket() {
                Some(bucket) if entry.then == Then::Keep => {
                    let held = bucket.holds();
                    let ahead = policy.flush.max_age_millis;
                    let received = slot.accumulator.receive_mark(bucket, entry, row, ahead);
                    // Now it is known where time begins, and those who wait can be asked for.
                    slot.asked = if held == bucket.holds() { slot.asked } else { 0 };
                    received
                }
                _ => slot.accumulator.receive(entry, row, Units(low.0 / 2)).map(drop),
            };
            match received {
                Ok(()) => {}
                Err(lost) => {
                    effects.lost = Some(Lost::Grant(lost));
                    self.fail(effects);
                    return;
                }
            }
            if entry.then == Then::Close {
                self.remove(index);
                continue;
            }
            if slot.is_share() {
                let (number, row) = (slot.policy.0, Arc::clone(&slot.accumulator));
                if let Some(share) = self.standing.get_mut(&number) {
                    share.received(&row, clock);
                }
                continue;
            }
            slot.answer(clock, false, effects);
            let unsettled = slot.accumulator.pending().unsigned_abs();
            slot.armed = unsettled <= policy.flush.low_water.0;
            let waits = !slot.waiting.is_empty();
            let called = slot.is_called_home();
            if waits {
                self.asking.insert(index);
            }
            if waits || called || unsettled > 0 {
                self.pending.insert(index);
            }
        }
        self.recall(&reply.recalled);
    }

    /// Sends the batch under way once more, the same bytes, if the last attempt has failed.
    pub(super) fn again(&mut self, effects: &mut Effects) {
        if let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.again) {
            under_way.again = false;
            effects.send = Some(under_way.batch.clone());
        }
    }

    /// The ledger does not answer: each policy says what that means.
    fn gone(&mut self, effects: &mut Effects) {
        self.away = true;
        for slot in self.slots.iter_mut() {
            match self.policies[slot.policy.0].when_away {
                WhenAway::Deny if !slot.closing => slot.accumulator.pause(),
                WhenAway::Open if !slot.closing => slot.accumulator.admit_uncovered(),
                _ => {}
            }
            slot.asked = slot.waiting.len();
            slot.answer(self.clock, true, effects);
        }
    }
}

impl Slot {
    fn is_due(&mut self, policy: &Policy, clock: Time, since: Time) -> bool {
        if !self.waiting.is_empty() || self.accumulator.has_untold() || self.call != Call::No {
            return true;
        }
        // A limit was cut, or other nodes want some: what is not spent is called home.
        if self.is_called_home() {
            return true;
        }
        let unsettled = self.accumulator.pending().unsigned_abs();
        let old = clock.since(since) >= policy.flush.max_age_millis;
        self.armed |= clock.since(self.flushed) >= policy.flush.max_age_millis;
        if self.armed && unsettled >= policy.flush.threshold.0.max(1) {
            return true;
        }
        if old && unsettled > policy.flush.deadband.0 {
            return true;
        }
        // A lease that is low is extended at once while the ledger has something, and asked about now and then
        // when it had nothing: another node may have sent units home.
        let low = self.accumulator.is_low();
        low && (old || self.accumulator.durable_left() > Units::ZERO)
    }

    /// Whether nothing is to be written before it changes again, which it then says itself.
    fn is_settled(&self, policy: &Policy, clock: Time, since: Time) -> bool {
        // Unmarked first: what changes after this line is marked again.
        self.accumulator.unmark();
        let unsettled = self.accumulator.pending().unsigned_abs();
        let old = clock.since(since) >= policy.flush.max_age_millis;
        let small = unsettled == 0 || (old && unsettled <= policy.flush.deadband.0);
        small && !self.accumulator.is_low() && !self.accumulator.has_untold()
    }

    /// Without a lease there is nothing to send: an answer takes the difference away.
    fn is_called_home(&self) -> bool {
        self.accumulator.guarantee() != Guarantee::Volatile
            && (self.accumulator.over() > Units::ZERO || self.accumulator.is_recalled())
            && self.accumulator.held() > Units::ZERO
    }

    /// How much to claim, or to send home.
    fn extend(&mut self, policy: &Policy, clock: Time, missed: Units) -> (Units, Units) {
        let demand = self.demand().plus(missed);
        // What came within a moment says nothing of a second.
        let elapsed = clock.since(self.sampled);
        if elapsed >= SAMPLE_MILLIS {
            let gross = self.accumulator.consumed_now();
            let spent = gross.minus(self.consumed).plus(demand);
            let sample = u128::from(spent.0) * 1_000 / u128::from(elapsed);
            self.rate = Units(u64::try_from(sample).unwrap_or(u64::MAX)).max(Units(self.rate.0 / 2));
            (self.consumed, self.sampled) = (gross, clock);
        }
        let call = std::mem::replace(&mut self.call, Call::No);
        let held = self.accumulator.held();
        let Some(baseline) = self.accumulator.baseline() else {
            // Nothing is known, and a key that is in use is to find something.
            let first = policy.chunk.target(self.accumulator.target(), self.rate).max(Units(1));
            return (if call == Call::First { demand.max(first) } else { demand }, Units::ZERO);
        };
        if call == Call::Last {
            let left = self.accumulator.ends().since(clock);
            let rest = u128::from(self.rate.0) * u128::from(left) / 1_000;
            let rest = Units(u64::try_from(rest).unwrap_or(u64::MAX)).min(policy.chunk.most);
            return (demand.plus(rest).min(Units::LEASE_MAX).minus(held), Units::ZERO);
        }
        // What others wait for is not leased ahead.
        let recalled = self.accumulator.is_recalled();
        let ahead = if self.leases_ahead() && !recalled {
            policy.chunk.target(baseline.left().plus(held), self.rate)
        } else {
            Units::ZERO
        };
        let wanted = demand.plus(ahead).min(Units::LEASE_MAX);
        let over = self.accumulator.over();
        if over > Units::ZERO {
            return (Units::ZERO, over.min(held));
        }
        if held < demand || held.0 < wanted.0 / 2 {
            (wanted.minus(held), Units::ZERO)
        } else if held.0 / 2 > wanted.0 || recalled {
            (Units::ZERO, held.minus(wanted))
        } else {
            (Units::ZERO, Units::ZERO)
        }
    }

    /// Answers those who wait: the ones whose claim was answered for good, the others if there is enough.
    pub(super) fn answer(&mut self, clock: Time, away: bool, effects: &mut Effects) {
        while let Some((request, units)) = self.waiting.front().copied() {
            let outcome = self.accumulator.try_consume_shared_at(clock, units);
            let reason = match outcome {
                Ok(_) => None,
                Err(denied) if self.asked == 0 => {
                    let missed = if denied.reason == Reason::Lease { units } else { Units::ZERO };
                    return self.accumulator.wait(missed);
                }
                Err(_) if away => Some(Reason::LedgerAway),
                Err(denied) if denied.reason == Reason::Lease && self.accumulator.bucket().is_none() => {
                    // Somebody was quicker, and the ledger has more: it is asked again, though not for ever.
                    if self.tries < TRIES {
                        self.tries += 1;
                        self.asked = 0;
                        return self.accumulator.wait(units);
                    }
                    Some(Reason::Exhausted)
                }
                Err(denied) => Some(denied.reason),
            };
            self.waiting.pop_front();
            self.tries = 0;
            self.asked = self.asked.saturating_sub(1);
            let answer = outcome.map_err(|denied| {
                let reason = reason.unwrap_or(denied.reason);
                let ends = self.accumulator.ends();
                let over = (reason == Reason::Exhausted && ends != Time::NEVER).then_some(ends);
                let retry_after = denied.retry_after.or(over);
                Denied { retry_after, reason, ..denied }
            });
            effects.replies.push((request, answer));
        }
        self.asked = 0;
    }
}

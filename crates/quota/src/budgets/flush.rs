//! Which rows are written when, and what their answers do.
//!
//! Invariant: what is due is decided from the keys that changed since they were last written. A key whose traffic
//! never rests is written all the same, because its age counts from its last row and not from its last request. What a
//! batch under way names waits for its answer, so that each row is made knowing all that was answered of it: batches
//! that are under way together are independent, and any of them may be lost, refused and sent again without the others.

use std::sync::Arc;

use super::{Budgets, Call, Effects, Lost, Named, Slot, Stage, UnderWay};
use crate::ledger::{Batch, Entry, LedgerError, Reply, Then};
use crate::permit::{Denied, Reason};
use crate::policy::{Policy, WhenAway};
use crate::{Guarantee, Seq, Time, Units};

/// The shortest time over which a key's rate is seen.
const SAMPLE_MILLIS: u64 = 10;

/// How often the ledger is asked for somebody who others are quicker than.
const TRIES: u8 = 3;

/// How long a batch that is not full is under way before another one is sent behind it.
const PACE_MILLIS: u64 = 2;

/// The most rows of a batch.
const ROWS: usize = 4_096;

impl Budgets {
    /// Collects what changed and, if there is room for a batch under way, sends what is due.
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
        while self.has_room() {
            let Some(batch) = self.next_batch(all) else { return self.end(effects) };
            effects.send.push(batch);
        }
    }

    /// Whether a batch may be sent behind those that are under way. The one before it has to be full or on its way for a
    /// moment: what comes within that goes together.
    fn has_room(&self) -> bool {
        let Some(last) = self.under_way.back().map(|last| &last.batch) else { return true };
        let is_late = self.clock.since(last.now) >= PACE_MILLIS || last.entries.len() == ROWS;
        // What is due would be refused with the rest while the ledger is away.
        self.under_way.len() < self.depth && is_late && !self.away
    }

    /// What is due, as a batch that is under way from now on; none if nothing is.
    fn next_batch(&mut self, all: bool) -> Option<Batch> {
        let (clock, closing) = (self.clock, self.stage == Stage::Closing);
        let mut due = Vec::new();
        let mut clean = Vec::new();
        // Those first that somebody waits for: there may be more than a batch takes.
        let others = self.pending.iter().filter(|index| all && !self.asking.contains(index));
        for &index in self.asking.iter().chain(others) {
            self.done.visited += 1;
            let Some(slot) = self.slots.get(index) else {
                clean.push(index);
                continue;
            };
            // The window that begins is leased with the last of the one that ends, which has nothing more then.
            let current = self.current.get(&slot.key).and_then(|current| self.slots.get(*current as usize));
            if slot.call == Call::First && current.is_some_and(Slot::is_under_way) {
                continue;
            }
            let slot = self.slots.get_mut(index).expect("invariant: it was there just now");
            if slot.is_under_way() {
                slot.named = Named::Deferred;
                clean.push(index);
                continue;
            }
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
            return None;
        }
        // It never falls: what a window was begun under stays known.
        self.horizon = self.horizon.max(clock).max(needed.unwrap_or_default());
        due.sort_by_cached_key(|index| self.at(*index).accumulator.account());
        let entries = due.iter().map(|index| self.entry(*index)).collect();
        self.seq = self.seq.next();
        let (node, epoch, seq) = (self.node, self.epoch, self.seq);
        let batch = Batch { node, epoch, seq, now: clock, horizon: self.horizon, entries };
        self.peers.spoke(clock);
        let behind = self.under_way.front().map_or(seq, |first| first.batch.seq);
        self.under_way.push_back(UnderWay { batch: batch.clone(), slots: due, behind, again: false });
        Some(batch)
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
        slot.named = Named::Yes;
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

    pub(super) fn replied(&mut self, seq: Seq, outcome: Result<Reply, LedgerError>, effects: &mut Effects) {
        let place = self.under_way.iter().position(|under_way| under_way.batch.seq == seq);
        // An answer that nobody waits for: the driver heard twice.
        let Some(place) = place else { return };
        let behind = self.under_way[place].behind;
        match outcome {
            Ok(reply) if reply.seq == seq => {
                let under_way = self.under_way.remove(place).expect("invariant: found just now");
                self.install(&under_way, &reply, effects);
                // The ledger answers: what it did not take before is sent at once.
                self.again(effects);
            }
            Ok(_) => {}
            Err(LedgerError::Away | LedgerError::Refused { .. }) => {
                self.under_way[place].again = true;
                self.gone(effects);
            }
            // One before it had not arrived, and is sent again first, if it is not there by now.
            Err(LedgerError::Gap { expected, .. }) if (behind..seq).contains(&expected) => {
                self.under_way[place].again = true;
            }
            Err(error) => {
                if let LedgerError::Gap { expected, .. } = error {
                    if expected < behind {
                        let acknowledged = Seq(behind.0 - 1);
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
            if std::mem::replace(&mut slot.named, Named::No) == Named::Deferred {
                self.pending.insert(index);
            }
            let slot = self.at_mut(index);
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

    /// Sends the batches under way once more, the same bytes, whose last attempts have failed.
    pub(super) fn again(&mut self, effects: &mut Effects) {
        let Some(first) = self.under_way.front().map(|first| first.batch.seq) else { return };
        for under_way in &mut self.under_way {
            if std::mem::take(&mut under_way.again) {
                under_way.behind = first;
                effects.send.push(under_way.batch.clone());
            }
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

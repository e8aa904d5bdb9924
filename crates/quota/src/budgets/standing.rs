//! [`Share`]: this node's part of the limit that every key has in every window of a policy: one row, and none for a
//! window or a key.
//!
//! Invariant: the shares of all nodes are within the limit at the ledger, and a share is spent only in windows that
//! begin before the horizon that the ledger has acknowledged, so that the node's next life, which begins with the
//! horizon, spends no window again. A share that grows or shrinks does so with the next window, and what it loses
//! goes home only after the last window that could spend it is over: whoever gets it then cannot meet it in one
//! window, as long as the clocks of two nodes differ by less than a window.

use super::{Budgets, PolicyId, Slot};
use crate::accumulator::Accumulator;
use crate::ledger::{Entry, Then};
use crate::window::Place;
use crate::{Guarantee, Key, Time, Units, Window, WindowId};

#[derive(Debug)]
pub(super) struct Share {
    /// The slot of its row.
    pub(super) slot: usize,
    window: Window,
    nodes: u64,
    lead_millis: u64,
    /// What a key has in a window that begins at this moment or later.
    level: Units,
    from: Time,
    /// What it will have from a later window on.
    next: Option<(Time, Units)>,
    /// The window in which the ledger was last asked for more.
    asked_in: Option<WindowId>,
}

impl Share {
    /// What a key has in a window that begins at this moment; none if it has nothing yet.
    fn at(&self, begins: Time) -> Option<Units> {
        let steps = [self.next, Some((self.from, self.level))];
        steps.into_iter().flatten().find(|(from, _)| *from <= begins).map(|(_, level)| level)
    }

    /// The first window of which something can be spent begins then, as far as is known.
    fn first(&self, clock: Time, horizon: Time) -> Time {
        let known = self.next.map_or(self.from, |(from, _)| self.from.min(from));
        let known = if known == Time::NEVER { self.window.at(clock).ends } else { known };
        let place = self.window.at(known.max(horizon));
        if place.begins >= known.max(horizon) { place.begins } else { place.ends }
    }

    fn desired(&self, row: &Accumulator) -> Units {
        Units(row.target().0 / self.nodes).min(Units::LEASE_MAX)
    }

    /// What to claim and what to send home.
    fn change(&self, row: &Accumulator) -> (Units, Units) {
        let (desired, held) = (self.desired(row), row.held());
        let used = self.level.max(self.next.map_or(Units::ZERO, |(_, level)| level));
        (desired.minus(held), held.minus(used.max(desired)))
    }

    pub(super) fn is_due(&mut self, row: &Accumulator, clock: Time) -> bool {
        if let Some((from, level)) = self.next.filter(|(from, _)| *from <= clock) {
            (self.from, self.level, self.next) = (from, level, None);
        }
        let (want, home) = self.change(row);
        let asked = self.asked_in == Some(self.window.at(clock).id);
        !row.is_known() || row.has_untold() || !home.is_zero() || (!want.is_zero() && !asked)
    }

    /// The row for the ledger.
    pub(super) fn entry(&mut self, row: &Accumulator, clock: Time) -> Entry {
        let (want, home) = self.change(row);
        if !want.is_zero() {
            self.asked_in = Some(self.window.at(clock).id);
        }
        row.entry(want, home, Then::Keep)
    }

    /// The ledger has answered: what is granted now is spent from the next window on.
    pub(super) fn received(&mut self, row: &Accumulator, clock: Time) {
        let level = self.desired(row).min(row.held());
        let planned = self.next.map_or(self.level, |(_, level)| level);
        if level != planned {
            self.next = Some((self.window.at(clock).ends, level));
        }
    }

    /// How far the horizon has to reach: over the window that is, and shortly before its end over the next.
    fn needs(&self, clock: Time) -> Time {
        let place = self.window.at(clock);
        let lead = self.lead_millis.min(place.ends.since(place.begins) / 4);
        if clock.after(lead) >= place.ends { place.ends.after(1) } else { place.begins.after(1) }
    }
}

impl Budgets {
    /// Begins the share of a policy.
    pub(super) fn stand(&mut self, id: PolicyId, name: &Key) {
        let policy = self.policies[id.0];
        let everywhere = Place { id: WindowId::EVERY, span: 0, begins: Time(0), ends: Time::NEVER };
        let crate::Limit::Of(limit) = policy.limit else { return };
        let slot = self.make(id, name, limit, everywhere);
        self.pending.insert(slot);
        let share = Share {
            slot,
            window: policy.window,
            nodes: policy.chunk.nodes.max(1),
            lead_millis: policy.flush.max_age_millis.saturating_mul(4),
            level: Units::ZERO,
            from: Time::NEVER,
            next: None,
            asked_in: None,
        };
        self.standing.insert(id.0, share);
    }

    /// Gives a key of a standing policy what it has in its window, or says from when on it will.
    pub(super) fn share(&mut self, index: usize) {
        let slot = self.at(index);
        let Some(share) = self.standing.get(&slot.policy.0) else { return };
        let begins = self.policies[slot.policy.0].window.begins(slot.window);
        match share.at(begins).filter(|_| begins >= self.first) {
            Some(level) if begins < self.covered => {
                slot.accumulator.stand(level);
                self.uncovered.remove(&index);
            }
            Some(_) => {
                slot.accumulator.stand_by(None);
                self.uncovered.insert(index);
            }
            None => slot.accumulator.stand_by(Some(share.first(self.clock, self.first))),
        }
    }

    /// The ledger has acknowledged a horizon.
    pub(super) fn cover(&mut self, horizon: Time) {
        self.covered = self.covered.max(horizon);
        for index in std::mem::take(&mut self.uncovered) {
            self.share(index);
        }
    }

    /// How far the horizon has to reach, if that is further than it does or the ledger is being told.
    pub(super) fn horizon_needed(&self) -> Option<Time> {
        let needs = self.standing.values().map(|share| share.needs(self.clock)).max();
        let told = self.under_way.back().map_or(self.covered, |last| last.batch.horizon.max(self.covered));
        needs.filter(|needs| *needs > told)
    }

    /// Shares that are to be asked for or sent home now.
    pub(super) fn note_shares(&mut self) {
        let clock = self.clock;
        for share in self.standing.values_mut() {
            let slot = self.slots.get(share.slot);
            if slot.is_some_and(|slot| !slot.closing && share.is_due(&slot.accumulator, clock)) {
                self.pending.insert(share.slot);
            }
        }
    }

    /// What a crash would keep from a key in the window after the one that ends then.
    pub(super) fn next_window(&self, policy: PolicyId, key: &Key, ends: Time) -> Units {
        // A window that is there already counts for itself.
        let covered = self.horizon > ends && !self.early.contains_key(key);
        let share = self.standing.get(&policy.0).filter(|_| covered);
        share.and_then(|share| share.at(ends)).unwrap_or_default()
    }
}

impl Slot {
    /// Whether it is the row of a share, which nobody consumes from.
    pub(super) fn is_share(&self) -> bool {
        self.window == WindowId::EVERY
    }

    /// Whether it stands on a share.
    pub(super) fn stands(&self) -> bool {
        self.accumulator.guarantee() == Guarantee::Standing && !self.is_share()
    }
}

//! [`Network`]: links that are late and lose, in a time of its own.
//!
//! Invariant: what arrives when is a function of the seed and of what was sent; events of one moment come in the order
//! in which they were sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ParticipantId, Time};

/// A network between participants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// What all chances come from.
    pub seed: u64,
    /// The shortest way, in milliseconds.
    pub least: u64,
    /// The longest way, in milliseconds; not below `least`.
    pub most: u64,
    /// How many of a thousand messages are lost.
    pub lost_per_mille: u64,
    /// How far the clocks are apart at the most, in milliseconds.
    pub skew: u64,
    /// Those whom nothing reaches and from whom nothing comes.
    pub away: BTreeSet<ParticipantId>,
}

/// Numbers from a seed (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// What is to come, by time.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    events: BTreeMap<(Time, u64), E>,
    count: u64,
    pub(super) messages: u64,
    pub(super) chance: Chance,
    network: Network,
}

impl<E> Agenda<E> {
    pub(super) fn new(network: Network) -> Self {
        let chance = Chance::new(network.seed);
        Self { events: BTreeMap::new(), count: 0, messages: 0, chance, network }
    }

    /// Something that happens at a moment.
    pub(super) fn at(&mut self, at: Time, event: E) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// Something that is sent and may arrive.
    pub(super) fn send(&mut self, now: Time, from: ParticipantId, to: ParticipantId, event: E) {
        self.messages += 1;
        let spread = self.network.most.saturating_sub(self.network.least) + 1;
        let delay = self.network.least + self.chance.below(spread);
        let is_lost = self.chance.below(1_000) < self.network.lost_per_mille;
        let away = &self.network.away;
        if !is_lost && !away.contains(&from) && !away.contains(&to) {
            self.at(Time(now.0 + delay), event);
        }
    }

    /// What comes next, if it comes before the end.
    pub(super) fn next(&mut self, end: Time) -> Option<(Time, E)> {
        let ((at, _), event) = self.events.pop_first()?;
        (at < end).then_some((at, event))
    }
}

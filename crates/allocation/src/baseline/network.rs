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
    /// When some were cut off from the others.
    pub cuts: Vec<Cut>,
}

/// A time in which nothing that is sent passes between some and all others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cut {
    /// Those on the one side.
    pub who: BTreeSet<ParticipantId>,
    /// From when on.
    pub from: Time,
    /// The first moment after.
    pub until: Time,
}

/// How long an entry of [`Traffic`] is, in milliseconds.
const ENTRY_MILLIS: u64 = 100;

/// What was sent, lost or not, by tenths of a second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages and bytes.
    entries: BTreeMap<u64, (u64, u64)>,
}

impl Traffic {
    fn add(&mut self, now: Time, bytes: u64) {
        let entry = self.entries.entry(now.0 / ENTRY_MILLIS).or_default();
        entry.0 += 1;
        entry.1 += bytes;
    }

    /// Messages, bytes and the bytes of the busiest second from one moment to another, in tenths of a second.
    pub fn between(&self, from: Time, until: Time) -> (u64, u64, u64) {
        let range = from.0 / ENTRY_MILLIS..until.0.div_ceil(ENTRY_MILLIS).max(from.0 / ENTRY_MILLIS + 1);
        let entries: Vec<(u64, (u64, u64))> =
            self.entries.range(range).map(|(at, sent)| (*at, *sent)).collect();
        let sum = |entries: &[(u64, (u64, u64))]| {
            entries.iter().fold((0, 0), |sum, (_, sent)| (sum.0 + sent.0, sum.1 + sent.1))
        };
        let second = |start: usize| {
            let end = entries.partition_point(|(at, _)| *at < entries[start].0 + 1_000 / ENTRY_MILLIS);
            sum(&entries[start..end]).1
        };
        let (messages, bytes) = sum(&entries);
        (messages, bytes, (0..entries.len()).map(second).max().unwrap_or(0))
    }
}

/// Numbers from a seed (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the numbers below `end`, or 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// What is to come, by time.
#[derive(Debug)]
pub struct Agenda<E> {
    events: BTreeMap<(Time, u64), E>,
    count: u64,
    /// All that was sent.
    pub messages: u64,
    /// The same by time.
    pub traffic: Traffic,
    /// What chances come from.
    pub chance: Chance,
    network: Network,
}

impl<E> Agenda<E> {
    /// Of nothing, over a network.
    pub fn new(network: Network) -> Self {
        let chance = Chance::new(network.seed);
        Self { events: BTreeMap::new(), count: 0, messages: 0, traffic: Traffic::default(), chance, network }
    }

    /// Something that happens at a moment.
    pub fn at(&mut self, at: Time, event: E) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// Something of so many bytes that is sent and may arrive.
    pub fn send(&mut self, now: Time, (from, to): (ParticipantId, ParticipantId), bytes: u64, event: E) {
        self.messages += 1;
        self.traffic.add(now, bytes);
        let spread = self.network.most.saturating_sub(self.network.least) + 1;
        let delay = self.network.least + self.chance.below(spread);
        let is_lost = self.chance.below(1_000) < self.network.lost_per_mille;
        if !is_lost && self.passes(now, from, to) {
            self.at(Time(now.0 + delay), event);
        }
    }

    /// Whether something that is sent now between the two is not held up by a cut or because one is away.
    pub fn passes(&self, now: Time, from: ParticipantId, to: ParticipantId) -> bool {
        let is_between = |cut: &Cut| cut.who.contains(&from) != cut.who.contains(&to);
        let is_cut = |cut: &Cut| cut.from <= now && now < cut.until && is_between(cut);
        !self.is_away(from) && !self.is_away(to) && !self.network.cuts.iter().any(is_cut)
    }

    /// From now on somebody is away.
    pub fn leave(&mut self, who: ParticipantId) {
        self.network.away.insert(who);
    }

    /// Whether somebody is.
    pub fn is_away(&self, who: ParticipantId) -> bool {
        self.network.away.contains(&who)
    }

    /// What comes next, if it comes before the end.
    pub fn next(&mut self, end: Time) -> Option<(Time, E)> {
        let ((at, _), event) = self.events.pop_first()?;
        (at < end).then_some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_counted_and_passes_no_cut() {
        let who = ParticipantId;
        let cut = Cut { who: [who(1), who(2)].into(), from: Time(1_000), until: Time(2_000) };
        let network = Network { least: 5, most: 5, cuts: vec![cut], ..Network::default() };
        let mut agenda = Agenda::new(network);
        for (at, from, to) in [(0, 1, 3), (1_500, 1, 3), (1_510, 1, 2), (1_990, 3, 4), (2_000, 3, 1)] {
            agenda.send(Time(at), (who(from), who(to)), 10, (from, to));
        }
        let mut arrived = Vec::new();
        while let Some((at, event)) = agenda.next(Time(9_999)) {
            arrived.push((at.0, event));
        }
        assert_eq!(arrived, [(5, (1, 3)), (1_515, (1, 2)), (1_995, (3, 4)), (2_005, (3, 1))]);
        assert_eq!(agenda.traffic.between(Time(0), Time(9_999)), (5, 50, 40));
        assert_eq!(agenda.traffic.between(Time(1_900), Time(2_000)), (1, 10, 10));
        agenda.leave(who(3));
        assert!(!agenda.passes(Time(0), who(3), who(4)) && agenda.passes(Time(0), who(1), who(4)));
    }
}

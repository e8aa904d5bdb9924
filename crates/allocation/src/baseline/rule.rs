//! The seed's rule for one provider, and its damping.
//!
//! Invariant: it is the seed's, step by step: a share of a tier is mutual recognition times need times damping over the
//! sum of those, capped by the need, in two tiers; what a cap leaves over goes to the next tier. Each of a provider's
//! capacities offers to the whole of a need.

use std::collections::BTreeMap;

use super::{EPSILON, Economy, Needs};
use crate::Time;

/// The least denominator, and the least remainder for which the second tier is looked at.
const FLOOR: f64 = 1e-4;
/// How long a recipient's history counts, if it has enough entries.
const HISTORY_MILLIS: u64 = 30_000;
/// How many entries count.
const HISTORY: usize = 3;

/// The denominators of a capacity's tiers: the rule holds itself converged when they stand still.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Denominators {
    /// Of the mutual tier.
    pub mutual: f64,
    /// Of the generous one.
    pub generous: f64,
}

impl Denominators {
    /// Whether they differ by no more than the rule's epsilon.
    pub fn stand(self, before: Self) -> bool {
        (self.mutual - before.mutual).abs() <= EPSILON && (self.generous - before.generous).abs() <= EPSILON
    }
}

/// What a capacity gives its links (by place), by what it knows of needs (by place) and damping factors (by
/// participant).
pub fn allocate(
    economy: &Economy,
    capacity: usize,
    links: &[usize],
    needs: impl Fn(usize) -> f64,
    damping: impl Fn(usize) -> f64,
) -> (Vec<(usize, f64)>, Denominators) {
    let mut rest = economy.capacities[capacity].1;
    let mut given = Vec::new();
    let mut denominators = Denominators::default();
    let of_capacity: Vec<usize> =
        links.iter().copied().filter(|place| economy.links[*place].capacity == capacity).collect();
    for is_mutual in [true, false] {
        if !is_mutual && rest <= FLOOR {
            break;
        }
        // One entry a recipient: its need, its recognition, its links.
        let mut recipients: Vec<(usize, f64, f64, Vec<usize>)> = Vec::new();
        for place in of_capacity.iter().copied() {
            let link = &economy.links[place];
            if (link.mutual > 0.0) != is_mutual || needs(link.need) <= 0.0 {
                continue;
            }
            let owner = economy.needs[link.need].0;
            let weight = if is_mutual { link.mutual } else { link.recognised };
            match recipients.iter_mut().find(|(other, ..)| *other == owner) {
                Some((_, need, _, places)) => {
                    *need += needs(link.need);
                    places.push(place);
                }
                None => recipients.push((owner, needs(link.need), weight, vec![place])),
            }
        }
        let weights: f64 = recipients.iter().map(|(_, _, weight, _)| weight).sum();
        let numerators: Vec<f64> = recipients
            .iter()
            .map(|(owner, need, weight, _)| {
                let factor = if damping(*owner) > 0.0 { damping(*owner) } else { 1.0 };
                weight / weights * need * factor
            })
            .collect();
        let denominator: f64 = numerators.iter().sum();
        let available = rest;
        for ((_, need, _, places), numerator) in recipients.iter().zip(numerators) {
            let mut share = (available * numerator / denominator.max(FLOOR)).min(*need);
            rest -= share;
            for place in places {
                let part = share.min(needs(economy.links[*place].need));
                share -= part;
                given.push((*place, part));
            }
        }
        if is_mutual {
            denominators.mutual = denominator;
        } else {
            denominators.generous = denominator;
        }
    }
    (given, denominators)
}

/// The damping factor of a history of over-allocation, oldest first.
pub fn damping(history: &[(Time, f64)], now: Time) -> f64 {
    let counted = counted(history, now);
    let [.., (_, a), (_, b), (_, c)] = counted else { return 1.0 };
    if (a < b && b > c) || (a > b && b < c) {
        0.5
    } else if a >= b && b >= c {
        1.0
    } else {
        0.8
    }
}

/// The entries of the last half minute, if there are three, else the last three.
fn counted(history: &[(Time, f64)], now: Time) -> &[(Time, f64)] {
    let recent = history.partition_point(|(at, _)| at.0 + HISTORY_MILLIS <= now.0);
    let from = if history.len() - recent >= HISTORY { recent } else { history.len().saturating_sub(HISTORY) };
    &history[from..]
}

/// What a link is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gift {
    pub(super) place: usize,
    pub(super) quantity: f64,
    /// The need that it was computed from.
    pub(super) needed: f64,
}

/// Numbers by place, of those places alone that somebody has to do with.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Ascending.
    places: Vec<usize>,
    values: Vec<f64>,
}

impl Known {
    fn new(places: impl Iterator<Item = usize>, value: impl Fn(usize) -> f64) -> Self {
        let mut places: Vec<usize> = places.collect();
        places.sort_unstable();
        places.dedup();
        let values = places.iter().map(|place| value(*place)).collect();
        Self { places, values }
    }

    /// The number; 0 where there is none.
    pub(super) fn get(&self, place: usize) -> f64 {
        self.places.binary_search(&place).map_or(0.0, |found| self.values[found])
    }

    /// Takes a number where it matters, and says whether that made a difference.
    pub(super) fn set(&mut self, place: usize, value: f64) -> bool {
        let Ok(found) = self.places.binary_search(&place) else { return false };
        let before = std::mem::replace(&mut self.values[found], value);
        (value - before).abs() > EPSILON
    }
}

/// What a participant says of itself, and what it knows of others.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// What each need says, by place.
    pub(super) needs: Known,
    /// The factor of each participant.
    pub(super) damping: Known,
    /// What each link is given.
    pub(super) given: Known,
    pub(super) history: Vec<(Time, f64)>,
    before: BTreeMap<usize, Denominators>,
    /// The participant's own needs.
    own: Vec<usize>,
    pub(super) converged: bool,
}

impl View {
    /// Of a participant by its place and links.
    pub(super) fn new(economy: &Economy, me: usize, [gives, takes]: &[Vec<usize>; 2]) -> Self {
        let need = |link: &usize| economy.links[*link].need;
        let owners = gives.iter().map(|link| economy.needs[need(link)].0);
        let mut own: Vec<usize> = takes.iter().map(need).collect();
        own.sort_unstable();
        own.dedup();
        Self {
            needs: Known::new(gives.iter().chain(takes).map(need), |place| economy.needs[place].1),
            damping: Known::new(owners.chain([me]), |_| 1.0),
            given: Known::new(gives.iter().chain(takes).copied(), |_| 0.0),
            history: Vec::new(),
            before: BTreeMap::new(),
            own,
            converged: false,
        }
    }

    /// The provider's step: what its links get, each with the need that it was computed from; and whether that is
    /// something different.
    pub(super) fn give(&mut self, economy: &Economy, links: &[usize]) -> (Vec<Gift>, bool) {
        let mut capacities: Vec<usize> = links.iter().map(|place| economy.links[*place].capacity).collect();
        capacities.dedup();
        let mut all = Vec::new();
        self.converged = true;
        for capacity in capacities {
            let (given, denominators) =
                allocate(economy, capacity, links, |need| self.needs.get(need), |who| self.damping.get(who));
            let before = self.before.insert(capacity, denominators);
            self.converged &= before.is_some_and(|before| denominators.stand(before));
            all.extend(given);
        }
        let before: Vec<f64> = links.iter().map(|place| self.given.get(*place)).collect();
        for place in links {
            self.given.set(*place, 0.0);
        }
        for (place, quantity) in all {
            self.given.set(place, quantity);
        }
        let mut differs = false;
        let gifts = links.iter().zip(before).map(|(place, before)| {
            let quantity = self.given.get(*place);
            differs |= (quantity - before).abs() > EPSILON;
            Gift { place: *place, quantity, needed: self.needs.get(economy.links[*place].need) }
        });
        (gifts.collect(), differs)
    }

    /// The recipient's step: its factor by what its links got, and what its needs say.
    pub(super) fn receive(
        &mut self,
        economy: &Economy,
        me: usize,
        links: &[usize],
        now: Time,
        form: Needs,
    ) -> Vec<(usize, f64)> {
        let total: f64 = links.iter().map(|place| self.given.get(*place)).sum();
        let stated: f64 = self.own.iter().map(|place| economy.needs[*place].1).sum();
        self.history.push((now, (total - stated).max(0.0)));
        let from = self.history.len() - counted(&self.history, now).len();
        self.history.drain(..from);
        self.damping.set(me, damping(&self.history, now));
        let says = self.own.iter().map(|place| {
            let need = economy.needs[*place].1;
            let through = links.iter().filter(|link| economy.links[**link].need == *place);
            let received: f64 = through.map(|link| self.given.get(*link)).sum();
            (*place, if form == Needs::Residual { (need - received).max(0.0) } else { need })
        });
        let says: Vec<(usize, f64)> = says.collect();
        for (place, need) in &says {
            self.needs.set(*place, *need);
        }
        says
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_over_allocation_counts_as_convergence() {
        let history = |values: [f64; 3]| {
            let times = [Time(0), Time(1), Time(2)];
            damping(&times.into_iter().zip(values).collect::<Vec<_>>(), Time(3))
        };
        let tenths = |values| (history(values) * 10.0).round() as u32;
        assert_eq!(tenths([200.0, 200.0, 200.0]), 10);
        assert_eq!(tenths([1.0, 2.0, 1.0]), 5);
        assert_eq!(tenths([2.0, 1.0, 2.0]), 5);
        assert_eq!(tenths([1.0, 2.0, 3.0]), 8);
        assert!(damping(&[(Time(0), 1.0), (Time(1), 2.0)], Time(2)) > 0.99);
    }
}

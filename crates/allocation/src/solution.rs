//! [`Solution`]: who has how much of whom, and what stops each edge from having more.
//!
//! Invariant: allocations ascend by edge and tier and none is of nothing; there is a bottleneck for each edge of the
//! market in its tier, and for each guaranteed one in the tier of guarantees.

use crate::certificate::Certificate;
use crate::solve::{Bound, Outcome, solve};
use crate::{EdgeId, Market, Quantity, Tier, Time};

/// A quantity that a capacity gives a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// Of which slot to which.
    pub edge: EdgeId,
    /// In which tier.
    pub tier: Tier,
    /// How much: more than nothing.
    pub quantity: Quantity,
    /// Why not more; nothing for what was accepted or is held.
    pub bound: Option<Bound>,
}

/// Why an edge has no more in a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bottleneck {
    /// Which edge.
    pub edge: EdgeId,
    /// In which tier.
    pub tier: Tier,
    /// What is full.
    pub bound: Bound,
}

/// An allocation of a whole market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// The moment that it is for.
    pub now: Time,
    /// Ascending by edge and tier.
    pub allocations: Vec<Allocation>,
    /// Ascending by edge and tier.
    pub bottlenecks: Vec<Bottleneck>,
}

impl Solution {
    /// Solves a market from nothing. `O(E log E)`.
    pub fn of(market: &Market, now: Time) -> Self {
        let edges = market.edges();
        let mut outcomes = solve(market, &edges, now);
        outcomes.extend(market.acceptances().map(|(edge, quantity)| accepted(edge, quantity)));
        outcomes.sort_unstable_by_key(|(key, _)| *key);
        Self::new(now, outcomes.into_iter())
    }

    pub(crate) fn new(now: Time, outcomes: impl Iterator<Item = ((EdgeId, Tier), Outcome)>) -> Self {
        let mut solution = Self { now, allocations: Vec::new(), bottlenecks: Vec::new() };
        for ((edge, tier), Outcome { quantity, bound }) in outcomes {
            if !quantity.is_zero() {
                solution.allocations.push(Allocation { edge, tier, quantity, bound });
            }
            if let Some(bound) = bound {
                solution.bottlenecks.push(Bottleneck { edge, tier, bound });
            }
        }
        solution
    }

    /// What proves the solution, without trust in who computed it.
    pub fn certificate(&self) -> Certificate {
        let entries = self.bottlenecks.iter();
        Certificate { entries: entries.map(|entry| (entry.edge, entry.tier, entry.bound.node)).collect() }
    }
}

pub(crate) fn accepted(edge: EdgeId, quantity: Quantity) -> ((EdgeId, Tier), Outcome) {
    ((edge, Tier::Accepted), Outcome { quantity, bound: None })
}

//! Why an edge or a need has what it has: which node is full, at which level, and what would raise it.
//!
//! Invariant: what is named as full is full, the edge has the highest level there, and to enlarge every node that is
//! named would raise the edge; to enlarge anything else would not, or only by way of those.

use std::fmt;

use crate::solve::Bound;
use crate::{Allocator, EdgeId, Level, Mismatch, NodeId, Quantity, Side, SlotKey, Tier};

/// What an edge has and why it has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeExplanation {
    /// Which edge.
    pub edge: EdgeId,
    /// What it has, by tier, ascending.
    pub given: Vec<(Tier, Quantity)>,
    /// Why it has no more.
    pub reason: EdgeReason,
}

/// Why an edge has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeReason {
    /// There is no edge.
    None(Mismatch),
    /// The edge is not settled yet: settle first.
    Unsettled,
    /// These are full, and no other edge has a higher level there. The first is the one that stopped it. The edge
    /// has more when each of them has more, or when the edge's recognition, and with it its weight, grows there.
    Full(Vec<Bound>),
}

/// What a need has and what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedExplanation {
    /// Which need.
    pub need: SlotKey,
    /// What it asks for; nothing if there is no such need.
    pub wanted: Quantity,
    /// What it has of all.
    pub received: Quantity,
    /// Each of its edges, ascending.
    pub edges: Vec<EdgeExplanation>,
}

impl Allocator {
    /// Why an edge has what it has since the last [`Allocator::settle`]. `O(k log E)` in the edges of its slots.
    pub fn explain_edge(&self, edge: EdgeId) -> EdgeExplanation {
        let keys = (edge, Tier::Accepted)..=(edge, Tier::Generous);
        let outcomes = || self.outcomes.range(keys.clone());
        let given = outcomes().filter(|(_, outcome)| !outcome.quantity.is_zero());
        let given: Vec<(Tier, Quantity)> =
            given.map(|((_, tier), outcome)| (*tier, outcome.quantity)).collect();
        let reason = match self.market.mismatch(edge) {
            Err(mismatch) => EdgeReason::None(mismatch),
            // The last tier decides: what an edge lacks in the others it has there.
            Ok(()) => match outcomes().rev().find_map(|((_, tier), outcome)| Some((*tier, outcome.bound?))) {
                None => EdgeReason::Unsettled,
                Some((tier, bound)) => EdgeReason::Full(self.full(edge, tier, bound)),
            },
        };
        EdgeExplanation { edge, given, reason }
    }

    /// Why a need has what it has since the last [`Allocator::settle`].
    pub fn explain_need(&self, need: SlotKey) -> NeedExplanation {
        let pairs = self.by_need.range(crate::market::pairs_of(need));
        let edges: Vec<EdgeExplanation> = pairs
            .map(|(need, capacity)| self.explain_edge(EdgeId { capacity: *capacity, need: *need }))
            .collect();
        let given = edges.iter().flat_map(|edge| &edge.given).filter(|(tier, _)| *tier != Tier::Accepted);
        let settled: u64 = given.map(|(_, quantity)| quantity.0).sum();
        // Accepted quantities stand without an edge too.
        let accepted = self.market.accepted_of(Side::Need, need).0;
        let wanted = self.market.slot(Side::Need, need).map_or(Quantity::ZERO, |slot| slot.quantity);
        NeedExplanation { need, wanted, received: Quantity(settled + accepted), edges }
    }

    /// The nodes of the edge that are full and where none of the tier is higher; the one that stopped it first.
    fn full(&self, edge: EdgeId, tier: Tier, bound: Bound) -> Vec<Bound> {
        let mut all = vec![bound];
        let EdgeId { capacity, need } = edge;
        let nodes = [
            NodeId::Capacity(capacity),
            NodeId::Need(need),
            NodeId::Gives(capacity, need.owner),
            NodeId::Takes(need, capacity.owner),
        ];
        let own = self.level(edge, tier);
        for node in nodes.into_iter().filter(|node| *node != bound.node) {
            let (Some(most), through) = (self.most(node), self.through(node)) else { continue };
            let used: u64 = through.iter().map(|edge| self.sum(*edge)).sum();
            let lot = self.edges.get(&edge).map_or(1, |edge| edge.lot);
            let of_tier = through.iter().map(|edge| self.level(*edge, tier));
            let degree = through.len() as u64 + 1;
            let reached = Level { quantity: own.quantity + degree, ..own };
            let lowered = |level: Level| Level { quantity: level.quantity.saturating_sub(1), ..level };
            if most.saturating_sub(used) < lot && of_tier.map(lowered).all(|level| level <= reached) {
                all.push(Bound { node, level: own });
            }
        }
        all
    }

    fn level(&self, edge: EdgeId, tier: Tier) -> Level {
        let quantity = self.outcomes.get(&(edge, tier)).map_or(0, |outcome| outcome.quantity.0);
        Level { quantity, weight: self.edges.get(&edge).map_or(1, |edge| edge.weight) }
    }

    fn sum(&self, edge: EdgeId) -> u64 {
        let tiers = self.outcomes.range((edge, Tier::Accepted)..=(edge, Tier::Generous));
        tiers.map(|(_, outcome)| outcome.quantity.0).sum()
    }

    fn most(&self, node: NodeId) -> Option<u64> {
        let each = |side, slot| Some(self.market.slot(side, slot)?.most_each?.0);
        match node {
            NodeId::Capacity(slot) => Some(self.market.quantity_at(Side::Capacity, slot, self.now()).0),
            NodeId::Need(slot) => Some(self.market.quantity_at(Side::Need, slot, self.now()).0),
            NodeId::Gives(slot, _) => each(Side::Capacity, slot),
            NodeId::Takes(slot, _) => each(Side::Need, slot),
            NodeId::Guarantee(..) => None,
        }
    }

    /// The edges through a node, and what was accepted through it.
    fn through(&self, node: NodeId) -> Vec<EdgeId> {
        let from = |capacity: SlotKey| {
            let edges = self.outcomes.range(
                (*EdgeId::all_of(capacity).start(), Tier::Accepted)
                    ..=(*EdgeId::all_of(capacity).end(), Tier::Generous),
            );
            edges.map(|((edge, _), _)| *edge)
        };
        let to = |need: SlotKey| {
            let pairs = self.by_need.range(crate::market::pairs_of(need));
            let accepted = self.market.acceptances_for(need).map(|(edge, _)| edge);
            pairs.map(|(need, capacity)| EdgeId { capacity: *capacity, need: *need }).chain(accepted)
        };
        let mut edges: Vec<EdgeId> = match node {
            NodeId::Capacity(slot) => from(slot).collect(),
            NodeId::Need(slot) => to(slot).collect(),
            NodeId::Gives(slot, other) | NodeId::Guarantee(slot, other) => {
                from(slot).filter(|edge| edge.need.owner == other).collect()
            }
            NodeId::Takes(slot, other) => to(slot).filter(|edge| edge.capacity.owner == other).collect(),
        };
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

impl fmt::Display for EdgeExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.edge)?;
        if self.given.is_empty() {
            f.write_str("nothing")?;
        }
        for (place, (tier, quantity)) in self.given.iter().enumerate() {
            write!(f, "{}{quantity} {tier}", if place > 0 { ", " } else { "" })?;
        }
        write!(f, "; {}", self.reason)
    }
}

impl fmt::Display for EdgeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bounds = match self {
            Self::None(mismatch) => return mismatch.fmt(f),
            Self::Unsettled => return f.write_str("not settled yet"),
            Self::Full(bounds) => bounds,
        };
        for (place, Bound { node, level }) in bounds.iter().enumerate() {
            write!(f, "{}{node} is full at level {level}", if place > 0 { ", and " } else { "" })?;
        }
        f.write_str("; more of ")?;
        for (place, Bound { node, .. }) in bounds.iter().enumerate() {
            write!(f, "{}{node}", if place > 0 { " together with " } else { "" })?;
        }
        f.write_str(" would raise it")
    }
}

impl fmt::Display for NeedExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recipient {}: {} of {}", self.need, self.received, self.wanted)?;
        self.edges.iter().try_for_each(|edge| write!(f, "\n  {edge}"))
    }
}

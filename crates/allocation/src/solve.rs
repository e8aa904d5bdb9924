//! One allocation from nothing: reservations, holds, guarantees, and the two tiers, each on what those before it left.
//!
//! Invariant: the result is a function of the market and the moment, and the result of a component of the graph is a
//! function of that component: filling it alone or among others gives the same bits.

use std::collections::BTreeMap;

use crate::edge::Edge;
use crate::fill::{ENDS, Filled, NONE, Way, fill};
use crate::lots::whole;
use crate::{EdgeId, Level, Market, NodeId, ParticipantId, Quantity, Side, SlotKey, Tier, Time};

/// What stops an edge: the node that is full, and the level at which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is full.
    pub node: NodeId,
    /// What it gives for each weight.
    pub level: Level,
}

/// What an edge has in a tier; it may be nothing. Acceptances and holds have no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) quantity: Quantity,
    pub(crate) bound: Option<Bound>,
}

/// What an edge has, by tier.
pub(crate) type Outcomes = Vec<((EdgeId, Tier), Outcome)>;

/// The nodes of some edges with what is free of them.
struct Problem<'a> {
    nodes: Vec<NodeId>,
    free: Vec<u64>,
    edges: &'a [Edge],
    ways: Vec<Way>,
}

impl<'a> Problem<'a> {
    /// `O(E log E)`.
    fn new(market: &Market, edges: &'a [Edge], now: Time) -> Self {
        let mut capacities: Vec<SlotKey> = edges.iter().map(|edge| edge.id.capacity).collect();
        capacities.dedup();
        let mut needs: Vec<SlotKey> = edges.iter().map(|edge| edge.id.need).collect();
        needs.sort_unstable();
        needs.dedup();
        let offset = capacities.len();
        let mut nodes: Vec<NodeId> = capacities.iter().copied().map(NodeId::Capacity).collect();
        nodes.extend(needs.iter().copied().map(NodeId::Need));
        let mut free = Vec::with_capacity(nodes.len());
        let sides = capacities.iter().map(|slot| (Side::Capacity, slot));
        let mut most_each: Vec<Option<Quantity>> = Vec::with_capacity(nodes.len());
        for (side, slot) in sides.chain(needs.iter().map(|slot| (Side::Need, slot))) {
            let quantity = market.quantity_at(side, *slot, now).minus(market.accepted_of(side, *slot));
            free.push(quantity.0);
            most_each.push(market.slot(side, *slot).and_then(|slot| slot.most_each));
        }
        let mut problem = Self { nodes, free, edges, ways: Vec::with_capacity(edges.len()) };
        let mut each: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut capacity = 0;
        for edge in edges {
            let EdgeId { capacity: from, need: to } = edge.id;
            if capacities[capacity] != from {
                capacity += 1;
            }
            let need = offset + needs.binary_search(&to).expect("invariant: every need was listed");
            let mut ends = [NONE; ENDS];
            ends[0] = capacity as u32;
            ends[1] = need as u32;
            let gates =
                [(2, capacity, NodeId::Gives(from, to.owner)), (3, need, NodeId::Takes(to, from.owner))];
            for (place, node, gate) in gates {
                if let Some(most) = most_each[node] {
                    ends[place] = problem.node(&mut each, gate, most);
                }
            }
            problem.ways.push(Way { nodes: ends, weight: edge.weight, lot: edge.lot });
        }
        // What was accepted counts towards what two exchange at the most.
        for (gate, node) in &each {
            let accepted = accepted_through(market, *gate);
            let free = &mut problem.free[*node as usize];
            *free = free.saturating_sub(accepted);
        }
        problem
    }

    fn node(&mut self, known: &mut BTreeMap<NodeId, u32>, node: NodeId, quantity: Quantity) -> u32 {
        *known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.free.push(quantity.0);
            (self.nodes.len() - 1) as u32
        })
    }

    fn take(&mut self, way: usize, quantity: u64) {
        for node in self.ways[way].ends() {
            self.free[node] -= quantity;
        }
    }

    /// Gives what is held, as far as there is room, in whole lots and by id.
    fn hold(&mut self, market: &Market, now: Time, outcomes: &mut Outcomes) {
        for (place, edge) in self.edges.iter().enumerate() {
            let wanted = market.held(edge.id, now).minus(market.accepted(edge.id)).0;
            if wanted == 0 {
                continue;
            }
            let room = self.ways[place].ends().map(|node| self.free[node]).min().unwrap_or(0);
            let quantity = wanted.min(room) / edge.lot * edge.lot;
            self.take(place, quantity);
            if quantity > 0 {
                let outcome = Outcome { quantity: Quantity(quantity), bound: None };
                outcomes.push(((edge.id, Tier::Held), outcome));
            }
        }
    }

    /// The guaranteed edges, each with the node of its guarantee, of which accepted and held quantities are a part.
    fn guaranteed(&mut self, market: &Market, outcomes: &Outcomes) -> Vec<usize> {
        let promises = promises(market, self.edges);
        let mut known = BTreeMap::new();
        let mut places = Vec::new();
        for (place, edge) in self.edges.iter().enumerate() {
            let (capacity, to) = (edge.id.capacity, edge.id.need.owner);
            let Some(quantity) = promises.get(&(capacity, to)) else { continue };
            let guarantee = NodeId::Guarantee(capacity, to);
            let rest = quantity.minus(Quantity(accepted_through(market, guarantee)));
            let node = self.node(&mut known, guarantee, rest);
            self.ways[place].nodes[4] = node;
            places.push(place);
        }
        for ((edge, _), outcome) in outcomes.iter().filter(|((_, tier), _)| *tier == Tier::Held) {
            if let Some(node) = known.get(&NodeId::Guarantee(edge.capacity, edge.need.owner)) {
                let free = &mut self.free[*node as usize];
                *free = free.saturating_sub(outcome.quantity.0);
            }
        }
        places
    }

    fn tier(&mut self, tier: Tier, places: &[usize], outcomes: &mut Outcomes) {
        let ways: Vec<Way> = places.iter().map(|place| self.ways[*place]).collect();
        let mut filled = fill(&mut self.free, &ways);
        whole(&mut self.free, &ways, &mut filled);
        for (place, Filled { quantity, node, level }) in places.iter().zip(filled) {
            let bound = Some(Bound { node: self.nodes[node as usize], level });
            outcomes.push(((self.edges[*place].id, tier), Outcome { quantity: Quantity(quantity), bound }));
        }
    }
}

/// What was accepted between a slot and a participant.
fn accepted_through(market: &Market, gate: NodeId) -> u64 {
    match gate {
        NodeId::Gives(capacity, to) | NodeId::Guarantee(capacity, to) => {
            let all = market.acceptances_of(capacity).filter(|(edge, _)| edge.need.owner == to);
            all.map(|(_, quantity)| quantity.0).sum()
        }
        NodeId::Takes(need, from) => {
            let all = market.acceptances_for(need).filter(|(edge, _)| edge.capacity.owner == from);
            all.map(|(_, quantity)| quantity.0).sum()
        }
        NodeId::Capacity(_) | NodeId::Need(_) => 0,
    }
}

/// The guarantees of the capacities that have edges.
fn promises(market: &Market, edges: &[Edge]) -> BTreeMap<(SlotKey, ParticipantId), Quantity> {
    let mut owners: Vec<ParticipantId> = edges.iter().map(|edge| edge.id.capacity.owner).collect();
    owners.dedup();
    let said = owners.into_iter().filter_map(|owner| market.commitment(owner));
    let promises = said.flat_map(|said| {
        said.guarantees.iter().map(|guarantee| {
            let slot = SlotKey { owner: said.owner, slot: guarantee.capacity };
            ((slot, guarantee.to), guarantee.quantity)
        })
    });
    promises.collect()
}

/// Fills these edges, which ascend and are whole components of the graph. The outcomes ascend by edge and tier.
pub(crate) fn solve(market: &Market, edges: &[Edge], now: Time) -> Outcomes {
    let mut problem = Problem::new(market, edges, now);
    let mut outcomes = Outcomes::new();
    problem.hold(market, now, &mut outcomes);
    let guaranteed = problem.guaranteed(market, &outcomes);
    problem.tier(Tier::Guaranteed, &guaranteed, &mut outcomes);
    // A guarantee bounds its own tier alone.
    for place in guaranteed {
        problem.ways[place].nodes[4] = NONE;
    }
    for tier in [Tier::Mutual, Tier::Generous] {
        let places: Vec<usize> = (0..edges.len()).filter(|place| edges[*place].tier == tier).collect();
        problem.tier(tier, &places, &mut outcomes);
    }
    outcomes.sort_unstable_by_key(|(key, _)| *key);
    outcomes
}

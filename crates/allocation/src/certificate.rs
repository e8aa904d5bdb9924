//! [`Certificate`]: a local proof that a solution is the fair one.
//!
//! Invariant: it shares no code with the filling. It reads the market (its edges, slots and reservations), adds up, and
//! looks at each edge's bottleneck: a node that is full, and at which no other edge stands higher. An allocation with
//! such a bottleneck for each edge is the max-min fair one, and there is only one ("Data Networks", Bertsekas,
//! Gallager, 1992, section 6.5.2). Whole numbers allow one millionth for the rounding of an edge and one for each edge
//! of the node.
//!
//! Where a tier of a component has lots, what is proved is that no further lot fits, not the levels.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::edge::Edge;
use crate::{EdgeId, Level, Market, NodeId, Quantity, Side, SlotKey, Solution, Tier, Time};

/// For each edge and tier the node that is full. See [`Solution::certificate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Ascending by edge and tier.
    pub entries: Vec<(EdgeId, Tier, NodeId)>,
}

/// What is wrong with a solution or its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CertificateError {
    #[error("{edge}: allocations must ascend by edge and tier, and be of something")]
    Order { edge: EdgeId },
    #[error("{edge} is {tier} in the solution and has no such tier in the market")]
    NoEdge { edge: EdgeId, tier: Tier },
    #[error("{edge}: {given} is accepted in the solution and {accepted} in the market")]
    Accepted { edge: EdgeId, given: Quantity, accepted: Quantity },
    #[error("{edge}: {given} is held in the solution, {expected} is due")]
    Held { edge: EdgeId, given: Quantity, expected: Quantity },
    #[error("{edge}: {quantity} is not a whole number of lots of {lot}")]
    Lot { edge: EdgeId, quantity: Quantity, lot: Quantity },
    #[error("{node} gives or takes more than the {quantity} that it has")]
    Over { node: NodeId, quantity: Quantity },
    #[error("the certificate does not name a bottleneck for {edge} in tier {tier}, or names one too many")]
    Uncovered { edge: EdgeId, tier: Tier },
    #[error("{node} is no bound of {edge} in tier {tier}")]
    NoEnd { edge: EdgeId, tier: Tier, node: NodeId },
    #[error("{edge} could have more in tier {tier}: {node} is not full")]
    NotFull { edge: EdgeId, tier: Tier, node: NodeId },
    #[error("{edge} could have more in tier {tier}: at {node} another edge stands higher")]
    Lower { edge: EdgeId, tier: Tier, node: NodeId },
}

/// An edge of a tier as the checker sees it: its nodes by place, and what it has.
struct Line<'a> {
    edge: &'a Edge,
    nodes: Vec<usize>,
    quantity: u64,
    witness: usize,
}

/// The nodes, by place.
#[derive(Default)]
struct Nodes {
    places: BTreeMap<NodeId, usize>,
    ids: Vec<NodeId>,
    most: Vec<u64>,
    used: Vec<u64>,
}

impl Nodes {
    fn place(&mut self, market: &Market, now: Time, node: NodeId) -> usize {
        let Self { places, ids, most, used } = self;
        *places.entry(node).or_insert_with(|| {
            ids.push(node);
            most.push(most_of(market, now, node));
            used.push(accepted_through(market, node));
            ids.len() - 1
        })
    }

    fn take(&mut self, place: usize, quantity: u64) -> Result<(), CertificateError> {
        let sum = self.used[place].checked_add(quantity).filter(|sum| *sum <= self.most[place]);
        let over = CertificateError::Over { node: self.ids[place], quantity: Quantity(self.most[place]) };
        self.used[place] = if quantity == 0 { self.used[place] } else { sum.ok_or(over)? };
        Ok(())
    }

    fn free(&self, place: usize) -> u64 {
        self.most[place].saturating_sub(self.used[place])
    }
}

fn most_of(market: &Market, now: Time, node: NodeId) -> u64 {
    let each =
        |side, slot| market.slot(side, slot).and_then(|slot| slot.most_each).unwrap_or(Quantity::MAX).0;
    match node {
        NodeId::Capacity(slot) => market.quantity_at(Side::Capacity, slot, now).0,
        NodeId::Need(slot) => market.quantity_at(Side::Need, slot, now).0,
        NodeId::Gives(slot, _) => each(Side::Capacity, slot),
        NodeId::Takes(slot, _) => each(Side::Need, slot),
        NodeId::Guarantee(slot, to) => {
            let said = market.commitment(slot.owner).into_iter().flat_map(|said| &said.guarantees);
            let mut these = said.filter(|guarantee| guarantee.capacity == slot.slot && guarantee.to == to);
            these.next().map_or(0, |guarantee| guarantee.quantity.0)
        }
    }
}

fn accepted_through(market: &Market, node: NodeId) -> u64 {
    let sum = |quantities: &mut dyn Iterator<Item = (EdgeId, Quantity)>| {
        quantities.map(|(_, quantity)| quantity.0).sum()
    };
    match node {
        NodeId::Capacity(slot) => market.accepted_of(Side::Capacity, slot).0,
        NodeId::Need(slot) => market.accepted_of(Side::Need, slot).0,
        NodeId::Gives(slot, to) | NodeId::Guarantee(slot, to) => {
            sum(&mut market.acceptances_of(slot).filter(|(edge, _)| edge.need.owner == to))
        }
        NodeId::Takes(slot, from) => {
            sum(&mut market.acceptances_for(slot).filter(|(edge, _)| edge.capacity.owner == from))
        }
    }
}

impl Certificate {
    /// Whether the solution conserves, is fair and keeps the order of the tiers in this market at its moment. Linear
    /// in the edges but for looking up ids.
    pub fn check(&self, market: &Market, solution: &Solution) -> Result<(), CertificateError> {
        let edges = market.edges();
        let now = solution.now;
        let given = given(market, &edges, solution)?;
        let mut nodes = Nodes::default();
        check_holds(market, now, &edges, &given, &mut nodes)?;
        let mut witnesses = self.entries.iter().peekable();
        let mut tiers: [Vec<Line<'_>>; 3] = Default::default();
        for edge in &edges {
            let gates = gates(market, edge.id);
            let guarantee = guarantee(market, edge.id);
            let in_tiers = [(Tier::Guaranteed, guarantee), (edge.tier, None)];
            for (tier, extra) in
                in_tiers.into_iter().filter(|(tier, extra)| *tier == edge.tier || extra.is_some())
            {
                let quantity = given.get(&(edge.id, tier)).map_or(0, |quantity| quantity.0);
                let missing = CertificateError::Uncovered { edge: edge.id, tier };
                let Some((_, _, witness)) =
                    witnesses.next_if(|(named, in_tier, _)| (*named, *in_tier) == (edge.id, tier))
                else {
                    return Err(missing);
                };
                let ends = gates.iter().copied().chain(extra);
                let ends: Vec<usize> = ends.map(|node| nodes.place(market, now, node)).collect();
                let place = nodes.places.get(witness).copied().filter(|place| ends.contains(place));
                let no_end = CertificateError::NoEnd { edge: edge.id, tier, node: *witness };
                let line = Line { edge, nodes: ends, quantity, witness: place.ok_or(no_end)? };
                tiers[tier as usize - Tier::Guaranteed as usize].push(line);
            }
        }
        if let Some((edge, tier, _)) = witnesses.next() {
            return Err(CertificateError::Uncovered { edge: *edge, tier: *tier });
        }
        for (tier, lines) in [Tier::Guaranteed, Tier::Mutual, Tier::Generous].into_iter().zip(&tiers) {
            check_tier(tier, lines, &mut nodes)?;
        }
        Ok(())
    }
}

/// The solution by edge and tier, each of which the market has.
fn given(
    market: &Market,
    edges: &[Edge],
    solution: &Solution,
) -> Result<BTreeMap<(EdgeId, Tier), Quantity>, CertificateError> {
    let mut given = BTreeMap::new();
    let mut last = None;
    for allocation in &solution.allocations {
        let (edge, tier, quantity) = (allocation.edge, allocation.tier, allocation.quantity);
        if quantity.is_zero() || last >= Some((edge, tier)) {
            return Err(CertificateError::Order { edge });
        }
        last = Some((edge, tier));
        given.insert((edge, tier), quantity);
        if tier == Tier::Accepted {
            continue;
        }
        let known = edges.binary_search_by_key(&edge, |edge| edge.id).ok().map(|place| &edges[place]);
        let fits = |known: &&Edge| match tier {
            Tier::Guaranteed => guarantee(market, edge).is_some(),
            Tier::Held => true,
            tier => known.tier == tier,
        };
        let known = known.filter(fits).ok_or(CertificateError::NoEdge { edge, tier })?;
        if !quantity.0.is_multiple_of(known.lot) {
            return Err(CertificateError::Lot { edge, quantity, lot: Quantity(known.lot) });
        }
    }
    let said: BTreeMap<EdgeId, Quantity> = market.acceptances().collect();
    let of_solution = given.iter().filter(|((_, tier), _)| *tier == Tier::Accepted);
    for (edge, quantity) in of_solution.map(|((edge, _), quantity)| (*edge, *quantity)) {
        let accepted = said.get(&edge).copied().unwrap_or_default();
        if accepted != quantity {
            return Err(CertificateError::Accepted { edge, given: quantity, accepted });
        }
    }
    for (edge, accepted) in said {
        if !given.contains_key(&(edge, Tier::Accepted)) {
            return Err(CertificateError::Accepted { edge, given: Quantity::ZERO, accepted });
        }
    }
    Ok(given)
}

/// Each hold has what room there was for it, by id.
fn check_holds(
    market: &Market,
    now: Time,
    edges: &[Edge],
    given: &BTreeMap<(EdgeId, Tier), Quantity>,
    nodes: &mut Nodes,
) -> Result<(), CertificateError> {
    for edge in edges {
        let wanted = market.held(edge.id, now).minus(market.accepted(edge.id)).0;
        let held = given.get(&(edge.id, Tier::Held)).copied().unwrap_or_default();
        let ends: Vec<usize> =
            gates(market, edge.id).into_iter().map(|node| nodes.place(market, now, node)).collect();
        let room = ends.iter().map(|place| nodes.free(*place)).min().unwrap_or(0).min(wanted);
        let expected = Quantity(room - room % edge.lot);
        if held != expected {
            return Err(CertificateError::Held { edge: edge.id, given: held, expected });
        }
        if held.is_zero() {
            continue;
        }
        for place in ends {
            nodes.take(place, held.0)?;
        }
        if let Some(node) = guarantee(market, edge.id) {
            let place = nodes.place(market, now, node);
            // More may be held than was guaranteed.
            nodes.used[place] += held.0;
        }
    }
    Ok(())
}

/// The nodes that bound an edge in every tier.
fn gates(market: &Market, edge: EdgeId) -> Vec<NodeId> {
    let EdgeId { capacity, need } = edge;
    let mut nodes = vec![NodeId::Capacity(capacity), NodeId::Need(need)];
    let bounded = |side, slot: SlotKey| market.slot(side, slot).is_some_and(|slot| slot.most_each.is_some());
    if bounded(Side::Capacity, capacity) {
        nodes.push(NodeId::Gives(capacity, need.owner));
    }
    if bounded(Side::Need, need) {
        nodes.push(NodeId::Takes(need, capacity.owner));
    }
    nodes
}

fn guarantee(market: &Market, edge: EdgeId) -> Option<NodeId> {
    let said = &market.commitment(edge.capacity.owner)?.guarantees;
    let is = |slot, to| slot == edge.capacity.slot && to == edge.need.owner;
    let found = said.iter().any(|guarantee| is(guarantee.capacity, guarantee.to));
    found.then_some(NodeId::Guarantee(edge.capacity, edge.need.owner))
}

fn check_tier(tier: Tier, lines: &[Line<'_>], nodes: &mut Nodes) -> Result<(), CertificateError> {
    for line in lines {
        for place in &line.nodes {
            nodes.take(*place, line.quantity)?;
        }
    }
    // At each node the highest level that an edge has beyond its rounding, and how many edges there are.
    let mut highest = vec![Level::ZERO; nodes.ids.len()];
    let mut degrees = vec![0_u64; nodes.ids.len()];
    for line in lines {
        let level = Level { quantity: line.quantity.saturating_sub(1), weight: line.edge.weight };
        for place in &line.nodes {
            highest[*place] = highest[*place].max(level);
            degrees[*place] += 1;
        }
    }
    let has_lots = with_lots(lines, nodes.ids.len());
    for line in lines {
        let (place, edge) = (line.witness, line.edge.id);
        let node = nodes.ids[place];
        if nodes.free(place) >= line.edge.lot {
            return Err(CertificateError::NotFull { edge, tier, node });
        }
        let reached = line.quantity.saturating_add(degrees[place] + 1);
        let level = Level { quantity: reached, weight: line.edge.weight };
        if !has_lots[place] && level < highest[place] {
            return Err(CertificateError::Lower { edge, tier, node });
        }
    }
    Ok(())
}

/// Which nodes are in a component that has lots.
fn with_lots(lines: &[Line<'_>], count: usize) -> Vec<bool> {
    fn root(parents: &mut [usize], mut node: usize) -> usize {
        while parents[node] != node {
            parents[node] = parents[parents[node]];
            node = parents[node];
        }
        node
    }
    if lines.iter().all(|line| line.edge.lot == 1) {
        return vec![false; count];
    }
    let mut parents: Vec<usize> = (0..count).collect();
    for line in lines {
        let first = root(&mut parents, line.nodes[0]);
        for node in &line.nodes[1..] {
            let other = root(&mut parents, *node);
            parents[other] = first;
        }
    }
    let mut roots = vec![false; count];
    for line in lines.iter().filter(|line| line.edge.lot > 1) {
        roots[root(&mut parents, line.nodes[0])] = true;
    }
    (0..count).map(|node| roots[root(&mut parents, node)]).collect()
}

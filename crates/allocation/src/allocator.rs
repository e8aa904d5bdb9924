//! [`Allocator`]: a market that is kept allocated while it changes.
//!
//! Invariant: after [`Allocator::settle`] the solution is that of solving the market from nothing, bit by bit. Only the
//! connected components of the graph are solved again that a change touched: they are found by walking from the slots
//! that changed, so a union need never be taken apart.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_types::limits;

use crate::edge::Edge;
use crate::market::pairs_of;
use crate::solution::accepted;
use crate::solve::{Outcome, solve};
use crate::{
    Allocation, Change, Changed, EdgeId, Market, MarketError, ParticipantId, Quantity, Side, SlotId, SlotKey,
    Solution, Tier, Time,
};

/// What an edge had in a tier, and what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Which edge.
    pub edge: EdgeId,
    /// In which tier.
    pub tier: Tier,
    /// What it had.
    pub before: Quantity,
    /// What it has.
    pub after: Quantity,
}

/// What settling changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// Ascending by edge and tier; none is without a difference.
    pub moves: Vec<Move>,
    /// Where the quantity or what bounds it is another, ascending: what to look at with [`Allocator::allocation`].
    pub changed: Vec<(EdgeId, Tier)>,
    /// How many edges were solved again: those of the components that were touched.
    pub edges_solved: usize,
}

/// A market with its graph and its solution. Cloning costs the whole of it, but for the commitments.
#[derive(Debug, Clone, Default)]
pub struct Allocator {
    pub(crate) market: Market,
    pub(crate) edges: BTreeMap<EdgeId, Edge>,
    /// The edges by need.
    pub(crate) by_need: BTreeSet<(SlotKey, SlotKey)>,
    pub(crate) outcomes: BTreeMap<(EdgeId, Tier), Outcome>,
    touched: BTreeSet<(Side, SlotKey)>,
    /// When windows end.
    window_ends: BTreeSet<(Time, Side, SlotKey)>,
    /// When holds end.
    hold_ends: BTreeSet<(Time, EdgeId)>,
    now: Time,
    /// A bound below that of all markets.
    most_edges: Option<usize>,
}

impl Allocator {
    /// Of a market that is not empty. `O(E log E)`; nothing is allocated before [`Allocator::settle`].
    pub fn new(market: Market) -> Result<Self, MarketError> {
        let all = market.edges();
        let (count, most) = (all.len(), limits::EDGES);
        if count > most {
            return Err(MarketError::TooManyEdges { count, most });
        }
        let by_need = all.iter().map(|edge| (edge.id.need, edge.id.capacity)).collect();
        let edges = all.into_iter().map(|edge| (edge.id, edge)).collect();
        let mut allocator = Self { market, edges, by_need, ..Self::default() };
        let owners: Vec<ParticipantId> = allocator.market.members().map(|said| said.owner).collect();
        for owner in owners {
            for (side, slot, until) in allocator.slots_of(owner) {
                allocator.touched.insert((side, slot));
                allocator.window_ends.extend(until.map(|until| (until, side, slot)));
            }
        }
        allocator.hold_ends = allocator.market.holds().map(|held| (held.until, held.edge)).collect();
        let accepted: Vec<EdgeId> = allocator.market.acceptances().map(|(edge, _)| edge).collect();
        for edge in accepted {
            allocator.touch(edge);
        }
        Ok(allocator)
    }

    /// The market as it is.
    pub fn market(&self) -> &Market {
        &self.market
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// The edges that there are.
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// Refuses commitments that would make more edges than this, if it is below the limit of all markets.
    pub fn set_most_edges(&mut self, most: usize) {
        self.most_edges = Some(most);
    }

    /// Takes a change into the market and the graph. The solution stays as it was until [`Allocator::settle`].
    /// `O(k log E)` in the edges of the slots that change.
    pub fn apply(&mut self, change: Change) -> Result<Changed, MarketError> {
        let owner = match &change {
            Change::Commit(commitment) => commitment.owner,
            Change::Leave { owner, .. } => *owner,
            Change::Accept(accepted) | Change::Release(accepted) | Change::Reserve(accepted) => {
                let edge = accepted.edge;
                let changed = self.market.apply(change)?;
                if changed == Changed::Applied {
                    self.touch(edge);
                }
                return Ok(changed);
            }
            Change::Hold(held) => {
                let edge = held.edge;
                let before = self.market.hold_of(edge).map(|held| held.until);
                let changed = self.market.apply(change)?;
                if changed == Changed::Applied {
                    self.touch(edge);
                    if let Some(until) = before {
                        self.hold_ends.remove(&(until, edge));
                    }
                    let after = self.market.hold_of(edge).map(|held| (held.until, edge));
                    self.hold_ends.extend(after);
                }
                return Ok(changed);
            }
        };
        let remembered = self.market.remember(owner);
        let slots_before = self.slots_of(owner);
        let changed = self.market.apply(change)?;
        if changed != Changed::Applied {
            return Ok(changed);
        }
        let old = self.known_edges_of(owner, &slots_before);
        let most = self.most_edges.unwrap_or(limits::EDGES).min(limits::EDGES);
        let others = self.edges.len() - old.len();
        let new = self.market.edges_of(owner, most.saturating_sub(others) + 1);
        let count = others + new.len();
        if count > most && !new.is_empty() {
            self.market.restore(remembered);
            return Err(MarketError::TooManyEdges { count, most });
        }
        for id in old {
            self.touch(id);
            self.edges.remove(&id);
            self.by_need.remove(&(id.need, id.capacity));
        }
        for edge in new {
            self.touch(edge.id);
            self.edges.insert(edge.id, edge);
            self.by_need.insert((edge.id.need, edge.id.capacity));
        }
        for (side, slot, until) in slots_before {
            self.touched.insert((side, slot));
            if let Some(until) = until {
                self.window_ends.remove(&(until, side, slot));
            }
        }
        for (side, slot, until) in self.slots_of(owner) {
            self.touched.insert((side, slot));
            self.window_ends.extend(until.map(|until| (until, side, slot)));
        }
        Ok(changed)
    }

    /// Solves what was touched since the last time, and what the time touches. The time may go back: the solution is
    /// that of the moment that is given. `O(k log E)` in the edges of the components that are touched.
    pub fn settle(&mut self, now: Time) -> Diff {
        self.touch_passed(self.now.min(now), self.now.max(now));
        self.now = now;
        let capacities = self.walk();
        let mut before = BTreeMap::new();
        let mut edges = Vec::new();
        let mut after = Vec::new();
        for capacity in &capacities {
            let all = EdgeId::all_of(*capacity);
            let keys = (*all.start(), Tier::Accepted)..=(*all.end(), Tier::Generous);
            before.extend(self.outcomes.range(keys).map(|(key, outcome)| (*key, *outcome)));
            edges.extend(self.edges.range(all).map(|(_, edge)| *edge));
            let of_it = self.market.acceptances_of(*capacity);
            after.extend(of_it.map(|(edge, quantity)| accepted(edge, quantity)));
        }
        after.extend(solve(&self.market, &edges, now));
        let (mut moves, mut changed) = (BTreeMap::new(), BTreeSet::new());
        for (key, outcome) in after {
            let was = before.remove(&key);
            if was != Some(outcome) {
                self.outcomes.insert(key, outcome);
                changed.insert(key);
            }
            moves.insert(key, (was.map_or(Quantity::ZERO, |was| was.quantity), outcome.quantity));
        }
        for (key, was) in before {
            self.outcomes.remove(&key);
            changed.insert(key);
            moves.insert(key, (was.quantity, Quantity::ZERO));
        }
        let moves = moves.into_iter().filter(|(_, (before, after))| before != after);
        let moves = moves.map(|((edge, tier), (before, after))| Move { edge, tier, before, after });
        Diff { moves: moves.collect(), changed: changed.into_iter().collect(), edges_solved: edges.len() }
    }

    /// What an edge has in a tier since the last [`Allocator::settle`]; none if it is nothing.
    pub fn allocation(&self, edge: EdgeId, tier: Tier) -> Option<Allocation> {
        let Outcome { quantity, bound } = *self.outcomes.get(&(edge, tier))?;
        (!quantity.is_zero()).then_some(Allocation { edge, tier, quantity, bound })
    }

    /// What the capacities of a participant give since the last [`Allocator::settle`], ascending by edge and tier for each of them.
    /// `O(k log E)` in their edges.
    pub fn given_by(&self, owner: ParticipantId) -> impl Iterator<Item = Allocation> {
        let capacities = self.market.commitment(owner).into_iter().flat_map(|said| &said.capacities);
        let outcomes = capacities.flat_map(move |slot| {
            let all = EdgeId::all_of(SlotKey { owner, slot: slot.id });
            self.outcomes.range((*all.start(), Tier::Accepted)..=(*all.end(), Tier::Generous))
        });
        outcomes.filter_map(|((edge, tier), _)| self.allocation(*edge, *tier))
    }

    /// The solution of the last [`Allocator::settle`]. `O(E)`.
    pub fn solution(&self) -> Solution {
        Solution::new(self.now, self.outcomes.iter().map(|(key, outcome)| (*key, *outcome)))
    }

    /// What changes would make different, without making them. It costs a copy of the graph and the solution.
    pub fn simulate(
        &self,
        changes: impl IntoIterator<Item = Change>,
        now: Time,
    ) -> Result<Diff, MarketError> {
        let mut copy = self.clone();
        copy.settle(now);
        for change in changes {
            copy.apply(change)?;
        }
        Ok(copy.settle(now))
    }

    /// The next moment after the last one at which a window or a hold ends: when to settle again though nothing else
    /// changes.
    pub fn next_moment(&self) -> Option<Time> {
        let windows = self.window_ends.range((after(self.now), Side::Capacity, FIRST)..).next();
        let holds = self.hold_ends.range((after(self.now), FIRST_EDGE)..).next();
        let ends = windows.map(|(moment, ..)| *moment).into_iter().chain(holds.map(|(moment, _)| *moment));
        ends.min()
    }

    /// Touches what ends after `from` and not after `to`.
    fn touch_passed(&mut self, from: Time, to: Time) {
        let windows = self.window_ends.range((after(from), Side::Capacity, FIRST)..);
        let windows = windows.take_while(|(moment, ..)| *moment <= to);
        self.touched.extend(windows.map(|(_, side, slot)| (*side, *slot)));
        let holds = self.hold_ends.range((after(from), FIRST_EDGE)..);
        let holds: Vec<EdgeId> =
            holds.take_while(|(moment, _)| *moment <= to).map(|(_, edge)| *edge).collect();
        for edge in holds {
            self.touch(edge);
        }
    }

    fn touch(&mut self, edge: EdgeId) {
        self.touched.insert((Side::Capacity, edge.capacity));
        self.touched.insert((Side::Need, edge.need));
    }

    fn slots_of(&self, owner: ParticipantId) -> Vec<(Side, SlotKey, Option<Time>)> {
        let Some(said) = self.market.commitment(owner) else { return Vec::new() };
        let sides = [(Side::Capacity, &said.capacities), (Side::Need, &said.needs)];
        let slots = sides.into_iter().flat_map(|(side, slots)| slots.iter().map(move |slot| (side, slot)));
        slots.map(|(side, slot)| (side, SlotKey { owner, slot: slot.id }, slot.window.until)).collect()
    }

    fn known_edges_of(&self, owner: ParticipantId, slots: &[(Side, SlotKey, Option<Time>)]) -> Vec<EdgeId> {
        let mut edges = Vec::new();
        for (side, slot, _) in slots {
            debug_assert!(slot.owner == owner);
            match side {
                Side::Capacity => edges.extend(self.edges.range(EdgeId::all_of(*slot)).map(|(id, _)| *id)),
                Side::Need => edges.extend(self.edges_for(*slot)),
            }
        }
        edges
    }

    fn edges_for(&self, need: SlotKey) -> impl Iterator<Item = EdgeId> {
        let pairs = self.by_need.range(pairs_of(need));
        pairs.map(|(need, capacity)| EdgeId { capacity: *capacity, need: *need })
    }

    /// The capacities of all components that were touched, and those without an edge, ascending.
    fn walk(&mut self) -> BTreeSet<SlotKey> {
        let mut seen = std::mem::take(&mut self.touched);
        let mut waiting: Vec<(Side, SlotKey)> = seen.iter().copied().collect();
        while let Some((side, slot)) = waiting.pop() {
            let mut visit = |next| {
                if seen.insert(next) {
                    waiting.push(next);
                }
            };
            match side {
                Side::Capacity => {
                    let edges = self.edges.range(EdgeId::all_of(slot));
                    for (edge, _) in edges {
                        visit((Side::Need, edge.need));
                    }
                }
                Side::Need => {
                    for edge in self.edges_for(slot) {
                        visit((Side::Capacity, edge.capacity));
                    }
                }
            }
        }
        let capacities = seen.into_iter().filter(|(side, _)| *side == Side::Capacity);
        capacities.map(|(_, slot)| slot).collect()
    }
}

const FIRST: SlotKey = SlotKey { owner: ParticipantId(0), slot: SlotId(0) };
const FIRST_EDGE: EdgeId = EdgeId { capacity: FIRST, need: FIRST };

/// The moment after: what ends at a moment has been solved with that moment.
fn after(moment: Time) -> Time {
    Time(moment.0.saturating_add(1))
}

//! [`Economy`]: a market as the seed's rules see it: slots, links between them, recognition, as floating-point numbers.
//!
//! Invariant: links are the edges of the market, in their order, so that results can be compared edge by edge.

use std::collections::BTreeMap;

use crate::{EdgeId, Market, ParticipantId, Side, SlotKey, Tier, Time};

/// A capacity that may give to a need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// The edge of the market.
    pub edge: EdgeId,
    /// The place of the capacity.
    pub capacity: usize,
    /// The place of the need.
    pub need: usize,
    /// Mutual recognition: 0 to 1; 0 where only the provider recognises.
    pub mutual: f64,
    /// The provider's recognition of the recipient: 0 to 1.
    pub recognised: f64,
}

/// Slots by place, each with its owner's place and its quantity in units.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Economy {
    /// The owners, ascending.
    pub participants: Vec<ParticipantId>,
    /// What is offered.
    pub capacities: Vec<(usize, f64)>,
    /// What is needed.
    pub needs: Vec<(usize, f64)>,
    /// Ascending by edge.
    pub links: Vec<Link>,
}

impl Economy {
    /// Those slots of a market that have edges.
    pub fn of(market: &Market, now: Time) -> Self {
        let mut economy =
            Self { participants: market.members().map(|said| said.owner).collect(), ..Self::default() };
        let mut places: BTreeMap<(Side, SlotKey), usize> = BTreeMap::new();
        for edge in market.edges() {
            let EdgeId { capacity, need } = edge.id;
            let mut place = |side, slot: SlotKey| {
                let owner = economy.participants.partition_point(|who| *who < slot.owner);
                let slots = match side {
                    Side::Capacity => &mut economy.capacities,
                    Side::Need => &mut economy.needs,
                };
                *places.entry((side, slot)).or_insert_with(|| {
                    slots.push((owner, market.quantity_at(side, slot, now).0 as f64 / 1e6));
                    slots.len() - 1
                })
            };
            let (from, to) = (place(Side::Capacity, capacity), place(Side::Need, need));
            let part = |of, to| f64::from(market.share(of, to).0) / f64::from(1 << 20);
            let recognised = part(capacity.owner, need.owner);
            let back = part(need.owner, capacity.owner);
            let mutual = if edge.tier == Tier::Mutual { recognised.min(back) } else { 0.0 };
            economy.links.push(Link { edge: edge.id, capacity: from, need: to, mutual, recognised });
        }
        economy
    }

    /// For each participant the places of the links that leave it, and of those that reach it.
    pub(super) fn links_of(&self) -> Vec<[Vec<usize>; 2]> {
        let mut links = vec![[Vec::new(), Vec::new()]; self.participants.len()];
        for (place, link) in self.links.iter().enumerate() {
            links[self.capacities[link.capacity].0][0].push(place);
            links[self.needs[link.need].0][1].push(place);
        }
        links
    }
}

//! [`Market`]: what all participants said last, and what is agreed between them.
//!
//! Invariant: commitments are a join semilattice by stamp, and by content where a writer broke its word and used a
//! stamp twice; their order and repetition leave no trace. Acceptances are checked when they come, against both slots
//! as they are then: nothing is promised twice. A slot that shrinks or goes later leaves them as they are, and gives
//! nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_types::limits;

use crate::edge::{Edge, edges_between};
use crate::recognition::normalise;
use crate::slot::{End, Mismatch, fit};
use crate::{
    Accepted, Change, Changed, Commitment, EdgeId, Held, MarketError, Name, ParticipantId, Quantity, Share,
    Side, Slot, SlotKey, Stamp, Time,
};

/// A kind and its unit: what is equal on both sides of an edge.
pub(crate) type Kind = (Name, Name);

/// A participant's commitment with what follows from it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) said: Commitment,
    /// Ascending by participant.
    shares: Vec<(ParticipantId, Share)>,
    pub(crate) capacities: BTreeMap<Kind, Vec<usize>>,
    pub(crate) needs: BTreeMap<Kind, Vec<usize>>,
}

impl Member {
    fn new(said: Commitment) -> Self {
        let by_kind = |slots: &[Slot]| {
            let mut kinds: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
            for (place, slot) in slots.iter().enumerate() {
                kinds.entry((slot.kind.clone(), slot.unit.clone())).or_default().push(place);
            }
            kinds
        };
        let shares = normalise(said.owner, &said.recognition);
        Self { shares, capacities: by_kind(&said.capacities), needs: by_kind(&said.needs), said }
    }

    pub(crate) fn share(&self, of: ParticipantId) -> Share {
        let found = self.shares.binary_search_by_key(&of, |(who, _)| *who);
        found.map_or(Share::ZERO, |place| self.shares[place].1)
    }
}

/// What is known of a participant: its last stamp, and what it said unless it left.
#[derive(Debug, Clone)]
struct Entry {
    stamp: Stamp,
    member: Option<Arc<Member>>,
}

impl Entry {
    /// What decides between two: the stamp, then the content; leaving is least.
    fn rank(&self) -> (Stamp, Option<&Commitment>) {
        (self.stamp, self.member.as_ref().map(|member| &member.said))
    }
}

/// What was accepted of a slot that has less by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdrawn {
    /// The side of the slot.
    pub side: Side,
    /// The slot.
    pub slot: SlotKey,
    /// What it has; nothing if it is gone.
    pub quantity: Quantity,
    /// What was accepted of it.
    pub accepted: Quantity,
}

/// The input of an allocation: commitments, acceptances and holds. Cloning shares the commitments.
#[derive(Debug, Clone, Default)]
pub struct Market {
    participants: BTreeMap<ParticipantId, Entry>,
    /// Who recognises a participant.
    recognised_by: BTreeMap<ParticipantId, BTreeSet<ParticipantId>>,
    /// Who needs a kind.
    needing: BTreeMap<Kind, BTreeSet<ParticipantId>>,
    accepted: BTreeMap<EdgeId, Quantity>,
    /// The edges of `accepted` by need.
    accepted_by_need: BTreeSet<(SlotKey, SlotKey)>,
    held: BTreeMap<EdgeId, Held>,
}

impl Market {
    /// Applies a change.
    pub fn apply(&mut self, change: Change) -> Result<Changed, MarketError> {
        match change {
            Change::Commit(commitment) => self.commit(commitment),
            Change::Leave { owner, stamp } => self.leave(owner, stamp),
            Change::Accept(accepted) => self.accept(accepted),
            Change::Release(released) => self.release(released),
            Change::Reserve(accepted) => self.reserve(accepted),
            Change::Hold(held) => self.hold(held),
        }
    }

    /// Takes a participant's commitment in the place of an older one. `O(n log n)` in the commitment and in the one
    /// that it replaces.
    pub fn commit(&mut self, commitment: Commitment) -> Result<Changed, MarketError> {
        let (owner, stamp) = (commitment.owner, commitment.stamp);
        let member = Some(Arc::new(Member::new(commitment.checked()?)));
        self.enter(owner, Entry { stamp, member })
    }

    /// Forgets what a participant said, but for its stamp: an older commitment that comes late stays forgotten.
    pub fn leave(&mut self, owner: ParticipantId, stamp: Stamp) -> Result<Changed, MarketError> {
        self.enter(owner, Entry { stamp, member: None })
    }

    fn enter(&mut self, owner: ParticipantId, entry: Entry) -> Result<Changed, MarketError> {
        match self.participants.get(&owner) {
            Some(known) if known.rank() == entry.rank() => return Ok(Changed::Duplicate),
            Some(known) if known.rank() > entry.rank() => return Ok(Changed::Stale),
            Some(_) => {}
            None if self.participants.len() >= limits::PARTICIPANTS => {
                return Err(MarketError::TooManyParticipants);
            }
            None => {}
        }
        self.put(owner, Some(entry));
        Ok(Changed::Applied)
    }

    /// Puts an entry where another was, with all indexes, and gives the other.
    fn put(&mut self, owner: ParticipantId, entry: Option<Entry>) -> Option<Entry> {
        let before = self.participants.remove(&owner);
        if let Some(member) = before.as_ref().and_then(|entry| entry.member.as_ref()) {
            for (whom, _) in &member.shares {
                remove(&mut self.recognised_by, whom, owner);
            }
            for kind in member.needs.keys() {
                remove(&mut self.needing, kind, owner);
            }
        }
        if let Some(member) = entry.as_ref().and_then(|entry| entry.member.as_ref()) {
            for (whom, _) in &member.shares {
                self.recognised_by.entry(*whom).or_default().insert(owner);
            }
            for kind in member.needs.keys() {
                self.needing.entry(kind.clone()).or_default().insert(owner);
            }
        }
        if let Some(entry) = entry {
            self.participants.insert(owner, entry);
        }
        before
    }

    /// The participant as it is, to be brought back by [`Market::restore`].
    pub(crate) fn remember(&self, owner: ParticipantId) -> Remembered {
        Remembered { owner, entry: self.participants.get(&owner).cloned() }
    }

    pub(crate) fn restore(&mut self, remembered: Remembered) {
        self.put(remembered.owner, remembered.entry);
    }

    /// Reserves what a recipient accepted, if there is such an edge and both slots have so much that is not accepted
    /// yet. Whether so much was offered, and still is, is for those to say who keep the offers.
    pub fn accept(&mut self, accepted: Accepted) -> Result<Changed, MarketError> {
        let Accepted { edge, quantity } = accepted;
        self.mismatch(edge).map_err(|why| MarketError::NoEdge { edge, why })?;
        for (side, slot) in [(Side::Capacity, edge.capacity), (Side::Need, edge.need)] {
            let whole = self.slot(side, slot).map_or(Quantity::ZERO, |slot| slot.quantity);
            let left = whole.minus(self.accepted_of(side, slot));
            if quantity > left {
                return Err(MarketError::OverAccepted { edge, side, quantity, left });
            }
        }
        if quantity.is_zero() {
            return Ok(Changed::Duplicate);
        }
        if self.accepted.len() >= limits::RESERVATIONS && !self.accepted.contains_key(&edge) {
            return Err(MarketError::TooManyReservations);
        }
        // Below the slot's quantity, so no overflow.
        self.accepted.entry(edge).or_default().0 += quantity.0;
        self.accepted_by_need.insert((edge.need, edge.capacity));
        Ok(Changed::Applied)
    }

    /// Ends a reservation or a part of it.
    pub fn release(&mut self, released: Accepted) -> Result<Changed, MarketError> {
        let Accepted { edge, quantity } = released;
        let accepted = self.accepted(edge);
        if quantity > accepted {
            return Err(MarketError::OverReleased { edge, quantity, accepted });
        }
        if quantity.is_zero() {
            return Ok(Changed::Duplicate);
        }
        if quantity == accepted {
            self.accepted.remove(&edge);
            self.accepted_by_need.remove(&(edge.need, edge.capacity));
        } else {
            self.accepted.insert(edge, accepted.minus(quantity));
        }
        Ok(Changed::Applied)
    }

    /// Sets what is accepted of an edge, whatever it was before, if both slots have so much that is not accepted otherwise. Whether there
    /// is an edge does not matter: what was agreed stands though recognition ends. An error changes nothing.
    pub fn reserve(&mut self, Accepted { edge, quantity }: Accepted) -> Result<Changed, MarketError> {
        let before = self.accepted(edge);
        if quantity == before {
            return Ok(Changed::Duplicate);
        }
        if before.is_zero() {
            if self.accepted.len() >= limits::RESERVATIONS {
                return Err(MarketError::TooManyReservations);
            }
            for (side, slot) in [(Side::Capacity, edge.capacity), (Side::Need, edge.need)] {
                let whole = self.slot(side, slot).map_or(Quantity::ZERO, |slot| slot.quantity);
                let left = whole.minus(self.accepted_of(side, slot));
                if quantity > left {
                    return Err(MarketError::OverAccepted { edge, side, quantity, left });
                }
            }
            self.accepted_by_need.insert((edge.need, edge.capacity));
            self.accepted.insert(edge, quantity);
        } else {
            self.release(Accepted { edge, quantity: before })?;
            if let Err(error) = self.reserve(Accepted { edge, quantity }) {
                self.accepted.insert(edge, before);
                self.accepted_by_need.insert((edge.need, edge.capacity));
                return Err(error);
            }
        }
        Ok(Changed::Applied)
    }

    /// Holds a quantity of an edge until its time. Nothing is checked against the slots: a hold has what room there is,
    /// by id, and none where there is no edge.
    pub fn hold(&mut self, held: Held) -> Result<Changed, MarketError> {
        if self.held.get(&held.edge) == Some(&held) {
            return Ok(Changed::Duplicate);
        }
        if held.quantity.is_zero() {
            let was = self.held.remove(&held.edge);
            return Ok(if was.is_some() { Changed::Applied } else { Changed::Duplicate });
        }
        if self.held.len() >= limits::RESERVATIONS && !self.held.contains_key(&held.edge) {
            return Err(MarketError::TooManyReservations);
        }
        self.held.insert(held.edge, held);
        Ok(Changed::Applied)
    }

    /// A slot as its owner said it last.
    pub fn slot(&self, side: Side, key: SlotKey) -> Option<&Slot> {
        let member = self.member(key.owner)?;
        let slots = match side {
            Side::Capacity => &member.said.capacities,
            Side::Need => &member.said.needs,
        };
        let place = slots.binary_search_by_key(&key.slot, |slot| slot.id).ok()?;
        Some(&slots[place])
    }

    /// What the participant said last, with its lists in order; nothing if it left.
    pub fn commitment(&self, owner: ParticipantId) -> Option<&Commitment> {
        self.member(owner).map(|member| &member.said)
    }

    /// The version of what the participant said last, also if that was to leave: what replicas compare.
    pub fn stamp(&self, owner: ParticipantId) -> Option<Stamp> {
        self.participants.get(&owner).map(|entry| entry.stamp)
    }

    /// Those who said something and did not leave, ascending.
    pub fn members(&self) -> impl Iterator<Item = &Commitment> {
        self.participants.values().filter_map(|entry| entry.member.as_ref()).map(|member| &member.said)
    }

    /// The share of its recognition that one gives the other.
    pub fn share(&self, of: ParticipantId, to: ParticipantId) -> Share {
        self.member(of).map_or(Share::ZERO, |member| member.share(to))
    }

    /// Those who recognise a participant, ascending.
    pub fn recognisers(&self, of: ParticipantId) -> impl Iterator<Item = ParticipantId> {
        self.recognised_by.get(&of).into_iter().flatten().copied()
    }

    /// What was accepted of an edge and not released.
    pub fn accepted(&self, edge: EdgeId) -> Quantity {
        self.accepted.get(&edge).copied().unwrap_or_default()
    }

    /// All that was accepted and not released, ascending by edge.
    pub fn acceptances(&self) -> impl Iterator<Item = (EdgeId, Quantity)> {
        self.accepted.iter().map(|(edge, quantity)| (*edge, *quantity))
    }

    pub(crate) fn acceptances_of(&self, capacity: SlotKey) -> impl Iterator<Item = (EdgeId, Quantity)> {
        self.accepted.range(EdgeId::all_of(capacity)).map(|(edge, quantity)| (*edge, *quantity))
    }

    pub(crate) fn acceptances_for(&self, need: SlotKey) -> impl Iterator<Item = (EdgeId, Quantity)> {
        self.accepted_by_need.range(pairs_of(need)).map(|(need, capacity)| {
            let edge = EdgeId { capacity: *capacity, need: *need };
            (edge, self.accepted(edge))
        })
    }

    /// What was accepted of a slot. `O(k)` in its acceptances. It does not overflow: each was within the slot.
    pub fn accepted_of(&self, side: Side, slot: SlotKey) -> Quantity {
        let sum = match side {
            Side::Capacity => self.acceptances_of(slot).map(|(_, quantity)| quantity.0).sum(),
            Side::Need => self.acceptances_for(slot).map(|(_, quantity)| quantity.0).sum(),
        };
        Quantity(sum)
    }

    /// What is held of an edge at a moment.
    pub fn held(&self, edge: EdgeId, now: Time) -> Quantity {
        let held = self.held.get(&edge).filter(|held| now < held.until);
        held.map_or(Quantity::ZERO, |held| held.quantity)
    }

    pub(crate) fn hold_of(&self, edge: EdgeId) -> Option<&Held> {
        self.held.get(&edge)
    }

    /// All that is held, ascending by edge, over or not.
    pub fn holds(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// What a slot gives or takes at a moment, before anything is accepted of it: nothing if it is gone or over.
    pub fn quantity_at(&self, side: Side, key: SlotKey, now: Time) -> Quantity {
        let slot = self.slot(side, key).filter(|slot| !slot.window.has_ended(now));
        slot.map_or(Quantity::ZERO, |slot| slot.quantity)
    }

    /// The slots of which more was accepted than they have by now, because they shrank or went. What was accepted
    /// stands; nothing else is given of them. `O(k log n)` in the acceptances.
    pub fn overdrawn(&self) -> Vec<Overdrawn> {
        let capacities: BTreeSet<SlotKey> = self.accepted.keys().map(|edge| edge.capacity).collect();
        let needs: BTreeSet<SlotKey> = self.accepted.keys().map(|edge| edge.need).collect();
        let sides = [(Side::Capacity, capacities), (Side::Need, needs)];
        let slots =
            sides.into_iter().flat_map(|(side, slots)| slots.into_iter().map(move |slot| (side, slot)));
        let drawn = slots.map(|(side, slot)| Overdrawn {
            side,
            slot,
            quantity: self.slot(side, slot).map_or(Quantity::ZERO, |slot| slot.quantity),
            accepted: self.accepted_of(side, slot),
        });
        drawn.filter(|drawn| drawn.accepted > drawn.quantity).collect()
    }

    /// Why two slots have an edge or none.
    pub fn mismatch(&self, edge: EdgeId) -> Result<(), Mismatch> {
        let (from, to) = (edge.capacity.owner, edge.need.owner);
        let capacity = self.slot(Side::Capacity, edge.capacity).ok_or(Mismatch::Missing(Side::Capacity))?;
        let need = self.slot(Side::Need, edge.need).ok_or(Mismatch::Missing(Side::Need))?;
        if from == to {
            return Err(Mismatch::Own);
        }
        let (Some(provider), Some(recipient)) = (self.member(from), self.member(to)) else {
            return Err(Mismatch::Missing(Side::Capacity));
        };
        if provider.share(to) == Share::ZERO {
            return Err(Mismatch::NotRecognised);
        }
        let mutual = provider.share(to).min(recipient.share(from));
        let end = |member: &'_ Member, slot| (member.said.owner, slot);
        let ((owner, slot), (other, wish)) = (end(provider, capacity), end(recipient, need));
        let capacity = End { owner, attributes: &provider.said.attributes, slot };
        let need = End { owner: other, attributes: &recipient.said.attributes, slot: wish };
        fit(capacity, need, mutual).map(|_| ())
    }

    /// All edges, ascending. `O(E log E)`, and what the pairs without an edge cost that share a kind and recognise.
    pub fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for entry in self.participants.values() {
            if let Some(member) = &entry.member {
                self.edges_from(member, &mut edges, usize::MAX);
            }
        }
        edges.sort_unstable_by_key(|edge| edge.id);
        edges
    }

    /// The edges of a participant on both sides, ascending; an end is made where there are more than `most`.
    pub(crate) fn edges_of(&self, owner: ParticipantId, most: usize) -> Vec<Edge> {
        let mut edges = Vec::new();
        let Some(member) = self.member(owner) else { return edges };
        self.edges_from(member, &mut edges, most);
        if !member.needs.is_empty() {
            let providers = self.recognised_by.get(&owner).into_iter().flatten();
            for provider in providers.filter_map(|provider| self.member(*provider)) {
                edges_between(provider, member, &mut edges, most);
            }
        }
        edges.sort_unstable_by_key(|edge| edge.id);
        edges
    }

    /// By the list of those who are recognised or by the index of those who need a kind, whichever is shorter.
    fn edges_from(&self, provider: &Member, edges: &mut Vec<Edge>, most: usize) {
        let needing = provider.capacities.keys().filter_map(|kind| self.needing.get(kind));
        let count: usize = needing.clone().map(BTreeSet::len).sum();
        if count < provider.shares.len() {
            let owners: BTreeSet<ParticipantId> = needing.flatten().copied().collect();
            for recipient in owners.into_iter().filter_map(|owner| self.member(owner)) {
                edges_between(provider, recipient, edges, most);
            }
        } else if count > 0 {
            for recipient in provider.shares.iter().filter_map(|(whom, _)| self.member(*whom)) {
                edges_between(provider, recipient, edges, most);
            }
        }
    }

    fn member(&self, owner: ParticipantId) -> Option<&Member> {
        self.participants.get(&owner)?.member.as_deref()
    }
}

/// A participant's entry before a change.
#[derive(Debug)]
pub(crate) struct Remembered {
    owner: ParticipantId,
    entry: Option<Entry>,
}

/// All pairs of a need in a set of (need, capacity).
pub(crate) fn pairs_of(need: SlotKey) -> std::ops::RangeInclusive<(SlotKey, SlotKey)> {
    let all = EdgeId::all_of(need);
    (need, all.start().need)..=(need, all.end().need)
}

fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<ParticipantId>>, key: &K, owner: ParticipantId) {
    if let Some(owners) = index.get_mut(key) {
        owners.remove(&owner);
        if owners.is_empty() {
            index.remove(key);
        }
    }
}

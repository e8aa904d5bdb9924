//! [`Commitment`]: what a participant offers, needs and whom it recognises; and what is agreed between two.
//!
//! Invariant: a commitment has one writer, and its [`Stamp`] alone decides what is stale, so that replicas which have
//! had the same commitments in any order and however often hold the same market. What enters is within the limits.

use std::collections::BTreeSet;

use deltaic_types::limits;

use crate::{EdgeId, MarketError, Name, ParticipantId, Quantity, Side, Slot, SlotId, Stamp, Time};

/// A promise of a provider: the recipient has this much of the slot before anybody gets the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guarantee {
    /// Which of the provider's slots.
    pub capacity: SlotId,
    /// To whom. It has to be recognised, else there is no edge.
    pub to: ParticipantId,
    /// How much of what it needs.
    pub quantity: Quantity,
}

/// All that a participant says. It replaces what it said before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commitment {
    /// Who says it.
    pub owner: ParticipantId,
    /// Which version.
    pub stamp: Stamp,
    /// What is offered, in any order.
    pub capacities: Vec<Slot>,
    /// What is needed, in any order.
    pub needs: Vec<Slot>,
    /// Weights of recognition, in any order: only their ratios count, and the owner's own is dropped.
    pub recognition: Vec<(ParticipantId, u64)>,
    /// What is promised of the capacities, in any order.
    pub guarantees: Vec<Guarantee>,
    /// What the owner says of itself, for others' filters.
    pub attributes: BTreeSet<Name>,
}

impl Commitment {
    /// One that says nothing.
    pub fn new(owner: u64, seq: u64) -> Self {
        Self {
            owner: ParticipantId(owner),
            stamp: Stamp { incarnation: 1, seq },
            capacities: Vec::new(),
            needs: Vec::new(),
            recognition: Vec::new(),
            guarantees: Vec::new(),
            attributes: BTreeSet::new(),
        }
    }

    /// The same with every list in its order, if it is within the limits.
    pub(crate) fn checked(mut self) -> Result<Self, MarketError> {
        let owner = self.owner;
        for (side, slots) in [(Side::Capacity, &mut self.capacities), (Side::Need, &mut self.needs)] {
            if slots.len() > limits::SLOTS {
                return Err(MarketError::TooManySlots { owner, side, count: slots.len() });
            }
            slots.sort_by_key(|slot| slot.id);
            if let Some(pair) = slots.windows(2).find(|pair| pair[0].id == pair[1].id) {
                return Err(MarketError::DuplicateSlot { owner, side, slot: pair[0].id });
            }
            slots.iter().try_for_each(|slot| slot.check(owner, side))?;
        }
        if self.recognition.len() > limits::RECOGNISED {
            return Err(MarketError::TooManyRecognised { owner, count: self.recognition.len() });
        }
        self.recognition.sort_unstable();
        if let Some(pair) = self.recognition.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(MarketError::RecognisedTwice { owner, whom: pair[0].0 });
        }
        if self.attributes.len() > limits::FILTERS {
            return Err(MarketError::TooManyAttributes { owner, count: self.attributes.len() });
        }
        self.check_guarantees()?;
        Ok(self)
    }

    fn check_guarantees(&mut self) -> Result<(), MarketError> {
        let owner = self.owner;
        if self.guarantees.len() > limits::NAMED {
            return Err(MarketError::TooManyGuarantees { owner, count: self.guarantees.len() });
        }
        self.guarantees.sort_unstable();
        let twice = |pair: &&[Guarantee]| (pair[0].capacity, pair[0].to) == (pair[1].capacity, pair[1].to);
        if let Some(pair) = self.guarantees.windows(2).find(twice) {
            return Err(MarketError::GuaranteedTwice { owner, slot: pair[0].capacity, to: pair[0].to });
        }
        for group in self.guarantees.chunk_by(|a, b| a.capacity == b.capacity) {
            let slot = group[0].capacity;
            let promised: u128 = group.iter().map(|guarantee| u128::from(guarantee.quantity.0)).sum();
            let Ok(place) = self.capacities.binary_search_by_key(&slot, |slot| slot.id) else {
                return Err(MarketError::GuaranteeWithoutSlot { owner, slot });
            };
            let quantity = self.capacities[place].quantity;
            if promised > u128::from(quantity.0) {
                return Err(MarketError::GuaranteesOver { owner, slot, promised, quantity });
            }
        }
        Ok(())
    }
}

/// An offer that its recipient accepted: this much is taken off both slots before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accepted {
    /// Of which slot to which.
    pub edge: EdgeId,
    /// How much more than was accepted before.
    pub quantity: Quantity,
}

/// What an edge was given before and keeps until a moment, while both slots have room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// Of which slot to which.
    pub edge: EdgeId,
    /// How much the edge keeps at least, what was accepted of it included. None ends the hold.
    pub quantity: Quantity,
    /// The first moment at which it does not.
    pub until: Time,
}

/// An input of the market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A participant says something new.
    Commit(Commitment),
    /// A participant leaves: it offers, needs and recognises nothing. What was accepted stays.
    Leave {
        /// Who.
        owner: ParticipantId,
        /// The version, which is newer than what is to be forgotten.
        stamp: Stamp,
    },
    /// An offer is accepted.
    Accept(Accepted),
    /// Some of what was accepted is fulfilled or called off.
    Release(Accepted),
    /// What is accepted of an edge, whatever was accepted of it before.
    Reserve(Accepted),
    /// A quantity is held, instead of what was held of the edge before.
    Hold(Held),
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is in the market.
    Applied,
    /// It was there already; nothing changed.
    Duplicate,
    /// Something newer was there; nothing changed.
    Stale,
}

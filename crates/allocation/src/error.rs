//! [`MarketError`]: why a change does not enter the market.
//!
//! Invariant: a change that is refused has changed nothing.

use deltaic_types::limits;
use thiserror::Error;

use crate::{EdgeId, Mismatch, ParticipantId, Quantity, Share, Side, SlotId};

/// A change that is refused. Each says what would have to be different.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum MarketError {
    #[error("participant {} has {count} {side} slots: at most {limit} are allowed", owner.0, limit = limits::SLOTS)]
    TooManySlots { owner: ParticipantId, side: Side, count: usize },
    #[error("participant {} has {side} slot {} twice: give each an id of its own", owner.0, slot.0)]
    DuplicateSlot { owner: ParticipantId, side: Side, slot: SlotId },
    #[error("participant {}'s {side} slot {} says {quantity}: at most {max} is allowed", owner.0, slot.0, max = Quantity::MAX)]
    QuantityOver { owner: ParticipantId, side: Side, slot: SlotId, quantity: Quantity },
    #[error("participant {}'s {side} slot {} has a lot of nothing: say 1 millionth for no restriction", owner.0, slot.0)]
    NoLot { owner: ParticipantId, side: Side, slot: SlotId },
    #[error("participant {}'s {side} slot {} has a window that ends before it begins", owner.0, slot.0)]
    EmptyWindow { owner: ParticipantId, side: Side, slot: SlotId },
    #[error("participant {}'s {side} slot {} is not on the Earth: 90 degrees of latitude, 180 of longitude", owner.0, slot.0)]
    NoSuchPoint { owner: ParticipantId, side: Side, slot: SlotId },
    #[error("participant {}'s {side} slot {} has a radius of {metres} m: at most {limit} is allowed", owner.0, slot.0, limit = limits::RADIUS_METRES)]
    RadiusOver { owner: ParticipantId, side: Side, slot: SlotId, metres: u32 },
    #[error("participant {}'s {side} slot {} has {count} filters: at most {limit} are allowed", owner.0, slot.0, limit = limits::FILTERS)]
    TooManyFilters { owner: ParticipantId, side: Side, slot: SlotId, count: usize },
    #[error("a filter of participant {}'s {side} slot {} names {count}: at most {limit} are allowed", owner.0, slot.0, limit = limits::NAMED)]
    TooManyNamed { owner: ParticipantId, side: Side, slot: SlotId, count: usize },
    #[error("a filter of participant {}'s {side} slot {} asks for a share of {share}: at most 1 is allowed", owner.0, slot.0)]
    ShareOver { owner: ParticipantId, side: Side, slot: SlotId, share: Share },
    #[error("participant {} has {count} attributes: at most {limit} are allowed", owner.0, limit = limits::FILTERS)]
    TooManyAttributes { owner: ParticipantId, count: usize },
    #[error("participant {} recognises {count}: at most {limit} are allowed", owner.0, limit = limits::RECOGNISED)]
    TooManyRecognised { owner: ParticipantId, count: usize },
    #[error("participant {} recognises {} twice: add the weights", owner.0, whom.0)]
    RecognisedTwice { owner: ParticipantId, whom: ParticipantId },
    #[error("participant {} has {count} guarantees: at most {limit} are allowed", owner.0, limit = limits::NAMED)]
    TooManyGuarantees { owner: ParticipantId, count: usize },
    #[error("participant {} guarantees {} something of slot {} twice: add the quantities", owner.0, to.0, slot.0)]
    GuaranteedTwice { owner: ParticipantId, slot: SlotId, to: ParticipantId },
    #[error("participant {} guarantees something of capacity slot {}, which it has not", owner.0, slot.0)]
    GuaranteeWithoutSlot { owner: ParticipantId, slot: SlotId },
    #[error("participant {} guarantees {promised} millionths of slot {}, which has {quantity}: guarantee less", owner.0, slot.0)]
    GuaranteesOver { owner: ParticipantId, slot: SlotId, promised: u128, quantity: Quantity },
    #[error("the market has {limit} participants: no other can join", limit = limits::PARTICIPANTS)]
    TooManyParticipants,
    #[error(
        "there would be {count} edges or more: at most {most} are allowed; narrow kinds, filters or recognition"
    )]
    TooManyEdges { count: usize, most: usize },
    #[error("the market has {limit} reservations: release some", limit = limits::RESERVATIONS)]
    TooManyReservations,
    #[error("{edge} cannot be accepted: {why}")]
    NoEdge { edge: EdgeId, why: Mismatch },
    #[error("{edge}: accepting {quantity} is more than the {left} that the {side} slot has left")]
    OverAccepted { edge: EdgeId, side: Side, quantity: Quantity, left: Quantity },
    #[error("{edge}: releasing {quantity} is more than the {accepted} that was accepted")]
    OverReleased { edge: EdgeId, quantity: Quantity, accepted: Quantity },
}

//! Identifiers, quantities, shares and moments: a type of its own for each, so that one cannot stand where another is
//! meant.
//!
//! Invariant: the order of ids is the order in which ties are decided, so it is total and has no other source than the
//! numbers that callers gave.

use std::fmt;

use thiserror::Error;

/// Who offers, needs and recognises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParticipantId(pub u64);

/// A slot, unique within its owner and side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u64);

/// How much, in millionths of the slot's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(pub u64);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One of the unit.
    pub const UNIT: Self = Self(1_000_000);
    /// The most that a slot may have: about a billion of thousands of units.
    pub const MAX: Self = Self(1 << 60);

    /// So many whole units; [`Quantity::MAX`] where it would be more.
    #[must_use]
    pub fn units(units: u64) -> Self {
        Self(units.saturating_mul(Self::UNIT.0)).min(Self::MAX)
    }

    /// The difference, and nothing where it would be less.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// A signed number of millionths that is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a quantity of {0} millionths: it must be 0 to {max}", max = Quantity::MAX.0)]
pub struct QuantityError(pub i64);

impl TryFrom<i64> for Quantity {
    type Error = QuantityError;

    /// A signed number of millionths, as a column of a table holds it.
    fn try_from(millionths: i64) -> Result<Self, QuantityError> {
        let quantity = u64::try_from(millionths).map_err(|_| QuantityError(millionths))?;
        if quantity > Self::MAX.0 { Err(QuantityError(millionths)) } else { Ok(Self(quantity)) }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, u128::from(self.0))
    }
}

/// Writes millionths as a decimal without trailing zeros.
pub(crate) fn write_millionths(f: &mut fmt::Formatter<'_>, millionths: u128) -> fmt::Result {
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    if part == 0 {
        return write!(f, "{whole}");
    }
    let part = format!("{part:06}");
    write!(f, "{whole}.{}", part.trim_end_matches('0'))
}

/// A part of a participant's recognition, in units of 2^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Share(pub u32);

impl Share {
    /// None of it.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const ONE: Self = Self(1 << 20);
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_millionths(f, u128::from(self.0) * 1_000_000 / u128::from(Self::ONE.0))
    }
}

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. It is always an argument: nothing here reads a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

/// The version of a participant's commitment, given by its one writer: a greater one replaces a smaller one. Clocks
/// take no part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// The writer's life: greater after a loss of its state.
    pub incarnation: u32,
    /// The number within that life.
    pub seq: u64,
}

/// A slot and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey {
    /// Whose.
    pub owner: ParticipantId,
    /// Which.
    pub slot: SlotId,
}

impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}'s slot {}", self.owner.0, self.slot.0)
    }
}

/// A capacity and a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId {
    /// The provider's slot.
    pub capacity: SlotKey,
    /// The recipient's slot.
    pub need: SlotKey,
}

impl EdgeId {
    /// The edge of a provider's and a recipient's slots.
    pub fn new(provider: u64, capacity: u64, recipient: u64, need: u64) -> Self {
        let key = |owner, slot| SlotKey { owner: ParticipantId(owner), slot: SlotId(slot) };
        Self { capacity: key(provider, capacity), need: key(recipient, need) }
    }

    /// The edge that is before all others of the capacity, and the one that is after them.
    pub(crate) fn all_of(capacity: SlotKey) -> std::ops::RangeInclusive<Self> {
        let end = |number| SlotKey { owner: ParticipantId(number), slot: SlotId(number) };
        Self { capacity, need: end(0) }..=Self { capacity, need: end(u64::MAX) }
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider {} to recipient {}", self.capacity, self.need)
    }
}

/// One of the two sides of a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// What is offered.
    Capacity,
    /// What is needed.
    Need,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capacity => "capacity",
            Self::Need => "need",
        })
    }
}

/// What can be full: a slot, or what one of its slots may exchange with one participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// A provider's slot.
    Capacity(SlotKey),
    /// A recipient's slot.
    Need(SlotKey),
    /// The most that a capacity gives one recipient.
    Gives(SlotKey, ParticipantId),
    /// The most that a need takes of one provider.
    Takes(SlotKey, ParticipantId),
    /// What a capacity guarantees a recipient, in the tier of guarantees.
    Guarantee(SlotKey, ParticipantId),
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(slot) => write!(f, "provider {slot}"),
            Self::Need(slot) => write!(f, "recipient {slot}"),
            Self::Gives(slot, to) => write!(f, "what provider {slot} gives {} at the most", to.0),
            Self::Takes(slot, from) => write!(f, "what recipient {slot} takes of {} at the most", from.0),
            Self::Guarantee(slot, to) => write!(f, "what provider {slot} guarantees {}", to.0),
        }
    }
}

/// Why an edge has a quantity, in the order in which capacity is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Accepted: a hard reservation.
    Accepted,
    /// Given before and held until its time.
    Held,
    /// Guaranteed by the provider.
    Guaranteed,
    /// Each recognises the other.
    Mutual,
    /// The provider alone recognises the recipient.
    Generous,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::Guaranteed => "guaranteed",
            Self::Mutual => "mutual",
            Self::Generous => "generous",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_number_is_a_quantity_or_an_error() {
        assert_eq!(Quantity::try_from(7), Ok(Quantity(7)));
        assert_eq!(Quantity::try_from(-1), Err(QuantityError(-1)));
        assert_eq!(Quantity::try_from(i64::MAX), Err(QuantityError(i64::MAX)));
        assert_eq!(
            QuantityError(-1).to_string(),
            "a quantity of -1 millionths: it must be 0 to 1152921504606846976"
        );
    }

    #[test]
    fn quantities_and_shares_print_as_decimals() {
        assert_eq!(Quantity(1_250_000).to_string(), "1.25");
        assert_eq!(Quantity::units(30).to_string(), "30");
        assert_eq!(Quantity(1).to_string(), "0.000001");
        assert_eq!(Share(Share::ONE.0 / 4).to_string(), "0.25");
        assert_eq!(Quantity::units(u64::MAX), Quantity::MAX);
    }
}

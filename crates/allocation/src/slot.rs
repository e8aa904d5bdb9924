//! [`Slot`]: what is offered or needed, and [`Filter`]: with whom.
//!
//! Invariant: whether a capacity and a need fit each other is a function of the two slots, their owners' attributes and
//! their mutual recognition alone, and every filter of both sides has its say. A window is half open: one that ends
//! when the next begins does not overlap it.

use std::collections::BTreeSet;
use std::fmt;

use deltaic_types::limits;

use crate::{MarketError, Name, ParticipantId, Place, Quantity, Share, Side, SlotId, Time};

/// From a moment on and before another; an end that is left out is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Window {
    /// The first moment.
    pub from: Option<Time>,
    /// The first moment after.
    pub until: Option<Time>,
}

impl Window {
    /// Whether a moment is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let before = |until: Option<Time>, from: Option<Time>| match (until, from) {
            (Some(until), Some(from)) => until <= from,
            _ => false,
        };
        !before(self.until, other.from) && !before(other.until, self.from)
    }

    /// Whether it is over.
    pub fn has_ended(self, now: Time) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether no moment is in it.
    pub fn is_empty(self) -> bool {
        matches!((self.from, self.until), (Some(from), Some(until)) if until <= from)
    }
}

/// A rule of a slot about the participant on the other side. All rules of a slot hold. Attributes are what
/// participants say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// The two recognise each other.
    MutualOnly,
    /// The smaller of their shares is at least this.
    MinimumMutual(Share),
    /// It is one of these.
    Allowed(BTreeSet<ParticipantId>),
    /// It is none of these.
    Denied(BTreeSet<ParticipantId>),
    /// It has the attribute.
    Required(Name),
    /// It has not.
    Forbidden(Name),
}

impl Filter {
    /// Whether a participant of these attributes and this mutual recognition passes. `O(log n)` in the names.
    pub fn passes(&self, other: ParticipantId, attributes: &BTreeSet<Name>, mutual: Share) -> bool {
        match self {
            Self::MutualOnly => mutual > Share::ZERO,
            Self::MinimumMutual(least) => mutual >= *least,
            Self::Allowed(these) => these.contains(&other),
            Self::Denied(these) => !these.contains(&other),
            Self::Required(attribute) => attributes.contains(attribute),
            Self::Forbidden(attribute) => !attributes.contains(attribute),
        }
    }
}

/// A quantity of a kind that somebody offers or needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Which.
    pub id: SlotId,
    /// How much.
    pub quantity: Quantity,
    /// Of what: equal on both sides of an edge.
    pub kind: Name,
    /// Counted in what: equal on both sides of an edge.
    pub unit: Name,
    /// When. Once it is over, the slot gives and takes nothing new.
    pub window: Window,
    /// Where.
    pub place: Place,
    /// With whom.
    pub filters: Vec<Filter>,
    /// An edge has a whole number of these; at least 1, a millionth of a unit, which is no restriction. Between two
    /// slots it is the least common multiple.
    pub lot: Quantity,
    /// The most that it exchanges with one participant, if there is such a bound.
    pub most_each: Option<Quantity>,
}

impl Slot {
    /// A slot without restrictions: any time, any place, anybody, any quantity.
    pub fn new(id: u64, quantity: Quantity, kind: &Name, unit: &Name) -> Self {
        Self {
            id: SlotId(id),
            quantity,
            kind: kind.clone(),
            unit: unit.clone(),
            window: Window::default(),
            place: Place::Unknown,
            filters: Vec::new(),
            lot: Quantity(1),
            most_each: None,
        }
    }

    /// Whether it is within the limits, whatever else its owner has. `O(k)` in its filters.
    pub fn check(&self, owner: ParticipantId, side: Side) -> Result<(), MarketError> {
        let id = self.id;
        let most = self.most_each.unwrap_or_default().max(self.lot).max(self.quantity);
        if most > Quantity::MAX {
            return Err(MarketError::QuantityOver { owner, side, slot: id, quantity: most });
        }
        if self.lot.is_zero() {
            return Err(MarketError::NoLot { owner, side, slot: id });
        }
        if self.window.is_empty() {
            return Err(MarketError::EmptyWindow { owner, side, slot: id });
        }
        if let Place::At { point, radius, .. } = &self.place {
            if point.is_some_and(|point| !point.is_valid()) {
                return Err(MarketError::NoSuchPoint { owner, side, slot: id });
            }
            if let Some(metres) = radius.filter(|metres| *metres > limits::RADIUS_METRES) {
                return Err(MarketError::RadiusOver { owner, side, slot: id, metres });
            }
        }
        if self.filters.len() > limits::FILTERS {
            return Err(MarketError::TooManyFilters { owner, side, slot: id, count: self.filters.len() });
        }
        for filter in &self.filters {
            match filter {
                Filter::Allowed(these) | Filter::Denied(these) if these.len() > limits::NAMED => {
                    return Err(MarketError::TooManyNamed { owner, side, slot: id, count: these.len() });
                }
                Filter::MinimumMutual(share) if *share > Share::ONE => {
                    return Err(MarketError::ShareOver { owner, side, slot: id, share: *share });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Why a capacity and a need have no edge. The first reason that was found; there may be others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// There is no such slot.
    Missing(Side),
    /// Both are the same participant's.
    Own,
    /// The provider gives the recipient no recognition.
    NotRecognised,
    /// They are of different kinds, or counted in different units.
    Kind,
    /// No moment is in both windows.
    Window,
    /// They cannot meet.
    Place,
    /// A filter of this side refuses the other.
    Filter(Side, Filter),
    /// No whole lot fits into both.
    Lot,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(side) => write!(f, "there is no such {side} slot"),
            Self::Own => f.write_str("nobody gives to themselves"),
            Self::NotRecognised => f.write_str("the provider does not recognise the recipient"),
            Self::Kind => f.write_str("the slots differ in kind or unit"),
            Self::Window => f.write_str("the windows do not overlap"),
            Self::Place => f.write_str("the places do not meet"),
            Self::Filter(side, filter) => write!(f, "the {side} slot's filter {filter:?} refuses"),
            Self::Lot => f.write_str("no whole lot fits into both slots"),
        }
    }
}

/// One side of a possible edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) owner: ParticipantId,
    pub(crate) attributes: &'a BTreeSet<Name>,
    pub(crate) slot: &'a Slot,
}

/// The lot of the edge between the two, if they fit.
pub(crate) fn fit(capacity: End<'_>, need: End<'_>, mutual: Share) -> Result<u64, Mismatch> {
    let (offer, wish) = (capacity.slot, need.slot);
    if offer.kind != wish.kind || offer.unit != wish.unit {
        return Err(Mismatch::Kind);
    }
    if !offer.window.overlaps(wish.window) {
        return Err(Mismatch::Window);
    }
    if !offer.place.meets(&wish.place) {
        return Err(Mismatch::Place);
    }
    for (side, own, other) in [(Side::Capacity, capacity, need), (Side::Need, need, capacity)] {
        let refuses = |filter: &&Filter| !filter.passes(other.owner, other.attributes, mutual);
        if let Some(filter) = own.slot.filters.iter().find(refuses) {
            return Err(Mismatch::Filter(side, filter.clone()));
        }
    }
    let most = offer.quantity.min(wish.quantity).0;
    match common_multiple(offer.lot.0, wish.lot.0) {
        Some(lot) if lot <= most => Ok(lot),
        _ => Err(Mismatch::Lot),
    }
}

fn common_multiple(a: u64, b: u64) -> Option<u64> {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor.max(1)).checked_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open() {
        let window =
            |from: Option<u64>, until: Option<u64>| Window { from: from.map(Time), until: until.map(Time) };
        let all =
            [window(None, None), window(None, Some(5)), window(Some(5), None), window(Some(4), Some(6))];
        // Against the moments that are in both.
        let holds = |window: Window, at: u64| {
            window.from.is_none_or(|from| from.0 <= at) && window.until.is_none_or(|until| at < until.0)
        };
        for a in all {
            for b in all {
                assert_eq!(a.overlaps(b), (0..20).any(|at| holds(a, at) && holds(b, at)), "{a:?} {b:?}");
            }
        }
        assert!(window(Some(5), Some(5)).is_empty() && !window(Some(4), Some(5)).is_empty());
        assert!(window(None, Some(5)).has_ended(Time(5)) && !window(None, Some(5)).has_ended(Time(4)));
    }

    #[test]
    fn a_lot_is_a_multiple_of_both() {
        assert_eq!(common_multiple(4, 6), Some(12));
        assert_eq!(common_multiple(1, 1), Some(1));
        assert_eq!(common_multiple(u64::MAX, u64::MAX - 1), None);
    }
}

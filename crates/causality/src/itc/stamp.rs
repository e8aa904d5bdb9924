//! [`Stamp`]: what an owner knew at one moment, as others get to see it.
//!
//! Invariant: it has no id, so whoever holds it can compare and learn, and cannot make events.

use std::cmp::Ordering;

use deltaic_types::codec::Reader;

use super::codec::{self, Limits, TreeError};
use super::{Event, Id};

/// What an owner knew at one moment. Beside a commit it says which commits its author had seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    pub(super) event: Event,
}

impl Stamp {
    /// Whether the other knows all that this one knows. O(leaves of both), no allocation.
    pub fn leq(&self, other: &Self) -> bool {
        self.event.leq(&other.event)
    }

    /// Whether the other knows all that this one knows above the points of `id`.
    pub fn leq_within(&self, other: &Self, id: &Id) -> bool {
        self.event.leq_within(&other.event, id)
    }

    /// What either knows. O(leaves of both), one allocation.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self { event: self.event.join(&other.event) }
    }

    /// The counts.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Appends the stamp: about a byte for each replica that made events, see [`codec`](super).
    pub fn write(&self, bytes: &mut Vec<u8>) {
        codec::write_event(bytes, &self.event);
    }

    /// Reads what [`Stamp::write`] wrote. Any other bytes are refused, those of a stamp in another form too.
    pub fn read(reader: &mut Reader<'_>, limits: Limits) -> Result<Self, TreeError> {
        Ok(Self { event: codec::read_event(reader, limits)? })
    }
}

impl From<Event> for Stamp {
    fn from(event: Event) -> Self {
        Self { event }
    }
}

impl PartialOrd for Stamp {
    /// Less: the other had seen all of this one. `None`: they are concurrent. No allocation.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.event.partial_cmp(&other.event)
    }
}

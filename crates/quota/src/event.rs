//! [`Event`]: what happened to a budget, one admission or refund at a time, for whoever bills by it.
//!
//! A ledger has sums; the log beside it has each unit's story. Invariant: an event is durable before whoever spent is
//! answered, and [`replay`] of all events of a key gives what its ledger says was spent for it, but for what crashes burnt.

use std::collections::BTreeMap;

use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};

use crate::{Time, Units};

/// The longest name and key of an event, in bytes.
const TEXT: usize = 1 << 14;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Units were admitted.
    Consumed,
    /// Units of an earlier permit came back.
    Refunded,
}

/// One admission, or one refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// The budget's name.
    pub budget: String,
    /// The key, as text.
    pub key: String,
    /// What.
    pub kind: EventKind,
    /// How much.
    pub units: Units,
    /// The number of the permit, by which a refund names its admission; 0 within a transaction.
    pub permit: u64,
}

impl Event {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.budget.len() + self.key.len());
        write_u64(&mut bytes, self.at.0);
        write_bytes(&mut bytes, self.budget.as_bytes());
        write_bytes(&mut bytes, self.key.as_bytes());
        write_u64(&mut bytes, u64::from(self.kind == EventKind::Refunded));
        write_u64(&mut bytes, self.units.0);
        write_u64(&mut bytes, self.permit);
        bytes
    }

    /// Reads what [`Event::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let at = Time(reader.u64()?);
        let mut text = |what| {
            let bytes = reader.bytes(TEXT)?.to_vec();
            String::from_utf8(bytes).map_err(|_| DecodeError::Invalid(what))
        };
        let (budget, key) = (text("budget")?, text("key")?);
        let kind = match reader.u64()? {
            0 => EventKind::Consumed,
            1 => EventKind::Refunded,
            _ => return Err(DecodeError::Invalid("kind of an event")),
        };
        let (units, permit) = (Units(reader.u64()?), reader.u64()?);
        reader.finish()?;
        Ok(Self { at, budget, key, kind, units, permit })
    }
}

/// What was spent of each budget and key, from all their events.
pub fn replay(events: impl IntoIterator<Item = Event>) -> BTreeMap<(String, String), i128> {
    let mut spent = BTreeMap::new();
    for event in events {
        let sum = spent.entry((event.budget, event.key)).or_insert(0);
        *sum += match event.kind {
            EventKind::Consumed => i128::from(event.units.0),
            EventKind::Refunded => -i128::from(event.units.0),
        };
    }
    spent
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_comes_back_and_a_torn_one_is_an_error(
            at: u64, budget in ".{0,9}", key in ".{0,9}", refunded: bool, units: u64, permit: u64,
        ) {
            let kind = if refunded { EventKind::Refunded } else { EventKind::Consumed };
            let event = Event { at: Time(at), budget, key, kind, units: Units(units), permit };
            let bytes = event.encode();
            prop_assert_eq!(Event::decode(&bytes), Ok(event));
            for end in 0..bytes.len() {
                prop_assert!(Event::decode(&bytes[..end]).is_err());
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Event::decode(&bytes);
        }
    }

    #[test]
    fn a_replay_adds_up() {
        let event = |key: &str, kind, units| Event {
            at: Time(1),
            budget: "b".to_owned(),
            key: key.to_owned(),
            kind,
            units: Units(units),
            permit: 1,
        };
        let events = [
            event("a", EventKind::Consumed, 5),
            event("c", EventKind::Consumed, 1),
            event("a", EventKind::Refunded, 2),
        ];
        let spent: Vec<i128> = replay(events).into_values().collect();
        assert_eq!(spent, [3, 1]);
    }
}

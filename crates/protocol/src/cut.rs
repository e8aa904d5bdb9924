//! [`Cut`]: what somebody has seen of the writes of all, as text: `1:42,7:3`, each actor with the number of its last write.
//!
//! Invariant: a cut has one text. Actors ascend, numbers are at least 1 and in plain digits, and the empty text is the cut of
//! nothing; any other text is refused, so that whoever keeps a cut keeps it as it was.

use std::{fmt, str::FromStr};

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_types::limits;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A [`VersionVector`] in messages. At most [`limits::ACTORS`] entries are read, of at most 42 bytes each.
///
/// ```
/// use deltaic_protocol::Cut;
///
/// let cut: Cut = "1:42,7:3".parse()?;
/// assert_eq!(cut.0.last(deltaic_causality::ActorId(7)), 3);
/// assert_eq!(cut.to_string(), "1:42,7:3");
/// assert!("7:3,1:42".parse::<Cut>().is_err());
/// # Ok::<(), deltaic_protocol::CutError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cut(pub VersionVector);

/// Text in the place of a cut that is none. Places count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CutError {
    /// An entry is not two numbers.
    #[error(
        "entry {place} of the cut is not an actor and a number in plain digits, as in 7:3: give a cut back as it came"
    )]
    Entry {
        /// Which one.
        place: usize,
    },
    /// An entry names no write.
    #[error("entry {place} of the cut says 0 of actor {actor}: leave out who has written nothing")]
    Zero {
        /// Which one.
        place: usize,
        /// Of whom.
        actor: ActorId,
    },
    /// An actor stands there twice.
    #[error("entry {place} of the cut names actor {actor} again: one entry an actor")]
    Twice {
        /// Which one.
        place: usize,
        /// Whom.
        actor: ActorId,
    },
    /// An actor stands behind a greater one.
    #[error("entry {place} of the cut, of actor {actor}, stands behind one of actor {before}: actors ascend")]
    Order {
        /// Which one.
        place: usize,
        /// Its actor.
        actor: ActorId,
        /// The actor before it.
        before: ActorId,
    },
    /// More entries than there can be actors.
    #[error("the cut has more than {limit} entries: it is none of this database")]
    TooMany {
        /// The most that is read.
        limit: usize,
    },
}

/// A number in its only form.
fn plain(digits: &str) -> Option<u64> {
    let is_plain = digits == "0" || digits.starts_with(|first: char| matches!(first, '1'..='9'));
    is_plain.then(|| digits.parse().ok()).flatten()
}

impl FromStr for Cut {
    type Err = CutError;

    fn from_str(text: &str) -> Result<Self, CutError> {
        let mut cut = VersionVector::default();
        let mut last: Option<ActorId> = None;
        // The empty text has no entry, and every other one has one more than commas.
        let entries = text.split(',').take_while(|_| !text.is_empty());
        for (place, entry) in (1..).zip(entries) {
            if place > limits::ACTORS {
                return Err(CutError::TooMany { limit: limits::ACTORS });
            }
            let numbers = entry.split_once(':').and_then(|(actor, seq)| Some((plain(actor)?, plain(seq)?)));
            let (actor, seq) = numbers.ok_or(CutError::Entry { place })?;
            let actor = ActorId(actor);
            match last {
                _ if seq == 0 => return Err(CutError::Zero { place, actor }),
                Some(before) if before == actor => return Err(CutError::Twice { place, actor }),
                Some(before) if before > actor => return Err(CutError::Order { place, actor, before }),
                _ => {}
            }
            cut.raise(Dot { actor, seq });
            last = Some(actor);
        }
        Ok(Self(cut))
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (actor, seq)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{actor}:{seq}")?;
        }
        Ok(())
    }
}

impl Serialize for Cut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cut {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Cuts of few and of any actors.
    pub(crate) fn cuts() -> impl Strategy<Value = Cut> {
        let actor = prop_oneof![0u64..9, any::<u64>(), Just(u64::MAX)];
        let seq = prop_oneof![1u64..99, 1u64.., Just(u64::MAX)];
        proptest::collection::btree_map(actor, seq, 0..9).prop_map(|entries| {
            let dots = entries.into_iter().map(|(actor, seq)| Dot { actor: ActorId(actor), seq });
            Cut(dots.collect())
        })
    }

    #[test]
    fn what_is_no_cut_is_refused_with_what_is_wrong() {
        let actor = ActorId;
        for (text, error) in [
            ("x", CutError::Entry { place: 1 }),
            (",", CutError::Entry { place: 1 }),
            (" 1:2", CutError::Entry { place: 1 }),
            ("1", CutError::Entry { place: 1 }),
            ("1:", CutError::Entry { place: 1 }),
            (":1", CutError::Entry { place: 1 }),
            ("1:2,", CutError::Entry { place: 2 }),
            ("1:2, 2:3", CutError::Entry { place: 2 }),
            ("1:2,2:+3", CutError::Entry { place: 2 }),
            ("1:2,2:-3", CutError::Entry { place: 2 }),
            ("1:2,02:3", CutError::Entry { place: 2 }),
            ("1:2,2:3:4", CutError::Entry { place: 2 }),
            ("1:\u{661}", CutError::Entry { place: 1 }),
            ("1:18446744073709551616", CutError::Entry { place: 1 }),
            ("3:0", CutError::Zero { place: 1, actor: actor(3) }),
            ("3:1,3:2", CutError::Twice { place: 2, actor: actor(3) }),
            ("1:1,7:1,3:2", CutError::Order { place: 3, actor: actor(3), before: actor(7) }),
        ] {
            assert_eq!(text.parse::<Cut>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_cut_has_as_many_entries_as_there_can_be_actors() {
        let text = |count: usize| (0..count).map(|n| format!("{n}:1")).collect::<Vec<_>>().join(",");
        let most = text(limits::ACTORS);
        assert_eq!(most.parse::<Cut>().unwrap().0.len(), limits::ACTORS);
        let refused = text(limits::ACTORS + 1).parse::<Cut>();
        assert_eq!(refused, Err(CutError::TooMany { limit: limits::ACTORS }));
    }

    #[test]
    fn nothing_is_the_empty_text() {
        assert_eq!("".parse(), Ok(Cut::default()));
        assert_eq!(Cut::default().to_string(), "");
    }

    proptest! {
        #[test]
        fn a_cut_comes_back(cut in cuts()) {
            prop_assert_eq!(cut.to_string().parse(), Ok(cut.clone()));
            // Its text is that of its entries, in their order.
            let entries: BTreeMap<u64, u64> = cut.0.iter().map(|(actor, seq)| (actor.0, seq)).collect();
            let text: Vec<String> = entries.iter().map(|(actor, seq)| format!("{actor}:{seq}")).collect();
            prop_assert_eq!(cut.to_string(), text.join(","));
            let json = serde_json::to_string(&cut).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cut>(&json).unwrap(), cut);
        }

        #[test]
        fn a_text_is_refused_or_the_only_one_of_its_cut(text in prop_oneof![".*", "[0-9:,+ ]{0,12}", "([0+]?[0-3]:0?[0-3],){0,2}[0-9]:[0-3]"]) {
            if let Ok(cut) = text.parse::<Cut>() {
                prop_assert_eq!(cut.to_string(), text);
            }
        }
    }
}

//! [`Message`]: what two replicas say to each other, and its bytes.
//!
//! Invariant: equal messages have equal bytes, and foreign bytes give an error, never a panic, and never take more memory
//! than a small multiple of their own.

use std::collections::BTreeSet;

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};
use deltaic_types::limits;

/// A stream of deltas, named by who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// The life of the replica that asked: rises with each of its starts. 0 is nobody's.
    pub life: u64,
    /// Which of the streams that it asked for in that life.
    pub number: u64,
}

impl StreamId {
    fn write(self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.life);
        write_u64(bytes, self.number);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { life: reader.u64()?, number: reader.u64()? })
    }
}

/// A message of anti-entropy. The transport says who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender holds: the other side sends what it lacks, as a stream of deltas.
    Ask {
        /// The stream, with the sender's life.
        stream: StreamId,
        /// How many writes the sender had made when this life began.
        began: u64,
        /// The receiver's life as the sender knows it, which the question is for; 0 if it knows none.
        to: u64,
        /// What the sender holds and will not forget.
        cut: VersionVector,
        /// The sum of its state at that cut.
        digest: u64,
    },
    /// What the receiver lacks.
    Delta {
        /// The stream that was asked for.
        stream: StreamId,
        /// Which delta of the stream: the first is 1.
        number: u64,
        /// The delta that has to be merged before this one; 0 for what the receiver held when it asked.
        after: u64,
        /// The actors whose writes are in it, with the last of them; of a whole state all that the sender holds.
        to: VersionVector,
        /// Whether it is all of the sender's state, and not what was missing alone.
        is_whole: bool,
        /// What is to be merged.
        body: Vec<u8>,
    },
    /// A delta was merged and will not be forgotten, and with it all before it.
    Ack {
        /// The stream.
        stream: StreamId,
        /// The delta.
        number: u64,
    },
    /// The receiver holds less than it once did: it was restored from a copy.
    Restored {
        /// Its life.
        life: u64,
    },
    /// The receiver is no member any more.
    Forgotten {
        /// Its life.
        life: u64,
    },
    /// The receiver's state at this cut is not the sender's.
    Sums {
        /// Its life.
        life: u64,
        /// The cut.
        cut: VersionVector,
        /// The sums of the sender's state there, by rising kinds ([`super::State::sums`]).
        sums: Vec<(u64, u64)>,
    },
    /// A delta was not merged, because one before it is missing: the stream goes on behind this one.
    Missing {
        /// The stream.
        stream: StreamId,
        /// The last delta that was merged.
        number: u64,
    },
}

impl Message {
    /// The message as bytes: an acknowledgement takes 4, a delta 10 and its body where numbers are small.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Ask { stream, began, to, cut, digest } => {
                bytes.push(0);
                stream.write(&mut bytes);
                write_u64(&mut bytes, *began);
                write_u64(&mut bytes, *to);
                cut.write(&mut bytes);
                bytes.extend_from_slice(&digest.to_be_bytes());
            }
            Self::Delta { stream, number, after, to, is_whole, body } => {
                bytes.push(if *is_whole { 2 } else { 1 });
                stream.write(&mut bytes);
                write_u64(&mut bytes, *number);
                write_u64(&mut bytes, number.saturating_sub(*after));
                to.write(&mut bytes);
                write_bytes(&mut bytes, body);
            }
            Self::Ack { stream, number } => {
                bytes.push(3);
                stream.write(&mut bytes);
                write_u64(&mut bytes, *number);
            }
            Self::Missing { stream, number } => {
                bytes.push(4);
                stream.write(&mut bytes);
                write_u64(&mut bytes, *number);
            }
            Self::Restored { life } => {
                bytes.push(5);
                write_u64(&mut bytes, *life);
            }
            Self::Forgotten { life } => {
                bytes.push(6);
                write_u64(&mut bytes, *life);
            }
            Self::Sums { life, cut, sums } => {
                bytes.push(7);
                write_u64(&mut bytes, *life);
                cut.write(&mut bytes);
                write_u64(&mut bytes, sums.len() as u64);
                for number in sums.iter().flat_map(|(kind, sum)| [kind, sum]) {
                    bytes.extend_from_slice(&number.to_be_bytes());
                }
            }
        }
        bytes
    }

    /// Reads what [`Message::encode`] wrote, and no other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let [tag] = reader.take()?;
        if let 5 | 6 = tag {
            let life = reader.u64()?;
            reader.finish()?;
            return Ok(if tag == 5 { Self::Restored { life } } else { Self::Forgotten { life } });
        }
        if tag == 7 {
            let (life, cut) = (reader.u64()?, VersionVector::read(&mut reader)?);
            let mut sums: Vec<(u64, u64)> = Vec::new();
            for _ in 0..reader.u64()? {
                let sum = (u64::from_be_bytes(reader.take()?), u64::from_be_bytes(reader.take()?));
                if sums.last().is_some_and(|(before, _)| *before >= sum.0) || sum.1 == 0 {
                    return Err(DecodeError::Invalid("sums: not those of rising kinds"));
                }
                sums.push(sum);
            }
            reader.finish()?;
            return Ok(Self::Sums { life, cut, sums });
        }
        let stream = StreamId::read(&mut reader)?;
        let message = match tag {
            0 => Self::Ask {
                stream,
                began: reader.u64()?,
                to: reader.u64()?,
                cut: VersionVector::read(&mut reader)?,
                digest: u64::from_be_bytes(reader.take()?),
            },
            1 | 2 => {
                let number = reader.u64()?;
                let back = reader.u64()?;
                // A delta follows one before it.
                let after = number.checked_sub(back).filter(|_| back > 0);
                Self::Delta {
                    stream,
                    number,
                    after: after.ok_or(DecodeError::Invalid("delta: what it follows"))?,
                    to: VersionVector::read(&mut reader)?,
                    is_whole: tag == 2,
                    body: reader.bytes(limits::DELTA_BYTES)?.to_vec(),
                }
            }
            3 => Self::Ack { stream, number: reader.u64()? },
            4 => Self::Missing { stream, number: reader.u64()? },
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        reader.finish().map(|()| message)
    }
}

/// The writes of one cut that another does not hold, as the last of each actor.
pub(super) fn advance(from: &VersionVector, to: &VersionVector) -> VersionVector {
    to.iter().filter(|(actor, seq)| *seq > from.last(*actor)).map(|(actor, seq)| Dot { actor, seq }).collect()
}

/// Whether one cut holds all that another does.
pub(super) fn covers(cut: &VersionVector, other: &VersionVector) -> bool {
    other.iter().all(|(actor, seq): (ActorId, u64)| seq <= cut.last(actor))
}

/// The kinds whose sums differ, in two lists by rising kinds.
pub(super) fn differing(one: &[(u64, u64)], other: &[(u64, u64)]) -> Vec<u64> {
    let lacks = |list: &[(u64, u64)], sum: &(u64, u64)| list.binary_search(sum).is_err();
    let sums = one.iter().filter(|sum| lacks(other, sum)).chain(other.iter().filter(|sum| lacks(one, sum)));
    let kinds: BTreeSet<u64> = sums.map(|(kind, _)| *kind).collect();
    kinds.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cuts() -> impl Strategy<Value = VersionVector> {
        let dot = (0_u64..300, 1_u64..300).prop_map(|(actor, seq)| Dot { actor: ActorId(actor), seq });
        proptest::collection::vec(dot, 0..4).prop_map(|dots| dots.into_iter().collect())
    }

    fn streams() -> impl Strategy<Value = StreamId> {
        any::<[u64; 2]>().prop_map(|[life, number]| StreamId { life, number })
    }

    fn kinds() -> impl Strategy<Value = BTreeMap<u64, u64>> {
        proptest::collection::btree_map(0_u64..8, 1_u64..4, 0..8)
    }

    fn messages() -> impl Strategy<Value = Message> {
        prop_oneof![
            (streams(), any::<[u64; 3]>(), cuts()).prop_map(|(stream, [began, to, digest], cut)| {
                Message::Ask { stream, began, to, cut, digest }
            }),
            any::<u64>().prop_map(|life| Message::Restored { life }),
            (streams(), 1_u64..1_000, any::<u64>(), cuts(), any::<bool>(), any::<Vec<u8>>()).prop_map(
                |(stream, number, after, to, is_whole, body)| {
                    let after = after % number;
                    Message::Delta { stream, number, after, to, is_whole, body }
                }
            ),
            (streams(), any::<u64>()).prop_map(|(stream, number)| Message::Ack { stream, number }),
            (streams(), any::<u64>()).prop_map(|(stream, number)| Message::Missing { stream, number }),
            any::<u64>().prop_map(|life| Message::Forgotten { life }),
            (any::<u64>(), cuts(), kinds()).prop_map(|(life, cut, sums)| Message::Sums {
                life,
                cut,
                sums: sums.into_iter().collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_comes_back(message in messages(), cut in any::<prop::sample::Index>()) {
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
            prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn what_is_read_from_any_bytes_is_canonical(tag in 0_u8..9, mut bytes in prop::collection::vec(0_u8..4, 0..24)) {
            bytes.insert(0, tag);
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn the_kinds_that_differ_are_found(one in kinds(), other in kinds()) {
            let lists = [&one, &other].map(|sums| sums.iter().map(|(kind, sum)| (*kind, *sum)).collect::<Vec<_>>());
            let expected = (0..8).filter(|kind| one.get(kind) != other.get(kind)).collect::<Vec<_>>();
            prop_assert_eq!(differing(&lists[0], &lists[1]), expected);
        }

        #[test]
        fn an_advance_brings_one_cut_to_the_other(from in cuts(), more in cuts()) {
            let mut to = from.clone();
            to.join(&more);
            let advance = advance(&from, &to);
            let mut reached = from.clone();
            reached.join(&advance);
            prop_assert_eq!(&reached, &to);
            prop_assert_eq!(covers(&from, &to), advance.is_empty());
            prop_assert!(covers(&to, &from));
        }
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        assert_eq!(Message::decode(&[]), Err(DecodeError::Truncated));
        assert_eq!(Message::decode(&[9, 1, 1]), Err(DecodeError::UnknownTag(9)));
        assert_eq!(
            Message::decode(&[1, 1, 1, 1, 0, 0, 0]),
            Err(DecodeError::Invalid("delta: what it follows")),
            "a delta that follows itself"
        );
        let sums = Message::Sums { life: 1, cut: VersionVector::default(), sums: vec![(1, 5), (1, 6)] };
        assert_eq!(
            Message::decode(&sums.encode()),
            Err(DecodeError::Invalid("sums: not those of rising kinds"))
        );
        let long = [1, 1, 1, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(
            Message::decode(&long),
            Err(DecodeError::TooLong { limit: limits::DELTA_BYTES, .. })
        ));
    }
}

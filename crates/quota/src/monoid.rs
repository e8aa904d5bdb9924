//! [`Monoid`]: what an aggregate may be: values that are combined, in any order and in any groups.
//!
//! Invariant: `combine` is associative and commutative, `zero` changes nothing, and equal values have equal bytes. A
//! value that was written is read back; other bytes are an error. So a store combines what it has with what comes
//! without knowing what either is.

use std::collections::BTreeSet;

use deltaic_types::Element;
use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};

use crate::Key;

/// A commutative monoid, with its values as bytes.
pub trait Monoid: Clone + PartialEq {
    /// What changes nothing.
    fn zero() -> Self;
    /// Takes the other in.
    fn combine(&mut self, other: &Self);
    /// The value's bytes, behind those that are there.
    fn encode(&self, bytes: &mut Vec<u8>);
    /// The value of these bytes and no more.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl Element for Key {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_bytes(bytes, self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(reader.bytes(Self::BYTES)?).ok_or(DecodeError::Invalid("key"))
    }
}

/// A sum. Wide enough that no number of 64-bit changes leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(pub i128);

impl Monoid for Sum {
    fn zero() -> Self {
        Self(0)
    }

    fn combine(&mut self, other: &Self) {
        // Modulo 2^128, which keeps the laws at every number.
        self.0 = self.0.wrapping_add(other.0);
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let sum = i128::from_le_bytes(reader.take()?);
        reader.finish().map(|()| Self(sum))
    }
}

/// A maximum; none is below all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Max<T>(pub Option<T>);

impl<T: Element> Monoid for Max<T> {
    fn zero() -> Self {
        Self(None)
    }

    fn combine(&mut self, other: &Self) {
        if other.0 > self.0 {
            self.0.clone_from(&other.0);
        }
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, u64::from(self.0.is_some()));
        self.0.iter().for_each(|most| most.write(bytes));
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let most = match reader.u64()? {
            0 => None,
            1 => Some(T::read(&mut reader)?),
            _ => return Err(DecodeError::Invalid("maximum")),
        };
        reader.finish().map(|()| Self(most))
    }
}

/// A set that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Union<T: Ord>(pub BTreeSet<T>);

impl<T: Element> Monoid for Union<T> {
    fn zero() -> Self {
        Self(BTreeSet::new())
    }

    fn combine(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.0.len() as u64);
        self.0.iter().for_each(|element| element.write(bytes));
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.length(usize::MAX)?;
        let mut set = BTreeSet::new();
        for _ in 0..count {
            let element = T::read(&mut reader)?;
            // One set, one encoding: its elements rise.
            if set.last().is_some_and(|last| *last >= element) {
                return Err(DecodeError::Invalid("order of a set"));
            }
            set.insert(element);
        }
        reader.finish().map(|()| Self(set))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;

    use super::*;

    fn laws<M: Monoid + Debug>(values: &[M; 3]) {
        let [a, b, c] = values;
        let plus = |a: &M, b: &M| {
            let mut sum = a.clone();
            sum.combine(b);
            sum
        };
        let bytes = |value: &M| {
            let mut bytes = Vec::new();
            value.encode(&mut bytes);
            bytes
        };
        assert_eq!(plus(a, b), plus(b, a));
        assert_eq!(bytes(&plus(a, b)), bytes(&plus(b, a)));
        assert_eq!(plus(&plus(a, b), c), plus(a, &plus(b, c)));
        assert_eq!(plus(a, &M::zero()), *a);
        for value in [a, &M::zero()] {
            let whole = bytes(value);
            assert_eq!(M::decode(&whole).as_ref(), Ok(value));
            (0..whole.len()).for_each(|end| assert!(M::decode(&whole[..end]).is_err()));
            assert!(M::decode(&[&whole[..], &[0]].concat()).is_err());
        }
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            sums: [i128; 3], most: [Option<u64>; 3], least: [Option<i64>; 3],
            sets: [BTreeSet<i64>; 3], names: [BTreeSet<Vec<u8>>; 3],
        ) {
            laws(&sums.map(Sum));
            laws(&most.map(Max));
            laws(&least.map(Max));
            laws(&sets.map(Union));
            let key = |name: &Vec<u8>| Key::new(name).unwrap();
            laws(&names.map(|names| Union(names.iter().map(key).collect())));
        }

        #[test]
        fn foreign_bytes_are_read_as_themselves_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            fn read<M: Monoid>(bytes: &[u8]) {
                if let Ok(value) = M::decode(bytes) {
                    let mut again = Vec::new();
                    value.encode(&mut again);
                    assert_eq!(again, bytes);
                }
            }
            read::<Sum>(&bytes);
            read::<Max<i64>>(&bytes);
            read::<Max<Key>>(&bytes);
            read::<Union<u64>>(&bytes);
        }
    }

    #[test]
    fn a_set_out_of_order_or_twice_the_same_is_foreign() {
        assert!(Union::<u64>::decode(&[2, 1, 2]).is_ok());
        for bytes in [[2, 2, 1], [2, 1, 1]] {
            assert_eq!(Union::<u64>::decode(&bytes), Err(DecodeError::Invalid("order of a set")));
        }
        assert_eq!(Max::<u64>::decode(&[2, 1]), Err(DecodeError::Invalid("maximum")));
    }
}

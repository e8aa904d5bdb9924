//! [`Element`]: what registers, sets and maps are made of.
//!
//! Invariant: elements that are equal have equal bytes, and those that differ have not, so that two replicas that agree
//! have the same bytes. A number in SQL's order does not hold that (`1 = 1.0`); [`Exact`] does.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_i64, write_u64, write_value};
use deltaic_types::{Value, limits};

/// What has a total order and canonical bytes.
pub trait Element: Ord + Clone + fmt::Debug {
    /// Appends the element.
    fn write(&self, bytes: &mut Vec<u8>);
    /// Reads what [`Element::write`] wrote, and no other bytes.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl Element for u64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, *self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u64()
    }
}

impl Element for i64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_i64(bytes, *self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.i64()
    }
}

impl Element for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_bytes(bytes, self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.str(limits::VALUE_BYTES).map(str::to_owned)
    }
}

impl Element for Vec<u8> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_bytes(bytes, self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.bytes(limits::VALUE_BYTES).map(<[u8]>::to_vec)
    }
}

impl<T: Element> Element for Reverse<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::read(reader).map(Reverse)
    }
}

/// An SQL value that equals only what has its bytes.
///
/// In SQL's order `1`, `1.0` and `1::double precision` are equal; here they are three, beside each other, so that which
/// replica merged first never decides which of them stays.
#[derive(Debug, Clone)]
pub struct Exact(pub Value);

impl Exact {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_value(&mut bytes, &self.0);
        bytes
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
            (Value::Text(left), Value::Text(right)) => left.cmp(right),
            (left, right) => left.cmp(right).then_with(|| self.bytes().cmp(&other.bytes())),
        }
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Exact {}

impl Element for Exact {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_value(bytes, &self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let before = reader.rest();
        let value = Self(reader.value()?);
        let used = &before[..before.len() - reader.rest().len()];
        match value.0 {
            Value::Integer(_) | Value::Text(_) | Value::Boolean(_) | Value::Null => Ok(value),
            // A negative zero, a numeric with trailing zeros or the members of an object in another order are read
            // too, as what they stand for.
            _ if value.bytes() == used => Ok(value),
            _ => Err(DecodeError::Invalid("value: not in its canonical form")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes<T: Element>(element: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        element.write(&mut bytes);
        bytes
    }

    fn comes_back<T: Element>(element: &T) {
        let bytes = bytes(element);
        let mut reader = Reader::new(&bytes);
        assert_eq!(&T::read(&mut reader).unwrap(), element);
        reader.finish().unwrap();
    }

    #[test]
    fn numbers_that_sql_calls_equal_are_three_elements() {
        let numeric = |text: &str| Exact(Value::numeric(text.parse().unwrap()));
        let all = [Exact(Value::Integer(1)), numeric("1"), Exact(Value::double(1.0))];
        for (place, one) in all.iter().enumerate() {
            for (other_place, other) in all.iter().enumerate() {
                assert_eq!(one == other, place == other_place);
                assert_eq!(one.cmp(other), other.cmp(one).reverse());
            }
        }
        assert!(numeric("1") < Exact(Value::Integer(2)) && Exact(Value::Integer(0)) < numeric("1"));
    }

    #[test]
    fn bytes_that_no_value_writes_are_refused() {
        let mut zero = vec![4];
        zero.extend((-0.0_f64).to_bits().to_le_bytes());
        let read = |bytes: &[u8]| Exact::read(&mut Reader::new(bytes));
        assert_eq!(read(&zero), Err(DecodeError::Invalid("value: not in its canonical form")));
        assert_eq!(read(&[4, 0, 0, 0, 0, 0, 0, 0, 0]), Ok(Exact(Value::double(0.0))));
        assert_eq!(String::read(&mut Reader::new(&[1, 0xff])), Err(DecodeError::Invalid("text")));
    }

    proptest! {
        #[test]
        fn an_element_comes_back(n in any::<i64>(), u in any::<u64>(), text in ".{0,8}", x in any::<f64>()) {
            comes_back(&n);
            comes_back(&u);
            comes_back(&Reverse(u));
            comes_back(&text);
            comes_back(&text.clone().into_bytes());
            comes_back(&Exact(Value::from(text.replace('\0', ""))));
            comes_back(&Exact(Value::double(x)));
            comes_back(&Exact(Value::array(vec![Value::Integer(n), Value::Null])));
        }

        #[test]
        fn what_is_read_from_any_bytes_is_canonical(raw in proptest::collection::vec(0_u8..14, 0..12)) {
            let mut reader = Reader::new(&raw);
            if let Ok(value) = Exact::read(&mut reader) {
                prop_assert_eq!(&bytes(&value)[..], &raw[..raw.len() - reader.rest().len()]);
            }
        }
    }
}

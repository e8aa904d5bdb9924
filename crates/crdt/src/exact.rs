//! [`Exact`]: an SQL value as an [`Element`].
//!
//! Invariant: values that are equal have equal bytes, and those that differ have not, so that two replicas that agree
//! have the same bytes. A number in SQL's order does not hold that (`1 = 1.0`).

use std::cmp::Ordering;

use deltaic_types::codec::{DecodeError, Reader, write_value};
use deltaic_types::{Element, Value};

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

    fn bytes(element: &Exact) -> Vec<u8> {
        let mut bytes = Vec::new();
        element.write(&mut bytes);
        bytes
    }

    fn comes_back(element: &Exact) {
        let bytes = bytes(element);
        let mut reader = Reader::new(&bytes);
        assert_eq!(&Exact::read(&mut reader).unwrap(), element);
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
    }

    proptest! {
        #[test]
        fn a_value_comes_back(n in any::<i64>(), text in ".{0,8}", x in any::<f64>()) {
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

//! The sort key of a row as text: whoever compares it by code points, or as ASCII bytes, has the query's order.
//!
//! Invariant: for rows of the same types and one order, `order_key(a) < order_key(b)` exactly when `a` comes before
//! `b`, and rows that the order does not tell apart have equal keys. Directions and the place of NULLs are in the
//! key, so that a client needs neither types nor the order itself. The bytes beneath are those of the
//! [key codec](crate::key), and of one like it for the types that can be no key; six bits a character are written in
//! an alphabet that stands in the order of its code points.

use crate::{Interval, Json, Value, key};

/// Sixty-four characters, in the order of their code points.
const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// A value of a sort key, and how the order takes it.
#[derive(Debug, Clone, Copy)]
pub struct Sorted<'a> {
    /// The value.
    pub value: &'a Value,
    /// Greatest first.
    pub descending: bool,
    /// NULLs first.
    pub nulls_first: bool,
}

/// The sort key of values, the first of them first. Cost: a walk over their bytes.
///
/// ```
/// use deltaic_types::{Value, order_key::{Sorted, order_key}};
/// let key = |n: i64| order_key([Sorted { value: &Value::Integer(n), descending: true, nulls_first: true }]);
/// assert!(key(10) < key(9) && key(9) < key(-1));
/// ```
pub fn order_key<'a>(values: impl IntoIterator<Item = Sorted<'a>>) -> String {
    let mut bytes = Vec::new();
    for Sorted { value, descending, nulls_first } in values {
        bytes.push(u8::from(value.is_null() != nulls_first));
        if value.is_null() {
            continue;
        }
        let start = bytes.len();
        encode(&mut bytes, value);
        // No encoding is the beginning of another, so turning its bits round turns the order round.
        if descending {
            for byte in &mut bytes[start..] {
                *byte = !*byte;
            }
        }
    }
    to_text(&bytes)
}

fn encode(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Interval(interval) => encode_interval(bytes, interval),
        Value::Json(json) => encode_document(bytes, json),
        Value::Array(items) => {
            for item in items.iter() {
                // The end, an item, NULL: in this order.
                bytes.push(if item.is_null() { 2 } else { 1 });
                if !item.is_null() {
                    encode(bytes, item);
                }
            }
            bytes.push(0);
        }
        other => key::encode_value(bytes, other),
    }
}

/// The length, then the fields that tell equal lengths apart.
fn encode_interval(bytes: &mut Vec<u8>, interval: &Interval) {
    let length = interval.total_micros() as u128 ^ (1 << 127);
    bytes.extend_from_slice(&length.to_be_bytes());
    for field in [interval.months, interval.days] {
        bytes.extend_from_slice(&(field as u32 ^ (1 << 31)).to_be_bytes());
    }
}

/// A document that is no part of another: an empty array is less than everything else.
fn encode_document(bytes: &mut Vec<u8>, json: &Json) {
    match json {
        Json::Array(items) if items.is_empty() => bytes.push(0),
        other => {
            bytes.push(1);
            encode_json(bytes, other);
        }
    }
}

fn encode_json(bytes: &mut Vec<u8>, json: &Json) {
    let length = |count: usize| (count as u64).to_be_bytes();
    bytes.push(json.kind());
    match json {
        Json::Null => {}
        Json::Boolean(b) => bytes.push(u8::from(*b)),
        Json::String(text) => key::encode_escaped(bytes, text.as_bytes()),
        Json::Number(n) => key::encode_numeric(bytes, n),
        Json::Array(items) => {
            bytes.extend_from_slice(&length(items.len()));
            for item in items {
                encode_json(bytes, item);
            }
        }
        Json::Object(members) => {
            bytes.extend_from_slice(&length(members.len()));
            for (name, value) in members {
                key::encode_escaped(bytes, name.as_bytes());
                encode_json(bytes, value);
            }
        }
    }
}

/// Bytes in characters of six bits, the last filled up with zeros: keys of different lengths differ before it.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let six = word >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::{Row, arbitrary};

    fn before(a: &Row, b: &Row, order: &[(bool, bool)]) -> Ordering {
        for ((a, b), (descending, nulls_first)) in a.iter().zip(b.iter()).zip(order) {
            let compared = match (a.is_null(), b.is_null()) {
                (true, true) => Ordering::Equal,
                (true, false) if *nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if *nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if *descending => b.cmp(a),
                (false, false) => a.cmp(b),
            };
            if compared.is_ne() {
                return compared;
            }
        }
        Ordering::Equal
    }

    proptest! {
        #[test]
        fn keys_are_ordered_as_the_rows(
            (a, b) in arbitrary::row_pair(),
            order in proptest::collection::vec(any::<(bool, bool)>(), 3),
        ) {
            let key = |row: &Row| {
                let sorted = row.iter().zip(&order).map(|(value, (descending, nulls_first))| Sorted {
                    value,
                    descending: *descending,
                    nulls_first: *nulls_first,
                });
                order_key(sorted)
            };
            prop_assert_eq!(key(&a).cmp(&key(&b)), before(&a, &b, &order), "{:?} {:?} {:?}", a, b, order);
        }
    }

    #[test]
    fn documents_that_are_nearly_equal_are_told_apart() {
        let sorted = [
            "[]",
            "null",
            "\"\"",
            "\"a\"",
            "\"ab\"",
            "-1",
            "0",
            "0.5",
            "10",
            "false",
            "true",
            "[null]",
            "[1]",
            "[[]]",
            "[1, 1]",
            "{}",
            r#"{"bb": 1}"#,
            r#"{"c": 1}"#,
            r#"{"c": 2}"#,
            r#"{"a": 1, "b": 1}"#,
        ];
        let key = |text: &str| {
            let value = crate::text_format::parse_text(text, &crate::DataType::Jsonb).unwrap();
            order_key([Sorted { value: &value, descending: false, nulls_first: false }])
        };
        for pair in sorted.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{pair:?}");
        }
    }
}

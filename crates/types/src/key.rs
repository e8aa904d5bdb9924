//! The key codec: rows as bytes whose order is the order of the values.
//!
//! Invariant: for two keys of the same column types, `encode(a) < encode(b)` as bytes exactly when `a < b`
//! as rows, and equal keys have equal bytes; no key is a prefix of another of the same types. This is what
//! makes a key-value store an ordered table. Each value opens with a tag, so NULL sorts last and bytes can
//! be read back.

use crate::{Numeric, Row, Text, Value, codec::DecodeError};

const END: u8 = 0x00;
const FALSE: u8 = 0x10;
const TRUE: u8 = 0x11;
const INTEGER: u8 = 0x20;
const DOUBLE: u8 = 0x21;
const NUMERIC: u8 = 0x22;
const TEXT: u8 = 0x30;
const UUID: u8 = 0x38;
const DATE: u8 = 0x40;
const TIMESTAMP: u8 = 0x41;
const ARRAY: u8 = 0x50;
const NULL: u8 = 0xf0;

/// Appends the key of the values to `bytes`. The values' types must be keys ([`crate::DataType::is_key`]).
///
/// ```
/// use deltaic_types::{Row, Value, key};
/// let low = key::encode(&[Value::Integer(-5), Value::from("b")]);
/// let high = key::encode(&[Value::Integer(3), Value::from("a")]);
/// assert!(low < high);
/// assert_eq!(key::decode(&low).unwrap(), Row::from_iter([Value::Integer(-5), Value::from("b")]));
/// ```
pub fn encode_into(bytes: &mut Vec<u8>, values: &[Value]) {
    for value in values {
        encode_value(bytes, value);
    }
}

/// The key of the values, as bytes of their own.
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 9);
    encode_into(&mut bytes, values);
    bytes
}

pub(crate) fn encode_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Boolean(b) => bytes.push(if *b { TRUE } else { FALSE }),
        Value::Integer(n) => {
            bytes.push(INTEGER);
            bytes.extend_from_slice(&flip(*n));
        }
        Value::Double(x) => {
            bytes.push(DOUBLE);
            let bits = x.get().to_bits();
            let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            bytes.extend_from_slice(&ordered.to_be_bytes());
        }
        Value::Numeric(n) => {
            bytes.push(NUMERIC);
            encode_numeric(bytes, n);
        }
        Value::Text(text) => {
            bytes.push(TEXT);
            encode_escaped(bytes, text.as_bytes());
        }
        Value::Uuid(uuid) => {
            bytes.push(UUID);
            bytes.extend_from_slice(uuid.as_bytes());
        }
        Value::Date(days) => {
            bytes.push(DATE);
            bytes.extend_from_slice(&flip(i64::from(*days)));
        }
        Value::Timestamp(micros) => {
            bytes.push(TIMESTAMP);
            bytes.extend_from_slice(&flip(*micros));
        }
        Value::Array(items) => {
            bytes.push(ARRAY);
            for item in items.iter() {
                encode_value(bytes, item);
            }
            bytes.push(END);
        }
        Value::Null => bytes.push(NULL),
        Value::Interval(_) | Value::Json(_) => {
            unreachable!("invariant: a table's keys have key types, which its definition checked")
        }
    }
}

fn flip(n: i64) -> [u8; 8] {
    ((n as u64) ^ (1 << 63)).to_be_bytes()
}

/// Bytes with 0x00 as 0x00 0xff, closed by 0x00 0x00: order is kept, and the end is found.
pub(crate) fn encode_escaped(bytes: &mut Vec<u8>, content: &[u8]) {
    for &byte in content {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xff);
        }
    }
    bytes.extend_from_slice(&[0, 0]);
}

/// Sign, then the decimal exponent, then the digits; all turned round for negative numbers.
pub(crate) fn encode_numeric(bytes: &mut Vec<u8>, n: &Numeric) {
    let (digits, scale) = n.as_decimal().as_bigint_and_exponent();
    let text = digits.magnitude().to_string();
    if text == "0" {
        bytes.push(0x80);
        return;
    }
    let negative = n < &Numeric::from(0_i64);
    bytes.push(if negative { 0x40 } else { 0xc0 });
    let start = bytes.len();
    let exponent = text.len() as i64 - scale;
    bytes.extend_from_slice(&flip(exponent));
    bytes.extend_from_slice(text.trim_end_matches('0').as_bytes());
    bytes.push(0);
    if negative {
        for byte in &mut bytes[start..] {
            *byte = !*byte;
        }
    }
}

/// Reads a key back; the bytes may come from anywhere.
pub fn decode(bytes: &[u8]) -> Result<Row, DecodeError> {
    let mut reader = Reader { rest: bytes, depth: 0 };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value()?);
    }
    Ok(Row::from(values))
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn integer(&mut self) -> Result<i64, DecodeError> {
        Ok((u64::from_be_bytes(self.take()?) ^ (1 << 63)) as i64)
    }

    fn value(&mut self) -> Result<Value, DecodeError> {
        let [tag] = self.take()?;
        Ok(match tag {
            FALSE => Value::Boolean(false),
            TRUE => Value::Boolean(true),
            INTEGER => Value::Integer(self.integer()?),
            DOUBLE => {
                let ordered = u64::from_be_bytes(self.take()?);
                let bits = if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered };
                Value::double(f64::from_bits(bits))
            }
            NUMERIC => Value::numeric(self.numeric()?),
            TEXT => Value::Text(self.text()?),
            UUID => Value::uuid(uuid::Uuid::from_bytes(self.take()?)),
            DATE => Value::Date(i32::try_from(self.integer()?).map_err(|_| DecodeError::Invalid("date"))?),
            TIMESTAMP => Value::Timestamp(self.integer()?),
            ARRAY => {
                self.depth += 1;
                if self.depth > crate::limits::NESTING {
                    return Err(DecodeError::TooDeep);
                }
                let mut items = Vec::new();
                while self.rest.first() != Some(&END) {
                    items.push(self.value()?);
                }
                self.take::<1>()?;
                self.depth -= 1;
                Value::array(items)
            }
            NULL => Value::Null,
            other => return Err(DecodeError::UnknownTag(other)),
        })
    }

    fn text(&mut self) -> Result<Text, DecodeError> {
        let mut content = Vec::new();
        loop {
            let [byte] = self.take()?;
            if byte != 0 {
                content.push(byte);
                continue;
            }
            match self.take()? {
                [0] => break,
                [0xff] => content.push(0),
                _ => return Err(DecodeError::Invalid("text")),
            }
        }
        let text = std::str::from_utf8(&content).map_err(|_| DecodeError::Invalid("text"))?;
        Ok(Text::from(text))
    }

    fn numeric(&mut self) -> Result<Numeric, DecodeError> {
        let invalid = DecodeError::Invalid("numeric");
        let [sign] = self.take()?;
        let mask = match sign {
            0x80 => return Ok(Numeric::from(0_i64)),
            0xc0 => 0x00,
            0x40 => 0xff,
            _ => return Err(invalid),
        };
        let exponent: [u8; 8] = self.take()?;
        let exponent = (u64::from_be_bytes(exponent.map(|byte| byte ^ mask)) ^ (1 << 63)) as i64;
        let end = self.rest.iter().position(|&byte| byte ^ mask == 0).ok_or(DecodeError::Truncated)?;
        let digits: String = self.rest[..end].iter().map(|&byte| char::from(byte ^ mask)).collect();
        self.rest = &self.rest[end + 1..];
        let power = exponent.checked_sub(digits.len() as i64).ok_or_else(|| invalid.clone())?;
        let sign = if mask == 0 { "" } else { "-" };
        format!("{sign}{digits}e{power}").parse().map_err(|_| invalid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::key_pair;

    proptest! {
        #[test]
        fn bytes_are_ordered_as_the_values((a, b) in key_pair()) {
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b), "{:?} {:?}", a, b);
        }

        #[test]
        fn any_bytes_of_text_are_ordered(a in "[a\u{0}\u{1}]{0,4}", b in "[a\u{0}\u{1}]{0,4}") {
            let key = |text: &str| encode(&[Value::from(text), Value::Integer(1)]);
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            prop_assert_eq!(&decode(&key(&a)).unwrap()[0], &Value::from(a));
        }

        #[test]
        fn a_key_reads_back((a, _) in key_pair()) {
            prop_assert_eq!(decode(&encode(&a)).unwrap(), a);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(row) = decode(&bytes) {
                let _ = row.len();
            }
        }
    }
}

//! The canonical encoding of values: what rows on disk and messages on the wire are made of.
//!
//! Invariant: equal values have equal bytes, decoding what was encoded gives the value back, and decoding
//! foreign bytes gives a value or an error, never a panic and never more memory than the bytes deserve.
//! A value is a tag and its payload; lengths and whole numbers are LEB128 (zigzag where signed).

use thiserror::Error;

use crate::{Interval, Json, Numeric, Row, Text, Value, limits};

/// Bytes that are not what they should be: a damaged or foreign file, or a hostile peer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("the bytes end in the middle of a value")]
    Truncated,
    /// No value starts with this tag.
    #[error("unknown tag {0:#04x}: written by a newer version, or damaged")]
    UnknownTag(u8),
    /// A payload that is no value of its type.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// A length beyond the limits.
    #[error("{length} bytes or items are over the limit of {limit}")]
    TooLong {
        /// The length that is claimed.
        length: u64,
        /// The most that is allowed.
        limit: usize,
    },
    /// Nested beyond [`limits::NESTING`].
    #[error("nested too deep")]
    TooDeep,
}

/// Appends a whole number in LEB128.
pub fn write_u64(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// Appends a signed number, zigzag.
pub fn write_i64(bytes: &mut Vec<u8>, n: i64) {
    write_u64(bytes, ((n << 1) ^ (n >> 63)) as u64);
}

/// Appends a length and the bytes.
pub fn write_bytes(bytes: &mut Vec<u8>, content: &[u8]) {
    write_u64(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

/// Appends a value.
pub fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0),
        Value::Boolean(false) => bytes.push(1),
        Value::Boolean(true) => bytes.push(2),
        Value::Integer(n) => {
            bytes.push(3);
            write_i64(bytes, *n);
        }
        Value::Double(x) => {
            bytes.push(4);
            bytes.extend_from_slice(&x.get().to_bits().to_le_bytes());
        }
        Value::Numeric(n) => {
            bytes.push(5);
            let (digits, scale) = n.as_decimal().as_bigint_and_exponent();
            write_i64(bytes, scale);
            write_bytes(bytes, &digits.to_signed_bytes_le());
        }
        Value::Text(text) => {
            bytes.push(6);
            write_bytes(bytes, text.as_bytes());
        }
        Value::Uuid(uuid) => {
            bytes.push(7);
            bytes.extend_from_slice(uuid.as_bytes());
        }
        Value::Date(days) => {
            bytes.push(8);
            write_i64(bytes, i64::from(*days));
        }
        Value::Timestamp(micros) => {
            bytes.push(9);
            write_i64(bytes, *micros);
        }
        Value::Interval(interval) => {
            bytes.push(10);
            write_i64(bytes, i64::from(interval.months));
            write_i64(bytes, i64::from(interval.days));
            write_i64(bytes, interval.micros);
        }
        Value::Json(json) => {
            bytes.push(11);
            write_bytes(bytes, json.to_string().as_bytes());
        }
        Value::Array(items) => {
            bytes.push(12);
            write_u64(bytes, items.len() as u64);
            for item in items.iter() {
                write_value(bytes, item);
            }
        }
    }
}

/// Appends a row: the number of its values, then the values.
pub fn write_row(bytes: &mut Vec<u8>, row: &[Value]) {
    write_u64(bytes, row.len() as u64);
    for value in row {
        write_value(bytes, value);
    }
}

/// Reads what the functions of this module wrote, from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of the bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading; an error if bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Invalid("length: bytes are left over")) }
    }

    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A whole number.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            n |= part << shift;
            if byte < 0x80 {
                // One number, one encoding: no padding with empty groups.
                let padded = byte == 0 && shift > 0;
                return if padded { Err(DecodeError::Invalid("number")) } else { Ok(n) };
            }
        }
        Err(DecodeError::Invalid("number"))
    }

    /// A signed number.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        let n = self.u64()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// A length, not over `limit`, and not over what the bytes left could hold.
    pub fn length(&mut self, limit: usize) -> Result<usize, DecodeError> {
        let length = self.u64()?;
        if length > limit as u64 {
            return Err(DecodeError::TooLong { length, limit });
        }
        if length > self.rest.len() as u64 {
            return Err(DecodeError::Truncated);
        }
        Ok(length as usize)
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, limit: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(limit)?;
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(head)
    }

    /// A string behind its length.
    pub fn str(&mut self, limit: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(limit)?).map_err(|_| DecodeError::Invalid("text"))
    }

    /// A value.
    pub fn value(&mut self) -> Result<Value, DecodeError> {
        self.value_at(0)
    }

    /// A row.
    pub fn row(&mut self) -> Result<Row, DecodeError> {
        let length = self.length(limits::COLUMNS)?;
        let values: Result<Vec<Value>, DecodeError> = (0..length).map(|_| self.value()).collect();
        Ok(Row::from(values?))
    }

    fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        i32::try_from(self.i64()?).map_err(|_| DecodeError::Invalid(what))
    }

    fn value_at(&mut self, depth: usize) -> Result<Value, DecodeError> {
        if depth > limits::NESTING {
            return Err(DecodeError::TooDeep);
        }
        let [tag] = self.take()?;
        Ok(match tag {
            0 => Value::Null,
            1 => Value::Boolean(false),
            2 => Value::Boolean(true),
            3 => Value::Integer(self.i64()?),
            4 => Value::double(f64::from_bits(u64::from_le_bytes(self.take()?))),
            5 => {
                let scale = self.i64()?;
                let digits = self.bytes(limits::VALUE_BYTES)?;
                // Whole numbers are written with all their digits: few bytes do not stand for many.
                if !(0..=limits::NUMERIC_DIGITS as i64).contains(&scale) || digits.len() > 8192 {
                    return Err(DecodeError::Invalid("numeric"));
                }
                let digits = bigdecimal::num_bigint::BigInt::from_signed_bytes_le(digits);
                let value = bigdecimal::BigDecimal::new(digits, scale);
                Value::numeric(Numeric::new(&value).map_err(|_| DecodeError::Invalid("numeric"))?)
            }
            6 => Value::Text(Text::from(self.str(limits::VALUE_BYTES)?)),
            7 => Value::uuid(uuid::Uuid::from_bytes(self.take()?)),
            8 => Value::Date(self.i32("date")?),
            9 => Value::Timestamp(self.i64()?),
            10 => Value::interval(Interval {
                months: self.i32("interval")?,
                days: self.i32("interval")?,
                micros: self.i64()?,
            }),
            11 => {
                let text = self.str(limits::VALUE_BYTES)?;
                Value::json(Json::parse(text).map_err(|_| DecodeError::Invalid("jsonb"))?)
            }
            12 => {
                let length = self.length(limits::VALUE_BYTES)?;
                let items: Result<Vec<Value>, DecodeError> =
                    (0..length).map(|_| self.value_at(depth + 1)).collect();
                Value::array(items?)
            }
            other => return Err(DecodeError::UnknownTag(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::typed_value;

    proptest! {
        #[test]
        fn a_value_comes_back_and_equal_ones_have_equal_bytes((_, value) in typed_value()) {
            let mut bytes = Vec::new();
            write_value(&mut bytes, &value);
            let mut reader = Reader::new(&bytes);
            let back = reader.value().unwrap();
            reader.finish().unwrap();
            prop_assert_eq!(&back, &value);
            let mut again = Vec::new();
            write_value(&mut again, &back);
            prop_assert_eq!(again, bytes);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while let Ok(value) = reader.value() {
                let _ = value.heap_bytes();
                if reader.is_empty() { break; }
            }
        }

        #[test]
        fn a_cut_is_found((_, value) in typed_value(), cut in 0_usize..64) {
            let mut bytes = Vec::new();
            write_value(&mut bytes, &value);
            if cut < bytes.len() {
                let mut reader = Reader::new(&bytes[..cut]);
                prop_assert!(reader.value().is_err());
            }
        }
    }

    #[test]
    fn each_error_has_its_bytes() {
        let read = |bytes: &[u8]| Reader::new(bytes).value().unwrap_err();
        assert_eq!(read(&[]), DecodeError::Truncated);
        assert_eq!(read(&[99]), DecodeError::UnknownTag(99));
        assert_eq!(read(&[6, 1, 0xff]), DecodeError::Invalid("text"));
        assert_eq!(read(&[3, 0x80, 0]), DecodeError::Invalid("number"));
        assert!(matches!(read(&[6, 0xff, 0xff, 0xff, 0x7f]), DecodeError::TooLong { .. }));
        assert_eq!(read(&[12, 1].repeat(200)), DecodeError::TooDeep);
        let mut reader = Reader::new(&[0, 0]);
        reader.value().unwrap();
        assert!(reader.finish().is_err());
    }

    /// A number with all its zeros is what is written; few bytes that stand for thousands of digits are nobody's.
    #[test]
    fn a_numeric_with_an_exponent_is_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).value();
        let mut bytes = Vec::new();
        write_value(&mut bytes, &Value::numeric("1e9".parse().unwrap()));
        assert_eq!(read(&bytes), Ok(Value::numeric("1000000000".parse().unwrap())));
        bytes = vec![5];
        write_i64(&mut bytes, -9_000);
        bytes.extend([1, 1]);
        assert_eq!(read(&bytes), Err(DecodeError::Invalid("numeric")));
    }
}

//! [`Word`]: a number of the ledger as PostgreSQL's `numeric`.
//!
//! Invariant: every `u64` comes back as it went; anything else that a `numeric` can be is an error.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// The digits of a `numeric` are those of this base.
const BASE: u64 = 10_000;
/// As many of them as the largest word has.
const DIGITS: usize = 5;

/// An unsigned word of 64 bits. `bigint` has no room for the upper half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl ToSql for Word {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let mut digits = [0_u16; DIGITS];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            *digit = (rest % BASE) as u16;
            rest /= BASE;
        }
        let first = digits.iter().position(|digit| *digit != 0).unwrap_or(DIGITS);
        let digits = &digits[first..];
        // The weight is the power of the first digit.
        for header in [digits.len() as u16, digits.len().saturating_sub(1) as u16, 0, 0] {
            out.put_u16(header);
        }
        for digit in digits {
            out.put_u16(*digit);
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Word {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        read(raw).map(Self).ok_or_else(|| "a number that is no unsigned word of 64 bits".into())
    }

    accepts!(NUMERIC);
}

fn read(raw: &[u8]) -> Option<u64> {
    let mut words = raw.chunks(2).map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
    let [count, weight, sign, _scale] = [words.next()??, words.next()??, words.next()??, words.next()??];
    let powers = usize::from(weight) + 1;
    if count == 0 {
        return (sign == 0 && words.next().is_none()).then_some(0);
    }
    // Trailing zeros are left out; a digit beyond the first power would be a fraction.
    if sign != 0 || powers > DIGITS || usize::from(count) > powers {
        return None;
    }
    let mut number: u64 = 0;
    for place in 0..powers {
        let digit = if place < usize::from(count) { words.next()?? } else { 0 };
        number = number.checked_mul(BASE)?.checked_add(u64::from(digit))?;
    }
    words.next().is_none().then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(word: u64) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        Word(word).to_sql(&Type::NUMERIC, &mut bytes).unwrap();
        bytes.to_vec()
    }

    proptest! {
        #[test]
        fn a_word_comes_back(word: u64, power in 0_u32..20) {
            for word in [word, word % 10_u64.pow(power), 10_u64.pow(power)] {
                prop_assert_eq!(read(&written(word)), Some(word));
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn the_ends_come_back_and_what_is_no_word_is_an_error() {
        for word in [0, 1, 9_999, 10_000, u64::MAX - 1, u64::MAX] {
            assert_eq!(read(&written(word)), Some(word));
        }
        // Trailing zeros may be left out, as the server does: 50000 is 5 at the first power.
        assert_eq!(read(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 5]), Some(50_000));
        let negative = [0, 1, 0, 0, 0x40, 0, 0, 0, 0, 5];
        let half = [0, 1, 0xff, 0xff, 0, 0, 0, 1, 0x13, 0x88];
        let not_a_number = [0, 0, 0, 0, 0xc0, 0, 0, 0];
        let fraction = [0, 2, 0, 0, 0, 0, 0, 1, 0, 5, 0x13, 0x88];
        let too_large = [0, 5, 0, 4, 0, 0, 0, 0, 0x26, 0x48, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&too_large), None);
        for bytes in [&negative[..], &half, &not_a_number, &fraction, &[], &[0; 7], &[0; 9]] {
            assert_eq!(read(bytes), None, "{bytes:?}");
        }
    }
}

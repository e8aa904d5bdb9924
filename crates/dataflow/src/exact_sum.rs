//! [`ExactSum`]: a sum of doubles that is exact, so that taking a number out undoes putting it in.
//!
//! Every finite double is a whole number times 2^-1074. The sum is that whole number, kept in digits of 32
//! bits with room for carries, over only the range of digits that occurs; it is rounded once, to the nearest
//! double, when it is read. Infinities and NaNs are counted. So a live sum equals a fresh one to the bit, in
//! whatever order the numbers came (compare Neal, "Fast exact summation using small and large
//! superaccumulators", 2015).

use bigdecimal::num_bigint::BigInt;

/// A sum of doubles under insertion and retraction.
///
/// ```
/// use deltaic_dataflow::ExactSum;
/// let mut sum = ExactSum::default();
/// for x in [1e16, 1.0, -1e16] {
///     sum.add(x, 1);
/// }
/// assert_eq!(sum.value(), 1.0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    /// Digits of 32 bits, least first; each may exceed its range until carries are settled.
    digits: Vec<i64>,
    /// The place of the first digit: digit `i` counts 2^(32 * (low + i) - 1074).
    low: usize,
    /// Additions since carries were last settled.
    pending: u32,
    nan: i64,
    positive_infinity: i64,
    negative_infinity: i64,
}

/// Additions of up to 2^32 times a small weight that a 64-bit digit bears before its carry must go.
const CARRY_EVERY: u32 = 1 << 20;

impl ExactSum {
    /// Adds a number `weight` times; a negative weight takes it out.
    pub fn add(&mut self, x: f64, weight: i64) {
        if x.is_nan() {
            self.nan += weight;
        } else if x == f64::INFINITY {
            self.positive_infinity += weight;
        } else if x == f64::NEG_INFINITY {
            self.negative_infinity += weight;
        } else if x != 0.0 {
            // A large weight is added in parts that a digit bears.
            let mut left = weight;
            while left != 0 {
                let part = left.clamp(-(1 << 10), 1 << 10);
                self.add_finite(x, part);
                left -= part;
            }
        }
    }

    fn add_finite(&mut self, x: f64, weight: i64) {
        let (mantissa, shift) = parts(x);
        self.add_bits(mantissa, shift, if x < 0.0 { -weight } else { weight });
    }

    /// Adds the square of a number `weight` times, exactly. Such a sum counts in units of 2^-2148 and is read
    /// by [`ExactSum::units`]; what is not finite is left to the sum of the numbers themselves.
    pub(crate) fn add_square(&mut self, x: f64, weight: i64) {
        if !x.is_finite() || x == 0.0 {
            return;
        }
        let (mantissa, shift) = parts(x);
        let (high, low) = (mantissa >> 27, mantissa & ((1 << 27) - 1));
        let mut left = weight;
        while left != 0 {
            let part = left.clamp(-(1 << 10), 1 << 10);
            self.add_bits(high * high, 2 * shift + 54, part);
            self.add_bits(2 * high * low, 2 * shift + 27, part);
            self.add_bits(low * low, 2 * shift, part);
            left -= part;
        }
    }

    /// The sum in its units: 2^-1074 of numbers, 2^-2148 of squares.
    pub(crate) fn units(&self) -> BigInt {
        let mut whole = BigInt::from(0);
        for digit in self.digits.iter().rev() {
            whole = (whole << 32) + digit;
        }
        whole << (32 * self.low)
    }

    /// Whether a NaN is among the numbers.
    pub(crate) fn has_nan(&self) -> bool {
        self.nan != 0
    }

    /// Adds up to 55 bits that stand `shift` bits above the unit.
    fn add_bits(&mut self, mantissa: u64, shift: usize, signed: i64) {
        let place = shift / 32;
        let wide = u128::from(mantissa) << (shift % 32);
        self.make_room(place, place + 3);
        for step in 0..3 {
            let digit = (wide >> (32 * step)) as u32;
            self.digits[place - self.low + step] += i64::from(digit) * signed;
        }
        self.pending += 1;
        if self.pending >= CARRY_EVERY {
            self.settle();
        }
    }

    fn make_room(&mut self, from: usize, to: usize) {
        if self.digits.is_empty() {
            self.low = from;
        }
        if from < self.low {
            let more = self.low - from;
            self.digits.splice(0..0, std::iter::repeat_n(0, more));
            self.low = from;
        }
        if self.low + self.digits.len() < to {
            self.digits.resize(to - self.low, 0);
        }
    }

    /// Brings every digit but the last into 0..2^32; the last bears the sign.
    fn settle(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits {
            let sum = *digit + carry;
            *digit = sum & 0xffff_ffff;
            carry = sum >> 32;
        }
        if carry != 0 {
            // A negative sum ends in a digit of minus one, which is folded back into its neighbour next time.
            self.digits.push(carry);
        }
        while let [.., below, -1] = self.digits[..] {
            if below < 1 << 31 {
                break;
            }
            self.digits.pop();
            *self.digits.last_mut().expect("invariant: a digit is below") = below - (1 << 32);
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self.pending = 0;
    }

    /// The sum, rounded once to the nearest double, ties to even.
    pub fn value(&self) -> f64 {
        if self.nan != 0 || (self.positive_infinity != 0 && self.negative_infinity != 0) {
            return f64::NAN;
        }
        if self.positive_infinity != 0 {
            return f64::INFINITY;
        }
        if self.negative_infinity != 0 {
            return f64::NEG_INFINITY;
        }
        let mut settled = self.clone();
        settled.settle();
        let negative = settled.digits.last().is_some_and(|digit| *digit < 0);
        if negative {
            for digit in &mut settled.digits {
                *digit = -*digit;
            }
            settled.settle();
        }
        let magnitude = settled.magnitude();
        if negative { -magnitude } else { magnitude }
    }

    /// The double nearest to settled digits that are not negative.
    fn magnitude(&self) -> f64 {
        let Some(&top) = self.digits.last() else { return 0.0 };
        let place_of_top = (self.low + self.digits.len() - 1) * 32;
        let top_bit = place_of_top + (63 - top.leading_zeros() as usize);
        // The bits from `unit` up are kept: 53 of them, fewer where the number is subnormal.
        let unit = top_bit.saturating_sub(52);
        let mut mantissa = 0_u64;
        for bit in (unit..=top_bit).rev() {
            mantissa = mantissa << 1 | u64::from(self.bit(bit));
        }
        let half = unit > 0 && self.bit(unit - 1);
        if half && (mantissa & 1 == 1 || self.any_below(unit - 1)) {
            mantissa += 1;
        }
        // Subnormal where unit is 0 and the 53rd bit is clear; the formula is the same: mantissa * 2^(unit-1074).
        let mut exponent = unit;
        if mantissa == 1 << 53 {
            mantissa >>= 1;
            exponent += 1;
        }
        if mantissa < 1 << 52 {
            return f64::from_bits(mantissa);
        }
        let biased = exponent as u64 + 1;
        if biased >= 0x7ff {
            return f64::INFINITY;
        }
        f64::from_bits(biased << 52 | (mantissa & ((1 << 52) - 1)))
    }

    fn bit(&self, place: usize) -> bool {
        let digit = place / 32;
        digit >= self.low
            && self.digits.get(digit - self.low).is_some_and(|digit| digit >> (place % 32) & 1 == 1)
    }

    fn any_below(&self, place: usize) -> bool {
        let digit = place / 32;
        self.digits.iter().enumerate().any(|(at, &value)| match (self.low + at).cmp(&digit) {
            std::cmp::Ordering::Less => value != 0,
            std::cmp::Ordering::Equal => value & ((1 << (place % 32)) - 1) != 0,
            std::cmp::Ordering::Greater => false,
        })
    }

    /// Whether an infinity is among the numbers.
    pub fn has_infinity(&self) -> bool {
        self.positive_infinity != 0 || self.negative_infinity != 0
    }

    /// Bytes held beyond the value itself.
    pub fn heap_bytes(&self) -> usize {
        self.digits.capacity() * 8
    }
}

/// The whole number that a finite double is, without its sign, and the bits it stands above 2^-1074.
fn parts(x: f64) -> (u64, usize) {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as usize;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn double() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>(),
            (-100_i32..100, -60_i32..60).prop_map(|(m, e)| f64::from(m) * 2_f64.powi(e)),
            (any::<i64>()).prop_map(|n| n as f64 / 8.0),
            (0_u64..9).prop_map(f64::from_bits),
        ]
    }

    proptest! {
        #[test]
        fn one_number_is_itself(x in double()) {
            let mut sum = ExactSum::default();
            sum.add(x, 1);
            let expected = if x.is_nan() { f64::NAN } else { x + 0.0 };
            prop_assert_eq!(sum.value().to_bits(), expected.to_bits());
        }

        #[test]
        fn two_numbers_round_as_the_processor_does(a in double(), b in double()) {
            let mut sum = ExactSum::default();
            sum.add(a, 1);
            sum.add(b, 1);
            let expected = a + b;
            let same = (sum.value() + 0.0).to_bits() == (expected + 0.0).to_bits();
            prop_assert!(same || expected.is_nan() && sum.value().is_nan(),
                "{a:e} + {b:e} = {expected:e}, not {:e}", sum.value());
        }

        #[test]
        fn what_goes_in_and_out_leaves_no_trace(
            kept in proptest::collection::vec((double(), 1_i64..5000), 0..8),
            passing in proptest::collection::vec(double(), 0..8),
        ) {
            let mut sum = ExactSum::default();
            let mut fresh = ExactSum::default();
            for x in &passing { sum.add(*x, 1); }
            for (x, weight) in &kept { sum.add(*x, *weight); }
            for x in &passing { sum.add(*x, -1); }
            for (x, weight) in kept.iter().rev() { fresh.add(*x, *weight); }
            let (live, fresh) = (sum.value(), fresh.value());
            prop_assert!(live.to_bits() == fresh.to_bits() || live.is_nan() && fresh.is_nan());
        }
    }
}

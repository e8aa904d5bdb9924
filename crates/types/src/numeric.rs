//! [`Numeric`]: exact decimal numbers of any length.
//!
//! Invariant: trailing zeros of the fraction are dropped, so equal numbers have equal digits and a Z-set
//! never holds `1.0` beside `1.00`. The scale that PostgreSQL would display belongs to a column's type
//! (`numeric(10,2)`), not to the value. `NaN` and the infinities of PostgreSQL's numeric are refused where
//! text is parsed.

use std::{fmt, hash, str::FromStr};

use bigdecimal::{BigDecimal, RoundingMode, Signed, ToPrimitive, Zero};

use crate::{eval_error::EvalError, limits, transcendental};

/// An exact decimal number.
///
/// ```
/// use deltaic_types::Numeric;
/// let price: Numeric = "19.90".parse().unwrap();
/// assert_eq!(price.to_string(), "19.9");
/// assert_eq!(price.to_string_scaled(2), "19.90");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Numeric(BigDecimal);

impl Numeric {
    /// A decimal number in its canonical form; an error beyond [`limits::NUMERIC_DIGITS`] digits.
    pub fn new(value: &BigDecimal) -> Result<Self, EvalError> {
        let value = value.normalized();
        let (digits, exponent) = value.as_bigint_and_exponent();
        let length = digits.bits() / 3 + exponent.unsigned_abs();
        if length > limits::NUMERIC_DIGITS {
            return Err(EvalError::NumericOutOfRange);
        }
        // Whole numbers are held with scale zero: one representation, and plain printing.
        Ok(Self(if exponent < 0 { value.with_scale(0) } else { value }))
    }

    /// The number as the arithmetic library holds it.
    pub fn as_decimal(&self) -> &BigDecimal {
        &self.0
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        // The library's own conversion rounds twice; printing and parsing is exact.
        self.0.to_scientific_notation().parse().unwrap_or(f64::NAN)
    }

    /// The whole number, if it is one and fits.
    pub fn to_i64_exact(&self) -> Option<i64> {
        if self.0.fractional_digit_count() > 0 { None } else { self.0.to_i64() }
    }

    /// Rounded half away from zero to `scale` digits after the point, as PostgreSQL's `round`.
    pub fn round(&self, scale: i64) -> Result<Self, EvalError> {
        Self::new(&self.0.with_scale_round(scale, RoundingMode::HalfUp))
    }

    /// The sum.
    pub fn add(&self, other: &Self) -> Result<Self, EvalError> {
        Self::new(&(&self.0 + &other.0))
    }

    /// The difference.
    pub fn sub(&self, other: &Self) -> Result<Self, EvalError> {
        Self::new(&(&self.0 - &other.0))
    }

    /// The product.
    pub fn mul(&self, other: &Self) -> Result<Self, EvalError> {
        Self::new(&(&self.0 * &other.0))
    }

    /// The quotient, rounded to the scale that PostgreSQL chooses: at least 16 significant digits, never
    /// fewer than either operand shows.
    pub fn div(&self, other: &Self) -> Result<Self, EvalError> {
        if other.0.is_zero() {
            return Err(EvalError::DivisionByZero);
        }
        let scale = division_scale(&self.0, &other.0);
        Self::new(&transcendental::quotient(&self.0, &other.0, scale))
    }

    /// The digits after the point that PostgreSQL gives a quotient.
    pub fn division_scale(&self, divisor: &Self) -> i64 {
        division_scale(&self.0, &divisor.0)
    }

    /// The square root, rounded to `scale` digits after the point.
    pub fn sqrt_rounded(&self, scale: i64) -> Result<Self, EvalError> {
        if self.0.is_negative() {
            let reason = "cannot take the square root of a negative number";
            return Err(EvalError::InvalidArgument { function: "sqrt", reason });
        }
        // One digit more than asked for decides how to round: a root is never in the middle unless it is exact.
        let scaled = self.0.with_scale(2 * (scale + 1)).into_bigint_and_scale().0;
        Self::new(&BigDecimal::new(scaled.sqrt(), scale + 1))?.round(scale)
    }

    /// The remainder of division truncated towards zero, with the dividend's sign.
    pub fn rem(&self, other: &Self) -> Result<Self, EvalError> {
        if other.0.is_zero() {
            return Err(EvalError::DivisionByZero);
        }
        Self::new(&(&self.0 % &other.0))
    }

    /// e raised to the number.
    pub fn exp(&self) -> Result<Self, EvalError> {
        Self::new(&transcendental::exp(&self.0)?)
    }

    /// The natural logarithm.
    pub fn ln(&self) -> Result<Self, EvalError> {
        Self::new(&transcendental::ln(&self.0)?)
    }

    /// The logarithm to a base.
    pub fn log(&self, base: &Self) -> Result<Self, EvalError> {
        Self::new(&transcendental::log(&base.0, &self.0)?)
    }

    /// The number raised to another.
    pub fn power(&self, exponent: &Self) -> Result<Self, EvalError> {
        Self::new(&transcendental::power(&self.0, &exponent.0)?)
    }

    /// The number with its sign turned.
    #[must_use]
    pub fn neg(&self) -> Self {
        Self(-&self.0)
    }

    /// Printed with exactly `scale` digits after the point.
    pub fn to_string_scaled(&self, scale: i64) -> String {
        self.0.with_scale_round(scale, RoundingMode::HalfUp).to_plain_string()
    }

    /// Bytes held outside the value itself.
    pub fn heap_bytes(&self) -> usize {
        48 + self.0.as_bigint_and_exponent().0.bits() as usize / 8
    }
}

/// PostgreSQL's `select_div_scale`, in its base of 10,000.
fn division_scale(a: &BigDecimal, b: &BigDecimal) -> i64 {
    let (weight_a, first_a) = leading_digit_group(a);
    let (weight_b, first_b) = leading_digit_group(b);
    let mut weight = weight_a - weight_b;
    if first_a <= first_b {
        weight -= 1;
    }
    let shown = a.fractional_digit_count().max(b.fractional_digit_count()).max(0);
    (16 - weight * 4).max(shown).clamp(0, 1000)
}

/// The exponent (base 10,000) and the value of a number's first non-zero digit group.
fn leading_digit_group(n: &BigDecimal) -> (i64, i64) {
    if n.is_zero() {
        return (0, 0);
    }
    let (digits, scale) = n.as_bigint_and_exponent();
    let text = digits.abs().to_string();
    let before_point = text.len() as i64 - scale;
    let weight = (before_point - 1).div_euclid(4);
    let take = before_point - weight * 4;
    let mut group: String = text.chars().take(take as usize).collect();
    while (group.len() as i64) < take {
        group.push('0');
    }
    (weight, group.parse().unwrap_or(0))
}

impl From<i64> for Numeric {
    fn from(n: i64) -> Self {
        Self(BigDecimal::from(n))
    }
}

impl From<i128> for Numeric {
    fn from(n: i128) -> Self {
        Self(BigDecimal::from(n).with_scale(0))
    }
}

impl TryFrom<f64> for Numeric {
    type Error = EvalError;

    /// The shortest decimal that reads back as the double, cut to 15 significant digits as PostgreSQL's
    /// cast from double precision does.
    fn try_from(x: f64) -> Result<Self, EvalError> {
        if !x.is_finite() {
            return Err(EvalError::NumericOutOfRange);
        }
        let text = format!("{x:.14e}");
        let value = BigDecimal::from_str(&text).map_err(|_| EvalError::NumericOutOfRange)?;
        Self::new(&value)
    }
}

impl FromStr for Numeric {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let trimmed = text.trim();
        let plain = !trimmed.is_empty()
            && trimmed.len() <= limits::NUMERIC_DIGITS as usize
            && trimmed.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        let exponent = trimmed.split_once(['e', 'E']).map_or(Ok(0), |(_, e)| e.parse::<i64>());
        match (plain, exponent) {
            (true, Ok(exponent)) if exponent.unsigned_abs() <= limits::NUMERIC_DIGITS => {
                let value =
                    BigDecimal::from_str(trimmed).map_err(|_| EvalError::invalid_text("numeric", text))?;
                Self::new(&value)
            }
            (true, Ok(_)) => Err(EvalError::NumericOutOfRange),
            _ => Err(EvalError::invalid_text("numeric", text)),
        }
    }
}

impl hash::Hash for Numeric {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_plain_string())
    }
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Numeric {
        text.parse().unwrap()
    }

    #[test]
    fn equal_numbers_have_equal_digits() {
        for (a, b) in [("1.0", "1.00"), ("100", "1e2"), ("0", "-0.000"), ("12.30", "12.3")] {
            assert_eq!(n(a), n(b));
            assert_eq!(n(a).to_string(), n(b).to_string());
        }
        assert_eq!(n("1e3").to_string(), "1000");
    }

    #[test]
    fn quotients_have_postgresqls_digits() {
        // select 1/3::numeric; 2/3; 10/4; 1e20/3; 1/7e10, trailing zeros dropped.
        for (a, b, q) in [
            ("1", "3", "0.33333333333333333333"),
            ("2", "3", "0.66666666666666666667"),
            ("10", "4", "2.5"),
            ("-1", "3", "-0.33333333333333333333"),
            ("100000000000000000000", "3", "33333333333333333333"),
            ("22", "7", "3.1428571428571429"),
        ] {
            assert_eq!(n(a).div(&n(b)).unwrap().to_string(), q, "{a} / {b}");
        }
    }

    #[test]
    fn division_by_zero_and_length_are_errors() {
        assert_eq!(n("1").div(&n("0")), Err(EvalError::DivisionByZero));
        assert_eq!(n("1").rem(&n("0")), Err(EvalError::DivisionByZero));
        assert_eq!("1e999999".parse::<Numeric>(), Err(EvalError::NumericOutOfRange));
        assert!(matches!("12a".parse::<Numeric>(), Err(EvalError::InvalidText { .. })));
        assert!(matches!("NaN".parse::<Numeric>(), Err(EvalError::InvalidText { .. })));
    }
}

//! Exponentials, logarithms and powers of decimal numbers, with the digits that PostgreSQL gives.
//!
//! Two things are kept apart. How many digits a result has, and to how many an intermediate logarithm is
//! rounded, follows PostgreSQL's rules, for they decide what is printed. How a digit is found is our own:
//! binary fixed point with a Taylor series for the exponential, and for the logarithm the exponential of a
//! guess in double precision and the series of the area tangent for what is left.
//!
//! Invariant: each result is the true value rounded half away from zero to its scale, but where the true
//! value lies within a billionth of a digit of the middle between two. What would work with more than
//! [`WORK_DIGITS`] digits is refused, which bounds a call to some milliseconds.

use bigdecimal::{
    BigDecimal, One, RoundingMode, Signed, ToPrimitive, Zero,
    num_bigint::{BigInt, Sign},
};

use crate::{EvalError, limits};

/// Significant digits that a result has at least, where its scale allows.
const SIGNIFICANT: i64 = 16;
/// The most digits after the point of a result.
const SCALE: i64 = 1_000;
/// The exponent of e from which a result is out of range, or zero.
const EXPONENT: f64 = 6_000.0;
/// The common logarithm of e, with the digits that the rules of scales use.
#[expect(clippy::approx_constant, reason = "another last digit could give a result another scale")]
const LOG_E: f64 = 0.434_294_481_903_252;
/// The most digits of an intermediate number of a series.
const WORK_DIGITS: i64 = 4_500;
/// Bits beyond those of the result, so that rounding errors do not reach it.
const GUARD: u64 = 48;

/// e raised to a number.
pub(crate) fn exp(x: &BigDecimal) -> Result<BigDecimal, EvalError> {
    let weight = (to_f64(x) * LOG_E).clamp(-2_000.0, 2_000.0) as i64;
    exp_rounded(x, (SIGNIFICANT - weight).max(shown(x)).clamp(0, SCALE))
}

/// The natural logarithm.
pub(crate) fn ln(x: &BigDecimal) -> Result<BigDecimal, EvalError> {
    ln_rounded(x, (SIGNIFICANT - ln_weight(x)).max(shown(x)).clamp(0, SCALE))
}

/// The logarithm to a base.
pub(crate) fn log(base: &BigDecimal, x: &BigDecimal) -> Result<BigDecimal, EvalError> {
    let (base_weight, x_weight) = (ln_weight(base), ln_weight(x));
    let weight = x_weight - base_weight;
    let scale = (SIGNIFICANT - weight).max(shown(base)).max(shown(x)).clamp(0, SCALE);
    let divisor = ln_rounded(base, (scale + weight - base_weight + 8).max(0))?;
    let dividend = ln_rounded(x, (scale + weight - x_weight + 8).max(0))?;
    if divisor.is_zero() {
        return Err(EvalError::DivisionByZero);
    }
    Ok(quotient(&dividend, &divisor, scale))
}

/// A number raised to a number.
pub(crate) fn power(base: &BigDecimal, exponent: &BigDecimal) -> Result<BigDecimal, EvalError> {
    let refuse = |reason| Err(EvalError::InvalidArgument { function: "power", reason });
    if base.is_zero() && exponent.is_negative() {
        return refuse("zero raised to a negative power is undefined");
    }
    let whole = shown(exponent) == 0;
    if let Some(times) = exponent.to_i32().filter(|_| whole) {
        return whole_power(base, times);
    }
    if base.is_zero() {
        return Ok(BigDecimal::zero());
    }
    if base.is_negative() && !whole {
        return refuse("a negative number raised to a power that is no integer is complex");
    }
    let negative = base.is_negative() && exponent.as_bigint_and_exponent().0.bit(0);
    let base = &base.abs();
    // A first look at the result's size decides the digits.
    let base_weight = ln_weight(base);
    let rough_scale = (8 - base_weight).max(0);
    let rough = to_f64(&rounded(&(ln_rounded(base, rough_scale)? * exponent), rough_scale));
    if rough.abs() > EXPONENT * 1.003_333_333_333_333_4 {
        return if rough > 0.0 { Err(EvalError::NumericOutOfRange) } else { Ok(BigDecimal::zero()) };
    }
    let weight = (rough * LOG_E) as i64;
    let scale = (SIGNIFICANT - weight).max(shown(base)).max(shown(exponent)).clamp(0, SCALE);
    let ln_scale = ((scale + weight).max(0) - base_weight + 8).max(0);
    let power = exp_rounded(&rounded(&(ln_rounded(base, ln_scale)? * exponent), ln_scale), scale)?;
    Ok(if negative { -power } else { power })
}

/// A number raised to a whole number by squaring.
fn whole_power(base: &BigDecimal, times: i32) -> Result<BigDecimal, EvalError> {
    let scale = SIGNIFICANT.max(shown(base)).min(SCALE);
    if times == 0 {
        return Ok(BigDecimal::one());
    }
    if base.is_zero() {
        return Ok(BigDecimal::zero());
    }
    let magnitude = base.abs();
    let weight = f64::from(times) * log10(&magnitude);
    if weight > limits::NUMERIC_DIGITS as f64 {
        return Err(EvalError::NumericOutOfRange);
    }
    if weight + 1.0 < -(scale as f64) {
        return Ok(BigDecimal::zero());
    }
    // Each product doubles the error of its factors: 32 bits for 31 squarings.
    let bits = bits_of((weight as i64 + scale + 2).max(0)) + 32 + GUARD;
    let mut square = Float::of(&magnitude, bits);
    let mut result = Float { mantissa: BigInt::one(), exponent: 0 };
    let mut rest = times.unsigned_abs();
    loop {
        if rest & 1 == 1 {
            result = result.times(&square, bits);
        }
        rest >>= 1;
        if rest == 0 {
            break;
        }
        square = square.times(&square, bits);
    }
    let result = if times < 0 { result.inverse(bits) } else { result };
    let result = result.to_decimal(scale);
    Ok(if base.is_negative() && times % 2 != 0 { -result } else { result })
}

/// e raised to a number, rounded to a scale.
fn exp_rounded(x: &BigDecimal, scale: i64) -> Result<BigDecimal, EvalError> {
    let value = to_f64(x);
    if value.abs() >= EXPONENT {
        return if value > 0.0 { Err(EvalError::NumericOutOfRange) } else { Ok(BigDecimal::zero()) };
    }
    let digits = ((value * LOG_E) as i64 + scale + 2).max(0);
    within_work(digits)?;
    let bits = bits_of(digits) + GUARD;
    let magnitude = fixed(&x.abs(), bits);
    let power = exp_float(&magnitude, bits);
    Ok(if x.is_negative() { power.inverse(bits) } else { power }.to_decimal(scale))
}

/// The natural logarithm rounded to a scale.
fn ln_rounded(x: &BigDecimal, scale: i64) -> Result<BigDecimal, EvalError> {
    let refuse = |reason| Err(EvalError::InvalidArgument { function: "ln", reason });
    if x.is_zero() {
        return refuse("cannot take the logarithm of zero");
    }
    if x.is_negative() {
        return refuse("cannot take the logarithm of a negative number");
    }
    within_work(scale)?;
    let bits = bits_of(scale) + GUARD;
    let value = ln_fixed(x, bits);
    let magnitude = Float { mantissa: value.abs(), exponent: -(bits as i64) }.to_decimal(scale);
    Ok(if value.is_negative() { -magnitude } else { magnitude })
}

fn within_work(digits: i64) -> Result<(), EvalError> {
    if digits > WORK_DIGITS { Err(EvalError::NumericOutOfRange) } else { Ok(()) }
}

/// The natural logarithm of a positive number, with so many bits after the point.
fn ln_fixed(x: &BigDecimal, bits: u64) -> BigInt {
    let rest = x - BigDecimal::one();
    if rest.is_zero() {
        return BigInt::zero();
    }
    // Near one a guess would lose what little there is.
    if decimal_weight(&rest) < -9 {
        let z = fixed_ratio(&rest, &(x + BigDecimal::one()), bits);
        return atanh_fixed(&z, bits) * 2;
    }
    let float = Float::of(x, bits + GUARD);
    let guess = float.ln_guess();
    let power = exp_float(&(BigInt::from(guess.unsigned_abs()) << (bits - GUESS_BITS)), bits);
    let ratio = float.times(&if guess < 0 { power } else { power.inverse(bits) }, bits + GUARD);
    let ratio = ratio.to_fixed(bits);
    let one = BigInt::one() << bits;
    let z = ((&ratio - &one) << bits) / (&ratio + &one);
    (BigInt::from(guess) << (bits - GUESS_BITS)) + atanh_fixed(&z, bits) * 2
}

/// The area tangent: z + z³/3 + z⁵/5 + …
fn atanh_fixed(z: &BigInt, bits: u64) -> BigInt {
    // Shifting a negative number never ends at zero.
    let magnitude = z.abs();
    let square: BigInt = (&magnitude * &magnitude) >> bits;
    let mut term = magnitude.clone();
    let mut sum = magnitude;
    let mut divisor = 1_u32;
    while !term.is_zero() {
        term = (term * &square) >> bits;
        divisor += 2;
        sum += &term / divisor;
    }
    if z.is_negative() { -sum } else { sum }
}

/// e raised to a number that is not negative and has so many bits after the point; as many bits of the
/// result are right.
fn exp_float(x: &BigInt, bits: u64) -> Float {
    // Halved until the series takes as many terms as there are squarings to undo it.
    let whole_bits = x.bits().saturating_sub(bits);
    let halvings = whole_bits + bits.isqrt() / 2 + 2;
    let work = bits + halvings + 16;
    let small: BigInt = (x << (work - bits)) >> halvings;
    let mut sum: BigInt = BigInt::one() << work;
    let mut term = sum.clone();
    let mut divisor = 0_u32;
    while !term.is_zero() {
        divisor += 1;
        term = ((term * &small) >> work) / divisor;
        sum += &term;
    }
    let mut power = Float { mantissa: sum, exponent: -(work as i64) };
    for _ in 0..halvings {
        power = power.times(&power, work);
    }
    power
}

/// The bits after the point of a guess of a logarithm.
const GUESS_BITS: u64 = 36;

/// A positive binary number.
struct Float {
    mantissa: BigInt,
    exponent: i64,
}

impl Float {
    /// A decimal number that is not negative, with so many bits.
    fn of(n: &BigDecimal, bits: u64) -> Self {
        let (digits, scale) = n.as_bigint_and_exponent();
        if scale <= 0 {
            return Self { mantissa: digits * ten_to(-scale), exponent: 0 }.cut(bits);
        }
        let divisor = ten_to(scale);
        let shift = (bits + divisor.bits() + 1).saturating_sub(digits.bits());
        Self { mantissa: (digits << shift) / divisor, exponent: -(shift as i64) }.cut(bits)
    }

    fn cut(self, bits: u64) -> Self {
        let surplus = self.mantissa.bits().saturating_sub(bits);
        Self { mantissa: self.mantissa >> surplus, exponent: self.exponent + surplus as i64 }
    }

    fn times(&self, other: &Self, bits: u64) -> Self {
        let mantissa = &self.mantissa * &other.mantissa;
        Self { mantissa, exponent: self.exponent + other.exponent }.cut(bits)
    }

    fn inverse(&self, bits: u64) -> Self {
        let shift = self.mantissa.bits() + bits;
        let mantissa = (BigInt::one() << shift) / &self.mantissa;
        Self { mantissa, exponent: -(shift as i64) - self.exponent }
    }

    /// The natural logarithm with [`GUESS_BITS`] bits after the point, the last of them wrong.
    fn ln_guess(&self) -> i64 {
        let surplus = self.mantissa.bits().saturating_sub(64);
        let leading = (&self.mantissa >> surplus).to_f64().unwrap_or(1.0);
        let ln = leading.ln() + (self.exponent + surplus as i64) as f64 * std::f64::consts::LN_2;
        (ln * (1_u64 << GUESS_BITS) as f64) as i64
    }

    fn to_fixed(&self, bits: u64) -> BigInt {
        let shift = self.exponent + bits as i64;
        if shift >= 0 { &self.mantissa << shift } else { &self.mantissa >> -shift }
    }

    /// Rounded half up to a scale.
    fn to_decimal(&self, scale: i64) -> BigDecimal {
        let scaled = &self.mantissa * ten_to(scale);
        let digits = match self.exponent {
            shift @ 0.. => scaled << shift,
            shift => (scaled + (BigInt::one() << (-shift - 1))) >> -shift,
        };
        BigDecimal::new(digits, scale)
    }
}

/// A quotient rounded half away from zero to a scale.
pub(crate) fn quotient(a: &BigDecimal, b: &BigDecimal, scale: i64) -> BigDecimal {
    // (a * 10^(scale + sb)) / (b * 10^sa)
    let (a, sa) = a.as_bigint_and_exponent();
    let (b, sb) = b.as_bigint_and_exponent();
    let shift = scale + sb - sa;
    let (dividend, divisor) = if shift >= 0 { (a * ten_to(shift), b) } else { (a, b * ten_to(-shift)) };
    let quotient: BigInt = &dividend / &divisor;
    let remainder: BigInt = &dividend % &divisor;
    let rounded = if remainder.abs() * 2 >= divisor.abs() {
        let negative = (dividend.sign() == Sign::Minus) != (divisor.sign() == Sign::Minus);
        if negative { quotient - 1 } else { quotient + 1 }
    } else {
        quotient
    };
    BigDecimal::new(rounded, scale)
}

/// The power of ten that the logarithm of a number has, as PostgreSQL estimates it: nearest to zero, and
/// that of the distance from one near one.
fn ln_weight(x: &BigDecimal) -> i64 {
    if !x.is_positive() {
        return 0;
    }
    let rest = x - BigDecimal::one();
    if rest.abs() <= BigDecimal::new(BigInt::one(), 1) {
        return if rest.is_zero() { 0 } else { decimal_weight(&rest) };
    }
    // The first two of PostgreSQL's groups of four digits.
    let (digits, scale) = x.as_bigint_and_exponent();
    let text = digits.to_string();
    let before_point = text.len() as i64 - scale;
    let first = (before_point - 1).rem_euclid(4) + 1;
    let stripped = text.trim_end_matches('0');
    let taken = if stripped.len() as i64 > first { first + 4 } else { first };
    let leading: f64 =
        format!("{stripped:0<width$}", width = taken as usize)[..taken as usize].parse().unwrap_or(1.0);
    let ln = leading.ln() + (before_point - taken) as f64 * std::f64::consts::LN_10;
    ln.abs().log10() as i64
}

/// The power of ten of the first digit.
fn decimal_weight(n: &BigDecimal) -> i64 {
    let (digits, scale) = n.as_bigint_and_exponent();
    digits.magnitude().to_string().len() as i64 - 1 - scale
}

/// The common logarithm of a positive number of any size.
fn log10(n: &BigDecimal) -> f64 {
    let (digits, scale) = n.as_bigint_and_exponent();
    let text = digits.to_string();
    let taken = text.len().min(17);
    let leading: f64 = text[..taken].parse().unwrap_or(1.0);
    leading.log10() + ((text.len() - taken) as i64 - scale) as f64
}

/// The digits after the point.
fn shown(n: &BigDecimal) -> i64 {
    n.fractional_digit_count().max(0)
}

fn rounded(n: &BigDecimal, scale: i64) -> BigDecimal {
    n.with_scale_round(scale, RoundingMode::HalfUp)
}

fn to_f64(n: &BigDecimal) -> f64 {
    n.to_scientific_notation().parse().unwrap_or(f64::NAN)
}

fn fixed(n: &BigDecimal, bits: u64) -> BigInt {
    let (digits, scale) = n.as_bigint_and_exponent();
    if scale <= 0 { (digits * ten_to(-scale)) << bits } else { (digits << bits) / ten_to(scale) }
}

fn fixed_ratio(a: &BigDecimal, b: &BigDecimal, bits: u64) -> BigInt {
    let (a, sa) = a.as_bigint_and_exponent();
    let (b, sb) = b.as_bigint_and_exponent();
    let shift = sb - sa;
    let (a, b) = if shift >= 0 { (a * ten_to(shift), b) } else { (a, b * ten_to(-shift)) };
    (a << bits) / b
}

/// The bits that hold so many digits.
fn bits_of(digits: i64) -> u64 {
    digits.unsigned_abs() * 3322 / 1000 + 1
}

fn ten_to(n: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(n).unwrap_or(0))
}

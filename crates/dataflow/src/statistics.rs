//! [`Moments`]: the state of variances and standard deviations, and [`Bits`], that of the bitwise aggregates.
//!
//! Invariant: both are functions of the multiset of arguments. The moments are the count, the sum and the sum
//! of the squares, in full: of decimals as decimals, of doubles as the whole numbers that they are multiples
//! of. So what cancels is exact, the variance of doubles is rounded once, and taking a number out undoes
//! putting it in. An addition costs O(1), a reading the length of the sums.

use bigdecimal::{
    BigDecimal, Signed, ToPrimitive, Zero,
    num_bigint::{BigInt, Sign},
};
use deltaic_types::{EvalError, Numeric, Value};

use crate::{exact_sum::ExactSum, zset::Weight};

/// What is made of the moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dispersion {
    /// Whether the arguments are doubles, and so the result.
    pub double: bool,
    /// Of a sample, so divided by one less than the count; else of the whole population.
    pub sample: bool,
    /// The standard deviation, which is the root of the variance.
    pub root: bool,
}

impl Dispersion {
    pub(crate) fn name(self) -> &'static str {
        match (self.root, self.sample) {
            (false, false) => "var_pop",
            (false, true) => "var_samp",
            (true, false) => "stddev_pop",
            (true, true) => "stddev_samp",
        }
    }
}

/// The count, the sum and the sum of squares of numbers.
#[derive(Debug, Clone)]
pub(crate) enum Moments {
    Decimal { count: Weight, sum: BigDecimal, squares: BigDecimal },
    Double { count: Weight, sum: ExactSum, squares: ExactSum },
}

impl Moments {
    pub(crate) fn new(double: bool) -> Self {
        if double {
            Self::Double { count: 0, sum: ExactSum::default(), squares: ExactSum::default() }
        } else {
            Self::Decimal { count: 0, sum: BigDecimal::zero(), squares: BigDecimal::zero() }
        }
    }

    /// Adds a number, which is not NULL, `weight` times.
    pub(crate) fn add(&mut self, value: &Value, weight: Weight) {
        let exact;
        match (self, value) {
            (Self::Double { count, sum, squares }, Value::Double(x)) => {
                *count += weight;
                sum.add(x.get(), weight);
                squares.add_square(x.get(), weight);
            }
            (Self::Decimal { count, sum, squares }, value) => {
                let number = match value {
                    Value::Integer(n) => {
                        exact = BigDecimal::from(*n);
                        &exact
                    }
                    Value::Numeric(n) => n.as_decimal(),
                    other => unreachable!("invariant: arguments have the function's type: {other:?}"),
                };
                *count += weight;
                *sum += number * BigDecimal::from(weight);
                *squares += number * number * BigDecimal::from(weight);
            }
            (_, value) => unreachable!("invariant: arguments have the function's type: {value:?}"),
        }
    }

    /// The variance or its root; NULL where the count is too small for it.
    pub(crate) fn value(&self, dispersion: Dispersion) -> Result<Value, EvalError> {
        let (Self::Decimal { count, .. } | Self::Double { count, .. }) = self;
        let less = i64::from(dispersion.sample);
        if *count <= less {
            return Ok(Value::Null);
        }
        // The variance is (count * squares - sum²) / divisor.
        let divisor = i128::from(*count) * i128::from(count - less);
        match self {
            Self::Decimal { sum, squares, .. } => {
                let numerator = squares * BigDecimal::from(*count) - sum * sum;
                if !numerator.is_positive() {
                    return Ok(Value::numeric(Numeric::from(0_i64)));
                }
                let (numerator, divisor) = (Numeric::new(&numerator)?, Numeric::from(divisor));
                let variance = numerator.div(&divisor)?;
                // PostgreSQL gives the root the digits that the variance was computed with.
                let scale = numerator.division_scale(&divisor);
                let result = if dispersion.root { variance.sqrt_rounded(scale)? } else { variance };
                Ok(Value::numeric(result))
            }
            Self::Double { sum, .. } if sum.has_nan() || sum.has_infinity() => Ok(Value::double(f64::NAN)),
            Self::Double { sum, squares, .. } => {
                let of_numbers = sum.units();
                let numerator = squares.units() * *count - &of_numbers * &of_numbers;
                let variance = quotient(&numerator, &BigInt::from(divisor), -2148);
                if variance.is_infinite() {
                    return Err(EvalError::DoubleOutOfRange);
                }
                Ok(Value::double(if dispersion.root { variance.sqrt() } else { variance }))
            }
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Decimal { .. } => 96,
                Self::Double { sum, squares, .. } => sum.heap_bytes() + squares.heap_bytes(),
            }
    }
}

/// The double nearest to a quotient of positive whole numbers times a power of two (to a unit in the last
/// place below the normal doubles).
fn quotient(numerator: &BigInt, divisor: &BigInt, exponent: i64) -> f64 {
    if numerator.sign() != Sign::Plus {
        return 0.0;
    }
    // As many bits as decide the rounding, and one that stands for all that follow.
    let shift = 66 - (numerator.bits() as i64 - divisor.bits() as i64);
    let (numerator, divisor) = if shift >= 0 {
        (numerator << shift.unsigned_abs(), divisor.clone())
    } else {
        (numerator.clone(), divisor << shift.unsigned_abs())
    };
    let whole = &numerator / &divisor;
    let rest = numerator - &whole * &divisor;
    let bits = whole.to_u128().expect("invariant: the quotient has 67 bits") | u128::from(!rest.is_zero());
    let mut x = bits as f64;
    let mut exponent = exponent - shift;
    while exponent != 0 {
        let step = exponent.clamp(-1000, 1000);
        x *= 2_f64.powi(step as i32);
        exponent -= step;
    }
    x
}

/// How many of the numbers have each bit.
#[derive(Debug, Clone)]
pub(crate) struct Bits {
    count: Weight,
    ones: [Weight; 64],
}

/// The bitwise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bitwise {
    /// The bits that all have.
    And,
    /// The bits that any has.
    Or,
    /// The bits that an odd number has.
    Xor,
}

impl Bits {
    pub(crate) fn new() -> Self {
        Self { count: 0, ones: [0; 64] }
    }

    pub(crate) fn add(&mut self, value: &Value, weight: Weight) {
        let Value::Integer(n) = value else {
            unreachable!("invariant: arguments have the function's type: {value:?}")
        };
        self.count += weight;
        for (place, ones) in self.ones.iter_mut().enumerate() {
            *ones += (n >> place & 1) * weight;
        }
    }

    pub(crate) fn value(&self, function: Bitwise) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        let is_set = |ones: Weight| match function {
            Bitwise::And => ones == self.count,
            Bitwise::Or => ones > 0,
            Bitwise::Xor => ones % 2 != 0,
        };
        let bits = self.ones.iter().enumerate();
        Value::Integer(bits.fold(0, |n, (place, ones)| n | i64::from(is_set(*ones)) << place))
    }
}

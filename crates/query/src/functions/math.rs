//! Functions of numbers. Doubles round half to even and numerics half away from zero, as PostgreSQL's do.

use bigdecimal::{BigDecimal, Signed, Zero, num_bigint::BigInt};
use deltaic_types::{DataType, EvalError, Numeric, Value};

use super::{Argument, Function, argument, double_argument, integer_argument, mistyped};

fn invalid(function: &'static str, reason: &'static str) -> EvalError {
    EvalError::InvalidArgument { function, reason }
}

pub(super) fn call(function: Function, args: &[Argument<'_>], result: &DataType) -> Result<Value, EvalError> {
    match function {
        Function::Pi => return Ok(Value::double(std::f64::consts::PI)),
        Function::Gcd | Function::Lcm => {
            return divisors(function, integer_argument(args, 0)?, integer_argument(args, 1)?, result);
        }
        Function::WidthBucket => return width_bucket(args),
        _ => {}
    }
    match argument(args, 0)? {
        Value::Integer(n) => match function {
            Function::Abs => n
                .checked_abs()
                .ok_or(EvalError::IntegerOutOfRange { type_name: result.name() })
                .and_then(|n| result.fit(Value::Integer(n))),
            _ => Err(mistyped()),
        },
        Value::Numeric(n) => numeric(function, n, args).map(Value::numeric),
        Value::Double(x) => {
            let second = if args.len() > 1 { double_argument(args, 1)? } else { 0.0 };
            double(function, x.get(), second).map(Value::double)
        }
        _ => Err(mistyped()),
    }
}

fn double(function: Function, x: f64, y: f64) -> Result<f64, EvalError> {
    let within_one = || {
        if (-1.0..=1.0).contains(&x) || x.is_nan() { Ok(x) } else { Err(EvalError::DoubleOutOfRange) }
    };
    let finite = || if x.is_infinite() { Err(EvalError::DoubleOutOfRange) } else { Ok(x) };
    let value = match function {
        Function::Abs => x.abs(),
        Function::Ceil => x.ceil(),
        Function::Floor => x.floor(),
        Function::Round => x.round_ties_even(),
        Function::Trunc => x.trunc(),
        Function::Sign if x > 0.0 => 1.0,
        Function::Sign if x < 0.0 => -1.0,
        // Zero, and NaN, as PostgreSQL has it.
        Function::Sign => 0.0,
        Function::Sqrt if x < 0.0 => {
            return Err(invalid("sqrt", "cannot take the square root of a negative number"));
        }
        Function::Sqrt => x.sqrt(),
        Function::Cbrt => x.cbrt(),
        Function::Exp => x.exp(),
        Function::Power => power(x, y)?,
        Function::Ln => logarithm(x)?.ln(),
        Function::Log10 => logarithm(x)?.log10(),
        Function::Degrees => x.to_degrees(),
        Function::Radians => x.to_radians(),
        Function::Sin => finite()?.sin(),
        Function::Cos => finite()?.cos(),
        Function::Tan => finite()?.tan(),
        Function::Cot => 1.0 / finite()?.tan(),
        Function::Asin => within_one()?.asin(),
        Function::Acos => within_one()?.acos(),
        Function::Atan => x.atan(),
        Function::Atan2 => x.atan2(y),
        _ => return Err(mistyped()),
    };
    let overflow = value.is_infinite() && x.is_finite() && y.is_finite() && function != Function::Cot;
    let underflow = value == 0.0
        && x.is_finite()
        && match function {
            Function::Exp => true,
            Function::Power => x != 0.0 && y.is_finite(),
            _ => false,
        };
    if overflow || underflow { Err(EvalError::DoubleOutOfRange) } else { Ok(value) }
}

fn logarithm(x: f64) -> Result<f64, EvalError> {
    if x == 0.0 {
        Err(invalid("ln", "cannot take the logarithm of zero"))
    } else if x < 0.0 {
        Err(invalid("ln", "cannot take the logarithm of a negative number"))
    } else {
        Ok(x)
    }
}

fn power(x: f64, y: f64) -> Result<f64, EvalError> {
    if x == 0.0 && y < 0.0 {
        return Err(invalid("power", "zero raised to a negative power is undefined"));
    }
    if x < 0.0 && y.is_finite() && y.fract() != 0.0 {
        return Err(invalid("power", "a negative number raised to a power that is no integer is complex"));
    }
    Ok(x.powf(y))
}

fn numeric(function: Function, n: &Numeric, args: &[Argument<'_>]) -> Result<Numeric, EvalError> {
    let second = || match argument(args, 1)? {
        Value::Numeric(m) => Ok(m),
        _ => Err(mistyped()),
    };
    let decimal = n.as_decimal();
    let whole = |mode| Numeric::new(&decimal.with_scale_round(0, mode));
    match function {
        Function::Abs => Numeric::new(&decimal.abs()),
        Function::Ceil => whole(bigdecimal::RoundingMode::Ceiling),
        Function::Floor => whole(bigdecimal::RoundingMode::Floor),
        Function::Round | Function::Trunc => {
            let scale = if args.len() > 1 { integer_argument(args, 1)?.clamp(-2_000, 2_000) } else { 0 };
            if function == Function::Round {
                n.round(scale)
            } else {
                Numeric::new(&decimal.with_scale_round(scale, bigdecimal::RoundingMode::Down))
            }
        }
        Function::Sign => {
            Ok(Numeric::from(i64::from(decimal.is_positive()) - i64::from(decimal.is_negative())))
        }
        Function::Sqrt => square_root(decimal),
        Function::Div => {
            let divisor = second()?;
            let rest = n.rem(divisor)?;
            let (whole, exact) = (n.sub(&rest)?, divisor);
            whole.div(exact)?.round(0)
        }
        Function::Power => n.power(second()?),
        Function::Exp => n.exp(),
        Function::Ln => n.ln(),
        Function::Log10 => n.log(&Numeric::from(10_i64)),
        Function::Log => second()?.log(n),
        _ => Err(mistyped()),
    }
}

/// The square root to the scale that PostgreSQL chooses: 16 significant digits at least.
fn square_root(n: &BigDecimal) -> Result<Numeric, EvalError> {
    if n.is_negative() {
        return Err(invalid("sqrt", "cannot take the square root of a negative number"));
    }
    let (digits, scale) = n.as_bigint_and_exponent();
    if digits.is_zero() {
        return Ok(Numeric::from(0_i64));
    }
    // The weight of the first group of four digits, as PostgreSQL stores numerics.
    let before_point = digits.to_string().len() as i64 - scale;
    let weight = (before_point - 1).div_euclid(4);
    let half = (weight + 1) * 4 / 2 - 1;
    let shown = (16 - half).max(scale).clamp(0, 1_000);
    // One digit more than is shown, to round by.
    let shift = 2 * (shown + 1) - scale;
    let ten = BigInt::from(10);
    let exponent = u32::try_from(shift.unsigned_abs()).map_err(|_| EvalError::NumericOutOfRange)?;
    let scaled = if shift >= 0 { digits * ten.pow(exponent) } else { digits / ten.pow(exponent) };
    Numeric::new(&BigDecimal::new(scaled.sqrt(), shown + 1))?.round(shown)
}

fn divisors(function: Function, a: i64, b: i64, result: &DataType) -> Result<Value, EvalError> {
    let (mut divisor, mut rest) = (a.unsigned_abs(), b.unsigned_abs());
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let out = || EvalError::IntegerOutOfRange { type_name: result.name() };
    let n = match function {
        Function::Lcm if divisor == 0 => 0,
        Function::Lcm => (a.unsigned_abs() / divisor).checked_mul(b.unsigned_abs()).ok_or_else(out)?,
        _ => divisor,
    };
    result.fit(Value::Integer(i64::try_from(n).map_err(|_| out())?))
}

fn width_bucket(args: &[Argument<'_>]) -> Result<Value, EvalError> {
    if let (Value::Numeric(x), Value::Numeric(low), Value::Numeric(high)) =
        (argument(args, 0)?, argument(args, 1)?, argument(args, 2)?)
    {
        return numeric_bucket(x, low, high, integer_argument(args, 3)?);
    }
    let [x, low, high] = [double_argument(args, 0)?, double_argument(args, 1)?, double_argument(args, 2)?];
    let count = integer_argument(args, 3)?;
    // PostgreSQL looks at the count first.
    if count > 0 && (x.is_nan() || !low.is_finite() || !high.is_finite()) {
        return Err(invalid("width_bucket", "bounds must be finite and operand must not be NaN"));
    }
    bucket(&x, &low, &high, count, || Ok((count as f64 * ((x - low) / (high - low))) as i64))
}

/// As for doubles, exactly but for the division, which has the digits of numerics.
fn numeric_bucket(x: &Numeric, low: &Numeric, high: &Numeric, count: i64) -> Result<Value, EvalError> {
    bucket(x, low, high, count, || {
        let (part, whole) =
            if low < high { (x.sub(low)?, high.sub(low)?) } else { (low.sub(x)?, low.sub(high)?) };
        let place = part.mul(&Numeric::from(count))?.div(&whole)?;
        let floor = Numeric::new(&place.as_decimal().with_scale_round(0, bigdecimal::RoundingMode::Floor))?;
        // A quotient beyond the count was rounded up to it.
        Ok(floor.to_i64_exact().unwrap_or(count))
    })
}

/// The bucket of a number: 0 before the first, one more than there are behind the last, and between them the one
/// after so many whole buckets as `passed` says.
fn bucket<N: PartialOrd>(
    x: &N,
    low: &N,
    high: &N,
    count: i64,
    passed: impl FnOnce() -> Result<i64, EvalError>,
) -> Result<Value, EvalError> {
    if count <= 0 {
        return Err(invalid("width_bucket", "count must be greater than zero"));
    }
    if low == high {
        return Err(invalid("width_bucket", "lower bound cannot equal upper bound"));
    }
    let (before, after) = if low < high { (x < low, x >= high) } else { (x > low, x <= high) };
    let bucket = if before {
        0
    } else if after {
        count + 1
    } else {
        (passed()? + 1).min(count)
    };
    DataType::Integer.fit(Value::Integer(bucket))
}

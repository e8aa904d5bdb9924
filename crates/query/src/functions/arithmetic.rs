//! The arithmetic operators, over numbers, dates, instants and intervals.

use deltaic_types::{DAY_MICROS, DataType, EvalError, Interval, Value, datetime};

use super::{Argument, Function, argument, mistyped};

pub(super) fn call(function: Function, args: &[Argument<'_>], result: &DataType) -> Result<Value, EvalError> {
    let a = argument(args, 0)?;
    match function {
        Function::Negate => negate(a, result),
        Function::BitNot => match a {
            Value::Integer(n) => Ok(Value::Integer(!n)),
            _ => Err(mistyped()),
        },
        _ => binary(function, a, argument(args, 1)?, result),
    }
}

/// An operator on two values that are not NULL.
pub(crate) fn binary(
    function: Function,
    a: &Value,
    b: &Value,
    result: &DataType,
) -> Result<Value, EvalError> {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => integers(function, *a, *b, result),
        (Value::Double(a), Value::Double(b)) => doubles(function, a.get(), b.get()).map(Value::double),
        (Value::Numeric(a), Value::Numeric(b)) => match function {
            Function::Add => a.add(b),
            Function::Subtract => a.sub(b),
            Function::Multiply => a.mul(b),
            Function::Divide => a.div(b),
            Function::Modulo => a.rem(b),
            _ => Err(mistyped()),
        }
        .map(Value::numeric),
        _ => times(function, a, b),
    }
}

fn width(n: i64, result: &DataType) -> Result<Value, EvalError> {
    let fits = match result {
        DataType::Smallint => i16::try_from(n).is_ok(),
        DataType::Integer => i32::try_from(n).is_ok(),
        _ => true,
    };
    if fits { Ok(Value::Integer(n)) } else { Err(EvalError::IntegerOutOfRange { type_name: result.name() }) }
}

fn integers(function: Function, a: i64, b: i64, result: &DataType) -> Result<Value, EvalError> {
    let n = match function {
        Function::Add => a.checked_add(b),
        Function::Subtract => a.checked_sub(b),
        Function::Multiply => a.checked_mul(b),
        Function::Divide | Function::Modulo if b == 0 => return Err(EvalError::DivisionByZero),
        Function::Divide => a.checked_div(b),
        Function::Modulo => Some(a.wrapping_rem(b)),
        Function::BitAnd => Some(a & b),
        Function::BitOr => Some(a | b),
        Function::BitXor => Some(a ^ b),
        _ => return Err(mistyped()),
    };
    width(n.ok_or(EvalError::IntegerOutOfRange { type_name: result.name() })?, result)
}

fn doubles(function: Function, a: f64, b: f64) -> Result<f64, EvalError> {
    let x = match function {
        Function::Add => a + b,
        Function::Subtract => a - b,
        Function::Multiply => a * b,
        Function::Divide if b == 0.0 && !a.is_nan() => return Err(EvalError::DivisionByZero),
        Function::Divide => a / b,
        _ => return Err(mistyped()),
    };
    // Infinity is a result only where it was an operand; zero only where it is exact.
    let overflow = x.is_infinite() && a.is_finite() && b.is_finite();
    let underflow = x == 0.0
        && match function {
            Function::Multiply => a != 0.0 && b != 0.0,
            Function::Divide => a != 0.0 && b.is_finite(),
            _ => false,
        };
    if overflow || underflow { Err(EvalError::DoubleOutOfRange) } else { Ok(x) }
}

fn negate(a: &Value, result: &DataType) -> Result<Value, EvalError> {
    match a {
        Value::Integer(n) => {
            width(n.checked_neg().ok_or(EvalError::IntegerOutOfRange { type_name: result.name() })?, result)
        }
        Value::Double(x) => Ok(Value::double(-x.get())),
        Value::Numeric(n) => Ok(Value::numeric(n.neg())),
        Value::Interval(interval) => {
            interval.checked_neg().map(Value::interval).ok_or(EvalError::DatetimeOutOfRange)
        }
        _ => Err(mistyped()),
    }
}

fn days(date: i64) -> Result<Value, EvalError> {
    let date = i32::try_from(date).map_err(|_| EvalError::DatetimeOutOfRange)?;
    datetime::in_years(i64::from(date) * DAY_MICROS)?;
    Ok(Value::Date(date))
}

fn times(function: Function, a: &Value, b: &Value) -> Result<Value, EvalError> {
    let backwards = |interval: &Interval| interval.checked_neg().ok_or(EvalError::DatetimeOutOfRange);
    let moved = |instant: i64, interval| datetime::add_interval(instant, interval).map(Value::Timestamp);
    let midnight = |date: &i32| i64::from(*date) * DAY_MICROS;
    match (function, a, b) {
        (Function::Add, Value::Date(date), Value::Integer(n))
        | (Function::Add, Value::Integer(n), Value::Date(date)) => days(i64::from(*date).saturating_add(*n)),
        (Function::Subtract, Value::Date(date), Value::Integer(n)) => {
            days(i64::from(*date).saturating_sub(*n))
        }
        (Function::Subtract, Value::Date(a), Value::Date(b)) => {
            Ok(Value::Integer(i64::from(*a) - i64::from(*b)))
        }
        (Function::Add, Value::Timestamp(at), Value::Interval(by))
        | (Function::Add, Value::Interval(by), Value::Timestamp(at)) => moved(*at, **by),
        (Function::Subtract, Value::Timestamp(at), Value::Interval(by)) => moved(*at, backwards(by)?),
        (Function::Add, Value::Date(at), Value::Interval(by))
        | (Function::Add, Value::Interval(by), Value::Date(at)) => moved(midnight(at), **by),
        (Function::Subtract, Value::Date(at), Value::Interval(by)) => moved(midnight(at), backwards(by)?),
        (Function::Subtract, Value::Timestamp(a), Value::Timestamp(b)) => {
            Interval::between(*a, *b).map(Value::interval)
        }
        (Function::Add, Value::Interval(a), Value::Interval(b)) => {
            a.checked_add(**b).map(Value::interval).ok_or(EvalError::DatetimeOutOfRange)
        }
        (Function::Subtract, Value::Interval(a), Value::Interval(b)) => {
            a.checked_add(backwards(b)?).map(Value::interval).ok_or(EvalError::DatetimeOutOfRange)
        }
        (Function::Multiply, Value::Interval(interval), Value::Double(x))
        | (Function::Multiply, Value::Double(x), Value::Interval(interval)) => {
            scale(**interval, |part| part * x.get()).map(Value::interval)
        }
        (Function::Divide, Value::Interval(interval), Value::Double(x)) => {
            if x.get() == 0.0 {
                return Err(EvalError::DivisionByZero);
            }
            scale(**interval, |part| part / x.get()).map(Value::interval)
        }
        _ => Err(mistyped()),
    }
}

/// Each field scaled; what is left of months goes to days (30 a month), what is left of days to the rest.
fn scale(interval: Interval, by: impl Fn(f64) -> f64) -> Result<Interval, EvalError> {
    const DAY_SECONDS: f64 = 86_400.0;
    let out = || EvalError::DatetimeOutOfRange;
    let whole = |x: f64| (x.abs() < 2_147_483_648.0).then_some(x as i32).ok_or_else(out);
    // Rounded to microseconds, so that 0.1 of a month is exactly 3 days.
    let micro = |x: f64| (x * 1e6).round_ties_even() / 1e6;
    let months = by(f64::from(interval.months));
    let days = by(f64::from(interval.days));
    let (whole_months, whole_days) = (whole(months.trunc())?, whole(days.trunc())?);
    let month_days = micro((months - months.trunc()) * 30.0);
    let mut rest_seconds = micro((days - days.trunc() + month_days - month_days.trunc()) * DAY_SECONDS);
    let mut extra_days = month_days.trunc();
    if rest_seconds.abs() >= DAY_SECONDS {
        extra_days += (rest_seconds / DAY_SECONDS).trunc();
        rest_seconds -= (rest_seconds / DAY_SECONDS).trunc() * DAY_SECONDS;
    }
    let micros = (by(interval.micros as f64) + rest_seconds * 1e6).round_ties_even();
    if micros.is_nan() || micros.abs() >= 9_223_372_036_854_775_808.0 {
        return Err(out());
    }
    Ok(Interval {
        months: whole_months,
        days: whole_days.checked_add(whole(extra_days)?).ok_or_else(out)?,
        micros: micros as i64,
    })
}

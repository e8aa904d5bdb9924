//! Casts of values from one type to another, with PostgreSQL's rounding.

use deltaic_types::{
    DAY_MICROS, DataType, EvalError, Json, Numeric, Value, datetime,
    text_format::{parse_text, to_text_typed},
};

/// The value in another type. Rounds half to even from doubles and half away from zero from numerics.
pub(crate) fn cast(value: &Value, from: &DataType, to: &DataType) -> Result<Value, EvalError> {
    let whole = |n: i64| match to {
        DataType::Double => Ok(Value::double(n as f64)),
        DataType::Numeric(_) => to.fit(Value::numeric(Numeric::from(n))),
        DataType::Boolean => Ok(Value::Boolean(n != 0)),
        _ if to.is_integer() => to.fit(Value::Integer(n)),
        _ => Err(no_cast()),
    };
    match (value, to) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Text(text), DataType::Text) => Ok(Value::Text(text.clone())),
        (_, DataType::Text) => Ok(Value::from(to_text_typed(value, from))),
        (Value::Text(text), _) => parse_text(text, to),
        (Value::Integer(n), _) => whole(*n),
        (Value::Double(x), DataType::Double) => Ok(Value::Double(*x)),
        (Value::Double(x), DataType::Numeric(_)) => to.fit(Value::numeric(Numeric::try_from(x.get())?)),
        (Value::Double(x), _) if to.is_integer() => {
            let rounded = x.get().round_ties_even();
            let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded);
            if !fits {
                return Err(EvalError::IntegerOutOfRange { type_name: to.name() });
            }
            to.fit(Value::Integer(rounded as i64))
        }
        (Value::Numeric(n), DataType::Double) => {
            let x = n.to_f64();
            let vanished = x == 0.0 && **n != Numeric::from(0_i64);
            if x.is_finite() && !vanished { Ok(Value::double(x)) } else { Err(EvalError::DoubleOutOfRange) }
        }
        (Value::Numeric(n), DataType::Numeric(_)) => to.fit(Value::Numeric(n.clone())),
        (Value::Numeric(n), _) if to.is_integer() => {
            let n = n.round(0)?;
            let n = n.to_i64_exact().ok_or(EvalError::IntegerOutOfRange { type_name: to.name() })?;
            to.fit(Value::Integer(n))
        }
        (Value::Boolean(b), _) if to.is_integer() => Ok(Value::Integer(i64::from(*b))),
        (Value::Date(days), DataType::Timestamptz) => Ok(Value::Timestamp(i64::from(*days) * DAY_MICROS)),
        (Value::Timestamp(micros), DataType::Date) => {
            Ok(Value::Date(datetime::days_of(datetime::civil_instant(*micros)?.0)))
        }
        (Value::Json(json), _) if !matches!(to, DataType::Jsonb) => match (&**json, to) {
            (Json::Boolean(b), DataType::Boolean) => Ok(Value::Boolean(*b)),
            (Json::Number(n), _) if to.is_number() => {
                cast(&Value::numeric(n.clone()), &DataType::NUMERIC, to)
            }
            _ => Err(EvalError::InvalidArgument {
                function: "cast",
                reason: "the jsonb value is of another kind than the type",
            }),
        },
        (Value::Array(items), DataType::Array(item)) => {
            let from = if let DataType::Array(from) = from { from } else { item };
            let cast: Result<Vec<Value>, EvalError> = items
                .iter()
                .map(|value| match (value, &**item) {
                    // An array of a deeper nesting has the same type as its elements' array in PostgreSQL.
                    (Value::Array(_), inner) if !matches!(inner, DataType::Array(_)) => Err(no_cast()),
                    _ => cast(value, from, item),
                })
                .collect();
            Ok(Value::array(cast?))
        }
        _ if to.admits(value) => to.fit(value.clone()),
        _ => Err(no_cast()),
    }
}

fn no_cast() -> EvalError {
    EvalError::InvalidArgument { function: "cast", reason: "there is no such cast" }
}

//! Values as JSON, in and out: the one encoding of every interface (HTTP, WebSocket, CLI).
//!
//! boolean, smallint, integer and text as themselves; bigint as a number up to 2^53 and as a string beyond;
//! numeric as a string; double as a number or `"NaN"`, `"Infinity"`, `"-Infinity"`; date, timestamptz
//! (UTC, `Z`) and interval in ISO 8601; uuid as a string; jsonb as itself; arrays as arrays; NULL as null.

use serde_json::{Number, Value as Wire};

use crate::{DataType, EvalError, Json, Value, datetime, text_format};

/// The whole numbers that every JSON reader holds exactly.
const EXACT: i64 = 1 << 53;

/// Encodes a value of a type.
///
/// ```
/// use deltaic_types::{DataType, Value, json_format::to_json};
/// assert_eq!(to_json(&Value::Integer(7), &DataType::Integer), serde_json::json!(7));
/// assert_eq!(to_json(&Value::Integer(1 << 60), &DataType::Bigint), serde_json::json!("1152921504606846976"));
/// ```
pub fn to_json(value: &Value, data_type: &DataType) -> Wire {
    match value {
        Value::Null => Wire::Null,
        Value::Boolean(b) => Wire::Bool(*b),
        Value::Integer(n) if (-EXACT..=EXACT).contains(n) => Wire::from(*n),
        Value::Integer(n) => Wire::String(n.to_string()),
        Value::Double(x) if x.get().is_finite() => Number::from_f64(x.get()).map_or(Wire::Null, Wire::Number),
        Value::Date(days) => Wire::String(datetime::date_to_text(*days)),
        Value::Timestamp(micros) => Wire::String(datetime::timestamp_to_iso(*micros)),
        Value::Interval(interval) => Wire::String(interval.to_iso()),
        Value::Json(json) => json.to_serde(),
        Value::Array(items) => {
            let item_type = if let DataType::Array(item) = data_type { item } else { data_type };
            Wire::Array(items.iter().map(|item| to_json(item, item_type)).collect())
        }
        Value::Double(_) | Value::Numeric(_) | Value::Text(_) | Value::Uuid(_) => {
            Wire::String(text_format::to_text_typed(value, data_type))
        }
    }
}

/// Decodes a value of a type: a parameter, or a field of a row. Text is read as the type's text form, so a
/// number may always be given as a string.
pub fn from_json(wire: &Wire, data_type: &DataType) -> Result<Value, EvalError> {
    let wrong = || EvalError::invalid_text(data_type.name(), &wire.to_string());
    match (wire, data_type) {
        (Wire::Null, _) => Ok(Value::Null),
        (_, DataType::Jsonb) => Ok(Value::json(Json::from_serde(wire)?)),
        (Wire::String(text), _) => text_format::parse_text(text, data_type),
        (Wire::Bool(b), DataType::Boolean) => Ok(Value::Boolean(*b)),
        (Wire::Bool(_), DataType::Text) => Ok(Value::from(wire.to_string())),
        (Wire::Number(n), DataType::Text) => Ok(Value::from(n.to_string())),
        (Wire::Number(n), _) if data_type.is_integer() => {
            if let Some(n) = n.as_i64() {
                return data_type.fit(Value::Integer(n));
            }
            // 1.0 and 1e3 are whole numbers too.
            let exact: crate::Numeric = n.as_str().parse()?;
            data_type.fit(Value::Integer(exact.to_i64_exact().ok_or_else(wrong)?))
        }
        (Wire::Number(n), DataType::Double | DataType::Numeric(_)) => {
            text_format::parse_text(n.as_str(), data_type)
        }
        (Wire::Array(items), DataType::Array(item)) => {
            let items: Result<Vec<Value>, EvalError> =
                items.iter().map(|value| from_json(value, item)).collect();
            Ok(Value::array(items?))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Precision, arbitrary::typed_value};

    #[test]
    fn encodes_as_the_design_says() {
        let money = DataType::Numeric(Some(Precision { precision: 10, scale: 2 }));
        let at = Value::Timestamp(datetime::parse_timestamp("2013-01-01 10:00+00").unwrap());
        for (value, data_type, wire) in [
            (Value::Integer(EXACT), DataType::Bigint, json!(9_007_199_254_740_992_i64)),
            (Value::Integer(EXACT + 1), DataType::Bigint, json!("9007199254740993")),
            (Value::numeric("1.5".parse().unwrap()), DataType::NUMERIC, json!("1.5")),
            (Value::numeric("1.5".parse().unwrap()), money, json!("1.50")),
            (Value::double(f64::NAN), DataType::Double, json!("NaN")),
            (Value::double(0.5), DataType::Double, json!(0.5)),
            (at, DataType::Timestamptz, json!("2013-01-01T10:00:00Z")),
            (Value::array(vec![Value::Null]), DataType::Text.array(), json!([null])),
        ] {
            assert_eq!(to_json(&value, &data_type), wire);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for (wire, data_type) in [
            (json!(1.5), DataType::Integer),
            (json!(40_000), DataType::Smallint),
            (json!(1), DataType::Boolean),
            (json!({}), DataType::Text),
            (json!([1]), DataType::Integer),
            (json!(1), DataType::Integer.array()),
            (json!("a\u{0}"), DataType::Text),
            (json!({"a": ["\u{0}"]}), DataType::Jsonb),
            (json!({"\u{0}": 1}), DataType::Jsonb),
        ] {
            assert!(from_json(&wire, &data_type).is_err(), "{wire} as {data_type}");
        }
        assert_eq!(from_json(&json!(1.0), &DataType::Integer).unwrap(), Value::Integer(1));
    }

    proptest! {
        #[test]
        fn every_value_comes_back((data_type, value) in typed_value()) {
            // The two nulls are one on the wire.
            let value = if value == Value::json(Json::Null) { Value::Null } else { value };
            prop_assert_eq!(from_json(&to_json(&value, &data_type), &data_type).unwrap(), value);
        }
    }
}

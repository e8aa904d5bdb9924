//! Rows as JSON arrays, and the hidden values that an order uses.

use deltaic_types::{DataType, Value, json_format::to_json};
use serde_json::{Number, Value as Json};

/// A row in the order of its columns' types. Values behind the last type are not part of it.
pub fn encode_row(values: &[Value], types: &[DataType]) -> Vec<Json> {
    values.iter().zip(types).map(|(value, data_type)| to_json(value, data_type)).collect()
}

/// The values behind a row's columns, which only the order uses.
///
/// They are encoded to be compared without their types: whatever is ordered as a number is a number (of any
/// size; infinity is out of a double's range, so that it reads as infinite), the rest is ordered as it stands.
/// NaN is text: greater than any number, as PostgreSQL has it.
pub fn encode_key(values: &[Value]) -> Vec<Json> {
    values.iter().map(key_value).collect()
}

fn key_value(value: &Value) -> Json {
    match value {
        Value::Boolean(b) => Json::from(u8::from(*b)),
        Value::Integer(n) | Value::Timestamp(n) => Json::from(*n),
        Value::Date(days) => Json::from(*days),
        Value::Numeric(n) => number(&n.to_string()),
        Value::Double(x) if x.get().is_infinite() => number(if x.get() > 0.0 { "1e999" } else { "-1e999" }),
        other => to_json(other, &DataType::Text),
    }
}

/// A number from its text; NaN, which is none, stays text.
fn number(text: &str) -> Json {
    text.parse::<Number>().map_or_else(|_| Json::from(text), Json::Number)
}

#[cfg(test)]
mod tests {
    use deltaic_types::datetime::parse_timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_ends_with_its_columns() {
        let values = [Value::Integer(1 << 60), Value::from("a"), Value::Integer(3)];
        let row = encode_row(&values, &[DataType::Bigint, DataType::Text]);
        assert_eq!(row, [json!("1152921504606846976"), json!("a")]);
        assert_eq!(encode_key(&values[2..]), [json!(3)]);
    }

    #[test]
    fn keys_are_numbers_where_the_order_is() {
        let at = Value::Timestamp(parse_timestamp("1970-01-01 00:00:01+00").unwrap());
        let values = [
            at,
            Value::numeric("-12.50".parse().unwrap()),
            Value::double(f64::INFINITY),
            Value::double(f64::NAN),
            Value::Boolean(true),
            Value::Null,
        ];
        let text = serde_json::to_string(&encode_key(&values)).unwrap();
        assert!(text.starts_with("[1000000,-12.5"), "{text}");
        assert!(text.ends_with(r#","NaN",1,null]"#) && text.contains("e+999"), "{text}");
    }
}

//! Rows as JSON arrays.

use deltaic_types::{DataType, Value, json_format::to_json};
use serde_json::Value as Json;

/// A row in the order of its columns' types. Values behind the last type are not part of it.
pub fn encode_row(values: &[Value], types: &[DataType]) -> Vec<Json> {
    values.iter().zip(types).map(|(value, data_type)| to_json(value, data_type)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_ends_with_its_columns() {
        let values = [Value::Integer(1 << 60), Value::from("a"), Value::Integer(3)];
        let row = encode_row(&values, &[DataType::Bigint, DataType::Text]);
        assert_eq!(row, [json!("1152921504606846976"), json!("a")]);
    }
}

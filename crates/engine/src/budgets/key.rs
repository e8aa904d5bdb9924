//! A key of a budget as the node and the ledger know it: the budget's number, the limit's place, the values.
//!
//! Invariant: two keys are equal where budget, limit and values are, and what was written is read back.

use deltaic_quota::Key;
use deltaic_types::{Budget, BudgetId, DataType, Row, Value, json_format, key, text_format};
use serde_json::Value as Json;

use super::ask::ConsumeError;

/// The name of a limit of a key, for the node; none where it is too long.
pub(super) fn account_key(budget: BudgetId, limit: usize, values: &Row) -> Option<Key> {
    let mut bytes = budget.0.to_be_bytes().to_vec();
    bytes.push(u8::try_from(limit).expect("invariant: a budget has few limits"));
    key::encode_into(&mut bytes, values);
    Key::new(&bytes)
}

/// The name of the row of a standing share, which is nobody's key.
pub(super) fn share_key(budget: BudgetId, limit: usize) -> Key {
    let mut bytes = budget.0.to_be_bytes().to_vec();
    bytes.push(u8::try_from(limit).expect("invariant: a budget has few limits"));
    bytes.push(b'*');
    Key::new(&bytes).expect("invariant: it is short")
}

/// The values in a key of the node; none in the name of a share.
pub(super) fn values_of(key: &Key) -> Option<Row> {
    key::decode(&key.as_bytes()[5..]).ok()
}

/// A key as it came from outside: a text or a JSON value for each column.
pub(super) fn parse(budget: &Budget, given: &[Json]) -> Result<Row, ConsumeError> {
    let parts: Vec<Json>;
    let given = match given {
        // One text for a key of several columns: their texts, with commas between them.
        [Json::String(text)] if budget.key.len() > 1 => {
            parts = text.split(',').map(Json::from).collect();
            &parts[..]
        }
        given => given,
    };
    if given.len() != budget.key.len() {
        return Err(ConsumeError::KeyCount {
            budget: budget.name.clone(),
            expected: budget.key.len(),
            given: given.len(),
        });
    }
    let columns = budget.key.iter().zip(given);
    columns
        .map(|(column, given)| {
            let value = match given {
                Json::String(text) if column.data_type != DataType::Text => {
                    text_format::parse_text(text, &column.data_type)
                }
                given => json_format::from_json(given, &column.data_type),
            };
            match value {
                Ok(Value::Null) => {
                    Err(ConsumeError::NullKey { budget: budget.name.clone(), column: column.name.clone() })
                }
                Ok(value) => Ok(value),
                Err(error) => Err(ConsumeError::Key {
                    budget: budget.name.clone(),
                    column: column.name.clone(),
                    type_name: column.data_type.to_string(),
                    error,
                }),
            }
        })
        .collect()
}

/// A key for people to read: the columns' texts, with commas between them.
pub(super) fn to_text(values: &Row) -> String {
    let texts: Vec<String> = values.iter().map(text_format::to_text).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_has_a_longest_length() {
        let values = Row::from_iter([Value::from("acme"), Value::Integer(-7)]);
        let key = account_key(BudgetId(3), 1, &values).unwrap();
        assert_eq!(values_of(&key), Some(values.clone()));
        assert_eq!(values_of(&share_key(BudgetId(3), 1)), None);
        assert_ne!(account_key(BudgetId(3), 0, &values), Some(key));
        let long = Row::from_iter([Value::from("x".repeat(2_000).as_str())]);
        assert_eq!(account_key(BudgetId(3), 1, &long), None);
        assert_eq!(to_text(&values), "acme,-7");
    }
}

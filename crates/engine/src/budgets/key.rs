//! A key of a budget as the node and the ledger know it: the budget's number, the limit's place, the values.
//!
//! Invariant: two keys are equal where budget, limit and values are, and what was written is read back.

use deltaic_quota::{Key, NodeId};
#[cfg(test)]
use deltaic_types::BudgetId;
use deltaic_types::{Budget, DataType, Row, Value, json_format, key, text_format};
use serde_json::Value as Json;

use super::ask::ConsumeError;

/// What the keys of budgets begin with in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// The budget's number: the ledger is one database's own.
    Number,
    /// The budget's name: databases that share a ledger have no numbers in common. What a database's offers promise is its
    /// own, under its name and the number: one that is dropped and made again has nothing to do with leases that still go home.
    Name(NodeId),
}

/// Stands where a number would, before a name. No budget has this number.
const NAMED: [u8; 4] = [0xff; 4];

impl Naming {
    fn prefix(self, budget: &Budget, limit: usize) -> Vec<u8> {
        let mut bytes = match self {
            Self::Number => budget.id.0.to_be_bytes().to_vec(),
            Self::Name(database) => {
                let mut name = budget.name.clone().into_bytes();
                if budget.is_of_offers {
                    name.extend(database.0.to_be_bytes());
                    name.extend(budget.id.0.to_be_bytes());
                }
                let length = u8::try_from(name.len()).expect("invariant: names are short");
                [&NAMED[..], &[length], &name].concat()
            }
        };
        bytes.push(u8::try_from(limit).expect("invariant: a budget has few limits"));
        bytes
    }

    /// The name of a limit of a key, for the node; none where it is too long.
    pub(super) fn account(self, budget: &Budget, limit: usize, values: &Row) -> Option<Key> {
        let mut bytes = self.prefix(budget, limit);
        key::encode_into(&mut bytes, values);
        Key::new(&bytes)
    }

    /// Whether a key of the ledger is one of this limit of the budget.
    pub(super) fn is_of(self, key: &Key, budget: &Budget, limit: usize) -> bool {
        split(key).is_some_and(|(prefix, _)| prefix == self.prefix(budget, limit))
    }

    /// The name of the row of a standing share, which is nobody's key.
    pub(super) fn share(self, budget: &Budget, limit: usize) -> Key {
        let mut bytes = self.prefix(budget, limit);
        bytes.push(b'*');
        Key::new(&bytes).expect("invariant: it is short")
    }
}

/// The budget and the limit that a key is of, as its first bytes, and the rest.
fn split(key: &Key) -> Option<(&[u8], &[u8])> {
    let bytes = key.as_bytes();
    let length = match bytes.strip_prefix(&NAMED) {
        Some(named) => NAMED.len() + usize::from(*named.first()?) + 2,
        None => 5,
    };
    bytes.split_at_checked(length)
}

/// The values in a key of the node; none in the name of a share.
pub(super) fn values_of(key: &Key) -> Option<Row> {
    key::decode(split(key)?.1).ok()
}

/// A key as it came from outside: a text or a JSON value for each column.
pub fn parse(budget: &Budget, given: &[Json]) -> Result<Row, ConsumeError> {
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

/// A key for people to read: its text, or of several columns a JSON array of their texts, so that no two are alike.
pub fn to_text(values: &Row) -> String {
    let mut texts: Vec<String> = values.iter().map(text_format::to_text).collect();
    match texts.len() {
        1 => texts.remove(0),
        _ => Json::from(texts).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use deltaic_types::{BudgetGuarantee, OnLedgerFailure};

    use super::*;

    #[test]
    fn a_key_comes_back_and_has_a_longest_length() {
        let budget = |id, name: &str| Budget {
            id: BudgetId(id),
            name: name.to_owned(),
            key: Vec::new(),
            limits: Vec::new(),
            guarantee: BudgetGuarantee::Escrow,
            on_ledger_failure: OnLedgerFailure::Deny,
            with_events: false,
            is_of_offers: false,
        };
        let values = Row::from_iter([Value::from("acme"), Value::Integer(-7)]);
        let long = Row::from_iter([Value::from("x".repeat(2_000).as_str())]);
        let mut all = std::collections::BTreeSet::new();
        for naming in [Naming::Number, Naming::Name(NodeId(7))] {
            for (budget, limit) in [(budget(3, "a"), 0), (budget(3, "a"), 1), (budget(4, "ab"), 0)] {
                let key = naming.account(&budget, limit, &values).unwrap();
                assert_eq!(values_of(&key), Some(values.clone()));
                assert!(naming.is_of(&key, &budget, limit) && !naming.is_of(&key, &budget, limit + 1));
                assert_eq!(values_of(&naming.share(&budget, limit)), None);
                assert!(all.insert(key) && all.insert(naming.share(&budget, limit)));
                assert_eq!(naming.account(&budget, limit, &long), None);
            }
        }
        assert_eq!(to_text(&values), r#"["acme","-7"]"#);
        assert_eq!(to_text(&Row::from_iter([Value::from("a,b")])), "a,b");
    }
}

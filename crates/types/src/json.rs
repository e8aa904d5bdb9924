//! [`Json`]: a jsonb value in its canonical form, with PostgreSQL's order.
//!
//! Invariant: an object has one member a key, sorted by length and then bytes of the key; numbers are
//! [`Numeric`]s. So equal documents are identical, whatever text they were read from.

use std::{cmp::Ordering, fmt};

use crate::{EvalError, Numeric, Text, limits};

/// A JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Json {
    /// `null`, which is not SQL's NULL.
    Null,
    /// A string.
    String(Text),
    /// A number.
    Number(Numeric),
    /// `true`, `false`.
    Boolean(bool),
    /// An array.
    Array(Vec<Json>),
    /// An object: members in the order of their keys.
    Object(Vec<(Text, Json)>),
}

impl Json {
    /// Reads a document.
    pub fn parse(text: &str) -> Result<Self, EvalError> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|_| EvalError::invalid_text("jsonb", text))?;
        Self::from_serde(&value)
    }

    /// Takes a document from the JSON library; an error where a number or the nesting is beyond the limits.
    pub fn from_serde(value: &serde_json::Value) -> Result<Self, EvalError> {
        Self::convert(value, 0)
    }

    fn convert(value: &serde_json::Value, depth: usize) -> Result<Self, EvalError> {
        if depth > limits::NESTING {
            return Err(EvalError::InvalidArgument { function: "jsonb", reason: "nested too deep" });
        }
        Ok(match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(b) => Self::Boolean(*b),
            serde_json::Value::Number(n) => Self::Number(n.as_str().parse()?),
            serde_json::Value::String(text) => Self::String(without_nul(text)?),
            serde_json::Value::Array(items) => Self::Array(
                items.iter().map(|item| Self::convert(item, depth + 1)).collect::<Result<_, _>>()?,
            ),
            serde_json::Value::Object(members) => {
                let mut converted = members
                    .iter()
                    .map(|(key, value)| Ok((without_nul(key)?, Self::convert(value, depth + 1)?)))
                    .collect::<Result<Vec<_>, EvalError>>()?;
                converted.sort_by(|(a, _), (b, _)| key_order(a, b));
                Self::Object(converted)
            }
        })
    }

    /// An object in its canonical order; of members with one key the last is kept.
    pub fn object(mut members: Vec<(Text, Self)>) -> Self {
        let mut kept: Vec<(Text, Self)> = Vec::with_capacity(members.len());
        // A stable sort leaves members of one key in the order they were given.
        members.sort_by(|(a, _), (b, _)| key_order(a, b));
        for member in members {
            match kept.last_mut() {
                Some(last) if last.0 == member.0 => *last = member,
                _ => kept.push(member),
            }
        }
        Self::Object(kept)
    }

    /// A document that was built up, if it is not nested deeper than a document may be.
    pub fn nested(self) -> Result<Self, EvalError> {
        fn fits(json: &Json, levels: usize) -> bool {
            match json {
                Json::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
                Json::Object(members) => levels > 0 && members.iter().all(|(_, item)| fits(item, levels - 1)),
                _ => true,
            }
        }
        if fits(&self, limits::NESTING) {
            Ok(self)
        } else {
            Err(EvalError::InvalidArgument { function: "jsonb", reason: "nested too deep" })
        }
    }

    /// Gives the document to the JSON library.
    pub fn to_serde(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Boolean(b) => serde_json::Value::Bool(*b),
            Self::Number(n) => {
                serde_json::Value::Number(serde_json::Number::from_string_unchecked(n.to_string()))
            }
            Self::String(text) => serde_json::Value::String(text.to_string()),
            Self::Array(items) => serde_json::Value::Array(items.iter().map(Self::to_serde).collect()),
            Self::Object(members) => serde_json::Value::Object(
                members.iter().map(|(key, value)| (key.to_string(), value.to_serde())).collect(),
            ),
        }
    }

    /// The member of an object, if there is one.
    pub fn member(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => {
                members.iter().find(|(name, _)| name.as_bytes() == key.as_bytes()).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The element of an array; a negative place counts from the end. A scalar counts as an array of one.
    pub fn element(&self, place: i64) -> Option<&Self> {
        match self {
            Self::Object(_) => None,
            Self::Array(items) => {
                let place = if place < 0 { place.checked_add(items.len() as i64)? } else { place };
                items.get(usize::try_from(place).ok()?)
            }
            scalar => matches!(place, 0 | -1).then_some(scalar),
        }
    }

    /// What `->>` gives: a string without quotes, None for JSON null, everything else as text.
    pub fn to_plain_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::String(text) => Some(text.to_string()),
            other => Some(other.to_string()),
        }
    }

    /// Bytes held in memory beyond the value itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 0,
            Self::String(text) => text.heap_bytes(),
            Self::Number(n) => n.heap_bytes(),
            Self::Array(items) => items.iter().map(|item| size_of::<Self>() + item.heap_bytes()).sum(),
            Self::Object(members) => members
                .iter()
                .map(|(key, value)| size_of::<(Text, Self)>() + key.heap_bytes() + value.heap_bytes())
                .sum(),
        }
    }

    /// PostgreSQL's order of kinds: Object > Array > Boolean > Number > String > Null.
    pub(crate) fn kind(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::String(_) => 1,
            Self::Number(_) => 2,
            Self::Boolean(_) => 3,
            Self::Array(_) => 4,
            Self::Object(_) => 5,
        }
    }
}

fn without_nul(text: &str) -> Result<Text, EvalError> {
    if text.contains('\0') { Err(EvalError::NulCharacter) } else { Ok(Text::from(text)) }
}

fn key_order(a: &Text, b: &Text) -> Ordering {
    a.as_bytes().len().cmp(&b.as_bytes().len()).then_with(|| a.cmp(b))
}

/// The order of documents within others.
fn compare_nested(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Boolean(a), Json::Boolean(b)) => a.cmp(b),
        (Json::Number(a), Json::Number(b)) => a.cmp(b),
        (Json::String(a), Json::String(b)) => a.cmp(b),
        (Json::Array(a), Json::Array(b)) => {
            let items = || a.iter().zip(b).map(|(a, b)| compare_nested(a, b));
            a.len().cmp(&b.len()).then_with(|| items().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
        }
        (Json::Object(a), Json::Object(b)) => {
            // Members stand in the order of their keys' lengths, but a key is compared as any text.
            let members = || {
                a.iter().zip(b).map(|((key_a, value_a), (key_b, value_b))| {
                    key_a.cmp(key_b).then_with(|| compare_nested(value_a, value_b))
                })
            };
            a.len()
                .cmp(&b.len())
                .then_with(|| members().find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
        }
        _ => a.kind().cmp(&b.kind()),
    }
}

impl Ord for Json {
    /// PostgreSQL's order, of which an empty array that is the whole document is the least.
    fn cmp(&self, other: &Self) -> Ordering {
        let is_empty = |json: &Self| matches!(json, Self::Array(items) if items.is_empty());
        is_empty(other).cmp(&is_empty(self)).then_with(|| compare_nested(self, other))
    }
}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Json {
    /// PostgreSQL's spacing: `{"a": 1, "b": [1, 2]}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(b) => b.fmt(f),
            Self::Number(n) => n.fmt(f),
            Self::String(text) => write_string(f, text),
            Self::Array(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (place, (key, value)) in members.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    write_string(f, key)?;
                    f.write_str(": ")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_documents_are_identical() {
        let a = Json::parse(r#"{"bb": 1.0, "a": [1e2, null]}"#).unwrap();
        let b = Json::parse(r#"{ "a":[100,null],"bb":1 }"#).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), r#"{"a": [100, null], "bb": 1}"#);
        assert_eq!(Json::from_serde(&a.to_serde()).unwrap(), a);
    }

    #[test]
    fn kinds_are_ordered_as_in_postgresql() {
        let sorted = [
            "[]",
            "null",
            "\"z\"",
            "9",
            "false",
            "true",
            "[null]",
            "[[]]",
            "[0, 0]",
            "{}",
            r#"{"bb": 1}"#,
            r#"{"c": 1}"#,
        ];
        for pair in sorted.windows(2) {
            assert!(Json::parse(pair[0]).unwrap() < Json::parse(pair[1]).unwrap(), "{pair:?}");
        }
    }

    #[test]
    fn bad_text_is_refused() {
        for text in ["", "{", "{a: 1}", "1e99999999", &"[".repeat(200)] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}

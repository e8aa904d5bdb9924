//! [`Merges`]: what a column makes of writes that have not seen each other.
//!
//! Invariant: a column says it once, with its table, and its values have a type like all others: what merges is how they
//! come about, never how they are read.

use serde::{Deserialize, Serialize};

use crate::DataType;

/// How a column merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merges {
    /// Of two values the one that was written last.
    #[default]
    LastWriter,
    /// All increments count. A `bigint`, 0 at first.
    Counter,
    /// The same, and it never falls. A `bigint`, 0 at first.
    GrowCounter,
    /// Values, each there if an addition of it was not seen by a removal. An array without order, empty at first.
    AddWinsSet,
    /// Values, each gone if a removal of it was not seen by an addition. An array without order, empty at first.
    RemoveWinsSet,
    /// All values that have not seen each other. An array without order, empty at first.
    MultiValue,
    /// The greatest value that was ever written; NULL before the first.
    Max,
    /// The least value that was ever written; NULL before the first.
    Min,
    /// True if a setting of it was not seen by a clearing. A `boolean`, false at first.
    Flag,
    /// Insertions and deletions of characters, each at its place among the others. A `text`, empty at first.
    RichText,
}

impl Merges {
    /// The names of the types, as a column is declared: those with a type in brackets behind them, and those without.
    pub const NAMES: [&str; 9] = [
        "counter",
        "grow_counter",
        "flag",
        "add_wins_set",
        "remove_wins_set",
        "multi_value",
        "max",
        "min",
        "rich_text",
    ];

    /// By its name, and whether there is a type in brackets behind it.
    pub fn named(name: &str) -> Option<(Self, bool)> {
        Some(match name {
            "counter" => (Self::Counter, false),
            "grow_counter" => (Self::GrowCounter, false),
            "flag" => (Self::Flag, false),
            "add_wins_set" => (Self::AddWinsSet, true),
            "remove_wins_set" => (Self::RemoveWinsSet, true),
            "multi_value" => (Self::MultiValue, true),
            "max" => (Self::Max, true),
            "min" => (Self::Min, true),
            "rich_text" => (Self::RichText, false),
            _ => return None,
        })
    }

    /// The type that its values are read as, by that in brackets.
    pub fn data_type(self, of: Option<DataType>) -> Option<DataType> {
        match self {
            Self::LastWriter | Self::Max | Self::Min => of,
            Self::Counter | Self::GrowCounter => of.is_none().then_some(DataType::Bigint),
            Self::Flag => of.is_none().then_some(DataType::Boolean),
            Self::RichText => of.is_none().then_some(DataType::Text),
            Self::AddWinsSet | Self::RemoveWinsSet | Self::MultiValue => of.map(DataType::array),
        }
    }

    /// The SQL text of what it is before anything was written; none for NULL.
    pub fn initially(self) -> Option<&'static str> {
        match self {
            Self::LastWriter | Self::Max | Self::Min => None,
            Self::Counter | Self::GrowCounter => Some("0"),
            Self::Flag => Some("false"),
            Self::RichText => Some("''"),
            Self::AddWinsSet | Self::RemoveWinsSet | Self::MultiValue => Some("'{}'"),
        }
    }

    /// Whether its values are many: an array that is ordered and says nothing twice.
    pub fn is_set(self) -> bool {
        matches!(self, Self::AddWinsSet | Self::RemoveWinsSet | Self::MultiValue)
    }

    /// Whether values come about that nobody has written, so that no condition on what is written holds of them.
    pub fn combines(self) -> bool {
        self.is_set() || matches!(self, Self::Counter | Self::GrowCounter | Self::RichText)
    }

    /// The type as it is declared.
    pub fn type_name(self, data_type: &DataType) -> String {
        let of = match data_type {
            DataType::Array(item) if self.is_set() => item,
            other => other,
        };
        match self {
            Self::LastWriter => data_type.to_string(),
            Self::Counter => "counter".to_owned(),
            Self::GrowCounter => "grow_counter".to_owned(),
            Self::Flag => "flag".to_owned(),
            Self::AddWinsSet => format!("add_wins_set({of})"),
            Self::RemoveWinsSet => format!("remove_wins_set({of})"),
            Self::MultiValue => format!("multi_value({of})"),
            Self::Max => format!("max({of})"),
            Self::Min => format!("min({of})"),
            Self::RichText => "rich_text".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_declared_as_it_is_named() {
        for name in Merges::NAMES {
            let (merges, takes) = Merges::named(name).unwrap();
            let of = takes.then_some(DataType::Text);
            let data_type = merges.data_type(of.clone()).unwrap();
            let declared = if takes { format!("{name}(text)") } else { name.to_owned() };
            assert_eq!(merges.type_name(&data_type), declared);
            // With brackets where there are none, and the other way round.
            let other = if takes { None } else { Some(DataType::Text) };
            assert_eq!(merges.data_type(other), None, "{name}");
        }
        assert_eq!(Merges::named("text"), None);
        assert_eq!(Merges::LastWriter.type_name(&DataType::Text.array()), "text[]");
    }

    #[test]
    fn a_column_of_an_older_catalog_is_the_last_writers() {
        let column = r#"{"name": "a", "data_type": "text", "not_null": false, "default": null}"#;
        let column: crate::Column = serde_json::from_str(column).unwrap();
        assert_eq!(column.merges, Merges::LastWriter);
    }

    #[test]
    fn a_text_that_merges_is_a_text_that_nobody_wrote() {
        let merges = Merges::RichText;
        assert_eq!((merges.data_type(None), merges.initially()), (Some(DataType::Text), Some("''")));
        assert!(merges.combines() && !merges.is_set());
    }
}

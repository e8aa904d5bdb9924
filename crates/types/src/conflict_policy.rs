//! [`ConflictPolicy`]: which of two values of a plain column stays, where neither write had seen the other.
//!
//! Invariant: a policy is a function of the two writes and of nothing else, so that every replica that knows both decides alike. Of what
//! it decides against nothing is lost: it is in `deltaic.conflicts`.

use serde::{Deserialize, Serialize};

use crate::TableSchema;

/// What decides between two writes of a column that have not seen each other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictPolicy {
    /// The one that was admitted last.
    #[default]
    LastWriter,
    /// The one of the row's version with the greater value in another column, which is written together with it.
    Priority {
        /// That column's place.
        by: usize,
    },
    /// Nobody: the last one is shown until somebody writes, and the other is kept.
    Manual,
    /// An expression over both.
    Custom {
        /// Its SQL text, over `ours` and `theirs`.
        expression: String,
    },
}

impl ConflictPolicy {
    /// Its name, as it is in `deltaic.conflicts`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LastWriter => "lww",
            Self::Priority { .. } => "priority",
            Self::Manual => "manual",
            Self::Custom { .. } => "custom",
        }
    }

    /// The text by which a column of the table declares it. A place that the table has not is said by its number.
    pub fn declaration(&self, table: &TableSchema) -> String {
        let name = self.name().to_uppercase();
        match self {
            Self::LastWriter | Self::Manual => format!("CONFLICT {name}"),
            Self::Priority { by } => match table.columns.get(*by) {
                Some(column) => format!("CONFLICT {name} ({})", crate::text_format::quoted(&column.name)),
                None => format!("CONFLICT {name} ({by})"),
            },
            Self::Custom { expression } => format!("CONFLICT {name} ({expression})"),
        }
    }

    /// Whether it is what a column has that says nothing.
    pub(crate) fn is_last_writer(&self) -> bool {
        *self == Self::LastWriter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, DataType, TableId};

    #[test]
    fn a_policy_is_told_as_it_is_declared() {
        let columns =
            vec![Column::plain("id", DataType::Integer), Column::plain("the \"rank\"", DataType::Integer)];
        let table = TableSchema::plain(TableId(0), "t", columns, vec![0]);
        for (policy, text) in [
            (ConflictPolicy::LastWriter, "CONFLICT LWW"),
            (ConflictPolicy::Manual, "CONFLICT MANUAL"),
            (ConflictPolicy::Priority { by: 1 }, "CONFLICT PRIORITY (\"the \"\"rank\"\"\")"),
            (ConflictPolicy::Priority { by: 7 }, "CONFLICT PRIORITY (7)"),
            (ConflictPolicy::Custom { expression: "ours".to_owned() }, "CONFLICT CUSTOM (ours)"),
        ] {
            assert_eq!(policy.declaration(&table), text);
            let stored = serde_json::to_string(&policy).unwrap();
            assert_eq!(serde_json::from_str::<ConflictPolicy>(&stored).unwrap(), policy, "{stored}");
        }
    }
}

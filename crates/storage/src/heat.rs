//! Which columns of a table are hot: kept near, read without the rest of the row.
//!
//! Invariant: the split decides where a value is written, never what a row is. Records say which columns they
//! hold, so a row that was split by an older schema stays readable and is split anew at its next write.

use std::collections::BTreeSet;

use deltaic_types::{DataType, TableSchema};

/// Places of the hot columns: those of the primary key, of unique constraints, indexes and foreign keys, and those
/// of small fixed-width types, which cost nothing to keep near. The others (text, numeric, jsonb, arrays, interval)
/// are cold.
pub fn hot_columns(table: &TableSchema) -> BTreeSet<usize> {
    let small = table.columns.iter().enumerate().filter(|(_, column)| is_small(&column.data_type));
    small
        .map(|(place, _)| place)
        .chain(table.primary_key.iter().copied())
        .chain(table.uniques.iter().flat_map(|unique| unique.columns.iter().copied()))
        .chain(table.indexes.iter().flat_map(|index| index.columns.iter().copied()))
        .chain(table.foreign_keys.iter().flat_map(|key| key.columns.iter().copied()))
        .collect()
}

fn is_small(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Smallint
        | DataType::Integer
        | DataType::Bigint
        | DataType::Double
        | DataType::Date
        | DataType::Timestamptz
        | DataType::Uuid => true,
        DataType::Numeric(_) | DataType::Text | DataType::Interval | DataType::Jsonb | DataType::Array(_) => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use deltaic_types::{
        Column, ConflictPolicy, ForeignKey, IndexSchema, Merges, ReferentialAction, TableId, Unique,
    };

    use super::*;

    #[test]
    fn keys_and_small_columns_are_hot() {
        let types = [
            DataType::Text,
            DataType::Text,
            DataType::Uuid,
            DataType::Jsonb,
            DataType::Text,
            DataType::NUMERIC,
            DataType::Text,
            DataType::Boolean.array(),
            DataType::Interval,
        ];
        let columns = types.map(|data_type| Column {
            name: data_type.to_string(),
            data_type,
            not_null: false,
            default: None,
            merges: Merges::LastWriter,
            conflict: ConflictPolicy::LastWriter,
        });
        let table = TableSchema {
            id: TableId(0),
            name: "t".to_owned(),
            columns: columns.to_vec(),
            primary_key: vec![0],
            uniques: vec![Unique { name: "u".to_owned(), columns: vec![1] }],
            checks: Vec::new(),
            foreign_keys: vec![ForeignKey {
                name: "f".to_owned(),
                columns: vec![4],
                parent: TableId(0),
                parent_columns: vec![0],
                on_delete: ReferentialAction::Cascade,
                on_update: ReferentialAction::Cascade,
            }],
            indexes: vec![IndexSchema { name: "i".to_owned(), columns: vec![5], unique: false }],
            groups: Vec::new(),
            remove_wins: false,
        };
        assert_eq!(hot_columns(&table), BTreeSet::from([0, 1, 2, 4, 5]));
    }
}

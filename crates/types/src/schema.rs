//! [`TableSchema`] and [`Catalog`]: what tables there are and what they promise.
//!
//! Invariant: a table's id, a column's place in its table and an index's id are given once and never used
//! again, so that rows, plans and circuits may refer to them by number. Expressions (defaults, checks) are
//! kept as SQL text: the text is what the user said, and it outlives any form of ours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{DataType, TableId};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The SQL text of its default.
    pub default: Option<String>,
}

/// Columns whose values no two rows share; NULLs are never equal. The first is the primary key's sibling
/// in every respect but NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// Its name.
    pub name: String,
    /// Places of its columns.
    pub columns: Vec<usize>,
}

/// A condition that no row may make false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Its SQL text.
    pub expression: String,
}

/// What happens to a row when the row it refers to goes or changes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferentialAction {
    /// The change is refused (RESTRICT, NO ACTION).
    Restrict,
    /// The row goes, or its key follows.
    Cascade,
    /// The reference becomes NULL.
    SetNull,
}

/// Columns that name a row of another table, or are NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// Places of the referring columns.
    pub columns: Vec<usize>,
    /// The table referred to.
    pub parent: TableId,
    /// Places of the columns referred to: the parent's primary key or a unique constraint.
    pub parent_columns: Vec<usize>,
    /// When the parent's row is deleted.
    pub on_delete: ReferentialAction,
    /// When the parent's key changes.
    pub on_update: ReferentialAction,
}

/// An index declared by the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSchema {
    /// Its name.
    pub name: String,
    /// Places of its columns.
    pub columns: Vec<usize>,
    /// Whether it is a unique constraint too.
    pub unique: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Its number.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// Its columns. A table declared without a primary key has a last column, [`ROW_ID`], which is its key.
    pub columns: Vec<Column>,
    /// Places of the primary key's columns: at least one.
    pub primary_key: Vec<usize>,
    /// Unique constraints, without the primary key.
    pub uniques: Vec<Unique>,
    /// CHECK constraints.
    pub checks: Vec<Check>,
    /// FOREIGN KEY constraints.
    pub foreign_keys: Vec<ForeignKey>,
    /// Indexes.
    pub indexes: Vec<IndexSchema>,
}

/// The name of the hidden key column of tables without a primary key. Not a name that SQL can say.
pub const ROW_ID: &str = "\u{0}row";

impl TableSchema {
    /// The place of a column, by name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether the table has no primary key of its own and rows are told apart by a hidden number.
    pub fn has_row_id(&self) -> bool {
        self.columns.last().is_some_and(|column| column.name == ROW_ID)
    }

    /// Places of the columns that `SELECT *` shows.
    pub fn visible(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().enumerate().filter(|(_, column)| column.name != ROW_ID).map(|(place, _)| place)
    }

    /// Column lists that are unique in the table: the primary key, unique constraints, unique indexes.
    pub fn unique_keys(&self) -> impl Iterator<Item = (&str, &[usize])> {
        std::iter::once(("primary key", &self.primary_key[..]))
            .chain(self.uniques.iter().map(|unique| (unique.name.as_str(), &unique.columns[..])))
            .chain(
                self.indexes
                    .iter()
                    .filter(|index| index.unique)
                    .map(|index| (index.name.as_str(), &index.columns[..])),
            )
    }
}

/// A name that is taken or that nothing has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// There is a relation of this name.
    #[error("relation \"{name}\" already exists")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// There is none.
    #[error("table \"{name}\" does not exist")]
    NoSuchTable {
        /// The name.
        name: String,
    },
}

/// All tables, and the numbers that are next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    tables: BTreeMap<TableId, TableSchema>,
    next_table: u32,
}

impl Catalog {
    /// The table of a name.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.values().find(|table| table.name == name)
    }

    /// The table of a number.
    pub fn get(&self, id: TableId) -> Option<&TableSchema> {
        self.tables.get(&id)
    }

    /// All tables, by number.
    pub fn tables(&self) -> impl Iterator<Item = &TableSchema> {
        self.tables.values()
    }

    /// The number that the next new table gets.
    pub fn next_table(&self) -> TableId {
        TableId(self.next_table)
    }

    /// Adds a table under [`Catalog::next_table`], or replaces the table of the same number.
    pub fn put(&mut self, table: TableSchema) -> Result<(), CatalogError> {
        let taken = |name: &str| {
            self.tables.values().any(|other| {
                other.id != table.id
                    && (other.name == name || other.indexes.iter().any(|index| index.name == name))
            })
        };
        let names = std::iter::once(&table.name).chain(table.indexes.iter().map(|index| &index.name));
        for name in names {
            if taken(name) {
                return Err(CatalogError::AlreadyExists { name: name.clone() });
            }
        }
        self.next_table = self.next_table.max(table.id.0 + 1);
        self.tables.insert(table.id, table);
        Ok(())
    }

    /// Removes a table and gives it back.
    pub fn remove(&mut self, name: &str) -> Result<TableSchema, CatalogError> {
        let id = self.table(name).map(|table| table.id);
        id.and_then(|id| self.tables.remove(&id))
            .ok_or_else(|| CatalogError::NoSuchTable { name: name.to_owned() })
    }

    /// Foreign keys of other tables and of the table itself that refer to it, with the referring table.
    pub fn references(&self, parent: TableId) -> impl Iterator<Item = (&TableSchema, &ForeignKey)> {
        self.tables.values().flat_map(move |table| {
            table.foreign_keys.iter().filter(move |key| key.parent == parent).map(move |key| (table, key))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: u32, name: &str) -> TableSchema {
        TableSchema {
            id: TableId(id),
            name: name.to_owned(),
            columns: vec![Column {
                name: "id".to_owned(),
                data_type: DataType::Integer,
                not_null: true,
                default: None,
            }],
            primary_key: vec![0],
            uniques: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
        }
    }

    #[test]
    fn numbers_are_given_once() {
        let mut catalog = Catalog::default();
        catalog.put(table(0, "a")).unwrap();
        catalog.remove("a").unwrap();
        assert_eq!(catalog.next_table(), TableId(1));
        assert_eq!(catalog.remove("a"), Err(CatalogError::NoSuchTable { name: "a".to_owned() }));
        catalog.put(table(1, "b")).unwrap();
        let again = catalog.put(table(2, "b"));
        assert_eq!(again, Err(CatalogError::AlreadyExists { name: "b".to_owned() }));
    }
}

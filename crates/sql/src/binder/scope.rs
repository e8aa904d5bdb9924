//! [`Scope`]: the columns that names can refer to.
//!
//! Invariant: `place` is the column's place in the row that expressions of the scope are evaluated on; the
//! order of `*` is the order of the list.

use deltaic_types::{DataType, TableSchema};

/// A column that can be named.
#[derive(Debug, Clone)]
pub(super) struct ScopeColumn {
    /// The table's name or alias.
    pub(super) relation: String,
    /// Its own name.
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) place: usize,
    /// Whether the name alone refers to it, and `*` shows it: not so for the second of two columns that
    /// USING made one.
    pub(super) bare: bool,
    /// Whether it is known never to be NULL.
    pub(super) not_null: bool,
}

/// Everything that can be named in one place of a statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<ScopeColumn>,
    /// The relations' names.
    pub(super) relations: Vec<String>,
    /// The number of places in the row.
    pub(super) width: usize,
    /// Primary keys: the places of a relation's key columns, and of all its columns.
    pub(super) keys: Vec<(Vec<usize>, Vec<usize>)>,
}

/// What a name refers to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    One(&'a ScopeColumn),
    None,
    Many,
}

impl Scope {
    /// The columns of a table under a name, hidden ones taking up their places.
    pub(super) fn of_table(table: &TableSchema, relation: &str) -> Self {
        let columns = table
            .visible()
            .map(|place| ScopeColumn {
                relation: relation.to_owned(),
                name: table.columns[place].name.clone(),
                data_type: table.columns[place].data_type.clone(),
                place,
                bare: true,
                not_null: table.columns[place].not_null,
            })
            .collect();
        Self {
            columns,
            relations: vec![relation.to_owned()],
            width: table.columns.len(),
            keys: vec![(table.primary_key.clone(), (0..table.columns.len()).collect())],
        }
    }

    /// The column of a name, with or without its relation's.
    pub(super) fn find(&self, relation: Option<&str>, name: &str) -> Found<'_> {
        let mut found = self.columns.iter().filter(|column| {
            column.name == name && relation.map_or(column.bare, |relation| column.relation == relation)
        });
        match (found.next(), found.next()) {
            (None, _) => Found::None,
            (Some(column), None) => Found::One(column),
            _ => Found::Many,
        }
    }

    /// Another scope's columns after this one's, in the row and in the list.
    pub(super) fn append(&mut self, other: Self) {
        let width = self.width;
        let moved = |places: Vec<usize>| places.into_iter().map(|place| place + width).collect();
        self.columns.extend(
            other.columns.into_iter().map(|column| ScopeColumn { place: column.place + width, ..column }),
        );
        self.relations.extend(other.relations);
        self.keys.extend(other.keys.into_iter().map(|(key, all)| (moved(key), moved(all))));
        self.width += other.width;
    }
}

//! [`TableSchema`], [`LiveView`] and [`Catalog`]: what tables and views there are and what they promise.
//!
//! Invariant: a table's id, a column's place in its table and an index's id are given once and never used
//! again, so that rows, plans and circuits may refer to them by number. Expressions (defaults, checks) and the
//! queries of views are kept as SQL text: the text is what the user said, and it outlives any form of ours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    Allocation, Budget, BudgetAmount, BudgetId, ConflictPolicy, DataType, LimitQuery, Merges, Offers,
    TableId,
    system_table::{REPLICA, replica_table, system_table, system_tables},
};

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
    /// How it merges.
    #[serde(default)]
    pub merges: Merges,
    /// What decides between writes of it that have not seen each other; of no meaning where it merges.
    #[serde(default, skip_serializing_if = "ConflictPolicy::is_last_writer")]
    pub conflict: ConflictPolicy,
}

impl Column {
    /// A column that may be NULL, has no default and does not merge.
    pub fn plain(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
            not_null: false,
            default: None,
            merges: Merges::default(),
            conflict: ConflictPolicy::default(),
        }
    }

    /// Its type as it is declared.
    pub fn type_name(&self) -> String {
        self.merges.type_name(&self.data_type)
    }
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
    /// Places of columns that are written together, ascending, so that their values are always those of one write. A column is in
    /// one group at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<usize>>,
    /// Whether a row stays away whose removal had not seen what was written to it meanwhile; otherwise the write brings it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub remove_wins: bool,
}

/// The name of the hidden key column of tables without a primary key. Not a name that SQL can say.
pub const ROW_ID: &str = "\u{0}row";

impl TableSchema {
    /// A table of nothing but columns and their primary key.
    pub fn plain(
        id: TableId,
        name: impl Into<String>,
        columns: Vec<Column>,
        primary_key: Vec<usize>,
    ) -> Self {
        Self {
            id,
            name: name.into(),
            columns,
            primary_key,
            uniques: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            indexes: Vec::new(),
            groups: Vec::new(),
            remove_wins: false,
        }
    }

    /// The columns that are written together with one, it among them; none where it is in no group.
    pub fn group_of(&self, place: usize) -> Option<&[usize]> {
        self.groups.iter().find(|group| group.contains(&place)).map(Vec::as_slice)
    }

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

/// A query under a name, whose result is kept up to date for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveView {
    /// Its name.
    pub name: String,
    /// The SQL text of its query.
    pub query: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The tables that the query reads itself, with the number of columns that each had when the view was made: `*` means
    /// those, and no later one's name takes part in the text.
    pub tables: BTreeMap<TableId, usize>,
    /// The views that the query reads itself.
    pub views: BTreeSet<String>,
    /// Whether each row of its result is a conflict.
    #[serde(default, skip_serializing_if = "is_false")]
    pub must_be_empty: bool,
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
    /// There is a budget of this name.
    #[error("budget \"{name}\" already exists")]
    BudgetExists {
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

/// All tables and views, and the numbers that are next.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    tables: BTreeMap<TableId, TableSchema>,
    next_table: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    views: BTreeMap<String, LiveView>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    budgets: BTreeMap<String, Budget>,
    #[serde(default, skip_serializing_if = "is_zero")]
    next_budget: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    allocations: BTreeMap<String, Allocation>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that the derivation asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that the derivation asks for")]
fn is_false(said: &bool) -> bool {
    !*said
}

impl Catalog {
    /// The table of a name.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        let system = system_tables().iter().map(|table| &table.schema);
        system.chain(self.tables.values()).find(|table| table.name == name)
    }

    /// The table of a number.
    pub fn get(&self, id: TableId) -> Option<&TableSchema> {
        match id {
            REPLICA => Some(replica_table()),
            id => self.tables.get(&id).or_else(|| system_table(id).map(|table| &table.schema)),
        }
    }

    /// All tables that were made, by number.
    pub fn tables(&self) -> impl Iterator<Item = &TableSchema> {
        self.tables.values()
    }

    /// All tables that a store may hold rows of, by number: those that were made, and the engine's records of a replica.
    pub fn stored_tables(&self) -> impl Iterator<Item = &TableSchema> {
        self.tables.values().chain(std::iter::once(replica_table()))
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
            let is_system = || system_tables().iter().any(|table| table.schema.name == *name);
            if taken(name) || self.views.contains_key(name) || is_system() {
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

    /// Whether a table, an index or a view has the name.
    pub fn is_taken(&self, name: &str) -> bool {
        self.views.contains_key(name)
            || system_tables().iter().any(|table| table.schema.name == name)
            || self
                .tables
                .values()
                .any(|table| table.name == name || table.indexes.iter().any(|index| index.name == name))
    }

    /// The view of a name.
    pub fn view(&self, name: &str) -> Option<&LiveView> {
        self.views.get(name)
    }

    /// All views, by name.
    pub fn views(&self) -> impl Iterator<Item = &LiveView> {
        self.views.values()
    }

    /// Adds a view.
    pub fn put_view(&mut self, view: LiveView) -> Result<(), CatalogError> {
        if self.is_taken(&view.name) {
            return Err(CatalogError::AlreadyExists { name: view.name });
        }
        self.views.insert(view.name.clone(), view);
        Ok(())
    }

    /// Removes a view; false where there is none of the name.
    pub fn remove_view(&mut self, name: &str) -> bool {
        self.views.remove(name).is_some()
    }

    /// The budget of a name.
    pub fn budget(&self, name: &str) -> Option<&Budget> {
        self.budgets.get(name)
    }

    /// All budgets, by name.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.budgets.values()
    }

    /// The number that the next new budget gets.
    pub fn next_budget(&self) -> BudgetId {
        BudgetId(self.next_budget)
    }

    /// Adds a budget under [`Catalog::next_budget`].
    pub fn put_budget(&mut self, budget: Budget) -> Result<(), CatalogError> {
        if self.budgets.contains_key(&budget.name) {
            return Err(CatalogError::BudgetExists { name: budget.name });
        }
        self.next_budget = self.next_budget.max(budget.id.0 + 1);
        self.budgets.insert(budget.name.clone(), budget);
        Ok(())
    }

    /// Removes a budget; false where there is none of the name.
    pub fn remove_budget(&mut self, name: &str) -> bool {
        self.budgets.remove(name).is_some()
    }

    /// The queries that say budgets' limits, with the names of their budgets.
    pub fn limit_queries(&self) -> impl Iterator<Item = (&str, &LimitQuery)> {
        self.budgets.values().flat_map(|budget| {
            budget.limits.iter().filter_map(|limit| match &limit.amount {
                BudgetAmount::Query(query) => Some((budget.name.as_str(), query)),
                BudgetAmount::Units(_) => None,
            })
        })
    }

    /// The allocation of a name.
    pub fn allocation(&self, name: &str) -> Option<&Allocation> {
        self.allocations.get(name)
    }

    /// All allocations, by name.
    pub fn allocations(&self) -> impl Iterator<Item = &Allocation> {
        self.allocations.values()
    }

    /// Adds an allocation, whose views are there.
    pub fn put_allocation(&mut self, allocation: Allocation) {
        self.allocations.insert(allocation.name.clone(), allocation);
    }

    /// Removes an allocation and gives it back; its views stay.
    pub fn remove_allocation(&mut self, name: &str) -> Option<Allocation> {
        self.allocations.remove(name)
    }

    /// The allocation whose offers a table has, with them.
    pub fn offers_in(&self, table: TableId) -> Option<(&Allocation, &Offers)> {
        self.allocations.values().find_map(|allocation| {
            let offers = allocation.offers.as_ref().filter(|offers| offers.table == table)?;
            Some((allocation, offers))
        })
    }

    /// The allocation whose offers a budget of a name admits.
    pub fn promiser_of(&self, budget: &str) -> Option<&Allocation> {
        let id = self.budget(budget)?.id;
        let is_its = |allocation: &&Allocation| {
            allocation.offers.as_ref().is_some_and(|offers| offers.budget == Some(id))
        };
        self.allocations.values().find(is_its)
    }

    /// The allocation that a view is part of.
    pub fn allocation_of(&self, view: &str) -> Option<&Allocation> {
        self.allocations.values().find(|allocation| allocation.views().any(|name| name == view))
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
        let id_column = Column { not_null: true, ..Column::plain("id", DataType::Integer) };
        TableSchema::plain(TableId(id), name, vec![id_column], vec![0])
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

    #[test]
    fn tables_and_views_share_names() {
        let view = |name: &str| LiveView {
            name: name.to_owned(),
            query: "SELECT id FROM a".to_owned(),
            columns: vec!["id".to_owned()],
            tables: BTreeMap::from([(TableId(0), 1)]),
            views: BTreeSet::new(),
            must_be_empty: false,
        };
        let taken = |name: &str| Err(CatalogError::AlreadyExists { name: name.to_owned() });
        let mut catalog = Catalog::default();
        catalog.put(table(0, "a")).unwrap();
        let without = serde_json::to_string(&catalog).unwrap();
        assert!(!without.contains("views"), "a catalog without views is written as it ever was");
        assert_eq!(catalog.put_view(view("a")), taken("a"));
        catalog.put_view(view("v")).unwrap();
        assert_eq!(catalog.put(table(1, "v")), taken("v"));
        let text = serde_json::to_string(&catalog).unwrap();
        assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), catalog);
        assert!(catalog.remove_view("v") && !catalog.remove_view("v"));
        assert_eq!(serde_json::from_str::<Catalog>(&without).unwrap(), catalog);
    }
    #[test]
    fn what_says_nothing_of_conflicts_is_stored_as_it_ever_was() {
        let view = r#"{"name":"v","query":"SELECT","columns":[],"tables":{},"views":[]}"#;
        let column =
            r#"{"name":"id","data_type":"integer","not_null":true,"default":null,"merges":"last_writer"}"#;
        let stored = format!(
            r#"{{"tables":{{"0":{{"id":0,"name":"a","columns":[{column}],"primary_key":[0],"uniques":[],"checks":[],"foreign_keys":[],"indexes":[]}}}},"next_table":1,"views":{{"v":{view}}}}}"#
        );
        let catalog: Catalog = serde_json::from_str(&stored).unwrap();
        assert_eq!(catalog.table("a"), Some(&table(0, "a")));
        assert!(!catalog.view("v").unwrap().must_be_empty);
        assert_eq!(serde_json::to_string(&catalog).unwrap(), stored);
    }

    #[test]
    fn what_is_said_of_conflicts_is_stored() {
        let mut catalog = Catalog::default();
        let mut said = table(0, "a");
        for (name, conflict) in [
            ("lat", ConflictPolicy::Priority { by: 2 }),
            ("rank", ConflictPolicy::Manual),
            ("title", ConflictPolicy::Custom { expression: "ours || theirs".to_owned() }),
        ] {
            said.columns.push(Column { conflict, ..Column::plain(name, DataType::Text) });
        }
        said.groups = vec![vec![1, 2]];
        said.remove_wins = true;
        assert_eq!(said.group_of(2), Some(&[1, 2][..]));
        assert_eq!(said.group_of(3), None);
        catalog.put(said).unwrap();
        let (query, views) = (String::new(), BTreeSet::new());
        let view = LiveView {
            name: "v".to_owned(),
            query,
            columns: Vec::new(),
            tables: BTreeMap::new(),
            views,
            must_be_empty: true,
        };
        catalog.put_view(view).unwrap();
        let text = serde_json::to_string(&catalog).unwrap();
        assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), catalog);
    }
}

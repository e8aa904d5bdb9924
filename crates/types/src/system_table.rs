//! The tables of the engine's own, under `deltaic.`: read by queries, written by the engine alone.
//!
//! Invariant: they are in no catalog that is stored, and their numbers count down from the greatest, so that no table that is made
//! meets them.

use std::sync::LazyLock;

use crate::{Column, DataType, TableId, TableSchema};

/// A table of the engine's own.
#[derive(Debug)]
pub struct SystemTable {
    /// What it looks like.
    pub schema: TableSchema,
    /// What to do instead of writing to it.
    pub instead: &'static str,
}

/// The table of budgets as they stand, kept in memory alone.
pub const BUDGETS: TableId = TableId(u32::MAX);

/// Its name.
pub const BUDGETS_NAME: &str = "deltaic.budgets";

/// The table of conflicts: what was decided, by which policy, and what is open.
pub const CONFLICTS: TableId = TableId(u32::MAX - 1);

/// Its name.
pub const CONFLICTS_NAME: &str = "deltaic.conflicts";

/// What a replica keeps of each row beyond its values, as records of the engine's own under a name that SQL cannot say. In the
/// store alone.
pub const REPLICA: TableId = TableId(u32::MAX - 2);

/// The table of what allocations give, kept in memory alone.
pub const ALLOCATIONS: TableId = TableId(u32::MAX - 3);

/// Its name.
pub const ALLOCATIONS_NAME: &str = "deltaic.allocations";

static REPLICA_TABLE: LazyLock<TableSchema> = LazyLock::new(|| {
    let columns = vec![given("key", DataType::Text), given("record", DataType::Text)];
    TableSchema::plain(REPLICA, "\u{0}replica", columns, vec![0])
});

/// The table of [`REPLICA`].
pub(crate) fn replica_table() -> &'static TableSchema {
    &REPLICA_TABLE
}

static TABLES: LazyLock<[SystemTable; 3]> = LazyLock::new(|| {
    [
        SystemTable {
            schema: budgets(),
            instead: "It shows budgets as they stand: CREATE BUDGET makes one, consume() spends.",
        },
        SystemTable {
            schema: conflicts(),
            instead: "It shows what merging met: UPDATE the row itself, or use deltaic conflicts resolve.",
        },
        SystemTable {
            schema: allocations(),
            instead: "It shows what is given: write to the tables that the allocation's queries read.",
        },
    ]
});

/// All of them.
pub fn system_tables() -> &'static [SystemTable] {
    &*TABLES
}

/// The one of a number.
pub fn system_table(id: TableId) -> Option<&'static SystemTable> {
    system_tables().iter().find(|table| table.schema.id == id)
}

fn given(name: &str, data_type: DataType) -> Column {
    Column { not_null: true, ..Column::plain(name, data_type) }
}

fn budgets() -> TableSchema {
    let columns = vec![
        given("budget", DataType::Text),
        given("key", DataType::Text),
        given("per", DataType::Text),
        given("limit", DataType::Bigint),
        given("used", DataType::Bigint),
        given("reserved", DataType::Bigint),
        given("available", DataType::Bigint),
        given("bound_under", DataType::Bigint),
        given("bound_over", DataType::Bigint),
        given("denied", DataType::Bigint),
        Column::plain("window_end", DataType::Timestamptz),
    ];
    TableSchema::plain(BUDGETS, BUDGETS_NAME, columns, vec![0, 1, 2])
}

/// `kind`: write-write, read-write, semantic, unique, reference. `relation`: the table or view. `key`: the row's key as a JSON array.
/// `columns`: the column, the columns of the group with ", " between them, or the constraint. `losing`, `winning`: dots, empty where there
/// is none. `loser`, `winner`: the values as JSON. `policy`: lww, priority, manual, custom, rule. `state`: open, decided, resolved.
fn conflicts() -> TableSchema {
    let columns = vec![
        given("kind", DataType::Text),
        given("relation", DataType::Text),
        given("key", DataType::Text),
        given("columns", DataType::Text),
        given("losing", DataType::Text),
        given("winning", DataType::Text),
        Column::plain("loser", DataType::Text),
        Column::plain("winner", DataType::Text),
        given("policy", DataType::Text),
        given("state", DataType::Text),
        given("at", DataType::Timestamptz),
    ];
    TableSchema::plain(CONFLICTS, CONFLICTS_NAME, columns, vec![1, 2, 3, 4, 5, 0])
}

/// `policy`: the allocation's, or the one that is computed beside it. `capacity`, `need`: slots. `tier`: accepted, held, guaranteed, mutual,
/// generous. `level`: where the filling of the edge stopped; none where it was not filled. `reason`: why it is not more.
fn allocations() -> TableSchema {
    let columns = vec![
        given("allocation", DataType::Text),
        given("policy", DataType::Text),
        given("provider", DataType::Text),
        given("capacity", DataType::Text),
        given("recipient", DataType::Text),
        given("need", DataType::Text),
        given("tier", DataType::Text),
        given("kind", DataType::Text),
        given("unit", DataType::Text),
        given("quantity", DataType::NUMERIC),
        Column::plain("level", DataType::NUMERIC),
        given("reason", DataType::Text),
    ];
    TableSchema::plain(ALLOCATIONS, ALLOCATIONS_NAME, columns, vec![0, 1, 2, 3, 4, 5, 6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, CatalogError};

    #[test]
    fn a_catalog_finds_each_by_name_and_number_and_stores_none() {
        let mut catalog = Catalog::default();
        let ids = [BUDGETS, CONFLICTS, ALLOCATIONS];
        assert!(ids.iter().all(|id| *id != REPLICA && id.0 > u32::MAX - 4));
        for (id, table) in ids.into_iter().zip(system_tables()) {
            let schema = &table.schema;
            assert_eq!(schema.id, id);
            assert_eq!(catalog.table(&schema.name), Some(schema));
            assert_eq!(catalog.get(schema.id), Some(schema));
            assert!(catalog.is_taken(&schema.name));
            assert!(catalog.remove(&schema.name).is_err());
            let taken = CatalogError::AlreadyExists { name: schema.name.clone() };
            let same = TableSchema { id: TableId(0), ..schema.clone() };
            assert_eq!(catalog.put(same), Err(taken));
            assert!(
                schema.primary_key.iter().all(|place| schema.columns[*place].not_null),
                "{}",
                schema.name
            );
        }
        assert_eq!(catalog, Catalog::default());
    }

    #[test]
    fn the_key_of_a_conflict_is_its_cell_and_its_dots() {
        let conflicts = &system_table(CONFLICTS).unwrap().schema;
        let names: Vec<&str> =
            conflicts.primary_key.iter().map(|place| conflicts.columns[*place].name.as_str()).collect();
        assert_eq!(names, ["relation", "key", "columns", "losing", "winning", "kind"]);
    }
}

//! [`Tables`]: the state of all tables in memory: the catalog and the hot columns of every row.
//!
//! A row in memory has a *slot* for each column that is hot: one that a key, an index or a constraint uses,
//! or that a query has read since the start. Other columns stay in the store. Slots are given in order and
//! never move, so a circuit that knows a slot keeps knowing it when more columns become hot. Invariant: a
//! clone is a snapshot (O(1) a table), and the rows of a relation are those of the store and of the writes
//! above it, column for column.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deltaic_dataflow::{KeyColumn, Relation, RelationId, Relations, Sample};
use deltaic_query::lower;
use deltaic_storage::{Reader, StorageError, StoredRow};
use deltaic_types::{
    Allocation, Budget, Catalog, CatalogError, LiveView, Row, TableId, TableSchema, Value, system_tables,
};

/// Rows that were written and are not in the store yet: None for a row that was deleted.
pub(crate) type Writes = BTreeMap<(TableId, Row), Option<StoredRow>>;

/// Which columns of a table are in memory, and where.
#[derive(Debug, Clone, Default)]
struct Layout {
    /// For each column its slot.
    slots: Vec<Option<usize>>,
    /// For each slot its column.
    columns: Vec<usize>,
}

impl Layout {
    fn of(table: &TableSchema) -> Self {
        let mut layout = Self { slots: vec![None; table.columns.len()], columns: Vec::new() };
        for columns in indexed(table) {
            for column in columns {
                layout.add(column);
            }
        }
        layout
    }

    fn add(&mut self, column: usize) {
        if self.slots.len() <= column {
            self.slots.resize(column + 1, None);
        }
        if self.slots[column].is_none() {
            self.slots[column] = Some(self.columns.len());
            self.columns.push(column);
        }
    }

    /// Gives a column another place in its table, behind all others; it keeps its slot.
    fn move_behind(&mut self, column: usize, place: usize) {
        let slot = self.slots.get_mut(column).and_then(Option::take);
        self.slots.resize(self.slots.len().max(place + 1), None);
        self.slots[place] = slot;
        if let Some(slot) = slot {
            self.columns[slot] = place;
        }
    }

    fn slot(&self, column: usize) -> Option<usize> {
        self.slots.get(column).copied().flatten()
    }

    fn slots_of(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().map(|column| self.slot(*column).expect("invariant: indexed columns are hot")).collect()
    }
}

/// The column lists that have an index: the primary key, then unique keys, then the others.
fn indexed(table: &TableSchema) -> Vec<Vec<usize>> {
    let unique = table.unique_keys().map(|(_, columns)| columns.to_vec());
    let declared = table.indexes.iter().filter(|index| !index.unique).map(|index| index.columns.clone());
    let foreign = table.foreign_keys.iter().map(|key| key.columns.clone());
    let mut all: Vec<Vec<usize>> = Vec::new();
    for columns in unique.chain(declared).chain(foreign) {
        if !all.contains(&columns) {
            all.push(columns);
        }
    }
    all
}

/// The tables' state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    catalog: Arc<Catalog>,
    layouts: Arc<BTreeMap<TableId, Layout>>,
    pub(crate) relations: Relations,
}

impl Tables {
    /// The state as the store has it, with the least columns in memory.
    pub(crate) fn load(catalog: Catalog, store: &dyn Reader) -> Result<Self, StorageError> {
        let ids: Vec<TableId> = catalog.tables().map(|table| table.id).collect();
        let mut tables = Self { catalog: Arc::new(catalog), ..Self::default() };
        for id in ids {
            let layout = Layout::of(tables.schema(id));
            Arc::make_mut(&mut tables.layouts).insert(id, layout);
            tables.reload(id, store, &[])?;
        }
        tables.show_system_tables();
        Ok(tables)
    }

    /// The tables of the engine's own, empty: all of them is in memory, and nothing of them in the store.
    fn show_system_tables(&mut self) {
        for table in system_tables() {
            let mut layout = Layout::of(&table.schema);
            (0..table.schema.columns.len()).for_each(|column| layout.add(column));
            let key = layout.slots_of(&table.schema.primary_key);
            Arc::make_mut(&mut self.layouts).insert(table.schema.id, layout);
            self.relations.put(RelationId::Table(table.schema.id), Relation::new(&key));
        }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether no definition lies between two states.
    pub(crate) fn has_catalog_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
    }

    /// Whether between two states no definition lies and no column was brought into memory.
    pub(crate) fn has_definitions_of(&self, other: &Self) -> bool {
        self.has_catalog_of(other) && Arc::ptr_eq(&self.layouts, &other.layouts)
    }

    /// Whether a table has all indexes that it has in another state.
    pub(crate) fn has_indexes_of(&self, other: &Self, id: TableId) -> bool {
        let theirs = other.relations.get(RelationId::Table(id)).into_iter().flat_map(Relation::keys);
        theirs.into_iter().all(|key| self.relation(id).index(key).is_some())
    }

    /// Takes over the tables that a transaction wrote, and those of which it brought columns into memory, where nothing of
    /// them has changed since it began.
    pub(crate) fn adopt(&mut self, after: &Self, began: &Self, written: &BTreeSet<TableId>) {
        for id in self.layouts.keys().filter(|id| written.contains(id) || after.is_wider(began, **id)) {
            self.relations.put(RelationId::Table(*id), after.relation(*id).clone());
        }
        self.layouts = Arc::clone(&after.layouts);
        if !after.has_catalog_of(began) {
            self.catalog = Arc::clone(&after.catalog);
        }
    }

    /// Whether more columns of a table are in memory than in another state.
    pub(crate) fn is_wider(&self, other: &Self, id: TableId) -> bool {
        let columns = |tables: &Self| tables.layouts.get(&id).map(|layout| layout.columns.len());
        columns(self) != columns(other)
    }

    pub(crate) fn schema(&self, id: TableId) -> &TableSchema {
        self.catalog.get(id).expect("invariant: a bound table is in the catalog")
    }

    pub(crate) fn relation(&self, id: TableId) -> &Relation {
        self.relations.get(RelationId::Table(id)).expect("invariant: a table has its relation")
    }

    pub(crate) fn relation_mut(&mut self, id: TableId) -> &mut Relation {
        self.relations.get_mut(RelationId::Table(id)).expect("invariant: a table has its relation")
    }

    /// The part of a row that is in memory.
    pub(crate) fn hot(&self, id: TableId, values: &Row) -> Row {
        values.project(&self.layouts[&id].columns)
    }

    /// The columns in memory, in the order of their slots.
    pub(crate) fn hot_columns(&self, id: TableId) -> &[usize] {
        &self.layouts[&id].columns
    }

    /// The row in memory of a primary key.
    pub(crate) fn get(&self, id: TableId, key: &[Value]) -> Option<&Row> {
        self.relation(id).get(key)
    }

    /// The rows whose columns have the values, by the index that a constraint on these columns has.
    pub(crate) fn find<'a>(&'a self, id: TableId, columns: &[usize], values: &[Value]) -> Vec<&'a Row> {
        if let Some(index) = self.relation(id).index(&self.key_of(id, columns)) {
            return index.probe(values).map(|(row, _)| row).collect();
        }
        // A reference may name the columns of its parent's key in another order than the key does.
        let place = |column: &usize| columns.iter().position(|other| other == column);
        let mut keys = self.schema(id).unique_keys().map(|(_, key)| key);
        let (key, places) = keys
            .find_map(|key| {
                let places: Option<Vec<usize>> = key.iter().map(place).collect();
                Some(key).zip(places.filter(|places| places.len() == columns.len()))
            })
            .expect("invariant: a constraint's columns are indexed");
        let values: Vec<Value> = places.into_iter().map(|place| values[place].clone()).collect();
        let index = self.relation(id).index(&self.key_of(id, key));
        let index = index.expect("invariant: a unique key is indexed");
        index.probe(&values).map(|(row, _)| row).collect()
    }

    /// The primary key of a row in memory.
    pub(crate) fn key_in_memory(&self, id: TableId, row: &Row) -> Row {
        let slots = self.layouts[&id].slots_of(&self.schema(id).primary_key);
        row.project(&slots)
    }

    /// The slots of indexed columns.
    pub(crate) fn slots(&self, id: TableId, columns: &[usize]) -> Vec<usize> {
        self.layouts[&id].slots_of(columns)
    }

    fn key_of(&self, id: TableId, columns: &[usize]) -> Vec<KeyColumn> {
        self.layouts[&id].slots_of(columns).into_iter().map(KeyColumn::ascending).collect()
    }

    /// Takes a table into the catalog, or its changed definition; a new index is built here.
    pub(crate) fn define(
        &mut self,
        table: TableSchema,
        store: &dyn Reader,
        writes: &[&Writes],
    ) -> Result<(), DefineError> {
        let id = table.id;
        let before = self.catalog.get(id).map(|before| before.columns.len());
        Arc::make_mut(&mut self.catalog).put(table)?;
        let last = self.schema(id).columns.len() - 1;
        if let Some(before) = before {
            if self.schema(id).has_row_id() && before <= last {
                let layouts = Arc::make_mut(&mut self.layouts);
                let layout = layouts.get_mut(&id).expect("invariant: a table has its layout");
                layout.move_behind(before - 1, last);
            }
        } else {
            let fresh = Layout::of(self.schema(id));
            let key = fresh.slots_of(&self.schema(id).primary_key);
            Arc::make_mut(&mut self.layouts).insert(id, fresh);
            self.relations.put(RelationId::Table(id), Relation::new(&key));
        }
        let needed: BTreeSet<(TableId, usize)> =
            indexed(self.schema(id)).into_iter().flatten().map(|column| (id, column)).collect();
        self.make_hot(&needed, store, writes)?;
        self.ensure_indexes(id);
        Ok(())
    }

    /// Takes a live view into the catalog.
    pub(crate) fn define_view(&mut self, view: LiveView) -> Result<(), CatalogError> {
        Arc::make_mut(&mut self.catalog).put_view(view)
    }

    /// Removes one.
    pub(crate) fn drop_view(&mut self, name: &str) {
        let was_there = Arc::make_mut(&mut self.catalog).remove_view(name);
        assert!(was_there, "a view that is dropped is there");
    }

    /// Takes a budget into the catalog.
    pub(crate) fn define_budget(&mut self, budget: Budget) -> Result<(), CatalogError> {
        Arc::make_mut(&mut self.catalog).put_budget(budget)
    }

    /// Removes one.
    pub(crate) fn drop_budget(&mut self, name: &str) {
        let was_there = Arc::make_mut(&mut self.catalog).remove_budget(name);
        assert!(was_there, "a budget that is dropped is there");
    }

    /// Takes an allocation into the catalog.
    pub(crate) fn define_allocation(&mut self, allocation: Allocation) {
        Arc::make_mut(&mut self.catalog).put_allocation(allocation);
    }

    /// Removes one.
    pub(crate) fn drop_allocation(&mut self, name: &str) -> Option<Allocation> {
        Arc::make_mut(&mut self.catalog).remove_allocation(name)
    }

    /// Removes a table.
    pub(crate) fn drop(&mut self, id: TableId) {
        let name = self.schema(id).name.clone();
        Arc::make_mut(&mut self.catalog).remove(&name).expect("invariant: the table was there just now");
        Arc::make_mut(&mut self.layouts).remove(&id);
        self.relations.remove(RelationId::Table(id));
    }

    /// The rows of the tables of which columns would have to be brought into memory.
    pub(crate) fn rows_of_cold(&self, columns: &BTreeSet<(TableId, usize)>) -> usize {
        let is_cold = |(id, column): &&(TableId, usize)| self.layouts[id].slot(*column).is_none();
        let cold: BTreeSet<TableId> = columns.iter().filter(is_cold).map(|(id, _)| *id).collect();
        cold.into_iter().map(|id| self.relation(id).len()).sum()
    }

    /// Brings columns into memory. Cost: nothing where they are there, else a scan of their tables.
    pub(crate) fn make_hot(
        &mut self,
        columns: &BTreeSet<(TableId, usize)>,
        store: &dyn Reader,
        writes: &[&Writes],
    ) -> Result<(), StorageError> {
        let cold: BTreeSet<TableId> = columns
            .iter()
            .filter(|(id, column)| self.layouts[id].slot(*column).is_none())
            .map(|(id, _)| *id)
            .collect();
        if cold.is_empty() {
            return Ok(());
        }
        // A table that cannot be read stays as it was: a column has its slot only where its values are there.
        let mut next = self.clone();
        let layouts = Arc::make_mut(&mut next.layouts);
        for (id, column) in columns.iter().filter(|(id, _)| cold.contains(id)) {
            layouts.get_mut(id).expect("invariant: a table has its layout").add(*column);
        }
        for id in cold {
            next.reload(id, store, writes)?;
        }
        *self = next;
        Ok(())
    }

    /// Reads a table's hot columns from the store and from the writes above it, later ones last.
    fn reload(&mut self, id: TableId, store: &dyn Reader, writes: &[&Writes]) -> Result<(), StorageError> {
        let layout = &self.layouts[&id];
        let key = layout.slots_of(&self.schema(id).primary_key);
        let kept: Vec<Vec<KeyColumn>> = match self.relations.get(RelationId::Table(id)) {
            Some(relation) => relation.keys().map(<[KeyColumn]>::to_vec).collect(),
            None => Vec::new(),
        };
        let mut rows = Vec::new();
        let written = |row: &Row| writes.iter().any(|writes| writes.contains_key(&(id, row.project(&key))));
        // Where every row was written since, the store may not even know the table's columns.
        let all_written = self
            .relations
            .get(RelationId::Table(id))
            .is_some_and(|relation| relation.primary().iter().all(|(row, _)| written(row)));
        if !all_written {
            store.scan(id, &layout.columns, &mut |row| {
                if !written(&row) {
                    rows.push(row);
                }
            })?;
        }
        let mut latest: BTreeMap<&Row, Option<&StoredRow>> = BTreeMap::new();
        for writes in writes {
            let of_table = writes.iter().filter(|((table, _), _)| *table == id);
            latest.extend(of_table.map(|((_, key), row)| (key, row.as_ref())));
        }
        rows.extend(latest.into_values().flatten().map(|row| row.values.project(&layout.columns)));
        let mut relation = Relation::of(&key, rows);
        for key in kept {
            relation.ensure_index(&key);
        }
        self.relations.put(RelationId::Table(id), relation);
        self.ensure_indexes(id);
        Ok(())
    }

    fn ensure_indexes(&mut self, id: TableId) {
        let keys: Vec<Vec<KeyColumn>> =
            indexed(self.schema(id)).iter().map(|columns| self.key_of(id, columns)).collect();
        for key in keys {
            self.relation_mut(id).ensure_index(&key);
        }
    }
}

impl lower::Tables for Tables {
    fn slot(&self, table: TableId, column: usize) -> Option<usize> {
        self.layouts[&table].slot(column)
    }

    fn keys(&self, table: TableId) -> Vec<Vec<usize>> {
        let layout = &self.layouts[&table];
        indexed(self.schema(table)).iter().map(|columns| layout.slots_of(columns)).collect()
    }

    fn rows(&self, table: TableId) -> Option<usize> {
        Some(self.relation(table).len())
    }

    fn sample(&self, table: TableId, columns: &[usize]) -> Option<Sample> {
        let key: Vec<KeyColumn> = columns.iter().copied().map(KeyColumn::ascending).collect();
        self.relation(table).index(&key).map(|index| index.sample(columns.len()))
    }
}

/// Why a definition was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DefineError {
    #[error(transparent)]
    Catalog(#[from] deltaic_types::CatalogError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

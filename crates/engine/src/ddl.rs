//! CREATE, DROP and ALTER: changes of the catalog, and of what is there already.

use deltaic_query::{
    evaluate,
    plan::Query,
    statement::{AddColumn, CreateAllocation, CreateBudget, CreateIndex, CreateLiveView},
    template::{bind_parameters, bind_time},
};
use deltaic_types::{Allocation, LiveView, Merges, Row, TableId, Value};

use crate::{
    constraint::{RowChange, apply, check_existing},
    error::{ConstraintError, MergeError, RequestError},
    read,
    transaction::Transaction,
};

/// DROP TABLE: refused while a table that stays refers to one that goes.
pub(crate) fn drop_tables(transaction: &mut Transaction<'_>, tables: &[TableId]) -> Result<(), RequestError> {
    for table in tables {
        if let Some((allocation, _)) = transaction.tables.catalog().offers_in(*table) {
            let (name, allocation) =
                (transaction.tables.schema(*table).name.clone(), allocation.name.clone());
            return Err(ConstraintError::PartOfAllocation { kind: "table", name, allocation }.into());
        }
    }
    remove_tables(transaction, tables)
}

/// The same of any tables.
fn remove_tables(transaction: &mut Transaction<'_>, tables: &[TableId]) -> Result<(), RequestError> {
    for table in tables {
        let catalog = transaction.tables.catalog();
        let referring = catalog.references(*table).find(|(child, _)| !tables.contains(&child.id));
        if let Some((child, key)) = referring {
            return Err(ConstraintError::TableReferenced {
                table: transaction.tables.schema(*table).name.clone(),
                child: child.name.clone(),
                constraint: key.name.clone(),
            }
            .into());
        }
    }
    for table in tables {
        let reader = transaction.tables.catalog().views().find(|view| view.tables.contains_key(table));
        if let Some(view) = reader {
            let name = transaction.tables.schema(*table).name.clone();
            return Err(read_by(transaction, "table", name, view).into());
        }
    }
    for table in tables {
        let mut queries = transaction.tables.catalog().limit_queries();
        if let Some((budget, _)) = queries.find(|(_, query)| query.tables.contains(table)) {
            let (name, budget) = (transaction.tables.schema(*table).name.clone(), budget.to_owned());
            return Err(ConstraintError::ReadByBudget { kind: "table", name, budget }.into());
        }
    }
    for table in tables {
        transaction.drop_table(*table);
    }
    Ok(())
}

/// What is read by a view, or by the allocation that the view is part of.
fn read_by(
    transaction: &Transaction<'_>,
    kind: &'static str,
    name: String,
    reader: &LiveView,
) -> ConstraintError {
    match transaction.tables.catalog().allocation_of(&reader.name) {
        Some(allocation) => {
            ConstraintError::ReadByAllocation { kind, name, allocation: allocation.name.clone() }
        }
        None => ConstraintError::ReadByView { kind, name, view: reader.name.clone() },
    }
}

/// CREATE LIVE VIEW: refused where the query cannot be live, or not be computed as the tables are. Cost: the query's.
pub(crate) fn create_live_view(
    transaction: &mut Transaction<'_>,
    create: &CreateLiveView,
) -> Result<(), RequestError> {
    read::install(&create.query, transaction, false)?;
    // It is asked once, as of now.
    let plan = bind_time(&create.query.plan, transaction.now.0);
    read::rows(&Query { plan, ..create.query.clone() }, transaction)?;
    transaction.define_view(create.view.clone())
}

/// DROP LIVE VIEW: refused while a view that stays reads one that goes.
pub(crate) fn drop_live_views(
    transaction: &mut Transaction<'_>,
    names: &[String],
) -> Result<(), RequestError> {
    for name in names {
        if let Some(allocation) = transaction.tables.catalog().allocation_of(name) {
            let (name, allocation) = (name.clone(), allocation.name.clone());
            return Err(ConstraintError::PartOfAllocation { kind: "live view", name, allocation }.into());
        }
    }
    remove_views(transaction, names)
}

/// The same of any views.
fn remove_views(transaction: &mut Transaction<'_>, names: &[String]) -> Result<(), RequestError> {
    for name in names {
        let mut views = transaction.tables.catalog().views();
        if let Some(reader) = views.find(|view| view.views.contains(name) && !names.contains(&view.name)) {
            return Err(read_by(transaction, "live view", name.clone(), reader).into());
        }
    }
    for name in names {
        let mut queries = transaction.tables.catalog().limit_queries();
        if let Some((budget, _)) = queries.find(|(_, query)| query.views.contains(name)) {
            let (name, budget) = (name.clone(), budget.to_owned());
            return Err(ConstraintError::ReadByBudget { kind: "live view", name, budget }.into());
        }
    }
    for name in names {
        transaction.drop_view(name);
    }
    Ok(())
}

/// CREATE ALLOCATION: refused where one of its queries cannot be computed as the tables are. Cost: the queries'.
pub(crate) fn create_allocation(
    transaction: &mut Transaction<'_>,
    create: &CreateAllocation,
) -> Result<(), RequestError> {
    if let Some(table) = &create.offers {
        transaction.define(table.clone())?;
    }
    create.views.iter().try_for_each(|view| create_live_view(transaction, view))?;
    if let Some(budget) = &create.budget {
        create_budget(transaction, budget)?;
    }
    transaction.define_allocation(create.allocation.clone());
    Ok(())
}

/// DROP ALLOCATION, with its views: refused while something that stays reads one of them.
pub(crate) fn drop_allocations(
    transaction: &mut Transaction<'_>,
    names: &[String],
) -> Result<(), RequestError> {
    let gone = names.iter().filter_map(|name| transaction.drop_allocation(name));
    let gone: Vec<Allocation> = gone.collect();
    let promises =
        |allocation: &&Allocation| allocation.offers.as_ref().is_some_and(|offers| offers.budget.is_some());
    for allocation in gone.iter().filter(promises) {
        transaction.drop_budget(&Allocation::offers_of(&allocation.name));
    }
    let views: Vec<String> = gone.iter().flat_map(|gone| gone.views().collect::<Vec<_>>()).collect();
    remove_views(transaction, &views)?;
    let tables: Vec<TableId> =
        gone.iter().filter_map(|gone| gone.offers.as_ref()).map(|offers| offers.table).collect();
    remove_tables(transaction, &tables)
}

/// CREATE BUDGET: refused where the query of a limit cannot be computed as the tables are. Cost: the queries'.
pub(crate) fn create_budget(
    transaction: &mut Transaction<'_>,
    create: &CreateBudget,
) -> Result<(), RequestError> {
    for query in &create.queries {
        // It is asked once, for nobody.
        let values = vec![Value::Null; create.budget.key.len()];
        let plan = bind_parameters(&bind_time(&query.plan, transaction.now.0), &values);
        read::rows(&Query { plan, ..query.clone() }, transaction)?;
    }
    transaction.define_budget(create.budget.clone())
}

/// DROP BUDGET.
pub(crate) fn drop_budgets(transaction: &mut Transaction<'_>, names: &[String]) -> Result<(), RequestError> {
    for name in names {
        if let Some(allocation) = transaction.tables.catalog().promiser_of(name) {
            let (name, allocation) = (name.clone(), allocation.name.clone());
            return Err(ConstraintError::PartOfAllocation { kind: "budget", name, allocation }.into());
        }
        transaction.drop_budget(name);
    }
    Ok(())
}

/// ALTER TABLE ADD COLUMN: every row that is there gets the column's value. Cost: a write for each row.
pub(crate) fn add_column(transaction: &mut Transaction<'_>, add: &AddColumn) -> Result<(), RequestError> {
    let mut schema = transaction.tables.schema(add.table).clone();
    let rows = transaction.all_rows(add.table)?;
    let fill = evaluate(&add.fill, &Row::empty())?;
    // The hidden key stays the last column.
    let place = schema.columns.len() - usize::from(schema.has_row_id());
    if schema.has_row_id() {
        schema.primary_key = vec![place + 1];
    }
    schema.columns.insert(place, add.column.clone());
    transaction.define(schema)?;
    // What rows of several members read as that nobody has written to.
    let draft = transaction.draft.as_ref().and_then(|draft| draft.shape(add.table));
    let initial = draft.map_or_else(|| fill.clone(), |shape| shape.initial(place).clone());
    if initial != fill && !rows.is_empty() && add.column.merges != Merges::LastWriter {
        let (table, column) = (transaction.tables.schema(add.table).name.clone(), add.column.name.clone());
        return Err(RequestError::Merge { table, error: MergeError::Default { column } });
    }
    let changes: Vec<RowChange> = rows
        .into_iter()
        .map(|mut before| {
            let mut values = before.values.to_vec();
            values.insert(place, fill.clone());
            let after = Row::from(values.clone());
            values[place] = initial.clone();
            before.values = Row::from(values);
            for cell in &mut before.cells {
                cell.column += usize::from(cell.column >= place);
            }
            RowChange::update(before, after)
        })
        .collect();
    apply(transaction, add.table, &changes)
}

/// CREATE INDEX.
pub(crate) fn create_index(
    transaction: &mut Transaction<'_>,
    create: &CreateIndex,
) -> Result<(), RequestError> {
    let mut schema = transaction.tables.schema(create.table).clone();
    schema.indexes.push(create.index.clone());
    transaction.define(schema)?;
    if create.index.unique { check_existing(transaction, create.table) } else { Ok(()) }
}

/// DROP INDEX: refused for one that makes unique what a foreign key refers to.
pub(crate) fn drop_indexes(
    transaction: &mut Transaction<'_>,
    indexes: &[(TableId, String)],
) -> Result<(), RequestError> {
    for (table, name) in indexes {
        let mut schema = transaction.tables.schema(*table).clone();
        schema.indexes.retain(|index| index.name != *name);
        transaction.define(schema)?;
        let schema = transaction.tables.schema(*table);
        let has_key = |columns: &[usize]| {
            let same =
                |key: &[usize]| key.len() == columns.len() && key.iter().all(|place| columns.contains(place));
            schema.unique_keys().any(|(_, key)| same(key))
        };
        let mut references = transaction.tables.catalog().references(*table);
        if let Some((child, key)) = references.find(|(_, key)| !has_key(&key.parent_columns)) {
            return Err(ConstraintError::IndexReferenced {
                index: name.clone(),
                child: child.name.clone(),
                constraint: key.name.clone(),
            }
            .into());
        }
    }
    Ok(())
}

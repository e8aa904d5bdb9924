//! Constraints: what every statement must leave true, checked when its rows are in place.
//!
//! Invariant: after [`apply`] returns Ok no row breaks NOT NULL, CHECK, UNIQUE or FOREIGN KEY, counting the
//! rows that ON DELETE and ON UPDATE changed on the way. Unique keys are compared when the whole statement
//! is applied, so `SET id = id + 1` is no conflict; a reference to a missing row is found when everything
//! that cascades has cascaded.

use std::collections::{BTreeSet, VecDeque};

use deltaic_dataflow::Scalar;
use deltaic_query::{bind_check, compile};
use deltaic_storage::StoredRow;
use deltaic_types::{
    ForeignKey, ReferentialAction, Row, TableId, TableSchema, Value, codec, limits, text_format,
};

use crate::{
    error::{ConstraintError, RequestError},
    transaction::Transaction,
};

/// A row before and after: no row before is an insertion, no row after a deletion.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    pub(crate) before: Option<StoredRow>,
    pub(crate) after: Option<Row>,
}

/// Applies changes of one table, with all that they entail in others. Gives the number of rows written.
pub(crate) fn apply(
    transaction: &mut Transaction<'_>,
    table: TableId,
    changes: Vec<RowChange>,
) -> Result<usize, RequestError> {
    let mut written = 0;
    let mut queue = VecDeque::from([(table, changes)]);
    let mut references: Vec<(TableId, Row)> = Vec::new();
    let mut orphaned: Vec<Orphaned> = Vec::new();
    while let Some((table, changes)) = queue.pop_front() {
        written += changes.len();
        if written > limits::STATEMENT_ROWS {
            return Err(RequestError::TooManyRows { rows: written, limit: limits::STATEMENT_ROWS });
        }
        let schema = transaction.tables.schema(table).clone();
        check_rows(&schema, &changes)?;
        replace(transaction, &schema, &changes)?;
        for change in &changes {
            references.extend(change.after.iter().map(|row| (table, row.clone())));
        }
        queue.extend(cascade(transaction, &schema, &changes, &mut orphaned)?);
    }
    for orphaned in orphaned {
        orphaned.check(transaction)?;
    }
    for (table, row) in references {
        check_references(transaction, table, &row)?;
    }
    Ok(written)
}

/// NOT NULL, CHECK and the length of rows.
fn check_rows(schema: &TableSchema, changes: &[RowChange]) -> Result<(), RequestError> {
    let checks = compile_checks(schema)?;
    let mut bytes = Vec::new();
    for row in changes.iter().filter_map(|change| change.after.as_ref()) {
        check_row(schema, &checks, row)?;
        bytes.clear();
        codec::write_row(&mut bytes, row);
        if bytes.len() > limits::ROW_BYTES {
            let table = schema.name.clone();
            return Err(RequestError::RowTooLong { table, bytes: bytes.len(), limit: limits::ROW_BYTES });
        }
    }
    Ok(())
}

/// The CHECK constraints of a table, compiled over its whole rows.
fn compile_checks(schema: &TableSchema) -> Result<Vec<(String, Scalar)>, RequestError> {
    schema
        .checks
        .iter()
        .map(|check| {
            let expr = bind_check(&check.expression, schema)?;
            Ok((check.name.clone(), compile(&expr, &|place| (0, place))))
        })
        .collect()
}

fn check_row(schema: &TableSchema, checks: &[(String, Scalar)], row: &Row) -> Result<(), RequestError> {
    let null =
        schema.columns.iter().zip(row.iter()).find(|(column, value)| column.not_null && value.is_null());
    if let Some((column, _)) = null {
        let (table, column) = (schema.name.clone(), column.name.clone());
        return Err(ConstraintError::NotNull { table, column }.into());
    }
    for (name, check) in checks {
        // NULL satisfies a CHECK; only FALSE breaks it.
        if check.eval(std::slice::from_ref(row))? == Value::Boolean(false) {
            let (table, constraint) = (schema.name.clone(), name.clone());
            return Err(ConstraintError::Check { table, constraint }.into());
        }
    }
    Ok(())
}

/// Takes the rows before out of the table and puts the rows after in; then unique keys are unique.
fn replace(
    transaction: &mut Transaction<'_>,
    schema: &TableSchema,
    changes: &[RowChange],
) -> Result<(), RequestError> {
    let key = |values: &Row| values.project(&schema.primary_key);
    for before in changes.iter().filter_map(|change| change.before.as_ref()) {
        transaction.remove(schema.id, &key(&before.values));
    }
    for change in changes {
        let Some(after) = &change.after else { continue };
        for (name, columns) in schema.unique_keys() {
            let values = after.project(columns);
            let any_null = values.iter().any(Value::is_null);
            if !any_null && !transaction.tables.find(schema.id, columns, &values).is_empty() {
                return Err(unique_error(schema, name, columns, &values).into());
            }
        }
        transaction.insert(schema.id, key(after), after.clone(), change.before.as_ref());
    }
    Ok(())
}

pub(crate) fn unique_error(
    schema: &TableSchema,
    name: &str,
    columns: &[usize],
    values: &Row,
) -> ConstraintError {
    let constraint = if name == "primary key" { format!("{}_pkey", schema.name) } else { name.to_owned() };
    let columns: Vec<&str> = columns.iter().map(|place| schema.columns[*place].name.as_str()).collect();
    ConstraintError::Unique { constraint, columns: columns.join(", "), values: list(values) }
}

/// Rows that may have lost what they refer to; looked at when the whole statement is done.
struct Orphaned {
    child: TableId,
    key: ForeignKey,
    values: Row,
}

impl Orphaned {
    fn check(&self, transaction: &Transaction<'_>) -> Result<(), RequestError> {
        let tables = &transaction.tables;
        let back = !tables.find(self.key.parent, &self.key.parent_columns, &self.values).is_empty();
        if back || tables.find(self.child, &self.key.columns, &self.values).is_empty() {
            return Ok(());
        }
        Err(ConstraintError::StillReferenced {
            parent: tables.schema(self.key.parent).name.clone(),
            table: tables.schema(self.child).name.clone(),
            constraint: self.key.name.clone(),
            values: list(&self.values),
        }
        .into())
    }
}

/// What the changes of a table do to rows that refer to it.
fn cascade(
    transaction: &Transaction<'_>,
    schema: &TableSchema,
    changes: &[RowChange],
    orphaned: &mut Vec<Orphaned>,
) -> Result<Vec<(TableId, Vec<RowChange>)>, RequestError> {
    let tables = &transaction.tables;
    let mut follow = Vec::new();
    for (child, key) in tables.catalog().references(schema.id) {
        let mut changed = Vec::new();
        let mut seen = BTreeSet::new();
        for change in changes {
            let Some(before) = &change.before else { continue };
            let values = before.values.project(&key.parent_columns);
            let after = change.after.as_ref().map(|row| row.project(&key.parent_columns));
            let still_there = values.iter().any(Value::is_null)
                || after.as_ref() == Some(&values)
                || !tables.find(schema.id, &key.parent_columns, &values).is_empty();
            if still_there {
                continue;
            }
            let action = if after.is_some() { key.on_update } else { key.on_delete };
            if action == ReferentialAction::Restrict {
                orphaned.push(Orphaned { child: child.id, key: key.clone(), values });
                continue;
            }
            for row in tables.find(child.id, &key.columns, &values) {
                let child_key = tables.key_in_memory(child.id, row);
                if !seen.insert(child_key.clone()) {
                    continue;
                }
                let before = transaction
                    .stored(child.id, &child_key)?
                    .expect("invariant: a row in memory is stored or written");
                let replaced = |by: &dyn Fn(usize) -> Value| {
                    let mut row = before.values.to_vec();
                    for (place, column) in key.columns.iter().enumerate() {
                        row[*column] = by(place);
                    }
                    Row::from(row)
                };
                let after = match (action, &after) {
                    (ReferentialAction::SetNull, _) => Some(replaced(&|_| Value::Null)),
                    (_, Some(parent)) => Some(replaced(&|place| parent[place].clone())),
                    (_, None) => None,
                };
                changed.push(RowChange { before: Some(before), after });
            }
        }
        if !changed.is_empty() {
            follow.push((child.id, changed));
        }
    }
    Ok(follow)
}

/// FOREIGN KEY: what a row refers to is there, unless the row is gone again.
fn check_references(transaction: &Transaction<'_>, table: TableId, row: &Row) -> Result<(), RequestError> {
    let tables = &transaction.tables;
    let schema = tables.schema(table);
    if schema.foreign_keys.is_empty() {
        return Ok(());
    }
    let key = row.project(&schema.primary_key);
    let current = transaction.stored(table, &key)?;
    if current.is_none_or(|current| current.values != *row) {
        return Ok(());
    }
    for foreign in &schema.foreign_keys {
        let values = row.project(&foreign.columns);
        let complete = values.iter().all(|value| !value.is_null());
        if complete && tables.find(foreign.parent, &foreign.parent_columns, &values).is_empty() {
            return Err(ConstraintError::NoParent {
                table: schema.name.clone(),
                constraint: foreign.name.clone(),
                values: list(&values),
                parent: tables.schema(foreign.parent).name.clone(),
            }
            .into());
        }
    }
    Ok(())
}

/// Checks what is there already against a table's definition: a new unique index, a new column.
pub(crate) fn check_existing(transaction: &Transaction<'_>, table: TableId) -> Result<(), RequestError> {
    let schema = transaction.tables.schema(table);
    for (name, columns) in schema.unique_keys() {
        let mut seen: BTreeSet<Row> = BTreeSet::new();
        let slots = transaction.tables.slots(table, columns);
        for (row, _) in transaction.tables.relation(table).primary().iter() {
            let values = row.project(&slots);
            if values.iter().all(|value| !value.is_null()) && !seen.insert(values.clone()) {
                return Err(unique_error(schema, name, columns, &values).into());
            }
        }
    }
    Ok(())
}

pub(crate) fn list(values: &Row) -> String {
    let texts: Vec<String> = values
        .iter()
        .map(|value| if value.is_null() { "NULL".to_owned() } else { text_format::to_text(value) })
        .collect();
    texts.join(", ")
}

//! INSERT, UPDATE and DELETE: from a bound statement to changes of rows.
//!
//! A statement reads the state before it, whole; its changes are applied together, constraints last. ON
//! CONFLICT is the exception: each row is looked up among those that the statement has written already.

use std::collections::BTreeSet;

use deltaic_dataflow::Scalar;
use deltaic_query::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    plan::ResultColumn,
    statement::{ConflictAction, Delete, Insert, OnConflict, Returning, Update},
};
use deltaic_storage::StoredRow;
use deltaic_types::{Row, TableId, TableSchema, Value};

use crate::{
    constraint::{Applied, RowChange, Rules, apply, list},
    error::{ConstraintError, RequestError},
    merging::kept,
    mesh::settling::{record_read, shifted},
    read,
    transaction::Transaction,
};

/// What a writing statement did.
pub(crate) struct Written {
    pub(crate) columns: Vec<ResultColumn>,
    pub(crate) rows: Vec<Row>,
    pub(crate) count: u64,
}

impl Written {
    fn of(rows: &[Row], returning: Option<&Returning>) -> Result<Self, RequestError> {
        let count = rows.len() as u64;
        let Some(returning) = returning else {
            return Ok(Self { columns: Vec::new(), rows: Vec::new(), count });
        };
        let scalars: Vec<Scalar> = returning.exprs.iter().map(over_row).collect();
        let rows = rows.iter().map(|row| values_of(&scalars, row)).collect::<Result<_, _>>()?;
        Ok(Self { columns: returning.columns.clone(), rows, count })
    }
}

fn over_row(expr: &Expr) -> Scalar {
    compile(expr, &|place| (0, place))
}

fn values_of(scalars: &[Scalar], row: &Row) -> Result<Row, RequestError> {
    let values: Result<Vec<Value>, _> =
        scalars.iter().map(|scalar| scalar.eval(std::slice::from_ref(row))).collect();
    Ok(Row::from(values?))
}

/// INSERT.
pub(crate) fn insert(transaction: &mut Transaction<'_>, insert: &Insert) -> Result<Written, RequestError> {
    let mut rows = read::source_rows(&insert.source, transaction)?;
    transaction.expect_writes(rows.len())?;
    if transaction.tables.schema(insert.table).has_row_id() {
        for row in &mut rows {
            let mut values = row.to_vec();
            let id = transaction.next_row_id()?;
            *values.last_mut().expect("invariant: the hidden key is a column") = Value::Integer(id);
            *row = Row::from(values);
        }
    }
    let schema = transaction.tables.schema(insert.table).clone();
    let rows = rows.into_iter().map(|row| kept(&schema, None, row)).collect::<Result<Vec<_>, _>>()?;
    let written = match &insert.on_conflict {
        None => {
            let changes: Vec<RowChange> = rows.iter().cloned().map(RowChange::insertion).collect();
            apply(transaction, insert.table, &changes)?;
            rows
        }
        Some(on_conflict) => insert_or(transaction, insert.table, rows, on_conflict)?,
    };
    Written::of(&written, insert.returning.as_ref())
}

/// INSERT … ON CONFLICT: the rows that were written.
fn insert_or(
    transaction: &mut Transaction<'_>,
    table: TableId,
    rows: Vec<Row>,
    on_conflict: &OnConflict,
) -> Result<Vec<Row>, RequestError> {
    // Also where a row is found there and nothing is written.
    transaction.reads([table]);
    let schema = transaction.tables.schema(table).clone();
    let keys: Vec<Vec<usize>> = match &on_conflict.target {
        Some(target) => vec![target.clone()],
        None => schema.unique_keys().map(|(_, columns)| columns.to_vec()).collect(),
    };
    let update = match &on_conflict.action {
        ConflictAction::Nothing => None,
        ConflictAction::Update { assignments: given, filter } => {
            // Two rows make the tuple: the present one's columns, then those of the row that was to come.
            let width = schema.columns.len();
            let place = move |place: usize| if place < width { (0, place) } else { (1, place - width) };
            let assignments: Vec<(usize, Scalar)> =
                given.iter().map(|(column, expr)| (*column, compile(expr, &place))).collect();
            let shifts = shifted(transaction, &schema, given, &place);
            Some((assignments, shifts, filter.as_ref().map(|filter| compile(filter, &place))))
        }
    };
    let rules = Rules::of(&schema)?;
    let mut statement = Applied::default();
    let mut written: Vec<Row> = Vec::new();
    let (mut touched, mut updated): (BTreeSet<Row>, Vec<Row>) = (BTreeSet::new(), Vec::new());
    for row in rows {
        // Even a row that is not to be written must be a row of the table.
        rules.check(&row)?;
        let Some(present) = conflicting(transaction, table, &keys, &row)? else {
            touched.insert(row.project(&schema.primary_key));
            statement.write(transaction, &rules, &[RowChange::insertion(row.clone())])?;
            written.push(row);
            continue;
        };
        let Some((assignments, shifts, filter)) = &update else { continue };
        let key = present.values.project(&schema.primary_key);
        if touched.contains(&key) {
            return Err(ConstraintError::SecondChange { values: list(&key) }.into());
        }
        let tuple = [present.values.clone(), row];
        if let Some(filter) = filter
            && !filter.holds(&tuple)?
        {
            continue;
        }
        let mut values = present.values.to_vec();
        for (column, scalar) in assignments {
            values[*column] = scalar.eval(&tuple)?;
        }
        let after = kept(&schema, Some(&present.values), Row::from(values))?;
        touched.insert(after.project(&schema.primary_key));
        let shifts =
            shifts.iter().filter_map(|shifted| shifted.over(&tuple).transpose()).collect::<Result<_, _>>()?;
        updated.push(present.values.clone());
        let change = RowChange { shifts, ..RowChange::update(present, after.clone()) };
        statement.write(transaction, &rules, &[change])?;
        written.push(after);
    }
    statement.finish(transaction)?;
    if let (true, ConflictAction::Update { assignments, filter }) =
        (transaction.draft.is_some(), &on_conflict.action)
    {
        // Of the two rows side by side: the present one's columns.
        let is_of_present = |column: &usize| *column < schema.columns.len();
        let read = columns_read(filter.as_ref(), assignments).into_iter().filter(is_of_present);
        record_read(transaction, table, &updated, &read.collect::<Vec<_>>())?;
    }
    Ok(written)
}

/// The row that has one of the unique keys of a new row.
fn conflicting(
    transaction: &Transaction<'_>,
    table: TableId,
    keys: &[Vec<usize>],
    row: &Row,
) -> Result<Option<StoredRow>, RequestError> {
    for columns in keys {
        let values = row.project(columns);
        if values.iter().any(Value::is_null) {
            continue;
        }
        if let Some(found) = transaction.tables.find(table, columns, &values).first() {
            let key = transaction.tables.key_in_memory(table, found);
            return Ok(transaction.stored(table, &key)?);
        }
    }
    Ok(None)
}

/// UPDATE.
pub(crate) fn update(transaction: &mut Transaction<'_>, update: &Update) -> Result<Written, RequestError> {
    let (nested, plain): (Vec<_>, Vec<_>) =
        update.assignments.iter().partition(|(_, expr)| expr.has_subquery());
    let assignments: Vec<(usize, Scalar)> =
        plain.into_iter().map(|(column, expr)| (*column, over_row(expr))).collect();
    // Subqueries see the state before the statement, and are part of the query that finds the rows.
    let queried: Vec<&Expr> = nested.iter().map(|(_, expr)| expr).collect();
    let schema = transaction.tables.schema(update.table).clone();
    let shifts = shifted(transaction, &schema, &update.assignments, &|place| (0, place));
    let mut changes = Vec::new();
    let mut written = Vec::new();
    for (before, found) in matching(transaction, update.table, update.filter.as_ref(), &queried)? {
        let mut values = before.values.to_vec();
        for (column, scalar) in &assignments {
            values[*column] = scalar.eval(std::slice::from_ref(&before.values))?;
        }
        for ((column, _), value) in nested.iter().zip(found) {
            values[*column] = value;
        }
        let after = kept(&schema, Some(&before.values), Row::from(values))?;
        written.push(after.clone());
        let row = std::slice::from_ref(&before.values);
        let shifts =
            shifts.iter().filter_map(|shifted| shifted.over(row).transpose()).collect::<Result<_, _>>()?;
        changes.push(RowChange { shifts, ..RowChange::update(before, after) });
    }
    let rows: Vec<Row> =
        changes.iter().filter_map(|change| change.before.as_ref()).map(|row| row.values.clone()).collect();
    apply(transaction, update.table, &changes)?;
    if transaction.draft.is_some() {
        let read = columns_read(update.filter.as_ref(), &update.assignments);
        record_read(transaction, update.table, &rows, &read)?;
    }
    Written::of(&written, update.returning.as_ref())
}

/// The columns that a condition and expressions read, without those that are written.
fn columns_read(filter: Option<&Expr>, assignments: &[(usize, Expr)]) -> Vec<usize> {
    let written = |column: &usize| assignments.iter().any(|(written, _)| written == column);
    let exprs = filter.into_iter().chain(assignments.iter().map(|(_, expr)| expr));
    exprs.flat_map(Expr::columns).filter(|column| !written(column)).collect()
}

/// DELETE.
pub(crate) fn delete(transaction: &mut Transaction<'_>, delete: &Delete) -> Result<Written, RequestError> {
    let found = matching(transaction, delete.table, delete.filter.as_ref(), &[])?;
    let rows: Vec<StoredRow> = found.into_iter().map(|(row, _)| row).collect();
    let written: Vec<Row> = rows.iter().map(|row| row.values.clone()).collect();
    let changes: Vec<RowChange> = rows.into_iter().map(RowChange::deletion).collect();
    apply(transaction, delete.table, &changes)?;
    if transaction.draft.is_some() {
        let read: Vec<usize> = delete.filter.iter().flat_map(Expr::columns).collect();
        record_read(transaction, delete.table, &written, &read)?;
    }
    Written::of(&written, delete.returning.as_ref())
}

/// The primary key, where a condition names the one row that has it and says nothing else: no circuit is needed to find
/// it. A cast around the column or a key of several columns takes the other way.
fn named_key(schema: &TableSchema, filter: &Expr) -> Option<Row> {
    let ExprKind::Compare(Comparison::Eq, a, b) = &filter.kind else { return None };
    let ((ExprKind::Column(column), ExprKind::Literal(value))
    | (ExprKind::Literal(value), ExprKind::Column(column))) = (&a.kind, &b.kind)
    else {
        return None;
    };
    (schema.primary_key == [*column] && !value.is_null()).then(|| Row::from_iter([value.clone()]))
}

/// The whole rows that satisfy a condition, each with the values of expressions over it.
fn matching(
    transaction: &mut Transaction<'_>,
    table: TableId,
    filter: Option<&Expr>,
    values: &[&Expr],
) -> Result<Vec<(StoredRow, Vec<Value>)>, RequestError> {
    transaction.reads([table]);
    let schema = transaction.tables.schema(table);
    let key = filter.and_then(|filter| named_key(schema, filter));
    if let Some(key) = key.filter(|_| !values.iter().any(|expr| expr.has_subquery())) {
        let Some(found) = transaction.tables.get(table, &key) else { return Ok(Vec::new()) };
        // The constant may be equal and of another type; the row's own key is what it is stored under.
        let key = transaction.tables.key_in_memory(table, found);
        let row = transaction.stored(table, &key)?;
        let row = row.expect("invariant: a row in memory is stored or written");
        let scalars: Vec<Scalar> = values.iter().copied().map(over_row).collect();
        let values = values_of(&scalars, &row.values)?.to_vec();
        return Ok(vec![(row, values)]);
    }
    let width = schema.primary_key.len();
    let found = read::matching(transaction, table, filter, values)?;
    transaction.expect_writes(found.len())?;
    found
        .iter()
        .map(|found| {
            let key: Row = found[..width].iter().cloned().collect();
            let row = transaction.stored(table, &key)?;
            let row = row.expect("invariant: a row in memory is stored or written");
            transaction.expect_bytes(row.values.heap_bytes())?;
            Ok((row, found[width..].to_vec()))
        })
        .collect()
}

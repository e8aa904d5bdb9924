//! Constraints: what every statement must leave true, checked when its rows are in place.
//!
//! Invariant: after [`apply`] returns Ok no row breaks NOT NULL, CHECK, UNIQUE or FOREIGN KEY, counting the
//! rows that ON DELETE and ON UPDATE changed on the way. Unique keys are compared when the whole statement
//! is applied, so `SET id = id + 1` is no conflict; a reference to a missing row is found when everything
//! that cascades has cascaded.

use std::collections::{BTreeSet, VecDeque};

use deltaic_dataflow::Scalar;
use deltaic_query::compile;
use deltaic_sql::bind_check;
use deltaic_storage::StoredRow;
use deltaic_types::{
    EvalError, ForeignKey, ReferentialAction, Row, TableId, TableSchema, Value, codec, limits, text_format,
};

use crate::{
    error::{ConstraintError, RequestError},
    mesh::{settling::draft, shape::Shift},
    offers,
    transaction::Transaction,
};

/// A row before and after: no row before is an insertion, no row after a deletion.
#[derive(Debug, Clone)]
pub(crate) struct RowChange {
    pub(crate) before: Option<StoredRow>,
    pub(crate) after: Option<Row>,
    /// What was done to columns that merge, where that is more than what came of it.
    pub(crate) shifts: Vec<(usize, Shift)>,
}

impl RowChange {
    pub(crate) fn insertion(after: Row) -> Self {
        Self { before: None, after: Some(after), shifts: Vec::new() }
    }

    pub(crate) fn deletion(before: StoredRow) -> Self {
        Self { before: Some(before), after: None, shifts: Vec::new() }
    }

    pub(crate) fn update(before: StoredRow, after: Row) -> Self {
        Self { before: Some(before), after: Some(after), shifts: Vec::new() }
    }
}

/// Applies changes of one table, with all that they entail in others.
pub(crate) fn apply(
    transaction: &mut Transaction<'_>,
    table: TableId,
    changes: &[RowChange],
) -> Result<(), RequestError> {
    let rules = Rules::of(transaction.tables.schema(table))?;
    let mut statement = Applied::default();
    statement.write(transaction, &rules, changes)?;
    statement.finish(transaction)
}

/// What a statement has written so far, and what that entails when the statement is done.
#[derive(Default)]
pub(crate) struct Applied {
    written: usize,
    follow: VecDeque<Follow>,
    references: Vec<(TableId, Row)>,
    orphaned: Vec<Orphaned>,
}

impl Applied {
    /// Puts rows in place of those before them. What refers to them follows with [`Applied::finish`].
    pub(crate) fn write(
        &mut self,
        transaction: &mut Transaction<'_>,
        rules: &Rules,
        changes: &[RowChange],
    ) -> Result<(), RequestError> {
        self.written += changes.len();
        if self.written > limits::STATEMENT_ROWS {
            return Err(RequestError::TooManyRows { rows: self.written, limit: limits::STATEMENT_ROWS });
        }
        transaction.expect_writes(changes.len())?;
        if transaction.draft.is_some() {
            // What no server could take is refused before it is asked who may.
            changes.iter().filter_map(|change| change.after.as_ref()).try_for_each(|row| rules.check(row))?;
        }
        let merged = draft(transaction, &rules.schema, changes)?;
        let changes = merged.as_deref().unwrap_or(changes);
        let after = changes.iter().filter_map(|change| change.after.as_ref());
        transaction.expect_bytes(after.map(Row::heap_bytes).sum())?;
        for row in changes.iter().filter_map(|change| change.after.as_ref()) {
            rules.check(row)?;
        }
        offers::check(transaction, &rules.schema, changes)?;
        replace(transaction, &rules.schema, changes)?;
        if !rules.schema.foreign_keys.is_empty() {
            let after = changes.iter().filter_map(|change| change.after.clone());
            self.references.extend(after.map(|row| (rules.schema.id, row)));
        }
        if changes.iter().any(|change| change.before.is_some()) {
            self.note_references(transaction, rules.schema.id, changes);
        }
        Ok(())
    }

    /// Notes the keys that rows had and have no more, where other rows may refer to them.
    fn note_references(&mut self, transaction: &Transaction<'_>, table: TableId, changes: &[RowChange]) {
        for (child, key) in transaction.tables.catalog().references(table) {
            let mut moves = Vec::new();
            for change in changes {
                let Some(before) = &change.before else { continue };
                let values = before.values.project(&key.parent_columns);
                let after = change.after.as_ref().map(|row| row.project(&key.parent_columns));
                if values.iter().any(Value::is_null) || after.as_ref() == Some(&values) {
                    continue;
                }
                let action = if after.is_some() { key.on_update } else { key.on_delete };
                if action == ReferentialAction::Restrict {
                    self.orphaned.push(Orphaned { child: child.id, key: key.clone(), values });
                } else {
                    moves.push((values, after));
                }
            }
            if !moves.is_empty() {
                self.follow.push_back(Follow { child: child.id, key: key.clone(), moves });
            }
        }
    }

    /// Lets rows follow those that they refer to; then every reference has its row.
    pub(crate) fn finish(mut self, transaction: &mut Transaction<'_>) -> Result<(), RequestError> {
        while let Some(follow) = self.follow.pop_front() {
            let rules = Rules::of(transaction.tables.schema(follow.child))?;
            let changes = follow.changes(transaction, &rules.schema)?;
            self.write(transaction, &rules, &changes)?;
        }
        for orphaned in self.orphaned {
            orphaned.check(transaction)?;
        }
        for (table, row) in self.references {
            check_references(transaction, table, &row)?;
        }
        if transaction.purse.is_short() { Err(RequestError::NotAdmitted) } else { Ok(()) }
    }
}

/// What a row of a table must be by itself: NOT NULL, CHECK and its length.
pub(crate) struct Rules {
    schema: TableSchema,
    /// The CHECK constraints, compiled over whole rows.
    checks: Vec<(String, Scalar)>,
}

impl Rules {
    pub(crate) fn of(schema: &TableSchema) -> Result<Self, RequestError> {
        let checks = schema
            .checks
            .iter()
            .map(|check| {
                let expr = bind_check(&check.expression, schema)?;
                Ok((check.name.clone(), compile(&expr, &|place| (0, place))))
            })
            .collect::<Result<_, RequestError>>()?;
        Ok(Self { schema: schema.clone(), checks })
    }

    pub(crate) fn check(&self, row: &Row) -> Result<(), RequestError> {
        let mut columns = self.schema.columns.iter().zip(row.iter());
        if let Some((column, _)) = columns.find(|(column, value)| column.not_null && value.is_null()) {
            let (table, column) = (self.schema.name.clone(), column.name.clone());
            return Err(ConstraintError::NotNull { table, column }.into());
        }
        for (name, check) in &self.checks {
            // NULL satisfies a CHECK; only FALSE breaks it.
            if check.eval(std::slice::from_ref(row))? == Value::Boolean(false) {
                let (table, constraint) = (self.schema.name.clone(), name.clone());
                return Err(ConstraintError::Check { table, constraint }.into());
            }
        }
        let mut bytes = Vec::new();
        codec::write_row(&mut bytes, row);
        // A value that is too long could be written and never read again.
        if bytes.len() > limits::VALUE_BYTES && row.iter().any(is_too_long) {
            return Err(EvalError::ValueTooLong { limit: limits::VALUE_BYTES }.into());
        }
        if bytes.len() > limits::ROW_BYTES {
            let table = self.schema.name.clone();
            return Err(RequestError::RowTooLong { table, bytes: bytes.len(), limit: limits::ROW_BYTES });
        }
        Ok(())
    }
}

fn is_too_long(value: &Value) -> bool {
    let mut bytes = Vec::new();
    codec::write_value(&mut bytes, value);
    bytes.len() > limits::VALUE_BYTES
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

/// Rows of a table that go or change with the rows they refer to: those that refer to the first values of a
/// move. They are looked up when it is their turn, because a row may be reached by several ways.
struct Follow {
    child: TableId,
    key: ForeignKey,
    /// The values referred to, and what they became; None where their row is gone.
    moves: Vec<(Row, Option<Row>)>,
}

impl Follow {
    /// The changes of the rows that refer to what moved, all found before the first of them moves.
    fn changes(
        &self,
        transaction: &Transaction<'_>,
        schema: &TableSchema,
    ) -> Result<Vec<RowChange>, RequestError> {
        let tables = &transaction.tables;
        let mut changes = Vec::new();
        for (values, moved) in &self.moves {
            let action = if moved.is_some() { self.key.on_update } else { self.key.on_delete };
            for row in tables.find(self.child, &self.key.columns, values) {
                let before = transaction
                    .stored(self.child, &tables.key_in_memory(self.child, row))?
                    .expect("invariant: a row in memory is stored or written");
                let after = match (action, moved) {
                    (ReferentialAction::SetNull, _) => {
                        Some(self.with_reference(schema, &before.values, |_| Value::Null)?)
                    }
                    (_, Some(moved)) => {
                        Some(self.with_reference(schema, &before.values, |place| moved[place].clone())?)
                    }
                    (_, None) => None,
                };
                changes.push(RowChange { before: Some(before), after, shifts: Vec::new() });
            }
        }
        Ok(changes)
    }

    /// A row with another reference, which must be of its columns' types: a bigint may not fit an integer.
    fn with_reference(
        &self,
        schema: &TableSchema,
        row: &Row,
        value: impl Fn(usize) -> Value,
    ) -> Result<Row, RequestError> {
        let mut row = row.to_vec();
        for (place, column) in self.key.columns.iter().enumerate() {
            row[*column] = schema.columns[*column].data_type.fit(value(place))?;
        }
        Ok(Row::from(row))
    }
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

//! A transaction's rows as rows that merge: its writes as what their author meant, and what is seen of rows when it is done.
//!
//! Invariant: where there are other members, what a statement leaves in a table is what is read of the drafted row; and what else is
//! seen or not seen because of it changes in the same commit. A row that no one could see is refused when it is written.

use deltaic_dataflow::Scalar;
use deltaic_query::{
    compile,
    expression::{Expr, ExprKind},
    functions::Function,
};
use deltaic_types::{CONFLICTS, EvalError, Merges, Row, TableId, TableSchema};

use super::{
    claims::Hidden,
    rich_text,
    shape::{Shape, Shift},
};
use crate::{
    constraint::{RowChange, list},
    error::{ConstraintError, RequestError},
    transaction::Transaction,
};

/// An assignment to a column that merges that says what is added to it or removed from it.
pub(crate) struct Shifted {
    column: usize,
    steps: Steps,
}

enum Steps {
    Added,
    Elements(Vec<(bool, Scalar)>),
    /// Insertions (true) and deletions, each with its place, and the text or the number of characters.
    Edits(Vec<(bool, [Scalar; 2])>),
    Given,
}

impl Shifted {
    /// What it does, over the rows that the statement reads; none where it leaves all as it is.
    pub(crate) fn over(&self, rows: &[Row]) -> Result<Option<(usize, Shift)>, EvalError> {
        let steps = match &self.steps {
            Steps::Added => return Ok(Some((self.column, Shift::Added))),
            Steps::Given => return Ok(Some((self.column, Shift::Given))),
            Steps::Edits(steps) => {
                let mut edits = Vec::with_capacity(steps.len());
                for (is_inserted, [at, operand]) in steps {
                    let (at, operand) = (at.eval(rows)?, operand.eval(rows)?);
                    // The function has taken them, or was NULL.
                    let Some(edit) = rich_text::edit(*is_inserted, &at, &operand) else { return Ok(None) };
                    edits.push(edit);
                }
                return Ok(Some((self.column, Shift::Edits(edits))));
            }
            Steps::Elements(steps) => steps,
        };
        let mut elements = Vec::with_capacity(steps.len());
        for (is_added, scalar) in steps {
            let value = scalar.eval(rows)?;
            // add(tags, NULL) is NULL, which an assignment refuses or not as it would without members.
            if value.is_null() {
                return Ok(None);
            }
            elements.push((*is_added, value));
        }
        Ok(Some((self.column, Shift::Elements(elements))))
    }
}

/// The assignments of a statement that add or remove. None where nobody else could tell the difference.
pub(crate) fn shifted(
    transaction: &Transaction<'_>,
    schema: &TableSchema,
    assignments: &[(usize, Expr)],
    place: &dyn Fn(usize) -> (usize, usize),
) -> Vec<Shifted> {
    if transaction.draft.is_none() {
        return Vec::new();
    }
    let shifted = |(column, expr): &(usize, Expr)| {
        let steps = match schema.columns[*column].merges {
            Merges::Counter => adds_to(expr, *column).then_some(Steps::Added)?,
            Merges::AddWinsSet | Merges::RemoveWinsSet if !expr.has_subquery() => {
                let mut steps = Vec::new();
                elements_of(expr, *column, place, &mut steps).then_some(Steps::Elements(steps))?
            }
            Merges::RichText if !expr.has_subquery() => {
                let mut steps = Vec::new();
                if edits_of(expr, *column, place, &mut steps) && !steps.is_empty() {
                    Steps::Edits(steps)
                } else {
                    (!expr.columns().contains(column)).then_some(Steps::Given)?
                }
            }
            // Also what stands already, where others stand beside it.
            Merges::LastWriter => Steps::Given,
            _ => return None,
        };
        Some(Shifted { column: *column, steps })
    };
    assignments.iter().filter_map(shifted).collect()
}

/// `votes + 1`, `1 + votes`, `votes - 1`, `votes + a - b`.
fn adds_to(expr: &Expr, column: usize) -> bool {
    match &expr.kind {
        ExprKind::Column(place) => *place == column,
        ExprKind::Cast(inner) => adds_to(inner, column),
        ExprKind::Call(Function::Add, operands) => operands.iter().any(|operand| adds_to(operand, column)),
        ExprKind::Call(Function::Subtract, operands) => {
            operands.first().is_some_and(|operand| adds_to(operand, column))
        }
        _ => false,
    }
}

/// `add(tags, 'x')`, `remove(add(tags, 'x'), 'y')`: the elements in the order in which they are added and removed.
fn elements_of(
    expr: &Expr,
    column: usize,
    place: &dyn Fn(usize) -> (usize, usize),
    steps: &mut Vec<(bool, Scalar)>,
) -> bool {
    match &expr.kind {
        ExprKind::Column(place) => *place == column,
        ExprKind::Cast(inner) => elements_of(inner, column, place, steps),
        ExprKind::Call(function @ (Function::SetAdd | Function::ArrayRemove), operands) => {
            let [set, element] = &operands[..] else { return false };
            let is_of = elements_of(set, column, place, steps);
            steps.push((*function == Function::SetAdd, compile(element, place)));
            is_of
        }
        _ => false,
    }
}

/// `insert_text(body, 0, 'x')`, `delete_text(insert_text(body, 0, 'x'), 5, 1)`: the edits, one after the other.
fn edits_of(
    expr: &Expr,
    column: usize,
    place: &dyn Fn(usize) -> (usize, usize),
    steps: &mut Vec<(bool, [Scalar; 2])>,
) -> bool {
    match &expr.kind {
        ExprKind::Column(place) => *place == column,
        ExprKind::Call(function @ (Function::InsertText | Function::DeleteText), operands) => {
            let [text, at, operand] = &operands[..] else { return false };
            let is_of = edits_of(text, column, place, steps);
            steps.push((*function == Function::InsertText, [compile(at, place), compile(operand, place)]));
            is_of
        }
        _ => false,
    }
}

/// The changes of a statement as the drafted rows are read; none where there are no other members.
pub(crate) fn draft(
    transaction: &mut Transaction<'_>,
    schema: &TableSchema,
    changes: &[RowChange],
) -> Result<Option<Vec<RowChange>>, RequestError> {
    let (seq, Some(draft)) = transaction.seq_mut() else { return Ok(None) };
    let shape = draft.shape(schema.id).expect("invariant: each table has its shape").clone();
    let refused = |error| RequestError::Merge { table: schema.name.clone(), error };
    let is_definition = draft.is_defined();
    let stays = |change: &RowChange| {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
        shape.key_of(&before.values) == shape.key_of(after)
    };
    // All that goes, before anything comes: a key may go from one row to another.
    let mut left: Vec<Option<Row>> = Vec::with_capacity(changes.len());
    for change in changes {
        let Some(before) = change.before.as_ref().filter(|_| !stays(change)) else {
            left.push(None);
            continue;
        };
        let key = shape.key_of(&before.values);
        let is_there = draft.delete(seq, &shape, &key).map_err(refused)?;
        left.push(draft.row(&key).filter(|_| is_there).and_then(|row| shape.values(&key, row)));
    }
    let mut merged = Vec::with_capacity(changes.len());
    for (change, left) in changes.iter().zip(left) {
        let after = match (&change.before, &change.after) {
            // A column that begins as it reads where nobody has written to it is no write to the row, which may be deleted elsewhere.
            (Some(before), Some(after))
                if stays(change) && is_definition && change.shifts.is_empty() && before.values == *after =>
            {
                let key = shape.key_of(after);
                draft.row(&key).and_then(|row| shape.values(&key, row))
            }
            (Some(before), Some(after)) if stays(change) => {
                Some(draft.update(seq, &shape, &before.values, after, &change.shifts).map_err(refused)?)
            }
            (_, Some(after)) => {
                let key = shape.key_of(after);
                if draft.is_hidden(&key) {
                    return Err(taken(&shape, after).into());
                }
                Some(draft.insert(seq, &shape, after).map_err(refused)?)
            }
            (_, None) => None,
        };
        // Somebody wrote to it whom the author had not seen: it stays, beside what was to come in its place.
        match (change.before.clone(), left, after) {
            (Some(before), Some(left), after) => {
                merged.push(RowChange::update(before, left));
                merged.extend(after.map(RowChange::insertion));
            }
            (before, _, after) => merged.push(RowChange { before, after, shifts: Vec::new() }),
        }
    }
    Ok(Some(merged))
}

/// The key is that of a row which is there and not seen: to begin it anew would replace what somebody wrote to it.
fn taken(shape: &Shape, values: &Row) -> ConstraintError {
    let names: Vec<&str> = shape.key.iter().map(|place| shape.names[*place].as_str()).collect();
    let (columns, values) = (names.join(", "), list(&values.project(&shape.key)));
    ConstraintError::HiddenRow { table: shape.name.clone(), columns, values }
}

/// Ends a transaction: rows that its writes let be seen, or not be seen any more, change with it.
pub(crate) fn settle(transaction: &mut Transaction<'_>) -> Result<(), RequestError> {
    record_stale(transaction)?;
    let Some(draft) = &mut transaction.draft else { return Ok(()) };
    if draft.rows.is_empty() && !draft.is_defined() {
        return Ok(());
    }
    if draft.has_ended {
        return Err(RequestError::Ended);
    }
    for (key, show) in draft.look_ahead() {
        let Some(draft) = &transaction.draft else { break };
        let Some(shape) = draft.shape_of(&key).filter(|shape| shape.table != CONFLICTS).cloned() else {
            continue;
        };
        let is_written = draft.rows.get(&key).is_some_and(|drafted| drafted.row.is_there());
        match &show {
            Err(hidden) if is_written => return Err(refusal(&shape, hidden, transaction)),
            Ok(_) if is_written => continue,
            _ => {}
        }
        let Some(name) = key.values().filter(|name| name.len() == shape.key.len()) else { continue };
        let shown = transaction.tables.get(shape.table, &name);
        let shown = shown.map(|row| transaction.tables.key_in_memory(shape.table, row));
        match (show.ok().flatten(), shown) {
            (Some(values), None) => transaction.insert(shape.table, name, values, None),
            (None, Some(name)) => transaction.remove(shape.table, &name),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    Ok(())
}

/// Records which tables an author had read that have changed since, beside those that were written.
fn record_stale(transaction: &mut Transaction<'_>) -> Result<(), RequestError> {
    let read: Vec<TableId> = transaction.read_only().collect();
    let (seq, Some(draft)) = transaction.seq_mut() else { return Ok(()) };
    if draft.is_up_to_date() || draft.rows.is_empty() {
        return Ok(());
    }
    let table = deltaic_types::CONFLICTS_NAME.to_owned();
    draft.record_stale_tables(seq, read).map_err(|error| RequestError::Merge { table, error })
}

/// Records what of rows that were written had been read and was not so any more.
pub(crate) fn record_read(
    transaction: &mut Transaction<'_>,
    table: TableId,
    rows: &[Row],
    read: &[usize],
) -> Result<(), RequestError> {
    let (seq, Some(draft)) = transaction.seq_mut() else { return Ok(()) };
    if draft.is_up_to_date() {
        return Ok(());
    }
    for row in rows {
        draft.record_stale(seq, table, row, read).map_err(|error| {
            let table = deltaic_types::CONFLICTS_NAME.to_owned();
            RequestError::Merge { table, error }
        })?;
    }
    Ok(())
}

/// Why a row that was written cannot be: it would be seen nowhere.
fn refusal(shape: &Shape, hidden: &Hidden, transaction: &Transaction<'_>) -> RequestError {
    match hidden {
        Hidden::Unique { constraint, winner, .. } => {
            let columns = shape.lists.iter().find(|list| list.name == *constraint);
            let columns = columns.map_or(&[][..], |list| &list.columns);
            let names: Vec<&str> = columns.iter().map(|place| shape.names[*place].as_str()).collect();
            let row = transaction.draft.as_ref().and_then(|draft| draft.row(winner).cloned());
            let values = row.and_then(|row| shape.values(winner, &row));
            let values = values.map_or_else(String::new, |values| list(&values.project(columns)));
            let (constraint, columns) = (constraint.clone(), names.join(", "));
            ConstraintError::Unique { constraint, columns, values }.into()
        }
        Hidden::Reference { constraint, values } => {
            let parent = shape.references.iter().find(|reference| reference.name == *constraint);
            let parent = parent.and_then(|reference| {
                transaction.draft.as_ref()?.table(reference.parent).map(|parent| parent.name.clone())
            });
            let (table, constraint) = (shape.name.clone(), constraint.clone());
            let (values, parent) = (list(values), parent.unwrap_or_default());
            ConstraintError::NoParent { table, constraint, values, parent }.into()
        }
    }
}

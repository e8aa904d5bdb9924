//! Constants in place of parameters, for statements that run once.

use deltaic_query::{
    expression::Expr,
    statement::{Bound, ConflictAction, Returning, Statement},
    template::{bind_expression, bind_parameters},
};
use deltaic_types::Value;

use crate::admission::with_constants;

/// The statement with the parameters' values in it.
pub(crate) fn bind_statement(bound: Bound, values: &[Value]) -> Statement {
    let mut statement = bound.statement;
    if values.is_empty() {
        return statement;
    }
    match &mut statement {
        Statement::Query(query) => *query = with_constants(query, values),
        Statement::Explain(explain) => explain.query = with_constants(&explain.query, values),
        Statement::Insert(insert) => {
            insert.source = bind_parameters(&insert.source, values);
            let action = insert.on_conflict.as_mut().map(|on_conflict| &mut on_conflict.action);
            if let Some(ConflictAction::Update { assignments, filter }) = action {
                bind_assignments(assignments, values);
                bind_all(filter.iter_mut(), values);
            }
            bind_returning(insert.returning.as_mut(), values);
        }
        Statement::Update(update) => {
            bind_all(update.filter.iter_mut(), values);
            bind_assignments(&mut update.assignments, values);
            bind_returning(update.returning.as_mut(), values);
        }
        Statement::Delete(delete) => {
            bind_all(delete.filter.iter_mut(), values);
            bind_returning(delete.returning.as_mut(), values);
        }
        _ => {}
    }
    statement
}

fn bind_all<'a>(exprs: impl Iterator<Item = &'a mut Expr>, values: &[Value]) {
    for expr in exprs {
        *expr = bind_expression(expr, values);
    }
}

fn bind_assignments(assignments: &mut [(usize, Expr)], values: &[Value]) {
    bind_all(assignments.iter_mut().map(|(_, expr)| expr), values);
}

fn bind_returning(returning: Option<&mut Returning>, values: &[Value]) {
    bind_all(returning.into_iter().flat_map(|returning| &mut returning.exprs), values);
}

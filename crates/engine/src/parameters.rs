//! The values of a statement's parameters, and constants in their place, for statements that run once.

use deltaic_query::{
    expression::Expr,
    statement::{ConflictAction, Returning, Statement},
    template::{bind_expression, bind_parameters},
};
use deltaic_sql::Bound;
use deltaic_types::{DataType, Value, json_format, text_format::parse_text};
use serde_json::Value as Json;

use crate::{admission::with_constants, error::RequestError, input::Claims};

/// What a session gives its statements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// The values of `$1`, `$2`, …
    pub(crate) parameters: &'a [Json],
    pub(crate) claims: &'a Claims,
}

impl Given<'_> {
    /// The values of a statement's parameters, the claims that it reads behind the others; NULL for a number that it does
    /// not have, and for a claim that the session does not have.
    pub(crate) fn values(self, bound: &Bound) -> Result<Vec<Value>, RequestError> {
        let (types, given) = (&bound.parameters, self.parameters);
        if given.len() < types.len() {
            return Err(RequestError::Parameters { expected: types.len(), given: given.len() });
        }
        let value = |(place, (data_type, value)): (usize, (&Option<DataType>, &Json))| {
            let Some(data_type) = data_type else { return Ok(Value::Null) };
            json_format::from_json(value, data_type).map_err(|error| RequestError::Parameter {
                number: place + 1,
                type_name: data_type.to_string(),
                error,
            })
        };
        let mut values = types.iter().zip(given).enumerate().map(value).collect::<Result<Vec<_>, _>>()?;
        if !bound.claims.names.is_empty() {
            values.resize(bound.claims.base, Value::Null);
            for (name, data_type) in &bound.claims.names {
                let claim = self.claims.get(name).map(|claim| parse_text(claim, data_type)).transpose();
                values.push(claim.map(|claim| claim.unwrap_or(Value::Null)).map_err(|error| {
                    RequestError::Claim { name: name.clone(), type_name: data_type.to_string(), error }
                })?);
            }
        }
        Ok(values)
    }
}

/// The statement with the parameters' values in it.
pub(crate) fn bind_statement(bound: Bound, values: &[Value]) -> Statement {
    let mut statement = bound.statement;
    if values.is_empty() {
        return statement;
    }
    match &mut statement {
        Statement::Query(query) => *query = with_constants(query, values),
        Statement::Consume(consumption) => consumption.query = with_constants(&consumption.query, values),
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

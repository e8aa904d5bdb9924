//! Expressions that a schema keeps as text: defaults, CHECK conditions and what decides conflicts.

use deltaic_query::{coercion::Context, expression::Expr, fold::cast_node};
use deltaic_types::{Catalog, DataType, TableSchema};
use sqlparser::ast;

use super::{BindContext, Binder, coercion::Operand, merging::custom_expr, scope::Scope};
use crate::{
    error::SqlError,
    parser::{Parsed, parse_expression},
};

/// Binds the text of a CHECK over the columns of its table.
pub fn bind_check(text: &str, table: &TableSchema) -> Result<Expr, SqlError> {
    let catalog = Catalog::default();
    let (ast, parsed) = parse_expression(text)?;
    let context = BindContext { catalog: &catalog, now: None };
    check_expr(&ast, &parsed, context, &Scope::of_table(table, &table.name))
}

/// Binds the text of a column's default, cast to the column's type. `now()` is the context's.
pub fn bind_default(text: &str, data_type: &DataType, context: &BindContext<'_>) -> Result<Expr, SqlError> {
    default_expr(text, data_type, context.catalog, context.now)
}

/// Binds the text of a column's CONFLICT CUSTOM: an expression over two places, `ours` and `theirs`, of the column's type.
pub fn bind_custom(text: &str, data_type: &DataType) -> Result<Expr, SqlError> {
    let catalog = Catalog::default();
    let (ast, parsed) = parse_expression(text)?;
    custom_expr(&ast, &parsed, BindContext { catalog: &catalog, now: None }, data_type)
}

pub(super) fn default_expr(
    text: &str,
    data_type: &DataType,
    catalog: &Catalog,
    now: Option<i64>,
) -> Result<Expr, SqlError> {
    let (ast, parsed) = parse_expression(text)?;
    default_of(&ast, &parsed, BindContext { catalog, now }, data_type)
}

/// A default, which depends on nothing but the time.
pub(super) fn default_of(
    ast: &ast::Expr,
    parsed: &Parsed,
    context: BindContext<'_>,
    data_type: &DataType,
) -> Result<Expr, SqlError> {
    let mut binder = Binder::new(parsed, context);
    let operand = binder.without_subqueries("DEFAULT", |binder| {
        binder.without_aggregates("DEFAULT", |binder| binder.expr(ast, &Scope::default()))
    })?;
    binder.refuse_parameters("DEFAULT")?;
    let span = sqlparser::ast::Spanned::span(ast);
    let expr = binder.coerce(operand, data_type, Context::Assignment, "DEFAULT", span)?;
    Ok(cast_node(expr, data_type))
}

/// A CHECK: a condition over one row.
pub(super) fn check_expr(
    ast: &ast::Expr,
    parsed: &Parsed,
    context: BindContext<'_>,
    scope: &Scope,
) -> Result<Expr, SqlError> {
    let mut binder = Binder::new(parsed, context);
    let operand: Operand = binder.without_subqueries("CHECK", |binder| {
        binder.without_aggregates("CHECK", |binder| binder.expr(ast, scope))
    })?;
    binder.refuse_parameters("CHECK")?;
    let span = sqlparser::ast::Spanned::span(ast);
    let condition = binder.condition(operand, "argument of CHECK", span)?;
    if condition.reads_time() {
        return Err(binder.refuse("the time in CHECK: a row that passed would fail later", None, span));
    }
    Ok(condition)
}

impl Binder<'_> {
    /// What is stored has nobody to give it parameters.
    pub(super) fn refuse_parameters(&self, place: &str) -> Result<(), SqlError> {
        self.refuse_claims(place)?;
        match self.parameters.iter().flatten().next() {
            None => Ok(()),
            Some((_, span)) => {
                Err(self.refuse(&format!("parameters in {place}"), Some("Write the value."), *span))
            }
        }
    }
}

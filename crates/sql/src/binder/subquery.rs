//! Subqueries in expressions, and how they and lateral tables read the query around them.
//!
//! A [`Frame`] is a query level whose columns can be named from within. A name that is found some frames out is
//! handed inwards: each frame between adds it to the list of what it reads of the frame around it, so that in a
//! plan an outer column always belongs to the nearest dependent join. Invariant: frames are pushed and popped
//! around the binding of what is inside them.

use deltaic_query::{
    expression::{Comparison, Expr, ExprKind, Subquery, SubqueryKind},
    fold::not,
    plan::{Aggregate, AggregateCall, JoinKind, Plan, Query},
};
use deltaic_types::{DataType, Value};
use sqlparser::{
    ast::{self, Ident, Spanned},
    tokenizer::Span,
};

use super::{
    Binder,
    aggregate::Aggregates,
    coercion::Operand,
    query::visible_columns,
    scope::{Found, Scope, ScopeColumn},
};
use crate::error::SqlError;

/// A level of a query that what is inside it may name columns of.
#[derive(Debug)]
pub(super) struct Frame {
    scope: Scope,
    /// What is read of the level from within.
    outer: Vec<Expr>,
    /// Whether names are looked up here: tables to the left only for what is lateral, and nothing around a common
    /// table for the common table.
    pub(super) hidden: bool,
}

impl<'a> Binder<'a> {
    /// Binds what is inside a level, and gives what it reads of the level.
    pub(super) fn inside<T>(
        &mut self,
        scope: &Scope,
        hidden: bool,
        within: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<(T, Vec<Expr>), SqlError> {
        self.frames.push(Frame { scope: scope.clone(), outer: Vec::new(), hidden });
        let result = within(self);
        let frame = self.frames.pop().expect("invariant: a frame was pushed");
        Ok((result?, frame.outer))
    }

    /// Binds where subqueries are refused.
    pub(super) fn without_subqueries<T>(
        &mut self,
        place: &'static str,
        within: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let before = self.no_subqueries.replace(place);
        let result = within(self);
        self.no_subqueries = before;
        result
    }

    /// A column of a level around, as it is seen from here; None where no level has the name.
    pub(super) fn outer_column(
        &mut self,
        relation: Option<&str>,
        name: &str,
        ident: &Ident,
    ) -> Result<Option<Expr>, SqlError> {
        let mut found = None;
        for (level, frame) in self.frames.iter().enumerate().rev().filter(|(_, frame)| !frame.hidden) {
            if relation.is_some_and(|relation| !frame.scope.relations.iter().any(|known| known == relation)) {
                continue;
            }
            match frame.scope.find(relation, name) {
                Found::One(column) => {
                    found = Some((level, Expr::column(column.place, column.data_type.clone())));
                    break;
                }
                Found::Many => {
                    let position = self.at(ident.span);
                    return Err(SqlError::AmbiguousColumn { name: name.to_owned(), position });
                }
                Found::None => {}
            }
        }
        let Some((level, mut expr)) = found else { return Ok(None) };
        for frame in &mut self.frames[level..] {
            let place = frame.outer.iter().position(|other| *other == expr).unwrap_or_else(|| {
                frame.outer.push(expr.clone());
                frame.outer.len() - 1
            });
            expr = Expr::new(ExprKind::Outer(place), expr.data_type);
        }
        Ok(Some(expr))
    }

    /// A query in an expression: its plan, with the columns that it shows, and what it reads of the scope.
    fn nested_query(&mut self, query: &'a ast::Query, scope: &Scope) -> Result<(Plan, Vec<Expr>), SqlError> {
        let (query, outer) = self.ordered_query(query, scope)?;
        Ok((visible_columns(query), outer))
    }

    /// The same with its order, and the columns that only the order uses.
    fn ordered_query(
        &mut self,
        query: &'a ast::Query,
        scope: &Scope,
    ) -> Result<(Query, Vec<Expr>), SqlError> {
        if let Some(place) = self.no_subqueries {
            return Err(self.refuse(&format!("subqueries in {place}"), None, query.span()));
        }
        let before = std::mem::replace(&mut self.aggregates, Aggregates::Forbidden("a subquery"));
        let bound = self.inside(scope, false, |binder| binder.query(query, None));
        self.aggregates = before;
        bound
    }

    pub(super) fn exists(
        &mut self,
        query: &'a ast::Query,
        negated: bool,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let (plan, outer) = self.nested_query(query, scope)?;
        let found = subquery(SubqueryKind::Exists, plan, outer, DataType::Boolean);
        Ok(if negated { not(found) } else { found }.into())
    }

    pub(super) fn scalar_subquery(
        &mut self,
        query: &'a ast::Query,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let (plan, outer) = self.nested_query(query, scope)?;
        let types = plan.types();
        let [data_type] = &types[..] else { return Err(self.wrong_width(types.len(), 1, query.span())) };
        let data_type = data_type.clone();
        Ok(subquery(SubqueryKind::Scalar, plan, outer, data_type).into())
    }

    /// `ARRAY(…)`: a scalar subquery of an aggregate of all rows, of which there is always one row.
    pub(super) fn array_subquery(
        &mut self,
        query: &'a ast::Query,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let span = query.span();
        let (Query { plan, columns, order }, outer) = self.ordered_query(query, scope)?;
        let [column] = &columns[..] else { return Err(self.wrong_width(columns.len(), 1, span)) };
        self.refuse_nested(&column.data_type, span)?;
        let data_type = column.data_type.clone().array();
        let types = plan.types();
        let arguments = types.into_iter().enumerate().map(|(place, of)| Expr::column(place, of)).collect();
        let call = AggregateCall {
            function: Aggregate::ArrayAgg,
            arguments,
            order,
            direct: None,
            distinct: false,
            filter: None,
            data_type: data_type.clone(),
        };
        let plan = Plan::Aggregate { input: Box::new(plan), keys: Vec::new(), calls: vec![call] };
        let empty = Expr::literal(Value::array(Vec::new()), data_type.clone());
        let items = ExprKind::Coalesce(vec![Expr::column(0, data_type.clone()), empty]);
        let exprs = vec![Expr::new(items, data_type.clone())];
        let plan = Plan::Project { input: Box::new(plan), exprs };
        Ok(subquery(SubqueryKind::Scalar, plan, outer, data_type).into())
    }

    fn wrong_width(&self, found: usize, expected: usize, span: Span) -> SqlError {
        let message = match expected {
            1 => format!("subquery must return only one column, it returns {found}"),
            _ => format!("subquery has {found} columns, the left side has {expected}"),
        };
        SqlError::Syntax { message, position: self.at(span) }
    }

    /// `x op ANY (…)` or `x op ALL (…)`, of which IN is one; the left side may be a row of several values.
    pub(super) fn any_subquery(
        &mut self,
        left: &'a ast::Expr,
        comparison: Comparison,
        all: bool,
        query: &'a ast::Query,
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        let values: Vec<&'a ast::Expr> = match left {
            ast::Expr::Tuple(values) => values.iter().collect(),
            value => vec![value],
        };
        // `x <> ALL` is `NOT (x = ANY)`.
        let comparison = if all { comparison.negated() } else { comparison };
        if values.len() > 1 && comparison != Comparison::Eq {
            return Err(self.refuse("comparing rows by order", Some("Compare each column."), left.span()));
        }
        let (plan, outer) = self.nested_query(query, scope)?;
        let types = plan.types();
        if types.len() != values.len() {
            return Err(self.wrong_width(types.len(), values.len(), query.span()));
        }
        let mut operands = Vec::new();
        let mut columns = Vec::new();
        let mut nullable = false;
        for (place, (value, data_type)) in values.into_iter().zip(types).enumerate() {
            let operand = self.expr(value, scope)?;
            let column = Expr::column(place, data_type).into();
            let (operand, column) = self.comparable(comparison.symbol(), operand, column, value.span())?;
            let of_scope = |place: usize| scope.columns.iter().any(|c| c.place == place && c.not_null);
            nullable |= !never_null(&operand, &of_scope);
            nullable |= !self.column_never_null(&plan, place);
            operands.push(operand);
            columns.push(column);
        }
        let plan = Plan::Project { input: Box::new(plan), exprs: columns };
        let kind = SubqueryKind::Any { comparison, operands, nullable };
        let found = subquery(kind, plan, outer, DataType::Boolean);
        Ok(if all { not(found) } else { found })
    }

    /// Whether a plan's column is never NULL, as far as its definition says.
    fn column_never_null(&self, plan: &Plan, place: usize) -> bool {
        let over =
            |input: &Plan, expr: &Expr| never_null(expr, &|place| self.column_never_null(input, place));
        match plan {
            Plan::Scan { table, .. } => {
                self.catalog.get(*table).is_some_and(|table| table.columns[place].not_null)
            }
            Plan::Values { rows, .. } => rows.iter().all(|row| never_null(&row[place], &|_| false)),
            Plan::Filter { input, predicate } => {
                let tested = |condition: &Expr| {
                    let ExprKind::Not(inner) = &condition.kind else { return false };
                    let ExprKind::IsNull(operand) = &inner.kind else { return false };
                    operand.kind == ExprKind::Column(place)
                };
                self.column_never_null(input, place) || predicate.clone().conjuncts().iter().any(tested)
            }
            Plan::Distinct { input } | Plan::TopK { input, .. } => self.column_never_null(input, place),
            Plan::Project { input, exprs } => over(input, &exprs[place]),
            Plan::Window { input, .. } => place < input.types().len() && self.column_never_null(input, place),
            Plan::Aggregate { input, keys, calls } => match keys.get(place) {
                Some(key) => over(input, key),
                None => calls[place - keys.len()].function == Aggregate::Count,
            },
            Plan::UnionAll { inputs } => inputs.iter().all(|input| self.column_never_null(input, place)),
            Plan::SetOperation { left, .. } => self.column_never_null(left, place),
            Plan::Recursive { .. } | Plan::Recurring { .. } => false,
            Plan::Join { kind, left, right, .. } => match place.checked_sub(left.types().len()) {
                None => *kind != JoinKind::Full && self.column_never_null(left, place),
                Some(_) if *kind == JoinKind::Mark => true,
                Some(place) => *kind == JoinKind::Inner && self.column_never_null(right, place),
            },
        }
    }

    /// Which columns of a query's result are never NULL.
    pub(super) fn mark_never_null(&self, plan: &Plan, columns: &mut [ScopeColumn]) {
        for column in columns {
            column.not_null = self.column_never_null(plan, column.place);
        }
    }

    /// Refuses a subquery in the condition of an outer join that reads both of its sides: neither side alone could
    /// be asked for its value.
    pub(super) fn check_outer_condition(
        &self,
        on: &Expr,
        left_width: usize,
        span: Span,
    ) -> Result<(), SqlError> {
        let mut both = false;
        on.walk(&mut |part| {
            if let ExprKind::Subquery(subquery) = &part.kind {
                let columns: Vec<usize> = subquery.operands().flat_map(Expr::columns).collect();
                both |= columns.iter().any(|place| *place < left_width)
                    && columns.iter().any(|place| *place >= left_width);
            }
        });
        if both {
            let instead = "Compute it in a subquery in FROM on one of the sides.";
            let what = "a subquery that reads both sides of an outer join in its condition";
            return Err(self.refuse(what, Some(instead), span));
        }
        Ok(())
    }
}

fn subquery(kind: SubqueryKind, plan: Plan, outer: Vec<Expr>, data_type: DataType) -> Expr {
    Expr::new(ExprKind::Subquery(Box::new(Subquery { kind, plan, outer })), data_type)
}

/// Whether an expression is never NULL; `column` says it of columns.
fn never_null(expr: &Expr, column: &dyn Fn(usize) -> bool) -> bool {
    match &expr.kind {
        ExprKind::Column(place) => column(*place),
        ExprKind::Literal(value) => *value != Value::Null,
        ExprKind::IsNull(_) | ExprKind::IsNotDistinct(..) => true,
        ExprKind::Coalesce(list) => list.iter().any(|item| never_null(item, column)),
        ExprKind::Cast(inner) => never_null(inner, column) && inner.data_type.is_number(),
        _ => false,
    }
}

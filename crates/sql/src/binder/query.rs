//! Queries around SELECT: WITH, VALUES, UNION, ORDER BY and LIMIT.

use deltaic_query::{
    coercion::{Context, common_type},
    expression::{Expr, ExprKind},
    plan::{Plan, Query, ResultColumn, SetKind, SortKey},
};
use deltaic_types::{DataType, Value, limits};
use sqlparser::{
    ast::{self, LimitClause, OrderByKind, SetExpr, SetOperator, SetQuantifier, Spanned},
    tokenizer::Span,
};

use super::{Binder, CommonTable, coercion::Operand, folded, from::with_types, scope::Scope};
use crate::error::SqlError;

/// A query body: its columns, those that are literals without a type yet, and hidden ones for its order.
pub(super) struct Body {
    pub(super) plan: Plan,
    pub(super) columns: Vec<ResultColumn>,
    pub(super) untyped: Vec<bool>,
    pub(super) order: Vec<SortKey>,
}

/// A query's plan without the columns that only its order uses.
pub(super) fn visible_columns(query: Query) -> Plan {
    let types = query.plan.types();
    if types.len() == query.columns.len() {
        return query.plan;
    }
    let exprs = types
        .into_iter()
        .take(query.columns.len())
        .enumerate()
        .map(|(place, data_type)| Expr::column(place, data_type))
        .collect();
    Plan::Project { input: Box::new(query.plan), exprs }
}

/// One criterion with PostgreSQL's defaults.
pub(super) fn sort_key(column: usize, options: &ast::OrderByOptions) -> Option<SortKey> {
    let descending = match &options.sort {
        None | Some(ast::OrderBySort::Asc) => false,
        Some(ast::OrderBySort::Desc) => true,
        Some(_) => return None,
    };
    Some(SortKey { column, descending, nulls_first: options.nulls_first.unwrap_or(descending) })
}

impl<'a> Binder<'a> {
    /// The query of a statement.
    pub(super) fn whole_query(&mut self, query: &'a ast::Query) -> Result<Query, SqlError> {
        self.query(query, None)
    }

    /// A query; `expected` are the types that its untyped columns take.
    pub(super) fn query(
        &mut self,
        query: &'a ast::Query,
        expected: Option<&[DataType]>,
    ) -> Result<Query, SqlError> {
        self.nested(|binder| {
            let before = binder.common_tables.len();
            let result = binder.query_form(query, expected);
            binder.common_tables.truncate(before);
            let body = result?;
            if body.columns.len() > limits::COLUMNS {
                return Err(SqlError::TooManyColumns {
                    limit: limits::COLUMNS,
                    position: binder.at(query.span()),
                });
            }
            Ok(Query { plan: body.plan, columns: body.columns, order: body.order })
        })
    }

    fn query_form(&mut self, query: &'a ast::Query, expected: Option<&[DataType]>) -> Result<Body, SqlError> {
        let span = query.span();
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        if !query.locks.is_empty() {
            return Err(self.refuse("FOR UPDATE and FOR SHARE", Some("Transactions are serial."), span));
        }
        if query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
        {
            return Err(self.refuse("this clause of a query", None, span));
        }
        let order: &'a [ast::OrderByExpr] = match &query.order_by {
            None => &[],
            Some(ast::OrderBy { kind: OrderByKind::Expressions(order), interpolate: None }) => order,
            Some(_) => return Err(self.refuse("ORDER BY ALL", None, span)),
        };
        let mut body = match &*query.body {
            SetExpr::Select(select) => self.select(select, order, expected)?,
            other => {
                let mut body = self.set_expr(other, expected)?;
                body.order = self.order_of_outputs(order, &body.columns)?;
                body
            }
        };
        self.limit(query, &mut body)?;
        Ok(body)
    }

    pub(super) fn with(&mut self, with: &'a ast::With) -> Result<(), SqlError> {
        let start = self.common_tables.len();
        for cte in &with.cte_tables {
            let name = folded(&cte.alias.name);
            if self.common_tables[start..].iter().any(|table| folded(&table.cte.alias.name) == name) {
                return Err(SqlError::DuplicateAlias { name, position: self.at(cte.alias.name.span) });
            }
            let frames = self.frames.len();
            // In WITH RECURSIVE each sees all, itself too.
            let earlier = self.common_tables.len();
            let visible = if with.recursive { start + with.cte_tables.len() } else { earlier };
            self.common_tables.push(CommonTable { cte, visible, recursive: with.recursive, frames });
        }
        Ok(())
    }

    pub(super) fn set_expr(
        &mut self,
        body: &'a SetExpr,
        expected: Option<&[DataType]>,
    ) -> Result<Body, SqlError> {
        match body {
            SetExpr::Select(select) => self.nested(|binder| binder.select(select, &[], expected)),
            SetExpr::Query(query) => {
                let query = self.query(query, expected)?;
                let columns = query.columns.clone();
                let untyped = vec![false; columns.len()];
                Ok(Body { plan: visible_columns(query), columns, untyped, order: Vec::new() })
            }
            SetExpr::Values(values) => self.values(values, expected),
            SetExpr::SetOperation { .. } => self.set_operations(body, expected),
            other => Err(self.refuse("this form of query", None, other.span())),
        }
    }

    /// A chain of UNIONs: down its left side without recursion, then up again.
    fn set_operations(&mut self, body: &'a SetExpr, expected: Option<&[DataType]>) -> Result<Body, SqlError> {
        let mut pending = Vec::new();
        let mut current = body;
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = current {
            let all = match set_quantifier {
                SetQuantifier::All => true,
                SetQuantifier::None | SetQuantifier::Distinct => false,
                _ => return Err(self.refuse(&format!("{op} BY NAME"), None, body.span())),
            };
            let kind = match (op, all) {
                (SetOperator::Union, _) => None,
                (SetOperator::Intersect, false) => Some(SetKind::Intersect),
                (SetOperator::Intersect, true) => Some(SetKind::IntersectAll),
                (SetOperator::Except, false) => Some(SetKind::Except),
                (SetOperator::Except, true) => Some(SetKind::ExceptAll),
                (op, _) => {
                    return Err(self.refuse(&op.to_string(), Some("Use EXCEPT."), body.span()));
                }
            };
            pending.push((kind, all, op, &**right));
            current = left;
        }
        let mut result = self.set_expr(current, expected)?;
        while let Some((kind, all, op, right)) = pending.pop() {
            let right_body = self.set_expr(right, expected)?;
            let (left, right, body) = self.same_columns(result, right_body, *op, right.span())?;
            result = body;
            result.plan = match kind {
                Some(kind) => Plan::SetOperation { kind, left: Box::new(left), right: Box::new(right) },
                None => {
                    let mut inputs = match left {
                        Plan::UnionAll { inputs } => inputs,
                        plan => vec![plan],
                    };
                    inputs.push(right);
                    let sum = Plan::UnionAll { inputs };
                    if all { sum } else { Plan::Distinct { input: Box::new(sum) } }
                }
            };
        }
        Ok(result)
    }

    /// Both sides of a set operation with columns of the same types, and what the result's columns are.
    fn same_columns(
        &mut self,
        left: Body,
        right: Body,
        op: SetOperator,
        span: Span,
    ) -> Result<(Plan, Plan, Body), SqlError> {
        if left.columns.len() != right.columns.len() {
            return Err(SqlError::Syntax {
                message: format!("each query of {op} must have the same number of columns"),
                position: self.at(span),
            });
        }
        let mut types = Vec::new();
        let mut untyped = Vec::new();
        for place in 0..left.columns.len() {
            let (a, b) = (&left.columns[place].data_type, &right.columns[place].data_type);
            let common = match (left.untyped[place], right.untyped[place]) {
                (true, false) => Some(b.clone()),
                (false, true) => Some(a.clone()),
                _ => common_type(a, b),
            };
            types.push(common.ok_or_else(|| SqlError::NoCommonType {
                place: op.to_string(),
                left: a.to_string(),
                right: b.to_string(),
                position: self.at(span),
            })?);
            untyped.push(left.untyped[place] && right.untyped[place]);
        }
        let (left_plan, right_plan) = (with_types(left.plan, &types), with_types(right.plan, &types));
        let columns = left
            .columns
            .into_iter()
            .zip(types)
            .map(|(column, data_type)| ResultColumn { data_type, ..column })
            .collect();
        let plan = Plan::UnionAll { inputs: Vec::new() };
        Ok((left_plan, right_plan, Body { plan, columns, untyped, order: Vec::new() }))
    }

    fn values(&mut self, values: &'a ast::Values, expected: Option<&[DataType]>) -> Result<Body, SqlError> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut columns: Vec<Vec<Operand>> = vec![Vec::new(); width];
        for row in &values.rows {
            if row.content.len() != width {
                return Err(SqlError::Syntax {
                    message: "the rows of VALUES must all have the same length".to_owned(),
                    position: row.content.first().and_then(|expr| self.at(expr.span())),
                });
            }
            for (column, expr) in columns.iter_mut().zip(&row.content) {
                let scope = Scope::default();
                column.push(self.without_aggregates("VALUES", |binder| binder.expr(expr, &scope))?);
            }
        }
        let mut types = Vec::new();
        let mut untyped = Vec::new();
        let mut rows: Vec<Vec<Expr>> = values.rows.iter().map(|_| Vec::with_capacity(width)).collect();
        for (place, column) in columns.into_iter().enumerate() {
            let common = self.common_type_of(&column, "VALUES", values_span(values))?;
            untyped.push(common.is_none());
            let to = common
                .or_else(|| expected.and_then(|types| types.get(place).cloned()))
                .unwrap_or(DataType::Text);
            for (row, operand) in rows.iter_mut().zip(column) {
                row.push(self.coerce(operand, &to, Context::Implicit, "VALUES", values_span(values))?);
            }
            types.push(to);
        }
        let columns = types
            .iter()
            .enumerate()
            .map(|(place, data_type)| ResultColumn {
                name: format!("column{}", place + 1),
                data_type: data_type.clone(),
            })
            .collect();
        Ok(Body { plan: Plan::Values { rows, types }, columns, untyped, order: Vec::new() })
    }

    /// ORDER BY where only the output's columns can be named.
    fn order_of_outputs(
        &mut self,
        order: &'a [ast::OrderByExpr],
        columns: &[ResultColumn],
    ) -> Result<Vec<SortKey>, SqlError> {
        let mut keys = Vec::new();
        for criterion in order {
            let Some(column) = self.output_reference(&criterion.expr, columns)? else {
                return Err(self.refuse(
                    "ORDER BY an expression beside UNION or VALUES",
                    Some("Name a column of the result, or wrap the query: SELECT … FROM (…) AS x."),
                    criterion.expr.span(),
                ));
            };
            keys.push(self.criterion(column, criterion)?);
        }
        Ok(keys)
    }

    pub(super) fn criterion(&self, column: usize, criterion: &ast::OrderByExpr) -> Result<SortKey, SqlError> {
        match sort_key(column, &criterion.options) {
            Some(key) if criterion.with_fill.is_none() => Ok(key),
            _ => Err(self.refuse("this form of ORDER BY", None, criterion.expr.span())),
        }
    }

    /// The output column that an ordinal or an output's name stands for.
    pub(super) fn output_reference(
        &self,
        expr: &ast::Expr,
        columns: &[ResultColumn],
    ) -> Result<Option<usize>, SqlError> {
        match expr {
            ast::Expr::Value(value) => match &value.value {
                ast::Value::Number(text, _) => match text.parse::<usize>() {
                    Ok(ordinal) if (1..=columns.len()).contains(&ordinal) => Ok(Some(ordinal - 1)),
                    _ => Err(SqlError::InvalidColumnReference {
                        reason: format!("position {text} is not in the select list"),
                        position: self.at(value.span),
                    }),
                },
                _ => Err(SqlError::Syntax {
                    message: "a constant that is no position in ORDER BY or GROUP BY".to_owned(),
                    position: self.at(value.span),
                }),
            },
            ast::Expr::Identifier(ident) => {
                let name = folded(ident);
                Ok(columns.iter().position(|column| column.name == name))
            }
            _ => Ok(None),
        }
    }

    fn limit(&mut self, query: &'a ast::Query, body: &mut Body) -> Result<(), SqlError> {
        let (limit, offset) = match &query.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            Some(_) => return Err(self.refuse("LIMIT BY", None, query.span())),
        };
        let one = Expr::literal(Value::Integer(1), DataType::Bigint);
        let (fetched, limit) = match &query.fetch {
            None => (None, limit),
            Some(fetch) if fetch.with_ties || fetch.percent => {
                return Err(self.refuse("FETCH WITH TIES and PERCENT", None, query.span()));
            }
            Some(fetch) => match &fetch.quantity {
                Some(quantity) => (None, Some(quantity)),
                None => (Some(one), None),
            },
        };
        let limit = match limit {
            Some(limit) => self.row_count(limit, "LIMIT")?,
            None => fetched,
        };
        let offset = match offset {
            Some(offset) => self.row_count(offset, "OFFSET")?,
            None => None,
        };
        if limit.is_some() || offset.is_some() {
            let input = std::mem::replace(&mut body.plan, Plan::UnionAll { inputs: Vec::new() });
            let order = body.order.clone();
            body.plan = Plan::TopK { input: Box::new(input), partition: Vec::new(), order, limit, offset };
        }
        Ok(())
    }

    /// A number of rows; None for NULL.
    fn row_count(&mut self, ast: &'a ast::Expr, clause: &'static str) -> Result<Option<Expr>, SqlError> {
        let scope = Scope::default();
        let operand = self.without_subqueries(clause, |binder| {
            binder.without_aggregates(clause, |binder| binder.expr(ast, &scope))
        })?;
        let place = format!("argument of {clause}");
        let expr = self.coerce(operand, &DataType::Bigint, Context::Assignment, &place, ast.span())?;
        match &expr.kind {
            ExprKind::Literal(Value::Null) => Ok(None),
            ExprKind::Literal(Value::Integer(n)) if *n < 0 => {
                Err(SqlError::NegativeRowCount { clause, position: self.at(ast.span()) })
            }
            _ => Ok(Some(expr)),
        }
    }
}

fn values_span(values: &ast::Values) -> Span {
    values.rows.first().and_then(|row| row.content.first()).map_or_else(Span::empty, Spanned::span)
}

//! The parts of syntax trees: the operands of an expression, the queries in it, the expressions of a query.
//!
//! Invariant: what the generator writes is walked whole; of other SQL some parts may be left out.

use std::ops::ControlFlow;

use deltaic_sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, GroupByExpr,
    JoinConstraint, JoinOperator, LimitClause, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableFactor, WindowType,
};

/// The arguments of a call that are expressions.
pub(super) fn arguments(function: &mut Function) -> Vec<&mut Expr> {
    let FunctionArguments::List(list) = &mut function.args else { return Vec::new() };
    list.args
        .iter_mut()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

/// What a call's ORDER BY lists, inside of its brackets or in WITHIN GROUP.
pub(super) fn call_order(function: &mut Function) -> Vec<&mut OrderByExpr> {
    let mut keys: Vec<&mut OrderByExpr> = function.within_group.iter_mut().collect();
    if let FunctionArguments::List(list) = &mut function.args {
        for clause in &mut list.clauses {
            if let FunctionArgumentClause::OrderBy(order) = clause {
                keys.extend(order);
            }
        }
    }
    keys
}

/// The expressions right below one, without those of its queries.
pub(super) fn operands(expr: &mut Expr) -> Vec<&mut Expr> {
    match expr {
        Expr::Nested(a)
        | Expr::IsNull(a)
        | Expr::IsNotNull(a)
        | Expr::UnaryOp { expr: a, .. }
        | Expr::Cast { expr: a, .. }
        | Expr::InSubquery { expr: a, .. }
        | Expr::AnyOp { left: a, .. }
        | Expr::AllOp { left: a, .. } => vec![a],
        Expr::IsDistinctFrom(a, b)
        | Expr::IsNotDistinctFrom(a, b)
        | Expr::BinaryOp { left: a, right: b, .. }
        | Expr::Like { expr: a, pattern: b, .. } => vec![a, b],
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::InList { expr, list, .. } => std::iter::once(&mut **expr).chain(list).collect(),
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut parts: Vec<&mut Expr> = operand.iter_mut().map(|operand| &mut **operand).collect();
            for when in conditions {
                parts.extend([&mut when.condition, &mut when.result]);
            }
            parts.extend(else_result.iter_mut().map(|result| &mut **result));
            parts
        }
        Expr::Function(function) => {
            // Each field is borrowed for itself.
            let Function { args, within_group, filter, over, .. } = function;
            let mut parts = Vec::new();
            if let FunctionArguments::List(list) = args {
                for argument in &mut list.args {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                        parts.push(expr);
                    }
                }
                for clause in &mut list.clauses {
                    if let FunctionArgumentClause::OrderBy(order) = clause {
                        parts.extend(order.iter_mut().map(|key| &mut key.expr));
                    }
                }
            }
            parts.extend(within_group.iter_mut().map(|key| &mut key.expr));
            parts.extend(filter.iter_mut().map(|filter| &mut **filter));
            if let Some(WindowType::WindowSpec(spec)) = over {
                parts.extend(&mut spec.partition_by);
                parts.extend(spec.order_by.iter_mut().map(|key| &mut key.expr));
            }
            parts
        }
        _ => Vec::new(),
    }
}

/// The query of an expression.
pub(super) fn subquery(expr: &mut Expr) -> Option<&mut Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } => Some(subquery),
        Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => subquery(right),
        _ => None,
    }
}

/// The condition of a join.
pub(super) fn join_condition(operator: &mut JoinOperator) -> Option<&mut Expr> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => match constraint {
            JoinConstraint::On(condition) => Some(condition),
            _ => None,
        },
        _ => None,
    }
}

/// The name that a table of FROM goes by.
pub(super) fn alias_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.value.to_lowercase())
        }
        TableFactor::Table { name, .. } => Some(crate::naive::last(name)),
        _ => None,
    }
}

/// The tables of FROM.
pub(super) fn factors(select: &mut Select) -> Vec<&mut TableFactor> {
    let mut factors = Vec::new();
    for table in &mut select.from {
        factors.push(&mut table.relation);
        factors.extend(table.joins.iter_mut().map(|join| &mut join.relation));
    }
    factors
}

/// The expressions of a SELECT, without those of its queries.
pub(super) fn expressions(select: &mut Select) -> Vec<&mut Expr> {
    let mut all = Vec::new();
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            all.push(expr);
        }
    }
    for table in &mut select.from {
        all.extend(table.joins.iter_mut().filter_map(|join| join_condition(&mut join.join_operator)));
    }
    all.extend(&mut select.selection);
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        all.extend(keys);
    }
    all.extend(&mut select.having);
    all
}

/// The SELECTs of a query's body.
pub(super) fn selects(body: &mut SetExpr) -> Vec<&mut Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::Query(inner) => selects(&mut inner.body),
        SetExpr::SetOperation { left, right, .. } => {
            let mut all = selects(left);
            all.extend(selects(right));
            all
        }
        _ => Vec::new(),
    }
}

/// The keys of ORDER BY.
pub(super) fn order_keys(query: &mut Query) -> Option<&mut Vec<OrderByExpr>> {
    match &mut query.order_by.as_mut()?.kind {
        OrderByKind::Expressions(keys) => Some(keys),
        OrderByKind::All(_) => None,
    }
}

/// Whether a query takes some of its rows by their places.
pub(super) fn has_limit(query: &Query) -> bool {
    matches!(&query.limit_clause, Some(LimitClause::LimitOffset { .. }))
}

/// What a walk meets.
#[derive(Debug)]
pub(super) enum Part<'t> {
    Expr(&'t mut Expr),
    Query(&'t mut Query),
}

/// Every expression and query below an expression, from the outside in, itself first. Where the visitor breaks,
/// nothing further in is visited.
pub(super) fn walk(expr: &mut Expr, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) {
    if visit(Part::Expr(expr)).is_break() {
        return;
    }
    if let Some(query) = subquery(expr) {
        walk_query(query, visit);
    }
    for operand in operands(expr) {
        walk(operand, visit);
    }
}

/// Every expression and query below a query, itself first.
pub(super) fn walk_query(query: &mut Query, visit: &mut dyn FnMut(Part<'_>) -> ControlFlow<()>) {
    if visit(Part::Query(query)).is_break() {
        return;
    }
    for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        walk_query(&mut cte.query, visit);
    }
    for select in selects(&mut query.body) {
        for factor in factors(select) {
            if let TableFactor::Derived { subquery, .. } = factor {
                walk_query(subquery, visit);
            }
        }
        for expr in expressions(select) {
            walk(expr, visit);
        }
    }
}

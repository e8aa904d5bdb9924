//! Templates: the constants of a plan that an index could find become parameters.
//!
//! `WHERE project_id = 7` and `WHERE project_id = 8` are then one template with two tuples and share one
//! circuit. Invariant: the lifted plan with the lifted values in place of its new parameters is the plan.

use deltaic_types::{Row, TableId, Value};

use crate::{
    compile::evaluate,
    expression::{Comparison, Expr, ExprKind, Subquery},
    fallible::{can_fail, plain_column},
    lower::LowerError,
    plan::{JoinKind, Plan},
    unnest::semijoin_as_join,
};

/// A plan whose constants became parameters, and their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// The plan.
    pub plan: Plan,
    /// The values of the new parameters, which are numbered behind those that the plan had.
    pub values: Vec<Value>,
}

/// Lifts the constants that a table's column is compared with for equality, where `wanted` says yes to the
/// column. The plan has `parameters` parameters already.
pub fn lift(plan: &Plan, parameters: usize, wanted: &dyn Fn(TableId, usize) -> bool) -> Lifted {
    let mut values = Vec::new();
    let plan = walk(plan, parameters, wanted, &mut values);
    Lifted { plan, values }
}

fn walk(plan: &Plan, base: usize, wanted: &dyn Fn(TableId, usize) -> bool, values: &mut Vec<Value>) -> Plan {
    let mut inside = |input: &Plan| Box::new(walk(input, base, wanted, values));
    match plan {
        Plan::Filter { input, predicate } if !can_fail(predicate) => {
            let input = inside(input);
            let conditions = predicate
                .clone()
                .conjuncts()
                .into_iter()
                .map(|condition| lift_condition(condition, &input, base, wanted, values))
                .collect();
            Plan::Filter { input, predicate: Expr::all(conditions) }
        }
        Plan::Filter { input, predicate } => {
            Plan::Filter { input: inside(input), predicate: predicate.clone() }
        }
        Plan::Project { input, exprs } => Plan::Project { input: inside(input), exprs: exprs.clone() },
        Plan::Join { kind, left, right, outer, on } => {
            let left = inside(left);
            // Where the right side may depend on parameters alone, rows are found from them.
            let free = outer.is_empty()
                && match kind {
                    JoinKind::Inner => true,
                    JoinKind::Semi => semijoin_as_join(&left, right, on).is_some(),
                    _ => false,
                };
            let right = if free { inside(right) } else { right.clone() };
            Plan::Join { kind: *kind, left, right, outer: outer.clone(), on: on.clone() }
        }
        Plan::Aggregate { input, keys, calls } => {
            Plan::Aggregate { input: inside(input), keys: keys.clone(), calls: calls.clone() }
        }
        Plan::Distinct { input } => Plan::Distinct { input: inside(input) },
        Plan::Window { input, partition, order, calls } => Plan::Window {
            input: inside(input),
            partition: partition.clone(),
            order: order.clone(),
            calls: calls.clone(),
        },
        Plan::TopK { input, partition, order, limit, offset } => Plan::TopK {
            input: inside(input),
            partition: partition.clone(),
            order: order.clone(),
            limit: limit.clone(),
            offset: offset.clone(),
        },
        Plan::Recursive { base, step, all, ranked } => {
            Plan::Recursive { base: inside(base), step: step.clone(), all: *all, ranked: *ranked }
        }
        Plan::Scan { .. }
        | Plan::Values { .. }
        | Plan::UnionAll { .. }
        | Plan::SetOperation { .. }
        | Plan::Recurring { .. } => plan.clone(),
    }
}

fn lift_condition(
    condition: Expr,
    input: &Plan,
    base: usize,
    wanted: &dyn Fn(TableId, usize) -> bool,
    values: &mut Vec<Value>,
) -> Expr {
    let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return condition };
    let (column, value, constant_first) = match (&a.kind, &b.kind) {
        (_, ExprKind::Literal(value)) => (a, value, false),
        (ExprKind::Literal(value), _) => (b, value, true),
        _ => return condition,
    };
    let source = plain_column(column).and_then(|place| source_of(input, place));
    if value.is_null() || !source.is_some_and(|(table, place)| wanted(table, place)) {
        return condition;
    }
    values.push(value.clone());
    let data_type = if constant_first { &a.data_type } else { &b.data_type };
    let parameter = Box::new(Expr::new(ExprKind::Parameter(base + values.len() - 1), data_type.clone()));
    let compare = |a, b| ExprKind::Compare(Comparison::Eq, a, b);
    let kind = if constant_first { compare(parameter, b.clone()) } else { compare(a.clone(), parameter) };
    Expr::new(kind, condition.data_type.clone())
}

/// The table column that a plan's output column is.
fn source_of(plan: &Plan, place: usize) -> Option<(TableId, usize)> {
    match plan {
        Plan::Scan { table, .. } => Some((*table, place)),
        Plan::Filter { input, .. } => source_of(input, place),
        Plan::Project { input, exprs } => source_of(input, plain_column(&exprs[place])?),
        _ => None,
    }
}

/// The plan with each parameter replaced by a constant.
#[must_use]
pub fn bind_parameters(plan: &Plan, values: &[Value]) -> Plan {
    map_expressions(plan, &|expr| bind_expression(expr, values))
}

/// The expression with each parameter replaced by a constant, in its subqueries too.
#[must_use]
pub fn bind_expression(expr: &Expr, values: &[Value]) -> Expr {
    let bound = expr.map_leaves(&mut |leaf| match leaf.kind {
        ExprKind::Parameter(number) => Some(Expr::literal(values[number].clone(), leaf.data_type.clone())),
        _ => None,
    });
    bound.map_subqueries(&mut |subquery, data_type| {
        let subquery = Subquery { plan: bind_parameters(&subquery.plan, values), ..subquery.clone() };
        Expr::new(ExprKind::Subquery(Box::new(subquery)), data_type.clone())
    })
}

/// The plan with a constant in place of the time, in microseconds since 1970.
#[must_use]
pub fn bind_time(plan: &Plan, micros: i64) -> Plan {
    map_expressions(plan, &|expr| time_bound(expr, micros))
}

fn time_bound(expr: &Expr, micros: i64) -> Expr {
    let bound = expr.map_leaves(&mut |leaf| {
        let now = || Expr::literal(Value::Timestamp(micros), leaf.data_type.clone());
        matches!(leaf.kind, ExprKind::Now).then(now)
    });
    bound.map_subqueries(&mut |subquery, data_type| {
        let subquery = Subquery { plan: bind_time(&subquery.plan, micros), ..subquery.clone() };
        Expr::new(ExprKind::Subquery(Box::new(subquery)), data_type.clone())
    })
}

/// Refuses values of parameters that LIMIT and OFFSET cannot have.
pub fn check_row_counts(plan: &Plan, values: &[Value]) -> Result<(), LowerError> {
    if let Plan::TopK { limit, offset, .. } = plan {
        for (bound, clause) in [(limit, "LIMIT"), (offset, "OFFSET")] {
            // What the row around decides is not known here; a negative number takes no rows there.
            let Some(bound) = bound.as_ref().filter(|bound| !bound.has_outer()) else { continue };
            if let Value::Integer(..0) = evaluate(&bind_expression(bound, values), &Row::empty())? {
                return Err(LowerError::NegativeLimit { clause });
            }
        }
    }
    plan.inputs().into_iter().try_for_each(|input| check_row_counts(input, values))
}

/// The plan with every expression replaced by what `change` makes of it.
#[must_use]
pub fn map_expressions(plan: &Plan, change: &dyn Fn(&Expr) -> Expr) -> Plan {
    let inside = |input: &Plan| Box::new(map_expressions(input, change));
    let each = |exprs: &[Expr]| exprs.iter().map(change).collect::<Vec<_>>();
    match plan {
        Plan::Scan { .. } | Plan::Recurring { .. } => plan.clone(),
        Plan::Recursive { base, step, all, ranked } => {
            Plan::Recursive { base: inside(base), step: inside(step), all: *all, ranked: *ranked }
        }
        Plan::Values { rows, types } => {
            Plan::Values { rows: rows.iter().map(|row| each(row)).collect(), types: types.clone() }
        }
        Plan::Filter { input, predicate } => {
            Plan::Filter { input: inside(input), predicate: change(predicate) }
        }
        Plan::Project { input, exprs } => Plan::Project { input: inside(input), exprs: each(exprs) },
        Plan::Join { kind, left, right, outer, on } => Plan::Join {
            kind: *kind,
            left: inside(left),
            right: inside(right),
            outer: outer.clone(),
            on: change(on),
        },
        Plan::SetOperation { kind, left, right } => {
            Plan::SetOperation { kind: *kind, left: inside(left), right: inside(right) }
        }
        Plan::Aggregate { input, keys, calls } => {
            let calls = calls.iter().cloned().map(|call| call.map(change)).collect();
            Plan::Aggregate { input: inside(input), keys: each(keys), calls }
        }
        Plan::Distinct { input } => Plan::Distinct { input: inside(input) },
        Plan::UnionAll { inputs } => {
            Plan::UnionAll { inputs: inputs.iter().map(|input| map_expressions(input, change)).collect() }
        }
        Plan::Window { input, partition, order, calls } => Plan::Window {
            input: inside(input),
            partition: partition.clone(),
            order: order.clone(),
            calls: calls.iter().cloned().map(|call| call.map(change)).collect(),
        },
        Plan::TopK { input, partition, order, limit, offset } => Plan::TopK {
            input: inside(input),
            partition: partition.clone(),
            order: order.clone(),
            limit: limit.as_ref().map(change),
            offset: offset.as_ref().map(change),
        },
    }
}

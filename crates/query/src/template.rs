//! Templates: plans whose constants became parameters, and plans with values in place of their parameters.
//!
//! Invariant: a template with the values of a tuple in place of its parameters is the query of that tuple.

use deltaic_types::{Row, Value};

use crate::{
    compile::evaluate,
    expression::{Expr, ExprKind, Subquery},
    lower::LowerError,
    plan::Plan,
};

pub use crate::lift::{Lifted, lift, lift_columns, lift_equalities};

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
            if bound.reads_time() {
                return Err(LowerError::MovingTime);
            }
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

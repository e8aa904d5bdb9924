//! [`traverse`]: the plan of a traversal of a graph whose edges are rows: each node that is reached, and its depth.
//!
//! Invariant: a node stands once, at the least depth at which an edge leads to it; the nodes are the first column and the
//! depths, [`ROUND`]s, the second. An edge without a target leads nowhere, and from NULL no traversal begins.

use deltaic_types::{DataType, EvalError, Row, Value};

use crate::{
    compile::evaluate,
    expression::{Comparison, Expr, ExprKind},
    fold::not,
    functions::Function,
    plan::{JoinKind, Plan, ROUND},
};

/// A direction in which edges are followed: from a column of theirs to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The place of the column that is the node already reached.
    pub from: usize,
    /// The place of the column that is the next one.
    pub to: usize,
    /// Whether that column may be NULL.
    pub nullable: bool,
}

/// The plan of a traversal from a node, over edges that are each followed in all of the directions. `depth` is the
/// greatest depth, an integer: none, or NULL, for no bound. Both read no columns but outer ones.
///
/// The start and the columns that the steps name are of one type.
///
/// # Errors
///
/// [`EvalError::InvalidArgument`] for a constant depth below zero; one that is not constant is checked as it is evaluated.
pub fn traverse(edges: &Plan, start: Expr, depth: Option<Expr>, steps: &[Step]) -> Result<Plan, EvalError> {
    let depth = match depth.as_ref().map(|depth| &depth.kind) {
        Some(ExprKind::Literal(Value::Null)) => None,
        _ => depth,
    };
    if let Some(depth) = depth.as_ref().filter(|depth| is_constant(depth)) {
        evaluate(&check(depth), &Row::empty())?;
    }
    let types = edges.types();
    let is_node = |place: usize| match (&types[place], &start.data_type) {
        (DataType::Numeric(_), DataType::Numeric(_)) => true,
        (own, node) => own == node,
    };
    let leads = |step: &Step| is_node(step.from) && is_node(step.to);
    assert!(!steps.is_empty() && steps.iter().all(leads), "invariant: an edge leads from a node to a node");
    let inputs: Vec<Plan> = steps.iter().map(|at| step(edges, &types, *at, depth.as_ref())).collect();
    let step = if let [one] = &inputs[..] { one.clone() } else { Plan::UnionAll { inputs } };
    let base = Box::new(base(start, depth.as_ref()));
    Ok(Plan::Recursive { base, step: Box::new(step), all: false, ranked: true })
}

/// The nodes one step further, from those whose depth is below the greatest.
fn step(edges: &Plan, types: &[DataType], step: Step, depth: Option<&Expr>) -> Plan {
    let node = Expr::column(0, types[step.from].clone());
    let edge = |place: usize| Expr::column(2 + place, types[place].clone());
    let mut reached = Plan::Recurring { types: vec![types[step.from].clone(), ROUND] };
    if let Some(depth) = depth {
        let below = compare(Comparison::Lt, Expr::column(1, ROUND), depth.clone());
        let predicate = if is_constant(depth) {
            below
        } else {
            Expr::new(ExprKind::Coalesce(vec![below, Expr::always()]), DataType::Boolean)
        };
        reached = Plan::Filter { input: Box::new(reached), predicate };
    }
    let mut on = vec![compare(Comparison::Eq, edge(step.from), node)];
    if step.nullable {
        on.push(is_known(edge(step.to)));
    }
    let (left, right) = (Box::new(reached), Box::new(edges.clone()));
    let join = Plan::Join { kind: JoinKind::Inner, left, right, outer: Vec::new(), on: Expr::all(on) };
    Plan::Project { input: Box::new(join), exprs: vec![edge(step.to)] }
}

/// The row to begin with; none where it is NULL, and an error where the depth is negative.
fn base(start: Expr, depth: Option<&Expr>) -> Plan {
    let data_type = start.data_type.clone();
    let mut plan = Plan::Values { rows: vec![Vec::new()], types: Vec::new() };
    if let Some(depth) = depth.filter(|depth| !is_constant(depth)) {
        plan = Plan::Filter { input: Box::new(plan), predicate: check(depth) };
    }
    let known = matches!(&start.kind, ExprKind::Literal(value) if !value.is_null());
    plan = Plan::Project { input: Box::new(plan), exprs: vec![start] };
    if known {
        return plan;
    }
    Plan::Filter { input: Box::new(plan), predicate: is_known(Expr::column(0, data_type)) }
}

fn compare(op: Comparison, left: Expr, right: Expr) -> Expr {
    Expr::new(ExprKind::Compare(op, Box::new(left), Box::new(right)), DataType::Boolean)
}

fn is_constant(depth: &Expr) -> bool {
    matches!(depth.kind, ExprKind::Literal(_))
}

/// TRUE for a depth that may be, and else an error.
fn check(depth: &Expr) -> Expr {
    Expr::new(ExprKind::Call(Function::TraverseDepth, vec![depth.clone()]), DataType::Boolean)
}

fn is_known(expr: Expr) -> Expr {
    not(Expr::new(ExprKind::IsNull(Box::new(expr)), DataType::Boolean))
}

#[cfg(test)]
mod tests {
    use deltaic_types::TableId;

    use super::*;

    fn integer(n: i64) -> Expr {
        Expr::literal(Value::Integer(n), DataType::Integer)
    }

    #[test]
    fn only_a_depth_below_zero_is_refused() {
        let edges = Plan::Scan { table: TableId(1), types: vec![DataType::Integer; 2] };
        let forth = Step { from: 0, to: 1, nullable: true };
        let plan = |depth| traverse(&edges, integer(1), depth, &[forth]);
        assert!(matches!(plan(Some(integer(-1))), Err(EvalError::InvalidArgument { .. })));
        let unbounded = plan(None).unwrap();
        assert_eq!(plan(Some(Expr::literal(Value::Null, ROUND))), Ok(unbounded.clone()));
        assert_ne!(plan(Some(integer(0))), Ok(unbounded.clone()));
        assert_eq!(unbounded.types(), [DataType::Integer, ROUND]);
    }

    #[test]
    fn directions_are_terms_of_one_sum() {
        let edges = Plan::Scan { table: TableId(1), types: vec![DataType::Integer; 2] };
        let forth = Step { from: 0, to: 1, nullable: false };
        let back = Step { from: 1, to: 0, nullable: false };
        let Plan::Recursive { step, .. } = traverse(&edges, integer(1), None, &[forth, back]).unwrap() else {
            panic!("a recursion")
        };
        assert!(matches!(*step, Plan::UnionAll { inputs } if inputs.len() == 2));
    }

    #[test]
    #[should_panic(expected = "an edge leads from a node to a node")]
    fn a_start_of_another_type_is_a_defect() {
        let edges = Plan::Scan { table: TableId(1), types: vec![DataType::Text; 2] };
        let _ = traverse(&edges, integer(1), None, &[Step { from: 0, to: 1, nullable: false }]);
    }
}

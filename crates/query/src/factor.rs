//! [`conjuncts`]: the conditions that all have to hold, with what every branch of an OR asks put before it.
//!
//! Invariant: all of them together are TRUE, FALSE and unknown for the same rows as the condition, for AND distributes
//! over OR in three-valued logic too. What can fail stays as it stands: which branch is looked at decides there.

use deltaic_types::DataType;

use crate::{
    expression::{Expr, ExprKind},
    fallible::can_fail,
};

/// The conjuncts of a condition: `a AND x OR a AND y` is `a` and `x OR y`, so that a join finds its key.
pub(crate) fn conjuncts(condition: Expr) -> Vec<Expr> {
    condition.conjuncts().into_iter().flat_map(factored).collect()
}

fn disjuncts(condition: &Expr) -> Vec<&Expr> {
    match &condition.kind {
        ExprKind::Or(list) => list.iter().flat_map(disjuncts).collect(),
        _ => vec![condition],
    }
}

fn factored(condition: Expr) -> Vec<Expr> {
    let mut branches: Vec<Vec<Expr>> =
        disjuncts(&condition).into_iter().map(|branch| branch.clone().conjuncts()).collect();
    let (first, others) = branches.split_first().expect("invariant: an OR has branches");
    if others.is_empty() || can_fail(&condition) {
        return vec![condition];
    }
    let mut common: Vec<Expr> =
        first.iter().filter(|part| others.iter().all(|branch| branch.contains(part))).cloned().collect();
    if common.is_empty() {
        return vec![condition];
    }
    for branch in &mut branches {
        branch.retain(|part| !common.contains(part));
    }
    // A branch that asks nothing more holds wherever what is common does.
    if branches.iter().all(|branch| !branch.is_empty()) {
        let rest = branches.into_iter().map(Expr::all).collect();
        common.push(Expr::new(ExprKind::Or(rest), DataType::Boolean));
    }
    common
}

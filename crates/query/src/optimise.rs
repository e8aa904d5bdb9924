//! Rewriting of plans: conditions move down to the rows they judge, columns that nobody reads are dropped.
//!
//! Invariant: the rewritten plan has the same result on every database, errors included, but for one thing:
//! an error in a group or a row that a condition excludes anyway does not count. Conditions that can fail
//! never move.

use std::collections::BTreeSet;

use deltaic_types::TableId;

use crate::{
    expression::{Expr, ExprKind},
    fallible::can_fail,
    plan::{AggregateCall, JoinKind, Plan, SortKey, WindowCall},
};

/// The plan with conditions pushed down and unused columns dropped.
pub fn optimise(plan: Plan) -> Plan {
    let plan = push_down(plan, Vec::new());
    let width = plan.types().len();
    narrow(plan, &vec![true; width])
}

/// The table columns that a plan reads.
pub fn columns_read(plan: &Plan) -> BTreeSet<(TableId, usize)> {
    let mut read = BTreeSet::new();
    collect_columns(plan, &mut read);
    read
}

fn collect_columns(plan: &Plan, read: &mut BTreeSet<(TableId, usize)>) {
    if let Plan::Project { input, exprs } = plan {
        if let Plan::Scan { table, .. } = &**input {
            read.extend(exprs.iter().flat_map(Expr::columns).map(|place| (*table, place)));
            return;
        }
    }
    if let Plan::Scan { table, types } = plan {
        read.extend((0..types.len()).map(|place| (*table, place)));
    }
    for input in plan.inputs() {
        collect_columns(input, read);
    }
}

/// Filters the plan's output by conditions that cannot fail, each as far down as it goes.
fn push_down(plan: Plan, conditions: Vec<Expr>) -> Plan {
    match plan {
        Plan::Filter { input, predicate } => {
            let (fixed, movable): (Vec<Expr>, Vec<Expr>) =
                predicate.conjuncts().into_iter().partition(can_fail);
            if fixed.is_empty() {
                return push_down(*input, [movable, conditions].concat());
            }
            // What moves past a condition that can fail would hide its errors; what stands beside it may.
            let input = push_down(*input, movable);
            filter(Plan::Filter { input: Box::new(input), predicate: Expr::all(fixed) }, conditions)
        }
        Plan::Project { input, exprs } if exprs.iter().any(can_fail) => {
            let input = push_down(*input, Vec::new());
            filter(Plan::Project { input: Box::new(input), exprs }, conditions)
        }
        Plan::Project { input, exprs } => {
            let below = conditions.iter().map(|condition| substitute(condition, &exprs)).collect();
            Plan::Project { input: Box::new(push_down(*input, below)), exprs }
        }
        Plan::Join { kind, left, right, on } => push_into_join(kind, *left, *right, on, conditions),
        Plan::Aggregate { input, keys, calls } => {
            let safe = !keys.iter().chain(calls.iter().flat_map(AggregateCall::exprs)).any(can_fail);
            let on_keys = |condition: &Expr| {
                safe && !keys.is_empty() && condition.columns().iter().all(|place| *place < keys.len())
            };
            let (below, above): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(on_keys);
            let below = below.iter().map(|condition| substitute(condition, &keys)).collect();
            filter(Plan::Aggregate { input: Box::new(push_down(*input, below)), keys, calls }, above)
        }
        Plan::Distinct { input } => Plan::Distinct { input: Box::new(push_down(*input, conditions)) },
        Plan::UnionAll { inputs } => Plan::UnionAll {
            inputs: inputs.into_iter().map(|input| push_down(input, conditions.clone())).collect(),
        },
        Plan::Window { input, partition, order, calls } => {
            // What is the same in a whole partition keeps or drops it whole.
            let safe = !calls.iter().flat_map(WindowCall::exprs).any(can_fail);
            let (below, above): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(|condition| {
                safe && condition.columns().iter().all(|place| partition.contains(place))
            });
            let input = Box::new(push_down(*input, below));
            filter(Plan::Window { input, partition, order, calls }, above)
        }
        Plan::TopK { input, order, limit, offset } => {
            let input = Box::new(push_down(*input, Vec::new()));
            filter(Plan::TopK { input, order, limit, offset }, conditions)
        }
        Plan::Scan { .. } | Plan::Values { .. } => filter(plan, conditions),
    }
}

fn push_into_join(kind: JoinKind, left: Plan, right: Plan, on: Expr, conditions: Vec<Expr>) -> Plan {
    let width = left.types().len();
    let only_left = |condition: &Expr| condition.columns().iter().all(|place| *place < width);
    let only_right = |condition: &Expr| condition.columns().iter().all(|place| *place >= width);
    let shift = |condition: &Expr| move_columns(condition, |place| place - width);
    let (mut on_left, mut on_right, mut here) = (Vec::new(), Vec::new(), Vec::new());
    let (fixed, movable): (Vec<Expr>, Vec<Expr>) = on.conjuncts().into_iter().partition(can_fail);
    let mut above = Vec::new();
    for condition in movable {
        // Of an outer join's ON only what concerns the right side decides nothing about left rows.
        if kind == JoinKind::Inner
            && fixed.is_empty()
            && only_left(&condition)
            && !condition.columns().is_empty()
        {
            on_left.push(condition);
        } else if fixed.is_empty() && only_right(&condition) && !condition.columns().is_empty() {
            on_right.push(shift(&condition));
        } else {
            here.push(condition);
        }
    }
    for condition in conditions {
        if !fixed.is_empty() {
            above.push(condition);
        } else if only_left(&condition) {
            on_left.push(condition);
        } else if kind == JoinKind::Left {
            above.push(condition);
        } else if only_right(&condition) {
            on_right.push(shift(&condition));
        } else {
            here.push(condition);
        }
    }
    here.extend(fixed);
    let join = Plan::Join {
        kind,
        left: Box::new(push_down(left, on_left)),
        right: Box::new(push_down(right, on_right)),
        on: Expr::all(here),
    };
    filter(join, above)
}

fn filter(plan: Plan, conditions: Vec<Expr>) -> Plan {
    if conditions.is_empty() {
        return plan;
    }
    Plan::Filter { input: Box::new(plan), predicate: Expr::all(conditions) }
}

/// The expression with each column replaced by the expression at its place.
pub(crate) fn substitute(expr: &Expr, by: &[Expr]) -> Expr {
    expr.map_leaves(&mut |leaf| match leaf.kind {
        ExprKind::Column(place) => Some(by[place].clone()),
        _ => None,
    })
}

/// The expression with its columns at other places.
pub(crate) fn move_columns(expr: &Expr, to: impl Fn(usize) -> usize) -> Expr {
    expr.map_leaves(&mut |leaf| match leaf.kind {
        ExprKind::Column(place) => Some(Expr::column(to(place), leaf.data_type.clone())),
        _ => None,
    })
}

/// A plan that yields exactly the needed columns of a plan, in their order.
fn narrow(plan: Plan, needed: &[bool]) -> Plan {
    match plan {
        Plan::Scan { .. } | Plan::Values { .. } => select(plan, needed),
        Plan::Filter { input, predicate } => {
            let inner = with(needed, predicate.columns());
            let place = places(&inner);
            let predicate = move_columns(&predicate, |column| place[column]);
            let input = Box::new(narrow(*input, &inner));
            let kept: Vec<bool> = chosen(&inner).map(|column| needed[column]).collect();
            select(Plan::Filter { input, predicate }, &kept)
        }
        Plan::Project { input, exprs } => {
            // What can fail is computed even where nobody reads it: its errors are part of the result.
            let computed: Vec<bool> =
                exprs.iter().zip(needed).map(|(expr, need)| *need || can_fail(expr)).collect();
            let exprs: Vec<Expr> = chosen(&computed).map(|place| exprs[place].clone()).collect();
            let project = match *input {
                scan @ Plan::Scan { .. } => Plan::Project { input: Box::new(scan), exprs },
                input => {
                    let used = exprs.iter().flat_map(Expr::columns).collect();
                    let inner = with(&vec![false; input.types().len()], used);
                    let place = places(&inner);
                    let exprs = exprs.iter().map(|expr| move_columns(expr, |column| place[column])).collect();
                    Plan::Project { input: Box::new(narrow(input, &inner)), exprs }
                }
            };
            let kept: Vec<bool> = chosen(&computed).map(|column| needed[column]).collect();
            select(project, &kept)
        }
        Plan::Join { kind, left, right, on } => {
            let inner = with(needed, on.columns());
            let place = places(&inner);
            let on = move_columns(&on, |column| place[column]);
            let (for_left, for_right) = inner.split_at(left.types().len());
            let join = Plan::Join {
                kind,
                left: Box::new(narrow(*left, for_left)),
                right: Box::new(narrow(*right, for_right)),
                on,
            };
            let kept: Vec<bool> = chosen(&inner).map(|column| needed[column]).collect();
            select(join, &kept)
        }
        Plan::Aggregate { input, keys, calls } => {
            let used = keys
                .iter()
                .chain(calls.iter().flat_map(AggregateCall::exprs))
                .flat_map(Expr::columns)
                .collect();
            let inner = with(&vec![false; input.types().len()], used);
            let place = places(&inner);
            let moved = |expr: &Expr| move_columns(expr, |column| place[column]);
            let keys = keys.iter().map(moved).collect();
            let calls = calls.into_iter().map(|call| call.map(&moved)).collect();
            let aggregate = Plan::Aggregate { input: Box::new(narrow(*input, &inner)), keys, calls };
            select(aggregate, needed)
        }
        Plan::Distinct { input } => {
            let all = vec![true; needed.len()];
            select(Plan::Distinct { input: Box::new(narrow(*input, &all)) }, needed)
        }
        Plan::UnionAll { inputs } => {
            Plan::UnionAll { inputs: inputs.into_iter().map(|input| narrow(input, needed)).collect() }
        }
        Plan::Window { input, partition, order, calls } => {
            let width = needed.len() - calls.len();
            let mut used: Vec<usize> =
                calls.iter().flat_map(WindowCall::exprs).flat_map(Expr::columns).collect();
            used.extend(partition.iter().copied().chain(order.iter().map(|key| key.column)));
            let inner = with(&needed[..width], used);
            let place = places(&inner);
            let moved = |expr: &Expr| move_columns(expr, |column| place[column]);
            let kept: Vec<bool> =
                chosen(&inner).map(|column| needed[column]).chain(needed[width..].iter().copied()).collect();
            let window = Plan::Window {
                partition: partition.iter().map(|column| place[*column]).collect(),
                order: order.iter().map(|key| SortKey { column: place[key.column], ..*key }).collect(),
                calls: calls.into_iter().map(|call| call.map(&moved)).collect(),
                input: Box::new(narrow(*input, &inner)),
            };
            select(window, &kept)
        }
        Plan::TopK { input, order, limit, offset } => {
            // The whole row breaks ties, so every column decides which rows are in the window.
            let all = vec![true; needed.len()];
            let input = Box::new(narrow(*input, &all));
            select(Plan::TopK { input, order, limit, offset }, needed)
        }
    }
}

fn with(needed: &[bool], used: Vec<usize>) -> Vec<bool> {
    let mut all = needed.to_vec();
    for place in used {
        all[place] = true;
    }
    all
}

fn chosen(needed: &[bool]) -> impl Iterator<Item = usize> + '_ {
    needed.iter().enumerate().filter(|(_, needed)| **needed).map(|(place, _)| place)
}

/// For each column its place among the needed ones.
fn places(needed: &[bool]) -> Vec<usize> {
    let mut next = 0;
    needed
        .iter()
        .map(|needed| {
            let place = next;
            next += usize::from(*needed);
            place
        })
        .collect()
}

fn select(plan: Plan, needed: &[bool]) -> Plan {
    let types = plan.types();
    if needed.iter().all(|needed| *needed) && !matches!(plan, Plan::Scan { .. }) {
        return plan;
    }
    let exprs = chosen(needed).map(|place| Expr::column(place, types[place].clone())).collect();
    Plan::Project { input: Box::new(plan), exprs }
}

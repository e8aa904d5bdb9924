//! Rewriting of plans: conditions move down to the rows they judge, columns that nobody reads are dropped.
//!
//! Invariant: the rewritten plan has the same result on every database, errors included, but for one thing:
//! an error in a group or a row that a condition excludes anyway does not count. Conditions that can fail
//! never move.

use std::collections::BTreeSet;

use deltaic_types::TableId;

use crate::{
    expression::{Comparison, Expr, ExprKind},
    factor::conjuncts,
    fallible::{can_fail, plain_column, plan_can_fail},
    moving::move_time,
    plan::{AggregateCall, JoinKind, Plan, SortKey, WindowCall},
    unnest::unnest,
};

/// The plan with subqueries unnested, conditions pushed down and unused columns dropped.
pub fn optimise(plan: Plan) -> Plan {
    let plan = push_down(move_time(unnest(plan)), Vec::new());
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
                conjuncts(predicate).into_iter().partition(can_fail);
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
        Plan::Join { kind, left, right, outer, on } => {
            push_into_join(kind, *left, *right, outer, on, conditions)
        }
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
        Plan::SetOperation { kind, left, right } => {
            let left = Box::new(push_down(*left, conditions.clone()));
            let right = Box::new(push_down(*right, conditions));
            Plan::SetOperation { kind, left, right }
        }
        Plan::TopK { input, partition, order, limit, offset } => {
            // Whole partitions may go; a row may not, for another would take its place.
            let (below, above): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(|condition| {
                let columns = condition.columns();
                !columns.is_empty() && columns.iter().all(|place| partition.contains(place))
            });
            let input = Box::new(push_down(*input, below));
            filter(Plan::TopK { input, partition, order, limit, offset }, above)
        }
        Plan::Scan { .. } | Plan::Values { .. } | Plan::Recurring { .. } => filter(plan, conditions),
        // A row that a condition refuses may still lead to one that it admits.
        Plan::Recursive { base, step, all, ranked } => {
            let [base, step] = [base, step].map(|input| Box::new(push_down(*input, Vec::new())));
            filter(Plan::Recursive { base, step, all, ranked }, conditions)
        }
        Plan::Window { input, partition, order, calls } => {
            // What is the same in a whole partition keeps or drops it whole.
            let safe = !calls.iter().flat_map(WindowCall::exprs).any(can_fail);
            let (below, above): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(|condition| {
                safe && condition.columns().iter().all(|place| partition.contains(place))
            });
            let input = Box::new(push_down(*input, below));
            filter(Plan::Window { input, partition, order, calls }, above)
        }
    }
}

fn push_into_join(
    kind: JoinKind,
    left: Plan,
    right: Plan,
    outer: Vec<usize>,
    on: Expr,
    conditions: Vec<Expr>,
) -> Plan {
    let width = left.types().len();
    let only_left = |condition: &Expr| condition.columns().iter().all(|place| *place < width);
    // Beneath a dependent join an outer column would be another one.
    let only_right = |condition: &Expr| {
        condition.columns().iter().all(|place| *place >= width)
            && (outer.is_empty() || !condition.has_outer())
    };
    let shift = |condition: &Expr| move_columns(condition, |place| place - width);
    let rejecting = kind == JoinKind::Left
        && conditions.iter().any(|condition| rejects_nulls(condition, &|place| place >= width));
    let kind = if rejecting { JoinKind::Inner } else { kind };
    let (mut on_left, mut on_right, mut here) = (Vec::new(), Vec::new(), Vec::new());
    let (fixed, movable): (Vec<Expr>, Vec<Expr>) = conjuncts(on).into_iter().partition(can_fail);
    let mut above = Vec::new();
    for condition in movable {
        let moves = fixed.is_empty() && kind != JoinKind::Full && !condition.columns().is_empty();
        // Of an outer join's ON only what concerns the right side decides nothing about left rows.
        if moves && matches!(kind, JoinKind::Inner | JoinKind::Semi) && only_left(&condition) {
            on_left.push(condition);
        } else if moves && only_right(&condition) {
            on_right.push(shift(&condition));
        } else {
            here.push(condition);
        }
    }
    for condition in conditions {
        if !fixed.is_empty() || kind == JoinKind::Full {
            above.push(condition);
        } else if only_left(&condition) {
            on_left.push(condition);
        } else if kind != JoinKind::Inner {
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
        outer,
        on: Expr::all(here),
    };
    filter(join, above)
}

/// Whether the condition is not TRUE where all the columns are NULL.
fn rejects_nulls(condition: &Expr, column: &dyn Fn(usize) -> bool) -> bool {
    let reads = |expr: &Expr| plain_column(expr).is_some_and(column);
    match &condition.kind {
        ExprKind::Compare(_, a, b) => reads(a) || reads(b),
        ExprKind::InList(a, _) => reads(a),
        ExprKind::Not(inner) => matches!(&inner.kind, ExprKind::IsNull(operand) if reads(operand)),
        _ => false,
    }
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
pub fn move_columns(expr: &Expr, to: impl Fn(usize) -> usize) -> Expr {
    expr.map_leaves(&mut |leaf| match leaf.kind {
        ExprKind::Column(place) => Some(Expr::column(to(place), leaf.data_type.clone())),
        _ => None,
    })
}

/// A plan that yields exactly the needed columns of a plan, in their order.
fn narrow(plan: Plan, needed: &[bool]) -> Plan {
    match plan {
        Plan::Scan { .. } | Plan::Values { .. } | Plan::Recurring { .. } => select(plan, needed),
        Plan::Recursive { base, step, all, ranked } => {
            let whole = vec![true; base.types().len()];
            let [base, step] = [base, step].map(|input| Box::new(narrow(*input, &whole)));
            select(Plan::Recursive { base, step, all, ranked }, needed)
        }
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
        Plan::Join { kind, left, right, outer, on } => narrow_join(kind, *left, *right, outer, &on, needed),
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
        Plan::SetOperation { kind, left, right } => {
            let all = vec![true; needed.len()];
            let (left, right) = (Box::new(narrow(*left, &all)), Box::new(narrow(*right, &all)));
            select(Plan::SetOperation { kind, left, right }, needed)
        }
        Plan::TopK { input, partition, order, limit, offset } => {
            // The whole row breaks ties, so every column decides which rows are in the window.
            let all = vec![true; needed.len()];
            let input = Box::new(narrow(*input, &all));
            select(Plan::TopK { input, partition, order, limit, offset }, needed)
        }
    }
}

fn narrow_join(
    kind: JoinKind,
    left: Plan,
    right: Plan,
    outer: Vec<usize>,
    on: &Expr,
    needed: &[bool],
) -> Plan {
    let (left_width, right_width) = (left.types().len(), right.types().len());
    if kind == JoinKind::Mark && !needed[left_width] && !can_fail(on) && !plan_can_fail(&right) {
        return narrow(left, &needed[..left_width]);
    }
    let mut used = vec![false; left_width + right_width];
    let shown = if kind.has_right_columns() { left_width + right_width } else { left_width };
    used[..shown].copy_from_slice(&needed[..shown]);
    let inner = with(&used, on.columns().into_iter().chain(outer.iter().copied()).collect());
    let place = places(&inner);
    let on = move_columns(on, |column| place[column]);
    let outer = outer.into_iter().map(|column| place[column]).collect();
    let (for_left, for_right) = inner.split_at(left_width);
    let right = narrow(right, for_right);
    let right = if kind.has_right_columns() { right } else { existing(right, &on, chosen(for_left).count()) };
    let join = Plan::Join { kind, left: Box::new(narrow(left, for_left)), right: Box::new(right), outer, on };
    let mut kept: Vec<bool> = chosen(&inner[..shown]).map(|column| needed[column]).collect();
    kept.extend(&needed[shown..]);
    select(join, &kept)
}

/// The right side of a join that only asks whether there is a match. Where no equality finds one, each row there
/// would be looked at for each left row, so equal ones are made one.
fn existing(right: Plan, on: &Expr, left_width: usize) -> Plan {
    let equality = |condition: &Expr| {
        let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return false };
        let places = (plain_column(a), plain_column(b));
        matches!(places, (Some(a), Some(b)) if (a < left_width) != (b < left_width))
    };
    if on.clone().conjuncts().iter().any(equality) {
        return right;
    }
    Plan::Distinct { input: Box::new(right) }
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

//! Comparisons with the time come to stand where a circuit can follow them: in filters and projections.
//!
//! An aggregate or a window over `count(*) FILTER (WHERE t > now() - …)` reads a column of a projection beneath it; of the
//! condition of an inner join a filter above it takes what asks for the time. Invariant: the plan that comes
//! out means the same.

use std::cell::RefCell;

use deltaic_types::DataType;

use crate::{
    expression::{Expr, ExprKind},
    optimise::move_columns,
    plan::{JoinKind, Plan, WindowCall},
};

/// The plan with comparisons with the time moved out of aggregates, windows and inner joins.
pub(crate) fn move_time(plan: Plan) -> Plan {
    match plan.map_inputs(&mut move_time) {
        Plan::Aggregate { input, keys, calls } => {
            let hoisted = RefCell::new(Hoisted::above(&input));
            let replace = |expr: &Expr| hoisted.borrow_mut().replace(expr);
            let keys = keys.iter().map(replace).collect();
            let calls = calls.into_iter().map(|call| call.map(&replace)).collect();
            Plan::Aggregate { input: Box::new(hoisted.into_inner().project(*input)), keys, calls }
        }
        Plan::Window { input, partition, order, calls } => {
            let width = input.types().len();
            let hoisted = RefCell::new(Hoisted::above(&input));
            let replace = |expr: &Expr| hoisted.borrow_mut().replace(expr);
            let calls: Vec<WindowCall> = calls.into_iter().map(|call| call.map(&replace)).collect();
            let hoisted = hoisted.into_inner();
            let wider = width + hoisted.comparisons.len();
            let kept = (0..width).chain(wider..wider + calls.len());
            let input = Box::new(hoisted.project(*input));
            let window = Plan::Window { input, partition, order, calls };
            if wider == width {
                return window;
            }
            let types = window.types();
            let exprs = kept.map(|place| Expr::column(place, types[place].clone())).collect();
            Plan::Project { input: Box::new(window), exprs }
        }
        Plan::Join { kind: JoinKind::Inner, left, right, outer, on } if on.reads_time() => {
            let (moving, still): (Vec<Expr>, Vec<Expr>) =
                on.conjuncts().into_iter().partition(Expr::reads_time);
            let join = Plan::Join { kind: JoinKind::Inner, left, right, outer, on: Expr::all(still) };
            Plan::Filter { input: Box::new(join), predicate: Expr::all(moving) }
        }
        Plan::Join { kind, left, right, outer, on } if on.reads_time() => {
            beside(kind, *left, *right, outer, &on)
        }
        other => other,
    }
}

/// A join of another kind: what concerns one side alone is a column of that side.
fn beside(kind: JoinKind, left: Plan, right: Plan, outer: Vec<usize>, on: &Expr) -> Plan {
    let (left_width, right_width) = (left.types().len(), right.types().len());
    let (mut of_left, mut of_right) = (Hoisted::above(&left), Hoisted::above(&right));
    // Two passes: where the right columns are is known only when all of the left have been found.
    let mut side = |expr: &Expr| {
        let columns = expr.columns();
        if !matches!(expr.kind, ExprKind::Compare(..)) || !expr.reads_time() {
            return None;
        }
        if columns.iter().all(|place| *place < left_width) {
            let column = of_left.replace(expr);
            return Some(column);
        }
        let is_right = columns.iter().all(|place| *place >= left_width) && !expr.has_outer();
        is_right.then(|| {
            let ExprKind::Column(place) =
                of_right.replace(&move_columns(expr, |place| place - left_width)).kind
            else {
                unreachable!("invariant: a comparison becomes a column")
            };
            // Behind all columns of the left, however many there will be.
            Expr::column(RIGHT + place, DataType::Boolean)
        })
    };
    let on = replaced(on, left_width, &mut side);
    let wider = left_width + of_left.comparisons.len();
    let on = move_columns(&on, |place| if place >= RIGHT { wider + place - RIGHT } else { place });
    let kept: Vec<usize> = match kind {
        JoinKind::Semi | JoinKind::Anti => (0..left_width).collect(),
        JoinKind::Mark => (0..left_width).chain([wider]).collect(),
        _ => (0..left_width).chain(wider..wider + right_width).collect(),
    };
    let (left, right) = (Box::new(of_left.project(left)), Box::new(of_right.project(right)));
    let join = Plan::Join { kind, left, right, outer, on };
    let types = join.types();
    if kept.len() == types.len() {
        return join;
    }
    let exprs = kept.into_iter().map(|place| Expr::column(place, types[place].clone())).collect();
    Plan::Project { input: Box::new(join), exprs }
}

/// Stands for the first column of the right side.
const RIGHT: usize = usize::MAX / 2;

/// The condition with each expression replaced for which `by` gives another, and the right side's columns from
/// [`RIGHT`] on.
fn replaced(expr: &Expr, left_width: usize, by: &mut dyn FnMut(&Expr) -> Option<Expr>) -> Expr {
    if let Some(other) = by(expr) {
        return other;
    }
    if let ExprKind::Column(place) = expr.kind {
        let place = if place < left_width { place } else { RIGHT + place - left_width };
        return Expr::column(place, expr.data_type.clone());
    }
    let mapped: Result<Expr, std::convert::Infallible> =
        expr.try_map_operands(&mut |operand| Ok(replaced(operand, left_width, by)));
    match mapped {
        Ok(expr) => expr,
    }
}

/// Comparisons that a projection computes for the node above it.
struct Hoisted {
    /// The columns of the node beneath.
    types: Vec<DataType>,
    comparisons: Vec<Expr>,
}

impl Hoisted {
    fn above(input: &Plan) -> Self {
        Self { types: input.types(), comparisons: Vec::new() }
    }

    /// The expression with each comparison with the time as a column.
    fn replace(&mut self, expr: &Expr) -> Expr {
        if !expr.reads_time() {
            return expr.clone();
        }
        if let ExprKind::Compare(..) = expr.kind {
            self.comparisons.push(expr.clone());
            return Expr::column(self.types.len() + self.comparisons.len() - 1, DataType::Boolean);
        }
        let mapped: Result<Expr, std::convert::Infallible> =
            expr.try_map_operands(&mut |operand| Ok(self.replace(operand)));
        match mapped {
            Ok(expr) => expr,
        }
    }

    fn project(self, input: Plan) -> Plan {
        if self.comparisons.is_empty() {
            return input;
        }
        let columns =
            self.types.into_iter().enumerate().map(|(place, data_type)| Expr::column(place, data_type));
        Plan::Project { input: Box::new(input), exprs: columns.chain(self.comparisons).collect() }
    }
}

//! Filters and projections that ask for the time: their comparisons with `now()` become columns that the clock moves.
//!
//! `Filter[p](R)` becomes `Filter[p'](Temporal[c](R))`, where `c` are the comparisons in `p` on one side of which stands an
//! expression that only ever grows, or only ever shrinks, with the time, and `p'` reads their truth from columns.
//! Invariant: what reads the time otherwise has no circuit, for its value would change with every instant.

use deltaic_dataflow::{Course, Map, Operator, RelationId, Scalar, Temporal, TimeCondition};
use deltaic_types::{DataType, Value};

use super::{LowerError, Lowered, Lowering, reads_domain};
use crate::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    fallible::can_fail,
    functions::Function,
    optimise::move_columns,
    plan::Plan,
};

/// The column that stands for the time in a condition while it is compiled.
const TIME: usize = usize::MAX;

/// How an expression moves as time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    /// Not at all.
    Still,
    /// It never falls; `steady` if not even by the months' ends.
    Forth { steady: bool },
    /// It never rises.
    Back { steady: bool },
}

impl Motion {
    fn reversed(self) -> Self {
        match self {
            Self::Still => Self::Still,
            Self::Forth { steady } => Self::Back { steady },
            Self::Back { steady } => Self::Forth { steady },
        }
    }

    /// The course of a sum of two.
    fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Still, other) | (other, Self::Still) => Some(other),
            (Self::Forth { steady: a }, Self::Forth { steady: b }) => Some(Self::Forth { steady: a && b }),
            (Self::Back { steady: a }, Self::Back { steady: b }) => Some(Self::Back { steady: a && b }),
            _ => None,
        }
    }

    fn restless(self) -> Self {
        match self {
            Self::Still => Self::Still,
            Self::Forth { .. } => Self::Forth { steady: false },
            Self::Back { .. } => Self::Back { steady: false },
        }
    }
}

/// How an expression moves; None where that cannot be told.
fn motion(expr: &Expr) -> Option<Motion> {
    if !expr.reads_time() {
        return Some(Motion::Still);
    }
    match &expr.kind {
        ExprKind::Now => Some(Motion::Forth { steady: true }),
        ExprKind::Cast(operand) if is_time(&operand.data_type) && is_time(&expr.data_type) => motion(operand),
        ExprKind::Call(Function::DateTrunc, operands)
            if is_time(&expr.data_type) && !operands[0].reads_time() =>
        {
            motion(&operands[1])
        }
        ExprKind::Call(function @ (Function::Add | Function::Subtract), operands) => {
            let [a, b] = &operands[..] else { return None };
            let (of_a, of_b) = (motion(a)?, motion(b)?);
            let sum = of_a.plus(if *function == Function::Add { of_b } else { of_b.reversed() })?;
            let months = [a, b].into_iter().any(may_have_months);
            Some(if months { sum.restless() } else { sum })
        }
        _ => None,
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamptz | DataType::Date)
}

/// Whether the expression is an interval that adds months: no day of the month is safe from them.
fn may_have_months(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(Value::Interval(interval)) => interval.months != 0,
        _ => expr.data_type == DataType::Interval,
    }
}

/// The comparisons on which what a node computes depends as time passes, found one after the other.
struct Conditions {
    found: Vec<(Expr, Course)>,
    /// The first column behind the input's.
    width: usize,
}

impl Conditions {
    /// The expression with its comparisons with the time as columns.
    fn settle(&mut self, expr: &Expr) -> Result<Expr, LowerError> {
        if !expr.reads_time() {
            return Ok(expr.clone());
        }
        let sides = if let ExprKind::Compare(_, a, b) = &expr.kind { motion(a).zip(motion(b)) } else { None };
        let motion = sides.and_then(|(a, b)| a.plus(b.reversed()));
        match (&expr.kind, motion) {
            (ExprKind::Compare(op @ (Comparison::Eq | Comparison::Ne), a, b), Some(_)) => {
                let both = [Comparison::Le, Comparison::Ge].map(|op| compare(op, a, b));
                let [below, above] = [self.settle(&both[0])?, self.settle(&both[1])?];
                let equal = Expr::all(vec![below, above]);
                let kind = if *op == Comparison::Eq { equal.kind } else { ExprKind::Not(Box::new(equal)) };
                Ok(Expr::new(kind, DataType::Boolean))
            }
            (ExprKind::Compare(op, ..), Some(motion @ (Motion::Forth { .. } | Motion::Back { .. }))) => {
                let grows = matches!(motion, Motion::Forth { .. });
                let course = match motion {
                    Motion::Forth { steady: false } | Motion::Back { steady: false } => Course::Restless,
                    _ if grows == matches!(op, Comparison::Gt | Comparison::Ge) => Course::Rises,
                    _ => Course::Falls,
                };
                let known = self.found.iter().position(|(condition, _)| condition == expr);
                let place = known.unwrap_or_else(|| {
                    self.found.push((expr.clone(), course));
                    self.found.len() - 1
                });
                Ok(Expr::column(self.width + place, DataType::Boolean))
            }
            (ExprKind::Now, _) => Err(LowerError::MovingTime),
            _ => expr.try_map_operands(&mut |operand| self.settle(operand)),
        }
    }
}

fn compare(op: Comparison, a: &Expr, b: &Expr) -> Expr {
    Expr::new(ExprKind::Compare(op, Box::new(a.clone()), Box::new(b.clone())), DataType::Boolean)
}

/// Whether a node asks for the time itself, in a place where it may.
pub(super) fn asks_for_time(plan: &Plan) -> bool {
    match plan {
        Plan::Filter { predicate, .. } => predicate.reads_time(),
        Plan::Project { exprs, .. } => exprs.iter().any(Expr::reads_time),
        _ => false,
    }
}

/// Refuses a plan that asks for the time where no circuit can answer.
pub(super) fn check_time(plan: &Plan) -> Result<(), LowerError> {
    if !asks_for_time(plan) && plan.expressions().into_iter().any(Expr::reads_time) {
        return Err(LowerError::MovingTime);
    }
    plan.inputs().into_iter().try_for_each(check_time)
}

impl Lowering<'_> {
    /// A filter or a projection that asks for the time.
    pub(super) fn temporal(&mut self, plan: &Plan) -> Result<Lowered, LowerError> {
        let (input, filter, project) = match plan {
            Plan::Filter { input, predicate } => {
                // What does not ask for the time is looked at first, by whatever index there is.
                let (still, moving): (Vec<Expr>, Vec<Expr>) = predicate
                    .clone()
                    .conjuncts()
                    .into_iter()
                    .partition(|condition| !condition.reads_time() && !can_fail(condition));
                let input = if still.is_empty() {
                    self.plan(input)?
                } else {
                    self.plan(&Plan::Filter { input: input.clone(), predicate: Expr::all(still) })?
                };
                (input, moving, None)
            }
            Plan::Project { input, exprs } => match &**input {
                Plan::Scan { types, .. } => {
                    // Of a table only what is read is in memory.
                    let mut used: Vec<usize> = exprs.iter().flat_map(Expr::columns).collect();
                    used.sort_unstable();
                    used.dedup();
                    let columns = used.iter().map(|place| Expr::column(*place, types[*place].clone()));
                    let read = Plan::Project { input: input.clone(), exprs: columns.collect() };
                    let at = |column| used.binary_search(&column).expect("invariant: it was found in use");
                    let exprs = exprs.iter().map(|expr| move_columns(expr, at)).collect();
                    return self.temporal(&Plan::Project { input: Box::new(read), exprs });
                }
                _ => (self.plan(input)?, Vec::new(), Some(exprs)),
            },
            _ => unreachable!("invariant: only filters and projections ask for the time"),
        };
        let mut exprs = filter.iter().chain(project.into_iter().flatten());
        let input = if exprs.any(reads_domain) { self.dependent(input) } else { input };
        let mut conditions = Conditions { found: Vec::new(), width: input.width };
        let filter = filter.iter().map(|expr| conditions.settle(expr)).collect::<Result<Vec<_>, _>>()?;
        let project = project
            .map(|exprs| exprs.iter().map(|expr| conditions.settle(expr)).collect::<Result<Vec<_>, _>>())
            .transpose()?;
        let compiled = conditions.found.iter().map(|(condition, course)| TimeCondition {
            condition: self.time_condition(condition, input),
            course: *course,
        });
        let temporal = Temporal {
            conditions: compiled.collect(),
            input: input.node,
            prefix: self.parameters(input),
            clock: self.graph.add(Operator::Input(RelationId::Clock)),
        };
        let node = self.graph.add(Operator::Temporal(temporal));
        let wide = Lowered { node, width: input.width + conditions.found.len(), ..input };
        let prefix = self.prefix(input);
        let width = project.as_ref().map_or(input.width, Vec::len);
        let columns: Vec<Scalar> = match &project {
            None => (0..input.width).map(|place| Scalar::column(0, prefix + place)).collect(),
            Some(exprs) => exprs.iter().map(|expr| self.compile_over(expr, wide)).collect(),
        };
        let map = Map {
            input: node,
            filter: filter.iter().map(|expr| self.compile_over(expr, wide)).collect(),
            project: Some((0..prefix).map(|place| Scalar::column(0, place)).chain(columns).collect()),
            prefix: self.parameters(input),
        };
        Ok(Lowered { node: self.graph.add(Operator::Map(map)), width, ..input })
    }

    /// A comparison over a tuple of the input's row and the clock's.
    fn time_condition(&self, condition: &Expr, input: Lowered) -> Scalar {
        let prefix = self.prefix(input);
        let moved = move_columns(condition, |place| prefix + place);
        let placed =
            self.domain.map_or_else(|| moved.clone(), |domain| domain.settle(&moved, &|place| place));
        let timed = placed.map_leaves(&mut |leaf| {
            matches!(leaf.kind, ExprKind::Now).then(|| Expr::column(TIME, DataType::Timestamptz))
        });
        compile(&timed, &|place| if place == TIME { (1, 0) } else { (0, place) })
    }
}

//! Recursion: the step's plan, in which the rank of the row it comes from travels as the first column; a step that
//! reads the rank itself sees it behind the columns, too.
//!
//! Invariant: the text of the feedback says everything that the recursion computes, so equal recursions are one; a
//! recursion is dependent when anything in it reads a parameter.

use deltaic_dataflow::{Bounds, Operator, Recurse};
use deltaic_types::limits;

use super::{LowerError, Lowered, Lowering};
use crate::{
    expression::Expr,
    optimise::move_columns,
    plan::{JoinKind, Plan, ROUND},
    unnest::reads_outer,
};

impl Lowering<'_> {
    pub(super) fn recursive(
        &mut self,
        base: &Plan,
        step: &Plan,
        all: bool,
        ranked: bool,
    ) -> Result<Lowered, LowerError> {
        let mut lowered = self.plan(base)?;
        if reads_domain(base) || reads_domain(step) {
            lowered = self.dependent(lowered);
        }
        let prefix = self.prefix(lowered);
        let domain = self.domain.filter(|_| prefix > 0);
        let parameters = self.parameters(lowered);
        let bounds = Bounds { rounds: limits::RECURSION_ROUNDS, rows: limits::RECURSION_ROWS };
        let text = format!("{all} {ranked} {domain:?} {base:?} {step:?}");
        let operator = Operator::Feedback(text.into());
        // Made of the same tables earlier it may probe other indexes; its result is the same.
        if let Some(node) = self.graph.recursion(&operator) {
            return Ok(Lowered { node, width: lowered.width + usize::from(ranked), ..lowered });
        }
        let feedback = self.graph.add(operator);
        let outside = self.feedback.replace(Lowered { node: feedback, width: lowered.width + 1, ..lowered });
        let step = carry(step, ranked).and_then(|step| self.plan(&step));
        self.feedback = outside;
        let recurse = Recurse {
            feedback,
            base: lowered.node,
            step: step?.node,
            prefix,
            parameters,
            all,
            ranked,
            bounds,
        };
        let width = lowered.width + usize::from(ranked);
        Ok(Lowered { node: self.graph.add(Operator::Recurse(recurse)), width, ..lowered })
    }
}

/// Whether a plan reads the domain that it is computed for.
fn reads_domain(plan: &Plan) -> bool {
    plan.any_expression(&Expr::has_parameter) || reads_outer(plan)
}

/// Whether a plan reads the recursive relation of the step that it is part of.
pub fn recurs(plan: &Plan) -> bool {
    match plan {
        Plan::Recurring { .. } => true,
        // What stands in the step of a recursion inside is that recursion's.
        Plan::Recursive { base, .. } => recurs(base),
        plan => plan.inputs().into_iter().any(recurs),
    }
}

/// The plan with the rank of the recursive relation's rows in front of its columns.
fn carry(plan: &Plan, ranked: bool) -> Result<Plan, LowerError> {
    let later = |expr: &Expr| move_columns(expr, |place| place + 1);
    Ok(match plan {
        Plan::Recurring { types } if ranked => {
            let (_, columns) = types.split_last().expect("invariant: the round stands behind the columns");
            let all = std::iter::once(&ROUND).chain(columns);
            let places = (0..types.len()).chain([0]);
            let input = Plan::Recurring { types: all.clone().cloned().collect() };
            let exprs = places.zip(all.chain([&ROUND])).map(|(place, of)| Expr::column(place, of.clone()));
            Plan::Project { exprs: exprs.collect(), input: Box::new(input) }
        }
        Plan::Recurring { types } => {
            Plan::Recurring { types: std::iter::once(ROUND).chain(types.iter().cloned()).collect() }
        }
        Plan::Filter { input, predicate } => {
            Plan::Filter { input: Box::new(carry(input, ranked)?), predicate: later(predicate) }
        }
        Plan::Project { input, exprs } => {
            let exprs = std::iter::once(Expr::column(0, ROUND)).chain(exprs.iter().map(later)).collect();
            Plan::Project { input: Box::new(carry(input, ranked)?), exprs }
        }
        // Its right side would depend on the recursion through the different values of the outer columns.
        Plan::Join { outer, .. } if !outer.is_empty() => return Err(LowerError::DependentStep),
        Plan::Join { kind, left, right, outer, on } if recurs(left) => Plan::Join {
            kind: *kind,
            left: Box::new(carry(left, ranked)?),
            right: right.clone(),
            outer: outer.clone(),
            on: later(on),
        },
        Plan::Join { kind: JoinKind::Inner, left, right, outer, on } => {
            let width = left.types().len();
            let on = move_columns(on, |place| if place < width { place } else { place + 1 });
            let right = Box::new(carry(right, ranked)?);
            let outer = outer.clone();
            let join = Plan::Join { kind: JoinKind::Inner, left: left.clone(), right, outer, on };
            let types = join.types();
            let order = std::iter::once(width).chain((0..types.len()).filter(|place| *place != width));
            let exprs = order.map(|place| Expr::column(place, types[place].clone())).collect();
            Plan::Project { input: Box::new(join), exprs }
        }
        Plan::UnionAll { inputs } => Plan::UnionAll {
            inputs: inputs.iter().map(|input| carry(input, ranked)).collect::<Result<_, _>>()?,
        },
        _ => unreachable!("invariant: the step is linear in the recursive relation"),
    })
}

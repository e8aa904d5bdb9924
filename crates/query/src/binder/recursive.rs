//! WITH RECURSIVE: a common table that reads itself becomes a [`Plan::Recursive`].
//!
//! Invariant: the step of a recursion reads the recursive table once in each term of its sum, where a row more or
//! less of it is a row more or less of what is derived; the rules and their code are PostgreSQL's.

use deltaic_types::DataType;
use sqlparser::{
    ast::{self, SetExpr, SetOperator, SetQuantifier, Spanned},
    tokenizer::Span,
};

use super::{Binder, coercion::common_type, folded, from::with_types};
use crate::{
    error::SqlError,
    expression::{Expr, ExprKind},
    lower::recurs,
    plan::{JoinKind, Plan, Query, ResultColumn},
};

/// A common table of WITH RECURSIVE whose query is being bound.
pub(super) struct Open {
    /// Its place among the common tables.
    place: usize,
    /// The columns, while the recursive term is bound.
    columns: Option<Vec<ResultColumn>>,
    /// Where it reads itself.
    reference: Option<Span>,
    /// What is wrong with a reference where there are no columns.
    fault: &'static str,
}

const FORM: &str = "it has not the form: a first query, UNION or UNION ALL, and a second one";
const BASE: &str =
    "recursive reference must not appear within the first query, with which the recursion begins";

impl<'a> Binder<'a> {
    /// The query of a common table of WITH RECURSIVE, or the recursive table inside of it.
    pub(super) fn recursive_table(
        &mut self,
        place: usize,
        cte: &'a ast::Cte,
        span: Span,
    ) -> Result<Query, SqlError> {
        let name = folded(&cte.alias.name);
        if let Some(depth) = self.open.iter().position(|open| open.place == place) {
            if depth + 1 < self.open.len() {
                let instead = "Make one recursive query of them, with a column that tells them apart.";
                let what = format!("mutual recursion between \"{name}\" and other common tables");
                return Err(self.refuse(&what, Some(instead), span));
            }
            let open = &mut self.open[depth];
            open.reference = Some(span);
            let Some(columns) = open.columns.clone() else {
                let fault = open.fault;
                return Err(self.invalid_recursion(&name, fault, "Write the base first, then UNION.", span));
            };
            let types = types_of(&columns);
            return Ok(Query { plan: Plan::Recurring { types }, columns, order: Vec::new() });
        }
        let query = &*cte.query;
        // A table that is not named in its own text need not be bound to know that it is not recursive.
        let named = query.to_string().to_lowercase().contains(&name.to_lowercase());
        if let (SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right }, true) =
            (&*query.body, named)
        {
            let all = match set_quantifier {
                SetQuantifier::All => true,
                SetQuantifier::None | SetQuantifier::Distinct => false,
                _ => return Err(self.refuse("UNION BY NAME", None, span)),
            };
            let before = self.common_tables.len();
            self.open.push(Open { place, columns: None, reference: None, fault: BASE });
            let bound = self.nested(|binder| binder.terms(&name, query, (left, right), all));
            self.open.pop();
            self.common_tables.truncate(before);
            if let Some(query) = bound? {
                return Ok(query);
            }
        }
        self.open.push(Open { place, columns: None, reference: None, fault: FORM });
        let bound = self.query(query, None);
        self.open.pop();
        bound
    }

    /// The recursion of two terms; None where the second does not read the table.
    fn terms(
        &mut self,
        name: &str,
        query: &'a ast::Query,
        (left, right): (&'a SetExpr, &'a SetExpr),
        all: bool,
    ) -> Result<Option<Query>, SqlError> {
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        let base = self.set_expr(left, None)?;
        let columns = base.columns;
        let types = types_of(&columns);
        self.open.last_mut().expect("invariant: the table is being bound").columns = Some(columns.clone());
        let step = self.set_expr(right, Some(&types))?;
        let Some(reference) = self.open.last().and_then(|open| open.reference) else { return Ok(None) };
        if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
            let instead = "Write it in the query that reads the recursive table.";
            return Err(self.refuse("ORDER BY and LIMIT of a recursive query", Some(instead), query.span()));
        }
        if step.columns.len() != types.len() {
            return Err(SqlError::Syntax {
                message: "each query of a UNION must have the same number of columns".to_owned(),
                position: self.at(right.span()),
            });
        }
        for (place, (own, column)) in types.iter().zip(&step.columns).enumerate() {
            if !step.untyped[place] && common_type(own, &column.data_type).as_ref() != Some(own) {
                return Err(SqlError::TypeMismatch {
                    place: format!("column {} of the second query of \"{name}\"", place + 1),
                    expected: own.to_string(),
                    found: column.data_type.to_string(),
                    position: self.at(right.span()),
                });
            }
        }
        let mut step = with_types(step.plan, &types);
        // Rows of a UNION are told apart anyway.
        while let (Plan::Distinct { input }, false) = (&step, all) {
            step = (**input).clone();
        }
        if let Err((fault, instead)) = linear(&step) {
            return Err(self.invalid_recursion(name, fault, instead, reference));
        }
        let plan = Plan::Recursive {
            base: Box::new(with_types(base.plan, &types)),
            step: Box::new(step),
            all,
            ranked: false,
        };
        Ok(Some(Query { plan, columns, order: Vec::new() }))
    }

    fn invalid_recursion(
        &self,
        name: &str,
        fault: &'static str,
        instead: &'static str,
        span: Span,
    ) -> SqlError {
        SqlError::InvalidRecursion { name: name.to_owned(), fault, instead, position: self.at(span) }
    }
}

fn types_of(columns: &[ResultColumn]) -> Vec<DataType> {
    columns.iter().map(|column| column.data_type.clone()).collect()
}

/// Whether a subquery in an expression reads the recursive table.
fn recurs_within(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |part| {
        if let ExprKind::Subquery(subquery) = &part.kind {
            found |= recurs(&subquery.plan) || subquery.plan.any_expression(&|inner| recurs_within(inner));
        }
    });
    found
}

/// Whether a plan is linear in the recursive table; else what is wrong and what to do.
fn linear(plan: &Plan) -> Result<(), (&'static str, &'static str)> {
    match plan {
        Plan::Recurring { .. } => Ok(()),
        plan if plan.expressions().into_iter().any(recurs_within) => Err((
            "recursive reference must not appear within a subquery",
            "Join the recursive table in FROM.",
        )),
        Plan::Join { kind: JoinKind::Full, .. } => {
            Err(("recursive reference must not appear within a full join", "Use an inner join."))
        }
        Plan::Join { right, outer, .. } if !outer.is_empty() && recurs(right) => Err((
            "recursive reference must not appear within a lateral table",
            "Write the recursive table to its left.",
        )),
        Plan::Filter { input, .. } | Plan::Project { input, .. } => linear(input),
        Plan::Join { kind: JoinKind::Inner, left, right, .. } => match (recurs(left), recurs(right)) {
            (true, true) => Err((
                "recursive reference must not appear more than once",
                "Join the recursive table with the table that holds the single steps.",
            )),
            (true, false) => linear(left),
            _ => linear(right),
        },
        Plan::Join { left, right, .. } => {
            if recurs(right) {
                return Err((
                    "recursive reference must not appear within the side of an outer join that may be missing",
                    "Use an inner join, or put the recursive table on the other side.",
                ));
            }
            linear(left)
        }
        Plan::UnionAll { inputs } => {
            if !inputs.iter().all(recurs) {
                return Err((
                    "recursive reference must appear in each query of a UNION in the second query",
                    "Write what does not recur into the first query.",
                ));
            }
            inputs.iter().try_for_each(linear)
        }
        Plan::Window { .. } => Err((
            "window functions are not allowed over the recursive reference",
            "Write them in the query that reads the recursive table.",
        )),
        Plan::Aggregate { .. } => Err((
            "aggregates and GROUP BY are not allowed over the recursive reference",
            "Aggregate in the query that reads the recursive table.",
        )),
        Plan::SetOperation { .. } => Err((
            "recursive reference must not appear within INTERSECT or EXCEPT",
            "Write it in the query that reads the recursive table.",
        )),
        Plan::Distinct { .. } => Err((
            "recursive reference must not appear within DISTINCT or a UNION of its own",
            "Use UNION in place of UNION ALL between the first and the second query.",
        )),
        Plan::TopK { .. } => Err((
            "recursive reference must not appear within LIMIT or OFFSET",
            "Write it in the query that reads the recursive table.",
        )),
        Plan::Recursive { .. } | Plan::Scan { .. } | Plan::Values { .. } => Err((
            "recursive reference must not appear within another recursive query",
            "Write the inner recursion as a common table of its own.",
        )),
    }
}

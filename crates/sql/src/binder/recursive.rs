//! WITH RECURSIVE: a common table that reads itself becomes a [`Plan::Recursive`].
//!
//! Invariant: the step of a recursion reads the recursive table once in each term of its sum, where a row more or
//! less of it is a row more or less of what is derived; the rules and their code are PostgreSQL's.

use std::collections::BTreeSet;

use deltaic_query::{
    coercion::common_type,
    expression::{Expr, ExprKind},
    lower::recurs,
    plan::{JoinKind, Plan, Query, ResultColumn},
};
use deltaic_types::DataType;
use sqlparser::{
    ast::{self, SetExpr, SetOperator, SetQuantifier, Spanned},
    tokenizer::Span,
};

use super::{Binder, folded, from::with_types, query::Body};
use crate::error::SqlError;

/// A common table of WITH RECURSIVE whose query is being bound.
pub(super) struct Open {
    /// Its place among the common tables.
    pub(super) place: usize,
    /// The recursion that it is a part of, by the number of tables that were open before it; None for a query that
    /// is no UNION, which stands for what it reads wherever it is used.
    pub(super) group: Option<usize>,
    /// What a reference yields, while the recursive term is bound.
    pub(super) reading: Option<Query>,
    /// Where it is read.
    pub(super) reference: Option<Span>,
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
        if let Some(reading) = self.reference(place, cte, span)? {
            return Ok(reading);
        }
        let name = folded(&cte.alias.name);
        let query = &*cte.query;
        let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = &*query.body
        else {
            self.open.push(Open { place, group: None, reading: None, reference: None });
            let bound = self.query(query, None);
            self.open.pop();
            return bound;
        };
        let all = self.counts_rows(*set_quantifier, span)?;
        let group = self.open.len();
        self.open.push(Open { place, group: Some(group), reading: None, reference: None });
        let mut bound = Ok(None);
        if self.may_recur(place) {
            let before = self.common_tables.len();
            bound = self.nested(|binder| binder.terms(&name, query, (left, right), all));
            self.common_tables.truncate(before);
        }
        let bound = match bound {
            Ok(Some(query)) => Ok(query),
            Ok(None) => self.query(query, None),
            Err(error) => Err(error),
        };
        self.open.pop();
        match self.mutual.take() {
            Some(members) if bound.is_err() && members.contains(&place) => {
                // Who of them is the outermost binds them all.
                if self.open.iter().any(|open| members.contains(&open.place)) {
                    self.mutual = Some(members);
                    return bound;
                }
                self.mutual_tables(place, members, span)
            }
            _ => bound,
        }
    }

    /// Whether rows of a UNION are counted.
    pub(super) fn counts_rows(&self, quantifier: SetQuantifier, span: Span) -> Result<bool, SqlError> {
        match quantifier {
            SetQuantifier::All => Ok(true),
            SetQuantifier::None | SetQuantifier::Distinct => Ok(false),
            _ => Err(self.refuse("UNION BY NAME", None, span)),
        }
    }

    /// What a table yields that is being bound already; None where it is to be bound.
    fn reference(&mut self, place: usize, cte: &ast::Cte, span: Span) -> Result<Option<Query>, SqlError> {
        let Some(depth) = self.open.iter().rposition(|open| open.place == place) else { return Ok(None) };
        let name = folded(&cte.alias.name);
        let group = self.open[depth].group;
        let innermost = self.open[depth + 1..].iter().rev().find_map(|open| open.group);
        match (group, innermost) {
            // A query that reads a recursion and is read by it: it is written out once more.
            (None, Some(_)) => return Ok(None),
            (None, None) => {
                return Err(self.invalid_recursion(&name, FORM, "Write the base first, then UNION.", span));
            }
            (Some(group), Some(other)) if group != other => {
                let members: BTreeSet<usize> = self
                    .open
                    .iter()
                    .filter(|open| open.group.is_some_and(|other| other >= group))
                    .map(|open| open.place)
                    .collect();
                let siblings = |other: &usize| {
                    self.common_tables.get(*other).map(|table| table.visible)
                        == self.common_tables.get(place).map(|table| table.visible)
                };
                if members.iter().all(siblings) {
                    self.mutual = Some(members);
                }
                let what = format!("mutual recursion between \"{name}\" and a common table within it");
                let instead = "Write both as tables of one WITH RECURSIVE.";
                return Err(self.refuse(&what, Some(instead), span));
            }
            _ => {}
        }
        let open = &mut self.open[depth];
        open.reference = Some(span);
        match &open.reading {
            Some(reading) => Ok(Some(reading.clone())),
            None => Err(self.invalid_recursion(&name, BASE, "Write the base first, then UNION.", span)),
        }
    }

    /// Whether a table may read itself, going by the names in the texts: those that cannot are not bound twice.
    fn may_recur(&self, place: usize) -> bool {
        let siblings: Vec<(usize, String, String)> = self
            .common_tables
            .iter()
            .enumerate()
            .filter(|(_, table)| table.visible == self.common_tables[place].visible)
            .map(|(place, table)| {
                let name = folded(&table.cte.alias.name).to_lowercase();
                (place, name, table.cte.query.to_string().to_lowercase())
            })
            .collect();
        let mut found = BTreeSet::new();
        let mut pending = vec![place];
        while let Some(next) = pending.pop() {
            let Some((_, _, text)) = siblings.iter().find(|(place, ..)| *place == next) else { continue };
            for (other, name, _) in &siblings {
                if text.contains(name.as_str()) && found.insert(*other) {
                    pending.push(*other);
                }
            }
        }
        found.contains(&place)
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
        let reading = Plan::Recurring { types: types.clone() };
        let reading = Query { plan: reading, columns: columns.clone(), order: Vec::new() };
        self.open.last_mut().expect("invariant: the table is being bound").reading = Some(reading);
        let step = self.set_expr(right, Some(&types))?;
        let Some(reference) = self.open.last().and_then(|open| open.reference) else { return Ok(None) };
        self.refuse_order(query)?;
        let step = self.typed_term(name, step, &types, right.span())?;
        let step = self.linear_step(name, step, all, reference)?;
        let plan = Plan::Recursive {
            base: Box::new(with_types(base.plan, &types)),
            step: Box::new(step),
            all,
            ranked: false,
        };
        Ok(Some(Query { plan, columns, order: Vec::new() }))
    }

    /// The order of a recursive table is that of who reads it.
    pub(super) fn refuse_order(&self, query: &ast::Query) -> Result<(), SqlError> {
        if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
            let instead = "Write it in the query that reads the recursive table.";
            return Err(self.refuse("ORDER BY and LIMIT of a recursive query", Some(instead), query.span()));
        }
        Ok(())
    }

    /// A further query of a recursive table, with the types that the first one has.
    pub(super) fn typed_term(
        &self,
        name: &str,
        term: Body,
        types: &[DataType],
        span: Span,
    ) -> Result<Plan, SqlError> {
        if term.columns.len() != types.len() {
            return Err(SqlError::Syntax {
                message: "each query of a UNION must have the same number of columns".to_owned(),
                position: self.at(span),
            });
        }
        for (place, (own, column)) in types.iter().zip(&term.columns).enumerate() {
            if !term.untyped[place] && common_type(own, &column.data_type).as_ref() != Some(own) {
                return Err(SqlError::TypeMismatch {
                    place: format!("column {} of the second query of \"{name}\"", place + 1),
                    expected: own.to_string(),
                    found: column.data_type.to_string(),
                    position: self.at(span),
                });
            }
        }
        Ok(with_types(term.plan, types))
    }

    /// A step, where it is linear.
    pub(super) fn linear_step(
        &self,
        name: &str,
        mut step: Plan,
        all: bool,
        reference: Span,
    ) -> Result<Plan, SqlError> {
        // Rows of a UNION are told apart anyway.
        while let (Plan::Distinct { input }, false) = (&step, all) {
            step = (**input).clone();
        }
        match linear(&step) {
            Ok(()) => Ok(step),
            Err((fault, instead)) => Err(self.invalid_recursion(name, fault, instead, reference)),
        }
    }

    pub(super) fn invalid_recursion(
        &self,
        name: &str,
        fault: &'static str,
        instead: &'static str,
        span: Span,
    ) -> SqlError {
        SqlError::InvalidRecursion { name: name.to_owned(), fault, instead, position: self.at(span) }
    }
}

pub(super) fn types_of(columns: &[ResultColumn]) -> Vec<DataType> {
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

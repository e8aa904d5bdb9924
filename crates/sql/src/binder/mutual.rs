//! Tables of WITH RECURSIVE that read each other become one recursion over their rows.
//!
//! A row of it is a tag that says of which table it is, and a slot for each column that any of them has, shared by
//! columns of one type and NULL where the table has none; each table is the rows of its tag. Invariant: whichever of
//! the tables is read, the recursion is the same plan, and so one node of the circuit. PostgreSQL refuses this.

use std::collections::BTreeSet;

use deltaic_query::{
    expression::{Comparison, Expr, ExprKind},
    plan::{Plan, Query, ResultColumn},
};
use deltaic_types::{DataType, Value};
use sqlparser::{
    ast::{self, SetExpr, SetOperator, Spanned},
    tokenizer::Span,
};

use super::{
    Binder, folded,
    query::Body,
    recursive::{Open, types_of},
};
use crate::error::SqlError;

/// A table of the group.
struct Member<'a> {
    place: usize,
    name: String,
    query: &'a ast::Query,
    /// The queries of its UNIONs.
    terms: Vec<&'a SetExpr>,
    /// Those that read no table of the group.
    bases: Vec<(&'a SetExpr, Body)>,
    /// Those that read one.
    steps: Vec<&'a SetExpr>,
    /// Of its first query.
    columns: Option<Vec<ResultColumn>>,
}

/// Where the columns of each table stand in a row of the recursion.
struct Layout {
    slots: Vec<DataType>,
    /// For each table the slots of its columns.
    places: Vec<Vec<usize>>,
}

const TAG: DataType = DataType::Integer;

impl Layout {
    /// Each column takes the first slot of its type that its table has not used.
    fn of(tables: &[Vec<DataType>]) -> Self {
        let mut slots: Vec<DataType> = Vec::new();
        let mut places = Vec::new();
        for types in tables {
            let mut own: Vec<usize> = Vec::new();
            for data_type in types {
                let mut free =
                    (0..slots.len()).filter(|slot| slots[*slot] == *data_type && !own.contains(slot));
                let slot = free.next().unwrap_or(slots.len());
                if slot == slots.len() {
                    slots.push(data_type.clone());
                }
                own.push(slot);
            }
            places.push(own);
        }
        Self { slots, places }
    }

    fn types(&self) -> Vec<DataType> {
        std::iter::once(&TAG).chain(&self.slots).cloned().collect()
    }

    fn tag(table: usize) -> Expr {
        Expr::literal(Value::Integer(table as i64), TAG)
    }

    /// Rows of a table as rows of the recursion.
    fn tagged(&self, table: usize, plan: Plan) -> Plan {
        let column = |(slot, data_type): (usize, &DataType)| {
            let place = self.places[table].iter().position(|own| *own == slot);
            place.map_or_else(
                || Expr::literal(Value::Null, data_type.clone()),
                |place| Expr::column(place, data_type.clone()),
            )
        };
        let slots = self.slots.iter().enumerate().map(column);
        let exprs = std::iter::once(Self::tag(table)).chain(slots).collect();
        Plan::Project { input: Box::new(plan), exprs }
    }

    /// Rows of the recursion as rows of a table.
    fn untagged(&self, table: usize, plan: Plan) -> Plan {
        let own =
            ExprKind::Compare(Comparison::Eq, Box::new(Expr::column(0, TAG)), Box::new(Self::tag(table)));
        let filter = Plan::Filter { input: Box::new(plan), predicate: Expr::new(own, DataType::Boolean) };
        let exprs = self.places[table].iter().map(|slot| Expr::column(1 + slot, self.slots[*slot].clone()));
        Plan::Project { exprs: exprs.collect(), input: Box::new(filter) }
    }
}

impl<'a> Binder<'a> {
    /// The query of a table of a group whose members read each other. Others that turn out to are taken in.
    pub(super) fn mutual_tables(
        &mut self,
        place: usize,
        mut members: BTreeSet<usize>,
        span: Span,
    ) -> Result<Query, SqlError> {
        loop {
            let group = self.open.len();
            for place in &members {
                let place = *place;
                self.open.push(Open { place, group: Some(group), reading: None, reference: None });
            }
            let bound = self.nested(|binder| binder.group(place, &members, span));
            self.open.truncate(group);
            match (bound, self.mutual.take()) {
                (Err(error), Some(more)) => {
                    if self.open.iter().any(|open| more.contains(&open.place)) {
                        self.mutual = Some(more);
                        return Err(error);
                    }
                    let before = members.len();
                    members.extend(more);
                    if members.len() == before {
                        return Err(error);
                    }
                }
                (bound, _) => return bound,
            }
        }
    }

    fn group(&mut self, place: usize, places: &BTreeSet<usize>, span: Span) -> Result<Query, SqlError> {
        let mut members = Vec::new();
        let mut kinds = BTreeSet::new();
        for place in places {
            let cte = self.common_tables[*place].cte;
            let query = &*cte.query;
            self.refuse_order(query)?;
            let mut terms = Vec::new();
            let mut rest = &*query.body;
            while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = rest {
                kinds.insert(self.counts_rows(*set_quantifier, span)?);
                terms.push(&**right);
                rest = left;
            }
            terms.push(rest);
            terms.reverse();
            let name = folded(&cte.alias.name);
            let (bases, steps) = (Vec::new(), Vec::new());
            members.push(Member { place: *place, name, query, terms, bases, steps, columns: None });
        }
        if kinds.len() > 1 {
            let what = "UNION and UNION ALL side by side in tables that read each other";
            return Err(self.refuse(what, Some("Write one of them everywhere."), span));
        }
        let all = kinds.contains(&true);
        for member in &mut members {
            self.sort_terms(member)?;
        }
        self.find_columns(&mut members, span)?;
        let columns: Vec<Vec<ResultColumn>> =
            members.iter().map(|member| member.columns.clone().unwrap_or_default()).collect();
        let types: Vec<Vec<DataType>> = columns.iter().map(|columns| types_of(columns)).collect();
        let layout = Layout::of(&types);
        for (table, member) in members.iter().enumerate() {
            let plan = layout.untagged(table, Plan::Recurring { types: layout.types() });
            let columns = columns[table].clone();
            self.opened(member.place).reading = Some(Query { plan, columns, order: Vec::new() });
        }
        let (mut bases, mut steps) = (Vec::new(), Vec::new());
        for (table, member) in members.into_iter().enumerate() {
            for (term, body) in member.bases {
                let plan = self.typed_term(&member.name, body, &types[table], term.span())?;
                bases.push(layout.tagged(table, plan));
            }
            for term in member.steps {
                let body = self.term(member.query, term, Some(&types[table]))?;
                let step = self.typed_term(&member.name, body, &types[table], term.span())?;
                let step = self.linear_step(&member.name, step, all, term.span())?;
                steps.push(layout.tagged(table, step));
            }
        }
        let (base, step) = (Plan::UnionAll { inputs: bases }, Plan::UnionAll { inputs: steps });
        let plan = Plan::Recursive { base: Box::new(base), step: Box::new(step), all, ranked: false };
        let table = places.iter().position(|other| *other == place).unwrap_or_default();
        let plan = layout.untagged(table, plan);
        Ok(Query { plan, columns: columns[table].clone(), order: Vec::new() })
    }

    fn opened(&mut self, place: usize) -> &mut Open {
        let open = self.open.iter_mut().rev().find(|open| open.place == place);
        open.expect("invariant: the tables of the group are being bound")
    }

    /// One of a table's queries, with the common tables that the table has of its own.
    fn term(
        &mut self,
        query: &'a ast::Query,
        term: &'a SetExpr,
        expected: Option<&[DataType]>,
    ) -> Result<Body, SqlError> {
        for open in &mut self.open {
            open.reference = None;
        }
        let before = self.common_tables.len();
        let bound = match &query.with {
            Some(with) => self.with(with),
            None => Ok(()),
        };
        let bound = bound.and_then(|()| self.nested(|binder| binder.set_expr(term, expected)));
        self.common_tables.truncate(before);
        bound
    }

    /// Whether what was bound last reads a table of the group whose columns are not known.
    fn read_unknown(&self) -> bool {
        self.mutual.is_none()
            && self.open.iter().any(|open| open.reference.is_some() && open.reading.is_none())
    }

    /// Tells the queries that a table begins with from those that read the group.
    fn sort_terms(&mut self, member: &mut Member<'a>) -> Result<(), SqlError> {
        for term in &member.terms {
            let types = member.columns.as_deref().map(types_of);
            match self.term(member.query, term, types.as_deref()) {
                Ok(body) => {
                    member.columns.get_or_insert_with(|| body.columns.clone());
                    member.bases.push((term, body));
                }
                Err(_) if self.read_unknown() => member.steps.push(term),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds the columns of tables that begin with no rows of their own: those of their first query.
    fn find_columns(&mut self, members: &mut [Member<'a>], span: Span) -> Result<(), SqlError> {
        loop {
            for member in members.iter() {
                let Some(columns) = member.columns.clone() else { continue };
                let plan = Plan::Recurring { types: types_of(&columns) };
                self.opened(member.place).reading = Some(Query { plan, columns, order: Vec::new() });
            }
            let unknown: Vec<usize> =
                (0..members.len()).filter(|member| members[*member].columns.is_none()).collect();
            let Some(first) = unknown.first() else { return Ok(()) };
            let name = members[*first].name.clone();
            let mut progress = false;
            for index in unknown {
                for term in members[index].steps.clone() {
                    match self.term(members[index].query, term, None) {
                        Ok(body) => {
                            members[index].columns = Some(body.columns);
                            progress = true;
                            break;
                        }
                        Err(_) if self.read_unknown() => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if !progress {
                let fault =
                    "none of the tables that read each other has a first query that reads none of them";
                return Err(self.invalid_recursion(&name, fault, "Write the base first, then UNION.", span));
            }
        }
    }
}

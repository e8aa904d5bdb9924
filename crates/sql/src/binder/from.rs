//! FROM: tables, derived tables, common tables and joins, as a plan and the scope above it.

use deltaic_query::{
    coercion::{Context, common_type},
    expression::{Comparison, Expr, ExprKind},
    fold::{cast_node, truth_node},
    plan::{JoinKind, Plan, Query},
    unnest::with_columns,
};
use deltaic_types::{DataType, limits};
use sqlparser::{
    ast::{self, Join, JoinConstraint, JoinOperator, Spanned, TableFactor, TableWithJoins},
    tokenizer::Span,
};

use super::{
    Binder, INLINED_QUERIES,
    coercion::Operand,
    folded,
    query::visible_columns,
    scope::{Found, Scope, ScopeColumn},
    traverse::traversal,
};
use crate::error::SqlError;

/// A plan and what its columns are called.
pub(super) type Relation = (Plan, Scope);

impl<'a> Binder<'a> {
    /// The relations of a FROM clause, crossed.
    pub(super) fn from(&mut self, from: &'a [TableWithJoins]) -> Result<Relation, SqlError> {
        let before = std::mem::replace(&mut self.from_base, self.frames.len());
        let relation = self.crossed(from);
        self.from_base = before;
        // Without FROM there is one row, without columns.
        Ok(relation?.unwrap_or_else(|| {
            (Plan::Values { rows: vec![Vec::new()], types: Vec::new() }, Scope::default())
        }))
    }

    fn crossed(&mut self, from: &'a [TableWithJoins]) -> Result<Option<Relation>, SqlError> {
        let mut relation: Option<Relation> = None;
        for table in from {
            relation = Some(match relation {
                None => self.joins(table)?,
                Some(left) => {
                    let lateral = is_lateral(&table.relation)
                        || table.joins.iter().any(|join| is_lateral(&join.relation));
                    let (right, outer) = self.beside(&left, lateral, |binder| binder.joins(table))?;
                    let always = |_: &mut Self, _: &Scope| Ok(Expr::always());
                    self.join_on(JoinKind::Inner, left, right, &outer, table.span(), always)?
                }
            });
        }
        Ok(relation)
    }

    /// Binds a relation to the right of another, which it may read where it is lateral; and what it reads.
    fn beside(
        &mut self,
        left: &Relation,
        lateral: bool,
        right: impl FnOnce(&mut Self) -> Result<Relation, SqlError>,
    ) -> Result<(Relation, Vec<Expr>), SqlError> {
        if lateral { self.inside(&left.1, true, right) } else { Ok((right(self)?, Vec::new())) }
    }

    /// A derived table that sees the tables to its left.
    fn lateral(
        &mut self,
        subquery: &'a ast::Query,
        alias: Option<&'a ast::TableAlias>,
        span: Span,
    ) -> Result<Relation, SqlError> {
        let query = self.seeing_left(|binder| binder.query(subquery, None));
        let name = alias.map(|alias| folded(&alias.name)).unwrap_or_default();
        self.derived(query?, name, alias, span)
    }

    /// Binds what may name the columns of the tables to its left.
    pub(super) fn seeing_left<T>(
        &mut self,
        within: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let base = self.from_base;
        let hidden: Vec<bool> = self.frames[base..].iter().map(|frame| frame.hidden).collect();
        for frame in &mut self.frames[base..] {
            frame.hidden = false;
        }
        let result = self.without_aggregates("FROM", within);
        for (frame, hidden) in self.frames[base..].iter_mut().zip(hidden) {
            frame.hidden = hidden;
        }
        result
    }

    fn joins(&mut self, table: &'a TableWithJoins) -> Result<Relation, SqlError> {
        self.nested(|binder| {
            let mut relation = binder.factor(&table.relation)?;
            for join in &table.joins {
                relation = binder.join(relation, join)?;
            }
            Ok(relation)
        })
    }

    fn factor(&mut self, factor: &'a TableFactor) -> Result<Relation, SqlError> {
        let span = factor.span();
        if let Some(call) = traversal(factor) {
            return self.traverse(call, span);
        }
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                if let [ast::ObjectNamePart::Identifier(ident)] = &name.0[..]
                    && let Some(relation) = self.common_table(&folded(ident), alias.as_ref(), span)?
                {
                    return Ok(relation);
                }
                let plain = self.object_name(name)?;
                if let Some(view) = self.catalog.view(&plain) {
                    return self.view_in_from(view, alias.as_ref(), span);
                }
                let table = self.any_table(name)?;
                let relation = alias.as_ref().map_or_else(|| table.name.clone(), |alias| folded(&alias.name));
                let mut scope = self.table_in_from(table, &relation);
                self.rename(&mut scope, alias.as_ref(), span)?;
                let types = table.columns.iter().map(|column| column.data_type.clone()).collect();
                Ok((Plan::Scan { table: table.id, types }, scope))
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let query = self.without_aggregates("FROM", |binder| binder.query(subquery, None))?;
                let name = alias.as_ref().map(|alias| folded(&alias.name)).unwrap_or_default();
                self.derived(query, name, alias.as_ref(), span)
            }
            TableFactor::Derived { lateral: true, subquery, alias, sample: None } => {
                self.lateral(subquery, alias.as_ref(), span)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.joins(table_with_joins),
            TableFactor::Table { args: Some(_), .. }
            | TableFactor::Function { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. } => {
                let instead = "Of functions there is traverse(edges, start, depth).";
                Err(self.refuse("functions in FROM", Some(instead), span))
            }
            _ => Err(self.refuse("this form of FROM", None, span)),
        }
    }

    /// A common table's query, bound anew for this use of it.
    pub(super) fn common_table(
        &mut self,
        name: &str,
        alias: Option<&'a ast::TableAlias>,
        span: Span,
    ) -> Result<Option<Relation>, SqlError> {
        let found = self.common_tables.iter().rposition(|table| folded(&table.cte.alias.name) == name);
        let Some(place) = found else { return Ok(None) };
        let found = self.common_tables[place];
        self.inlined += 1;
        if self.inlined > INLINED_QUERIES {
            return Err(SqlError::TooComplex {
                what: "common table expressions are used too often",
                position: self.at(span),
            });
        }
        let hidden = self.common_tables.split_off(found.visible);
        // It was written outside of the levels around its use, and sees none of them.
        let levels: Vec<bool> = self.frames[found.frames..].iter().map(|frame| frame.hidden).collect();
        for frame in &mut self.frames[found.frames..] {
            frame.hidden = true;
        }
        let query = self.without_aggregates("FROM", |binder| {
            if found.recursive {
                return binder.recursive_table(place, found.cte, span);
            }
            binder.query(&found.cte.query, None)
        });
        for (frame, hidden) in self.frames[found.frames..].iter_mut().zip(levels) {
            frame.hidden = hidden;
        }
        self.common_tables.extend(hidden);
        let (plan, mut scope) = self.derived(query?, name.to_owned(), Some(&found.cte.alias), span)?;
        if let Some(alias) = alias {
            let relation = folded(&alias.name);
            scope.relations = vec![relation.clone()];
            for column in &mut scope.columns {
                column.relation.clone_from(&relation);
            }
            self.rename(&mut scope, Some(alias), span)?;
        }
        Ok(Some((plan, scope)))
    }

    pub(super) fn derived(
        &mut self,
        query: Query,
        name: String,
        alias: Option<&'a ast::TableAlias>,
        span: Span,
    ) -> Result<Relation, SqlError> {
        let columns = query
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| ScopeColumn {
                relation: name.clone(),
                name: column.name.clone(),
                data_type: column.data_type.clone(),
                place,
                bare: true,
                not_null: false,
            })
            .collect();
        let width = query.columns.len();
        let mut scope = Scope { columns, relations: vec![name], width, keys: Vec::new() };
        self.rename(&mut scope, alias, span)?;
        let plan = visible_columns(query);
        self.mark_never_null(&plan, &mut scope.columns);
        Ok((plan, scope))
    }

    /// Gives columns the names that an alias lists.
    fn rename(&self, scope: &mut Scope, alias: Option<&ast::TableAlias>, span: Span) -> Result<(), SqlError> {
        let names = alias.map(|alias| &alias.columns[..]).unwrap_or_default();
        if names.len() > scope.columns.len() {
            return Err(SqlError::InvalidColumnReference {
                reason: format!(
                    "the alias names {} columns, the table has {}",
                    names.len(),
                    scope.columns.len()
                ),
                position: self.at(span),
            });
        }
        for (column, name) in scope.columns.iter_mut().zip(names) {
            column.name = folded(&name.name);
        }
        Ok(())
    }

    fn join(&mut self, left: Relation, join: &'a Join) -> Result<Relation, SqlError> {
        let lateral = is_lateral(&join.relation);
        let (right, outer) = self.beside(&left, lateral, |binder| binder.factor(&join.relation))?;
        let span = join.relation.span();
        let (kind, swapped, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                (JoinKind::Inner, false, constraint)
            }
            JoinOperator::CrossJoin(constraint) => (JoinKind::Inner, false, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                (JoinKind::Left, false, constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinKind::Left, true, constraint)
            }
            JoinOperator::FullOuter(constraint) => (JoinKind::Full, false, constraint),
            _ => return Err(self.refuse("this form of join", None, span)),
        };
        let left_columns = left.1.columns.len();
        let using = match constraint {
            JoinConstraint::On(_) => Vec::new(),
            JoinConstraint::None if matches!(join.join_operator, JoinOperator::CrossJoin(_)) => Vec::new(),
            JoinConstraint::None => {
                return Err(SqlError::Syntax {
                    message: "a join needs ON or USING".to_owned(),
                    position: self.at(span),
                });
            }
            JoinConstraint::Using(names) => self.using(names, &left.1, &right.1)?,
            JoinConstraint::Natural => self.common_columns(&left.1, &right.1, span)?,
        };
        if !outer.is_empty() && (swapped || kind == JoinKind::Full) {
            let reason = "a lateral table cannot read the side of a join that may be missing".to_owned();
            return Err(SqlError::InvalidColumnReference { reason, position: self.at(span) });
        }
        let left_width = left.1.width;
        let kind_of_join = if swapped { JoinKind::Inner } else { kind };
        let (plan, mut scope) = self.join_on(kind_of_join, left, right, &outer, span, |binder, scope| {
            if let JoinConstraint::On(on) = constraint {
                let operand =
                    binder.without_aggregates("JOIN conditions", |binder| binder.expr(on, scope))?;
                let condition = binder.condition(operand, "argument of JOIN/ON", on.span())?;
                if kind != JoinKind::Inner {
                    binder.check_outer_condition(&condition, left_width, on.span())?;
                }
                if kind == JoinKind::Full && condition.has_subquery() {
                    return Err(binder.refuse("a subquery in the condition of FULL JOIN", None, on.span()));
                }
                return Ok(condition);
            }
            let equal = using.iter().map(|(a, b)| {
                let (a, b) = (&scope.columns[*a], &scope.columns[left_columns + b]);
                let (a, b) = (
                    Operand::from(Expr::column(a.place, a.data_type.clone())),
                    Operand::from(Expr::column(b.place, b.data_type.clone())),
                );
                binder.compare(Comparison::Eq, a, b, span)
            });
            equal.collect::<Result<Vec<_>, _>>().map(Expr::all)
        })?;
        // A right join is a left join of the swapped inputs with its columns put back.
        let plan = match plan {
            Plan::Join { left, right, on, .. } if swapped => {
                let right_width = scope.width - left_width;
                let turn = |place: usize| {
                    if place < left_width { place + right_width } else { place - left_width }
                };
                let on = on.map_leaves(&mut |leaf| match leaf.kind {
                    ExprKind::Column(place) => Some(Expr::column(turn(place), leaf.data_type.clone())),
                    _ => None,
                });
                let types: Vec<DataType> = left.types().into_iter().chain(right.types()).collect();
                let exprs = types
                    .into_iter()
                    .enumerate()
                    .map(|(place, data_type)| Expr::column(turn(place), data_type))
                    .collect();
                let join =
                    Plan::Join { kind: JoinKind::Left, left: right, right: left, outer: Vec::new(), on };
                Plan::Project { input: Box::new(join), exprs }
            }
            plan => plan,
        };
        for column in &mut scope.columns {
            let missing = match kind {
                JoinKind::Full => true,
                JoinKind::Left => (column.place < left_width) == swapped,
                _ => false,
            };
            column.not_null &= !missing;
        }
        if using.is_empty() {
            return Ok((plan, scope));
        }
        if kind == JoinKind::Full {
            return Ok(coalesce_using(plan, scope, &using, left_columns));
        }
        merge_using(&mut scope, &using, left_columns, swapped);
        Ok((plan, scope))
    }

    /// The columns of NATURAL: those of both sides that have one name.
    fn common_columns(
        &self,
        left: &Scope,
        right: &Scope,
        span: Span,
    ) -> Result<Vec<(usize, usize)>, SqlError> {
        let mut pairs = Vec::new();
        for (index, column) in left.columns.iter().enumerate().filter(|(_, column)| column.bare) {
            let same = |other: &ScopeColumn| other.bare && other.name == column.name;
            let mut others = right.columns.iter().enumerate().filter(|(_, other)| same(other));
            let Some((other, _)) = others.next() else { continue };
            if others.next().is_some() || left.columns.iter().filter(|other| same(other)).count() > 1 {
                return Err(SqlError::AmbiguousColumn { name: column.name.clone(), position: self.at(span) });
            }
            pairs.push((index, other));
        }
        Ok(pairs)
    }

    /// The columns of USING: their indices in the lists of both sides.
    fn using(
        &self,
        names: &[ast::ObjectName],
        left: &Scope,
        right: &Scope,
    ) -> Result<Vec<(usize, usize)>, SqlError> {
        names
            .iter()
            .map(|name| {
                let [ast::ObjectNamePart::Identifier(ident)] = &name.0[..] else {
                    return Err(self.refuse("a qualified name in USING", None, name.span()));
                };
                let plain = folded(ident);
                let position = self.at(ident.span);
                let find = |scope: &Scope| match scope.find(None, &plain) {
                    Found::One(column) => Ok(scope
                        .columns
                        .iter()
                        .position(|other| other.place == column.place && other.bare)
                        .unwrap_or_default()),
                    Found::Many => Err(SqlError::AmbiguousColumn { name: plain.clone(), position }),
                    Found::None => Err(SqlError::UndefinedColumn {
                        name: plain.clone(),
                        nearest: crate::suggestion::nearest(
                            &plain,
                            scope.columns.iter().map(|column| column.name.as_str()),
                        ),
                        position,
                    }),
                };
                Ok((find(left)?, find(right)?))
            })
            .collect()
    }

    fn join_on(
        &mut self,
        kind: JoinKind,
        left: Relation,
        right: Relation,
        outer: &[Expr],
        span: Span,
        on: impl FnOnce(&mut Self, &Scope) -> Result<Expr, SqlError>,
    ) -> Result<Relation, SqlError> {
        let (left_plan, mut scope) = left;
        let (right_plan, right_scope) = right;
        if let Some(name) =
            right_scope.relations.iter().find(|name| !name.is_empty() && scope.relations.contains(name))
        {
            return Err(SqlError::DuplicateAlias { name: name.clone(), position: self.at(span) });
        }
        // What a lateral table reads of further out stands among the columns to its left, without a name.
        let (left_plan, outer) = with_columns(left_plan, outer);
        scope.width = left_plan.types().len();
        scope.append(right_scope);
        if scope.relations.len() > limits::JOIN_INPUTS {
            return Err(SqlError::TooComplex {
                what: "too many tables in one FROM",
                position: self.at(span),
            });
        }
        let on = on(self, &scope)?;
        let plan = Plan::Join { kind, left: Box::new(left_plan), right: Box::new(right_plan), outer, on };
        Ok((plan, scope))
    }

    /// The condition of a clause in which no aggregate may stand.
    pub(super) fn where_condition(
        &mut self,
        condition: &'a ast::Expr,
        place: &'static str,
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        let operand = self.without_aggregates(place, |binder| binder.expr(condition, scope))?;
        let name = format!("argument of {place}");
        self.coerce(operand, &DataType::Boolean, Context::Implicit, &name, condition.span())
    }
}

/// Whether a relation is lateral or has a part that is.
fn is_lateral(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Derived { lateral, .. } => *lateral,
        TableFactor::NestedJoin { table_with_joins, .. } => {
            is_lateral(&table_with_joins.relation)
                || table_with_joins.joins.iter().any(|join| is_lateral(&join.relation))
        }
        factor => traversal(factor).is_some(),
    }
}

/// The columns of USING in a full join: each the value of the side that has one, computed beside both.
fn coalesce_using(plan: Plan, mut scope: Scope, using: &[(usize, usize)], left_columns: usize) -> Relation {
    let types = plan.types();
    let mut exprs: Vec<Expr> =
        types.into_iter().enumerate().map(|(place, data_type)| Expr::column(place, data_type)).collect();
    let mut merged = Vec::new();
    for (left, right) in using {
        let right = left_columns + right;
        let column = |index: usize| {
            let column = &scope.columns[index];
            Expr::column(column.place, column.data_type.clone())
        };
        let (a, b) = (column(*left), column(right));
        let data_type = common_type(&a.data_type, &b.data_type).unwrap_or_else(|| a.data_type.clone());
        let sides = vec![cast_node(a, &data_type), cast_node(b, &data_type)];
        merged.push(ScopeColumn {
            relation: String::new(),
            name: scope.columns[*left].name.clone(),
            data_type: data_type.clone(),
            place: exprs.len(),
            bare: true,
            not_null: false,
        });
        exprs.push(Expr::new(ExprKind::Coalesce(sides), data_type));
        scope.columns[*left].bare = false;
        scope.columns[right].bare = false;
    }
    merged.append(&mut scope.columns);
    scope.columns = merged;
    scope.width = exprs.len();
    (Plan::Project { input: Box::new(plan), exprs }, scope)
}

/// Makes one column of each pair: shown first, reached by its bare name. In a right join it is the right one.
fn merge_using(scope: &mut Scope, using: &[(usize, usize)], left_columns: usize, swapped: bool) {
    let mut merged = Vec::new();
    for (left, right) in using {
        let right = left_columns + right;
        let (kept, gone) = if swapped { (right, *left) } else { (*left, right) };
        scope.columns[gone].bare = false;
        merged.push(kept);
    }
    let mut order: Vec<usize> = merged.clone();
    order.extend((0..scope.columns.len()).filter(|index| !merged.contains(index)));
    scope.columns = order.into_iter().map(|index| scope.columns[index].clone()).collect();
}

/// A plan whose columns have the given types: casts where they differ.
pub(super) fn with_types(plan: Plan, types: &[DataType]) -> Plan {
    let own = plan.types();
    if own == types {
        return plan;
    }
    match plan {
        Plan::Project { input, exprs } => {
            let exprs = exprs.into_iter().zip(types).map(|(expr, to)| cast_node(expr, to)).collect();
            Plan::Project { input, exprs }
        }
        Plan::Values { rows, .. } => {
            let cast_row =
                |row: Vec<Expr>| row.into_iter().zip(types).map(|(expr, to)| cast_node(expr, to)).collect();
            Plan::Values { rows: rows.into_iter().map(cast_row).collect(), types: types.to_vec() }
        }
        plan => {
            let exprs = own
                .into_iter()
                .zip(types)
                .enumerate()
                .map(|(place, (from, to))| cast_node(Expr::column(place, from), to))
                .collect();
            Plan::Project { input: Box::new(plan), exprs }
        }
    }
}

/// Whether a condition is the constant TRUE.
pub(super) fn is_always(expr: &Expr) -> bool {
    *expr == truth_node(Expr::always().kind)
}

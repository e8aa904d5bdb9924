//! SELECT: the select list, groups, DISTINCT, and the order that may need hidden columns.

use deltaic_query::{
    coercion::Context,
    expression::{Expr, ExprKind},
    optimise::move_columns,
    plan::{Plan, ResultColumn},
};
use deltaic_types::{DataType, Value, limits};
use sqlparser::{
    ast::{self, GroupByExpr, SelectItem, SelectItemQualifiedWildcardKind, Spanned},
    tokenizer::Span,
};

use super::{
    Binder,
    aggregate::{Aggregates, WINDOW_PLACES, is_aggregate_place, over_groups},
    coercion::Operand,
    folded,
    from::is_always,
    query::Body,
    scope::{Found, Scope},
    window::{Windowed, Windows, over_windows},
};
use crate::error::SqlError;

/// A criterion of ORDER BY before there is a projection.
enum OrderKey {
    /// A column of the select list.
    Output(usize),
    /// An expression over the input.
    Expr(Expr),
}

impl<'a> Binder<'a> {
    pub(super) fn select(
        &mut self,
        select: &'a ast::Select,
        order: &'a [ast::OrderByExpr],
        expected: Option<&[DataType]>,
    ) -> Result<Body, SqlError> {
        self.refuse_clauses(select)?;
        let distinct = matches!(select.distinct, Some(ast::Distinct::Distinct));
        let (mut plan, scope) = self.from(&select.from)?;
        let before = std::mem::replace(&mut self.aggregates, Aggregates::Collected(Vec::new()));
        let windows_before = std::mem::replace(&mut self.windows, Windows::of(&select.named_window));
        let bound = self.select_parts(select, order, &scope);
        let mut windows = std::mem::replace(&mut self.windows, windows_before).collected();
        let calls = match std::mem::replace(&mut self.aggregates, before) {
            Aggregates::Collected(calls) => calls,
            Aggregates::Forbidden(_) => Vec::new(),
        };
        let Parts { outputs, names, mut keys, grouped, having, order_keys, mut on_keys, filter } = bound?;
        // Only now has every parameter that is going to have a type got it.
        let mut untyped = Vec::new();
        let mut exprs = Vec::new();
        for (place, operand) in outputs.into_iter().enumerate() {
            let operand = self.resolved(operand);
            untyped.push(operand.data_type().is_none());
            exprs.push(match (&operand, expected.and_then(|types| types.get(place))) {
                (Operand::Unknown(_, span), Some(to)) => {
                    let span = *span;
                    self.coerce(operand, to, Context::Implicit, "column", span)?
                }
                _ => self.settle(operand)?,
            });
        }
        if let Some(predicate) = filter
            && !is_always(&predicate)
        {
            plan = Plan::Filter { input: Box::new(plan), predicate };
        }
        let mut having = having;
        let mut order_keys = order_keys;
        if grouped || !calls.is_empty() || having.is_some() {
            let used = exprs.iter().chain(&having);
            let sorted = order_keys.iter().map(|(key, _)| key).chain(&on_keys);
            let ordered = sorted.filter_map(|key| match key {
                OrderKey::Expr(expr) => Some(expr),
                OrderKey::Output(_) => None,
            });
            let in_windows = windows.iter().flat_map(Windowed::exprs);
            add_dependent_keys(&mut keys, used.chain(ordered).chain(in_windows), &scope);
            let over = |binder: &Self, expr: &Expr| {
                over_groups(expr, &keys, &scope).map_err(|error| binder.located(error, select))
            };
            for expr in &mut exprs {
                *expr = over(self, expr)?;
            }
            if let Some(having) = &mut having {
                *having = over(self, having)?;
            }
            for key in order_keys.iter_mut().map(|(key, _)| key).chain(&mut on_keys) {
                if let OrderKey::Expr(expr) = key {
                    *expr = over(self, expr)?;
                }
            }
            for windowed in &mut windows {
                windowed.try_map(&mut |expr| over(self, expr))?;
            }
            plan = Plan::Aggregate { input: Box::new(plan), keys, calls };
            if let Some(predicate) = having {
                plan = Plan::Filter { input: Box::new(plan), predicate };
            }
        }
        if !windows.is_empty() {
            let placed;
            (plan, placed) = over_windows(plan, windows);
            let ordered = order_keys.iter_mut().filter_map(|(key, _)| match key {
                OrderKey::Expr(expr) => Some(expr),
                OrderKey::Output(_) => None,
            });
            for expr in exprs.iter_mut().chain(ordered) {
                *expr = move_columns(expr, |place| {
                    place.checked_sub(WINDOW_PLACES).map_or(place, |call| placed[call])
                });
            }
        }
        let columns: Vec<ResultColumn> = names
            .into_iter()
            .zip(&exprs)
            .map(|(name, expr)| ResultColumn { name, data_type: expr.data_type.clone() })
            .collect();
        let mut keys = Vec::new();
        for (key, criterion) in order_keys {
            let column = match key {
                OrderKey::Output(column) => column,
                OrderKey::Expr(expr) => match exprs.iter().position(|other| *other == expr) {
                    Some(column) => column,
                    None if distinct => {
                        return Err(SqlError::InvalidColumnReference {
                            reason:
                                "for SELECT DISTINCT, ORDER BY expressions must appear in the select list"
                                    .to_owned(),
                            position: self.at(criterion.expr.span()),
                        });
                    }
                    None => {
                        exprs.push(expr);
                        exprs.len() - 1
                    }
                },
            };
            keys.push(self.criterion(column, criterion)?);
        }
        let mut partition: Vec<usize> = Vec::new();
        for key in on_keys {
            let column = match key {
                OrderKey::Output(column) => column,
                OrderKey::Expr(expr) => exprs.iter().position(|other| *other == expr).unwrap_or_else(|| {
                    exprs.push(expr);
                    exprs.len() - 1
                }),
            };
            if !partition.contains(&column) {
                partition.push(column);
            }
        }
        if keys.iter().take(partition.len()).any(|key| !partition.contains(&key.column)) {
            return Err(SqlError::InvalidColumnReference {
                reason: "SELECT DISTINCT ON expressions must match initial ORDER BY expressions".to_owned(),
                position: self.at(select.span()),
            });
        }
        plan = project(plan, exprs);
        if distinct {
            plan = Plan::Distinct { input: Box::new(plan) };
        } else if matches!(select.distinct, Some(ast::Distinct::On(_))) {
            let one = Expr::literal(Value::Integer(1), DataType::Bigint);
            let (input, order) = (Box::new(plan), keys.clone());
            plan = Plan::TopK { input, partition, order, limit: Some(one), offset: None };
        }
        Ok(Body { plan, columns, untyped, order: keys })
    }

    fn refuse_clauses(&self, select: &ast::Select) -> Result<(), SqlError> {
        let refused = [
            (select.into.is_some(), "SELECT INTO"),
            (select.qualify.is_some(), "QUALIFY"),
            (select.top.is_some(), "TOP"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (select.exclude.is_some(), "EXCLUDE"),
            (select.prewhere.is_some(), "PREWHERE"),
            (
                !select.cluster_by.is_empty()
                    || !select.distribute_by.is_empty()
                    || !select.sort_by.is_empty(),
                "CLUSTER BY",
            ),
            (select.value_table_mode.is_some() || select.select_modifiers.is_some(), "this form of SELECT"),
        ];
        match refused.iter().find(|(found, _)| *found) {
            Some((_, what)) => Err(self.refuse(what, None, select.span())),
            None => Ok(()),
        }
    }

    /// Refuses a list that is too long before any of it is bound, since each is compared with the others.
    fn check_columns(&self, count: usize, span: Span) -> Result<(), SqlError> {
        if count <= limits::COLUMNS {
            return Ok(());
        }
        Err(SqlError::TooManyColumns { limit: limits::COLUMNS, position: self.at(span) })
    }

    /// Everything of a SELECT that is an expression over its FROM.
    fn select_parts(
        &mut self,
        select: &'a ast::Select,
        order: &'a [ast::OrderByExpr],
        scope: &Scope,
    ) -> Result<Parts<'a>, SqlError> {
        self.check_columns(select.projection.len(), select.span())?;
        self.check_columns(order.len(), select.span())?;
        let mut names = Vec::new();
        let mut outputs = Vec::new();
        let mut sources = Vec::new();
        for item in &select.projection {
            self.select_item(item, scope, &mut |name, operand, source| {
                names.push(name);
                outputs.push(operand);
                sources.push(source);
            })?;
        }
        let filter = match &select.selection {
            Some(condition) => Some(self.where_condition(condition, "WHERE", scope)?),
            None => None,
        };
        let columns: Vec<ResultColumn> = names
            .iter()
            .map(|name| ResultColumn { name: name.clone(), data_type: DataType::Boolean })
            .collect();
        let GroupByExpr::Expressions(group_by, modifiers) = &select.group_by else {
            return Err(self.refuse("GROUP BY ALL", None, select.span()));
        };
        if !modifiers.is_empty() {
            return Err(self.refuse("GROUP BY with modifiers", None, select.span()));
        }
        self.check_columns(group_by.len(), select.span())?;
        let mut keys: Vec<Expr> = Vec::new();
        for ast in group_by {
            let key = self.group_key(ast, &columns, &outputs, scope)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let having = match &select.having {
            None => None,
            Some(condition) => {
                let operand = self.without_windows("HAVING", |binder| binder.expr(condition, scope))?;
                Some(self.condition(operand, "argument of HAVING", condition.span())?)
            }
        };
        let mut order_keys = Vec::new();
        for criterion in order {
            let key = if let Some(column) = self.output_reference(&criterion.expr, &columns)? {
                self.check_unambiguous(&criterion.expr, &columns, &outputs)?;
                OrderKey::Output(column)
            } else {
                let operand = self.expr(&criterion.expr, scope)?;
                OrderKey::Expr(self.settle(operand)?)
            };
            order_keys.push((key, criterion));
        }
        let mut on_keys = Vec::new();
        if let Some(ast::Distinct::On(list)) = &select.distinct {
            for expr in list {
                on_keys.push(match self.output_reference(expr, &columns)? {
                    Some(column) => OrderKey::Output(column),
                    None => {
                        let operand = self.expr(expr, scope)?;
                        OrderKey::Expr(self.settle(operand)?)
                    }
                });
            }
        }
        let grouped = !group_by.is_empty();
        Ok(Parts { outputs, names, keys, grouped, having, order_keys, on_keys, filter })
    }

    /// A name that two different columns of the select list have cannot order them.
    fn check_unambiguous(
        &self,
        expr: &ast::Expr,
        columns: &[ResultColumn],
        outputs: &[Operand],
    ) -> Result<(), SqlError> {
        let ast::Expr::Identifier(ident) = expr else { return Ok(()) };
        let name = folded(ident);
        let mut named = columns.iter().zip(outputs).filter(|(column, _)| column.name == name);
        let same = |a: &Operand, b: &Operand| match (a, b) {
            (Operand::Typed(a), Operand::Typed(b)) => a == b,
            _ => false,
        };
        match named.next() {
            Some((_, first)) if named.any(|(_, other)| !same(first, other)) => {
                Err(SqlError::AmbiguousColumn { name, position: self.at(ident.span) })
            }
            _ => Ok(()),
        }
    }

    fn group_key(
        &mut self,
        ast: &'a ast::Expr,
        columns: &[ResultColumn],
        outputs: &[Operand],
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        if let ast::Expr::GroupingSets(_) | ast::Expr::Rollup(_) | ast::Expr::Cube(_) = ast {
            return Err(self.refuse("GROUPING SETS, ROLLUP and CUBE", None, ast.span()));
        }
        // A bare name means a column of the input first, as in PostgreSQL.
        let input_first = matches!(ast, ast::Expr::Identifier(ident)
            if !matches!(scope.find(None, &folded(ident)), Found::None));
        let output = if input_first { None } else { self.output_reference(ast, columns)? };
        let key = if let Some(output) = output {
            self.settle(outputs[output].clone())?
        } else {
            let operand = self.without_aggregates("GROUP BY", |binder| binder.expr(ast, scope))?;
            self.settle(operand)?
        };
        if key.columns().into_iter().any(|place| place >= WINDOW_PLACES) {
            return Err(SqlError::WindowNotAllowed { place: "GROUP BY", position: self.at(ast.span()) });
        }
        if key.columns().into_iter().any(is_aggregate_place) {
            return Err(SqlError::AggregateNotAllowed { place: "GROUP BY", position: self.at(ast.span()) });
        }
        Ok(key)
    }

    /// Calls `emit` with the name, the value and the syntax of each column that an item of a select list is.
    pub(super) fn select_item(
        &mut self,
        item: &'a SelectItem,
        scope: &Scope,
        emit: &mut dyn FnMut(String, Operand, Option<&'a ast::Expr>),
    ) -> Result<(), SqlError> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let operand = self.expr(expr, scope)?;
                emit(column_name(expr), operand, Some(expr));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let operand = self.expr(expr, scope)?;
                emit(folded(alias), operand, Some(expr));
            }
            SelectItem::Wildcard(_) => {
                if scope.relations.is_empty() {
                    return Err(SqlError::Syntax {
                        message: "SELECT * needs a FROM".to_owned(),
                        position: self.at(item.span()),
                    });
                }
                for column in scope.columns.iter().filter(|column| column.bare) {
                    let expr = Expr::column(column.place, column.data_type.clone());
                    emit(column.name.clone(), expr.into(), None);
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let relation = self.object_name(name)?;
                if !scope.relations.contains(&relation) {
                    let nearest =
                        crate::suggestion::nearest(&relation, scope.relations.iter().map(String::as_str));
                    return Err(SqlError::UndefinedTable {
                        name: relation,
                        nearest,
                        position: self.at(name.span()),
                    });
                }
                let mut columns: Vec<_> =
                    scope.columns.iter().filter(|column| column.relation == relation).collect();
                columns.sort_by_key(|column| column.place);
                for column in columns {
                    let expr = Expr::column(column.place, column.data_type.clone());
                    emit(column.name.clone(), expr.into(), None);
                }
            }
            other => return Err(self.refuse("this form of a select list", None, other.span())),
        }
        Ok(())
    }

    /// A grouping error with the position of the column's first mention.
    fn located(&self, error: SqlError, select: &ast::Select) -> SqlError {
        let SqlError::Grouping { name, position: None } = error else { return error };
        let short = name.rsplit('.').next().unwrap_or(&name);
        let position = select.projection.iter().find_map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => match expr {
                ast::Expr::Identifier(ident) if folded(ident) == short => self.at(ident.span),
                ast::Expr::CompoundIdentifier(idents)
                    if idents.last().is_some_and(|ident| folded(ident) == short) =>
                {
                    idents.first().and_then(|ident| self.at(ident.span))
                }
                _ => None,
            },
            _ => None,
        });
        SqlError::Grouping { name, position }
    }
}

struct Parts<'a> {
    outputs: Vec<Operand>,
    names: Vec<String>,
    keys: Vec<Expr>,
    grouped: bool,
    having: Option<Expr>,
    order_keys: Vec<(OrderKey, &'a ast::OrderByExpr)>,
    /// DISTINCT ON.
    on_keys: Vec<OrderKey>,
    filter: Option<Expr>,
}

/// Adds the columns of tables whose primary key is among the group keys: they depend on it.
fn add_dependent_keys<'e>(keys: &mut Vec<Expr>, used: impl Iterator<Item = &'e Expr>, scope: &Scope) {
    let grouped = |keys: &[Expr], place: usize| keys.iter().any(|key| key.kind == ExprKind::Column(place));
    let mut mentioned = Vec::new();
    for expr in used {
        expr.walk(&mut |part| {
            if let ExprKind::Column(place) = part.kind
                && !is_aggregate_place(place)
                && place < WINDOW_PLACES
            {
                mentioned.push(part.clone());
            }
        });
    }
    for (key, all) in &scope.keys {
        if !key.is_empty() && key.iter().all(|place| grouped(keys, *place)) {
            for column in &mentioned {
                if let ExprKind::Column(place) = column.kind
                    && all.contains(&place)
                    && !grouped(keys, place)
                {
                    keys.push(column.clone());
                }
            }
        }
    }
}

/// A projection; of the one row without columns it is a row of VALUES, and of a plan's own columns nothing.
fn project(plan: Plan, exprs: Vec<Expr>) -> Plan {
    if let Plan::Values { rows, types } = &plan
        && types.is_empty()
        && rows.len() == 1
    {
        let types = exprs.iter().map(|expr| expr.data_type.clone()).collect();
        return Plan::Values { rows: vec![exprs], types };
    }
    let own = plan.types();
    let identity = own.len() == exprs.len()
        && exprs.iter().zip(&own).enumerate().all(|(place, (expr, data_type))| {
            expr.kind == ExprKind::Column(place) && expr.data_type == *data_type
        });
    if identity { plan } else { Plan::Project { input: Box::new(plan), exprs } }
}

/// The name PostgreSQL gives a column of a select list.
pub(super) fn column_name(expr: &ast::Expr) -> String {
    figured_name(expr).unwrap_or_else(|| "?column?".to_owned())
}

/// A name that a cast or a CASE around the expression keeps: that of a column or a function, not that of a type.
fn strong_name(expr: &ast::Expr) -> Option<String> {
    use ast::Expr as E;
    match expr {
        E::Nested(inner) | E::Collate { expr: inner, .. } => strong_name(inner),
        E::Cast { expr, .. } => strong_name(expr),
        E::Case { else_result, .. } => else_result.as_deref().and_then(strong_name),
        E::TypedString(_) | E::Interval(_) | E::Value(_) => None,
        other => figured_name(other),
    }
}

fn figured_name(expr: &ast::Expr) -> Option<String> {
    use ast::Expr as E;
    Some(match expr {
        E::Identifier(ident) => folded(ident),
        E::CompoundIdentifier(idents) => folded(idents.last()?),
        E::Nested(inner) | E::Collate { expr: inner, .. } => return figured_name(inner),
        E::CompoundFieldAccess { root, .. } => return figured_name(root),
        E::Function(function) => match function.name.0.last()? {
            ast::ObjectNamePart::Identifier(ident) => folded(ident),
            ast::ObjectNamePart::Function(_) => return None,
        },
        E::Cast { expr, data_type, .. } => {
            return strong_name(expr).or_else(|| Some(type_name(data_type)));
        }
        E::TypedString(typed) => type_name(&typed.data_type),
        E::Interval(_) => "interval".to_owned(),
        E::Case { else_result, .. } => {
            return else_result.as_deref().and_then(strong_name).or_else(|| Some("case".to_owned()));
        }
        E::Array(_) => "array".to_owned(),
        E::Exists { .. } => "exists".to_owned(),
        E::Subquery(query) => match &*query.body {
            ast::SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => return figured_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => folded(alias),
                _ => return None,
            },
            _ => return None,
        },
        E::Extract { .. } => "extract".to_owned(),
        E::Ceil { .. } => "ceil".to_owned(),
        E::Floor { .. } => "floor".to_owned(),
        E::Position { .. } => "position".to_owned(),
        E::Substring { shorthand: true, .. } => "substr".to_owned(),
        E::Substring { .. } => "substring".to_owned(),
        E::Overlay { .. } => "overlay".to_owned(),
        E::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim".to_owned(),
            Some(ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
            _ => "btrim".to_owned(),
        },
        E::Value(value) if matches!(value.value, ast::Value::Boolean(_)) => "bool".to_owned(),
        _ => return None,
    })
}

/// PostgreSQL's internal name of a type, which its column names show.
fn type_name(data_type: &ast::DataType) -> String {
    use ast::DataType as T;
    match data_type {
        T::Boolean | T::Bool => "bool",
        T::SmallInt(_) | T::Int2(_) => "int2",
        T::Integer(_) | T::Int(_) | T::Int4(_) => "int4",
        T::BigInt(_) | T::Int8(_) => "int8",
        T::DoublePrecision | T::Float8 | T::Float(_) => "float8",
        T::Numeric(_) | T::Decimal(_) | T::Dec(_) => "numeric",
        T::Varchar(_) | T::CharacterVarying(_) => "varchar",
        T::Timestamp(..) => "timestamptz",
        T::Array(
            ast::ArrayElemTypeDef::SquareBracket(item, _) | ast::ArrayElemTypeDef::Qualified(item, _),
        ) => return type_name(item),
        other => return other.to_string().to_lowercase(),
    }
    .to_owned()
}

//! CREATE BUDGET, DROP BUDGET, and `consume(budget, key…, amount)` in the select list of a request.
//!
//! Invariant: in a limit's query an unqualified name that a key column has means the key, whatever tables are read; the text
//! that is kept has parameters in these places and is bound as any other live query. What consumes stands alone in a
//! select list, so that it is done once for each row of the result, in their order, and never by a circuit.

use std::collections::BTreeSet;

use deltaic_query::{
    plan::Query,
    statement::{ConsumeCall, Consumption, CreateBudget, Statement},
};
use deltaic_types::{
    Budget, BudgetAmount, BudgetGuarantee, BudgetKey, BudgetLimit, Column, DataType, Interval, LimitQuery,
    Merges, OnLedgerFailure, Per,
};
use sqlparser::{
    ast::{self, Ident, Spanned},
    tokenizer::Span,
};

use super::{BindContext, Binder, coercion::Operand, folded};
use crate::{
    bound::Bound,
    budget::{AmountSyntax, CreateBudget as Syntax, DropBudget, LimitSyntax, PerSyntax, Shape},
    error::SqlError,
    parser::{Parsed, Tree},
    suggestion::nearest,
};

/// The most columns of a key, and limits, of a budget.
const PARTS: usize = 8;

/// The milliseconds of the longest window: a hundred years.
const LONGEST: i128 = 100 * 366 * 86_400_000;

/// The key of a budget whose limit is being bound, and where the text names it.
#[derive(Debug, Default)]
pub(super) struct KeyNames {
    columns: Vec<BudgetKey>,
    /// The columns that are parameters so far.
    parameters: Vec<usize>,
    /// The number of the first character of each use, its length, and the parameter's place.
    uses: Vec<(usize, usize, usize)>,
}

impl<'a> Binder<'a> {
    pub(super) fn create_budget(&mut self, create: &'a Syntax) -> Result<Option<CreateBudget>, SqlError> {
        let span = create.name.span();
        let name = self.object_name(&create.name)?;
        if self.catalog.budget(&name).is_some() {
            let error = SqlError::DuplicateBudget { name, position: self.at(span) };
            return if create.if_not_exists { Ok(None) } else { Err(error) };
        }
        self.refuse_parameters("CREATE BUDGET")?;
        if create.key.len() > PARTS || create.limits.len() > PARTS {
            return Err(self.bad_budget(format!("it has {PARTS} key columns and limits at most"), span));
        }
        let mut key: Vec<BudgetKey> = Vec::new();
        for (ident, data_type) in &create.key {
            let name = self.folded_within_limit(ident)?;
            if key.iter().any(|column| column.name == name) {
                return Err(SqlError::DuplicateColumn { name, position: self.at(ident.span) });
            }
            let data_type = self.data_type(data_type, ident.span)?;
            let merges = Merges::LastWriter;
            let column = Column { not_null: true, merges, ..Column::plain(name, data_type) };
            self.check_key_type(&column, "a budget's key", ident.span)?;
            key.push(BudgetKey { name: column.name, data_type: column.data_type });
        }
        let mut limits: Vec<BudgetLimit> = Vec::new();
        let mut queries = Vec::new();
        for limit in &create.limits {
            let per = limit.per.as_ref().map_or(Ok(Per::Ever), |per| self.per(per))?;
            if limits.iter().any(|other| other.per == per) {
                return Err(self.bad_budget(format!("it has two limits per {per}"), limit.span));
            }
            let amount = match &limit.amount {
                AmountSyntax::Units(text) => BudgetAmount::Units(self.units(text, limit.span)?),
                AmountSyntax::Query { .. } => {
                    let (query, text) = self.limit_query(limit, &key)?;
                    queries.push(query);
                    BudgetAmount::Query(text)
                }
            };
            self.check_guarantee(create, &amount, per, limit.span)?;
            if let (BudgetAmount::Units(units), Per::Bucket { millis, burst }) = (&amount, per) {
                let full = i128::from(burst) * i128::from(millis);
                if *units == 0 || full / i128::from(*units) > LONGEST {
                    let reason = "a BUCKET that takes over a hundred years to fill".to_owned();
                    return Err(self.bad_budget(reason, limit.span));
                }
            }
            limits.push(BudgetLimit { amount, per });
        }
        let budget = Budget {
            id: self.catalog.next_budget(),
            name,
            key,
            limits,
            guarantee: create.guarantee,
            on_ledger_failure: create.on_ledger_failure,
            with_events: create.with_events,
            is_of_offers: false,
        };
        Ok(Some(CreateBudget { budget, queries }))
    }

    fn check_guarantee(
        &self,
        create: &Syntax,
        amount: &BudgetAmount,
        per: Per,
        span: Span,
    ) -> Result<(), SqlError> {
        let is_bucket = matches!(per, Per::Bucket { .. });
        let is_open = create.on_ledger_failure == OnLedgerFailure::Open;
        let why = match (create.guarantee, amount) {
            (BudgetGuarantee::Standing, _) if is_open => {
                "GUARANTEE STANDING writes no row for a key: what went over while the ledger was away would be forgotten; choose \
                 another ON LEDGER FAILURE than OPEN"
            }
            (BudgetGuarantee::Standing, _) if !matches!(per, Per::Month | Per::Fixed { .. }) => {
                "GUARANTEE STANDING is a share of each window to come: give it PER an interval, not SLIDING or BUCKET"
            }
            (BudgetGuarantee::Standing, BudgetAmount::Query(_)) => {
                "GUARANTEE STANDING is one share for all keys: give it a number as its limit"
            }
            (BudgetGuarantee::GroupCommit | BudgetGuarantee::Volatile, _) if is_bucket => {
                "a BUCKET has the guarantee ESCROW: its mark is written ahead"
            }
            (_, BudgetAmount::Query(_)) if is_bucket => {
                "a BUCKET fills by a number: give it one as its limit"
            }
            _ => return Ok(()),
        };
        Err(self.bad_budget(why.to_owned(), span))
    }

    fn bad_budget(&self, reason: String, span: Span) -> SqlError {
        SqlError::InvalidBudget { reason, position: self.at(span) }
    }

    fn units(&self, text: &str, span: Span) -> Result<i64, SqlError> {
        let wrong = || self.bad_budget(format!("{text} is no whole number up to {}", i64::MAX), span);
        text.parse().map_err(|_| wrong())
    }

    fn per(&self, per: &PerSyntax) -> Result<Per, SqlError> {
        let position = self.at(per.span);
        let interval =
            Interval::parse(&per.interval).map_err(|error| SqlError::InvalidLiteral { error, position })?;
        let shape = &per.shape;
        if (interval.months, interval.days, interval.micros) == (1, 0, 0) && matches!(shape, Shape::Fixed) {
            return Ok(Per::Month);
        }
        let micros = interval.total_micros();
        let is_whole = interval.months == 0 && micros > 0 && micros % 1_000 == 0;
        let millis = micros / 1_000;
        if !is_whole || millis > LONGEST {
            let reason = "PER takes '1 month', or so many weeks, days, hours, minutes or seconds, whole milliseconds, \
                          a hundred years at most; SLIDING and BUCKET take no months";
            return Err(self.bad_budget(reason.to_owned(), per.span));
        }
        let millis = u64::try_from(millis).expect("invariant: it is positive and at most a hundred years");
        Ok(match shape {
            Shape::Fixed => Per::Fixed { millis },
            Shape::Sliding => Per::Sliding { millis },
            Shape::Bucket(burst) => {
                let burst = self.units(burst, per.span)?;
                if burst == 0 {
                    return Err(self.bad_budget("a BUCKET holds one at least".to_owned(), per.span));
                }
                Per::Bucket { millis, burst }
            }
        })
    }

    /// The query of a limit, with NULL as the key, and as it is kept.
    fn limit_query(
        &mut self,
        limit: &'a LimitSyntax,
        key: &[BudgetKey],
    ) -> Result<(Query, LimitQuery), SqlError> {
        let AmountSyntax::Query { query: ast, start, end } = &limit.amount else {
            unreachable!("invariant: the limit is a query");
        };
        let now = self.now.take();
        let (reads, parameters) = (std::mem::take(&mut self.reads), std::mem::take(&mut self.parameters));
        self.key_names = Some(KeyNames { columns: key.to_vec(), ..KeyNames::default() });
        let bound = self.whole_query(ast);
        let names = self.key_names.take().unwrap_or_default();
        self.now = now;
        self.parameters = parameters;
        let reads = std::mem::replace(&mut self.reads, reads);
        let query = bound?;
        let is_amount = |data_type: &DataType| {
            matches!(
                data_type,
                DataType::Smallint | DataType::Integer | DataType::Bigint | DataType::Numeric(_)
            )
        };
        if query.columns.len() != 1 || !is_amount(&query.columns[0].data_type) {
            let reason = "the query of a LIMIT gives one column, a whole number".to_owned();
            return Err(self.bad_budget(reason, limit.span));
        }
        let place = |location| self.parsed.lines.position(location).expect("invariant: it lies in the text");
        let (start, end) = (place(*start), place(*end));
        let text: Vec<char> = self.parsed.characters(start, end);
        let (mut sql, mut done) = (String::from("SELECT CAST(("), 0);
        for (first, length, parameter) in names.uses {
            let first = first - start;
            let data_type = &key[names.parameters[parameter]].data_type;
            sql.extend(&text[done..first]);
            sql.push_str(&format!("CAST(${} AS {data_type})", parameter + 1));
            done = first + length;
        }
        sql.extend(&text[done..]);
        sql.push_str(") AS bigint)");
        let text: String = text.into_iter().collect();
        let kept = LimitQuery {
            text: text.trim().to_owned(),
            sql,
            parameters: names.parameters,
            tables: reads.table_ids().collect::<BTreeSet<_>>(),
            views: reads.into_views(),
        };
        Ok((query, kept))
    }

    /// The column of a budget's key that a name means, where a limit is being bound.
    pub(super) fn key_column(&mut self, ident: &Ident) -> Option<Operand> {
        let position = self.at(ident.span)?;
        let end = self.parsed.lines.position(ident.span.end)?;
        let names = self.key_names.as_mut()?;
        let name = folded(ident);
        let column = names.columns.iter().position(|column| column.name == name)?;
        let known = names.parameters.iter().position(|parameter| *parameter == column);
        let parameter = known.unwrap_or_else(|| {
            names.parameters.push(column);
            names.parameters.len() - 1
        });
        // A part of the tree may be bound twice.
        let this = (position, end - position, parameter);
        if let Err(at) = names.uses.binary_search(&this) {
            names.uses.insert(at, this);
        }
        let data_type = names.columns[column].data_type.clone();
        if self.parameters.len() <= parameter {
            self.parameters.resize(parameter + 1, None);
        }
        self.parameters[parameter] = Some((Some(data_type.clone()), ident.span));
        Some(Operand::Typed(deltaic_query::expression::Expr::new(
            deltaic_query::expression::ExprKind::Parameter(parameter),
            data_type,
        )))
    }

    pub(super) fn drop_budget(&mut self, drop: &'a DropBudget) -> Result<Statement, SqlError> {
        let mut dropped = Vec::new();
        for name in &drop.names {
            let plain = self.object_name(name)?;
            if self.catalog.budget(&plain).is_none() {
                if drop.if_exists {
                    continue;
                }
                return Err(self.undefined_budget(plain, name.span()));
            }
            if !dropped.contains(&plain) {
                dropped.push(plain);
            }
        }
        Ok(Statement::DropBudget(dropped))
    }

    fn undefined_budget(&self, name: String, span: Span) -> SqlError {
        let nearest = nearest(&name, self.catalog.budgets().map(|budget| budget.name.as_str()));
        SqlError::UndefinedBudget { name, nearest, position: self.at(span) }
    }
}

/// The calls of `consume` in the select list of a query's outermost SELECT, by place.
fn calls(query: &ast::Query) -> Vec<(usize, &ast::Function)> {
    let ast::SetExpr::Select(select) = &*query.body else { return Vec::new() };
    let items = select.projection.iter().enumerate();
    items
        .filter_map(|(place, item)| match item {
            ast::SelectItem::UnnamedExpr(ast::Expr::Function(call))
            | ast::SelectItem::ExprWithAlias { expr: ast::Expr::Function(call), .. } => {
                is_consume(call).then_some((place, call))
            }
            _ => None,
        })
        .collect()
}

pub(super) fn is_consume(call: &ast::Function) -> bool {
    matches!(&call.name.0[..], [ast::ObjectNamePart::Identifier(name)] if folded(name) == "consume")
}

/// A request that consumes: its query, with the arguments of each call in the call's place; none if it does not.
pub(super) fn consumption(parsed: &Parsed, context: &BindContext<'_>) -> Option<Result<Bound, SqlError>> {
    let Tree::Sql(statement) = &parsed.tree else { return None };
    let ast::Statement::Query(query) = &**statement else { return None };
    let calls = calls(query);
    (!calls.is_empty() && context.now.is_some()).then(|| bind_consumption(parsed, query, &calls, context))
}

fn bind_consumption(
    parsed: &Parsed,
    query: &ast::Query,
    calls: &[(usize, &ast::Function)],
    context: &BindContext<'_>,
) -> Result<Bound, SqlError> {
    let checker = Binder::new(parsed, *context);
    let mut rewritten = query.clone();
    if is_ordered_by_place(query) {
        return Err(checker.refuse(
            "ORDER BY a place beside consume()",
            Some("Name the column."),
            query.span(),
        ));
    }
    let ast::SetExpr::Select(select) = &mut *rewritten.body else {
        unreachable!("invariant: what consumes is a SELECT");
    };
    let mut projection = Vec::new();
    let mut bound = Vec::new();
    for (place, item) in std::mem::take(&mut select.projection).into_iter().enumerate() {
        let Some((_, call)) = calls.iter().find(|(found, _)| *found == place) else {
            if matches!(item, ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..)) {
                return Err(checker.refuse("* beside consume()", Some("Name the columns."), query.span()));
            }
            projection.push(item);
            continue;
        };
        let (budget, arguments) = arguments(&checker, call)?;
        let name = match &item {
            ast::SelectItem::ExprWithAlias { alias, .. } => folded(alias),
            _ => "consume".to_owned(),
        };
        let columns = budget.key.iter().map(|column| &column.data_type).chain([&DataType::Bigint]);
        bound.push(ConsumeCall { column: projection.len(), name, budget: budget.id, key: budget.key.len() });
        for (argument, data_type) in arguments.into_iter().zip(columns) {
            projection.push(ast::SelectItem::UnnamedExpr(cast(argument, data_type)));
        }
    }
    select.projection = projection;
    let rewritten = parsed.with_query(rewritten);
    let mut binder = Binder::new(&rewritten, *context);
    let Tree::Sql(tree) = &rewritten.tree else { unreachable!("invariant: a query was put there") };
    let Statement::Query(query) = binder.statement(tree)? else {
        unreachable!("invariant: a query was put there");
    };
    let claims = binder.claim_names();
    let parameters = binder.finish()?;
    Ok(Bound { statement: Statement::Consume(Consumption { query, calls: bound }), parameters, claims })
}

/// Whether a query is ordered by the place of a column, which moves here.
fn is_ordered_by_place(query: &ast::Query) -> bool {
    let Some(order) = &query.order_by else { return false };
    let ast::OrderByKind::Expressions(exprs) = &order.kind else { return true };
    exprs.iter().any(|key| matches!(key.expr, ast::Expr::Value(_)))
}

/// The budget that a call names, and the expressions of the key and the amount.
fn arguments<'a>(
    binder: &Binder<'a>,
    call: &ast::Function,
) -> Result<(&'a Budget, Vec<ast::Expr>), SqlError> {
    let span = call.name.span();
    let shape = "consume('budget', key, amount) takes the budget's name in quotes, a value for each column of its key, and \
                 how much";
    let wrong = || SqlError::InvalidBudget { reason: shape.to_owned(), position: binder.at(span) };
    let is_plain = call.filter.is_none()
        && call.over.is_none()
        && call.null_treatment.is_none()
        && call.within_group.is_empty();
    let ast::FunctionArguments::List(list) = &call.args else { return Err(wrong()) };
    if !is_plain || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
        return Err(wrong());
    }
    let mut arguments = Vec::new();
    for argument in &list.args {
        let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = argument else {
            return Err(wrong());
        };
        arguments.push(expr.clone());
    }
    if arguments.is_empty() {
        return Err(wrong());
    }
    let ast::Expr::Value(name) = arguments.remove(0) else { return Err(wrong()) };
    let ast::Value::SingleQuotedString(name) = name.value else { return Err(wrong()) };
    let budget = binder.catalog.budget(&name).ok_or_else(|| binder.undefined_budget(name, span))?;
    if arguments.len() != budget.key.len() + 1 {
        let columns: Vec<&str> = budget.key.iter().map(|column| column.name.as_str()).collect();
        let reason = format!(
            "consume('{}', {}, amount) takes {} arguments",
            budget.name,
            columns.join(", "),
            budget.key.len() + 2
        );
        return Err(SqlError::InvalidBudget { reason, position: binder.at(span) });
    }
    Ok((budget, arguments))
}

/// The expression as a value of a type, by whatever cast there is.
fn cast(expr: ast::Expr, data_type: &DataType) -> ast::Expr {
    ast::Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type: as_syntax(data_type),
        format: None,
    }
}

/// A type that can be a key, as syntax.
fn as_syntax(data_type: &DataType) -> ast::DataType {
    match data_type {
        DataType::Boolean => ast::DataType::Boolean,
        DataType::Smallint => ast::DataType::SmallInt(None),
        DataType::Integer => ast::DataType::Integer(None),
        DataType::Bigint => ast::DataType::BigInt(None),
        DataType::Double => ast::DataType::DoublePrecision,
        DataType::Numeric(_) => ast::DataType::Numeric(ast::ExactNumberInfo::None),
        DataType::Uuid => ast::DataType::Uuid,
        DataType::Date => ast::DataType::Date,
        DataType::Timestamptz => ast::DataType::Timestamp(None, ast::TimezoneInfo::Tz),
        DataType::Interval => ast::DataType::Interval { fields: None, precision: None },
        DataType::Jsonb => ast::DataType::JSONB,
        DataType::Array(item) => {
            ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(Box::new(as_syntax(item)), None))
        }
        DataType::Text => ast::DataType::Text,
    }
}

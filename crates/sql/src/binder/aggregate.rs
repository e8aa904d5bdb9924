//! Aggregates: where they may stand, how they are written, and which columns may stand beside them.

use deltaic_query::{
    coercion::Context,
    expression::{Expr, ExprKind},
    fold::{call_node, cast_node, fold},
    functions::Function,
    plan::{Aggregate, AggregateCall, SortKey},
};
use deltaic_types::DataType;
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Spanned},
    tokenizer::Span,
};

use super::{Binder, coercion::Operand, scope::Scope};
use crate::error::SqlError;

/// Places at and above this stand for aggregates until the groups are known.
const AGGREGATE_PLACES: usize = 1 << 40;
/// Places at and above this stand for calls over windows until the windows are known.
pub(super) const WINDOW_PLACES: usize = 1 << 41;

/// What becomes of an aggregate that is met.
#[derive(Debug)]
pub(super) enum Aggregates {
    /// It is an error: the clause.
    Forbidden(&'static str),
    /// It is collected.
    Collected(Vec<AggregateCall>),
}

impl<'a> Binder<'a> {
    /// Binds with aggregates forbidden in a clause.
    pub(super) fn without_aggregates<T>(
        &mut self,
        place: &'static str,
        within: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let before = std::mem::replace(&mut self.aggregates, Aggregates::Forbidden(place));
        let result = within(self);
        self.aggregates = before;
        result
    }

    /// A call of an aggregate: a column whose place is given when the groups are known.
    pub(super) fn aggregate(
        &mut self,
        aggregate: Aggregate,
        name: &str,
        call: &'a ast::Function,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let span = call.name.span();
        if let Aggregates::Forbidden(place) = self.aggregates {
            return Err(SqlError::AggregateNotAllowed { place, position: self.at(span) });
        }
        let place = "the arguments of an aggregate";
        let call =
            self.without_aggregates(place, |binder| binder.aggregate_call(aggregate, name, call, scope))?;
        let arguments = || call.arguments.iter();
        if arguments().any(Expr::has_outer) && arguments().all(|argument| argument.columns().is_empty()) {
            let instead = "Compute it in the query around, in a subquery in FROM.";
            return Err(self.refuse("an aggregate of an outer query's columns", Some(instead), span));
        }
        let Aggregates::Collected(calls) = &mut self.aggregates else {
            return Err(SqlError::AggregateNotAllowed { place: "this place", position: self.at(span) });
        };
        let index = calls.iter().position(|other| *other == call).unwrap_or_else(|| {
            calls.push(call.clone());
            calls.len() - 1
        });
        Ok(Expr::column(AGGREGATE_PLACES + index, call.data_type).into())
    }

    /// A call with its arguments, its order and its filter.
    pub(super) fn aggregate_call(
        &mut self,
        aggregate: Aggregate,
        name: &str,
        call: &'a ast::Function,
        scope: &Scope,
    ) -> Result<AggregateCall, SqlError> {
        let span = call.name.span();
        let FunctionArguments::List(list) = &call.args else {
            return Err(self.no_aggregate(name, &[], span));
        };
        let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let mut within = &call.within_group[..];
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(order) if within.is_empty() => within = order,
                _ => return Err(self.refuse("this clause within an aggregate", None, span)),
            }
        }
        self.check_order(aggregate, name, call, distinct)?;
        let mut operands = Vec::new();
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                    if aggregate == Aggregate::Count && list.args.len() == 1 =>
                {
                    if distinct {
                        return Err(self.refuse(
                            "count(DISTINCT *)",
                            Some("Name the column to count."),
                            span,
                        ));
                    }
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => {
                    operands.push(self.expr(argument, scope)?);
                }
                _ => return Err(self.no_aggregate(name, &operands, span)),
            }
        }
        let mut keys = Vec::new();
        for criterion in within {
            let operand = self.expr(&criterion.expr, scope)?;
            keys.push((operand, self.criterion(0, criterion)?));
        }
        let is_star = operands.is_empty() && !list.args.is_empty();
        let mut bound = AggregateCall {
            function: aggregate,
            arguments: Vec::new(),
            order: Vec::new(),
            direct: None,
            distinct,
            filter: None,
            data_type: DataType::Bigint,
        };
        if aggregate.is_ordered_set() {
            self.ordered_set(&mut bound, name, operands, keys, span)?;
        } else if !is_star {
            self.plain_arguments(&mut bound, name, &operands, keys, span)?;
        }
        if let Some(filter) = &call.filter {
            let operand = self.without_aggregates("FILTER", |binder| binder.expr(filter, scope))?;
            bound.filter = Some(self.condition(operand, "argument of FILTER", filter.span())?);
        }
        Ok(bound)
    }

    fn no_aggregate(&self, name: &str, operands: &[Operand], span: Span) -> SqlError {
        let types: Vec<String> = operands.iter().map(Operand::type_name).collect();
        SqlError::UndefinedFunction {
            signature: format!("{name}({})", types.join(", ")),
            hint: Some("Cast the argument to a type the aggregate takes.".to_owned()),
            position: self.at(span),
        }
    }

    /// WITHIN GROUP stands where it must, and only there.
    fn check_order(
        &self,
        aggregate: Aggregate,
        name: &str,
        call: &ast::Function,
        distinct: bool,
    ) -> Result<(), SqlError> {
        let position = self.at(call.name.span());
        if aggregate.is_ordered_set() && distinct {
            let message = "cannot use DISTINCT with WITHIN GROUP".to_owned();
            return Err(SqlError::Syntax { message, position });
        }
        let hint = match (aggregate.is_ordered_set(), call.within_group.is_empty()) {
            (true, true) => format!("Write {name}(…) WITHIN GROUP (ORDER BY …)."),
            (false, false) => format!("{name} is not an ordered-set aggregate: leave WITHIN GROUP out."),
            _ => return Ok(()),
        };
        Err(SqlError::UndefinedFunction { signature: call.to_string(), hint: Some(hint), position })
    }

    /// `f(fraction) WITHIN GROUP (ORDER BY x)`
    fn ordered_set(
        &mut self,
        bound: &mut AggregateCall,
        name: &str,
        mut operands: Vec<Operand>,
        mut keys: Vec<(Operand, SortKey)>,
        span: Span,
    ) -> Result<(), SqlError> {
        let fractions = usize::from(bound.function != Aggregate::Mode);
        if operands.len() != fractions || keys.len() != 1 {
            operands.extend(keys.into_iter().map(|(operand, _)| operand));
            return Err(self.no_aggregate(name, &operands, span));
        }
        if let Some(fraction) = operands.pop() {
            if matches!(fraction.data_type(), Some(DataType::Array(_))) {
                let instead = Some("Write a call for each fraction.");
                return Err(self.refuse(&format!("{name} of an array of fractions"), instead, span));
            }
            let fraction = self.coerce(fraction, &DataType::Double, Context::Implicit, "fraction", span)?;
            if !fraction.columns().is_empty() {
                let what = format!("{name} of a fraction that is not constant");
                return Err(self.refuse(&what, Some("Write a constant or a parameter."), span));
            }
            bound.direct = Some(fraction);
        }
        let Some((operand, key)) = keys.pop() else { return Ok(()) };
        let argument = match (bound.function, operand.data_type()) {
            (Aggregate::PercentileCont, Some(DataType::Interval)) => {
                let instead = Some("Use percentile_disc, or extract(epoch from x).");
                return Err(self.refuse("percentile_cont of intervals", instead, span));
            }
            (Aggregate::PercentileCont, Some(data_type)) if !data_type.is_number() => {
                return Err(self.no_aggregate(name, &[operand], span));
            }
            (Aggregate::PercentileCont, _) => {
                self.coerce(operand, &DataType::Double, Context::Implicit, name, span)?
            }
            _ => self.settle(operand)?,
        };
        bound.data_type = bound
            .function
            .result_type(&argument.data_type)
            .ok_or_else(|| self.no_aggregate(name, &[argument.clone().into()], span))?;
        bound.arguments = vec![argument];
        bound.order = vec![key];
        Ok(())
    }

    /// The arguments as they stand, and behind them what the order uses beside them.
    fn plain_arguments(
        &mut self,
        bound: &mut AggregateCall,
        name: &str,
        operands: &[Operand],
        keys: Vec<(Operand, SortKey)>,
        span: Span,
    ) -> Result<(), SqlError> {
        let function = bound.function;
        if operands.len() != function.arity() {
            return Err(self.no_aggregate(name, operands, span));
        }
        let mut arguments = Vec::new();
        for operand in operands {
            let text = function == Aggregate::StringAgg && operand.data_type().is_none();
            let operand = operand.clone();
            arguments.push(if text {
                self.coerce(operand, &DataType::Text, Context::Implicit, name, span)?
            } else {
                self.settle(operand)?
            });
        }
        let written = arguments.clone();
        match (function, &mut arguments[..]) {
            (Aggregate::StringAgg, [_, delimiter]) if delimiter.data_type != DataType::Text => {
                return Err(self.no_aggregate(name, operands, span));
            }
            (Aggregate::ArrayAgg, [argument]) if matches!(argument.data_type, DataType::Array(_)) => {
                return Err(self.refuse("array_agg of arrays: an array has one dimension", None, span));
            }
            (Aggregate::JsonAgg, [value]) => *value = to_json(value.clone()),
            (Aggregate::JsonObjectAgg, [key, value]) => {
                *key = self.object_key(key.clone(), span)?;
                *value = to_json(value.clone());
            }
            _ => {}
        }
        let mut order = Vec::new();
        for (operand, key) in keys {
            let expr = self.settle(operand)?;
            let same = written.iter().position(|argument| *argument == expr);
            if same.is_none() && bound.distinct {
                let reason =
                    "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list"
                        .to_owned();
                return Err(SqlError::InvalidColumnReference { reason, position: self.at(span) });
            }
            order.push((expr, key));
        }
        if bound.distinct && function.has_order() && order.is_empty() {
            // PostgreSQL sorts to find what is equal, and leaves it sorted.
            let ascending = SortKey { column: 0, descending: false, nulls_first: false };
            order.extend(written.into_iter().map(|argument| (argument, ascending)));
        }
        for (expr, key) in order.into_iter().filter(|_| function.has_order()) {
            let column = arguments.iter().position(|argument| *argument == expr).unwrap_or_else(|| {
                arguments.push(expr);
                arguments.len() - 1
            });
            bound.order.push(SortKey { column, ..key });
        }
        bound.data_type = function
            .result_type(&arguments[0].data_type)
            .ok_or_else(|| self.no_aggregate(name, operands, span))?;
        bound.arguments = arguments;
        Ok(())
    }

    /// The key of a JSON object's member as text.
    fn object_key(&self, key: Expr, span: Span) -> Result<Expr, SqlError> {
        use DataType::{Bigint, Boolean, Date, Double, Integer, Numeric, Smallint, Text, Uuid};
        match &key.data_type {
            Text | Boolean | Smallint | Integer | Bigint | Numeric(_) | Double | Uuid | Date => {
                Ok(cast_node(key, &Text))
            }
            other => {
                let what = format!("a key of type {other} in a JSON object");
                Err(self.refuse(&what, Some("Cast it to text."), span))
            }
        }
    }
}

/// The value as JSON.
fn to_json(value: Expr) -> Expr {
    if value.data_type == DataType::Jsonb {
        value
    } else {
        call_node(Function::ToJsonb, vec![value], DataType::Jsonb)
    }
}

/// An expression over the rows as one over the groups: keys, then aggregates.
pub(super) fn over_groups(expr: &Expr, keys: &[Expr], scope: &Scope) -> Result<Expr, SqlError> {
    if let Some(key) = keys.iter().position(|key| key == expr) {
        return Ok(Expr::column(key, expr.data_type.clone()));
    }
    if let ExprKind::Column(place) = expr.kind {
        if place >= WINDOW_PLACES {
            return Ok(expr.clone());
        }
        if place >= AGGREGATE_PLACES {
            return Ok(Expr::column(keys.len() + place - AGGREGATE_PLACES, expr.data_type.clone()));
        }
        let name = scope.columns.iter().find(|column| column.place == place).map_or_else(
            || format!("#{place}"),
            |column| {
                if column.relation.is_empty() {
                    column.name.clone()
                } else {
                    format!("{}.{}", column.relation, column.name)
                }
            },
        );
        return Err(SqlError::Grouping { name, position: None });
    }
    expr.try_map_operands(&mut |operand| over_groups(operand, keys, scope)).map(fold)
}

/// Whether a place stands for an aggregate.
pub(super) fn is_aggregate_place(place: usize) -> bool {
    (AGGREGATE_PLACES..WINDOW_PLACES).contains(&place)
}

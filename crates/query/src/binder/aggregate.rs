//! Aggregates: where they may stand, what they are, and which columns may stand beside them.

use deltaic_types::DataType;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};

use super::{
    Binder,
    coercion::{Operand, fold},
    scope::Scope,
};
use crate::{
    error::SqlError,
    expression::{Expr, ExprKind},
    plan::{Aggregate, AggregateCall},
};

/// Places at and above this stand for aggregates until the groups are known.
const AGGREGATE_PLACES: usize = 1 << 40;

/// What becomes of an aggregate that is met.
#[derive(Debug)]
pub(super) enum Aggregates {
    /// It is an error: the clause.
    Forbidden(&'static str),
    /// It is collected.
    Collected(Vec<AggregateCall>),
}

/// The aggregate of a name.
pub(super) fn aggregate_of(name: &str) -> Option<Aggregate> {
    Some(match name {
        "count" => Aggregate::Count,
        "sum" => Aggregate::Sum,
        "avg" => Aggregate::Avg,
        "min" => Aggregate::Min,
        "max" => Aggregate::Max,
        "bool_and" | "every" => Aggregate::BoolAnd,
        "bool_or" => Aggregate::BoolOr,
        _ => return None,
    })
}

/// The type of an aggregate's result; None where it does not take the argument.
fn result_type(aggregate: Aggregate, argument: &DataType) -> Option<DataType> {
    use DataType::{Bigint, Boolean, Double, Integer, Jsonb, Numeric, Smallint, Uuid};
    match (aggregate, argument) {
        (Aggregate::Count, _) => Some(Bigint),
        (Aggregate::Sum, Smallint | Integer) => Some(Bigint),
        (Aggregate::Sum | Aggregate::Avg, Double) => Some(Double),
        (Aggregate::Sum, Bigint | Numeric(_)) => Some(DataType::NUMERIC),
        (Aggregate::Avg, Smallint | Integer | Bigint | Numeric(_)) => Some(DataType::NUMERIC),
        (Aggregate::Sum | Aggregate::Avg, _) => None,
        (Aggregate::Min | Aggregate::Max, Boolean | Jsonb | Uuid) => None,
        (Aggregate::Min | Aggregate::Max, other) => Some(other.clone()),
        (Aggregate::BoolAnd | Aggregate::BoolOr, Boolean) => Some(Boolean),
        (Aggregate::BoolAnd | Aggregate::BoolOr, _) => None,
    }
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
        let no_function = |binder: &Self, arguments: &str| SqlError::UndefinedFunction {
            signature: format!("{name}({arguments})"),
            hint: Some("Cast the argument to a type the aggregate takes.".to_owned()),
            position: binder.at(span),
        };
        let FunctionArguments::List(list) = &call.args else { return Err(no_function(self, "")) };
        if !list.clauses.is_empty() {
            return Err(self.refuse("clauses within the arguments of an aggregate", None, span));
        }
        let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        let argument = match &list.args[..] {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if aggregate == Aggregate::Count => {
                if distinct {
                    return Err(self.refuse("count(DISTINCT *)", Some("Name the column to count."), span));
                }
                None
            }
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => {
                let place = "the arguments of an aggregate";
                let operand = self.without_aggregates(place, |binder| binder.expr(argument, scope))?;
                let argument = self.settle(operand)?;
                if argument.has_outer() && argument.columns().is_empty() {
                    let instead = "Compute it in the query around, in a subquery in FROM.";
                    return Err(self.refuse("an aggregate of an outer query's columns", Some(instead), span));
                }
                Some(argument)
            }
            other => return Err(no_function(self, &vec!["…"; other.len()].join(", "))),
        };
        let data_type = match &argument {
            None => DataType::Bigint,
            Some(argument) => result_type(aggregate, &argument.data_type)
                .ok_or_else(|| no_function(self, &argument.data_type.to_string()))?,
        };
        let filter = match &call.filter {
            None => None,
            Some(filter) => {
                let operand = self.without_aggregates("FILTER", |binder| binder.expr(filter, scope))?;
                Some(self.condition(operand, "argument of FILTER", filter.span())?)
            }
        };
        let call = AggregateCall { function: aggregate, argument, distinct, filter, data_type };
        let Aggregates::Collected(calls) = &mut self.aggregates else {
            return Err(SqlError::AggregateNotAllowed { place: "this place", position: self.at(span) });
        };
        let index = calls.iter().position(|other| *other == call).unwrap_or_else(|| {
            calls.push(call.clone());
            calls.len() - 1
        });
        Ok(Expr::column(AGGREGATE_PLACES + index, call.data_type).into())
    }
}

/// An expression over the rows as one over the groups: keys, then aggregates.
pub(super) fn over_groups(expr: &Expr, keys: &[Expr], scope: &Scope) -> Result<Expr, SqlError> {
    if let Some(key) = keys.iter().position(|key| key == expr) {
        return Ok(Expr::column(key, expr.data_type.clone()));
    }
    if let ExprKind::Column(place) = expr.kind {
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
    place >= AGGREGATE_PLACES
}

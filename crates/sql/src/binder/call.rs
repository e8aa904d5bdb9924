//! Calls by name: which of a function's signatures is meant, and the forms that are no functions of values.

use deltaic_query::{
    coercion::{Context, common_type},
    expression::{Comparison, Expr, ExprKind},
    fold::{call_node, cast_node, fold},
    functions::{AGGREGATES, Function, Kind, SIGNATURES, Signature, aggregate_of, overload},
};
use deltaic_types::{DataType, Value};
use sqlparser::{
    ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned},
    tokenizer::Span,
};

use super::{Binder, coercion::Operand, folded, scope::Scope, window::positional_of};
use crate::{error::SqlError, suggestion::nearest};

/// Names that are called like functions and are none of [`SIGNATURES`] or [`AGGREGATES`].
const SPECIAL: &[&str] = &[
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "now",
    "current_timestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "current_date",
    "claim",
];

impl<'a> Binder<'a> {
    /// A call as it is written.
    pub(super) fn function(&mut self, call: &'a ast::Function, scope: &Scope) -> Result<Operand, SqlError> {
        let span = call.name.span();
        let name = match &call.name.0[..] {
            [ast::ObjectNamePart::Identifier(name)] => folded(name),
            [ast::ObjectNamePart::Identifier(schema), ast::ObjectNamePart::Identifier(name)]
                if folded(schema) == "pg_catalog" =>
            {
                folded(name)
            }
            _ => return Err(self.refuse(&format!("the function name {}", call.name), None, span)),
        };
        if super::budget::is_consume(call) {
            let instead = "Write SELECT consume('budget', key, amount), alone in its place of the select list, in a request.";
            return Err(self.refuse("consume() here", Some(instead), span));
        }
        if call.null_treatment.is_some() {
            return Err(self.refuse("IGNORE NULLS and RESPECT NULLS", None, span));
        }
        if let Some(over) = &call.over {
            return self.window_function(&name, call, over, scope);
        }
        if positional_of(&name).is_some() {
            let reason = format!("window function {name} requires an OVER clause");
            return Err(SqlError::WrongKindOfFunction { reason, position: self.at(span) });
        }
        if let Some(aggregate) = aggregate_of(&name) {
            return self.aggregate(aggregate, &name, call, scope);
        }
        if call.filter.is_some() {
            let reason = format!("FILTER specified, but {name} is not an aggregate function");
            return Err(SqlError::WrongKindOfFunction { reason, position: self.at(span) });
        }
        if !call.within_group.is_empty() {
            let hint = Some("Only an ordered-set aggregate takes WITHIN GROUP.".to_owned());
            return Err(SqlError::UndefinedFunction {
                signature: call.to_string(),
                hint,
                position: self.at(span),
            });
        }
        let args: &'a [FunctionArg] = match &call.args {
            FunctionArguments::None => &[],
            FunctionArguments::List(list)
                if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
            {
                &list.args
            }
            FunctionArguments::Subquery(query) if name == "array" => {
                return self.array_subquery(query, scope);
            }
            _ => return Err(self.refuse("DISTINCT, ORDER BY and subqueries in arguments", None, span)),
        };
        let mut operands = Vec::new();
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg else {
                return Err(self.refuse(
                    "named arguments and *",
                    Some("Write the arguments in order."),
                    span,
                ));
            };
            operands.push(self.expr(arg, scope)?);
        }
        self.call_operands(&name, operands, span)
    }

    /// A call whose last arguments are still syntax.
    pub(super) fn call_exprs(
        &mut self,
        name: &str,
        mut operands: Vec<Operand>,
        args: &[&'a ast::Expr],
        scope: &Scope,
        span: Span,
    ) -> Result<Operand, SqlError> {
        for arg in args {
            operands.push(self.expr(arg, scope)?);
        }
        self.call_operands(name, operands, span)
    }

    /// A call of bound arguments.
    pub(super) fn call_operands(
        &mut self,
        name: &str,
        operands: Vec<Operand>,
        span: Span,
    ) -> Result<Operand, SqlError> {
        match (name, operands.len()) {
            ("coalesce", 1..) => {
                let list = self.unify(operands, "COALESCE", span)?;
                let data_type = list[0].data_type.clone();
                return Ok(fold(Expr::new(ExprKind::Coalesce(list), data_type)).into());
            }
            ("greatest" | "least", 1..) => {
                let function = if name == "greatest" { Function::Greatest } else { Function::Least };
                let list = self.unify(operands, &name.to_uppercase(), span)?;
                let data_type = list[0].data_type.clone();
                return Ok(call_node(function, list, data_type).into());
            }
            ("claim", 1) => {
                let name = operands.into_iter().next().expect("invariant: there is one operand");
                return self.claim(name, span);
            }
            ("nullif", 2) => return self.nullif(operands, span),
            ("now" | "current_timestamp" | "transaction_timestamp" | "statement_timestamp", 0) => {
                return Ok(self.time().into());
            }
            ("current_date", 0) => {
                return Ok(cast_node(self.time(), &DataType::Date).into());
            }
            ("random" | "gen_random_uuid" | "uuid_generate_v4", _) => {
                return Err(self.refuse(
                    &format!("{name}(): the engine has no random source"),
                    Some("Pass the value as a parameter."),
                    span,
                ));
            }
            ("localtimestamp" | "localtime" | "current_time" | "clock_timestamp" | "timeofday", _) => {
                return Err(self.refuse(name, Some("Use now()."), span));
            }
            _ => {}
        }
        let operands: Vec<Operand> = operands.into_iter().map(|operand| self.resolved(operand)).collect();
        let types: Vec<Option<DataType>> =
            operands.iter().map(|operand| operand.data_type().cloned()).collect();
        match overload(name, &types) {
            Some(signature) => self.call_signature(signature, operands, &types, span),
            None => Err(self.undefined_function(name, &operands, span)),
        }
    }

    fn call_signature(
        &mut self,
        signature: &Signature,
        operands: Vec<Operand>,
        types: &[Option<DataType>],
        span: Span,
    ) -> Result<Operand, SqlError> {
        if signature.function == Function::SubstringSimilar {
            let instead = Some("Use substring(text FROM pattern).");
            return Err(self.refuse("substring() with an escape", instead, span));
        }
        // The element type of a polymorphic call: the array's, widened by the element's.
        let mut element: Option<DataType> = None;
        for (place, given) in types.iter().enumerate() {
            let part = match (signature.kind(place), given) {
                (Kind::AnyArray, Some(DataType::Array(item))) => (**item).clone(),
                (Kind::AnyElement, Some(given)) => given.clone(),
                _ => continue,
            };
            element = Some(match element {
                None => part,
                Some(element) => common_type(&element, &part).ok_or_else(|| SqlError::NoCommonType {
                    place: signature.name.to_owned(),
                    left: element.to_string(),
                    right: part.to_string(),
                    position: self.at(span),
                })?,
            });
        }
        let element = element.unwrap_or(DataType::Text);
        let mut args = Vec::new();
        for (place, operand) in operands.into_iter().enumerate() {
            let wanted = match signature.kind(place) {
                Kind::Any => {
                    args.push(self.settle(operand)?);
                    continue;
                }
                Kind::AnyArray => element.clone().array(),
                Kind::AnyElement => element.clone(),
                // A numeric of any declared size is a numeric.
                Kind::Numeric if matches!(operand.data_type(), Some(DataType::Numeric(_))) => {
                    args.push(self.settle(operand)?);
                    continue;
                }
                other => other.data_type().unwrap_or(DataType::Text),
            };
            args.push(self.coerce(operand, &wanted, Context::Implicit, signature.name, span)?);
        }
        let result = match signature.result {
            Kind::AnyArray => element.array(),
            Kind::AnyElement => element,
            other => other.data_type().unwrap_or(DataType::Text),
        };
        Ok(call_node(signature.function, args, result).into())
    }

    fn undefined_function(&self, name: &str, operands: &[Operand], span: Span) -> SqlError {
        let types: Vec<String> = operands.iter().map(Operand::type_name).collect();
        let named: Vec<&Signature> = SIGNATURES.iter().filter(|signature| signature.name == name).collect();
        let hint = if named.is_empty() {
            let aggregates = AGGREGATES.iter().map(|(name, _)| *name);
            let signatures = SIGNATURES.iter().map(|signature| signature.name);
            nearest(name, signatures.chain(SPECIAL.iter().copied()).chain(aggregates))
                .map(|name| format!("Perhaps you meant {name}()."))
        } else {
            let forms: Vec<String> = named
                .iter()
                .map(|signature| {
                    let kinds: Vec<String> = signature
                        .arguments
                        .iter()
                        .map(|kind| {
                            kind.data_type().map_or_else(
                                || format!("{kind:?}").to_lowercase(),
                                |data_type| data_type.to_string(),
                            )
                        })
                        .collect();
                    format!("{name}({})", kinds.join(", "))
                })
                .collect();
            Some(format!("There is {}. Cast the arguments.", forms.join(", ")))
        };
        SqlError::UndefinedFunction {
            signature: format!("{name}({})", types.join(", ")),
            hint,
            position: self.at(span),
        }
    }

    /// The time: of the statement, or of a live query's clock.
    fn time(&self) -> Expr {
        let kind = self.now.map_or(ExprKind::Now, |now| ExprKind::Literal(Value::Timestamp(now)));
        Expr::new(kind, DataType::Timestamptz)
    }

    /// NULLIF(a, b): NULL where they are equal, else a.
    fn nullif(&mut self, mut operands: Vec<Operand>, span: Span) -> Result<Operand, SqlError> {
        let (Some(second), Some(first)) = (operands.pop(), operands.pop()) else {
            return Err(self.undefined_function("nullif", &[], span));
        };
        let equal = self.compare(Comparison::Eq, first.clone(), second, span)?;
        let first = self.settle(first)?;
        let data_type = first.data_type.clone();
        let null = Expr::literal(Value::Null, data_type.clone());
        Ok(fold(Expr::new(ExprKind::Case(vec![(equal, null)], Box::new(first)), data_type)).into())
    }
}

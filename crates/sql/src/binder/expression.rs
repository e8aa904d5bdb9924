//! Expressions: every syntax form that is not an operator or a call.

use deltaic_query::{
    coercion::{Context, common_type},
    expression::{Comparison, Expr, ExprKind},
    fold::{call_node, cast_node, fold, not, truth_node},
    functions::Function,
};
use deltaic_types::{DataType, Numeric, Value};
use sqlparser::{
    ast::{self, AccessExpr, Ident, Spanned, Subscript},
    tokenizer::Span,
};

use super::{
    Binder,
    coercion::{Operand, Unknown},
    folded,
    scope::{Found, Scope},
};
use crate::{error::SqlError, parser::placeholder_number, suggestion::nearest};

fn negated(expr: Expr, negated: bool) -> Operand {
    if negated { not(expr).into() } else { expr.into() }
}

impl<'a> Binder<'a> {
    /// Binds an expression over a scope.
    pub(super) fn expr(&mut self, ast: &'a ast::Expr, scope: &Scope) -> Result<Operand, SqlError> {
        self.nested(|binder| binder.expr_form(ast, scope))
    }

    fn expr_form(&mut self, ast: &'a ast::Expr, scope: &Scope) -> Result<Operand, SqlError> {
        use ast::Expr as E;
        match ast {
            E::Nested(inner) => self.expr(inner, scope),
            E::Identifier(ident) => match self.key_column(ident) {
                Some(key) => Ok(key),
                None => self.column(None, ident, scope),
            },
            E::CompoundIdentifier(idents) => match &idents[..] {
                [relation, column] => self.column(Some(relation), column, scope),
                [schema, relation, column] if folded(schema) == "public" => {
                    self.column(Some(relation), column, scope)
                }
                _ => Err(self.refuse(&format!("the name {ast}"), None, ast.span())),
            },
            E::Value(value) => self.literal(value),
            E::BinaryOp { .. } => self.binary_chain(ast, scope),
            E::UnaryOp { op, expr } => self.unary(*op, expr, scope),
            E::IsNull(inner) => self.is_null(inner, false, scope),
            E::IsNotNull(inner) => self.is_null(inner, true, scope),
            E::IsTrue(inner) => self.is_truth(inner, Some(true), false, scope),
            E::IsNotTrue(inner) => self.is_truth(inner, Some(true), true, scope),
            E::IsFalse(inner) => self.is_truth(inner, Some(false), false, scope),
            E::IsNotFalse(inner) => self.is_truth(inner, Some(false), true, scope),
            E::IsUnknown(inner) => self.is_truth(inner, None, false, scope),
            E::IsNotUnknown(inner) => self.is_truth(inner, None, true, scope),
            E::IsDistinctFrom(a, b) => self.is_distinct(a, b, true, scope),
            E::IsNotDistinctFrom(a, b) => self.is_distinct(a, b, false, scope),
            E::InList { expr, list, negated: is_negated } => {
                let found = self.in_list(expr, list, scope)?;
                Ok(negated(found, *is_negated))
            }
            E::Between { expr, negated: is_negated, low, high } => {
                let value = self.expr(expr, scope)?;
                let (low, high) = (self.expr(low, scope)?, self.expr(high, scope)?);
                let span = ast.span();
                let above = self.compare(Comparison::Ge, value.clone(), low, span)?;
                let below = self.compare(Comparison::Le, value, high, span)?;
                Ok(negated(truth_node(ExprKind::And(vec![above, below])), *is_negated))
            }
            E::Like { negated: is_negated, any: false, expr, pattern, escape_char } => {
                let found = self.like(Function::Like, expr, pattern, escape_char.as_deref(), scope)?;
                Ok(negated(found, *is_negated))
            }
            E::ILike { negated: is_negated, any: false, expr, pattern, escape_char } => {
                let found = self.like(Function::ILike, expr, pattern, escape_char.as_deref(), scope)?;
                Ok(negated(found, *is_negated))
            }
            E::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, true, scope),
            E::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, false, scope),
            E::Cast {
                kind: ast::CastKind::Cast | ast::CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
            } => {
                let to = self.data_type(data_type, ast.span())?;
                self.cast(expr, &to, scope)
            }
            E::TypedString(typed) => {
                let to = self.data_type(&typed.data_type, ast.span())?;
                let operand = self.literal(&typed.value)?;
                Ok(self.coerce(operand, &to, Context::Explicit, "literal", ast.span())?.into())
            }
            E::Interval(interval) => self.interval(interval, scope),
            E::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), scope, ast.span())
            }
            E::Array(array) => self.array(array, scope, ast.span()),
            E::CompoundFieldAccess { root, access_chain } => {
                let mut value = self.expr(root, scope)?;
                for access in access_chain {
                    let AccessExpr::Subscript(Subscript::Index { index }) = access else {
                        return Err(self.refuse(
                            "array slices and fields of composite types",
                            None,
                            ast.span(),
                        ));
                    };
                    value = self.subscript(value, index, scope, ast.span())?;
                }
                Ok(value)
            }
            E::Function(function) => self.function(function, scope),
            E::Extract { field, expr, .. } => {
                let field = Expr::literal(Value::from(field.to_string().to_lowercase()), DataType::Text);
                self.call_exprs("extract", vec![field.into()], &[expr], scope, ast.span())
            }
            E::Ceil { expr, .. } => self.call_exprs("ceil", Vec::new(), &[expr], scope, ast.span()),
            E::Floor { expr, .. } => self.call_exprs("floor", Vec::new(), &[expr], scope, ast.span()),
            E::Position { expr, r#in } => {
                self.call_exprs("strpos", Vec::new(), &[r#in, expr], scope, ast.span())
            }
            E::Substring { expr, substring_from, substring_for, .. } => {
                let text = self.expr(expr, scope)?;
                let one = || Expr::literal(Value::Integer(1), DataType::Integer).into();
                let from = match substring_from {
                    Some(from) => self.expr(from, scope)?,
                    None => one(),
                };
                let mut args = vec![text, from];
                if let Some(length) = substring_for {
                    args.push(self.expr(length, scope)?);
                }
                self.call_operands("substring", args, ast.span())
            }
            E::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut args: Vec<&ast::Expr> = vec![expr];
                args.extend(trim_what.as_deref());
                args.extend(trim_characters.iter().flatten());
                self.call_exprs(name, Vec::new(), &args, scope, ast.span())
            }
            E::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args: Vec<&ast::Expr> = vec![expr, overlay_what, overlay_from];
                args.extend(overlay_for.as_deref());
                self.call_exprs("overlay", Vec::new(), &args, scope, ast.span())
            }
            E::AtTimeZone { .. } => Err(self.refuse(
                "AT TIME ZONE",
                Some("Timestamps are instants, shown in UTC; convert where they are shown."),
                ast.span(),
            )),
            E::Exists { subquery, negated } => self.exists(subquery, *negated, scope),
            E::InSubquery { expr, subquery, negated: is_negated } => {
                let found = self.any_subquery(expr, Comparison::Eq, false, subquery, scope)?;
                Ok(negated(found, *is_negated))
            }
            E::Subquery(query) => self.scalar_subquery(query, scope),
            E::Tuple(_) => Err(self.refuse("row values", Some("Compare each column."), ast.span())),
            E::Collate { .. } => Err(self.refuse("COLLATE", Some("Text is ordered by bytes."), ast.span())),
            _ => {
                Err(self.refuse(&format!("the expression {}", shortened(&ast.to_string())), None, ast.span()))
            }
        }
    }

    fn column(
        &mut self,
        relation: Option<&Ident>,
        ident: &Ident,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let name = folded(ident);
        let relation_name = relation.map(folded);
        let position = self.at(relation.unwrap_or(ident).span);
        let here = relation_name.as_ref().is_none_or(|relation| scope.relations.contains(relation));
        if !here || matches!(scope.find(relation_name.as_deref(), &name), Found::None) {
            if let Some(outer) = self.outer_column(relation_name.as_deref(), &name, ident)? {
                return Ok(outer.into());
            }
        }
        if let (Some(relation), false) = (&relation_name, here) {
            let nearest = nearest(relation, scope.relations.iter().map(String::as_str));
            return Err(SqlError::UndefinedTable { name: relation.clone(), nearest, position });
        }
        match scope.find(relation_name.as_deref(), &name) {
            Found::One(column) => Ok(Expr::column(column.place, column.data_type.clone()).into()),
            Found::Many => Err(SqlError::AmbiguousColumn { name, position }),
            Found::None => {
                let nearest = nearest(
                    &name,
                    scope
                        .columns
                        .iter()
                        .filter(|column| relation_name.as_ref().is_none_or(|name| column.relation == *name))
                        .map(|column| column.name.as_str()),
                );
                let name =
                    relation_name.map_or_else(|| name.clone(), |relation| format!("{relation}.{name}"));
                Err(SqlError::UndefinedColumn { name, nearest, position })
            }
        }
    }

    /// A literal: quoted text and NULL wait for a type, numbers have one.
    pub(super) fn literal(&mut self, value: &ast::ValueWithSpan) -> Result<Operand, SqlError> {
        let span = value.span;
        let invalid = |error| SqlError::InvalidLiteral { error, position: self.at(span) };
        match &value.value {
            ast::Value::Null => Ok(Operand::Unknown(Unknown::Null, span)),
            ast::Value::Boolean(b) => Ok(Expr::literal(Value::Boolean(*b), DataType::Boolean).into()),
            ast::Value::Number(text, _) => {
                let plain = text.replace('_', "");
                let expr = match plain.parse::<i64>() {
                    Ok(n) if i32::try_from(n).is_ok() => Expr::literal(Value::Integer(n), DataType::Integer),
                    Ok(n) => Expr::literal(Value::Integer(n), DataType::Bigint),
                    Err(_) => {
                        Expr::literal(Value::numeric(plain.parse().map_err(invalid)?), DataType::NUMERIC)
                    }
                };
                Ok(expr.into())
            }
            ast::Value::Placeholder(name) => self.parameter(name, span),
            ast::Value::SingleQuotedString(text)
            | ast::Value::EscapedStringLiteral(text)
            | ast::Value::UnicodeStringLiteral(text)
            | ast::Value::NationalStringLiteral(text) => {
                Ok(Operand::Unknown(Unknown::Text(text.clone()), span))
            }
            ast::Value::DollarQuotedString(text) => {
                Ok(Operand::Unknown(Unknown::Text(text.value.clone()), span))
            }
            other => Err(self.refuse(&format!("the literal {}", shortened(&other.to_string())), None, span)),
        }
    }

    fn parameter(&mut self, name: &str, span: Span) -> Result<Operand, SqlError> {
        match placeholder_number(name) {
            Some(number) => {
                if self.parameters.len() < number {
                    self.parameters.resize(number, None);
                }
                self.parameters[number - 1].get_or_insert((None, span));
                Ok(self.resolved(Operand::Unknown(Unknown::Parameter(number - 1), span)))
            }
            None => Err(SqlError::UndefinedParameter { name: name.to_owned(), position: self.at(span) }),
        }
    }

    fn is_null(&mut self, inner: &'a ast::Expr, not_null: bool, scope: &Scope) -> Result<Operand, SqlError> {
        let expr = match self.expr(inner, scope)? {
            Operand::Typed(expr) => expr,
            // Nothing here says what type a parameter has; a later use may.
            unknown @ Operand::Unknown(Unknown::Parameter(_), span) => match self.resolved(unknown) {
                Operand::Typed(expr) => expr,
                Operand::Unknown(Unknown::Parameter(number), _) => {
                    return Err(SqlError::IndeterminateParameter {
                        number: number + 1,
                        position: self.at(span),
                    });
                }
                unknown @ Operand::Unknown(..) => self.settle(unknown)?,
            },
            unknown @ Operand::Unknown(..) => self.settle(unknown)?,
        };
        Ok(negated(truth_node(ExprKind::IsNull(Box::new(expr))), not_null))
    }

    fn is_truth(
        &mut self,
        inner: &'a ast::Expr,
        truth: Option<bool>,
        is_negated: bool,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let operand = self.expr(inner, scope)?;
        let expr = self.condition(operand, "argument of IS TRUE, FALSE or UNKNOWN", inner.span())?;
        let kind = match truth {
            None => ExprKind::IsNull(Box::new(expr)),
            Some(truth) => ExprKind::IsNotDistinct(
                Box::new(expr),
                Box::new(Expr::literal(Value::Boolean(truth), DataType::Boolean)),
            ),
        };
        Ok(negated(truth_node(kind), is_negated))
    }

    fn is_distinct(
        &mut self,
        a: &'a ast::Expr,
        b: &'a ast::Expr,
        distinct: bool,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let (left, right) = (self.expr(a, scope)?, self.expr(b, scope)?);
        let (left, right) = self.comparable("IS DISTINCT FROM", left, right, a.span())?;
        Ok(negated(truth_node(ExprKind::IsNotDistinct(Box::new(left), Box::new(right))), distinct))
    }

    fn in_list(
        &mut self,
        expr: &'a ast::Expr,
        list: &'a [ast::Expr],
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        let mut operands = vec![self.expr(expr, scope)?];
        for item in list {
            operands.push(self.expr(item, scope)?);
        }
        let mut exprs = self.unify(operands, "IN", expr.span())?;
        let first = exprs.remove(0);
        Ok(truth_node(ExprKind::InList(Box::new(first), exprs)))
    }

    fn like(
        &mut self,
        function: Function,
        expr: &'a ast::Expr,
        pattern: &'a ast::Expr,
        escape: Option<&'a ast::Expr>,
        scope: &Scope,
    ) -> Result<Expr, SqlError> {
        let name = if function == Function::Like { "LIKE" } else { "ILIKE" };
        let (left, right) = (self.expr(expr, scope)?, self.expr(pattern, scope)?);
        let mut args = self.text_operands(name, left, right, expr.span())?;
        if let Some(escape) = escape {
            let operand = self.expr(escape, scope)?;
            args.push(self.coerce(operand, &DataType::Text, Context::Implicit, "ESCAPE", escape.span())?);
        }
        Ok(call_node(function, args, DataType::Boolean))
    }

    fn quantified(
        &mut self,
        left: &'a ast::Expr,
        op: &ast::BinaryOperator,
        right: &'a ast::Expr,
        any: bool,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let span = left.span();
        let Some(op) = super::operator::comparison(op) else {
            return Err(self.refuse(&format!("{op} with ANY or ALL"), None, span));
        };
        if let ast::Expr::Subquery(query) = right {
            return Ok(self.any_subquery(left, op, !any, query, scope)?.into());
        }
        let (value, array) = (self.expr(left, scope)?, self.expr(right, scope)?);
        let (value, array) = (self.resolved(value), self.resolved(array));
        let element = match (value.data_type(), array.data_type()) {
            (None, None) => DataType::Text,
            (Some(value), None) => value.clone(),
            (None, Some(DataType::Array(element))) => (**element).clone(),
            (Some(value), Some(DataType::Array(element))) => {
                common_type(value, element).ok_or_else(|| SqlError::UndefinedOperator {
                    operation: format!("{value} {} {element}", op.symbol()),
                    position: self.at(span),
                })?
            }
            (_, Some(other)) => {
                return Err(SqlError::TypeMismatch {
                    place: "the right side of ANY or ALL".to_owned(),
                    expected: "an array".to_owned(),
                    found: other.to_string(),
                    position: self.at(right.span()),
                });
            }
        };
        let value = self.coerce(value, &element, Context::Implicit, "ANY", span)?;
        let array = self.coerce(array, &element.array(), Context::Implicit, "ANY", right.span())?;
        let literals = match (&array.kind, op) {
            (ExprKind::Literal(Value::Array(items)), Comparison::Eq) if any && !items.is_empty() => {
                Some(items.iter().map(|item| Expr::literal(item.clone(), value.data_type.clone())).collect())
            }
            _ => None,
        };
        if let Some(list) = literals {
            return Ok(truth_node(ExprKind::InList(Box::new(value), list)).into());
        }
        let function = if any { Function::ArrayAny(op) } else { Function::ArrayAll(op) };
        Ok(call_node(function, vec![value, array], DataType::Boolean).into())
    }

    fn cast(&mut self, inner: &'a ast::Expr, to: &DataType, scope: &Scope) -> Result<Operand, SqlError> {
        // The elements of ARRAY[…]::type[] take their type from the cast.
        if let (ast::Expr::Array(array), DataType::Array(element)) = (inner, to)
            && array.elem.is_empty()
        {
            return Ok(Expr::literal(Value::array(Vec::new()), (**element).clone().array()).into());
        }
        let claims = self.claims.len();
        let operand = self.expr(inner, scope)?;
        let expr = match self.cast_claim(&operand, claims, to, inner.span())? {
            Some(claim) => claim,
            None => self.coerce(operand, to, Context::Explicit, "CAST", inner.span())?,
        };
        // A parameter of the plain type still has to be fitted to the declared size.
        Ok(cast_node(expr, to).into())
    }

    fn interval(&mut self, interval: &'a ast::Interval, scope: &Scope) -> Result<Operand, SqlError> {
        let span = interval.value.span();
        if interval.leading_precision.is_some() || interval.last_field.is_some() {
            return Err(self.refuse("INTERVAL with a precision or a range of fields", None, span));
        }
        let operand = self.expr(&interval.value, scope)?;
        let operand = match (operand, &interval.leading_field) {
            (Operand::Unknown(Unknown::Text(text), span), Some(field)) => {
                self.check_field(&text, field, span)?;
                Operand::Unknown(Unknown::Text(format!("{text} {field}")), span)
            }
            (operand, None) => operand,
            (_, Some(_)) => return Err(self.refuse("INTERVAL of an expression with a field", None, span)),
        };
        Ok(self.coerce(operand, &DataType::Interval, Context::Explicit, "INTERVAL", span)?.into())
    }

    /// A field behind a text cuts off what is finer than it; where there is nothing to cut it is a unit.
    fn check_field(&self, text: &str, field: &ast::DateTimeField, span: Span) -> Result<(), SqlError> {
        use ast::DateTimeField as F;
        let is_whole = text.trim().parse::<i64>().is_ok();
        let is_decimal = text.trim().parse::<Numeric>().is_ok();
        match field {
            F::Year | F::Month | F::Day | F::Hour | F::Minute if is_whole => Ok(()),
            F::Second if is_decimal => Ok(()),
            _ => Err(self.refuse(
                &format!("INTERVAL '{}' {field}", shortened(text)),
                Some("Write the unit in the text, as in INTERVAL '1.5 hours'."),
                span,
            )),
        }
    }

    fn case(
        &mut self,
        operand: Option<&'a ast::Expr>,
        conditions: &'a [ast::CaseWhen],
        otherwise: Option<&'a ast::Expr>,
        scope: &Scope,
        span: Span,
    ) -> Result<Operand, SqlError> {
        let operand = operand.map(|operand| self.expr(operand, scope)).transpose()?;
        let mut tests = Vec::new();
        let mut results = Vec::new();
        for when in conditions {
            let test = self.expr(&when.condition, scope)?;
            tests.push(match &operand {
                Some(operand) => {
                    self.compare(Comparison::Eq, operand.clone(), test, when.condition.span())?
                }
                None => self.condition(test, "argument of CASE WHEN", when.condition.span())?,
            });
            results.push(self.expr(&when.result, scope)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.expr(otherwise, scope)?,
            None => Operand::Unknown(Unknown::Null, span),
        });
        let mut results = self.unify(results, "CASE", span)?;
        let Some(otherwise) = results.pop() else {
            return Err(self.refuse("CASE without WHEN", None, span));
        };
        let data_type = otherwise.data_type.clone();
        let branches = tests.into_iter().zip(results).collect();
        Ok(fold(Expr::new(ExprKind::Case(branches, Box::new(otherwise)), data_type)).into())
    }

    fn array(&mut self, array: &'a ast::Array, scope: &Scope, span: Span) -> Result<Operand, SqlError> {
        if array.elem.is_empty() {
            return Err(SqlError::TypeMismatch {
                place: "an empty array".to_owned(),
                expected: "a known type, as in ARRAY[]::integer[]".to_owned(),
                found: "unknown".to_owned(),
                position: self.at(span),
            });
        }
        let items = array.elem.iter().map(|item| self.expr(item, scope)).collect::<Result<Vec<_>, _>>()?;
        let items = self.unify(items, "ARRAY", span)?;
        let element = items.first().map_or(DataType::Text, |item| item.data_type.clone());
        self.refuse_nested(&element, span)?;
        Ok(call_node(Function::ArrayMake, items, element.array()).into())
    }

    fn subscript(
        &mut self,
        value: Operand,
        index: &'a ast::Expr,
        scope: &Scope,
        span: Span,
    ) -> Result<Operand, SqlError> {
        let index_operand = self.expr(index, scope)?;
        match self.resolved(value) {
            Operand::Typed(array) => match array.data_type.clone() {
                DataType::Array(element) => {
                    let place = "an array subscript";
                    let index = self.coerce(
                        index_operand,
                        &DataType::Integer,
                        Context::Assignment,
                        place,
                        index.span(),
                    )?;
                    Ok(call_node(Function::ArraySubscript, vec![array, index], *element).into())
                }
                DataType::Jsonb => self.arrow(Function::JsonGet, array, index_operand, index.span()),
                other => Err(SqlError::TypeMismatch {
                    place: "what is subscripted".to_owned(),
                    expected: "an array".to_owned(),
                    found: other.to_string(),
                    position: self.at(span),
                }),
            },
            unknown @ Operand::Unknown(..) => Err(SqlError::TypeMismatch {
                place: "what is subscripted".to_owned(),
                expected: "an array".to_owned(),
                found: unknown.type_name(),
                position: self.at(span),
            }),
        }
    }
}

/// A text cut to what a message can bear.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 64 {
        text.to_owned()
    } else {
        text.chars().take(61).chain("...".chars()).collect()
    }
}

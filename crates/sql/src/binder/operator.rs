//! Operators: which one is meant for the operands' types, and what it gives.

use deltaic_query::{
    coercion::{Context, common_type},
    expression::{Comparison, Expr, ExprKind},
    fold::{call_node, cast_node, not, truth_node},
    functions::{Function, operator},
};
use deltaic_types::DataType;
use sqlparser::{
    ast::{self, BinaryOperator, Spanned, UnaryOperator},
    tokenizer::Span,
};

use super::{
    Binder,
    coercion::{Operand, Unknown},
    scope::Scope,
};
use crate::error::SqlError;

/// The comparison that an operator is.
pub(super) fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Eq,
        BinaryOperator::NotEq => Comparison::Ne,
        BinaryOperator::Lt => Comparison::Lt,
        BinaryOperator::LtEq => Comparison::Le,
        BinaryOperator::Gt => Comparison::Gt,
        BinaryOperator::GtEq => Comparison::Ge,
        _ => return None,
    })
}

fn arithmetic(op: &BinaryOperator) -> Option<Function> {
    Some(match op {
        BinaryOperator::Plus => Function::Add,
        BinaryOperator::Minus => Function::Subtract,
        BinaryOperator::Multiply => Function::Multiply,
        BinaryOperator::Divide => Function::Divide,
        BinaryOperator::Modulo => Function::Modulo,
        BinaryOperator::PGExp => Function::Power,
        BinaryOperator::BitwiseAnd => Function::BitAnd,
        BinaryOperator::BitwiseOr => Function::BitOr,
        BinaryOperator::PGBitwiseXor | BinaryOperator::BitwiseXor => Function::BitXor,
        _ => return None,
    })
}

impl<'a> Binder<'a> {
    /// A chain of operators: down its left side without recursion, then up again.
    pub(super) fn binary_chain(&mut self, ast: &'a ast::Expr, scope: &Scope) -> Result<Operand, SqlError> {
        let mut pending = Vec::new();
        let mut current = ast;
        while let ast::Expr::BinaryOp { left, op, right } = current {
            pending.push((op, &**right));
            current = left;
        }
        let start = current.span();
        let mut value = self.expr(current, scope)?;
        let mut left = current;
        while let Some((op, right)) = pending.pop() {
            self.refuse_other_precedence(left, op, right)?;
            left = right;
            let operand = self.expr(right, scope)?;
            value = self.binary(op, value, operand, start, right.span())?;
        }
        Ok(value)
    }

    /// PostgreSQL gives all operators that are not arithmetic or comparisons one precedence, below arithmetic; the
    /// parser does not. Where that makes a difference, brackets must say what is meant.
    fn refuse_other_precedence(
        &self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
    ) -> Result<(), SqlError> {
        let prefix = if is_arithmetic(op) { prefix_operator(left) } else { None };
        let (first, then) = match (prefix, right) {
            (Some(prefix), _) => (prefix.to_string(), op),
            (None, ast::Expr::BinaryOp { op: inner, .. }) if is_match(op) && !is_arithmetic(inner) => {
                (op.to_string(), inner)
            }
            _ => return Ok(()),
        };
        let what = format!("{first} followed by {then} without brackets");
        Err(self.refuse(&what, Some("Put brackets around what belongs together."), right.span()))
    }

    fn binary(
        &mut self,
        op: &BinaryOperator,
        left: Operand,
        right: Operand,
        span: Span,
        right_span: Span,
    ) -> Result<Operand, SqlError> {
        if let Some(comparison) = comparison(op) {
            return Ok(self.compare(comparison, left, right, span)?.into());
        }
        match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let is_and = *op == BinaryOperator::And;
                let place = if is_and { "argument of AND" } else { "argument of OR" };
                let left = self.condition(left, place, span)?;
                let right = self.condition(right, place, right_span)?;
                Ok(logical(is_and, left, right).into())
            }
            BinaryOperator::StringConcat => self.concatenate(left, right, span),
            BinaryOperator::PGRegexMatch => self.matching("~", Function::RegexMatch, left, right, span),
            BinaryOperator::PGRegexIMatch => self.matching("~*", Function::RegexIMatch, left, right, span),
            BinaryOperator::PGRegexNotMatch => {
                self.matching("!~", Function::RegexMatch, left, right, span).map(inverted)
            }
            BinaryOperator::PGRegexNotIMatch => {
                self.matching("!~*", Function::RegexIMatch, left, right, span).map(inverted)
            }
            BinaryOperator::PGLikeMatch => self.matching("~~", Function::Like, left, right, span),
            BinaryOperator::PGILikeMatch => self.matching("~~*", Function::ILike, left, right, span),
            BinaryOperator::PGNotLikeMatch => {
                self.matching("!~~", Function::Like, left, right, span).map(inverted)
            }
            BinaryOperator::PGNotILikeMatch => {
                self.matching("!~~*", Function::ILike, left, right, span).map(inverted)
            }
            BinaryOperator::Arrow | BinaryOperator::LongArrow => {
                let function =
                    if *op == BinaryOperator::Arrow { Function::JsonGet } else { Function::JsonGetText };
                let json = self.jsonb(op, left, &right, span)?;
                self.arrow(function, json, right, right_span)
            }
            BinaryOperator::HashArrow | BinaryOperator::HashLongArrow => {
                let json = self.jsonb(op, left, &right, span)?;
                let path =
                    self.coerce(right, &DataType::Text.array(), Context::Implicit, "a path", right_span)?;
                Ok(if *op == BinaryOperator::HashArrow {
                    call_node(Function::JsonPath, vec![json, path], DataType::Jsonb)
                } else {
                    call_node(Function::JsonPathText, vec![json, path], DataType::Text)
                }
                .into())
            }
            BinaryOperator::Question => {
                let json = self.jsonb(op, left, &right, span)?;
                let key = self.coerce(right, &DataType::Text, Context::Implicit, "a key", right_span)?;
                Ok(call_node(Function::JsonHasKey, vec![json, key], DataType::Boolean).into())
            }
            BinaryOperator::AtArrow => self.containment(op, left, right, span),
            BinaryOperator::ArrowAt => self.containment(op, right, left, span),
            BinaryOperator::PGOverlap => self.containment(op, left, right, span),
            _ => match arithmetic(op) {
                Some(function) => self.arithmetic(op, function, left, right, span),
                None => Err(self.refuse(&format!("the operator {op}"), None, span)),
            },
        }
    }

    fn no_operator(&self, op: &str, left: &Operand, right: &Operand, span: Span) -> SqlError {
        SqlError::UndefinedOperator {
            operation: format!("{} {op} {}", left.type_name(), right.type_name()),
            position: self.at(span),
        }
    }

    /// Both operands in types that can be compared.
    pub(super) fn comparable(
        &mut self,
        op: &str,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Result<(Expr, Expr), SqlError> {
        let (left, right) = (self.resolved(left), self.resolved(right));
        let common = match (left.data_type(), right.data_type()) {
            (None, None) => DataType::Text,
            (Some(known), None) | (None, Some(known)) => known.clone(),
            (Some(a), Some(b)) => {
                let Some(common) = common_type(a, b) else {
                    return Err(self.no_operator(op, &left, &right, span));
                };
                // Whole numbers and numerics compare exactly as they are; only a double makes both doubles.
                if a.is_number() && b.is_number() && common != DataType::Double {
                    return Ok((self.settle(left)?, self.settle(right)?));
                }
                common
            }
        };
        let left = self.coerce(left, &common, Context::Implicit, op, span)?;
        Ok((left, self.coerce(right, &common, Context::Implicit, op, span)?))
    }

    /// A comparison.
    pub(super) fn compare(
        &mut self,
        op: Comparison,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Result<Expr, SqlError> {
        let (left, right) = self.comparable(op.symbol(), left, right, span)?;
        Ok(truth_node(ExprKind::Compare(op, Box::new(left), Box::new(right))))
    }

    /// Two operands that must be text.
    pub(super) fn text_operands(
        &mut self,
        op: &str,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Result<Vec<Expr>, SqlError> {
        let (left, right) = (self.resolved(left), self.resolved(right));
        let is_text = |operand: &Operand| operand.data_type().is_none_or(|known| *known == DataType::Text);
        if !is_text(&left) || !is_text(&right) {
            return Err(self.no_operator(op, &left, &right, span));
        }
        let left = self.coerce(left, &DataType::Text, Context::Implicit, op, span)?;
        Ok(vec![left, self.coerce(right, &DataType::Text, Context::Implicit, op, span)?])
    }

    fn matching(
        &mut self,
        op: &str,
        function: Function,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Result<Operand, SqlError> {
        let args = self.text_operands(op, left, right, span)?;
        Ok(call_node(function, args, DataType::Boolean).into())
    }

    fn jsonb(
        &mut self,
        op: &BinaryOperator,
        left: Operand,
        right: &Operand,
        span: Span,
    ) -> Result<Expr, SqlError> {
        match self.resolved(left) {
            Operand::Typed(json) if json.data_type == DataType::Jsonb => Ok(json),
            unknown @ Operand::Unknown(..) => {
                self.coerce(unknown, &DataType::Jsonb, Context::Implicit, "jsonb", span)
            }
            other => Err(self.no_operator(&op.to_string(), &other, right, span)),
        }
    }

    /// `->` and `->>` by a key or a place.
    pub(super) fn arrow(
        &mut self,
        function: Function,
        json: Expr,
        right: Operand,
        span: Span,
    ) -> Result<Operand, SqlError> {
        let to = match self.resolved(right.clone()).data_type() {
            Some(known) if known.is_integer() => DataType::Integer,
            _ => DataType::Text,
        };
        let key = self.coerce(right, &to, Context::Implicit, "a key", span)?;
        let result = if function == Function::JsonGet { DataType::Jsonb } else { DataType::Text };
        Ok(call_node(function, vec![json, key], result).into())
    }

    /// `@>` (and `<@`, turned round) of jsonb and arrays, `&&` of arrays.
    fn containment(
        &mut self,
        op: &BinaryOperator,
        whole: Operand,
        part: Operand,
        span: Span,
    ) -> Result<Operand, SqlError> {
        let (whole, part) = (self.resolved(whole), self.resolved(part));
        let overlap = *op == BinaryOperator::PGOverlap;
        let common = match (whole.data_type(), part.data_type()) {
            (Some(a), Some(b)) => common_type(a, b),
            (Some(known), None) | (None, Some(known)) => Some(known.clone()),
            (None, None) => None,
        };
        let function = match &common {
            Some(DataType::Jsonb) if !overlap => Function::JsonContains,
            Some(DataType::Array(_)) if overlap => Function::ArrayOverlaps,
            Some(DataType::Array(_)) => Function::ArrayContains,
            _ => return Err(self.no_operator(&op.to_string(), &whole, &part, span)),
        };
        let common = common.unwrap_or(DataType::Jsonb);
        let whole = self.coerce(whole, &common, Context::Implicit, "@>", span)?;
        let part = self.coerce(part, &common, Context::Implicit, "@>", span)?;
        Ok(call_node(function, vec![whole, part], DataType::Boolean).into())
    }

    fn concatenate(&mut self, left: Operand, right: Operand, span: Span) -> Result<Operand, SqlError> {
        let (left, right) = (self.resolved(left), self.resolved(right));
        let implicit = Context::Implicit;
        Ok(match (left.data_type().cloned(), right.data_type().cloned()) {
            (Some(DataType::Array(a)), Some(DataType::Array(b))) => {
                let Some(common) = common_type(&a, &b) else {
                    return Err(self.no_operator("||", &left, &right, span));
                };
                let common = common.array();
                let left = self.coerce(left, &common, implicit, "||", span)?;
                let right = self.coerce(right, &common, implicit, "||", span)?;
                call_node(Function::ArrayCat, vec![left, right], common)
            }
            // A literal beside an array is an array.
            (Some(array @ DataType::Array(_)), None) | (None, Some(array @ DataType::Array(_))) => {
                let left = self.coerce(left, &array, implicit, "||", span)?;
                let right = self.coerce(right, &array, implicit, "||", span)?;
                call_node(Function::ArrayCat, vec![left, right], array)
            }
            (Some(DataType::Array(a)), Some(b)) => {
                let Some(common) = common_type(&a, &b) else {
                    return Err(self.no_operator("||", &left, &right, span));
                };
                let left = self.coerce(left, &common.clone().array(), implicit, "||", span)?;
                let right = self.coerce(right, &common, implicit, "||", span)?;
                call_node(Function::ArrayAppend, vec![left, right], common.array())
            }
            (Some(a), Some(DataType::Array(b))) => {
                let Some(common) = common_type(&a, &b) else {
                    return Err(self.no_operator("||", &left, &right, span));
                };
                let left = self.coerce(left, &common, implicit, "||", span)?;
                let right = self.coerce(right, &common.clone().array(), implicit, "||", span)?;
                call_node(Function::ArrayPrepend, vec![left, right], common.array())
            }
            (Some(DataType::Jsonb), None | Some(DataType::Jsonb)) | (None, Some(DataType::Jsonb)) => {
                let left = self.coerce(left, &DataType::Jsonb, implicit, "||", span)?;
                let right = self.coerce(right, &DataType::Jsonb, implicit, "||", span)?;
                call_node(Function::JsonConcatenate, vec![left, right], DataType::Jsonb)
            }
            (Some(DataType::Text) | None, _) | (_, Some(DataType::Text) | None) => {
                let left = self.coerce(left, &DataType::Text, Context::Assignment, "||", span)?;
                let right = self.coerce(right, &DataType::Text, Context::Assignment, "||", span)?;
                call_node(Function::Concatenate, vec![left, right], DataType::Text)
            }
            _ => return Err(self.no_operator("||", &left, &right, span)),
        }
        .into())
    }

    fn arithmetic(
        &mut self,
        op: &BinaryOperator,
        function: Function,
        left: Operand,
        right: Operand,
        span: Span,
    ) -> Result<Operand, SqlError> {
        let (left, right) = (self.resolved(left), self.resolved(right));
        let none = |binder: &Self| Err(binder.no_operator(&op.to_string(), &left, &right, span));
        // An unknown operand takes the other's type, or the only type that the operator has beside it.
        let (a, b) = match (left.data_type().cloned(), right.data_type().cloned()) {
            (Some(a), Some(b)) => (a, b),
            (Some(a), None) => {
                let b = operator::partner(function, &a, false);
                (a, b)
            }
            (None, Some(b)) => (operator::partner(function, &b, true), b),
            // '1' + NULL: nothing says what is meant.
            (None, None) => return none(self),
        };
        if function == Function::Subtract && a == DataType::Jsonb {
            let to = if b.is_integer() { DataType::Integer } else { DataType::Text };
            let left = self.coerce(left, &a, Context::Implicit, "-", span)?;
            let right = self.coerce(right, &to, Context::Implicit, "-", span)?;
            return Ok(call_node(Function::JsonDelete, vec![left, right], DataType::Jsonb).into());
        }
        let Some((to_left, to_right, result)) = operator::arithmetic(function, &a, &b) else {
            return none(self);
        };
        let symbol = op.to_string();
        let left = self.coerce(left, &a, Context::Implicit, &symbol, span)?;
        let right = self.coerce(right, &b, Context::Implicit, &symbol, span)?;
        let args = vec![cast_node(left, &to_left), cast_node(right, &to_right)];
        Ok(call_node(function, args, result).into())
    }

    /// NOT, `-x`, `+x` and the others before their operand.
    ///
    /// A sign binds tighter than `^`: `-2 ^ 2` is 4, though the syntax tree has the power below the sign.
    pub(super) fn unary(
        &mut self,
        op: UnaryOperator,
        inner: &'a ast::Expr,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let is_sign = |op: UnaryOperator| matches!(op, UnaryOperator::Minus | UnaryOperator::Plus);
        let mut signs = vec![op];
        let mut base = inner;
        while let ast::Expr::UnaryOp { op: next, expr } = base
            && is_sign(op)
            && is_sign(*next)
        {
            signs.push(*next);
            base = expr;
        }
        let mut exponents = Vec::new();
        while let ast::Expr::BinaryOp { left, op: power @ BinaryOperator::PGExp, right } = base
            && is_sign(op)
        {
            exponents.push((power, &**right));
            base = left;
        }
        // The one next to the operand first.
        let mut value = self.unary_of(signs.pop().unwrap_or(op), base, scope)?;
        while let Some(sign) = signs.pop() {
            value = self.prefixed(sign, value, base.span())?;
        }
        while let Some((power, right)) = exponents.pop() {
            let exponent = self.expr(right, scope)?;
            value = self.binary(power, value, exponent, base.span(), right.span())?;
        }
        Ok(value)
    }

    fn unary_of(
        &mut self,
        op: UnaryOperator,
        inner: &'a ast::Expr,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let span = inner.span();
        // The sign belongs to the literal: -2147483648 is an integer, -9223372036854775808 a bigint.
        if let (UnaryOperator::Minus, ast::Expr::Value(value)) = (op, inner)
            && let ast::Value::Number(text, long) = &value.value
        {
            let signed = ast::Value::Number(format!("-{text}"), *long);
            return self.literal(&ast::ValueWithSpan { value: signed, span: value.span });
        }
        let operand = self.expr(inner, scope)?;
        if op == UnaryOperator::Not {
            return Ok(not(self.condition(operand, "argument of NOT", span)?).into());
        }
        self.prefixed(op, operand, span)
    }

    /// An operator before an operand, NOT aside.
    fn prefixed(&mut self, op: UnaryOperator, operand: Operand, span: Span) -> Result<Operand, SqlError> {
        let operand = match operand {
            // PostgreSQL reads a quoted literal after a sign as a double.
            unknown @ Operand::Unknown(Unknown::Text(_), _) => {
                self.coerce(unknown, &DataType::Double, Context::Implicit, "a sign", span)?.into()
            }
            other => self.resolved(other),
        };
        let none = |operand: &Operand| SqlError::UndefinedOperator {
            operation: format!("{op} {}", operand.type_name()),
            position: self.at(span),
        };
        let Operand::Typed(expr) = &operand else { return Err(none(&operand)) };
        let data_type = match &expr.data_type {
            DataType::Numeric(_) => DataType::NUMERIC,
            other => other.clone(),
        };
        let is_interval = data_type == DataType::Interval;
        match op {
            UnaryOperator::Plus if data_type.is_number() => Ok(operand),
            UnaryOperator::Minus if data_type.is_number() || is_interval => {
                Ok(call_node(Function::Negate, vec![expr.clone()], data_type).into())
            }
            UnaryOperator::BitwiseNot if data_type.is_integer() => {
                Ok(call_node(Function::BitNot, vec![expr.clone()], data_type).into())
            }
            UnaryOperator::PGAbs if data_type.is_number() => {
                Ok(call_node(Function::Abs, vec![expr.clone()], data_type).into())
            }
            UnaryOperator::PGSquareRoot | UnaryOperator::PGCubeRoot if data_type.is_number() => {
                let function =
                    if op == UnaryOperator::PGSquareRoot { Function::Sqrt } else { Function::Cbrt };
                let argument = cast_node(expr.clone(), &DataType::Double);
                Ok(call_node(function, vec![argument], DataType::Double).into())
            }
            _ => Err(none(&operand)),
        }
    }
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(op, B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo | B::PGExp)
}

/// Operators that the parser has below `||`, `->` and the like, with which PostgreSQL has them on one level.
fn is_match(op: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(
        op,
        B::PGRegexMatch
            | B::PGRegexIMatch
            | B::PGRegexNotMatch
            | B::PGRegexNotIMatch
            | B::PGLikeMatch
            | B::PGILikeMatch
            | B::PGNotLikeMatch
            | B::PGNotILikeMatch
    )
}

/// The operator before the last operand of an expression, if it is one that PostgreSQL has below arithmetic.
fn prefix_operator(expr: &ast::Expr) -> Option<&UnaryOperator> {
    match expr {
        ast::Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => prefix_operator(expr),
        ast::Expr::UnaryOp { op: UnaryOperator::Not, .. } => None,
        ast::Expr::UnaryOp { op, .. } => Some(op),
        ast::Expr::BinaryOp { right, .. } => prefix_operator(right),
        _ => None,
    }
}

fn inverted(operand: Operand) -> Operand {
    match operand {
        Operand::Typed(expr) => not(expr).into(),
        unknown @ Operand::Unknown(..) => unknown,
    }
}

/// AND or OR of two conditions, a chain in one flat list.
fn logical(is_and: bool, left: Expr, right: Expr) -> Expr {
    let mut list = match left.kind {
        ExprKind::And(list) if is_and => list,
        ExprKind::Or(list) if !is_and => list,
        kind => vec![Expr::new(kind, left.data_type)],
    };
    match right.kind {
        ExprKind::And(more) if is_and => list.extend(more),
        ExprKind::Or(more) if !is_and => list.extend(more),
        kind => list.push(Expr::new(kind, right.data_type)),
    }
    truth_node(if is_and { ExprKind::And(list) } else { ExprKind::Or(list) })
}

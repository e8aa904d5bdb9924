//! [`Operand`] and the coercions: what a literal whose type is not known yet becomes, and which casts
//! PostgreSQL makes on its own.

use deltaic_types::{DataType, Row, Value, text_format::parse_text};
use sqlparser::tokenizer::Span;

use super::Binder;
use crate::{
    compile::evaluate,
    error::SqlError,
    expression::{Expr, ExprKind},
};

/// A bound expression, or one that waits for its context to give it a type.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    Typed(Expr),
    Unknown(Unknown, Span),
}

/// What has no type of its own.
#[derive(Debug, Clone)]
pub(super) enum Unknown {
    Null,
    Text(String),
    Parameter(usize),
}

/// Who asks for a cast: each allows what the one before it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Context {
    /// An operator or a function.
    Implicit,
    /// A column that a value is written to.
    Assignment,
    /// CAST.
    Explicit,
}

impl Operand {
    /// The type, or None while it is unknown.
    pub(super) fn data_type(&self) -> Option<&DataType> {
        if let Self::Typed(expr) = self { Some(&expr.data_type) } else { None }
    }

    /// The type as error messages have it.
    pub(super) fn type_name(&self) -> String {
        self.data_type().map_or_else(|| "unknown".to_owned(), ToString::to_string)
    }
}

impl From<Expr> for Operand {
    fn from(expr: Expr) -> Self {
        Self::Typed(expr)
    }
}

/// The least context in which PostgreSQL casts one type to the other; None where there is no cast.
pub(super) fn cast_context(from: &DataType, to: &DataType) -> Option<Context> {
    use DataType::{
        Array, Bigint, Boolean, Date, Double, Integer, Jsonb, Numeric, Smallint, Text, Timestamptz,
    };
    match (from, to) {
        _ if from == to => Some(Context::Implicit),
        (Numeric(_), Numeric(_)) | (Date, Timestamptz) => Some(Context::Implicit),
        _ if rank(from).zip(rank(to)).is_some_and(|(from, to)| from < to) => Some(Context::Implicit),
        _ if from.is_number() && to.is_number() => Some(Context::Assignment),
        (Timestamptz, Date) => Some(Context::Assignment),
        (Integer, Boolean) | (Boolean, Integer) => Some(Context::Explicit),
        (Jsonb, Boolean | Smallint | Integer | Bigint | Numeric(_) | Double) => Some(Context::Explicit),
        (Array(from), Array(to)) => cast_context(from, to),
        (_, Text) => Some(Context::Assignment),
        (Text, _) => Some(Context::Explicit),
        _ => None,
    }
}

/// The place of a number type in the order of widening.
fn rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Smallint => 0,
        DataType::Integer => 1,
        DataType::Bigint => 2,
        DataType::Numeric(_) => 3,
        DataType::Double => 4,
        _ => return None,
    })
}

/// The type that values of both types can have; None where there is none.
pub(super) fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (DataType::Numeric(_), DataType::Numeric(_)) => Some(DataType::NUMERIC),
        (DataType::Date, DataType::Timestamptz) | (DataType::Timestamptz, DataType::Date) => {
            Some(DataType::Timestamptz)
        }
        (DataType::Array(a), DataType::Array(b)) => common_type(a, b).map(DataType::array),
        _ => {
            let wider = if rank(a)? >= rank(b)? { a } else { b };
            Some(if matches!(wider, DataType::Numeric(_)) { DataType::NUMERIC } else { wider.clone() })
        }
    }
}

/// The expression, evaluated if it depends on nothing and evaluates without an error.
pub(super) fn fold(expr: Expr) -> Expr {
    let constant = |operand: &&Expr| matches!(operand.kind, ExprKind::Literal(_));
    let leaf = matches!(
        expr.kind,
        ExprKind::Literal(_)
            | ExprKind::Column(_)
            | ExprKind::Parameter(_)
            | ExprKind::Outer(_)
            | ExprKind::Now
            | ExprKind::Subquery(_)
    );
    if leaf || !expr.operands().iter().all(constant) {
        return expr;
    }
    match evaluate(&expr, &Row::empty()) {
        Ok(value) => Expr::literal(value, expr.data_type),
        Err(_) => expr,
    }
}

/// A cast node, folded.
pub(super) fn cast_node(expr: Expr, to: &DataType) -> Expr {
    if expr.data_type == *to {
        return expr;
    }
    if let ExprKind::Literal(Value::Null) = expr.kind {
        return Expr::literal(Value::Null, to.clone());
    }
    fold(Expr::new(ExprKind::Cast(Box::new(expr)), to.clone()))
}

impl Binder<'_> {
    /// The operand in a type, where the context allows the cast.
    pub(super) fn coerce(
        &mut self,
        operand: Operand,
        to: &DataType,
        context: Context,
        place: &str,
        span: Span,
    ) -> Result<Expr, SqlError> {
        let expr = match self.resolved(operand) {
            Operand::Unknown(unknown, span) => return self.resolve(unknown, to, span),
            Operand::Typed(expr) => expr,
        };
        match cast_context(&expr.data_type, to) {
            Some(needed) if needed <= context => Ok(cast_node(expr, to)),
            _ if context == Context::Explicit => {
                Err(SqlError::CannotCast { from: expr.data_type, to: to.clone(), position: self.at(span) })
            }
            _ => Err(SqlError::TypeMismatch {
                place: place.to_owned(),
                expected: to.to_string(),
                found: expr.data_type.to_string(),
                position: self.at(span),
            }),
        }
    }

    /// A condition.
    pub(super) fn condition(&mut self, operand: Operand, place: &str, span: Span) -> Result<Expr, SqlError> {
        self.coerce(operand, &DataType::Boolean, Context::Implicit, place, span)
    }

    /// Gives a type to what has none.
    fn resolve(&mut self, unknown: Unknown, to: &DataType, span: Span) -> Result<Expr, SqlError> {
        match unknown {
            Unknown::Null => Ok(Expr::literal(Value::Null, to.clone())),
            Unknown::Text(text) => parse_text(&text, to)
                .map(|value| Expr::literal(value, to.clone()))
                .map_err(|error| SqlError::InvalidLiteral { error, position: self.at(span) }),
            Unknown::Parameter(number) => {
                // A parameter has the type itself, not the declared size of one column.
                let to = if matches!(to, DataType::Numeric(_)) { &DataType::NUMERIC } else { to };
                self.parameters[number] = Some((Some(to.clone()), span));
                Ok(Expr::new(ExprKind::Parameter(number), to.clone()))
            }
        }
    }

    /// The operand with its type, if a parameter has got one meanwhile.
    pub(super) fn resolved(&self, operand: Operand) -> Operand {
        if let Operand::Unknown(Unknown::Parameter(number), _) = operand
            && let Some(Some((Some(data_type), _))) = self.parameters.get(number)
        {
            return Operand::Typed(Expr::new(ExprKind::Parameter(number), data_type.clone()));
        }
        operand
    }

    /// The operand as it is; what is still unknown is text.
    pub(super) fn settle(&mut self, operand: Operand) -> Result<Expr, SqlError> {
        match self.resolved(operand) {
            Operand::Typed(expr) => Ok(expr),
            Operand::Unknown(unknown, span) => self.resolve(unknown, &DataType::Text, span),
        }
    }

    /// All operands in the one type they have in common.
    pub(super) fn unify(
        &mut self,
        operands: Vec<Operand>,
        place: &str,
        span: Span,
    ) -> Result<Vec<Expr>, SqlError> {
        let common = self.common_type_of(&operands, place, span)?.unwrap_or(DataType::Text);
        operands
            .into_iter()
            .map(|operand| self.coerce(operand, &common, Context::Implicit, place, span))
            .collect()
    }

    /// The type that operands have in common; None where all are unknown.
    pub(super) fn common_type_of(
        &self,
        operands: &[Operand],
        place: &str,
        span: Span,
    ) -> Result<Option<DataType>, SqlError> {
        let mut common: Option<DataType> = None;
        for operand in operands {
            let operand = self.resolved(operand.clone());
            let Some(data_type) = operand.data_type() else { continue };
            common = Some(match common {
                None => data_type.clone(),
                Some(common) => common_type(&common, data_type).ok_or_else(|| SqlError::NoCommonType {
                    place: place.to_owned(),
                    left: common.to_string(),
                    right: data_type.to_string(),
                    position: self.at(span),
                })?,
            });
        }
        Ok(common)
    }
}

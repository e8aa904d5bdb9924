//! [`Operand`] and its coercions: what a literal whose type is not known yet becomes, and the casts that a place in a
//! statement asks for.

use deltaic_query::{
    coercion::{Context, cast_context, common_type},
    expression::{Expr, ExprKind},
    fold::cast_node,
};
use deltaic_types::{DataType, Value, text_format::parse_text};
use sqlparser::tokenizer::Span;

use super::Binder;
use crate::error::SqlError;

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

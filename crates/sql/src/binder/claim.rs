//! `claim('name')`: a claim of the session that asks, as one more parameter.
//!
//! Invariant: a statement that reads a claim says nothing of its value, so sessions that differ in their claims alone share a
//! template.

use deltaic_query::expression::{Expr, ExprKind};
use deltaic_types::{DataType, Value, limits};
use sqlparser::tokenizer::Span;

use super::{
    Binder,
    coercion::{Operand, Unknown},
};
use crate::{bound::ClaimNames, error::SqlError};

impl Binder<'_> {
    /// The claim of a name: NULL where the session has none.
    pub(super) fn claim(&mut self, name: Operand, span: Span) -> Result<Operand, SqlError> {
        let name = match name {
            Operand::Unknown(Unknown::Text(name), _) => name,
            Operand::Typed(Expr { kind: ExprKind::Literal(Value::Text(name)), .. }) => name.to_string(),
            _ => {
                let instead = Some("Write the name as a text: claim('sub').");
                return Err(self.refuse("claim() of a name that is not constant", instead, span));
            }
        };
        Ok(self.claim_of(name, DataType::Text, span)?.into())
    }

    /// The claim of a name, read as a type.
    fn claim_of(&mut self, name: String, data_type: DataType, span: Span) -> Result<Expr, SqlError> {
        let known = |(known, of, _): &(String, DataType, Span)| (known, of) == (&name, &data_type);
        let place = match self.claims.iter().position(known) {
            Some(place) => place,
            None if self.claims.len() >= limits::CLAIMS => {
                let what = "the statement reads too many claims";
                return Err(SqlError::TooComplex { what, position: self.at(span) });
            }
            None => {
                self.claims.push((name, data_type.clone(), span));
                self.claims.len() - 1
            }
        };
        Ok(Expr::new(ExprKind::Parameter(self.parsed.placeholders + place), data_type))
    }

    /// A claim that is cast, where the operand is one: it is a parameter of that type, so it is found by it as `$1` is. There
    /// were `before` claims before the operand.
    pub(super) fn cast_claim(
        &mut self,
        operand: &Operand,
        before: usize,
        to: &DataType,
        span: Span,
    ) -> Result<Option<Expr>, SqlError> {
        let Operand::Typed(Expr { kind: ExprKind::Parameter(number), data_type: DataType::Text }) = operand
        else {
            return Ok(None);
        };
        let place = number.checked_sub(self.parsed.placeholders);
        let Some((name, ..)) = place.and_then(|place| self.claims.get(place)).cloned() else {
            return Ok(None);
        };
        if self.claims.len() > before && place == Some(self.claims.len() - 1) {
            // Nothing else has read it as a text.
            self.claims.pop();
        }
        let to = if matches!(to, DataType::Numeric(_)) { DataType::NUMERIC } else { to.clone() };
        self.claim_of(name, to, span).map(Some)
    }

    pub(super) fn claim_names(&self) -> ClaimNames {
        let names =
            self.claims.iter().map(|(name, data_type, _)| (name.clone(), data_type.clone())).collect();
        ClaimNames { base: self.parsed.placeholders, names }
    }

    /// What is stored is there for every session, and has none of its own.
    pub(super) fn refuse_claims(&self, place: &str) -> Result<(), SqlError> {
        match self.claims.first() {
            None => Ok(()),
            Some((_, _, span)) => {
                let instead = Some("Read the claim in the query of the session that has it.");
                Err(self.refuse(&format!("claim() in {place}, which has no session"), instead, *span))
            }
        }
    }
}

//! Type names: which of ours each of PostgreSQL's is, and why the others are not there.

use deltaic_types::{DataType, Merges, Precision};
use sqlparser::{
    ast::{self, ArrayElemTypeDef, ExactNumberInfo, TimezoneInfo},
    tokenizer::Span,
};

use super::Binder;
use crate::{error::SqlError, parser::parse_type, suggestion::nearest};

const NAMES: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "double precision",
    "numeric",
    "text",
    "uuid",
    "date",
    "timestamptz",
    "interval",
    "jsonb",
];

/// The most digits a numeric may be declared with: PostgreSQL's.
const PRECISION: u64 = 1_000;

impl Binder<'_> {
    /// The type of a column, and how it merges.
    pub(super) fn column_type(
        &self,
        ast: &ast::DataType,
        span: Span,
    ) -> Result<(DataType, Merges), SqlError> {
        let ast::DataType::Custom(name, modifiers) = ast else {
            return Ok((self.data_type(ast, span)?, Merges::LastWriter));
        };
        let name = name.to_string().to_lowercase();
        let Some((merges, takes_type)) = Merges::named(&name) else {
            return Ok((self.data_type(ast, span)?, Merges::LastWriter));
        };
        let of = modifiers.join(" ");
        if of.is_empty() == takes_type {
            let reason = if takes_type {
                format!("type {name} needs a type in brackets, as in {name}(text)")
            } else {
                format!("type {name} has no brackets")
            };
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(span) });
        }
        let of = if takes_type {
            let unknown = || SqlError::UndefinedType {
                hint: type_hint(&of),
                name: of.clone(),
                position: self.at(span),
            };
            let item = self.data_type(&parse_type(&of).ok_or_else(unknown)?, span)?;
            if !item.is_key() || matches!(item, DataType::Array(_)) {
                let what = format!("type {name}({item})");
                return Err(self.refuse(
                    &what,
                    Some("Take a type whose values are ordered, and no array."),
                    span,
                ));
            }
            Some(item)
        } else {
            None
        };
        let data_type = merges.data_type(of).expect("invariant: the brackets were looked at");
        Ok((data_type, merges))
    }

    /// The type of a name.
    pub(super) fn data_type(&self, ast: &ast::DataType, span: Span) -> Result<DataType, SqlError> {
        use ast::DataType as T;
        let refuse = |what: &str, instead: &str| Err(self.refuse(what, Some(instead), span));
        Ok(match ast {
            T::Boolean | T::Bool => DataType::Boolean,
            T::SmallInt(None) | T::Int2(None) => DataType::Smallint,
            T::Integer(None) | T::Int(None) | T::Int4(None) => DataType::Integer,
            T::BigInt(None) | T::Int8(None) => DataType::Bigint,
            T::DoublePrecision | T::Float8 | T::Float(ExactNumberInfo::None) => DataType::Double,
            T::Float(ExactNumberInfo::Precision(25..=53)) => DataType::Double,
            T::Real | T::Float4 | T::Float(_) => {
                return refuse("type real", "Use double precision.");
            }
            T::Numeric(info) | T::Decimal(info) | T::Dec(info) => self.numeric(*info, span)?,
            T::Text | T::Varchar(None) | T::CharacterVarying(None) | T::CharVarying(None) => DataType::Text,
            T::Varchar(_) | T::CharacterVarying(_) | T::CharVarying(_) | T::Char(_) | T::Character(_) => {
                return refuse("text types with a length", "Use text and CHECK (length(…) <= n).");
            }
            T::Uuid => DataType::Uuid,
            T::Date => DataType::Date,
            T::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => DataType::Timestamptz,
            T::Timestamp(Some(_), TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
                return refuse("timestamps of a lower precision", "Use timestamptz: it has microseconds.");
            }
            T::Timestamp(..) | T::Datetime(_) => {
                return refuse("type timestamp without time zone", "Use timestamptz.");
            }
            T::Time(..) => return refuse("type time", "Use interval, or a timestamptz."),
            T::Interval { fields: None, precision: None } => DataType::Interval,
            T::Interval { .. } => return refuse("interval with fields or a precision", "Use interval."),
            T::JSONB => DataType::Jsonb,
            T::JSON => return refuse("type json", "Use jsonb."),
            T::Bytea => return refuse("type bytea", "Use text with base64."),
            T::Array(ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::Qualified(item, _)) => {
                self.array_type(item, span)?
            }
            T::Custom(name, modifiers) => return self.custom(name, modifiers, span),
            other => {
                let name = other.to_string().to_lowercase();
                return Err(SqlError::UndefinedType {
                    hint: type_hint(&name),
                    name,
                    position: self.at(span),
                });
            }
        })
    }

    fn array_type(&self, item: &ast::DataType, span: Span) -> Result<DataType, SqlError> {
        // The parser bounds the brackets, so this recursion is bounded.
        let item = self.data_type(item, span)?;
        self.refuse_nested(&item, span)?;
        Ok(item.array())
    }

    /// PostgreSQL's arrays of more dimensions are no arrays of arrays: half of the functions would differ.
    pub(super) fn refuse_nested(&self, item: &DataType, span: Span) -> Result<(), SqlError> {
        if matches!(item, DataType::Array(_)) {
            return Err(self.refuse("an array of more than one dimension", Some("Use jsonb."), span));
        }
        Ok(())
    }

    fn numeric(&self, info: ExactNumberInfo, span: Span) -> Result<DataType, SqlError> {
        let (precision, scale) = match info {
            ExactNumberInfo::None => return Ok(DataType::NUMERIC),
            ExactNumberInfo::Precision(precision) => (precision, 0),
            ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
        };
        let wrong = |reason: &str| {
            Err(SqlError::InvalidTableDefinition { reason: reason.to_owned(), position: self.at(span) })
        };
        if precision == 0 || precision > PRECISION {
            return wrong("the precision of numeric must be between 1 and 1000");
        }
        match u16::try_from(scale) {
            Ok(scale) if u64::from(scale) <= precision => {
                Ok(DataType::Numeric(Some(Precision { precision: precision as u16, scale })))
            }
            _ => wrong("the scale of numeric must be between 0 and its precision"),
        }
    }

    fn custom(&self, name: &ast::ObjectName, modifiers: &[String], span: Span) -> Result<DataType, SqlError> {
        let name = name.to_string().to_lowercase();
        match name.as_str() {
            "serial" | "bigserial" | "smallserial" => Err(self.refuse(
                &format!("type {name}: there are no sequences"),
                Some("Use uuid or bigint and pass the value."),
                span,
            )),
            "timestamptz" if modifiers.is_empty() => Ok(DataType::Timestamptz),
            _ if Merges::named(&name).is_some() => Err(self.refuse(
                &format!("type {name} anywhere but in a table"),
                Some("Values of such a column have the type that it is made of."),
                span,
            )),
            _ => Err(SqlError::UndefinedType { hint: type_hint(&name), name, position: self.at(span) }),
        }
    }
}

fn type_hint(name: &str) -> Option<String> {
    nearest(name, NAMES.iter().copied().chain(Merges::NAMES)).map(|name| format!("Perhaps you meant {name}."))
}

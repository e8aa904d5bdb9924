//! [`DataType`]: the SQL types, and which values belong to them.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{EvalError, Value};

/// The type of a column or an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// `boolean`
    Boolean,
    /// `smallint`: 16 bits.
    Smallint,
    /// `integer`: 32 bits.
    Integer,
    /// `bigint`: 64 bits.
    Bigint,
    /// `double precision`
    Double,
    /// `numeric`, or `numeric(precision, scale)`.
    Numeric(Option<Precision>),
    /// `text`, ordered by bytes.
    Text,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `timestamp with time zone`: an instant in microseconds.
    Timestamptz,
    /// `interval`
    Interval,
    /// `jsonb`
    Jsonb,
    /// An array of any number of values; nested arrays are arrays of arrays.
    Array(Box<DataType>),
}

/// The declared size of a `numeric(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Precision {
    /// Digits in all.
    pub precision: u16,
    /// Digits after the point.
    pub scale: u16,
}

/// A value that does not belong to a type: the caller skipped a cast.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a value of another class than {expected}: cast it first")]
pub struct TypeMismatch {
    /// The type that was asked for.
    pub expected: DataType,
}

impl DataType {
    /// Plain `numeric`.
    pub const NUMERIC: Self = Self::Numeric(None);

    /// An array of this type.
    #[must_use]
    pub fn array(self) -> Self {
        Self::Array(Box::new(self))
    }

    /// Whether values of the type are numbers.
    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Self::Double | Self::Numeric(_))
    }

    /// Whether values of the type are whole numbers of fixed width.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Smallint | Self::Integer | Self::Bigint)
    }

    /// Whether the type's values can stand in a primary key, an index or a unique constraint.
    pub fn is_key(&self) -> bool {
        match self {
            Self::Jsonb | Self::Interval => false,
            Self::Array(item) => item.is_key(),
            _ => true,
        }
    }

    /// The type's short name, as error messages have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Smallint => "smallint",
            Self::Integer => "integer",
            Self::Bigint => "bigint",
            Self::Double => "double precision",
            Self::Numeric(_) => "numeric",
            Self::Text => "text",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::Timestamptz => "timestamptz",
            Self::Interval => "interval",
            Self::Jsonb => "jsonb",
            Self::Array(_) => "array",
        }
    }

    /// Whether the value's class is the type's; NULL belongs to every type.
    pub fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null)
            | (Self::Boolean, Value::Boolean(_))
            | (Self::Smallint | Self::Integer | Self::Bigint, Value::Integer(_))
            | (Self::Double, Value::Double(_))
            | (Self::Numeric(_), Value::Numeric(_))
            | (Self::Text, Value::Text(_))
            | (Self::Uuid, Value::Uuid(_))
            | (Self::Date, Value::Date(_))
            | (Self::Timestamptz, Value::Timestamp(_))
            | (Self::Interval, Value::Interval(_))
            | (Self::Jsonb, Value::Json(_)) => true,
            (Self::Array(item), Value::Array(items)) => items.iter().all(|value| item.admits(value)),
            _ => false,
        }
    }

    /// Fits a value of the type's class to the type: range of integers, precision and scale of numerics.
    pub fn fit(&self, value: Value) -> Result<Value, EvalError> {
        match (self, &value) {
            (Self::Smallint, Value::Integer(n)) if i16::try_from(*n).is_err() => {
                Err(EvalError::IntegerOutOfRange { type_name: "smallint" })
            }
            (Self::Integer, Value::Integer(n)) if i32::try_from(*n).is_err() => {
                Err(EvalError::IntegerOutOfRange { type_name: "integer" })
            }
            (Self::Numeric(Some(size)), Value::Numeric(n)) => {
                let rounded = n.round(i64::from(size.scale))?;
                let (digits, scale) = rounded.as_decimal().as_bigint_and_exponent();
                let whole = digits.magnitude().to_string().len() as i64 - scale;
                if digits.magnitude().bits() > 0 && whole > i64::from(size.precision) - i64::from(size.scale)
                {
                    return Err(EvalError::NumericOutOfRange);
                }
                Ok(Value::numeric(rounded))
            }
            (Self::Array(item), Value::Array(items)) => {
                let fitted: Result<Vec<Value>, EvalError> =
                    items.iter().map(|value| item.fit(value.clone())).collect();
                Ok(Value::array(fitted?))
            }
            _ => Ok(value),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(Some(size)) => write!(f, "numeric({},{})", size.precision, size.scale),
            Self::Array(item) => write!(f, "{item}[]"),
            _ => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_are_rounded_to_their_scale_and_refused_beyond_their_precision() {
        let money = DataType::Numeric(Some(Precision { precision: 5, scale: 2 }));
        let fit = |text: &str| money.fit(Value::numeric(text.parse().unwrap()));
        assert_eq!(fit("123.456").unwrap(), Value::numeric("123.46".parse().unwrap()));
        assert_eq!(fit("0.001").unwrap(), Value::numeric("0".parse().unwrap()));
        assert_eq!(fit("999.996"), Err(EvalError::NumericOutOfRange));
        assert_eq!(fit("1000"), Err(EvalError::NumericOutOfRange));
    }

    #[test]
    fn integers_are_held_to_their_width() {
        assert!(DataType::Integer.fit(Value::Integer(1 << 31)).is_err());
        assert!(DataType::Smallint.fit(Value::Integer(-32_769)).is_err());
        assert!(DataType::Bigint.fit(Value::Integer(i64::MIN)).is_ok());
        assert!(DataType::Integer.array().fit(Value::array(vec![Value::Integer(1 << 40)])).is_err());
    }
}

//! [`V`]: the naive evaluator's values.

use std::{cmp::Ordering, str::FromStr};

use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive, Zero};
use deltaic_types::{DataType, Json, Value};

use super::Kind;

/// A value. The kind of a number is its type.
#[derive(Debug, Clone, PartialEq)]
pub enum V {
    /// NULL.
    Null,
    /// boolean
    Bool(bool),
    /// integer
    Int(i64),
    /// bigint
    Big(i64),
    /// numeric
    Decimal(BigDecimal),
    /// double precision
    Double(f64),
    /// text
    Text(String),
    /// An array, or a JSON array.
    List(Vec<V>),
    /// A JSON object; numbers in JSON are numerics.
    Object(Vec<(String, V)>),
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Division by zero, overflow: what an engine must report too.
    Evaluation(&'static str),
    /// A key is taken, or NULL stands where it must not.
    Constraint,
    /// Equal rows stand under two windows: which row of the one is which of the other is nowhere said.
    Ambiguous,
    /// The evaluator does not know this SQL.
    Unsupported(String),
}

impl V {
    /// The engine's value, read by its column's kind where the class does not tell it.
    pub fn from_engine(value: &Value, data_type: &DataType) -> Self {
        match value {
            Value::Boolean(b) => Self::Bool(*b),
            Value::Integer(n) if *data_type == DataType::Bigint => Self::Big(*n),
            Value::Integer(n) => Self::Int(*n),
            Value::Double(x) => Self::Double(x.get()),
            Value::Numeric(n) => Self::Decimal(n.as_decimal().clone()),
            Value::Null => Self::Null,
            Value::Json(json) => Self::from_json(json),
            Value::Array(items) => {
                let item_type = match data_type {
                    DataType::Array(item_type) => item_type,
                    other => other,
                };
                Self::List(items.iter().map(|item| Self::from_engine(item, item_type)).collect())
            }
            other => Self::Text(deltaic_types::text_format::to_text(other)),
        }
    }

    fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::String(text) => Self::Text(text.to_string()),
            Json::Number(n) => Self::Decimal(n.as_decimal().clone()),
            Json::Boolean(b) => Self::Bool(*b),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(members) => {
                let members = members.iter().map(|(key, item)| (key.to_string(), Self::from_json(item)));
                Self::Object(members.collect())
            }
        }
    }

    /// The value as it stands in JSON.
    #[must_use]
    pub fn to_json(&self) -> Self {
        match self {
            Self::Int(n) | Self::Big(n) => Self::Decimal(BigDecimal::from(*n)),
            Self::Double(x) if x.is_finite() => {
                Self::Decimal(BigDecimal::from_str(&format!("{x:e}")).unwrap_or_default())
            }
            Self::Double(x) if x.is_nan() => Self::Text("NaN".to_owned()),
            Self::Double(x) => Self::Text(if *x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()),
            other => other.clone(),
        }
    }

    /// A text that equal values share and others do not, for grouping and sorting.
    pub fn canonical(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(b) => format!("b{b}"),
            Self::Int(n) | Self::Big(n) => format!("n{n}"),
            Self::Decimal(d) => format!("n{}", d.normalized().to_plain_string()),
            Self::Double(x) if x.is_nan() => "nNaN".to_owned(),
            Self::Double(x) => format!("f{:?}", x + 0.0),
            Self::Text(text) => format!("t{text}"),
            Self::List(items) => format!("{:?}", items.iter().map(Self::canonical).collect::<Vec<_>>()),
            other @ Self::Object(_) => format!("{other:?}"),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Int(_) | Self::Big(_) => 1,
            Self::Decimal(_) => 2,
            Self::Double(_) => 3,
            Self::Bool(_) => 4,
            Self::Text(_) => 5,
            Self::List(_) => 6,
            Self::Object(_) => 7,
        }
    }

    /// Both operands as the wider of their kinds.
    pub fn unify(a: &Self, b: &Self) -> (Self, Self) {
        let rank = a.rank().max(b.rank());
        (a.widen(rank), b.widen(rank))
    }

    fn widen(&self, rank: u8) -> Self {
        match (self, rank) {
            (Self::Int(n) | Self::Big(n), 2) => Self::Decimal(BigDecimal::from(*n)),
            (Self::Int(n) | Self::Big(n), 3) => Self::Double(*n as f64),
            (Self::Decimal(d), 3) => {
                Self::Double(f64::from_str(&d.to_scientific_notation()).unwrap_or(f64::NAN))
            }
            _ => self.clone(),
        }
    }

    /// The order of two values that are not NULL.
    pub fn order(a: &Self, b: &Self) -> Ordering {
        match Self::unify(a, b) {
            (Self::Int(a) | Self::Big(a), Self::Int(b) | Self::Big(b)) => a.cmp(&b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(&b),
            (Self::Double(a), Self::Double(b)) => {
                a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            }
            (Self::Bool(a), Self::Bool(b)) => a.cmp(&b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::List(a), Self::List(b)) => {
                let items = a.iter().zip(&b).map(|(a, b)| Self::order_nulls_last(a, b));
                items.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
            }
            (a @ Self::Object(_), b @ Self::Object(_)) => format!("{a:?}").cmp(&format!("{b:?}")),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    /// The order of two values with NULLs last.
    pub fn order_nulls_last(a: &Self, b: &Self) -> Ordering {
        match (a, b) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Greater,
            (_, Self::Null) => Ordering::Less,
            _ => Self::order(a, b),
        }
    }

    /// An arithmetic operation.
    pub fn arithmetic(a: &Self, op: char, b: &Self) -> Result<Self, Failure> {
        if *a == Self::Null || *b == Self::Null {
            return Ok(Self::Null);
        }
        let big = matches!(a, Self::Big(_)) || matches!(b, Self::Big(_));
        match Self::unify(a, b) {
            (Self::Int(a) | Self::Big(a), Self::Int(b) | Self::Big(b)) => {
                if b == 0 && (op == '/' || op == '%') {
                    return Err(Failure::Evaluation("division by zero"));
                }
                let n = match op {
                    '+' => a.checked_add(b),
                    '-' => a.checked_sub(b),
                    '*' => a.checked_mul(b),
                    '/' => a.checked_div(b),
                    _ => Some(a.wrapping_rem(b)),
                };
                let n = n.ok_or(Failure::Evaluation("out of range"))?;
                if big {
                    return Ok(Self::Big(n));
                }
                i32::try_from(n).map(|n| Self::Int(n.into())).map_err(|_| Failure::Evaluation("out of range"))
            }
            (Self::Decimal(a), Self::Decimal(b)) => {
                if b.is_zero() && (op == '/' || op == '%') {
                    return Err(Failure::Evaluation("division by zero"));
                }
                Ok(Self::Decimal(match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    '/' => a / b,
                    _ => a % b,
                }))
            }
            (Self::Double(a), Self::Double(b)) => {
                if b == 0.0 && op == '/' {
                    return Err(Failure::Evaluation("division by zero"));
                }
                let x = match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    _ => a / b,
                };
                if x.is_infinite() && a.is_finite() && b.is_finite() {
                    return Err(Failure::Evaluation("out of range"));
                }
                Ok(Self::Double(x))
            }
            _ => Err(Failure::Unsupported(format!("{a:?} {op} {b:?}"))),
        }
    }

    /// The value in a column of a kind.
    pub fn assign(self, kind: Kind) -> Result<Self, Failure> {
        let range = || Failure::Evaluation("out of range");
        Ok(match (self, kind) {
            (Self::Null, _) => Self::Null,
            (Self::Int(n) | Self::Big(n), Kind::Int) => {
                Self::Int(i32::try_from(n).map_err(|_| range())?.into())
            }
            (Self::Int(n) | Self::Big(n), Kind::Big) => Self::Big(n),
            (Self::Decimal(d), Kind::Int | Kind::Big) => {
                let n = d.with_scale_round(0, RoundingMode::HalfUp).to_i64().ok_or_else(range)?;
                return Self::Big(n).assign(kind);
            }
            (value @ (Self::Int(_) | Self::Big(_)), Kind::Decimal) => value.widen(2),
            (value @ (Self::Int(_) | Self::Big(_) | Self::Decimal(_)), Kind::Double) => value.widen(3),
            (value, _) => value,
        })
    }

    /// Whether two results are the same but for the last digits of quotients and sums of doubles.
    pub fn is_close(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => {
                a.to_bits() == b.to_bits()
                    || (a.is_nan() && b.is_nan())
                    || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
            }
            (Self::Decimal(a), Self::Decimal(b)) => {
                let scale = BigDecimal::from(1).max(a.abs());
                (a - b).abs() <= scale * BigDecimal::from_str("1e-12").unwrap_or_default()
            }
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_close(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                let same = |((a, x), (b, y)): (&(String, Self), &(String, Self))| a == b && x.is_close(y);
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (a, b) => a == b,
        }
    }
}

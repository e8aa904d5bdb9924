//! [`Value`]: one SQL value in 16 bytes.
//!
//! Invariant: equal values have one representation (no `-0.0`, one NaN, numerics without trailing zeros),
//! and one order, equality and hash serves filters, joins, groups, DISTINCT and sorting. In that order NULL
//! equals itself and comes last, and NaN is the greatest number; the three-valued `=` of SQL is built above
//! it by expressions.

use std::{cmp::Ordering, fmt, hash};

use triomphe::Arc;
use uuid::Uuid;

use crate::{Interval, Json, Numeric, Text};

/// A double without `-0.0` and with one NaN, ordered totally: NaN equals itself and is the greatest.
#[derive(Debug, Clone, Copy)]
pub struct Double(f64);

impl Double {
    /// Takes a double in its canonical form.
    pub fn new(x: f64) -> Self {
        // Adding zero turns -0.0 into 0.0 and leaves every other number alone.
        Self(if x.is_nan() { f64::NAN } else { x + 0.0 })
    }

    /// The double.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Double {}

impl Ord for Double {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or_else(|| self.0.is_nan().cmp(&other.0.is_nan()))
    }
}

impl PartialOrd for Double {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One SQL value. The type says how a value of a class is to be read: all whole number types are
/// [`Value::Integer`], and a timestamp with time zone is an instant.
#[derive(Clone)]
pub enum Value {
    /// TRUE or FALSE.
    Boolean(bool),
    /// `smallint`, `integer`, `bigint`.
    Integer(i64),
    /// `double precision`.
    Double(Double),
    /// `numeric`.
    Numeric(Arc<Numeric>),
    /// `text`.
    Text(Text),
    /// `uuid`.
    Uuid(Arc<Uuid>),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `timestamptz`: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// `interval`.
    Interval(Arc<Interval>),
    /// `jsonb`.
    Json(Arc<Json>),
    /// An array of values of one type, any of which may be NULL.
    Array(Arc<Vec<Value>>),
    /// NULL of any type.
    Null,
}

impl Value {
    /// A double in its canonical form.
    pub fn double(x: f64) -> Self {
        Self::Double(Double::new(x))
    }

    /// A numeric.
    pub fn numeric(n: Numeric) -> Self {
        Self::Numeric(Arc::new(n))
    }

    /// An array.
    pub fn array(items: Vec<Self>) -> Self {
        Self::Array(Arc::new(items))
    }

    /// A JSON value.
    pub fn json(json: Json) -> Self {
        Self::Json(Arc::new(json))
    }

    /// A uuid.
    pub fn uuid(uuid: Uuid) -> Self {
        Self::Uuid(Arc::new(uuid))
    }

    /// An interval.
    pub fn interval(interval: Interval) -> Self {
        Self::Interval(Arc::new(interval))
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, or None for NULL and other classes.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(b) = self { Some(*b) } else { None }
    }

    /// The whole number, or None for NULL and other classes.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(n) = self { Some(*n) } else { None }
    }

    /// The string, or None for NULL and other classes.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text.as_str()) } else { None }
    }

    /// Bytes held outside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Boolean(_)
            | Self::Integer(_)
            | Self::Double(_)
            | Self::Date(_)
            | Self::Timestamp(_)
            | Self::Null => 0,
            Self::Numeric(n) => 8 + n.heap_bytes(),
            Self::Text(text) => text.heap_bytes(),
            Self::Uuid(_) => 24,
            Self::Interval(_) => 24,
            Self::Json(json) => 8 + json.heap_bytes(),
            Self::Array(items) => {
                32 + items.iter().map(|item| size_of::<Self>() + item.heap_bytes()).sum::<usize>()
            }
        }
    }

    /// The place of the value's class in the total order; numbers are one class.
    fn class(&self) -> u8 {
        match self {
            Self::Boolean(_) => 0,
            Self::Integer(_) | Self::Double(_) | Self::Numeric(_) => 1,
            Self::Text(_) => 2,
            Self::Uuid(_) => 3,
            Self::Date(_) => 4,
            Self::Timestamp(_) => 5,
            Self::Interval(_) => 6,
            Self::Json(_) => 7,
            Self::Array(_) => 8,
            Self::Null => 9,
        }
    }
}

/// Compares a whole number with a double exactly: no rounding of either.
fn integer_double(n: i64, x: f64) -> Ordering {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if x.is_nan() || x >= TWO_63 {
        Ordering::Less
    } else if x < -TWO_63 {
        Ordering::Greater
    } else {
        let whole = x.trunc();
        n.cmp(&(whole as i64)).then_with(|| 0.0_f64.total_cmp(&(x - whole + 0.0)))
    }
}

/// Compares a numeric with a double exactly.
fn numeric_double(n: &Numeric, x: f64) -> Ordering {
    match bigdecimal::BigDecimal::try_from(x) {
        Ok(exact) => n.as_decimal().cmp(&exact),
        Err(_) if x == f64::NEG_INFINITY => Ordering::Greater,
        Err(_) => Ordering::Less,
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Double(a), Self::Double(b)) => a.cmp(b),
            (Self::Numeric(a), Self::Numeric(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Interval(a), Self::Interval(b)) => a.cmp(b),
            (Self::Json(a), Self::Json(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Integer(a), Self::Double(b)) => integer_double(*a, b.get()),
            (Self::Double(a), Self::Integer(b)) => integer_double(*b, a.get()).reverse(),
            (Self::Integer(a), Self::Numeric(b)) => Numeric::from(*a).cmp(b),
            (Self::Numeric(a), Self::Integer(b)) => (**a).cmp(&Numeric::from(*b)),
            (Self::Numeric(a), Self::Double(b)) => numeric_double(a, b.get()),
            (Self::Double(a), Self::Numeric(b)) => numeric_double(b, a.get()).reverse(),
            _ => self.class().cmp(&other.class()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Value {}

impl hash::Hash for Value {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Boolean(b) => b.hash(state),
            Self::Integer(n) => n.hash(state),
            // Numbers that are equal across types hash alike: whole ones as integers, others as doubles.
            Self::Double(x) => hash_double(x.get(), state),
            Self::Numeric(n) => match n.to_i64_exact() {
                Some(n) => n.hash(state),
                None => n.to_f64().to_bits().hash(state),
            },
            Self::Text(text) => text.hash(state),
            Self::Uuid(uuid) => uuid.hash(state),
            Self::Date(days) => days.hash(state),
            Self::Timestamp(micros) => micros.hash(state),
            Self::Interval(interval) => interval.hash(state),
            Self::Json(json) => json.hash(state),
            Self::Array(items) => items.hash(state),
            Self::Null => 0xff_u8.hash(state),
        }
    }
}

fn hash_double<H: hash::Hasher>(x: f64, state: &mut H) {
    let whole = x as i64;
    if integer_double(whole, x) == Ordering::Equal {
        hash::Hash::hash(&whole, state);
    } else {
        hash::Hash::hash(&x.to_bits(), state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(b) => b.fmt(f),
            Self::Integer(n) => n.fmt(f),
            Self::Double(x) => write!(f, "{:?}::double", x.get()),
            Self::Numeric(n) => write!(f, "{n}::numeric"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Uuid(uuid) => write!(f, "'{uuid}'::uuid"),
            Self::Date(_) => write!(f, "'{}'::date", crate::text_format::to_text(self)),
            Self::Timestamp(_) => write!(f, "'{}'::timestamptz", crate::text_format::to_text(self)),
            Self::Interval(_) => write!(f, "'{}'::interval", crate::text_format::to_text(self)),
            Self::Json(json) => write!(f, "'{}'::jsonb", json.to_string().replace('\'', "''")),
            Self::Array(items) => {
                f.write_str("ARRAY")?;
                f.debug_list().entries(items.iter()).finish()
            }
            Self::Null => f.write_str("NULL"),
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Boolean(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Integer(n)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::double(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Text::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Text::from(text))
    }
}

impl From<Numeric> for Value {
    fn from(n: Numeric) -> Self {
        Self::numeric(n)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::number;

    #[test]
    fn a_value_is_sixteen_bytes() {
        assert_eq!(size_of::<Value>(), 16);
        assert_eq!(size_of::<Option<Value>>(), 16);
    }

    #[test]
    fn whole_numbers_and_doubles_compare_exactly() {
        let big = 9_007_199_254_740_993_i64; // 2^53 + 1 is no double
        assert!(Value::Integer(big) > Value::double(9_007_199_254_740_992.0));
        assert!(Value::Integer(i64::MAX) < Value::double(9.3e18));
        assert!(Value::Integer(-1) < Value::double(-0.5));
        assert_eq!(Value::Integer(1), Value::double(1.0));
        assert_eq!(Value::double(0.0), Value::double(-0.0));
        assert!(Value::double(f64::NAN) > Value::double(f64::INFINITY));
        assert_eq!(Value::double(f64::NAN), Value::double(-f64::NAN));
    }

    proptest! {
        #[test]
        fn numbers_are_totally_ordered_and_equal_ones_hash_alike(a in number(), b in number(), c in number()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            if a <= b && b <= c {
                prop_assert!(a <= c, "{:?} {:?} {:?}", a, b, c);
            }
            if a == b {
                let hasher = BuildHasherDefault::<DefaultHasher>::default();
                prop_assert_eq!(hasher.hash_one(&a), hasher.hash_one(&b));
            }
        }
    }
}

//! [`Scalar`]: a compiled expression over a tuple of rows, with a name that stands for its meaning.
//!
//! Invariant: two scalars with equal names compute the same function. The name is what hash-consing compares
//! and what drawings of a circuit show, so whoever makes a scalar writes the whole expression, types of casts
//! included, into it. Evaluation is pure: the same rows give the same value or the same error.

use std::{cmp::Ordering, fmt, hash, sync::Arc};

use deltaic_types::{EvalError, Row, Value};

/// The function of a scalar: from a tuple of rows (one handle an input) to a value.
pub type Function = dyn Fn(&[Row]) -> Result<Value, EvalError> + Send + Sync;

/// A compiled expression.
///
/// ```
/// use deltaic_dataflow::Scalar;
/// use deltaic_types::{Row, Value};
/// let double = Scalar::function("#0.1 * 2", |rows| {
///     Ok(rows[0][1].as_i64().map_or(Value::Null, |n| Value::Integer(n * 2)))
/// });
/// let row = Row::from_iter([Value::Null, Value::Integer(21)]);
/// assert_eq!(double.eval(&[row]).unwrap(), Value::Integer(42));
/// ```
#[derive(Clone)]
pub struct Scalar {
    name: Arc<str>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Column { input: usize, column: usize },
    Constant(Value),
    Comparison(Comparison),
    Function(Arc<Function>),
}

/// What a column is compared with.
#[derive(Debug, Clone)]
pub enum Comparand {
    /// The value at a column of the tuple's row at an input.
    Column {
        /// The input.
        input: usize,
        /// The column.
        column: usize,
    },
    /// A value.
    Constant(Value),
}

/// A column compared: flat, so that a condition of a filter costs neither a call nor a value.
#[derive(Clone)]
struct Comparison {
    input: usize,
    column: usize,
    other: Comparand,
    /// Whether less, equal and greater are TRUE.
    truths: [bool; 3],
}

impl Comparison {
    /// The truth; unknown where either side is NULL.
    fn truth(&self, rows: &[Row]) -> Option<bool> {
        let left = &rows[self.input][self.column];
        let right = match &self.other {
            Comparand::Column { input, column } => &rows[*input][*column],
            Comparand::Constant(value) => value,
        };
        let order = match (left, right) {
            (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
            (Value::Null, _) | (_, Value::Null) => return None,
            (a, b) => a.cmp(b),
        };
        Some(match order {
            Ordering::Less => self.truths[0],
            Ordering::Equal => self.truths[1],
            Ordering::Greater => self.truths[2],
        })
    }
}

impl Scalar {
    /// The value at `column` of the tuple's row at `input`.
    pub fn column(input: usize, column: usize) -> Self {
        Self { name: format!("#{input}.{column}").into(), kind: Kind::Column { input, column } }
    }

    /// A value that depends on nothing.
    pub fn constant(value: Value) -> Self {
        Self { name: format!("{value:?}").into(), kind: Kind::Constant(value) }
    }

    /// Whether a column stands to another value as `test` wants: TRUE or FALSE, or NULL where either is NULL.
    ///
    /// ```
    /// use std::cmp::Ordering;
    /// use deltaic_dataflow::{Comparand, Scalar};
    /// use deltaic_types::{Row, Value};
    /// let constant = Comparand::Constant(Value::Integer(3));
    /// let small = Scalar::comparison("#0.0 < 3", (0, 0), Ordering::is_lt, constant);
    /// assert_eq!(small.eval(&[Row::from_iter([Value::Integer(2)])]).unwrap(), Value::Boolean(true));
    /// assert_eq!(small.eval(&[Row::from_iter([Value::Null])]).unwrap(), Value::Null);
    /// ```
    pub fn comparison(
        name: impl Into<Arc<str>>,
        (input, column): (usize, usize),
        test: impl Fn(Ordering) -> bool,
        other: Comparand,
    ) -> Self {
        let truths = [Ordering::Less, Ordering::Equal, Ordering::Greater].map(test);
        Self { name: name.into(), kind: Kind::Comparison(Comparison { input, column, other, truths }) }
    }

    /// A function under a name that says all of it.
    pub fn function(
        name: impl Into<Arc<str>>,
        function: impl Fn(&[Row]) -> Result<Value, EvalError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), kind: Kind::Function(Arc::new(function)) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The input and column, where the scalar is a column and nothing more.
    pub fn as_column(&self) -> Option<(usize, usize)> {
        if let Kind::Column { input, column } = self.kind { Some((input, column)) } else { None }
    }

    /// The value, where the scalar is a constant.
    pub fn as_constant(&self) -> Option<&Value> {
        if let Kind::Constant(value) = &self.kind { Some(value) } else { None }
    }

    /// Evaluates on a tuple. Cost: the expression's own; a column costs a clone of the value.
    pub fn eval(&self, rows: &[Row]) -> Result<Value, EvalError> {
        match &self.kind {
            Kind::Column { input, column } => Ok(rows[*input][*column].clone()),
            Kind::Constant(value) => Ok(value.clone()),
            Kind::Comparison(comparison) => Ok(comparison.truth(rows).map_or(Value::Null, Value::Boolean)),
            Kind::Function(function) => function(rows),
        }
    }

    /// Whether the tuple satisfies the scalar as a condition: TRUE, and neither FALSE nor NULL.
    pub fn holds(&self, rows: &[Row]) -> Result<bool, EvalError> {
        match &self.kind {
            Kind::Comparison(comparison) => Ok(comparison.truth(rows) == Some(true)),
            _ => Ok(matches!(self.eval(rows)?, Value::Boolean(true))),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl hash::Hash for Scalar {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

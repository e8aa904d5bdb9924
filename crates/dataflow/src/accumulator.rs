//! [`Accumulator`]: the state of one aggregate function in one group, under insertion and retraction.
//!
//! Invariant: the value read depends only on the multiset of arguments that are in, not on how they came or
//! on what came and went. Sums of integers are kept in 128 bits, of numerics in full, of doubles exactly; the
//! extremes keep every value.

use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use deltaic_types::{EvalError, Numeric, Value};

use crate::{cow_tree::CowTree, exact_sum::ExactSum, zset::Weight};

/// The aggregate functions, resolved for the type of their argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AggregateFunction {
    /// Rows, or rows whose argument is not NULL.
    Count,
    /// Sum of smallints or integers: a bigint.
    SumInteger,
    /// Sum of bigints: a numeric.
    SumBigint,
    /// Sum of numerics.
    SumNumeric,
    /// Sum of doubles.
    SumDouble,
    /// Mean of whole numbers: a numeric.
    AvgInteger,
    /// Mean of numerics.
    AvgNumeric,
    /// Mean of doubles.
    AvgDouble,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Whether all are TRUE.
    BoolAnd,
    /// Whether any is TRUE.
    BoolOr,
}

impl AggregateFunction {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::SumInteger | Self::SumBigint | Self::SumNumeric | Self::SumDouble => "sum",
            Self::AvgInteger | Self::AvgNumeric | Self::AvgDouble => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::BoolAnd => "bool_and",
            Self::BoolOr => "bool_or",
        }
    }
}

/// Values with their multiplicities, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Multiset(CowTree<(Value, Weight)>);

impl Multiset {
    /// Adds a weight to a value and gives the weights before and after.
    pub(crate) fn add(&mut self, value: &Value, weight: Weight) -> (Weight, Weight) {
        let sum = std::cell::Cell::new((0, weight));
        self.0.update(
            |(element, _)| element.cmp(value),
            |(_, present)| {
                let before = *present;
                *present += weight;
                sum.set((before, *present));
                *present != 0
            },
            || (weight != 0).then(|| (value.clone(), weight)),
        );
        sum.get()
    }

    fn least(&self) -> Option<&Value> {
        self.0.iter().next().map(|(value, _)| value)
    }

    fn greatest(&self) -> Option<&Value> {
        self.0.last().map(|(value, _)| value)
    }
}

/// The state of an aggregate function.
#[derive(Debug, Clone)]
pub(crate) enum Accumulator {
    Count(Weight),
    Integer { sum: i128, count: Weight },
    Numeric { sum: BigDecimal, count: Weight },
    Double { sum: ExactSum, count: Weight },
    Values(Multiset),
    Boolean { trues: Weight, falses: Weight },
}

impl Accumulator {
    pub(crate) fn new(function: AggregateFunction) -> Self {
        use AggregateFunction as F;
        match function {
            F::Count => Self::Count(0),
            F::SumInteger | F::SumBigint | F::AvgInteger => Self::Integer { sum: 0, count: 0 },
            F::SumNumeric | F::AvgNumeric => Self::Numeric { sum: BigDecimal::from(0), count: 0 },
            F::SumDouble | F::AvgDouble => Self::Double { sum: ExactSum::default(), count: 0 },
            F::Min | F::Max => Self::Values(Multiset::default()),
            F::BoolAnd | F::BoolOr => Self::Boolean { trues: 0, falses: 0 },
        }
    }

    /// Adds an argument, which is not NULL, `weight` times.
    pub(crate) fn add(&mut self, value: &Value, weight: Weight) {
        match (self, value) {
            (Self::Count(count), _) => *count += weight,
            (Self::Integer { sum, count }, Value::Integer(n)) => {
                *sum += i128::from(*n) * i128::from(weight);
                *count += weight;
            }
            (Self::Numeric { sum, count }, Value::Numeric(n)) => {
                *sum += n.as_decimal() * BigDecimal::from(weight);
                *count += weight;
            }
            (Self::Double { sum, count }, Value::Double(x)) => {
                sum.add(x.get(), weight);
                *count += weight;
            }
            (Self::Values(values), value) => {
                values.add(value, weight);
            }
            (Self::Boolean { trues, .. }, Value::Boolean(true)) => *trues += weight,
            (Self::Boolean { falses, .. }, Value::Boolean(false)) => *falses += weight,
            (state, value) => {
                unreachable!("invariant: arguments have the function's type: {state:?} {value:?}")
            }
        }
    }

    /// The value of the function.
    pub(crate) fn value(&self, function: AggregateFunction) -> Result<Value, EvalError> {
        use AggregateFunction as F;
        Ok(match (self, function) {
            (Self::Count(count), _) => Value::Integer(*count),
            (
                Self::Integer { count: 0, .. }
                | Self::Numeric { count: 0, .. }
                | Self::Double { count: 0, .. },
                _,
            ) => Value::Null,
            (Self::Integer { sum, .. }, F::SumInteger) => Value::Integer(
                i64::try_from(*sum).map_err(|_| EvalError::IntegerOutOfRange { type_name: "bigint" })?,
            ),
            (Self::Integer { sum, count }, F::AvgInteger) => {
                Value::numeric(Numeric::from(*sum).div(&Numeric::from(*count))?)
            }
            (Self::Integer { sum, .. }, _) => Value::numeric(Numeric::from(*sum)),
            (Self::Numeric { sum, count }, F::AvgNumeric) => {
                Value::numeric(Numeric::new(sum)?.div(&Numeric::from(*count))?)
            }
            (Self::Numeric { sum, .. }, _) => Value::numeric(Numeric::new(sum)?),
            (Self::Double { sum, count }, F::AvgDouble) => finite(sum.value() / *count as f64, sum)?,
            (Self::Double { sum, .. }, _) => finite(sum.value(), sum)?,
            (Self::Values(values), F::Min) => values.least().cloned().unwrap_or(Value::Null),
            (Self::Values(values), _) => values.greatest().cloned().unwrap_or(Value::Null),
            (Self::Boolean { trues: 0, falses: 0 }, _) => Value::Null,
            (Self::Boolean { falses, .. }, F::BoolAnd) => Value::Boolean(*falses == 0),
            (Self::Boolean { trues, .. }, _) => Value::Boolean(*trues != 0),
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Double { sum, .. } => sum.heap_bytes(),
            Self::Values(values) => {
                values.0.iter().map(|(value, _)| size_of::<(Value, Weight)>() + value.heap_bytes()).sum()
            }
            Self::Numeric { .. } => 32,
            Self::Count(_) | Self::Integer { .. } | Self::Boolean { .. } => 0,
        }
    }
}

/// A sum of finite numbers that leaves the doubles is out of range, as in PostgreSQL; infinities that were
/// put in are not.
fn finite(value: f64, sum: &ExactSum) -> Result<Value, EvalError> {
    if value.is_infinite() && !sum.has_infinity() {
        return Err(EvalError::DoubleOutOfRange);
    }
    Ok(Value::double(value))
}

/// An accumulator that counts equal arguments once, where that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Argument {
    state: Accumulator,
    distinct: Option<Multiset>,
}

impl Argument {
    pub(crate) fn new(function: AggregateFunction, distinct: bool) -> Self {
        Self { state: Accumulator::new(function), distinct: distinct.then(Multiset::default) }
    }

    pub(crate) fn add(&mut self, value: &Value, weight: Weight) {
        match &mut self.distinct {
            None => self.state.add(value, weight),
            Some(values) => {
                let (before, after) = values.add(value, weight);
                match (before.cmp(&0), after.cmp(&0)) {
                    (Ordering::Greater, Ordering::Less | Ordering::Equal) => self.state.add(value, -1),
                    (Ordering::Less | Ordering::Equal, Ordering::Greater) => self.state.add(value, 1),
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn value(&self, function: AggregateFunction) -> Result<Value, EvalError> {
        self.state.value(function)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.state.heap_bytes()
            + self.distinct.as_ref().map_or(0, |values| values.0.len() * size_of::<(Value, Weight)>())
    }
}

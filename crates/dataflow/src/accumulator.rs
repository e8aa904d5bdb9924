//! [`Accumulator`]: the state of one aggregate function in one group, under insertion and retraction.
//!
//! Invariant: the value read depends only on the multiset of arguments that are in, not on how they came or
//! on what came and went. Sums of integers are kept in 128 bits, of numerics in full, of doubles exactly; the
//! extremes and all that depends on an order keep every value. Here are the simple functions and the way to
//! the others: [`crate::collection`], [`crate::statistics`], [`crate::order_statistic`].

use std::cmp::Ordering;

use bigdecimal::BigDecimal;
use deltaic_types::{EvalError, Numeric, Row, Value};

use crate::{
    aggregate::AggregateCall,
    collection::{Collection, Gathering},
    cow_tree::CowTree,
    exact_sum::ExactSum,
    order_statistic::{Rank, Ranked},
    statistics::{Bits, Bitwise, Dispersion, Moments},
    zset::Weight,
};

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
    /// Bits of integers.
    Bits(Bitwise),
    /// Variances and standard deviations.
    Dispersion(Dispersion),
    /// Everything in an order.
    Gather(Gathering),
    /// A value at a place in the order.
    Rank(Rank),
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
            Self::Bits(Bitwise::And) => "bit_and",
            Self::Bits(Bitwise::Or) => "bit_or",
            Self::Bits(Bitwise::Xor) => "bit_xor",
            Self::Dispersion(dispersion) => dispersion.name(),
            Self::Gather(gathering) => gathering.name(),
            Self::Rank(rank) => rank.name(),
        }
    }

    /// How many of a call's arguments are its own; what follows only its order uses.
    pub fn arity(self) -> usize {
        match self {
            Self::Gather(Gathering::Text | Gathering::JsonObject) => 2,
            _ => 1,
        }
    }

    /// Whether its state is of whole rows of arguments, and not of one value each.
    fn takes_rows(self) -> bool {
        matches!(self, Self::Gather(_) | Self::Rank(_))
    }
}

impl AggregateCall {
    /// What a row brings to the call. NULLs bring nothing, but where they are collected.
    pub(crate) fn brought(&self, tuple: &[Row]) -> Result<Brought, EvalError> {
        if let Some(filter) = &self.filter
            && !filter.holds(tuple)?
        {
            return Ok(Brought::Nothing);
        }
        let row = || self.arguments.iter().map(|argument| argument.eval(tuple)).collect::<Result<Row, _>>();
        let brought = match self.arguments.first() {
            None => return Ok(Brought::Value(Value::Null)),
            // All is evaluated, also where a NULL keeps the row out: what fails there fails.
            Some(_) if self.function.takes_rows() => Brought::Row(row()?),
            Some(argument) => Brought::Value(argument.eval(tuple)?),
        };
        let is_null = match &brought {
            Brought::Row(row) => row[0].is_null(),
            Brought::Value(value) => value.is_null(),
            Brought::Nothing => false,
        };
        let kept = match self.function {
            AggregateFunction::Gather(gathering) if is_null => gathering.keeps_null()?,
            _ => !is_null,
        };
        Ok(if kept { brought } else { Brought::Nothing })
    }
}

/// What a row brings to a function.
#[derive(Debug, Clone)]
pub(crate) enum Brought {
    /// A filter or a NULL keeps it out.
    Nothing,
    /// Its one argument; anything, where rows are counted.
    Value(Value),
    /// Its arguments and what they are ordered by.
    Row(Row),
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
    Bits(Box<Bits>),
    Moments(Box<Moments>),
    Collection(Collection),
    Ranked(Ranked),
}

impl Accumulator {
    pub(crate) fn new(call: &AggregateCall) -> Self {
        use AggregateFunction as F;
        match call.function {
            F::Count => Self::Count(0),
            F::SumInteger | F::SumBigint | F::AvgInteger => Self::Integer { sum: 0, count: 0 },
            F::SumNumeric | F::AvgNumeric => Self::Numeric { sum: BigDecimal::from(0), count: 0 },
            F::SumDouble | F::AvgDouble => Self::Double { sum: ExactSum::default(), count: 0 },
            F::Min | F::Max => Self::Values(Multiset::default()),
            F::BoolAnd | F::BoolOr => Self::Boolean { trues: 0, falses: 0 },
            F::Bits(_) => Self::Bits(Box::new(Bits::new())),
            F::Dispersion(dispersion) => Self::Moments(Box::new(Moments::new(dispersion.double))),
            F::Gather(_) => Self::Collection(Collection::new(&call.order, call.distinct)),
            F::Rank(_) => Self::Ranked(Ranked::new(&call.order)),
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
            (Self::Bits(bits), value) => bits.add(value, weight),
            (Self::Moments(moments), value) => moments.add(value, weight),
            (state, value) => {
                unreachable!("invariant: arguments have the function's type: {state:?} {value:?}")
            }
        }
    }

    /// Adds a row of arguments `weight` times.
    fn add_row(&mut self, row: &Row, weight: Weight) {
        match self {
            Self::Collection(collection) => collection.add(row, weight),
            Self::Ranked(ranked) => ranked.add(row, weight),
            state => unreachable!("invariant: rows come to what takes rows: {state:?}"),
        }
    }

    /// The value of the function; `direct` is the argument that is not of the rows.
    fn value(&self, function: AggregateFunction, direct: &Value) -> Result<Value, EvalError> {
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
            (Self::Bits(bits), F::Bits(function)) => bits.value(function),
            (Self::Moments(moments), F::Dispersion(dispersion)) => moments.value(dispersion)?,
            (Self::Collection(collection), F::Gather(gathering)) => collection.value(gathering)?,
            (Self::Ranked(ranked), F::Rank(rank)) => ranked.value(rank, direct)?,
            (Self::Values(values), F::Min) => values.least().cloned().unwrap_or(Value::Null),
            (Self::Values(values), _) => values.greatest().cloned().unwrap_or(Value::Null),
            (Self::Boolean { trues: 0, falses: 0 }, _) => Value::Null,
            (Self::Boolean { falses, .. }, F::BoolAnd) => Value::Boolean(*falses == 0),
            (Self::Boolean { trues, .. }, _) => Value::Boolean(*trues != 0),
            (state, function) => unreachable!("invariant: a state is its function's: {state:?} {function:?}"),
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Double { sum, .. } => sum.heap_bytes(),
            Self::Values(values) => {
                values.0.iter().map(|(value, _)| size_of::<(Value, Weight)>() + value.heap_bytes()).sum()
            }
            Self::Numeric { .. } => 32,
            Self::Bits(_) => size_of::<Bits>(),
            Self::Moments(moments) => moments.heap_bytes(),
            Self::Collection(collection) => collection.heap_bytes(),
            Self::Ranked(ranked) => ranked.heap_bytes(),
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
    pub(crate) fn new(call: &AggregateCall) -> Self {
        // A collection of rows knows itself which are equal.
        let distinct = (call.distinct && !call.function.takes_rows()).then(Multiset::default);
        Self { state: Accumulator::new(call), distinct }
    }

    pub(crate) fn add(&mut self, brought: &Brought, weight: Weight) {
        let value = match brought {
            Brought::Nothing => return,
            Brought::Row(row) => return self.state.add_row(row, weight),
            Brought::Value(value) => value,
        };
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

    /// The value of the call in the group of a key.
    pub(crate) fn value(&self, call: &AggregateCall, key: &Row) -> Result<Value, EvalError> {
        let direct = match &call.direct {
            None => Value::Null,
            Some(direct) => direct.eval(std::slice::from_ref(key))?,
        };
        self.state.value(call.function, &direct)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.state.heap_bytes()
            + self.distinct.as_ref().map_or(0, |values| values.0.len() * size_of::<(Value, Weight)>())
    }
}

#[cfg(test)]
mod tests;

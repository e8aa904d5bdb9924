//! [`Window`]: each row with what window functions give for its place in its partition.
//!
//! `dW = Σ_{p touched} W(z'_p) - W(z_p)`, where `W` gives the rows of a partition `z_p` their values.
//!
//! State: the input's integral, ordered by the template's parameters, the partition and the order. Invariant:
//! what a partition gives out is a function of its rows alone; an order that does not decide is completed by
//! the whole row, and equal rows take places of their own. A step evaluates each touched partition before and
//! after, both from snapshots, and gives out the difference: it costs the partition, O(n log n) for aggregates
//! over frames (which slide), and not the change. Where a function fails in a partition, its error stands in
//! place of the partition's rows.

use std::sync::Arc;

use deltaic_types::{EvalError, Row, Value};

use crate::{
    accumulator::{Argument, Brought},
    aggregate::AggregateCall,
    frame::{Frame, Partition},
    index::{Index, KeyColumn},
    operator::NodeId,
    scalar::Scalar,
    zset::{Batch, ErrorRow, Weight},
};

/// Window functions over partitions of one order; the output's columns are the input's, then the calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The input.
    pub input: NodeId,
    /// How many of the input's first columns are the template's parameters, which part the rows first.
    pub prefix: usize,
    /// The columns that are equal within a partition.
    pub partition: Vec<usize>,
    /// The order within a partition.
    pub order: Vec<KeyColumn>,
    /// What is computed for each row.
    pub calls: Vec<WindowCall>,
}

/// A function over a row's window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowCall {
    /// The function.
    pub function: WindowFunction,
    /// The rows around the current one that it looks at, where it looks at a frame.
    pub frame: Frame,
}

/// The functions of a window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowFunction {
    /// One that knows places.
    Positional(Positional, Vec<Scalar>),
    /// An aggregate of the frame. A collection takes the rows in the window's order: behind its arguments it
    /// is given the row's place.
    Aggregate(AggregateCall),
}

/// The functions that know places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Positional {
    /// The number of the row, from 1.
    RowNumber,
    /// The number of the first of the row's peers.
    Rank,
    /// The number of the group of peers.
    DenseRank,
    /// Where the first peer is between 0 and 1.
    PercentRank,
    /// The part of the rows that is not behind the row's peers.
    CumeDist,
    /// Which of so many equal parts the row is in.
    Ntile,
    /// The value in a row before this one, or a default.
    Lag,
    /// The value in a row after this one, or a default.
    Lead,
    /// The value in the frame's first row.
    FirstValue,
    /// The value in the frame's last row.
    LastValue,
    /// The value in one row of the frame.
    NthValue,
}

impl Positional {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::RowNumber => "row_number",
            Self::Rank => "rank",
            Self::DenseRank => "dense_rank",
            Self::PercentRank => "percent_rank",
            Self::CumeDist => "cume_dist",
            Self::Ntile => "ntile",
            Self::Lag => "lag",
            Self::Lead => "lead",
            Self::FirstValue => "first_value",
            Self::LastValue => "last_value",
            Self::NthValue => "nth_value",
        }
    }
}

impl Window {
    /// The columns that part the rows: the parameters, then the partition's.
    fn parting(&self) -> impl Iterator<Item = usize> {
        (0..self.prefix).chain(self.partition.iter().copied())
    }

    pub(crate) fn state(&self) -> Index {
        let key: Arc<[KeyColumn]> =
            self.parting().map(KeyColumn::ascending).chain(self.order.iter().copied()).collect();
        Index::new(key)
    }

    /// The change of the output for a change of the input.
    pub(crate) fn step(&self, state: &mut Index, change: &Batch) -> Batch {
        let before = state.clone();
        let mut touched: Vec<Vec<Value>> = Vec::new();
        for (row, weight) in change.rows.iter() {
            let now = state.add(row, weight);
            assert!(now >= 0, "a row is not retracted more often than it came");
            touched.push(self.parting().map(|column| row[column].clone()).collect());
        }
        touched.sort();
        touched.dedup();
        let mut output = Batch { errors: change.errors.clone(), ..Batch::default() };
        for values in touched {
            self.partition(&before, &values, -1, &mut output);
            self.partition(state, &values, 1, &mut output);
        }
        drop(before);
        state.settle();
        output.consolidated()
    }

    /// All rows of the output, and the errors in place of others.
    pub(crate) fn contents(&self, state: &Index) -> Batch {
        let mut output = Batch::default();
        let mut last: Option<Vec<Value>> = None;
        for (row, _) in state.iter() {
            let is_same =
                |values: &Vec<Value>| self.parting().zip(values).all(|(at, value)| row[at] == *value);
            if !last.as_ref().is_some_and(is_same) {
                let values: Vec<Value> = self.parting().map(|column| row[column].clone()).collect();
                self.partition(state, &values, 1, &mut output);
                last = Some(values);
            }
        }
        output
    }

    /// Adds what a partition gives out with a sign.
    fn partition(&self, index: &Index, values: &[Value], sign: Weight, output: &mut Batch) {
        let rows: Vec<&Row> = index
            .probe(values)
            .flat_map(|(row, weight)| std::iter::repeat_n(row, usize::try_from(weight).unwrap_or(0)))
            .collect();
        if rows.is_empty() {
            return;
        }
        let partition = Partition::new(rows, &self.order);
        let columns: Result<Vec<Vec<Value>>, EvalError> =
            self.calls.iter().map(|call| call.values(&partition)).collect();
        match columns {
            Ok(columns) => {
                for (place, row) in partition.rows().iter().enumerate() {
                    let values = columns.iter().map(|column| column[place].clone());
                    output.rows.push(row.iter().cloned().chain(values).collect(), sign);
                }
            }
            Err(error) => {
                let key = values[..self.prefix].iter().cloned().collect();
                output.errors.push((ErrorRow { key, error }, sign));
            }
        }
    }
}

impl WindowCall {
    /// The function's name in SQL.
    pub fn name(&self) -> &'static str {
        match &self.function {
            WindowFunction::Positional(positional, _) => positional.name(),
            WindowFunction::Aggregate(call) => call.function.name(),
        }
    }

    /// The function's value for each row of a partition.
    fn values(&self, partition: &Partition<'_>) -> Result<Vec<Value>, EvalError> {
        match &self.function {
            WindowFunction::Positional(Positional::Ntile, arguments) => ntile(&arguments[0], partition),
            WindowFunction::Positional(function, arguments) => {
                let of_frame =
                    matches!(function, Positional::FirstValue | Positional::LastValue | Positional::NthValue);
                let frames = if of_frame { self.frame.ranges(partition)? } else { Vec::new() };
                (0..partition.rows().len())
                    .map(|place| {
                        let frame = frames.get(place).cloned().unwrap_or_default();
                        positional(*function, arguments, partition, (place, frame))
                    })
                    .collect()
            }
            WindowFunction::Aggregate(call) => self.aggregate(call, partition),
        }
    }

    /// An aggregate over each row's frame. Frames only move forward, so rows come and go once.
    fn aggregate(&self, call: &AggregateCall, partition: &Partition<'_>) -> Result<Vec<Value>, EvalError> {
        let rows = partition.rows();
        // What a row brings, once it is in a frame: an argument of a row that never is may fail.
        let mut brought: Vec<Option<Brought>> = vec![None; rows.len()];
        let mut state = Argument::new(call);
        let mut values: Vec<Value> = Vec::with_capacity(rows.len());
        let (mut start, mut end) = (0, 0);
        for (place, frame) in self.frame.ranges(partition)?.into_iter().enumerate() {
            let same = (frame.start, frame.end) == (start, end);
            for added in end.max(frame.start)..frame.end {
                let now = brings(call, rows[added], added)?;
                state.add(&now, 1);
                brought[added] = Some(now);
            }
            for removed in brought.iter().take(frame.start.min(end)).skip(start).flatten() {
                state.add(removed, -1);
            }
            (start, end) = (frame.start, frame.end);
            values.push(match values.last() {
                Some(last) if same => last.clone(),
                _ => state.value(call, rows[place])?,
            });
        }
        Ok(values)
    }
}

/// A function of a row's place and of its frame.
fn positional(
    function: Positional,
    arguments: &[Scalar],
    partition: &Partition<'_>,
    (place, frame): (usize, std::ops::Range<usize>),
) -> Result<Value, EvalError> {
    let rows = partition.rows();
    let count = rows.len();
    let at = |argument: usize, place: usize| arguments[argument].eval(std::slice::from_ref(rows[place]));
    let peers = partition.peers(place);
    let value = match function {
        Positional::RowNumber => Value::Integer(place as i64 + 1),
        Positional::Rank => Value::Integer(peers.start as i64 + 1),
        Positional::DenseRank => Value::Integer(partition.group(place) as i64 + 1),
        Positional::PercentRank if count == 1 => Value::double(0.0),
        Positional::PercentRank => Value::double(peers.start as f64 / (count - 1) as f64),
        Positional::CumeDist => Value::double(peers.end as f64 / count as f64),
        Positional::Lag | Positional::Lead => {
            let distance = match arguments.get(1) {
                None => 1,
                Some(_) => match at(1, place)? {
                    Value::Integer(distance) => i128::from(distance),
                    _ => return Ok(Value::Null),
                },
            };
            let wanted = place as i128 + if function == Positional::Lag { -distance } else { distance };
            match usize::try_from(wanted) {
                Ok(wanted) if wanted < count => at(0, wanted)?,
                _ if arguments.len() > 2 => at(2, place)?,
                _ => Value::Null,
            }
        }
        Positional::FirstValue | Positional::LastValue | Positional::NthValue => {
            let wanted = match function {
                Positional::FirstValue => frame.start,
                Positional::LastValue if frame.is_empty() => return Ok(Value::Null),
                Positional::LastValue => frame.end - 1,
                _ => match at(1, place)? {
                    Value::Integer(n) if n <= 0 => {
                        let reason = "the argument must be greater than zero";
                        return Err(EvalError::InvalidArgument { function: "nth_value", reason });
                    }
                    Value::Integer(n) => frame.start.saturating_add(usize::try_from(n - 1).unwrap_or(count)),
                    _ => return Ok(Value::Null),
                },
            };
            if frame.contains(&wanted) { at(0, wanted)? } else { Value::Null }
        }
        Positional::Ntile => unreachable!("invariant: this function takes a partition at once"),
    };
    Ok(value)
}

/// What the row at a place brings to a call.
fn brings(call: &AggregateCall, row: &Row, place: usize) -> Result<Brought, EvalError> {
    Ok(match call.brought(std::slice::from_ref(row))? {
        // The order of a collection is the window's.
        Brought::Row(row) => {
            let place = Value::Integer(place as i64);
            Brought::Row(row.iter().cloned().chain(std::iter::once(place)).collect())
        }
        other => other,
    })
}

/// The number of each row's part, where the partition is cut into so many of equal size, the first ones larger
/// by one where it does not divide.
fn ntile(parts: &Scalar, partition: &Partition<'_>) -> Result<Vec<Value>, EvalError> {
    let rows = partition.rows();
    let parts = match parts.eval(std::slice::from_ref(rows[0]))? {
        Value::Integer(parts) if parts <= 0 => {
            let reason = "the argument must be greater than zero";
            return Err(EvalError::InvalidArgument { function: "ntile", reason });
        }
        Value::Integer(parts) => usize::try_from(parts).unwrap_or(usize::MAX),
        _ => return Ok(vec![Value::Null; rows.len()]),
    };
    let (size, larger) = (rows.len() / parts, rows.len() % parts);
    let part = |place: usize| {
        let in_larger = larger * (size + 1);
        if place < in_larger { place / (size + 1) } else { larger + (place - in_larger) / size.max(1) }
    };
    Ok((0..rows.len()).map(|place| Value::Integer(part(place) as i64 + 1)).collect())
}

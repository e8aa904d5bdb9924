//! [`Ranked`]: the state of aggregates that ask for a place in the order of the values: percentiles, the mode.
//!
//! Invariant: the values that are not NULL stand in order with their multiplicities, so what is read is a
//! function of the multiset. A change costs O(log n). A reading walks over the different values up to the
//! place it asks for, O(n) at worst, since the tree does not count what is below a node.

use deltaic_types::{EvalError, Row, Value};

use crate::{
    index::{Index, KeyColumn},
    zset::Weight,
};

/// What is asked of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// The first value that at least a fraction of the values do not come after.
    Discrete,
    /// The double at a fraction of the way through the doubles, between two of them in proportion.
    Continuous,
    /// The most frequent value, of several the first.
    Mode,
}

impl Rank {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Discrete => "percentile_disc",
            Self::Continuous => "percentile_cont",
            Self::Mode => "mode",
        }
    }
}

/// The values of a group in order.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    rows: Index,
    count: Weight,
}

impl Ranked {
    pub(crate) fn new(order: &[KeyColumn]) -> Self {
        Self { rows: Index::new(order), count: 0 }
    }

    pub(crate) fn add(&mut self, row: &Row, weight: Weight) {
        self.rows.add(row, weight);
        self.count += weight;
    }

    /// The value for a fraction, which the mode does without.
    pub(crate) fn value(&self, rank: Rank, fraction: &Value) -> Result<Value, EvalError> {
        if rank == Rank::Mode {
            let mut best: Option<(&Row, Weight)> = None;
            for (row, weight) in self.rows.iter() {
                if best.is_none_or(|(_, most)| weight > most) {
                    best = Some((row, weight));
                }
            }
            return Ok(best.map_or(Value::Null, |(row, _)| row[0].clone()));
        }
        let fraction = match fraction {
            Value::Double(x) => x.get(),
            Value::Null => return Ok(Value::Null),
            other => unreachable!("invariant: a fraction is a double: {other:?}"),
        };
        if !(0.0..=1.0).contains(&fraction) {
            return Err(EvalError::FractionOutOfRange);
        }
        if self.count <= 0 {
            return Ok(Value::Null);
        }
        if rank == Rank::Discrete {
            let place = (fraction * self.count as f64).ceil() as Weight;
            return Ok(self.at((place - 1).max(0)).cloned().unwrap_or(Value::Null));
        }
        let place = fraction * (self.count - 1) as f64;
        let double = |place: f64| match self.at(place as Weight) {
            Some(Value::Double(x)) => x.get(),
            other => unreachable!("invariant: a place below the count has a double: {other:?}"),
        };
        let first = double(place.floor());
        if place.floor() >= place.ceil() {
            return Ok(Value::double(first));
        }
        let second = double(place.ceil());
        Ok(Value::double(first + (place - place.floor()) * (second - first)))
    }

    /// The value at a place, from 0.
    fn at(&self, place: Weight) -> Option<&Value> {
        let mut passed = 0;
        let mut rows = self.rows.iter();
        rows.find_map(|(row, weight)| {
            passed += weight;
            (passed > place).then(|| &row[0])
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.iter().map(|(row, _)| size_of::<(Row, Weight)>() + row.heap_bytes()).sum()
    }
}

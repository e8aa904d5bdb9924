//! [`Sample`]: how many rows of an index share a key, from a few groups of it.
//!
//! Invariant: a sample is a function of the rows in the index, whatever the order in which they came, so that a plan
//! that it decides is the same wherever the same rows are.

use std::cmp::Ordering;

use deltaic_types::{Row, Value};

use crate::index::Index;

/// The groups that are looked at.
const GROUPS: i64 = 32;

/// The most rows that are counted of a group.
const ROWS: usize = 128;

/// What a few groups of equal keys tell of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The rows of the index.
    pub rows: usize,
    /// The groups that were looked at.
    pub groups: usize,
    /// The rows in these, of a large group so many as are counted.
    pub counted: usize,
    /// The rows of the largest of them.
    pub largest: usize,
}

impl Sample {
    /// The rows that a probe is expected to find: between the mean and the largest group, so that of two equal means
    /// the one without heavy groups is preferred.
    pub fn found(&self) -> f64 {
        let mean = self.counted as f64 / self.groups.max(1) as f64;
        (mean * self.largest as f64).sqrt()
    }
}

impl Index {
    /// Looks at a few groups of rows that share the first columns of the key. O(log n) a group: spread evenly between
    /// the least and the greatest value where these are numbers or times, else the first ones.
    pub fn sample(&self, columns: usize) -> Sample {
        let mut sample = Sample { rows: self.len(), groups: 0, counted: 0, largest: 0 };
        let Some((first, _)) = self.iter().next() else { return sample };
        let column = self.key()[0];
        let ends = (number(&first[column.column]), self.last().and_then(|row| number(&row[column.column])));
        let mut before: Option<Vec<Value>> = None;
        for place in 0..GROUPS {
            let start = match (ends, &before) {
                ((Some(low), Some(high)), _) => {
                    let step = (i128::from(high) - i128::from(low)) * i128::from(place) / i128::from(GROUPS);
                    let wanted = i128::from(low) + step;
                    self.from(|row| match number(&row[column.column]) {
                        Some(found) if i128::from(found) < wanted => Ordering::Less,
                        _ => Ordering::Equal,
                    })
                }
                (_, None) => self.iter(),
                (_, Some(before)) => self.from(|row| match self.compare_prefix(row, before) {
                    Ordering::Greater => Ordering::Equal,
                    _ => Ordering::Less,
                }),
            };
            let mut rows = start.map(|(row, _)| row).peekable();
            let Some(key) = rows.peek().map(|row| self.key_of(row, columns)) else { break };
            if before.as_ref() != Some(&key) {
                let count = rows.take(ROWS).take_while(|row| self.has_prefix(row, &key)).count();
                sample.groups += 1;
                sample.counted += count;
                sample.largest = sample.largest.max(count);
            }
            before = Some(key);
        }
        sample
    }

    fn key_of(&self, row: &Row, columns: usize) -> Vec<Value> {
        self.key()[..columns].iter().map(|column| row[column.column].clone()).collect()
    }
}

/// A value on a scale on which there are values between two.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) | Value::Timestamp(n) => Some(*n),
        Value::Date(days) => Some(i64::from(*days)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::KeyColumn;

    fn index(rows: impl IntoIterator<Item = (i64, i64)>) -> Index {
        let rows =
            rows.into_iter().map(|(k, id)| (Row::from_iter([Value::Integer(k), Value::Integer(id)]), 1));
        Index::of([KeyColumn::ascending(0), KeyColumn::ascending(1)], rows)
    }

    #[test]
    fn unique_keys_and_large_groups_are_told_apart() {
        let unique = index((0..10_000).map(|id| (id, id))).sample(1);
        assert_eq!((unique.rows, unique.largest), (10_000, 1));
        assert!((unique.found() - 1.0).abs() < 1e-9);
        let even = index((0..10_000).map(|id| (id % 1_000, id))).sample(1);
        assert!((even.found() - 10.0).abs() < 1e-9);
        let skewed = index((0..10_000).map(|id| (if id % 2 == 0 { 0 } else { id % 1_000 }, id))).sample(1);
        assert!(skewed.found() > even.found() && skewed.largest == ROWS, "{skewed:?}");
        assert_eq!(index([]).sample(1).groups, 0);
    }

    #[test]
    fn a_sample_does_not_follow_the_order_in_which_rows_came() {
        let rows: Vec<(i64, i64)> = (0..3_000).map(|id| (id * 7 % 400, id)).collect();
        let built = index(rows.clone());
        let mut grown = index([]);
        for (k, id) in rows.into_iter().rev() {
            grown.add(&Row::from_iter([Value::Integer(k), Value::Integer(id)]), 1);
        }
        assert_eq!(built.sample(1), grown.sample(1));
        assert_eq!(built.sample(2), grown.sample(2));
    }

    #[test]
    fn texts_are_sampled_from_the_first() {
        let rows = (0..600)
            .map(|id| (Row::from_iter([Value::from(format!("{:03}", id % 200)), Value::Integer(id)]), 1));
        let sample = Index::of([KeyColumn::ascending(0)], rows).sample(1);
        assert_eq!((sample.groups, sample.largest), (32, 3));
    }
}

//! [`ZSet`] and [`Batch`]: rows with weights, and what flows along an edge of a circuit in one step.
//!
//! A Z-set maps rows to whole numbers; tables and results are Z-sets of positive weights, changes have both
//! signs. They form an abelian group under [`ZSet::extend`] and [`ZSet::negated`] (Budiu et al., "DBSP:
//! Automatic Incremental View Maintenance", 2023). Invariant of a consolidated one: rows ascend, each once,
//! no weight is zero.

use deltaic_types::{EvalError, Row};

use crate::cow_tree::CowTree;

/// A row's multiplicity: how often it is there, or by how much that changed.
pub type Weight = i64;

/// Rows with weights.
///
/// ```
/// use deltaic_dataflow::ZSet;
/// use deltaic_types::{Row, Value};
/// let row = |n| Row::from_iter([Value::Integer(n)]);
/// let change = ZSet::from_iter([(row(2), 1), (row(1), 1), (row(2), -1)]).consolidated();
/// assert_eq!(change.iter().collect::<Vec<_>>(), [(&row(1), 1)]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZSet(Vec<(Row, Weight)>);

impl ZSet {
    /// Adds a row's weight.
    pub fn push(&mut self, row: Row, weight: Weight) {
        self.0.push((row, weight));
    }

    /// Adds another Z-set.
    pub fn extend(&mut self, other: Self) {
        if self.0.is_empty() {
            self.0 = other.0;
        } else {
            self.0.extend(other.0);
        }
    }

    /// The inverse: every weight's sign turned.
    #[must_use]
    pub fn negated(mut self) -> Self {
        for (_, weight) in &mut self.0 {
            *weight = -*weight;
        }
        self
    }

    /// Equal rows added up, zero weights dropped, rows in order. O(n log n).
    #[must_use]
    pub fn consolidated(mut self) -> Self {
        if self.0.len() > 1 {
            self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
            self.0.dedup_by(|(next, weight), (kept, sum)| {
                let equal = kept == next;
                if equal {
                    *sum = sum.checked_add(*weight).expect("invariant: weights stay within 63 bits");
                }
                equal
            });
        }
        self.0.retain(|(_, weight)| *weight != 0);
        self
    }

    /// The number of entries, which in a consolidated Z-set is the number of different rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&Row, Weight)> {
        self.0.iter().map(|(row, weight)| (row, *weight))
    }
}

impl FromIterator<(Row, Weight)> for ZSet {
    fn from_iter<I: IntoIterator<Item = (Row, Weight)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl IntoIterator for ZSet {
    type Item = (Row, Weight);
    type IntoIter = std::vec::IntoIter<(Row, Weight)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An evaluation error in flight: it belongs to the results of one parameter tuple, or with the empty tuple
/// to all results above, and it has a weight as the row that caused it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrorRow {
    /// The parameters of the results it spoils.
    pub key: Row,
    /// What went wrong.
    pub error: EvalError,
}

/// What flows along an edge in one step: rows, and the errors that took rows' places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The rows.
    pub rows: ZSet,
    /// The errors.
    pub errors: Vec<(ErrorRow, Weight)>,
}

impl Batch {
    /// Rows without errors.
    pub fn of(rows: ZSet) -> Self {
        Self { rows, errors: Vec::new() }
    }

    /// Whether nothing flows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.errors.is_empty()
    }

    /// Adds another batch.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.errors.extend(other.errors);
    }

    /// The rows negated; errors stay as they are.
    #[must_use]
    pub(crate) fn negated(self) -> Self {
        Self { rows: self.rows.negated(), errors: self.errors }
    }

    /// Adds a row, or the error in its place.
    pub fn push(&mut self, result: Result<Row, ErrorRow>, weight: Weight) {
        match result {
            Ok(row) => self.rows.push(row, weight),
            Err(error) => self.errors.push((error, weight)),
        }
    }

    /// Rows and errors consolidated.
    #[must_use]
    pub fn consolidated(mut self) -> Self {
        self.rows = self.rows.consolidated();
        if self.errors.len() > 1 {
            self.errors.sort();
            self.errors.dedup_by(|(next, weight), (kept, sum)| {
                let equal = kept == next;
                if equal {
                    *sum += *weight;
                }
                equal
            });
        }
        self.errors.retain(|(_, weight)| *weight != 0);
        self
    }
}

/// The integral of a stream of errors, in order.
#[derive(Debug, Clone, Default)]
pub struct Errors(CowTree<(ErrorRow, Weight)>);

impl Errors {
    /// Adds a change.
    pub fn add(&mut self, change: &[(ErrorRow, Weight)]) {
        for (error, weight) in change {
            self.0.update(
                |(element, _)| element.cmp(error),
                |(_, sum)| {
                    *sum += weight;
                    *sum != 0
                },
                || (*weight != 0).then(|| (error.clone(), *weight)),
            );
        }
    }

    /// The least error of a key.
    pub fn of(&self, key: &Row) -> Option<&EvalError> {
        let mut errors = self.0.iter_from(|(row, _)| row.key.cmp(key));
        errors.next().filter(|(row, _)| row.key == *key).map(|(row, _)| &row.error)
    }

    /// All errors.
    pub fn to_vec(&self) -> Vec<(ErrorRow, Weight)> {
        self.0.iter().cloned().collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use deltaic_types::Value;
    use proptest::prelude::*;

    use super::*;

    fn zset() -> impl Strategy<Value = ZSet> {
        proptest::collection::vec((0_i64..6, -3_i64..4), 0..12).prop_map(|entries| {
            entries.into_iter().map(|(n, weight)| (Row::from_iter([Value::Integer(n)]), weight)).collect()
        })
    }

    fn sum(a: &ZSet, b: &ZSet) -> ZSet {
        let mut all = a.clone();
        all.extend(b.clone());
        all.consolidated()
    }

    proptest! {
        #[test]
        fn z_sets_are_an_abelian_group(a in zset(), b in zset(), c in zset()) {
            prop_assert_eq!(sum(&a, &b), sum(&b, &a));
            prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)));
            prop_assert_eq!(sum(&a, &ZSet::default()), a.clone().consolidated());
            prop_assert!(sum(&a, &a.clone().negated()).is_empty());
        }
    }
}

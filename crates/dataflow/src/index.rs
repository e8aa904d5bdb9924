//! [`Index`]: the integral of a stream of Z-sets, ordered by a key: base indexes and arrangements alike.
//!
//! Invariant: each row stands once, with the sum of the weights it was given, never zero; rows are ordered by
//! the key's columns and then by their whole contents, so the order is total. A clone is a snapshot (O(1));
//! a row is held by handle and its key is read from it. Nearly all rows of nearly all indexes have the weight one, so
//! only other weights are written down, and an index costs 8 bytes an entry.

use std::{cmp::Ordering, ops::Bound, sync::Arc};

use deltaic_types::{Row, Value};

use crate::{
    corner::{Corner, Edges},
    cow_tree::{self, CowTree},
    zset::{Weight, ZSet},
};

/// A column of a key, and how it is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyColumn {
    /// The place of the column in the row.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// NULLs first.
    pub nulls_first: bool,
}

impl KeyColumn {
    /// A column in ascending order with NULLs last.
    pub fn ascending(column: usize) -> Self {
        Self { column, descending: false, nulls_first: false }
    }

    /// The order of two values in this column.
    pub fn compare(&self, a: &Value, b: &Value) -> Ordering {
        if let (Value::Integer(a), Value::Integer(b)) = (a, b) {
            return if self.descending { b.cmp(a) } else { a.cmp(b) };
        }
        match (a.is_null(), b.is_null()) {
            (false, false) if self.descending => b.cmp(a),
            (false, false) => a.cmp(b),
            (true, true) => Ordering::Equal,
            (true, false) => {
                if self.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if self.nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
        }
    }
}

/// Rows with weights, ordered by key columns.
///
/// ```
/// use deltaic_dataflow::{Index, KeyColumn};
/// use deltaic_types::{Row, Value};
/// let mut by_project = Index::new([KeyColumn::ascending(1)]);
/// by_project.add(&Row::from_iter([Value::Integer(1), Value::from("delta")]), 1);
/// by_project.add(&Row::from_iter([Value::Integer(2), Value::from("other")]), 1);
/// assert_eq!(by_project.probe(&[Value::from("delta")]).count(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct Index {
    key: Arc<[KeyColumn]>,
    tree: CowTree<Row>,
    /// Of the rows whose weight is not one, how far it is from one: in the same order.
    beyond: CowTree<(Row, Weight)>,
    /// The same rows by two columns, where that is asked for.
    corner: Option<Corner>,
}

/// The bounds of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// What the column is above.
    pub lower: Bound<Value>,
    /// What it is below.
    pub upper: Bound<Value>,
}

/// From one new row for so many old ones on, an index is written anew.
const REWRITE: usize = 4;

/// So few new rows are added one by one in any case.
const FEW: usize = 32;

impl Index {
    /// An empty index with a key.
    pub fn new(key: impl Into<Arc<[KeyColumn]>>) -> Self {
        Self { key: key.into(), tree: CowTree::default(), beyond: CowTree::default(), corner: None }
    }

    /// An index of the rows of a Z-set.
    pub fn of(key: impl Into<Arc<[KeyColumn]>>, rows: impl IntoIterator<Item = (Row, Weight)>) -> Self {
        let key: Arc<[KeyColumn]> = key.into();
        let mut rows: Vec<(Row, Weight)> = rows.into_iter().collect();
        // Rows often come from an index of the same order: then one walk shows that there is nothing to do.
        if !rows.is_sorted_by(|(a, _), (b, _)| compare(&key, a, b).is_lt()) {
            rows.sort_by(|(a, _), (b, _)| compare(&key, a, b));
            rows.dedup_by(|(next, weight), (kept, sum)| {
                let equal = kept == next;
                if equal {
                    *sum += *weight;
                }
                equal
            });
        }
        rows.retain(|(_, weight)| *weight != 0);
        Self::of_sorted(key, rows)
    }

    /// An index of rows that are in its order, each once, with its weight.
    fn of_sorted(key: Arc<[KeyColumn]>, rows: Vec<(Row, Weight)>) -> Self {
        let others = rows.iter().filter(|(_, weight)| *weight != 1);
        let beyond = CowTree::from_sorted(others.map(|(row, weight)| (row.clone(), weight - 1)));
        let tree = CowTree::from_sorted(rows.into_iter().map(|(row, _)| row));
        Self { key, tree, beyond, corner: None }
    }

    /// The index with its rows by two columns beside it. O(n log n).
    #[must_use]
    pub fn with_corner(mut self, edges: Edges) -> Self {
        let mut corner = Corner::new(edges);
        for (row, weight) in self.iter() {
            corner.set(row, weight);
        }
        self.corner = Some(corner);
        self
    }

    /// The rows that are beyond the bounds of the corner's columns. O((1 + found) log n).
    pub(crate) fn corner(&self, first: &Bound<Value>, second: &Bound<Value>) -> Vec<(&Row, Weight)> {
        let corner = self.corner.as_ref().expect("invariant: a corner is asked of an index that has one");
        corner.find(first, second)
    }

    /// Adds many weights, none of which takes a row below zero. O(m log n); where that is more than to write the
    /// index anew, O(n + m log m).
    pub fn extend(&mut self, rows: &ZSet) {
        if self.corner.is_none() && rows.len() >= FEW && rows.len() >= self.len() / REWRITE {
            let new = Self::of(Arc::clone(&self.key), rows.iter().map(|(row, weight)| (row.clone(), weight)));
            *self =
                if self.is_empty() { new } else { Self::of_sorted(Arc::clone(&self.key), self.merged(&new)) };
            return;
        }
        for (row, weight) in rows.iter() {
            let now = self.add(row, weight);
            assert!(now >= 0, "a row is not retracted more often than it came");
        }
    }

    /// The rows of both indexes, which have one order, in it.
    fn merged(&self, other: &Self) -> Vec<(Row, Weight)> {
        let mut rows = Vec::with_capacity(self.len() + other.len());
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let order = match (ours.peek(), theirs.peek()) {
                (None, None) => return rows,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => compare(&self.key, a, b),
            };
            let our = if order.is_le() { ours.next() } else { None };
            let their = if order.is_ge() { theirs.next() } else { None };
            let sum = our.map_or(0, |(_, weight)| weight) + their.map_or(0, |(_, weight)| weight);
            assert!(sum >= 0, "a row is not retracted more often than it came");
            if let (Some((row, _)), true) = (our.or(their), sum != 0) {
                rows.push((row.clone(), sum));
            }
        }
    }

    /// The key's columns.
    pub fn key(&self) -> &[KeyColumn] {
        &self.key
    }

    /// Adds a weight to a row and gives the row's new weight. O(log n).
    pub fn add(&mut self, row: &Row, weight: Weight) -> Weight {
        let (key, beyond) = (&self.key, self.beyond(row));
        let sum = std::cell::Cell::new(weight);
        self.tree.update(
            |element| compare(key, element, row),
            |_| {
                sum.set(1 + beyond + weight);
                sum.get() != 0
            },
            || (weight != 0).then(|| row.clone()),
        );
        let sum = sum.get();
        let now = if sum == 0 { 0 } else { sum - 1 };
        if now != beyond {
            self.beyond.update(
                |(element, _)| compare(key, element, row),
                |(_, beyond)| {
                    *beyond = now;
                    now != 0
                },
                || Some((row.clone(), now)),
            );
        }
        if let Some(corner) = &mut self.corner {
            corner.set(row, sum);
        }
        sum
    }

    /// How far the weight of a row that is there is from one.
    fn beyond(&self, row: &Row) -> Weight {
        if self.beyond.is_empty() {
            return 0;
        }
        self.beyond.get(|(element, _)| compare(&self.key, element, row)).map_or(0, |(_, beyond)| *beyond)
    }

    /// Puts changes that were kept aside for a snapshot where they belong, if it is gone: see [`CowTree::settle`].
    pub fn settle(&mut self) {
        self.tree.settle();
        self.beyond.settle();
    }

    /// The row's weight; zero if it is not there.
    pub fn weight(&self, row: &Row) -> Weight {
        self.tree.get(|element| compare(&self.key, element, row)).map_or(0, |row| 1 + self.beyond(row))
    }

    /// The rows whose first key columns equal the values, in order. NULL equals NULL here; a caller that
    /// means SQL's `=` does not probe with NULL.
    pub fn probe<'a, 'b>(
        &'a self,
        values: &'b [Value],
    ) -> impl Iterator<Item = (&'a Row, Weight)> + use<'a, 'b> {
        assert!(values.len() <= self.key.len(), "a probe has at most the key's columns");
        let start = self.from(|element| self.compare_prefix(element, values));
        start.take_while(move |(row, _)| self.has_prefix(row, values))
    }

    /// DBSP's differentiation, `D(s) = s - z⁻¹(s)`, of two states of the same order: what the earlier one lacks of this
    /// one, or has beyond it. O(n) of both.
    pub fn difference(&self, before: &Self) -> ZSet {
        let mut rows = ZSet::default();
        let (mut old, mut new) = (before.iter().peekable(), self.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return rows,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => compare(&self.key, a, b),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let come = if order.is_ge() { new.next() } else { None };
            let weight = come.map_or(0, |(_, weight)| weight) - gone.map_or(0, |(_, weight)| weight);
            if let (Some((row, _)), true) = (come.or(gone), weight != 0) {
                rows.push(row.clone(), weight);
            }
        }
    }

    /// All rows in order.
    pub fn iter(&self) -> Rows<'_> {
        Rows { rows: self.tree.iter(), index: self }
    }

    /// The number of different rows.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// The last row.
    pub(crate) fn last(&self) -> Option<&Row> {
        self.tree.last()
    }

    /// The rows from the first that does not compare as less.
    pub(crate) fn from(&self, order: impl Fn(&Row) -> Ordering) -> Rows<'_> {
        Rows { rows: self.tree.iter_from(order), index: self }
    }

    /// Whether the row's first key columns equal the values.
    pub(crate) fn has_prefix(&self, row: &Row, values: &[Value]) -> bool {
        self.key.iter().zip(values).all(|(key, value)| row[key.column] == *value)
    }

    pub(crate) fn compare_prefix(&self, row: &Row, values: &[Value]) -> Ordering {
        for (key, value) in self.key.iter().zip(values) {
            let order = key.compare(&row[key.column], value);
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

fn compare(key: &[KeyColumn], a: &Row, b: &Row) -> Ordering {
    if a.is_same(b) {
        return Ordering::Equal;
    }
    for column in key {
        let order = column.compare(&a[column.column], &b[column.column]);
        if order != Ordering::Equal {
            return order;
        }
    }
    a.cmp(b)
}

/// The rows of an [`Index`] in order.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    rows: cow_tree::Iter<'a, Row>,
    index: &'a Index,
}

impl<'a> Iterator for Rows<'a> {
    type Item = (&'a Row, Weight);

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().map(|row| (row, 1 + self.index.beyond(row)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = Row> {
        let value = prop_oneof![3 => (0_i64..4).prop_map(Value::Integer), 1 => Just(Value::Null)];
        proptest::collection::vec(value, 3).prop_map(Row::from)
    }

    proptest! {
        #[test]
        fn many_rows_added_at_once_are_as_if_added_one_by_one(
            present in proptest::collection::btree_map(row(), 1_i64..3, 0..200),
            added in proptest::collection::btree_map(row(), -1_i64..3, 0..100),
        ) {
            let key = [KeyColumn { column: 2, descending: true, nulls_first: false }];
            let mut at_once = Index::of(key, present.clone());
            let before = at_once.clone();
            let mut one_by_one = at_once.clone();
            let fits = |(row, weight): &(Row, Weight)| *weight > 0 || present.contains_key(row);
            let added: ZSet = added.into_iter().filter(fits).collect();
            at_once.extend(&added);
            for (row, weight) in added.iter() {
                one_by_one.add(row, weight);
            }
            prop_assert!(at_once.iter().eq(one_by_one.iter()));
            prop_assert_eq!(before.len(), present.len());
        }

        #[test]
        fn a_probe_finds_what_a_scan_finds(
            changes in proptest::collection::vec((row(), -2_i64..3), 0..200),
            wanted in row(),
            flags in any::<(bool, bool)>(),
        ) {
            let key = [
                KeyColumn { column: 2, descending: flags.0, nulls_first: flags.1 },
                KeyColumn::ascending(0),
            ];
            let mut index = Index::new(key);
            let mut model: BTreeMap<Row, Weight> = BTreeMap::new();
            for (row, weight) in &changes {
                let sum = model.entry(row.clone()).or_default();
                *sum += weight;
                prop_assert_eq!(index.add(row, *weight), *sum);
            }
            model.retain(|_, weight| *weight != 0);
            prop_assert_eq!(index.len(), model.len());
            let built = Index::of(key, changes);
            prop_assert!(built.iter().eq(index.iter()));
            for prefix in 0..=2 {
                let values: Vec<Value> =
                    key[..prefix].iter().map(|column| wanted[column.column].clone()).collect();
                let mut found: Vec<(Row, Weight)> =
                    index.probe(&values).map(|(row, weight)| (row.clone(), weight)).collect();
                found.sort();
                let expected: Vec<(Row, Weight)> = model
                    .iter()
                    .filter(|(row, _)| key[..prefix].iter().all(|k| row[k.column] == wanted[k.column]))
                    .map(|(row, weight)| (row.clone(), *weight))
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}

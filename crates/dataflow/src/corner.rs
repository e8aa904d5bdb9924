//! [`Corner`]: rows by two columns at once, for those that are beyond a bound in both: `lo <= v AND v <= hi`.
//!
//! An order by one column finds a half of the rows where it should find one. This is a treap ordered by the first
//! column, the rows asked for first; each node knows the best second column beneath it, so a subtree in which no row
//! is far enough is passed by. Priorities are hashes of the rows: the shape follows the contents alone. Nodes are
//! shared, so a clone is a snapshot.
//!
//! Invariant: the treap holds the rows of its index but for those with a NULL in either column, which no bound finds.

use std::{cmp::Ordering, hash::BuildHasher, ops::Bound, sync::Arc};

use deltaic_types::{Row, Value};
use rustc_hash::FxBuildHasher;

use crate::zset::Weight;

/// A column of a [`Corner`], and on which side of a bound the rows are that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The column.
    pub column: usize,
    /// Rows above the bound are asked for; otherwise those below it.
    pub above: bool,
}

/// The two columns of a corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edges {
    /// The column that orders the rows.
    pub first: Edge,
    /// The other.
    pub second: Edge,
}

/// Rows by two columns.
#[derive(Debug, Clone)]
pub(crate) struct Corner {
    edges: Edges,
    root: Link,
}

type Link = Option<Arc<Node>>;

#[derive(Debug, Clone)]
struct Node {
    row: Row,
    weight: Weight,
    priority: u64,
    /// Of this row and all beneath it the second column that is farthest.
    best: Value,
    left: Link,
    right: Link,
}

impl Edge {
    /// The order in which values that are asked for come before those that are not.
    fn compare(self, a: &Value, b: &Value) -> Ordering {
        if self.above { b.cmp(a) } else { a.cmp(b) }
    }

    /// Whether a value is on the asked side of a bound.
    fn reaches(self, value: &Value, bound: &Bound<Value>) -> bool {
        match bound {
            Bound::Included(bound) => self.compare(value, bound).is_le(),
            Bound::Excluded(bound) => self.compare(value, bound).is_lt(),
            Bound::Unbounded => true,
        }
    }
}

impl Corner {
    /// An empty one.
    pub(crate) fn new(edges: Edges) -> Self {
        Self { edges, root: None }
    }

    /// Takes a row's new weight, zero if it is gone. O(log n) expected.
    pub(crate) fn set(&mut self, row: &Row, weight: Weight) {
        let Edges { first, second } = self.edges;
        if row[first.column].is_null() || row[second.column].is_null() {
            return;
        }
        let root = self.root.take();
        self.root = if weight == 0 {
            self.remove(root, row)
        } else {
            // A product mixes the low bits of the hash into the high ones, which decide first.
            let priority = FxBuildHasher.hash_one(row).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
            let best = row[second.column].clone();
            let node = Node { row: row.clone(), weight, priority, best, left: None, right: None };
            Some(self.insert(root, node))
        };
    }

    /// The rows beyond both bounds. O((1 + found) log n) expected.
    pub(crate) fn find(&self, first: &Bound<Value>, second: &Bound<Value>) -> Vec<(&Row, Weight)> {
        let mut found = Vec::new();
        self.collect(&self.root, first, second, &mut found);
        found
    }

    fn collect<'a>(
        &'a self,
        link: &'a Link,
        first: &Bound<Value>,
        second: &Bound<Value>,
        found: &mut Vec<(&'a Row, Weight)>,
    ) {
        let Some(node) = link else { return };
        if !self.edges.second.reaches(&node.best, second) {
            return;
        }
        self.collect(&node.left, first, second, found);
        if self.edges.first.reaches(&node.row[self.edges.first.column], first) {
            if self.edges.second.reaches(&node.row[self.edges.second.column], second) {
                found.push((&node.row, node.weight));
            }
            self.collect(&node.right, first, second, found);
        }
    }

    fn order(&self, a: &Row, b: &Row) -> Ordering {
        let Edge { column, .. } = self.edges.first;
        self.edges.first.compare(&a[column], &b[column]).then_with(|| a.cmp(b))
    }

    /// The node with its best set right.
    fn settled(&self, mut node: Node) -> Arc<Node> {
        let Edge { column, .. } = self.edges.second;
        let mut best = &node.row[column];
        for child in [&node.left, &node.right].into_iter().flatten() {
            if self.edges.second.compare(best, &child.best).is_gt() {
                best = &child.best;
            }
        }
        node.best = best.clone();
        Arc::new(node)
    }

    fn insert(&self, link: Link, node: Node) -> Arc<Node> {
        let Some(top) = link else { return Arc::new(node) };
        let order = self.order(&node.row, &top.row);
        if order.is_ne() && node.priority > top.priority {
            let (left, right) = self.split(Some(top), &node.row);
            return self.settled(Node { left, right, ..node });
        }
        let mut top = Arc::unwrap_or_clone(top);
        match order {
            Ordering::Equal => top.weight = node.weight,
            Ordering::Less => top.left = Some(self.insert(top.left.take(), node)),
            Ordering::Greater => top.right = Some(self.insert(top.right.take(), node)),
        }
        self.settled(top)
    }

    /// The rows before and after a row, which itself is in neither.
    fn split(&self, link: Link, at: &Row) -> (Link, Link) {
        let Some(node) = link else { return (None, None) };
        let mut node = Arc::unwrap_or_clone(node);
        match self.order(at, &node.row) {
            Ordering::Equal => (node.left, node.right),
            Ordering::Less => {
                let (left, right) = self.split(node.left.take(), at);
                node.left = right;
                (left, Some(self.settled(node)))
            }
            Ordering::Greater => {
                let (left, right) = self.split(node.right.take(), at);
                node.right = left;
                (Some(self.settled(node)), right)
            }
        }
    }

    fn remove(&self, link: Link, row: &Row) -> Link {
        let mut node = Arc::unwrap_or_clone(link?);
        match self.order(row, &node.row) {
            Ordering::Equal => return self.merge(node.left, node.right),
            Ordering::Less => node.left = self.remove(node.left.take(), row),
            Ordering::Greater => node.right = self.remove(node.right.take(), row),
        }
        Some(self.settled(node))
    }

    fn merge(&self, left: Link, right: Link) -> Link {
        let (left, right) = match (left, right) {
            (None, link) | (link, None) => return link,
            (Some(left), Some(right)) => (left, right),
        };
        if left.priority > right.priority {
            let mut top = Arc::unwrap_or_clone(left);
            top.right = self.merge(top.right.take(), Some(right));
            Some(self.settled(top))
        } else {
            let mut top = Arc::unwrap_or_clone(right);
            top.left = self.merge(Some(left), top.left.take());
            Some(self.settled(top))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![8 => (0_i64..40).prop_map(Value::Integer), 1 => Just(Value::Null)]
    }

    fn bound() -> impl Strategy<Value = Bound<Value>> {
        let number = || (0_i64..40).prop_map(Value::Integer);
        prop_oneof![number().prop_map(Bound::Included), number().prop_map(Bound::Excluded)]
    }

    proptest! {
        #[test]
        fn a_corner_holds_what_a_scan_finds_and_snapshots_stay(
            changes in proptest::collection::vec((value(), value(), 0_i64..3), 0..200),
            (a, b) in (bound(), bound()),
            (first, second) in any::<(bool, bool)>(),
        ) {
            let edges = Edges { first: Edge { column: 0, above: first }, second: Edge { column: 1, above: second } };
            let mut corner = Corner::new(edges);
            let mut model: BTreeMap<Row, Weight> = BTreeMap::new();
            let mut snapshots = Vec::new();
            for (place, (x, y, weight)) in changes.into_iter().enumerate() {
                if place % 50 == 25 {
                    snapshots.push((corner.clone(), model.clone()));
                }
                let row = Row::from_iter([x, y]);
                corner.set(&row, weight);
                model.insert(row, weight);
            }
            snapshots.push((corner, model));
            for (corner, mut model) in snapshots {
                model.retain(|row, weight| {
                    *weight != 0
                        && row.iter().all(|value| !value.is_null())
                        && edges.first.reaches(&row[0], &a)
                        && edges.second.reaches(&row[1], &b)
                });
                let mut found: Vec<(Row, Weight)> =
                    corner.find(&a, &b).into_iter().map(|(row, weight)| (row.clone(), weight)).collect();
                found.sort();
                prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn of_many_intervals_few_nodes_are_looked_at() {
        fn depth(link: &Link) -> usize {
            link.as_ref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        let edges =
            Edges { first: Edge { column: 0, above: false }, second: Edge { column: 1, above: true } };
        let mut corner = Corner::new(edges);
        for n in 0..10_000 {
            corner.set(&Row::from_iter([Value::Integer(n * 10), Value::Integer(n * 10 + 9)]), 1);
        }
        let depth = depth(&corner.root);
        assert!(depth < 60, "{depth}");
        let at = Bound::Included(Value::Integer(50_005));
        let found: Vec<i64> = corner.find(&at, &at).iter().filter_map(|(row, _)| row[0].as_i64()).collect();
        assert_eq!(found, [50_000]);
    }
}

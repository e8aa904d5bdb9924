//! [`SetOperation`]: INTERSECT and EXCEPT of two inputs, with and without ALL, by the weights of each row.
//!
//! `dz[x] = f(l'[x], r'[x]) - f(l[x], r[x])`, where [`SetKind`] says `f`.
//!
//! State: for each row its weight on both sides. A row's weight in the result is a function of these two, so a
//! step compares that function before and after for the rows that changed. Not linear in either input. Invariant:
//! no weight is negative; a row that neither side has takes up nothing.

use deltaic_types::Row;

use crate::{
    cow_tree::CowTree,
    operator::NodeId,
    zset::{Batch, Weight, ZSet},
};

/// The operations. UNION is a sum, and a `distinct` above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// Each row of both sides once: `[l > 0 ∧ r > 0]`.
    Intersect,
    /// Each row as often as the side that has it less often: `min(l, r)`.
    IntersectAll,
    /// Each row of the left side alone once: `[l > 0 ∧ r = 0]`.
    Except,
    /// Each row as often as the left side has it more often: `max(l - r, 0)`.
    ExceptAll,
}

impl SetKind {
    fn weight(self, left: Weight, right: Weight) -> Weight {
        match self {
            Self::Intersect => Weight::from(left > 0 && right > 0),
            Self::IntersectAll => left.min(right),
            Self::Except => Weight::from(left > 0 && right == 0),
            Self::ExceptAll => (left - right).max(0),
        }
    }
}

/// INTERSECT or EXCEPT of inputs whose rows have the same columns. Rows are equal where all values are; NULLs are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetOperation {
    /// The operation.
    pub kind: SetKind,
    /// The left input.
    pub left: NodeId,
    /// The right input.
    pub right: NodeId,
}

/// The weights of each row on the left and on the right.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sides(CowTree<(Row, Weight, Weight)>);

impl Sides {
    /// The change of the output for the changes of both sides.
    pub(crate) fn step(&mut self, kind: SetKind, left: Option<&Batch>, right: Option<&Batch>) -> Batch {
        let mut output = Batch::default();
        let one = |row: &Row, weight| (row.clone(), weight, 0);
        let other = |row: &Row, weight| (row.clone(), 0, weight);
        let lefts = left.into_iter().flat_map(|batch| batch.rows.iter()).map(|(row, w)| one(row, w));
        let rights = right.into_iter().flat_map(|batch| batch.rows.iter()).map(|(row, w)| other(row, w));
        for (row, left, right) in lefts.chain(rights) {
            let change = self.add(kind, &row, left, right);
            if change != 0 {
                output.rows.push(row, change);
            }
        }
        for batch in [left, right].into_iter().flatten() {
            output.errors.extend(batch.errors.iter().cloned());
        }
        output.consolidated()
    }

    /// Adds weights to a row, and gives the change of its weight in the result.
    fn add(&mut self, kind: SetKind, row: &Row, left: Weight, right: Weight) -> Weight {
        let change = std::cell::Cell::new(kind.weight(left, right));
        self.0.update(
            |(element, ..)| element.cmp(row),
            |(_, l, r)| {
                let before = kind.weight(*l, *r);
                *l += left;
                *r += right;
                change.set(kind.weight(*l, *r) - before);
                *l != 0 || *r != 0
            },
            || (left != 0 || right != 0).then(|| (row.clone(), left, right)),
        );
        change.get()
    }

    /// The whole result.
    pub(crate) fn rows(&self, kind: SetKind) -> ZSet {
        let weighted = self.0.iter().map(|(row, left, right)| (row.clone(), kind.weight(*left, *right)));
        weighted.filter(|(_, weight)| *weight != 0).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.iter().map(|(row, ..)| row.heap_bytes() + 32).sum()
    }
}

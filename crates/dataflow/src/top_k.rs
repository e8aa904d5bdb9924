//! [`TopK`]: the first rows of each partition in an order that the whole row completes.
//!
//! `dT = Σ_{p touched} T(z'_p) - T(z_p)`, where `T` takes the rows of a window from a partition `z_p`.
//!
//! State: the input's integral, ordered by partition and then by the order. A step compares the window of
//! each touched partition before and after, both read from snapshots, so it costs the window and not the
//! partition. Ties are broken by the row's contents: a window is a function of the rows alone.

use std::sync::Arc;

use deltaic_types::{Row, Value};

use crate::{
    index::{Index, KeyColumn},
    operator::NodeId,
    scalar::Scalar,
    zset::{Batch, Weight, ZSet},
};

/// A window of each partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopK {
    /// The input.
    pub input: NodeId,
    /// The columns whose values name the partition, the template's parameters first.
    pub partition: Vec<usize>,
    /// The order within a partition.
    pub order: Vec<KeyColumn>,
    /// How many rows are passed over: over the partition's values, NULL for none. Never fails.
    pub offset: Scalar,
    /// How many rows are taken: over the partition's values, NULL for all that follow. Never fails.
    pub limit: Scalar,
}

impl TopK {
    pub(crate) fn state(&self) -> Index {
        let key: Arc<[KeyColumn]> = self
            .partition
            .iter()
            .map(|place| KeyColumn::ascending(*place))
            .chain(self.order.iter().copied())
            .collect();
        Index::new(key)
    }

    /// The change of the windows for a change of the input.
    pub(crate) fn step(&self, state: &mut Index, change: &Batch) -> Batch {
        let before = state.clone();
        let mut partitions: Vec<Vec<Value>> = Vec::new();
        for (row, weight) in change.rows.iter() {
            let now = state.add(row, weight);
            assert!(now >= 0, "a row is not retracted more often than it came");
            partitions.push(row.project(&self.partition).to_vec());
        }
        partitions.sort();
        partitions.dedup();
        let mut rows = ZSet::default();
        for partition in partitions {
            self.window(&before, &partition, -1, &mut rows);
            self.window(state, &partition, 1, &mut rows);
        }
        drop(before);
        state.settle();
        Batch { rows: rows.consolidated(), errors: change.errors.clone() }
    }

    /// All windows.
    pub(crate) fn contents(&self, state: &Index) -> ZSet {
        let mut rows = ZSet::default();
        let mut partition: Option<Vec<Value>> = None;
        for (row, _) in state.iter() {
            let values = row.project(&self.partition).to_vec();
            if partition.as_ref() != Some(&values) {
                self.window(state, &values, 1, &mut rows);
                partition = Some(values);
            }
        }
        rows
    }

    /// Adds the rows of a partition's window with a sign. Costs the offset and the limit.
    fn window(&self, index: &Index, partition: &[Value], sign: Weight, rows: &mut ZSet) {
        let bound =
            |scalar: &Scalar, otherwise: u64| match scalar.eval(&[partition.iter().cloned().collect()]) {
                Ok(Value::Integer(n)) => u64::try_from(n).unwrap_or(0),
                _ => otherwise,
            };
        let mut skip = bound(&self.offset, 0);
        let mut take = bound(&self.limit, u64::MAX);
        for (row, weight) in index.probe(partition) {
            if take == 0 {
                break;
            }
            let copies = weight.unsigned_abs();
            let passed = skip.min(copies);
            skip -= passed;
            let taken = (copies - passed).min(take);
            take -= taken;
            if taken > 0 {
                rows.push(Row::clone(row), sign * taken as Weight);
            }
        }
    }
}

//! What the states of a graph hold, in bytes: an estimate that a limit can be set by.
//!
//! Invariant: the sum is that of the nodes, and each node's was measured when it had between half as many and twice as
//! many entries as it has. So a step costs a comparison for each state that it changes, and a measurement is paid for
//! by the entries that came or went since the last.

use super::{Graph, Node, State};
use crate::{
    index::{ENTRY_BYTES, Index},
    operator::NodeId,
};

/// The rows of an index that are measured for all.
const MEASURED: usize = 64;

/// A state with fewer entries than this is not measured again for them.
const FEW: usize = 32;

/// When a state was measured.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    entries: usize,
    bytes: usize,
}

impl Graph {
    /// The bytes that the states hold, within a factor of two. Cost: none.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Measures a state that has grown or shrunk a lot since it was last measured.
    pub(super) fn measure(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("invariant: a named node is there");
        let (entries, before) = (node.entries(), node.held);
        if entries > 2 * before.entries + FEW || 2 * entries + FEW < before.entries {
            node.held = Held { entries, bytes: node.estimate() };
            self.held = self.held - before.bytes + node.held.bytes;
        }
    }

    /// Forgets what a node held that is no more.
    pub(super) fn forget(&mut self, node: &Node) {
        self.held -= node.held.bytes;
    }
}

impl Node {
    /// The entries of the state. O(1).
    fn entries(&self) -> usize {
        match &self.state {
            State::None => 0,
            State::Arrange(arrangement) => arrangement.now.len(),
            State::Aggregate(groups) => groups.len(),
            State::Sides(sides) => sides.len(),
            State::Distinct(index) | State::TopK(index) | State::Window(index) => index.len(),
            State::Recurse(recursion) => recursion.len(),
            State::Temporal(upcoming) => upcoming.len(),
        }
    }

    /// The bytes of the state, those of an index by its first rows.
    fn estimate(&self) -> usize {
        match &self.state {
            State::Arrange(arrangement) => estimate(&arrangement.now),
            State::Distinct(index) | State::TopK(index) | State::Window(index) => estimate(index),
            _ => self.size().1,
        }
    }

    /// Entries and bytes of the state. Cost: all entries.
    pub(super) fn size(&self) -> (usize, usize) {
        let of_index = |index: &Index| {
            let rows: usize = index.iter().map(|(row, _)| row.heap_bytes() + ENTRY_BYTES).sum();
            (index.len(), rows)
        };
        match &self.state {
            State::None => (0, 0),
            State::Arrange(arrangement) => of_index(&arrangement.now),
            State::Aggregate(groups) => (groups.len(), groups.heap_bytes()),
            State::Sides(sides) => (sides.len(), sides.heap_bytes()),
            State::Distinct(index) | State::TopK(index) | State::Window(index) => of_index(index),
            State::Recurse(recursion) => recursion.size(),
            State::Temporal(upcoming) => upcoming.size(),
        }
    }
}

fn estimate(index: &Index) -> usize {
    let measured = index.len().min(MEASURED);
    let bytes: usize = index.iter().take(MEASURED).map(|(row, _)| row.heap_bytes() + ENTRY_BYTES).sum();
    bytes * index.len() / measured.max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use deltaic_types::{Row, Value};
    use proptest::prelude::*;

    use crate::{Graph, Operator, Relation, RelationId, Relations, ZSet};

    fn row(id: i64) -> Row {
        Row::from_iter([Value::Integer(id), Value::from("a text that is not inline in its value")])
    }

    proptest! {
        #[test]
        fn what_is_held_is_known_within_a_factor_of_two(
            start in 0_i64..300,
            ranges in proptest::collection::vec((0_i64..600, 0_i64..600), 0..12),
        ) {
            let table = RelationId::Parameters(1);
            let mut relations = Relations::default();
            relations.put(table, Relation::of(&[0], (0..start).map(row)));
            let mut graph = Graph::default();
            let input = graph.add(Operator::Input(table));
            let root = graph.add(Operator::Distinct { input });
            graph.hold(root);
            graph.hydrate(&relations);
            for (from, to) in ranges {
                let before = relations.clone();
                let relation = relations.get_mut(table).unwrap();
                let mut change = ZSet::default();
                for id in from..to {
                    let is_there = relation.get(&[Value::Integer(id)]).is_some();
                    if is_there { relation.remove(&row(id)) } else { relation.insert(&row(id)) }
                    change.push(row(id), if is_there { -1 } else { 1 });
                }
                graph.step(&before, &relations, [(table, change)], &BTreeSet::new());
                let bytes: usize = graph.describe(root).iter().map(|node| node.bytes).sum();
                let few = super::FEW * (row(0).heap_bytes() + crate::ENTRY_BYTES);
                prop_assert!(graph.held_bytes() <= 2 * bytes + few, "{} of {bytes}", graph.held_bytes());
                prop_assert!(bytes <= 2 * graph.held_bytes() + few, "{} of {bytes}", graph.held_bytes());
            }
            graph.release(root);
            prop_assert_eq!(graph.held_bytes(), 0);
        }
    }
}

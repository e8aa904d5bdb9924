//! [`Event`]: how many events are known above each point of the line.
//!
//! Invariant: it is in normal form, so equal knowledge is equal trees.

use std::cmp::Ordering;

use super::fill::fill;
use super::tree::{Leaf, Tree, depths, zip};
use super::{CounterOverflow, Id};

/// A count for each point of the line from 0 to 1. One is at most another, if it is so at every point.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    pub(super) tree: Tree<u64>,
}

impl Default for Event {
    /// No events.
    fn default() -> Self {
        Self { tree: Tree::constant(0) }
    }
}

impl Event {
    /// Whether the other knows all that this one knows. O(leaves of both), no allocation.
    pub fn leq(&self, other: &Self) -> bool {
        self.both(other).all(|leaf| leaf.value.0 <= leaf.value.1)
    }

    /// Whether the other knows all that this one knows above the points of `id`. O(leaves of all three), no
    /// allocation.
    pub fn leq_within(&self, other: &Self, id: &Id) -> bool {
        zip(id.tree.iter(), self.both(other))
            .all(|Leaf { value: (within, (own, others)), .. }| !within || own <= others)
    }

    /// What either knows. O(leaves of both), one allocation.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let most = self.leaves() + other.leaves();
        let leaves =
            self.both(other).map(|leaf| Leaf { opens: leaf.opens, value: leaf.value.0.max(leaf.value.1) });
        Self { tree: Tree::from_leaves(most, leaves) }
    }

    /// One more event of the owner of `id`: greater than this above some point of `id`, and equal to it everywhere
    /// else. Of the trees with that property it is a small one: where the counts above `id` can be raised so that
    /// nodes fall together, they are (*fill*); otherwise the leaf is raised that makes the tree least larger
    /// (*grow*). O(leaves of both).
    ///
    /// Nothing is counted for an empty id.
    pub fn event(&self, id: &Id) -> Result<Self, CounterOverflow> {
        let filled = fill(id, self);
        if filled == *self { self.grow(id) } else { Ok(filled) }
    }

    /// One more event of the owner of `id`, above every point of it: whoever knows it can tell of each point that it
    /// was counted. The tree gets larger than by [`event`](Self::event). O(leaves of both).
    pub fn mark(&self, id: &Id) -> Result<Self, CounterOverflow> {
        let both = || zip(id.tree.iter(), self.tree.iter());
        if both().any(|leaf| leaf.value == (true, u64::MAX)) {
            return Err(CounterOverflow);
        }
        let leaves = both()
            .map(|Leaf { opens, value: (owned, count) }| Leaf { opens, value: count + u64::from(owned) });
        Ok(Self { tree: Tree::from_leaves(self.leaves() + id.leaves(), leaves) })
    }

    /// The counts above the points of `id`, and none elsewhere. O(leaves of both), one allocation.
    #[must_use]
    pub fn within(&self, id: &Id) -> Self {
        let leaves = zip(id.tree.iter(), self.tree.iter()).map(|Leaf { opens, value: (within, count) }| {
            Leaf { opens, value: if within { count } else { 0 } }
        });
        Self { tree: Tree::from_leaves(self.leaves() + id.leaves(), leaves) }
    }

    /// The greatest count of any point.
    pub fn max(&self) -> u64 {
        self.tree.leaves().iter().map(|leaf| leaf.value).max().unwrap_or(0)
    }

    /// The least count of any point.
    pub fn min(&self) -> u64 {
        self.tree.leaves().iter().map(|leaf| leaf.value).min().unwrap_or(0)
    }

    /// How many leaves the tree has: what it costs to keep and to compare.
    pub fn leaves(&self) -> usize {
        self.tree.leaves().len()
    }

    /// How many levels of halves it has.
    pub fn depth(&self) -> u32 {
        self.tree.depth()
    }

    fn both<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Leaf<(u64, u64)>> + 'a {
        zip(self.tree.iter(), other.tree.iter())
    }

    /// Raises one leaf of `id` by one. The event has no node within a leaf of `id`, or it would have been filled:
    /// each leaf of `id` is one leaf of both trees together.
    fn grow(&self, id: &Id) -> Result<Self, CounterOverflow> {
        // The depth of the event's own leaf at each leaf of both trees.
        let event_depths = Tree::with_depths(&self.tree);
        let joint = depths(zip(id.tree.iter(), event_depths.into_iter()));
        // The paper's costs: first the fewest levels to add, then the least depth, then the rightmost.
        let cheapest = joint
            .enumerate()
            .filter(|(_, (_, (owned, _)))| *owned)
            .min_by_key(|&(i, (depth, (_, (event_depth, _))))| (depth - event_depth, depth, usize::MAX - i));
        let Some((at, (_, (_, (_, count))))) = cheapest else { return Ok(self.clone()) };
        if count == u64::MAX {
            return Err(CounterOverflow);
        }
        let most = self.leaves() + id.leaves();
        let leaves = zip(id.tree.iter(), self.tree.iter())
            .enumerate()
            .map(|(i, leaf)| Leaf { opens: leaf.opens, value: leaf.value.1 + u64::from(i == at) });
        Ok(Self { tree: Tree::from_leaves(most, leaves) })
    }
}

impl Tree<u64> {
    /// The leaves with their depth beside their value.
    fn with_depths(&self) -> Vec<Leaf<(u32, u64)>> {
        depths(self.iter())
            .zip(self.leaves())
            .map(|(value, leaf)| Leaf { opens: leaf.opens, value })
            .collect()
    }
}

impl PartialOrd for Event {
    /// Less: the other knows more. `None`: each knows something that the other does not, they are concurrent.
    /// O(leaves of both), no allocation; ends as soon as they are known to be concurrent.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let mut order = Ordering::Equal;
        for Leaf { value: (own, others), .. } in self.both(other) {
            match (order, own.cmp(&others)) {
                (_, Ordering::Equal) => {}
                (Ordering::Equal, here) => order = here,
                (before, here) if before == here => {}
                _ => return None,
            }
        }
        Some(order)
    }
}

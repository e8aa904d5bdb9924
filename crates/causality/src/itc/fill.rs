//! [`fill`]: raising the counts above an owner's own points so that the tree gets smaller.
//!
//! Invariant: the result is at least the event everywhere, and equal to it outside the id.

use super::tree::{Leaf, Tree, subtree_end};
use super::{Event, Id};

/// A node of the tree that is walked, of which a child is being worked on.
#[derive(Debug)]
enum Pending {
    /// The left child is owned whole and stands in the output: it is raised to the least count of the right one.
    RaiseLeft { at: usize },
    /// The left child is being worked on.
    Left,
    /// The right child is; the left one has this least count.
    Right { left_min: u64 },
}

/// A place in a flat tree: so many nodes of the leaf are not entered yet.
#[derive(Debug, Clone, Copy)]
struct Place {
    leaf: usize,
    opens: u32,
}

impl Place {
    fn enter(&mut self) {
        self.opens -= 1;
    }

    /// Moves behind the subtree, and gives the range of its leaves.
    fn skip<V>(&mut self, leaves: &[Leaf<V>]) -> std::ops::Range<usize> {
        let range = self.leaf..subtree_end(leaves, self.leaf, self.opens);
        self.leaf = range.end;
        self.opens = leaves.get(range.end).map_or(0, |leaf| leaf.opens);
        range
    }
}

/// The paper's *fill*. O(leaves of both); the stack is as deep as the shallower of the two trees.
pub(super) fn fill(id: &Id, event: &Event) -> Event {
    let (ids, events) = (id.tree.leaves(), event.tree.leaves());
    let mut own = Place { leaf: 0, opens: ids[0].opens };
    let mut known = Place { leaf: 0, opens: events[0].opens };
    let mut output: Vec<Leaf<u64>> = Vec::with_capacity(events.len());
    let mut opens = 0;
    let mut stack: Vec<Pending> = Vec::new();
    let owns = |place: Place| place.opens == 0 && ids[place.leaf].value;
    loop {
        // One node of both trees, to its least count in the output.
        let mut least = if own.opens == 0 {
            let inside = known.opens;
            let subtree = known.skip(events);
            if own.skip(ids).any(|leaf| ids[leaf].value) {
                let most = events[subtree].iter().map(|leaf| leaf.value).max().unwrap_or(0);
                // A right child rises to the least count of its sibling.
                let value = match stack.last() {
                    Some(&Pending::Right { left_min }) => most.max(left_min),
                    _ => most,
                };
                output.push(Leaf { opens, value });
                value
            } else {
                let first = subtree.start;
                output.push(Leaf { opens: opens + inside, value: events[first].value });
                output.extend_from_slice(&events[first + 1..subtree.end]);
                events[subtree].iter().map(|leaf| leaf.value).min().unwrap_or(0)
            }
        } else if known.opens == 0 {
            let value = events[known.leaf].value;
            own.skip(ids);
            known.skip(events);
            output.push(Leaf { opens, value });
            value
        } else {
            own.enter();
            known.enter();
            opens += 1;
            if owns(own) {
                let subtree = known.skip(events);
                own.skip(ids);
                let most = events[subtree].iter().map(|leaf| leaf.value).max().unwrap_or(0);
                stack.push(Pending::RaiseLeft { at: output.len() });
                output.push(Leaf { opens, value: most });
                opens = 0;
            } else {
                stack.push(Pending::Left);
            }
            continue;
        };
        opens = 0;
        // What that completes.
        loop {
            match stack.pop() {
                None => {
                    return Event { tree: Tree::from_leaves(output.len(), output.into_iter()) };
                }
                Some(Pending::RaiseLeft { at }) => output[at].value = output[at].value.max(least),
                Some(Pending::Right { left_min }) => least = least.min(left_min),
                Some(Pending::Left) => {
                    stack.push(Pending::Right { left_min: least });
                    break;
                }
            }
        }
    }
}

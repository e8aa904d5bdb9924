//! [`Id`]: which part of the line a replica owns.
//!
//! Invariant: it is in normal form, so equal parts are equal ids.

use thiserror::Error;

use super::tree::{Leaf, Tree, depths, zip};

/// A part of the line from 0 to 1, made of halves of halves. It leaves its owner only in the handshakes of
/// its life and for the owner's own storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id {
    pub(super) tree: Tree<bool>,
}

/// Two ids that should be of two owners have a part in common: one of them was restored from a backup, or copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("the two ids have a part in common: one of their owners was restored or copied, and needs a new id")]
pub struct Overlap;

impl Id {
    /// The whole line.
    pub fn whole() -> Self {
        Self { tree: Tree::constant(true) }
    }

    /// Nothing.
    pub fn empty() -> Self {
        Self { tree: Tree::constant(false) }
    }

    /// Whether it owns nothing.
    pub fn is_empty(&self) -> bool {
        self.tree.as_constant() == Some(false)
    }

    /// Whether it owns everything.
    pub fn is_whole(&self) -> bool {
        self.tree.as_constant() == Some(true)
    }

    /// One of `of` parts that are as equal as halving allows and together are the whole line. `place` counts from
    /// 0. O(log `of`).
    ///
    /// # Panics
    ///
    /// If `place` is not below `of`.
    pub fn balanced(place: u64, of: u64) -> Self {
        assert!(place < of, "a place is below the number of places");
        let (mut place, mut of) = (place, of);
        let mut lefts = Vec::new();
        while of > 1 {
            let left = of.div_ceil(2);
            lefts.push(place < left);
            (place, of) = if place < left { (place, left) } else { (place - left, of - left) };
        }
        // The way down: a step to the right has an empty leaf before it, a step to the left one after it.
        let mut leaves = Vec::new();
        let mut opens = 0;
        for &left in &lefts {
            opens += 1;
            if !left {
                leaves.push(Leaf { opens, value: false });
                opens = 0;
            }
        }
        leaves.push(Leaf { opens, value: true });
        leaves.extend(lefts.iter().filter(|left| **left).map(|_| Leaf { opens: 0, value: false }));
        Self { tree: Tree::from_leaves(leaves.len(), leaves.into_iter()) }
    }

    /// Two parts that together are this one; both own something if this one does. O(its leaves).
    pub fn split(&self) -> (Self, Self) {
        let leaves = self.tree.leaves();
        let mut owned = (0..leaves.len()).filter(|&i| leaves[i].value);
        let Some(first) = owned.next() else { return (Self::empty(), Self::empty()) };
        let last = owned.next_back().unwrap_or(first);
        let cut = if first == last {
            // One piece: the cut goes through its middle.
            None
        } else {
            Some(highest_boundary(leaves, first, last))
        };
        let half = |left: bool| {
            let pieces = leaves.iter().enumerate().flat_map(|(i, &leaf)| {
                let (now, then) = match cut {
                    Some(cut) => (Leaf { value: leaf.value && (i < cut) == left, ..leaf }, None),
                    None if leaf.value => {
                        (Leaf { opens: leaf.opens + 1, value: left }, Some(Leaf { opens: 0, value: !left }))
                    }
                    None => (leaf, None),
                };
                std::iter::once(now).chain(then)
            });
            Self { tree: Tree::from_leaves(leaves.len() + 1, pieces) }
        };
        (half(true), half(false))
    }

    /// Both parts together. O(leaves of both), one allocation.
    pub fn join(&self, other: &Self) -> Result<Self, Overlap> {
        if self.overlaps(other) {
            return Err(Overlap);
        }
        Ok(self.union(other))
    }

    /// What is in either. O(leaves of both), one allocation.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a || b)
    }

    /// What is in this and not in the other. O(leaves of both), one allocation.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.combine(other, |a, b| a && !b)
    }

    /// Whether some point is in both. O(leaves of both), no allocation.
    pub fn overlaps(&self, other: &Self) -> bool {
        zip(self.tree.iter(), other.tree.iter()).any(|leaf| leaf.value.0 && leaf.value.1)
    }

    /// Whether all of the other is in this one. O(leaves of both), no allocation.
    pub fn contains(&self, other: &Self) -> bool {
        zip(self.tree.iter(), other.tree.iter()).all(|leaf| leaf.value.0 || !leaf.value.1)
    }

    /// How much of the line it is: 2^63 is all of it. Pieces below 2^-63 of the line count as nothing.
    pub fn width(&self) -> u64 {
        depths(self.tree.iter())
            .filter(|(_, owned)| *owned)
            .map(|(depth, _)| (1_u64 << 63).checked_shr(depth).unwrap_or(0))
            .sum()
    }

    /// How many levels of halves it has.
    pub fn depth(&self) -> u32 {
        self.tree.depth()
    }

    /// How many leaves the tree has: what it costs to keep and to compare.
    pub fn leaves(&self) -> usize {
        self.tree.leaves().len()
    }

    fn combine(&self, other: &Self, f: impl Fn(bool, bool) -> bool) -> Self {
        let leaves = zip(self.tree.iter(), other.tree.iter())
            .map(|leaf| Leaf { opens: leaf.opens, value: f(leaf.value.0, leaf.value.1) });
        Self { tree: Tree::from_leaves(self.leaves() + other.leaves(), leaves) }
    }
}

/// Where the right half begins of the smallest node that has both leaves in it.
fn highest_boundary(leaves: &[Leaf<bool>], first: usize, last: usize) -> usize {
    // Before each leaf so many right halves are still to come; the fewer, the higher the one that begins.
    let mut pending = 1_u64;
    let mut highest = (u64::MAX, last);
    for (i, leaf) in leaves.iter().enumerate().take(last + 1) {
        if i > first && pending < highest.0 {
            highest = (pending, i);
        }
        pending = pending + u64::from(leaf.opens) - 1;
    }
    highest.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::arbitrary::{sample, tree};
    use super::*;

    fn id() -> impl Strategy<Value = Id> {
        tree(any::<bool>()).prop_map(|tree| Id { tree })
    }

    proptest! {
        #[test]
        fn the_parts_of_a_split_are_the_whole(id in id()) {
            let (left, right) = id.split();
            prop_assert!(!left.overlaps(&right));
            prop_assert_eq!(left.is_empty(), id.is_empty());
            prop_assert_eq!(right.is_empty(), id.is_empty());
            prop_assert_eq!(left.join(&right), Ok(id));
        }

        #[test]
        fn parts_are_sets_of_points(a in id(), b in id()) {
            let points = |f: fn(bool, bool) -> bool| -> Vec<bool> {
                sample(&a.tree).into_iter().zip(sample(&b.tree)).map(|(x, y)| f(x, y)).collect()
            };
            let common = points(|x, y| x && y);
            prop_assert_eq!(a.overlaps(&b), common.contains(&true));
            prop_assert_eq!(a.join(&b).is_err(), common.contains(&true));
            prop_assert_eq!(sample(&a.union(&b).tree), points(|x, y| x || y));
            prop_assert_eq!(sample(&a.without(&b).tree), points(|x, y| x && !y));
            prop_assert_eq!(a.contains(&b), !points(|x, y| y && !x).contains(&true));
            let owned = sample(&a.tree).iter().filter(|owned| **owned).count() as u64;
            prop_assert_eq!(a.width(), owned << (63 - 6));
        }

        #[test]
        fn balanced_parts_are_the_whole_and_nearly_equal(of in 1_u64..80) {
            let parts: Vec<Id> = (0..of).map(|place| Id::balanced(place, of)).collect();
            let mut all = Id::empty();
            for part in &parts {
                all = all.join(part).unwrap();
                prop_assert!(part.width() / 2 <= parts.iter().map(Id::width).min().unwrap());
            }
            prop_assert!(all.is_whole());
        }
    }

    #[test]
    fn an_overlap_is_said() {
        assert_eq!(Id::whole().join(&Id::balanced(1, 3)), Err(Overlap));
        assert!(Overlap.to_string().contains("needs a new id"));
        assert_eq!(Id::empty().split(), (Id::empty(), Id::empty()));
    }

    #[test]
    fn a_deep_id_has_a_width() {
        let mut id = Id::whole();
        for _ in 0..200 {
            id = id.split().1;
        }
        assert_eq!((id.depth(), id.width()), (200, 0));
    }
}

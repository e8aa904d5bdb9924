//! [`Tree`]: a value for each point of the line from 0 to 1, as a binary tree of halves.
//!
//! Invariant: normal form. No two sibling leaves have one value, so that equal functions are equal arrays.
//!
//! The tree is the array of its leaves from left to right; a leaf says how many inner nodes are opened just before
//! it, in preorder. Two such trees are walked side by side with two counters and no stack: [`zip`].

/// A leaf, and how many inner nodes have it as their first one and begin with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Leaf<V> {
    pub(super) opens: u32,
    pub(super) value: V,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tree<V> {
    leaves: Vec<Leaf<V>>,
}

impl<V: Copy + Eq> Tree<V> {
    /// One value everywhere.
    pub(super) fn constant(value: V) -> Self {
        Self { leaves: vec![Leaf { opens: 0, value }] }
    }

    pub(super) fn leaves(&self) -> &[Leaf<V>] {
        &self.leaves
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Leaf<V>> + Clone {
        self.leaves.iter().copied()
    }

    /// The value, if it is one everywhere.
    pub(super) fn as_constant(&self) -> Option<V> {
        match self.leaves[..] {
            [Leaf { value, .. }] => Some(value),
            _ => None,
        }
    }

    /// The tree of leaves that are a whole tree in preorder, normal or not. `most` is how many there may be.
    pub(super) fn from_leaves(most: usize, leaves: impl Iterator<Item = Leaf<V>>) -> Self {
        let mut builder = Builder::with_capacity(most);
        for leaf in leaves {
            builder.push(leaf);
        }
        builder.finish()
    }

    /// How many levels of halves there are: 0 if the value is one everywhere. Allocates a stack.
    pub(super) fn depth(&self) -> u32 {
        depths(self.iter()).map(|(depth, _)| depth).max().unwrap_or(0)
    }
}

/// Puts leaves together in normal form: two equal siblings become their parent.
#[derive(Debug)]
pub(super) struct Builder<V> {
    leaves: Vec<Leaf<V>>,
}

impl<V: Copy + Eq> Builder<V> {
    pub(super) fn with_capacity(leaves: usize) -> Self {
        Self { leaves: Vec::with_capacity(leaves) }
    }

    pub(super) fn push(&mut self, mut leaf: Leaf<V>) {
        // A leaf that opens nothing is a right child. Its sibling ended just before it, and is a leaf if it was
        // opened just before it.
        while leaf.opens == 0
            && let Some(&left) = self.leaves.last()
            && left.opens > 0
            && left.value == leaf.value
        {
            self.leaves.pop();
            leaf.opens = left.opens - 1;
        }
        self.leaves.push(leaf);
    }

    pub(super) fn finish(self) -> Tree<V> {
        debug_assert!(is_whole(&self.leaves), "invariant: the leaves pushed were a whole tree");
        Tree { leaves: self.leaves }
    }
}

/// Whether the leaves close exactly the nodes they open.
fn is_whole<V>(leaves: &[Leaf<V>]) -> bool {
    let mut pending = 1_u64;
    for leaf in leaves {
        if pending == 0 {
            return false;
        }
        pending += u64::from(leaf.opens);
        pending -= 1;
    }
    pending == 0
}

/// The index after the subtree that begins at `start` with `opens` of the leaf's nodes inside it.
pub(super) fn subtree_end<V>(leaves: &[Leaf<V>], start: usize, opens: u32) -> usize {
    let mut pending = u64::from(opens);
    let mut end = start + 1;
    while pending > 0 {
        pending += u64::from(leaves[end].opens);
        pending -= 1;
        end += 1;
    }
    end
}

/// The depth of each leaf, with its value. Allocates a stack as deep as the tree.
pub(super) fn depths<V>(leaves: impl Iterator<Item = Leaf<V>>) -> impl Iterator<Item = (u32, V)> {
    // Where the right halves that are still to come begin.
    let mut rights: Vec<u32> = Vec::new();
    leaves.scan(0_u32, move |start, leaf| {
        let depth = *start + leaf.opens;
        rights.extend(*start + 1..=depth);
        *start = rights.pop().unwrap_or(0);
        Some((depth, leaf.value))
    })
}

/// Walks two trees at once: the leaves of the coarsest tree that is as fine as both, with both values. That tree
/// need not be normal. Allocates nothing.
pub(super) fn zip<A: Copy, B: Copy>(
    left: impl Iterator<Item = Leaf<A>>,
    right: impl Iterator<Item = Leaf<B>>,
) -> impl Iterator<Item = Leaf<(A, B)>> {
    Zip { left, right, cover: Cover::Neither }
}

#[derive(Debug)]
struct Zip<L, R, A, B> {
    left: L,
    right: R,
    cover: Cover<A, B>,
}

/// Which tree's leaf reaches over more leaves of the other: so many subtrees of it are still to come.
#[derive(Debug, Clone, Copy)]
enum Cover<A, B> {
    Neither,
    Left(A, u64),
    Right(B, u64),
}

impl<A, B, L, R> Iterator for Zip<L, R, A, B>
where
    A: Copy,
    B: Copy,
    L: Iterator<Item = Leaf<A>>,
    R: Iterator<Item = Leaf<B>>,
{
    type Item = Leaf<(A, B)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.cover {
            Cover::Neither => {
                // Both stand at the same node.
                let (a, b) = (self.left.next()?, self.right.next()?);
                let deeper = u64::from(a.opens.abs_diff(b.opens));
                if a.opens < b.opens {
                    self.cover = Cover::Left(a.value, deeper);
                } else if b.opens < a.opens {
                    self.cover = Cover::Right(b.value, deeper);
                }
                Some(Leaf { opens: a.opens.max(b.opens), value: (a.value, b.value) })
            }
            &mut Cover::Left(value, ref mut pending) => {
                let b = self.right.next()?;
                *pending = *pending + u64::from(b.opens) - 1;
                if *pending == 0 {
                    self.cover = Cover::Neither;
                }
                Some(Leaf { opens: b.opens, value: (value, b.value) })
            }
            &mut Cover::Right(value, ref mut pending) => {
                let a = self.left.next()?;
                *pending = *pending + u64::from(a.opens) - 1;
                if *pending == 0 {
                    self.cover = Cover::Neither;
                }
                Some(Leaf { opens: a.opens, value: (a.value, value) })
            }
        }
    }
}

/// Trees of any shape, for tests.
#[cfg(test)]
pub(super) mod arbitrary {
    use proptest::prelude::*;

    use super::{Leaf, Tree};

    /// Into so many parts [`sample`] cuts the line.
    pub(in super::super) const SAMPLES: usize = 1 << 6;

    /// Draws a tree of at most 6 levels: at each node a choice whether to go deeper.
    pub(in super::super) fn tree<V: Copy + Eq + std::fmt::Debug>(
        values: impl Strategy<Value = V> + 'static,
    ) -> impl Strategy<Value = Tree<V>> {
        proptest::collection::vec((0_u32..4, values), 64).prop_map(|draws| {
            let mut draws = draws.into_iter();
            let mut leaves = Vec::new();
            let mut pending = vec![0_u32];
            while let Some(depth) = pending.pop() {
                let (opens, value) = draws.next().expect("64 leaves at most");
                let opens = opens.min(6 - depth);
                pending.extend(depth + 1..=depth + opens);
                leaves.push(Leaf { opens, value });
            }
            Tree::from_leaves(0, leaves.into_iter())
        })
    }

    /// The value of each of the line's 64 parts: what a tree means, without trees.
    pub(in super::super) fn sample<V: Copy + Eq>(tree: &Tree<V>) -> Vec<V> {
        super::depths(tree.iter()).flat_map(|(depth, value)| vec![value; SAMPLES >> depth]).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::arbitrary::{SAMPLES, sample, tree};
    use super::*;

    proptest! {
        #[test]
        fn equal_functions_are_equal_trees(a in tree(0_u8..2), b in tree(0_u8..2)) {
            prop_assert_eq!(sample(&a).len(), SAMPLES);
            prop_assert_eq!(a == b, sample(&a) == sample(&b));
            // From the finest leaves the same tree comes back.
            let finest: Vec<Leaf<u8>> = sample(&a)
                .iter()
                .enumerate()
                .map(|(i, &value)| Leaf { opens: if i == 0 { 6 } else { i.trailing_zeros() }, value })
                .collect();
            prop_assert_eq!(Tree::from_leaves(0, finest.into_iter()), a);
        }

        #[test]
        fn two_trees_are_walked_as_two_functions(a in tree(0_u8..3), b in tree(any::<bool>())) {
            let both = Tree::from_leaves(0, zip(a.iter(), b.iter()));
            let expected: Vec<(u8, bool)> = sample(&a).into_iter().zip(sample(&b)).collect();
            prop_assert_eq!(sample(&both), expected);
        }

        #[test]
        fn a_subtree_ends_where_its_depths_say(a in tree(0_u8..3)) {
            let all: Vec<u32> = depths(a.iter()).map(|(depth, _)| depth).collect();
            prop_assert_eq!(all.iter().copied().max().unwrap(), a.depth());
            for (start, leaf) in a.leaves().iter().enumerate() {
                for opens in 0..=leaf.opens {
                    let end = subtree_end(a.leaves(), start, opens);
                    let width: usize = all[start..end].iter().map(|depth| SAMPLES >> depth).sum();
                    prop_assert_eq!(width, SAMPLES >> (all[start] - opens));
                }
            }
        }
    }
}

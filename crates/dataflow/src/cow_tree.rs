//! [`CowTree`]: an ordered collection with O(1) snapshots, a B+ tree of shared nodes.
//!
//! A clone shares every node. A later write is put aside while the clone is there, and settles where it belongs
//! when the clone is gone ([`CowTree::settle`]); only if too many are put aside are paths copied. Where nothing is
//! shared a write is made in place. Invariant: leaves are equally deep and never empty (the root may be), two
//! neighbours under one parent hold more than one node's worth together, and a branch repeats the least
//! element of each child but the first.
//!
//! The order is given with each call as a comparison of an element with what is sought, so that an element
//! may be a bare row and its key a choice of its columns. All calls on one tree must use one total order.

mod pending;

use std::{cmp::Ordering, sync::Arc};

use pending::{Kind, PENDING, Path, Pending};

/// The most elements of a leaf and children of a branch.
const WIDTH: usize = 32;

/// Deep enough for any tree that fits in memory: a level multiplies by at least a half of [`WIDTH`] on average.
const DEPTH: usize = 10;

/// An ordered collection whose clone is a snapshot.
///
/// ```
/// use deltaic_dataflow::CowTree;
/// let mut numbers = CowTree::default();
/// for n in [5, 1, 3] {
///     numbers.update(|element: &i32| element.cmp(&n), |_| true, || Some(n));
/// }
/// let before = numbers.clone();
/// numbers.update(|element| element.cmp(&3), |_| false, || None);
/// assert_eq!(numbers.iter().copied().collect::<Vec<_>>(), [1, 5]);
/// assert_eq!(before.iter().copied().collect::<Vec<_>>(), [1, 3, 5]);
/// ```
#[derive(Debug, Clone)]
pub struct CowTree<T> {
    root: Arc<Node<T>>,
    /// Changes that are not in the nodes, because a clone shared them.
    pending: Vec<Pending<T>>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node<T> {
    Leaf(Vec<T>),
    /// `least` changes only with the children's number, so the copy of a path shares it.
    Branch {
        children: Vec<Arc<Node<T>>>,
        least: Arc<[T]>,
    },
}

impl<T> Node<T> {
    fn width(&self) -> usize {
        match self {
            Self::Leaf(elements) => elements.len(),
            Self::Branch { children, .. } => children.len(),
        }
    }
}

impl<T> Default for CowTree<T> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), pending: Vec::new(), len: 0 }
    }
}

/// What an update did to a node's width, for its parent to set right.
enum Change<T> {
    None,
    /// The node was split: its new right neighbour and that one's least element.
    Split(T, Arc<Node<T>>),
    /// An element left.
    Shrunk,
}

impl<T: Clone> CowTree<T> {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element that compares as equal. O(log n).
    pub fn get(&self, order: impl Fn(&T) -> Ordering) -> Option<&T> {
        if let Ok(index) = self.pending.binary_search_by(|change| order(&change.element)) {
            return self.pending[index].present();
        }
        let mut node = &self.root;
        loop {
            match &**node {
                Node::Leaf(elements) => {
                    return elements.binary_search_by(&order).ok().map(|place| &elements[place]);
                }
                Node::Branch { children, least } => node = &children[child_of(least, &order)],
            }
        }
    }

    /// Changes the element that compares as equal, or adds one.
    ///
    /// Where there is such an element `found` may change it (not its place in the order) and says whether it
    /// stays; where there is none `missing` may give one. O(log n); where the tree is shared the change is put aside,
    /// which copies the element alone, or after many of them the paths to all that were.
    pub fn update(
        &mut self,
        order: impl Fn(&T) -> Ordering,
        found: impl FnOnce(&mut T) -> bool,
        missing: impl FnOnce() -> Option<T>,
    ) {
        if Arc::strong_count(&self.root) > 1 && self.pending.len() < PENDING {
            let grown = pending::put_aside(&mut self.pending, &self.root, &order, found, missing);
            self.len = self.len.checked_add_signed(grown).expect("invariant: elements are counted");
            return;
        }
        self.settle_shared();
        let mut change = Change::None;
        let mut grown = 0_isize;
        descend(&mut self.root, &order, found, missing, &mut change, &mut grown);
        self.len = self.len.checked_add_signed(grown).expect("invariant: elements are counted");
        match change {
            Change::Split(least, right) => {
                let left = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Vec::new())));
                self.root = Arc::new(Node::Branch { children: vec![left, right], least: Arc::new([least]) });
            }
            Change::Shrunk => {
                // A root with one child is a level too many.
                loop {
                    let only = match &*self.root {
                        Node::Branch { children, .. } if children.len() == 1 => Arc::clone(&children[0]),
                        _ => break,
                    };
                    self.root = only;
                }
            }
            Change::None => {}
        }
    }

    /// Puts what was put aside where it belongs, if no clone shares the tree any more. Whoever has dropped a snapshot
    /// calls this, so that the next change finds nothing put aside. O(1) a change and level.
    pub fn settle(&mut self) {
        if !self.pending.is_empty() && Arc::strong_count(&self.root) == 1 {
            self.settle_shared();
        }
    }

    /// The same, copying what is shared.
    fn settle_shared(&mut self) {
        if !self.pending.is_empty() {
            pending::settle(&mut self.root, std::mem::take(&mut self.pending));
        }
    }

    /// All elements in order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_from(|_| Ordering::Greater)
    }

    /// The elements from the first that does not compare as less.
    pub fn iter_from(&self, order: impl Fn(&T) -> Ordering) -> Iter<'_, T> {
        let start = self.pending.partition_point(|change| order(&change.element) == Ordering::Less);
        let pending = &self.pending[start..];
        let mut iter = Iter { stack: [None; DEPTH], depth: 0, pending, leaf: Path::default() };
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(elements) => {
                    let place = elements.partition_point(|element| order(element) == Ordering::Less);
                    iter.push(node, place);
                    return iter;
                }
                Node::Branch { children, least } => {
                    // The child before the first whose least element is not less may hold the start.
                    let place = least.partition_point(|element| order(element) == Ordering::Less);
                    iter.push(node, place + 1);
                    node = &children[place];
                }
            }
        }
    }

    /// The greatest element. O(log n) and those that were put aside.
    pub fn last(&self) -> Option<&T> {
        if !self.pending.is_empty() {
            return pending::last(&self.root, Path::default(), &mut self.pending.as_slice());
        }
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(elements) => return elements.last(),
                Node::Branch { children, .. } => node = children.last()?,
            }
        }
    }

    /// Builds a tree of elements that are in order already. O(n).
    pub fn from_sorted(elements: impl IntoIterator<Item = T>) -> Self {
        let mut len = 0;
        let mut level: Vec<(T, Arc<Node<T>>)> = Vec::new();
        let mut leaf: Vec<T> = Vec::with_capacity(WIDTH);
        for element in elements {
            len += 1;
            if leaf.len() == WIDTH {
                let full = std::mem::replace(&mut leaf, Vec::with_capacity(WIDTH));
                level.push((full[0].clone(), Arc::new(Node::Leaf(full))));
            }
            leaf.push(element);
        }
        if let Some(first) = leaf.first() {
            level.push((first.clone(), Arc::new(Node::Leaf(leaf))));
        }
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len() / WIDTH + 1);
            let mut rest = level.into_iter().peekable();
            while rest.peek().is_some() {
                let (firsts, children): (Vec<T>, Vec<_>) = rest.by_ref().take(WIDTH).unzip();
                let mut firsts = firsts.into_iter();
                let least_of_all = firsts.next().expect("invariant: a chunk is not empty");
                above.push((least_of_all, Arc::new(Node::Branch { children, least: firsts.collect() })));
            }
            level = above;
        }
        match level.pop() {
            Some((_, root)) => Self { root, pending: Vec::new(), len },
            None => Self::default(),
        }
    }
}

fn child_of<T>(least: &[T], order: &impl Fn(&T) -> Ordering) -> usize {
    least.partition_point(|element| order(element) != Ordering::Greater)
}

fn descend<T: Clone>(
    node: &mut Arc<Node<T>>,
    order: &impl Fn(&T) -> Ordering,
    found: impl FnOnce(&mut T) -> bool,
    missing: impl FnOnce() -> Option<T>,
    change: &mut Change<T>,
    grown: &mut isize,
) {
    match Arc::make_mut(node) {
        Node::Leaf(elements) => match elements.binary_search_by(order) {
            Ok(place) => {
                if !found(&mut elements[place]) {
                    elements.remove(place);
                    *grown = -1;
                    *change = Change::Shrunk;
                }
            }
            Err(place) => {
                if let Some(element) = missing() {
                    insert(elements, place, element);
                    *grown = 1;
                    if elements.len() > WIDTH {
                        // Rising keys are common: a split at the end leaves a full leaf behind.
                        let at = if place + 1 == elements.len() { WIDTH } else { WIDTH / 2 };
                        let right = elements.split_off(at);
                        elements.shrink_to_fit();
                        *change = Change::Split(right[0].clone(), Arc::new(Node::Leaf(right)));
                    }
                }
            }
        },
        Node::Branch { children, least } => {
            let place = child_of(least, order);
            descend(&mut children[place], order, found, missing, change, grown);
            match std::mem::replace(change, Change::None) {
                Change::None => {}
                Change::Split(first, right) => {
                    let mut firsts = least.to_vec();
                    firsts.insert(place, first);
                    children.insert(place + 1, right);
                    if children.len() > WIDTH {
                        let at = if place + 2 == children.len() { WIDTH } else { WIDTH / 2 };
                        let right_children = children.split_off(at);
                        let mut right_firsts = firsts.split_off(at - 1);
                        let first = right_firsts.remove(0);
                        let right = Node::Branch { children: right_children, least: right_firsts.into() };
                        *change = Change::Split(first, Arc::new(right));
                    }
                    *least = firsts.into();
                }
                Change::Shrunk => {
                    if children[place].width() == 0 {
                        children.remove(place);
                        if !least.is_empty() {
                            *least = without(least, place.saturating_sub(1));
                        }
                    } else {
                        join_neighbours(children, least, place);
                    }
                    *change = Change::Shrunk;
                }
            }
        }
    }
}

/// Inserts without much room to spare, which would be there in every leaf.
fn insert<T>(elements: &mut Vec<T>, place: usize, element: T) {
    if elements.len() == elements.capacity() {
        elements.reserve_exact(WIDTH / 8);
    }
    elements.insert(place, element);
}

/// The elements but the one at `place`.
fn without<T: Clone>(elements: &[T], place: usize) -> Arc<[T]> {
    let (before, after) = elements.split_at(place);
    before.iter().chain(&after[1..]).cloned().collect()
}

/// Joins the child at `place` with a neighbour where both fit into one node with room to spare.
fn join_neighbours<T: Clone>(children: &mut Vec<Arc<Node<T>>>, least: &mut Arc<[T]>, place: usize) {
    for left in [place.wrapping_sub(1), place] {
        let Some(right) = left.checked_add(1).filter(|right| *right < children.len()) else { continue };
        if children[left].width() + children[right].width() > WIDTH * 3 / 4 {
            continue;
        }
        let right_node = children.remove(right);
        let between = least[left].clone();
        *least = without(least, left);
        let right_node = Arc::unwrap_or_clone(right_node);
        match (Arc::make_mut(&mut children[left]), right_node) {
            (Node::Leaf(into), Node::Leaf(from)) => into.extend(from),
            (
                Node::Branch { children: into, least: into_least },
                Node::Branch { children: from, least: from_least },
            ) => {
                into.extend(from);
                let firsts = into_least.iter().cloned().chain([between]).chain(from_least.iter().cloned());
                *into_least = firsts.collect();
            }
            _ => unreachable!("invariant: leaves are equally deep"),
        }
        return;
    }
}

/// An iterator over the elements of a [`CowTree`] in order.
#[derive(Debug, Clone)]
pub struct Iter<'a, T> {
    stack: [Option<(&'a Node<T>, usize)>; DEPTH],
    depth: usize,
    /// The changes put aside that are ahead.
    pending: &'a [Pending<T>],
    /// The path to the leaf, while changes are ahead.
    leaf: Path,
}

impl<'a, T> Iter<'a, T> {
    fn push(&mut self, node: &'a Node<T>, place: usize) {
        if !self.pending.is_empty() && matches!(node, Node::Leaf(_)) {
            // A branch's place is the child after the one that is walked.
            let above = self.stack[..self.depth].iter().flatten();
            self.leaf = above.fold(Path::default(), |path, (_, next)| path.then(next - 1));
        }
        self.stack[self.depth] = Some((node, place));
        self.depth += 1;
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        while self.depth > 0 {
            let (node, place) = self.stack[self.depth - 1].as_mut()?;
            match *node {
                Node::Leaf(elements) => {
                    if let Some((change, rest)) = self.pending.split_first()
                        && change.at == self.leaf.then(*place)
                    {
                        self.pending = rest;
                        *place += usize::from(change.kind != Kind::Insert);
                        match change.present() {
                            Some(element) => return Some(element),
                            None => continue,
                        }
                    }
                    if let Some(element) = elements.get(*place) {
                        *place += 1;
                        return Some(element);
                    }
                    self.depth -= 1;
                }
                Node::Branch { children, .. } => {
                    if let Some(child) = children.get(*place) {
                        *place += 1;
                        self.push(child, 0);
                    } else {
                        self.depth -= 1;
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn check<T: Clone + Ord + std::fmt::Debug>(tree: &CowTree<T>) {
        fn walk<T: Ord>(node: &Node<T>, depth: usize, leaf_depth: &mut Option<usize>, is_root: bool) {
            assert!(node.width() <= WIDTH);
            match node {
                Node::Leaf(elements) => {
                    assert!(is_root || !elements.is_empty());
                    assert_eq!(*leaf_depth.get_or_insert(depth), depth, "leaves are equally deep");
                }
                Node::Branch { children, least } => {
                    assert_eq!(children.len(), least.len() + 1);
                    assert!(!is_root || children.len() > 1);
                    for child in children {
                        walk(child, depth + 1, leaf_depth, false);
                    }
                }
            }
        }
        walk(&tree.root, 0, &mut None, true);
        let elements: Vec<&T> = tree.iter().collect();
        assert!(elements.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(elements.len(), tree.len());
        assert_eq!(tree.last(), elements.last().copied());
    }

    fn pair((n, count): (&u16, &usize)) -> (u16, usize) {
        (*n, *count)
    }

    fn toggle(tree: &mut CowTree<u16>, n: u16) {
        tree.update(|element| element.cmp(&n), |_| false, || Some(n));
    }

    proptest! {
        #[test]
        fn agrees_with_an_ordered_set_and_snapshots_stay(
            numbers in proptest::collection::vec(0_u16..600, 0..1500),
            snapshot_at in 0_usize..1500,
            start in 0_u16..600,
        ) {
            let mut tree = CowTree::default();
            let mut model = BTreeSet::new();
            let mut snapshot = None;
            for (step, n) in numbers.iter().enumerate() {
                if step == snapshot_at {
                    snapshot = Some((tree.clone(), model.clone()));
                }
                toggle(&mut tree, *n);
                if !model.remove(n) { model.insert(*n); }
                prop_assert_eq!(tree.last(), model.last());
            }
            for (tree, model) in std::iter::once((tree, model)).chain(snapshot) {
                check(&tree);
                prop_assert!(tree.iter().eq(model.iter()));
                prop_assert!(tree.iter_from(|element| element.cmp(&start)).eq(model.range(start..)));
                prop_assert_eq!(tree.get(|element| element.cmp(&start)), model.get(&start));
                let rebuilt = CowTree::from_sorted(model.iter().copied());
                check(&rebuilt);
                prop_assert!(rebuilt.iter().eq(model.iter()));
            }
        }

        /// As a commit does it: a snapshot, some changes, the snapshot dropped, now and then settled.
        #[test]
        fn what_was_put_aside_counts_at_once_and_settles_where_it_belongs(
            start in proptest::collection::btree_set(0_u16..2_000, 0..1_500),
            commits in proptest::collection::vec(
                (proptest::collection::vec((0_u16..2_000, any::<bool>()), 0..300), any::<bool>(), 0_u16..2_000),
                0..12,
            ),
        ) {
            let element = |n: u16| (n, 0_usize);
            let mut tree = CowTree::from_sorted(start.iter().copied().map(element));
            let mut model: BTreeMap<u16, usize> = start.into_iter().map(element).collect();
            let mut kept = Vec::new();
            for (number, (changes, settles, from)) in commits.into_iter().enumerate() {
                let before = (tree.clone(), model.clone());
                for (n, toggles) in changes {
                    tree.update(
                        |element| element.0.cmp(&n),
                        |element| { element.1 += 1; !toggles },
                        || toggles.then_some((n, number)),
                    );
                    match (model.get_mut(&n), toggles) {
                        (Some(_), true) => { model.remove(&n); }
                        (Some(count), false) => *count += 1,
                        (None, true) => { model.insert(n, number); }
                        (None, false) => {}
                    }
                    prop_assert_eq!(tree.get(|element| element.0.cmp(&n)).copied(), model.get_key_value(&n).map(pair));
                }
                prop_assert_eq!(tree.last().copied(), model.last_key_value().map(pair));
                let ahead = tree.iter_from(|element| element.0.cmp(&from)).copied();
                prop_assert!(ahead.eq(model.range(from..).map(pair)));
                if settles {
                    drop(before);
                    tree.settle();
                    prop_assert!(tree.pending.is_empty() || !kept.is_empty());
                } else if number % 2 == 0 {
                    kept.push(before);
                }
                check(&tree);
                prop_assert!(tree.iter().copied().eq(model.iter().map(pair)));
            }
            tree.settle_shared();
            check(&tree);
            prop_assert!(tree.iter().copied().eq(model.iter().map(pair)));
            for (tree, model) in kept {
                check(&tree);
                prop_assert!(tree.iter().copied().eq(model.iter().map(pair)));
            }
        }

        #[test]
        fn rising_and_falling_keys_keep_the_shape(count in 0_u16..3000) {
            let mut tree = CowTree::default();
            for n in 0..count { toggle(&mut tree, n); }
            check(&tree);
            for n in (0..count).rev().step_by(2) { toggle(&mut tree, n); }
            check(&tree);
            for n in 0..count { toggle(&mut tree, n); }
            check(&tree);
        }
    }
}

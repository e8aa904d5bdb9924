//! [`Pending`]: changes of a tree whose nodes a snapshot shares, kept beside the tree until the snapshot is gone.
//!
//! A change that is put aside costs its own size; the same change made in the tree would copy the path to a leaf, and
//! with it a handle of every neighbour. Where it belongs is known by its path, so settling compares nothing and walks
//! once to each leaf that changes. Invariant: pending changes ascend in the tree's order and by their paths, each
//! element stands in one of them at most, and the nodes do not change while there are any.

use std::{cmp::Ordering, iter::Peekable, sync::Arc, vec};

use super::{Node, WIDTH, join_neighbours, without};

/// The most changes that are put aside.
pub(super) const PENDING: usize = 128;

/// The bits of a path that a level takes: a place in a node, the place behind its last element included.
const BITS: u32 = 6;

/// The place of an element: those on the way to it, the root's first. All leaves are equally deep, so paths of one tree
/// have the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Path(u64);

impl Path {
    pub(super) fn then(self, place: usize) -> Self {
        debug_assert!(
            place >> BITS == 0 && self.0 >> (u64::BITS - BITS) == 0,
            "a path has room for each level"
        );
        Self(self.0 << BITS | place as u64)
    }

    /// The path to the node that is so many levels above.
    fn above(self, levels: u32) -> Self {
        Self(self.0 >> (BITS * levels))
    }

    fn place(self) -> usize {
        (self.0 & ((1 << BITS) - 1)) as usize
    }
}

/// What becomes of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An element comes before what is there.
    Insert,
    /// Another takes the place of the one that is there.
    Replace,
    /// The one that is there goes.
    Remove,
}

/// A change that was put aside.
#[derive(Debug, Clone)]
pub(super) struct Pending<T> {
    pub(super) at: Path,
    pub(super) kind: Kind,
    /// The element that comes, or the one that goes.
    pub(super) element: T,
}

impl<T> Pending<T> {
    /// The element, where it is there after the change.
    pub(super) fn present(&self) -> Option<&T> {
        (self.kind != Kind::Remove).then_some(&self.element)
    }
}

/// Makes a change aside, as [`super::CowTree::update`] does; gives by how much the number of elements grows.
pub(super) fn put_aside<T: Clone>(
    pending: &mut Vec<Pending<T>>,
    root: &Node<T>,
    order: &impl Fn(&T) -> Ordering,
    found: impl FnOnce(&mut T) -> bool,
    missing: impl FnOnce() -> Option<T>,
) -> isize {
    let index = match pending.binary_search_by(|change| order(&change.element)) {
        Err(index) => index,
        Ok(index) => {
            let change = &mut pending[index];
            return match change.kind {
                Kind::Remove => missing().map_or(0, |element| {
                    (change.kind, change.element) = (Kind::Replace, element);
                    1
                }),
                _ if found(&mut change.element) => 0,
                Kind::Insert => {
                    pending.remove(index);
                    -1
                }
                Kind::Replace => {
                    change.kind = Kind::Remove;
                    -1
                }
            };
        }
    };
    let (place, at) = find(root, order);
    let (kind, element, grown) = match place {
        Some(element) => {
            let mut element = element.clone();
            if found(&mut element) { (Kind::Replace, element, 0) } else { (Kind::Remove, element, -1) }
        }
        None => match missing() {
            Some(element) => (Kind::Insert, element, 1),
            None => return 0,
        },
    };
    pending.insert(index, Pending { at, kind, element });
    grown
}

/// The element that compares as equal, and its place or the one where it would be.
fn find<'a, T>(root: &'a Node<T>, order: &impl Fn(&T) -> Ordering) -> (Option<&'a T>, Path) {
    let (mut node, mut path) = (root, Path::default());
    loop {
        match node {
            Node::Leaf(elements) => {
                return match elements.binary_search_by(order) {
                    Ok(place) => (Some(&elements[place]), path.then(place)),
                    Err(place) => (None, path.then(place)),
                };
            }
            Node::Branch { children, least } => {
                let place = super::child_of(least, order);
                path = path.then(place);
                node = &children[place];
            }
        }
    }
}

/// The greatest element of a node, whose path is given, with the changes; those that it passed are taken.
pub(super) fn last<'a, T>(node: &'a Node<T>, path: Path, pending: &mut &'a [Pending<T>]) -> Option<&'a T> {
    match node {
        Node::Leaf(elements) => (0..=elements.len()).rev().find_map(|place| {
            let mut own = elements.get(place);
            while let Some((change, before)) = pending.split_last()
                && change.at == path.then(place)
            {
                *pending = before;
                match change.kind {
                    Kind::Remove => own = None,
                    Kind::Replace => return Some(&change.element),
                    Kind::Insert => return own.or(Some(&change.element)),
                }
            }
            own
        }),
        Node::Branch { children, .. } => children
            .iter()
            .enumerate()
            .rev()
            .find_map(|(place, child)| last(child, path.then(place), pending)),
    }
}

/// The changes that are still to be made.
type Changes<T> = Peekable<vec::IntoIter<Pending<T>>>;

/// Nodes to the right of another, each with its least element.
type Siblings<T> = Vec<(T, Arc<Node<T>>)>;

/// Makes the changes in the tree: each node that they reach is visited once, and copied where it is shared.
pub(super) fn settle<T: Clone>(root: &mut Arc<Node<T>>, pending: Vec<Pending<T>>) {
    let mut changes = pending.into_iter().peekable();
    let siblings = settle_node(root, &mut changes, Path::default(), height(root));
    debug_assert!(changes.peek().is_none(), "each change has its place");
    if !siblings.is_empty() {
        let left = std::mem::replace(root, Arc::new(Node::Leaf(Vec::new())));
        let (least, right): (Vec<T>, Vec<Arc<Node<T>>>) = siblings.into_iter().unzip();
        let children = std::iter::once(left).chain(right).collect();
        *root = Arc::new(Node::Branch { children, least: least.into() });
    }
    // A root with one child is a level too many.
    while let Node::Branch { children, .. } = &**root {
        *root = match children.as_slice() {
            [] => Arc::new(Node::Leaf(Vec::new())),
            [only] => Arc::clone(only),
            _ => break,
        };
    }
}

/// How many levels are below a node.
fn height<T>(mut node: &Node<T>) -> u32 {
    let mut height = 0;
    while let Node::Branch { children, .. } = node {
        node = &children[0];
        height += 1;
    }
    height
}

fn settle_node<T: Clone>(
    node: &mut Arc<Node<T>>,
    changes: &mut Changes<T>,
    path: Path,
    height: u32,
) -> Siblings<T> {
    match Arc::make_mut(node) {
        Node::Leaf(elements) => settle_leaf(elements, changes, path),
        Node::Branch { children, least } => {
            let (mut first, mut last) = (usize::MAX, 0);
            let (mut came, mut shrunk) = (0, false);
            while let Some(child_path) =
                changes.peek().map(|change| change.at.above(height)).filter(|child| child.above(1) == path)
            {
                let place = child_path.place() + came;
                let before = children[place].width();
                let siblings = settle_node(&mut children[place], changes, child_path, height - 1);
                shrunk |= children[place].width() < before;
                first = first.min(place);
                last = place + siblings.len();
                came += siblings.len();
                if !siblings.is_empty() {
                    let (firsts, right): (Vec<T>, Vec<Arc<Node<T>>>) = siblings.into_iter().unzip();
                    let (left, rest) = least.split_at(place);
                    *least = left.iter().chain(&firsts).chain(rest).cloned().collect();
                    let rest = children.split_off(place + 1);
                    children.extend(right.into_iter().chain(rest));
                }
            }
            if shrunk {
                join_between(children, least, first, last);
            }
            split_branch(children, least)
        }
    }
}

fn settle_leaf<T: Clone>(elements: &mut Vec<T>, changes: &mut Changes<T>, path: Path) -> Siblings<T> {
    let mut shift = 0_isize;
    let mut rising = false;
    while let Some(change) = changes.next_if(|change| change.at.above(1) == path) {
        let place = change.at.place().checked_add_signed(shift).expect("invariant: a place is in its leaf");
        match change.kind {
            Kind::Insert => {
                rising = place == elements.len();
                super::insert(elements, place, change.element);
                shift += 1;
            }
            Kind::Replace => elements[place] = change.element,
            Kind::Remove => {
                elements.remove(place);
                shift -= 1;
            }
        }
    }
    let right = split(elements, rising).into_iter();
    right.map(|right| (right[0].clone(), Arc::new(Node::Leaf(right)))).collect()
}

/// What does not fit into a node, in nodes of its own: full ones where keys rise, even ones otherwise.
fn split<E>(elements: &mut Vec<E>, rising: bool) -> Vec<Vec<E>> {
    let count = elements.len().div_ceil(WIDTH);
    let mut right = Vec::new();
    if count > 1 {
        let size = if rising { WIDTH } else { elements.len().div_ceil(count) };
        while elements.len() > size {
            let rest = elements.len() % size;
            let last = if rest == 0 { size } else { rest };
            right.push(elements.split_off(elements.len() - last));
        }
        right.reverse();
    }
    right
}

fn split_branch<T: Clone>(children: &mut Vec<Arc<Node<T>>>, least: &mut Arc<[T]>) -> Siblings<T> {
    let right = split(children, false);
    if right.is_empty() {
        return Vec::new();
    }
    let firsts = Arc::clone(least);
    let mut from = children.len();
    *least = firsts[..from - 1].into();
    right
        .into_iter()
        .map(|children| {
            let width = children.len();
            let first = firsts[from - 1].clone();
            let least = firsts[from..from + width - 1].into();
            from += width;
            (first, Arc::new(Node::Branch { children, least }))
        })
        .collect()
}

/// Drops the children between two places that are empty, and joins those that fit into one with their neighbours.
fn join_between<T: Clone>(children: &mut Vec<Arc<Node<T>>>, least: &mut Arc<[T]>, first: usize, last: usize) {
    for place in (first..=last).rev() {
        if children[place].width() == 0 {
            children.remove(place);
            if !least.is_empty() {
                *least = without(least, place.saturating_sub(1));
            }
        }
    }
    for place in (first..=last).rev() {
        if place < children.len() {
            join_neighbours(children, least, place);
        }
    }
}

//! The bytes of stamps and ids: the binary form of the paper behind a byte that says which, and a length.
//!
//! Invariant: a tree has one form. Other bits are refused, so that whatever was read is written with the same
//! bytes again, and equal trees have equal bytes. Foreign bytes never cost more than the limits allow.
//!
//! | node | bits, in preorder |
//! | --- | --- |
//! | id: nothing, all | `00 0`, `00 1` |
//! | id: only right, only left, both | `01 r`, `10 l`, `11 l r` |
//! | count *n* everywhere | `1 n` |
//! | *n* at least; left, right has no more than *n* | 0: `0 00 r`, `0 01 l`; above: `0 11 0 0 1 n r`, `0 11 0 1 1 n l` |
//! | *n* at least; both have more somewhere | 0: `0 10 l r`; above: `0 11 1 1 n l r` |
//!
//! The counts within a node are less the node's *n*. A number is `0` and two bits; from 4 on `10` and three bits of
//! what is above 4; and so on.

use deltaic_types::codec::{DecodeError, Reader, write_bytes};
use thiserror::Error;

use super::bits::{BitReader, BitWriter};
use super::tree::{Builder, Leaf, Tree};
use super::{DEPTH, Event, Id};

const STAMP: u8 = 0x11;
const ID: u8 = 0x21;

/// What a tree that comes from outside may cost, checked while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes. In memory a tree takes at most a hundred times as much, and while a short one is read at most four
    /// hundred times.
    pub bytes: usize,
    /// How many levels.
    pub depth: u32,
    /// The greatest count.
    pub counter: u64,
}

impl Limits {
    /// What a peer's stamp may be: at most 64 KiB, [`DEPTH`] levels, and `jump` events more in one place than the
    /// receiver knows of anywhere. A stamp without that bound could end everybody's counters.
    pub fn peer(known: &Event, jump: u64) -> Self {
        Self { bytes: 1 << 16, counter: known.max().saturating_add(jump), ..Self::own() }
    }

    /// What a replica itself wrote may be: at most 16 MiB and [`DEPTH`] levels.
    pub fn own() -> Self {
        Self { bytes: 1 << 24, depth: DEPTH, counter: u64::MAX }
    }
}

/// Bytes that are no stamp or no id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The byte in front is another one.
    #[error("{found:#04x} begins no {expected}: written by a newer version, or something else")]
    Version {
        /// The byte.
        found: u8,
        /// What was to be read.
        expected: &'static str,
    },
    /// The length is missing, too great, or more than there is.
    #[error(transparent)]
    Outer(#[from] DecodeError),
    /// The tree goes on where the bits end.
    #[error("the bits end in the middle of a tree")]
    Truncated,
    /// There are bits after the tree.
    #[error("there are bits left over after the tree")]
    LeftOver,
    /// A form that a tree has beside its one and right one.
    #[error("the tree is not in normal form: it was written by no replica, drop it")]
    NotNormal,
    /// More levels than allowed.
    #[error("the tree has more than {limit} levels; start a new epoch, or find out who sent it")]
    TooDeep {
        /// How many are allowed.
        limit: u32,
    },
    /// A count above what is allowed.
    #[error(
        "an event counter is above {limit}: its sender knows what nobody can, or this replica was away long"
    )]
    CounterTooGreat {
        /// The greatest that is allowed.
        limit: u64,
    },
}

/// What an inner node has to say before its children.
#[derive(Debug, Clone, Copy)]
struct Node<V> {
    /// The least value of its leaves.
    least: V,
    /// Whether the left child is one leaf with the least value, and whether the right one is.
    left_bare: bool,
    right_bare: bool,
}

/// The inner nodes in preorder.
fn nodes<V: Copy + Ord>(leaves: &[Leaf<V>]) -> Vec<Node<V>> {
    let mut nodes = Vec::with_capacity(leaves.len());
    // From the right to the left: right siblings of what is to come, with their least value and whether one leaf.
    let mut rights: Vec<(V, bool)> = Vec::new();
    for leaf in leaves.iter().rev() {
        let mut current = (leaf.value, true);
        for _ in 0..leaf.opens {
            let right = rights.pop().expect("invariant: a tree has a right child for each node");
            let least = current.0.min(right.0);
            let bare = |(value, is_leaf): (V, bool)| is_leaf && value == least;
            nodes.push(Node { least, left_bare: bare(current), right_bare: bare(right) });
            current = (least, false);
        }
        rights.push(current);
    }
    nodes.reverse();
    nodes
}

pub(super) fn write_id(bytes: &mut Vec<u8>, id: &Id) {
    let leaves = id.tree.leaves();
    let mut nodes = nodes(leaves).into_iter();
    let mut bits = BitWriter::default();
    for leaf in leaves {
        for node in nodes.by_ref().take(leaf.opens as usize) {
            bits.bit(!node.left_bare);
            bits.bit(!node.right_bare);
        }
        // A child that is nothing is said by its parent.
        if leaf.value || leaves.len() == 1 {
            bits.bits(u64::from(leaf.value), 3);
        }
    }
    bytes.push(ID);
    write_bytes(bytes, &bits.finish());
}

pub(super) fn write_event(bytes: &mut Vec<u8>, event: &Event) {
    let leaves = event.tree.leaves();
    let mut nodes = nodes(leaves).into_iter();
    let mut bits = BitWriter::default();
    // What the right children still to come count from.
    let mut bases: Vec<u64> = Vec::new();
    let mut base = 0;
    for leaf in leaves {
        for node in nodes.by_ref().take(leaf.opens as usize) {
            let above = node.least - base;
            let children = match (node.left_bare, node.right_bare) {
                (true, _) => 0b00,
                (_, true) => 0b01,
                _ => 0b10,
            };
            bits.bit(false);
            if above == 0 {
                bits.bits(children, 2);
            } else {
                bits.bits(0b11, 2);
                if children == 0b10 {
                    bits.bit(true);
                } else {
                    bits.bits(children, 2);
                }
                bits.bit(true);
                bits.number(above);
            }
            base = node.least;
            bases.push(base);
        }
        if leaf.value > base || leaves.len() == 1 {
            bits.bit(true);
            bits.number(leaf.value - base);
        }
        base = bases.pop().unwrap_or(0);
    }
    bytes.push(STAMP);
    write_bytes(bytes, &bits.finish());
}

fn body<'a>(
    reader: &mut Reader<'a>,
    version: u8,
    expected: &'static str,
    limits: Limits,
) -> Result<BitReader<'a>, TreeError> {
    let [found] = reader.take()?;
    if found != version {
        return Err(TreeError::Version { found, expected });
    }
    Ok(BitReader::new(reader.bytes(limits.bytes)?))
}

/// A node whose children are being read.
#[derive(Debug)]
struct Open<V> {
    /// What its children count from, and how much of that is its own.
    base: V,
    own: V,
    to_come: ToCome<V>,
}

#[derive(Debug)]
enum ToCome<V> {
    /// Both children are in the bits.
    LeftThenRight,
    /// The left one was read and counts at least so much.
    RightAfter(V),
    /// The left one was the bare leaf.
    RightOnly,
    /// The right one is the bare leaf.
    LeftOnly,
}

/// Puts the leaves together and keeps account of what is open, for both kinds of trees.
#[derive(Debug)]
struct Assembly<V> {
    builder: Builder<V>,
    opens: u32,
    stack: Vec<Open<V>>,
    depth: u32,
}

impl<V: Copy + Ord + Default> Assembly<V> {
    fn new(limits: Limits) -> Self {
        Self { builder: Builder::with_capacity(8), opens: 0, stack: Vec::new(), depth: limits.depth }
    }

    fn base(&self) -> V {
        self.stack.last().map_or(V::default(), |open| open.base)
    }

    fn is_root(&self) -> bool {
        self.stack.is_empty()
    }

    fn leaf(&mut self, value: V) {
        self.builder.push(Leaf { opens: self.opens, value });
        self.opens = 0;
    }

    fn open(&mut self, base: V, own: V, to_come: ToCome<V>) -> Result<(), TreeError> {
        if self.stack.len() >= self.depth as usize {
            return Err(TreeError::TooDeep { limit: self.depth });
        }
        self.opens += 1;
        if matches!(to_come, ToCome::RightOnly) {
            self.leaf(base);
        }
        self.stack.push(Open { base, own, to_come });
        Ok(())
    }

    /// A child was read whose own least count is `own`. Whether that was the whole tree; `holds` is asked for the
    /// own least counts of two children.
    fn complete(&mut self, mut own: V, holds: impl Fn(V, V) -> bool) -> Result<bool, TreeError> {
        while let Some(open) = self.stack.last_mut() {
            match open.to_come {
                ToCome::LeftThenRight => {
                    open.to_come = ToCome::RightAfter(own);
                    return Ok(false);
                }
                ToCome::RightAfter(left) if !holds(left, own) => return Err(TreeError::NotNormal),
                ToCome::LeftOnly => {
                    let base = open.base;
                    self.leaf(base);
                }
                ToCome::RightAfter(_) | ToCome::RightOnly => {}
            }
            own = self.stack.pop().map_or(own, |open| open.own);
        }
        Ok(true)
    }

    fn finish(self) -> Tree<V> {
        self.builder.finish()
    }
}

pub(super) fn read_event(reader: &mut Reader<'_>, limits: Limits) -> Result<Event, TreeError> {
    let mut bits = body(reader, STAMP, "stamp", limits)?;
    let mut tree = Assembly::new(limits);
    loop {
        let base: u64 = tree.base();
        let count = |own: u64| {
            let too_great = TreeError::CounterTooGreat { limit: limits.counter };
            base.checked_add(own).filter(|count| *count <= limits.counter).ok_or(too_great)
        };
        if bits.bit()? {
            let own = bits.number(limits.counter)?;
            // Below the root a leaf without a count of its own is said by its parent.
            if own == 0 && !tree.is_root() {
                return Err(TreeError::NotNormal);
            }
            tree.leaf(count(own)?);
            // Of two children one has nothing of its own: the node has it.
            if tree.complete(own, |left, right| left.min(right) == 0)? {
                break;
            }
            continue;
        }
        let mut children = bits.bits(2)?;
        let mut own = 0;
        if children == 0b11 {
            children = if bits.bit()? { 0b10 } else { u64::from(bits.bit()?) };
            if !bits.bit()? {
                return Err(TreeError::NotNormal);
            }
            own = bits.number(limits.counter)?;
            if own == 0 {
                return Err(TreeError::NotNormal);
            }
        }
        let to_come = match children {
            0b00 => ToCome::RightOnly,
            0b01 => ToCome::LeftOnly,
            _ => ToCome::LeftThenRight,
        };
        tree.open(count(own)?, own, to_come)?;
    }
    bits.finish()?;
    Ok(Event { tree: tree.finish() })
}

pub(super) fn read_id(reader: &mut Reader<'_>, limits: Limits) -> Result<Id, TreeError> {
    let mut bits = body(reader, ID, "id", limits)?;
    let mut tree = Assembly::new(limits);
    loop {
        match bits.bits(2)? {
            0b00 => {
                let owned = bits.bit()?;
                // Below the root nothing is said by the parent.
                if !owned && !tree.is_root() {
                    return Err(TreeError::NotNormal);
                }
                tree.leaf(owned);
                // A leaf is its own least value, an inner node's is nothing: two leaves would be their parent.
                if tree.complete(owned, |left, right| !(left && right))? {
                    break;
                }
            }
            0b01 => tree.open(false, false, ToCome::RightOnly)?,
            0b10 => tree.open(false, false, ToCome::LeftOnly)?,
            _ => tree.open(false, false, ToCome::LeftThenRight)?,
        }
    }
    bits.finish()?;
    Ok(Id { tree: tree.finish() })
}

impl Id {
    /// Appends the id, for the storage of its owner and for its handshakes. About 5 bits a level.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        write_id(bytes, self);
    }

    /// Reads what [`Id::write`] wrote; any other bytes are refused.
    pub fn read(reader: &mut Reader<'_>, limits: Limits) -> Result<Self, TreeError> {
        read_id(reader, limits)
    }
}

//! [`GSet`]: a set that only grows.
//!
//! Invariant: an element that was added stays. With each the least dot of those that added it is kept, so that equal
//! sets of one history have equal bytes and adding again changes nothing.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Crdt, GSet};
//!
//! let (mut here, mut there) = (GSet::default(), GSet::default());
//! here.add(Dot { actor: ActorId(1), seq: 1 }, "red".to_owned())?;
//! there.add(Dot { actor: ActorId(2), seq: 1 }, "blue".to_owned())?;
//! here.join(&there);
//! assert_eq!(here.iter().collect::<Vec<_>>(), ["blue", "red"]);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use std::cmp::Reverse;

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::chains::{Chains, Link};
use crate::{Crdt, Element, WriteError};

/// A grow-only set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GSet<T> {
    added: Chains<T, Added>,
}

/// The write that added an element: of several the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Added(Reverse<Dot>);

impl<T> Link<T> for Added {
    fn dot(&self, _: &T) -> Dot {
        self.0.0
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.0.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(Reverse(Dot::read(reader)?)))
    }
}

impl<T> Default for GSet<T> {
    fn default() -> Self {
        Self { added: Chains::default() }
    }
}

impl<T: Element> GSet<T> {
    /// Whether the element was added. O(log n).
    pub fn contains(&self, element: &T) -> bool {
        self.added.links.contains_key(element)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.added.links.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.added.links.is_empty()
    }

    /// The elements, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.added.links.keys()
    }

    /// Adds the element. Where it is there already nothing changes, and the delta is the bottom. O(log n).
    pub fn add(&mut self, dot: Dot, element: T) -> Result<Self, WriteError> {
        if dot.seq == 0 {
            return Err(WriteError::UsedDot { dot });
        }
        if self.contains(&element) {
            return Ok(Self::default());
        }
        Ok(Self { added: self.added.raise(element, Added(Reverse(dot))) })
    }
}

impl<T: Element> Crdt for GSet<T> {
    fn join(&mut self, other: &Self) {
        self.added.join(&other.added);
    }

    fn decompose(&self) -> Vec<Self> {
        self.added.parts().map(|added| Self { added }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { added: self.added.novel(seen) }
    }

    fn is_bottom(&self) -> bool {
        self.is_empty()
    }

    /// The number of elements; each and its dot.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.added.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { added: Chains::read(reader)? })
    }
}

//! [`TwoPhaseSet`]: a set whose elements go once and for ever.
//!
//! Invariant: an element is unknown, then there, then removed, and never goes back: a removal wins over every addition,
//! also one that its author never saw. What was removed is remembered for ever; a set whose elements come back is an
//! [`AddWinsSet`](crate::AddWinsSet).
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Crdt, TwoPhaseSet, WriteError};
//!
//! let dot = |seq| Dot { actor: ActorId(1), seq };
//! let mut invited = TwoPhaseSet::default();
//! invited.add(dot(1), 7_u64)?;
//! invited.remove(dot(2), &7)?;
//! assert!(!invited.contains(&7));
//! assert_eq!(invited.add(dot(3), 7), Err(WriteError::Removed));
//! # Ok::<(), WriteError>(())
//! ```

use std::cmp::Reverse;

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::chains::{Chains, Link};
use crate::{Crdt, Element, WriteError};

/// A set of elements that are added once and removed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoPhaseSet<T> {
    phases: Chains<T, Phase>,
}

/// How far an element has come, and the least of the writes that brought it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Added(Reverse<Dot>),
    Removed(Reverse<Dot>),
}

impl<T> Link<T> for Phase {
    fn dot(&self, _: &T) -> Dot {
        match self {
            Self::Added(dot) | Self::Removed(dot) => dot.0,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let (tag, dot) = match self {
            Self::Added(dot) => (0, dot.0),
            Self::Removed(dot) => (1, dot.0),
        };
        bytes.push(tag);
        dot.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [tag] = reader.take()?;
        let dot = Reverse(Dot::read(reader)?);
        match tag {
            0 => Ok(Self::Added(dot)),
            1 => Ok(Self::Removed(dot)),
            other => Err(DecodeError::UnknownTag(other)),
        }
    }
}

impl<T> Default for TwoPhaseSet<T> {
    fn default() -> Self {
        Self { phases: Chains::default() }
    }
}

impl<T: Element> TwoPhaseSet<T> {
    /// Whether the element was added and not removed. O(log n).
    pub fn contains(&self, element: &T) -> bool {
        matches!(self.phases.links.get(element), Some(Phase::Added(_)))
    }

    /// The elements that are there, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let there = |(_, phase): &(&T, &Phase)| matches!(phase, Phase::Added(_));
        self.phases.links.iter().filter(there).map(|(element, _)| element)
    }

    /// How many removed elements are remembered.
    pub fn removed(&self) -> usize {
        self.phases.links.values().filter(|phase| matches!(phase, Phase::Removed(_))).count()
    }

    /// Adds the element; an error if it was removed. Where it is there already the delta is the bottom. O(log n).
    pub fn add(&mut self, dot: Dot, element: T) -> Result<Self, WriteError> {
        match self.phases.links.get(&element) {
            _ if dot.seq == 0 => Err(WriteError::UsedDot { dot }),
            Some(Phase::Removed(_)) => Err(WriteError::Removed),
            Some(Phase::Added(_)) => Ok(Self::default()),
            None => Ok(Self { phases: self.phases.raise(element, Phase::Added(Reverse(dot))) }),
        }
    }

    /// Removes the element for ever. Where it is not there the delta is the bottom: what was never added here can be
    /// added later. O(log n).
    pub fn remove(&mut self, dot: Dot, element: &T) -> Result<Self, WriteError> {
        match self.phases.links.get(element) {
            _ if dot.seq == 0 => Err(WriteError::UsedDot { dot }),
            Some(Phase::Added(Reverse(added))) if *added == dot => Err(WriteError::UsedDot { dot }),
            Some(Phase::Added(_)) => {
                Ok(Self { phases: self.phases.raise(element.clone(), Phase::Removed(Reverse(dot))) })
            }
            Some(Phase::Removed(_)) | None => Ok(Self::default()),
        }
    }
}

impl<T: Element> Crdt for TwoPhaseSet<T> {
    fn join(&mut self, other: &Self) {
        self.phases.join(&other.phases);
    }

    fn decompose(&self) -> Vec<Self> {
        self.phases.parts().map(|phases| Self { phases }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { phases: self.phases.novel(seen) }
    }

    fn is_bottom(&self) -> bool {
        self.phases.links.is_empty()
    }

    /// The number of elements; each, whether it is there (0) or removed (1), and the dot.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.phases.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { phases: Chains::read(reader)? })
    }
}

//! [`RemoveWinsSet`]: a set where removing wins over adding at the same time.
//!
//! Invariant: an element is there if it was added and every removal of it was seen by an addition since. Additions and
//! removals that were not replaced are both kept, as a removal must also beat an addition that is still on its way.
//!
//! How removals are forgotten: an addition that has seen a removal replaces it. One whose element never comes back stays
//! until it and the additions it beat are stable ([`RemoveWinsSet::forget`]): what is still to come was then made by those
//! who had seen them all, and nothing is left to beat.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Causal, Crdt, RemoveWinsSet};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut here: Causal<RemoveWinsSet<u64>> = Causal::default();
//! here.add(dot(1, 1), 7)?;
//! let mut there = here.clone();
//! here.remove(dot(1, 2), &7)?;
//! there.add(dot(2, 1), 7)?;
//! here.join(&there);
//! assert!(!here.contains(&7));
//!
//! // An addition that has seen the removal brings the element back.
//! here.add(dot(1, 3), 7)?;
//! assert!(here.contains(&7));
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader};

use crate::{Causal, DisableWinsFlag, DotStore, Element, Map, WriteError};

/// A set in which a concurrent removal wins: a [`Map`] of elements to flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveWinsSet<T> {
    elements: Map<T, DisableWinsFlag>,
}

impl<T> Default for RemoveWinsSet<T> {
    fn default() -> Self {
        Self { elements: Map::default() }
    }
}

impl<T: Element> RemoveWinsSet<T> {
    /// Whether the element is there. O(log n).
    pub fn contains(&self, element: &T) -> bool {
        self.elements.get(element).is_some_and(DisableWinsFlag::is_enabled)
    }

    /// Whether the element was added by a write that a holder of `seen` has not seen.
    pub fn is_added_beyond(&self, element: &T, seen: &CausalContext) -> bool {
        self.elements.get(element).is_some_and(|flag| flag.is_enabled_beyond(seen))
    }

    /// The elements that are there, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.iter().filter(|(_, flag)| flag.is_enabled()).map(|(element, _)| element)
    }

    /// How many elements are known, those that were removed and not forgotten too.
    pub fn known(&self) -> usize {
        self.elements.len()
    }

    /// Adds the element, if nobody removes it at the same time.
    pub fn add(&mut self, seen: &CausalContext, dot: Dot, element: T) -> Result<Causal<Self>, WriteError> {
        let delta = self.elements.update(element, |flag| flag.enable(seen, dot))?;
        Ok(delta.map(|elements| Self { elements }))
    }

    /// Removes the element, whether it is there or not: an addition on its way loses too.
    pub fn remove(&mut self, seen: &CausalContext, dot: Dot, element: T) -> Result<Causal<Self>, WriteError> {
        let delta = self.elements.update(element, |flag| flag.disable(seen, dot))?;
        Ok(delta.map(|elements| Self { elements }))
    }

    /// Forgets the removed elements of which all that is known is *stable*: every write that is still to come here was made
    /// by an author that had seen the cut `stable`. (Every member has acknowledged the cut, and all that they had then has
    /// come here.) No element comes or goes by it, then or later. A write like others, as copies elsewhere must forget
    /// too. Visits every element.
    pub fn forget(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        stable: &VersionVector,
    ) -> Result<Causal<Self>, WriteError> {
        if !seen.covers(stable) {
            return Err(WriteError::Unseen);
        }
        let delta = self.elements.remove_where(seen, dot, |flag| flag.is_forgettable(stable))?;
        Ok(delta.map(|elements| Self { elements }))
    }
}

impl<T: Element> Causal<RemoveWinsSet<T>> {
    /// Adds the element, if nobody removes it at the same time.
    pub fn add(&mut self, dot: Dot, element: T) -> Result<Self, WriteError> {
        self.apply(|set, seen| set.add(seen, dot, element))
    }

    /// Removes the element, whether it is there or not.
    pub fn remove(&mut self, dot: Dot, element: &T) -> Result<Self, WriteError> {
        self.apply(|set, seen| set.remove(seen, dot, element.clone()))
    }

    /// Forgets the removed elements that are stable: [`RemoveWinsSet::forget`].
    pub fn forget(&mut self, dot: Dot, stable: &VersionVector) -> Result<Self, WriteError> {
        self.apply(|set, seen| set.forget(seen, dot, stable))
    }
}

impl<T: Element> DotStore for RemoveWinsSet<T> {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        self.elements.join(own, &other.elements, theirs);
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.elements.each_dot(visit);
    }

    /// Whether nothing is known, no removal either.
    fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { elements: self.elements.novel(seen) }
    }

    fn decompose(&self) -> Vec<Self> {
        self.elements.decompose().into_iter().map(|elements| Self { elements }).collect()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.elements.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { elements: Map::read(reader)? })
    }
}

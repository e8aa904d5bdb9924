//! [`AddWinsSet`]: a set where adding wins over removing at the same time.
//!
//! Invariant: an element is there as long as one of its additions was not seen by a removal. Each addition replaces those
//! that it has seen; a removal drops them and leaves no tombstone, only the context. The optimised observed-remove set of
//! Bieniusa, Zawirski, Preguiça, Shapiro, Baquero, Balegas and Duarte, "An optimized conflict-free replicated set" (2012).
//!
//! ```
//! use deltaic_causality::{ActorId, Dot, VersionVector};
//! use deltaic_crdt::{AddWinsSet, Causal};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut tags: Causal<AddWinsSet<String>> = Causal::default();
//! tags.add(dot(1, 1), "new".to_owned())?;
//! let basis = tags.context().cut();
//! tags.add(dot(1, 2), "new".to_owned())?;
//!
//! // Removed offline by one who had seen the first addition only: the second stays.
//! tags.remove_seen(dot(1, 3), &"new".to_owned(), &basis)?;
//! assert!(tags.contains(&"new".to_owned()));
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader};

use crate::{Causal, DotStore, Element, EnableWinsFlag, Map, WriteError};

/// An observed-remove set: a [`Map`] of elements to flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddWinsSet<T> {
    elements: Map<T, EnableWinsFlag>,
}

impl<T> Default for AddWinsSet<T> {
    fn default() -> Self {
        Self { elements: Map::default() }
    }
}

impl<T: Element> AddWinsSet<T> {
    /// Whether the element is there. O(log n).
    pub fn contains(&self, element: &T) -> bool {
        self.elements.get(element).is_some()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The elements, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.iter().map(|(element, _)| element)
    }

    /// Adds the element.
    pub fn add(&mut self, seen: &CausalContext, dot: Dot, element: T) -> Result<Causal<Self>, WriteError> {
        let delta = self.elements.update(element, |flag| flag.enable(seen, dot))?;
        Ok(delta.map(|elements| Self { elements }))
    }

    /// Removes the element as far as it was seen here. Where it is not there nothing is removed.
    pub fn remove(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        element: &T,
    ) -> Result<Causal<Self>, WriteError> {
        let delta = self.elements.remove(seen, dot, element)?;
        Ok(delta.map(|elements| Self { elements }))
    }

    /// Removes the additions that the basis holds: what the removal's author had seen. An error if that holds writes
    /// that have not come here yet.
    pub fn remove_seen(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        element: &T,
        basis: &CausalContext,
    ) -> Result<Causal<Self>, WriteError> {
        let delta = self.elements.remove_seen(seen, dot, element, basis)?;
        Ok(delta.map(|elements| Self { elements }))
    }
}

impl<T: Element> Causal<AddWinsSet<T>> {
    /// Adds the element.
    pub fn add(&mut self, dot: Dot, element: T) -> Result<Self, WriteError> {
        self.apply(|set, seen| set.add(seen, dot, element))
    }

    /// Removes the element as far as it was seen here.
    pub fn remove(&mut self, dot: Dot, element: &T) -> Result<Self, WriteError> {
        self.apply(|set, seen| set.remove(seen, dot, element))
    }

    /// Removes the additions that the cut holds: [`AddWinsSet::remove_seen`].
    pub fn remove_seen(&mut self, dot: Dot, element: &T, cut: &VersionVector) -> Result<Self, WriteError> {
        self.apply(|set, seen| set.remove_seen(seen, dot, element, &cut.into()))
    }
}

impl<T: Element> DotStore for AddWinsSet<T> {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        self.elements.join(own, &other.elements, theirs);
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.elements.each_dot(visit);
    }

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

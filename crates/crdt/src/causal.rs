//! [`Causal`]: a store of dots with the context it lives under.
//!
//! Invariant: every dot of the store is in the context, and at one place of the store. The context holds each write that
//! was joined, removals too: a removal has a dot of its own that no store ever holds. So whoever holds all the writes of
//! a context lacks nothing of what it belongs to.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{AddWinsSet, Causal, Crdt};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut here: Causal<AddWinsSet<u64>> = Causal::default();
//! here.add(dot(1, 1), 7)?;
//! let mut there = here.clone();
//!
//! // Removed here and added again there, neither knowing of the other: the addition wins.
//! here.remove(dot(1, 2), &7)?;
//! let added = there.add(dot(2, 1), 7)?;
//! here.join(&added);
//! assert!(here.contains(&7));
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use std::ops::Deref;

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::{Crdt, DotStore, WriteError};

/// A store and its context. Reads go to the store by dereference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Causal<S> {
    store: S,
    context: CausalContext,
}

impl<S: DotStore> Causal<S> {
    /// Puts a store under its context. An error if the context lacks a dot of the store or the store holds one twice.
    /// O(dots log dots).
    pub fn new(store: S, context: CausalContext) -> Result<Self, DecodeError> {
        let mut dots = Vec::new();
        store.each_dot(&mut |dot| dots.push(dot));
        dots.sort_unstable();
        if dots.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(DecodeError::Invalid("causal value: a dot at two places"));
        }
        if dots.iter().any(|dot| !context.contains(*dot)) {
            return Err(DecodeError::Invalid("causal value: a dot outside its context"));
        }
        Ok(Self { store, context })
    }

    /// A delta of one write: what the store then holds of it, and the dots that it replaces or removes.
    pub(crate) fn delta(store: S, dot: Dot, gone: &S) -> Self {
        let mut context = gone.dots();
        context.insert(dot);
        Self { store, context }
    }

    /// A delta that only removes: its own dot and those that go.
    pub(crate) fn removal(context: CausalContext) -> Self {
        Self { store: S::default(), context }
    }

    /// The same context with another store of the same dots.
    pub(crate) fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Causal<T> {
        Causal { store: wrap(self.store), context: self.context }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The writes that were seen, those whose effect was removed or replaced too.
    pub fn context(&self) -> &CausalContext {
        &self.context
    }

    /// The store and its context.
    pub fn into_parts(self) -> (S, CausalContext) {
        (self.store, self.context)
    }

    /// Makes a write by one of the store's mutators, and returns its delta.
    pub fn apply(
        &mut self,
        write: impl FnOnce(&mut S, &CausalContext) -> Result<Self, WriteError>,
    ) -> Result<Self, WriteError> {
        let delta = write(&mut self.store, &self.context)?;
        self.context.join(&delta.context);
        Ok(delta)
    }
}

impl<S> Deref for Causal<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.store
    }
}

impl<S: DotStore> Crdt for Causal<S> {
    fn join(&mut self, other: &Self) {
        self.store.join(&self.context, &other.store, &other.context);
        self.context.join(&other.context);
    }

    fn decompose(&self) -> Vec<Self> {
        let live = self.store.decompose().into_iter().map(|store| {
            let context = store.dots();
            Self { store, context }
        });
        let removed = self.context.minus(&self.store.dots());
        let removed = removed.parts().map(|context| Self { store: S::default(), context });
        live.chain(removed.collect::<Vec<_>>()).collect()
    }

    /// Of what was removed nothing is left to tell when, so where any write is missing all the dots that are not in the
    /// store go too: an interval for each gap that live dots leave between them. Nothing goes where `seen` holds the
    /// whole context.
    fn novel(&self, seen: &CausalContext) -> Self {
        if seen.includes(&self.context) {
            return Self::default();
        }
        let store = self.store.novel(seen);
        let known = self.store.dots().minus(&store.dots());
        Self { store, context: self.context.minus(&known) }
    }

    fn is_bottom(&self) -> bool {
        self.context.is_empty()
    }

    /// The context, then the store.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.context.write(bytes);
        self.store.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let context = CausalContext::read(reader)?;
        let store = S::read(reader)?;
        Self::new(store, context)
    }
}

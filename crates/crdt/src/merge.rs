//! [`Merge`]: what a [`Replica`](crate::Replica) keeps by key.
//!
//! Invariant: whether one side told all that it has or only what was missing, and in whatever order, the same writes give the
//! same value.

use std::ops::Deref;

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::{Crdt, DotStore};

/// What the other side of a merge has said of a key besides its value.
#[derive(Debug)]
pub enum Theirs<'a, G> {
    /// The value is all that it has: of what this context holds and the value has not, nothing is left there.
    Whole(&'a CausalContext),
    /// The value is a part. What went besides is said, with the writes that removed it.
    Part(&'a [(Dot, G)]),
}

impl<G> Clone for Theirs<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for Theirs<'_, G> {}

impl<'a, G> Theirs<'a, G> {
    /// What the other side knows of a place: what it has there, and what of it went.
    pub(crate) fn context(
        &self,
        has: CausalContext,
        gone: impl Fn(&'a G) -> Option<&'a CausalContext>,
    ) -> CausalContext {
        match self {
            Self::Whole(context) => (*context).clone(),
            Self::Part(told) => told.iter().filter_map(|(_, told)| gone(told)).fold(has, |mut all, gone| {
                all.join(gone);
                all
            }),
        }
    }
}

/// What a write removed, to be told to those that lack the write.
pub trait Gone: Clone + Default {
    /// Whether it is nothing.
    fn is_nothing(&self) -> bool;
    /// Whether `held` has all the writes that went.
    fn is_within(&self, held: &CausalContext) -> bool;
    /// Appends it; equal ones append equal bytes.
    fn put(&self, bytes: &mut Vec<u8>);
    /// Reads what [`Gone::put`] wrote, and no other bytes.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl Gone for CausalContext {
    fn is_nothing(&self) -> bool {
        self.is_empty()
    }

    fn is_within(&self, held: &CausalContext) -> bool {
        held.includes(self)
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        self.write(bytes);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::read(reader)
    }
}

/// What a replica keeps by key: any [`DotStore`], any other [`Crdt`] as [`Plain`], and [`Row`](crate::Row)s.
pub trait Merge: Clone + Default {
    /// What a write to it may remove.
    type Gone: Gone;
    /// Takes in what another replica has of the key. `own` is what was seen here.
    fn merge(&mut self, own: &CausalContext, other: &Self, theirs: Theirs<'_, Self::Gone>);
    /// The part that a holder of `seen` may lack.
    #[must_use]
    fn unseen(&self, seen: &CausalContext) -> Self;
    /// Whether nothing of it is to be seen.
    fn is_gone(&self) -> bool;
    /// Whether all its writes are held, and each is at one place of a store at most. What comes from outside has to be asked: a
    /// write that nobody holds could be removed by nobody, and would be there when its actor makes it.
    fn is_within(&self, held: &CausalContext) -> bool;
    /// Appends the value; equal values append equal bytes.
    fn put(&self, bytes: &mut Vec<u8>);
    /// Reads what [`Merge::put`] wrote, and no other bytes.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl<S: DotStore> Merge for S {
    type Gone = CausalContext;

    fn merge(&mut self, own: &CausalContext, other: &Self, theirs: Theirs<'_, CausalContext>) {
        self.join(own, other, &theirs.context(other.dots(), Some));
    }

    fn unseen(&self, seen: &CausalContext) -> Self {
        self.novel(seen)
    }

    fn is_gone(&self) -> bool {
        self.is_empty()
    }

    fn is_within(&self, held: &CausalContext) -> bool {
        let mut dots = Vec::new();
        self.each_dot(&mut |dot| dots.push(dot));
        dots.sort_unstable();
        dots.iter().all(|dot| held.contains(*dot)) && dots.windows(2).all(|pair| pair[0] != pair[1])
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        self.write(bytes);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        S::read(reader)
    }
}

/// A value that knows its writes without a context: a counter, a register, a set that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plain<C>(pub(crate) C);

impl<C> Deref for Plain<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C: Crdt> Merge for Plain<C> {
    type Gone = CausalContext;

    fn merge(&mut self, _: &CausalContext, other: &Self, _: Theirs<'_, CausalContext>) {
        self.0.join(&other.0);
    }

    fn unseen(&self, seen: &CausalContext) -> Self {
        Self(self.0.novel(seen))
    }

    fn is_gone(&self) -> bool {
        self.0.is_bottom()
    }

    fn is_within(&self, held: &CausalContext) -> bool {
        self.0.novel(held).is_bottom()
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        C::read(reader).map(Self)
    }
}

//! [`DotStore`]: what lives under a causal context; and [`DotSet`], the least of them.
//!
//! Invariant: a store holds each dot at one place, and every dot that it holds is in the context that it lives under. A
//! dot that is in the context and not in the store was removed: that is how a removal travels without a tombstone. So a
//! store may be joined only with what is *complete* as to the context that comes with it. Almeida, Shoker and Baquero,
//! "Delta State Replicated Data Types" (2018), section 7.2.

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

/// A store of dots. The context is held beside it: in a [`Causal`](crate::Causal), or once for many stores by whoever has
/// many.
///
/// The mutators of stores take the context as `seen`, and return the delta with the context that goes with it; the caller
/// joins that to its own.
pub trait DotStore: Clone + Eq + Default {
    /// Takes in the other store. `own` and `theirs` are the contexts that the two live under, and are joined afterwards by
    /// the caller. What is in both stays, what only one side has stays unless the other side's context knows it.
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext);

    /// Shows each dot that is held, at each of its places.
    fn each_dot(&self, visit: &mut dyn FnMut(Dot));

    /// Whether no dot is held.
    fn is_empty(&self) -> bool;

    /// The store without the dots in `seen`.
    #[must_use]
    fn novel(&self, seen: &CausalContext) -> Self;

    /// The store as stores of one dot each.
    fn decompose(&self) -> Vec<Self>;

    /// Appends the store; equal stores append equal bytes.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads what [`DotStore::write`] wrote, and no other bytes.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The dots that are held. O(n log n).
    fn dots(&self) -> CausalContext {
        let mut dots = Vec::new();
        self.each_dot(&mut |dot| dots.push(dot));
        dots.into_iter().collect()
    }
}

/// Whether a dot that only this side holds stays: the other side has not seen it, or has it too.
pub(crate) fn stays(dot: Dot, theirs: &CausalContext, held_there: bool) -> bool {
    held_there || !theirs.contains(dot)
}

/// Dots alone. Ascending in a vector: mostly there is one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DotSet {
    dots: Vec<Dot>,
}

impl DotSet {
    /// The set of one dot.
    pub fn one(dot: Dot) -> Self {
        Self { dots: vec![dot] }
    }

    /// The dots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        self.dots.iter().copied()
    }

    /// Whether the dot is held.
    pub fn contains(&self, dot: Dot) -> bool {
        self.dots.binary_search(&dot).is_ok()
    }
}

impl DotStore for DotSet {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        self.dots.retain(|dot| stays(*dot, theirs, other.contains(*dot)));
        for &dot in &other.dots {
            // A dot that is in the own context is held already, or was removed here.
            if !own.contains(dot)
                && let Err(place) = self.dots.binary_search(&dot)
            {
                self.dots.insert(place, dot);
            }
        }
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.dots.iter().copied().for_each(visit);
    }

    fn is_empty(&self) -> bool {
        self.dots.is_empty()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { dots: self.dots.iter().copied().filter(|dot| !seen.contains(*dot)).collect() }
    }

    fn decompose(&self) -> Vec<Self> {
        self.dots.iter().copied().map(Self::one).collect()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.dots.len() as u64);
        self.dots.iter().for_each(|dot| dot.write(bytes));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(usize::MAX)?;
        let mut dots: Vec<Dot> = Vec::with_capacity(length.min(reader.rest().len() / 2));
        for _ in 0..length {
            let dot = Dot::read(reader)?;
            if dot.seq == 0 || dots.last().is_some_and(|before| *before >= dot) {
                return Err(DecodeError::Invalid("dots: their order, or a write's number"));
            }
            dots.push(dot);
        }
        Ok(Self { dots })
    }
}

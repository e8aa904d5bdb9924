//! [`MvRegister`]: all the values that were written last.
//!
//! Invariant: a write replaces the values that its author saw. Values of concurrent writes stand beside each other until
//! one that has seen them replaces them, so nothing is lost without somebody having seen it.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Causal, Crdt, MvRegister};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut here: Causal<MvRegister<u64>> = Causal::default();
//! let mut there = here.clone();
//! here.set(dot(1, 1), 10)?;
//! there.set(dot(2, 1), 20)?;
//! here.join(&there);
//! assert_eq!(here.values().collect::<Vec<_>>(), [&10, &20]);
//! here.set(dot(1, 2), 30)?;
//! assert_eq!(here.values().collect::<Vec<_>>(), [&30]);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::crdt::check_fresh;
use crate::dot_store::stays;
use crate::{Causal, DotStore, Element, WriteError};

/// A register with the values of all last writes. Ascending by dot in a vector: mostly there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MvRegister<T> {
    entries: Vec<(Dot, T)>,
}

impl<T> Default for MvRegister<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T: Element> MvRegister<T> {
    /// The values, in the order of their dots: the same everywhere, and none in time. One value can be there twice.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// The values with their writes.
    pub fn iter(&self) -> impl Iterator<Item = (Dot, &T)> {
        self.entries.iter().map(|(dot, value)| (*dot, value))
    }

    /// Writes the value in place of those that are here.
    pub fn set(&mut self, seen: &CausalContext, dot: Dot, value: T) -> Result<Causal<Self>, WriteError> {
        self.replace(seen, dot, Self { entries: vec![(dot, value)] })
    }

    /// Removes the values that are here.
    pub fn clear(&mut self, seen: &CausalContext, dot: Dot) -> Result<Causal<Self>, WriteError> {
        self.replace(seen, dot, Self::default())
    }

    fn replace(&mut self, seen: &CausalContext, dot: Dot, new: Self) -> Result<Causal<Self>, WriteError> {
        check_fresh(seen, dot)?;
        let gone = std::mem::replace(self, new.clone());
        Ok(Causal::delta(new, dot, &gone))
    }

    fn find(&self, dot: Dot) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&dot, |(held, _)| *held)
    }
}

impl<T: Element> Causal<MvRegister<T>> {
    /// Writes the value in place of those that are here.
    pub fn set(&mut self, dot: Dot, value: T) -> Result<Self, WriteError> {
        self.apply(|register, seen| register.set(seen, dot, value))
    }

    /// Removes the values that are here.
    pub fn clear(&mut self, dot: Dot) -> Result<Self, WriteError> {
        self.apply(|register, seen| register.clear(seen, dot))
    }
}

impl<T: Element> DotStore for MvRegister<T> {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        self.entries.retain(|(dot, _)| stays(*dot, theirs, other.find(*dot).is_ok()));
        for (dot, value) in &other.entries {
            match self.find(*dot) {
                // One write has one value; where a foreign peer says otherwise, the greater one.
                Ok(place) if *value > self.entries[place].1 => self.entries[place].1.clone_from(value),
                Err(place) if !own.contains(*dot) => self.entries.insert(place, (*dot, value.clone())),
                _ => {}
            }
        }
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.entries.iter().map(|(dot, _)| *dot).for_each(visit);
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        let unseen = self.entries.iter().filter(|(dot, _)| !seen.contains(*dot));
        Self { entries: unseen.cloned().collect() }
    }

    fn decompose(&self) -> Vec<Self> {
        self.entries.iter().map(|entry| Self { entries: vec![entry.clone()] }).collect()
    }

    /// The number of values; of each the dot and the value.
    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.entries.len() as u64);
        for (dot, value) in &self.entries {
            dot.write(bytes);
            value.write(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(usize::MAX)?;
        let mut entries: Vec<(Dot, T)> = Vec::new();
        for _ in 0..length {
            let dot = Dot::read(reader)?;
            if dot.seq == 0 || entries.last().is_some_and(|(before, _)| *before >= dot) {
                return Err(DecodeError::Invalid("register: the order of its dots, or a write's number"));
            }
            entries.push((dot, T::read(reader)?));
        }
        Ok(Self { entries })
    }
}

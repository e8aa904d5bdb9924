//! [`Max`] and [`Min`]: the greatest and the least value ever written.
//!
//! Invariant: the value never moves back. Of equal values the one with the least dot is kept, so that equal states have
//! equal bytes and writing a value again changes nothing.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Crdt, Max, Min};
//!
//! let dot = |actor| Dot { actor: ActorId(actor), seq: 1 };
//! let mut high = Max::default();
//! high.put(dot(1), 7_i64)?;
//! assert!(high.put(dot(2), 5)?.is_bottom());
//! assert_eq!(high.get(), Some(&7));
//!
//! let mut low = Min::default();
//! low.put(dot(1), 7_i64)?;
//! low.put(dot(2), 5)?;
//! assert_eq!(low.get(), Some(&5));
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use std::cmp::Reverse;

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::{Crdt, Element, WriteError};

/// The greatest value written, none before the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Max<T> {
    greatest: Option<(T, Reverse<Dot>)>,
}

impl<T> Default for Max<T> {
    fn default() -> Self {
        Self { greatest: None }
    }
}

impl<T: Element> Max<T> {
    /// The greatest value.
    pub fn get(&self) -> Option<&T> {
        self.greatest.as_ref().map(|(value, _)| value)
    }

    /// Writes a value. One that is not above the greatest changes nothing, and its delta is the bottom.
    pub fn put(&mut self, dot: Dot, value: T) -> Result<Self, WriteError> {
        let used = |(_, held): &(T, Reverse<Dot>)| held.0 == dot;
        if dot.seq == 0 || self.greatest.as_ref().is_some_and(used) {
            return Err(WriteError::UsedDot { dot });
        }
        if self.get().is_some_and(|greatest| *greatest >= value) {
            return Ok(Self::default());
        }
        self.greatest = Some((value, Reverse(dot)));
        Ok(self.clone())
    }
}

impl<T: Element> Crdt for Max<T> {
    fn join(&mut self, other: &Self) {
        if other.greatest > self.greatest {
            self.greatest.clone_from(&other.greatest);
        }
    }

    fn decompose(&self) -> Vec<Self> {
        self.greatest.iter().map(|_| self.clone()).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        let unseen = |(_, dot): &&(T, Reverse<Dot>)| !seen.contains(dot.0);
        Self { greatest: self.greatest.as_ref().filter(unseen).cloned() }
    }

    fn is_bottom(&self) -> bool {
        self.greatest.is_none()
    }

    /// 0, or 1, the dot and the value.
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.greatest.is_some()));
        if let Some((value, dot)) = &self.greatest {
            dot.0.write(bytes);
            value.write(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let greatest = match reader.take()? {
            [0] => None,
            [1] => {
                let dot = Dot::read(reader)?;
                if dot.seq == 0 {
                    return Err(DecodeError::Invalid("extremum: a write's number"));
                }
                Some((T::read(reader)?, Reverse(dot)))
            }
            [tag] => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(Self { greatest })
    }
}

/// The least value written, none before the first: a [`Max`] in the other direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Min<T> {
    least: Max<Reverse<T>>,
}

impl<T> Default for Min<T> {
    fn default() -> Self {
        Self { least: Max::default() }
    }
}

impl<T: Element> Min<T> {
    /// The least value.
    pub fn get(&self) -> Option<&T> {
        self.least.get().map(|value| &value.0)
    }

    /// Writes a value. One that is not below the least changes nothing, and its delta is the bottom.
    pub fn put(&mut self, dot: Dot, value: T) -> Result<Self, WriteError> {
        Ok(Self { least: self.least.put(dot, Reverse(value))? })
    }
}

impl<T: Element> Crdt for Min<T> {
    fn join(&mut self, other: &Self) {
        self.least.join(&other.least);
    }

    fn decompose(&self) -> Vec<Self> {
        self.least.decompose().into_iter().map(|least| Self { least }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { least: self.least.novel(seen) }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.least.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { least: Max::read(reader)? })
    }
}

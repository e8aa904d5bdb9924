//! [`GCounter`]: a sum that only grows.
//!
//! Invariant: of each actor the total of its increments is held, with the number of its last one; the value is the sum of
//! the totals, so an increment counts once however often it arrives. The G-Counter of Shapiro, Preguiça, Baquero and
//! Zawirski, "A comprehensive study of Convergent and Commutative Replicated Data Types" (2011), specification 6.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Crdt, GCounter};
//!
//! let (mut berlin, mut tokyo) = (GCounter::default(), GCounter::default());
//! let delta = berlin.increment(Dot { actor: ActorId(1), seq: 1 }, 1_000)?;
//! tokyo.increment(Dot { actor: ActorId(2), seq: 1 }, 2_300)?;
//! tokyo.join(&delta);
//! tokyo.join(&delta);
//! assert_eq!(tokyo.value(), 3_300);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::slots::{Entry, Slots};
use crate::{Crdt, WriteError};

/// A grow-only counter. 24 bytes an actor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GCounter {
    totals: Slots<Total>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Total {
    seq: u64,
    total: u64,
}

impl Entry for Total {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.seq);
        write_u64(bytes, self.total);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { seq: reader.u64()?, total: reader.u64()? })
    }
}

impl GCounter {
    /// The sum. Exact: no number of 64-bit totals leaves 128 bits.
    pub fn value(&self) -> u128 {
        self.totals.entries().map(|entry| u128::from(entry.total)).sum()
    }

    /// Adds `amount`. An actor's own total ends at 2^64 - 1: beyond it is an error. O(log actors).
    pub fn increment(&mut self, dot: Dot, amount: u64) -> Result<Self, WriteError> {
        let before = self.totals.before(dot)?.map_or(0, |entry| entry.total);
        let total = before.checked_add(amount).ok_or(WriteError::Overflow { amount })?;
        Ok(Self { totals: self.totals.put(dot.actor, Total { seq: dot.seq, total }) })
    }
}

impl Crdt for GCounter {
    fn join(&mut self, other: &Self) {
        self.totals.join(&other.totals);
    }

    fn decompose(&self) -> Vec<Self> {
        self.totals.parts().map(|totals| Self { totals }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { totals: self.totals.novel(seen) }
    }

    fn is_bottom(&self) -> bool {
        self.totals.is_empty()
    }

    /// The number of actors, and of each its id, the number of its last increment and its total: 4 to 8 bytes for one
    /// increment of everyday size.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.totals.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { totals: Slots::read(reader)? })
    }
}

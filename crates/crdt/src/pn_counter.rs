//! [`PnCounter`]: a sum of increments and decrements.
//!
//! Invariant: of each actor the totals of both are held, with the number of its last write, so that a change counts once
//! however often it arrives. The PN-Counter of Shapiro, Preguiça, Baquero and Zawirski (2011), specification 7.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Crdt, PnCounter};
//!
//! let (mut here, mut there) = (PnCounter::default(), PnCounter::default());
//! here.increment(Dot { actor: ActorId(1), seq: 1 }, 10)?;
//! let delta = there.decrement(Dot { actor: ActorId(2), seq: 1 }, 2)?;
//! here.join(&delta);
//! assert_eq!(here.value(), 8);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::slots::Slots;
use crate::tally::Tally;
use crate::{Crdt, WriteError};

/// A counter that goes both ways. 32 bytes an actor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PnCounter {
    tallies: Slots<Tally>,
}

impl PnCounter {
    /// The sum. Exact: no number of 64-bit totals leaves 128 bits.
    pub fn value(&self) -> i128 {
        Tally::sum(&self.tallies)
    }

    /// Adds `amount`. What one actor adds in all ends at 2^64 - 1: beyond it is an error. O(log actors).
    pub fn increment(&mut self, dot: Dot, amount: u64) -> Result<Self, WriteError> {
        self.change(dot, amount, 0)
    }

    /// Takes `amount` away, with the same end.
    pub fn decrement(&mut self, dot: Dot, amount: u64) -> Result<Self, WriteError> {
        self.change(dot, 0, amount)
    }

    /// Adds what may be negative.
    pub fn add(&mut self, dot: Dot, amount: i64) -> Result<Self, WriteError> {
        let size = amount.unsigned_abs();
        if amount < 0 { self.decrement(dot, size) } else { self.increment(dot, size) }
    }

    fn change(&mut self, dot: Dot, plus: u64, minus: u64) -> Result<Self, WriteError> {
        let tally = Tally::after(self.tallies.before(dot)?, dot.seq, plus, minus)?;
        Ok(Self { tallies: self.tallies.put(dot.actor, tally) })
    }
}

impl Crdt for PnCounter {
    fn join(&mut self, other: &Self) {
        self.tallies.join(&other.tallies);
    }

    fn decompose(&self) -> Vec<Self> {
        self.tallies.parts().map(|tallies| Self { tallies }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { tallies: self.tallies.novel(seen) }
    }

    fn is_bottom(&self) -> bool {
        self.tallies.is_empty()
    }

    /// The number of actors, and of each its id, the number of its last write and its two totals: 5 to 12 bytes for one
    /// change of everyday size.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.tallies.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { tallies: Slots::read(reader)? })
    }
}

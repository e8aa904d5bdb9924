//! [`Counter`]: a counter that can also be set.
//!
//! Invariant: a `set` begins an *epoch*, named by its stamp, and an increment belongs to the epoch that its author saw.
//! The latest epoch is the value; increments of an older one, also those that were made at the same time as the `set`,
//! are dropped with it. So the value is what the last `set` wrote and what was added by those who knew of it.
//!
//! The other rule, to keep increments that are concurrent with a `set`, would let one increment count in two epochs at
//! different replicas, or need the whole history to tell which.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot, HybridTime};
//! use deltaic_crdt::{Counter, Crdt};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut here = Counter::default();
//! here.add(dot(1, 1), 5)?;
//! let mut there = here.clone();
//!
//! here.set(dot(1, 2), HybridTime::new(10, 0), 100)?;
//! here.add(dot(1, 3), 1)?;
//! there.add(dot(2, 1), 7)?;
//! there.join(&here);
//! assert_eq!(there.value(), 101);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use std::cmp::Ordering;

use deltaic_causality::{CausalContext, Dot, HybridTime};
use deltaic_types::codec::{DecodeError, Reader, write_i64};

use crate::slots::Slots;
use crate::tally::Tally;
use crate::{Crdt, Stamp, WriteError};

/// A settable counter. 32 bytes an actor that has added something since the last `set`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counter {
    epoch: Option<Epoch>,
    tallies: Slots<Tally>,
}

/// The last `set`. The stamp decides; two with one stamp, which only a foreign peer can make, the greater base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Epoch {
    stamp: Stamp,
    base: i64,
}

impl Counter {
    /// What was set last and what was added to it. Exact: no number of 64-bit totals leaves 128 bits.
    pub fn value(&self) -> i128 {
        self.epoch.map_or(0, |epoch| i128::from(epoch.base)) + Tally::sum(&self.tallies)
    }

    /// The `set` that stands, if there was one.
    pub fn epoch(&self) -> Option<Stamp> {
        self.epoch.map(|epoch| epoch.stamp)
    }

    /// Adds what may be negative to the epoch that stands. What one actor adds or takes away in an epoch ends at
    /// 2^64 - 1: beyond it is an error. O(log actors).
    pub fn add(&mut self, dot: Dot, amount: i64) -> Result<Self, WriteError> {
        let size = amount.unsigned_abs();
        let (plus, minus) = if amount < 0 { (0, size) } else { (size, 0) };
        if self
            .epoch
            .is_some_and(|epoch| epoch.stamp.dot.actor == dot.actor && epoch.stamp.dot.seq >= dot.seq)
        {
            return Err(WriteError::UsedDot { dot });
        }
        let tally = Tally::after(self.tallies.before(dot)?, dot.seq, plus, minus)?;
        Ok(Self { epoch: self.epoch, tallies: self.tallies.put(dot.actor, tally) })
    }

    /// Begins an epoch in which the value is `base`. `time` must be after that of the epoch that stands.
    pub fn set(&mut self, dot: Dot, time: HybridTime, base: i64) -> Result<Self, WriteError> {
        let stamp = Stamp { time, dot };
        self.tallies.before(dot)?;
        stamp.check_after(self.epoch())?;
        *self = Self { epoch: Some(Epoch { stamp, base }), tallies: Slots::default() };
        Ok(self.clone())
    }
}

impl Crdt for Counter {
    fn join(&mut self, other: &Self) {
        match self.epoch.cmp(&other.epoch) {
            Ordering::Less => self.clone_from(other),
            Ordering::Equal => self.tallies.join(&other.tallies),
            Ordering::Greater => {}
        }
    }

    fn decompose(&self) -> Vec<Self> {
        if self.tallies.is_empty() {
            return self.epoch.map(|_| self.clone()).into_iter().collect();
        }
        self.tallies.parts().map(|tallies| Self { epoch: self.epoch, tallies }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        let tallies = self.tallies.novel(seen);
        let epoch_seen = self.epoch.is_none_or(|epoch| seen.contains(epoch.stamp.dot));
        if tallies.is_empty() && epoch_seen {
            return Self::default();
        }
        Self { epoch: self.epoch, tallies }
    }

    fn is_bottom(&self) -> bool {
        self.epoch.is_none() && self.tallies.is_empty()
    }

    /// 0, or 1 and the epoch (its time, dot and base); then the increments as a [`crate::PnCounter`] has them.
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.epoch.is_some()));
        if let Some(epoch) = self.epoch {
            epoch.stamp.write(bytes);
            write_i64(bytes, epoch.base);
        }
        self.tallies.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = match reader.take()? {
            [0] => None,
            [1] => Some(Epoch { stamp: Stamp::read(reader)?, base: reader.i64()? }),
            [tag] => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(Self { epoch, tallies: Slots::read(reader)? })
    }
}

//! [`Stamp`]: which of two writes is the last.
//!
//! Invariant: a total order: by time, and writes of one time by their dots. A write that has seen another has the
//! greater time, as the clock that gave it observed the other (see `HybridLogicalClock`).

use std::fmt;

use deltaic_causality::{Dot, HybridTime};
use deltaic_types::codec::{DecodeError, Reader};

use crate::WriteError;

/// When a write was made, and which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The time that the write was given at admission.
    pub time: HybridTime,
    /// The write.
    pub dot: Dot,
}

impl Stamp {
    /// Refuses a write that would not be above the one that stands, or that stands already.
    pub(crate) fn check_after(self, current: Option<Self>) -> Result<(), WriteError> {
        let dot = self.dot;
        let again = |current: &Self| current.dot.actor == dot.actor && current.dot.seq >= dot.seq;
        match current {
            _ if dot.seq == 0 => Err(WriteError::UsedDot { dot }),
            Some(current) if again(&current) => Err(WriteError::UsedDot { dot }),
            // The writes of an actor's transaction have one time, and follow each other by their dots.
            Some(Self { time, dot: of })
                if time > self.time || (time == self.time && of.actor != dot.actor) =>
            {
                Err(WriteError::NotLater { time: self.time, current: time })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn write(self, bytes: &mut Vec<u8>) {
        self.time.write(bytes);
        self.dot.write(bytes);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let stamp = Self { time: HybridTime::read(reader)?, dot: Dot::read(reader)? };
        if stamp.dot.seq == 0 { Err(DecodeError::Invalid("stamp: a write's number")) } else { Ok(stamp) }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.dot, self.time)
    }
}

//! [`Tally`]: what one actor has added and what it has taken away.
//!
//! Invariant: both totals only grow while the number of the actor's last write does, so the greater tally of one actor is
//! the later one.

use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::WriteError;
use crate::slots::{Entry, Slots};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tally {
    seq: u64,
    plus: u64,
    minus: u64,
}

impl Tally {
    /// The tally after one more write, or an error where a total would leave its 64 bits.
    pub(crate) fn after(before: Option<Self>, seq: u64, plus: u64, minus: u64) -> Result<Self, WriteError> {
        let (old_plus, old_minus) = before.map_or((0, 0), |tally| (tally.plus, tally.minus));
        let add = |total: u64, amount| total.checked_add(amount).ok_or(WriteError::Overflow { amount });
        Ok(Self { seq, plus: add(old_plus, plus)?, minus: add(old_minus, minus)? })
    }

    /// The sum over all actors. Exact: no number of 64-bit totals leaves 128 bits.
    pub(crate) fn sum(tallies: &Slots<Self>) -> i128 {
        tallies.entries().map(|tally| i128::from(tally.plus) - i128::from(tally.minus)).sum()
    }
}

impl Entry for Tally {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.seq);
        write_u64(bytes, self.plus);
        write_u64(bytes, self.minus);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { seq: reader.u64()?, plus: reader.u64()?, minus: reader.u64()? })
    }
}

//! [`Note`]: a permit as it is written down, to be ended by somebody who does not hold it.
//!
//! Invariant: a note gives back what its permit could have given back, to the same window of the same key, or nothing.
//! Whoever keeps notes answers for two things: that a note is one that was made here, and that it is redeemed once.

use std::sync::Arc;

use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::accumulator::Accumulator;
use crate::bucket::Share;
use crate::permit::{Cover, Permit};
use crate::{Units, WindowId};

/// A permit, written down.
#[derive(Debug, Clone, Copy)]
pub struct Note {
    window: WindowId,
    units: Units,
    cover: Cover,
}

impl Note {
    /// What was permitted.
    pub fn units(&self) -> Units {
        self.units
    }

    /// The note's bytes, behind others.
    pub fn encode_into(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.window.0);
        write_u64(bytes, self.units.0);
        match self.cover {
            Cover::Lease => write_u64(bytes, 0),
            Cover::Nothing => write_u64(bytes, 1),
            Cover::Time(share) => {
                write_u64(bytes, 2);
                share.encode_into(bytes);
            }
        }
    }

    /// Reads what [`Note::encode_into`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (window, units) = (WindowId(reader.u64()?), Units(reader.u64()?));
        let cover = match reader.u64()? {
            0 => Cover::Lease,
            1 => Cover::Nothing,
            2 => Cover::Time(Share::decode(reader)?),
            _ => return Err(DecodeError::Invalid("cover of a permit")),
        };
        Ok(Self { window, units, cover })
    }
}

impl Permit<'_> {
    /// Writes it down; none of an unlimited budget, whose permits give nothing back.
    pub fn note(&self) -> Option<Note> {
        let accumulator = self.accumulator()?;
        Some(Note { window: accumulator.account().window, units: self.units(), cover: self.cover() })
    }
}

impl Accumulator {
    /// The permit that a note was made of; none if it was of another window. Redeemed twice, units are given twice: see
    /// the [module](self).
    pub fn redeem(self: &Arc<Self>, note: &Note) -> Option<Permit<'static>> {
        (self.account().window == note.window)
            .then(|| Permit::shared(Arc::clone(self), note.units, note.cover))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::{Account, Key, Settings};

    #[test]
    fn a_note_comes_back_and_is_of_one_window() {
        let account = |window| Account { key: Key::new(b"k").unwrap(), window: WindowId(window) };
        let of = |window| Arc::new(Accumulator::new(Settings::stock(account(window), Units(5))));
        let (first, second) = (of(3), of(4));
        let permit = first.try_consume(Units::ZERO).unwrap();
        let note = permit.note().unwrap();
        let mut bytes = Vec::new();
        note.encode_into(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = Note::decode(&mut reader).unwrap();
        assert_eq!((read.window, read.units), (WindowId(3), Units::ZERO));
        assert!(first.redeem(&read).is_some() && second.redeem(&read).is_none());
        for end in 0..bytes.len() {
            assert!(Note::decode(&mut Reader::new(&bytes[..end])).is_err());
        }
        assert!(Note::decode(&mut Reader::new(&[0, 0, 3])).is_err());
        let share = |backed| Note::decode(&mut Reader::new(&[0, 0, 2, 0, 0, 0, backed])).map(|_| ());
        assert_eq!((share(1), share(2)), (Ok(()), Err(DecodeError::Invalid("share of a bucket"))));
        assert!(Permit::unlimited(Units(1)).note().is_none());
    }
}

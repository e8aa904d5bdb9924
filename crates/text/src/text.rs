//! [`Text`]: the value of a text column as a [`Crdt`].
//!
//! Invariant: it is a [`Log`] whose writes are updates, so that a join is their union and asks no library. A document alone could not be
//! told apart by dots: a removal in Yjs names what was removed and not who removed it, so that no holder of a context could be told which
//! removals it lacks; and its writers count units where dots count writes. The price is that writes are kept: a write takes its dot,
//! and what it inserted stays in it after it is removed from the text.

use std::ops::Range;

use deltaic_causality::{CausalContext, Dot};
use deltaic_crdt::{Crdt, Log};
use deltaic_types::codec::{DecodeError, Reader};

use crate::update::Update;
use crate::{Client, Format, TextError, TextLog, YrsText};

/// A change of a text; places are in Unicode scalar values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Puts the text before the character at this place.
    Insert(usize, String),
    /// Takes the characters out.
    Delete(Range<usize>),
    /// Sets the named format of the characters.
    Format(Range<usize>, String, Format),
}

/// A text as the log of its writes, empty before the first. Nothing of it is read but when it is read or edited, at O(its bytes) each
/// time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    log: Log,
}

impl Text {
    /// Makes the edit and returns its delta. The dot is the actor's next; the actor of a restored copy is another.
    pub fn edit(&mut self, dot: Dot, edit: &Edit) -> Result<Self, TextError> {
        let client = Client::new(dot.actor)?;
        if !self.log.is_next(dot) {
            return Err(TextError::UsedDot { dot });
        }
        let added = self.read_log().edit(client, None, std::slice::from_ref(edit))?;
        let log = self.log.append(dot, added).map_err(|_| TextError::UsedDot { dot })?;
        Ok(Self { log })
    }

    /// The text without its formats.
    pub fn text(&self) -> Result<String, TextError> {
        self.read_log().text()
    }

    /// All writes as one document, to be merged and edited as such. Where two writes claim one unit, as those of copies
    /// with one actor do, the one of the lesser dot has it and the other is left out.
    pub fn open(&self) -> YrsText {
        self.read_log().open()
    }

    fn read_log(&self) -> TextLog<'_> {
        TextLog::new(&self.log, "")
    }
}

impl Crdt for Text {
    fn join(&mut self, other: &Self) {
        self.log.join(&other.log);
    }

    fn decompose(&self) -> Vec<Self> {
        self.log.decompose().into_iter().map(|log| Self { log }).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self { log: self.log.novel(seen) }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.log.write(bytes);
    }

    /// A log, all of whose writes can be read.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let log = Log::read(reader)?;
        for (dot, bytes) in log.iter() {
            if dot.actor.0 >= Client::END || dot.actor.0 == 0 {
                return Err(DecodeError::Invalid("write of a text: its actor"));
            }
            match Update::decode_canonical(TextLog::BYTES, bytes) {
                Ok(update) if !update.is_empty() => {}
                Ok(_) => return Err(DecodeError::Invalid("write of a text: it adds nothing")),
                Err(TextError::Decode(error)) => return Err(error),
                Err(_) => return Err(DecodeError::Invalid("write of a text")),
            }
        }
        Ok(Self { log })
    }
}

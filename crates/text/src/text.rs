//! [`Text`]: the value of a text column as a [`Crdt`].
//!
//! Invariant: it is a set of writes, each under its dot with the bytes of what it added, so that a join is their union and
//! asks no library. A document alone could not be told apart by dots: a removal in Yjs names what was removed and not who
//! removed it, so that no holder of a context could be told which removals it lacks; and its writers count units where
//! dots count writes. The price is that writes are kept: a write takes its dot, and what it inserted stays in it after it
//! is removed from the text.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, Range};
use std::sync::Arc;

use deltaic_causality::{ActorId, CausalContext, Dot};
use deltaic_crdt::Crdt;
use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};
use deltaic_types::limits;

use crate::update::Update;
use crate::{Client, Format, TextCrdt, TextError, YrsText};

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

/// A text as the set of its writes. Nothing of it is read but when it is read or edited, at O(its bytes) each time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    writes: BTreeMap<Dot, Arc<[u8]>>,
}

impl Text {
    /// Makes the edit and returns its delta. The dot is the actor's next; the actor of a restored copy is another.
    pub fn edit(&mut self, dot: Dot, edit: &Edit) -> Result<Self, TextError> {
        let client = Client::new(dot.actor)?;
        let later = (Bound::Included(dot), Bound::Included(Dot { seq: u64::MAX, ..dot }));
        if dot.seq == 0 || self.writes.range(later).next().is_some() {
            return Err(TextError::UsedDot { dot });
        }
        let mut text = self.open();
        text.begin(client, text.written(client))?;
        let added = match edit {
            Edit::Insert(at, inserted) => text.insert(*at, inserted),
            Edit::Delete(range) => text.delete(range.clone()),
            Edit::Format(range, name, value) => text.format(range.clone(), name, value),
        }?;
        if Update::decode(&added)?.is_empty() {
            return Err(TextError::Nothing);
        }
        let delta = Self { writes: BTreeMap::from([(dot, Arc::from(added))]) };
        self.join(&delta);
        Ok(delta)
    }

    /// The text without its formats.
    pub fn text(&self) -> Result<String, TextError> {
        self.open().read()
    }

    /// All writes as one document, to be merged and edited as such. Where two writes claim one unit, as those of copies
    /// with one actor do, the one of the lesser dot has it and the other is left out.
    pub fn open(&self) -> YrsText {
        let mut held = Update::default();
        for bytes in self.writes.values() {
            let Ok(update) = Update::decode(bytes) else { continue };
            if held.check(&update).is_ok() {
                held.join(&update);
            }
        }
        YrsText::of(held)
    }
}

impl Crdt for Text {
    fn join(&mut self, other: &Self) {
        for (dot, bytes) in &other.writes {
            match self.writes.entry(*dot) {
                Entry::Vacant(entry) => {
                    entry.insert(Arc::clone(bytes));
                }
                // Only copies that used a dot twice get here: the same one stays everywhere.
                Entry::Occupied(mut entry) => {
                    if bytes > entry.get() {
                        entry.insert(Arc::clone(bytes));
                    }
                }
            }
        }
    }

    fn decompose(&self) -> Vec<Self> {
        let part =
            |(dot, bytes): (&Dot, &Arc<[u8]>)| Self { writes: BTreeMap::from([(*dot, Arc::clone(bytes))]) };
        self.writes.iter().map(part).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        let lacking = self.writes.iter().filter(|(dot, _)| !seen.contains(**dot));
        Self { writes: lacking.map(|(dot, bytes)| (*dot, Arc::clone(bytes))).collect() }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.writes.len() as u64);
        for (dot, update) in &self.writes {
            dot.write(bytes);
            write_bytes(bytes, update);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut writes = BTreeMap::new();
        let mut last = Dot { actor: ActorId(0), seq: 0 };
        for _ in 0..reader.length(limits::INTERVALS)? {
            let dot = Dot::read(reader)?;
            if dot <= last || dot.seq == 0 || dot.actor.0 >= Client::END || dot.actor.0 == 0 {
                return Err(DecodeError::Invalid("write of a text: dots are in order and start at 1"));
            }
            let bytes = reader.bytes(limits::VALUE_BYTES)?;
            match Update::decode_canonical(bytes) {
                Ok(update) if !update.is_empty() => {}
                Ok(_) => return Err(DecodeError::Invalid("write of a text: it adds nothing")),
                Err(TextError::Decode(error)) => return Err(error),
                Err(_) => return Err(DecodeError::Invalid("write of a text")),
            }
            writes.insert(dot, Arc::from(bytes));
            last = dot;
        }
        Ok(Self { writes })
    }
}

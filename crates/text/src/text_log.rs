//! [`TextLog`]: a log of writes, read as a text and edited as one.
//!
//! Invariant: what is read is a function of the log and of the text that it begins with, whatever bytes a foreign peer has put among the
//! writes: those that cannot be read, and those that claim units of another write, are left out, by the order of dots. A write is made
//! over what its author had seen, and removes nothing else.
//!
//! The text that it begins with is no write: the same units, of nobody, on each replica, so that two that begin apart have one beginning.
//! Each reading takes time and memory by the bytes of the log; of what it comes to at most [`limits::VALUE_BYTES`] are read.

use deltaic_causality::CausalContext;
use deltaic_crdt::{Crdt, Log};
use deltaic_types::limits;

use crate::order::placed;
use crate::update::{Block, Content, Update, units};
use crate::wire::UNITS;
use crate::{Client, Edit, TextCrdt, TextError, YrsText};

/// A log as a text.
#[derive(Debug, Clone, Copy)]
pub struct TextLog<'a> {
    log: &'a Log,
    beginning: &'a str,
}

impl<'a> TextLog<'a> {
    /// The bytes that the writes of a log may have and still be written to, and so many its document: as many as a row.
    pub const BYTES: usize = limits::ROW_BYTES;

    /// The log of a text that began as this one.
    pub fn new(log: &'a Log, beginning: &'a str) -> Self {
        Self { log, beginning }
    }

    /// The text without its formats, as far as the log can be read. O(its bytes).
    pub fn text(&self) -> Result<String, TextError> {
        let mut text = self.open().read()?;
        let end = (0..=limits::VALUE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        Ok(text)
    }

    /// All writes as one document.
    pub(crate) fn open(&self) -> YrsText {
        YrsText::of(self.held(None))
    }

    /// What the writes come to, or those of them that are seen.
    fn held(&self, seen: Option<&CausalContext>) -> Update {
        let mut held = Update::default();
        if !self.beginning.is_empty() {
            held.add(Client::BEGINNING.get(), 0, &first_block(self.beginning));
        }
        for (_, bytes) in self.log.iter().filter(|(dot, _)| seen.is_none_or(|seen| seen.contains(*dot))) {
            let Ok(update) = Update::decode_within(Self::BYTES, bytes) else { continue };
            if held.check(&update).is_ok() {
                held.join(&update);
            }
        }
        held
    }

    /// The bytes of one write that makes the edits, one after the other, in the text of the writes that `seen` has, or of all. The
    /// write is to be the next of an actor whose client this is. An error where nothing would change. O(the log's bytes) an edit.
    pub fn edit(
        &self,
        client: Client,
        seen: Option<&CausalContext>,
        edits: &[Edit],
    ) -> Result<Vec<u8>, TextError> {
        let all = self.held(None);
        let over =
            seen.filter(|seen| !self.is_all(seen)).map_or_else(|| all.clone(), |seen| self.held(Some(seen)));
        let (author, added) = edited(over, edits)?;
        self.signed(client, &all, (author, &added))
    }

    /// The write that makes `text` of what the author had seen: what differs between a common beginning and a common end.
    pub fn assign(
        &self,
        client: Client,
        seen: Option<&CausalContext>,
        text: &str,
    ) -> Result<Vec<u8>, TextError> {
        // As rows are inserted, many at a time.
        if self.log.is_empty() && self.beginning.is_empty() && !text.is_empty() {
            let mut added = Update::default();
            added.add(client.get(), 0, &first_block(text));
            return Ok(added.encode());
        }
        let was = YrsText::of(self.held(seen)).read()?;
        self.edit(client, seen, &difference(&was, text))
    }

    /// The write that makes `text` of all that is here, but leaves what the author had not seen.
    pub fn rewrite(
        &self,
        client: Client,
        seen: Option<&CausalContext>,
        text: &str,
    ) -> Result<Vec<u8>, TextError> {
        let all = self.held(None);
        let was = YrsText::of(all.clone()).read()?;
        let (author, mut added) = edited(all.clone(), &difference(&was, text))?;
        if let Some(seen) = seen.filter(|seen| !self.is_all(seen)) {
            let mut may_go = self.held(Some(seen));
            may_go.join(&Update { blocks: added.blocks.clone(), ..Update::default() });
            added = added.removing_only(&may_go);
        }
        self.signed(client, &all, (author, &added))
    }

    fn is_all(&self, seen: &CausalContext) -> bool {
        self.log.novel(seen).is_bottom()
    }

    /// The bytes of a write of the author as one of the client's, behind its units here.
    fn signed(
        &self,
        client: Client,
        all: &Update,
        (author, added): (Client, &Update),
    ) -> Result<Vec<u8>, TextError> {
        if added.is_empty() {
            return Err(TextError::Nothing);
        }
        let (_, in_place) = placed(all);
        let more = added.end(author.get());
        // Units behind others that wait would wait with them; those whose removal came first would go with it.
        let has_room = |life: &Client| {
            let held = all.end(life.get());
            let waits = in_place.get(&life.get()).copied().unwrap_or(0) != held;
            let goes = all.deleted.get(&life.get()).and_then(|ranges| ranges.last_key_value());
            !waits
                && goes.is_none_or(|(_, end)| *end <= held)
                && held.checked_add(more).is_some_and(|end| end < UNITS)
        };
        let limit = UNITS as usize;
        let life = client.lives().find(has_room).ok_or(TextError::TooLarge { bytes: limit, limit })?;
        let bytes = added.signed(author.get(), life.get(), all.end(life.get())).encode();
        let size = self.log.size() + bytes.len();
        if size > Self::BYTES {
            return Err(TextError::TooLarge { bytes: size, limit: Self::BYTES });
        }
        Ok(bytes)
    }
}

/// A text that is put where nothing is.
fn first_block(text: &str) -> Block {
    Block { length: units(text), left: None, right: None, content: Content::Text(text.to_owned()) }
}

/// What the edits add to a text, by an author who has no units yet: whoever that is.
fn edited(over: Update, edits: &[Edit]) -> Result<(Client, Update), TextError> {
    let author = Client::free(&over).ok_or(TextError::NoWriter)?;
    // What several have inserted apart may be more than a value holds: it can be read up to there, and be made shorter.
    let mut text = YrsText::within(TextLog::BYTES, over);
    text.begin(author, 0)?;
    let mut added = Update::default();
    for edit in edits {
        let more = match edit {
            Edit::Insert(at, inserted) => text.insert(*at, inserted),
            Edit::Delete(range) => text.delete(range.clone()),
            Edit::Format(range, name, value) => text.format(range.clone(), name, value),
        }?;
        added.join(&Update::decode_within(TextLog::BYTES, &more)?);
    }
    Ok((author, added))
}

/// The edits that make one text of another, between what they begin and end with alike.
fn difference(was: &str, is: &str) -> Vec<Edit> {
    let alike = was.chars().zip(is.chars()).take_while(|(one, other)| one == other);
    let (start, bytes) = alike.fold((0, 0), |(count, bytes), (one, _)| (count + 1, bytes + one.len_utf8()));
    let (was, is) = (&was[bytes..], &is[bytes..]);
    let alike = was.chars().rev().zip(is.chars().rev()).take_while(|(one, other)| one == other);
    let bytes: usize = alike.map(|(one, _)| one.len_utf8()).sum();
    let (gone, come) = (&was[..was.len() - bytes], &is[..is.len() - bytes]);
    let mut edits = Vec::new();
    if !gone.is_empty() {
        edits.push(Edit::Delete(start..start + gone.chars().count()));
    }
    if !come.is_empty() {
        edits.push(Edit::Insert(start, come.to_owned()));
    }
    edits
}

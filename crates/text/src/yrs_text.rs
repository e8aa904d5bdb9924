//! [`YrsText`]: a text whose concurrent insertions `yrs` puts in order.
//!
//! Invariant: what is held is a set of units and removals in one form; the library's document is made of it when the text is
//! read or edited, and thrown away when the set grows. So merging, bytes and differences never ask the
//! library, and equal bytes read the same. The order is that of Nicolaescu, Jahns, Derntl and Klamma, "Near Real-Time
//! Peer-to-Peer Shared Editing on Extensible Data Types" (YATA, 2016), as Yjs has it.

use std::collections::BTreeMap;
use std::ops::Range;

use deltaic_types::limits;

use crate::document::Document;
use crate::order::placed;
use crate::update::Update;
use crate::wire::{FORMAT_NAME_BYTES, UNITS, decode_version, encode_version};
use crate::{Client, Format, TextCrdt, TextError};

/// A text that merges, over `yrs`. The default is the empty text, which nobody writes to.
#[derive(Debug, Default)]
pub struct YrsText {
    held: Update,
    writer: Option<Client>,
    document: Option<Document>,
    /// The bytes that it may take, if not those of a value.
    limit: Option<usize>,
}

impl Clone for YrsText {
    fn clone(&self) -> Self {
        Self { held: self.held.clone(), writer: self.writer, document: None, limit: self.limit }
    }
}

/// Marks of an edit besides what it is told: the formats that begin and end around it.
const EDIT_BYTES: usize = 1 << 12;

impl YrsText {
    /// An empty text that the actor of this client, which was never used, writes to.
    pub fn new(client: Client) -> Self {
        Self { writer: Some(client), ..Self::default() }
    }

    pub(crate) fn of(held: Update) -> Self {
        Self { held, ..Self::default() }
    }

    /// One that may take so many bytes.
    pub(crate) fn within(limit: usize, held: Update) -> Self {
        Self { held, limit: Some(limit), ..Self::default() }
    }

    /// How many units the client has written, as far as is held: what [`TextCrdt::begin`] of its next life wants to be
    /// told by who has kept it.
    pub fn written(&self, client: Client) -> u32 {
        self.held.end(client.get())
    }

    /// Units that came before those they were put beside, and wait for them.
    pub fn waiting(&self) -> u64 {
        let held: u64 =
            self.held.blocks.values().flat_map(BTreeMap::values).map(|block| u64::from(block.length)).sum();
        held - placed(&self.held).1.values().map(|end| u64::from(*end)).sum::<u64>()
    }

    fn document(&mut self) -> Result<&Document, TextError> {
        if self.document.is_none() {
            self.document = Some(Document::load(&self.held, self.writer)?);
        }
        self.document.as_ref().ok_or(TextError::NoWriter)
    }

    fn check_size(&self, more: usize) -> Result<(), TextError> {
        let bytes = self.held.size() + more;
        let limit = self.limit.unwrap_or(limits::VALUE_BYTES);
        if bytes > limit { Err(TextError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    pub(crate) fn edit(
        &mut self,
        bytes: usize,
        edit: impl FnOnce(&Document) -> Result<Update, TextError>,
    ) -> Result<Update, TextError> {
        let writer = self.writer.ok_or(TextError::NoWriter)?;
        self.check_size(bytes + EDIT_BYTES)?;
        if self.held.end(writer.get()) as usize + bytes + EDIT_BYTES > UNITS as usize {
            return Err(TextError::TooLarge { bytes: UNITS as usize, limit: UNITS as usize });
        }
        let added = edit(self.document()?);
        // The library may have put it elsewhere than it does when it is told all at once (`y_octo_53` in the tests).
        self.document = None;
        let added = added?;
        self.held.check(&added)?;
        self.held.join(&added);
        Ok(added)
    }
}

impl TextCrdt for YrsText {
    fn decode(bytes: &[u8]) -> Result<Self, TextError> {
        Ok(Self::of(Update::decode_canonical(limits::VALUE_BYTES, bytes)?))
    }

    fn encode(&self) -> Vec<u8> {
        self.held.encode()
    }

    fn begin(&mut self, client: Client, written: u32) -> Result<(), TextError> {
        let held = self.held.end(client.get());
        let placed = placed(&self.held).1.get(&client.get()).copied().unwrap_or(0);
        if held != written || placed != written {
            return Err(TextError::OtherLife { client: client.get(), written, held });
        }
        self.writer = Some(client);
        self.document = None;
        Ok(())
    }

    fn apply(&mut self, update: &[u8]) -> Result<(), TextError> {
        let update = Update::decode(update)?;
        if let Some(writer) = self.writer {
            let (written, held) = (self.held.end(writer.get()), update.end(writer.get()));
            if held > written {
                return Err(TextError::OtherLife { client: writer.get(), written, held });
            }
        }
        self.held.check(&update)?;
        let mut joined = self.held.clone();
        joined.join(&update);
        if joined == self.held {
            return Ok(());
        }
        let bytes = joined.size();
        if bytes > limits::VALUE_BYTES {
            return Err(TextError::TooLarge { bytes, limit: limits::VALUE_BYTES });
        }
        self.held = joined;
        self.document = None;
        Ok(())
    }

    fn version(&self) -> Vec<u8> {
        let ends = self.held.blocks.keys().map(|client| (*client, self.held.contiguous(*client)));
        encode_version(&ends.filter(|(_, end)| *end > 0).collect())
    }

    fn diff(&self, since: &[u8]) -> Result<Vec<u8>, TextError> {
        Ok(self.held.since(&decode_version(since)?).encode())
    }

    fn read(&mut self) -> Result<String, TextError> {
        self.document()?.read()
    }

    fn insert(&mut self, at: usize, text: &str) -> Result<Vec<u8>, TextError> {
        self.edit(text.len(), |document| document.insert(at, text)).map(|added| added.encode())
    }

    fn delete(&mut self, range: Range<usize>) -> Result<Vec<u8>, TextError> {
        self.edit(0, |document| document.delete(range)).map(|added| added.encode())
    }

    fn format(&mut self, range: Range<usize>, name: &str, value: &Format) -> Result<Vec<u8>, TextError> {
        if name.len() > FORMAT_NAME_BYTES {
            return Err(TextError::LongName { length: name.len(), limit: FORMAT_NAME_BYTES });
        }
        let bytes = name.len() + if let Format::Text(text) = value { 6 * text.len() } else { 0 };
        self.edit(2 * bytes, |document| document.format(range, name, value)).map(|added| added.encode())
    }
}

//! [`Document`]: the library's document of the units that have their place.
//!
//! Invariant: it is made of an [`Update`] in its one form, so that equal updates read the same, whatever the library does
//! with units that no editor of ours would put in; and it is written to by one writer.

use std::ops::Range;
use std::sync::Arc;

use yrs::types::Attrs;
use yrs::updates::decoder::Decode;
use yrs::{Any, ClientID, Doc, GetString, OffsetKind, Options, Text, TextRef, Transact, TransactionMut};

use crate::order::placed;
use crate::update::{Update, units};
use crate::wire::ROOT;
use crate::{Client, Format, TextError};

/// Who reads and does not write.
const NOBODY: u64 = Client::END - 1;

#[derive(Debug)]
pub(crate) struct Document {
    doc: Doc,
    root: TextRef,
}

fn library(error: &impl ToString) -> TextError {
    TextError::Library { reason: error.to_string() }
}

impl Document {
    /// The document of all that has its place.
    pub(crate) fn load(update: &Update, writer: Option<Client>) -> Result<Self, TextError> {
        let doc = Doc::with_options(Options {
            client_id: ClientID::new(writer.map_or(NOBODY, Client::get)),
            guid: Arc::from(ROOT),
            collection_id: None,
            offset_kind: OffsetKind::Utf16,
            // A document lives shortly, and what is loaded anew holds no removed content.
            skip_gc: true,
            auto_load: false,
            should_load: true,
            // A merge that writes would have replicas answer each other's answers.
            cleanup_formatting: false,
        });
        let root = doc.get_or_insert_text(ROOT);
        let (part, _) = placed(update);
        if !part.is_empty() {
            let update = yrs::Update::decode_v1(&part.encode()).map_err(|error| library(&error))?;
            let mut transaction = doc.try_transact_mut().map_err(|error| library(&error))?;
            transaction.apply_update(update).map_err(|error| library(&error))?;
        }
        Ok(Self { doc, root })
    }

    pub(crate) fn read(&self) -> Result<String, TextError> {
        let transaction = self.doc.try_transact().map_err(|error| library(&error))?;
        Ok(self.root.get_string(&transaction))
    }

    /// The characters of the range as the library counts them: the first, and how many.
    fn library_range(&self, range: Range<usize>) -> Result<(u32, u32), TextError> {
        if range.start > range.end {
            return Err(TextError::Backwards { start: range.start, end: range.end });
        }
        let text = self.read()?;
        let byte = |at: usize| {
            let mut places = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
            places.nth(at).ok_or_else(|| TextError::BeyondEnd { at, length: text.chars().count() })
        };
        let (start, end) = (byte(range.start)?, byte(range.end)?);
        Ok((units(&text[..start]), units(&text[start..end])))
    }

    /// Makes the edit and returns what it added.
    fn edit(&self, edit: impl FnOnce(&mut TransactionMut<'_>)) -> Result<Update, TextError> {
        let mut transaction = self.doc.try_transact_mut().map_err(|error| library(&error))?;
        edit(&mut transaction);
        let bytes = transaction.encode_update_v1();
        drop(transaction);
        // Who asks for the edit has looked at its size.
        Update::decode_within(bytes.len(), &bytes)
    }

    pub(crate) fn insert(&self, at: usize, text: &str) -> Result<Update, TextError> {
        let (start, _) = self.library_range(at..at)?;
        if text.is_empty() {
            return Ok(Update::default());
        }
        self.edit(|transaction| self.root.insert(transaction, start, text))
    }

    pub(crate) fn delete(&self, range: Range<usize>) -> Result<Update, TextError> {
        let (start, length) = self.library_range(range)?;
        if length == 0 {
            return Ok(Update::default());
        }
        self.edit(|transaction| self.root.remove_range(transaction, start, length))
    }

    pub(crate) fn format(
        &self,
        range: Range<usize>,
        name: &str,
        value: &Format,
    ) -> Result<Update, TextError> {
        let (start, length) = self.library_range(range)?;
        if length == 0 {
            return Ok(Update::default());
        }
        let value = match value {
            Format::None => Any::Null,
            Format::Flag(flag) => Any::Bool(*flag),
            Format::Text(text) => Any::String(Arc::from(text.as_str())),
        };
        let formats = Attrs::from([(Arc::from(name), value)]);
        self.edit(|transaction| self.root.format(transaction, start, length, formats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_refuses_is_an_error() {
        let document = Document::load(&Update::default(), None).unwrap();
        let open = document.doc.try_transact_mut().unwrap();
        assert!(matches!(document.read(), Err(TextError::Library { .. })));
        drop(open);
        assert_eq!(document.read().unwrap(), "");
    }
}

//! [`TextCrdt`]: a text that merges, opaque bytes to everyone else.
//!
//! Invariant: texts that hold the same updates read the same and have the same bytes, whatever way the updates came, how
//! often, and in which order.

use std::ops::Range;

use crate::{Client, TextError};

/// What a format is set to; [`Format::None`] takes it away.
///
/// There are no numbers: a library's JSON reads them in other ways than it wrote them, depending on how it was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The format ends.
    None,
    /// Such as whether it is bold.
    Flag(bool),
    /// Such as the address of a link.
    Text(String),
}

/// A text that merges. Places are counted in Unicode scalar values (`char`), from 0. Edits return the *delta*: the update
/// that brings them to another text. Costs are of a text of `n` characters and
/// removals; an edit is O(n).
pub trait TextCrdt: Sized {
    /// The text of these bytes of [`TextCrdt::encode`], which nobody writes to yet. O(n).
    fn decode(bytes: &[u8]) -> Result<Self, TextError>;

    /// All of it. Equal texts have equal bytes. O(n).
    fn encode(&self) -> Vec<u8>;

    /// Starts or goes on writing as `client`, which has written `written` units as its writer knows for sure: none in a
    /// first life. An error where the text says otherwise. O(n).
    fn begin(&mut self, client: Client, written: u32) -> Result<(), TextError>;

    /// Takes in an update: a delta, a difference or a whole state, early, late, or for a second time.
    fn apply(&mut self, update: &[u8]) -> Result<(), TextError>;

    /// What is held here: what [`TextCrdt::diff`] elsewhere needs to know. Removals are not in it.
    fn version(&self) -> Vec<u8>;

    /// An update with what a text of this version may lack; all removals are in it. O(n).
    fn diff(&self, since: &[u8]) -> Result<Vec<u8>, TextError>;

    /// The text without its formats. O(n).
    fn read(&mut self) -> Result<String, TextError>;

    /// Puts `text` before the character at `at`, or at the end.
    fn insert(&mut self, at: usize, text: &str) -> Result<Vec<u8>, TextError>;

    /// Takes the characters out.
    fn delete(&mut self, range: Range<usize>) -> Result<Vec<u8>, TextError>;

    /// Sets a format of the characters.
    fn format(&mut self, range: Range<usize>, name: &str, value: &Format) -> Result<Vec<u8>, TextError>;
}

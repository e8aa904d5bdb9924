//! [`Text`]: an immutable UTF-8 string of 16 bytes that keeps up to 14 bytes inline.
//!
//! Invariant: the bytes are UTF-8, and a string of at most [`Text::INLINE`] bytes is always inline, so
//! equal strings have one representation. Order is by bytes, which for UTF-8 is the order of code points
//! (PostgreSQL's collation "C").

use std::{cmp::Ordering, fmt, hash, ops::Deref};

use triomphe::ThinArc;

/// An immutable string; cloning a long one shares it.
///
/// ```
/// use deltaic_types::Text;
/// let name = Text::from("delta");
/// assert_eq!(&*name, "delta");
/// assert!(name < Text::from("deltaic"));
/// ```
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; Text::INLINE] },
    Shared(ThinArc<(), u8>),
}

impl Text {
    /// The most bytes that are kept without an allocation.
    pub const INLINE: usize = 14;

    /// The string's bytes, without the check that [`Text::as_str`] makes: what comparison and hashing use.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(shared) => &shared.slice,
        }
    }

    /// The string. Checks the bytes, a few nanoseconds for the usual length: a thin pointer to a `str`
    /// cannot be had without `unsafe`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("invariant: text is UTF-8")
    }

    /// Bytes held outside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Shared(shared) => shared.slice.len() + 16,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if text.len() <= Self::INLINE {
            let mut bytes = [0; Self::INLINE];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            Self(Repr::Inline { len: text.len() as u8, bytes })
        } else {
            Self(Repr::Shared(ThinArc::from_header_and_slice((), text.as_bytes())))
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl hash::Hash for Text {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

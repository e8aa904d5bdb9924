//! [`Name`]: a short text of a market: a kind, a unit, a country, a city, an attribute.
//!
//! Invariant: 1 to 63 bytes. Names are equal when their bytes are; who wants `Berlin` and `berlin` to be one writes
//! them alike.

use std::fmt;
use std::sync::Arc;

use deltaic_types::limits;
use thiserror::Error;

/// A text of 1 to [`limits::NAME_BYTES`] bytes. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name of {bytes} bytes: it must have 1 to {limit}", limit = limits::NAME_BYTES)]
pub struct NameError {
    /// The length.
    pub bytes: usize,
}

impl Name {
    /// The text as a name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > limits::NAME_BYTES {
            return Err(NameError { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_not_empty() {
        assert_eq!(Name::new(&"x".repeat(63)).unwrap().as_str().len(), 63);
        assert_eq!(Name::new(""), Err(NameError { bytes: 0 }));
        let error = Name::new(&"x".repeat(64)).unwrap_err();
        assert_eq!(error.to_string(), "a name of 64 bytes: it must have 1 to 63");
    }
}

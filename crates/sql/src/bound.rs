//! [`Bound`]: what binding a statement gives, and what it says of the statement's parameters.
//!
//! Invariant: the place of a parameter is its number less one, and every claim stands behind all of them.

use deltaic_query::statement::Statement;
use deltaic_types::DataType;

use crate::error::SqlError;

/// A bound statement with the types of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The statement.
    pub statement: Statement,
    /// The type of `$1`, `$2`, …; None for a number that is not in the statement.
    pub parameters: Vec<Option<DataType>>,
    /// The claims of the session that it reads.
    pub claims: ClaimNames,
}

/// The claims that a statement reads, each once for a type: parameters, numbered from `base` on, behind every `$n` of the
/// text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimNames {
    /// The place of the first one among the parameters.
    pub base: usize,
    /// Their names, and the types in which they are read.
    pub names: Vec<(String, DataType)>,
}

impl Bound {
    /// Refuses a gap in the numbers, where no other statement shares the parameters: nothing says a type there.
    pub fn check_gaps(&self) -> Result<(), SqlError> {
        match self.parameters.iter().position(Option::is_none) {
            Some(place) => Err(SqlError::IndeterminateParameter { number: place + 1, position: None }),
            None => Ok(()),
        }
    }
}

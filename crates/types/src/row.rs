//! [`Row`]: an immutable row version behind one thin pointer.
//!
//! Invariant: a row's contents never change; an update makes a new version. So a row can stand in an index,
//! in a Z-set and in a message at once, and equality is decided by the pointer first and by the contents
//! where projections make equal rows.

use std::{cmp::Ordering, fmt, hash, ops::Deref};

use triomphe::ThinArc;

use crate::Value;

/// An immutable sequence of values: a table row, a key, or a result row. Cloning shares it.
///
/// ```
/// use deltaic_types::{Row, Value};
/// let row = Row::from_iter([Value::Integer(1), Value::from("open")]);
/// assert_eq!(row[1], Value::from("open"));
/// assert!(row < Row::from_iter([Value::Integer(1), Value::Null]));
/// ```
#[derive(Clone)]
pub struct Row(ThinArc<(), Value>);

impl Row {
    /// The row without columns: the only parameter tuple of a query without parameters.
    pub fn empty() -> Self {
        Self::from(Vec::new())
    }

    /// A row of values whose number is known: made at once, where [`FromIterator`] needs a list first.
    pub fn collect(values: impl ExactSizeIterator<Item = Value>) -> Self {
        Self(ThinArc::from_header_and_iter((), values))
    }

    /// Whether both are the same version in memory. Equal rows may well be two versions.
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.slice.as_ptr(), other.0.slice.as_ptr()) && self.len() == other.len()
    }

    /// The values at `columns`, as a row of their own.
    #[must_use]
    pub fn project(&self, columns: &[usize]) -> Self {
        Self::collect(columns.iter().map(|&column| self[column].clone()))
    }

    /// Bytes this version holds in memory, its values' own included.
    pub fn heap_bytes(&self) -> usize {
        16 + self.iter().map(|value| size_of::<Value>() + value.heap_bytes()).sum::<usize>()
    }
}

impl Deref for Row {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.slice
    }
}

impl FromIterator<Value> for Row {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let values: Vec<Value> = values.into_iter().collect();
        Self::from(values)
    }
}

impl From<Vec<Value>> for Row {
    fn from(values: Vec<Value>) -> Self {
        Self::collect(values.into_iter())
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self[..] == other[..]
    }
}

impl Eq for Row {}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_same(other) { Ordering::Equal } else { self[..].cmp(&other[..]) }
    }
}

impl hash::Hash for Row {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self[..].hash(state);
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

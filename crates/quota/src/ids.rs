//! Identifiers, amounts and times: a type of its own for each, so that one cannot stand where another is meant.
//!
//! Invariant: a node's epoch never comes twice, and within an epoch a batch's number never comes twice with other
//! contents. By the pair a ledger knows what it has seen.

use std::fmt;
use std::sync::Arc;

/// An amount of a budget, in whatever the budget counts. There are no negative amounts: what is given back is a
/// refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Units(pub u64);

impl Units {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that a limit may be: what a signed 64-bit column of a ledger holds.
    pub const MAX: Self = Self(i64::MAX as u64);
    /// The most that one lease may hold unspent: two bits of a cell are flags, one is room.
    pub const LEASE_MAX: Self = Self(1 << 61);

    /// The sum, and [`Units::MAX`] where it would be more.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0)).min(Self::MAX)
    }

    /// The difference, and nothing where it would be less.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<u32> for Units {
    fn from(units: u32) -> Self {
        Self(u64::from(units))
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. It is always an argument: nothing here reads a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// The moment that never comes: the end of a stock's only window.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment and so many milliseconds.
    #[must_use]
    pub fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds since an earlier moment; 0 where it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Who holds leases. A node has one batch under way at a time; a process may be several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A node's life between two openings of the ledger. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// The number of a batch within an epoch: the first is 1, each is its predecessor's plus one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the next batch.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of a window, rising with time; a stock has only window 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WindowId(pub u64);

impl WindowId {
    /// The row that stands for every window to come: a standing share.
    pub const EVERY: Self = Self(u64::MAX);
}

/// What a budget is kept for: the bytes of a user, a tenant, a route. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The longest key, in bytes.
    pub const BYTES: usize = 1 << 10;

    /// A key of at most [`Key::BYTES`] bytes; none of more.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::BYTES).then(|| Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// A row of the ledger: a key in one of its windows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Whose budget.
    pub key: Key,
    /// When.
    pub window: WindowId,
}

impl Account {
    /// The account of a stock, which has one window.
    pub fn stock(key: Key) -> Self {
        Self { key, window: WindowId(0) }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.window {
            WindowId(0) => self.key.fmt(f),
            WindowId::EVERY => write!(f, "{}@*", self.key),
            WindowId(window) => write!(f, "{}@{window}", self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_stop_at_their_ends() {
        assert_eq!(Units::MAX.plus(Units(1)), Units::MAX);
        assert_eq!(Units(1).minus(Units(2)), Units::ZERO);
        assert_eq!(Units(u64::MAX).plus(Units(u64::MAX)), Units::MAX);
        assert_eq!(Time(5).after(u64::MAX), Time::NEVER);
        assert_eq!(Time(5).since(Time(9)), 0);
    }

    #[test]
    fn a_key_has_a_longest_length_and_accounts_print_their_window() {
        assert!(Key::new(&vec![0; Key::BYTES]).is_some() && Key::new(&vec![0; Key::BYTES + 1]).is_none());
        let key = Key::new(b"acme").unwrap();
        assert_eq!(Account::stock(key.clone()).to_string(), "acme");
        assert_eq!(Account { key: key.clone(), window: WindowId(7) }.to_string(), "acme@7");
        assert_eq!(Account { key, window: WindowId::EVERY }.to_string(), "acme@*");
    }
}

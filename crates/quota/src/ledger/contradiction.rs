//! [`Contradiction`]: what rows of a ledger say that no sequence of batches can have written.
//!
//! Invariant: rows that [`Rows::open`] and [`Rows::apply`] made have none. So one that is found means that the store lost a row,
//! brought back an old one, or was written to by something else.

use std::fmt;

use super::Rows;
use crate::{Account, NodeId, Units};

/// Where the rows of a ledger disagree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Contradiction {
    /// `used + reserved` is above the limit.
    OverLimit {
        /// Which account.
        account: Account,
    },
    /// What is reserved is not what the leases cover.
    Reserved {
        /// Which account.
        account: Account,
        /// What its row says.
        reserved: Units,
        /// What its leases cover.
        covered: Units,
    },
    /// An account of a key that is not there.
    NoKey {
        /// Which account.
        account: Account,
    },
    /// A lease of an account that is not there.
    NoAccount {
        /// Which account.
        account: Account,
        /// Whose lease.
        node: NodeId,
    },
    /// A lease of a node that is not there, of another epoch than the node's, or of a later batch than its last.
    NoNode {
        /// Which account.
        account: Account,
        /// Whose lease.
        node: NodeId,
    },
    /// A lease of which more was settled and returned than was granted.
    Overdrawn {
        /// Which account.
        account: Account,
        /// Whose lease.
        node: NodeId,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLimit { account } => write!(f, "{account}: more is used and reserved than the limit"),
            Self::Reserved { account, reserved, covered } => {
                write!(f, "{account}: {reserved} are reserved, but its leases cover {covered}")
            }
            Self::NoKey { account } => write!(f, "{account}: its key is not there"),
            Self::NoAccount { account, node } => {
                write!(f, "{account}: node {} holds a lease of it, but it is not there", node.0)
            }
            Self::NoNode { account, node } => {
                write!(f, "{account}: its lease is not of the present life of node {}", node.0)
            }
            Self::Overdrawn { account, node } => {
                write!(f, "{account}: node {} has settled and returned more than it was granted", node.0)
            }
        }
    }
}

impl Rows {
    /// Everything that rows say against each other, where these are all rows of a ledger. Work: the rows. Rows that come from
    /// foreign bytes do not make it panic.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        for (at, row) in &self.accounts {
            let account = || at.clone();
            if row.used.0.checked_add(row.reserved.0).is_none_or(|held| held > row.limit.0) {
                found.push(Contradiction::OverLimit { account: account() });
            }
            let leases = self.leases_of(at);
            let covered = leases.fold(Units::ZERO, |sum, (_, lease)| sum.plus(lease.outstanding()));
            if row.reserved != covered {
                let reserved = row.reserved;
                found.push(Contradiction::Reserved { account: account(), reserved, covered });
            }
            if !self.keys.contains_key(&at.key) {
                found.push(Contradiction::NoKey { account: account() });
            }
        }
        for ((at, node), lease) in &self.leases {
            let (account, node) = (|| at.clone(), *node);
            if !self.accounts.contains_key(at) {
                found.push(Contradiction::NoAccount { account: account(), node });
            }
            let is_of = |row: &super::NodeRow| row.epoch == lease.epoch && lease.seq <= row.seq;
            if !self.nodes.get(&node).is_some_and(is_of) {
                found.push(Contradiction::NoNode { account: account(), node });
            }
            let net = lease.consumed.0.checked_sub(lease.refunded.0);
            let gone = net.and_then(|net| net.checked_add(lease.returned.0));
            if gone.is_none_or(|gone| gone > lease.granted.0) {
                found.push(Contradiction::Overdrawn { account: account(), node });
            }
        }
        found
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::conformance::{batch, entry};
    use crate::{Key, KeyRow, Lease, NodeRow, Seq, Time, WindowId};

    const NODE: NodeId = NodeId(1);

    fn account() -> Account {
        Account { key: Key::new(b"k").unwrap(), window: WindowId(0) }
    }

    /// Ten of ten granted, three of them settled.
    fn rows() -> Rows {
        let mut rows = Rows::default();
        rows.open(NODE);
        let claim = |units, consumed| crate::Entry {
            claim: crate::Claim::Units(Units(units)),
            consumed: Units(consumed),
            ..entry(&account(), Units(10))
        };
        rows.apply(&batch(NODE, 1, 1, vec![claim(10, 0)])).unwrap();
        rows.apply(&batch(NODE, 1, 2, vec![claim(0, 3)])).unwrap();
        assert_eq!(rows.contradictions(), []);
        rows
    }

    fn lease(rows: &mut Rows) -> &mut Lease {
        rows.leases.get_mut(&(account(), NODE)).unwrap()
    }

    #[test]
    fn each_row_that_goes_or_changes_alone_is_found() {
        let found = |change: fn(&mut Rows)| {
            let mut rows = rows();
            change(&mut rows);
            let text = |contradiction: &Contradiction| {
                assert!(!contradiction.to_string().is_empty());
                contradiction.clone()
            };
            rows.contradictions().iter().map(text).collect::<Vec<_>>()
        };
        let (account, node) = (account(), NODE);
        let reserved = |reserved, covered| Contradiction::Reserved {
            account: self::account(),
            reserved: Units(reserved),
            covered: Units(covered),
        };
        let no_node = Contradiction::NoNode { account: account.clone(), node };
        assert_eq!(found(|rows| rows.leases.clear()), [reserved(7, 0)]);
        assert_eq!(found(|rows| lease(rows).consumed = Units(2)), [reserved(7, 8)]);
        assert_eq!(found(|rows| rows.nodes.clear()), std::slice::from_ref(&no_node));
        assert_eq!(found(|rows| lease(rows).seq = Seq(9)), std::slice::from_ref(&no_node));
        let later = |rows: &mut Rows| {
            let node = NodeRow { epoch: crate::Epoch(2), seq: Seq(2), heard: Time(0), horizon: Time(0) };
            rows.nodes.insert(NODE, node);
        };
        assert_eq!(found(later), [no_node]);
        assert_eq!(found(|rows| rows.keys.clear()), [Contradiction::NoKey { account: account.clone() }]);
        assert_eq!(
            found(|rows| rows.accounts.clear()),
            [Contradiction::NoAccount { account: account.clone(), node }]
        );
        let over = |rows: &mut Rows| rows.accounts.get_mut(&self::account()).unwrap().limit = Units(9);
        assert_eq!(found(over), [Contradiction::OverLimit { account: account.clone() }]);
        let overdrawn = |rows: &mut Rows| lease(rows).returned = Units(8);
        assert_eq!(found(overdrawn), [reserved(7, 0), Contradiction::Overdrawn { account, node }]);
    }

    #[test]
    fn foreign_numbers_are_contradictions_and_no_panic() {
        let mut rows = rows();
        let all = Units(u64::MAX);
        *lease(&mut rows) = Lease { granted: all, consumed: all, returned: all, ..*lease(&mut rows) };
        let row = rows.accounts.get_mut(&account()).unwrap();
        (row.used, row.reserved) = (all, all);
        rows.keys.insert(Key::new(b"other").unwrap(), KeyRow { target: all, newest: WindowId::EVERY });
        assert_eq!(rows.contradictions().len(), 3);
    }
}

//! [`AggregateLedger`]: aggregates that many nodes write to, beside the budgets of the same store.
//!
//! Invariant: every change is combined exactly once. The ledger keeps one number for each node and aggregate: a batch with
//! that number or a lower one changes nothing, one that left others out or is of a dead epoch is refused. Values are
//! bytes that the [`Monoid`] reads and writes; where one of them is not the monoid's, nothing is changed.
//!
//! The rules stand here once, in [`AggregateRows`]: a ledger takes the rows that a batch concerns, lets the rules change
//! them, and writes them in the same transaction.

use std::collections::BTreeMap;

use deltaic_types::codec::{DecodeError, write_bytes, write_u64};

use crate::{Changes, Epoch, Key, LedgerError, Monoid, NodeId, Seq};

/// Takes the second value into the first, both as bytes.
pub type Combine = fn(&mut Vec<u8>, &[u8]) -> Result<(), DecodeError>;

/// The combination of a monoid's values as bytes.
pub fn combine_bytes<M: Monoid>(into: &mut Vec<u8>, other: &[u8]) -> Result<(), DecodeError> {
    let mut value = M::decode(into)?;
    value.combine(&M::decode(other)?);
    into.clear();
    value.encode(into);
    Ok(())
}

/// A durable store of aggregates. Each is named, and of one monoid; its keys are its own.
///
/// What an implementation owes, as [`check_aggregates`](crate::conformance::check_aggregates) checks it: each call is one
/// transaction, whole or not at all, and what was answered is durable.
pub trait AggregateLedger {
    /// Begins a node's next epoch in an aggregate. Batches of the one before are refused from now on.
    fn open_aggregate(&mut self, name: &Key, node: NodeId) -> Result<Epoch, LedgerError>;

    /// Combines changes that are bytes, once for each number. Work: the changes.
    fn combine_encoded(
        &mut self,
        name: &Key,
        changes: &Changes<Vec<u8>>,
        combine: Combine,
    ) -> Result<(), LedgerError>;

    /// What is stored of a key; none if nothing ever was.
    fn aggregate_encoded(&mut self, name: &Key, key: &Key) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Everything that is stored of aggregates, in one order.
    fn image_of_aggregates(&mut self) -> Result<Vec<u8>, LedgerError>;

    /// Combines changes, once for each number. Nothing is changed if an error is returned, except that after
    /// [`LedgerError::Away`] nobody knows: the same batch goes again.
    fn combine<M: Monoid>(&mut self, name: &Key, changes: &Changes<M>) -> Result<(), LedgerError> {
        self.combine_encoded(name, &changes.encoded(), combine_bytes::<M>)
    }

    /// A key's aggregate.
    fn aggregate<M: Monoid>(&mut self, name: &Key, key: &Key) -> Result<M, LedgerError> {
        let Some(bytes) = self.aggregate_encoded(name, key)? else { return Ok(M::zero()) };
        M::decode(&bytes).map_err(|_| LedgerError::Foreign { key: key.clone() })
    }
}

/// Rows of aggregates: all of them, or those that an operation concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AggregateRows {
    /// Where each node stands in each aggregate.
    pub nodes: BTreeMap<(Key, NodeId), (Epoch, Seq)>,
    /// The values, by aggregate and key.
    pub values: BTreeMap<(Key, Key), Vec<u8>>,
}

impl AggregateRows {
    /// The most bytes of one value.
    pub const VALUE_BYTES: usize = 1 << 20;

    /// Begins a node's next epoch. Concerned: the node.
    pub fn open(&mut self, name: &Key, node: NodeId) -> Epoch {
        let (epoch, seq) = self.nodes.entry((name.clone(), node)).or_default();
        (*epoch, *seq) = (Epoch(epoch.0 + 1), Seq(0));
        *epoch
    }

    /// Combines the changes. Concerned: the node, and the values of their keys.
    pub fn combine(
        &mut self,
        name: &Key,
        changes: &Changes<Vec<u8>>,
        combine: Combine,
    ) -> Result<(), LedgerError> {
        let place = (name.clone(), changes.node);
        let unopened = LedgerError::Unopened { node: changes.node };
        let (epoch, seq) = *self.nodes.get(&place).filter(|(epoch, _)| epoch.0 > 0).ok_or(unopened)?;
        if changes.epoch != epoch {
            return Err(LedgerError::Fenced { sent: changes.epoch, current: epoch });
        }
        if changes.seq > seq.next() {
            return Err(LedgerError::Gap { sent: changes.seq, expected: seq.next() });
        }
        if changes.seq < seq.next() {
            return Ok(());
        }
        // Everything is combined before anything is changed.
        let mut combined: BTreeMap<&Key, Vec<u8>> = BTreeMap::new();
        for (key, change) in &changes.rows {
            let foreign = |_| LedgerError::Foreign { key: key.clone() };
            let before = || self.values.get(&(name.clone(), key.clone())).cloned();
            match combined.remove(key).or_else(before) {
                Some(mut value) => {
                    combine(&mut value, change).map_err(foreign)?;
                    combined.insert(key, value);
                }
                None => {
                    // What nobody can read is found out before it is stored.
                    combine(&mut change.clone(), change).map_err(foreign)?;
                    combined.insert(key, change.clone());
                }
            }
            if combined.get(key).is_some_and(|value| value.len() > Self::VALUE_BYTES) {
                return Err(LedgerError::ValueTooLong { key: key.clone() });
            }
        }
        self.values.extend(combined.into_iter().map(|(key, value)| ((name.clone(), key.clone()), value)));
        self.nodes.insert(place, (epoch, changes.seq));
        Ok(())
    }

    /// All rows as bytes, in one order.
    pub fn image(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for ((name, node), (epoch, seq)) in &self.nodes {
            write_bytes(&mut bytes, name.as_bytes());
            for word in [node.0, epoch.0, seq.0] {
                write_u64(&mut bytes, word);
            }
        }
        for ((name, key), value) in &self.values {
            for part in [name.as_bytes(), key.as_bytes(), value] {
                write_bytes(&mut bytes, part);
            }
        }
        bytes
    }
}

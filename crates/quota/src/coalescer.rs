//! [`Coalescer`]: aggregates that are written behind: many changes of a key become one row.
//!
//! Invariant: a coalescer numbers its batches as a node does and keeps the one under way as it is until it is
//! acknowledged, so that an [`AggregateLedger`](crate::AggregateLedger) combines every change exactly once, whatever is
//! repeated, late or of a dead epoch. A key whose changes cancel each other costs no row. There is no admission here:
//! that needs the bounded group which a [`Ledger`](crate::Ledger) is. What is not flushed is lost by a crash, and
//! [`Coalescer::unwritten`] says how many keys that is.
//!
//! ```
//! use deltaic_quota::{AggregateLedger, Coalescer, Key, MemoryLedger, NodeId, Sum, Time};
//!
//! let [name, key] = [&b"clicks"[..], b"/start"].map(|bytes| Key::new(bytes).unwrap());
//! let mut ledger = MemoryLedger::new();
//! let mut clicks = Coalescer::new(NodeId(1), ledger.open_aggregate(&name, NodeId(1))?, 100);
//! for n in 0..1_000 {
//!     clicks.add(Time(n / 10), &key, &Sum(1));
//! }
//! let batch = clicks.flush(Time(100)).unwrap();
//! ledger.combine(&name, &batch)?;
//! ledger.combine(&name, &batch)?; // a repeat changes nothing
//! clicks.acknowledged(batch.seq);
//! assert_eq!(ledger.aggregate::<Sum>(&name, &key)?, Sum(1_000));
//! # Ok::<(), deltaic_quota::LedgerError>(())
//! ```

use std::collections::BTreeMap;

use crate::{Epoch, Key, Monoid, NodeId, Seq, Time};

/// What a coalescer sends: one change for each key, in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes<M> {
    /// Who speaks.
    pub node: NodeId,
    /// In which of its lives.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// What each key changed by.
    pub rows: Vec<(Key, M)>,
}

impl<M: Monoid> Changes<M> {
    /// The same with values as bytes.
    pub fn encoded(&self) -> Changes<Vec<u8>> {
        let encoded = |(key, change): &(Key, M)| {
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            (key.clone(), bytes)
        };
        let rows = self.rows.iter().map(encoded).collect();
        Changes { node: self.node, epoch: self.epoch, seq: self.seq, rows }
    }
}

/// Changes on their way to a store, one for each key.
#[derive(Debug, Clone)]
pub struct Coalescer<M> {
    node: NodeId,
    epoch: Epoch,
    seq: Seq,
    max_age_millis: u64,
    since: Option<Time>,
    changes: BTreeMap<Key, M>,
    under_way: Option<Changes<M>>,
}

impl<M: Monoid> Coalescer<M> {
    /// One that writes what is older than so many milliseconds.
    pub fn new(node: NodeId, epoch: Epoch, max_age_millis: u64) -> Self {
        let changes = BTreeMap::new();
        Self { node, epoch, seq: Seq(0), max_age_millis, since: None, changes, under_way: None }
    }

    /// Takes a change in. Work: one look-up of the key and one combination.
    pub fn add(&mut self, now: Time, key: &Key, change: &M) {
        self.since.get_or_insert(now);
        match self.changes.get_mut(key) {
            Some(sum) => sum.combine(change),
            None => {
                self.changes.insert(key.clone(), change.clone());
            }
        }
    }

    /// What is to be sent now: the batch under way as it was, until it is acknowledged; else what is due. Work: the
    /// changed keys.
    pub fn flush(&mut self, now: Time) -> Option<Changes<M>> {
        let due = self.since.is_some_and(|since| now.since(since) >= self.max_age_millis);
        if due { self.flush_all() } else { self.under_way.clone() }
    }

    /// The same, whatever its age: for the end.
    pub fn flush_all(&mut self) -> Option<Changes<M>> {
        if self.under_way.is_none() {
            self.since = None;
            let changes = std::mem::take(&mut self.changes);
            let rows: Vec<(Key, M)> =
                changes.into_iter().filter(|(_, change)| *change != M::zero()).collect();
            if !rows.is_empty() {
                self.seq = self.seq.next();
                self.under_way = Some(Changes { node: self.node, epoch: self.epoch, seq: self.seq, rows });
            }
        }
        self.under_way.clone()
    }

    /// The store has the batch of this number. Another number is not waited for.
    pub fn acknowledged(&mut self, seq: Seq) {
        self.under_way.take_if(|batch| batch.seq == seq);
    }

    /// The keys whose changes a crash would lose.
    pub fn unwritten(&self) -> usize {
        self.changes.len() + self.under_way.as_ref().map_or(0, |batch| batch.rows.len())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::Sum;

    #[test]
    fn what_cancels_costs_no_row_and_what_is_under_way_stays_as_it_is() {
        let key = Key::new(b"k").unwrap();
        let mut coalescer = Coalescer::new(NodeId(1), Epoch(1), 5);
        coalescer.add(Time(0), &key, &Sum(5));
        coalescer.add(Time(0), &key, &Sum(-5));
        assert_eq!((coalescer.flush(Time(4)), coalescer.unwritten()), (None, 1));
        assert_eq!((coalescer.flush(Time(9)), coalescer.unwritten()), (None, 0));
        coalescer.add(Time(9), &key, &Sum(5));
        let batch = coalescer.flush_all().unwrap();
        assert_eq!((batch.seq, &batch.rows), (Seq(1), &vec![(key.clone(), Sum(5))]));
        coalescer.add(Time(10), &key, &Sum(1));
        assert_eq!(coalescer.flush(Time(99)), Some(batch.clone()), "the same until it is acknowledged");
        coalescer.acknowledged(Seq(7));
        assert_eq!((coalescer.flush(Time(99)), coalescer.unwritten()), (Some(batch), 2));
        coalescer.acknowledged(Seq(1));
        assert_eq!(
            coalescer.flush(Time(99)).map(|batch| (batch.seq, batch.rows[0].1)),
            Some((Seq(2), Sum(1)))
        );
    }
}

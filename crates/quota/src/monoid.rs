//! [`Monoid`]: aggregates that are written behind: many changes of a key become one row.
//!
//! Invariant: a [`Coalescer`] numbers its batches as a node does and keeps the one under way as it is until it is
//! acknowledged, so that [`Aggregates`] combines every change exactly once, whatever is repeated, late or of a dead
//! epoch. A key whose changes cancel each other costs no row. There is no admission here: that needs the bounded
//! group which a [`Ledger`](crate::Ledger) is. What is not flushed is lost by a crash, and
//! [`Coalescer::unwritten`] says how many keys that is.
//!
//! ```
//! use deltaic_quota::{Aggregates, Coalescer, Key, NodeId, Sum, Time};
//!
//! let key = Key::new(b"clicks").unwrap();
//! let mut store = Aggregates::new();
//! let mut clicks = Coalescer::new(NodeId(1), store.open(NodeId(1)), 100);
//! for n in 0..1_000 {
//!     clicks.add(Time(n / 10), &key, &Sum(1));
//! }
//! let batch = clicks.flush(Time(100)).unwrap();
//! store.apply(&batch)?;
//! store.apply(&batch)?; // a repeat changes nothing
//! clicks.acknowledged(batch.seq);
//! assert_eq!(store.get(&key), Sum(1_000));
//! # Ok::<(), deltaic_quota::LedgerError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::{Epoch, Key, LedgerError, NodeId, Seq, Time};

/// A commutative monoid: `combine` is associative and commutative, and `zero` changes nothing.
pub trait Monoid: Clone + PartialEq {
    /// What changes nothing.
    fn zero() -> Self;
    /// Takes the other in.
    fn combine(&mut self, other: &Self);
}

/// A sum. Wide enough that no number of 64-bit changes leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(pub i128);

impl Monoid for Sum {
    fn zero() -> Self {
        Self(0)
    }

    fn combine(&mut self, other: &Self) {
        // Modulo 2^128, which keeps the laws at every number.
        self.0 = self.0.wrapping_add(other.0);
    }
}

/// A maximum; none is below all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Max<T>(pub Option<T>);

impl<T: Ord + Clone> Monoid for Max<T> {
    fn zero() -> Self {
        Self(None)
    }

    fn combine(&mut self, other: &Self) {
        if other.0 > self.0 {
            self.0.clone_from(&other.0);
        }
    }
}

/// A set that only grows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Union<T: Ord>(pub BTreeSet<T>);

impl<T: Ord + Clone> Monoid for Union<T> {
    fn zero() -> Self {
        Self(BTreeSet::new())
    }

    fn combine(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }
}

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

/// A store of aggregates in memory, by the rules of [`Ledger`](crate::Ledger): one number for each node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aggregates<M> {
    nodes: BTreeMap<NodeId, (Epoch, Seq)>,
    rows: BTreeMap<Key, M>,
}

impl<M: Monoid> Aggregates<M> {
    /// An empty one.
    pub fn new() -> Self {
        Self { nodes: BTreeMap::new(), rows: BTreeMap::new() }
    }

    /// Begins a node's next epoch.
    pub fn open(&mut self, node: NodeId) -> Epoch {
        let (epoch, seq) = self.nodes.entry(node).or_default();
        (*epoch, *seq) = (Epoch(epoch.0 + 1), Seq(0));
        *epoch
    }

    /// Combines the changes, once for each number.
    pub fn apply(&mut self, batch: &Changes<M>) -> Result<(), LedgerError> {
        let (epoch, seq) =
            self.nodes.get_mut(&batch.node).ok_or(LedgerError::Unopened { node: batch.node })?;
        if batch.epoch != *epoch {
            return Err(LedgerError::Fenced { sent: batch.epoch, current: *epoch });
        }
        if batch.seq > seq.next() {
            return Err(LedgerError::Gap { sent: batch.seq, expected: seq.next() });
        }
        if batch.seq == seq.next() {
            *seq = batch.seq;
            for (key, change) in &batch.rows {
                self.rows.entry(key.clone()).or_insert_with(M::zero).combine(change);
            }
        }
        Ok(())
    }

    /// A key's aggregate.
    pub fn get(&self, key: &Key) -> M {
        self.rows.get(key).cloned().unwrap_or_else(M::zero)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laws<M: Monoid + std::fmt::Debug>(a: &M, b: &M, c: &M) {
        let plus = |a: &M, b: &M| {
            let mut sum = a.clone();
            sum.combine(b);
            sum
        };
        assert_eq!(plus(a, b), plus(b, a));
        assert_eq!(plus(&plus(a, b), c), plus(a, &plus(b, c)));
        assert_eq!(plus(a, &M::zero()), *a);
    }

    proptest! {
        #[test]
        fn the_laws_hold(a: [i128; 3], b: [Option<u8>; 3], c: [BTreeSet<u8>; 3]) {
            laws(&Sum(a[0]), &Sum(a[1]), &Sum(a[2]));
            laws(&Max(b[0]), &Max(b[1]), &Max(b[2]));
            let [x, y, z] = c.map(Union);
            laws(&x, &y, &z);
        }

        /// Whatever is lost, doubled, late or of a dead epoch: every change is counted once, in far fewer rows.
        #[test]
        fn every_change_is_counted_once(
            steps in proptest::collection::vec((0_u8..6, -9_i128..9, 0_u8..7), 0..150),
        ) {
            let mut store = Aggregates::new();
            let mut coalescer = Coalescer::new(NodeId(1), store.open(NodeId(1)), 5);
            let mut sums = BTreeMap::new();
            let mut sent: Vec<Changes<Sum>> = Vec::new();
            for (time, (name, change, what)) in steps.into_iter().enumerate() {
                let key = Key::new(&[name]).unwrap();
                coalescer.add(Time(time as u64), &key, &Sum(change));
                *sums.entry(key).or_insert(0) += change;
                if let Some(batch) = coalescer.flush(Time(time as u64)) {
                    match what {
                        0 => {}
                        1 => store.apply(&batch).unwrap(),
                        _ => {
                            store.apply(&batch).unwrap();
                            coalescer.acknowledged(batch.seq);
                        }
                    }
                    sent.push(batch);
                }
                let before = store.clone();
                let acknowledged = sent.len().saturating_sub(1);
                sent[..acknowledged].iter().filter(|old| *old != &sent[acknowledged]).for_each(|old| {
                    store.apply(old).unwrap();
                });
                prop_assert_eq!(&store, &before);
            }
            while let Some(batch) = coalescer.flush_all() {
                store.apply(&batch).unwrap();
                coalescer.acknowledged(batch.seq);
            }
            prop_assert_eq!(coalescer.unwritten(), 0);
            for (key, sum) in sums {
                prop_assert_eq!(store.get(&key), Sum(sum));
            }
        }
    }

    #[test]
    fn what_cancels_costs_no_row_and_wrong_batches_are_refused() {
        let key = Key::new(b"k").unwrap();
        let mut store = Aggregates::new();
        let mut coalescer = Coalescer::new(NodeId(1), Epoch(1), 0);
        coalescer.add(Time(0), &key, &Sum(5));
        coalescer.add(Time(0), &key, &Sum(-5));
        assert_eq!(coalescer.flush(Time(9)), None);
        coalescer.add(Time(9), &key, &Sum(5));
        let batch = coalescer.flush(Time(9)).unwrap();
        assert_eq!(store.apply(&batch), Err(LedgerError::Unopened { node: NodeId(1) }));
        store.open(NodeId(1));
        let gap = Changes { seq: Seq(2), ..batch.clone() };
        assert_eq!(store.apply(&gap), Err(LedgerError::Gap { sent: Seq(2), expected: Seq(1) }));
        store.open(NodeId(1));
        assert_eq!(store.apply(&batch), Err(LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) }));
        assert_eq!(store.get(&key), Sum(0));
    }
}

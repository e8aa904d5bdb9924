//! [`MemoryLedger`]: the ledger as a model of itself, for tests and for budgets that need not outlive the process.
//!
//! Invariant: that of its [`Rows`].

use std::ops::Bound;

use super::{
    AggregateLedger, AggregateRows, Batch, Combine, Keys, Ledger, LedgerError, Loaded, Opened, Reply, Rows,
    Silent, Stored,
};
use crate::{Account, Changes, Epoch, Key, NodeId, Time, Units};

/// A ledger in memory. `Clone` is a copy of the store as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryLedger {
    rows: Rows,
    aggregates: AggregateRows,
}

impl MemoryLedger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows of accounts and leases that are stored.
    pub fn rows(&self) -> usize {
        self.rows.accounts.len() + self.rows.leases.len()
    }

    /// All that is spent of a key, in all windows that are still stored.
    pub fn used(&self, key: &Key) -> Units {
        let rows = self.rows.accounts.iter().filter(|(account, _)| account.key == *key);
        rows.fold(Units::ZERO, |sum, (_, row)| sum.plus(row.used))
    }
}

impl Ledger for MemoryLedger {
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError> {
        Ok(self.rows.open(node))
    }

    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        self.rows.apply(batch)
    }

    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError> {
        Ok(self.rows.silent(before))
    }

    fn load(&mut self, account: &Account) -> Result<Option<Loaded>, LedgerError> {
        Ok(self.rows.load(account))
    }

    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError> {
        let (first, most) = match keys {
            Keys::Only(key) => return Ok(self.rows.stored(key).into_iter().collect()),
            Keys::Behind(None, most) => (Bound::Unbounded, *most),
            Keys::Behind(Some(key), most) => (Bound::Excluded(key), *most),
        };
        let keys = self.rows.keys.range::<Key, _>((first, Bound::Unbounded)).take(most);
        Ok(keys.filter_map(|(key, _)| self.rows.stored(key)).collect())
    }

    fn image(&mut self) -> Result<Vec<u8>, LedgerError> {
        Ok(self.rows.image())
    }
}

impl AggregateLedger for MemoryLedger {
    fn open_aggregate(&mut self, name: &Key, node: NodeId) -> Result<Epoch, LedgerError> {
        Ok(self.aggregates.open(name, node))
    }

    fn combine_encoded(
        &mut self,
        name: &Key,
        changes: &Changes<Vec<u8>>,
        combine: Combine,
    ) -> Result<(), LedgerError> {
        self.aggregates.combine(name, changes, combine)
    }

    fn aggregate_encoded(&mut self, name: &Key, key: &Key) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(self.aggregates.values.get(&(name.clone(), key.clone())).cloned())
    }

    fn image_of_aggregates(&mut self) -> Result<Vec<u8>, LedgerError> {
        Ok(self.aggregates.image())
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::super::{Fault, FaultyLedger};
    use super::MemoryLedger;
    use crate::conformance;

    #[test]
    fn the_memory_ledger_conforms() {
        conformance::check_all(MemoryLedger::new);
    }

    #[test]
    fn the_memory_ledger_conforms_with_aggregates() {
        conformance::check_aggregates(MemoryLedger::new);
        (0..300)
            .for_each(|seed| conformance::check_aggregates_in_any_order(&mut MemoryLedger::new(), seed, 60));
    }

    #[test]
    fn a_store_that_repeats_or_reorders_conforms() {
        for fault in [Fault::Duplicate, Fault::Reorder] {
            conformance::check_all(|| {
                let mut ledger = FaultyLedger::new(MemoryLedger::new());
                (0..20).for_each(|_| ledger.plan(fault));
                ledger
            });
        }
    }
}

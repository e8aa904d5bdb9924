//! Aggregates in the file of the budgets.
//!
//! Invariant: a call is one redb transaction, by the rules of [`AggregateRows`]. A value stands under its aggregate and its
//! key, and its checksum covers both.

use deltaic_quota::{AggregateLedger, AggregateRows, Changes, Combine, Epoch, Key, LedgerError, NodeId};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::row::{key_place, node_place, split_key};
use super::{RedbLedger, refused, unknown};
use crate::Damage;
use crate::pages::Stop;
use crate::record::{Kind, open, seal, start};

const NODES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("aggregate_nodes");
const VALUES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("aggregates");

impl RedbLedger {
    /// One transaction: takes the rows that a change concerns, changes them, and writes those that differ.
    fn change_aggregates<T>(
        &mut self,
        take: impl FnOnce(&Tables<'_>, &mut AggregateRows) -> Result<(), Stop>,
        change: impl FnOnce(&mut AggregateRows) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut before = AggregateRows::default();
        let transaction = self.pages.run(|database| {
            let transaction = database.begin_write()?;
            take(&Tables::of(&transaction)?, &mut before)?;
            Ok(transaction)
        });
        let transaction = transaction.map_err(|error| refused(&error))?;
        let mut after = before.clone();
        let outcome = change(&mut after);
        let is_changed = outcome.is_ok() && before != after;
        let written = self.pages.run(|_| {
            if !is_changed {
                return transaction.abort().map_err(Into::into);
            }
            Tables::of(&transaction)?.write(&before, &after)?;
            Ok(transaction.commit()?)
        });
        written.map_err(|error| unknown(&error)).and(outcome)
    }
}

impl AggregateLedger for RedbLedger {
    fn open_aggregate(&mut self, name: &Key, node: NodeId) -> Result<Epoch, LedgerError> {
        self.change_aggregates(
            |tables, rows| tables.take_node(name, node, rows),
            |rows| Ok(rows.open(name, node)),
        )
    }

    fn combine_encoded(
        &mut self,
        name: &Key,
        changes: &Changes<Vec<u8>>,
        combine: Combine,
    ) -> Result<(), LedgerError> {
        let take = |tables: &Tables<'_>, rows: &mut AggregateRows| {
            tables.take_node(name, changes.node, rows)?;
            changes.rows.iter().try_for_each(|(key, _)| tables.take_value(name, key, rows))
        };
        self.change_aggregates(take, |rows| rows.combine(name, changes, combine))
    }

    fn aggregate_encoded(&mut self, name: &Key, key: &Key) -> Result<Option<Vec<u8>>, LedgerError> {
        let take = |tables: &Tables<'_>, rows: &mut AggregateRows| tables.take_value(name, key, rows);
        self.change_aggregates(take, |rows| Ok(rows.values.pop_first().map(|(_, value)| value)))
    }

    fn image_of_aggregates(&mut self) -> Result<Vec<u8>, LedgerError> {
        let take = |tables: &Tables<'_>, rows: &mut AggregateRows| tables.take_all(rows);
        self.change_aggregates(take, |rows| Ok(rows.image()))
    }
}

fn value_place(name: &Key, key: &Key) -> Vec<u8> {
    [key_place(name), key_place(key)].concat()
}

fn value_of(place: &[u8]) -> Result<(Key, Key), Damage> {
    let (name, rest) = split_key(place)?;
    let (key, rest) = split_key(rest)?;
    if rest.is_empty() { Ok((name, key)) } else { Err(Damage::Misplaced) }
}

fn read_value(record: &[u8], place: &[u8]) -> Result<Vec<u8>, Damage> {
    Ok(open(record, Kind::Aggregate, place)?.rest().to_vec())
}

fn write_value(value: &[u8], place: &[u8]) -> Vec<u8> {
    let mut record = start(Kind::Aggregate);
    record.extend_from_slice(value);
    seal(record, place)
}

/// Visits each value and each node's place: whether it can be read.
pub(super) fn each_value(
    transaction: &ReadTransaction,
    mut visit: impl FnMut(Result<(), Damage>),
) -> Result<(), Stop> {
    super::check::each(transaction, NODES, |at, found| {
        if let Err(damage) = super::row::node_of(at).and_then(|_| super::row::read_turn(found, at)) {
            visit(Err(damage));
        }
    })?;
    super::check::each(transaction, VALUES, |at, found| {
        visit(value_of(at).and_then(|_| read_value(found, at)).map(drop));
    })
}

/// The tables of one write transaction.
struct Tables<'t> {
    nodes: Table<'t, &'static [u8], &'static [u8]>,
    values: Table<'t, &'static [u8], &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn of(transaction: &'t WriteTransaction) -> Result<Self, Stop> {
        Ok(Self { nodes: transaction.open_table(NODES)?, values: transaction.open_table(VALUES)? })
    }

    fn take_node(&self, name: &Key, node: NodeId, rows: &mut AggregateRows) -> Result<(), Stop> {
        let place = node_place(name, node);
        if let Some(found) = self.nodes.get(&place[..])? {
            let stands =
                super::row::read_turn(found.value(), &place).map_err(Stop::damage("aggregate_nodes"))?;
            rows.nodes.insert((name.clone(), node), stands);
        }
        Ok(())
    }

    fn take_value(&self, name: &Key, key: &Key, rows: &mut AggregateRows) -> Result<(), Stop> {
        let place = value_place(name, key);
        if let Some(found) = self.values.get(&place[..])? {
            let value = read_value(found.value(), &place).map_err(Stop::damage("aggregates"))?;
            rows.values.insert((name.clone(), key.clone()), value);
        }
        Ok(())
    }

    fn take_all(&self, rows: &mut AggregateRows) -> Result<(), Stop> {
        for entry in self.nodes.iter()? {
            let (at, _) = entry?;
            let (name, node) = super::row::node_of(at.value()).map_err(Stop::damage("aggregate_nodes"))?;
            self.take_node(&name, node, rows)?;
        }
        for entry in self.values.iter()? {
            let (at, _) = entry?;
            let (name, key) = value_of(at.value()).map_err(Stop::damage("aggregates"))?;
            self.take_value(&name, &key, rows)?;
        }
        Ok(())
    }

    /// Writes the rows that differ. None is ever removed.
    fn write(&mut self, before: &AggregateRows, after: &AggregateRows) -> Result<(), Stop> {
        for ((name, node), stands) in &after.nodes {
            if before.nodes.get(&(name.clone(), *node)) != Some(stands) {
                let place = node_place(name, *node);
                self.nodes.insert(&place[..], &super::row::write_turn(*stands, &place)[..])?;
            }
        }
        for ((name, key), value) in &after.values {
            if before.values.get(&(name.clone(), key.clone())) != Some(value) {
                let place = value_place(name, key);
                self.values.insert(&place[..], &write_value(value, &place)[..])?;
            }
        }
        Ok(())
    }
}

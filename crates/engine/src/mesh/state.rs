//! [`State`]: the rows of all tables with all that merging needs of them, as one replica.
//!
//! Invariant: what is kept in the store is what is here: a record for each row, and the cut. What is seen of it are the tables. A
//! step that fails half way leaves it ahead of the store; then it is loaded anew.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use deltaic_causality::{ActorId, Dot, HybridTime, VersionVector};
use deltaic_crdt::{DisableWinsFlag, Element, Table};
use deltaic_storage::{Change, Reader, StorageError, StoredRow};
use deltaic_types::codec::{DecodeError, Reader as Bytes, write_u64};
use deltaic_types::{CONFLICTS, Catalog, REPLICA, Row, TableId, Value, limits};

use super::{
    claims::{Changed, Claimed, Claims, Hidden, Settled, settle},
    conflict::conflicts,
    draft::Drafted,
    name::{RowKey, TableTag},
    shape::{Merged, Shape, shapes},
};

/// The rows that merge.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) rows: Table<RowKey, DisableWinsFlag>,
    shapes: BTreeMap<TableTag, Shape>,
    claims: Claims,
    /// Of each row its rows in `deltaic.conflicts`, as its cells are.
    conflicts: BTreeMap<RowKey, Vec<Row>>,
    /// The conflicts that were recorded, by their time.
    records: BTreeSet<(i64, RowKey)>,
}

/// What is stored beside the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) cut: VersionVector,
    pub(crate) trimmed: VersionVector,
    /// The other members.
    pub(crate) peers: BTreeSet<ActorId>,
}

/// What changed of rows, and what is seen of them now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub(crate) changed: Changed,
    pub(crate) settled: Settled,
}

impl State {
    /// One without rows.
    pub(crate) fn new(actor: ActorId, catalog: &Catalog) -> Self {
        let (rows, shapes) = (Table::new(actor), shapes(catalog));
        let (claims, conflicts, records) = (Claims::default(), BTreeMap::new(), BTreeSet::new());
        Self { rows, shapes, claims, conflicts, records }
    }

    /// What a store has of it; none if it was never begun. `seq` is the last number of a dot that the actor has given.
    pub(crate) fn load(
        actor: ActorId,
        seq: u64,
        catalog: &Catalog,
        store: &dyn Reader,
    ) -> Result<Option<(Self, Kept)>, StorageError> {
        let Some(row) = store.row(REPLICA, &[Value::from("")])? else { return Ok(None) };
        let damaged = |error: DecodeError| StorageError::Corrupted { part: "replica", damage: error.into() };
        let mut kept = Kept::read(&bytes_of(&row.values[1]).map_err(damaged)?).map_err(damaged)?;
        kept.cut.raise(Dot { actor, seq });
        let mut records = Vec::new();
        store.scan(REPLICA, &[0, 1], &mut |row| {
            if row[0].as_str() != Some("") {
                records.push(bytes_of(&row[1]));
            }
        })?;
        let records = records.into_iter().collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        let all = records.iter().map(Vec::as_slice);
        let rows = Table::restore(actor, &kept.cut, &kept.trimmed, all).map_err(damaged)?;
        let mut state = Self { rows, ..Self::new(actor, catalog) };
        state.look_at_all();
        Ok(Some((state, kept)))
    }

    /// Works out anew what is seen. Cost: all rows.
    fn look_at_all(&mut self) {
        self.claims = Claims::default();
        self.conflicts = BTreeMap::new();
        self.records = BTreeSet::new();
        let keys: BTreeSet<RowKey> = self.rows.iter().map(|(key, _)| key.clone()).collect();
        let shown = self.look_at(keys);
        self.show(&shown);
    }

    /// Takes other definitions, and works out anew what is seen. Cost: all rows.
    pub(crate) fn define(&mut self, shapes: BTreeMap<TableTag, Shape>) {
        self.shapes = shapes;
        self.look_at_all();
    }

    pub(crate) fn shape(&self, table: TableId) -> Option<&Shape> {
        self.shapes.values().find(|shape| shape.table == table)
    }

    pub(crate) fn shape_of(&self, key: &RowKey) -> Option<&Shape> {
        self.shapes.get(&key.table)
    }

    /// What a kind of rows is called ([`Element::kind`]).
    pub(crate) fn table_name(&self, kind: u64) -> String {
        self.table(TableTag(kind)).map_or_else(|| format!("{kind:016x}"), |shape| shape.name.clone())
    }

    pub(crate) fn table(&self, tag: TableTag) -> Option<&Shape> {
        self.shapes.get(&tag)
    }

    /// The values of a row, if it is there and seen.
    pub(crate) fn seen(&self, key: &RowKey) -> Option<Row> {
        let row = self.rows.get(key).filter(|row| row.is_there() || self.claims.is_kept(key))?;
        self.claims.hidden(key).is_none().then_some(())?;
        self.shape_of(key)?.values(key, row)
    }

    fn claimed(&self, key: &RowKey, row: Option<&Merged>) -> Option<Claimed> {
        Claimed::of(self.shapes.get(&key.table)?, key, row?)
    }

    /// What is seen of rows that were merged. The claims are those before.
    pub(crate) fn look_at(&self, keys: impl IntoIterator<Item = RowKey>) -> Shown {
        let changed: Changed = keys
            .into_iter()
            .map(|key| {
                let claimed = self.claimed(&key, self.rows.get(&key));
                (key, claimed)
            })
            .collect();
        let settled = settle(&self.shapes, &self.claims, &changed);
        Shown { changed, settled }
    }

    /// What is seen when a draft is in place.
    pub(crate) fn look_ahead(&self, draft: &BTreeMap<RowKey, Drafted>) -> Shown {
        let claimed = draft.iter().map(|(key, drafted)| (key.clone(), self.claimed(key, Some(&drafted.row))));
        let changed: Changed = claimed.collect();
        let settled = settle(&self.shapes, &self.claims, &changed);
        Shown { changed, settled }
    }

    /// Takes in what is seen; the rows of `deltaic.conflicts` that went and that came.
    pub(crate) fn show(&mut self, shown: &Shown) -> (Vec<Row>, Vec<Row>) {
        self.claims.install(&shown.changed, &shown.settled);
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        let keys: BTreeSet<&RowKey> = shown.changed.keys().chain(shown.settled.rows.keys()).collect();
        for key in keys {
            let rows = self.conflicts_of(key);
            let before = if rows.is_empty() {
                self.conflicts.remove(key)
            } else {
                self.conflicts.insert(key.clone(), rows.clone())
            };
            let before = before.unwrap_or_default();
            if self.shapes.get(&key.table).is_some_and(|shape| shape.table == CONFLICTS) {
                for row in &before {
                    self.records.remove(&(at(row), key.clone()));
                }
                self.records.extend(rows.iter().map(|row| (at(row), key.clone())));
            }
            let (is, was): (BTreeSet<&Row>, BTreeSet<&Row>) =
                (rows.iter().collect(), before.iter().collect());
            come.extend(is.difference(&was).map(|row| (*row).clone()));
            gone.extend(was.difference(&is).map(|row| (*row).clone()));
        }
        (gone, come)
    }

    fn conflicts_of(&self, key: &RowKey) -> Vec<Row> {
        let Some(row) = self.rows.get(key).filter(|row| row.is_there()) else { return Vec::new() };
        match self.shapes.get(&key.table) {
            Some(shape) if shape.table == CONFLICTS => shape.values(key, row).into_iter().collect(),
            Some(shape) => conflicts(shape, key, row, self.claims.hidden(key)),
            None => Vec::new(),
        }
    }

    /// The conflicts that were recorded, by their time.
    pub(crate) fn records(&self) -> &BTreeSet<(i64, RowKey)> {
        &self.records
    }

    /// All rows of `deltaic.conflicts` that cells make.
    pub(crate) fn conflicts(&self) -> impl Iterator<Item = &Row> {
        self.conflicts.values().flatten()
    }

    /// Forgets what every member holds and nobody can bring back; the rows of which nothing is left.
    pub(crate) fn trim(&mut self, stable: &VersionVector) -> Vec<RowKey> {
        let (claims, shapes) = (&self.claims, &self.shapes);
        let gone = self.rows.trim_unless(stable, |key| claims.is_referred_to(shapes, key));
        let shown = self.look_at(gone.iter().cloned());
        self.show(&shown);
        gone
    }

    /// Whether a row that is gone stays, for those that refer to it.
    pub(crate) fn is_kept(&self, key: &RowKey) -> bool {
        self.claims.is_kept(key)
    }

    /// Why a row that is there is not seen.
    pub(crate) fn hidden(&self, key: &RowKey) -> Option<&Hidden> {
        self.claims.hidden(key)
    }

    /// Puts a transaction's writes in place.
    pub(crate) fn put(&mut self, drafted: BTreeMap<RowKey, Drafted>) {
        self.rows.put(drafted.into_iter().map(|(key, Drafted { row, made })| (key, row, made)).collect());
    }

    /// The greatest time that rows have, so that the clock is behind none.
    pub(crate) fn latest<'k>(&self, keys: impl IntoIterator<Item = &'k RowKey>) -> Option<HybridTime> {
        keys.into_iter().filter_map(|key| self.rows.get(key)?.latest()).max()
    }

    /// The same of all rows.
    pub(crate) fn latest_of_all(&self) -> HybridTime {
        self.rows.iter().filter_map(|(_, row)| row.latest()).max().unwrap_or_default()
    }

    /// The records of rows, as changes of the store.
    pub(crate) fn stored<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k RowKey>,
        version: Dot,
        time: HybridTime,
    ) -> Vec<Change> {
        keys.into_iter().map(|key| record(key, self.rows.record(key), version, time)).collect()
    }
}

/// When a conflict was.
fn at(conflict: &Row) -> i64 {
    if let Some(Value::Timestamp(at)) = conflict.last() { *at } else { 0 }
}

/// What is stored of a row, or that nothing is.
fn record(key: &RowKey, record: Option<Vec<u8>>, dot: Dot, time: HybridTime) -> Change {
    let mut name = Vec::new();
    key.write(&mut name);
    let key = Row::from_iter([Value::from(BASE64.encode(name))]);
    match record {
        Some(record) => put(key, &record, dot, time),
        None => Change::Delete { table: REPLICA, key, dot, time },
    }
}

/// A record that is longer than a value may be is an array of values: the store reads no longer ones.
fn put(key: Row, record: &[u8], version: Dot, time: HybridTime) -> Change {
    const BYTES: usize = limits::VALUE_BYTES / 2;
    let mut parts: Vec<Value> = record.chunks(BYTES).map(|part| Value::from(BASE64.encode(part))).collect();
    let record =
        if let [part] = &mut parts[..] { std::mem::replace(part, Value::Null) } else { Value::array(parts) };
    let values = key.iter().cloned().chain([record]).collect();
    Change::Put { table: REPLICA, key, row: StoredRow { version, time, cells: Vec::new(), values } }
}

fn bytes_of(value: &Value) -> Result<Vec<u8>, DecodeError> {
    let parts = if let Value::Array(parts) = value { &parts[..] } else { std::slice::from_ref(value) };
    let mut bytes = Vec::new();
    for part in parts {
        let read = BASE64.decode_vec(part.as_str().unwrap_or_default(), &mut bytes);
        read.map_err(|_| DecodeError::Invalid("record: no base64"))?;
    }
    Ok(bytes)
}

impl Kept {
    /// As a change of the store.
    pub(crate) fn record(&self, version: Dot, time: HybridTime) -> Change {
        let mut bytes = Vec::new();
        self.cut.write(&mut bytes);
        self.trimmed.write(&mut bytes);
        write_u64(&mut bytes, self.peers.len() as u64);
        self.peers.iter().for_each(|peer| write_u64(&mut bytes, peer.0));
        put(Row::from_iter([Value::from("")]), &bytes, version, time)
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Bytes::new(bytes);
        let (cut, trimmed) = (VersionVector::read(&mut reader)?, VersionVector::read(&mut reader)?);
        let peers = (0..reader.length(limits::ACTORS)?).map(|_| reader.u64().map(ActorId));
        let peers = peers.collect::<Result<_, _>>()?;
        reader.finish().map(|()| Self { cut, trimmed, peers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of any length comes back from what a store reads of it.
    #[test]
    fn a_record_longer_than_a_value_is_stored_in_parts() {
        for length in
            [0, 5, limits::VALUE_BYTES / 2, limits::VALUE_BYTES / 2 + 1, 2 * limits::VALUE_BYTES + 7]
        {
            let record: Vec<u8> = (0..length).map(|place| place as u8).collect();
            let dot = Dot { actor: ActorId(1), seq: 1 };
            let change = put(Row::from_iter([Value::from("a")]), &record, dot, HybridTime(1));
            let Change::Put { row, .. } = change else { panic!("{change:?}") };
            let mut bytes = Vec::new();
            deltaic_types::codec::write_row(&mut bytes, &row.values);
            let read = Bytes::new(&bytes).row().unwrap();
            assert_eq!(bytes_of(&read[1]), Ok(record), "{length}");
        }
        let part = Value::array(vec![Value::from("AAAA"), Value::from("?")]);
        assert!(bytes_of(&part).is_err());
    }
}

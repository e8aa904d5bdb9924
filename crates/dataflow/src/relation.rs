//! [`Relations`]: the base relations that circuits read: tables, and the parameter relations of templates.
//!
//! Invariant: all indexes of a relation hold the same rows, each with weight one; a clone of [`Relations`] is
//! a snapshot, so a transaction works on a clone and the circuits see both sides of a change.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_types::{Row, TableId, Value};

use crate::{
    index::{Index, KeyColumn},
    zset::ZSet,
};

/// The name of a base relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationId {
    /// A table.
    Table(TableId),
    /// The live parameter tuples of a template.
    Parameters(u64),
    /// The time: one row, whose column is a timestamp.
    Clock,
}

/// The rows of a table or of a parameter relation, with their indexes.
#[derive(Debug, Clone)]
pub struct Relation {
    primary: Index,
    secondary: BTreeMap<Vec<KeyColumn>, Index>,
}

impl Relation {
    /// An empty relation whose rows are told apart by the columns at `key`.
    pub fn new(key: &[usize]) -> Self {
        Self { primary: Index::new(ascending(key)), secondary: BTreeMap::new() }
    }

    /// A relation of rows, which have different keys.
    pub fn of(key: &[usize], rows: impl IntoIterator<Item = Row>) -> Self {
        let primary = Index::of(ascending(key), rows.into_iter().map(|row| (row, 1)));
        Self { primary, secondary: BTreeMap::new() }
    }

    /// Adds a row, which must not be there. O(log n) an index.
    pub fn insert(&mut self, row: &Row) {
        self.add(row, 1, 1);
    }

    /// Removes a row, which must be there. O(log n) an index.
    pub fn remove(&mut self, row: &Row) {
        self.add(row, -1, 0);
    }

    fn add(&mut self, row: &Row, weight: i64, expected: i64) {
        let present = self.primary.add(row, weight);
        assert_eq!(present, expected, "a relation holds each row once");
        for index in self.secondary.values_mut() {
            index.add(row, weight);
        }
    }

    /// The row of a primary key.
    pub fn get(&self, key: &[Value]) -> Option<&Row> {
        self.primary.probe(key).next().map(|(row, _)| row)
    }

    /// The index that serves a key: one whose first columns are these, in this order.
    pub fn index(&self, key: &[KeyColumn]) -> Option<&Index> {
        if self.primary.key().starts_with(key) {
            return Some(&self.primary);
        }
        self.secondary.get(key).or_else(|| self.secondary.values().find(|index| index.key().starts_with(key)))
    }

    /// The primary index.
    pub fn primary(&self) -> &Index {
        &self.primary
    }

    /// Makes an index for a key where none serves it. O(n log n) then, and nothing otherwise.
    pub fn ensure_index(&mut self, key: &[KeyColumn]) {
        if self.index(key).is_none() {
            let rows = self.primary.iter().map(|(row, weight)| (row.clone(), weight));
            self.secondary.insert(key.to_vec(), Index::of(key, rows));
        }
    }

    /// Takes the indexes that it lacks from another relation of the same rows. O(1) an index.
    pub fn take_indexes(&mut self, other: &Self) {
        for (key, index) in &other.secondary {
            if self.index(key).is_none() {
                assert_eq!(index.len(), self.len(), "an index is taken from a relation of the same rows");
                self.secondary.insert(key.clone(), index.clone());
            }
        }
    }

    /// Drops the index of exactly this key, if there is one beside the primary.
    pub fn drop_index(&mut self, key: &[KeyColumn]) {
        self.secondary.remove(key);
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.primary.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.primary.is_empty()
    }

    /// The keys of the indexes, the primary first.
    pub fn keys(&self) -> impl Iterator<Item = &[KeyColumn]> {
        std::iter::once(self.primary.key()).chain(self.secondary.keys().map(Vec::as_slice))
    }

    /// Bytes in memory: the rows, and 16 bytes an entry of each index (half as much again for open nodes).
    pub fn heap_bytes(&self) -> usize {
        let rows: usize = self.primary.iter().map(|(row, _)| row.heap_bytes()).sum();
        rows + self.len() * 24 * (1 + self.secondary.len())
    }
}

fn ascending(columns: &[usize]) -> Vec<KeyColumn> {
    columns.iter().map(|&column| KeyColumn::ascending(column)).collect()
}

/// The clock's row at a time.
pub(crate) fn clock_row(micros: i64) -> Row {
    Row::from_iter([Value::Timestamp(micros)])
}

/// The change of the clock's relation.
pub fn clock_change(before: i64, after: i64) -> ZSet {
    ZSet::from_iter([(clock_row(before), -1), (clock_row(after), 1)]).consolidated()
}

/// All base relations. Cloning is a snapshot and costs a handle a relation.
#[derive(Debug, Clone, Default)]
pub struct Relations(BTreeMap<RelationId, Arc<Relation>>);

impl Relations {
    /// Adds or replaces a relation.
    pub fn put(&mut self, id: RelationId, relation: Relation) {
        self.0.insert(id, Arc::new(relation));
    }

    /// Removes a relation.
    pub fn remove(&mut self, id: RelationId) {
        self.0.remove(&id);
    }

    /// Keeps the relations for which `keep` says yes.
    pub fn retain(&mut self, mut keep: impl FnMut(RelationId) -> bool) {
        self.0.retain(|id, _| keep(*id));
    }

    /// Sets the clock, in microseconds since 1970.
    pub fn set_clock(&mut self, micros: i64) {
        self.put(RelationId::Clock, Relation::of(&[0], [clock_row(micros)]));
    }

    /// What the clock shows, where there is one.
    pub fn clock(&self) -> Option<i64> {
        let row = self.get(RelationId::Clock)?.primary.iter().next()?.0;
        if let Value::Timestamp(micros) = row[0] { Some(micros) } else { None }
    }

    /// A relation.
    pub fn get(&self, id: RelationId) -> Option<&Relation> {
        self.0.get(&id).map(|relation| &**relation)
    }

    /// A relation, to be changed; copied first if a snapshot shares it (a handle an index).
    pub fn get_mut(&mut self, id: RelationId) -> Option<&mut Relation> {
        self.0.get_mut(&id).map(Arc::make_mut)
    }

    /// All relations by name.
    pub fn iter(&self) -> impl Iterator<Item = (RelationId, &Relation)> {
        self.0.iter().map(|(id, relation)| (*id, &**relation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(a: i64, b: &str) -> Row {
        Row::from_iter([Value::Integer(a), Value::from(b)])
    }

    #[test]
    fn indexes_made_late_hold_what_is_there_and_snapshots_stay() {
        let id = RelationId::Table(TableId(1));
        let mut relations = Relations::default();
        relations.put(id, Relation::of(&[0], [row(1, "x"), row(2, "y")]));
        let by_text = [KeyColumn::ascending(1)];
        relations.get_mut(id).unwrap().ensure_index(&by_text);
        let before = relations.clone();
        let table = relations.get_mut(id).unwrap();
        table.insert(&row(3, "x"));
        table.remove(&row(2, "y"));
        let count = |relations: &Relations, text: &str| {
            relations.get(id).unwrap().index(&by_text).unwrap().probe(&[Value::from(text)]).count()
        };
        assert_eq!((count(&relations, "x"), count(&relations, "y")), (2, 0));
        assert_eq!((count(&before, "x"), count(&before, "y")), (1, 1));
        assert_eq!(relations.get(id).unwrap().get(&[Value::Integer(3)]), Some(&row(3, "x")));
    }

    #[test]
    #[should_panic(expected = "holds each row once")]
    fn a_row_is_there_once() {
        let mut relation = Relation::of(&[0], [row(1, "x")]);
        relation.insert(&row(1, "x"));
    }
}

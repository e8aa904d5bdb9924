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
    /// The others, in the order of their keys.
    secondary: Vec<Index>,
}

impl Relation {
    /// An empty relation whose rows are told apart by the columns at `key`.
    pub fn new(key: &[usize]) -> Self {
        Self { primary: Index::new(ascending(key)), secondary: Vec::new() }
    }

    /// A relation of rows, which have different keys.
    pub fn of(key: &[usize], rows: impl IntoIterator<Item = Row>) -> Self {
        let primary = Index::of(ascending(key), rows.into_iter().map(|row| (row, 1)));
        Self { primary, secondary: Vec::new() }
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
        for index in &mut self.secondary {
            index.add(row, weight);
        }
    }

    /// Settles its indexes: see [`Index::settle`].
    fn settle(&mut self) {
        self.primary.settle();
        self.secondary.iter_mut().for_each(Index::settle);
    }

    fn place_of(&self, key: &[KeyColumn]) -> Result<usize, usize> {
        self.secondary.binary_search_by(|index| index.key().cmp(key))
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
        // In the order of keys those that begin with one follow it.
        let (Ok(place) | Err(place)) = self.place_of(key);
        self.secondary.get(place).filter(|index| index.key().starts_with(key))
    }

    /// The primary index.
    pub fn primary(&self) -> &Index {
        &self.primary
    }

    /// Makes an index for a key where none serves it. O(n log n) then, and nothing otherwise.
    pub fn ensure_index(&mut self, key: &[KeyColumn]) {
        if self.index(key).is_none() {
            let rows = self.primary.iter().map(|(row, weight)| (row.clone(), weight));
            let index = Index::of(key, rows);
            let (Ok(place) | Err(place)) = self.place_of(key);
            self.secondary.insert(place, index);
        }
    }

    /// Takes the indexes that it lacks from another relation of the same rows. O(1) an index.
    pub fn take_indexes(&mut self, other: &Self) {
        for index in &other.secondary {
            if self.index(index.key()).is_none() {
                assert_eq!(index.len(), self.len(), "an index is taken from a relation of the same rows");
                let (Ok(place) | Err(place)) = self.place_of(index.key());
                self.secondary.insert(place, index.clone());
            }
        }
    }

    /// Drops the index of exactly this key, if there is one beside the primary.
    pub fn drop_index(&mut self, key: &[KeyColumn]) {
        if let Ok(place) = self.place_of(key) {
            self.secondary.remove(place);
        }
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
        std::iter::once(self.primary.key()).chain(self.secondary.iter().map(Index::key))
    }

    /// Bytes in memory: the rows, and 8 bytes an entry of each index (half as much again for open nodes).
    pub fn heap_bytes(&self) -> usize {
        let rows: usize = self.primary.iter().map(|(row, _)| row.heap_bytes()).sum();
        rows + self.len() * 12 * (1 + self.secondary.len())
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

/// All base relations. Cloning is a snapshot and costs a handle, however many there are.
///
/// ```
/// use deltaic_dataflow::{Relation, RelationId, Relations};
/// use deltaic_types::{Row, TableId, Value};
/// let table = RelationId::Table(TableId(1));
/// let mut relations = Relations::default();
/// relations.put(table, Relation::new(&[0]));
/// let before = relations.clone();
/// relations.get_mut(table).unwrap().insert(&Row::from_iter([Value::Integer(1)]));
/// assert_eq!((before.get(table).unwrap().len(), relations.get(table).unwrap().len()), (0, 1));
/// drop(before);
/// relations.settle();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Relations {
    /// Shared with snapshots.
    settled: Arc<BTreeMap<RelationId, Arc<Relation>>>,
    /// What changed since it was settled: None for a relation that has gone.
    changed: BTreeMap<RelationId, Option<Arc<Relation>>>,
}

/// The most relations that are kept beside those that are shared.
const CHANGED: usize = 64;

impl Relations {
    /// Adds or replaces a relation. O(log n).
    pub fn put(&mut self, id: RelationId, relation: Relation) {
        self.change(id, Some(Arc::new(relation)));
    }

    /// Removes a relation. O(log n).
    pub fn remove(&mut self, id: RelationId) {
        self.change(id, None);
    }

    /// Of very many changes without a [`Relations::settle`] between them, one in many copies all handles.
    fn change(&mut self, id: RelationId, relation: Option<Arc<Relation>>) {
        self.changed.insert(id, relation);
        if self.changed.len() > CHANGED {
            let settled = Arc::make_mut(&mut self.settled);
            put_all(settled, std::mem::take(&mut self.changed));
        }
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

    /// A relation. O(log n).
    pub fn get(&self, id: RelationId) -> Option<&Relation> {
        match self.changed.get(&id) {
            Some(changed) => changed.as_deref(),
            None => self.settled.get(&id).map(|relation| &**relation),
        }
    }

    /// A relation, to be changed; copied first if a snapshot shares it (a handle an index). O(log n).
    pub fn get_mut(&mut self, id: RelationId) -> Option<&mut Relation> {
        if !self.changed.contains_key(&id) {
            let relation = Arc::clone(self.settled.get(&id)?);
            // Where there are too many this one is among those that are settled, and comes back alone.
            self.change(id, Some(Arc::clone(&relation)));
            self.changed.entry(id).or_insert(Some(relation));
        }
        self.changed.get_mut(&id)?.as_mut().map(Arc::make_mut)
    }

    /// All relations by name.
    pub fn iter(&self) -> impl Iterator<Item = (RelationId, &Relation)> {
        let settled = self.settled.iter().filter(|(id, _)| !self.changed.contains_key(id));
        let changed = self.changed.iter().filter_map(|(id, relation)| Some((id, relation.as_ref()?)));
        let all: BTreeMap<RelationId, &Relation> =
            settled.chain(changed).map(|(id, relation)| (*id, &**relation)).collect();
        all.into_iter()
    }

    /// Puts what changes left aside for a snapshot where it belongs: what is called when the snapshot from before a
    /// commit is gone. Changes nothing that can be seen; costs the changes since the last time.
    pub fn settle(&mut self) {
        let Some(settled) = Arc::get_mut(&mut self.settled) else { return };
        let changed = std::mem::take(&mut self.changed);
        let ids: Vec<RelationId> = changed.keys().copied().collect();
        put_all(settled, changed);
        for id in ids {
            if let Some(relation) = settled.get_mut(&id).and_then(Arc::get_mut) {
                relation.settle();
            }
        }
    }
}

fn put_all(
    settled: &mut BTreeMap<RelationId, Arc<Relation>>,
    changed: BTreeMap<RelationId, Option<Arc<Relation>>>,
) {
    for (id, relation) in changed {
        match relation {
            Some(relation) => settled.insert(id, relation),
            None => settled.remove(&id),
        };
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
    fn a_commit_touches_no_handle_of_a_relation_that_it_does_not_change() {
        let id = RelationId::Parameters;
        let mut relations = Relations::default();
        for number in 0..5_000 {
            relations.put(id(number), Relation::new(&[0]));
        }
        relations.settle();
        // A handle that a snapshot copied would be counted once more.
        let copies = |relations: &Relations| -> usize {
            relations.settled.values().map(|relation| Arc::strong_count(relation) - 1).sum()
        };
        for number in 0..100 {
            let before = relations.clone();
            assert_eq!(copies(&relations), 0);
            relations.get_mut(id(number * 7)).unwrap().insert(&row(1, "x"));
            assert_eq!(copies(&relations), 0, "the one that is changed is another now");
            drop(before);
            relations.settle();
        }
        assert_eq!(relations.iter().map(|(_, relation)| relation.len()).sum::<usize>(), 100);
    }

    #[test]
    #[should_panic(expected = "holds each row once")]
    fn a_row_is_there_once() {
        let mut relation = Relation::of(&[0], [row(1, "x")]);
        relation.insert(&row(1, "x"));
    }
}

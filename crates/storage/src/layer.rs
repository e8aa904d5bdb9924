//! [`Layers`]: the changes of staged commits that are not in their tables yet, over the tables.
//!
//! Invariant: what a reader sees of a row is what the newest layer says that has it, and else what the tables say. A
//! layer has a row until the row is settled, or taken: written into the tables by a commit behind the layer's. Layers
//! are settled from the oldest on, so that of two that have a row the newer one's stands in the table in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use deltaic_types::{Lsn, TableId};

use crate::record::row_key;
use crate::staged::{Numbers, Staged};
use crate::{Change, StoredRow, TableSize};

/// The most layers: each costs every reader a search. One more commit first settles the oldest.
pub(crate) const LAYERS: usize = 16;

/// The unsettled changes of one commit.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    lsn: Lsn,
    staged: Staged,
    numbers: Numbers,
    /// How many of its places are behind it, from the first on.
    settled: usize,
    /// Those of its places, none settled, that a later commit has written.
    taken: Arc<BTreeSet<usize>>,
    /// How many rows of each table it still has.
    waiting: BTreeMap<TableId, u64>,
}

impl Layer {
    /// The layer of a commit of which the first `settled` places are in the tables.
    pub(crate) fn new(lsn: Lsn, staged: Staged, numbers: Numbers, settled: usize) -> Self {
        let waiting = staged.tables().collect();
        let mut layer = Self { lsn, staged, numbers, settled: 0, taken: Arc::default(), waiting };
        if settled > 0 {
            layer.settle(settled);
        }
        layer
    }

    /// Whose changes they are.
    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }

    fn position(&self) -> (Lsn, usize) {
        (self.lsn, self.settled)
    }

    /// How many rows it had when it began.
    pub(crate) fn len(&self) -> usize {
        self.staged.places().len()
    }

    /// Whether nothing waits here any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled == self.len()
    }

    /// The number of a row that it has.
    pub(crate) fn find(&self, place: &[u8]) -> Option<usize> {
        let found = self.staged.places().binary_search_by(|(other, _)| (**other).cmp(place));
        found.ok().filter(|index| *index >= self.settled && !self.taken.contains(index))
    }

    /// The numbers of the rows that it still has, in the order of their places.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = usize> {
        (self.settled..self.len()).filter(|index| !self.taken.contains(index))
    }

    fn stored(&self, index: usize) -> &Change {
        &self.staged.changes()[self.staged.places()[index].1]
    }

    /// The last change of a row, with the commit's own numbers.
    pub(crate) fn change(&self, index: usize) -> Change {
        self.numbers.change(self.stored(index))
    }

    /// The row; None where it is deleted.
    pub(crate) fn row(&self, index: usize) -> Option<StoredRow> {
        match self.stored(index) {
            Change::Put { row, .. } => Some(self.numbers.row(row)),
            Change::Delete { .. } | Change::Catalog(_) => None,
        }
    }

    fn forget(&mut self, index: usize) {
        if let Change::Put { table, .. } | Change::Delete { table, .. } = self.stored(index) {
            let table = *table;
            let waiting = self.waiting.get_mut(&table);
            *waiting.expect("invariant: every staged row is counted") -= 1;
        }
    }

    /// A later commit has written a row.
    pub(crate) fn take(&mut self, index: usize) {
        if index >= self.settled && Arc::make_mut(&mut self.taken).insert(index) {
            self.forget(index);
        }
    }

    /// The places before `end` are in the tables.
    pub(crate) fn settle(&mut self, end: usize) {
        for index in self.settled..end {
            if self.taken.first().is_some_and(|taken| *taken == index) {
                Arc::make_mut(&mut self.taken).pop_first();
            } else {
                self.forget(index);
            }
        }
        self.settled = end;
    }

    /// Which of its places are of a table.
    fn range_of(&self, table: TableId) -> Range<usize> {
        let places = self.staged.places();
        let start = places.partition_point(|(place, _)| **place < *row_key(table, &[]));
        let end = match table.0.checked_add(1) {
            Some(next) => places.partition_point(|(place, _)| **place < *row_key(TableId(next), &[])),
            None => places.len(),
        };
        start.max(self.settled)..end
    }

    /// What it was made of.
    pub(crate) fn into_staged(self) -> Staged {
        self.staged
    }
}

/// The layers, oldest first. A clone is a snapshot and costs nothing that grows with the changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers(pub(crate) Vec<Layer>);

impl Layers {
    /// The newest layer that has a row, and the row's number there.
    pub(crate) fn find(&self, place: &[u8]) -> Option<(&Layer, usize)> {
        self.0.iter().rev().find_map(|layer| Some((layer, layer.find(place)?)))
    }

    /// A commit has written a row into the tables.
    pub(crate) fn take(&mut self, place: &[u8]) {
        for layer in &mut self.0 {
            if let Some(index) = layer.find(place) {
                layer.take(index);
            }
        }
    }

    /// The rows of a table that the layers have, merged.
    pub(crate) fn rows_of(&self, table: TableId) -> Merged<'_> {
        let cursors = self.0.iter().rev().map(|layer| {
            let mut cursor = Cursor { layer, range: layer.range_of(table) };
            cursor.skip();
            cursor
        });
        Merged(cursors.filter(|cursor| !cursor.range.is_empty()).collect())
    }

    /// How far each is settled once the oldest is up to `end`.
    pub(crate) fn positions_after(&self, end: usize) -> Vec<(Lsn, usize)> {
        let oldest = self.0.first().filter(|layer| end < layer.len()).map(|layer| (layer.lsn, end));
        oldest.into_iter().chain(self.0.iter().skip(1).map(Layer::position)).collect()
    }

    /// Adds to the sizes of the tables what waits above them.
    pub(crate) fn count_into(&self, sizes: &mut BTreeMap<TableId, TableSize>) {
        for (table, rows) in self.0.iter().flat_map(|layer| &layer.waiting) {
            if let Some(size) = sizes.get_mut(table) {
                size.unsettled += rows;
            }
        }
    }
}

#[derive(Debug)]
struct Cursor<'l> {
    layer: &'l Layer,
    /// What is left; it begins with a row that the layer has.
    range: Range<usize>,
}

impl<'l> Cursor<'l> {
    fn place(&self) -> Option<&'l [u8]> {
        (!self.range.is_empty()).then(|| &*self.layer.staged.places()[self.range.start].0)
    }

    fn skip(&mut self) {
        while !self.range.is_empty() && self.layer.taken.contains(&self.range.start) {
            self.range.start += 1;
        }
    }
}

/// The rows of layers in the order of their places, each as the newest layer has it.
#[derive(Debug)]
pub(crate) struct Merged<'l>(Vec<Cursor<'l>>);

impl<'l> Merged<'l> {
    /// Where the next row stands.
    pub(crate) fn place(&self) -> Option<&'l [u8]> {
        self.0.iter().filter_map(Cursor::place).min()
    }

    /// The next row; None where it is deleted, or where there is no next.
    pub(crate) fn next_row(&mut self) -> Option<StoredRow> {
        let place = self.place()?;
        let mut row = None;
        // The oldest comes last, so going backwards the newest has the last word.
        for cursor in self.0.iter_mut().rev().filter(|cursor| cursor.place() == Some(place)) {
            row = Some((cursor.layer, cursor.range.start));
            cursor.range.start += 1;
            cursor.skip();
        }
        row.and_then(|(layer, index)| layer.row(index))
    }
}

/// What one append does to the layers, to be done when it is durable.
#[derive(Debug)]
pub(crate) struct Edit<'l> {
    old: &'l Layers,
    pushed: Vec<Layer>,
    taken: BTreeSet<(usize, usize)>,
    /// How many layers it has settled, the oldest ones.
    gone: usize,
}

/// An [`Edit`] that is whole.
#[derive(Debug)]
pub(crate) struct Edited {
    pushed: Vec<Layer>,
    taken: BTreeSet<(usize, usize)>,
    gone: usize,
}

impl<'l> Edit<'l> {
    pub(crate) fn new(old: &'l Layers) -> Self {
        Self { old, pushed: Vec::new(), taken: BTreeSet::new(), gone: 0 }
    }

    /// How many layers there are.
    pub(crate) fn len(&self) -> usize {
        self.old.0.len() + self.pushed.len() - self.gone
    }

    fn layer(&self, number: usize) -> &Layer {
        self.old.0.get(number).unwrap_or_else(|| &self.pushed[number - self.old.0.len()])
    }

    /// How far each layer is settled then; None where that is as before.
    pub(crate) fn positions(&self) -> Option<Vec<(Lsn, usize)>> {
        let changed = self.gone > 0 || !self.pushed.is_empty();
        changed.then(|| (self.gone..self.gone + self.len()).map(|n| self.layer(n).position()).collect())
    }

    pub(crate) fn push(&mut self, layer: Layer) {
        self.pushed.push(layer);
    }

    /// Takes a row out of all layers: it is written into the tables.
    pub(crate) fn take(&mut self, place: &[u8]) {
        for number in self.gone..self.gone + self.len() {
            if let Some(index) = self.layer(number).find(place) {
                self.taken.insert((number, index));
            }
        }
    }

    /// The oldest layer and the numbers of the rows that it has, which the caller writes; then it is gone.
    pub(crate) fn pop(&mut self) -> Option<(&Layer, Vec<usize>)> {
        if self.len() == 0 {
            return None;
        }
        let number = self.gone;
        self.gone += 1;
        let layer = self.layer(number);
        let indexes = layer.indexes().filter(|index| !self.taken.contains(&(number, *index)));
        Some((layer, indexes.collect()))
    }

    pub(crate) fn finish(self) -> Edited {
        Edited { pushed: self.pushed, taken: self.taken, gone: self.gone }
    }
}

impl Edited {
    /// Does it; the layers that are gone come back.
    pub(crate) fn apply(self, layers: &mut Layers) -> Vec<Layer> {
        layers.0.extend(self.pushed);
        for (number, index) in self.taken {
            layers.0[number].take(index);
        }
        let mut kept = layers.0.split_off(self.gone);
        std::mem::swap(&mut layers.0, &mut kept);
        kept
    }
}

//! [`Staged`]: changes that were written ahead of the commit that will have them.
//!
//! Invariant: they never change. What their commit alone decides, the numbers of their dots and the time, stands in
//! them provisionally and is resolved wherever they are read, so that a commit of a million changes is appended
//! without touching one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deltaic_causality::{Dot, HybridTime};
use deltaic_types::{Catalog, TableId, TableSchema, key};

use crate::commit::fits;
use crate::record::row_key;
use crate::{CellVersion, Change, Commit, StorageError, StoredRow};

/// Numbers of dots above this one are provisional: `PROVISIONAL + n` is the `n`-th dot of its commit, counted from 1.
pub const PROVISIONAL: u64 = 1 << 62;

/// Who writes the changes of a large commit ahead of its append, on any thread, beside appends.
pub trait Stager: Send {
    /// Writes changes ahead, durably, in slices between which appends go on. Nothing of them is seen until a commit
    /// that has them is appended; where the last clone of what this returns is dropped before, they are given up.
    ///
    /// A failure of the file closes the store, as one of an append does; the next append is told of it too.
    ///
    /// Their dots are provisional ([`PROVISIONAL`]), and so is the time that stands with such a dot: it becomes the
    /// commit's. Dots of earlier commits, of cells that keep their value, stand in them as they are.
    fn stage(&self, changes: Vec<Change>) -> Result<Staged, StorageError>;
}

/// Changes that were written ahead. A clone costs nothing that grows with them.
#[derive(Clone)]
pub struct Staged(Arc<Inner>);

/// Without the changes: there may be a million of them.
impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { stage, changes, dots, .. } = &*self.0;
        let (stage, count) = (*stage, changes.len());
        f.debug_struct("Staged").field("stage", &stage).field("changes", &count).field("dots", dots).finish()
    }
}

struct Inner {
    stage: u64,
    chunks: u64,
    changes: Vec<Change>,
    dots: u64,
    /// Whether every dot is one of `dots` or no provisional one.
    numbered: bool,
    /// Whether the catalog is among the changes.
    catalog: bool,
    /// Where the rows stand, ascending, each with the last change of it.
    places: Vec<(Box<[u8]>, usize)>,
    tables: BTreeMap<TableId, Part>,
    begun: Option<Begun>,
}

/// What is staged of one table.
struct Part {
    /// Its rows.
    rows: u64,
    /// What it was when every change was found to fit it, so that an append need not look at them again.
    schema: Option<TableSchema>,
}

/// The numbers of stages that were begun and then given up.
#[derive(Debug, Clone, Default)]
pub(crate) struct GivenUp(Arc<Mutex<BTreeSet<u64>>>);

impl GivenUp {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage from its first chunk on: given up when this is dropped before a commit has it.
#[derive(Debug)]
pub(crate) struct Begun {
    stage: u64,
    appended: AtomicBool,
    given_up: GivenUp,
}

impl Begun {
    pub(crate) fn new(stage: u64, given_up: GivenUp) -> Self {
        Self { stage, appended: AtomicBool::new(false), given_up }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.appended.load(Ordering::Relaxed) {
            self.given_up.lock().insert(self.stage);
        }
    }
}

impl Staged {
    /// Changes as they stand in chunks of a stage. `catalog` is what they are verified against: where they do not fit,
    /// they are not refused, since another one may hold when they are appended.
    pub(crate) fn new(
        stage: u64,
        chunks: u64,
        changes: Vec<Change>,
        catalog: &Catalog,
        begun: Option<Begun>,
    ) -> Self {
        let (mut dots, mut numbered, mut has_catalog) = (0, true, false);
        let mut places: Vec<(Box<[u8]>, usize)> = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            for dot in dots_of(change) {
                dots = dots.max(dot.seq.saturating_sub(PROVISIONAL));
                numbered &= dot.seq != PROVISIONAL;
            }
            match place_of(change) {
                Some((_, place)) => places.push((place.into_boxed_slice(), index)),
                None => has_catalog = true,
            }
        }
        // Of the changes of one row the last one holds: it is the first of them in this order.
        places.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        places.dedup_by(|later, first| later.0 == first.0);
        let fitting = changes.iter().all(|change| fits(catalog, change).is_ok());
        let mut tables: BTreeMap<TableId, Part> = BTreeMap::new();
        for (_, index) in &places {
            let (Change::Put { table, .. } | Change::Delete { table, .. }) = &changes[*index] else {
                continue;
            };
            let part = tables.entry(*table).or_insert_with(|| {
                let schema = catalog.get(*table).filter(|_| fitting).cloned();
                Part { rows: 0, schema }
            });
            part.rows += 1;
        }
        let catalog = has_catalog;
        Self(Arc::new(Inner { stage, chunks, changes, dots, numbered, catalog, places, tables, begun }))
    }

    /// The changes, with provisional numbers in them.
    pub fn changes(&self) -> &[Change] {
        &self.0.changes
    }

    /// How many dots their commit gives.
    pub fn dots(&self) -> u64 {
        self.0.dots
    }

    pub(crate) fn stage(&self) -> u64 {
        self.0.stage
    }

    pub(crate) fn chunks(&self) -> u64 {
        self.0.chunks
    }

    /// Whether the provisional dots are between 1 and [`dots`](Self::dots).
    pub(crate) fn is_numbered(&self) -> bool {
        self.0.numbered
    }

    /// Whether the catalog is among the changes: then they cannot wait above the tables.
    pub(crate) fn changes_catalog(&self) -> bool {
        self.0.catalog
    }

    /// Whether every change is known to fit a catalog. Costs nothing that grows with the changes.
    pub(crate) fn is_known_to_fit(&self, catalog: &Catalog) -> bool {
        let known = |(table, part): (&TableId, &Part)| {
            part.schema.is_some() && part.schema.as_ref() == catalog.get(*table)
        };
        !self.0.catalog && self.0.tables.iter().all(known)
    }

    /// Where the rows stand, ascending, each with its last change.
    pub(crate) fn places(&self) -> &[(Box<[u8]>, usize)] {
        &self.0.places
    }

    /// How many rows of each table are changed.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (TableId, u64)> {
        self.0.tables.iter().map(|(table, part)| (*table, part.rows))
    }

    /// Whether they were begun in the file that has this list of what was given up, and no commit has them yet.
    pub(crate) fn is_begun_with(&self, given_up: &GivenUp) -> bool {
        self.0.begun.as_ref().is_some_and(|begun| {
            Arc::ptr_eq(&begun.given_up.0, &given_up.0) && !begun.appended.load(Ordering::Relaxed)
        })
    }

    /// The parts that grow with the changes, where this is the last clone.
    pub(crate) fn into_spent(self) -> Option<Spent> {
        let Inner { changes, places, .. } = Arc::into_inner(self.0)?;
        Some(Spent { changes, places })
    }

    /// A commit has them: they stay.
    pub(crate) fn keep(&self) {
        if let Some(begun) = &self.0.begun {
            begun.appended.store(true, Ordering::Relaxed);
        }
    }
}

/// What is left of changes that are settled: freeing a million of them at once would hold up a commit.
pub(crate) struct Spent {
    changes: Vec<Change>,
    places: Vec<(Box<[u8]>, usize)>,
}

impl fmt::Debug for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spent").field(&self.changes.len()).finish()
    }
}

impl Spent {
    /// Frees `limit` of them; whether some are left.
    pub(crate) fn free(&mut self, limit: usize) -> bool {
        self.changes.truncate(self.changes.len().saturating_sub(limit));
        self.places.truncate(self.changes.len());
        !self.changes.is_empty()
    }
}

/// The place of the row that a change is of; None where it is of the catalog.
pub(crate) fn place_of(change: &Change) -> Option<(TableId, Vec<u8>)> {
    match change {
        Change::Catalog(_) => None,
        Change::Put { table, key, .. } | Change::Delete { table, key, .. } => {
            Some((*table, row_key(*table, &key::encode(key))))
        }
    }
}

/// The dots that stand in a change.
pub(crate) fn dots_of(change: &Change) -> impl Iterator<Item = Dot> {
    let (own, cells): (Option<Dot>, &[CellVersion]) = match change {
        Change::Catalog(_) => (None, &[]),
        Change::Put { row, .. } => (Some(row.version), &row.cells),
        Change::Delete { dot, .. } => (Some(*dot), &[]),
    };
    own.into_iter().chain(cells.iter().map(|cell| cell.dot))
}

/// What a commit makes of provisional dots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    /// The greatest number before the commit's own.
    before: u64,
    time: HybridTime,
}

impl Numbers {
    /// Those of a commit whose last `dots` numbers are those of its changes; None where it has given fewer.
    pub(crate) fn new(seq: u64, dots: u64, time: HybridTime) -> Option<Self> {
        Some(Self { before: seq.checked_sub(dots)?, time })
    }

    fn write(self, dot: Dot, time: HybridTime) -> (Dot, HybridTime) {
        match dot.seq.checked_sub(PROVISIONAL) {
            None | Some(0) => (dot, time),
            Some(n) => (Dot { seq: self.before + n, ..dot }, self.time),
        }
    }

    pub(crate) fn row(self, row: &StoredRow) -> StoredRow {
        let (version, time) = self.write(row.version, row.time);
        let cells = row.cells.iter().map(|cell| {
            let (dot, time) = self.write(cell.dot, cell.time);
            CellVersion { column: cell.column, dot, time }
        });
        StoredRow { version, time, cells: cells.collect(), values: row.values.clone() }
    }

    pub(crate) fn change(self, change: &Change) -> Change {
        match change {
            Change::Catalog(catalog) => Change::Catalog(catalog.clone()),
            Change::Put { table, key, row } => {
                Change::Put { table: *table, key: key.clone(), row: self.row(row) }
            }
            Change::Delete { table, key, dot, time } => {
                let (dot, time) = self.write(*dot, *time);
                Change::Delete { table: *table, key: key.clone(), dot, time }
            }
        }
    }
}

/// The changes of a commit, and which way they came to the store.
#[derive(Debug, Clone)]
pub enum Changes {
    /// Written with the commit. No dot in them is provisional.
    Inline(Vec<Change>),
    /// Written ahead of it.
    Staged(Staged),
}

impl Changes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The changes; of staged ones with provisional numbers in them.
    pub fn as_slice(&self) -> &[Change] {
        match self {
            Self::Inline(changes) => changes,
            Self::Staged(staged) => staged.changes(),
        }
    }
}

impl From<Vec<Change>> for Changes {
    fn from(changes: Vec<Change>) -> Self {
        Self::Inline(changes)
    }
}

impl From<Staged> for Changes {
    fn from(staged: Staged) -> Self {
        Self::Staged(staged)
    }
}

/// Two are equal where they are of the same way and hold the same changes.
impl PartialEq for Changes {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inline(one), Self::Inline(other)) => one == other,
            (Self::Staged(one), Self::Staged(other)) => one.changes() == other.changes(),
            _ => false,
        }
    }
}

impl Eq for Changes {}

impl Commit {
    /// The commit with its changes inline, every dot and time as it is in the end.
    ///
    /// # Panics
    /// Where it gives fewer dots than its staged changes have.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let changes = match &self.changes {
            Changes::Inline(changes) => changes.clone(),
            Changes::Staged(staged) => {
                let numbers = Numbers::new(self.seq, staged.dots(), self.time)
                    .expect("invariant: a commit's number is not below its count of dots");
                staged.changes().iter().map(|change| numbers.change(change)).collect()
            }
        };
        Self { changes: Changes::Inline(changes), ..*self }
    }
}

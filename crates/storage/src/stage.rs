//! [`Staging`]: stages in the file, from their first chunk until a commit has them or they are removed.
//!
//! Invariant: chunks stand in the file without a mark only where a commit of the log has them; so what was begun and
//! never appended, or whose commit the log has no more, is known by its mark, and is removed whole.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deltaic_types::{Catalog, Lsn};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    TableError,
};

use crate::chunk::{
    Chunks, LAYERS_KEY, Logged, StagedCommit, chunk_key, mark_key, marked, read_chunk, read_logged,
    read_mark, write_mark, write_positions,
};
use crate::layer::{Layer, Layers};
use crate::pages::{FORMAT, META, Meta, Pages, Stop, read_format, write_format};
use crate::redb_store::LOG;
use crate::staged::{Begun, GivenUp, Numbers, Staged, Stager, place_of};
use crate::turns::Turns;
use crate::{COMMIT_BYTES, Change, Changes, Damage, Header, StorageError};

pub(crate) const STAGED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("staged");

/// Chunks of a stage that are removed at a time.
pub(crate) const STEP_CHUNKS: usize = 16;

/// What a store and those who write ahead share.
#[derive(Debug)]
pub(crate) struct Staging {
    pages: Arc<Pages>,
    pub(crate) turns: Turns,
    /// The tables after the last commit, for those who verify changes ahead of it.
    catalog: Mutex<Arc<Catalog>>,
    /// The greatest number of a stage.
    last: AtomicU64,
    given_up: GivenUp,
}

impl Staging {
    /// Removes the stages that were begun and never appended: nobody has them any more.
    pub(crate) fn open(pages: &Arc<Pages>, meta: &Meta, catalog: &Catalog) -> Result<Self, StorageError> {
        let mut begun = Vec::new();
        for (key, mark) in meta {
            let Some(stage) = marked(key) else { continue };
            let stage = stage.and_then(|stage| read_mark(mark, stage).map(|()| stage));
            begun.push(stage.map_err(|damage| StorageError::Corrupted { part: "meta", damage })?);
        }
        if !begun.is_empty() {
            pages.run(|database| {
                let transaction = database.begin_write()?;
                {
                    let mut meta = transaction.open_table(META)?;
                    let mut staged = transaction.open_table(STAGED)?;
                    for stage in begun {
                        let range = chunk_key(stage, 0)..=chunk_key(stage, u64::MAX);
                        let range = range.start().as_slice()..=range.end().as_slice();
                        staged.retain_in::<&[u8], _>(range, |_, _| false)?;
                        meta.remove(&mark_key(stage)[..])?;
                    }
                }
                Ok(transaction.commit()?)
            })?;
        }
        let last = pages.run(last_stage)?;
        Ok(Self {
            pages: Arc::clone(pages),
            turns: Turns::default(),
            catalog: Mutex::new(Arc::new(catalog.clone())),
            last: AtomicU64::new(last),
            given_up: GivenUp::default(),
        })
    }

    /// Those who write ahead verify their changes against this catalog from here on.
    pub(crate) fn set_catalog(&self, catalog: &Catalog) {
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog.clone());
    }

    /// Whether changes stand in this file, begun since it was opened and not appended.
    pub(crate) fn has(&self, staged: &Staged) -> bool {
        staged.is_begun_with(&self.given_up)
    }

    /// Commits that had these stages are gone from the log.
    pub(crate) fn give_up(&self, stages: Vec<u64>) {
        self.given_up.lock().extend(stages);
    }

    /// Whether chunks of a stage that was given up are left.
    pub(crate) fn has_given_up(&self) -> bool {
        !self.given_up.lock().is_empty()
    }

    /// Removes chunks of stages that were given up, a few at a time. Whether some are left.
    pub(crate) fn remove_given_up(&self) -> Result<bool, StorageError> {
        let Some(stage) = self.given_up.lock().first().copied() else { return Ok(false) };
        let _turn = self.turns.append();
        let done = self.pages.run(|database| {
            let transaction = database.begin_write()?;
            let done = {
                let mut meta = transaction.open_table(META)?;
                let mut staged = transaction.open_table(STAGED)?;
                let (from, to) = (chunk_key(stage, 0), chunk_key(stage, u64::MAX));
                let mut keys = Vec::new();
                for entry in staged.range::<&[u8]>(&from[..]..=&to[..])?.take(STEP_CHUNKS) {
                    keys.push(entry?.0.value().to_vec());
                }
                let marked = meta.get(&mark_key(stage)[..])?.is_some();
                // Without its mark a stage was never written, or a commit has it.
                for key in keys.iter().filter(|_| marked) {
                    staged.remove(&key[..])?;
                }
                let done = !marked || keys.len() < STEP_CHUNKS;
                if done {
                    meta.remove(&mark_key(stage)[..])?;
                }
                done
            };
            transaction.commit()?;
            Ok(done)
        })?;
        let mut given_up = self.given_up.lock();
        if done {
            given_up.remove(&stage);
        }
        Ok(!given_up.is_empty())
    }

    fn write(&self, stage: u64, chunk: u64, record: &[u8]) -> Result<(), StorageError> {
        let _turn = self.turns.ahead();
        self.pages.run_beside(|database| {
            let transaction = database.begin_write()?;
            {
                if chunk == 0 {
                    let mut meta = transaction.open_table(META)?;
                    meta.insert(&mark_key(stage)[..], &write_mark(stage)[..])?;
                    // From here on an older program would miss changes.
                    raise(&mut meta, 2)?;
                }
                transaction.open_table(STAGED)?.insert(&chunk_key(stage, chunk)[..], record)?;
            }
            Ok(transaction.commit()?)
        })
    }
}

/// Notes that a file has what came with a version, where it says less. From the second one on every file says what is not
/// settled.
pub(crate) fn raise(meta: &mut Table<'_, &'static str, &'static [u8]>, version: u32) -> Result<(), Stop> {
    let found = meta.get(FORMAT)?.and_then(|format| read_format(format.value()));
    if found.is_none_or(|found| found < version) {
        meta.insert(FORMAT, &write_format(version)[..])?;
    }
    let has_layers = meta.get(LAYERS_KEY)?.is_some();
    if !has_layers {
        meta.insert(LAYERS_KEY, &write_positions(&[])[..])?;
    }
    Ok(())
}

/// The greatest number of a stage in the file.
fn last_stage(database: &Database) -> Result<u64, Stop> {
    let Some(staged) = table(&database.begin_read()?)? else { return Ok(0) };
    let Some((key, _)) = staged.last()? else { return Ok(0) };
    let stage = key.value().first_chunk::<8>().map(|stage| u64::from_be_bytes(*stage));
    stage.ok_or_else(|| Stop::damage("staged")(Damage::Misplaced))
}

type ReadChunks = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The chunks; None where none was ever written.
fn table(transaction: &ReadTransaction) -> Result<Option<ReadChunks>, Stop> {
    match transaction.open_table(STAGED) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes ahead into the file of a store.
#[derive(Debug)]
pub(crate) struct RedbStager(pub(crate) Arc<Staging>);

impl Stager for RedbStager {
    fn stage(&self, changes: Vec<Change>) -> Result<Staged, StorageError> {
        let stage = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Where a chunk is refused, those before it are given up.
        let begun = Begun::new(stage, self.0.given_up.clone());
        let mut chunks = 0;
        for record in Chunks::new(stage, &changes, COMMIT_BYTES) {
            self.0.write(stage, chunks, &record?)?;
            chunks += 1;
        }
        let catalog = Arc::clone(&self.0.catalog.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Staged::new(stage, chunks, changes, &catalog, Some(begun)))
    }
}

/// Reads the changes of a staged commit, with provisional numbers in them.
fn read_staged(transaction: &ReadTransaction, commit: &StagedCommit) -> Result<Vec<Change>, Stop> {
    let missing = || Stop::damage("staged")(Damage::Missing);
    let staged = table(transaction)?.ok_or_else(missing)?;
    let mut changes = Vec::new();
    for chunk in 0..commit.chunks {
        let place = chunk_key(commit.stage, chunk);
        let record = staged.get(&place[..])?.ok_or_else(missing)?;
        read_chunk(record.value(), &place, &mut changes).map_err(Stop::damage("staged"))?;
    }
    if changes.len() as u64 == commit.changes {
        Ok(changes)
    } else {
        Err(Stop::damage("staged")(Damage::Misplaced))
    }
}

/// Reads the changes of a staged commit as they are in the end.
pub(crate) fn read_resolved(transaction: &ReadTransaction, commit: &StagedCommit) -> Result<Changes, Stop> {
    let numbers = numbers(commit)?;
    let changes = read_staged(transaction, commit)?;
    Ok(Changes::Inline(changes.iter().map(|change| numbers.change(change)).collect()))
}

fn numbers(commit: &StagedCommit) -> Result<Numbers, Stop> {
    let numbers = Numbers::new(commit.seq, commit.dots, commit.time);
    numbers.ok_or_else(|| Stop::damage("log")(Damage::Misplaced))
}

/// The layers as they were: those of commits of which so many rows are in the tables, without what inline commits
/// behind them wrote.
pub(crate) fn read_layers(
    pages: &Pages,
    positions: Vec<(Lsn, usize)>,
    header: &Header,
) -> Result<Layers, StorageError> {
    let mut positions: BTreeMap<Lsn, usize> = positions.into_iter().collect();
    let mut layers = Layers::default();
    let Some(oldest) = positions.keys().next().copied() else { return Ok(layers) };
    let misplaced = |part| Stop::damage(part)(Damage::Misplaced);
    pages.run(|database| {
        let transaction = database.begin_read()?;
        let log = transaction.open_table(LOG)?;
        for lsn in oldest.0..=header.lsn.0 {
            let record = log.get(lsn)?.ok_or_else(|| Stop::damage("log")(Damage::Missing))?;
            match read_logged(record.value(), Lsn(lsn)).map_err(Stop::damage("log"))? {
                Logged::Staged(commit) => {
                    // A commit with nothing to settle has none.
                    let Some(settled) = positions.remove(&commit.lsn) else {
                        if commit.changes == 0 {
                            continue;
                        }
                        return Err(misplaced("meta"));
                    };
                    layers.0.push(read_layer(&transaction, &commit, settled, header)?);
                }
                Logged::Inline(commit) => {
                    for change in commit.changes.as_slice() {
                        // A change of the catalog would have settled the layers before it.
                        let (_, place) = place_of(change).ok_or_else(|| misplaced("meta"))?;
                        layers.take(&place);
                    }
                }
            }
        }
        if positions.is_empty() { Ok(()) } else { Err(misplaced("meta")) }
    })?;
    Ok(layers)
}

fn read_layer(
    transaction: &ReadTransaction,
    commit: &StagedCommit,
    settled: usize,
    header: &Header,
) -> Result<Layer, Stop> {
    let changes = read_staged(transaction, commit)?;
    let staged = Staged::new(commit.stage, commit.chunks, changes, &header.catalog, None);
    let whole = staged.is_numbered()
        && staged.dots() == commit.dots
        && staged.is_known_to_fit(&header.catalog)
        && settled < staged.places().len();
    if !whole {
        return Err(Stop::damage("staged")(Damage::Misplaced));
    }
    Ok(Layer::new(commit.lsn, staged, numbers(commit)?, settled))
}

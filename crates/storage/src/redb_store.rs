//! [`RedbStore`]: the store in a file.
//!
//! Invariant: an append is one redb transaction, so the log, the tables, what waits above them, the catalog and the
//! counts change together or not at all; and so is a slice that is settled, and one that is trimmed. What was read is verified by our own checksums, since redb does not verify pages when
//! it reads them; and what is not found is looked for once more, between its neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_causality::HybridTime;
use deltaic_types::{Catalog, Lsn, REPLICA, Row, TableId, Value};
use redb::{ReadableDatabase, StorageBackend, TableDefinition};

use crate::chunk::{
    LAYERS_KEY, Logged, StagedCommit, read_logged, read_positions, write_positions, write_staged_commit,
};
use crate::commit::advance;
use crate::layer::{Edit, LAYERS, Layer, Layers};
use crate::pages::{FORMAT, META, Meta, Pages, Stop, read_format, write_format};
use crate::record::{self, COMMIT_BYTES};
use crate::rows::{self, COLD, HOT, Scan, Snapshot};
use crate::stage::{RedbStager, Staging, read_layers, read_resolved};
use crate::staged::{Numbers, Spent};
use crate::trim;
use crate::writer::Writer;
use crate::{
    Changes, Commit, Damage, Header, Identity, OpenError, Reader, Staged, Stager, StorageError, Store,
    StoredRow, TableSize,
};

/// The format that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 3;

pub(crate) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

const IDENTITY: &str = "identity";
pub(crate) const STATE: &str = "state";
pub(crate) const CATALOG: &str = "catalog";

pub(crate) fn size_key(table: TableId) -> String {
    format!("size/{}", table.0)
}

/// A store in a redb file.
#[derive(Debug)]
pub struct RedbStore {
    /// Shared with snapshots, which end with this store.
    pages: Arc<Pages>,
    header: Header,
    /// Where the log begins; one behind its end where it is empty.
    first: Lsn,
    /// Counts of the tables, without the layers over them.
    sizes: BTreeMap<TableId, TableSize>,
    layers: Layers,
    staging: Arc<Staging>,
    /// What was settled, until it is freed.
    spent: Vec<Spent>,
}

impl RedbStore {
    /// A new store in an empty backend. [`RedbStore::create`] and its like do the same with a file.
    pub fn create_with_backend(backend: impl StorageBackend, identity: Identity) -> Result<Self, OpenError> {
        let pages = Pages::begin(backend)?;
        let header =
            Header { identity, lsn: Lsn(0), seq: 0, time: HybridTime(0), catalog: Catalog::default() };
        pages.run(|database| {
            let transaction = database.begin_write()?;
            {
                let mut meta = transaction.open_table(META)?;
                meta.insert(FORMAT, &write_format(FORMAT_VERSION)[..])?;
                meta.insert(IDENTITY, &record::write_identity(identity)[..])?;
                meta.insert(STATE, &record::write_state(header.lsn, header.seq, header.time)[..])?;
                meta.insert(CATALOG, &record::write_catalog(&header.catalog)[..])?;
                meta.insert(LAYERS_KEY, &write_positions(&[])[..])?;
                transaction.open_table(LOG)?;
                transaction.open_table(HOT)?;
                transaction.open_table(COLD)?;
            }
            Ok(transaction.commit()?)
        })?;
        Self::with(pages, header, Lsn(1), &Meta::new(), Vec::new(), BTreeMap::new()).map_err(OpenError::from)
    }

    /// Opens the store in a backend. After a crash this reads the whole file once, to find the last commit that is
    /// complete.
    pub fn open_with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let (pages, meta) = Pages::resume(backend, FORMAT_VERSION, |_| true)?;
        let read = read_meta(&meta).and_then(|(header, sizes)| {
            let first = trim::read_first(&meta, header.lsn)?;
            Ok((header, sizes, first, positions(&meta)?))
        });
        let (header, sizes, first, positions) =
            read.map_err(|damage| StorageError::Corrupted { part: "meta", damage })?;
        Self::with(pages, header, first, &meta, positions, sizes).map_err(OpenError::from)
    }

    fn with(
        pages: Pages,
        header: Header,
        first: Lsn,
        meta: &Meta,
        positions: Vec<(Lsn, usize)>,
        sizes: BTreeMap<TableId, TableSize>,
    ) -> Result<Self, StorageError> {
        let pages = Arc::new(pages);
        let layers = read_layers(&pages, positions, &header)?;
        let staging = Arc::new(Staging::open(&pages, meta, &header.catalog)?);
        Ok(Self { pages, header, first, sizes, layers, staging, spent: Vec::new() })
    }

    /// Fails where staged changes of the commits do not stand in this file, each once.
    fn require_stages(&self, commits: &[Commit]) -> Result<(), StorageError> {
        let mut stages = BTreeSet::new();
        for commit in commits {
            if let Changes::Staged(staged) = &commit.changes {
                if !self.staging.has(staged) || !stages.insert(staged.stage()) {
                    return Err(StorageError::StageGone);
                }
            }
        }
        Ok(())
    }

    /// Verifies redb's own checksums of all pages: false where some did not hold and were mended. Reads the whole
    /// file. [`crate::check`] comes first, since it reads the store as it is.
    pub fn verify_pages(&mut self) -> Result<bool, StorageError> {
        self.pages.verify()
    }
}

/// What is not settled. The first format had nothing of the kind.
fn positions(meta: &Meta) -> Result<Vec<(Lsn, usize)>, Damage> {
    match meta.get(LAYERS_KEY) {
        Some(record) => read_positions(record),
        None if meta.get(FORMAT).and_then(|format| read_format(format)) == Some(1) => Ok(Vec::new()),
        None => Err(Damage::Missing),
    }
}

fn read_meta(meta: &Meta) -> Result<(Header, BTreeMap<TableId, TableSize>), Damage> {
    let get = |key: &str| meta.get(key).ok_or(Damage::Missing);
    let identity = record::read_identity(get(IDENTITY)?)?;
    let (lsn, seq, time) = record::read_state(get(STATE)?)?;
    let catalog = record::read_catalog(get(CATALOG)?)?;
    let mut sizes = BTreeMap::new();
    for table in catalog.tables() {
        sizes.insert(table.id, record::read_size(get(&size_key(table.id))?, table.id)?);
    }
    // Only a replica has records of its own.
    if let Some(size) = meta.get(&size_key(REPLICA)) {
        sizes.insert(REPLICA, record::read_size(size, REPLICA)?);
    }
    Ok((Header { identity, lsn, seq, time, catalog }, sizes))
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.pages.close();
    }
}

impl Reader for RedbStore {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        self.pages.run_beside(|database| rows::row(&database.begin_read()?, &self.layers, table, key))
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        let Some(size) = self.sizes.get(&table) else { return Ok(()) };
        let scan =
            self.pages.run_beside(|database| Scan::begin(&database.begin_read()?, table, size.rows))?;
        scan.run(&self.pages, &self.layers, columns, visit)
    }
}

impl Store for RedbStore {
    fn header(&self) -> Result<Header, StorageError> {
        Ok(self.header.clone())
    }

    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
        let transaction = self.pages.run_beside(|database| Ok(database.begin_read()?))?;
        let (pages, layers) = (Arc::clone(&self.pages), self.layers.clone());
        Ok(Arc::new(Snapshot { pages, transaction, sizes: self.sizes.clone(), layers }))
    }

    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
        if after.next() < self.first {
            return Err(StorageError::Trimmed { first: self.first });
        }
        let expected = self.header.lsn.0.saturating_sub(after.0).min(limit as u64);
        if expected == 0 {
            return Ok(Vec::new());
        }
        self.pages.run_beside(|database| {
            let transaction = database.begin_read()?;
            let log = transaction.open_table(LOG)?;
            let mut commits = Vec::new();
            for (lsn, entry) in (after.0 + 1..=after.0 + expected).zip(log.range(after.0 + 1..)?) {
                let (found, bytes) = entry?;
                if found.value() != lsn {
                    return Err(Stop::damage("log")(Damage::Missing));
                }
                commits.push(match read_logged(bytes.value(), Lsn(lsn)).map_err(Stop::damage("log"))? {
                    Logged::Inline(commit) => commit,
                    Logged::Staged(commit) => {
                        let (lsn, time, seq) = (commit.lsn, commit.time, commit.seq);
                        Commit { lsn, time, seq, changes: read_resolved(&transaction, &commit)? }
                    }
                });
            }
            if commits.len() as u64 == expected {
                Ok(commits)
            } else {
                Err(Stop::damage("log")(Damage::Missing))
            }
        })
    }

    fn append(&mut self, commits: &[Commit]) -> Result<(), StorageError> {
        let next = advance(&self.header, commits);
        if commits.is_empty() {
            return Ok(());
        }
        self.require_stages(commits)?;
        let records: Result<Vec<Vec<u8>>, StorageError> = commits.iter().map(log_record).collect();
        let records = records?;
        let _turn = self.staging.turns.append();
        let (sizes, catalog_changed, edited) = self.pages.run(|database| {
            // redb's default durability: the file is synced before commit returns.
            let transaction = database.begin_write()?;
            let mut writer = Writer::new(&transaction, self.header.catalog.clone(), self.sizes.clone())?;
            let mut layers = Edit::new(&self.layers);
            for (commit, bytes) in commits.iter().zip(&records) {
                writer.log.insert(commit.lsn.0, &bytes[..])?;
                match &commit.changes {
                    Changes::Inline(changes) => {
                        for change in changes {
                            writer.apply_behind(change, &mut layers)?;
                        }
                    }
                    Changes::Staged(staged) => {
                        writer.keep_stage(staged.stage())?;
                        put_layer(&mut writer, &mut layers, commit, staged)?;
                    }
                }
            }
            if let Some(positions) = layers.positions() {
                writer.set_layers(&positions)?;
            }
            let catalog_changed = writer.catalog_changed;
            let sizes = writer.finish(&next)?;
            transaction.commit()?;
            Ok((sizes, catalog_changed, layers.finish()))
        })?;
        for commit in commits {
            if let Changes::Staged(staged) = &commit.changes {
                staged.keep();
            }
        }
        for layer in edited.apply(&mut self.layers) {
            self.spent.extend(layer.into_staged().into_spent());
        }
        if catalog_changed {
            self.staging.set_catalog(&next.catalog);
        }
        self.header = next;
        self.sizes = sizes;
        Ok(())
    }

    fn stager(&self) -> Box<dyn Stager> {
        Box::new(RedbStager(Arc::clone(&self.staging)))
    }

    fn settle(&mut self, limit: usize) -> Result<bool, StorageError> {
        if self.spent.last_mut().is_some_and(|spent| !spent.free(limit)) {
            self.spent.pop();
        }
        let Some(layer) = self.layers.0.first() else {
            return Ok(self.staging.remove_given_up()? || !self.spent.is_empty());
        };
        let mut indexes: Vec<usize> = layer.indexes().take(limit.saturating_add(1)).collect();
        // What was taken behind the last one needs nothing more.
        let end = if indexes.len() > limit { indexes.pop() } else { None };
        let end = end.unwrap_or(layer.len());
        let _turn = self.staging.turns.append();
        let sizes = self.pages.run(|database| {
            let transaction = database.begin_write()?;
            let mut writer = Writer::new(&transaction, self.header.catalog.clone(), self.sizes.clone())?;
            for index in &indexes {
                writer.apply(&layer.change(*index))?;
            }
            writer.set_layers(&self.layers.positions_after(end))?;
            let sizes = writer.finish(&self.header)?;
            transaction.commit()?;
            Ok(sizes)
        })?;
        self.sizes = sizes;
        self.layers.0[0].settle(end);
        if self.layers.0[0].is_settled() {
            self.spent.extend(self.layers.0.remove(0).into_staged().into_spent());
        }
        Ok(!self.layers.0.is_empty() || !self.spent.is_empty() || self.staging.has_given_up())
    }

    fn trim(&mut self, keep: u64, limit: usize) -> Result<bool, StorageError> {
        let waiting = self.layers.0.first().map(Layer::lsn);
        let end = trim::kept_from(self.header.lsn, keep, waiting);
        // One commit may have a thousand chunks: those of one that is gone come before the next one goes.
        if self.staging.has_given_up() {
            return Ok(self.staging.remove_given_up()? || self.first < end);
        }
        if self.first >= end {
            return Ok(false);
        }
        let _turn = self.staging.turns.append();
        let (first, stages) = self.pages.run(|database| trim::remove(database, self.first, end, limit))?;
        self.first = first;
        self.staging.give_up(stages);
        Ok(first < end || self.staging.has_given_up())
    }

    fn first(&self) -> Lsn {
        self.first
    }

    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
        let mut sizes = self.sizes.clone();
        self.layers.count_into(&mut sizes);
        Ok(sizes)
    }
}

/// The log's record of a commit.
fn log_record(commit: &Commit) -> Result<Vec<u8>, StorageError> {
    match &commit.changes {
        Changes::Inline(changes) => record::write_commit(commit, changes, COMMIT_BYTES),
        Changes::Staged(staged) => Ok(write_staged_commit(&StagedCommit {
            lsn: commit.lsn,
            time: commit.time,
            seq: commit.seq,
            stage: staged.stage(),
            chunks: staged.chunks(),
            changes: staged.changes().len() as u64,
            dots: staged.dots(),
        })),
    }
}

/// Puts the staged changes of a commit over the tables, or into them where the catalog is among them.
fn put_layer(
    writer: &mut Writer<'_>,
    layers: &mut Edit<'_>,
    commit: &Commit,
    staged: &Staged,
) -> Result<(), Stop> {
    let numbers = Numbers::new(commit.seq, staged.dots(), commit.time)
        .expect("invariant: a commit gives the dots of its staged changes");
    if staged.changes_catalog() {
        for change in staged.changes() {
            writer.apply_behind(&numbers.change(change), layers)?;
        }
    } else if !staged.places().is_empty() {
        while layers.len() >= LAYERS {
            writer.settle_oldest(layers)?;
        }
        layers.push(Layer::new(commit.lsn, staged.clone(), numbers, 0));
    }
    Ok(())
}

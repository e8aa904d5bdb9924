//! [`RedbStore`]: the store in a file.
//!
//! Invariant: an append is one redb transaction, so the log, the tables, the catalog and the counts change
//! together or not at all. What was read is verified by our own checksums, since redb does not verify pages when
//! it reads them; and what is not found is looked for once more, between its neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_causality::HybridTime;
use deltaic_types::{Catalog, Lsn, Row, TableId, Value, key};
use redb::{ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition, WriteTransaction};

use crate::commit::{advance, schema};
use crate::pages::{FORMAT, META, Meta, Pages, Stop};
use crate::record::{self, COMMIT_BYTES, row_key};
use crate::rows::{self, COLD, HOT, Scan, Snapshot, as_slices, rows_of};
use crate::{
    Change, Commit, Damage, Header, Identity, OpenError, Reader, StorageError, Store, StoredRow, TableSize,
    hot_columns,
};

/// The format that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

const IDENTITY: &str = "identity";
const STATE: &str = "state";
const CATALOG: &str = "catalog";

fn size_key(table: TableId) -> String {
    format!("size/{}", table.0)
}

/// A store in a redb file.
#[derive(Debug)]
pub struct RedbStore {
    /// Shared with snapshots, which end with this store.
    pages: Arc<Pages>,
    header: Header,
    sizes: BTreeMap<TableId, TableSize>,
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
                meta.insert(FORMAT, &record::write_format(FORMAT_VERSION)[..])?;
                meta.insert(IDENTITY, &record::write_identity(identity)[..])?;
                meta.insert(STATE, &record::write_state(header.lsn, header.seq, header.time)[..])?;
                meta.insert(CATALOG, &record::write_catalog(&header.catalog)[..])?;
                transaction.open_table(LOG)?;
                transaction.open_table(HOT)?;
                transaction.open_table(COLD)?;
            }
            Ok(transaction.commit()?)
        })?;
        Ok(Self { pages: Arc::new(pages), header, sizes: BTreeMap::new() })
    }

    /// Opens the store in a backend. After a crash this reads the whole file once, to find the last commit that is
    /// complete.
    pub fn open_with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let (pages, meta) = Pages::resume(backend, FORMAT_VERSION)?;
        let (header, sizes) =
            read_meta(&meta).map_err(|damage| StorageError::Corrupted { part: "meta", damage })?;
        Ok(Self { pages: Arc::new(pages), header, sizes })
    }

    /// Verifies redb's own checksums of all pages: false where some did not hold and were mended. Reads the whole
    /// file. [`crate::check`] comes first, since it reads the store as it is.
    pub fn verify_pages(&mut self) -> Result<bool, StorageError> {
        self.pages.verify()
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
    Ok((Header { identity, lsn, seq, time, catalog }, sizes))
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.pages.close();
    }
}

impl Reader for RedbStore {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        self.pages.run(|database| rows::row(&database.begin_read()?, table, key))
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        let Some(size) = self.sizes.get(&table) else { return Ok(()) };
        let scan = self.pages.run(|database| Scan::begin(&database.begin_read()?, table, size.rows))?;
        scan.run(&self.pages, columns, visit)
    }
}

impl Store for RedbStore {
    fn header(&self) -> Result<Header, StorageError> {
        Ok(self.header.clone())
    }

    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
        let transaction = self.pages.run(|database| Ok(database.begin_read()?))?;
        Ok(Arc::new(Snapshot::new(Arc::clone(&self.pages), transaction, self.sizes.clone())))
    }

    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
        let expected = self.header.lsn.0.saturating_sub(after.0).min(limit as u64);
        if expected == 0 {
            return Ok(Vec::new());
        }
        self.pages.run(|database| {
            let log = database.begin_read()?.open_table(LOG)?;
            let mut commits = Vec::new();
            for (lsn, entry) in (after.0 + 1..=after.0 + expected).zip(log.range(after.0 + 1..)?) {
                let (found, bytes) = entry?;
                if found.value() != lsn {
                    return Err(Stop::damage("log")(Damage::Missing));
                }
                commits.push(record::read_commit(bytes.value(), Lsn(lsn)).map_err(Stop::damage("log"))?);
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
        let records: Result<Vec<Vec<u8>>, StorageError> =
            commits.iter().map(|commit| record::write_commit(commit, COMMIT_BYTES)).collect();
        let records = records?;
        let sizes = self.pages.run(|database| {
            // redb's default durability: the file is synced before commit returns.
            let transaction = database.begin_write()?;
            let mut writer = Writer::new(&transaction, self.header.catalog.clone(), self.sizes.clone())?;
            for (commit, bytes) in commits.iter().zip(&records) {
                writer.log.insert(commit.lsn.0, &bytes[..])?;
                for change in &commit.changes {
                    writer.apply(change)?;
                }
            }
            let sizes = writer.finish(&next)?;
            transaction.commit()?;
            Ok(sizes)
        })?;
        self.header = next;
        self.sizes = sizes;
        Ok(())
    }

    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
        Ok(self.sizes.clone())
    }
}

/// The tables of one write transaction.
struct Writer<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    log: Table<'t, u64, &'static [u8]>,
    hot: Table<'t, &'static [u8], &'static [u8]>,
    cold: Table<'t, &'static [u8], &'static [u8]>,
    catalog: Catalog,
    /// Hot columns of the tables written so far.
    heat: BTreeMap<TableId, BTreeSet<usize>>,
    sizes: BTreeMap<TableId, TableSize>,
    touched: BTreeSet<TableId>,
    catalog_changed: bool,
}

impl<'t> Writer<'t> {
    fn new(
        transaction: &'t WriteTransaction,
        catalog: Catalog,
        sizes: BTreeMap<TableId, TableSize>,
    ) -> Result<Self, Stop> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            log: transaction.open_table(LOG)?,
            hot: transaction.open_table(HOT)?,
            cold: transaction.open_table(COLD)?,
            catalog,
            heat: BTreeMap::new(),
            sizes,
            touched: BTreeSet::new(),
            catalog_changed: false,
        })
    }

    fn apply(&mut self, change: &Change) -> Result<(), Stop> {
        match change {
            Change::Catalog(catalog) => self.set_catalog(catalog),
            Change::Put { table, key, row } => self.put(*table, key, row),
            Change::Delete { table, key, .. } => {
                let place = row_key(*table, &key::encode(key));
                let hot = self.hot.remove(&place[..])?.map(|old| old.value().len());
                let Some(hot) = hot else { return Ok(()) };
                let cold = self.cold.remove(&place[..])?.map_or(0, |old| old.value().len());
                self.count(*table, None, Some((place.len() - 4 + hot, cold)))
            }
        }
    }

    fn set_catalog(&mut self, catalog: &Catalog) -> Result<(), Stop> {
        let gone: Vec<TableId> = self.sizes.keys().copied().filter(|id| catalog.get(*id).is_none()).collect();
        for table in gone {
            let range = rows_of(table);
            self.hot.retain_in::<&[u8], _>(as_slices(&range), |_, _| false)?;
            self.cold.retain_in::<&[u8], _>(as_slices(&range), |_, _| false)?;
            self.meta.remove(&size_key(table)[..])?;
            self.sizes.remove(&table);
            self.touched.remove(&table);
        }
        for table in catalog.tables() {
            if let std::collections::btree_map::Entry::Vacant(entry) = self.sizes.entry(table.id) {
                entry.insert(TableSize::default());
                self.touched.insert(table.id);
            }
        }
        self.catalog = catalog.clone();
        self.catalog_changed = true;
        self.heat.clear();
        Ok(())
    }

    fn put(&mut self, table: TableId, key: &[Value], row: &StoredRow) -> Result<(), Stop> {
        let key = key::encode(key);
        let place = row_key(table, &key);
        let heat = self.heat.entry(table).or_insert_with(|| hot_columns(schema(&self.catalog, table)));
        let split = record::split(table, &key, row, heat);
        let old_hot = self.hot.insert(&place[..], &split.hot[..])?.map(|old| old.value().len());
        let new_cold = split.cold.as_ref().map_or(0, Vec::len);
        // A key that is new has no cold part to look for.
        let old_cold = match (old_hot, &split.cold) {
            (None, None) => 0,
            (None, Some(cold)) => {
                self.cold.insert(&place[..], &cold[..])?;
                0
            }
            (Some(_), None) => self.cold.remove(&place[..])?.map_or(0, |old| old.value().len()),
            (Some(_), Some(cold)) => {
                let (same, length) = match self.cold.get(&place[..])? {
                    Some(old) => (old.value() == &cold[..], old.value().len()),
                    None => (false, 0),
                };
                if !same {
                    self.cold.insert(&place[..], &cold[..])?;
                }
                length
            }
        };
        let old = old_hot.map(|hot| (key.len() + hot, old_cold));
        self.count(table, Some((key.len() + split.hot.len(), new_cold)), old)
    }

    /// Counts a row's hot and cold bytes in and those of its earlier version out.
    fn count(
        &mut self,
        table: TableId,
        new: Option<(usize, usize)>,
        old: Option<(usize, usize)>,
    ) -> Result<(), Stop> {
        let size = self.sizes.entry(table).or_default();
        self.touched.insert(table);
        if let Some((hot, cold)) = new {
            size.rows += 1;
            size.hot_bytes += hot as u64;
            size.cold_bytes += cold as u64;
        }
        if let Some((hot, cold)) = old {
            let less = |total: &mut u64, part: u64| -> Result<(), Stop> {
                *total = total.checked_sub(part).ok_or_else(|| Stop::damage("meta")(Damage::Misplaced))?;
                Ok(())
            };
            less(&mut size.rows, 1)?;
            less(&mut size.hot_bytes, hot as u64)?;
            less(&mut size.cold_bytes, cold as u64)?;
        }
        Ok(())
    }

    fn finish(mut self, next: &Header) -> Result<BTreeMap<TableId, TableSize>, Stop> {
        self.meta.insert(STATE, &record::write_state(next.lsn, next.seq, next.time)[..])?;
        if self.catalog_changed {
            self.meta.insert(CATALOG, &record::write_catalog(&next.catalog)[..])?;
        }
        for table in &self.touched {
            self.meta.insert(&size_key(*table)[..], &record::write_size(*table, self.sizes[table])[..])?;
        }
        Ok(self.sizes)
    }
}

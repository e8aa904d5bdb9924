//! [`Writer`]: one write transaction on the tables of a redb store.
//!
//! Invariant: what it changes in the tables it counts, so that the counts are those of the tables whenever the
//! transaction is durable.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_types::{Catalog, Lsn, TableId, Value, key};
use redb::{ReadableTable, Table, WriteTransaction};

use crate::chunk::{LAYERS_KEY, mark_key, write_positions};
use crate::commit::schema;
use crate::layer::Edit;
use crate::pages::{META, Stop};
use crate::record::{self, row_key};
use crate::redb_store::{CATALOG, LOG, STATE, size_key};
use crate::rows::{COLD, HOT, as_slices, rows_of};
use crate::staged::place_of;
use crate::{Change, Damage, Header, StoredRow, TableSize, hot_columns};

/// The tables of one write transaction.
pub(crate) struct Writer<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    pub(crate) log: Table<'t, u64, &'static [u8]>,
    hot: Table<'t, &'static [u8], &'static [u8]>,
    cold: Table<'t, &'static [u8], &'static [u8]>,
    catalog: Catalog,
    /// Hot columns of the tables written so far.
    heat: BTreeMap<TableId, BTreeSet<usize>>,
    sizes: BTreeMap<TableId, TableSize>,
    touched: BTreeSet<TableId>,
    pub(crate) catalog_changed: bool,
}

impl<'t> Writer<'t> {
    pub(crate) fn new(
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

    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), Stop> {
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

    /// Applies a change of a commit behind the layers: its row is theirs no more, and a catalog has none behind it.
    pub(crate) fn apply_behind(&mut self, change: &Change, layers: &mut Edit<'_>) -> Result<(), Stop> {
        if layers.len() > 0 {
            match place_of(change) {
                Some((_, place)) => layers.take(&place),
                None => while self.settle_oldest(layers)? {},
            }
        }
        self.apply(change)
    }

    /// Applies all that the oldest layer has. Whether there was one.
    pub(crate) fn settle_oldest(&mut self, layers: &mut Edit<'_>) -> Result<bool, Stop> {
        let Some((layer, indexes)) = layers.pop() else { return Ok(false) };
        for index in indexes {
            self.apply(&layer.change(index))?;
        }
        Ok(true)
    }

    /// Writes how far each layer is settled.
    pub(crate) fn set_layers(&mut self, positions: &[(Lsn, usize)]) -> Result<(), Stop> {
        self.meta.insert(LAYERS_KEY, &write_positions(positions)[..])?;
        Ok(())
    }

    /// A commit has a stage: it stays.
    pub(crate) fn keep_stage(&mut self, stage: u64) -> Result<(), Stop> {
        match self.meta.remove(&mark_key(stage)[..])? {
            Some(_) => Ok(()),
            None => Err(Stop::damage("meta")(Damage::Missing)),
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

    pub(crate) fn finish(mut self, next: &Header) -> Result<BTreeMap<TableId, TableSize>, Stop> {
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

//! [`RedbLedger`]: the ledger of budgets in a file of its own.
//!
//! Invariant: a call is one redb transaction, so that the rows that a batch changes change together or not at all, and
//! what was answered is synced. The rules are those of [`Rows`], applied to the rows that a call concerns; a row that they
//! do not change is not written. What was read is verified by our own checksums.
//!
//! ```
//! use deltaic_quota::{Ledger, NodeId};
//! use deltaic_storage::RedbLedger;
//! # let directory = tempfile::tempdir().unwrap();
//! # let directory = directory.path();
//! let mut ledger = RedbLedger::open_or_create(directory).unwrap();
//! assert_eq!(ledger.open(NodeId(1)).unwrap().epoch.0, 1);
//! ```

mod aggregates;
mod check;
mod row;

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;

pub use check::{LedgerFault, LedgerReport};
use deltaic_quota::{
    Account, Batch, Key, Keys, Lease, Ledger, LedgerError, Loaded, NodeId, Opened, Reply, Rows, Silent,
    Stored, Time,
};
use redb::{ReadableTable, StorageBackend, Table, TableDefinition, WriteTransaction};

use crate::pages::{FORMAT, META, Pages, Stop, write_format};
use crate::{Damage, OpenError, StorageError};
use row::{account_of, account_place, held_place, key_place, lease_of, lease_place};

/// The format that this program writes, and the newest it reads.
///
/// Format 1 had neither wants nor when a node was heard of. Its rows are read as they are, and written in this one.
const FORMAT_VERSION: u32 = 2;

const NODES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("nodes");
const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("keys");
const ACCOUNTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("accounts");
const LEASES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("leases");
/// The leases again, by node.
const HELD: TableDefinition<'_, &[u8], ()> = TableDefinition::new("held");
/// The leases that want something.
const WANTING: TableDefinition<'_, &[u8], ()> = TableDefinition::new("wanting");

const LEDGER: &str = "ledger";

/// A ledger in a redb file.
#[derive(Debug)]
pub struct RedbLedger {
    pages: Pages,
}

impl RedbLedger {
    /// A new ledger in an empty backend.
    pub fn create_with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let pages = Pages::begin_beside(backend, (LEDGER, FORMAT_VERSION), |transaction| {
            Tables::of(transaction).map(drop)
        })?;
        Ok(Self { pages })
    }

    /// Opens the ledger in a backend.
    pub fn open_with_backend(backend: impl StorageBackend) -> Result<Self, OpenError> {
        let (pages, meta) = Pages::resume(backend, FORMAT_VERSION, |meta| meta.contains_key(LEDGER))?;
        let format = write_format(FORMAT_VERSION);
        if meta.get(FORMAT) != Some(&format) {
            // From here on there are rows that a program of the older format cannot read.
            pages.run(|database| {
                let transaction = database.begin_write()?;
                transaction.open_table(META)?.insert(FORMAT, &format[..])?;
                Ok(transaction.commit()?)
            })?;
        }
        Ok(Self { pages })
    }

    /// Opens the ledger of a data directory; where there is none it is made, and the directory with it.
    pub fn open_or_create(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        crate::directory::open_or_create(
            directory.as_ref(),
            crate::directory::LEDGER_FILE,
            Self::open_with_backend,
            Self::create_with_backend,
        )
    }

    /// Opens the ledger in a file for looking at it: the file is read and never written, and what this process writes goes with
    /// it.
    pub fn open_detached(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        crate::directory::open_detached(path.as_ref(), Self::open_with_backend)
    }

    /// One transaction: takes the rows that a change concerns, changes them, and writes those that differ.
    fn change<T>(
        &mut self,
        take: impl FnOnce(&Tables<'_>, &mut Rows) -> Result<(), Stop>,
        change: impl FnOnce(&mut Rows) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut before = Rows::default();
        let transaction = self.pages.run(|database| {
            let transaction = database.begin_write()?;
            take(&Tables::of(&transaction)?, &mut before)?;
            Ok(transaction)
        });
        let transaction = transaction.map_err(|error| refused(&error))?;
        // Outside: a rule that does not hold is no damage of the file.
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
        match written {
            Ok(()) => outcome,
            Err(error) => Err(unknown(&error)),
        }
    }
}

impl Ledger for RedbLedger {
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError> {
        self.change(|tables, rows| tables.take_leases_of(node, rows), |rows| Ok(rows.open(node)))
    }

    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        let keys: BTreeSet<&Key> = batch.entries.iter().map(|entry| &entry.account.key).collect();
        self.change(
            |tables, rows| {
                tables.take_node(batch.node, rows)?;
                keys.into_iter().try_for_each(|key| tables.take_key(key, rows))?;
                tables.take_wanted(batch.node, rows)
            },
            |rows| rows.apply(batch),
        )
    }

    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError> {
        self.change(|tables, rows| tables.take_silent(before, rows), |rows| Ok(rows.silent(before)))
    }

    fn load(&mut self, account: &Account) -> Result<Option<Loaded>, LedgerError> {
        self.change(|tables, rows| tables.take_key(&account.key, rows), |rows| Ok(rows.load(account)))
    }

    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError> {
        let mut named = Vec::new();
        let take = |tables: &Tables<'_>, rows: &mut Rows| {
            named = match keys {
                Keys::Only(key) => vec![key.clone()],
                Keys::Behind(key, most) => tables.keys_behind(key.as_ref(), *most)?,
            };
            named.iter().try_for_each(|key| tables.take_key(key, rows))
        };
        let rows = self.change(take, |rows| Ok(rows.clone()))?;
        Ok(named.iter().filter_map(|key| rows.stored(key)).collect())
    }

    fn image(&mut self) -> Result<Vec<u8>, LedgerError> {
        let all = |tables: &Tables<'_>, rows: &mut Rows| {
            tables.take_all(rows)?;
            Ok(())
        };
        self.change(all, |rows| Ok(rows.image()))
    }
}

/// Why nothing was written.
fn refused(error: &StorageError) -> LedgerError {
    let why = match error {
        StorageError::Corrupted { .. } => "the file is damaged",
        StorageError::DiskFull { .. } => "the disk is full",
        StorageError::Closed => "an earlier error closed the file",
        _ => "the disk failed",
    };
    LedgerError::Refused { why }
}

/// What a failed commit leaves open.
fn unknown(error: &StorageError) -> LedgerError {
    match error {
        StorageError::SyncFailed { .. } | StorageError::Io { .. } => LedgerError::Away,
        error => refused(error),
    }
}

/// The tables of one write transaction.
struct Tables<'t> {
    nodes: Table<'t, u64, &'static [u8]>,
    keys: Table<'t, &'static [u8], &'static [u8]>,
    accounts: Table<'t, &'static [u8], &'static [u8]>,
    leases: Table<'t, &'static [u8], &'static [u8]>,
    held: Table<'t, &'static [u8], ()>,
    wanting: Table<'t, &'static [u8], ()>,
}

impl<'t> Tables<'t> {
    fn of(transaction: &'t WriteTransaction) -> Result<Self, Stop> {
        Ok(Self {
            nodes: transaction.open_table(NODES)?,
            keys: transaction.open_table(KEYS)?,
            accounts: transaction.open_table(ACCOUNTS)?,
            leases: transaction.open_table(LEASES)?,
            held: transaction.open_table(HELD)?,
            wanting: transaction.open_table(WANTING)?,
        })
    }

    fn take_node(&self, node: NodeId, rows: &mut Rows) -> Result<(), Stop> {
        if let Some(found) = self.nodes.get(node.0)? {
            rows.nodes.insert(node, row::read_node(found.value(), node).map_err(Stop::damage("nodes"))?);
        }
        Ok(())
    }

    /// So many keys behind one, in the order of their places.
    fn keys_behind(&self, key: Option<&Key>, most: usize) -> Result<Vec<Key>, Stop> {
        let behind = key.map(key_place);
        let first = behind.as_ref().map_or(Bound::Unbounded, |place| Bound::Excluded(&place[..]));
        let mut keys = Vec::new();
        for entry in self.keys.range::<&[u8]>((first, Bound::Unbounded))?.take(most) {
            keys.push(row::key_of(entry?.0.value()).map_err(Stop::damage("keys"))?);
        }
        Ok(keys)
    }

    /// A key with its accounts, their leases, and the nodes that hold them.
    fn take_key(&self, key: &Key, rows: &mut Rows) -> Result<(), Stop> {
        let place = key_place(key);
        if let Some(found) = self.keys.get(&place[..])? {
            rows.keys
                .insert(key.clone(), row::read_key(found.value(), &place).map_err(Stop::damage("keys"))?);
        }
        for entry in self.accounts.range(&place[..]..)? {
            let (at, found) = entry?;
            if !at.value().starts_with(&place) {
                break;
            }
            self.put_account(at.value(), found.value(), rows)?;
        }
        self.take_leases_at(&place, rows)
    }

    /// The leases of a key or of an account.
    fn take_leases_at(&self, place: &[u8], rows: &mut Rows) -> Result<(), Stop> {
        for entry in self.leases.range(place..)? {
            let (at, found) = entry?;
            if !at.value().starts_with(place) {
                break;
            }
            put_lease(at.value(), found.value(), rows)?;
        }
        Ok(())
    }

    /// A node with its leases, and all there is of their keys.
    fn take_leases_of(&self, node: NodeId, rows: &mut Rows) -> Result<(), Stop> {
        self.take_node(node, rows)?;
        let from = node.0.to_be_bytes();
        let mut keys = BTreeSet::new();
        for entry in self.held.range(&from[..]..)? {
            let (at, _) = entry?;
            let Some(lease) = at.value().strip_prefix(&from) else { break };
            let (account, _) = lease_of(lease).map_err(Stop::damage("held"))?;
            keys.insert(account.key);
        }
        keys.iter().try_for_each(|key| self.take_key(key, rows))
    }

    /// The leases of accounts that somebody wants units of and that a node holds.
    fn take_wanted(&self, node: NodeId, rows: &mut Rows) -> Result<(), Stop> {
        for entry in self.wanting.iter()? {
            let (at, _) = entry?;
            let (account, _) = lease_of(at.value()).map_err(Stop::damage("wanting"))?;
            if self.leases.get(&lease_place(&account, node)[..])?.is_some() {
                self.take_leases_at(&account_place(&account), rows)?;
            }
        }
        Ok(())
    }

    /// The nodes that were last heard of before a moment, and one lease of each.
    fn take_silent(&self, before: Time, rows: &mut Rows) -> Result<(), Stop> {
        for entry in self.nodes.iter()? {
            let (node, found) = entry?;
            let node = NodeId(node.value());
            let row = row::read_node(found.value(), node).map_err(Stop::damage("nodes"))?;
            let from = node.0.to_be_bytes();
            let Some(held) = self.held.range(&from[..]..)?.next().filter(|_| row.heard < before) else {
                continue;
            };
            let (at, _) = held?;
            let Some(place) = at.value().strip_prefix(&from) else { continue };
            let lease = self.leases.get(place)?.ok_or_else(|| Stop::damage("held")(Damage::Missing))?;
            put_lease(place, lease.value(), rows)?;
            rows.nodes.insert(node, row);
        }
        Ok(())
    }

    fn take_all(&self, rows: &mut Rows) -> Result<(), Stop> {
        for entry in self.nodes.iter()? {
            let (node, found) = entry?;
            let node = NodeId(node.value());
            rows.nodes.insert(node, row::read_node(found.value(), node).map_err(Stop::damage("nodes"))?);
        }
        for entry in self.keys.iter()? {
            let (at, _) = entry?;
            let key = row::key_of(at.value()).map_err(Stop::damage("keys"))?;
            self.take_key(&key, rows)?;
        }
        Ok(())
    }

    fn put_account(&self, place: &[u8], found: &[u8], rows: &mut Rows) -> Result<(), Stop> {
        let account = account_of(place).map_err(Stop::damage("accounts"))?;
        let read = row::read_account(found, place).map_err(Stop::damage("accounts"))?;
        if let Some((holder, _)) = read.holder {
            self.take_node(holder, rows)?;
        }
        rows.accounts.insert(account, read);
        Ok(())
    }

    fn write_want(&mut self, old: Option<&Lease>, new: Option<&Lease>, place: &[u8]) -> Result<(), Stop> {
        match (wants(old), wants(new)) {
            (false, true) => drop(self.wanting.insert(place, ())?),
            (true, false) => gone(self.wanting.remove(place)?.is_some(), "wanting")?,
            _ => {}
        }
        Ok(())
    }

    /// Writes the rows that differ.
    fn write(&mut self, before: &Rows, after: &Rows) -> Result<(), Stop> {
        for (node, row) in &after.nodes {
            if before.nodes.get(node) != Some(row) {
                self.nodes.insert(node.0, &row::write_node(row, *node)[..])?;
            }
        }
        for (key, row) in &after.keys {
            if before.keys.get(key) != Some(row) {
                let place = key_place(key);
                self.keys.insert(&place[..], &row::write_key(row, &place)[..])?;
            }
        }
        for (account, row) in &after.accounts {
            if before.accounts.get(account) != Some(row) {
                let place = account_place(account);
                self.accounts.insert(&place[..], &row::write_account(row, &place)[..])?;
            }
        }
        for account in before.accounts.keys().filter(|account| !after.accounts.contains_key(account)) {
            gone(self.accounts.remove(&account_place(account)[..])?.is_some(), "accounts")?;
        }
        for ((account, node), lease) in &after.leases {
            let old = before.leases.get(&(account.clone(), *node));
            if old != Some(lease) {
                let place = lease_place(account, *node);
                self.leases.insert(&place[..], &row::write_lease(lease, &place)[..])?;
                if old.is_none() {
                    self.held.insert(&held_place(*node, &place)[..], ())?;
                }
                self.write_want(old, Some(lease), &place)?;
            }
        }
        for ((account, node), lease) in &before.leases {
            if after.leases.contains_key(&(account.clone(), *node)) {
                continue;
            }
            let place = lease_place(account, *node);
            self.write_want(Some(lease), None, &place)?;
            gone(self.leases.remove(&place[..])?.is_some(), "leases")?;
            gone(self.held.remove(&held_place(*node, &place)[..])?.is_some(), "held")?;
        }
        Ok(())
    }
}

fn wants(lease: Option<&Lease>) -> bool {
    lease.is_some_and(|lease| !lease.wanted.is_zero())
}

fn put_lease(place: &[u8], found: &[u8], rows: &mut Rows) -> Result<(), Stop> {
    let (account, node) = lease_of(place).map_err(Stop::damage("leases"))?;
    let lease = row::read_lease(found, place).map_err(Stop::damage("leases"))?;
    rows.put_lease(account, node, lease);
    Ok(())
}

/// What was read a moment ago is there to be removed.
fn gone(was_there: bool, part: &'static str) -> Result<(), Stop> {
    if was_there { Ok(()) } else { Err(Stop::damage(part)(Damage::Missing)) }
}

#[cfg(test)]
mod tests {
    use deltaic_quota::conformance::{batch, entry};
    use deltaic_quota::{Claim, Entry, Epoch, Seq, Units};

    use super::*;
    use crate::FaultyDisk;
    use crate::pages::read_format;

    /// Makes the file what a program of the first format would have left.
    fn as_first_format(disk: &FaultyDisk) {
        let (pages, _) = Pages::resume(disk.clone(), FORMAT_VERSION, |_| true).unwrap();
        let rewrite = |database: &redb::Database| -> Result<(), Stop> {
            let transaction = database.begin_write()?;
            transaction.delete_table(WANTING)?;
            {
                transaction.open_table(META)?.insert(FORMAT, &write_format(1)[..])?;
                let mut nodes = transaction.open_table(NODES)?;
                for node in [1, 2] {
                    let found = row::read_node(nodes.get(node)?.unwrap().value(), NodeId(node)).unwrap();
                    nodes.insert(node, &row::tests::node_of_first_format(&found, NodeId(node))[..])?;
                }
                let mut leases = transaction.open_table(LEASES)?;
                let old: Vec<(Vec<u8>, Lease)> = leases
                    .iter()?
                    .map(|entry| {
                        let (at, found) = entry.unwrap();
                        (at.value().to_vec(), row::read_lease(found.value(), at.value()).unwrap())
                    })
                    .collect();
                for (at, lease) in old {
                    leases.insert(&at[..], &row::tests::lease_of_first_format(&lease, &at)[..])?;
                }
            }
            Ok(transaction.commit()?)
        };
        pages.run(rewrite).unwrap();
    }

    #[test]
    fn a_file_of_the_first_format_is_read_and_from_then_on_is_of_this_one() {
        let disk = FaultyDisk::new(1);
        let account = Account::stock(Key::new(b"k").unwrap());
        let want = |n| Entry { claim: Claim::Units(Units(n)), ..entry(&account, Units(10)) };
        let mut ledger = RedbLedger::create_with_backend(disk.clone()).unwrap();
        for node in [1, 2] {
            ledger.open(NodeId(node)).unwrap();
        }
        ledger.apply(&batch(NodeId(1), 1, 1, vec![want(10)])).unwrap();
        let image = ledger.image().unwrap();
        drop(ledger);
        as_first_format(&disk);

        let mut ledger = RedbLedger::open_with_backend(disk.clone()).unwrap();
        assert_eq!(ledger.image().unwrap(), image);
        let silent = Silent { node: NodeId(1), epoch: Epoch(1), seq: Seq(1) };
        assert_eq!(ledger.silent(Time(1)).unwrap(), [silent]);
        // A repeat is still one, and what is new works on the old rows.
        assert_eq!(ledger.apply(&batch(NodeId(1), 1, 1, vec![want(10)])).unwrap().rows[0].granted, Units(10));
        ledger.apply(&batch(NodeId(2), 1, 1, vec![want(3)])).unwrap();
        let heard = ledger.apply(&batch(NodeId(1), 1, 2, vec![])).unwrap();
        assert_eq!(heard.recalled, [(account, Units(3))]);
        drop(ledger);
        let (_, meta) = Pages::resume(disk, FORMAT_VERSION, |_| true).unwrap();
        assert_eq!(read_format(&meta[FORMAT]), Some(FORMAT_VERSION));
    }
}

//! [`LedgerReport`]: whether the file of the budgets says one thing.
//!
//! Invariant: a check changes nothing and trusts no row: each is read with its checksum, then they are held against each
//! other, by the rules of [`Rows`] and by the two lists that repeat the leases.

use std::collections::BTreeSet;
use std::fmt;

use deltaic_quota::{Account, Contradiction, NodeId, Rows};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::row::{account_of, held_place, key_of, lease_of, lease_place};
use super::{ACCOUNTS, HELD, KEYS, LEASES, NODES, RedbLedger, WANTING, aggregates, row};
use crate::pages::Stop;
use crate::{Damage, StorageError};

/// The most faults that are listed: more say no more.
const FAULTS: usize = 1_000;

/// What a check of a ledger has read and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LedgerReport {
    /// Nodes that have opened it.
    pub nodes: u64,
    /// Keys of budgets.
    pub keys: u64,
    /// Accounts: a key's windows.
    pub accounts: u64,
    /// Leases that are open.
    pub leases: u64,
    /// Values of aggregates.
    pub aggregates: u64,
    /// Where the file does not say one thing; the first thousand.
    pub faults: Vec<LedgerFault>,
    /// Faults that are not listed.
    pub unlisted: u64,
}

impl LedgerReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    fn add(&mut self, fault: LedgerFault) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        } else {
            self.unlisted += 1;
        }
    }

    /// A row, unless it cannot be read.
    fn noted<T>(&mut self, part: &'static str, read: Result<T, Damage>) -> Option<T> {
        read.map_err(|damage| self.add(LedgerFault::Damaged { part, damage })).ok()
    }
}

/// One fault of a ledger's file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerFault {
    /// A row that cannot be read.
    Damaged {
        /// Of which table.
        part: &'static str,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Rows against each other.
    Contradiction(Contradiction),
    /// A lease that the list of leases by node lacks, or that the list of those that want something has wrongly.
    Listed {
        /// Which list.
        part: &'static str,
        /// Which account.
        account: Account,
        /// Whose lease.
        node: NodeId,
    },
}

impl fmt::Display for LedgerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { part, damage } => write!(f, "budgets: a row of {part}: {damage}"),
            Self::Contradiction(contradiction) => write!(f, "budgets: {contradiction}"),
            Self::Listed { part, account, node } => {
                write!(
                    f,
                    "budgets: {account}: the lease of node {} is not in the list {part} as it is",
                    node.0
                )
            }
        }
    }
}

impl RedbLedger {
    /// Reads every row and holds them against each other. Damage of rows is listed; pages that cannot be read are an error.
    /// Work: the file, whose rows are in memory meanwhile.
    pub fn check(&self) -> Result<LedgerReport, StorageError> {
        self.pages.run(|database| {
            let transaction = database.begin_read()?;
            let mut report = LedgerReport::default();
            let rows = read_rows(&transaction, &mut report)?;
            // What cannot be read contradicts everything that names it.
            if report.is_clean() {
                rows.contradictions()
                    .into_iter()
                    .map(LedgerFault::Contradiction)
                    .for_each(|fault| report.add(fault));
                compare_lists(&transaction, &rows, &mut report)?;
            }
            aggregates::each_value(&transaction, |value| {
                report.aggregates += u64::from(report.noted("aggregates", value).is_some());
            })?;
            Ok(report)
        })
    }

    /// Whether the pages of the file have their checksums. To be asked last: it mends what it can.
    pub fn verify_pages(&self) -> Result<bool, StorageError> {
        self.pages.verify()
    }
}

/// Visits what stands in a table; one that was never made is empty.
pub(super) fn each<K: redb::Key + 'static, V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
    mut visit: impl FnMut(K::SelfType<'_>, V::SelfType<'_>),
) -> Result<(), Stop> {
    let table = match transaction.open_table(table) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in table.iter()? {
        let (at, found) = entry?;
        visit(at.value(), found.value());
    }
    Ok(())
}

/// The rows of the ledger; those that cannot be read are left out and said to be damaged.
fn read_rows(transaction: &ReadTransaction, report: &mut LedgerReport) -> Result<Rows, Stop> {
    let mut rows = Rows::default();
    each(transaction, NODES, |node, found| {
        let node = NodeId(node);
        if let Some(row) = report.noted("nodes", row::read_node(found, node)) {
            rows.nodes.insert(node, row);
        }
    })?;
    each(transaction, KEYS, |at, found| {
        let read = key_of(at).and_then(|key| Ok((key, row::read_key(found, at)?)));
        rows.keys.extend(report.noted("keys", read));
    })?;
    each(transaction, ACCOUNTS, |at, found| {
        let read = account_of(at).and_then(|account| Ok((account, row::read_account(found, at)?)));
        rows.accounts.extend(report.noted("accounts", read));
    })?;
    each(transaction, LEASES, |at, found| {
        let read = lease_of(at).and_then(|place| Ok((place, row::read_lease(found, at)?)));
        if let Some(((account, node), lease)) = report.noted("leases", read) {
            rows.put_lease(account, node, lease);
        }
    })?;
    (report.nodes, report.keys) = (rows.nodes.len() as u64, rows.keys.len() as u64);
    (report.accounts, report.leases) = (rows.accounts.len() as u64, rows.leases.len() as u64);
    Ok(rows)
}

/// The leases by node, and those that want something, are listed again: as they are, and no others.
fn compare_lists(transaction: &ReadTransaction, rows: &Rows, report: &mut LedgerReport) -> Result<(), Stop> {
    let (mut held, mut wanting) = (BTreeSet::new(), BTreeSet::new());
    each(transaction, HELD, |at, ()| held.extend([at.to_vec()]))?;
    each(transaction, WANTING, |at, ()| wanting.extend([at.to_vec()]))?;
    for ((account, node), lease) in &rows.leases {
        let place = lease_place(account, *node);
        let is_listed = [
            ("held", held.remove(&held_place(*node, &place))),
            ("wanting", wanting.remove(&place) != lease.wanted.is_zero()),
        ];
        for (part, _) in is_listed.into_iter().filter(|(_, is_listed)| !is_listed) {
            report.add(LedgerFault::Listed { part, account: account.clone(), node: *node });
        }
    }
    for part in held.iter().map(|_| "held").chain(wanting.iter().map(|_| "wanting")) {
        report.add(LedgerFault::Damaged { part, damage: Damage::Misplaced });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use deltaic_quota::conformance::{batch, entry};
    use deltaic_quota::{Claim, Entry, Key, Ledger, Units};
    use redb::WriteTransaction;

    use super::*;
    use crate::FaultyDisk;
    use crate::pages::Pages;

    /// A ledger in which one node holds everything and another wants some; then something changes behind its back.
    fn found(change: impl FnOnce(&WriteTransaction) -> Result<(), Stop>) -> Vec<String> {
        let disk = FaultyDisk::new(1);
        let account = Account::stock(Key::new(b"k").unwrap());
        let mut ledger = RedbLedger::create_with_backend(disk.clone()).unwrap();
        for node in [1, 2] {
            ledger.open(NodeId(node)).unwrap();
            let entry = Entry { claim: Claim::Units(Units(10)), ..entry(&account, Units(10)) };
            ledger.apply(&batch(NodeId(node), 1, 1, vec![entry])).unwrap();
        }
        let report = ledger.check().unwrap();
        assert!(report.is_clean() && ledger.verify_pages().unwrap(), "{report:?}");
        let counts = (report.nodes, report.keys, report.accounts, report.leases, report.aggregates);
        assert_eq!(counts, (2, 1, 1, 2, 0));
        drop(ledger);
        let (pages, _) = Pages::resume(disk.clone(), super::super::FORMAT_VERSION, |_| true).unwrap();
        pages
            .run(|database| {
                let transaction = database.begin_write()?;
                change(&transaction)?;
                Ok(transaction.commit()?)
            })
            .unwrap();
        drop(pages);
        let report = RedbLedger::open_with_backend(disk).unwrap().check().unwrap();
        assert!(!report.is_clean());
        report.faults.iter().map(ToString::to_string).collect()
    }

    fn first(table: TableDefinition<'_, &[u8], &[u8]>, transaction: &WriteTransaction) -> Result<(), Stop> {
        transaction.open_table(table)?.pop_first().map(drop).map_err(Stop::from)
    }

    #[test]
    fn a_row_that_goes_behind_the_back_of_the_ledger_is_found() {
        let reserved = "budgets: k: 10 are reserved, but its leases cover 0".to_owned();
        let misplaced = "budgets: a row of held: a record is out of place".to_owned();
        assert_eq!(found(|transaction| first(LEASES, transaction)), [reserved, misplaced]);
        assert_eq!(found(|transaction| first(KEYS, transaction)), ["budgets: k: its key is not there"]);
        let listed = |list| {
            format!(
                "budgets: k: the lease of node {} is not in the list {list} as it is",
                1 + u8::from(list == "wanting")
            )
        };
        let unlist = |list: TableDefinition<'static, &'static [u8], ()>| {
            found(|transaction| transaction.open_table(list)?.pop_first().map(drop).map_err(Stop::from))
        };
        assert_eq!(unlist(HELD), [listed("held")]);
        assert_eq!(unlist(WANTING), [listed("wanting")]);
        let damage = |transaction: &WriteTransaction| {
            transaction.open_table(NODES)?.insert(2, &b"torn"[..]).map(drop).map_err(Stop::from)
        };
        assert_eq!(found(damage), ["budgets: a row of nodes: checksum differs"]);
    }
}

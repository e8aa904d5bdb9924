//! `deltaic check`: whether the files of a data directory are what they must be. It writes nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};
use deltaic_storage::{
    EVENTS_FILE, LEDGER_FILE, OpenError, RedbEvents, RedbLedger, RedbStore, STORE_FILE, StorageError, Store,
    check,
};

use deltaic_types::Lsn;

use crate::output;

/// Verifies the directory and prints what is in it.
pub(crate) fn run(data: &Path) -> Result<()> {
    let damaged = store(data)? + ledger(data)? + events(data)?;
    if damaged == 0 {
        return Ok(output::line("ok: everything is what the log says")?);
    }
    bail!("the directory is damaged in {damaged} places: put back a copy from before the damage")
}

/// The database. How many places are damaged.
fn store(data: &Path) -> Result<u64> {
    let store = RedbStore::open_detached(data.join(STORE_FILE));
    let mut store = store.with_context(|| format!("{}", data.display()))?;
    let report = check(&store)?;
    let header = store.header()?;
    output::line(format_args!("database {}, lsn {}", header.identity.database, header.lsn))?;
    if report.first > Lsn(1) {
        let (first, rows) = (report.first, report.unlogged);
        output::line(format_args!(
            "the log is there from commit {first} on: {rows} rows are older, they were read and compared with nothing"
        ))?;
    }
    for (table, size) in store.sizes()? {
        let name = header.catalog.get(table).map_or("?", |table| table.name.as_str());
        let (hot, cold) = (size.hot_bytes, size.cold_bytes);
        output::line(format_args!("{name}: {} rows, {hot} bytes hot, {cold} bytes cold", size.rows))?;
        if size.unsettled > 0 {
            output::line(format_args!("{name}: {} changes above that wait to be settled", size.unsettled))?;
        }
    }
    report.differences.iter().for_each(output::complain);
    Ok(report.differences.len() as u64 + report.unlisted + pages(STORE_FILE, store.verify_pages())?)
}

/// The budgets, where the directory has some.
fn ledger(data: &Path) -> Result<u64> {
    let Some(ledger) = opened(data, LEDGER_FILE, RedbLedger::open_detached)? else { return Ok(0) };
    let report = ledger.check().with_context(|| LEDGER_FILE)?;
    let (keys, accounts, leases) = (report.keys, report.accounts, report.leases);
    output::line(format_args!("budgets: {keys} keys, {accounts} accounts, {leases} leases"))?;
    report.faults.iter().for_each(output::complain);
    Ok(report.faults.len() as u64 + report.unlisted + pages(LEDGER_FILE, ledger.verify_pages())?)
}

/// What happened to budgets, where it is written down.
fn events(data: &Path) -> Result<u64> {
    let Some(log) = opened(data, EVENTS_FILE, RedbEvents::open_detached)? else { return Ok(0) };
    let damaged = match log.check() {
        Ok(count) => {
            output::line(format_args!("events of budgets: {count}"))?;
            0
        }
        Err(damage @ StorageError::Corrupted { .. }) => {
            output::complain(damage);
            1
        }
        Err(error) => return Err(error).with_context(|| EVENTS_FILE),
    };
    Ok(damaged + pages(EVENTS_FILE, log.verify_pages())?)
}

/// A file that a directory need not have.
fn opened<T>(
    data: &Path,
    name: &'static str,
    open: impl FnOnce(std::path::PathBuf) -> Result<T, OpenError>,
) -> Result<Option<T>> {
    match open(data.join(name)) {
        Ok(opened) => Ok(Some(opened)),
        Err(OpenError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error).with_context(|| name),
    }
}

fn pages(name: &str, whole: Result<bool, StorageError>) -> Result<u64> {
    let whole = whole?;
    if !whole {
        output::complain(format_args!("{name}: pages of the file do not have their checksums"));
    }
    Ok(u64::from(!whole))
}

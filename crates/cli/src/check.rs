//! `deltaic check`: whether the log of a data directory explains its tables.

use std::path::Path;

use anyhow::{Context, Result, bail};
use deltaic_storage::{RedbStore, STORE_FILE, Store, check};

use crate::output;

/// Verifies the directory and prints what is in it.
pub(crate) fn run(data: &Path) -> Result<()> {
    let store = RedbStore::open(data.join(STORE_FILE)).with_context(|| format!("{}", data.display()))?;
    let report = check(&store)?;
    let header = store.header()?;
    output::line(format_args!("database {}, lsn {}", header.identity.database, header.lsn))?;
    for (table, size) in store.sizes()? {
        let name = header.catalog.get(table).map_or("?", |table| table.name.as_str());
        let (hot, cold) = (size.hot_bytes, size.cold_bytes);
        output::line(format_args!("{name}: {} rows, {hot} bytes hot, {cold} bytes cold", size.rows))?;
    }
    if report.is_clean() {
        return Ok(output::line("ok: everything is what the log says")?);
    }
    for difference in &report.differences {
        output::complain(difference);
    }
    let count = report.differences.len() as u64 + report.unlisted;
    bail!("the directory is damaged in {count} places: put back a copy from before the damage")
}

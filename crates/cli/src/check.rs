//! `deltaic check`: whether the log of a data directory explains its tables. It writes nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};
use deltaic_storage::{RedbStore, STORE_FILE, Store, check};

use crate::output;

/// Verifies the directory and prints what is in it.
pub(crate) fn run(data: &Path) -> Result<()> {
    let store = RedbStore::open_detached(data.join(STORE_FILE));
    let mut store = store.with_context(|| format!("{}", data.display()))?;
    let report = check(&store)?;
    let header = store.header()?;
    output::line(format_args!("database {}, lsn {}", header.identity.database, header.lsn))?;
    for (table, size) in store.sizes()? {
        let name = header.catalog.get(table).map_or("?", |table| table.name.as_str());
        let (hot, cold) = (size.hot_bytes, size.cold_bytes);
        output::line(format_args!("{name}: {} rows, {hot} bytes hot, {cold} bytes cold", size.rows))?;
        if size.unsettled > 0 {
            output::line(format_args!("{name}: {} changes above that wait to be settled", size.unsettled))?;
        }
    }
    let whole = store.verify_pages()?;
    if report.is_clean() && whole {
        return Ok(output::line("ok: everything is what the log says")?);
    }
    if !whole {
        output::complain("pages of the file do not have their checksums");
    }
    for difference in &report.differences {
        output::complain(difference);
    }
    let count = report.differences.len() as u64 + report.unlisted + u64::from(!whole);
    bail!("the directory is damaged in {count} places: put back a copy from before the damage")
}

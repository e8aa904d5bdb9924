//! `deltaic check`: whether the log of a data directory explains its tables.

use std::path::Path;

use anyhow::{Context, Result, bail};
use deltaic_storage::{RedbStore, STORE_FILE, Store, check};

/// Verifies the directory and prints what is in it.
pub(crate) fn run(data: &Path) -> Result<()> {
    let store = RedbStore::open(data.join(STORE_FILE)).with_context(|| format!("{}", data.display()))?;
    let report = check(&store)?;
    let header = store.header()?;
    println!("database {}, lsn {}", header.identity.database, header.lsn);
    for (table, size) in store.sizes()? {
        let name = header.catalog.get(table).map_or("?", |table| table.name.as_str());
        println!("{name}: {} rows, {} bytes hot, {} bytes cold", size.rows, size.hot_bytes, size.cold_bytes);
    }
    if report.is_clean() {
        println!("ok");
        return Ok(());
    }
    bail!("the directory is damaged: {report:?}")
}

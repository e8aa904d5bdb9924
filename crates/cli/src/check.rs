//! `deltaic check`: compares a data directory with its own log.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use deltaic_storage::{RedbStore, STORE_FILE, check};

/// The arguments.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The data directory; no server may be using it.
    directory: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = arguments.directory.join(STORE_FILE);
    let mut store = RedbStore::open(&path)?;
    let report = check(&store).with_context(|| format!("{} cannot be checked", path.display()))?;
    println!(
        "{} commits with {} changes; {} tables with {} rows, {} bytes hot and {} bytes cold",
        report.commits, report.changes, report.tables, report.rows, report.hot_bytes, report.cold_bytes
    );
    for difference in &report.differences {
        println!("{difference}");
    }
    if report.unlisted > 0 {
        println!("and {} more", report.unlisted);
    }
    let pages = store.verify_pages()?;
    if !pages {
        println!("pages did not have their checksums and were mended");
    }
    if report.is_clean() && pages {
        println!("everything is what the log says");
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

//! Fills the demo's tables, with a bar for each on a terminal and a line elsewhere.

use std::io::IsTerminal;

use anyhow::Context;
use deltaic_server::{DemoClock, EngineHandle};
use indicatif::{ProgressBar, ProgressStyle};

use crate::import::Inserts;

const SCHEMA: &str = include_str!("../../../../examples/flights/schema.sql");

/// The tables whose rows do not change.
const TABLES: [(&str, &str); 4] = [
    ("airlines", include_str!("../../../../examples/flights/airlines.csv")),
    ("airports", include_str!("../../../../examples/flights/airports.csv")),
    ("planes", include_str!("../../../../examples/flights/planes.csv")),
    ("weather", include_str!("../../../../examples/flights/weather.csv")),
];

/// Makes and fills what is missing; false where the demo was stopped meanwhile.
pub(crate) fn load(engine: &EngineHandle, clock: &DemoClock) -> anyhow::Result<bool> {
    let there = engine.status()?.tables;
    if there.is_empty() {
        engine.execute(SCHEMA, Vec::new()).context("the demo's schema")?;
    }
    for (table, text) in TABLES {
        if there.iter().any(|status| status.name == table && status.rows > 0) {
            continue;
        }
        let rows = text.lines().count().saturating_sub(1);
        let bar = bar(table, rows as u64);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut batch = Inserts::new(table, reader.headers()?.clone().iter(), "");
        for record in reader.records() {
            batch.push(record?.iter());
            if batch.rows == 100 {
                send(engine, &mut batch, &bar)?;
            }
            if clock.is_stopped() {
                return Ok(false);
            }
        }
        if batch.rows > 0 {
            send(engine, &mut batch, &bar)?;
        }
        bar.finish();
        if bar.is_hidden() {
            println!("{table}: {rows} rows");
        }
    }
    Ok(true)
}

fn send(engine: &EngineHandle, batch: &mut Inserts, bar: &ProgressBar) -> anyhow::Result<()> {
    let (sql, rows) = batch.take();
    engine.execute(&sql, Vec::new())?;
    bar.inc(rows as u64);
    Ok(())
}

fn bar(table: &'static str, rows: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix:>9} {bar:30} {pos} of {len} rows");
    ProgressBar::new(rows)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(table)
}

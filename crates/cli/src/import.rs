//! `deltaic import`: inserts the rows of a CSV file, in batches.
//!
//! Invariant: each batch is one transaction; where one is refused, the error names the lines it came from, and
//! those before it are in the table.

use std::{fs::File, io::IsTerminal, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::{Address, Client, explain};

/// The most rows of a batch.
const BATCH_ROWS: usize = 1_000;

/// The longest statement of a batch; the server takes four times as much.
const BATCH_BYTES: usize = 256 << 10;

/// The arguments.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The file; its first row names the columns.
    file: PathBuf,
    /// The table to insert into.
    #[arg(long)]
    table: String,
    /// The text that stands for NULL.
    #[arg(long, default_value = "")]
    null: String,
    #[command(flatten)]
    address: Address,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = arguments.file.display();
    let file = File::open(&arguments.file).with_context(|| format!("cannot read {path}"))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let bar = progress(length);
    let client = Client::new(&arguments.address);
    let mut reader = csv::Reader::from_reader(bar.wrap_read(file));
    let header = reader.headers().with_context(|| format!("{path}: no header row"))?.clone();
    let mut batch = Inserts::new(&arguments.table, header.iter(), &arguments.null);
    let mut rows = 0;
    let mut first = 2;
    let mut line = 2;
    for record in reader.into_records() {
        // The error of the CSV reader names the line.
        let record = record.with_context(|| path.to_string())?;
        line = record.position().map_or(line, csv::Position::line);
        if batch.rows == 0 {
            first = line;
        }
        batch.push(record.iter());
        if batch.is_full() {
            rows += send(&client, &mut batch, &path.to_string(), (first, line))?;
        }
    }
    if batch.rows > 0 {
        rows += send(&client, &mut batch, &path.to_string(), (first, line))?;
    }
    bar.finish_and_clear();
    println!("{rows} rows into {}", arguments.table);
    Ok(ExitCode::SUCCESS)
}

fn send(
    client: &Client,
    batch: &mut Inserts,
    path: &str,
    (first, last): (u64, u64),
) -> anyhow::Result<usize> {
    let (sql, rows) = batch.take();
    if let Err(mut error) = client.sql(&sql, Vec::new())? {
        // A place in a statement of thousands of rows helps nobody; the line does.
        error.position = None;
        bail!("{path}, lines {first} to {last}, of which none was inserted: {}", explain("", &error));
    }
    Ok(rows)
}

/// A bar over the bytes of the file, which vanishes where there is no terminal.
fn progress(length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// INSERT statements, put together row by row. Values are quoted text, which is read as the column's type.
#[derive(Debug)]
pub(crate) struct Inserts {
    start: String,
    sql: String,
    null: String,
    pub(crate) rows: usize,
}

impl Inserts {
    pub(crate) fn new<'a>(table: &str, columns: impl Iterator<Item = &'a str>, null: &str) -> Self {
        let columns: Vec<String> = columns.map(name).collect();
        let start = format!("INSERT INTO {} ({}) VALUES ", name(table), columns.join(", "));
        Self { start, sql: String::new(), null: null.to_owned(), rows: 0 }
    }

    pub(crate) fn push<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        self.sql.push_str(if self.rows == 0 { "(" } else { ", (" });
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.sql.push_str(", ");
            }
            if value == self.null {
                self.sql.push_str("NULL");
            } else {
                self.sql.push('\'');
                self.sql.push_str(&value.replace('\'', "''"));
                self.sql.push('\'');
            }
        }
        self.sql.push(')');
        self.rows += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.sql.len() >= BATCH_BYTES
    }

    /// The statement, and how many rows it inserts.
    pub(crate) fn take(&mut self) -> (String, usize) {
        let sql = format!("{}{}", self.start, std::mem::take(&mut self.sql));
        (sql, std::mem::take(&mut self.rows))
    }
}

/// A name as SQL quotes it.
fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_names_are_quoted() {
        let mut inserts = Inserts::new("a\"b", ["x", "y z"].into_iter(), "");
        inserts.push(["it's", ""].into_iter());
        inserts.push(["1", "2"].into_iter());
        let (sql, rows) = inserts.take();
        assert_eq!(sql, "INSERT INTO \"a\"\"b\" (\"x\", \"y z\") VALUES ('it''s', NULL), ('1', '2')");
        assert_eq!((rows, inserts.rows), (2, 0));
    }
}

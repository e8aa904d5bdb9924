//! `deltaic import`: a CSV file into a table, a batch of rows a transaction.
//!
//! Values travel as parameters, so nothing in the file is ever SQL. A row that is refused ends the import
//! with its line; the batches before it are in the table.

use std::{io::IsTerminal, path::Path};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

use crate::{
    client::{Client, show_error},
    output,
};

/// The most parameters of a statement.
const PARAMETERS: usize = deltaic_types::limits::PARAMETERS;
/// The most rows of a transaction: enough that its fsync is shared by many.
const BATCH: usize = 500;

/// How rows are read and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The text that stands for NULL.
    pub(crate) null: &'a str,
    /// Whether a row that is in conflict with one in the table is left out.
    pub(crate) skip_existing: bool,
}

/// Inserts the file's rows.
pub(crate) fn run(file: &Path, table: &str, rows: Rows<'_>, url: &str) -> Result<()> {
    let client = Client::new(url);
    let size = std::fs::metadata(file).with_context(|| format!("{}", file.display()))?.len();
    let reader = std::fs::File::open(file).with_context(|| format!("{}", file.display()))?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(size) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}")?);
    let mut send = |sql: &str, rows: Vec<Json>| {
        client.sql(sql, rows)?.map(|_| ()).map_err(|error| anyhow::anyhow!(show_error(&error, "")))
    };
    let count = load(&mut send, reader, table, rows, &|place| bar.set_position(place))?;
    bar.finish_and_clear();
    let of = if rows.skip_existing { " read, those that are new are in " } else { " into " };
    Ok(output::line(format_args!("{count} rows{of}{table}"))?)
}

/// Inserts CSV rows through `send`, which runs a statement with its parameters; tells how far it came in bytes.
pub(crate) fn load(
    send: &mut dyn FnMut(&str, Vec<Json>) -> Result<()>,
    reader: impl std::io::Read,
    table: &str,
    choice: Rows<'_>,
    progress: &dyn Fn(u64),
) -> Result<u64> {
    let mut csv = csv::Reader::from_reader(reader);
    let columns: Vec<String> = csv.headers()?.iter().map(quote).collect();
    if columns.is_empty() || columns.len() > PARAMETERS {
        bail!("the first line names {} columns; it must name 1 to {PARAMETERS}", columns.len());
    }
    let batch = (PARAMETERS / columns.len()).min(BATCH);
    let mut rows: Vec<Json> = Vec::new();
    let mut first_line = 2;
    let mut count = 0;
    let mut record = csv::StringRecord::new();
    loop {
        let more = csv.read_record(&mut record)?;
        if more {
            rows.extend(
                record.iter().map(|field| {
                    if field == choice.null { Json::Null } else { Json::String(field.to_owned()) }
                }),
            );
        }
        let full = rows.len() == batch * columns.len();
        if full || (!more && !rows.is_empty()) {
            let number = rows.len() / columns.len();
            let mut sql = insert(table, &columns, number);
            if choice.skip_existing {
                sql += " ON CONFLICT DO NOTHING";
            }
            let last = csv.position().line().saturating_sub(1).max(first_line);
            send(&sql, std::mem::take(&mut rows))
                .with_context(|| format!("lines {first_line} to {last}, of which none was inserted"))?;
            count += number as u64;
            first_line = csv.position().line();
            progress(csv.position().byte());
        }
        if !more {
            return Ok(count);
        }
    }
}

fn insert(table: &str, columns: &[String], rows: usize) -> String {
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", quote(table), columns.join(", "));
    for row in 0..rows {
        let values: Vec<String> =
            (1..=columns.len()).map(|column| format!("${}", row * columns.len() + column)).collect();
        sql += if row == 0 { "(" } else { ", (" };
        sql += &values.join(", ");
        sql.push(')');
    }
    sql
}

/// A name in quotes.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_parameters_numbered() {
        let columns = [quote("id"), quote("a \"b\"")];
        assert_eq!(
            insert("t", &columns, 2),
            "INSERT INTO \"t\" (\"id\", \"a \"\"b\"\"\") VALUES ($1, $2), ($3, $4)"
        );
    }
}

//! `deltaic import`: a file of CSV or of JSON objects into a table, a batch of rows a transaction.
//!
//! Values travel as parameters, so nothing in the file is ever SQL. A row that is refused ends the import with its
//! line; the batches before it are in the table, of its own batch nothing is.

use std::{
    cell::Cell,
    collections::BTreeSet,
    io::{BufRead, BufReader, IsTerminal, Read},
    path::Path,
    rc::Rc,
};

use anyhow::{Context, Result, bail};
use deltaic_protocol::ErrorBody;
use deltaic_types::text_format::quoted;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value as Json};

use crate::{
    client::{Client, show_error},
    export::Format,
    output, table,
};

/// The most parameters of a statement.
const PARAMETERS: usize = deltaic_types::limits::PARAMETERS;
/// The most rows of a transaction: enough that its fsync is shared by many.
const BATCH: usize = 500;
/// What some programs write before the first column's name.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// How rows are read and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The text that stands for NULL.
    pub(crate) null: &'a str,
    /// Whether a row that is in conflict with one in the table is left out.
    pub(crate) skip_existing: bool,
    /// The columns whose values are documents: what the file has of them is their text.
    pub(crate) documents: &'a [String],
}

/// Runs a statement with its parameters. The outer error is that it could not be asked.
pub(crate) type Send<'a> = dyn FnMut(&str, Vec<Json>) -> Result<Result<(), ErrorBody>> + 'a;

/// Inserts the file's rows.
pub(crate) fn run(file: &Path, format: Format, table: &str, rows: Rows<'_>, url: &str) -> Result<()> {
    let client = Client::new(url);
    let sql = format!("SELECT * FROM {} LIMIT 0", quoted(table));
    let columns = match client.sql(&sql, Vec::new())? {
        Ok(response) => response.columns,
        Err(error) => bail!("{}", show_error(&error, &sql)),
    };
    let documents: Vec<String> =
        columns.into_iter().filter(|column| column.data_type == "jsonb").map(|column| column.name).collect();
    let rows = Rows { documents: &documents, ..rows };
    let size = std::fs::metadata(file).with_context(|| format!("{}", file.display()))?.len();
    let reader = std::fs::File::open(file).with_context(|| format!("{}", file.display()))?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(size) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {eta}")?);
    let mut send = |sql: &str, rows: Vec<Json>| Ok(client.sql(sql, rows)?.map(|_| ()));
    let progress = |place| bar.set_position(place);
    let count = match format {
        Format::Csv => load(&mut send, reader, table, rows, &progress)?,
        Format::Json => load_objects(&mut send, reader, table, rows, &progress)?,
    };
    bar.finish_and_clear();
    let of = if rows.skip_existing { " read; those that were not there are now in" } else { " into" };
    Ok(output::line(format_args!("{}{of} {table}", table::rows(count)))?)
}

/// Inserts CSV rows through `send`; tells how far it came in bytes.
pub(crate) fn load(
    send: &mut Send<'_>,
    reader: impl Read,
    table: &str,
    choice: Rows<'_>,
    progress: &dyn Fn(u64),
) -> Result<u64> {
    let quotes = Rc::new(Cell::new(0));
    let mut csv = csv::Reader::from_reader(Counted { reader, quotes: Rc::clone(&quotes) });
    let mut names: Vec<String> = csv.headers()?.iter().map(str::to_owned).collect();
    if let Some(first) = names.first_mut() {
        *first = first.trim_start_matches(BYTE_ORDER_MARK).to_owned();
    }
    if names.is_empty() || names.len() > PARAMETERS {
        bail!("the first line names {} columns; it must name 1 to {PARAMETERS}", names.len());
    }
    let size = (PARAMETERS / names.len()).min(BATCH);
    let mut batch = Batch::new(table, names, choice);
    let mut count = 0;
    let mut record = csv::StringRecord::new();
    loop {
        let line = csv.position().line();
        let more = csv.read_record(&mut record).with_context(|| partly(count))?;
        if more {
            let value = |field: &str| if field == choice.null { Json::Null } else { field.into() };
            batch.rows.push((line, record.iter().map(value).collect()));
        } else if quotes.get() % 2 == 1 {
            bail!("a quote is opened and never closed, so the rows cannot be told; {}", partly(count));
        }
        if batch.rows.len() == size || (!more && !batch.rows.is_empty()) {
            batch.send(send).with_context(|| partly(count))?;
            count += batch.rows.len() as u64;
            batch.rows.clear();
            progress(csv.position().byte());
        }
        if !more {
            return Ok(count);
        }
    }
}

/// Inserts the rows of objects, one a line, through `send`; tells how far it came in bytes. What an object does not name is NULL where
/// another of its batch names it, and the column's default otherwise.
fn load_objects(
    send: &mut Send<'_>,
    reader: impl Read,
    table: &str,
    choice: Rows<'_>,
    progress: &dyn Fn(u64),
) -> Result<u64> {
    let mut lines = BufReader::new(reader);
    let mut objects: Vec<(u64, Map<String, Json>)> = Vec::new();
    let (mut line, mut bytes, mut count) = (0, 0, 0);
    let mut text = String::new();
    loop {
        text.clear();
        let read = lines.read_line(&mut text).with_context(|| partly(count))?;
        line += 1;
        bytes += read as u64;
        if !text.trim().is_empty() {
            let object = serde_json::from_str(text.trim_start_matches(BYTE_ORDER_MARK));
            let object = object.with_context(|| format!("line {line}: no JSON object; {}", partly(count)))?;
            objects.push((line, object));
        }
        // Few enough that all their columns together have parameters.
        let width = objects.iter().map(|(_, object)| object.len()).max().unwrap_or(0).max(1);
        let is_full = objects.len() >= (PARAMETERS / width).min(BATCH);
        if (is_full || read == 0) && !objects.is_empty() {
            let names: BTreeSet<String> =
                objects.iter().flat_map(|(_, object)| object.keys().cloned()).collect();
            if names.is_empty() || names.len() * objects.len() > PARAMETERS {
                bail!(
                    "lines {} to {line} name {} columns in all, too many or none for one statement; {}",
                    objects[0].0,
                    names.len(),
                    partly(count)
                );
            }
            let mut batch = Batch::new(table, names.into_iter().collect(), choice);
            for (line, mut object) in objects.drain(..) {
                let values = batch.names.iter().map(|name| match object.remove(name) {
                    Some(document) if choice.documents.contains(name) => document.to_string().into(),
                    value => value.unwrap_or(Json::Null),
                });
                let values = values.collect();
                batch.rows.push((line, values));
            }
            batch.send(send).with_context(|| partly(count))?;
            count += batch.rows.len() as u64;
            progress(bytes);
        }
        if read == 0 {
            return Ok(count);
        }
    }
}

/// What is in the table when an import ends early.
fn partly(count: u64) -> String {
    match count {
        0 => "nothing was inserted".to_owned(),
        count => format!("{} were inserted before; --skip-existing goes on behind them", table::rows(count)),
    }
}

/// Rows of one transaction, each with its line.
struct Batch<'a> {
    table: &'a str,
    names: Vec<String>,
    choice: Rows<'a>,
    rows: Vec<(u64, Vec<Json>)>,
}

impl<'a> Batch<'a> {
    fn new(table: &'a str, names: Vec<String>, choice: Rows<'a>) -> Self {
        Self { table, names, choice, rows: Vec::new() }
    }

    fn send(&self, send: &mut Send<'_>) -> Result<()> {
        match send(&self.insert(self.rows.len()), self.values(self.rows.len()))? {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refused(send, error)?),
        }
    }

    fn values(&self, rows: usize) -> Vec<Json> {
        self.rows[..rows].iter().flat_map(|(_, values)| values).cloned().collect()
    }

    fn insert(&self, rows: usize) -> String {
        let columns: Vec<String> = self.names.iter().map(|name| quoted(name)).collect();
        // A parameter of type jsonb would be a document itself, and a text in it a document that is a text.
        let is_document = |name: &String| self.choice.documents.contains(name);
        let casts: Vec<&str> =
            self.names.iter().map(|name| if is_document(name) { "::text::jsonb" } else { "" }).collect();
        let mut sql = format!("INSERT INTO {} ({}) VALUES ", quoted(self.table), columns.join(", "));
        for row in 0..rows {
            let values: Vec<String> = (1..)
                .zip(&casts)
                .map(|(column, cast)| format!("${}{cast}", row * columns.len() + column))
                .collect();
            sql += if row == 0 { "(" } else { ", (" };
            sql += &values.join(", ");
            sql.push(')');
        }
        if self.choice.skip_existing {
            sql += " ON CONFLICT DO NOTHING";
        }
        sql
    }

    /// Finds the first row with which the batch is refused: the fewest rows that are, tried and taken back.
    fn refused(&self, send: &mut Send<'_>, whole: ErrorBody) -> Result<anyhow::Error> {
        let (mut good, mut bad, mut error) = (0, self.rows.len(), whole);
        while good + 1 < bad {
            let middle = usize::midpoint(good, bad);
            let sql = format!("BEGIN; {}; ROLLBACK", self.insert(middle));
            match send(&sql, self.values(middle))? {
                Ok(()) => good = middle,
                Err(found) => (bad, error) = (middle, found),
            }
        }
        // The row is the last of the statement, so a parameter of it is a column.
        let number = error.message.strip_prefix("parameter $").map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (digits.parse::<usize>().unwrap_or_default(), rest[digits.len()..].to_owned())
        });
        if let Some((number, rest)) = number.filter(|(number, _)| *number > good * self.names.len()) {
            error.message = format!("column {}{rest}", self.names[(number - 1) % self.names.len()]);
        }
        error.position = None;
        Ok(anyhow::anyhow!("line {}: {}", self.rows[bad - 1].0, show_error(&error, "")))
    }
}

/// A reader that counts quotes: a file in which each is closed has an even number of them.
struct Counted<R> {
    reader: R,
    quotes: Rc<Cell<usize>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let quotes: usize = buffer[..count].iter().map(|byte| usize::from(*byte == b'"')).sum();
        self.quotes.set(self.quotes.get() + quotes);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_parameters_numbered() {
        let names = vec!["id".to_owned(), "a \"b\"".to_owned()];
        let documents = ["a \"b\"".to_owned()];
        let choice = Rows { null: "", skip_existing: true, documents: &documents };
        assert_eq!(
            Batch::new("t", names, choice).insert(2),
            "INSERT INTO \"t\" (\"id\", \"a \"\"b\"\"\") VALUES ($1, $2::text::jsonb), ($3, $4::text::jsonb) \
             ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn the_refused_row_is_found() {
        for bad in 1..40_usize {
            let mut send = |sql: &str, values: Vec<Json>| {
                assert_eq!(sql.matches('(').count() - 1, values.len());
                let found = values.iter().position(|value| value == "bad").map(|place| place + 1);
                let message = |place| ErrorBody::new("22P02", format!("parameter ${place} is no integer"));
                Ok(found.map_or(Ok(()), |place| Err(message(place))))
            };
            let rows: Vec<String> =
                (1..40).map(|row| if row >= bad { "bad".to_owned() } else { row.to_string() }).collect();
            let text = format!("\u{feff}id\n{}\n", rows.join("\n"));
            let choice = Rows { null: "", skip_existing: false, documents: &[] };
            let error = load(&mut send, text.as_bytes(), "t", choice, &|_| ()).unwrap_err();
            let message = format!("line {}: error 22P02: column id is no integer", bad + 1);
            assert_eq!(format!("{error:#}"), format!("nothing was inserted: {message}"));
        }
    }

    #[test]
    fn an_open_quote_is_an_error_before_its_row_is_sent() {
        let mut send = |_: &str, _: Vec<Json>| -> Result<Result<(), ErrorBody>> { panic!("nothing is sent") };
        let choice = Rows { null: "", skip_existing: false, documents: &[] };
        let error = load(&mut send, &b"id\n1\n\"2\n3\n"[..], "t", choice, &|_| ()).unwrap_err();
        assert!(error.to_string().contains("never closed"), "{error}");
    }
}

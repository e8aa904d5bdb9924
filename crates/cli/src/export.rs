//! `deltaic export`: a table or a query's result into a file that `deltaic import` reads.
//!
//! Invariant: what is imported is what was exported, to the last digit, or the export is an error. The rows are those of one commit, and a
//! file that is named is there whole or not at all.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use deltaic_protocol::Column;
use deltaic_types::{
    Value,
    text_format::{quoted, to_text},
};
use serde_json::Value as Json;

use crate::{
    client::{Client, show_error},
    output,
    stream::Sink,
    table,
};

/// How rows stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line of names, and a line a row
    Csv,
    /// An object a line
    Json,
}

impl Format {
    /// The one that was asked for, or that the file's name says.
    pub(crate) fn of(asked: Option<Self>, file: Option<&Path>) -> Self {
        let ending = file.and_then(Path::extension).and_then(|ending| ending.to_str());
        let is_json = ending.is_some_and(|ending| ["json", "jsonl", "ndjson"].contains(&ending));
        asked.unwrap_or(if is_json { Self::Json } else { Self::Csv })
    }
}

/// What is exported.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    Table(&'a str),
    Query(&'a str),
}

/// Writes the rows to a file, or to standard output.
pub(crate) fn run(what: What<'_>, format: Format, null: &str, file: Option<&Path>, url: &str) -> Result<()> {
    let client = Client::new(url);
    let Some(file) = file else {
        let mut out = BufWriter::new(io::stdout().lock());
        export(&client, what, format, null, &mut out)?;
        return Ok(out.flush()?);
    };
    let place = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let written = || format!("{}", file.display());
    let mut out = BufWriter::new(tempfile::NamedTempFile::new_in(place).with_context(written)?);
    let count = export(&client, what, format, null, &mut out)?;
    let out = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(written)?;
    out.as_file().sync_all().with_context(written)?;
    out.persist(file).with_context(written)?;
    Ok(output::line(format_args!("{} into {}", table::rows(count), file.display()))?)
}

fn export(client: &Client, what: What<'_>, format: Format, null: &str, out: &mut dyn Write) -> Result<u64> {
    let refused = |error, sql: &str| anyhow::anyhow!("{}", show_error(&error, sql));
    // On the wire the document null and NULL are one: of a table's documents the text is asked for.
    let (sql, types) = match what {
        What::Query(sql) => (sql.to_owned(), None),
        What::Table(name) => {
            let sql = format!("SELECT * FROM {} LIMIT 0", quoted(name));
            let columns = client.sql(&sql, Vec::new())?.map_err(|error| refused(error, &sql))?.columns;
            let each = columns.iter().map(|column| {
                let cast = if column.data_type.starts_with("jsonb") { "::text" } else { "" };
                format!("{}{cast}", quoted(&column.name))
            });
            let sql = format!("SELECT {} FROM {}", each.collect::<Vec<_>>().join(", "), quoted(name));
            (sql, Some(columns))
        }
    };
    let mut rows =
        Rows { format, null, as_text: types.is_some(), columns: types.unwrap_or_default(), count: 0, out };
    match client.rows(&sql, &mut rows)? {
        Ok(()) => Ok(rows.count),
        Err(error) => Err(refused(error, &sql)),
    }
}

/// Rows on their way into a file.
struct Rows<'a> {
    format: Format,
    null: &'a str,
    /// Whether documents come as their text, and the columns are known.
    as_text: bool,
    columns: Vec<Column>,
    count: u64,
    out: &'a mut dyn Write,
}

impl Sink for Rows<'_> {
    fn columns(&mut self, columns: Vec<Column>) -> Result<()> {
        if !self.as_text {
            self.columns = columns;
        }
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        if names.is_empty() {
            bail!("the statement gives no rows: write a query");
        }
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                bail!("two columns are called {name}: give one of them another name with AS");
            }
        }
        match self.format {
            Format::Csv => Ok(write_record(self.out, names.iter().map(ToString::to_string))?),
            Format::Json => Ok(()),
        }
    }

    fn row(&mut self, row: Vec<Json>) -> Result<()> {
        self.count += 1;
        match self.format {
            Format::Csv => {
                let mut fields = Vec::with_capacity(row.len());
                for (value, column) in row.iter().zip(&self.columns) {
                    let data_type = if self.as_text { "text" } else { &column.data_type };
                    let text = field(value, data_type);
                    if text.as_deref() == Some(self.null) {
                        bail!(
                            "row {}: column {} has the text that stands for NULL: choose another one with --null, here \
                             and at the import, or --format json",
                            self.count,
                            column.name
                        );
                    }
                    fields.push(text.unwrap_or_else(|| self.null.to_owned()));
                }
                Ok(write_record(self.out, fields.into_iter())?)
            }
            Format::Json => {
                // In the columns' order, which a map has not.
                let mut members = Vec::with_capacity(row.len());
                for (value, column) in row.into_iter().zip(&self.columns) {
                    let value = match value {
                        Json::Null if column.data_type == "jsonb" => continue,
                        Json::String(text) if column.data_type == "jsonb" && self.as_text => {
                            serde_json::from_str(&text).context("the server's answer is not understood")?
                        }
                        value => value,
                    };
                    members.push(format!("{}:{value}", Json::from(column.name.as_str())));
                }
                Ok(writeln!(self.out, "{{{}}}", members.join(","))?)
            }
        }
    }
}

/// A value as the text that its type is read from; none for NULL. Of a type only what is a document has to be known.
fn field(value: &Json, data_type: &str) -> Option<String> {
    match value {
        Json::Null => None,
        value if data_type == "jsonb" => Some(value.to_string()),
        Json::String(text) => Some(text.clone()),
        Json::Array(items) => {
            let of = data_type.strip_suffix("[]").unwrap_or(data_type);
            let item = |item: &Json| field(item, of).map_or(Value::Null, Value::from);
            Some(to_text(&Value::array(items.iter().map(item).collect())))
        }
        other => Some(other.to_string()),
    }
}

/// A line of CSV. A record of one empty field is quoted, else it would be no line.
fn write_record(out: &mut dyn Write, fields: impl Iterator<Item = String>) -> io::Result<()> {
    let mut csv = csv::WriterBuilder::new().from_writer(Vec::new());
    csv.write_record(fields)?;
    let line = csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
    out.write_all(&line)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exported(format: Format, null: &str, as_text: bool, rows: Vec<Vec<Json>>) -> Result<String> {
        let column =
            |name: &str, data_type: &str| Column { name: name.to_owned(), data_type: data_type.to_owned() };
        let columns = vec![column("id", "bigint"), column("tags", "text[]"), column("doc", "jsonb")];
        let mut out = Vec::new();
        let known = if as_text { columns.clone() } else { Vec::new() };
        let mut sink = Rows { format, null, as_text, columns: known, count: 0, out: &mut out };
        sink.columns(columns)?;
        for row in rows {
            sink.row(row)?;
        }
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn a_field_is_the_text_that_its_type_is_read_from() {
        let rows = vec![
            vec![
                json!("9007199254740993"),
                json!(["a,b", "", null, "NULL", "\"q\""]),
                json!("{\"a\": null}"),
            ],
            vec![json!(1), json!([]), json!("null")],
            vec![Json::Null, Json::Null, Json::Null],
        ];
        let text = exported(Format::Csv, "", true, rows).unwrap();
        let expected = "id,tags,doc\n9007199254740993,\"{\"\"a,b\"\",\"\"\"\",NULL,\"\"NULL\"\",\"\"\\\"\"q\\\"\"\"\"}\",\
                        \"{\"\"a\"\": null}\"\n1,{},null\n,,\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_document_that_is_null_is_told_from_no_document() {
        let rows = vec![vec![json!(1), json!(["a"]), json!("null")], vec![json!(2), Json::Null, Json::Null]];
        let text = exported(Format::Json, "", true, rows).unwrap();
        assert_eq!(text, "{\"id\":1,\"tags\":[\"a\"],\"doc\":null}\n{\"id\":2,\"tags\":null}\n");
    }

    #[test]
    fn a_text_that_would_become_null_is_refused() {
        let row = || vec![vec![json!("NA"), Json::Null, Json::Null]];
        let error = exported(Format::Csv, "NA", false, row()).unwrap_err().to_string();
        assert!(error.starts_with("row 1: column id has the text that stands for NULL"), "{error}");
        assert_eq!(exported(Format::Csv, "-", false, row()).unwrap(), "id,tags,doc\nNA,-,-\n");
    }

    #[test]
    fn a_files_name_says_its_format() {
        for (asked, file, format) in [
            (None, None, Format::Csv),
            (None, Some("a.json"), Format::Json),
            (None, Some("a.jsonl"), Format::Json),
            (None, Some("json"), Format::Csv),
            (Some(Format::Csv), Some("a.json"), Format::Csv),
        ] {
            assert_eq!(Format::of(asked, file.map(Path::new)), format, "{file:?}");
        }
    }
}

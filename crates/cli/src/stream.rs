//! A result read row by row.
//!
//! Invariant: no more than one row is in memory, and a result that breaks off is an error, whatever of it was handed over.

use std::{cell::RefCell, fmt, io::Read};

use anyhow::{Context, Result};
use deltaic_protocol::Column;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

/// What takes the rows of a result.
pub(crate) trait Sink {
    /// The columns, before the first row.
    fn columns(&mut self, columns: Vec<Column>) -> Result<()>;
    /// A row.
    fn row(&mut self, row: Vec<Json>) -> Result<()>;
}

/// Reads the body of an answer to `POST /v1/sql`.
pub(crate) fn read(body: impl Read, sink: &mut dyn Sink) -> Result<()> {
    // The parser's errors are texts; the sink's own is kept as it is.
    let failed = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_reader(body);
    let read = Answer { sink, failed: &failed }.deserialize(&mut json).and_then(|()| json.end());
    match failed.into_inner() {
        Some(error) => Err(error),
        None => read.context("the server's answer is not understood, or breaks off"),
    }
}

struct Answer<'a> {
    sink: &'a mut dyn Sink,
    failed: &'a RefCell<Option<anyhow::Error>>,
}

struct Rows<'a, 'b>(&'b mut Answer<'a>);

impl Answer<'_> {
    fn kept<E: serde::de::Error>(&self, outcome: Result<()>) -> Result<(), E> {
        outcome.map_err(|error| {
            let told = E::custom(&error);
            self.failed.replace(Some(error));
            told
        })
    }
}

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result with its columns before its rows")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (mut columns, mut rows) = (false, false);
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "columns" => {
                    columns = true;
                    let found = map.next_value()?;
                    let outcome = self.sink.columns(found);
                    self.kept(outcome)?;
                }
                "rows" if columns => {
                    rows = true;
                    map.next_value_seed(Rows(&mut self))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if rows { Ok(()) } else { Err(A::Error::custom("a result without rows")) }
    }
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            let outcome = self.0.sink.row(row);
            self.0.kept(outcome)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Taken {
        names: Vec<String>,
        rows: Vec<Vec<Json>>,
        most: usize,
    }

    impl Sink for Taken {
        fn columns(&mut self, columns: Vec<Column>) -> Result<()> {
            self.names.extend(columns.into_iter().map(|column| column.name));
            Ok(())
        }

        fn row(&mut self, row: Vec<Json>) -> Result<()> {
            anyhow::ensure!(self.rows.len() < self.most, "the disk is full");
            self.rows.push(row);
            Ok(())
        }
    }

    fn taken(text: &str, most: usize) -> (Taken, Result<()>) {
        let mut taken = Taken { names: Vec::new(), rows: Vec::new(), most };
        let outcome = read(text.as_bytes(), &mut taken);
        (taken, outcome)
    }

    const ANSWER: &str = r#"{"columns":[{"name":"a","type":"numeric"}],"rows":[["1.50"],[12345678901234567890],[null]],"rows_affected":3,"lsn":7}"#;

    #[test]
    fn rows_are_handed_over_as_they_are() {
        let (taken, outcome) = taken(ANSWER, 9);
        outcome.unwrap();
        assert_eq!(taken.names, ["a"]);
        let exact: Json = serde_json::from_str("12345678901234567890").unwrap();
        assert_eq!(taken.rows, [vec![json!("1.50")], vec![exact], vec![Json::Null]]);
    }

    #[test]
    fn what_breaks_off_is_an_error_wherever_it_does() {
        for end in 0..ANSWER.len() {
            assert!(taken(&ANSWER[..end], 9).1.is_err(), "{end}");
        }
        assert!(taken("{\"rows\":[[1]],\"columns\":[]}", 9).1.is_err(), "nothing says what the rows are");
        assert!(taken(&format!("{ANSWER}x"), 9).1.is_err());
    }

    #[test]
    fn an_error_of_the_sink_is_told_as_it_is() {
        let (taken, outcome) = taken(ANSWER, 2);
        assert_eq!((taken.rows.len(), outcome.unwrap_err().to_string().as_str()), (2, "the disk is full"));
    }
}

//! Comma-separated values, as far as RFC 4180 goes: quoted fields, doubled quotes, line ends inside quotes.
//!
//! Invariant: what `write` makes of a table, `parse` reads back as the same table.

use std::fmt::Write;

/// Splits a text into records of fields; says in which line a quote is left open or misplaced.
pub(crate) fn parse(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut line = 1;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if field.is_empty() => {
                let opened = line;
                loop {
                    match characters.next() {
                        None => return Err(format!("line {opened}: a quote is opened and never closed")),
                        Some('"') if characters.peek() == Some(&'"') => {
                            characters.next();
                            field.push('"');
                        }
                        Some('"') => break,
                        Some(inside) => {
                            line += usize::from(inside == '\n');
                            field.push(inside);
                        }
                    }
                }
                if !matches!(characters.peek(), None | Some(',' | '\n' | '\r')) {
                    return Err(format!("line {line}: a quoted field goes on after its quote"));
                }
            }
            ',' => record.push(std::mem::take(&mut field)),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                line += 1;
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            plain => field.push(plain),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    Ok(records)
}

/// One record a line, with quotes only where a field needs them.
pub(crate) fn write<'a>(records: impl IntoIterator<Item = &'a Vec<String>>) -> String {
    let mut out = String::new();
    for record in records {
        for (place, field) in record.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            if field.contains([',', '"', '\n', '\r']) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\"{}\"", field.replace('"', "\"\""));
            } else {
                out.push_str(field);
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn plain_fields_and_both_line_ends_are_split() {
        let expected = vec![vec!["a", "b"], vec!["1", ""], vec!["", "2"]];
        for text in ["a,b\n1,\n,2\n", "a,b\r\n1,\r\n,2\r\n", "a,b\n1,\n,2"] {
            assert_eq!(parse(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let table: Vec<Vec<String>> =
            [["plain", "with, comma"], ["with \"quotes\"", "two\nlines"], ["", "\r"]]
                .iter()
                .map(|record| record.iter().map(ToString::to_string).collect())
                .collect();
        assert_eq!(parse(&write(&table)).unwrap(), table);
    }

    #[test]
    fn a_broken_quote_is_named_by_its_line() {
        assert!(parse("a\n\"b").unwrap_err().starts_with("line 2"));
        assert!(parse("\"a\"b").unwrap_err().starts_with("line 1"));
    }
}

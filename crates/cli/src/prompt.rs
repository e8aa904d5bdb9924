//! The prompt of `deltaic sql`.
//!
//! A statement ends with a semicolon, and what BEGIN opens is sent when COMMIT or ROLLBACK closes it: a
//! transaction is one request. A line that begins with a backslash is for the prompt itself.

use anyhow::{Result, bail};
use deltaic_protocol::{Column, SqlResponse};
use rustyline::{DefaultEditor, error::ReadlineError};
use serde_json::{Value as Json, json};

use crate::{
    client::Client,
    output,
    request::{execute, show},
};

const HELP: &str = "\
statements end with a semicolon; BEGIN … COMMIT is sent as a whole
  \\d         the tables
  \\d TABLE   its columns
  \\?         this
  \\q         leave, as Ctrl-D does; Ctrl-C gives up what is being written";

/// Reads and runs until the end of the input.
pub(crate) fn run(client: &Client) -> Result<()> {
    let mut editor = DefaultEditor::new()?;
    output::line("statements end with a semicolon; \\? tells more")?;
    let mut pending = String::new();
    loop {
        let marker = if pending.is_empty() { "deltaic> " } else { "      -> " };
        match editor.readline(marker) {
            Ok(line) if pending.is_empty() && is_command(&line) => {
                let _ = editor.add_history_entry(line.trim());
                match command(client, line.trim()) {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) => output::complain(format_args!("{error:#}")),
                }
            }
            Ok(line) => {
                pending += &line;
                pending.push('\n');
                if pending.trim().is_empty() {
                    pending.clear();
                } else if is_complete(&pending) {
                    let statement = std::mem::take(&mut pending);
                    let _ = editor.add_history_entry(statement.trim());
                    if let Err(error) = execute(client, &statement) {
                        output::complain(format_args!("{error:#}"));
                    }
                }
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_command(line: &str) -> bool {
    let line = line.trim().trim_end_matches(';');
    line.starts_with('\\') || ["exit", "quit", "help"].contains(&line)
}

/// Does what a line for the prompt says. False to leave.
fn command(client: &Client, line: &str) -> Result<bool> {
    let mut words = line.trim_end_matches(';').split_whitespace();
    match (words.next().unwrap_or_default(), words.next()) {
        ("\\q" | "exit" | "quit", None) => return Ok(false),
        ("\\?" | "\\h" | "help", None) => output::line(HELP)?,
        ("\\d" | "\\dt", None) => {
            let tables = client.status()?.tables;
            let rows = tables.iter().map(|table| vec![json!(table.name), json!(table.rows)]);
            let columns = [("table", "text"), ("rows", "bigint")];
            output::line(show(&response(&columns, rows.collect())).trim_end())?;
        }
        ("\\d", Some(name)) => {
            let tables = client.status()?.tables;
            let Some(table) = tables.iter().find(|table| table.name == name) else {
                bail!("there is no table {name}: \\d lists them");
            };
            let rows = table.columns.iter().map(|column| vec![json!(column.name), json!(column.data_type)]);
            let columns = [("column", "text"), ("type", "text")];
            output::line(show(&response(&columns, rows.collect())).trim_end())?;
        }
        _ => bail!("{line} is no command of the prompt: \\? lists them"),
    }
    Ok(true)
}

fn response(columns: &[(&str, &str)], rows: Vec<Vec<Json>>) -> SqlResponse {
    let column = |(name, data_type): &(&str, &str)| Column {
        name: (*name).to_owned(),
        data_type: (*data_type).to_owned(),
    };
    let columns = columns.iter().map(column).collect();
    SqlResponse { columns, rows_affected: rows.len() as u64, rows, lsn: 0, cut: None }
}

/// Whether the text is a whole request: it ends with a semicolon, and a BEGIN has its end.
fn is_complete(text: &str) -> bool {
    let Some(code) = code(text) else { return false };
    let words: Vec<String> = code
        .split(';')
        .filter_map(|statement| statement.split_whitespace().next())
        .map(str::to_ascii_uppercase)
        .collect();
    let opens = matches!(words.first().map(String::as_str), Some("BEGIN" | "START"));
    let closes = matches!(words.last().map(String::as_str), Some("COMMIT" | "ROLLBACK" | "END" | "ABORT"));
    code.trim_end().ends_with(';') && (!opens || closes)
}

/// The text without what stands in quotes and comments; None where one of them is open.
fn code(text: &str) -> Option<String> {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let dollars = || {
            let tag = after.find('$').map(|end| &rest[..end + 2])?;
            let name = &tag[1..tag.len() - 1];
            let is_tag = name.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            is_tag.then_some(tag)
        };
        rest = if first == '\'' || first == '"' {
            after.split_once(first)?.1
        } else if rest.starts_with("--") {
            rest.split_once('\n')?.1
        } else if rest.starts_with("/*") {
            comment(rest)?
        } else if let Some(tag) = (first == '$').then(dollars).flatten() {
            rest[tag.len()..].split_once(tag)?.1
        } else {
            code.push(first);
            after
        };
    }
    Some(code)
}

/// What follows a comment, which may hold others.
fn comment(text: &str) -> Option<&str> {
    let mut depth = 0;
    let mut rest = text;
    loop {
        if rest.starts_with("/*") {
            depth += 1;
            rest = &rest[2..];
        } else if rest.starts_with("*/") {
            depth -= 1;
            rest = &rest[2..];
        } else {
            let mut characters = rest.chars();
            characters.next()?;
            rest = characters.as_str();
        }
        if depth == 0 {
            return Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_transaction() {
        for (text, complete) in [
            ("select 1\n", false),
            ("select 1;\n", true),
            ("select\n1 ;\n", true),
            ("begin;\n", false),
            ("begin; insert into t values (1);\n", false),
            ("begin; insert into t values (1); commit;\n", true),
            ("begin; rollback;\n", true),
            ("select 'a;\n", false),
            ("select 'a;\n', \"b;\" ;\n", true),
            ("select 'it''s;'\n", false),
            ("select 1 -- ;\n", false),
            ("select 1; -- that is all\n", true),
            ("/* a; /* b; */ select 1;\n", false),
            ("/* a; /* b; */ */ select 1;\n", true),
            ("select $$a;\n", false),
            ("select $x$a; $$ ; $x$;\n", true),
            ("select $1 + $2;\n", true),
        ] {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }

    #[test]
    fn lines_for_the_prompt_are_told_from_statements() {
        for line in ["\\q", " \\d task ", "exit", "quit;", "help"] {
            assert!(is_command(line), "{line}");
        }
        for line in ["select 1;", "exits", "", "-- \\q"] {
            assert!(!is_command(line), "{line}");
        }
    }
}

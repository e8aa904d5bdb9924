//! `deltaic sql`: statements from arguments, a pipe or a prompt.
//!
//! At the prompt a statement ends with a semicolon, and what BEGIN opens is sent when COMMIT or ROLLBACK
//! closes it: a transaction is one request.

use std::io::{IsTerminal, Read};

use anyhow::{Result, bail};
use deltaic_protocol::SqlResponse;
use rustyline::{DefaultEditor, error::ReadlineError};

use crate::{
    client::{Client, show_error},
    output, table,
};

/// Runs the statements and prints what comes back.
pub(crate) fn run(statements: &[String], url: &str) -> Result<()> {
    let client = Client::new(url);
    if !statements.is_empty() {
        for statement in statements {
            execute(&client, statement)?;
        }
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return execute(&client, &text);
    }
    prompt(&client)
}

fn execute(client: &Client, sql: &str) -> Result<()> {
    match client.sql(sql, Vec::new())? {
        Ok(response) => Ok(output::line(show(&response).trim_end())?),
        Err(error) => bail!("{}", show_error(&error, sql)),
    }
}

/// A result as text: a table, or how many rows were written.
fn show(response: &SqlResponse) -> String {
    let plural = |n: u64| if n == 1 { "" } else { "s" };
    let count = response.rows_affected;
    if response.columns.is_empty() {
        return format!("ok, {count} row{} (lsn {})\n", plural(count), response.lsn);
    }
    let widths = table::widths(&response.columns, response.rows.iter(), 60);
    let mut text = table::header(&response.columns, &widths).join("\n") + "\n";
    for row in &response.rows {
        text += table::line(row, &response.columns, &widths).trim_end();
        text.push('\n');
    }
    text + &format!("{count} row{}\n", plural(count))
}

fn prompt(client: &Client) -> Result<()> {
    let mut editor = DefaultEditor::new()?;
    output::line("statements end with a semicolon; Ctrl-D leaves")?;
    let mut pending = String::new();
    loop {
        let marker = if pending.is_empty() { "deltaic> " } else { "      -> " };
        match editor.readline(marker) {
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

/// Whether the text is a whole request: it ends with a semicolon, and a BEGIN has its end.
fn is_complete(text: &str) -> bool {
    let trimmed = text.trim_end();
    let words: Vec<String> = trimmed
        .split(';')
        .filter_map(|statement| statement.split_whitespace().next())
        .map(str::to_ascii_uppercase)
        .collect();
    let opens = matches!(words.first().map(String::as_str), Some("BEGIN" | "START"));
    let closes = matches!(words.last().map(String::as_str), Some("COMMIT" | "ROLLBACK" | "END" | "ABORT"));
    trimmed.ends_with(';') && (!opens || closes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_transaction() {
        for (text, complete) in [
            ("select 1", false),
            ("select 1;", true),
            ("select\n1 ;\n", true),
            ("begin;", false),
            ("begin; insert into t values (1);", false),
            ("begin; insert into t values (1); commit;", true),
            ("begin; rollback;", true),
        ] {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }
}

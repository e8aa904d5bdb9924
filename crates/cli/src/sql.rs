//! `deltaic sql`: statements from arguments, a pipe or a prompt.
//!
//! Each argument is a request, and so is all of what a pipe brings: a request is a transaction.

use std::io::{IsTerminal, Read};

use anyhow::{Result, bail};
use deltaic_protocol::SqlResponse;

use crate::{
    client::{Client, show_error},
    output, prompt, table,
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
    prompt::run(&client)
}

/// Runs one request and prints its result.
pub(crate) fn execute(client: &Client, sql: &str) -> Result<()> {
    match client.sql(sql, Vec::new())? {
        Ok(response) => Ok(output::line(show(&response).trim_end())?),
        Err(error) => bail!("{}", show_error(&error, sql)),
    }
}

/// A result as text: a table, or how many rows were written.
pub(crate) fn show(response: &SqlResponse) -> String {
    let count = table::rows(response.rows_affected);
    if response.columns.is_empty() {
        return format!("ok, {count} (lsn {})\n", response.lsn);
    }
    let widths = table::widths(&response.columns, response.rows.iter(), 60);
    let mut text = table::header(&response.columns, &widths).join("\n") + "\n";
    for row in &response.rows {
        text += table::line(row, &response.columns, &widths).trim_end();
        text.push('\n');
    }
    text + &count + "\n"
}

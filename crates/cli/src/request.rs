//! One request and its result as text.

use anyhow::{Result, bail};
use deltaic_protocol::SqlResponse;

use crate::{
    client::{Client, show_error},
    output, table,
};

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

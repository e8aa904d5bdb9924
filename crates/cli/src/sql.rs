//! `deltaic sql`: statements from arguments, a pipe or a prompt.

use std::{
    io::{self, IsTerminal, Read, Write as _},
    process::ExitCode,
};

use clap::Args;
use deltaic_protocol::SqlResponse;

use crate::{
    client::{Address, Client, explain},
    prompt, table,
};

/// The arguments.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Statements; each argument is a transaction.
    statements: Vec<String>,
    #[command(flatten)]
    address: Address,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = Client::new(&arguments.address);
    if !arguments.statements.is_empty() {
        return each(&client, &arguments.statements);
    }
    if io::stdin().is_terminal() {
        return prompt::run(&client);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    // What comes by a pipe is one transaction: a half-done script helps nobody.
    if text.trim().is_empty() { Ok(ExitCode::SUCCESS) } else { each(&client, &[text]) }
}

fn each(client: &Client, statements: &[String]) -> anyhow::Result<ExitCode> {
    for sql in statements {
        if !one(client, sql)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs statements and prints the result; false where they were refused.
pub(crate) fn one(client: &Client, sql: &str) -> anyhow::Result<bool> {
    match client.sql(sql, Vec::new())? {
        Ok(response) => {
            print(&response)?;
            Ok(true)
        }
        Err(error) => {
            eprintln!("{}", explain(sql, &error));
            Ok(false)
        }
    }
}

fn print(response: &SqlResponse) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let rows = |count: u64| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    let written = if response.columns.is_empty() {
        writeln!(out, "done, {} written, commit {}", rows(response.rows_affected), response.lsn)
    } else {
        table::lines(&response.columns, &response.rows)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
            .and_then(|()| writeln!(out, "({})", rows(response.rows.len() as u64)))
    };
    match written {
        // Whoever reads had enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

//! `deltaic sql`: statements from arguments, a pipe or a prompt.
//!
//! Each argument is a request, and so is all of what a pipe brings: a request is a transaction.

use std::io::{IsTerminal, Read};

use anyhow::Result;

use crate::{client::Client, prompt, request::execute};

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

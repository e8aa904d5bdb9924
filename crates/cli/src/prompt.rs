//! The prompt of `deltaic sql`: statements end with a semicolon, history is kept between runs.

use std::{path::PathBuf, process::ExitCode};

use rustyline::{DefaultEditor, error::ReadlineError};

use crate::{client::Client, sql::one};

/// Where history is kept: the user's state directory, if there is one.
fn history() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(state.join("deltaic").join("history"))
}

pub(crate) fn run(client: &Client) -> anyhow::Result<ExitCode> {
    let mut editor = DefaultEditor::new()?;
    let history = history();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    println!("Statements end with a semicolon; \\q or Ctrl-D ends.");
    let mut statement = String::new();
    loop {
        let line = match editor.readline(if statement.is_empty() { "deltaic> " } else { "      -> " }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if statement.is_empty() && matches!(line.trim(), "\\q" | "quit" | "exit") {
            break;
        }
        statement.push_str(&line);
        if statement.trim().is_empty() {
            statement.clear();
        } else if statement.trim_end().ends_with(';') {
            editor.add_history_entry(statement.trim())?;
            if let Err(error) = one(client, &statement) {
                eprintln!("{error:#}");
            }
            statement.clear();
        } else {
            statement.push('\n');
        }
    }
    if let Some(path) = history {
        let made = path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok());
        if made {
            // A prompt without history is still a prompt.
            let _ = editor.save_history(&path);
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! The program `deltaic`: reads its arguments and runs one command.
//!
//! Invariant: results go to standard output, everything else to standard error; whatever went wrong is the last
//! line there, and the exit code is 1.

mod check;
mod client;
mod demo;
mod import;
mod live;
mod prompt;
mod serve;
mod sql;
mod table;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Live SQL: tables in, results out that stay up to date.
#[derive(Debug, Parser)]
#[command(name = "deltaic", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// An engine with a week of flights, replayed, and the console.
    Demo(demo::Arguments),
    /// Serves a data directory.
    Serve(serve::Arguments),
    /// Runs statements: from the arguments, a pipe, or a prompt.
    Sql(sql::Arguments),
    /// Shows a live result: a table that updates in place, or lines where there is no terminal.
    Watch(watch::Arguments),
    /// Inserts the rows of a CSV file.
    Import(import::Arguments),
    /// Compares a data directory with its own log.
    Check(check::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

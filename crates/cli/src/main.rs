//! The `deltaic` program: one subcommand a file, arguments here.

mod check;
mod client;
mod conflicts;
mod demo;
mod export;
mod import;
mod output;
mod prompt;
mod replay;
mod request;
mod serve;
mod sql;
mod stream;
mod table;
mod watch;
mod watched;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    conflicts::Chosen,
    export::{Format, What},
};

/// Syntax trees and rows are many small pieces: this allocator loads half as many rows again in the same time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where a server listens unless it is told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7400";
/// Where a client looks for a server unless it is told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:7400";

/// Live SQL: queries whose results stay up to date.
#[derive(Debug, Parser)]
#[command(name = "deltaic", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it: a week of real flights, replayed, and the console in the browser
    Demo {
        /// Where to listen; port 0 takes any free one
        #[arg(long, default_value = DEFAULT_LISTEN, value_parser = listen_address)]
        listen: SocketAddr,
        /// Keep the data here; otherwise in a temporary directory that goes at the end
        #[arg(long)]
        data: Option<PathBuf>,
        /// Simulated seconds that pass in a second, at most 10080; 0 stands still
        #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=10_080))]
        speed: u64,
    },
    /// Serve a data directory
    Serve {
        /// The data directory; made if it is not there
        #[arg(long)]
        data: PathBuf,
        /// Where to listen; port 0 takes any free one
        #[arg(long, default_value = DEFAULT_LISTEN, value_parser = listen_address)]
        listen: SocketAddr,
        /// SQL to run when the directory is new
        #[arg(long)]
        schema: Option<PathBuf>,
        /// Listen beyond this machine although nobody has to say who they are
        #[arg(long)]
        insecure_no_auth: bool,
        /// Keep budgets in a PostgreSQL database that several servers share
        #[arg(long, env = "DELTAIC_LEDGER", value_name = "postgresql://USER@HOST/NAME")]
        ledger: Option<String>,
    },
    /// Run SQL: arguments, standard input, or a prompt
    Sql {
        /// The statements; each argument is one request
        statements: Vec<String>,
        /// The server
        #[arg(long, env = "DELTAIC_URL", default_value = DEFAULT_URL)]
        url: String,
    },
    /// Show a query's result and keep it up to date
    Watch {
        /// The query, or the name of a table or live view
        query: String,
        /// The values of $1, $2, … as JSON
        #[arg(long = "param")]
        params: Vec<String>,
        /// The server
        #[arg(long, env = "DELTAIC_URL", default_value = DEFAULT_URL)]
        url: String,
    },
    /// Insert the rows of a file into a table
    Import {
        /// The file: CSV whose first line names the columns, or JSON objects, one a line
        file: PathBuf,
        /// How rows stand in it; otherwise its name says so
        #[arg(long)]
        format: Option<Format>,
        /// The table
        #[arg(long)]
        table: String,
        /// The text that stands for NULL
        #[arg(long, default_value = "")]
        null: String,
        /// Leave out rows that are there already; an import that broke off goes on with it
        #[arg(long)]
        skip_existing: bool,
        /// The server
        #[arg(long, env = "DELTAIC_URL", default_value = DEFAULT_URL)]
        url: String,
    },
    /// Write the rows of a table or a query into a file that import reads
    Export {
        /// The table
        #[arg(long, required_unless_present = "query")]
        table: Option<String>,
        /// The query
        #[arg(long, conflicts_with = "table")]
        query: Option<String>,
        /// How rows stand in the file; otherwise its name says so
        #[arg(long)]
        format: Option<Format>,
        /// The text that stands for NULL in CSV
        #[arg(long, default_value = "")]
        null: String,
        /// The file; otherwise standard output
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// The server
        #[arg(long, env = "DELTAIC_URL", default_value = DEFAULT_URL)]
        url: String,
    },
    /// List what merging met and nobody has decided, or resolve it
    #[command(args_conflicts_with_subcommands = true)]
    Conflicts {
        #[command(subcommand)]
        action: Option<ConflictAction>,
        /// Of this table or live view alone
        #[arg(long)]
        table: Option<String>,
        /// Those that are decided or resolved too
        #[arg(long)]
        all: bool,
        /// The server
        #[arg(long, env = "DELTAIC_URL", default_value = DEFAULT_URL)]
        url: String,
    },
    /// Verify a data directory that no server uses
    Check {
        /// The data directory
        data: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ConflictAction {
    /// Write one of the values to the row, which resolves the conflict
    Resolve {
        /// The table
        table: String,
        /// The row's primary key: its value, or the values of all its columns as a JSON array
        key: String,
        /// The column, or one of a group
        column: String,
        #[command(flatten)]
        choice: Choice,
        /// Which of several conflicts: the losing write, as it is listed
        #[arg(long)]
        dot: Option<String>,
        /// The server
        #[arg(long, env = "DELTAIC_URL", default_value = DEFAULT_URL)]
        url: String,
    },
}

/// Which value is written.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// The value that stands
    #[arg(long)]
    winner: bool,
    /// The value that it stands against
    #[arg(long)]
    loser: bool,
    /// Another one; of a group a JSON array with a value for each column
    #[arg(long, value_name = "TEXT")]
    value: Option<String>,
}

impl Choice {
    fn chosen(self) -> Chosen {
        match self.value {
            Some(value) => Chosen::Value(value),
            None if self.loser => Chosen::Loser,
            None => Chosen::Winner,
        }
    }
}

/// Where to listen: an address, or a name that has one, and a port.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |why: &str| format!("{why}: write an address and a port, as in {DEFAULT_LISTEN}");
    let mut found = text.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address"))
}

fn main() -> ExitCode {
    // What is caught becomes an error that says more than the panic's own message.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !deltaic_storage::panic_is_caught() {
            told(panic);
        }
    }));
    let outcome = match Arguments::parse().command {
        Command::Demo { listen, data, speed } => demo::run(listen, data, speed),
        Command::Serve { data, listen, schema, insecure_no_auth, ledger } => {
            let ledger = ledger.as_deref().map(serve::shared_ledger).transpose();
            ledger.and_then(|ledger| serve::run(&data, listen, schema.as_deref(), insecure_no_auth, ledger))
        }
        Command::Sql { statements, url } => sql::run(&statements, &url),
        Command::Watch { query, params, url } => watch::run(&query, &params, &url),
        Command::Import { file, format, table, null, skip_existing, url } => {
            let rows = import::Rows { null: &null, skip_existing, documents: &[] };
            import::run(&file, Format::of(format, Some(&file)), &table, rows, &url)
        }
        Command::Export { table, query, format, null, output, url } => {
            let what = match (&table, &query) {
                (Some(table), _) => What::Table(table),
                (None, query) => What::Query(query.as_deref().unwrap_or_default()),
            };
            export::run(what, Format::of(format, output.as_deref()), &null, output.as_deref(), &url)
        }
        Command::Conflicts { action: None, table, all, url } => conflicts::list(table.as_deref(), all, &url),
        Command::Conflicts { action: Some(action), .. } => {
            let ConflictAction::Resolve { table, key, column, choice, dot, url } = action;
            conflicts::resolve(&table, &key, &column, &choice.chosen(), dot.as_deref(), &url)
        }
        Command::Check { data } => check::run(&data),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(format_args!("deltaic: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

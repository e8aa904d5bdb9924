//! `deltaic serve`: serves a data directory.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use deltaic_protocol::ErrorBody;
use deltaic_server::{Config, Server};

use crate::client::explain;

/// Where a server listens, if not told otherwise.
pub(crate) const LISTEN: &str = "127.0.0.1:7400";

/// The arguments.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The data directory; made where there is none.
    #[arg(long)]
    data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = LISTEN)]
    listen: SocketAddr,
    /// Statements to be run, as one transaction, in a data directory that has no tables yet.
    #[arg(long, value_name = "FILE.sql")]
    schema: Option<PathBuf>,
    /// Let other machines in although nobody has to say who they are.
    #[arg(long)]
    insecure_no_auth: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let schema = match &arguments.schema {
        Some(path) => {
            Some(fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => None,
    };
    let config = Config {
        insecure_no_auth: arguments.insecure_no_auth,
        ..Config::new(&arguments.data, arguments.listen)
    };
    let server = Server::start(config)?;
    server.stop_on_signals(|| eprintln!("stopping; once more to stop at once"));
    if let Some(sql) = schema {
        let engine = server.engine();
        if !engine.status()?.tables.is_empty() {
            eprintln!("the schema is not run: there are tables already");
        } else if let Err(refused) = engine.execute(&sql, Vec::new()) {
            let error: &ErrorBody = &refused.0;
            server.stop();
            server.wait()?;
            bail!("the schema was refused: {}", explain(&sql, error));
        }
    }
    println!("console: http://{}/", server.address());
    server.wait()?;
    Ok(ExitCode::SUCCESS)
}

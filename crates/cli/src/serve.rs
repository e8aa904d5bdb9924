//! `deltaic serve`: a data directory behind HTTP, until Ctrl-C.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, bail};
use deltaic_postgres::{PostgresLedger, Settings};
use deltaic_quota::Ledger;
use deltaic_server::{Config, Server, SharedLedger, SqlFailure};

use crate::{client::show_error, output::tell};

/// A ledger in PostgreSQL. It is asked once now, so that a wrong address or a server that may lose what it acknowledges is
/// told at the start.
pub(crate) fn shared_ledger(connection: &str) -> Result<SharedLedger> {
    let settings = Settings::parse(connection).context("--ledger")?;
    PostgresLedger::connect(settings.clone()).context("--ledger")?;
    Ok(SharedLedger::new(move || {
        let ledger = PostgresLedger::connect(settings.clone()).map_err(|error| error.to_string())?;
        Ok(Box::new(ledger) as Box<dyn Ledger + Send>)
    }))
}

/// Serves the directory; runs the schema if it holds no tables yet.
pub(crate) fn run(
    data: &Path,
    listen: SocketAddr,
    schema: Option<&Path>,
    insecure_no_auth: bool,
    ledger: Option<SharedLedger>,
) -> Result<()> {
    let schema = schema
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("{}", path.display())))
        .transpose()?;
    let server = Server::start(Config { insecure_no_auth, ledger, ..Config::new(data, listen) })?;
    if let Some(schema) = schema {
        if server.engine().status()?.tables.is_empty() {
            let refused = server.engine().execute(&schema, Vec::new()).err();
            if let Some(SqlFailure(error)) = refused {
                bail!("the schema is refused: {}", show_error(&error, &schema));
            }
        }
    }
    server.stop_on_signals(|| tell("\nfinishing what was begun; Ctrl-C again ends at once"))?;
    tell(format_args!("serving {} at http://{}/\nCtrl-C ends it", data.display(), server.address()));
    server.wait()?;
    Ok(())
}

//! `deltaic serve`: a data directory behind HTTP, until Ctrl-C.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use deltaic_server::{Config, Server};

/// Serves the directory; runs the schema if it holds no tables yet.
pub(crate) fn run(
    data: &Path,
    listen: SocketAddr,
    schema: Option<&Path>,
    insecure_no_auth: bool,
) -> Result<()> {
    let schema = schema
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("{}", path.display())))
        .transpose()?;
    let server = Server::start(Config { insecure_no_auth, ..Config::new(data, listen) })?;
    if let Some(schema) = schema {
        if server.engine().status()?.tables.is_empty() {
            server.engine().execute(&schema, Vec::new()).context("the schema is refused")?;
        }
    }
    println!("serving {} at http://{}/", data.display(), server.address());
    println!("Ctrl-C ends it");
    server.stop_on_signals(|| println!("\nfinishing what was begun; Ctrl-C again ends at once"));
    server.wait()?;
    Ok(())
}

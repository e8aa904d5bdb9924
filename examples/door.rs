//! [`Door`]: a server's HTTP interface as the examples use it: of one that runs already, or of one of their own.
//!
//! Invariant: nothing is known of the server but what it says, and nothing waits for a time to pass.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail, ensure};
use deltaic_protocol::{AllocationStatus, Change, EventReader, Snapshot, SqlRequest, SqlResponse, Status};
use deltaic_server::{Config, Server};
use serde_json::Value as Json;

/// A server that says nothing but that it is there, for so long, will say nothing: two minutes.
const HEARTBEATS: usize = 8;

/// A row in JSON.
pub(crate) type Row = Vec<Json>;

/// The way to a server. One of its own ends with it.
pub(crate) struct Door {
    agent: ureq::Agent,
    url: String,
    own: Option<(Server, tempfile::TempDir)>,
}

impl Door {
    /// To the server at an address; without one, to a new server in a temporary directory.
    pub(crate) fn open(url: Option<&str>) -> Result<Self> {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        if let Some(url) = url {
            return Ok(Self { agent, url: url.trim_end_matches('/').to_owned(), own: None });
        }
        let directory = tempfile::tempdir()?;
        let server = Server::start(Config::new(directory.path(), "127.0.0.1:0".parse()?))?;
        let url = format!("http://{}", server.address());
        Ok(Self { agent, url, own: Some((server, directory)) })
    }

    /// Where the console is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs statements as one transaction; gives the rows of the last.
    pub(crate) fn sql(&self, sql: &str) -> Result<Vec<Row>> {
        let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
        let post = self.agent.post(format!("{}/v1/sql", self.url)).header("content-type", "application/json");
        let mut response = post.send(serde_json::to_string(&request)?)?;
        let text = response.body_mut().with_config().limit(1 << 28).read_to_string()?;
        ensure!(response.status().is_success(), "{sql}\nis refused: {text}");
        let answer: SqlResponse = serde_json::from_str(&text)?;
        Ok(answer.rows)
    }

    /// What the server says of an allocation.
    pub(crate) fn allocation(&self, name: &str) -> Result<AllocationStatus> {
        let text = self.agent.get(format!("{}/v1/status", self.url)).call()?.body_mut().read_to_string()?;
        let status: Status = serde_json::from_str(&text)?;
        let found = status.allocations.into_iter().find(|allocation| allocation.name == name);
        found.with_context(|| format!("there is no allocation {name}"))
    }

    /// Follows a query.
    pub(crate) fn watch(&self, sql: &str) -> Result<Watch> {
        let mut response = self.agent.get(format!("{}/v1/live", self.url)).query("sql", sql).call()?;
        if !response.status().is_success() {
            bail!("{sql}\nis refused: {}", response.body_mut().read_to_string()?);
        }
        let body: Box<dyn Read> = Box::new(response.into_body().into_reader());
        Ok(Watch {
            body: BufReader::new(body),
            events: EventReader::default(),
            rows: Vec::new(),
            is_told: false,
        })
    }

    /// Ends a server of its own.
    pub(crate) fn close(self) -> Result<()> {
        if let Some((server, directory)) = self.own {
            server.stop();
            server.wait()?;
            directory.close()?;
        }
        Ok(())
    }
}

/// A live query: its rows, as they are by now.
pub(crate) struct Watch {
    body: BufReader<Box<dyn Read>>,
    events: EventReader,
    rows: Vec<Row>,
    /// Whether the first rows have come.
    is_told: bool,
}

impl Watch {
    /// Reads on until the rows are as asked for; gives how many have come and gone since the last time.
    pub(crate) fn until(&mut self, is_so: impl Fn(&[Row]) -> bool) -> Result<(usize, usize)> {
        let (mut came, mut went, mut heartbeats) = (0, 0, 0);
        while !(self.is_told && is_so(&self.rows)) {
            let mut line = String::new();
            ensure!(self.body.read_line(&mut line)? > 0, "the server has ended");
            heartbeats += usize::from(line.starts_with(':'));
            ensure!(heartbeats < HEARTBEATS, "what was waited for does not come; there is {:?}", self.rows);
            let Some(event) = self.events.line(line.trim_end_matches('\n')) else { continue };
            match event.name.as_str() {
                "snapshot" => {
                    self.rows = serde_json::from_str::<Snapshot>(&event.data)?.rows;
                    self.is_told = true;
                }
                "change" => {
                    for change in serde_json::from_str::<Change>(&event.data)?.changes {
                        if change.weight > 0 {
                            came += 1;
                            self.rows.push(change.row);
                        } else {
                            went += 1;
                            self.rows.retain(|row| *row != change.row);
                        }
                    }
                }
                "error" => bail!("the live query has failed: {}", event.data),
                _ => {}
            }
        }
        Ok((came, went))
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// A value that is a whole number; 0 where it is none, which no check lets pass.
pub(crate) fn whole(value: &Json) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// A value as text.
pub(crate) fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

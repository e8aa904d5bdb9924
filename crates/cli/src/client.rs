//! [`Client`]: requests to a server.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, anyhow};
use clap::Args;
use deltaic_protocol::{ErrorBody, ErrorResponse, SqlRequest, SqlResponse};
use serde_json::Value as Json;

/// The longest response that is read: a result on its way to a terminal or a file.
const RESPONSE_BYTES: u64 = 1 << 30;

/// Which server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Address {
    /// The server's address.
    #[arg(long, env = "DELTAIC_URL", default_value = "http://127.0.0.1:7400")]
    url: String,
}

/// A server to ask.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
}

/// Why a live stream was not opened.
#[derive(Debug)]
pub(crate) enum LiveError {
    /// The server refused the query.
    Refused(ErrorBody),
    /// The server was not reached, or has no time now.
    Unreachable(anyhow::Error),
}

impl Client {
    pub(crate) fn new(address: &Address) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { agent, url: address.url.trim_end_matches('/').to_owned() }
    }

    fn unreachable(&self) -> String {
        format!("no answer from {}: is the server running? choose another with --url", self.url)
    }

    /// Runs statements as one transaction.
    pub(crate) fn sql(&self, sql: &str, params: Vec<Json>) -> anyhow::Result<Result<SqlResponse, ErrorBody>> {
        let body = serde_json::to_vec(&SqlRequest { sql: sql.to_owned(), params })?;
        let url = format!("{}/v1/sql", self.url);
        let request = self.agent.post(url).header("content-type", "application/json");
        let mut response = request.send(&body).with_context(|| self.unreachable())?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(RESPONSE_BYTES).read_to_vec()?;
        if status == 200 {
            let response = serde_json::from_slice(&bytes);
            return Ok(Ok(response.context("the server's answer is not of this protocol")?));
        }
        Ok(Err(error(status, &bytes)?))
    }

    /// Opens the events of a live query; `last` is the id of the last one that was received.
    pub(crate) fn live(
        &self,
        sql: &str,
        params: &[Json],
        last: Option<&str>,
    ) -> Result<impl BufRead + Send + use<>, LiveError> {
        let unreachable = |error: anyhow::Error| LiveError::Unreachable(error);
        let mut request = self.agent.get(format!("{}/v1/live", self.url)).query("sql", sql);
        if !params.is_empty() {
            request = request.query("params", Json::from(params).to_string());
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.call().with_context(|| self.unreachable()).map_err(unreachable)?;
        let status = response.status().as_u16();
        let mut reader = response.into_body().into_reader();
        if status == 200 {
            return Ok(BufReader::new(reader));
        }
        let mut bytes = Vec::new();
        let read = reader.by_ref().take(1 << 20).read_to_end(&mut bytes);
        let error = read
            .map_err(|error| unreachable(error.into()))
            .and_then(|_| self::error(status, &bytes).map_err(unreachable))?;
        // A server that is going away may come back.
        if status == 503 { Err(unreachable(anyhow!(error.message))) } else { Err(LiveError::Refused(error)) }
    }
}

fn error(status: u16, bytes: &[u8]) -> anyhow::Result<ErrorBody> {
    let response: ErrorResponse = serde_json::from_slice(bytes)
        .with_context(|| format!("status {status} without an error: is this a deltaic server?"))?;
    Ok(response.error)
}

/// The error, with its place marked under the SQL and its hint.
pub(crate) fn explain(sql: &str, error: &ErrorBody) -> String {
    let mut text = format!("error {}: {}", error.code, error.message);
    if let Some((line, mark)) = error.position.and_then(|position| place(sql, position)) {
        text = format!("{text}\n{line}\n{mark}");
    }
    if let Some(hint) = &error.hint {
        text = format!("{text}\nhint: {hint}");
    }
    text
}

/// The line with the character of a number, from 1, and a mark to stand under it.
fn place(sql: &str, position: usize) -> Option<(String, String)> {
    let mut rest = position.checked_sub(1)?;
    for line in sql.split('\n') {
        let length = line.chars().count();
        if rest <= length {
            let before = line.chars().take(rest).map(|letter| if letter == '\t' { '\t' } else { ' ' });
            return Some((line.to_owned(), before.chain(['^']).collect()));
        }
        rest -= length + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_marked_under_its_line() {
        let error = ErrorBody {
            code: "42703".into(),
            message: "column \"x\" does not exist".into(),
            position: Some(17),
            hint: Some("perhaps you mean \"y\"".into()),
        };
        let text = explain("SELECT 1\n+ 1 AS x\n;", &error);
        assert_eq!(
            text,
            "error 42703: column \"x\" does not exist\n+ 1 AS x\n       ^\nhint: perhaps you mean \"y\""
        );
        assert_eq!(place("SELECT", 7), Some(("SELECT".into(), "      ^".into())));
        assert_eq!(place("SELECT", 9), None);
        assert_eq!(place("SELECT", 0), None);
    }
}

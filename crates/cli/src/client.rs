//! [`Client`]: a server's HTTP interface, as the subcommands use it.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};
use deltaic_protocol::{ErrorBody, ErrorResponse, SqlRequest, SqlResponse, Status};
use serde_json::Value as Json;
use unicode_width::UnicodeWidthStr;

use crate::{
    stream::{self, Sink},
    table::visible,
};

/// What came of a request.
pub(crate) type Answer = Result<SqlResponse, ErrorBody>;

/// A connection to a server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let scheme = if url.contains("://") { "" } else { "http://" };
        Self { agent: config.into(), url: format!("{scheme}{}", url.trim_end_matches('/')) }
    }

    /// Runs statements as one transaction. The outer error is that there is no server.
    pub(crate) fn sql(&self, sql: &str, params: Vec<Json>) -> Result<Answer> {
        let mut response = self.ask(sql, params)?;
        // A result may be long; the server bounds what it sends.
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        if response.status().is_success() {
            return Ok(Ok(serde_json::from_str(&text).context("the server's answer is not understood")?));
        }
        Ok(Err(error_of(&text)))
    }

    /// Runs a query and hands over its rows as they come, so that none of them are kept. The outer error is that there is no server,
    /// or one of the sink's own.
    pub(crate) fn rows(&self, sql: &str, sink: &mut dyn Sink) -> Result<Result<(), ErrorBody>> {
        let mut response = self.ask(sql, Vec::new())?;
        if !response.status().is_success() {
            return Ok(Err(error_of(&response.body_mut().read_to_string()?)));
        }
        let body = response.body_mut().with_config().limit(u64::MAX).reader();
        stream::read(BufReader::new(body), sink).map(Ok)
    }

    fn ask(&self, sql: &str, params: Vec<Json>) -> Result<ureq::http::Response<ureq::Body>> {
        let request = SqlRequest { sql: sql.to_owned(), params, ..SqlRequest::default() };
        let body = serde_json::to_string(&request)?;
        self.agent
            .post(format!("{}/v1/sql", self.url))
            .header("content-type", "application/json")
            .send(body)
            .with_context(|| self.nobody())
    }

    /// What the server holds.
    pub(crate) fn status(&self) -> Result<Status> {
        let mut response =
            self.agent.get(format!("{}/v1/status", self.url)).call().with_context(|| self.nobody())?;
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        if !response.status().is_success() {
            bail!("{}", show_error(&error_of(&text), ""));
        }
        serde_json::from_str(&text).context("the server's answer is not understood")
    }

    /// Opens a live query: the lines of its event stream, behind the event of that id where the server knows it.
    pub(crate) fn live(
        &self,
        sql: &str,
        params: &Json,
        last_id: Option<&str>,
    ) -> Result<Result<impl BufRead + use<>, ErrorBody>> {
        let mut request = self
            .agent
            .get(format!("{}/v1/live", self.url))
            .query("sql", sql)
            .query("params", params.to_string())
            .header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let mut response = request.call().with_context(|| self.nobody())?;
        if !response.status().is_success() {
            return Ok(Err(error_of(&response.body_mut().read_to_string()?)));
        }
        let reader: Box<dyn Read + Send> = Box::new(response.into_body().into_reader());
        Ok(Ok(BufReader::new(reader)))
    }

    fn nobody(&self) -> String {
        format!("no server answers at {}: start one with `deltaic serve`, or name it with --url", self.url)
    }
}

fn error_of(text: &str) -> ErrorBody {
    match serde_json::from_str::<ErrorResponse>(text) {
        Ok(response) => response.error,
        Err(_) => ErrorBody::new("XX000", text.trim().to_owned()),
    }
}

/// An error as a terminal shows it: the message, the place in the SQL, the hint.
pub(crate) fn show_error(error: &ErrorBody, sql: &str) -> String {
    let mut text = format!("error {}: {}", error.code, visible(&error.message));
    if let Some(position) = error.position.filter(|position| *position > 0) {
        let before: String = sql.chars().take(position - 1).collect();
        let line_start = before.rfind('\n').map_or(0, |place| place + 1);
        let line = sql[line_start..].lines().next().unwrap_or_default();
        let column = visible(&before[line_start..]).width();
        text += &format!("\n  {}\n  {:column$}^", visible(line), "");
    }
    if let Some(hint) = &error.hint {
        text += &format!("\nhint: {}", visible(hint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_at_its_place() {
        let mut error = ErrorBody::new("42703", "column \"nmae\" does not exist");
        error.position = Some(16);
        error.hint = Some("did you mean name?".to_owned());
        assert_eq!(
            show_error(&error, "SELECT\n  id,\n  nmae FROM t"),
            "error 42703: column \"nmae\" does not exist\n    nmae FROM t\n    ^\nhint: did you mean name?"
        );
    }
}

//! A server with its directory, and clients for it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use deltaic_protocol::{Event, EventReader, SqlResponse};
use deltaic_server::{Config, Server};
use serde_json::{Value as Json, json};

/// A bound on waiting, so that a failing test ends.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A directory of its own for each test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("deltaic-server-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn config(&self) -> Config {
        Config::new(&self.0, "127.0.0.1:0".parse().unwrap())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Setting {
    pub(crate) server: Server,
    pub(crate) directory: Directory,
    agent: ureq::Agent,
}

/// A response: status and body.
pub(crate) type Response = (u16, Json);

impl Setting {
    pub(crate) fn new(sql: &str) -> Self {
        Self::of(Directory::new(), sql)
    }

    pub(crate) fn of(directory: Directory, sql: &str) -> Self {
        let config = directory.config();
        Self::with(directory, config, sql)
    }

    pub(crate) fn with(directory: Directory, config: Config, sql: &str) -> Self {
        let server = Server::start(config).unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let setting = Self { server, directory, agent };
        if !sql.is_empty() {
            setting.execute(sql);
        }
        setting
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) fn execute(&self, sql: &str) -> SqlResponse {
        self.server.engine().execute(sql, vec![]).unwrap()
    }

    /// Ends the server; gives the directory for the next one.
    pub(crate) fn end(self) -> Directory {
        self.server.stop();
        self.server.wait().unwrap();
        self.directory
    }

    pub(crate) fn post(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Response {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body).unwrap())
    }

    pub(crate) fn sql(&self, sql: &str, params: &Json) -> Response {
        self.post("/v1/sql", json!({"sql": sql, "params": params}).to_string().as_bytes(), &[])
    }

    /// The same by somebody who says what they had seen.
    pub(crate) fn sql_by(&self, sql: &str, basis: &str) -> Response {
        self.post("/v1/sql", json!({"sql": sql, "basis": basis}).to_string().as_bytes(), &[])
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.call().unwrap())
    }

    pub(crate) fn live(&self, sql: &str, last: Option<&str>) -> Result<Live, Response> {
        let request = self.agent.get(self.url("/v1/live")).query("sql", sql);
        stream(match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        })
    }

    /// A live query of a session with claims.
    pub(crate) fn live_as(&self, sql: &str, claims: &str) -> Result<Live, Response> {
        stream(self.agent.get(self.url("/v1/live")).query("sql", sql).query("claims", claims))
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics", &[]);
        let text = text.as_str().unwrap().to_owned();
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

fn stream(request: ureq::RequestBuilder<ureq::typestate::WithoutBody>) -> Result<Live, Response> {
    let response = request.call().unwrap();
    if response.status() != 200 {
        return Err(read(response));
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let reader = Box::new(BufReader::new(response.into_body().into_reader()));
    Ok(Live { reader, events: EventReader::default() })
}

/// The body as JSON, or as text where it is none.
fn read(mut response: ureq::http::Response<ureq::Body>) -> Response {
    let text = response.body_mut().with_config().limit(1 << 28).read_to_string().unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Json::String(text));
    (response.status().as_u16(), body)
}

/// A stream of events.
pub(crate) struct Live {
    reader: Box<dyn BufRead + Send>,
    events: EventReader,
}

impl Live {
    /// The next event; None at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<(Event, Json)> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            if let Some(event) = self.events.line(line.trim_end_matches('\n')) {
                let data = serde_json::from_str(&event.data).unwrap();
                return Some((event, data));
            }
        }
    }

    pub(crate) fn expect(&mut self, name: &str) -> (Event, Json) {
        let (event, data) = self.next().expect("an event");
        assert_eq!(event.name, name, "{data}");
        (event, data)
    }
}

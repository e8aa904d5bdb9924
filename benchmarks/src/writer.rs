//! [`Writer`]: whoever writes to a server by SQL over HTTP, over a connection that is kept.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

#[derive(Clone)]
pub(crate) struct Writer {
    agent: ureq::Agent,
    url: String,
}

impl Writer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { agent: ureq::Agent::new_with_defaults(), url: format!("http://{address}/v1/sql") }
    }

    /// Runs a request, and waits for its reply.
    pub(crate) fn run(&self, sql: &str, params: &[Json]) {
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        let body = json!({ "sql": sql, "params": params }).to_string();
        let mut response = request.send(body).expect("the statement is fine");
        response.body_mut().read_to_string().expect("an answer");
    }
}

//! `GET /v1/live`: one live query as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use deltaic_engine::{Subscribe, SubscriptionId};
use deltaic_protocol::{ErrorBody, Keep, SqlRequest};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    connection::Peer,
    delivery::Wire,
    engine::Client,
    http::{App, Refusal},
    mailbox::Mailbox,
    status::life_of,
};

/// How long nothing may be sent; proxies give up a silent connection after a minute or half.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Waits until the server drains.
pub(crate) async fn drained(draining: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server; without it there is nothing to wait for.
    drop(draining.wait_for(|draining| *draining).await);
}

/// What the address asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiveQuery {
    sql: String,
    /// A JSON array.
    #[serde(default)]
    params: Option<String>,
    /// A JSON object.
    #[serde(default)]
    claims: Option<String>,
    #[serde(default)]
    keep: Keep,
}

/// The state of a stream of events.
struct Events {
    mailbox: Arc<Mailbox>,
    draining: watch::Receiver<bool>,
    _client: Client,
}

pub(crate) async fn live(
    State(app): State<App>,
    ConnectInfo(Peer(severance)): ConnectInfo<Peer>,
    headers: HeaderMap,
    query: Result<Query<LiveQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let malformed = |message: String| ErrorBody::new("08P01", message);
    let Query(LiveQuery { sql, params, claims, keep }) =
        query.map_err(|error| malformed(error.body_text()))?;
    // What the address holds has the limits of what a body does.
    let read = |field: &str, text: Option<String>, shape: &str| match text {
        None => SqlRequest::decode(br#"{"sql":""}"#).map_err(|error| ErrorBody::from(&error)),
        Some(text) => SqlRequest::decode(format!("{{\"sql\":\"\",\"{field}\":{text}}}").as_bytes())
            .map_err(|error| malformed(format!("{field} must be a JSON {shape}: {error}"))),
    };
    let parameters = read("params", params, "array")?.params;
    let claims = read("claims", claims, "object of texts")?.claims;
    // Whatever is not a cookie of ours starts anew, as one of another database does.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let resume = last.and_then(|id| id.parse().ok());
    let mailbox = Arc::new(Mailbox::new(severance, Arc::clone(&app.metrics)));
    let client = app.engine.connect(Wire::Events, &mailbox)?;
    let subscription = SubscriptionId(0);
    let subscribe =
        Subscribe { client: client.id, subscription, sql, parameters, claims, resume, life: life_of(keep) };
    app.engine.subscribe(subscribe).await.map_err(|refused| refused.error)?;
    let events = Events { mailbox, draining: app.draining.clone(), _client: client };
    let body = Body::from_stream(stream::unfold(events, |mut events| async {
        let text = events.next().await?;
        Some((Ok::<_, Infallible>(text), events))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, body).into_response())
}

impl Events {
    /// The next text to send; None ends the stream.
    async fn next(&mut self) -> Option<String> {
        tokio::select! {
            biased;
            text = self.mailbox.next() => text,
            () = drained(&mut self.draining) => None,
            () = tokio::time::sleep(HEARTBEAT) => Some(": still here\n\n".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{engine::EngineHandle, metrics::Metrics};

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_says_that_it_is_there() {
        let (commands, _received) = mpsc::channel();
        let engine = EngineHandle::new(commands, 1);
        let mailbox = Arc::new(Mailbox::new(Arc::default(), Arc::new(Metrics::default())));
        let client = engine.connect(Wire::Events, &mailbox).unwrap();
        let (_stop, draining) = watch::channel(false);
        let mut events = Events { mailbox: Arc::clone(&mailbox), draining, _client: client };
        assert_eq!(events.next().await.as_deref(), Some(": still here\n\n"));
        mailbox.push("news".to_owned());
        assert_eq!(events.next().await.as_deref(), Some("news"));
    }
}

//! The routes, and those that answer at once.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use deltaic_engine::ViewId;
use deltaic_protocol::{ErrorBody, ErrorResponse, SetDemo, SqlRequest};
use deltaic_types::limits;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::{
    budgets::{self, Door, Idempotency},
    console,
    demo::DemoClock,
    engine::EngineHandle,
    live,
    metrics::Metrics,
    origin, sync,
};

/// The bytes of request bodies that are held at once, in units of 1,024; one more body waits.
const BODIES_KIB: usize = 256 << 10;

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_mins(1);

/// What every handler has.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) engine: EngineHandle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) door: Arc<Door>,
    pub(crate) idempotency: Arc<Idempotency>,
    demo: Option<Arc<DemoClock>>,
    bodies: Arc<Semaphore>,
    loopback: bool,
}

impl App {
    pub(crate) fn new(
        engine: EngineHandle,
        metrics: Arc<Metrics>,
        draining: watch::Receiver<bool>,
        door: Arc<Door>,
        demo: Option<Arc<DemoClock>>,
        loopback: bool,
    ) -> Self {
        let bodies = Arc::new(Semaphore::new(BODIES_KIB));
        let idempotency = Arc::default();
        Self { engine, metrics, draining, door, idempotency, demo, bodies, loopback }
    }

    /// The routes.
    pub(crate) fn router(self) -> Router {
        let versioned = Router::new()
            .route("/sql", post(run_sql))
            .route("/live", get(live::live))
            .route("/sync", get(sync::sync))
            .route("/status", get(status))
            .route("/circuit/{view}", get(circuit))
            .route("/demo", post(set_demo))
            .merge(budgets::routes())
            .fallback(async || nothing_here(StatusCode::NOT_FOUND, "there is nothing at this address"))
            .method_not_allowed_fallback(async || {
                nothing_here(StatusCode::METHOD_NOT_ALLOWED, "the address does not take this method")
            })
            .layer(from_fn_with_state(self.clone(), admit));
        Router::new()
            .nest("/v1", versioned)
            .route("/metrics", get(metrics))
            .route("/readyz", get(ready))
            .route("/healthz", get(async || "alive\n"))
            .route("/", get(async || console::file("")))
            .route("/{file}", get(async |Path(path): Path<String>| console::file(&path)))
            .layer(from_fn_with_state(self.clone(), own_pages_only))
            .with_state(self)
    }
}

/// The answer at an address or to a method that the protocol does not have.
fn nothing_here(status: StatusCode, why: &str) -> Response {
    let error = ErrorBody::new("08P01", format!("{why}: docs/protocol.md lists what there is"));
    (status, Json(ErrorResponse { error })).into_response()
}

/// An error as a response.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ErrorBody);

impl From<ErrorBody> for Refusal {
    fn from(error: ErrorBody) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(ErrorResponse { error: self.0 })).into_response()
    }
}

async fn own_pages_only(State(app): State<App>, request: Request, next: Next) -> Response {
    match origin::check(request.headers(), app.loopback) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal(error).into_response(),
    }
}

fn draining_error() -> ErrorBody {
    ErrorBody::new("57P01", "the server is shutting down: try again when it is back")
}

/// Admits nothing while the server drains, and counts outcomes.
async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = if *app.draining.borrow() {
        Refusal(draining_error()).into_response()
    } else {
        next.run(request).await
    };
    app.metrics.answered(response.status().as_u16());
    response
}

/// The body of a request, and its place among those that are held.
pub(crate) async fn read_body(app: &App, request: Request) -> Result<(Bytes, SemaphorePermit<'_>), Refusal> {
    let limit = limits::REQUEST_BYTES;
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    // A body without a length may become as long as is allowed.
    let announced = length.and_then(|length| length.parse().ok()).unwrap_or(limit);
    if announced > limit {
        return Err(too_long(limit).into());
    }
    let permits = u32::try_from(announced.div_ceil(1_024)).unwrap_or(u32::MAX);
    let held = app.bodies.acquire_many(permits).await.expect("invariant: it is never closed");
    let body: Body = request.into_body();
    let mut draining = app.draining.clone();
    let bytes = tokio::select! {
        bytes = tokio::time::timeout(BODY, to_bytes(body, limit)) => bytes.map_err(|_| {
            ErrorBody::new("08P01", format!("the body did not arrive within {} seconds", BODY.as_secs()))
        })?,
        // What has not arrived was not begun.
        () = live::drained(&mut draining) => return Err(draining_error().into()),
    };
    let bytes = bytes.map_err(|error| {
        let broken = std::error::Error::source(&error)
            .is_none_or(|source| !source.to_string().contains("length limit"));
        if broken {
            ErrorBody::new("08P01", format!("the body did not arrive: {error}"))
        } else {
            too_long(limit)
        }
    })?;
    Ok((bytes, held))
}

async fn run_sql(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (bytes, held) = read_body(&app, request).await?;
    let request = SqlRequest::decode(&bytes).map_err(|error| ErrorBody::from(&error))?;
    drop(bytes);
    let response = app.engine.sql(request).await?;
    drop(held);
    Ok(Json(response).into_response())
}

fn too_long(limit: usize) -> ErrorBody {
    ErrorBody::new("54000", format!("the body is over the limit of {limit} bytes: split the statement"))
}

async fn status(State(app): State<App>) -> Result<Response, Refusal> {
    let mut status = app.engine.read_status().await?;
    status.demo = app.demo.as_ref().map(|clock| clock.status());
    Ok(Json(status).into_response())
}

async fn circuit(State(app): State<App>, Path(view): Path<String>) -> Result<Response, Refusal> {
    let circuit = match view.parse() {
        Ok(view) => app.engine.circuit(ViewId(view)).await?,
        Err(_) => None,
    };
    let Some(circuit) = circuit else {
        let error = ErrorBody::new("42704", "no such live query: /v1/status lists them");
        return Ok((StatusCode::NOT_FOUND, Json(ErrorResponse { error })).into_response());
    };
    Ok(Json(circuit).into_response())
}

async fn set_demo(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    let Some(clock) = &app.demo else {
        let error = ErrorBody::new("0A000", "this is no demo: start one with `deltaic demo`");
        return Ok((StatusCode::NOT_FOUND, Json(ErrorResponse { error })).into_response());
    };
    let malformed = |message: String| ErrorBody::new("08P01", message);
    let bytes = to_bytes(body, 1_024).await.map_err(|error| malformed(error.to_string()))?;
    let set: SetDemo = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    clock.set_speed(set.speed);
    Ok(Json(clock.status()).into_response())
}

async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let status = app.engine.read_status().await?;
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((headers, app.metrics.text(&status)).into_response())
}

/// Ready: the engine answers, and requests are admitted.
async fn ready(State(app): State<App>) -> Response {
    if *app.draining.borrow() || app.engine.read_status().await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response();
    }
    "ready\n".into_response()
}

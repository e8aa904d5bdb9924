//! The calls of `/v1/budgets` and `/v1/events`.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use deltaic_engine::ConsumeError;
use deltaic_protocol::{
    BatchItem, BatchRequest, BatchResponse, Bound, BudgetAnswer, BudgetQuestion, BudgetState, CommitRequest,
    ConsumeRequest, ConsumeResponse, ErrorBody, ErrorResponse, EventLine, LimitState, PermitResponse,
    RefundRequest, ReserveRequest, What, decode_budget,
};
use deltaic_quota::{EventKind, Reason, Time, Units};
use deltaic_types::{Per, datetime};
use serde::Deserialize;
use serde_json::Value as Json_;

use super::{
    door::{Pass, Question, Refused, Standing, is_exhausted},
    idempotency::{Content, Idempotency, KEY_BYTES, Known, Name, name_of},
};
use crate::{
    driver,
    http::{App, Refusal, read_body},
};

/// The most events of one answer.
const EVENTS: usize = 10_000;

/// The routes, below `/v1`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/budgets/consume", post(batch))
        .route("/budgets/{name}/{key}", get(look))
        .route("/budgets/{name}/{key}/consume", post(consume))
        .route("/budgets/{name}/{key}/reserve", post(reserve))
        .route("/budgets/{name}/{key}/commit", post(commit))
        .route("/budgets/{name}/{key}/refund", post(refund))
        .route("/events", get(export))
}

fn now() -> Time {
    Time(u64::try_from(driver::now().0 / 1_000).unwrap_or(0))
}

fn iso(time: Time) -> String {
    datetime::timestamp_to_iso(i64::try_from(time.0.saturating_mul(1_000)).unwrap_or(i64::MAX))
}

/// What is begun is done, whether or not who asked stays to hear of it: otherwise what was admitted would be spent by nobody, and
/// what was given back would be in the log of events alone.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    // It panics where a bug is, and its message was printed.
    tokio::spawn(work).await.unwrap_or(Err(Refused::Gone))
}

async fn consume_detached(app: &App, now: Time, question: Question) -> Result<Pass, Refused> {
    let door = Arc::clone(&app.door);
    detached(async move { door.consume(now, &question).await }).await
}

async fn end_detached(
    app: &App,
    now: Time,
    (budget, key): (String, Vec<Json_>),
    permit: String,
    used: Option<i64>,
) -> Result<(Units, Vec<Standing>), Refused> {
    let door = Arc::clone(&app.door);
    detached(async move { door.end(now, (&budget, &key), &permit, used).await }).await
}

/// What is said of something that was admitted.
fn admitted(pass: &Pass) -> ConsumeResponse {
    ConsumeResponse {
        admitted: true,
        available: available(&pass.limits),
        permit: Some(pass.token.clone()),
        deadline: pass.deadline.map(iso),
        ..ConsumeResponse::default()
    }
}

fn available(limits: &[Standing]) -> u64 {
    limits.iter().map(|limit| limit.available.0).min().unwrap_or(0)
}

/// What is said of something that was not.
fn denied(now: Time, refused: &Refused) -> ConsumeResponse {
    let reason = match refused {
        Refused::Consume(error) => match error {
            ConsumeError::Denied { denied, .. } if denied.reason == Reason::Closed => "closing",
            ConsumeError::Denied { .. } => "exhausted",
            ConsumeError::LedgerAway => "ledger_away",
            ConsumeError::LedgerLost => "ledger_lost",
            ConsumeError::Closing => "closing",
            ConsumeError::NoSuchBudget { .. } => "unknown_budget",
            ConsumeError::NoLimit { .. } => "no_limit",
            ConsumeError::LimitFailed { .. } => "limit_failed",
            _ => "invalid",
        },
        Refused::Events(_) => "ledger_away",
        Refused::Gone => "closing",
        _ => "invalid",
    };
    let mut response = ConsumeResponse {
        reason: Some(reason.to_owned()),
        message: Some(refused.to_string()),
        ..ConsumeResponse::default()
    };
    match refused {
        Refused::Consume(ConsumeError::Denied { denied, .. }) => {
            response.available = denied.available.0;
            response.retry_after = denied.retry_after.map(|at| at.since(now).div_ceil(1_000).max(1));
        }
        Refused::Consume(ConsumeError::LedgerAway | ConsumeError::Closing) | Refused::Gone => {
            response.retry_after = Some(1);
        }
        _ => {}
    }
    response
}

/// The error of what is not a refusal of a limit, with its status.
fn error_of(refused: &Refused) -> (StatusCode, ErrorBody) {
    let (code, status) = match refused {
        Refused::Consume(error @ (ConsumeError::NoSuchBudget { .. } | ConsumeError::NoLimit { .. })) => {
            (error.sqlstate(), Some(StatusCode::NOT_FOUND))
        }
        Refused::Consume(error) => (error.sqlstate(), None),
        Refused::Events(error) => (error.code(), None),
        Refused::Gone => ("57P01", None),
        Refused::Forged => ("42501", None),
        Refused::Ended => ("55000", Some(StatusCode::CONFLICT)),
        Refused::Expired { .. } | Refused::Over => ("55000", Some(StatusCode::GONE)),
        Refused::Other | Refused::Amount { .. } | Refused::Seconds { .. } => ("22023", None),
    };
    let mut body = ErrorBody::new(code, refused.to_string());
    if let Refused::Consume(ConsumeError::NoSuchBudget { nearest: Some(nearest), .. }) = refused {
        body.hint = Some(format!("Perhaps you meant \"{nearest}\"."));
    }
    let by_code = StatusCode::from_u16(body.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status.unwrap_or(by_code), body)
}

fn refusal(now: Time, refused: &Refused) -> Response {
    let is_limit = matches!(refused, Refused::Consume(error)
        if is_exhausted(error) || matches!(error, ConsumeError::LedgerAway | ConsumeError::Closing));
    if !is_limit {
        let (status, error) = error_of(refused);
        return (status, Json(ErrorResponse { error })).into_response();
    }
    let body = denied(now, refused);
    let is_exhausted = body.reason.as_deref() == Some("exhausted");
    let status = if is_exhausted { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut headers = HeaderMap::new();
    if let Some(seconds) = body.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Refused::Consume(ConsumeError::Denied { per, .. }) = refused {
        let mut text = format!("\"{per}\";r=0");
        if let Some(seconds) = body.retry_after {
            let _ = write!(text, ";t={seconds}");
        }
        insert(&mut headers, "ratelimit", &text);
    }
    (status, headers, Json(body)).into_response()
}

fn insert(headers: &mut HeaderMap, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// `RateLimit` and `RateLimit-Policy`, as the IETF's draft has them: a policy for each limit, named by its window.
fn rate_headers(now: Time, limits: &[Standing]) -> HeaderMap {
    let (mut state, mut policy) = (String::new(), String::new());
    for limit in limits {
        for text in [&mut state, &mut policy] {
            if !text.is_empty() {
                text.push_str(", ");
            }
        }
        let (per, left, all) = (limit.per, limit.available, limit.limit);
        // Writing to a string does not fail.
        let _ = write!(state, "\"{per}\";r={left}");
        let _ = write!(policy, "\"{per}\";q={all}");
        if limit.ends != Time::NEVER {
            let _ = write!(state, ";t={}", limit.ends.since(now).div_ceil(1_000));
        }
        match per {
            Per::Fixed { millis } | Per::Sliding { millis } | Per::Bucket { millis, .. } => {
                let _ = write!(policy, ";w={}", millis.div_ceil(1_000));
            }
            Per::Month | Per::Ever => {}
        }
    }
    let mut headers = HeaderMap::new();
    insert(&mut headers, "ratelimit", &state);
    insert(&mut headers, "ratelimit-policy", &policy);
    headers
}

fn key_of(text: String) -> Vec<Json_> {
    vec![Json_::String(text)]
}

fn decoded<'a, T: Deserialize<'a>>(bytes: &'a Bytes) -> Result<T, Refusal> {
    Ok(decode_budget(bytes).map_err(|error| ErrorBody::from(&error))?)
}

async fn consume(
    State(app): State<App>,
    Path((budget, key)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let (bytes, _held) = read_body(&app, request).await?;
    let ConsumeRequest { amount } = decoded(&bytes)?;
    let question = Question { budget, key: key_of(key), amount, seconds: None };
    spend(&app, &headers, question).await
}

async fn reserve(
    State(app): State<App>,
    Path((budget, key)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let (bytes, _held) = read_body(&app, request).await?;
    let ReserveRequest { amount, seconds } = decoded(&bytes)?;
    let question = Question { budget, key: key_of(key), amount, seconds: Some(seconds) };
    spend(&app, &headers, question).await
}

/// A request under an `Idempotency-Key`, which is in work until this is dropped.
struct InWork<'a> {
    known: &'a Idempotency,
    name: Option<Name>,
    content: Content,
}

impl InWork<'_> {
    fn end(mut self, now: Time, answer: &ConsumeResponse) {
        if let Some(name) = self.name.take() {
            self.known.end(now, name, self.content, Some(answer));
        }
    }
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.known.end(Time(0), name, self.content, None);
        }
    }
}

async fn spend(app: &App, headers: &HeaderMap, question: Question) -> Result<Response, Refusal> {
    let now = now();
    let mut in_work = None;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES);
        let Some(key) = key else {
            let message = format!("an Idempotency-Key has from 1 to {KEY_BYTES} printable characters");
            return Err(ErrorBody::new("22023", message).into());
        };
        let name = name_of(&[&question.budget, &format!("{:?}", question.key), key]);
        let content = (question.amount, question.seconds);
        match app.idempotency.begin(now, &name, content) {
            Known::New => in_work = Some(InWork { known: &app.idempotency, name: Some(name), content }),
            Known::Answer(answer) => return Ok(Json(*answer).into_response()),
            Known::InWork => {
                let message = "a request under this Idempotency-Key is in work: wait for its answer";
                return Err(ErrorBody::new("40001", message).into());
            }
            Known::Another => {
                let message = "this Idempotency-Key was used for another request: take a new one";
                let error = ErrorBody::new("22023", message);
                return Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(ErrorResponse { error })).into_response());
            }
        }
    }
    match consume_detached(app, now, question).await {
        Ok(pass) => {
            let body = admitted(&pass);
            if let Some(in_work) = in_work {
                in_work.end(now, &body);
            }
            Ok((rate_headers(now, &pass.limits), Json(body)).into_response())
        }
        Err(refused) => Ok(refusal(now, &refused)),
    }
}

async fn commit(
    State(app): State<App>,
    Path((budget, key)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let (bytes, _held) = read_body(&app, request).await?;
    let CommitRequest { permit, actual } = decoded(&bytes)?;
    Ok(end(&app, (budget, key_of(key)), permit, Some(actual)).await)
}

async fn refund(
    State(app): State<App>,
    Path((budget, key)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let (bytes, _held) = read_body(&app, request).await?;
    let RefundRequest { permit } = decoded(&bytes)?;
    Ok(end(&app, (budget, key_of(key)), permit, None).await)
}

async fn end(app: &App, place: (String, Vec<Json_>), permit: String, used: Option<i64>) -> Response {
    let now = now();
    match end_detached(app, now, place, permit, used).await {
        Ok((refunded, limits)) => {
            let body = PermitResponse { refunded: refunded.0, available: available(&limits) };
            (rate_headers(now, &limits), Json(body)).into_response()
        }
        Err(refused) => refusal(now, &refused),
    }
}

async fn batch(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (bytes, _held) = read_body(&app, request).await?;
    let BatchRequest { requests } = BatchRequest::decode(&bytes).map_err(|error| ErrorBody::from(&error))?;
    let now = now();
    let asked = requests.iter().map(|item: &BatchItem| {
        let (budget, key) = (item.budget.clone(), item.values());
        let question = Question { budget, key, amount: item.amount, seconds: None };
        let app = &app;
        async move {
            match consume_detached(app, now, question).await {
                Ok(pass) => admitted(&pass),
                Err(refused) => denied(now, &refused),
            }
        }
    });
    // Together: what they need of the ledger is one batch there.
    let answers = futures_util::future::join_all(asked).await;
    Ok(Json(BatchResponse { answers }).into_response())
}

async fn look(
    State(app): State<App>,
    Path((budget, key)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let looked = app.door.look(&budget, key_of(key.clone())).await;
    let states = match looked {
        Ok(states) => states,
        Err(refused) => return Ok(refusal(now(), &refused)),
    };
    let limits = states.into_iter().map(|limit| {
        let state = limit.state;
        LimitState {
            per: limit.per,
            limit: state.limit.0,
            used: state.used.0,
            reserved: state.reserved.0,
            available: state.available.0,
            bound: Bound { under: state.bound.under.0, over: state.bound.over.0 },
            denied: state.denied,
            window_end: (state.ends != Time::NEVER).then(|| iso(state.ends)),
        }
    });
    Ok(Json(BudgetState { budget, key, limits: limits.collect() }).into_response())
}

/// What `GET /v1/events` asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    /// The number of the last event that is known.
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    budget: Option<String>,
}

/// Events as JSON lines. Whoever wants the next ones asks again with the last line's number.
async fn export(State(app): State<App>, Query(asked): Query<Export>) -> Result<Response, Refusal> {
    let limit = asked.limit.unwrap_or(EVENTS).min(EVENTS);
    let events = app.door.events().read(asked.after, limit).await;
    let events = events.map_err(|error| ErrorBody::new(error.code(), error.to_string()))?;
    // The last that was looked at, of whichever budget: where the next question begins.
    let last = events.last().map_or(asked.after, |(number, _)| *number);
    let mut text = String::new();
    for (number, event) in events {
        if asked.budget.as_ref().is_some_and(|budget| *budget != event.budget) {
            continue;
        }
        let kind = if event.kind == EventKind::Consumed { "consumed" } else { "refunded" };
        let line = EventLine {
            number,
            at: iso(event.at),
            budget: event.budget,
            key: event.key,
            event: kind.to_owned(),
            amount: event.units.0,
            permit: event.permit,
        };
        text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        text.push('\n');
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert("deltaic-last-event", HeaderValue::from(last));
    Ok((headers, Body::from(text)).into_response())
}

/// The answer to a question over a WebSocket.
pub(crate) async fn answer(app: &App, question: BudgetQuestion) -> BudgetAnswer {
    let BudgetQuestion { id, budget, key, what } = question;
    let key = match key {
        Json_::Array(values) => values,
        value => vec![value],
    };
    let now = now();
    let empty = BudgetAnswer { id, consume: None, permit: None, error: None };
    let (amount, seconds) = match what {
        What::Consume(ConsumeRequest { amount }) => (amount, None),
        What::Reserve(ReserveRequest { amount, seconds }) => (amount, Some(seconds)),
        What::Commit(CommitRequest { permit, actual }) => {
            return ended(end_detached(app, now, (budget, key), permit, Some(actual)).await, empty);
        }
        What::Refund(RefundRequest { permit }) => {
            return ended(end_detached(app, now, (budget, key), permit, None).await, empty);
        }
    };
    let consume = match consume_detached(app, now, Question { budget, key, amount, seconds }).await {
        Ok(pass) => admitted(&pass),
        Err(refused) => denied(now, &refused),
    };
    BudgetAnswer { consume: Some(consume), ..empty }
}

fn ended(outcome: Result<(Units, Vec<Standing>), Refused>, empty: BudgetAnswer) -> BudgetAnswer {
    match outcome {
        Ok((refunded, limits)) => {
            let permit = PermitResponse { refunded: refunded.0, available: available(&limits) };
            BudgetAnswer { permit: Some(permit), ..empty }
        }
        Err(refused) => BudgetAnswer { error: Some(error_of(&refused).1), ..empty },
    }
}

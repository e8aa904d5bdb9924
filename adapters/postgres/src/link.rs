//! [`Link`]: a connection on a thread of its own, so that whoever waits for an answer can stop waiting.
//!
//! Invariant: batches are sent in the order in which they come, each without waiting for the answer to the one before, and
//! the server applies them in that order; any other call has the connection for itself. Each batch has one outcome, in time.
//! Who has stopped waiting never uses the link again: what is still under way on it ends by itself, and then its connection
//! with it.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use deltaic_quota::{LedgerError, Reply};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinSet, LocalSet};
use tokio_postgres::{Client, Error, NoTls, Statement};

use crate::columns::Columns;
use crate::schema::{self, Absent, quoted};
use crate::{ConnectError, Settings};

/// What a connection of the ledger has: itself, and its statements.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) open: Statement,
    apply: Statement,
    pub(crate) silent: Statement,
    /// The schema as an identifier.
    pub(crate) schema: String,
}

/// What hears the outcome of a batch; none if there was no answer in time.
pub(crate) type Applied = Box<dyn FnOnce(Option<Result<Reply, Error>>) + Send>;

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Alone = Box<dyn for<'a> FnOnce(&'a mut Session) -> Running<'a> + Send>;

enum Call {
    Alone(Alone),
    Apply(Box<Columns>, Applied),
}

#[derive(Debug)]
pub(crate) struct Link {
    calls: UnboundedSender<Call>,
    wait: Duration,
    left: Left,
}

/// Whether a link is not to be used any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    is_left: AtomicBool,
    told: Notify,
}

impl Left {
    /// Leaves the link if the outcome of a call on it is not known.
    pub(crate) fn if_away<T>(&self, outcome: &Result<T, LedgerError>) {
        if matches!(outcome, Err(LedgerError::Away)) {
            self.0.is_left.store(true, Ordering::Release);
            self.0.told.notify_one();
        }
    }
}

impl Session {
    async fn begin(settings: &Settings, absent: Absent) -> Result<Self, ConnectError> {
        let of = |error: &Error| ConnectError::of(error, &settings.schema);
        let (mut client, connection) = settings.config.connect(NoTls).await.map_err(|error| of(&error))?;
        // Its error is that of each call on it.
        tokio::task::spawn_local(connection);
        schema::prepare(&mut client, settings, absent).await?;
        let schema = quoted(&settings.schema);
        let arguments: Vec<String> = (1..=Columns::COUNT).map(|number| format!("${number}")).collect();
        let apply = format!("SELECT * FROM {schema}.apply({})", arguments.join(", "));
        let open = format!("SELECT * FROM {schema}.open($1)");
        let open = client.prepare(&open).await.map_err(|error| of(&error))?;
        let apply = client.prepare(&apply).await.map_err(|error| of(&error))?;
        let silent = format!("SELECT * FROM {schema}.silent($1)");
        let silent = client.prepare(&silent).await.map_err(|error| of(&error))?;
        Ok(Self { client, open, apply, silent, schema })
    }

    async fn apply(&self, columns: &Columns) -> Result<Reply, Error> {
        let keys = columns.keys();
        let rows = self.client.query(&self.apply, &columns.arguments(&&keys[..])).await?;
        columns.reply(&rows)
    }
}

/// Makes the calls until nobody can have another made, or the link is left.
async fn serve(session: Session, mut calls: UnboundedReceiver<Call>, wait: Duration, left: Left) {
    let mut session = Rc::new(session);
    let mut under_way = JoinSet::new();
    loop {
        let call = tokio::select! {
            biased;
            () = left.0.told.notified() => {
                calls.close();
                break;
            }
            call = calls.recv() => call,
        };
        let Some(call) = call else { break };
        match call {
            Call::Alone(run) => {
                while under_way.join_next().await.is_some() {}
                run(Rc::get_mut(&mut session).expect("invariant: nothing else is under way")).await;
            }
            Call::Apply(columns, applied) => {
                while under_way.try_join_next().is_some() {}
                let session = Rc::clone(&session);
                under_way.spawn_local(async move {
                    let outcome = tokio::time::timeout(wait, session.apply(&columns)).await;
                    applied(outcome.ok());
                });
            }
        }
    }
    while let Some(call) = calls.recv().await {
        if let Call::Apply(_, applied) = call {
            applied(None);
        }
    }
    while under_way.join_next().await.is_some() {}
}

impl Link {
    pub(crate) fn connect(settings: &Settings, absent: Absent) -> Result<Self, ConnectError> {
        let unreachable = |why: String| ConnectError::Unreachable { why };
        let wait = settings.answer_timeout;
        let (calls, waiting) = unbounded_channel();
        let left = Left::default();
        let told = left.clone();
        let (ready, begun) = channel();
        let settings = settings.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| unreachable(error.to_string()))?;
        let run = async move || {
            match Session::begin(&settings, absent).await {
                Ok(session) => {
                    if ready.send(Ok(())).is_ok() {
                        serve(session, waiting, wait, told).await;
                    }
                }
                // Nobody waits any more: then nobody has to know.
                Err(error) => drop(ready.send(Err(error))),
            }
        };
        thread::Builder::new()
            .name("deltaic-postgres".to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, run()))
            .map_err(|error| unreachable(error.to_string()))?;
        match begun.recv_timeout(wait) {
            Ok(outcome) => outcome.map(|()| Self { calls, wait, left }),
            Err(_) => Err(unreachable(no_answer(wait))),
        }
    }

    pub(crate) fn left(&self) -> Left {
        self.left.clone()
    }

    pub(crate) fn is_left(&self) -> bool {
        self.left.0.is_left.load(Ordering::Acquire)
    }

    /// Runs a call that has the connection for itself; none if it has no answer in time.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        run: impl AsyncFnOnce(&mut Session) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered): (Sender<T>, _) = channel();
        let alone: Alone =
            Box::new(move |session| Box::pin(async move { drop(answer.send(run(session).await)) }));
        self.calls.send(Call::Alone(alone)).ok()?;
        answered.recv_timeout(self.wait).ok()
    }

    /// Sends a batch behind those before it.
    pub(crate) fn apply(&self, columns: Columns, applied: Applied) {
        if let Err(unsent) = self.calls.send(Call::Apply(Box::new(columns), applied)) {
            if let Call::Apply(_, applied) = unsent.0 {
                applied(None);
            }
        }
    }
}

pub(crate) fn no_answer(wait: Duration) -> String {
    format!("no answer within {wait:?}")
}

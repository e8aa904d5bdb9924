//! [`EngineHandle`]: how the rest of the server speaks to the thread that owns the engine.
//!
//! Invariant: requests that wait are bounded; who cannot add one waits in its own connection. Notes that free
//! something (unsubscribe, disconnect) are never held back.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::Sender,
};

use deltaic_engine::{
    ClientId, ConsumeError, LedgerAnswer, LimitState, Outcome, Permitted, RequestError, Subscribe, ViewId,
    Worked,
};
use deltaic_protocol::{CircuitStatus, ErrorBody, SqlRequest, SqlResponse, Status};
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    delivery::{Wire, error_body, response},
    mailbox::Mailbox,
};

/// The outcome of a request.
pub(crate) type SqlReply = oneshot::Sender<Result<Outcome, RequestError>>;

/// Why there is no new subscription, and whether the client has it in its mailbox already.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: ErrorBody,
    pub(crate) is_told: bool,
}

impl From<ErrorBody> for Refused {
    fn from(error: ErrorBody) -> Self {
        Self { error, is_told: false }
    }
}

/// What the engine's thread is asked.
#[derive(Debug)]
pub(crate) enum Command {
    Sql {
        request: SqlRequest,
        reply: SqlReply,
        permit: Option<OwnedSemaphorePermit>,
    },
    Connect {
        client: ClientId,
        wire: Wire,
        mailbox: Arc<Mailbox>,
    },
    Subscribe {
        subscribe: Subscribe,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    /// A question to a budget that spends.
    Consume {
        budget: String,
        key: Vec<Json>,
        amount: i64,
        reply: oneshot::Sender<Result<Permitted, ConsumeError>>,
    },
    /// One that looks.
    Look {
        budget: String,
        key: Vec<Json>,
        reply: oneshot::Sender<Result<Vec<LimitState>, ConsumeError>>,
    },
    /// An answer of the ledger of budgets.
    Ledger(LedgerAnswer),
    /// What a work came to; None where it panicked.
    Worked(Option<Worked>),
    Unsubscribe {
        client: ClientId,
        subscription: u64,
    },
    Disconnect(ClientId),
    Status(oneshot::Sender<Result<Status, ErrorBody>>),
    Circuit(ViewId, oneshot::Sender<Option<CircuitStatus>>),
    Stop,
}

/// A way to the engine's thread; clones are the same way.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    commands: Sender<Command>,
    free: Arc<Semaphore>,
    next_client: Arc<AtomicU64>,
}

/// The answer while the engine's thread is going or gone.
fn stopping() -> ErrorBody {
    ErrorBody::new("57P01", "the server is shutting down: try again when it is back")
}

impl EngineHandle {
    pub(crate) fn new(commands: Sender<Command>, queued: usize) -> Self {
        Self { commands, free: Arc::new(Semaphore::new(queued)), next_client: Arc::default() }
    }

    /// Runs statements as one transaction and waits for the outcome. Not for use inside a runtime.
    pub fn execute(&self, sql: &str, parameters: Vec<Json>) -> Result<SqlResponse, SqlFailure> {
        self.run(SqlRequest { sql: sql.to_owned(), params: parameters, ..SqlRequest::default() })
    }

    /// The same of a request that says whose it is, or what its author had seen. Not for use inside a runtime.
    pub fn run(&self, request: SqlRequest) -> Result<SqlResponse, SqlFailure> {
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Sql { request, reply, permit: None })?;
        let outcome = outcome.blocking_recv().map_err(|_| stopping())?;
        Ok(response(&outcome.map_err(|error| error_body(&error))?))
    }

    /// What the server holds. Not for use inside a runtime.
    pub fn status(&self) -> Result<Status, SqlFailure> {
        let (reply, status) = oneshot::channel();
        self.send(Command::Status(reply))?;
        Ok(status.blocking_recv().map_err(|_| stopping())??)
    }

    fn send(&self, command: Command) -> Result<(), ErrorBody> {
        self.commands.send(command).map_err(|_| stopping())
    }

    /// Sends what needs no answer; nobody is left to care where it cannot be.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    pub(crate) async fn sql(&self, request: SqlRequest) -> Result<SqlResponse, ErrorBody> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| stopping())?;
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Sql { request, reply, permit: Some(permit) })?;
        match outcome.await.map_err(|_| stopping())? {
            Ok(outcome) => Ok(response(&outcome)),
            Err(error) => Err(error_body(&error)),
        }
    }

    /// Registers a client; it is forgotten when the guard is dropped.
    pub(crate) fn connect(&self, wire: Wire, mailbox: &Arc<Mailbox>) -> Result<Client, ErrorBody> {
        let client = ClientId(self.next_client.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Connect { client, wire, mailbox: Arc::clone(mailbox) })?;
        Ok(Client { engine: self.clone(), id: client })
    }

    /// Subscribes. The first news are in the mailbox when it returns.
    pub(crate) async fn subscribe(&self, subscribe: Subscribe) -> Result<(), Refused> {
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Subscribe { subscribe, reply })?;
        outcome.await.map_err(|_| stopping())?
    }

    /// Asks a budget that the leases at hand did not serve.
    pub(crate) async fn consume(
        &self,
        budget: String,
        key: Vec<Json>,
        amount: i64,
    ) -> Result<Result<Permitted, ConsumeError>, ErrorBody> {
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Consume { budget, key, amount, reply })?;
        outcome.await.map_err(|_| stopping())
    }

    /// Asks where a key stands.
    pub(crate) async fn look(
        &self,
        budget: String,
        key: Vec<Json>,
    ) -> Result<Result<Vec<LimitState>, ConsumeError>, ErrorBody> {
        let (reply, outcome) = oneshot::channel();
        self.send(Command::Look { budget, key, reply })?;
        outcome.await.map_err(|_| stopping())
    }

    pub(crate) async fn read_status(&self) -> Result<Status, ErrorBody> {
        let (reply, status) = oneshot::channel();
        self.send(Command::Status(reply))?;
        status.await.map_err(|_| stopping())?
    }

    pub(crate) async fn circuit(&self, view: ViewId) -> Result<Option<CircuitStatus>, ErrorBody> {
        let (reply, circuit) = oneshot::channel();
        self.send(Command::Circuit(view, reply))?;
        circuit.await.map_err(|_| stopping())
    }
}

/// Why a statement was refused, as an error for programs that embed the server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{} ({})", .0.message, .0.code)]
pub struct SqlFailure(pub ErrorBody);

impl From<ErrorBody> for SqlFailure {
    fn from(error: ErrorBody) -> Self {
        Self(error)
    }
}

/// A client that the engine's thread knows for as long as this lives.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) engine: EngineHandle,
    pub(crate) id: ClientId,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.engine.tell(Command::Disconnect(self.id));
    }
}

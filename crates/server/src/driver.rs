//! [`Driver`]: the thread that owns engine and store.
//!
//! It takes whatever has queued up, runs the requests among it as one batch, appends what they wrote, and hands
//! out replies and news; what arrives meanwhile is the next batch. Invariants: the engine is never given another
//! input between an append and its outcome; after a failure that leaves open what is durable, nothing in memory
//! is trusted and the thread ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use deltaic_engine::{
    ClientId, Effects, Engine, Hydration, Input, Message, News, Now, Outcome, Request, RequestError,
    RequestId, Subscribe, SubscriptionId, ViewId,
};
use deltaic_protocol::ErrorBody;
use deltaic_storage::{OpenError, StorageError, Store};
use deltaic_types::Lsn;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    delivery::{Encoder, Wire, error_body},
    engine::{Command, Refused, SqlReply},
    hydrating,
    latency::Latency,
    mailbox::Mailbox,
    metrics::Metrics,
    status,
};

/// The most commands of one batch: a bound on how long the last of them waits.
const BATCH: usize = 1_024;

/// Opens the store: at the start, and after a full disk has closed it.
pub(crate) type Opener = Box<dyn FnMut() -> Result<Box<dyn Store>, OpenError> + Send>;

/// Why there is no engine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The store did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed in a way that leaves open what is durable.
    #[error("{0}. Everything that was acknowledged is on the disk; start again to continue from there")]
    Storage(Arc<StorageError>),
    /// A bug: an invariant does not hold.
    #[error(
        "the engine's thread ended by a bug: its message is above; start again to continue from what is on the disk"
    )]
    Panicked,
}

struct Client {
    wire: Wire,
    mailbox: Arc<Mailbox>,
}

/// Engine, store and whoever waits for them.
pub(crate) struct Driver {
    engine: Engine,
    store: Option<Box<dyn Store>>,
    opener: Opener,
    commands: Receiver<Command>,
    clients: BTreeMap<ClientId, Client>,
    latencies: BTreeMap<ViewId, Latency>,
    /// Who waits for the first news of a subscription whose query is being computed.
    hydrating: BTreeMap<(ClientId, SubscriptionId), oneshot::Sender<Result<(), Refused>>>,
    works: Sender<hydrating::Work>,
    metrics: Arc<Metrics>,
    wake_at: Option<Now>,
    next_request: u64,
}

/// A request that waits for its outcome.
struct Waiting {
    reply: SqlReply,
    arrived: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the driver gives the engine its time")]
fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "durations are measured for people; no result depends on one")]
fn instant() -> Instant {
    Instant::now()
}

impl Driver {
    pub(crate) fn open(
        mut opener: Opener,
        commands: Receiver<Command>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, DriverError> {
        let store = opener()?;
        let engine = Engine::open(&*store).map_err(|error| DriverError::Storage(Arc::new(error)))?;
        Ok(Self {
            engine,
            store: Some(store),
            opener,
            commands,
            clients: BTreeMap::new(),
            latencies: BTreeMap::new(),
            hydrating: BTreeMap::new(),
            works: hydrating::start(),
            metrics,
            wake_at: None,
            next_request: 0,
        })
    }

    /// Works until it is told to stop; what was asked before that is done first.
    pub(crate) fn run(mut self) -> Result<(), DriverError> {
        self.wake()?;
        loop {
            let first = match self.wake_at {
                None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => {
                    let wait = u64::try_from(at.0.saturating_sub(now().0)).unwrap_or(0);
                    self.commands.recv_timeout(Duration::from_micros(wait))
                }
            };
            match first {
                Ok(first) => {
                    if self.batch(first)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.wake()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn wake(&mut self) -> Result<(), DriverError> {
        let effects = self.step(Input::Wake);
        let effects = self.append(effects)?;
        self.deliver(&effects.send, &BTreeMap::new());
        Ok(())
    }

    /// Appends what a step asks for; what the engine does then.
    fn append(&mut self, effects: Effects) -> Result<Effects, DriverError> {
        if effects.append.is_empty() {
            return Ok(effects);
        }
        let start = instant();
        let store = self.store.as_mut().expect("invariant: the store is open between batches");
        let outcome = store.append(&effects.append).map_err(Arc::new);
        self.metrics.append.record(start.elapsed());
        let mut reopen = false;
        match &outcome {
            Ok(()) => self.metrics.committed(effects.append.len()),
            Err(error) => match **error {
                StorageError::DiskFull { .. } => reopen = true,
                StorageError::CommitTooLarge { .. } => {}
                _ => return Err(DriverError::Storage(Arc::clone(error))),
            },
        }
        let effects = self.step(Input::Appended(outcome));
        if reopen {
            self.reopen()?;
        }
        Ok(effects)
    }

    /// Does what has queued up, requests first: they share one append. True after the end.
    fn batch(&mut self, first: Command) -> Result<bool, DriverError> {
        let arrived = instant();
        let mut requests = Vec::new();
        let mut waiting = BTreeMap::new();
        let mut permits = Vec::new();
        let mut others = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Sql { sql, parameters, claims, reply, permit } => {
                    let id = RequestId(self.next_request);
                    self.next_request += 1;
                    requests.push(Request { id, sql, parameters, claims });
                    waiting.insert(id, Waiting { reply, arrived });
                    permits.push(permit);
                }
                other => others.push(other),
            }
            let room = requests.len() + others.len() < BATCH;
            next = if room { self.commands.try_recv().ok() } else { None };
        }
        if !requests.is_empty() {
            self.requests(requests, waiting)?;
        }
        drop(permits);
        let mut stop = false;
        for command in others {
            stop |= self.other(command)?;
        }
        Ok(stop)
    }

    fn requests(
        &mut self,
        requests: Vec<Request>,
        mut waiting: BTreeMap<RequestId, Waiting>,
    ) -> Result<(), DriverError> {
        let effects = self.step(Input::Requests(requests));
        let effects = self.append(effects)?;
        // A commit's news are as old as the first request that saw it.
        let mut arrivals: BTreeMap<Lsn, Instant> = BTreeMap::new();
        let mut replies: Vec<(SqlReply, Result<Outcome, RequestError>)> = Vec::new();
        for reply in effects.replies {
            let waiting = waiting.remove(&reply.request).expect("invariant: a request is answered once");
            if let Ok(outcome) = &reply.result {
                arrivals.entry(outcome.lsn).or_insert(waiting.arrived);
            }
            replies.push((waiting.reply, reply.result));
        }
        assert!(waiting.is_empty(), "every request is answered with its batch");
        self.deliver(&effects.send, &arrivals);
        for (reply, result) in replies {
            // Whoever asked may have gone.
            let _ = reply.send(result);
        }
        Ok(())
    }

    /// Opens the store anew. What the engine has in memory is what is durable: nothing of the append is there.
    fn reopen(&mut self) -> Result<(), DriverError> {
        self.store = None;
        self.store = Some((self.opener)()?);
        Ok(())
    }

    /// Has a large query computed.
    fn compute(&self, work: Option<Box<Hydration>>, back: Sender<Command>) -> Result<(), DriverError> {
        let Some(work) = work else { return Ok(()) };
        self.works.send((work, back)).map_err(|_| DriverError::Panicked)
    }

    /// Does what is no request. True for the end.
    fn other(&mut self, command: Command) -> Result<bool, DriverError> {
        match command {
            Command::Sql { .. } => unreachable!("invariant: requests are taken out before"),
            Command::Connect { client, wire, mailbox } => {
                self.clients.insert(client, Client { wire, mailbox });
                self.metrics.set_clients(self.clients.len());
            }
            Command::Subscribe { subscribe, reply, back } => {
                let id = (subscribe.client, subscribe.subscription);
                let mut effects = self.subscribe(subscribe)?;
                self.compute(effects.work.take(), back)?;
                if effects.send.is_empty() {
                    self.hydrating.insert(id, reply);
                } else {
                    self.subscribed(&effects.send, reply);
                }
            }
            Command::Hydrated { hydrated, back } => {
                let hydrated = hydrated.ok_or(DriverError::Panicked)?;
                let mut effects = self.step(Input::Hydrated(hydrated));
                self.compute(effects.work.take(), back)?;
                for message in
                    effects.send.chunk_by(|a, b| (a.client, a.subscription) == (b.client, b.subscription))
                {
                    let id = (message[0].client, message[0].subscription);
                    match self.hydrating.remove(&id) {
                        Some(reply) => self.subscribed(message, reply),
                        None => self.deliver(message, &BTreeMap::new()),
                    }
                }
            }
            Command::Unsubscribe { client, subscription } => {
                let subscription = SubscriptionId(subscription);
                self.hydrating.remove(&(client, subscription));
                self.step(Input::Unsubscribe { client, subscription });
            }
            Command::Disconnect(client) => self.disconnect(client),
            Command::Status(reply) => {
                let views = self.engine.status().views;
                self.latencies.retain(|id, _| views.iter().any(|view| view.id == *id));
                let status = status::status(&self.engine, self.store(), &self.latencies);
                let status = status.map_err(|error| ErrorBody::new("58030", error.to_string()));
                let _ = reply.send(status);
            }
            Command::Circuit(view, reply) => {
                let _ = reply.send(status::circuit(&self.engine, view));
            }
            Command::Stop => return Ok(true),
        }
        Ok(false)
    }

    /// Subscribes; where catching up takes more than a client may let pile up, the whole result is sent instead.
    fn subscribe(&mut self, subscribe: Subscribe) -> Result<Effects, DriverError> {
        let (client, subscription) = (subscribe.client, subscribe.subscription);
        let anew = subscribe.resume.map(|_| Subscribe { resume: None, ..subscribe.clone() });
        let effects = self.step(Input::Subscribe(subscribe));
        let effects = self.append(effects)?;
        let Some(anew) = anew else { return Ok(effects) };
        let texts = Encoder::default().messages(Wire::Pokes, &effects.send);
        if Mailbox::has_room_for(&texts) {
            return Ok(effects);
        }
        self.step(Input::Unsubscribe { client, subscription });
        let effects = self.step(Input::Subscribe(anew));
        self.append(effects)
    }

    /// Hands out the first news of a subscription. A refusal over server-sent events is a response of its own, and
    /// one that leaves an earlier subscription as it is must not look like its end.
    fn subscribed(&mut self, news: &[Message], reply: oneshot::Sender<Result<(), Refused>>) {
        let refusal = news.iter().find_map(|message| match &message.news {
            News::Error { error, cookie: None } => Some((message.client, error)),
            _ => None,
        });
        let events = |client: &ClientId| self.clients.get(client).is_some_and(|c| c.wire == Wire::Events);
        let outcome = match refusal {
            Some((client, error)) => {
                let is_told = !events(&client) && !matches!(**error, RequestError::SubscriptionExists);
                if is_told {
                    self.deliver(news, &BTreeMap::new());
                }
                Err(Refused { error: error_body(error), is_told })
            }
            None => {
                self.deliver(news, &BTreeMap::new());
                Ok(())
            }
        };
        let _ = reply.send(outcome);
    }

    fn disconnect(&mut self, client: ClientId) {
        if self.clients.remove(&client).is_some() {
            self.metrics.set_clients(self.clients.len());
            self.hydrating.retain(|(other, _), _| *other != client);
            self.step(Input::Disconnect(client));
        }
    }

    /// Puts news into mailboxes. Clients that do not read are cut off and forgotten.
    fn deliver(&mut self, news: &[Message], arrivals: &BTreeMap<Lsn, Instant>) {
        let mut encoder = Encoder::default();
        let mut gone = Vec::new();
        for part in news.chunk_by(|a, b| a.client == b.client) {
            let Some(client) = self.clients.get(&part[0].client) else { continue };
            let mut open = true;
            for text in encoder.messages(client.wire, part) {
                open &= client.mailbox.push(text);
            }
            let ended = part.iter().any(|message| matches!(message.news, News::Error { cookie: None, .. }));
            if client.wire == Wire::Events && ended {
                client.mailbox.close();
            } else if !open {
                gone.push(part[0].client);
            }
        }
        // A view has many messages of one commit: its time is taken once.
        let changes: BTreeSet<(ViewId, Lsn)> = news
            .iter()
            .filter_map(|message| match (&message.news, message.view) {
                (News::Change(change), Some(view)) => Some((view, change.cookie.lsn)),
                _ => None,
            })
            .collect();
        for (view, lsn) in changes {
            if let Some(arrived) = arrivals.get(&lsn) {
                self.latencies.entry(view).or_default().record(arrived.elapsed());
            }
        }
        for client in gone {
            self.disconnect(client);
        }
    }

    fn store(&self) -> &dyn Store {
        self.store.as_deref().expect("invariant: the store is open between batches")
    }

    fn step(&mut self, input: Input) -> Effects {
        let start = instant();
        let store = self.store.as_deref().expect("invariant: the store is open between batches");
        let effects = self.engine.step(now(), input, store);
        self.metrics.step.record(start.elapsed());
        self.wake_at = effects.wake_at;
        effects
    }
}

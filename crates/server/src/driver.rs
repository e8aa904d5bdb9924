//! [`Driver`]: the thread that owns engine and store.
//!
//! It takes whatever has queued up, runs the requests among it as one batch, appends what they wrote, and hands
//! out replies and news; what arrives meanwhile is the next batch. What takes long it has done elsewhere ([`working`]). Invariants: the engine is never given another
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
    ClientId, Consume, ConsumeId, Effects, Engine, Input, Message, News, Now, Reply, Request, RequestError,
    RequestId, Spent, Subscribe, SubscriptionId, ViewId, Work,
};
use deltaic_protocol::{Cut, ErrorBody, SqlRequest};
use deltaic_storage::{Changes, Commit, OpenError, StorageError, Store};
use deltaic_types::{Lsn, limits};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    budgets::{self, Events, LedgerOpener, LedgerThread},
    delivery::{Encoder, Wire, error_body},
    engine::{Command, Refused, SqlReply},
    latency::Latency,
    mailbox::Mailbox,
    metrics::Metrics,
    spending::Asking,
    status, working,
};

/// The most commands of one batch: a bound on how long the last of them waits.
const BATCH: usize = 1_024;

/// The changes written ahead that are brought into their tables between two batches: some milliseconds.
const SETTLED: usize = 1_000;

/// The commits that the log gains before its oldest are removed, and that are removed between two batches: removing costs a
/// sync of its own, which is shared by so many.
const TRIMMED: usize = 1_000;

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

/// Whether catching up takes no more than a client may let pile up; otherwise the whole result is sent instead.
fn has_room_for(news: &[Message]) -> bool {
    Mailbox::has_room_for(&Encoder::default().messages(Wire::Pokes, news))
}

/// Engine, store and whoever waits for them.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    store: Option<Box<dyn Store>>,
    opener: Opener,
    pub(crate) commands: Receiver<Command>,
    clients: BTreeMap<ClientId, Client>,
    latencies: BTreeMap<ViewId, Latency>,
    /// When the requests came whose commits were made last.
    arrivals: BTreeMap<Lsn, Instant>,
    /// Commits of the engine's own, with the first that led to each.
    caused: Vec<(Lsn, Lsn)>,
    /// The requests that have no reply yet.
    waiting: BTreeMap<RequestId, Waiting>,
    /// Who waits for the first news of a subscription.
    subscribing: BTreeMap<(ClientId, SubscriptionId), Subscribing>,
    works: Sender<Work>,
    pub(crate) ledger: LedgerThread,
    pub(crate) events: Events,
    /// The questions to budgets that have no answer yet.
    pub(crate) asking: BTreeMap<ConsumeId, Asking>,
    /// What requests consumed whose replies are to come.
    pub(crate) spent: BTreeMap<RequestId, Vec<Spent>>,
    /// Whether the ledger was last heard to be away.
    pub(crate) is_away: bool,
    metrics: Arc<Metrics>,
    wake_at: Option<Now>,
    /// Whether the store may have changes that are not in their tables yet.
    is_unsettled: bool,
    /// Commits since the log was trimmed: as many as are worth it, and it is trimmed until none need go.
    untrimmed: usize,
    /// Whether the store was opened anew since requests were answered.
    was_reopened: bool,
    pub(crate) next_request: u64,
}

/// A request that waits for its outcome.
struct Waiting {
    reply: SqlReply,
    arrived: Instant,
    /// Its place among the requests that may wait.
    _permit: Option<OwnedSemaphorePermit>,
}

/// A subscription that waits for its first news.
struct Subscribing {
    reply: oneshot::Sender<Result<(), Refused>>,
    /// The same from the start, where it takes up an earlier one.
    anew: Option<Subscribe>,
}

#[expect(clippy::disallowed_methods, reason = "the driver gives the engine its time")]
pub(crate) fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "durations are measured for people; no result depends on one")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

impl Driver {
    pub(crate) fn open(
        mut opener: Opener,
        ((ledger, events), is_shared): ((LedgerOpener, Events), bool),
        (commands, back): (Receiver<Command>, Sender<Command>),
        metrics: Arc<Metrics>,
    ) -> Result<Self, DriverError> {
        let store = opener()?;
        let mut engine = Engine::open(&*store).map_err(|error| DriverError::Storage(Arc::new(error)))?;
        if is_shared {
            engine.share_ledger();
        }
        Ok(Self {
            engine,
            store: Some(store),
            opener,
            commands,
            clients: BTreeMap::new(),
            latencies: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            caused: Vec::new(),
            waiting: BTreeMap::new(),
            subscribing: BTreeMap::new(),
            works: working::start(&back),
            ledger: budgets::start(ledger, back).map_err(|_| DriverError::Panicked)?,
            events,
            asking: BTreeMap::new(),
            spent: BTreeMap::new(),
            is_away: false,
            metrics,
            wake_at: None,
            is_unsettled: true,
            untrimmed: TRIMMED,
            was_reopened: false,
            next_request: 0,
        })
    }

    /// Works until it is told to stop; what was asked before that is done first.
    pub(crate) fn run(mut self) -> Result<(), DriverError> {
        self.wake()?;
        loop {
            let wait = self.wake_at.map(|at| u64::try_from(at.0.saturating_sub(now().0)).unwrap_or(0));
            let has_leftovers = self.is_unsettled || self.untrimmed >= TRIMMED;
            let first = match wait.map(Duration::from_micros) {
                _ if has_leftovers => self.commands.recv_timeout(Duration::ZERO),
                None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(wait) => self.commands.recv_timeout(wait),
            };
            match first {
                Ok(first) => {
                    if self.batch(first)? {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) if wait == Some(0) || !has_leftovers => self.wake()?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.is_unsettled {
                self.settle()?;
            }
            if self.untrimmed >= TRIMMED {
                self.trim()?;
            }
        }
    }

    /// Brings a slice of what was written ahead into its tables.
    fn settle(&mut self) -> Result<(), DriverError> {
        let store = self.store.as_mut().expect("invariant: the store is open between batches");
        match store.settle(SETTLED) {
            Ok(is_unsettled) => {
                self.is_unsettled = is_unsettled;
                Ok(())
            }
            // What is not settled yet is read as if it were, and taken up when there is room.
            Err(StorageError::DiskFull { .. } | StorageError::Closed) => {
                self.is_unsettled = false;
                self.reopen()?;
                self.was_reopened = false;
                Ok(())
            }
            Err(error) => Err(DriverError::Storage(Arc::new(error))),
        }
    }

    /// Removes some of the oldest commits from the log.
    fn trim(&mut self) -> Result<(), DriverError> {
        let store = self.store.as_mut().expect("invariant: the store is open between batches");
        match store.trim(limits::LOG_COMMITS, TRIMMED) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.untrimmed = 0;
                Ok(())
            }
            // What is left goes when the log has grown again.
            Err(StorageError::DiskFull { .. } | StorageError::Closed) => {
                self.untrimmed = 0;
                self.reopen()?;
                self.was_reopened = false;
                Ok(())
            }
            // No row needs what is damaged there.
            Err(error @ StorageError::Corrupted { part: "log", .. }) => {
                self.untrimmed = 0;
                eprintln!("deltaic: the log is not trimmed: {error}");
                Ok(())
            }
            Err(error) => Err(DriverError::Storage(Arc::new(error))),
        }
    }

    fn wake(&mut self) -> Result<(), DriverError> {
        self.perform(Input::Wake)
    }

    /// Gives the engine an input and does all that it asks for.
    pub(crate) fn perform(&mut self, input: Input) -> Result<(), DriverError> {
        let mut effects = self.step(input);
        let (mut replies, mut news) = (Vec::new(), Vec::new());
        loop {
            for work in std::mem::take(&mut effects.work) {
                self.works.send(work).map_err(|_| DriverError::Panicked)?;
            }
            self.budgets(&mut effects)?;
            replies.append(&mut effects.replies);
            news.append(&mut effects.send);
            if effects.append.is_empty() {
                return self.answer(replies, news);
            }
            effects = self.append(&effects.append)?;
        }
    }

    /// Appends what a step asks for; what the engine does then.
    fn append(&mut self, commits: &[Commit]) -> Result<Effects, DriverError> {
        let start = instant();
        let store = self.store.as_mut().expect("invariant: the store is open between batches");
        let outcome = store.append(commits).map_err(Arc::new);
        self.metrics.append.record(start.elapsed());
        let mut reopen = false;
        match &outcome {
            Ok(()) => {
                self.metrics.committed(commits.len());
                self.untrimmed += commits.len();
                self.is_unsettled |=
                    commits.iter().any(|commit| matches!(commit.changes, Changes::Staged(_)));
            }
            Err(error) => match **error {
                // Closed it was by who wrote ahead, on another thread.
                StorageError::DiskFull { .. } | StorageError::Closed => reopen = true,
                StorageError::CommitTooLarge { .. } | StorageError::StageGone => {}
                _ => return Err(DriverError::Storage(Arc::clone(error))),
            },
        }
        let effects = self.step(Input::Appended(outcome));
        if reopen {
            self.reopen()?;
        }
        Ok(effects)
    }

    /// Hands out what a step gives: the news first, so that whoever is told that it has written can have seen it.
    fn answer(&mut self, replies: Vec<Reply>, mut news: Vec<Message>) -> Result<(), DriverError> {
        let mut answers = Vec::new();
        for Reply { request, result } in replies {
            let spent = self.spent.remove(&request).unwrap_or_default();
            let waiting = self.waiting.remove(&request).expect("invariant: a request is answered once");
            if let Ok(outcome) = &result {
                // A commit's news are as old as the first request that saw it.
                self.arrivals.entry(outcome.lsn).or_insert(waiting.arrived);
            }
            answers.push((waiting.reply, result, spent));
        }
        for (own, cause) in std::mem::take(&mut self.caused) {
            if let Some(arrived) = self.arrivals.get(&cause).copied() {
                self.arrivals.insert(own, arrived);
            }
        }
        while self.arrivals.len() > BATCH {
            self.arrivals.pop_first();
        }
        while !news.is_empty() {
            let is_first =
                |message: &Message| self.subscribing.contains_key(&(message.client, message.subscription));
            let id = (news[0].client, news[0].subscription);
            let rest = if is_first(&news[0]) {
                news.split_off(
                    news.iter().take_while(|other| (other.client, other.subscription) == id).count(),
                )
            } else {
                news.split_off(news.iter().take_while(|other| !is_first(other)).count())
            };
            let next = std::mem::replace(&mut news, rest);
            match self.subscribing.remove(&id) {
                None => self.deliver(&next)?,
                Some(Subscribing { anew: Some(anew), reply }) if !has_room_for(&next) => {
                    // What has come since is in the whole result.
                    news.retain(|message| (message.client, message.subscription) != id);
                    let (client, subscription) = id;
                    self.perform(Input::Unsubscribe { client, subscription })?;
                    self.subscribing.insert(id, Subscribing { reply, anew: None });
                    self.perform(Input::Subscribe(anew))?;
                }
                Some(Subscribing { reply, .. }) => self.subscribed(&next, reply)?,
            }
        }
        let (mut is_full, mut failure) = (false, None);
        for (reply, result, spent) in answers {
            if let Err(RequestError::Storage(error)) = &result {
                // Whoever met it may have been on another thread, and the store is closed.
                is_full |= matches!(**error, StorageError::DiskFull { .. });
                if matches!(**error, StorageError::SyncFailed { .. } | StorageError::Io { .. }) {
                    failure = Some(Arc::clone(error));
                }
            }
            self.reply(reply, result, &spent);
        }
        let is_open = std::mem::take(&mut self.was_reopened);
        match failure {
            Some(failure) => Err(DriverError::Storage(failure)),
            None if is_full && !is_open => self.reopen(),
            None => Ok(()),
        }
    }

    /// Does what has queued up, requests first: they share one append. True after the end.
    fn batch(&mut self, first: Command) -> Result<bool, DriverError> {
        let arrived = instant();
        let mut requests = Vec::new();
        let mut others = Vec::new();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Sql { request: SqlRequest { sql, params, claims, basis }, reply, permit } => {
                    let id = RequestId(self.next_request);
                    self.next_request += 1;
                    let basis = basis.map(|Cut(basis)| basis);
                    requests.push(Request { id, sql, parameters: params, claims, basis });
                    self.waiting.insert(id, Waiting { reply, arrived, _permit: permit });
                }
                other => others.push(other),
            }
            let room = requests.len() + others.len() < BATCH;
            next = if room { self.commands.try_recv().ok() } else { None };
        }
        if !requests.is_empty() {
            self.perform(Input::Requests(requests))?;
        }
        let mut stop = false;
        for command in others {
            stop |= self.other(command)?;
        }
        Ok(stop)
    }

    /// Opens the store anew. What the engine has in memory is what is durable: nothing of the append is there.
    fn reopen(&mut self) -> Result<(), DriverError> {
        self.store = None;
        self.store = Some((self.opener)()?);
        self.was_reopened = true;
        Ok(())
    }

    /// Does what is no request. True for the end.
    fn other(&mut self, command: Command) -> Result<bool, DriverError> {
        match command {
            Command::Sql { .. } => unreachable!("invariant: requests are taken out before"),
            Command::Connect { client, wire, mailbox } => {
                self.clients.insert(client, Client { wire, mailbox });
                self.metrics.set_clients(self.clients.len());
            }
            Command::Subscribe { subscribe, reply } => {
                let anew = subscribe.resume.map(|_| Subscribe { resume: None, ..subscribe.clone() });
                let id = (subscribe.client, subscribe.subscription);
                self.subscribing.insert(id, Subscribing { reply, anew });
                self.perform(Input::Subscribe(subscribe))?;
            }
            Command::Consume { budget, key, amount, reply } => {
                let id = self.question(Asking::Consume(reply));
                self.perform(Input::Consume(Consume { id, budget, key, units: Some(amount) }))?;
            }
            Command::Look { budget, key, reply } => {
                let id = self.question(Asking::Look(reply));
                self.perform(Input::Consume(Consume { id, budget, key, units: None }))?;
            }
            Command::Ledger(answer) => self.perform(Input::Ledger(answer))?,
            Command::Worked(worked) => {
                self.perform(Input::Worked(worked.ok_or(DriverError::Panicked)?))?;
            }
            Command::Unsubscribe { client, subscription } => {
                let subscription = SubscriptionId(subscription);
                self.subscribing.remove(&(client, subscription));
                self.perform(Input::Unsubscribe { client, subscription })?;
            }
            Command::Disconnect(client) => self.disconnect(client)?,
            Command::Status(reply) => {
                let views = self.engine.status().views;
                self.latencies.retain(|id, _| views.iter().any(|view| view.id == *id));
                let status = status::status(&self.engine, self.store(), &self.latencies, now());
                let status = status.map_err(|error| ErrorBody::new("58030", error.to_string()));
                let _ = reply.send(status);
            }
            Command::Circuit(view, reply) => {
                let _ = reply.send(status::circuit(&self.engine, view));
            }
            Command::Stop => {
                self.settle_budgets()?;
                self.events.end();
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hands out the first news of a subscription. A refusal over server-sent events is a response of its own, and one that
    /// leaves an earlier subscription as it is must not look like its end.
    fn subscribed(
        &mut self,
        news: &[Message],
        reply: oneshot::Sender<Result<(), Refused>>,
    ) -> Result<(), DriverError> {
        let refusal = news.iter().find_map(|message| match &message.news {
            News::Error { error, cookie: None } => Some((message.client, error)),
            _ => None,
        });
        let events = |client: &ClientId| self.clients.get(client).is_some_and(|c| c.wire == Wire::Events);
        let outcome = match refusal {
            Some((client, error)) => {
                let is_told = !events(&client) && !matches!(**error, RequestError::SubscriptionExists);
                if is_told {
                    self.deliver(news)?;
                }
                Err(Refused { error: error_body(error), is_told })
            }
            None => {
                self.deliver(news)?;
                Ok(())
            }
        };
        let _ = reply.send(outcome);
        Ok(())
    }

    fn disconnect(&mut self, client: ClientId) -> Result<(), DriverError> {
        if self.clients.remove(&client).is_some() {
            self.metrics.set_clients(self.clients.len());
            self.subscribing.retain(|(other, _), _| *other != client);
            self.perform(Input::Disconnect(client))?;
        }
        Ok(())
    }

    /// Puts news into mailboxes. Clients that do not read are cut off and forgotten.
    fn deliver(&mut self, news: &[Message]) -> Result<(), DriverError> {
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
            if let Some(arrived) = self.arrivals.get(&lsn) {
                self.latencies.entry(view).or_default().record(arrived.elapsed());
            }
        }
        for client in gone {
            self.disconnect(client)?;
        }
        Ok(())
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
        self.caused.extend(effects.caused);
        effects
    }
}

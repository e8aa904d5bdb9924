//! A database for tests: an engine over a store in memory, driven by hand.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use deltaic_causality::{ActorId, VersionVector};
use deltaic_engine::{
    AsideCounts, Asked, Claims, ClientId, Consume, ConsumeId, Cookie, Effects, Engine, Input, LedgerAnswer,
    LedgerCall, LedgerTrouble, Life, Looked, Message, News, Now, Outcome, PeerNews, Request, RequestError,
    RequestId, Snapshot, Status, Subscribe, SubscriptionId, ToPeer, ViewChange, Work,
};
use deltaic_quota::{FaultyLedger, Ledger as _, LedgerError};
use deltaic_storage::{Commit, Header, Identity, MemoryStore, StorageError, Store as _};
use deltaic_types::{DatabaseId, Row, text_format};
use serde_json::Value as Json;

/// A second, in the engine's unit of time.
pub(crate) const SECOND: i64 = 1_000_000;

/// An engine with its store and the messages that nobody has read yet.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a test's own")]
pub(crate) struct Db {
    pub(crate) engine: Engine,
    pub(crate) store: MemoryStore,
    pub(crate) now: i64,
    /// Whether work waits in [`Db::held`] and is not done at once.
    pub(crate) hold: bool,
    pub(crate) held: VecDeque<Work>,
    /// The claims of whoever asks.
    pub(crate) claims: Claims,
    /// The ledger of budgets, and what it was not asked yet.
    pub(crate) ledger: FaultyLedger,
    pub(crate) calls: VecDeque<LedgerCall>,
    /// Whether calls wait in [`Db::calls`] and are not made at once.
    pub(crate) hold_calls: bool,
    pub(crate) asked: Vec<Asked>,
    pub(crate) looked: Vec<Looked>,
    pub(crate) trouble: Vec<LedgerTrouble>,
    /// What leaves for other engines, and what is told of them.
    pub(crate) peers: Vec<ToPeer>,
    pub(crate) peer_news: Vec<PeerNews>,
    /// What the author of the next requests had seen, if not all.
    pub(crate) basis: Option<VersionVector>,
    /// When the engine wants to be woken.
    pub(crate) wake_at: Option<Now>,
    is_appending: bool,
    /// Whether the next append fails, and nothing of it is there.
    pub(crate) refuse_append: bool,
    next: u64,
    messages: Vec<Message>,
    replies: BTreeMap<RequestId, Result<Outcome, RequestError>>,
}

/// Values as text, a row a string: `1|open|NULL`.
pub(crate) fn text(row: &[deltaic_types::Value]) -> String {
    let values: Vec<String> = row
        .iter()
        .map(|value| if value.is_null() { "NULL".to_owned() } else { text_format::to_text(value) })
        .collect();
    values.join("|")
}

fn texts(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| text(row)).collect()
}

impl Db {
    /// An empty database.
    pub(crate) fn new() -> Self {
        Self::of(ActorId(1))
    }

    /// The empty database of an actor.
    pub(crate) fn of(actor: ActorId) -> Self {
        Self::over(MemoryStore::new(Identity { database: DatabaseId(7), actor }))
    }

    /// A database after these statements.
    pub(crate) fn with(sql: &str) -> Self {
        let mut db = Self::new();
        db.ok(sql);
        db
    }

    pub(crate) fn over(store: MemoryStore) -> Self {
        let engine = Engine::open(&store).unwrap();
        let now = 1_700_000_000 * SECOND;
        let claims = Claims::new();
        Self {
            engine,
            store,
            now,
            hold: false,
            held: VecDeque::new(),
            claims,
            ledger: FaultyLedger::default(),
            calls: VecDeque::new(),
            hold_calls: false,
            asked: Vec::new(),
            looked: Vec::new(),
            trouble: Vec::new(),
            peers: Vec::new(),
            peer_news: Vec::new(),
            basis: None,
            wake_at: None,
            is_appending: false,
            refuse_append: false,
            next: 0,
            messages: Vec::new(),
            replies: BTreeMap::new(),
        }
    }

    /// The same store under a new engine.
    pub(crate) fn restart(self) -> Self {
        let Self { store, now, ledger, .. } = self;
        Self { now, ledger, ..Self::over(store) }
    }

    pub(crate) fn step(&mut self, input: Input) -> Effects {
        self.now += 1000;
        let is_request = matches!(input, Input::Requests(_));
        let mut effects = self.engine.step(Now(self.now), input, &self.store);
        self.take(&mut effects);
        while !is_request && !effects.append.is_empty() {
            let outcome = self.append(&effects.append);
            effects = self.engine.step(Now(self.now), Input::Appended(outcome), &self.store);
            self.take(&mut effects);
        }
        self.is_appending = !effects.append.is_empty();
        if !self.hold {
            self.finish();
        }
        while !self.hold_calls && !self.is_appending && self.call() {}
        effects
    }

    /// Makes the call of the ledger that has waited longest; whether there was one.
    pub(crate) fn call(&mut self) -> bool {
        let Some(call) = self.calls.pop_front() else { return false };
        let answer = match call {
            LedgerCall::Open(node) => LedgerAnswer::Opened(self.ledger.open(node)),
            LedgerCall::Apply(batch) => LedgerAnswer::Applied(batch.seq, self.ledger.apply(&batch)),
            LedgerCall::Stored(number, keys) => LedgerAnswer::Stored(number, self.ledger.stored(&keys)),
            LedgerCall::Silent(before) => LedgerAnswer::Silent(self.ledger.silent(before)),
            LedgerCall::Bury(node) => {
                self.ledger.open(node).unwrap();
                return true;
            }
        };
        self.step(Input::Ledger(answer));
        true
    }

    /// The call that has waited longest is made, and the engine does not hear of it.
    pub(crate) fn call_unheard(&mut self) {
        match self.calls.pop_front().expect("a call waits") {
            LedgerCall::Open(node) => drop(self.ledger.open(node)),
            LedgerCall::Apply(batch) => drop(self.ledger.apply(&batch)),
            LedgerCall::Stored(..) | LedgerCall::Silent(_) | LedgerCall::Bury(_) => {}
        }
    }

    /// The call that has waited longest is not answered.
    pub(crate) fn call_lost(&mut self) {
        let answer = match self.calls.pop_front().expect("a call waits") {
            LedgerCall::Open(_) => LedgerAnswer::Opened(Err(LedgerError::Away)),
            LedgerCall::Apply(batch) => LedgerAnswer::Applied(batch.seq, Err(LedgerError::Away)),
            LedgerCall::Stored(number, _) => LedgerAnswer::Stored(number, Err(LedgerError::Away)),
            LedgerCall::Silent(_) => LedgerAnswer::Silent(Err(LedgerError::Away)),
            LedgerCall::Bury(_) => return,
        };
        self.step(Input::Ledger(answer));
    }

    /// Asks a budget.
    pub(crate) fn consume(&mut self, budget: &str, key: &[Json], units: i64) {
        self.next += 1;
        let (id, budget, key) = (ConsumeId(self.next), budget.to_owned(), key.to_vec());
        self.step(Input::Consume(Consume { id, budget, key, units: Some(units) }));
    }

    /// Looks where a key stands.
    pub(crate) fn look(&mut self, budget: &str, key: &[Json]) {
        self.next += 1;
        let (id, budget, key) = (ConsumeId(self.next), budget.to_owned(), key.to_vec());
        self.step(Input::Consume(Consume { id, budget, key, units: None }));
    }

    /// Appends, unless it is to fail.
    pub(crate) fn append(&mut self, commits: &[Commit]) -> Result<(), Arc<StorageError>> {
        if std::mem::take(&mut self.refuse_append) {
            return Err(Arc::new(StorageError::Closed));
        }
        self.store.append(commits).unwrap();
        Ok(())
    }

    /// Notes what is to be sent and done.
    fn take(&mut self, effects: &mut Effects) {
        self.messages.append(&mut effects.send);
        self.replies.extend(effects.replies.drain(..).map(|reply| (reply.request, reply.result)));
        self.calls.extend(effects.ledger.drain(..));
        self.asked.append(&mut effects.asked);
        self.looked.append(&mut effects.looked);
        self.trouble.extend(effects.trouble.take());
        self.peers.append(&mut effects.peers);
        self.peer_news.append(&mut effects.peer_news);
        self.wake_at = effects.wake_at;
        self.held.extend(effects.work.drain(..).filter(|work| !matches!(work, Work::Discard(_))));
        let kind = |work: &Work| std::mem::discriminant(work);
        let is_alone = |(place, work)| self.held.iter().take(place).all(|other| kind(other) != kind(work));
        assert!(self.held.iter().enumerate().all(is_alone), "of each kind there is one at a time");
    }

    /// Does all that waits, and what comes of it.
    pub(crate) fn finish(&mut self) {
        while !self.held.is_empty() {
            self.work();
        }
    }

    /// Does the work that has waited longest.
    pub(crate) fn work(&mut self) {
        let work = self.held.pop_front().expect("some work waits");
        if let Some(worked) = work.run() {
            self.step(Input::Worked(worked));
        }
    }

    pub(crate) fn requests<S: AsRef<str>>(&mut self, statements: &[S], parameters: &[Json]) -> Vec<Request> {
        statements
            .iter()
            .map(|sql| {
                self.next += 1;
                let (id, sql) = (RequestId(self.next), sql.as_ref().to_owned());
                let (claims, basis) = (self.claims.clone(), self.basis.clone());
                Request { id, sql, parameters: parameters.to_vec(), claims, basis }
            })
            .collect()
    }

    /// Runs requests that arrive together; the number of appended commits comes first.
    pub(crate) fn batch<S: AsRef<str>>(
        &mut self,
        statements: &[S],
    ) -> (usize, Vec<Result<Outcome, RequestError>>) {
        let requests = self.requests(statements, &[]);
        self.send(requests)
    }

    fn send(&mut self, requests: Vec<Request>) -> (usize, Vec<Result<Outcome, RequestError>>) {
        let ids: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
        let effects = self.step(Input::Requests(requests));
        let commits = effects.append.len();
        if commits > 0 {
            assert!(self.replies.is_empty(), "nothing leaves before it is durable");
            let outcome = self.append(&effects.append);
            self.step(Input::Appended(outcome));
        }
        let replies = ids.iter().map(|id| self.replies.remove(id).expect("it is answered"));
        (commits, replies.collect())
    }

    /// Sends a request whose reply may come later.
    pub(crate) fn ask(&mut self, sql: &str) -> RequestId {
        let requests = self.requests(&[sql], &[]);
        let id = requests[0].id;
        let effects = self.step(Input::Requests(requests));
        if !effects.append.is_empty() {
            self.store.append(&effects.append).unwrap();
            self.step(Input::Appended(Ok(())));
        }
        id
    }

    /// The reply of a request, if it has come.
    pub(crate) fn reply(&mut self, id: RequestId) -> Option<Result<Outcome, RequestError>> {
        self.replies.remove(&id)
    }

    /// Runs requests that arrive together while the store refuses every append.
    pub(crate) fn batch_refused(&mut self, statements: &[&str]) -> Vec<Result<Outcome, RequestError>> {
        let requests = self.requests(statements, &[]);
        let effects = self.step(Input::Requests(requests));
        assert!(!effects.append.is_empty());
        self.step(Input::Appended(Err(Arc::new(StorageError::Closed))));
        std::mem::take(&mut self.replies).into_values().collect()
    }

    /// Runs a request with parameters.
    pub(crate) fn run(&mut self, sql: &str, parameters: &[Json]) -> Result<Outcome, RequestError> {
        let requests = self.requests(&[sql], parameters);
        self.send(requests).1.pop().unwrap()
    }

    /// Runs a request that succeeds.
    #[track_caller]
    pub(crate) fn ok(&mut self, sql: &str) -> Outcome {
        match self.run(sql, &[]) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// The rows of a request that succeeds.
    #[track_caller]
    pub(crate) fn rows(&mut self, sql: &str) -> Vec<String> {
        texts(&self.ok(sql).rows)
    }

    /// The error of a request that fails. It has left no trace: no commit, no row in memory or in the store.
    #[track_caller]
    pub(crate) fn fails(&mut self, sql: &str) -> RequestError {
        let before = self.trace();
        let error = match self.run(sql, &[]) {
            Ok(outcome) => panic!("{sql} should fail, gave {outcome:?}"),
            Err(error) => error,
        };
        assert_eq!(self.trace(), before, "{sql}: a failure leaves a trace");
        error
    }

    /// What a failure must leave as it is.
    fn trace(&self) -> (Header, Status) {
        let counted = AsideCounts::default();
        (self.store.header().unwrap(), Status { aside_counts: counted, ..self.engine.status() })
    }

    /// The code and the message of a request that fails.
    #[track_caller]
    pub(crate) fn error(&mut self, sql: &str) -> (String, String) {
        let error = self.fails(sql);
        (error.sqlstate().to_owned(), error.to_string())
    }

    /// The code of a request that fails.
    #[track_caller]
    pub(crate) fn code(&mut self, sql: &str) -> String {
        self.error(sql).0
    }

    /// Subscribes as client 1 and gives the first messages.
    pub(crate) fn subscribe(&mut self, subscription: u64, sql: &str) -> Vec<Got> {
        self.subscribe_as(1, subscription, sql, &[], None)
    }

    pub(crate) fn subscribe_with(&mut self, subscription: u64, sql: &str, parameters: &[Json]) -> Vec<Got> {
        self.subscribe_as(1, subscription, sql, parameters, None)
    }

    pub(crate) fn subscribe_as(
        &mut self,
        client: u64,
        subscription: u64,
        sql: &str,
        parameters: &[Json],
        resume: Option<Cookie>,
    ) -> Vec<Got> {
        assert!(self.messages.is_empty(), "unread: {:?}", self.messages);
        self.step(Input::Subscribe(Subscribe {
            client: ClientId(client),
            subscription: SubscriptionId(subscription),
            sql: sql.to_owned(),
            parameters: parameters.to_vec(),
            claims: self.claims.clone(),
            resume,
            life: Life::default(),
        }));
        self.read().into_iter().map(|(_, got)| got).collect()
    }

    pub(crate) fn unsubscribe(&mut self, subscription: u64) {
        self.step(Input::Unsubscribe { client: ClientId(1), subscription: SubscriptionId(subscription) });
    }

    /// Lets seconds pass.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += seconds * SECOND;
        self.step(Input::Wake);
    }

    /// The messages since the last reading: subscription and news.
    pub(crate) fn read(&mut self) -> Vec<(u64, Got)> {
        self.messages.drain(..).map(|message| (message.subscription.0, Got::of(message.news))).collect()
    }

    /// The messages as they are.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// The messages since the last reading, as text.
    pub(crate) fn news(&mut self) -> Vec<String> {
        self.read().into_iter().map(|(subscription, got)| format!("{subscription}: {}", got.text())).collect()
    }
}

/// News, taken apart.
#[derive(Debug, Clone)]
pub(crate) enum Got {
    Snapshot(Arc<Snapshot>),
    Change(Arc<ViewChange>),
    Current(Cookie),
    Error(Arc<RequestError>, Option<Cookie>),
}

impl Got {
    fn of(news: News) -> Self {
        match news {
            News::Snapshot(snapshot) => Self::Snapshot(snapshot),
            News::Change(change) => Self::Change(change),
            News::Current(cookie) => Self::Current(cookie),
            News::Error { error, cookie } => Self::Error(error, cookie),
        }
    }

    /// `[1|a, 2|b]` is a snapshot, `-1|a +2|b` a change.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Snapshot(snapshot) => format!("[{}]", texts(&snapshot.rows).join(", ")),
            Self::Change(change) => {
                let rows: Vec<String> = change
                    .changes
                    .iter()
                    .map(|(row, weight)| {
                        let times =
                            if weight.abs() == 1 { String::new() } else { format!("{}*", weight.abs()) };
                        format!("{}{times}{}", if *weight < 0 { '-' } else { '+' }, text(row))
                    })
                    .collect();
                rows.join(" ")
            }
            Self::Current(_) => "current".to_owned(),
            Self::Error(error, _) => format!("error {}", error.sqlstate()),
        }
    }

    pub(crate) fn cookie(&self) -> Cookie {
        match self {
            Self::Snapshot(snapshot) => snapshot.cookie,
            Self::Change(change) => change.cookie,
            Self::Current(cookie) => *cookie,
            Self::Error(_, cookie) => cookie.unwrap(),
        }
    }
}

/// The only message, as text.
#[track_caller]
pub(crate) fn one(got: &[Got]) -> String {
    assert_eq!(got.len(), 1, "{got:?}");
    got[0].text()
}

//! [`Driver`]: an engine with its store, driven as a server drives it, on one thread and by hand.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use deltaic_causality::VersionVector;
use deltaic_engine::{
    Claims, ClientId, Cookie, Effects, Engine, Input, LedgerAnswer, LedgerCall, Life, Message, Now, Outcome,
    PeerInput, PeerNews, Request, RequestError, RequestId, Subscribe, SubscriptionId, ToPeer, Work,
};
use deltaic_quota::{Ledger as _, MemoryLedger};
use deltaic_storage::{StorageError, Store};

use crate::random::Random;

/// An engine and its store.
#[derive(Debug)]
pub struct Driver<S> {
    /// The engine.
    pub engine: Engine,
    /// The store.
    pub store: S,
    /// The ledger of budgets, which outlives the engine.
    pub ledger: MemoryLedger,
    calls: VecDeque<LedgerCall>,
    /// The time: it moves a millisecond an input.
    pub now: i64,
    /// Messages to subscribers, not yet read.
    pub messages: Vec<Message>,
    /// Whether work waits for [`Driver::work`] and is not done at once.
    pub holds: bool,
    works: VecDeque<Work>,
    replies: BTreeMap<RequestId, Reply>,
    /// The first failure of the store that no batch has told yet.
    failure: Option<Arc<StorageError>>,
    /// Why what was written ahead could not be brought into its tables, or the log be trimmed. What was appended is there.
    pub unsettled: Option<Arc<StorageError>>,
    /// The commits that stay in the log; None where all do.
    pub log: Option<u64>,
    /// What leaves for other engines, and what is told of them.
    pub peers: Vec<ToPeer>,
    /// What is told of other engines.
    pub peer_news: Vec<PeerNews>,
    /// What the author of the next requests had seen, if not all.
    pub basis: Option<VersionVector>,
    next: u64,
}

/// What came of a request.
pub type Reply = Result<Outcome, RequestError>;

/// What came of the requests of a batch.
pub type Replies = Vec<Reply>;

/// How long logs are in a run: whole in one of three, of a few commits in the others.
#[derive(Debug)]
pub struct Log(Option<Random>);

impl Log {
    /// That of a seed, with numbers of its own.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x1069);
        Self((!random.one_in(3)).then_some(random))
    }

    /// How many commits stay from now on.
    pub fn kept(&mut self) -> Option<u64> {
        self.0.as_mut().map(|random| random.below(6) as u64)
    }
}

impl<S: Store> Driver<S> {
    /// An engine over a store.
    pub fn open(store: S, now: i64) -> Result<Self, StorageError> {
        let engine = Engine::open(&store)?;
        Ok(Self::of(engine, store, now))
    }

    fn of(engine: Engine, store: S, now: i64) -> Self {
        let (messages, works, replies) = (Vec::new(), VecDeque::new(), BTreeMap::new());
        Self {
            engine,
            store,
            ledger: MemoryLedger::new(),
            calls: VecDeque::new(),
            now,
            messages,
            holds: false,
            works,
            replies,
            failure: None,
            unsettled: None,
            log: None,
            peers: Vec::new(),
            peer_news: Vec::new(),
            basis: None,
            next: 0,
        }
    }

    /// The same engine, whose store was opened anew.
    pub fn reopen(self, open: impl FnOnce() -> Result<S, String>) -> Result<Self, String> {
        let Self { engine, store, ledger, calls, now, messages, holds, works, replies, log, next, .. } = self;
        drop(store);
        let fresh = Self::of(engine, open()?, now);
        Ok(Self { ledger, calls, messages, holds, works, replies, log, next, ..fresh })
    }

    /// Gives the engine an input and does what it asks for.
    fn step(&mut self, input: Input) {
        self.now += 1000;
        let mut effects = self.engine.step(Now(self.now), input, &self.store);
        loop {
            let Effects { append, replies, send, work, peers, peer_news, ledger, .. } = effects;
            self.calls.extend(ledger);
            self.peers.extend(peers);
            self.peer_news.extend(peer_news);
            self.replies.extend(replies.into_iter().map(|reply| (reply.request, reply.result)));
            self.messages.extend(send);
            self.works.extend(work);
            if append.is_empty() {
                break;
            }
            let appended = self.store.append(&append).map_err(Arc::new);
            self.failure = self.failure.take().or(appended.clone().err());
            self.now += 1000;
            effects = self.engine.step(Now(self.now), Input::Appended(appended), &self.store);
        }
        // Now and then some of what was written ahead is brought into its tables, and the log loses its oldest commits.
        let limit = (self.now / 1000 % 4) as usize;
        if limit > 0 && self.failure.is_none() {
            let settled = self.store.settle(limit).map(|_| ());
            let trimmed =
                settled.and_then(|()| self.log.map_or(Ok(false), |keep| self.store.trim(keep, limit)));
            self.unsettled = self.unsettled.take().or(trimmed.err().map(Arc::new));
        }
        while let Some(call) = self.calls.pop_front() {
            self.call(call);
        }
        if !self.holds {
            self.work();
        }
    }

    fn call(&mut self, call: LedgerCall) {
        let answer = match call {
            LedgerCall::Open(node) => LedgerAnswer::Opened(self.ledger.open(node)),
            LedgerCall::Apply(batch) => LedgerAnswer::Applied(batch.seq, self.ledger.apply(&batch)),
            LedgerCall::Stored(number, keys) => LedgerAnswer::Stored(number, self.ledger.stored(&keys)),
            LedgerCall::Silent(before) => LedgerAnswer::Silent(self.ledger.silent(before)),
            LedgerCall::Bury(_) => return,
        };
        self.step(Input::Ledger(answer));
    }

    /// Does the work that waits, and what follows from it.
    pub fn work(&mut self) {
        while let Some(work) = self.works.pop_front() {
            if let Some(worked) = work.run() {
                self.step(Input::Worked(worked));
            }
        }
    }

    /// Runs requests that arrive together. The error is the store's: what it means is the caller's to say.
    pub fn batch(&mut self, statements: &[String]) -> Result<Replies, Arc<StorageError>> {
        let ids = self.send(statements);
        if ids.iter().all(|id| self.replies.contains_key(id)) {
            self.answered(&ids)
        } else {
            self.replies(&ids)
        }
    }

    /// The replies of requests that were sent, when all that waits is done.
    pub fn replies(&mut self, ids: &[RequestId]) -> Result<Replies, Arc<StorageError>> {
        self.work();
        self.answered(ids)
    }

    fn answered(&mut self, ids: &[RequestId]) -> Result<Replies, Arc<StorageError>> {
        let mut reply = |id| self.replies.remove(id).expect("invariant: a request is answered");
        let replies = ids.iter().map(&mut reply).collect();
        self.failure.take().map_or(Ok(replies), Err)
    }

    /// The replies of requests that were sent, those that came before the store failed, and its failure.
    pub fn outcome(&mut self, ids: &[RequestId]) -> (Vec<Option<Reply>>, Option<Arc<StorageError>>) {
        self.work();
        (ids.iter().map(|id| self.replies.remove(id)).collect(), self.failure.take())
    }

    /// Sends requests that arrive together; their replies may come later.
    pub fn send(&mut self, statements: &[String]) -> Vec<RequestId> {
        let requests = statements.iter().map(|sql| {
            self.next += 1;
            let (parameters, claims, basis) = (Vec::new(), Claims::new(), self.basis.clone());
            Request { id: RequestId(self.next), sql: sql.clone(), parameters, claims, basis }
        });
        let requests: Vec<Request> = requests.collect();
        let ids = requests.iter().map(|request| request.id).collect();
        self.step(Input::Requests(requests));
        ids
    }

    /// Runs one request.
    pub fn run(&mut self, sql: &str) -> Result<Outcome, RequestError> {
        let mut replies = self.batch(&[sql.to_owned()]).map_err(RequestError::Storage)?;
        replies.pop().expect("invariant: a request has its reply")
    }

    /// Subscribes; the first message is in `messages`.
    pub fn subscribe(
        &mut self,
        subscription: u64,
        sql: &str,
        parameters: &[serde_json::Value],
        resume: Option<Cookie>,
    ) {
        self.step(Input::Subscribe(Subscribe {
            client: ClientId(1),
            subscription: SubscriptionId(subscription),
            sql: sql.to_owned(),
            parameters: parameters.to_vec(),
            claims: Claims::new(),
            resume,
            life: Life::default(),
        }));
    }

    /// Something comes from another engine.
    pub fn peer(&mut self, input: PeerInput) {
        self.step(Input::Peer(input));
    }

    /// Time passes.
    pub fn wake(&mut self, micros: i64) {
        self.now += micros;
        self.step(Input::Wake);
    }

    /// The first failure of the store that nobody has been told yet.
    pub fn failure(&mut self) -> Option<Arc<StorageError>> {
        self.failure.take().or_else(|| self.unsettled.take())
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, subscription: u64) {
        self.step(Input::Unsubscribe { client: ClientId(1), subscription: SubscriptionId(subscription) });
    }

    /// Lets time pass until views without subscribers are gone.
    pub fn pass_time(&mut self) {
        self.now += 3_600_000_000;
        self.step(Input::Wake);
    }
}

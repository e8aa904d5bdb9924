//! [`Session`]: an engine and a store, driven directly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deltaic_engine::{
    Claims, ClientId, Effects, Engine, Input, Life, Now, Outcome, Request, RequestId, Slice, Subscribe,
    SubscriptionId,
};
use deltaic_storage::Store;

/// An engine and its store.
pub(crate) struct Session<S> {
    pub(crate) engine: Engine,
    pub(crate) store: S,
    now: i64,
    next: u64,
}

impl<S: Store> Session<S> {
    pub(crate) fn open(store: S) -> Self {
        let mut engine = Engine::open(&store).expect("the store opens");
        // There is nobody beside whom anything could be done.
        engine.set_slice(Slice::WHOLE);
        Self { engine, store, now: 1_700_000_000_000_000, next: 0 }
    }

    pub(crate) fn step(&mut self, input: Input) -> Effects {
        self.now += 1000;
        self.engine.step(Now(self.now), input, &self.store)
    }

    /// Runs a request; gives its outcome and the number of messages that it caused.
    pub(crate) fn run(&mut self, sql: &str, parameters: Vec<serde_json::Value>) -> (Outcome, usize) {
        self.next += 1;
        let request = Request {
            id: RequestId(self.next),
            sql: sql.to_owned(),
            parameters,
            claims: Claims::new(),
            basis: None,
        };
        let mut effects = self.step(Input::Requests(vec![request]));
        if !effects.append.is_empty() {
            self.store.append(&effects.append).map_err(Arc::new).expect("the store takes the commit");
            effects = self.step(Input::Appended(Ok(())));
        }
        let reply = effects.replies.pop().expect("a request has its reply");
        (reply.result.expect("the request is fine"), effects.send.len())
    }

    /// Runs a request that changes rows; gives how long the live queries took to follow, and the number of messages.
    pub(crate) fn follow(&mut self, sql: &str) -> (Duration, usize) {
        self.next += 1;
        let request = Request {
            id: RequestId(self.next),
            sql: sql.to_owned(),
            parameters: Vec::new(),
            claims: Claims::new(),
            basis: None,
        };
        let effects = self.step(Input::Requests(vec![request]));
        self.store.append(&effects.append).map_err(Arc::new).expect("the store takes the commit");
        let start = Instant::now();
        let effects = self.step(Input::Appended(Ok(())));
        (start.elapsed(), effects.send.len())
    }

    /// Appends what a step asks for, and what comes of it.
    pub(crate) fn append(&mut self, mut effects: Effects) {
        while !effects.append.is_empty() {
            self.store.append(&effects.append).map_err(Arc::new).expect("the store takes the commit");
            effects = self.step(Input::Appended(Ok(())));
        }
    }

    /// Subscribes and gives the number of messages.
    pub(crate) fn subscribe(&mut self, id: u64, sql: &str) -> usize {
        let subscribe = Subscribe {
            client: ClientId(1),
            subscription: SubscriptionId(id),
            sql: sql.to_owned(),
            parameters: Vec::new(),
            claims: Claims::new(),
            resume: None,
            life: Life::default(),
        };
        self.step(Input::Subscribe(subscribe)).send.len()
    }
}

//! [`Driver`]: an engine with its store, driven as a server drives it, on one thread and by hand.

use std::sync::Arc;

use deltaic_engine::{
    Claims, ClientId, Cookie, Effects, Engine, Input, Life, Message, Now, Outcome, Request, RequestError,
    RequestId, Subscribe, SubscriptionId,
};
use deltaic_storage::{StorageError, Store};

/// An engine and its store.
#[derive(Debug)]
pub struct Driver<S> {
    /// The engine.
    pub engine: Engine,
    /// The store.
    pub store: S,
    /// The time: it moves a millisecond an input.
    pub now: i64,
    next: u64,
    /// Messages to subscribers, not yet read.
    pub messages: Vec<Message>,
}

/// The replies of a batch, or the store's failure.
pub type Replies = Vec<Result<Outcome, RequestError>>;

impl<S: Store> Driver<S> {
    /// An engine over a store.
    pub fn open(store: S, now: i64) -> Result<Self, StorageError> {
        let engine = Engine::open(&store)?;
        Ok(Self { engine, store, now, next: 0, messages: Vec::new() })
    }

    fn step(&mut self, input: Input) -> Effects {
        self.now += 1000;
        let mut effects = self.engine.step(Now(self.now), input, &self.store);
        self.messages.append(&mut effects.send);
        if let Some(work) = effects.work.take() {
            self.step(Input::Hydrated(Box::new(work.run())));
        }
        effects
    }

    /// Runs requests that arrive together. The error is the store's: what it means is the caller's to say.
    pub fn batch(&mut self, statements: &[String]) -> Result<Replies, Arc<StorageError>> {
        let requests = statements
            .iter()
            .map(|sql| {
                self.next += 1;
                let (parameters, claims) = (Vec::new(), Claims::new());
                Request { id: RequestId(self.next), sql: sql.clone(), parameters, claims }
            })
            .collect();
        let effects = self.step(Input::Requests(requests));
        if effects.append.is_empty() {
            return Ok(effects.replies.into_iter().map(|reply| reply.result).collect());
        }
        match self.store.append(&effects.append) {
            Ok(()) => {
                let effects = self.step(Input::Appended(Ok(())));
                Ok(effects.replies.into_iter().map(|reply| reply.result).collect())
            }
            Err(error) => {
                let error = Arc::new(error);
                self.step(Input::Appended(Err(Arc::clone(&error))));
                Err(error)
            }
        }
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

//! [`Input`]: everything that can happen to an engine.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_causality::VersionVector;
use deltaic_storage::StorageError;
use serde_json::Value as Json;

use crate::{
    budgets::{Consume, LedgerAnswer},
    cookie::Cookie,
    life::Life,
    mesh::PeerInput,
    work::Worked,
};

/// The time that comes with an input: microseconds since 1970-01-01T00:00:00Z. What the engine knows of
/// time it knows from here; it may stand still and it may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub i64);

/// The number that whoever drives the engine gave a request, to be named in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The number that whoever drives the engine gave a connection that holds subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// The number that a client gave one of its subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// What is known of the session that asks, by name: `claim('sub')` in SQL. The engine believes whoever drives it.
pub type Claims = BTreeMap<String, String>;

/// Statements to be run as one transaction.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number.
    pub id: RequestId,
    /// One or more SQL statements; together they are one transaction.
    pub sql: String,
    /// The values of `$1`, `$2`, … in the encoding of values in JSON.
    pub parameters: Vec<Json>,
    /// The claims of the session.
    pub claims: Claims,
    /// What its author had seen, where that is not all that is here: the [`crate::Outcome::cut`] of what they read; empty for one who
    /// has seen nothing and wants to be told. A write that comes late replaces nothing that its author did not know.
    pub basis: Option<VersionVector>,
}

/// A query whose result is to be kept up to date.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Who asks.
    pub client: ClientId,
    /// Under which number.
    pub subscription: SubscriptionId,
    /// One SELECT.
    pub sql: String,
    /// The values of `$1`, `$2`, …
    pub parameters: Vec<Json>,
    /// The claims of the session.
    pub claims: Claims,
    /// What the client has already: the cookie of the last message it got for the same query.
    pub resume: Option<Cookie>,
    /// How long the result is kept when nobody watches it any more.
    pub life: Life,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Requests that arrived together; their commits share one append.
    Requests(Vec<Request>),
    /// The answer to [`crate::Effects::append`]. Until it is given no other input may be.
    Appended(Result<(), Arc<StorageError>>),
    /// What [`crate::Effects::work`] came to.
    Worked(Worked),
    /// A question to a budget.
    Consume(Consume),
    /// The answer to one of [`crate::Effects::ledger`].
    Ledger(LedgerAnswer),
    /// Something between engines that merge.
    Peer(PeerInput),
    /// Budgets are to admit nothing more and to be settled: [`crate::Effects::ledger`] until [`crate::Engine::has_settled`].
    Settle,
    /// A subscription.
    Subscribe(Subscribe),
    /// The end of a subscription.
    Unsubscribe {
        /// Whose.
        client: ClientId,
        /// Which.
        subscription: SubscriptionId,
    },
    /// The end of a client and of all its subscriptions.
    Disconnect(ClientId),
    /// Time passed: [`crate::Effects::wake_at`] is here.
    Wake,
}

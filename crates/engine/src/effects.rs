//! [`Effects`]: everything an engine asks of the world.
//!
//! Invariant: whatever is in `send` is durable already. A reply leaves with the [`crate::Input::Appended`] that says so; so
//! do the news that the commit caused, or later where a commit is large or stands behind a large one.

use std::sync::Arc;

use deltaic_causality::{ActorId, VersionVector};
use deltaic_dataflow::KeyColumn;
use deltaic_query::plan::ResultColumn;
use deltaic_storage::Commit;
use deltaic_types::{Lsn, Row};

use crate::{
    budgets::{Asked, LedgerCall, LedgerTrouble, Looked, Spent},
    cookie::Cookie,
    error::RequestError,
    input::{ClientId, Now, RequestId, SubscriptionId},
    mesh::SchemaMismatch,
    views::ViewId,
    work::Work,
};

/// What is to be done after a step, in this order.
#[derive(Debug, Default)]
pub struct Effects {
    /// Commits to be appended to the store, whole and durable; the outcome is the next input. None if empty.
    pub append: Vec<Commit>,
    /// What the requests that are answered have consumed.
    pub spent: Vec<Spent>,
    /// Replies to requests.
    pub replies: Vec<Reply>,
    /// Messages to subscribers. Those of one commit to one client stand together.
    pub send: Vec<Message>,
    /// What is to be computed, wherever and as long as it takes; its end is an input, [`crate::Input::Worked`].
    pub work: Vec<Work>,
    /// Calls of the ledger of budgets, to be made one after the other, each answered by an input, [`crate::Input::Ledger`].
    pub ledger: Vec<LedgerCall>,
    /// Answers to questions that spend.
    pub asked: Vec<Asked>,
    /// Answers to questions that look.
    pub looked: Vec<Looked>,
    /// What is wrong with the ledger, to be told to who runs it.
    pub trouble: Option<LedgerTrouble>,
    /// Messages to other engines, which may be lost, repeated and late.
    pub peers: Vec<ToPeer>,
    /// What is to be told of other engines to who runs this one.
    pub peer_news: Vec<PeerNews>,
    /// A commit of the engine's own that is asked for, and the first one that led to it.
    pub caused: Option<(Lsn, Lsn)>,
    /// When [`crate::Input::Wake`] is due at the latest, if nothing else happens.
    pub wake_at: Option<Now>,
}

impl Effects {
    /// Adds what is to be done after it.
    pub(crate) fn absorb(&mut self, later: Self) {
        assert!(self.append.is_empty() || later.append.is_empty(), "one append at a time");
        self.append.extend(later.append);
        self.spent.extend(later.spent);
        self.replies.extend(later.replies);
        self.send.extend(later.send);
        self.work.extend(later.work);
        self.ledger.extend(later.ledger);
        self.asked.extend(later.asked);
        self.looked.extend(later.looked);
        self.peers.extend(later.peers);
        self.peer_news.extend(later.peer_news);
        self.trouble = later.trouble.or(self.trouble.take());
        self.caused = later.caused.or(self.caused.take());
    }
}

/// A message to another engine: [`crate::PeerInput::Received`] there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToPeer {
    /// To whom.
    pub peer: ActorId,
    /// What.
    pub bytes: Vec<u8>,
}

/// What is to be told of other engines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerNews {
    /// Nothing was heard of a member for long ([`deltaic_crdt::anti_entropy::Settings::retention`]).
    Silent(ActorId),
    /// This engine is no member any more.
    Forgotten {
        /// Who has forgotten it.
        by: ActorId,
    },
    /// The database was restored from a copy: it must come back under another name.
    Restored {
        /// Who has seen writes that it lacks.
        by: ActorId,
    },
    /// A peer was restored from a copy.
    PeerRestored(ActorId),
    /// A peer's tables are such that rows do not merge with ours. Nothing is exchanged with it until one of the two changes.
    OtherSchema {
        /// The peer.
        peer: ActorId,
        /// Why.
        mismatch: SchemaMismatch,
    },
    /// A peer has the same cut and another state: there is a fault, here or there.
    Diverged {
        /// The peer.
        peer: ActorId,
        /// The tables that differ; those that are not defined here by their number in hexadecimal digits.
        tables: Vec<String>,
    },
}

/// The outcome of a request.
#[derive(Debug)]
pub struct Reply {
    /// The request.
    pub request: RequestId,
    /// The result of its last statement, or why nothing of it was done.
    pub result: Result<Outcome, RequestError>,
}

/// The result of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The columns of the result; none for a statement that returns no rows.
    pub columns: Vec<ResultColumn>,
    /// The rows, in the order asked for.
    pub rows: Vec<Row>,
    /// How many rows the statement returned or wrote.
    pub rows_affected: u64,
    /// The last commit that the result reflects: the request's own, if it wrote.
    pub lsn: Lsn,
    /// What its author has seen with it, of the writes of all: their next [`crate::Request::basis`]. None before anybody gave one
    /// and there were other members.
    pub cut: Option<VersionVector>,
}

/// News of a subscription.
#[derive(Debug, Clone)]
pub struct Message {
    /// To whom.
    pub client: ClientId,
    /// About which subscription.
    pub subscription: SubscriptionId,
    /// The view behind it; None where the subscription was refused.
    pub view: Option<ViewId>,
    /// What.
    pub news: News,
}

/// What happened to a result. Shared by all subscribers of a view, so that it is encoded once.
#[derive(Debug, Clone)]
pub enum News {
    /// The whole result.
    Snapshot(Arc<Snapshot>),
    /// What changed with a commit. The client had the result up to any earlier lsn.
    Change(Arc<ViewChange>),
    /// The client has the result up to this cookie already.
    Current(Cookie),
    /// The result cannot be told for now, or the subscription was refused or ended.
    Error {
        /// Why.
        error: Arc<RequestError>,
        /// Up to where the subscription stands; None where it was refused or ended.
        cookie: Option<Cookie>,
    },
}

/// The whole result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its columns.
    pub columns: Vec<ResultColumn>,
    /// The order: places in a row, or among the hidden columns behind it.
    pub order: Vec<KeyColumn>,
    /// The rows, in order; behind a row's columns stand hidden ones that only the order uses.
    pub rows: Vec<Row>,
    /// Where the result stands.
    pub cookie: Cookie,
}

/// What changed of a result: retractions first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    /// The columns of a row; hidden ones for the order follow.
    pub columns: Vec<ResultColumn>,
    /// The order: places in a row, or among the hidden columns behind it.
    pub order: Vec<KeyColumn>,
    /// Rows (with hidden columns) and how often each came or, negative, went.
    pub changes: Vec<(Row, i64)>,
    /// Where the result stands now.
    pub cookie: Cookie,
}

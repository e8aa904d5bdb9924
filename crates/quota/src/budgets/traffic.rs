//! What goes into a node and what comes out: [`Input`] and [`Effects`].
//!
//! Invariant: all that a node learns is an input and all that it wants is an effect, so that a run can be repeated.

use super::PolicyId;
use crate::accumulator::LostWrite;
use crate::ledger::{Batch, LedgerError, Opened, Reply, Silent};
use crate::permit::{Denied, Permit};
use crate::{Key, NodeId, Seq, Time, Units};

/// Names a request that may wait. The caller chooses it and gets it back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What may happen to a node.
#[derive(Debug)]
pub enum Input {
    /// The ledger opened an epoch for this node.
    Opened(Opened),
    /// The ledger answered the batch of this number, or did not.
    Replied(Seq, Result<Reply, LedgerError>),
    /// A request that may wait for the ledger: the first of a key, and those that a lease could not cover.
    Consume {
        /// Comes back with the answer.
        request: RequestId,
        /// The key's policy.
        policy: PolicyId,
        /// Whose budget.
        key: Key,
        /// How much.
        units: Units,
    },
    /// The key's limit shall be this from now on. Of a standing policy: that of all keys, from the next window on.
    SetLimit {
        /// The key's policy.
        policy: PolicyId,
        /// Whose budget.
        key: Key,
        /// How much.
        limit: Units,
    },
    /// So much is added to the key's limit.
    Credit {
        /// The key's policy.
        policy: PolicyId,
        /// Whose budget.
        key: Key,
        /// How much.
        units: Units,
    },
    /// Time has passed. A driver ticks at least as often as the shortest `max_age` of its policies, when
    /// [`Budgets::is_urgent`](super::Budgets::is_urgent) says so, at least six times in the time to live of leases, and
    /// a while after an error, to try again.
    Tick,
    /// The ledger's answer to [`Effects::ask_silent`].
    Silent(Vec<Silent>),
    /// Admit nothing more. Permits may still be ended.
    Stop,
    /// Settle everything and end. May be said again.
    Close,
}

/// The answer to a request that waited.
pub type Answer = Result<Permit<'static>, Denied>;

/// What leaves a node.
#[derive(Debug, Default)]
pub struct Effects {
    /// Send these to the ledger in this order, behind those sent before, and the answer of each back. Any step may have
    /// some, that of [`Input::Opened`] too; without [`Budgets::set_depth`](super::Budgets::set_depth) one is
    /// under way at a time.
    pub send: Vec<Batch>,
    /// Answers, in the order of the requests of each key.
    pub replies: Vec<(RequestId, Answer)>,
    /// Ask the ledger which nodes are [`silent`](crate::Ledger::silent) since before this, and say it by
    /// [`Input::Silent`]. No answer is needed: it is asked again.
    pub ask_silent: Option<Time>,
    /// These nodes have died: [`open`](crate::Ledger::open) the next epoch of each, so that what they held is spent and
    /// nobody waits for it.
    pub declare_dead: Vec<NodeId>,
    /// The ledger has forgotten what it acknowledged. The node has stopped.
    pub lost: Option<Lost>,
    /// The ledger refuses this node for good; a new [`Budgets`](super::Budgets) with a new epoch has to take its place.
    pub failed: Option<LedgerError>,
    /// Everything is settled and the node has ended.
    pub closed: bool,
}

/// How a lost write showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The ledger expects a batch that it has acknowledged.
    Batch {
        /// The last that was acknowledged.
        acknowledged: Seq,
        /// What the ledger expects.
        expected: Seq,
    },
    /// A lease has less than was granted.
    Grant(LostWrite),
}

//! The durable side: [`Ledger`], the batches it takes, and what it answers.
//!
//! Invariant: for every account `used + reserved <= limit`, by a constraint of the store, after every operation.
//! `reserved` is the sum of what leases hold unsettled. Settling moves units from `reserved` to `used` or back and
//! leaves the sum alone; only a grant raises it, under the condition. So no message, however often or late it
//! comes, admits more than the limit.
//!
//! *Settle and extend* is one row per dirty account: cumulative values, and what is wanted. A node's batches are
//! numbered without gaps within an epoch and applied in that order, the same bytes until the answer is known. The
//! ledger keeps one number per node: a batch with that number or a lower one changes nothing and is answered from
//! the rows, one of a dead epoch is refused. That is the whole state of idempotency.
//!
//! A cut of a limit is a *target*: `limit` follows it down as leases come home, so that the constraint holds at
//! every moment of it.
//!
//! Units go from node to node through the account. A claim that is not met while other nodes hold units leaves a *want*
//! in its lease; whoever holds units of a wanted account learns it with the next answer and sends home what is not needed
//! at once. The want ends when what came home is enough, or when there is nothing that could still come.
//!
//! A node is *silent* when the ledger has heard nothing of it for as long as its nodes have agreed on. Whoever finds
//! it so may open its next epoch: what it held is spent, never given again, so that a node that was only slow has
//! admitted nothing twice. Clocks decide what is wasted by that, and nothing else.

mod aggregates;
mod batch;
mod contradiction;
mod fault;
mod memory;
mod rows;

use thiserror::Error;

pub use aggregates::{AggregateLedger, AggregateRows, Combine, combine_bytes};
pub use batch::{Batch, Claim, Entry, LimitWord, Then};
pub use contradiction::Contradiction;
pub use fault::{Fault, FaultyLedger};
pub use memory::MemoryLedger;
pub use rows::{AccountRow, KeyRow, NodeRow, Rows};

use crate::{Account, Epoch, Key, NodeId, Place, Seq, Time, Units, WindowId};

/// What a ledger has of an account. Load it to know where a budget stands; a reply carries it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Baseline {
    /// What the limit is to be.
    pub target: Units,
    /// What the limit is: the target, or what is in use while a cut waits for leases to come home.
    pub limit: Units,
    /// Spent for good.
    pub used: Units,
    /// Held by leases, spent or not.
    pub reserved: Units,
    /// Spent without a lease beyond what the limit had room for.
    pub overrun: Units,
    /// What the windows before this one use up of its limit, if it slides.
    pub before: Units,
    /// The high-water mark of a bucket, in its units since 1970.
    pub high: u64,
}

impl Baseline {
    /// What may still be granted.
    pub fn left(&self) -> Units {
        self.target.minus(self.used).minus(self.reserved).minus(self.before)
    }
}

/// One node's lease of an account: cumulative amounts, so that a later row says all that an earlier one said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lease {
    /// The epoch of its node.
    pub epoch: Epoch,
    /// The batch that touched it last.
    pub seq: Seq,
    /// Given to the node.
    pub granted: Units,
    /// Admitted by the node, gross.
    pub consumed: Units,
    /// Given back by the node's clients.
    pub refunded: Units,
    /// Sent home by the node unspent.
    pub returned: Units,
    /// Spent without cover, net of refunds.
    pub unbacked: Units,
    /// Added to the limit through this lease.
    pub credited: Units,
    /// Claimed and not to be had, while other nodes held as much.
    pub wanted: Units,
}

impl Lease {
    /// Consumed and not refunded.
    pub fn net(&self) -> Units {
        self.consumed.minus(self.refunded)
    }

    /// What the lease still covers: reserved at the ledger.
    pub fn outstanding(&self) -> Units {
        self.granted.minus(self.returned).minus(self.net())
    }
}

/// An account as it is stored, with its leases by node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// The account's row.
    pub baseline: Baseline,
    /// The rows of its leases.
    pub leases: Vec<(NodeId, Lease)>,
}

/// A key as it is stored, with all its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The key.
    pub key: Key,
    /// What its limit is to be.
    pub target: Units,
    /// Its accounts, in the order of windows; what counts in one of those before it is not in it.
    pub windows: Vec<(WindowId, Baseline)>,
}

impl Stored {
    /// Where a window of the key stands, with what those before it use up of its limit.
    pub fn at(&self, place: &Place) -> Baseline {
        let first = WindowId(place.id.0.saturating_sub(place.span));
        let found = self.windows.iter().find(|(window, _)| *window == place.id);
        let untouched = Baseline { target: self.target, limit: self.target, ..Baseline::default() };
        let earlier = self.windows.iter().filter(|(window, _)| (first..place.id).contains(window));
        let before = earlier.fold(Units::ZERO, |sum, (_, row)| sum.plus(row.used).plus(row.reserved));
        Baseline { before, ..found.map_or(untouched, |(_, baseline)| *baseline) }
    }
}

/// Which keys are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// One.
    Only(Key),
    /// So many behind one, or from the first on, in an order of the ledger's own.
    Behind(Option<Key>, usize),
}

/// What opening a node's next epoch gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The node's epoch from now on.
    pub epoch: Epoch,
    /// What the dead epoch's leases held unsettled: spent from now on.
    pub burnt: Units,
    /// The dead epoch may have spent standing shares of windows that begin before this.
    pub horizon: Time,
}

/// A node that holds leases and was not heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent {
    /// Which node.
    pub node: NodeId,
    /// In which of its lives.
    pub epoch: Epoch,
    /// Its last batch.
    pub seq: Seq,
}

/// The answer to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// All that was ever granted to the lease; nothing once it is closed.
    pub granted: Units,
    /// The account after the batch.
    pub baseline: Baseline,
    /// The latest window of the key that was ever granted from. A window before it gets nothing more.
    pub newest: WindowId,
    /// A bucket that another node holds is not granted from.
    pub held_by: Option<NodeId>,
    /// What other nodes want of the account and what is left does not meet.
    pub recalled: Units,
}

/// The answer to a batch: a row per entry, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The batch's number.
    pub seq: Seq,
    /// One for each entry.
    pub rows: Vec<Row>,
    /// Accounts that the batch does not name, that the node holds units of and that others want some of. Ordered, and
    /// at most [`Reply::RECALLED`]: the next answer tells of those that are left out.
    pub recalled: Vec<(Account, Units)>,
}

impl Reply {
    /// The most accounts that one reply recalls beside its rows.
    pub const RECALLED: usize = 1 << 10;
}

/// Why a batch has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The outcome is not known.
    #[error("the ledger did not answer in time: send the same batch again, it may have been written")]
    Away,
    /// Nothing was written.
    #[error("the ledger wrote nothing ({why}): mend that, then send the same batch again")]
    Refused {
        /// The store's own word.
        why: &'static str,
    },
    /// The node was never opened here.
    #[error("node {} is not known to the ledger: open an epoch first", node.0)]
    Unopened {
        /// Which node.
        node: NodeId,
    },
    /// The node has a later epoch.
    #[error("epoch {} is over, the node is in epoch {}: stop, this process was replaced", sent.0, current.0)]
    Fenced {
        /// The batch's epoch.
        sent: Epoch,
        /// The node's.
        current: Epoch,
    },
    /// The batches before this one were not seen.
    #[error("batch {} came before batch {}: send that first", sent.0, expected.0)]
    Gap {
        /// The batch's number.
        sent: Seq,
        /// The number that is missing.
        expected: Seq,
    },
    /// An entry says that more was spent than was granted.
    #[error(
        "{account}: more is settled and returned than was granted; the node's counts are broken, stop it"
    )]
    Overdrawn {
        /// Which account.
        account: Account,
    },
    /// A cumulative amount went down.
    #[error("{account}: a cumulative amount went down; the node's counts are broken, stop it")]
    Backwards {
        /// Which account.
        account: Account,
    },
    /// Two entries of one batch name the same account: which of them is the later is not said.
    #[error("{account}: the batch names it twice; make one entry of both")]
    Twice {
        /// Which account.
        account: Account,
    },
    /// A limit that the store has no room for.
    #[error("{account}: a limit of {limit} is over {}: choose a smaller one", Units::MAX)]
    LimitTooHigh {
        /// Which account.
        account: Account,
        /// What was asked for.
        limit: Units,
    },
    /// A value of an aggregate that is not one of its monoid.
    #[error("{key}: the value is not of this kind of aggregate: name it with the kind that it began with")]
    Foreign {
        /// Whose.
        key: Key,
    },
    /// A value of an aggregate that a store has no room for.
    #[error(
        "{key}: the value would have more than {} bytes: divide it over several keys",
        AggregateRows::VALUE_BYTES
    )]
    ValueTooLong {
        /// Whose.
        key: Key,
    },
}

/// Hears the outcome of a batch, by whatever thread knows it.
pub type Outcome = Box<dyn FnOnce(Result<Reply, LedgerError>) + Send>;

/// A durable store of budgets. Calls may block; a driver that does not block takes the same batches and gives the
/// same replies.
///
/// What an implementation owes, as [`conformance`](crate::conformance) checks it: each call is one transaction, whole
/// or not at all; what was answered is durable; the constraint `used + reserved <= limit` stands in the store.
pub trait Ledger {
    /// Begins a node's next epoch and burns the leases of the one before: what they hold unsettled is spent. Called
    /// at start, or by another node to declare this one dead. Work: the node's leases.
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError>;

    /// Settles and extends. Nothing is applied if an error is returned, except that after [`LedgerError::Away`]
    /// nobody knows. Work: the entries.
    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError>;

    /// Begins to apply a batch, behind those that were begun before it, and says the outcome once when it is known. A ledger
    /// behind a network need not wait for one answer to send the next; here each is applied before this returns.
    fn begin(&mut self, batch: Batch, done: Outcome) {
        done(self.apply(&batch));
    }

    /// The nodes that hold leases and whose last batch carries a time before this, in order. Work: the nodes.
    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError>;

    /// An account as it is stored; none if nothing was ever written for it.
    fn load(&mut self, account: &Account) -> Result<Option<Loaded>, LedgerError>;

    /// Keys as they are stored, with their windows, those of standing shares too. A key that was never written is not there.
    /// Work: the keys, their windows and leases.
    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError>;

    /// Everything that is stored, in one canonical order: two ledgers with equal images answer equally for ever.
    fn image(&mut self) -> Result<Vec<u8>, LedgerError>;
}

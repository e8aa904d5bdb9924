//! [`Slot`]: one key in one window, in use: its accumulator and what the node knows of it beside.
//!
//! Invariant: nothing here is touched by an admission; a slot is the node's own and no thread's.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{PolicyId, RequestId};
use crate::accumulator::Accumulator;
use crate::bucket::Bucket;
use crate::metrics::Metrics;
use crate::permit::Reason;
use crate::{Guarantee, Key, Time, Units, WindowId};

/// One key in one window.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) accumulator: Arc<Accumulator>,
    pub(super) key: Key,
    pub(super) policy: PolicyId,
    pub(super) window: WindowId,
    pub(super) waiting: VecDeque<(RequestId, Units)>,
    /// How many of those waiting its batch under way has asked for.
    pub(super) asked: usize,
    /// How often the first of those was asked for in vain.
    pub(super) tries: u8,
    pub(super) dirty_since: Option<Time>,
    pub(super) flushed: Time,
    /// When its rate was last seen. Not when it was flushed: where somebody always waits, each batch leaves at the
    /// moment at which the one before was answered.
    pub(super) sampled: Time,
    /// Consumed then.
    pub(super) consumed: Units,
    pub(super) rate: Units,
    pub(super) armed: bool,
    /// Its lease is to be closed, and nothing is admitted any more.
    pub(super) closing: bool,
    /// What was seen when last looked at for idleness.
    pub(super) seen: (Units, u64),
    /// When that is next.
    pub(super) idle_at: Time,
    /// When its next window is to be leased, if it is in use then.
    pub(super) warm_at: Time,
    /// When it is next to be looked at, for whatever reason.
    pub(super) look_at: Time,
    pub(super) call: Call,
    /// What of it is in the node's counters already.
    pub(super) counted: Units,
    /// Nobody has used it since, as far as it was looked at.
    pub(super) quiet_since: Time,
    pub(super) named: Named,
}

/// Whether a batch that is under way names a slot: no other does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    No,
    Yes,
    /// And it is to be looked at when that is answered.
    Deferred,
}

/// Whether a window is leased for without having been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    No,
    /// It begins soon, and is to have a lease before anybody asks.
    First,
    /// It ends soon, and this is the last time that the ledger can be asked for it.
    Last,
}

impl Slot {
    /// Adds what this key did to what the node did.
    pub(super) fn count(&self, metrics: &mut Metrics) {
        metrics.admitted = metrics.admitted.plus(self.accumulator.consumed_now().minus(self.counted));
        metrics.denied += self.accumulator.denied();
        metrics.burnt = metrics.burnt.plus(self.accumulator.burnt());
    }

    /// What those who wait ask for, together.
    pub(super) fn demand(&self) -> Units {
        self.waiting.iter().fold(Units::ZERO, |sum, (_, units)| sum.plus(*units))
    }

    /// Whether a refusal needs no look at the ledger: not a bucket's, which time alone decides.
    pub(super) fn is_believed(&self, reason: Reason, fresh: bool) -> bool {
        if self.stands() {
            return true;
        }
        let timed = self.accumulator.bucket().is_some_and(Bucket::holds);
        match reason {
            // A limit that was raised may have what is missed: the ledger has to be told first.
            Reason::Exhausted => {
                timed || (fresh && self.accumulator.is_known() && !self.accumulator.has_untold())
            }
            Reason::HeldElsewhere => fresh,
            _ => false,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.named != Named::No
    }

    pub(super) fn leases_ahead(&self) -> bool {
        self.accumulator.guarantee() == Guarantee::Escrow
    }
}

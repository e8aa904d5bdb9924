//! [`Permit`]: units that were admitted, as a value that is used up once; [`Reservation`]: a permit with a deadline.
//!
//! Invariant: a permit is moved into whatever ends it, so that a second refund does not compile, and it holds its
//! accumulator, so that a refund goes to the lease and window that the units came from or to nowhere. A permit that
//! is dropped is committed: what may have been used is never given to another.
//!
//! ```compile_fail
//! # fn twice(permit: deltaic_quota::Permit<'_>) {
//! permit.refund();
//! permit.refund(); // the permit was moved
//! # }
//! ```

use std::sync::Arc;

use thiserror::Error;

use crate::accumulator::Accumulator;
use crate::bucket::Share;
use crate::{Time, Units};

/// Why nothing was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not admitted, {available} available: {reason}")]
pub struct Denied {
    /// What this node could have admitted at that moment: less than was asked for.
    pub available: Units,
    /// The window's end, after which there is more; for a bucket the first moment at which it would be admitted, if
    /// nobody else were. None where only refunds, credit or an answer of the ledger help.
    pub retry_after: Option<Time>,
    /// Why.
    pub reason: Reason,
}

/// The reason of a refusal, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The budget is used up.
    #[error("the budget is used up; wait for its next window, or raise its limit")]
    Exhausted,
    /// This node's lease is used up, and the ledger may have more.
    #[error("this node's lease is used up; ask again as a request that may wait for the ledger")]
    Lease,
    /// Another node holds the bucket.
    #[error("another node holds this bucket; ask that node, or again when it has let the bucket go")]
    HeldElsewhere,
    /// The window began before this node's share of it.
    #[error("the window began before this node's share of it; wait for the next, or ask another node")]
    Horizon,
    /// The window is over.
    #[error("the window is over; ask again as a request that may wait for the ledger")]
    WindowOver,
    /// The ledger does not answer, and the budget is not to be spent without it.
    #[error("the ledger does not answer; ask again later")]
    LedgerAway,
    /// Admission has stopped.
    #[error("this node admits nothing more; ask another")]
    Closed,
}

/// A commit of more than was permitted, for which there was not enough.
#[derive(Debug, Error)]
#[error(
    "{missing} more than permitted were used and only {available} are available; commit less, or raise the limit"
)]
pub struct Shortfall<'a> {
    /// The permit as it was.
    pub permit: Permit<'a>,
    /// What is missing beyond it.
    pub missing: Units,
    /// What there is.
    pub available: Units,
}

/// A permit is smaller than what was to be split off it.
#[derive(Debug, Error)]
#[error("{wanted} cannot be split off a permit of {}: split off less", permit.units())]
pub struct TooSmall<'a> {
    /// The permit as it was.
    pub permit: Permit<'a>,
    /// What was to be split off.
    pub wanted: Units,
}

/// What stands behind a permit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cover {
    /// Units of a lease.
    Lease,
    /// Time of a bucket.
    Time(Share),
    /// Nothing durable.
    Nothing,
}

impl Cover {
    fn split(self, part: Units, whole: Units) -> (Self, Self) {
        match self {
            Self::Time(share) => {
                let (one, two) = share.split(part, whole);
                (Self::Time(one), Self::Time(two))
            }
            cover => (cover, cover),
        }
    }
}

#[derive(Debug)]
enum Holder<'a> {
    Borrowed(&'a Accumulator),
    Shared(Arc<Accumulator>),
    /// An unlimited budget.
    Nobody,
}

/// Admitted units. Dropped, they are committed.
#[derive(Debug)]
#[must_use = "a permit that is dropped is committed"]
pub struct Permit<'a> {
    holder: Holder<'a>,
    units: Units,
    cover: Cover,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) fn borrowed(accumulator: &'a Accumulator, units: Units, cover: Cover) -> Self {
        Self { holder: Holder::Borrowed(accumulator), units, cover }
    }

    #[inline]
    pub(crate) fn shared(accumulator: Arc<Accumulator>, units: Units, cover: Cover) -> Permit<'static> {
        Permit { holder: Holder::Shared(accumulator), units, cover }
    }

    #[inline]
    pub(crate) fn unlimited(units: Units) -> Self {
        Self { holder: Holder::Nobody, units, cover: Cover::Lease }
    }

    pub(crate) fn cover(&self) -> Cover {
        self.cover
    }

    #[inline]
    pub(crate) fn accumulator(&self) -> Option<&Accumulator> {
        match &self.holder {
            Holder::Borrowed(accumulator) => Some(accumulator),
            Holder::Shared(accumulator) => Some(accumulator),
            Holder::Nobody => None,
        }
    }

    /// What is permitted.
    pub fn units(&self) -> Units {
        self.units
    }

    /// Whether something durable covers it. Not where the budget is open while its ledger is away.
    pub fn is_backed(&self) -> bool {
        match self.cover {
            Cover::Lease => true,
            Cover::Time(share) => share.backed,
            Cover::Nothing => false,
        }
    }

    /// Says what was really used. Less than permitted: the rest is refunded. More: the rest is admitted now, all
    /// of it or nothing; then the permit comes back.
    #[inline]
    pub fn commit(self, actual: Units) -> Result<(), Shortfall<'a>> {
        if actual <= self.units {
            self.give_back(self.units.minus(actual));
            return Ok(());
        }
        let missing = actual.minus(self.units);
        let more = match self.accumulator() {
            Some(accumulator) => accumulator.try_consume(missing).map(drop),
            None => Ok(()),
        };
        match more {
            Ok(()) => Ok(()),
            Err(denied) => Err(Shortfall { permit: self, missing, available: denied.available }),
        }
    }

    /// Gives all of it back: at once to this node's lease, before or after a flush. One atomic addition for what
    /// is covered. Of a window or lease that is closed, nothing comes back.
    #[inline]
    pub fn refund(self) {
        self.give_back(self.units);
    }

    /// Two permits out of one: `part` and the rest.
    pub fn split(self, part: Units) -> Result<(Self, Self), TooSmall<'a>> {
        if part > self.units {
            return Err(TooSmall { permit: self, wanted: part });
        }
        let holder = match &self.holder {
            Holder::Borrowed(accumulator) => Holder::Borrowed(accumulator),
            Holder::Shared(accumulator) => Holder::Shared(Arc::clone(accumulator)),
            Holder::Nobody => Holder::Nobody,
        };
        let rest = self.units.minus(part);
        let (one, two) = self.cover.split(part, self.units);
        Ok((Self { holder, units: part, cover: one }, Self { units: rest, cover: two, ..self }))
    }

    #[inline]
    fn give_back(&self, units: Units) {
        if let (Some(accumulator), false) = (self.accumulator(), units.is_zero()) {
            accumulator.give_back(units, self.units, self.cover);
        }
    }
}

/// A reservation was ended after its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the reservation expired {late_millis} ms ago and its {burnt} units are spent; reserve for longer")]
pub struct Expired {
    /// What is spent.
    pub burnt: Units,
    /// How late.
    pub late_millis: u64,
}

/// Why a reservation was not committed as said.
#[derive(Debug, Error)]
pub enum CommitError<'a> {
    /// Too late.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// More was used than there is.
    #[error(transparent)]
    Shortfall(Shortfall<'a>),
}

/// Admitted units that are to be committed or refunded before a deadline. After it they are spent, all of them: who
/// holds the reservation may have used them, and nobody can know. Dropped, they are committed.
#[derive(Debug)]
#[must_use = "a reservation that is dropped is committed"]
pub struct Reservation<'a> {
    permit: Permit<'a>,
    deadline: Time,
}

impl<'a> Reservation<'a> {
    pub(crate) fn new(permit: Permit<'a>, deadline: Time) -> Self {
        Self { permit, deadline }
    }

    /// What is reserved.
    pub fn units(&self) -> Units {
        self.permit.units
    }

    /// The last moment at which something comes back.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Says what was used, as [`Permit::commit`].
    pub fn commit(self, now: Time, actual: Units) -> Result<(), CommitError<'a>> {
        self.alive(now)?.commit(actual).map_err(CommitError::Shortfall)
    }

    /// Gives all back, as [`Permit::refund`].
    pub fn refund(self, now: Time) -> Result<(), Expired> {
        self.alive(now).map(Permit::refund)
    }

    fn alive(self, now: Time) -> Result<Permit<'a>, Expired> {
        if now <= self.deadline {
            return Ok(self.permit);
        }
        if let Some(accumulator) = self.permit.accumulator() {
            accumulator.note_burnt(self.permit.units);
        }
        Err(Expired { burnt: self.permit.units, late_millis: now.since(self.deadline) })
    }
}

//! [`Policy`]: what a budget promises and what it may cost, chosen once for all its keys.
//!
//! Invariant: every combination is safe; a policy chooses between rows, answer time and what a crash may cost, never
//! between these and the limit, unless `Volatile` or [`WhenAway::Open`] is asked for by name.

use thiserror::Error;

use crate::window::Place;
use crate::{Chunk, Guarantee, Time, Units, Window};

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// So much in each window.
    Of(Units),
    /// No limit: nothing is counted, kept or written.
    Unlimited,
}

/// What happens while the ledger does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenAway {
    /// Nothing is admitted, although the lease would cover it.
    Deny,
    /// The lease is spent and then nothing is admitted.
    #[default]
    SpendLease,
    /// The lease is spent and then everything is admitted, without cover. It is entered when the ledger is back.
    Open,
}

/// When a key's row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flush {
    /// At so much unsettled net consumption. 0 is taken as 1.
    pub threshold: Units,
    /// After a flush the threshold counts again when no more than this is unsettled, or `max_age` has passed: under
    /// load that never sinks so low it counts again all the same.
    pub low_water: Units,
    /// After so many milliseconds, if more than the deadband is unsettled.
    pub max_age_millis: u64,
    /// What is not worth a row for its age alone. It is settled when the key is evicted or the node closes.
    pub deadband: Units,
}

impl Default for Flush {
    fn default() -> Self {
        Self {
            threshold: Units(1 << 20),
            low_water: Units(1 << 19),
            max_age_millis: 1_000,
            deadband: Units::ZERO,
        }
    }
}

/// What a budget promises and what it may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The limit of a key that the ledger does not know yet.
    pub limit: Limit,
    /// When it begins anew.
    pub window: Window,
    /// What covers what is admitted.
    pub guarantee: Guarantee,
    /// What happens while the ledger does not answer.
    pub when_away: WhenAway,
    /// How much is leased ahead.
    pub chunk: Chunk,
    /// When rows are written.
    pub flush: Flush,
    /// A key that nobody used for so many milliseconds is settled and forgotten.
    pub idle_millis: u64,
    /// The most stripes that contention may make of a key.
    pub stripes: u32,
}

impl Policy {
    /// A stock of so many units, under [`Guarantee::Escrow`].
    pub fn stock(limit: Units) -> Self {
        Self {
            limit: Limit::Of(limit),
            window: Window::None,
            guarantee: Guarantee::Escrow,
            when_away: WhenAway::SpendLease,
            chunk: Chunk::default(),
            flush: Flush::default(),
            idle_millis: 60_000,
            stripes: 16,
        }
    }

    /// A policy that limits nothing.
    pub fn unlimited() -> Self {
        Self { limit: Limit::Unlimited, ..Self::stock(Units::ZERO) }
    }
}

/// A policy that promises what its window cannot keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A share of every window needs windows that begin anew.
    #[error("a standing share needs fixed windows or months; choose one of them, or another guarantee")]
    StandingNeedsWindows,
    /// What is admitted from a standing share is never written, so neither is what had no cover.
    #[error("a standing share cannot be open while the ledger is away; choose another answer to its absence")]
    StandingCannotBeOpen,
    /// A bucket's mark is a lease of time.
    #[error("a bucket is leased; choose the escrow guarantee for it")]
    BucketNeedsEscrow,
}

impl Policy {
    /// When a key that is in use is to have its next window: an eighth of the window before its end, or the time of
    /// two flushes if that is less. From then on the ledger grants nothing from the window that ends.
    pub(crate) fn warm_at(&self, place: Place) -> Time {
        let leased = matches!(self.guarantee, Guarantee::Escrow | Guarantee::Standing);
        let alone = matches!(self.window, Window::Fixed { .. } | Window::Month);
        let lead = place.ends.since(place.begins) / 8;
        let lead = lead.min(self.flush.max_age_millis.saturating_mul(2));
        if leased && alone && place.ends != Time::NEVER && lead > 0 {
            Time(place.ends.0 - lead)
        } else {
            Time::NEVER
        }
    }

    /// Whether it promises what it can keep.
    pub fn check(&self) -> Result<(), PolicyError> {
        let windows = matches!(self.window, Window::Fixed { .. } | Window::Month);
        let standing = self.guarantee == Guarantee::Standing;
        match self.window {
            Window::Bucket { .. } if self.guarantee != Guarantee::Escrow => {
                Err(PolicyError::BucketNeedsEscrow)
            }
            _ if standing && !windows => Err(PolicyError::StandingNeedsWindows),
            _ if standing && self.when_away == WhenAway::Open => Err(PolicyError::StandingCannotBeOpen),
            _ => Ok(()),
        }
    }
}

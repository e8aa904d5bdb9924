//! [`SyncMetrics`]: what anti-entropy has done, and how far behind the others are.
//!
//! Invariant: counters only grow; they are facts of one process and begin at 0 with it.

use std::collections::VecDeque;

use super::Micros;

/// Counters of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncMetrics {
    /// Deltas sent, and their bytes with all that goes with them.
    pub deltas: u64,
    /// The bytes of these.
    pub delta_bytes: u64,
    /// Whole states sent, because they were smaller than the delta or the delta could not be made any more.
    pub wholes: u64,
    /// The bytes of these.
    pub whole_bytes: u64,
    /// The bytes of everything else: questions and acknowledgements.
    pub other_bytes: u64,
    /// Deltas that were sent again because nobody acknowledged them, or one before them was missing.
    pub resent: u64,
    /// Deltas that came twice or brought nothing.
    pub redundant: u64,
    /// Deltas that were merged.
    pub merged: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Peers that had the same cut and another state.
    pub diverged: u64,
    /// Own writes that every member has acknowledged.
    pub converged: u64,
    /// How long the last of these took, in microseconds.
    pub convergence_last: u64,
    /// The longest.
    pub convergence_most: u64,
    /// The sum: divided by [`SyncMetrics::converged`], the mean.
    pub convergence_sum: u64,
}

/// Own writes that some member has not acknowledged, oldest first.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    writes: VecDeque<(u64, Micros)>,
}

impl Outstanding {
    /// Beyond this many the newest are not timed.
    const MOST: usize = 65_536;

    pub(super) fn wrote(&mut self, seq: u64, now: Micros) {
        if self.writes.len() < Self::MOST && self.writes.back().is_none_or(|(last, _)| *last < seq) {
            self.writes.push_back((seq, now));
        }
    }

    pub(super) fn reached(&mut self, seq: u64, now: Micros, metrics: &mut SyncMetrics) {
        while let Some((_, written)) = self.writes.pop_front_if(|(written, _)| *written <= seq) {
            let took = now.0.saturating_sub(written.0);
            metrics.converged += 1;
            metrics.convergence_last = took;
            metrics.convergence_most = metrics.convergence_most.max(took);
            metrics.convergence_sum = metrics.convergence_sum.saturating_add(took);
        }
    }

    /// Since when a member lacks something.
    pub(super) fn oldest(&self) -> Option<Micros> {
        self.writes.front().map(|(_, written)| *written)
    }
}

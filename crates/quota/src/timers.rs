//! [`Timers`]: when slots are to be looked at, by moment.
//!
//! Invariant: a slot is told at or after each moment that was set for it, the earliest first. A moment that many
//! slots share is one entry, so a slot costs four bytes. Nothing is taken back: who is told looks whether the moment
//! is still its own.

use std::collections::BTreeMap;

use crate::Time;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    moments: BTreeMap<Time, Vec<u32>>,
}

impl Timers {
    pub(crate) fn set(&mut self, when: Time, slot: usize) {
        let slot = u32::try_from(slot).expect("invariant: there are fewer slots than a word counts");
        self.moments.entry(when).or_default().push(slot);
    }

    /// The earliest moment that has come, with its slots in the order in which they were set.
    pub(crate) fn take(&mut self, now: Time) -> Option<(Time, Vec<u32>)> {
        let first = self.moments.first_entry().filter(|first| *first.key() <= now)?;
        Some(first.remove_entry())
    }
}

/// A moment not before this one that others share: so many milliseconds apart, or a little less.
pub(crate) fn shared(when: Time, apart: u64) -> Time {
    let step = 1 << (apart.max(1).ilog2());
    Time(when.0.checked_next_multiple_of(step).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn moments_come_in_order_and_not_before_their_time() {
        let mut timers = Timers::default();
        for (when, slot) in [(7, 1), (3, 2), (7, 3), (9, 4)] {
            timers.set(Time(when), slot);
        }
        assert_eq!(timers.take(Time(2)), None);
        assert_eq!(timers.take(Time(8)), Some((Time(3), vec![2])));
        assert_eq!(timers.take(Time(8)), Some((Time(7), vec![1, 3])));
        assert_eq!(timers.take(Time(8)), None);
        for (when, apart, shares) in [(0, 0, 0), (5, 1, 5), (5, 7, 8), (8, 7, 8), (u64::MAX, 9, u64::MAX)] {
            assert_eq!(shared(Time(when), apart), Time(shares));
        }
    }
}

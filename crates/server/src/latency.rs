//! [`Latency`]: the last thousand update times of a view.

use std::{collections::VecDeque, time::Duration};

/// How many times are kept.
const KEPT: usize = 1_000;

/// A ring of durations.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    ring: VecDeque<Duration>,
}

impl Latency {
    pub(crate) fn record(&mut self, took: Duration) {
        if self.ring.len() == KEPT {
            self.ring.pop_front();
        }
        self.ring.push_back(took);
    }

    /// The last one, in milliseconds.
    pub(crate) fn last_ms(&self) -> Option<f64> {
        self.ring.back().copied().map(millis)
    }

    /// The 99th percentile by rank, in milliseconds. Costs a sort of what is kept.
    pub(crate) fn p99_ms(&self) -> Option<f64> {
        let mut sorted: Vec<Duration> = self.ring.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied().map(millis)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_that_of_the_last_thousand() {
        let mut latency = Latency::default();
        assert_eq!((latency.last_ms(), latency.p99_ms()), (None, None));
        for millis in 1..=2_000 {
            latency.record(Duration::from_millis(millis));
        }
        assert_eq!(latency.last_ms(), Some(2_000.0));
        assert_eq!(latency.p99_ms(), Some(1_990.0));
    }
}

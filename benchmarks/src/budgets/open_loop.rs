//! Requests that come when they come: at a rate, whether the one before was answered or not.
//!
//! Invariant: the time of an answer runs from when its request was due, not from when somebody came round to it, so that a
//! stall is seen by all who had to wait in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When requests are due.
#[derive(Debug)]
pub(super) struct Schedule {
    begun: Instant,
    rate: f64,
    requests: u64,
    next: AtomicU64,
}

impl Schedule {
    /// As many as come in so long at so many a second; begins now.
    pub(super) fn new(rate: f64, length: Duration) -> Self {
        let requests = (rate * length.as_secs_f64()) as u64;
        Self { begun: Instant::now(), rate, requests, next: AtomicU64::new(0) }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn due(&self, number: u64) -> Instant {
        self.begun + Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// The next request, when it is due; none after the last.
    pub(super) fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.requests {
            return None;
        }
        wait_until(self.due(number));
        Some(number)
    }

    /// How long a request has been due.
    pub(super) fn since(&self, number: u64) -> Duration {
        self.due(number).elapsed()
    }
}

/// Sleeps where it is long, and gives way where it is short.
fn wait_until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if left > Duration::from_micros(200) {
            std::thread::park_timeout(left.saturating_sub(Duration::from_micros(100)));
        } else {
            std::thread::yield_now();
        }
    }
}

/// Percentiles of times in milliseconds: 50, 99, 99.9 and the longest.
pub(super) fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    if times.is_empty() {
        return "- | - | - | -".to_owned();
    }
    let at = |share: f64| {
        let millis = times[((times.len() as f64 * share) as usize).min(times.len() - 1)].as_secs_f64() * 1e3;
        if millis < 0.1 { format!("{:.1} us", millis * 1e3) } else { format!("{millis:.2} ms") }
    };
    [at(0.5), at(0.99), at(0.999), at(1.0)].join(" | ")
}

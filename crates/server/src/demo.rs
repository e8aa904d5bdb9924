//! [`DemoClock`]: the speed and the simulated time of a demo's replay, shared with the console.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use deltaic_protocol::DemoStatus;

/// The greatest speed: a week in a minute.
const FASTEST: f64 = 10_080.0;

/// The clock of a replay. Whoever replays sets the time; the console sets the speed.
#[derive(Debug)]
pub struct DemoClock {
    state: Mutex<DemoStatus>,
    changed: Condvar,
    stopped: AtomicBool,
}

impl DemoClock {
    /// A clock at a speed: simulated seconds a second.
    pub fn new(speed: f64) -> Self {
        let state = DemoStatus { speed: sane(speed), time: String::new() };
        Self { state: Mutex::new(state), changed: Condvar::new(), stopped: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, DemoStatus> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub fn status(&self) -> DemoStatus {
        self.lock().clone()
    }

    /// Changes the speed; what is no speed becomes the nearest one.
    pub fn set_speed(&self, speed: f64) {
        self.lock().speed = sane(speed);
        self.changed.notify_all();
    }

    /// Says what time it is, in ISO 8601.
    pub fn set_time(&self, time: String) {
        self.lock().time = time;
    }

    /// Ends the replay.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// Whether the replay is to end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for a time to pass, or for a change of the speed or the end.
    pub fn pause(&self, time: Duration) {
        let state = self.lock();
        if !self.is_stopped() {
            drop(self.changed.wait_timeout(state, time));
        }
    }
}

fn sane(speed: f64) -> f64 {
    if speed.is_finite() { speed.clamp(0.0, FASTEST) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_kept_in_bounds() {
        let clock = DemoClock::new(600.0);
        assert_eq!(clock.status().speed.to_bits(), 600f64.to_bits());
        for (speed, kept) in [(-1.0, 0.0), (f64::NAN, 0.0), (1e9, FASTEST), (5.0, 5.0)] {
            clock.set_speed(speed);
            assert_eq!(clock.status().speed.to_bits(), f64::to_bits(kept));
        }
    }
}

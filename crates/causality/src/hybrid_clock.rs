//! [`HybridLogicalClock`]: times that follow the wall clock and never go back.
//!
//! Invariant: each [`HybridLogicalClock::tick`] gives a time above every one it gave or observed, and never one
//! further ahead of the machine's clock than the bound. So of two writes the later admitted has the greater time,
//! whatever the clocks of clients say.
//!
//! The rule is that of Kulkarni, Demirbas, Madappa, Avva and Leone, "Logical Physical Clocks" (2014), in its
//! one-number form: the time is the greater of the machine's clock and the last time plus one. Receiving a
//! message and giving a time are two calls here, because a peer's commit is merged without making a write.

use std::fmt;

use deltaic_types::codec::{DecodeError, Reader, write_u64};
use thiserror::Error;

const COUNTER_BITS: u32 = 16;
const MILLIS_MAX: u64 = u64::MAX >> COUNTER_BITS;

/// A time of a hybrid logical clock: 48 bits of milliseconds since 1970-01-01T00:00:00Z, then 16 bits that count
/// the writes within one of them. Ordered as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The `counter`-th time of a millisecond. Milliseconds beyond 48 bits (the year 10889) become the last one.
    pub fn new(millis: u64, counter: u16) -> Self {
        Self(millis.min(MILLIS_MAX) << COUNTER_BITS | u64::from(counter))
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// The place within the millisecond.
    pub fn counter(self) -> u16 {
        self.0 as u16
    }

    /// Appends the time: 1 to 10 bytes.
    pub fn write(self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.0);
    }

    /// Reads what [`HybridTime::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(reader.u64()?))
    }
}

impl fmt::Display for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.millis(), self.counter())
    }
}

/// Why no time was given: nothing may be admitted until the machine's clock is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClockError {
    /// The machine's clock stands behind the times already given or observed by more than the bound.
    #[error(
        "this machine's clock is {behind_millis} ms behind the latest commit, more than the {bound_millis} ms \
         allowed: set the clock (NTP), or wait until it has caught up"
    )]
    Behind {
        /// How far the next time would be ahead of the machine's clock, in milliseconds.
        behind_millis: u64,
        /// How far it may be, in milliseconds.
        bound_millis: u64,
    },
    /// The machine's clock shows a year that the times have no room for.
    #[error(
        "this machine's clock shows {now_millis} ms since 1970, beyond the year 10000: set the clock (NTP)"
    )]
    OutOfRange {
        /// What the clock shows, in milliseconds since 1970.
        now_millis: u64,
    },
}

/// Gives the times of writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HybridLogicalClock {
    last: HybridTime,
    bound_millis: u64,
    skew_millis: u64,
}

impl HybridLogicalClock {
    /// A clock whose times may run ahead of the machine's clock by `bound_millis`. After a restart it must
    /// [`observe`](Self::observe) the time of the last commit before its first tick.
    pub fn new(bound_millis: u64) -> Self {
        Self { last: HybridTime(0), bound_millis, skew_millis: 0 }
    }

    /// The time of the next write, when the machine's clock shows `now_millis`: above all times given and
    /// observed. When the counter of a millisecond is used up, the time moves to the next one.
    ///
    /// An error leaves the clock as it was.
    pub fn tick(&mut self, now_millis: u64) -> Result<HybridTime, ClockError> {
        if now_millis > MILLIS_MAX {
            return Err(ClockError::OutOfRange { now_millis });
        }
        let now = HybridTime::new(now_millis, 0);
        let next = now.0.max(self.last.0.saturating_add(1));
        let ahead = (next >> COUNTER_BITS) - now_millis;
        // At the very last time there is no next one, and a clock that shows it is wrong.
        if ahead > self.bound_millis || next == self.last.0 {
            return Err(ClockError::Behind { behind_millis: ahead, bound_millis: self.bound_millis });
        }
        self.last = HybridTime(next);
        Ok(self.last)
    }

    /// Takes note of a time that a peer or an earlier run gave. Never refuses, however far ahead it is: what
    /// others have committed is merged; only giving times of our own stops.
    pub fn observe(&mut self, time: HybridTime) {
        self.last = self.last.max(time);
    }

    /// [`observe`](Self::observe)s, when the machine's clock shows `now_millis`, and keeps how far the time is ahead
    /// of it for [`skew_millis`](Self::skew_millis).
    pub fn observe_at(&mut self, now_millis: u64, time: HybridTime) {
        self.observe(time);
        self.skew_millis = self.last.millis().saturating_sub(now_millis);
    }

    /// A gauge for metrics: how far the greatest time given or observed was ahead of the machine's clock at the last
    /// [`observe_at`](Self::observe_at), in milliseconds; 0 if it was not. Beyond the bound no times are given. It
    /// falls when the machine's clock has caught up, so one that stays is a clock that is wrong, here or at a peer.
    pub fn skew_millis(&self) -> u64 {
        self.skew_millis
    }

    /// The greatest time given or observed.
    pub fn last(&self) -> HybridTime {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Tick(u64),
        Observe(HybridTime),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0_u64..5_000).prop_map(Step::Tick),
            1 => any::<u64>().prop_map(Step::Tick),
            2 => (0_u64..5_000, any::<u16>()).prop_map(|(ms, n)| Step::Observe(HybridTime::new(ms, n))),
            2 => (0_u64..5_000).prop_map(|ms| Step::Observe(HybridTime::new(ms, u16::MAX))),
            1 => any::<u64>().prop_map(|n| Step::Observe(HybridTime(n))),
        ];
        proptest::collection::vec(step, 0..50)
    }

    proptest! {
        #[test]
        fn times_rise_stay_within_the_bound_and_repeat(steps in steps(), bound in 0_u64..2_000) {
            let mut clock = HybridLogicalClock::new(bound);
            let mut twin = HybridLogicalClock::new(bound);
            let mut greatest = None;
            for step in steps {
                match step {
                    Step::Tick(now) => {
                        let before = clock.clone();
                        let given = clock.tick(now);
                        prop_assert_eq!(given, twin.tick(now));
                        match given {
                            Ok(time) => {
                                prop_assert!(greatest.is_none_or(|greatest| time > greatest));
                                prop_assert!(time.millis() >= now && time.millis() - now <= bound);
                                greatest = Some(time);
                            }
                            Err(ClockError::Behind { behind_millis, bound_millis }) => {
                                prop_assert!(behind_millis > bound_millis || clock.last().0 == u64::MAX);
                                prop_assert_eq!(&clock, &before);
                            }
                            Err(ClockError::OutOfRange { .. }) => prop_assert!(now > MILLIS_MAX),
                        }
                    }
                    Step::Observe(time) => {
                        clock.observe(time);
                        twin.observe(time);
                        greatest = greatest.max(Some(time));
                    }
                }
            }
        }

        #[test]
        fn a_time_comes_back(n in any::<u64>()) {
            let mut bytes = Vec::new();
            HybridTime(n).write(&mut bytes);
            prop_assert_eq!(HybridTime::read(&mut Reader::new(&bytes)), Ok(HybridTime(n)));
            prop_assert_eq!(HybridTime::new(HybridTime(n).millis(), HybridTime(n).counter()), HybridTime(n));
        }
    }

    proptest! {
        /// Machines whose clocks differ by 50 to 500 ms write and hear of each other's writes at once: a write that
        /// knows of another is later, whatever the clocks say; who is too far behind is stopped, and only they are.
        #[test]
        fn drift_of_50_to_500_ms(
            drift in 50_u64..=500,
            bound in prop_oneof![Just(50_u64), Just(500), Just(1_000)],
            writes in proptest::collection::vec((0_usize..3, 0_u64..40), 1..60),
        ) {
            // One machine is right, one ahead, one behind.
            let offsets = [drift, 2 * drift, 0];
            let mut clocks: Vec<HybridLogicalClock> = (0..3).map(|_| HybridLogicalClock::new(bound)).collect();
            let mut now = 1_000_000;
            let mut latest = HybridTime::default();
            for (writer, passes) in writes {
                now += passes;
                let shows = |at: usize| now + offsets[at] - drift;
                match clocks[writer].tick(shows(writer)) {
                    Ok(time) => {
                        prop_assert!(time > latest, "a later write has a later time");
                        prop_assert!(time.millis() <= shows(writer) + bound);
                        latest = time;
                    }
                    Err(error) => {
                        let behind = latest.millis() - shows(writer);
                        prop_assert_eq!(error, ClockError::Behind { behind_millis: behind, bound_millis: bound });
                        prop_assert!(behind > bound && behind <= 2 * drift, "only a clock far behind is stopped");
                    }
                }
                for (at, clock) in clocks.iter_mut().enumerate() {
                    clock.observe_at(shows(at), latest);
                    prop_assert_eq!(clock.skew_millis(), latest.millis().saturating_sub(shows(at)));
                    prop_assert!(clock.skew_millis() <= 2 * drift);
                }
            }
        }
    }

    #[test]
    fn the_gauge_falls_when_the_machine_catches_up() {
        let mut clock = HybridLogicalClock::new(100);
        clock.observe_at(1_000, HybridTime::new(1_400, 0));
        assert_eq!(clock.skew_millis(), 400);
        clock.observe_at(1_350, HybridTime::new(900, 0));
        assert_eq!(clock.skew_millis(), 50);
        clock.observe_at(1_500, HybridTime::new(1_450, 0));
        assert_eq!(clock.skew_millis(), 0);
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut clock = HybridLogicalClock::new(1);
        clock.observe(HybridTime::new(10, u16::MAX));
        assert_eq!(clock.tick(10), Ok(HybridTime::new(11, 0)));
        clock.observe(HybridTime::new(11, u16::MAX));
        assert_eq!(clock.tick(10), Err(ClockError::Behind { behind_millis: 2, bound_millis: 1 }));
        assert_eq!(clock.tick(11), Ok(HybridTime::new(12, 0)));
    }

    #[test]
    fn the_ends_of_time_are_refused() {
        let mut clock = HybridLogicalClock::new(u64::MAX);
        assert_eq!(clock.tick(1 << 48), Err(ClockError::OutOfRange { now_millis: 1 << 48 }));
        clock.observe(HybridTime(u64::MAX));
        assert!(matches!(clock.tick(MILLIS_MAX), Err(ClockError::Behind { .. })));
        assert_eq!(HybridTime::new(u64::MAX, 3).to_string(), format!("{MILLIS_MAX}.3"));
    }
}

//! [`Breaker`]: whether a change is worked off row by row, or what it reaches is computed anew.
//!
//! All is counted in units of work (rows read, rows given out, index probes), never in time, so that the choice is a
//! function of the log. Invariant: the choice is made before either way is begun, and changes no result.

/// The knobs of the choice.
///
/// ```
/// use deltaic_dataflow::Breaker;
/// let breaker = Breaker::default();
/// assert!(!breaker.trips(900, 1_000), "a step is less work");
/// assert!(!breaker.trips(1_400, 1_000), "and is taken unless computing anew is clearly less");
/// assert!(breaker.trips(1_600, 1_000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// How much more work a step must be, in percent of computing anew.
    pub percent: u64,
    /// The fewest changed rows for which anything but a step is considered.
    pub least: u64,
    /// The units that a step may take where computing anew is less work at all, by however little.
    pub units: u64,
}

/// How a change was worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Row by row.
    Stepped,
    /// What it reaches was computed anew.
    Recomputed,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { percent: 150, least: 1_000, units: 10_000_000 }
    }
}

impl Breaker {
    /// One that always computes anew: for tests, which show that this changes nothing.
    pub const ALWAYS: Self = Self { percent: 0, least: 0, units: 0 };

    /// One that never does.
    pub const NEVER: Self = Self { percent: u64::MAX, least: u64::MAX, units: u64::MAX };

    /// Whether to compute anew, by the expected units of both.
    pub fn trips(&self, step: u64, recompute: u64) -> bool {
        *self == Self::ALWAYS
            || u128::from(step) * 100 > u128::from(recompute) * u128::from(self.percent)
            || (step > self.units && recompute < step)
    }
}

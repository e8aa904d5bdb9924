//! The seed's two ways to allocate, to be compared with: [`damped_v2`], event by event with a damping of over-allocation,
//! and [`rounds_v1`], in rounds of 90 seconds that half of the participants have to agree on.
//!
//! Invariant: both do what the seed's program does, its faults included: quantities are floating-point numbers, a
//! recipient's whole need is offered to by each of its providers, nothing is handed on within a tier. They run in a
//! time of their own over a network that the caller gives and whose chances come from its seed, so that a run is the
//! same wherever it is repeated.

mod damped_v2;
mod economy;
mod network;
mod rounds_v1;
mod rule;

pub use damped_v2::damped_v2;
pub use economy::{Economy, Link};
pub use network::{Agenda, Chance, Cut, Network, Traffic};
pub use rounds_v1::rounds_v1;
pub use rule::{Denominators, allocate, damping};

use crate::Time;

/// Whether a recipient goes on saying what it needed at first, or what it lacks by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Needs {
    /// What it needed: what the seed's program does.
    #[default]
    Stated,
    /// What it needed less what it receives: what the seed's proof speaks of.
    Residual,
}

/// What happens during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// A need, by place, is of another quantity from now on, in units.
    Need(usize, f64),
    /// A participant, by place, is gone, without a word.
    Leave(usize),
}

/// How to run it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// What needs say.
    pub needs: Needs,
    /// The end, in milliseconds from the start.
    pub until: Time,
    /// How often the state is looked at, in milliseconds.
    pub every: u64,
    /// What carries the messages.
    pub network: Network,
    /// What happens, and when.
    pub steps: Vec<(Time, Step)>,
    /// The bytes of a clock or stamp that each message carries.
    pub stamp_bytes: u64,
}

/// The bytes of a message beside what it says: addresses, length, a signature of 64.
const ENVELOPE_BYTES: u64 = 100;
/// The bytes of a need or of a gift, with its id.
const ENTRY_BYTES: u64 = 24;

impl Run {
    fn bytes(&self, entries: usize) -> u64 {
        ENVELOPE_BYTES + self.stamp_bytes + ENTRY_BYTES * entries as u64
    }
}

/// A difference between quantities that counts, in units: the seed's own.
const EPSILON: f64 = 1e-3;

/// The state at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// What is given in all, in units.
    pub given: f64,
    /// What recipients are given beyond what they needed at first, in units.
    pub over: f64,
    /// What they lack of it, in units.
    pub unserved: f64,
    /// The largest difference of a link to the sample before, in units.
    pub moved: f64,
    /// Whether the rule's own test says that it has converged: four fifths of the providers say so.
    pub converged: bool,
    /// The smallest damping factor.
    pub damping: f64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// One for each interval.
    pub samples: Vec<Sample>,
    /// What each link has at the end, in units, by place in [`Economy::links`].
    pub given: Vec<f64>,
    /// The messages that were sent.
    pub messages: u64,
    /// The rounds that the slowest participant has completed; 0 where there are none.
    pub rounds: u64,
    /// What was sent, by time.
    pub traffic: Traffic,
    /// When last a participant gave or knew something different.
    pub changed: Time,
    /// The needs, by place, that changed and whose owner saw what it is given for that: after how many milliseconds.
    pub seen: Vec<(usize, u64)>,
    /// The longest that each participant, by place, was in one round, in milliseconds.
    pub waits: Vec<u64>,
}

impl Trace {
    /// What the state is, and how it differs from that before.
    fn sample(&mut self, economy: &Economy, at: Time, given: &[f64], converged: bool, damping: f64) {
        let mut received = vec![0.0; economy.needs.len()];
        for (link, quantity) in economy.links.iter().zip(given) {
            received[link.need] += quantity;
        }
        let pairs = || received.iter().zip(&economy.needs).map(|(received, (_, need))| received - need);
        let moves = given.iter().zip(&self.given).map(|(after, before)| (after - before).abs());
        self.samples.push(Sample {
            at,
            given: given.iter().sum(),
            over: pairs().map(|more| more.max(0.0)).sum(),
            unserved: pairs().map(|more| (-more).max(0.0)).sum(),
            moved: moves.fold(0.0, f64::max),
            converged,
            damping,
        });
        self.given = given.to_vec();
    }
}

//! How many writes a last writer that is decided by wall clocks loses, beside the hybrid logical clock.
//!
//! Invariant: each write is made by somebody who has read the one before, so each must win over it.

use deltaic_causality::{ClockError, HybridLogicalClock, HybridTime};

use crate::kind::Random;
use crate::{SEED, grouped};

const MACHINES: usize = 8;
const WRITES: u64 = 100_000;

/// What the engine allows, in milliseconds.
const BOUND: u64 = 60_000;

/// What became of the writes of one run.
#[derive(Debug, Default)]
struct Outcome {
    wall_lost: u64,
    ours_lost: u64,
    refused: u64,
    ahead: u64,
}

fn writes(drift: u64, pause: u64, bound: u64) -> Outcome {
    let mut random = Random(SEED + 5);
    // Up to the drift ahead or behind; the first two are at both ends.
    let mut offsets: Vec<i64> =
        (0..MACHINES).map(|_| random.below(2 * drift + 1) as i64 - drift as i64).collect();
    (offsets[0], offsets[1]) = (drift as i64, -(drift as i64));
    let mut clocks = vec![HybridLogicalClock::new(bound); MACHINES];
    let mut now: u64 = 1_000_000;
    let mut wall = (0_u64, 0_usize);
    let mut ours = (HybridTime(0), 0_usize);
    let mut outcome = Outcome::default();
    for _ in 0..WRITES {
        now += 1 + random.below(2 * pause);
        let writer = random.place(MACHINES);
        let shown = now.saturating_add_signed(offsets[writer]);
        // The register keeps the greater of time and machine.
        if (shown, writer) > wall {
            wall = (shown, writer);
        } else {
            outcome.wall_lost += 1;
        }
        clocks[writer].observe_at(shown, ours.0);
        match clocks[writer].tick(shown) {
            Ok(time) if (time, writer) > ours => {
                outcome.ahead = outcome.ahead.max(time.millis().saturating_sub(shown));
                ours = (time, writer);
            }
            Ok(_) => outcome.ours_lost += 1,
            Err(ClockError::Behind { .. }) => outcome.refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    outcome
}

pub(crate) fn run() {
    println!(
        "{MACHINES} machines write one value, {} writes, each after reading the one before: lost where its clock is off by up \
         to so much.\n",
        grouped(WRITES)
    );
    println!(
        "| off by up to | a write every | lost, wall clocks | share | lost, hybrid clock | refused, 60 s allowed | ahead of \
         the machine, at most | refused, 100 ms allowed |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for drift in [50, 100, 200, 500] {
        for pause in [10, 100, 1_000] {
            let outcome = writes(drift, pause, BOUND);
            let strict = writes(drift, pause, 100);
            println!(
                "| {drift} ms | {} ms | {} | {:.1} % | **{}** | {} | {} ms | {} |",
                grouped(pause),
                grouped(outcome.wall_lost),
                100.0 * outcome.wall_lost as f64 / WRITES as f64,
                grouped(outcome.ours_lost + strict.ours_lost),
                grouped(outcome.refused),
                grouped(outcome.ahead),
                grouped(strict.refused),
            );
        }
    }
    println!();
}

//! [`Contestant`] and [`Limiter`]: what takes part, and one opened with fresh budgets.
//!
//! Invariant: a limiter sees every request of the stream in order and answers each; the loop that counts and times is
//! the same code for all, compiled into each.

use std::sync::Barrier;
use std::time::Instant;

/// Requests that are timed together: reading the clock takes as long as an admission does.
pub const CHUNK: usize = 128;

/// What a limiter is opened with.
#[derive(Debug, Clone)]
pub struct Budgets {
    /// The names of the keys; one where the key is hot.
    pub keys: Vec<String>,
    /// Units of each key.
    pub units: u64,
}

/// Something that gates.
pub trait Contestant {
    /// As it stands in the tables.
    fn name(&self) -> &'static str;

    /// By how much its turns are shorter.
    fn slower(&self) -> usize {
        1
    }

    /// With fresh budgets; none if it has no such thing.
    fn open(&self, budgets: &Budgets, refunds: bool) -> Option<Box<dyn Limiter>>;
}

/// One opened limiter, which threads share.
pub trait Limiter: Sync {
    /// Makes itself ready, waits for the others, and asks for a unit of each key of the stream.
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run;

    /// What was written and what a crash may cost; nothing is written where there is no ledger.
    fn cost(&self) -> Option<Cost> {
        None
    }
}

/// What one thread did.
#[derive(Debug, Clone, Default)]
pub struct Run {
    pub admitted: u64,
    pub refunded: u64,
    pub denied: u64,
    /// Nanoseconds of each chunk.
    pub chunks: Vec<u64>,
}

/// What the durable side saw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub rows: u64,
    pub calls: u64,
    pub bytes: u64,
    /// The most that a crash could have left unspent for good, at any moment that was looked at.
    pub exposure: u64,
}

/// Asks for a unit of each key; every second one that is admitted is given back, if refunds are measured. The closure
/// says whether it admitted, and gives back what it is told to.
pub fn drive(
    stream: &[u32],
    refunds: bool,
    start: &Barrier,
    mut ask: impl FnMut(usize, bool) -> bool,
) -> Run {
    let mut run = Run { chunks: Vec::with_capacity(stream.len() / CHUNK + 1), ..Run::default() };
    start.wait();
    let mut since = Instant::now();
    for chunk in stream.chunks_exact(CHUNK) {
        for (place, key) in chunk.iter().enumerate() {
            let gives_back = refunds && place % 2 == 1;
            if ask(*key as usize, gives_back) {
                run.admitted += 1;
                run.refunded += u64::from(gives_back);
            } else {
                run.denied += 1;
            }
        }
        let now = Instant::now();
        run.chunks.push((now - since).as_nanos() as u64);
        since = now;
    }
    run
}

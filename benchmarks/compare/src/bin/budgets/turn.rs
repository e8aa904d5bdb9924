//! [`Workload`]: who asks for what; [`Turn`]: what one contestant did with it once.
//!
//! Invariant: the stream of a workload depends on its seed alone, and what may be admitted is counted from the stream.

use std::sync::Barrier;

use crate::driver::{Budgets, CHUNK, Contestant, Cost, Run};

/// Keys of the skewed workload.
const KEYS: usize = 4_096;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Workload {
    pub label: &'static str,
    pub threads: usize,
    keys: usize,
    /// By each thread.
    requests: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One in a hundred is refused, at the end.
    Admitted,
    /// All are refused.
    Denied,
    /// Every second one that is admitted is given back.
    Refunded,
}

/// What a contestant did in one turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Nanoseconds for a request of one thread, the slowest thread's mean.
    pub mean: f64,
    /// Percentiles of the means of chunks: 50 and 95.
    pub p50: f64,
    pub p95: f64,
    /// Admitted and not given back.
    pub admitted: u64,
    /// What the budgets had room for.
    pub allowed: u64,
    /// Admitted beyond that.
    pub over: u64,
    /// Refused although there was room, where that can be told.
    pub under: u64,
    pub cost: Option<Cost>,
}

impl Workload {
    pub fn all(quick: bool) -> Vec<Self> {
        let requests = if quick { 1 << 14 } else { 1 << 20 };
        let of = |label, threads, keys, kind| Self { label, threads, keys, requests, kind };
        vec![
            of("hot key, 1 thread", 1, 1, Kind::Admitted),
            of("hot key, 2 threads", 2, 1, Kind::Admitted),
            of("4,096 keys, Zipf, 1 thread", 1, KEYS, Kind::Admitted),
            of("4,096 keys, Zipf, 2 threads", 2, KEYS, Kind::Admitted),
            of("all denied, 1 thread", 1, 1, Kind::Denied),
            of("all denied, 2 threads", 2, 1, Kind::Denied),
            of("half refunded, 1 thread", 1, 1, Kind::Refunded),
            of("half refunded, 2 threads", 2, 1, Kind::Refunded),
        ]
    }

    /// The keys that a thread asks for, in order: the `n`-th key about one in `n` times, where there are many.
    fn stream(&self, thread: usize, requests: usize) -> Vec<u32> {
        if self.keys == 1 {
            return vec![0; requests];
        }
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=self.keys)
            .map(|place| {
                sum += 1.0 / place as f64;
                sum
            })
            .collect();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(thread as u64 + 1);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64 * sum
        };
        (0..requests)
            .map(|_| {
                let point = next();
                sums.partition_point(|sum| *sum < point).min(self.keys - 1) as u32
            })
            .collect()
    }
}

/// One turn with fresh budgets; none if the contestant has no such thing.
pub fn take(contestant: &dyn Contestant, workload: &Workload, round: usize) -> Option<Turn> {
    let requests = (workload.requests / contestant.slower()).next_multiple_of(CHUNK);
    let streams: Vec<Vec<u32>> =
        (0..workload.threads).map(|thread| workload.stream(thread + 7 * round, requests)).collect();
    let mut counts = vec![0_u64; workload.keys];
    streams.iter().flatten().for_each(|key| counts[*key as usize] += 1);
    let most = counts.iter().max().copied().unwrap_or_default();
    let refunds = workload.kind == Kind::Refunded;
    let units = match workload.kind {
        Kind::Admitted if workload.keys == 1 => most - most / 100,
        // A tenth of what the first key is asked for is about a hundredth of all.
        Kind::Admitted => most - most / 10,
        Kind::Denied => 2,
        Kind::Refunded => most / 2 - most / 100,
    };
    let keys = (0..workload.keys).map(|key| format!("user-{key:05}")).collect();
    let budgets = Budgets { keys, units };
    let limiter = contestant.open(&budgets, refunds)?;
    let mut allowed: u64 = counts.iter().map(|count| (*count).min(units)).sum();
    if workload.kind == Kind::Denied {
        let first = limiter.run(&[0; CHUNK], false, &Barrier::new(1));
        assert_eq!(first.admitted, units, "{}: all of it is admitted once", contestant.name());
        allowed = 0;
    }
    let start = Barrier::new(workload.threads);
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            streams.iter().map(|stream| scope.spawn(|| limiter.run(stream, refunds, &start))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks ends")).collect()
    });
    let mut chunks: Vec<u64> = runs.iter().flat_map(|run| run.chunks.iter().copied()).collect();
    chunks.sort_unstable();
    let at = |share: f64| chunks[(chunks.len() as f64 * share) as usize] as f64 / CHUNK as f64;
    let longest = runs.iter().map(|run| run.chunks.iter().sum::<u64>()).max().unwrap_or_default();
    let admitted: u64 = runs.iter().map(|run| run.admitted - run.refunded).sum();
    let denied: u64 = runs.iter().map(|run| run.denied).sum();
    assert!(denied > 0 || refunds, "{}: it really denies", contestant.name());
    Some(Turn {
        mean: longest as f64 / requests as f64,
        p50: at(0.5),
        p95: at(0.95),
        admitted,
        allowed,
        over: admitted.saturating_sub(allowed),
        under: if refunds { 0 } else { allowed.saturating_sub(admitted) },
        cost: limiter.cost(),
    })
}

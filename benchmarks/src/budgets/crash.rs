//! Crashes: what is admitted twice and what is never admitted, against the chunk; how long recovery takes with many keys.
//!
//! A crash here drops the node at a moment of its own time, and the next life spends what is left until it is refused. The
//! kills of real processes are tests (`crates/storage/tests/killed`). Invariant: a run is exact if what was admitted in both
//! lives is the limit less what the first life's bound said could be lost.

use std::time::Instant;

use deltaic_quota::{
    Chunk, Guarantee, Input, Ledger, MemoryLedger, NodeId, Policy, Reason, RequestId, Time, Units,
};
use deltaic_storage::RedbLedger;

use super::grouped;
use super::world::{Random, World, key};

const LIMIT: u64 = 10_000;
const RUNS: u64 = 500;

pub(super) fn run() {
    against_chunk();
    recovery();
}

/// What two lives admitted, what the first one's bound was, and its rows.
struct Lives {
    admitted: u64,
    under_bound: u64,
    over_bound: u64,
    rows: u64,
}

fn lives(policy: Policy, seed: u64) -> Lives {
    let mut random = Random(seed);
    let mut world = World::new(MemoryLedger::new(), policy, 0);
    let name = key(1);
    let mut handle = world.handle(0, &name);
    let mut permits = Vec::new();
    let mut admitted = 0;
    let crash = 1 + random.below(6_000);
    let mut now = 0;
    for number in 0..crash {
        now = number;
        if number % 100 == 0 || world.node.is_urgent() {
            world.tick(now);
        }
        // Three of five are kept.
        if random.below(5) < 4 {
            if let Ok(permit) = world.consume(now, &mut handle, &name, 1 + random.below(4)) {
                admitted += permit.units().0;
                permits.push(permit);
            }
        } else if let Some(permit) = permits.pop() {
            admitted -= permit.units().0;
            permit.refund();
        }
    }
    let bound = world.node.metrics().wrong_at_most;
    // The process is gone: nothing is said to the ledger any more.
    let World { ledger, cost, .. } = world;
    let mut next = World::new(ledger, policy, 0);
    let mut handle = next.handle(now, &name);
    let mut refused = 0;
    while refused < 3 {
        now += 1;
        match next.consume(now, &mut handle, &name, 1) {
            Ok(permit) => {
                admitted += permit.units().0;
                drop(permit);
            }
            Err(denied) => {
                assert!(denied.reason == Reason::Exhausted, "it is used up: {denied}");
                next.tick(now + 2_000);
                now += 2_000;
                refused += 1;
            }
        }
    }
    Lives { admitted, under_bound: bound.under.0, over_bound: bound.over.0, rows: cost.rows }
}

fn against_chunk() {
    println!(
        "{RUNS} crashes for each line, a limit of {}, requests of 1 to 4 units, a fifth given back.\n",
        grouped(LIMIT)
    );
    println!(
        "| way | chunk, at most | over-allowed, worst | under-allowed, mean | worst | within the printed bound | rows before the crash, mean |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let line = |name: &str, chunk: Option<u64>, policy: Policy| {
        let (mut over, mut under, mut worst, mut within, mut rows) = (0, 0, 0, 0, 0);
        for seed in 0..RUNS {
            let lives = lives(policy, seed);
            let (more, less) = (lives.admitted.saturating_sub(LIMIT), LIMIT.saturating_sub(lives.admitted));
            over = over.max(more);
            under += less;
            worst = worst.max(less);
            within += u64::from(more <= lives.over_bound && less <= lives.under_bound);
            rows += lives.rows;
        }
        let chunk = chunk.map_or("-".to_owned(), grouped);
        let mean = |sum: u64| sum as f64 / RUNS as f64;
        println!(
            "| {name} | {chunk} | {} | {:.1} | {} | {within} of {RUNS} | {:.1} |",
            grouped(over),
            mean(under),
            grouped(worst),
            mean(rows)
        );
    };
    let stock = Policy::stock(Units(LIMIT));
    for most in [0, 10, 100, 1_000] {
        let chunk = Chunk { most: Units(most), ..Chunk::default() };
        line("`Escrow`", Some(most), Policy { chunk, ..stock });
    }
    line("`Escrow`, an eighth or a second's rate", None, stock);
    line("`GroupCommit`", None, Policy { guarantee: Guarantee::GroupCommit, ..stock });
    line("`Volatile`, flushed each second", None, Policy { guarantee: Guarantee::Volatile, ..stock });
    println!();
}

/// A node that held leases of many keys comes back.
fn recovery() {
    println!(
        "| keys leased when the process ended | written | batches | file | bytes a key | opened again | leases burnt | next admission |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for keys in [1_000_u64, 10_000, 100_000, 1_000_000] {
        let directory = tempfile::tempdir().expect("a directory is made");
        let begun = Instant::now();
        let ledger = RedbLedger::open_or_create(directory.path()).expect("the ledger is made");
        // A slow answer, so that many first requests go in one batch; leases of what is asked for and no more.
        let chunk = Chunk { most: Units::ZERO, ..Chunk::default() };
        let mut world = World::new(ledger, Policy { chunk, ..Policy::stock(Units(1_000)) }, 1);
        for number in 0..keys {
            let ask = Input::Consume {
                request: RequestId(number),
                policy: world.policy,
                key: key(number),
                units: Units(10),
            };
            world.step(number / 4_096, ask);
            if number % 4_096 == 0 {
                world.tick(number / 4_096);
            }
        }
        let mut now = keys / 4_096;
        while (world.replies.len() as u64) < keys {
            now += 1;
            world.tick(now);
        }
        let written = begun.elapsed();
        let calls = world.cost.calls;
        world.replies.drain(..).for_each(|(_, answer)| answer.expect("the budget is fresh").refund());
        drop(world);
        let bytes: u64 = std::fs::read_dir(directory.path())
            .expect("the directory is there")
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|entry| entry.len())
            .sum();
        let begun = Instant::now();
        let mut ledger = RedbLedger::open_or_create(directory.path()).expect("the ledger opens");
        let opened = begun.elapsed();
        let begun = Instant::now();
        let burnt = ledger.open(NodeId(1)).expect("the node opens").burnt;
        let open = begun.elapsed();
        assert_eq!(burnt, Units(10 * keys), "every lease is burnt, whole");
        let begun = Instant::now();
        let mut world = World::new(ledger, Policy::stock(Units(1_000)), 0);
        let (name, now) = (key(0), Time(now + 1));
        let mut handle = world.handle(now.0, &name);
        drop(world.consume(now.0, &mut handle, &name, 990).expect("what was not leased is there"));
        let first = begun.elapsed();
        println!(
            "| {} | {:.2} s | {} | {:.1} MB | {} | {:.0} ms | {:.2} s | {:.1} ms |",
            grouped(keys),
            written.as_secs_f64(),
            grouped(calls),
            bytes as f64 / 1e6,
            bytes / keys,
            opened.as_secs_f64() * 1e3,
            open.as_secs_f64(),
            first.as_secs_f64() * 1e3
        );
    }
}

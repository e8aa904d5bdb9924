//! How many batches a second go to a server on this machine that syncs each of them. It asserts nothing about speed:
//! `cargo test --release -p deltaic-postgres --test ledger figures -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use deltaic_quota::conformance::{batch, entry};
use deltaic_quota::{Account, Claim, Entry, Key, Ledger, NodeId, Units};

use crate::server::shared;

/// Over so many keys, a batch's worth after the other.
const KEYS: u64 = 10_000;

#[test]
#[ignore = "a figure, and no test"]
#[expect(clippy::disallowed_methods, reason = "durations are printed for people; no result depends on one")]
fn batches_a_second_by_their_size() {
    let Some(server) = shared() else { return };
    let account = |number: u64| Account::stock(Key::new(format!("tenant {number:05}").as_bytes()).unwrap());
    for size in [1, 100, 1_000] {
        let mut ledger = server.ledger();
        ledger.open(NodeId(1)).unwrap();
        let mut seq = 0;
        let mut send = |first: u64, size: u64, round: u64| {
            // Each settles what it was granted the round before, and is granted as much again.
            let settle = |number: u64| Entry {
                consumed: Units(10 * round),
                claim: Claim::Units(Units(10)),
                ..entry(&account(number), Units(1 << 50))
            };
            seq += 1;
            let entries = (first..first + size).map(settle).collect();
            assert_eq!(ledger.apply(&batch(NodeId(1), 1, seq, entries)).unwrap().rows.len() as u64, size);
        };
        for first in (0..KEYS).step_by(1_000) {
            send(first, 1_000, 0);
        }
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(5) {
            let at = sent * size;
            send(at % KEYS, size, at / KEYS + 1);
            sent += 1;
        }
        let batches = sent as f64 / begun.elapsed().as_secs_f64();
        println!("{size:>5} entries: {batches:>7.1} batches/s, {:>8.0} entries/s", batches * size as f64);
    }
}

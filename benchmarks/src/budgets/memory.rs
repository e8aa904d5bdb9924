//! What keys take that nobody uses, and what a flush costs beside them.
//!
//! Invariant: visited keys and rows are counted; memory is what the process has resident more than before, so it counts
//! everything, the allocator's own waste too.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

use deltaic_quota::{
    Account, Baseline, Batch, Budgets, Claim, Effects, Epoch, Handle, Input, Key, NodeId, Opened, Policy,
    PolicyId, Reply, RequestId, Row, Then, Time, Units, WindowId,
};

use super::grouped;
use super::world::key;

const LIMIT: u64 = 1_000;
const DIRTY: u64 = 1_000;

pub(super) fn run() {
    println!(
        "| keys | resident bytes for each, in use | for each at rest | a flush of {DIRTY} changed keys: visited | rows | median of 15 | nothing changed: median |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for keys in [DIRTY, 10_000, 100_000, 1_000_000] {
        let before = resident();
        let mut node = Node::new();
        node.fill(0..keys);
        node.remembers = true;
        let in_use = resident().saturating_sub(before);
        node.rest();
        let metrics = node.budgets.metrics();
        assert_eq!((metrics.keys, metrics.resting, metrics.exposure), (keys, keys, Units(keys)));
        let beside = resident();
        let (mut flushes, mut idle) = (Vec::new(), Vec::new());
        let (mut visited, mut rows) = (0, 0);
        for round in 0..15 {
            let mut handles = node.some(keys, round);
            for (key, handle) in &mut handles {
                if handle.try_consume(Time(node.now), Units(1)).map(drop).is_err() {
                    // It has spent its lease in an earlier round: it gets another.
                    node.ask(key.clone());
                    handle.try_consume(Time(node.now), Units(1)).map(drop).expect("there is a lease");
                }
            }
            let before = node.budgets.metrics();
            let begun = Instant::now();
            let effects = node.budgets.step(Time(node.now), Input::Tick);
            node.now += 1_000;
            let mut effects = if effects.send.is_empty() {
                node.budgets.step(Time(node.now), Input::Tick)
            } else {
                effects
            };
            let batch = effects.send.pop().expect("what changed is due");
            let reply = node.answer(&batch);
            let more = node.budgets.step(Time(node.now), Input::Replied(batch.seq, Ok(reply)));
            flushes.push(begun.elapsed());
            node.settle(more);
            let after = node.budgets.metrics();
            visited = visited.max(after.visited - before.visited);
            rows = rows.max(batch.entries.len());
            drop(handles);
            let begun = Instant::now();
            let effects = node.budgets.step(Time(node.now), Input::Tick);
            idle.push(begun.elapsed());
            node.settle(effects);
        }
        // What was freed is not given back to the system, it is used again: as many new keys take what the first had, and
        // what the process grows by is what those at rest keep.
        node.remembers = false;
        node.fill(keys..2 * keys);
        let at_rest = resident().saturating_sub(beside);
        flushes.sort();
        idle.sort();
        println!(
            "| {} | {} | {} | {} | {} | {:.0} us | {:.1} us |",
            grouped(keys),
            in_use / keys,
            at_rest / keys,
            grouped(visited),
            grouped(rows as u64),
            flushes[7].as_secs_f64() * 1e6,
            idle[7].as_secs_f64() * 1e6,
        );
    }
}

/// What the process has in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

/// A node whose ledger remembers only those keys that are used after their first request, so that the memory is the node's.
struct Node {
    budgets: Budgets,
    policy: PolicyId,
    now: u64,
    granted: BTreeMap<Account, Units>,
    remembers: bool,
}

impl Node {
    fn new() -> Self {
        let mut budgets = Budgets::new(NodeId(1));
        let policy = budgets.declare(Policy { idle_millis: 1 << 40, ..Policy::stock(Units(LIMIT)) });
        let mut node = Self { budgets, policy, now: 0, granted: BTreeMap::new(), remembers: false };
        let opened = Opened { epoch: Epoch(1), burnt: Units::ZERO, horizon: Time(0) };
        let effects = node.budgets.step(Time(0), Input::Opened(opened));
        node.settle(effects);
        node
    }

    fn answer(&mut self, batch: &Batch) -> Reply {
        let row = |entry: &deltaic_quota::Entry| {
            let Claim::Units(claim) = entry.claim else { unreachable!("no buckets here") };
            // A first lease is of one unit.
            let first = if self.remembers { Units(1) } else { Units::ZERO };
            let before = self.granted.get(&entry.account).copied().unwrap_or(first);
            let granted = if entry.then == Then::Close { Units::ZERO } else { before.plus(claim) };
            if self.remembers {
                self.granted.insert(entry.account.clone(), granted);
            }
            let net = entry.consumed.minus(entry.refunded);
            let reserved = granted.minus(entry.returned).minus(net);
            let (target, limit) = (Units(LIMIT), Units(LIMIT));
            let baseline = Baseline { target, limit, used: net, reserved, ..Baseline::default() };
            let recalled = Units::ZERO;
            Row { granted, baseline, newest: WindowId(0), held_by: None, recalled }
        };
        Reply { seq: batch.seq, rows: batch.entries.iter().map(row).collect(), recalled: Vec::new() }
    }

    fn settle(&mut self, mut effects: Effects) {
        loop {
            effects.replies.drain(..).for_each(|(_, answer)| answer.expect("there is enough").refund());
            let Some(batch) = effects.send.pop() else { return };
            let reply = self.answer(&batch);
            effects = self.budgets.step(Time(self.now), Input::Replied(batch.seq, Ok(reply)));
        }
    }

    /// So many keys take a unit and give it back: each holds a lease of one.
    fn fill(&mut self, keys: Range<u64>) {
        keys.for_each(|number| self.ask(key(number)));
    }

    /// A request that waits for its lease, and gives back what it got.
    fn ask(&mut self, key: Key) {
        let (request, policy) = (RequestId(0), self.policy);
        let effects =
            self.budgets.step(Time(self.now), Input::Consume { request, policy, key, units: Units(1) });
        self.settle(effects);
    }

    /// Time passes until what nobody uses has gone to rest.
    fn rest(&mut self) {
        for millis in [5_000, 1 << 38, 1 << 38] {
            self.now += millis;
            let effects = self.budgets.step(Time(self.now), Input::Tick);
            self.settle(effects);
        }
    }

    /// Keys that are spread over all.
    fn some(&mut self, keys: u64, round: u64) -> Vec<(Key, Handle)> {
        let stride = keys / DIRTY;
        let all: Vec<Key> = (0..DIRTY).map(|number| key(number * stride + round % stride)).collect();
        let handle = |key: Key| {
            let handle = self.budgets.handle(Time(self.now), self.policy, &key);
            (key, handle)
        };
        all.into_iter().map(handle).collect()
    }
}

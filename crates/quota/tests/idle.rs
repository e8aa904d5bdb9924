//! Keys that nobody uses: how much memory they take, and that a flush does not see them. Counted, not timed.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking, in shared functions too")]

use std::collections::BTreeMap;

use deltaic_quota::{
    Account, Baseline, Batch, Budgets, Claim, Effects, Epoch, Guarantee, Input, Key, NodeId, Opened, Policy,
    PolicyId, Reply, RequestId, Row, Then, Time, Units, Window, WindowId,
};

const LIMIT: u64 = 1_000;
const IDLE: u64 = 1 << 20;

/// A ledger that remembers what it granted and nothing else: what is measured is the node.
#[derive(Default)]
struct Granting {
    granted: BTreeMap<Account, Units>,
}

impl Granting {
    fn answer(&mut self, batch: &Batch, remembers: bool) -> Reply {
        let row = |entry: &deltaic_quota::Entry| {
            let Claim::Units(claim) = entry.claim else { panic!("no buckets here") };
            let before = self.granted.get(&entry.account).copied().unwrap_or_default();
            let granted = if entry.then == Then::Close { Units::ZERO } else { before.plus(claim) };
            if remembers {
                self.granted.insert(entry.account.clone(), granted);
            }
            let net = entry.consumed.minus(entry.refunded);
            let reserved = granted.minus(entry.returned).minus(net);
            let (target, limit) = (Units(LIMIT), Units(LIMIT));
            let baseline = Baseline { target, limit, used: net, reserved, ..Baseline::default() };
            Row { granted, baseline, newest: WindowId(0), held_by: None, recalled: Units::ZERO }
        };
        let rows = batch.entries.iter().map(row).collect();
        Reply { seq: batch.seq, rows, recalled: Vec::new() }
    }
}

struct World {
    node: Budgets,
    policy: PolicyId,
    ledger: Granting,
    now: u64,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut node = Budgets::new(NodeId(1));
        let policy = node.declare(policy);
        let mut world = Self { node, policy, ledger: Granting::default(), now: 0 };
        let opened = Opened { epoch: Epoch(1), burnt: Units::ZERO, horizon: Time(0) };
        let effects = world.node.step(Time(0), Input::Opened(opened));
        world.settle(effects, true);
        world
    }

    fn settle(&mut self, mut effects: Effects, remembers: bool) {
        for (_, answer) in effects.replies.drain(..) {
            answer.unwrap().refund();
        }
        while let Some(batch) = effects.send.pop() {
            let reply = self.ledger.answer(&batch, remembers);
            effects = self.node.step(Time(self.now), Input::Replied(batch.seq, Ok(reply)));
            for (_, answer) in effects.replies.drain(..) {
                answer.unwrap().refund();
            }
        }
    }

    fn tick(&mut self, millis: u64) {
        self.now += millis;
        let effects = self.node.step(Time(self.now), Input::Tick);
        self.settle(effects, true);
    }

    /// So many keys take a unit and give it back: each holds a lease of one.
    fn touch(&mut self, keys: std::ops::Range<u64>, remembers: bool) {
        for name in keys {
            let key = Key::new(format!("{name:010}").as_bytes()).unwrap();
            let ask = Input::Consume { request: RequestId(name), policy: self.policy, key, units: Units(1) };
            let effects = self.node.step(Time(self.now), ask);
            self.settle(effects, remembers);
        }
    }
}

fn policy() -> Policy {
    Policy { idle_millis: IDLE, ..Policy::stock(Units(LIMIT)) }
}

#[test]
fn a_key_at_rest_with_a_lease_takes_less_than_200_bytes_in_all() {
    const KEYS: u64 = 100_000;
    let windows = [Window::None, Window::Fixed { millis: 100 * IDLE, offset: 0 }];
    for window in windows {
        let mut world = World::new(Policy { window, ..policy() });
        let counted = allocation_counter::measure(|| {
            world.touch(0..KEYS, false);
            world.tick(5_000);
            // The first look finds that they were used, the second that they were not since.
            world.tick(IDLE / 4);
            world.tick(IDLE / 4);
        });
        let metrics = world.node.metrics();
        assert_eq!((metrics.keys, metrics.resting), (KEYS, KEYS));
        assert_eq!(metrics.exposure, Units(KEYS), "each holds a lease");
        let each = counted.bytes_current as u64 / KEYS;
        println!("{each} bytes for a key at rest, with its ten bytes, under {window:?}");
        assert!(each < 200, "{each} bytes for each");
    }
}

#[test]
fn a_flush_visits_a_thousand_of_a_million() {
    const KEYS: u64 = 1_000_000;
    const DIRTY: u64 = 1_000;
    let mut world = World::new(policy());
    world.touch(0..KEYS, false);
    world.tick(5_000);
    world.tick(IDLE / 4);
    world.tick(IDLE / 4);
    assert_eq!(world.node.metrics().resting, KEYS);
    let before = world.node.metrics();
    world.tick(1);
    assert_eq!(world.node.metrics().visited, before.visited, "nothing changed: nothing is looked at");
    let mut handles: Vec<_> = (0..DIRTY)
        .map(|name| {
            let key = Key::new(format!("{:010}", name * (KEYS / DIRTY)).as_bytes()).unwrap();
            world.node.handle(Time(world.now), world.policy, &key)
        })
        .collect();
    for handle in &mut handles {
        handle.try_consume(Time(world.now), Units(1)).unwrap().commit(Units(1)).unwrap();
    }
    // One tick sees that they changed and one, an age later, that they are due.
    let send = world.node.step(Time(world.now), Input::Tick).send;
    assert!(send.is_empty());
    let batch = world.node.step(Time(world.now + 1_000), Input::Tick).send.pop().unwrap();
    assert_eq!(batch.entries.len() as u64, DIRTY);
    assert_eq!(world.node.metrics().visited - before.visited, 2 * DIRTY);
    assert_eq!(world.node.metrics().resting, KEYS - DIRTY);
}

#[test]
fn what_wakes_is_what_went_to_rest() {
    for guarantee in [Guarantee::Escrow, Guarantee::GroupCommit] {
        let mut world = World::new(Policy { guarantee, ..policy() });
        world.touch(3..4, true);
        let key = Key::new(b"0000000003").unwrap();
        let spend = |world: &mut World, n: u64| {
            let ask = Input::Consume {
                request: RequestId(0),
                policy: world.policy,
                key: key.clone(),
                units: Units(n),
            };
            let mut effects = world.node.step(Time(world.now), ask);
            let mut answers = std::mem::take(&mut effects.replies);
            while let Some(batch) = effects.send.pop() {
                let reply = world.ledger.answer(&batch, true);
                effects = world.node.step(Time(world.now), Input::Replied(batch.seq, Ok(reply)));
                answers.append(&mut effects.replies);
            }
            drop(answers.remove(0).1.unwrap());
        };
        for round in 1..20_u64 {
            spend(&mut world, round);
            world.tick(5_000);
            let before = world.node.metrics();
            world.tick(IDLE / 4);
            world.tick(IDLE / 4);
            let after = world.node.metrics();
            assert_eq!(after.resting, 1);
            assert_eq!(
                (before.admitted, before.denied, before.exposure_at_most),
                (after.admitted, after.denied, after.exposure_at_most)
            );
        }
        // It is woken and not used: there is nothing to say.
        let before = world.node.metrics();
        drop(world.node.handle(Time(world.now), world.policy, &key));
        assert_eq!(world.node.metrics().resting, 0);
        let after = world.node.metrics();
        assert_eq!((after.exposure_at_most, after.admitted), (before.exposure_at_most, before.admitted));
        world.tick(1_000);
        world.tick(1_000);
        assert_eq!(world.node.metrics().rows, before.rows);
        let effects = world.node.step(Time(world.now), Input::Close);
        world.settle(effects, true);
        assert!(world.node.step(Time(world.now), Input::Close).closed);
        assert_eq!(world.node.metrics().admitted, Units(1 + 190), "all that was ever admitted, once");
        assert_eq!(world.node.metrics().exposure_at_most, Units::ZERO);
    }
}

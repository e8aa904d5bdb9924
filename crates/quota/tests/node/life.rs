//! How keys come and go: eviction, reload, several nodes, the last unit between them.

use deltaic_quota::{
    Account, FaultyLedger, Flush, Guarantee, Input, Ledger, NodeId, Policy, RequestId, Time, Units,
};

use crate::driver::{World, key};

fn brief() -> Policy {
    let flush = Flush { max_age_millis: 10, ..Flush::default() };
    Policy { idle_millis: 100, flush, ..Policy::stock(Units(10)) }
}

#[test]
fn an_idle_key_goes_home_and_comes_back_with_its_baseline() {
    let mut world = World::new(brief());
    assert!(world.spend("k", 4));
    for _ in 0..4 {
        world.pass(200);
    }
    assert_eq!(world.node.metrics().keys, 0);
    let stored = world.ledger.load(&Account::stock(key("k"))).unwrap().unwrap();
    assert_eq!((stored.baseline.used, stored.baseline.reserved), (Units(4), Units(0)));
    assert!(stored.leases.is_empty());
    assert!(!world.spend("k", 7) && world.spend("k", 6), "an eviction hands no budget back");
}

#[test]
fn a_key_that_somebody_has_in_hand_is_not_evicted() {
    let mut world = World::new(brief());
    let permit = world.consume("k", 10).unwrap();
    for _ in 0..10 {
        world.pass(200);
    }
    assert_eq!(world.node.metrics().keys, 1);
    permit.refund();
    assert!(world.handle("k").try_consume(Time(world.now), Units(10)).is_ok() || world.spend("k", 10));
}

#[test]
fn units_that_another_node_sent_home_are_found_within_an_age() {
    let mut one = World::new(brief());
    let permit = one.consume("k", 10).unwrap();
    let ledger: FaultyLedger = std::mem::take(&mut one.ledger);
    let mut two = World::on(ledger, NodeId(2), brief());
    assert!(!two.spend("k", 1));
    one.ledger = std::mem::take(&mut two.ledger);
    permit.refund();
    one.close();
    two.ledger = std::mem::take(&mut one.ledger);
    assert!(!two.spend("k", 1), "what the ledger said a moment ago is believed");
    two.now += 10;
    assert!(two.spend("k", 10) && !two.spend("k", 1));
}

#[test]
fn metrics_say_what_was_done_and_what_could_be_wrong() {
    let mut world = World::new(brief());
    let permit = world.consume("k", 8).unwrap();
    assert!(!world.spend("k", 3));
    let metrics = world.node.metrics();
    assert_eq!((metrics.admitted, metrics.keys, metrics.denied > 0), (Units(8), 1, true));
    permit.refund();
    let metrics = world.node.metrics();
    assert!(metrics.wrong_at_most.under >= Units(8) && metrics.wrong_at_most.over == Units(0));
    world.close();
    let metrics = world.node.metrics();
    assert_eq!((metrics.exposure_at_most, metrics.wrong_at_most.under), (Units(0), Units(0)));
    assert!(metrics.rows > 0 && metrics.write_reduction() > 0.0);
}

#[test]
fn steady_traffic_costs_few_rows() {
    let mut world = World::new(Policy::stock(Units(1 << 40)));
    let mut requests = 0;
    for _ in 0..500 {
        let now = Time(world.now);
        let mut handle = world.handle("k");
        for _ in 0..100 {
            if handle.try_consume(now, Units(1)).is_ok() {
                requests += 1;
            }
        }
        world.spend("k", 1);
        world.pass(10);
    }
    let metrics = world.node.metrics();
    assert!(requests > 20_000 && metrics.rows * 50 < requests, "{} rows for {requests}", metrics.rows);
}

#[test]
fn a_cut_calls_home_what_is_not_spent() {
    let mut world = World::new(brief());
    world.consume("k", 10).unwrap().refund();
    assert!(world.spend("k", 3));
    let cut = Input::SetLimit { policy: world.policy, key: key("k"), limit: Units(1) };
    world.step(cut);
    world.settle();
    for _ in 0..3 {
        world.pass(5);
    }
    let row = world.ledger.load(&Account::stock(key("k"))).unwrap().unwrap().baseline;
    assert_eq!((row.limit, row.used, row.reserved), (Units(3), Units(3), Units(0)));
    assert!(!world.spend("k", 1));
}

/// A refusal is believed for a moment, but not over a raise that the ledger has not heard of.
#[test]
fn who_asks_right_behind_a_raise_waits_for_it() {
    let mut world = World::new(Policy { guarantee: Guarantee::GroupCommit, ..Policy::stock(Units(10)) });
    assert!(world.spend("k", 10) && !world.spend("k", 1));
    let (policy, key) = (world.policy, key("k"));
    let now = Time(world.now);
    let raise = Input::SetLimit { policy, key: key.clone(), limit: Units(12) };
    let mut batches = world.node.step(now, raise).send;
    let ask = Input::Consume { request: RequestId(900), policy, key, units: Units(2) };
    let asked = world.node.step(now, ask);
    assert_eq!(asked.replies.len(), 0, "it waits");
    batches.extend(asked.send);
    let mut answers = Vec::new();
    while let Some(batch) = batches.pop() {
        let reply = world.ledger.apply(&batch);
        let effects = world.node.step(now, Input::Replied(batch.seq, reply));
        answers.extend(effects.replies);
        batches.extend(effects.send);
    }
    assert!(matches!(&answers[..], [(RequestId(900), Ok(_))]), "{answers:?}");
}

/// There is no later moment to look again at, so nobody looks again.
#[test]
fn the_last_moment_of_time_comes_to_an_end() {
    let mut world = World::new(brief());
    let permit = world.consume("k", 4).unwrap();
    let other = world.handle("other");
    world.now = u64::MAX;
    world.pass(0);
    world.pass(0);
    permit.refund();
    drop(other);
    world.pass(0);
    assert!(world.spend("k", 10));
    world.close();
    assert_eq!(world.used("k"), 10);
}

//! What the predecessor got wrong, each as the thing that has to hold. The numbers are those of the list of faults
//! that this crate was begun with.

use std::sync::Arc;

use deltaic_quota::{
    Account, AggregateLedger, Coalescer, Fault, Flush, Input, Key, Ledger, Limit, MemoryLedger, NodeId,
    Policy, Reason, RequestId, Sum, Time, Units,
};

use crate::driver::{World, key};

fn plain(limit: u64) -> Policy {
    Policy::stock(Units(limit))
}

#[test]
fn t2_1_credit_raises_what_is_available() {
    let mut world = World::new(plain(10));
    assert!(world.spend("k", 3));
    let credit = Input::Credit { policy: world.policy, key: key("k"), units: Units(5) };
    world.step(credit);
    world.settle();
    let admitted = (0..100).filter(|_| world.spend("k", 1)).count();
    assert_eq!(admitted, 12, "15 in all, and never one more");
}

#[test]
fn t2_2_memory_and_ledger_agree_when_a_refund_comes_during_a_flush() {
    let mut world = World::new(plain(100));
    let permit = world.consume("k", 50).unwrap();
    world.now += 5_000;
    let batch = world.step(Input::Tick).send.pop().unwrap();
    permit.refund();
    let reply = world.ledger.apply(&batch);
    world.step(Input::Replied(batch.seq, reply));
    world.pass(5_000);
    world.close();
    assert_eq!(world.used("k"), 0);
}

#[test]
fn t2_3_a_refund_after_a_flush_is_spent_again() {
    let mut world = World::new(plain(10));
    let permit = world.consume("k", 10).unwrap();
    world.pass(5_000);
    assert_eq!(world.used("k"), 10, "flushed");
    permit.refund();
    world.pass(5_000);
    assert!(world.spend("k", 10));
    assert!(!world.spend("k", 1));
}

#[test]
fn t2_4_no_way_in_is_without_a_gate() {
    let mut world = World::new(plain(10));
    let mut admitted = 0;
    for n in [4, 4, 4, 2, 1, u64::MAX, i64::MAX as u64] {
        admitted += if world.spend("k", n) { n } else { 0 };
    }
    assert_eq!(admitted, 10);
}

#[test]
fn t2_5_a_cached_gate_does_not_admit_stale() {
    let mut world = World::new(plain(100));
    assert!(world.spend("k", 1));
    let admitted = (0..50_000).filter(|_| world.handle("k").try_consume(Time(0), Units(1)).is_ok()).count();
    let waited = (0..300).filter(|_| world.spend("k", 1)).count();
    assert_eq!(1 + admitted + waited, 100);
}

#[test]
fn t2_6_a_part_of_the_stripes_does_not_stand_for_all() {
    for stripes in [0, 1, 2, 4, 8, 64] {
        let mut world = World::new(Policy { stripes, ..plain(10) });
        let admitted = (0..100).filter(|_| world.spend("k", 10)).count();
        assert_eq!(admitted, 1, "{stripes} stripes");
    }
}

#[test]
fn t2_7_two_large_requests_at_once_do_not_both_fit() {
    for _ in 0..300 {
        let mut world = World::new(plain(1_000));
        world.consume("k", 1_000).unwrap().refund();
        let accumulator = Arc::clone(world.handle("k").accumulator().unwrap());
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| usize::from(accumulator.try_consume(Units(900)).is_ok())))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1);
    }
}

#[test]
fn t2_8_the_largest_amounts_do_not_wrap() {
    let mut world = World::new(plain(1_000));
    for n in [u64::MAX, i64::MAX as u64, i64::MAX as u64 - 63, 1 << 62, 1 << 61, 1_001] {
        let denied = world.consume("k", n).unwrap_err();
        assert_eq!(
            (denied.reason, denied.available),
            (Reason::Exhausted, Units(denied.available.0.min(1_000)))
        );
    }
    assert!(world.spend("k", 1_000), "storms of refusals cost nothing");
}

#[test]
fn t2_9_what_is_written_is_in_the_row() {
    let mut world = World::new(plain(1_000));
    assert!(world.spend("k", 400));
    world.pass(5_000);
    let row = world.ledger.load(&Account::stock(key("k"))).unwrap().unwrap().baseline;
    assert_eq!((row.used, row.limit), (Units(400), Units(1_000)));
}

#[test]
fn t2_10_an_answer_that_is_lost_does_not_apply_a_batch_twice() {
    let mut world = World::new(plain(100));
    for fault in [Fault::TimeoutAfter, Fault::TimeoutAfter, Fault::None, Fault::TimeoutAfter] {
        world.ledger.plan(fault);
    }
    // The first is told that the ledger is away: its units come with the answer, for the next.
    let told = u64::from(world.spend("k", 30)) + u64::from(world.spend("k", 30));
    world.pass(5_000);
    world.pass(5_000);
    world.close();
    assert_eq!(world.used("k"), 30 * told);
}

#[test]
fn t2_11_a_flush_is_not_starved_by_traffic_that_never_rests() {
    let flush =
        Flush { threshold: Units(192), low_water: Units(96), max_age_millis: 20, deadband: Units::ZERO };
    let mut world = World::new(Policy { flush, ..plain(1 << 40) });
    let mut most = 0;
    assert!(world.spend("k", 1));
    for _ in 0..2_000 {
        // Always more than the low water between two ticks, and never a moment of rest.
        let mut handle = world.handle("k");
        let now = Time(world.now);
        let admitted = (0..150).filter(|_| handle.try_consume(now, Units(1)).is_ok()).count();
        if admitted == 0 {
            world.spend("k", 150);
        }
        world.now += 5;
        world.step(Input::Tick);
        world.settle();
        let account = world.ledger.load(&Account::stock(key("k"))).unwrap().unwrap().baseline;
        most = most.max(world.handle("k").accumulator().unwrap().consumed_now().0 - account.used.0);
    }
    let metrics = world.node.metrics();
    assert!(metrics.admitted > Units(200_000), "{metrics:?}");
    assert!(most <= 150 * 6, "{most} unsettled: more than what one age admits");
}

#[test]
fn t2_12_nothing_is_admitted_after_the_last_flush() {
    let mut world = World::new(plain(100));
    let permit = world.consume("k", 30).unwrap();
    let mut handle = world.handle("k");
    handle.try_consume_shared(Time(0), Units(0)).unwrap().refund();
    world.step(Input::Stop);
    assert_eq!(handle.try_consume(Time(0), Units(1)).unwrap_err().reason, Reason::Closed);
    assert_eq!(world.consume("k", 1).unwrap_err().reason, Reason::Closed);
    permit.commit(Units(10)).unwrap();
    world.close();
    assert_eq!(world.used("k"), 10, "what came back while draining went home");
    assert!(world.step(Input::Close).closed && world.step(Input::Stop).replies.is_empty());
}

#[test]
fn t2_13_two_nodes_share_one_budget() {
    let mut world = World::new(plain(100));
    let mut told = 0;
    for round in 0..40 {
        told += u64::from(world.spend("k", 3)) * 3;
        let ledger = std::mem::take(&mut world.ledger);
        // The second node comes, spends and goes, on the same ledger.
        let mut other = World::on(ledger, deltaic_quota::NodeId(2), plain(100));
        other.now = round;
        told += u64::from(other.spend("k", 2)) * 2;
        other.close();
        world.ledger = other.ledger;
        world.now += 5_000;
    }
    world.close();
    assert_eq!(world.used("k"), told);
    assert!((98..=100).contains(&told), "{told}");
}

#[test]
fn t2_14_a_flush_costs_what_changed() {
    let mut world = World::new(plain(10));
    for n in 0..3_000 {
        assert!(world.spend(&format!("k{n}"), 1));
    }
    world.pass(5_000);
    let before = world.node.metrics().rows;
    for n in 0..3 {
        assert!(world.spend(&format!("k{n}"), 1));
    }
    world.pass(5_000);
    let rows = world.node.metrics().rows - before;
    assert!((3..=6).contains(&rows), "{rows} rows for 3 keys of 3,000");
}

#[test]
fn t2_15_keys_do_not_merge_and_a_batch_again_changes_nothing() {
    // More keys than any table of a fixed size has places for, equal in all but one byte.
    let name = key("clicks");
    let keys: Vec<Key> =
        (0_u32..5_000).map(|n| Key::new(&[b"same", &n.to_be_bytes()[..]].concat()).unwrap()).collect();
    let mut ledger = MemoryLedger::new();
    let epoch = ledger.open_aggregate(&name, NodeId(1)).unwrap();
    let mut coalescer = Coalescer::new(NodeId(1), epoch, 0);
    for (n, key) in keys.iter().enumerate() {
        coalescer.add(Time(0), key, &Sum(n as i128 + 1));
    }
    let batch = coalescer.flush_all().unwrap();
    for _ in 0..3 {
        ledger.combine(&name, &batch).unwrap();
    }
    coalescer.acknowledged(batch.seq);
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(ledger.aggregate::<Sum>(&name, key).unwrap(), Sum(n as i128 + 1));
    }
    assert_eq!(coalescer.unwritten(), 0);
}

#[test]
fn an_unlimited_key_costs_nothing() {
    let mut world = World::new(Policy { limit: Limit::Unlimited, ..plain(0) });
    assert!(world.spend("k", u64::MAX));
    let mut handle = world.handle("k");
    handle.try_consume(Time(0), Units(u64::MAX)).unwrap().commit(Units(u64::MAX)).unwrap();
    world.pass(5_000);
    assert_eq!((world.node.metrics().keys, world.ledger.inner.rows()), (0, 0));
}

#[test]
fn a_lost_write_is_found_and_said() {
    let mut world = World::new(plain(100));
    assert!(world.spend("k", 1));
    world.ledger.plan(Fault::LoseWrite);
    world.pass(5_000);
    let (request, policy) = (RequestId(99), world.policy);
    world.now += 5_000;
    let batch = world
        .step(Input::Consume { request, policy, key: key("other"), units: Units(1) })
        .send
        .pop()
        .unwrap();
    let answer = world.ledger.apply(&batch);
    let effects = world.step(Input::Replied(batch.seq, answer));
    assert!(effects.lost.is_some() && effects.failed.is_some());
    assert_eq!(effects.replies.len(), 1, "who waits is told");
    assert_eq!(world.handle("k").try_consume(Time(0), Units(1)).unwrap_err().reason, Reason::Closed);
}

/// Whenever an answer comes somebody waits already, so that each batch leaves at the moment of the one before.
#[test]
fn a_hot_key_that_somebody_always_waits_for_is_leased_ahead() {
    const EACH: u64 = 10;
    let mut world = World::new(plain(1_000_000));
    let mut under_way = None;
    let (mut admitted, mut request) = (0, 0);
    for _ in 0..1_000 {
        for _ in 0..EACH {
            request += 1;
            let (request, policy) = (RequestId(request), world.policy);
            let ask = Input::Consume { request, policy, key: key("k"), units: Units(1) };
            let effects = world.step(ask);
            under_way = effects.send.pop().or(under_way);
            admitted += effects.replies.drain(..).filter(|(_, answer)| answer.is_ok()).count() as u64;
        }
        world.now += 1;
        if let Some(batch) = under_way.take() {
            let reply = world.ledger.apply(&batch);
            let effects = world.step(Input::Replied(batch.seq, reply));
            under_way = effects.send.pop();
            admitted += effects.replies.drain(..).filter(|(_, answer)| answer.is_ok()).count() as u64;
        }
    }
    assert!(admitted >= EACH * 990, "{admitted} are answered");
    let rows = world.node.metrics().rows;
    assert!(rows < 20, "{rows} rows for {admitted}");
}

#[test]
fn a_key_that_is_asked_for_now_and_then_is_not_leased_far_ahead() {
    let mut world = World::new(plain(1_000_000));
    for _ in 0..50 {
        // Three within two milliseconds, ten times in a second: some thirty units a second, and not a thousand.
        for _ in 0..3 {
            assert!(world.spend("k", 1));
            world.now += 1;
        }
        let metrics = world.node.metrics();
        assert!(metrics.wrong_at_most.under.0 <= 100, "{metrics:?}");
        world.pass(97);
    }
}

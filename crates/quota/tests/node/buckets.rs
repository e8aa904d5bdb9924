//! Token buckets on a node: what any stretch of time admitted, across crashes, hand-overs and clocks that step.

use deltaic_quota::{
    FaultyLedger, Flush, Guarantee, Handle, Input, LedgerError, NodeId, Policy, Reason, Time, Units,
};
use deltaic_quota::{WhenAway, Window};
use proptest::prelude::*;

use crate::driver::{World, key};

const LIMIT: u64 = 10;
const MILLIS: u64 = 100;
const BURST: u64 = 7;
/// How far ahead a mark is: what a crash costs.
const AHEAD: u64 = 20;

fn policy() -> Policy {
    Policy {
        window: Window::Bucket { millis: MILLIS, burst: Units(BURST) },
        flush: Flush { max_age_millis: AHEAD, ..Flush::default() },
        idle_millis: 400,
        ..Policy::stock(Units(LIMIT))
    }
}

/// Whether any run of admissions has more than a burst and what comes between the earliest and the latest moment that
/// the clock showed in it.
fn over(admitted: &[(u64, u64)]) -> bool {
    (0..admitted.len()).any(|from| {
        let (mut sum, mut latest, mut earliest) = (0, 0, u64::MAX);
        admitted[from..].iter().filter(|(_, n)| *n > 0).any(|(at, n)| {
            (sum, latest, earliest) = (sum + n, latest.max(*at), earliest.min(*at));
            sum > BURST && (sum - BURST) * MILLIS > LIMIT * (latest - earliest)
        })
    })
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(u64),
    Direct(u64),
    Refund(usize),
    Tick,
    Crash,
    Restart,
    /// A thread of a process that was replaced goes on.
    Zombie(u64),
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, bool)>> {
    let step = prop_oneof![
        6 => (1_u64..9).prop_map(Step::Ask),
        6 => (1_u64..9).prop_map(Step::Direct),
        3 => any::<usize>().prop_map(Step::Refund),
        4 => Just(Step::Tick),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        3 => (1_u64..5).prop_map(Step::Zombie),
    ];
    // Now and then the clock steps back.
    proptest::collection::vec((step, 0_u64..40, proptest::bool::weighted(0.1)), 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_stretch_has_more_than_a_burst_and_its_rate(steps in steps()) {
        let mut world = World::new(policy());
        world.now = 1_000;
        let (mut admitted, mut permits) = (Vec::<(u64, u64)>::new(), Vec::new());
        // A node's own clock never steps back.
        let (mut clock, mut zombie) = (0, None::<Handle>);
        for (step, millis, back) in steps {
            world.now = if back { world.now - millis } else { world.now + millis };
            clock = match step {
                Step::Crash | Step::Restart => 0,
                Step::Refund(_) | Step::Zombie(_) => clock,
                Step::Ask(_) | Step::Direct(_) | Step::Tick => world.now.max(clock),
            };
            match step {
                Step::Ask(n) => {
                    if let Ok(permit) = world.consume("k", n) {
                        permits.push((admitted.len(), permit));
                        admitted.push((clock, n));
                    }
                }
                Step::Direct(n) => {
                    let now = Time(world.now);
                    if let Ok(permit) = world.handle("k").try_consume_shared(now, Units(n)) {
                        permits.push((admitted.len(), permit));
                        admitted.push((world.now, n));
                    }
                }
                Step::Refund(place) => {
                    if !permits.is_empty() {
                        let (which, permit) = permits.swap_remove(place % permits.len());
                        admitted[which].1 = 0;
                        permit.refund();
                    }
                }
                Step::Tick => drop(world.pass(0)),
                Step::Zombie(n) => {
                    let taken = zombie.as_mut().map(|handle| handle.try_consume_shared(Time(world.now), Units(n)));
                    if let Some(Ok(permit)) = taken {
                        permits.push((admitted.len(), permit));
                        admitted.push((world.now, n));
                    }
                }
                Step::Crash => {
                    permits.clear();
                    zombie = Some(world.handle("k"));
                    world = world.crash(policy());
                }
                Step::Restart => {
                    permits.clear();
                    world.close();
                    world = world.crash(policy());
                }
            }
            prop_assert!(!over(&admitted), "{:?}", admitted);
        }
    }
}

/// A request that waits is admitted as soon as the rate allows it, and after a crash later by the chunk at most.
#[test]
fn a_crash_costs_at_most_the_chunk_of_time() {
    for crash_at in 0..60 {
        let mut world = World::new(policy());
        let (mut admitted, mut begin) = (0, 1_000);
        for turn in 0..200_u64 {
            world.now = begin + 10 * turn;
            if turn == crash_at {
                world = world.crash(policy());
                world.now = begin + 10 * turn;
            }
            admitted += u64::from(world.spend("k", 1));
        }
        begin = 200;
        // One comes every 10 milliseconds and one is asked for: what is missing is what the crash cost.
        assert!(admitted >= begin - AHEAD / 10 - 1, "{admitted} after a crash at {crash_at}");
    }
}

#[test]
fn a_refusal_names_the_moment_at_which_it_would_be_admitted() {
    let mut world = World::new(policy());
    world.now = 1_000;
    assert!(world.spend("k", BURST));
    let denied = world.consume("k", 3).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::Exhausted, Some(Time(1_030))));
    let denied = world.consume("k", BURST + 1).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::Exhausted, None));
    world.now = 1_029;
    assert!(!world.spend("k", 3));
    world.now = 1_030;
    assert!(world.spend("k", 3));
    world.now = u64::MAX;
    assert!(!world.spend("k", 1), "a clock that jumps past the end of ticks finds nothing");
}

#[test]
fn a_clock_that_jumps_ahead_finds_one_burst_and_back_nothing() {
    let mut world = World::new(policy());
    world.now = 1_000;
    assert!(world.spend("k", BURST));
    world.now = 50_000_000;
    assert!(world.spend("k", BURST) && !world.spend("k", 1));
    world.now = 1_000;
    assert!(!world.spend("k", 1));
    let mut world = world.crash(policy());
    assert!(!world.spend("k", 1), "the mark is remembered");
}

#[test]
fn a_bucket_has_one_holder_and_is_let_go() {
    let mut one = World::new(policy());
    one.now = 1_000;
    assert!(one.spend("k", BURST));
    let mut two = World::on(std::mem::take(&mut one.ledger), NodeId(2), policy());
    two.now = 1_000;
    let denied = two.consume("k", 1).unwrap_err();
    assert_eq!(denied.reason, Reason::HeldElsewhere);
    let refused = two.handle("k").try_consume(Time(two.now), Units(1)).unwrap_err();
    assert_eq!(refused.reason, Reason::HeldElsewhere);
    let before = two.node.metrics().rows;
    (0..50).for_each(|_| assert!(!two.spend("k", 1)));
    assert_eq!(two.node.metrics().rows, before, "refusals cost no rows");
    one.ledger = std::mem::take(&mut two.ledger);
    one.close();
    two.ledger = std::mem::take(&mut one.ledger);
    two.now = 1_040;
    let free = (0..BURST).filter(|_| two.spend("k", 1)).count() as u64;
    assert!(free <= 4, "{free}: what the first gave stays given");
    two.now = 1_200;
    assert!(two.spend("k", BURST) && !two.spend("k", 1));
}

#[test]
fn steady_traffic_costs_rows_by_time_and_not_by_requests() {
    let mut world = World::new(Policy { limit: deltaic_quota::Limit::Of(Units(1_000)), ..policy() });
    let (mut admitted, mut handle) = (0, world.handle("k"));
    for millis in 1_000..2_000 {
        world.now = millis;
        admitted += (0..20).filter(|_| handle.try_consume(Time(millis), Units(1)).is_ok()).count();
        if world.node.is_urgent() {
            world.pass(0);
        }
    }
    let rows = world.node.metrics().rows;
    assert!(admitted > 6_000, "{admitted} of 7 at most each millisecond");
    assert!(rows <= 2 + 2 * 1_000 / AHEAD, "{rows} rows in a second");
    assert_eq!(world.node.metrics().admitted, Units(admitted as u64));
}

#[test]
fn a_limit_that_changes_is_a_rate_that_changes() {
    let mut world = World::new(policy());
    world.now = 1_000;
    assert!(world.spend("k", BURST));
    let faster = Input::SetLimit { policy: world.policy, key: key("k"), limit: Units(10 * LIMIT) };
    world.step(faster);
    world.settle();
    let denied = world.consume("k", BURST).unwrap_err();
    assert_eq!(denied.retry_after, Some(Time(1_070)), "what was taken keeps its time");
    world.now = 1_070;
    assert!(world.spend("k", BURST));
    assert_eq!(world.consume("k", BURST).unwrap_err().retry_after, Some(Time(1_077)));
}

#[test]
fn without_its_ledger_a_bucket_gives_to_its_mark_or_as_it_was_asked_for() {
    let outcomes = [WhenAway::Deny, WhenAway::SpendLease, WhenAway::Open].map(|when_away| {
        let mut world = World::on(FaultyLedger::default(), NodeId(1), Policy { when_away, ..policy() });
        world.now = 1_000;
        world.consume("k", 1).unwrap().refund();
        let credit = Input::Credit { policy: world.policy, key: key("other"), units: Units(1) };
        world.now += 1;
        let batch = world.step(credit).send.pop().unwrap();
        world.step(Input::Replied(batch.seq, Err(LedgerError::Away)));
        let mut handle = world.handle("k");
        let mut give = |at: u64| {
            (0..100).filter(|_| handle.try_consume_shared(Time(at), Units(1)).is_ok()).count() as u64
        };
        let (at_once, later) = (give(1_001), give(2_000));
        let bound = world.node.metrics().wrong_at_most;
        let reply = deltaic_quota::Ledger::apply(&mut world.ledger.inner, &batch);
        world.step(Input::Replied(batch.seq, reply));
        world.settle();
        world.pass(AHEAD);
        (at_once, later, bound.over.0, world.node.metrics().wrong_at_most.over.0)
    });
    assert_eq!(outcomes[0], (0, 0, 0, 0));
    assert!((1..BURST).contains(&outcomes[1].0) && outcomes[1].1 == 0);
    assert_eq!((outcomes[2].0, outcomes[2].1), (BURST, BURST));
    assert!(outcomes[2].2 >= BURST && outcomes[2].3 == 0, "what had no cover is covered again");
}

#[test]
fn an_idle_bucket_is_let_go_and_loses_nothing_when_it_comes_back() {
    let mut world = World::new(policy());
    world.now = 1_000;
    assert!(world.spend("k", BURST));
    (0..5).for_each(|_| drop(world.pass(500)));
    assert_eq!(world.node.metrics().keys, 0);
    assert!(world.spend("k", BURST) && !world.spend("k", 1));
    assert_eq!(policy().guarantee, Guarantee::Escrow);
}

#[test]
fn threads_take_a_burst_once() {
    for burst in [1, 5_000] {
        let window = Window::Bucket { millis: MILLIS, burst: Units(burst) };
        let mut world = World::new(Policy { window, ..policy() });
        world.now = 1_000;
        world.consume("k", burst).unwrap().refund();
        let handle = world.handle("k");
        let given: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let mut handle = handle.clone();
                    scope.spawn(move || {
                        let (mut given, mut n) = (0, 1 + thread);
                        while n > 0 {
                            match handle.try_consume_shared(Time(1_000), Units(n)) {
                                // Some think better of it.
                                Ok(permit) if given % 3 == 1 => {
                                    permit.refund();
                                    given += u64::from(handle.try_consume(Time(1_000), Units(1)).is_ok());
                                }
                                Ok(permit) => given += permit.units().0,
                                Err(_) => n -= 1,
                            }
                        }
                        given
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(given <= burst, "{given} of {burst}");
        assert!(given > burst / 2, "{given} of {burst}");
    }
}

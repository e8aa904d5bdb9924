//! The roll from one window to the next: a key that is in use does not wait for it.

use deltaic_quota::{Account, Flush, Guarantee, Ledger, Policy, Reason, Time, Units, Window, WindowId};

use crate::driver::{World, key};

const LENGTH: u64 = 1_000;
const LIMIT: u64 = 100_000;

fn policy(guarantee: Guarantee) -> Policy {
    Policy {
        window: Window::Fixed { millis: LENGTH, offset: 0 },
        guarantee,
        flush: Flush { max_age_millis: 50, ..Flush::default() },
        ..Policy::stock(Units(LIMIT))
    }
}

/// Ten a millisecond, and a driver that ticks when it is urgent and every ten milliseconds; an answer of the ledger
/// takes three. Gives the requests that had to wait, by the millisecond of their window, and the rows.
fn waited(guarantee: Guarantee, windows: u64) -> (Vec<u64>, u64) {
    let mut world = World::new(policy(guarantee));
    world.settle();
    // The first windows make the key known and, where it stands on a share, give it that.
    world.now = LENGTH - 1;
    world.pass(0);
    let (mut waited, mut rows) = (Vec::new(), 0);
    let mut handle = world.handle("hot");
    let mut under_way = None;
    for now in LENGTH..(windows + 3) * LENGTH {
        world.now = now;
        if now == 2 * LENGTH {
            (waited, rows) = (Vec::new(), world.node.metrics().rows);
        }
        if now % 10 == 0 || world.node.is_urgent() {
            let tick = deltaic_quota::Input::Tick;
            let send = world.step(tick).send.pop();
            under_way = under_way.or(send.map(|batch| (now + 3, batch)));
        }
        if let Some((_, batch)) = under_way.take_if(|(at, _)| *at <= now) {
            let reply = world.ledger.apply(&batch);
            let send = world.step(deltaic_quota::Input::Replied(batch.seq, reply)).send.pop();
            under_way = send.map(|batch| (now + 3, batch));
        }
        for _ in 0..10 {
            if handle.try_consume(Time(now), Units(1)).is_err() {
                waited.push(now % LENGTH);
                handle = world.handle("hot");
            }
        }
    }
    (waited, world.node.metrics().rows - rows)
}

#[test]
fn a_hot_key_waits_at_none_of_a_hundred_boundaries() {
    for guarantee in [Guarantee::Escrow, Guarantee::Standing] {
        let (waited, rows) = waited(guarantee, 100);
        assert_eq!(waited, [0; 0], "{guarantee:?}");
        assert!(rows < 100 * 30, "{rows} rows");
    }
}

#[test]
fn without_a_lease_ahead_it_waits_at_every_one() {
    let (waited, _) = waited(Guarantee::GroupCommit, 100);
    assert!(waited.iter().filter(|millis| **millis == 0).count() >= 100);
}

#[test]
fn what_is_leased_ahead_and_not_spent_costs_nothing() {
    let mut world = World::new(policy(Guarantee::Escrow));
    world.now = LENGTH - 200;
    assert!(world.spend("k", 10));
    world.now = LENGTH - 100;
    world.pass(0);
    let account = |window: u64| Account { key: key("k"), window: WindowId(window) };
    let next = world.ledger.load(&account(1)).unwrap().unwrap().baseline;
    assert!(next.reserved > Units::ZERO, "the next window is leased");
    // Nobody uses it: its lease goes home with its window, and the window after it is not leased.
    for now in LENGTH..3 * LENGTH {
        world.now = now;
        world.pass(0);
    }
    let next = world.ledger.load(&account(1)).unwrap().unwrap().baseline;
    assert_eq!((next.reserved, next.used), (Units::ZERO, Units::ZERO));
    assert_eq!(world.ledger.load(&account(2)).unwrap().unwrap().leases, []);
    assert_eq!(world.used("k"), 10);
}

/// The ledger grants nothing more from a window when the next was granted from, so refusals then name its end and
/// cost no rows.
#[test]
fn after_the_last_call_a_window_asks_no_more() {
    let mut world = World::new(policy(Guarantee::Escrow));
    world.now = LENGTH - 200;
    assert!(world.spend("k", 10));
    world.now = LENGTH - 100;
    world.pass(0);
    let mut handle = world.handle("k");
    while handle.try_consume(Time(world.now), Units(1)).is_ok() {}
    world.pass(1);
    let rows = world.node.metrics().rows;
    for _ in 0..20 {
        let denied = world.consume("k", 1).unwrap_err();
        assert_eq!((denied.reason, denied.retry_after), (Reason::Exhausted, Some(Time(LENGTH))));
    }
    assert!(world.node.metrics().rows <= rows + 1);
    world.now = LENGTH;
    assert!(world.handle("k").try_consume(Time(LENGTH), Units(1)).is_ok(), "the next does not wait");
}

//! Limits by time: what any stretch of time admitted, whatever the clock does.

use deltaic_quota::{Chunk, Flush, Guarantee, Policy, Reason, Time, Units, Window, consume_all};
use proptest::prelude::*;

use crate::driver::World;

const LENGTH: u64 = 100;
const LIMIT: u64 = 20;

fn policy(window: Window) -> Policy {
    Policy {
        window,
        flush: Flush { max_age_millis: 10, ..Flush::default() },
        chunk: Chunk { part: 2, ..Chunk::default() },
        ..Policy::stock(Units(LIMIT))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Every stretch of the length, wherever it ends, counted one by one; with crashes between.
    #[test]
    fn no_stretch_of_a_sliding_window_has_more_than_the_limit(
        steps in proptest::collection::vec((0_u64..60, 0_u64..15, 0_u8..12), 1..60),
        parts in 1_u32..8,
    ) {
        let sliding = policy(Window::Sliding { millis: LENGTH, parts });
        let mut world = World::new(sliding);
        let mut admitted: Vec<(u64, u64)> = Vec::new();
        for (millis, n, what) in steps {
            world.now += millis;
            if what == 0 {
                world = world.crash(sliding);
            }
            if what < 6 {
                if world.spend("k", n) {
                    admitted.push((world.now, n));
                }
            } else {
                let mut handle = world.handle("k");
                if handle.try_consume(Time(world.now), Units(n)).is_ok() {
                    admitted.push((world.now, n));
                }
            }
            for (end, _) in &admitted {
                let within = admitted.iter().filter(|(at, _)| at <= end && at + LENGTH > *end);
                let sum: u64 = within.map(|(_, n)| n).sum();
                prop_assert!(sum <= LIMIT, "{} in the {} ms before {}", sum, LENGTH, end);
            }
        }
    }

    /// A clock that goes wherever it likes: no window by the clock's own number has more than the limit.
    #[test]
    fn a_clock_that_steps_back_or_far_ahead_does_not_mint(
        steps in proptest::collection::vec((0_u64..1_000, 1_u64..9, 0_u8..9), 1..60),
    ) {
        let fixed = policy(Window::Fixed { millis: LENGTH, offset: 30 });
        let mut world = World::new(fixed);
        let (mut latest, mut total, mut windows) = (0, 0, 1);
        for (now, n, what) in steps {
            world.now = if what == 8 { now + 1_000_000 } else { now };
            if what == 0 {
                world = world.crash(fixed);
            }
            let window = fixed.window.at(Time(world.now)).id.0;
            if window > latest {
                (latest, windows) = (window, windows + 1);
            }
            total += if world.spend("k", n) { n } else { 0 };
            prop_assert!(total <= windows * LIMIT, "{} in {} windows that ever were the latest", total, windows);
        }
    }
}

#[test]
fn a_fixed_window_begins_anew_and_tells_when() {
    let mut world = World::new(policy(Window::Fixed { millis: LENGTH, offset: 0 }));
    world.now = 250;
    assert!(world.spend("k", LIMIT));
    let denied = world.consume("k", 1).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::Exhausted, Some(Time(300))));
    let mut handle = world.handle("k");
    world.now = 300;
    assert_eq!(handle.try_consume(Time(300), Units(1)).unwrap_err().reason, Reason::WindowOver);
    assert!(world.spend("k", LIMIT - 1));
    assert!(!world.spend("k", 2));
    world.now = 1_000_000;
    assert!(world.spend("k", LIMIT) && !world.spend("k", 1), "passed windows are not saved up");
}

#[test]
fn a_refund_of_a_window_that_is_over_is_not_spent_in_the_next() {
    let mut world = World::new(policy(Window::Fixed { millis: LENGTH, offset: 0 }));
    let permit = world.consume("k", LIMIT).unwrap();
    world.now = 150;
    assert!(world.spend("k", LIMIT));
    permit.refund();
    world.pass(20);
    assert!(!world.spend("k", 1));
}

#[test]
fn stacked_limits_admit_together_or_not_at_all() {
    let mut world = World::new(Policy::stock(Units(10)));
    world.consume("minute", 10).unwrap().refund();
    world.consume("hour", 4).unwrap().refund();
    let mut limits = [world.handle("minute"), world.handle("hour")];
    assert_eq!(consume_all(&mut limits, Time(0), Units(3)).unwrap().len(), 2);
    let (place, denied) = consume_all(&mut limits, Time(0), Units(3)).unwrap_err();
    assert_eq!((place, denied.available), (1, Units(1)));
    let minute = limits[0].accumulator().unwrap().available().local;
    assert_eq!(minute, Units(7), "what the first gave came back");
}

/// The ledger grants from no window before the latest: its memory of that is the horizon of leases.
#[test]
fn a_clock_that_was_set_back_between_two_lives_does_not_open_a_window_again() {
    let windows = [Window::Fixed { millis: LENGTH, offset: 0 }, Window::Sliding { millis: LENGTH, parts: 1 }];
    for window in windows {
        for guarantee in [Guarantee::Escrow, Guarantee::GroupCommit] {
            for clean in [true, false] {
                let policy = Policy { guarantee, ..policy(window) };
                let mut world = World::new(policy);
                // Window 3 has half left, and window 5 was used up.
                world.now = 3 * LENGTH;
                assert!(world.spend("k", LIMIT / 2));
                world.now = 5 * LENGTH;
                assert!(world.spend("k", LIMIT));
                if clean {
                    world.close();
                }
                let mut world = world.crash(policy);
                for now in 3 * LENGTH..6 * LENGTH {
                    world.now = now;
                    let denied = world.consume("k", 1).unwrap_err();
                    assert_eq!(denied.reason, Reason::Exhausted, "{now}");
                }
                world.now = if window == windows[0] { 6 * LENGTH } else { 7 * LENGTH };
                assert!(world.spend("k", LIMIT));
            }
        }
    }
}

//! Histories of real threads, checked as Wing and Gong (1993) do: there has to be an order of the calls, each at
//! one moment between its begin and its end, in which one number and a subtraction give the same answers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use deltaic_quota::{Policy, Time, Units};

use crate::driver::World;

#[derive(Debug, Clone, Copy)]
struct Call {
    begin: u64,
    end: u64,
    /// Taken if positive, given back if negative.
    units: i64,
    admitted: bool,
}

/// Whether the calls have an order that explains them. Calls are tried in the order of their begins; a set of done
/// calls determines what is left, so it is visited once.
fn explained(calls: &[Call], start: i64) -> bool {
    fn search(calls: &[Call], done: u64, left: i64, seen: &mut BTreeSet<u64>) -> bool {
        if done.count_ones() as usize == calls.len() {
            return true;
        }
        if !seen.insert(done) {
            return false;
        }
        let open = || (0..calls.len()).filter(|place| done & (1 << place) == 0);
        let first_end = open().map(|place| calls[place].end).min().unwrap();
        open().filter(|place| calls[*place].begin <= first_end).any(|place| {
            let call = calls[place];
            let right = call.admitted == (call.units <= left);
            let after = if call.admitted { left - call.units } else { left };
            right && search(calls, done | 1 << place, after, seen)
        })
    }
    search(calls, 0, start, &mut BTreeSet::new())
}

#[test]
fn the_checker_knows_wrong_histories() {
    let call = |begin, end, units, admitted| Call { begin, end, units, admitted };
    assert!(explained(&[call(0, 9, 6, true), call(1, 8, 6, false)], 10));
    assert!(!explained(&[call(0, 9, 6, true), call(1, 8, 6, true)], 10), "over-admission");
    assert!(!explained(&[call(0, 9, 6, false), call(1, 8, 6, false)], 10), "both refused");
    assert!(
        !explained(&[call(0, 1, 10, true), call(2, 3, -10, true), call(4, 5, 1, false)], 10),
        "lost refund"
    );
}

#[test]
fn histories_of_threads_are_linearizable_refusals_too() {
    let mut refused = 0;
    for round in 0..1_500_u64 {
        let start = 4 + round % 5;
        let mut world = World::new(Policy { stripes: 1 << (round % 4), ..Policy::stock(Units(start)) });
        world.consume("k", start).unwrap().refund();
        let clock = AtomicU64::new(0);
        let handle = world.handle("k");
        let calls: Vec<Call> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3_u64)
                .map(|thread| {
                    let (clock, mut handle) = (&clock, handle.clone());
                    scope.spawn(move || {
                        let mut calls = Vec::new();
                        for turn in 0..3 {
                            let units = 1 + (round + thread + turn) % 4;
                            let begin = clock.fetch_add(1, Ordering::SeqCst);
                            let outcome = handle.try_consume_shared(Time(0), Units(units));
                            let end = clock.fetch_add(1, Ordering::SeqCst);
                            calls.push(Call { begin, end, units: units as i64, admitted: outcome.is_ok() });
                            if let (Ok(permit), true) = (outcome, (thread + turn) % 2 == 0) {
                                let begin = clock.fetch_add(1, Ordering::SeqCst);
                                permit.refund();
                                let end = clock.fetch_add(1, Ordering::SeqCst);
                                calls.push(Call { begin, end, units: -(units as i64), admitted: true });
                            }
                        }
                        calls
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        refused += calls.iter().filter(|call| !call.admitted).count();
        assert!(explained(&calls, start as i64), "{calls:?} from {start}");
    }
    assert!(refused > 100, "the histories had {refused} refusals");
}

#[test]
fn the_last_token_is_given_exactly_once_by_any_number_of_threads() {
    for stripes in [0, 1, 2, 4, 8, 16, 32, 64] {
        let units = 20_000;
        let mut world = World::new(Policy { stripes, ..Policy::stock(Units(units)) });
        world.consume("k", units).unwrap().refund();
        let handle = world.handle("k");
        let given: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u64)
                .map(|thread| {
                    let mut handle = handle.clone();
                    scope.spawn(move || {
                        let mut given = 0;
                        let mut n = 1 + thread;
                        while n > 0 {
                            match handle.try_consume_shared(Time(0), Units(n)) {
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
        assert_eq!(given, units, "{stripes} stripes");
    }
}

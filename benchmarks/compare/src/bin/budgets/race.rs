//! How often a limiter in memory gives more than there is, when threads meet at the last units.
//!
//! Invariant: every race has fresh state; more is admitted than the limit only if the limiter says so.

use std::sync::Barrier;

use crate::driver::{Budgets, CHUNK, Contestant};
use crate::{ours, peers};

/// Units of a race, and the threads that ask twice as often together.
const UNITS: u64 = 256;
const THREADS: usize = 4;

/// Races in which more was admitted than the limit.
pub fn table(races: usize) -> String {
    let mut text = format!(
        "| {THREADS} threads at {UNITS} units, {races} races | races with more than the limit | the most over it |\n\
         | --- | --- | --- |\n"
    );
    let contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(peers::Floor),
        Box::new(peers::Locked),
        Box::new(ours::Leased),
        Box::new(peers::GovernorKeyed),
        Box::new(peers::Throttlecrab),
        Box::new(peers::Limitador),
    ];
    for contestant in contestants {
        let (mut wrong, mut worst) = (0, 0);
        for _ in 0..races {
            let over = race(contestant.as_ref());
            wrong += u64::from(over > 0);
            worst = worst.max(over);
        }
        text += &format!("| {} | {wrong} | {worst} |\n", contestant.name());
    }
    text
}

fn race(contestant: &dyn Contestant) -> u64 {
    let budgets = Budgets { keys: vec!["last".to_owned()], units: UNITS };
    let limiter = contestant.open(&budgets, false).expect("all who race open without refunds");
    let start = Barrier::new(THREADS);
    let stream = [0; CHUNK];
    let admitted: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| limiter.run(&stream, false, &start).admitted)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that asks ends")).sum()
    });
    admitted.saturating_sub(UNITS)
}

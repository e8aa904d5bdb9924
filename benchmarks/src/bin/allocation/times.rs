//! How long a solution and a change of it take.

use std::time::{Duration, Instant};

use deltaic_allocation::{
    Allocator, Change, Commitment, Market, ParticipantId, Quantity, Slot, SlotId, Solution, Time,
};

use crate::SEED;
use crate::markets::{Dice, Size, market, said, slot};

const RUNS: usize = 15;

fn time<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = run();
    (start.elapsed(), result)
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let millis = |place: usize| times[place].as_secs_f64() * 1e3;
    println!("| {name} | {:.3} | {:.3} |", millis(times.len() / 2), millis(times.len() - 1));
}

pub(crate) fn run() {
    println!("| what | median, ms | slowest, ms |");
    println!("| --- | --- | --- |");
    let sizes = [(100, 300, 10), (1_000, 10_000, 10), (3_000, 10_000, 10)];
    for (providers, recipients, degree) in sizes {
        let size = Size { providers, recipients, degree, load: 100, least: 10, heaviest: 99 };
        let market = market(said(&mut Dice(SEED), size, 0));
        let edges = market.edges().len();
        let solve = || time(|| Solution::of(&market, Time(0)));
        solve();
        let (times, solutions): (Vec<_>, Vec<_>) = (0..RUNS).map(|_| solve()).unzip();
        report(&format!("{edges} edges, {providers} providers: found and solved"), times);
        let start = || time(|| Allocator::new(market.clone()).map(|mut all| all.settle(Time(0)).moves.len()));
        report(
            &format!("{edges} edges: graph, solution and their indexes"),
            (0..RUNS).map(|_| start().0).collect(),
        );
        let certificate = solutions[0].certificate();
        let check =
            || time(|| certificate.check(&market, &solutions[0]).expect("invariant: the solution is fair"));
        report(&format!("{edges} edges: the certificate checked"), (0..RUNS).map(|_| check().0).collect());
    }
    islands();
    slots();
}

/// A need that changes in one of a thousand components of a hundred edges.
fn islands() {
    let size = Size { providers: 5, recipients: 20, degree: 5, load: 100, least: 10, heaviest: 99 };
    let mut dice = Dice(SEED);
    let all: Vec<_> = (0..1_000).map(|island| said(&mut dice, size, island * 100)).collect();
    let mut allocator = Allocator::new(market(all.concat())).expect("invariant: within the limits");
    allocator.settle(Time(0));
    let edges = allocator.edge_count();
    let mut solved = 0;
    let change = |number: u64| {
        let mut said = all[dice.below(1_000) as usize][5 + dice.below(20) as usize].clone();
        said.stamp.seq = number;
        said.needs[0].quantity = Quantity::units(10 + dice.below(91));
        let (elapsed, diff) = time(|| {
            allocator.apply(Change::Commit(said)).expect("invariant: within the limits");
            allocator.settle(Time(0))
        });
        solved = solved.max(diff.edges_solved);
        elapsed
    };
    let times = (2..1_002).map(change).collect();
    report(&format!("a need changes in a component of {solved} of {edges} edges"), times);
    let mut said = all[7][6].clone();
    said.stamp.seq = 10_000;
    let what_if = |_| time(|| allocator.simulate([Change::Commit(said.clone())], Time(0))).0;
    report(&format!("the same, simulated, {edges} edges"), (0..RUNS).map(what_if).collect());
}

/// Ten thousand slots of one participant, which are refused, and as many as are allowed on both sides.
fn slots() {
    let many = |count: u64| -> Vec<Slot> {
        let numbered = (1..=count).map(|id| Slot { id: SlotId(id), ..slot(10)[0].clone() });
        numbered.collect()
    };
    let recognition = |who| vec![(ParticipantId(who), 1)];
    let large = Commitment { needs: many(10_000), recognition: recognition(1), ..Commitment::new(2, 1) };
    let refuse = || {
        let mut market = Market::default();
        let said = large.clone();
        time(|| market.commit(said).expect_err("invariant: above the limit")).0
    };
    report("10,000 slots of one participant: refused", (0..RUNS).map(|_| refuse()).collect());
    let both = market([
        Commitment { capacities: many(1_000), recognition: recognition(2), ..Commitment::new(1, 1) },
        Commitment { needs: many(1_000), recognition: recognition(1), ..Commitment::new(2, 1) },
    ]);
    let (solved, edges) = (|| time(|| Solution::of(&both, Time(0))).0, both.edges().len());
    report(&format!("1,000 slots on both sides, {edges} edges: solved"), (0..3).map(|_| solved()).collect());
}

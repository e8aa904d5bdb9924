//! A delta beside the whole state: 10 KB, of which some cells were written.

use std::hint::black_box;
use std::time::Instant;

use deltaic_causality::{ActorId, HybridTime, VersionVector};
use deltaic_crdt::{LwwRegister, Merge, Plain, PnCounter, Replica, State};

/// Updates, and by how much the original requirements say that a delta of them is smaller, in percent.
const ROWS: [(u64, f64); 4] = [(1, 95.0), (10, 80.0), (50, 40.0), (100, 10.0)];

pub(super) fn run() {
    println!(
        "A state of 10 KB, of which some cells were written once each: what another replica is sent that held all before.\n"
    );
    println!(
        "| state | updates | whole, bytes | delta, bytes | smaller by | original | sent | to make the delta, median of 101 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut texts = Replica::<u64, Plain<LwwRegister<String>>>::new(ActorId(1));
    let text = |texts: &mut Replica<_, Plain<LwwRegister<String>>>, key: u64, time: u64| {
        let (time, value) = (HybridTime::new(1_790_000_000_000 + time, 0), format!("{time:0>78}"));
        texts.write(&key, |cell, dot| cell.set(dot, time, value)).expect("it is later");
    };
    let name = "110 titles of 78 characters";
    rows(name, &mut texts, 110, text);
    let mut counters = Replica::<u64, Plain<PnCounter>>::new(ActorId(1));
    let add = |counters: &mut Replica<_, Plain<PnCounter>>, key: u64, _: u64| {
        counters.write(&key, |counter, dot| counter.increment(dot, 1)).expect("the write is new");
    };
    rows("850 counters", &mut counters, 850, add);
}

fn rows<V: Merge>(
    name: &str,
    replica: &mut Replica<u64, V>,
    cells: u64,
    write: impl Fn(&mut Replica<u64, V>, u64, u64),
) {
    (0..cells).for_each(|key| write(replica, key, key));
    let held: VersionVector = replica.cut().clone();
    for (updates, original) in ROWS {
        let mut changed = replica.clone();
        for number in 0..updates {
            write(&mut changed, number * cells / updates, cells + number);
        }
        let (whole, delta) = (changed.whole().len(), changed.delta(&held).map_or(0, |delta| delta.len()));
        let mut times: Vec<f64> = (0..101)
            .map(|_| {
                let begun = Instant::now();
                black_box(changed.delta(&held));
                begun.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let sent = if delta <= whole { "delta" } else { "whole" };
        println!(
            "| {name} | {updates} | {whole} | {delta} | {:.1} % | {original} % | {sent} | {:.1} us |",
            100.0 - delta as f64 / whole as f64 * 100.0,
            times[50],
        );
    }
}

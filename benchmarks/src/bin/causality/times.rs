//! How long comparing, joining and counting take, by workload and number of participants.
//!
//! Invariant: all kinds compare and join what the same history left, and a comparison is one that is true, so that it
//! ends at the end.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use crate::kind::{Forks, Kind, Random, Vectored, Versioned, numbered};
use crate::plot::Plot;
use crate::workload::{WORKLOADS, Workload};
use crate::{PARTICIPANTS, SEED, grouped, line};

/// Nanoseconds of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) leq: f64,
    pub(crate) join: f64,
    pub(crate) event: f64,
}

/// Of the vector clock, the version vector and the interval tree clock.
pub(crate) type Table = BTreeMap<(&'static str, u64), [Times; 3]>;

/// The median over runs of about 50 us each.
fn nanos(mut once: impl FnMut()) -> f64 {
    let start = Instant::now();
    once();
    let first = start.elapsed().as_nanos().max(1);
    let times = (50_000 / first).clamp(1, 1_000) as u32;
    let mut runs: Vec<f64> = (0..201)
        .map(|_| {
            let start = Instant::now();
            (0..times).for_each(|_| once());
            start.elapsed().as_nanos() as f64 / f64::from(times)
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn times<K: Kind>(workload: Workload, all: &[K]) -> Times {
    let (left, right) = workload.run(all, Random(SEED + 1)).two;
    let both = K::join(&left, &right);
    Times {
        leq: nanos(|| assert!(K::leq(black_box(&left), black_box(&both)), "a join is above")),
        join: nanos(|| drop(black_box(K::join(black_box(&left), black_box(&right))))),
        event: nanos(|| {
            let mut known = black_box(&left).clone();
            all[0].event(&mut known);
            drop(black_box(known));
        }),
    }
}

pub(crate) fn run() -> Table {
    println!(
        "Nanoseconds, median of 201 runs: vector clock / version vector / itc. Joining and counting make a new clock; the \
         ids are balanced.\n"
    );
    println!("| workload | participants | leq | join | event |");
    println!("| --- | --- | --- | --- | --- |");
    let mut table = Table::new();
    for workload in WORKLOADS {
        for count in workload.participants() {
            let versioned: Vec<Versioned> = numbered(count).into_iter().map(Versioned).collect();
            let vectored: Vec<Vectored> = numbered(count).into_iter().map(Vectored).collect();
            let forked = Forks::Balanced.ids(count, &mut Random(SEED + 3));
            let three = [times(workload, &vectored), times(workload, &versioned), times(workload, &forked)];
            let cell = |pick: fn(&Times) -> f64| {
                three.iter().map(|times| grouped(pick(times) as u64)).collect::<Vec<_>>().join(" / ")
            };
            println!(
                "| {} | {} | {} | {} | {} |",
                workload.name(),
                grouped(count),
                cell(|times| times.leq),
                cell(|times| times.join),
                cell(|times| times.event),
            );
            table.insert((workload.name(), count), three);
        }
    }
    println!();
    draw(&table);
    table
}

fn draw(table: &Table) {
    let points = |kind: usize, pick: fn(&Times) -> f64| -> Vec<(f64, f64)> {
        let of = |count| (count as f64, pick(&table[&(Workload::All.name(), count)][kind]));
        PARTICIPANTS.into_iter().map(of).collect()
    };
    let logarithm = PARTICIPANTS.map(|count| {
        let first = table[&(Workload::All.name(), 10)][2].leq;
        (count as f64, first * (count as f64).log10())
    });
    let lines = vec![
        line("itc, leq", 0, false, points(2, |times| times.leq)),
        line("itc, join", 5, false, points(2, |times| times.join)),
        line("version vector, leq", 1, false, points(1, |times| times.leq)),
        line("version vector, join", 2, false, points(1, |times| times.join)),
        line("leq, if it were O(log N)", 4, true, logarithm.to_vec()),
    ];
    let title = "Comparing and joining, all publish".to_owned();
    Plot { title, across: "participants", up: "ns", lines }.save("clocks-times.svg");
    println!();
}

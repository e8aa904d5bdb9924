//! How many bytes a clock is, by workload and number of participants.
//!
//! Invariant: counted, and the same on any machine.

use std::collections::BTreeMap;

use deltaic_causality::itc::Id;

use crate::kind::{Forks, Kind, Random, Vectored, Versioned, made_up, numbered};
use crate::plot::Plot;
use crate::workload::{WORKLOADS, Workload};
use crate::{PARTICIPANTS, SEED, grouped, line};

/// The bytes of one participant's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sizes {
    pub(crate) vector: u64,
    pub(crate) version: u64,
    pub(crate) made_up: u64,
    pub(crate) balanced: u64,
    pub(crate) anybody: u64,
    pub(crate) first: u64,
}

/// By the name of the workload and the number of participants.
pub(crate) type Table = BTreeMap<(&'static str, u64), Sizes>;

fn bytes<K: Kind>(workload: Workload, all: &[K]) -> u64 {
    workload.run(all, Random(SEED + 1)).bytes::<K>()
}

fn sizes(workload: Workload, count: u64) -> Sizes {
    let versioned: Vec<Versioned> = numbered(count).into_iter().map(Versioned).collect();
    let vectored: Vec<Vectored> = numbered(count).into_iter().map(Vectored).collect();
    let named: Vec<Versioned> = made_up(count, &mut Random(SEED + 2)).into_iter().map(Versioned).collect();
    let forked = |forks: Forks| bytes(workload, &forks.ids(count, &mut Random(SEED + 3)));
    Sizes {
        vector: bytes(workload, &vectored),
        version: bytes(workload, &versioned),
        made_up: bytes(workload, &named),
        balanced: forked(Forks::Balanced),
        anybody: forked(Forks::Anybody),
        first: forked(Forks::First),
    }
}

pub(crate) fn run() -> Table {
    println!(
        "Bytes of a clock as it is sent, the one in the middle of those that take part; ten events each, two at 10,000.\n"
    );
    println!(
        "| workload | participants | vector clock | version vector | the same, made-up names | **itc** | itc, forks of \
         anybody | itc, all forks of one |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut table = Table::new();
    for workload in WORKLOADS {
        for count in workload.participants() {
            let sizes = sizes(workload, count);
            println!(
                "| {} | {} | {} | {} | {} | **{}** | {} | {} |",
                workload.name(),
                grouped(count),
                grouped(sizes.vector),
                grouped(sizes.version),
                grouped(sizes.made_up),
                grouped(sizes.balanced),
                grouped(sizes.anybody),
                grouped(sizes.first),
            );
            table.insert((workload.name(), count), sizes);
        }
    }
    println!();
    ids();
    draw(&table);
    table
}

/// An id stays with its owner; it is stored, and sent when somebody joins or leaves.
fn ids() {
    println!("Bytes of an id: mean, largest.\n");
    println!("| participants | balanced | forks of anybody | all forks of one |");
    println!("| --- | --- | --- | --- |");
    for count in PARTICIPANTS {
        let cells = [Forks::Balanced, Forks::Anybody, Forks::First].map(|forks| {
            let ids = forks.ids(count, &mut Random(SEED + 3));
            let sizes: Vec<u64> = ids.iter().map(id_bytes).collect();
            let mean = sizes.iter().sum::<u64>() as f64 / sizes.len() as f64;
            format!("{mean:.1}, {}", grouped(sizes.into_iter().max().unwrap_or(0)))
        });
        println!("| {} | {} |", grouped(count), cells.join(" | "));
    }
    println!();
}

/// The bytes of an id.
pub(crate) fn id_bytes(id: &Id) -> u64 {
    let mut bytes = Vec::new();
    id.write(&mut bytes);
    bytes.len() as u64
}

fn draw(table: &Table) {
    let points = |workload: Workload, pick: fn(&Sizes) -> u64| -> Vec<(f64, f64)> {
        let of = |count| (count as f64, pick(&table[&(workload.name(), count)]) as f64);
        PARTICIPANTS.into_iter().map(of).collect()
    };
    let claimed =
        |bytes: [f64; 4]| PARTICIPANTS.into_iter().map(|count| count as f64).zip(bytes).collect::<Vec<_>>();
    let lines = vec![
        line("itc, all publish", 0, false, points(Workload::All, |sizes| sizes.balanced)),
        line("itc, one in ten", 3, false, points(Workload::OneInTen, |sizes| sizes.balanced)),
        line("itc, isolated", 5, false, points(Workload::Isolated, |sizes| sizes.balanced)),
        line("version vector", 2, false, points(Workload::All, |sizes| sizes.version)),
        line("the same, made-up names", 1, false, points(Workload::All, |sizes| sizes.made_up)),
        line("itc, as claimed", 0, true, claimed([80.0, 200.0, 300.0, 400.0])),
        line("vector clock, as claimed", 4, true, claimed([160.0, 1_600.0, 16_000.0, 160_000.0])),
    ];
    let title = "Bytes of a clock against participants".to_owned();
    Plot { title, across: "participants", up: "bytes", lines }.save("clocks-bytes.svg");
    println!();
}

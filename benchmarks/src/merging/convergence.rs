//! How long and how much it takes until all replicas hold the same, by their number, in a mesh and in a star.

use std::time::Instant;

use super::network::{Link, Network, Shape, Traffic};

const SIZES: [usize; 5] = [2, 5, 10, 20, 64];
/// What the original requirements say for these numbers, in milliseconds.
const ORIGINAL: [u64; 5] = [100, 300, 500, 800, 1_000];
const SEEDS: u64 = 5;

/// In a data centre; across a continent, where links lose.
const NEAR: Link = Link { latency: 250, jitter: 250, loss: 0 };
const FAR: Link = Link { latency: 20_000, jitter: 20_000, loss: 2 };

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writers {
    One,
    All,
}

/// One run: until all held the same, and what went by one second after the writes or then, whichever was later.
struct Run {
    millis: f64,
    until: Traffic,
    whole: Traffic,
    wall: f64,
}

fn once(size: usize, shape: Shape, link: Link, writers: Writers, seed: u64) -> Run {
    let mut network = Network::new(size, shape, link, seed);
    let (before, start) = (network.traffic(), network.now);
    let begun = Instant::now();
    // In a star, the one that writes is not the hub.
    let places = if writers == Writers::One { 1..2 } else { 0..size };
    let count = places.len() as i128;
    places.for_each(|place| network.write(place, place as u64));
    while !network.is_converged() {
        network.advance();
    }
    let wall = begun.elapsed().as_secs_f64() * 1e3;
    assert!(network.holds(count), "all hold all");
    let until = network.traffic().since(before);
    let took = network.now - start;
    network.run_for(1_000_000_u64.saturating_sub(took));
    assert!(network.holds(count), "and go on to");
    Run { millis: took as f64 / 1e3, until, whole: network.traffic().since(before), wall }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn table(name: &str, link: Link, writers: Writers) {
    println!(
        "{name}: {} ms, up to {} ms more, {} % lost. {}\n",
        link.latency as f64 / 1e3,
        link.jitter as f64 / 1e3,
        link.loss,
        if writers == Writers::One {
            "One replica writes once."
        } else {
            "Every replica writes once, at one moment."
        }
    );
    println!(
        "| replicas | shape | until all hold it, virtual ms | most | original, ms | messages | bytes | wall ms, all replicas | a \
         second after the write: messages | deltas | brought nothing | sent again | bytes: deltas | whole | other |"
    );
    println!("|{}", " --- |".repeat(15));
    for (size, original) in SIZES.into_iter().zip(ORIGINAL) {
        for shape in [Shape::Mesh, Shape::Star] {
            if size == 2 && shape == Shape::Star {
                continue;
            }
            let runs: Vec<Run> = (0..SEEDS).map(|seed| once(size, shape, link, writers, seed)).collect();
            let of = |value: fn(&Run) -> f64| median(runs.iter().map(value).collect());
            let most = runs.iter().map(|run| run.millis).fold(0.0, f64::max);
            println!(
                "| {size} | {} | **{:.1}** | {most:.1} | {original} | {} | {} | {:.1} | {} | {} | {} | {} | {} | {} | {} |",
                if shape == Shape::Mesh { "mesh" } else { "star" },
                of(|run| run.millis),
                of(|run| run.until.messages as f64),
                of(|run| run.until.bytes() as f64),
                of(|run| run.wall),
                of(|run| run.whole.messages as f64),
                of(|run| (run.whole.deltas + run.whole.wholes) as f64),
                of(|run| run.whole.needless as f64),
                of(|run| run.whole.resent as f64),
                of(|run| run.whole.delta_bytes as f64),
                of(|run| run.whole.whole_bytes as f64),
                of(|run| run.whole.other_bytes as f64),
            );
        }
    }
    println!();
}

pub(super) fn run() {
    println!("Convergence, medians of {SEEDS} seeds, replicas that had been quiet for a while.\n");
    for writers in [Writers::One, Writers::All] {
        table("Near", NEAR, writers);
        table("Far", FAR, writers);
    }
}

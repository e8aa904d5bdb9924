//! The claims of the seed's scaling analysis, each beside what was measured of the three ways.
//!
//! Invariant: a claim is in its own words and figures; what was not run or cannot be is said to be so.

use std::collections::BTreeMap;

use crate::claims::SIZES;

/// What a claim is held against.
pub(crate) struct Figure {
    pub(crate) seen: String,
    pub(crate) equal: String,
    pub(crate) messages: u64,
    /// The messages of 90 s.
    pub(crate) round: u64,
    pub(crate) peak: String,
}

/// By participants, workload and rule.
pub(crate) type Figures = BTreeMap<(u64, &'static str, &'static str), Figure>;

pub(crate) fn compare(figures: &Figures) {
    println!("\n| claim of the scaling analysis | rounds_v1 | damped_v2 | ours |");
    println!("| --- | --- | --- | --- |");
    let line = |claim: &str, count: u64, workload: &'static str, text: &dyn Fn(&Figure) -> String| {
        let of = |rule| {
            let figure = figures.get(&(count, workload, rule));
            figure.map_or_else(|| "not run".to_owned(), text)
        };
        println!("| {claim} | {} | {} | {} |", of("rounds_v1"), of("damped_v2"), of("ours"));
    };
    for (count, ..) in SIZES {
        let claim =
            format!("{count}: rounds 45 s on average, 180 s at worst; events 0.1 s, 0.2 s until seen");
        line(&claim, count, "isolated", &|figure| figure.seen.clone());
    }
    for (count, first, second) in [
        (10, "450 s", "0.5 s"),
        (100, "450 s", "1 s"),
        (1_000, "900 s", "2 s"),
        (10_000, "45 min", "2 to 5 s"),
    ] {
        let claim = format!("{count}: converged in {first} with rounds, in {second} with events (a burst)");
        line(&claim, count, "burst", &|figure| figure.equal.clone());
    }
    for count in [10, 100, 1_000] {
        let claim =
            format!("{count}: {} messages a round of 90 s (measured: a round after a burst)", count * count);
        let of = &figures[&(count, "burst", "rounds_v1")];
        println!("| {claim} | {} | no rounds | no rounds |", of.round);
    }
    for count in [100, 10_000] {
        let claim = format!(
            "{count}: no messages but the update itself (messages from a declaration until all is equal, or the end of the run)"
        );
        line(&claim, count, "isolated", &|figure| figure.messages.to_string());
        let claim = format!("{count}: lower peaks (bytes of the busiest second of a burst)");
        line(&claim, count, "burst", &|figure| figure.peak.clone());
    }
    println!(
        "| 10,000: 100 million messages a round | not run: it would be 2 x {} x {} | - | - |",
        10_000, 9_999
    );
    println!(
        "| the network stalls if half cannot agree; the others go on where some are cut off | table of cuts | table of cuts | table of cuts |"
    );
    println!(
        "| 800 times less traffic on a phone, 78 % less code, $10,000 to $100 a month | not reproducible | not reproducible | not reproducible |"
    );
}

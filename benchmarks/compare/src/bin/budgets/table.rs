//! The tables: medians of turns, their ratios to the floor with an interval, and what each cost and admitted.
//!
//! Invariant: a ratio is taken within a round, so that what else the machine does meets both sides; a row says what was
//! admitted beside how fast.

use crate::turn::{Turn, Workload};

/// The turns of one contestant; none if it has no such thing.
#[derive(Debug)]
pub struct Line {
    pub name: &'static str,
    pub turns: Vec<Turn>,
}

impl Line {
    pub fn new(name: &'static str) -> Self {
        Self { name, turns: Vec::new() }
    }
}

/// The load of the machine, as it says itself.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The 95 % interval of the median, by resampling.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut place = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % values.len()
    };
    let mut medians: Vec<f64> =
        (0..2_000).map(|_| median((0..values.len()).map(|_| values[place()]).collect())).collect();
    medians.sort_by(f64::total_cmp);
    (medians[50], medians[1_949])
}

/// Standard deviation over mean, in percent.
fn variation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    square.sqrt() / mean * 100.0
}

fn digits(value: f64) -> String {
    let places = usize::from(value < 100.0);
    format!("{value:.places$}")
}

/// The figures of a workload, a line for each contestant.
pub fn of(workload: &Workload, lines: &[Line], load_before: &str) -> String {
    let mut text = format!(
        "| {}; load {load_before} before, {} after | p50, ns | to the floor | 95 % interval | p95, ns | CoV of p95 | all, \
         ns | to the floor | 95 % interval | admitted of allowed | over | rows, calls, bytes | a crash: under | over |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        workload.label,
        load()
    );
    for line in lines {
        if line.turns.is_empty() {
            text += &format!("| {} | - | | | | | | | | | | | | |\n", line.name);
            continue;
        }
        let of = |value: fn(&Turn) -> f64| -> Vec<f64> { line.turns.iter().map(value).collect() };
        // Within a round.
        let to_the_floor = |value: fn(&Turn) -> f64| {
            let floors = lines[0].turns.iter().map(value);
            let ratios: Vec<f64> = of(value).iter().zip(floors).map(|(ours, floor)| ours / floor).collect();
            let (low, high) = interval(&ratios);
            format!("{:.2} | {low:.2} to {high:.2}", median(ratios))
        };
        let sum = |value: fn(&Turn) -> u64| -> u64 { line.turns.iter().map(value).sum() };
        let last = line.turns.last().expect("there are turns");
        // Without a ledger a crash forgets all that was admitted; with one, what the leases had unspent is not given.
        let (cost, under, over) = match last.cost {
            Some(cost) => {
                let most = line.turns.iter().filter_map(|turn| turn.cost).map(|cost| cost.exposure).max();
                (
                    format!("{}, {}, {}", cost.rows, cost.calls, cost.bytes),
                    most.unwrap_or(0).to_string(),
                    "0".to_owned(),
                )
            }
            None => ("0, 0, 0".to_owned(), "0".to_owned(), "all".to_owned()),
        };
        text += &format!(
            "| {} | {} | {} | {} | {:.0} % | {} | {} | {} of {} | {} | {cost} | {under} | {over} |\n",
            line.name,
            digits(median(of(|turn| turn.p50))),
            to_the_floor(|turn| turn.p50),
            digits(median(of(|turn| turn.p95))),
            variation(&of(|turn| turn.p95)),
            digits(median(of(|turn| turn.mean))),
            to_the_floor(|turn| turn.mean),
            last.admitted,
            last.allowed,
            sum(|turn| turn.over),
        );
    }
    text
}

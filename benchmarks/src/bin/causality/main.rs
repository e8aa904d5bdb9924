//! What clocks cost: bytes and times of vector clocks, version vectors and interval tree clocks, beside what was claimed
//! of them; and how many writes a clock that is off loses.
//!
//! Invariant: bytes and lost writes are counted from printed seeds and are the same on any machine; only times are
//! measured.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod churn;
mod claims;
mod drift;
mod kind;
#[path = "../../budgets/plot.rs"]
mod plot;
mod sizes;
mod times;
mod workload;

/// The program's allocator: what is measured here is what it runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all random choices come from.
const SEED: u64 = 20_250_917;

/// How many take part.
const PARTICIPANTS: [u64; 4] = [10, 100, 1_000, 10_000];

const COLOURS: [&str; 6] = ["#1d5fbf", "#b3321f", "#d98a00", "#3a8f4d", "#777", "#8a4fa3"];

/// The load of the machine, as it says itself.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(", ")
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A line of a plot.
fn line(name: &str, colour: usize, is_dashed: bool, points: Vec<(f64, f64)>) -> plot::Line {
    plot::Line { name: name.to_owned(), colour: COLOURS[colour], is_dashed, points }
}

fn main() {
    println!("Seed {SEED}. Load of the machine before: {}.\n", load());
    let sizes = sizes::run();
    let times = times::run();
    let churn = churn::run();
    claims::run(&sizes, &times, &churn);
    drift::run();
    println!("Load of the machine after: {}.", load());
}

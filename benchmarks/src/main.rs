//! The benchmarks from the command line.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod beside;
mod breaker;
mod budgets;
mod engine;
mod flights;
mod hot;
mod live;
mod merging;
mod planner;
mod session;
mod writer;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// The program's allocator: what is measured here is what it runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The median and the 99th percentile of the times of many runs, in microseconds.
fn measure(runs: usize, mut run: impl FnMut(usize)) -> (f64, f64) {
    let time = |number| {
        let start = Instant::now();
        run(number);
        start.elapsed()
    };
    percentiles((0..runs).map(time).collect())
}

/// The median and the 99th percentile in microseconds.
fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |place: usize| times[place.min(times.len() - 1)].as_secs_f64() * 1e6;
    (at(times.len() / 2), at(times.len() * 99 / 100))
}

fn report(name: &str, (median, p99): (f64, f64)) {
    println!("| {name} | {median:.1} us | {p99:.1} us |");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["budgets", name] => {
            if budgets::run(name).is_none() {
                println!("usage: deltaic-benchmarks budgets (rows | postgres | crash | memory)");
                return ExitCode::FAILURE;
            }
        }
        ["engine"] => engine::run(),
        ["beside"] => beside::run(),
        ["breaker"] => breaker::run(),
        ["live"] => live::run(),
        ["merging"] => merging::run(),
        ["merging", "columns"] => merging::columns(),
        ["planner"] => planner::run(),
        ["flights", directory] => flights::run(std::path::Path::new(directory)),
        ["hot", directory] => hot::run(std::path::Path::new(directory)),
        _ => {
            println!(
                "usage: deltaic-benchmarks engine | live | merging | planner | breaker | beside | (flights | hot) DIRECTORY | \
                 budgets (rows | postgres | crash | memory)"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

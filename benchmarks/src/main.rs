//! The benchmarks from the command line.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod engine;
mod flights;
mod session;

use std::{process::ExitCode, time::Instant};

/// The median and the 99th percentile of the times of many runs, in microseconds.
fn measure(runs: usize, mut run: impl FnMut(usize)) -> (f64, f64) {
    let mut times: Vec<f64> = (0..runs)
        .map(|number| {
            let start = Instant::now();
            run(number);
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[runs / 2], times[(runs * 99 / 100).min(runs - 1)])
}

fn report(name: &str, (median, p99): (f64, f64)) {
    println!("| {name} | {median:.1} us | {p99:.1} us |");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["engine"] => engine::run(),
        ["flights", directory] => flights::run(std::path::Path::new(directory)),
        _ => {
            println!("usage: deltaic-benchmarks engine | flights DIRECTORY");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

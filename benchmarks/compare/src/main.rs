//! Deltaic and its peers side by side: the same data, the same changes, one run, in turns.
//!
//! For each workload every contestant opens it, does a few steps whose results must agree, and then round after
//! round takes its turn, so that what else the machine does meets all of them alike.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod circuit;
mod contestant;
mod differential;
mod memory;
mod piped;
mod report;
mod request;
mod sqlite;
mod workload;

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use contestant::{Contestant, Trial, Work};
use piped::Piped;
use report::{Line, Measured};
use workload::Workload;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Steps before those that count: an even number, so that what toggles is back.
const FIRST: u32 = 4;

/// The longest turn, where a step is not longer.
const TURN: Duration = Duration::from_millis(200);

const USAGE: &str =
    "usage: deltaic-compare [--quick] [--only WORD] [--alone WORD] [--rounds NUMBER] [--seed NUMBER]";

#[derive(Debug, Default)]
struct Options {
    quick: bool,
    /// Workloads whose label has this word.
    only: Option<String>,
    /// Contestants whose name has this word: for a profile.
    alone: Option<String>,
    rounds: Option<u32>,
    seed: Option<u32>,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--only" => options.only = Some(words.next()?),
            "--alone" => options.alone = Some(words.next()?),
            "--rounds" => options.rounds = Some(words.next()?.parse().ok()?),
            "--seed" => options.seed = Some(words.next()?.parse().ok()?),
            _ => return None,
        }
    }
    Some(options)
}

/// Node with db-ivm, installed from its lock file where it is not there yet.
fn tanstack(root: &Path) -> std::io::Result<Piped> {
    let directory = root.join("js");
    if !directory.join("node_modules").is_dir() {
        let status =
            Command::new("npm").arg("ci").current_dir(&directory).stdout(std::io::stderr()).status()?;
        if !status.success() {
            return Err(std::io::Error::other("`npm ci` failed"));
        }
    }
    let mut node = Command::new("node");
    node.arg(directory.join("main.mjs"));
    Piped::start(node)
}

/// dbsp, where somebody has built it.
fn dbsp(root: &Path) -> std::io::Result<Piped> {
    let target = std::env::var_os("DBSP_TARGET_DIR").map_or(root.join("dbsp/target"), Into::into);
    Piped::start(Command::new(target.join("release/deltaic-compare-dbsp")))
}

fn contestants() -> Vec<Box<dyn Contestant>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<Box<dyn Contestant>> = vec![
        Box::new(circuit::Circuit),
        Box::new(request::Requests),
        Box::new(differential::Differential::new()),
        Box::new(sqlite::Sqlite),
    ];
    for (name, started) in [("TanStack db-ivm", tanstack(root)), ("dbsp", dbsp(root))] {
        match started {
            Ok(piped) => all.push(Box::new(piped)),
            Err(error) => eprintln!("{name} does not take part: {error}"),
        }
    }
    all
}

/// Work that was done between two readings.
fn difference(before: Option<Work>, after: Option<Work>) -> Option<Work> {
    let (before, after) = (before?, after?);
    let (probes, rows) = (after.probes - before.probes, after.rows - before.rows);
    Some(Work { probes, rows })
}

/// Runs a workload; false beside the line if the results do not agree.
fn run(workload: &Workload, contestants: &mut [Box<dyn Contestant>], rounds: u32) -> (Line, bool) {
    let mut trials: Vec<Option<Box<dyn Trial>>> =
        contestants.iter_mut().map(|contestant| contestant.open(workload)).collect();
    let mut agree = true;
    let mut counts = vec![0; trials.len()];
    let mut sums: Vec<Option<i64>> = Vec::new();
    for (trial, count) in trials.iter_mut().zip(&mut counts) {
        let Some(trial) = trial else {
            sums.push(None);
            continue;
        };
        let samples = trial.run(0, FIRST);
        let least = samples.iter().map(|sample| sample.whole).min().expect("there are steps");
        *count = ((TURN.as_secs_f64() / least.as_secs_f64().max(1e-9)) as u32).clamp(1, workload.steps);
        sums.push(trial.sum());
    }
    let mut given = sums.iter().flatten();
    let first = given.next();
    if given.any(|sum| Some(sum) != first) {
        let of = contestants.iter().map(|contestant| contestant.name()).zip(&sums);
        eprintln!("{}: the results differ: {:?}", workload.label, of.collect::<Vec<_>>());
        agree = false;
    }
    let before: Vec<Option<Work>> = trials.iter().map(|trial| trial.as_ref()?.work()).collect();
    let mut measured: Vec<Option<Measured>> =
        trials.iter().map(|trial| trial.as_ref().map(|_| Measured::default())).collect();
    for round in 0..rounds {
        for ((trial, measured), count) in trials.iter_mut().zip(&mut measured).zip(&counts) {
            if let (Some(trial), Some(measured)) = (trial, measured) {
                measured.samples.extend(trial.run(FIRST + round * count, *count));
            }
        }
    }
    for (((trial, measured), before), count) in trials.iter().zip(&mut measured).zip(before).zip(counts) {
        if let (Some(trial), Some(measured)) = (trial, measured) {
            measured.work = difference(before, trial.work()).map(|work| (work, rounds * count));
        }
    }
    ((workload.clone(), measured), agree)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let seed = options.seed.unwrap_or(7);
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 5 });
    let mut contestants = contestants();
    if let Some(word) = &options.alone {
        contestants.retain(|contestant| contestant.name().contains(word.as_str()));
    }
    let names: Vec<String> = contestants.iter().map(|contestant| contestant.name()).collect();
    let mut lines = Vec::new();
    let mut agree = true;
    for workload in workload::all(options.quick, seed) {
        if options.only.as_ref().is_some_and(|word| !workload.label.contains(word.as_str())) {
            continue;
        }
        eprintln!("{}", workload.label);
        let (line, agrees) = run(&workload, &mut contestants, rounds);
        agree &= agrees;
        lines.push(line);
    }
    if options.quick {
        println!("Small counts: whether it works, not how fast. The lines are named as in the whole run.\n");
    }
    if options.alone.is_some() {
        println!("{}", report::percentiles("median of", 0.5, &names, &lines));
    } else {
        println!("{}", report::medians(&names, &lines));
    }
    println!("{}", report::percentiles("p99 of", 0.99, &names, &lines));
    if options.only.is_none() && options.alone.is_none() {
        println!("{}", report::memory(&memory::measure(seed)));
    }
    if !agree {
        eprintln!("some results differ: see above");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! Budgets and their peers side by side: admission in memory, in turns, every variant gating for real.
//!
//! Round after round each contestant has its turn with fresh state, the same stream of keys and a budget that runs out
//! before the stream does. What it admitted is counted against what it was allowed to, in the same turn that is timed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod driver;
mod ours;
mod peers;
mod race;
mod table;
mod turn;

use std::process::ExitCode;

use driver::Contestant;
use table::Line;
use turn::Workload;

/// What the program runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: budgets [--quick] [--only WORD] [--alone WORD] [--rounds NUMBER]";

#[derive(Debug, Default)]
struct Options {
    quick: bool,
    /// Workloads whose label has this word.
    only: Option<String>,
    /// Contestants whose name has this word: for a profile.
    alone: Option<String>,
    rounds: Option<usize>,
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
            _ => return None,
        }
    }
    Some(options)
}

fn contestants() -> Vec<Box<dyn Contestant>> {
    vec![
        Box::new(peers::Floor),
        Box::new(peers::Locked),
        Box::new(ours::Leased),
        Box::new(ours::Refilled),
        Box::new(ours::Bucket),
        Box::new(peers::GovernorDirect),
        Box::new(peers::GovernorKeyed),
        Box::new(peers::Throttlecrab),
        Box::new(peers::Limitador),
    ]
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 15 });
    let mut contestants = contestants();
    if let Some(word) = &options.alone {
        contestants.retain(|contestant| contestant.name().contains(word.as_str()));
    }
    let mut is_exact = true;
    for workload in Workload::all(options.quick) {
        if options.only.as_ref().is_some_and(|word| !workload.label.contains(word.as_str())) {
            continue;
        }
        eprintln!("{}", workload.label);
        let before = table::load();
        let mut lines: Vec<Line> =
            contestants.iter().map(|contestant| Line::new(contestant.name())).collect();
        for round in 0..rounds {
            for (contestant, line) in contestants.iter().zip(&mut lines) {
                if let Some(turn) = turn::take(contestant.as_ref(), &workload, round) {
                    line.turns.push(turn);
                }
            }
        }
        let ours = lines.iter().filter(|line| line.name.starts_with("Deltaic"));
        is_exact &= ours.flat_map(|line| &line.turns).all(|turn| turn.over == 0 && turn.under == 0);
        println!("{}", table::of(&workload, &lines, &before));
    }
    if options.only.is_none() && options.alone.is_none() {
        println!("{}", race::table(if options.quick { 100 } else { 3_000 }));
    }
    if !is_exact {
        eprintln!("ours was not exact: see above");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

//! Values that merge and their peers side by side: writes, merges, whole rounds of anti-entropy, bytes, memory; and the
//! clocks beneath. One thread, in turns.
//!
//! Invariant: contestants that compute the same are compared before their times are printed; what else the machine does
//! meets all of them alike.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are printed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod case;
mod clocks;
mod counters;
mod counting;
mod elements;
mod held;
mod rounds;
mod table;
mod trees;
mod wire;

use std::process::ExitCode;

use case::Case;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const USAGE: &str = "usage: merging [--quick] [--only WORD] [--rounds NUMBER]";

#[derive(Debug, Default)]
struct Options {
    quick: bool,
    /// Cases whose label has this word.
    only: Option<String>,
    rounds: Option<usize>,
}

fn options() -> Option<Options> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--only" => options.only = Some(words.next()?),
            "--rounds" => options.rounds = Some(words.next()?.parse().ok()?),
            _ => return None,
        }
    }
    Some(options)
}

fn cases(quick: bool) -> Vec<Case> {
    let mut cases = vec![
        counters::increments(1, quick),
        counters::increments(64, quick),
        counters::merges(quick),
        elements::sets(false, quick),
        elements::sets(true, quick),
        elements::one_large_value(quick),
        elements::registers(quick),
    ];
    cases.extend([10, 30, 100, 300, 1_000].map(|dirty| rounds::of(dirty, quick)));
    cases.extend([16, 64, 256].map(|actors| clocks::comparisons(actors, quick)));
    cases.extend([16, 64, 256].map(|actors| clocks::merges(actors, quick)));
    cases
        .extend([10, 100, 256, 1_000].into_iter().flat_map(|participants| trees::cases(participants, quick)));
    cases
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 15 });
    println!("load of the machine before: {}\n", table::load());
    for mut case in cases(options.quick) {
        if options.only.as_ref().is_some_and(|word| !case.label.contains(word.as_str())) {
            continue;
        }
        match table::run(&mut case, rounds) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("{}: {error}", case.label);
                return ExitCode::FAILURE;
            }
        }
    }
    if options.only.is_none() {
        println!("{}", wire::table());
        println!("{}", trees::table());
        println!("{}", held::table());
    }
    println!("load of the machine after: {}", table::load());
    ExitCode::SUCCESS
}

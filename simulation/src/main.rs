//! The fuzzer and the simulator from the command line: by time, by count, or one seed told step by step.
//! A failing case of the fuzzer is shrunk before it is told; `--no-shrink` tells all of it.
#![expect(clippy::disallowed_methods, reason = "a time limit needs a clock; no result depends on it")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use deltaic_simulation::{
    fuzz::{self, Tally},
    members::members,
    mutation,
    postgres::Postgres,
    soak::Kept,
    tpch,
    world::world,
};

const MODES: [&str; 4] = ["run", "members", "fuzz", "mutate"];

/// What the arguments ask for.
struct Options {
    seconds: Option<u64>,
    seeds: Option<u64>,
    seed: Option<u64>,
    first: u64,
    shrinks: bool,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { seconds: None, seeds: None, seed: None, first: 1, shrinks: true };
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        if name == "--no-shrink" {
            options.shrinks = false;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = value.parse().map_err(|_| format!("{name} needs a number, not {value}"))?;
        match name.as_str() {
            "--seconds" => options.seconds = Some(number),
            "--seeds" => options.seeds = Some(number),
            "--seed" => options.seed = Some(number),
            "--first" => options.first = number,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|mode| mode == "tpch") {
        return match tpch(&arguments[1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    if arguments.first().is_some_and(|mode| mode == "soak") {
        return match soak(&arguments[1..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        };
    }
    let usage = "usage: deltaic-simulation tpch [--scale 0.01] | soak [--rounds N] \
                 | run|members|fuzz|mutate [--seconds S | --seeds N | --seed X] [--first X] [--no-shrink]";
    let (mode, options) = match (arguments.first(), options(arguments.get(1..).unwrap_or_default())) {
        (Some(mode), Ok(options)) if MODES.contains(&mode.as_str()) => (mode.clone(), options),
        (_, Err(error)) => return fail(&format!("{error}; {usage}")),
        _ => return fail(usage),
    };
    let mut postgres = if mode == "fuzz" { Postgres::start() } else { None };
    if mode == "fuzz" && postgres.is_none() && std::env::var_os("CI").is_some() {
        return fail("PostgreSQL is the second oracle and does not start: is it installed?");
    }
    let start = Instant::now();
    let (first, count) = match (options.seed, options.seeds) {
        (Some(seed), _) => (seed, 1),
        (None, Some(count)) => (options.first, count),
        (None, None) => (options.first, u64::MAX),
    };
    let limit = options.seconds.or(if count == u64::MAX { Some(60) } else { None });
    let mut tally = Tally::default();
    let mut done = 0;
    for seed in first..first.saturating_add(count) {
        if limit.is_some_and(|limit| start.elapsed().as_secs() >= limit) {
            break;
        }
        let tell = options.seed.is_some();
        let case = catch_unwind(AssertUnwindSafe(|| match mode.as_str() {
            "fuzz" => fuzz::case(seed, postgres.as_mut(), tell, options.shrinks),
            "mutate" => mutation::case(seed, tell, &|run| allocation_counter::measure(run).bytes_max),
            "members" => members(seed, tell),
            _ => world(seed, tell),
        }));
        let outcome = case.unwrap_or_else(|_| Err(format!("seed {seed}: a panic, told above")));
        match outcome {
            Ok(counts) => tally.add(counts),
            Err(error) => {
                return fail(&format!(
                    "{error}\n\nagain: cargo run -p deltaic-simulation -- {mode} --seed {seed}"
                ));
            }
        }
        done += 1;
    }
    println!("{mode}: seeds {first} to {}: {done} cases, {tally:?}, {:?}", first + done, start.elapsed());
    ExitCode::SUCCESS
}

/// Runs rounds of churn over constant data, and prints what is kept after each.
fn soak(arguments: &[String]) -> Result<(), String> {
    let rounds = match arguments {
        [] => 20,
        [name, value] if name == "--rounds" => {
            value.parse().map_err(|_| format!("--rounds needs a number, not {value}"))?
        }
        _ => return Err("usage: deltaic-simulation soak [--rounds N]".to_owned()),
    };
    let directory = std::env::temp_dir().join(format!("deltaic-soak-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    println!("| rows written | kept, gone ones too | removals | stored | file | memory |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut outcome = Ok(());
    let memory = allocation_counter::measure(|| {
        outcome = deltaic_simulation::soak::soak(1, &directory, rounds, &mut |kept| {
            let Kept { written, rows, removals, stored, file } = kept;
            println!("| {written} | {rows} | {removals} | {stored} | {file} | {} |", resident());
        });
    });
    drop(std::fs::remove_dir_all(&directory));
    println!("most bytes of memory at once: {}", memory.bytes_max);
    outcome
}

/// The bytes of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// Runs TPC-H's queries live, and prints a line for each.
fn tpch(arguments: &[String]) -> Result<(), String> {
    let scale: f64 = match arguments {
        [] => 0.01,
        [name, value] if name == "--scale" => {
            value.parse().map_err(|_| format!("--scale needs a number, not {value}"))?
        }
        _ => return Err("usage: deltaic-simulation tpch [--scale 0.01]".to_owned()),
    };
    let start = Instant::now();
    let clock = || start.elapsed();
    let workload = tpch::Workload::of(scale);
    let answers = match Postgres::start() {
        Some(mut postgres) => Some(tpch::answers(&mut postgres, &workload)?),
        None => {
            println!("PostgreSQL is not there: nothing is compared");
            None
        }
    };
    let mut bench = tpch::Bench::load(&workload, &clock)?;
    let names: Vec<&str> = workload.refreshes.iter().map(|(name, _)| *name).collect();
    println!(
        "TPC-H at scale {scale}; milliseconds to the first rows and for each commit: {}",
        names.join(", ")
    );
    let all: Vec<usize> = (0..tpch::QUERIES.len()).collect();
    let mut refused = 0;
    let lines = all.iter().map(|number| (format!("{:>2}", number + 1), vec![*number]));
    for (name, numbers) in std::iter::once(("none".to_owned(), Vec::new())).chain(lines) {
        match bench.keep(&numbers, answers.as_deref()) {
            Ok(live) => {
                let took: Vec<String> =
                    live.refreshes.iter().map(|took| format!("{:8.2}", took.as_secs_f64() * 1e3)).collect();
                println!(
                    "{name:>4} live  {:9.2} {}  {:6} rows, {} of {} commits change it",
                    live.hydration.as_secs_f64() * 1e3,
                    took.join(" "),
                    live.rows,
                    live.changed,
                    live.refreshes.len()
                );
            }
            Err(error) => {
                refused += 1;
                println!("{name:>4} NOT LIVE: {error}");
                bench = tpch::Bench::load(&workload, &clock)?;
            }
        }
    }
    if refused == 0 { Ok(()) } else { Err(format!("{refused} queries are not live or not PostgreSQL's")) }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

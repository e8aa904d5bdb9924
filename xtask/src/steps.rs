//! The test command: its steps in order, each timed, each able to run alone.
//!
//! Invariant: a step is absent only while what it tests does not exist; a step that is skipped says why, and
//! with `CI=true` none is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{Failure, cargo, run};
use crate::workspace::Workspace;
use crate::{install, tidy};

const SIMULATION: &str = "deltaic-simulation";
const QUOTA: &str = "deltaic-quota";
const BROWSER_TESTS: &str = "crates/server/tests/browser";

/// What the caller chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) seeds: Option<u64>,
    pub(crate) seconds: u64,
    pub(crate) ci: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { quick: false, seeds: None, seconds: 60, ci: false }
    }
}

#[derive(Debug)]
struct Context<'a> {
    root: &'a Path,
    options: Options,
    workspace: Workspace,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Skipped(String),
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    quick: bool,
    exists: fn(&Context<'_>) -> bool,
    run: fn(&Context<'_>) -> Result<Outcome, Failure>,
}

const STEPS: [Step; 13] = [
    Step { name: "install", quick: false, exists: always, run: install_step },
    Step { name: "format", quick: true, exists: always, run: format_step },
    Step { name: "tidy", quick: true, exists: always, run: tidy_step },
    Step { name: "clippy", quick: true, exists: always, run: clippy_step },
    Step { name: "unit", quick: true, exists: always, run: unit_step },
    Step { name: "loom", quick: false, exists: has_quota, run: loom_step },
    Step { name: "doc tests", quick: false, exists: always, run: doc_tests_step },
    Step { name: "examples", quick: false, exists: always, run: examples_step },
    Step { name: "simulation", quick: false, exists: has_simulation, run: simulation_step },
    Step { name: "members", quick: false, exists: has_simulation, run: members_step },
    Step { name: "fuzz", quick: false, exists: has_simulation, run: fuzz_step },
    Step { name: "mutate", quick: false, exists: has_simulation, run: mutate_step },
    Step { name: "browser", quick: false, exists: has_browser_tests, run: browser_step },
];

/// The steps' names as the command line takes them.
pub(crate) fn names() -> Vec<String> {
    STEPS.iter().map(|step| argument(step.name)).collect()
}

/// Every step, or the quick ones, up to the first that fails.
pub(crate) fn test(root: &Path, options: Options) -> Result<(), Failure> {
    let context = Context { root, options, workspace: Workspace::load(root)? };
    let mut lines = Vec::new();
    for step in STEPS.iter().filter(|step| step.quick || !options.quick) {
        if !(step.exists)(&context) {
            continue;
        }
        let (outcome, took) = timed(step, &context);
        match outcome {
            Ok(Outcome::Passed) => lines.push((step.name, took, String::new())),
            Ok(Outcome::Skipped(why)) => lines.push((step.name, took, why)),
            Err(failure) => {
                return Err(Failure::new(format!(
                    "{failure}\n\nstep `{}` failed; to run it alone: {}",
                    step.name,
                    again(step.name, options)
                )));
            }
        }
    }
    println!("\n{}", table(&lines));
    Ok(())
}

/// One step alone.
pub(crate) fn step(root: &Path, options: Options, name: &str) -> Result<(), Failure> {
    let Some(step) = STEPS.iter().find(|step| argument(step.name) == argument(name)) else {
        return Err(Failure::new(format!("there is no step `{name}`; there are: {}", names().join(", "))));
    };
    let context = Context { root, options, workspace: Workspace::load(root)? };
    if !(step.exists)(&context) {
        return Err(Failure::new(format!(
            "step `{}` has nothing to run: what it tests is not here",
            step.name
        )));
    }
    timed(step, &context).0.map(|_| ())
}

#[expect(clippy::disallowed_methods, reason = "durations are printed for people; no result depends on one")]
fn timed(step: &Step, context: &Context<'_>) -> (Result<Outcome, Failure>, Duration) {
    println!("\n== {} ==", step.name);
    let start = Instant::now();
    let outcome = (step.run)(context);
    let took = start.elapsed();
    let word = match &outcome {
        Ok(Outcome::Passed) => "passed".to_owned(),
        Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
        Err(_) => "failed".to_owned(),
    };
    println!("== {} {word}, {:.1} s", step.name, took.as_secs_f64());
    (outcome, took)
}

/// A step's name as one word of a shell.
fn argument(name: &str) -> String {
    name.replace(' ', "-")
}

fn again(name: &str, options: Options) -> String {
    let mut line = format!("cargo xtask step {}", argument(name));
    if matches!(name, "simulation" | "members" | "fuzz" | "mutate") {
        line.push(' ');
        line.push_str(&length(options).join(" "));
    }
    line
}

fn table(lines: &[(&str, Duration, String)]) -> String {
    let mut out = vec![format!("{:<12} {:>9}  result", "step", "seconds")];
    for (name, took, skipped) in lines {
        let word = if skipped.is_empty() { "passed".to_owned() } else { format!("skipped: {skipped}") };
        out.push(format!("{name:<12} {:>9.1}  {word}", took.as_secs_f64()));
    }
    let total: Duration = lines.iter().map(|(_, took, _)| *took).sum();
    out.push(format!("{:<12} {:>9.1}", "total", total.as_secs_f64()));
    out.join("\n")
}

fn always(_: &Context<'_>) -> bool {
    true
}

fn has_simulation(context: &Context<'_>) -> bool {
    context.workspace.has(SIMULATION)
}

fn has_quota(context: &Context<'_>) -> bool {
    context.workspace.has(QUOTA)
}

fn has_browser_tests(context: &Context<'_>) -> bool {
    context.root.join(BROWSER_TESTS).is_dir()
}

fn install_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    Ok(install::install(context.options.ci)?.map_or(Outcome::Passed, Outcome::Skipped))
}

fn format_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    passed(context, &["fmt", "--all", "--check"])
}

fn tidy_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    let findings = tidy::check(context.root, &context.workspace)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        return Ok(Outcome::Passed);
    }
    Err(Failure::new(format!("tidy has {} finding(s), listed above", findings.len())))
}

fn clippy_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    passed(context, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn unit_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    if crate::command::find(&["cargo-nextest"]).is_some() {
        passed(context, &["nextest", "run", "--workspace"])
    } else {
        passed(context, &["test", "--workspace", "--lib", "--bins", "--tests"])
    }
}

/// The orders of the atomic steps of threads: the crate is built once more, with loom's atomics, in a directory of its own.
fn loom_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    let mut command = cargo(context.root, &["test", "--package", QUOTA, "--lib", "loom"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", context.workspace.target.join("loom"));
    run(&mut command)?;
    Ok(Outcome::Passed)
}

fn doc_tests_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    passed(context, &["test", "--workspace", "--doc"])
}

fn examples_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    for package in &context.workspace.packages {
        for example in &package.examples {
            let mut command =
                cargo(context.root, &["run", "--package", &package.name, "--example", &example.name]);
            if !example.features.is_empty() {
                command.args(["--features", &example.features.join(",")]);
            }
            run(&mut command)?;
        }
    }
    Ok(Outcome::Passed)
}

fn simulation_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    simulation(context, "run", context.options)
}

/// Half the time: hundreds of worlds.
fn members_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    simulation(context, "members", Options { seconds: context.options.seconds / 2, ..context.options })
}

/// Twice the time: two thousand cases on a small machine.
fn fuzz_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    simulation(context, "fuzz", Options { seconds: context.options.seconds * 2, ..context.options })
}

/// A quarter of the time: its cases are small.
fn mutate_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    simulation(context, "mutate", Options { seconds: context.options.seconds / 4, ..context.options })
}

fn simulation(context: &Context<'_>, verb: &str, options: Options) -> Result<Outcome, Failure> {
    run(Command::new(built(context, SIMULATION)?).current_dir(context.root).arg(verb).args(length(options)))?;
    Ok(Outcome::Passed)
}

/// A program of the workspace, built as the tests are: another choice of packages would have other features, and
/// build half of the dependencies once more.
fn built(context: &Context<'_>, program: &str) -> Result<PathBuf, Failure> {
    run(&mut cargo(context.root, &["build", "--workspace", "--all-targets"]))?;
    Ok(context.workspace.target.join("debug").join(program))
}

/// How long simulation and fuzz run: by seeds if asked for, otherwise by time.
fn length(options: Options) -> [String; 2] {
    match options.seeds {
        Some(seeds) => ["--seeds".to_owned(), seeds.to_string()],
        None => ["--seconds".to_owned(), options.seconds.to_string()],
    }
}

fn browser_step(context: &Context<'_>) -> Result<Outcome, Failure> {
    let (Some(node), Some(_)) = (install::node(), install::chromium()) else {
        let why = "node and chromium are needed: cargo xtask step install";
        return if context.options.ci {
            Err(Failure::new(why))
        } else {
            Ok(Outcome::Skipped(why.to_owned()))
        };
    };
    let program = built(context, "deltaic")?;
    let script = format!("{BROWSER_TESTS}/run.mjs");
    run(Command::new(node).current_dir(context.root).arg(script).arg(program))?;
    Ok(Outcome::Passed)
}

fn passed(context: &Context<'_>, arguments: &[&str]) -> Result<Outcome, Failure> {
    run(&mut cargo(context.root, arguments))?;
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Options, STEPS, again, length, names, step, table};

    #[test]
    fn names_are_single_words_and_unique() {
        let mut names = names();
        assert!(names.iter().all(|name| !name.contains(' ')));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_known_ones() {
        let failure = step(Path::new("."), Options::default(), "lint").unwrap_err().to_string();
        assert!(failure.contains("`lint`") && failure.contains("doc-tests"), "{failure}");
    }

    #[test]
    fn seeds_go_before_seconds() {
        let options = Options { seeds: Some(500), ..Options::default() };
        assert_eq!(length(options), ["--seeds", "500"]);
        assert_eq!(length(Options::default()), ["--seconds", "60"]);
        assert_eq!(again("fuzz", options), "cargo xtask step fuzz --seeds 500");
        assert_eq!(again("doc tests", options), "cargo xtask step doc-tests");
    }

    #[test]
    fn the_table_has_a_line_for_each_step_and_the_sum() {
        let lines = [
            ("format", Duration::from_millis(500), String::new()),
            ("browser", Duration::ZERO, "no node".to_owned()),
        ];
        let table = table(&lines);
        assert_eq!(table.lines().count(), 4);
        assert!(table.contains("skipped: no node") && table.ends_with("0.5"), "{table}");
    }
}

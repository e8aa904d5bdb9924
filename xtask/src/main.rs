//! The workspace's commands: one program instead of scripts, so that they run wherever Rust does.
//!
//! Invariant: a command ends with a failure exactly when something it was asked for was not done.

mod command;
mod csv;
mod flights;
mod install;
mod steps;
mod tidy;
mod workspace;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use command::Failure;
use steps::Options;

const USAGE: &str = "\
usage:
  cargo xtask test [--quick] [--seeds N] [--seconds S]   every check, in order
  cargo xtask step NAME [--seeds N] [--seconds S]        one step alone
  cargo xtask steps                                      the names of the steps
  cargo xtask flights DIR                                makes examples/flights from the source's CSV files";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let root = root();
    let Some((verb, rest)) = arguments.split_first() else {
        return Err(Failure::new(USAGE));
    };
    match verb.as_str() {
        "test" => {
            let (options, names) = options(rest)?;
            if let Some(name) = names.first() {
                return Err(Failure::new(format!(
                    "`test` takes no step; to run one alone: cargo xtask step {name}"
                )));
            }
            steps::test(&root, options)
        }
        "step" => {
            let (options, names) = options(rest)?;
            if names.is_empty() {
                return Err(Failure::new(format!("name a step: {}", steps::names().join(", "))));
            }
            steps::step(&root, options, &names.join(" "))
        }
        "steps" => {
            println!("{}", steps::names().join("\n"));
            Ok(())
        }
        "flights" => match rest {
            [source] => flights::extract(Path::new(source), &root.join("examples/flights")),
            _ => Err(Failure::new("give the directory of the source's CSV files: cargo xtask flights DIR")),
        },
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => Err(Failure::new(format!("there is no command `{unknown}`\n{USAGE}"))),
    }
}

/// Takes the options out of the arguments; what is left are names.
fn options(arguments: &[String]) -> Result<(Options, Vec<String>), Failure> {
    let mut options = Options { ci: ci(), ..Options::default() };
    let mut names = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--seeds" => options.seeds = Some(number(argument, rest.next())?),
            "--seconds" => options.seconds = number(argument, rest.next())?,
            option if option.starts_with('-') => {
                return Err(Failure::new(format!("there is no option `{option}`\n{USAGE}")));
            }
            name => names.push(name.to_owned()),
        }
    }
    Ok((options, names))
}

fn number(option: &str, text: Option<&String>) -> Result<u64, Failure> {
    text.and_then(|text| text.parse().ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| Failure::new(format!("`{option}` needs a number above 0 after it")))
}

/// Where nothing may be skipped.
fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// The repository's root: this package lies directly below it.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::options;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_taken_out_wherever_they_stand() {
        let (options, names) = options(&words("doc --seeds 7 tests --seconds 3 --quick")).unwrap();
        assert_eq!((options.seeds, options.seconds, options.quick), (Some(7), 3, true));
        assert_eq!(names, ["doc", "tests"]);
    }

    #[test]
    fn an_option_that_is_unknown_or_has_no_number_is_refused() {
        for wrong in ["--fast", "--seeds", "--seeds many", "--seconds 0", "--seeds -1"] {
            assert!(options(&words(wrong)).is_err(), "{wrong}");
        }
    }
}

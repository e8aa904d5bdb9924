//! Running other programs, and the one error of this package.
//!
//! Invariant: a program that cannot be started, or that ends with anything but 0, is a `Failure` that says
//! which command it was.

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command did not do what it was asked for, in words for the person who ran it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// An input or output error, with the file or program it came from.
    pub(crate) fn io(place: impl fmt::Display, error: &io::Error) -> Self {
        Self(format!("{place}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The cargo that runs this program, so that a toolchain chosen outside stays chosen.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    command
}

/// Runs a command with its output passed through.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.status().map_err(|error| Failure::io(&shown, &error))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{shown}` ended with {status}"))) }
}

/// Runs a command and returns its standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| Failure::io(&shown, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("`{shown}` ended with {}: {}", output.status, said.trim())));
    }
    String::from_utf8(output.stdout).map_err(|_| Failure::new(format!("`{shown}` did not answer in UTF-8")))
}

/// The first of these programs that lies in `PATH`.
pub(crate) fn find(programs: &[&str]) -> Option<PathBuf> {
    let directories: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    programs.iter().find_map(|program| {
        directories.iter().map(|directory| directory.join(program)).find(|path| path.is_file())
    })
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{find, read, run};

    #[test]
    fn a_program_that_is_not_there_or_fails_is_a_failure_with_its_name() {
        let missing = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(missing.to_string().contains("no-such-program-anywhere"));
        let failed = read(Command::new("git").arg("no-such-verb")).unwrap_err();
        assert!(failed.to_string().contains("git no-such-verb"));
    }

    #[test]
    fn a_program_is_found_under_any_of_its_names() {
        assert!(find(&["no-such-program-anywhere", "git"]).is_some());
        assert!(find(&["no-such-program-anywhere"]).is_none());
    }
}

//! What the tests need beside Rust: node, Chromium, and PostgreSQL's server programs.
//!
//! Invariant: no server is started, used or stopped here, and no file that is there is overwritten. Where
//! nothing may be skipped (`CI=true`), a missing thing is a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{Failure, find, read, run};

/// Debian's package makes and starts a cluster of its own unless this file forbids it.
const CLUSTER_CONFIGURATION: &str = "/etc/postgresql-common/createcluster.conf";

/// A thing some tests need.
#[derive(Debug)]
struct Need {
    name: &'static str,
    package: Option<&'static str>,
    skipped: &'static str,
    find: fn() -> Option<PathBuf>,
}

const NEEDS: [Need; 3] = [
    Need { name: "node", package: None, skipped: "the browser tests", find: node },
    Need { name: "chromium", package: Some("chromium"), skipped: "the browser tests", find: chromium },
    Need {
        name: "PostgreSQL's server programs",
        package: Some("postgresql"),
        skipped: "the comparisons with PostgreSQL",
        find: postgresql,
    },
];

pub(crate) fn node() -> Option<PathBuf> {
    find(&["node", "nodejs"])
}

pub(crate) fn chromium() -> Option<PathBuf> {
    find(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
}

/// The directory with both `initdb` and `postgres`; the newest where Debian keeps several.
pub(crate) fn postgresql() -> Option<PathBuf> {
    let complete =
        |directory: &Path| directory.join("initdb").is_file() && directory.join("postgres").is_file();
    let in_path = find(&["postgres"]).and_then(|program| program.parent().map(Path::to_path_buf));
    if let Some(directory) = in_path.filter(|directory| complete(directory)) {
        return Some(directory);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            let programs = path.join("bin");
            complete(&programs).then_some((version, programs))
        })
        .max()
        .map(|(_, programs)| programs)
}

/// Finds or installs what is needed; returns a line on what is skipped, if anything is.
pub(crate) fn install(ci: bool) -> Result<Option<String>, Failure> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| (need.find)().is_none()).collect();
    let packages: Vec<&str> = missing.iter().filter_map(|need| need.package).collect();
    let mut refusal = None;
    if !packages.is_empty() {
        if debian_root() {
            refusal = apt(&packages).err();
        } else {
            println!("to install on Debian, as root: apt-get install {}", packages.join(" "));
        }
    }
    for need in &NEEDS {
        if let Some(place) = (need.find)() {
            println!("{}: {}", need.name, place.display());
        }
    }
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| (need.find)().is_none()).collect();
    report(&missing, refusal.as_ref(), ci)
}

fn report(missing: &[&Need], refusal: Option<&Failure>, ci: bool) -> Result<Option<String>, Failure> {
    if missing.is_empty() {
        return Ok(None);
    }
    let mut lines: Vec<String> = missing
        .iter()
        .map(|need| format!("{} is missing: {} are skipped", need.name, need.skipped))
        .collect();
    if let Some(refusal) = refusal {
        lines.push(format!("the installation was refused: {refusal}"));
    }
    if ci {
        let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
        lines.push(format!("with CI=true nothing is skipped: install {}", names.join(", ")));
        return Err(Failure::new(lines.join("\n")));
    }
    Ok(Some(lines.join("; ")))
}

fn debian_root() -> bool {
    Path::new("/etc/debian_version").is_file()
        && read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn apt(packages: &[&str]) -> Result<(), Failure> {
    let configuration = Path::new(CLUSTER_CONFIGURATION);
    if packages.contains(&"postgresql") && !configuration.exists() {
        let write = |path: &Path| {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            fs::write(path, "create_main_cluster = false\n")
        };
        write(configuration).map_err(|error| Failure::io(CLUSTER_CONFIGURATION, &error))?;
    }
    run(apt_get(&["-qq", "update"]).stdout(Stdio::null()))?;
    // The package brings its own version of the file above; without these it would stop to ask.
    let keep = "Dpkg::Options::=--force-confold";
    let mut install = apt_get(&["-qq", "install", "-y", "--no-install-recommends", "-o", keep]);
    run(install.env("UCF_FORCE_CONFFOLD", "1").args(packages).stdout(Stdio::null()))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::{NEEDS, report};
    use crate::command::Failure;

    #[test]
    fn with_everything_there_nothing_is_skipped() {
        assert_eq!(report(&[], None, true).unwrap(), None);
    }

    #[test]
    fn a_missing_thing_is_named_with_what_is_skipped_for_it() {
        let line = report(&[&NEEDS[1]], None, false).unwrap().unwrap();
        assert!(line.contains("chromium") && line.contains("browser tests"), "{line}");
    }

    #[test]
    fn where_nothing_may_be_skipped_a_missing_thing_fails_with_the_reason() {
        let refusal = Failure::new("no network");
        let failure = report(&[&NEEDS[2]], Some(&refusal), true).unwrap_err().to_string();
        assert!(failure.contains("PostgreSQL") && failure.contains("no network"), "{failure}");
    }
}

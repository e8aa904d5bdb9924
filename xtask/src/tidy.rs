//! The source checks: rules on the repository that the compiler does not know.
//!
//! Invariant: a rule reports every finding, not only the first, and changes nothing. Each rule is a function of
//! what it is given, so that its tests are literals; this page alone reads the repository.

mod crates;
mod documents;
mod source;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{Failure, read};
use crate::workspace::Workspace;

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// A path relative to the root, with `:line` where there is one.
    place: String,
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.message)
    }
}

/// A text file of the repository; its path is relative to the root, with `/` between its parts.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

impl File {
    /// What the path ends with after its last dot.
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// All rules over the whole repository.
pub(crate) fn check(root: &Path, workspace: &Workspace) -> Result<Vec<Finding>, Failure> {
    let paths = paths(root)?;
    let files: Vec<File> = paths
        .iter()
        .filter_map(|path| {
            // What is not UTF-8 is not text, and no rule is about it.
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(File { path: path.clone(), text })
        })
        .collect();
    let mut findings = crates::directions(workspace);
    findings.extend(crates::core_dependencies(workspace));
    findings.extend(crates::without_syntax(workspace));
    findings.extend(crates::pages(workspace, &files));
    findings.extend(source::core_words(&files));
    findings.extend(source::openings(&files));
    findings.extend(text::lengths(&files));
    findings.extend(text::unfinished(&files));
    findings.extend(text::sleeps(&files));
    findings.extend(text::places(&files));
    findings.extend(documents::links(&files, &with_directories(&paths)));
    let list = files.iter().find(|file| file.path == documents::DEPENDENCIES);
    findings.extend(documents::dependencies(workspace, list.map_or("", |file| file.text.as_str())));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// Every file that is in the repository or would be with the next `git add`.
fn paths(root: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = read(&mut git)?;
    let names = listed.split('\0').filter(|path| !path.is_empty() && root.join(path).is_file());
    Ok(names.map(str::to_owned).collect())
}

fn with_directories(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let mut all = paths.clone();
    for path in paths {
        let parents = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
        all.extend(parents);
    }
    all.insert(String::new());
    all
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::Workspace;

    #[test]
    fn the_repository_is_tidy() {
        let root = crate::root();
        let findings = check(&root, &Workspace::load(&root).unwrap()).unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }
}

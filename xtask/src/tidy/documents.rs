//! Rules on documents: links lead somewhere, and every dependency has its reason.
//!
//! Invariant: only links inside the repository are followed; the network is never asked.

use std::collections::BTreeSet;

use super::{File, Finding};
use crate::workspace::Workspace;

/// The list of what is taken from outside, and why.
pub(super) const DEPENDENCIES: &str = "docs/dependencies.md";

/// Relative links in Markdown point to files or directories that exist.
pub(super) fn links(files: &[File], existing: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.extension() == "md") {
        let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, target) in targets(&file.text) {
            let resolved = resolve(directory, &target);
            if !resolved.is_some_and(|path| existing.contains(&path)) {
                findings.push(Finding::at(&file.path, line, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// Every direct dependency from outside has a line in the list.
pub(super) fn dependencies(workspace: &Workspace, list: &str) -> Vec<Finding> {
    let mut missing = BTreeSet::new();
    for package in &workspace.packages {
        for dependency in package.dependencies.iter().filter(|dependency| !workspace.has(&dependency.name)) {
            let start = format!("| `{}` |", dependency.name);
            if !list.lines().any(|line| line.starts_with(&start)) {
                missing.insert(dependency.name.as_str());
            }
        }
    }
    let message = |name| format!("has no line for `{name}`: add `| `{name}` | used by | why | licence |`");
    missing.into_iter().map(|name| Finding::new(DEPENDENCIES, message(name))).collect()
}

/// The targets of links to files, with their lines: outside code, without addresses, anchors and Rust paths.
fn targets(markdown: &str) -> Vec<(usize, String)> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for (place, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let line = without_code(line);
        let inline = line.match_indices("](").map(|(start, _)| {
            let rest = &line[start + 2..];
            rest.split_once(')').map_or(rest, |(target, _)| target)
        });
        let definition =
            line.strip_prefix('[').and_then(|rest| rest.split_once("]:")).map(|(_, target)| target);
        for target in inline.chain(definition) {
            let target = target.split_whitespace().next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty()
                && !target.contains("::")
                && !target.contains("://")
                && !target.starts_with("mailto:")
            {
                targets.push((place + 1, target.to_owned()));
            }
        }
    }
    targets
}

/// The line without what stands between backquotes.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    let last = parts.len() - 1;
    let outside = parts.iter().enumerate().filter(|(place, _)| {
        // An odd backquote at the end of a line opens nothing.
        place % 2 == 0 || (*place == last && last % 2 == 1)
    });
    outside.map(|(_, part)| *part).collect()
}

/// The path from the root, or none if it leaves the repository.
fn resolve(directory: &str, target: &str) -> Option<String> {
    let from_root = target.starts_with('/');
    let mut parts: Vec<&str> =
        if from_root { Vec::new() } else { directory.split('/').filter(|part| !part.is_empty()).collect() };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{dependencies, links};
    use crate::tidy::File;
    use crate::workspace::Workspace;

    fn existing() -> BTreeSet<String> {
        ["docs/sql.md", "docs", "README.md"].iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "[a](sql.md#select) [b](../README.md \"title\") ![c](/docs) [d](https://x.org/y) [e](#here)\n\
                    [`f`](crate::Value) `[g](code.md)`\n```\n[h](fenced.md)\n```\n[i]: ./sql.md\n";
        assert_eq!(links(&[File::new("docs/index.md", text)], &existing()), []);
    }

    #[test]
    fn every_broken_link_is_found_with_its_line() {
        let text = "[a](missing.md) [b](../docs/none.md)\n\n[c]: ../../README.md\n";
        let findings = links(&[File::new("docs/index.md", text)], &existing());
        let places: Vec<&str> = findings.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, ["docs/index.md:1", "docs/index.md:1", "docs/index.md:3"]);
    }

    #[test]
    fn a_dependency_needs_its_line() {
        let workspace = Workspace::parse(
            r#"{"workspace_root": "/r", "target_directory": "/t", "packages": [
                {"name": "deltaic-types", "manifest_path": "/r/crates/types/Cargo.toml", "targets": [],
                 "dependencies": []},
                {"name": "deltaic-query", "manifest_path": "/r/crates/query/Cargo.toml", "targets": [],
                 "dependencies": [{"name": "deltaic-types", "kind": null}, {"name": "serde", "kind": null},
                    {"name": "regex", "kind": "dev"}]}]}"#,
        )
        .unwrap();
        assert_eq!(dependencies(&workspace, "| `serde` | x |\n| `regex` | y |\n"), []);
        let findings = dependencies(&workspace, "| `serde_json` | x |\n");
        assert_eq!(findings.len(), 2);
        assert!(findings[0].message.contains("`regex`"));
    }
}

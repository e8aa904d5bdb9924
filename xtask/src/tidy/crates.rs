//! Rules on crates: which may depend on which, what the core may not take from outside, what each has to show.
//!
//! Invariant: `TABLE` is in the order of the direction, so that a crate's allowed dependencies stand above it.

use super::{File, Finding};
use crate::workspace::{Kind, Package, Workspace};

/// Which crates of the workspace a crate may use directly.
#[derive(Debug)]
enum Allowed {
    These(&'static [&'static str]),
    /// Whatever stands above in the table.
    Above,
    Anything,
}

use Allowed::{Above, Anything, These};

const TABLE: [(&str, Allowed); 19] = [
    ("types", These(&[])),
    ("causality", These(&["types"])),
    ("crdt", These(&["types", "causality"])),
    ("text", These(&["types", "causality", "crdt"])),
    ("quota", These(&["types"])),
    ("dataflow", These(&["types"])),
    ("query", These(&["types", "dataflow"])),
    ("sql", These(&["types", "dataflow", "query"])),
    ("allocation", These(&["types"])),
    ("storage", These(&["types", "causality", "quota"])),
    ("postgres", These(&["quota"])),
    ("protocol", These(&["types", "causality", "crdt"])),
    (
        "engine",
        These(&[
            "types",
            "causality",
            "crdt",
            "text",
            "quota",
            "dataflow",
            "query",
            "sql",
            "allocation",
            "storage",
            "protocol",
        ]),
    ),
    ("client", These(&["types", "causality", "crdt", "dataflow", "protocol", "query"])),
    ("server", Above),
    ("cli", These(&["server", "protocol", "types", "client", "engine", "storage", "quota", "postgres"])),
    ("simulation", Anything),
    ("benchmarks", Anything),
    ("xtask", These(&[])),
];

/// The crates that know no clock, thread, socket or random source, and no hash map's order.
pub(super) const CORE: [&str; 13] = [
    "types",
    "causality",
    "crdt",
    "text",
    "quota",
    "dataflow",
    "query",
    "sql",
    "allocation",
    "storage",
    "protocol",
    "engine",
    "client",
];

const OUTSIDE_THE_CORE: [&str; 3] = ["tokio", "axum", "rand"];

/// The crates that a program carries whose plans come from elsewhere.
const WITHOUT_SYNTAX: [&str; 2] = ["query", "client"];

const PARSER: &str = "sqlparser";

/// The crate's name in the table: `deltaic-types` is `types`, and the program `deltaic` lives in `cli`.
fn short(package: &str) -> &str {
    if package == "deltaic" { "cli" } else { package.strip_prefix("deltaic-").unwrap_or(package) }
}

fn manifest(package: &Package) -> String {
    format!("{}/Cargo.toml", package.directory.display())
}

/// Dependencies between the crates run one way, as the table says. A test may use what stands above its crate,
/// the crate itself, and the simulation.
pub(super) fn directions(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let name = short(&package.name);
        let Some(own) = TABLE.iter().position(|(listed, _)| *listed == name) else {
            findings.push(Finding::new(
                manifest(package),
                format!(
                    "crate `{name}` is not in the table of directions: add it to TABLE in \
                     xtask/src/tidy/crates.rs and to ARCHITECTURE.md"
                ),
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| workspace.has(&dependency.name)) {
            let other = short(&dependency.name);
            let place = TABLE.iter().position(|(listed, _)| *listed == other);
            let above = place.is_some_and(|place| place < own);
            let allowed = match (&TABLE[own].1, dependency.kind) {
                (Anything, _) => true,
                (_, Kind::Development) => above || place == Some(own) || other == "simulation",
                (Above, _) => above,
                (These(names), _) => names.contains(&other),
            };
            if !allowed {
                findings.push(Finding::new(
                    manifest(package),
                    format!(
                        "`{name}` must not depend on `{other}`: dependencies run one way, see ARCHITECTURE.md"
                    ),
                ));
            }
        }
    }
    findings
}

/// The core crates take no runtime, no server and no random numbers from outside.
pub(super) fn core_dependencies(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages.iter().filter(|package| CORE.contains(&short(&package.name))) {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            if dependency.kind == Kind::Normal && OUTSIDE_THE_CORE.contains(&name) {
                findings.push(Finding::new(
                    manifest(package),
                    format!("a core crate must not depend on `{name}`: move what needs it to `server`"),
                ));
            }
        }
    }
    findings
}

/// What makes do without SQL's syntax reaches no parser, directly or through a crate of the workspace; tests may.
pub(super) fn without_syntax(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages.iter().filter(|package| WITHOUT_SYNTAX.contains(&short(&package.name)))
    {
        if let Some(way) = way_to(workspace, package, PARSER) {
            findings.push(Finding::new(
                manifest(package),
                format!(
                    "`{}` must not reach `{PARSER}`: {}; what knows its tree belongs in `sql`",
                    short(&package.name),
                    way.join(" -> ")
                ),
            ));
        }
    }
    findings
}

/// The shortest way from a package to a dependency by what is built with it.
fn way_to<'a>(workspace: &'a Workspace, from: &'a Package, wanted: &str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![from.name.as_str()]];
    let mut next = 0;
    while let Some(way) = ways.get(next).cloned() {
        next += 1;
        let last = way.last().copied().unwrap_or_default();
        if last == wanted {
            return Some(way);
        }
        let package = workspace.packages.iter().find(|package| package.name == last);
        let dependencies = package.into_iter().flat_map(|package| &package.dependencies);
        for dependency in dependencies.filter(|dependency| dependency.kind != Kind::Development) {
            let seen = ways.iter().any(|way| way.last() == Some(&dependency.name.as_str()));
            if !seen {
                ways.push([&way[..], &[dependency.name.as_str()]].concat());
            }
        }
    }
    None
}

/// Every crate has a README; a library's README is its first page and has an example that compiles.
pub(super) fn pages(workspace: &Workspace, files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let find = |path: &str| files.iter().find(|file| file.path == path);
    for package in &workspace.packages {
        let path = format!("{}/README.md", package.directory.display());
        let Some(readme) = find(&path) else {
            findings.push(Finding::new(path, "is missing: every crate says there what it is"));
            continue;
        };
        let Some(library) = &package.library else { continue };
        if !has_example(&readme.text) {
            findings.push(Finding::new(
                path,
                "has no Rust example: add a ```rust block that a doc test compiles",
            ));
        }
        let library = library.display().to_string();
        let includes =
            find(&library).is_some_and(|file| file.text.contains("#![doc = include_str!(\"../README.md\")]"));
        if !includes {
            findings.push(Finding::new(
                library,
                "lacks `#![doc = include_str!(\"../README.md\")]`, by which the example is compiled",
            ));
        }
    }
    findings
}

/// Whether a fenced block is one that rustdoc compiles.
fn has_example(markdown: &str) -> bool {
    let mut inside = false;
    for line in markdown.lines() {
        let Some(label) = line.trim_start().strip_prefix("```") else { continue };
        inside = !inside;
        let compiled = |word: &str| matches!(word, "" | "rust" | "no_run" | "should_panic");
        if inside && label.split(',').all(|word| compiled(word.trim())) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{
        CORE, TABLE, These, WITHOUT_SYNTAX, core_dependencies, directions, has_example, pages, without_syntax,
    };
    use crate::tidy::File;
    use crate::workspace::{Dependency, Kind, Package, Workspace};

    fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
        let directory = PathBuf::from(format!("crates/{}", super::short(name)));
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
            .collect();
        let library = Some(directory.join("src/lib.rs"));
        Package { name: name.to_owned(), directory, dependencies, examples: Vec::new(), library }
    }

    #[test]
    fn the_table_runs_one_way_and_holds_the_core() {
        for (place, (name, allowed)) in TABLE.iter().enumerate() {
            if let These(names) = allowed {
                for other in *names {
                    assert!(TABLE[..place].iter().any(|(above, _)| above == other), "{name} -> {other}");
                }
            }
        }
        let listed = |name: &&str| TABLE.iter().any(|(listed, _)| listed == name);
        assert!(CORE.iter().all(listed) && WITHOUT_SYNTAX.iter().all(listed));
    }

    #[test]
    fn allowed_directions_pass() {
        let workspace = Workspace {
            packages: vec![
                package(
                    "deltaic-types",
                    &[("serde", Kind::Normal), ("deltaic-simulation", Kind::Development)],
                ),
                package("deltaic-dataflow", &[("deltaic-types", Kind::Normal)]),
                package(
                    "deltaic-query",
                    &[("deltaic-dataflow", Kind::Normal), ("deltaic-types", Kind::Development)],
                ),
                package("deltaic-server", &[("deltaic-query", Kind::Normal)]),
                package("deltaic", &[("deltaic-server", Kind::Normal)]),
                package("deltaic-simulation", &[("deltaic-server", Kind::Normal)]),
            ],
            target: PathBuf::new(),
        };
        assert_eq!(directions(&workspace), []);
    }

    #[test]
    fn every_wrong_direction_and_unknown_crate_is_found() {
        let workspace = Workspace {
            packages: vec![
                package(
                    "deltaic-types",
                    &[("deltaic-query", Kind::Normal), ("deltaic-query", Kind::Development)],
                ),
                package("deltaic-query", &[("deltaic-types", Kind::Normal), ("deltaic-server", Kind::Build)]),
                package("deltaic-server", &[("deltaic", Kind::Normal)]),
                package("deltaic", &[("deltaic-query", Kind::Normal)]),
                package("deltaic-extra", &[]),
            ],
            target: PathBuf::new(),
        };
        let findings = directions(&workspace);
        assert_eq!(findings.len(), 6, "{findings:?}");
        assert!(findings[5].message.contains("ARCHITECTURE.md"));
    }

    #[test]
    fn a_core_crate_takes_no_runtime() {
        let server = package("deltaic-server", &[("tokio", Kind::Normal), ("axum", Kind::Normal)]);
        let engine = package("deltaic-engine", &[("rand", Kind::Development), ("redb", Kind::Normal)]);
        assert_eq!(
            core_dependencies(&Workspace { packages: vec![server, engine], target: PathBuf::new() }),
            []
        );
        let engine = package("deltaic-engine", &[("rand", Kind::Normal), ("tokio", Kind::Normal)]);
        assert_eq!(core_dependencies(&Workspace { packages: vec![engine], target: PathBuf::new() }).len(), 2);
    }

    #[test]
    fn plans_reach_no_parser_by_any_way() {
        let sql = || package("deltaic-sql", &[("deltaic-query", Kind::Normal), ("sqlparser", Kind::Normal)]);
        let reached = |query: &[(&str, Kind)], others: Vec<Package>| {
            let mut packages = vec![package("deltaic-query", query), sql()];
            packages.extend(others);
            let findings = without_syntax(&Workspace { packages, target: PathBuf::new() });
            findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        assert_eq!(
            reached(&[("thiserror", Kind::Normal), ("sqlparser", Kind::Development)], vec![]),
            [""; 0]
        );
        let direct = reached(&[("sqlparser", Kind::Normal)], vec![]);
        assert!(direct[0].contains("deltaic-query -> sqlparser"), "{direct:?}");
        // A circle of crates, which cargo refuses, ends here too.
        let types = package("deltaic-types", &[("deltaic-sql", Kind::Build)]);
        let indirect = reached(&[("deltaic-types", Kind::Normal)], vec![types]);
        assert_eq!(indirect.len(), 1);
        assert!(
            indirect[0].contains("deltaic-query -> deltaic-types -> deltaic-sql -> sqlparser"),
            "{indirect:?}"
        );
    }

    #[test]
    fn a_library_shows_an_example_that_is_compiled() {
        let workspace = Workspace { packages: vec![package("deltaic-types", &[])], target: PathBuf::new() };
        let readme = |text: &str| File::new("crates/types/README.md", text);
        let library = |text: &str| File::new("crates/types/src/lib.rs", text);
        let good = [
            readme("# types\n```rust\nlet x = 1;\n```\n"),
            library("#![doc = include_str!(\"../README.md\")]\n"),
        ];
        assert_eq!(pages(&workspace, &good), []);
        let bad = [readme("# types\n```sql\nSELECT 1\n```\n"), library("//! Types.\n")];
        assert_eq!(pages(&workspace, &bad).len(), 2);
        assert_eq!(pages(&workspace, &[]).len(), 1);
    }

    #[test]
    fn only_blocks_that_rustdoc_compiles_are_examples() {
        assert!(has_example("```\nx();\n```") && has_example("```rust,no_run\nx();\n```"));
        assert!(
            !has_example("```text\nx\n```") && !has_example("```rust,ignore\nx\n```") && !has_example("none")
        );
    }
}

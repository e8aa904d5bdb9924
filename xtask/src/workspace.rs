//! The workspace as cargo describes it: its packages, what they depend on, what they build.
//!
//! Invariant: nothing here is read from a `Cargo.toml` directly; cargo alone resolves what is inherited.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Failure, cargo, read};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Development,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Relative to the repository's root.
    pub(crate) directory: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) examples: Vec<Example>,
    /// The library's first file, relative to the root; none in a package that only builds programs.
    pub(crate) library: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, without the network: packages outside the workspace are only named.
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        let text = read(&mut cargo(root, &["metadata", "--format-version", "1", "--no-deps"]))?;
        Self::parse(&text)
            .ok_or_else(|| Failure::new("cargo metadata answered in a form that is not understood"))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let root = PathBuf::from(value["workspace_root"].as_str()?);
        let packages = value["packages"].as_array()?.iter().map(|package| parse_package(&root, package));
        let target = PathBuf::from(value["target_directory"].as_str()?);
        Some(Self { packages: packages.collect::<Option<_>>()?, target })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.packages.iter().any(|package| package.name == name)
    }
}

fn parse_package(root: &Path, value: &Value) -> Option<Package> {
    let relative = |path: &Value| {
        let path = Path::new(path.as_str()?);
        Some(path.strip_prefix(root).unwrap_or(path).to_path_buf())
    };
    let mut examples = Vec::new();
    let mut library = None;
    for target in value["targets"].as_array()? {
        let kinds = words(&target["kind"]);
        if kinds.iter().any(|kind| kind == "example") {
            let name = target["name"].as_str()?.to_owned();
            examples.push(Example { name, features: words(&target["required-features"]) });
        } else if kinds.iter().any(|kind| kind == "proc-macro" || kind.ends_with("lib")) {
            library = Some(relative(&target["src_path"])?);
        }
    }
    Some(Package {
        name: value["name"].as_str()?.to_owned(),
        directory: relative(&value["manifest_path"])?.parent()?.to_path_buf(),
        dependencies: value["dependencies"]
            .as_array()?
            .iter()
            .map(parse_dependency)
            .collect::<Option<_>>()?,
        examples,
        library,
    })
}

fn parse_dependency(value: &Value) -> Option<Dependency> {
    let kind = match value["kind"].as_str() {
        None => Kind::Normal,
        Some("dev") => Kind::Development,
        Some(_) => Kind::Build,
    };
    Some(Dependency { name: value["name"].as_str()?.to_owned(), kind })
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().map(Vec::as_slice).unwrap_or_default();
    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Workspace};

    #[test]
    fn packages_are_read_with_kinds_and_relative_places() {
        let workspace = Workspace::parse(
            r#"{"workspace_root": "/r", "target_directory": "/r/target", "packages": [{
                "name": "deltaic-a", "manifest_path": "/r/crates/a/Cargo.toml",
                "dependencies": [{"name": "serde", "kind": null}, {"name": "proptest", "kind": "dev"},
                    {"name": "cc", "kind": "build"}],
                "targets": [{"kind": ["lib"], "name": "a", "src_path": "/r/crates/a/src/lib.rs"},
                    {"kind": ["example"], "name": "tour", "src_path": "/r/crates/a/examples/tour.rs",
                     "required-features": ["x"]}]}]}"#,
        )
        .unwrap();
        let package = &workspace.packages[0];
        assert_eq!(package.directory.to_str(), Some("crates/a"));
        assert_eq!(package.library.as_ref().and_then(|path| path.to_str()), Some("crates/a/src/lib.rs"));
        assert_eq!(package.examples[0].features, ["x"]);
        let kinds: Vec<Kind> = package.dependencies.iter().map(|dependency| dependency.kind).collect();
        assert_eq!(kinds, [Kind::Normal, Kind::Development, Kind::Build]);
        assert!(workspace.has("deltaic-a") && !workspace.has("a"));
    }

    #[test]
    fn an_answer_without_packages_is_not_understood() {
        assert!(Workspace::parse("{}").is_none());
        assert!(Workspace::parse("not JSON").is_none());
    }
}

//! What the README says of allocations, as it stands there.

use std::{io::Write, process::Stdio};

use crate::running::{Directory, Running};

const README: &str = include_str!("../../../../README.md");

/// What stands between two texts, the first time.
#[track_caller]
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start} is not there"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end} is not there")).0
}

#[test]
fn the_allocation_works_as_it_stands_there() {
    let section = between(README, "**Shares that settle themselves.**", "\n**");
    let (statements, query) =
        (between(section, "```sql\n", "```"), between(section, "deltaic watch \"", "\""));
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    let mut child = server.client("sql").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let mut watch = Running::start(server.client("watch").arg(query));
    let given = watch.line_with("training");
    assert!(given.contains(r#"["lab",60,"need training of lab is met at level 80"]"#), "{given}");
    assert!(given.contains(r#"["club",40,"capacity a100 of uni is full at level 160"]"#), "{given}");
}

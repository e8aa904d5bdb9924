//! Rules on any text: lengths, marks of unfinished work, waiting in tests, places outside the repository.
//!
//! Invariant: the words that are looked for are put together at compile time, so that this page does not break
//! its own rules.

use super::source::Code;
use super::{File, Finding};

const MOST_LINES: usize = 1_000;

const UNFINISHED_CODE: [&str; 2] = [concat!("todo", "!("), concat!("unimplemented", "!(")];
const UNFINISHED_WORDS: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const SLEEP: &str = concat!("sleep", "(");
const MACHINE_PLACES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const OUTSIDE: &str = concat!("../sha", "red");

/// A source file is short enough to read in one sitting.
pub(super) fn lengths(files: &[File]) -> Vec<Finding> {
    let sources = files.iter().filter(|file| matches!(file.extension(), "rs" | "js" | "mjs" | "ts"));
    sources
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let message = format!("has {lines} lines, more than {MOST_LINES}: divide it by concept");
            (lines > MOST_LINES).then(|| Finding::new(&file.path, message))
        })
        .collect()
}

/// Nothing in the repository is left for later; what is to do is an issue.
pub(super) fn unfinished(files: &[File]) -> Vec<Finding> {
    find(files, |line| {
        let code = UNFINISHED_CODE.into_iter().filter(|mark| line.contains(mark));
        let words = UNFINISHED_WORDS.into_iter().filter(|mark| has_word(line, mark));
        let marks = code.chain(words);
        marks.map(|mark| format!("`{mark}` marks unfinished work: finish it or make it an issue")).collect()
    })
}

/// A test waits for the thing, never for the time.
pub(super) fn sleeps(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |path: &str, line: usize, code: &str| {
        if code.contains(SLEEP) {
            findings.push(Finding::at(path, line, "a test must not sleep: wait for the thing itself"));
        }
    };
    for file in files {
        let test_file = file.path.starts_with("tests/") || file.path.contains("/tests/");
        if file.is_rust() {
            let source = if test_file { format!("#![cfg(test)] {}", file.text) } else { file.text.clone() };
            Code::new(&source).test_lines().for_each(|(line, code)| add(&file.path, line, code));
        } else if test_file && matches!(file.extension(), "js" | "mjs" | "ts") {
            file.text.lines().enumerate().for_each(|(line, code)| add(&file.path, line + 1, code));
        }
    }
    findings
}

/// Nothing in the repository points outside it.
pub(super) fn places(files: &[File]) -> Vec<Finding> {
    find(files, |line| {
        let machine = MACHINE_PLACES.into_iter().filter(|place| has_absolute(line, place));
        let outside = [OUTSIDE].into_iter().filter(|place| line.contains(place));
        let places = machine.chain(outside);
        places.map(|place| format!("`{place}` is a place outside the repository")).collect()
    })
}

fn find(files: &[File], rule: impl Fn(&str) -> Vec<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (place, line) in file.text.lines().enumerate() {
            let messages = rule(line).into_iter();
            findings.extend(messages.map(|message| Finding::at(&file.path, place + 1, message)));
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let letter = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(letter) && !after.is_some_and(letter)
    })
}

/// Whether the place begins a path, and is not a part of a longer one.
fn has_absolute(line: &str, place: &str) -> bool {
    let inner = |character: char| character.is_alphanumeric() || "_-.*})]>".contains(character);
    line.match_indices(place).any(|(start, _)| !line[..start].chars().next_back().is_some_and(inner))
}

#[cfg(test)]
mod tests {
    use super::{
        MACHINE_PLACES, MOST_LINES, OUTSIDE, SLEEP, UNFINISHED_CODE, UNFINISHED_WORDS, lengths, places,
        sleeps, unfinished,
    };
    use crate::tidy::File;

    #[test]
    fn a_source_of_the_greatest_length_passes_and_one_line_more_does_not() {
        let most = "x\n".repeat(MOST_LINES);
        let more = format!("{most}x\n");
        assert_eq!(lengths(&[File::new("a.rs", &most), File::new("a.csv", &more)]), []);
        assert_eq!(lengths(&[File::new("a.rs", &more), File::new("b.mjs", &more)]).len(), 2);
    }

    #[test]
    fn marks_of_unfinished_work_are_all_found() {
        let text = UNFINISHED_CODE
            .iter()
            .chain(&UNFINISHED_WORDS)
            .fold(String::new(), |text, mark| text + mark + "\n");
        assert_eq!(unfinished(&[File::new("a.md", &text)]).len(), 5);
        let longer = format!("{}X {}ERS todo! shack\n", UNFINISHED_WORDS[1], UNFINISHED_WORDS[2]);
        assert_eq!(unfinished(&[File::new("a.md", &longer)]), []);
    }

    #[test]
    fn a_test_that_sleeps_is_found() {
        let code = format!("fn f() {{ {SLEEP}1); }}\n");
        let bad = [
            File::new("crates/a/tests/b.rs", &code),
            File::new("crates/a/src/c.rs", &format!("#[cfg(test)]\nmod tests {{\n{code}}}\n")),
            File::new("crates/a/tests/browser/d.mjs", &code),
        ];
        let findings = sleeps(&bad);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert_eq!(findings[0].place, "crates/a/tests/b.rs:1");
        let said = format!("// {code}");
        assert_eq!(sleeps(&[File::new("src/a.rs", &code), File::new("tests/b.rs", &said)]), []);
    }

    #[test]
    fn places_outside_are_found_and_parts_of_paths_are_not() {
        let text = MACHINE_PLACES
            .iter()
            .chain(&[OUTSIDE])
            .fold(String::new(), |text, place| text + " " + place + "x\n");
        assert_eq!(places(&[File::new("a.md", &text)]).len(), 4);
        let inside = MACHINE_PLACES.iter().fold(String::new(), |text, place| text + "docs" + place + "\n");
        assert_eq!(places(&[File::new("a.md", &inside)]), []);
    }
}

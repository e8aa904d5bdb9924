//! Rules on Rust sources, which need to tell code from comments, strings and tests.
//!
//! Invariant: masking keeps every line in its place, so that a finding names the line as the author sees it.

use std::collections::BTreeSet;

use super::crates::CORE;
use super::{File, Finding};

/// Words that the core's code may not contain, and what stands in their place.
const FOREIGN: [(&str, &str); 11] = [
    ("time::Instant", "time is an input"),
    ("Instant::now", "time is an input"),
    ("SystemTime", "time is an input"),
    ("std::thread", "one engine is one thread"),
    ("std::net", "sockets belong to `server`"),
    ("tokio", "the runtime belongs to `server`"),
    ("rand::", "random numbers are an input"),
    ("getrandom", "random numbers are an input"),
    ("HashMap", "its order is random: take BTreeMap, or FxHashMap where the order reaches no output"),
    ("HashSet", "its order is random: take BTreeSet, or FxHashSet where the order reaches no output"),
    ("std::env", "settings are an input"),
];

/// The core crates know no clock, thread, socket, random source, environment or hash order.
pub(super) fn core_words(files: &[File]) -> Vec<Finding> {
    let tests = test_modules(files);
    let mut findings = Vec::new();
    for file in
        files.iter().filter(|file| file.is_rust() && in_core(&file.path) && !in_modules(&file.path, &tests))
    {
        let code = Code::new(&file.text);
        for (word, why) in FOREIGN {
            let mut lines: Vec<usize> = Vec::new();
            for (place, line) in code.lines() {
                if contains_word(line, word) {
                    lines.push(place);
                }
            }
            for import in code.imports() {
                let there = lines.iter().any(|line| (import.line..=import.last).contains(line));
                if !there && contains_word(&import.path, word) {
                    lines.push(import.line);
                }
            }
            lines.sort_unstable();
            lines.dedup();
            findings.extend(lines.into_iter().map(|line| {
                Finding::at(&file.path, line, format!("a core crate must not use `{word}`: {why}"))
            }));
        }
    }
    findings
}

/// Every source file says first what it is.
pub(super) fn openings(files: &[File]) -> Vec<Finding> {
    let source =
        |file: &&File| file.is_rust() && (file.path.starts_with("src/") || file.path.contains("/src/"));
    let opens = |file: &File| {
        file.text.starts_with("//!")
            || (file.path.ends_with("/lib.rs") && file.text.starts_with("#![doc = include_str!"))
    };
    let missing = files.iter().filter(source).filter(|file| !opens(file));
    missing
        .map(|file| Finding::at(&file.path, 1, "must open with `//!`: what it is and its invariant"))
        .collect()
}

fn in_core(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts.as_slice(), ["crates", name, "src", ..] if CORE.contains(name))
        && !parts.contains(&"tests")
}

/// The paths, without `.rs`, of modules that are declared for tests only and live in files of their own.
fn test_modules(files: &[File]) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some((directory, name)) = file.path.rsplit_once('/') else { continue };
        let below = match name {
            "lib.rs" | "main.rs" | "mod.rs" => directory.to_owned(),
            _ => file.path.trim_end_matches(".rs").to_owned(),
        };
        let names = Code::new(&file.text).test_files;
        modules.extend(names.into_iter().map(|name| format!("{below}/{name}")));
    }
    modules
}

fn in_modules(path: &str, modules: &BTreeSet<String>) -> bool {
    modules.iter().any(|module| {
        path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

/// Whether the word stands in the line with no letter of a longer name before or after it.
fn contains_word(line: &str, word: &str) -> bool {
    let name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back().is_some_and(name);
        let after = line[start + word.len()..].chars().next().is_some_and(name);
        !before && (!after || !word.ends_with(name))
    })
}

/// One imported path, with the lines its `use` begins and ends in.
#[derive(Debug)]
struct Import {
    line: usize,
    last: usize,
    path: String,
}

/// A source with comments, the insides of strings, and test-only items blanked.
#[derive(Debug)]
pub(super) struct Code {
    text: String,
    tests: String,
    test_files: Vec<String>,
}

impl Code {
    pub(super) fn new(source: &str) -> Self {
        let masked = mask(source);
        let spans = test_spans(&masked);
        let inside = |place: usize| spans.iter().any(|span| (span.start..span.end).contains(&place));
        let keep = |tests: bool| -> String {
            let letters = masked.iter().enumerate();
            letters
                .map(|(place, letter)| if *letter == '\n' || inside(place) == tests { *letter } else { ' ' })
                .collect()
        };
        let test_files = spans.iter().filter_map(|span| span.file.clone()).collect();
        Self { text: keep(false), tests: keep(true), test_files }
    }

    /// Lines of code outside tests, numbered from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(place, line)| (place + 1, line))
    }

    /// Lines of code inside test-only items, numbered from 1.
    pub(super) fn test_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tests.lines().enumerate().map(|(place, line)| (place + 1, line))
    }

    fn imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for (start, _) in self.text.match_indices("use ") {
            let before = self.text[..start].chars().next_back();
            let tree = &self.text[start + 4..];
            let (Some(end), false) =
                (tree.find(';'), before.is_some_and(|c| c.is_alphanumeric() || c == '_'))
            else {
                continue;
            };
            let line = 1 + self.text[..start].matches('\n').count();
            let last = line + tree[..end].matches('\n').count();
            let mut paths = Vec::new();
            expand("", &tree[..end], &mut paths);
            imports.extend(paths.into_iter().map(|path| Import { line, last, path }));
        }
        imports
    }
}

/// Writes out a tree of imports: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        paths.push(format!("{prefix}{name}"));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let mut depth = 0;
    let branches = inner.split(|letter: char| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    for branch in branches.filter(|branch| !branch.trim().is_empty()) {
        expand(&prefix, branch, paths);
    }
}

/// The source's characters with comments and the insides of strings blanked.
fn mask(source: &str) -> Vec<char> {
    let mut letters: Vec<char> = source.chars().collect();
    let mut place = 0;
    while place < letters.len() {
        let end = match (letters[place], letters.get(place + 1)) {
            ('/', Some('/')) => line_end(&letters, place),
            ('/', Some('*')) => comment_end(&letters, place),
            ('"', _) => string_end(&letters, place),
            ('r', Some('"' | '#')) if starts_raw(&letters, place) => raw_end(&letters, place),
            ('\'', Some('\\')) => quote_end(&letters, place + 2),
            ('\'', Some(_)) if letters.get(place + 2) == Some(&'\'') => place + 3,
            _ => {
                place += 1;
                continue;
            }
        };
        for letter in &mut letters[place..end] {
            if *letter != '\n' {
                *letter = ' ';
            }
        }
        place = end;
    }
    letters
}

fn line_end(letters: &[char], start: usize) -> usize {
    letters[start..].iter().position(|letter| *letter == '\n').map_or(letters.len(), |length| start + length)
}

fn comment_end(letters: &[char], start: usize) -> usize {
    let (mut place, mut depth) = (start, 0);
    while place + 1 < letters.len() {
        match (letters[place], letters[place + 1]) {
            ('/', '*') => (place, depth) = (place + 2, depth + 1),
            ('*', '/') if depth == 1 => return place + 2,
            ('*', '/') => (place, depth) = (place + 2, depth - 1),
            _ => place += 1,
        }
    }
    letters.len()
}

fn string_end(letters: &[char], start: usize) -> usize {
    let mut place = start + 1;
    while place < letters.len() {
        match letters[place] {
            '\\' => place += 2,
            '"' => return place + 1,
            _ => place += 1,
        }
    }
    letters.len()
}

/// The end of a character literal whose escaped letter is at `start`.
fn quote_end(letters: &[char], start: usize) -> usize {
    let after = letters.iter().skip(start + 1).position(|letter| *letter == '\'');
    after.map_or(letters.len(), |length| start + length + 2)
}

fn starts_raw(letters: &[char], start: usize) -> bool {
    let hashes = letters[start + 1..].iter().take_while(|letter| **letter == '#').count();
    let name = |place: usize| letters[place].is_alphanumeric() || letters[place] == '_';
    // `br"` and `cr"` are raw strings, `for"` is not.
    let inside_name = start > 0
        && name(start - 1)
        && (!matches!(letters[start - 1], 'b' | 'c') || start > 1 && name(start - 2));
    letters.get(start + 1 + hashes) == Some(&'"') && !inside_name
}

fn raw_end(letters: &[char], start: usize) -> usize {
    let hashes = letters[start + 1..].iter().take_while(|letter| **letter == '#').count();
    let mut place = start + hashes + 2;
    while place < letters.len() {
        let closing = &letters[place + 1..];
        if letters[place] == '"'
            && closing.len() >= hashes
            && closing[..hashes].iter().all(|letter| *letter == '#')
        {
            return place + 1 + hashes;
        }
        place += 1;
    }
    letters.len()
}

/// A test-only item, and the module's name where its body is a file of its own.
#[derive(Debug)]
struct Span {
    start: usize,
    end: usize,
    file: Option<String>,
}

fn test_spans(letters: &[char]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut place = 0;
    while place < letters.len() {
        if letters[place] != '#' {
            place += 1;
            continue;
        }
        let whole = letters.get(place + 1) == Some(&'!');
        let open = place + 1 + usize::from(whole);
        if letters.get(open) != Some(&'[') {
            place += 1;
            continue;
        }
        let close = matching(letters, open);
        let attribute: String =
            letters[open..close].iter().filter(|letter| !letter.is_whitespace()).collect();
        if !attribute.starts_with("[cfg(test)") && !attribute.starts_with("[cfg(all(test") {
            place = close;
            continue;
        }
        if whole {
            return vec![Span { start: 0, end: letters.len(), file: None }];
        }
        let span = item(letters, place, close);
        place = span.end;
        spans.push(span);
    }
    spans
}

/// The item after an attribute: up to its `;`, or to the end of its block.
fn item(letters: &[char], start: usize, after: usize) -> Span {
    let mut place = after;
    while place < letters.len() {
        match letters[place] {
            '[' | '(' => place = matching(letters, place),
            '{' => return Span { start, end: matching(letters, place), file: None },
            ';' => {
                let words: String = letters[after..place].iter().collect();
                let mut words = words.split_whitespace().rev();
                let name = words.next().map(str::to_owned);
                let file = name.filter(|_| words.next() == Some("mod"));
                return Span { start, end: place + 1, file };
            }
            _ => place += 1,
        }
    }
    Span { start, end: letters.len(), file: None }
}

/// The place after the bracket that closes the one at `open`.
fn matching(letters: &[char], open: usize) -> usize {
    let mut depth = 0;
    for (place, letter) in letters.iter().enumerate().skip(open) {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 1 => return place + 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    letters.len()
}

#[cfg(test)]
mod tests {
    use super::{Code, core_words, openings};
    use crate::tidy::File;

    fn found(source: &str) -> Vec<String> {
        let file = File::new("crates/engine/src/commit.rs", source);
        core_words(&[file]).into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn foreign_words_are_found_in_code() {
        let source = "use std::{time::{Duration, Instant}, thread};\n\
                      use std::collections::{\n    HashMap,\n};\n\
                      fn f() -> u64 { rand::random() }\n\
                      async fn g() { tokio::spawn(h()); }\n";
        let places = found(source);
        let expected = [1, 1, 3, 5, 6].map(|line| format!("crates/engine/src/commit.rs:{line}"));
        let mut sorted = places.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn comments_strings_tests_and_longer_names_are_not_code() {
        let source = "// std::thread\n/* tokio /* nested */ std::net */\n\
                      use rustc_hash::FxHashMap;\n\
                      const A: &str = \"std::env\";\nconst B: &str = r#\"a \" tokio\"#;\n\
                      const C: char = '\"'; const D: char = '\\''; fn f<'a>(operand::x: &'a u8) {}\n\
                      #[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}\n\
                      #[cfg(test)]\nuse std::time::Instant;\n";
        assert_eq!(found(source), Vec::<String>::new());
    }

    #[test]
    fn code_after_a_test_item_counts_again() {
        assert_eq!(found("#[cfg(test)]\nfn f() { g(); }\nfn h() { std::thread::park(); }\n").len(), 1);
        assert_eq!(found("#![cfg(test)]\nfn h() { std::thread::park(); }\n").len(), 0);
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_a_test() {
        let text = "fn f() { std::thread::park(); }\n";
        let library = File::new("crates/query/src/lib.rs", "#[cfg(test)]\nmod oracle;\nmod plan;\n");
        let oracle = File::new("crates/query/src/oracle/rows.rs", text);
        let plan = File::new("crates/query/src/plan.rs", text);
        let server = File::new("crates/server/src/lib.rs", text);
        let findings = core_words(&[library, oracle, plan, server]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].place, "crates/query/src/plan.rs:1");
    }

    #[test]
    fn a_file_opens_with_its_page() {
        let good = [
            File::new("crates/a/src/b.rs", "//! B.\n"),
            File::new("crates/a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"),
            File::new("crates/a/tests/c.rs", "fn c() {}\n"),
        ];
        assert_eq!(openings(&good), []);
        let bad = [
            File::new("crates/a/src/b.rs", "use x;\n"),
            File::new("crates/a/src/c.rs", "#![doc = include_str!(\"../README.md\")]\n"),
        ];
        assert_eq!(openings(&bad).len(), 2);
    }

    #[test]
    fn lines_of_tests_keep_their_numbers() {
        let code = Code::new("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
        let lines: Vec<usize> =
            code.test_lines().filter(|(_, line)| line.contains("fn")).map(|(place, _)| place).collect();
        assert_eq!(lines, [4]);
    }
}

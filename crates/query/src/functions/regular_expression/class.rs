//! Sets of characters: POSIX classes, ranges and their case variants.
//!
//! Invariant: membership and case are those of the recorded [`tables`](super::tables), never of a Unicode
//! library; a code point that no text can hold (a surrogate, or beyond U+10FFFF) is in no set.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::tables;

/// A run of code points, and how far away their other case is.
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) step: u32,
    distance: i64,
}

/// The runs of a table; a word that is none would be left out, which a test of the tables excludes.
pub(super) fn runs(table: &'static str) -> impl Iterator<Item = Run> {
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    table.split_ascii_whitespace().filter_map(move |word| {
        let (word, distance) = match (word.split_once('+'), word.split_once('~')) {
            (Some((word, distance)), _) => (word, i64::from(number(distance)?)),
            (_, Some((word, distance))) => (word, -i64::from(number(distance)?)),
            _ => (word, 0),
        };
        let (word, step) = word.split_once('/').map_or((word, 1), |(word, _)| (word, 2));
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some(Run { first: number(first)?, last: number(last)?, step, distance })
    })
}

/// Adds the code points from `first` to `last` that are characters.
fn add(set: &mut ClassUnicode, first: u32, last: u32) {
    let first = if (0xD800..0xE000).contains(&first) { 0xE000 } else { first };
    let last = if (0xD800..0xE000).contains(&last) { 0xD7FF } else { last.min(0x0010_FFFF) };
    if let (Some(first), Some(last)) = (char::from_u32(first), char::from_u32(last))
        && first <= last
    {
        set.push(ClassUnicodeRange::new(first, last));
    }
}

fn add_table(set: &mut ClassUnicode, table: &'static str) {
    for run in runs(table) {
        if run.step == 1 {
            add(set, run.first, run.last);
        } else {
            (run.first..=run.last).step_by(2).for_each(|c| add(set, c, c));
        }
    }
}

/// The other case of each character from `first` to `last` that has one.
fn add_other_case(set: &mut ClassUnicode, table: &'static str, first: u32, last: u32) {
    for run in runs(table).filter(|run| run.first <= last && run.last >= first) {
        let from = first.max(run.first);
        let from = from + (from - run.first) % run.step;
        let to = last.min(run.last);
        let other = |c: u32| u32::try_from(i64::from(c) + run.distance).unwrap_or(u32::MAX);
        if from > to {
            continue;
        }
        if run.step == 1 {
            add(set, other(from), other(to));
        } else {
            (from..=to).step_by(2).for_each(|c| add(set, other(c), other(c)));
        }
    }
}

/// One character. Without regard to case these are its lower and its upper case alone: the title case of
/// U+01C5 does not match itself, as in `PostgreSQL`.
pub(super) fn character(c: u32, ignore_case: bool) -> ClassUnicode {
    let mut set = ClassUnicode::empty();
    if !ignore_case {
        add(&mut set, c, c);
        return set;
    }
    for table in [tables::TO_LOWER, tables::TO_UPPER] {
        let mut other = ClassUnicode::empty();
        add_other_case(&mut other, table, c, c);
        if other.ranges().is_empty() {
            add(&mut other, c, c);
        }
        set.union(&other);
    }
    set
}

/// The characters from `first` to `last`; without regard to case their variants too.
pub(super) fn range(first: u32, last: u32, ignore_case: bool) -> ClassUnicode {
    let mut set = ClassUnicode::empty();
    add(&mut set, first, last);
    if ignore_case {
        add_other_case(&mut set, tables::TO_LOWER, first, last);
        add_other_case(&mut set, tables::TO_UPPER, first, last);
    }
    set
}

/// A POSIX class by its name, or None if there is none.
pub(super) fn named(name: &str, ignore_case: bool) -> Option<ClassUnicode> {
    let mut set = ClassUnicode::empty();
    match name {
        "lower" | "upper" if ignore_case => add_table(&mut set, tables::ALPHA),
        "lower" => add_table(&mut set, tables::LOWER),
        "upper" => add_table(&mut set, tables::UPPER),
        "alpha" => add_table(&mut set, tables::ALPHA),
        "punct" => add_table(&mut set, tables::PUNCTUATION),
        "space" => add_table(&mut set, tables::SPACE),
        "digit" => add(&mut set, 0x30, 0x39),
        "ascii" => add(&mut set, 0, 0x7F),
        "blank" => ['\t', ' '].into_iter().for_each(|c| add(&mut set, c.into(), c.into())),
        "cntrl" => [(0, 0x1F), (0x7F, 0x9F)].into_iter().for_each(|(a, b)| add(&mut set, a, b)),
        "xdigit" => [('0', '9'), ('A', 'F'), ('a', 'f')]
            .into_iter()
            .for_each(|(first, last)| add(&mut set, first.into(), last.into())),
        "alnum" | "word" | "graph" | "print" => {
            add_table(&mut set, tables::ALPHA);
            add(&mut set, 0x30, 0x39);
            match name {
                "word" => add(&mut set, 0x5F, 0x5F),
                "graph" | "print" => add_table(&mut set, tables::PUNCTUATION),
                _ => {}
            }
            if name == "print" {
                // The blanks of all scripts, but neither tabs nor the separators of lines.
                let mut blank = ClassUnicode::empty();
                add_table(&mut blank, tables::SPACE);
                let mut separators = ClassUnicode::empty();
                add(&mut separators, 0x09, 0x0D);
                add(&mut separators, 0x2028, 0x2029);
                blank.difference(&separators);
                set.union(&blank);
            }
        }
        _ => return None,
    }
    Some(set)
}

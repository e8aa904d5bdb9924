//! Regular expressions against their own limits, and their tables. What PostgreSQL answers is asked in SQL, by the
//! tests of `deltaic-sql`.

use proptest::prelude::*;

use deltaic_types::EvalError;

use super::{Expression, Purpose, Work, class, tables};

/// A word of a table that could not be read would be left out, so the number of characters is checked.
#[test]
fn tables_are_whole() {
    for (name, size) in [
        ("alpha", 134_046),
        ("alnum", 134_056),
        ("word", 134_057),
        ("punct", 148_093),
        ("graph", 282_149),
        ("print", 282_163),
        ("lower", 2_475),
        ("upper", 1_982),
        ("space", 21),
        ("blank", 2),
        ("digit", 10),
        ("xdigit", 22),
        // The server cannot be asked about U+0000.
        ("cntrl", 65),
        ("ascii", 128),
    ] {
        let set = class::named(name, false).unwrap();
        let found: usize = set.iter().map(|range| range.end() as usize - range.start() as usize + 1).sum();
        assert_eq!(found, size, "{name}");
    }
    for (table, size) in [(tables::TO_LOWER, LOWERED), (tables::TO_UPPER, RAISED)] {
        assert_eq!(class::runs(table).map(|run| (run.last - run.first) / run.step + 1).sum::<u32>(), size);
    }
}

const LOWERED: u32 = 1_433;
const RAISED: u32 = 1_450;

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "é",
        "(",
        ")",
        "(?:",
        "[",
        "]",
        "[^",
        "-",
        "|",
        "*",
        "+",
        "?",
        "{",
        "}",
        "{1,2}",
        "{0}",
        "{2",
        ",",
        "^",
        "$",
        ".",
        "\\",
        "\\w",
        "\\d",
        "\\1",
        "\\x",
        "\\u00e9",
        "[[:alpha:]]",
        "[:",
        ":]",
        "(?#",
        "(?i)",
        "***",
        "(?=",
        "&&",
        "~~",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Any pattern is read or refused, whatever is asked of it, and what all purposes say agrees.
    #[test]
    fn random_patterns_never_panic(pieces in prop::collection::vec(piece(), 0..16), text in "[abé-]{0,6}") {
        let pattern = pieces.concat();
        for ignore_case in [false, true] {
            let Ok(test) = Expression::read(&pattern, ignore_case, Purpose::Test) else { continue };
            let Ok(groups) = Expression::read(&pattern, ignore_case, Purpose::Groups) else { continue };
            let work = Work::on(&text);
            let found = groups.find(&text, 0, &work).unwrap();
            prop_assert_eq!(test.is_match(&text), found.is_some());
            let Some(found) = found else { continue };
            let parts = groups.divide(&text, found.clone(), &work).unwrap();
            prop_assert_eq!(parts[0].clone(), Some(found.clone()));
            for part in parts.into_iter().flatten() {
                prop_assert!(found.start <= part.start && part.start <= part.end && part.end <= found.end);
                prop_assert!(text.get(part).is_some());
            }
        }
    }
}

#[test]
fn looking_ahead_from_everywhere_is_bounded() {
    let long = "a".repeat(100_000);
    for pattern in ["a*?", "a*b|a", "(a|ab)*c|a", "(a)*?"] {
        let expression = Expression::read(pattern, false, Purpose::Groups).unwrap();
        let work = Work::on(&long);
        let mut from = 0;
        let refused = loop {
            match expression.find(&long, from, &work) {
                Ok(Some(found)) => from = found.end + usize::from(found.is_empty()),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
            if from > long.len() {
                break None;
            }
        };
        assert_eq!(refused, Some(EvalError::TooMuchWork), "{pattern}");
    }
    // What looks at each place a few times is done, however long the text.
    let long = "one two  three\n".repeat(100_000);
    for (pattern, count) in [("[[:space:]]+", 300_000), ("t[a-z]*", 200_000), ("e|w", 400_000)] {
        let expression = Expression::read(pattern, false, Purpose::Extent).unwrap();
        let (work, mut from, mut found) = (Work::on(&long), 0, 0);
        while let Some(range) = expression.find(&long, from, &work).unwrap() {
            (from, found) = (range.end, found + 1);
        }
        assert_eq!(found, count, "{pattern}");
    }
}

//! Regular expressions against what `PostgreSQL` 15 answers, and against their own limits.
//!
//! The answers were recorded from a server (database in UTF-8, locale C.UTF-8), each as the text of the value
//! or as `ERROR` and the code.

use proptest::prelude::*;

use deltaic_types::EvalError;

use super::{Expression, Purpose, Work, class, tables};
use crate::functions::tests::answer;

#[test]
fn answers_are_those_of_postgresql() {
    let mut wrong = Vec::new();
    for (expression, text) in ANSWERS {
        let (_, found) = answer(expression);
        if found != *text {
            wrong.push(format!("{expression}: {found}, not {text}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ANSWERS.len(), wrong.join("\n"));
}

#[test]
fn what_cannot_be_had_is_refused() {
    for pattern in [
        r"(a)\1",
        r"(a)(b)\2",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!a)",
        r"\ma",
        r"a\M",
        r"\ya",
        r"\Ya",
        "[[:<:]]a",
        "a[[:>:]]",
        "[[.a.]]",
        "[[=a=]]",
        "[a-[.c.]]",
        "***=a",
        "***:a",
        "(?x)a",
        "(?n)a",
        "(?q)a",
        "(?in)a",
        r"(\w{200}){200}",
    ] {
        assert_eq!(answer(&format!("'a' ~ '{pattern}'")).1, "ERROR 0A000", "{pattern}");
    }
    let long = "a".repeat(8193);
    let deep = format!("{}a{}", "(".repeat(65), ")".repeat(65));
    let many = r"\w".repeat(100);
    let groups = "(a)".repeat(1000);
    for pattern in [long, deep, many] {
        assert_eq!(answer(&format!("'a' ~ '{pattern}'")).1, "ERROR 0A000", "{} characters", pattern.len());
    }
    for expression in [
        format!("substring('a' from '{groups}')"),
        "substring('aaa' from '(a){0,2}')".to_owned(),
        "regexp_replace('a', 'a', 'b', 'n')".to_owned(),
        "substring('a' from 'a' for '#')".to_owned(),
        "substring('a', 'a', '#')".to_owned(),
    ] {
        assert_eq!(answer(&expression).1, "ERROR 0A000", "{expression}");
    }
}

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

#[rustfmt::skip]
const ANSWERS: &[(&str, &str)] = &[
    ("'é' ~ '^[[:alpha:]]$'", "true"),
    ("'1' ~ '^[[:alpha:]]$'", "false"),
    ("'١' ~ '^[[:alpha:]]$'", "true"),
    ("'中' ~ '^[[:alpha:]]$'", "true"),
    ("'a' ~ '[a&&b]'", "true"),
    ("'&' ~ '[a&&b]'", "true"),
    ("'c' ~ '[a&&b]'", "false"),
    ("'a' ~ '[a--b]'", "ERROR 2201B"),
    ("',' ~ '[+--]'", "true"),
    ("'a' ~ '[+--]'", "false"),
    ("'~' ~ '[a~~b]'", "true"),
    ("'[' ~ '[[a]'", "true"),
    ("'a' ~ '[[a]'", "true"),
    ("']' ~ '[]a]'", "true"),
    ("'b' ~ '[]a]'", "false"),
    ("']' ~ '[^]a]'", "false"),
    ("'b' ~ '[^]a]'", "true"),
    ("'-' ~ '[-a]'", "true"),
    ("'-' ~ '[a-]'", "true"),
    ("'b' ~ '[a-]'", "false"),
    ("'-' ~ '[^-a]'", "false"),
    ("'b' ~ '[^-a]'", "true"),
    ("'d' ~ '[a-c-e]'", "ERROR 2201B"),
    ("'a' ~ '[b-a]'", "ERROR 2201B"),
    ("',' ~ '[!--]'", "true"),
    ("'١' ~ '\\d'", "false"),
    ("'1' ~ '\\d'", "true"),
    ("'\u{a0}' ~ '\\s'", "false"),
    ("'\u{3000}' ~ '\\s'", "true"),
    ("' ' ~ '\\s'", "true"),
    ("'_' ~ '\\w'", "true"),
    ("'é' ~ '\\w'", "true"),
    ("'-' ~ '\\w'", "false"),
    ("'\u{301}' ~ '\\w'", "false"),
    ("'١' ~ '\\D'", "true"),
    ("'5' ~ '\\D'", "false"),
    ("'é' ~ '\\W'", "false"),
    ("'-' ~ '\\W'", "true"),
    ("'\u{a0}' ~ '\\S'", "true"),
    ("' ' ~ '\\S'", "false"),
    ("'5' ~ '[\\d]'", "true"),
    ("'-' ~ '[\\w-]'", "true"),
    ("'5' ~ '[^\\d]'", "false"),
    ("'a' ~ '[^\\d]'", "true"),
    ("'5' ~ '[\\D]'", "false"),
    ("'_' ~ '[\\W_]'", "true"),
    ("'a' ~ '[\\W_]'", "false"),
    ("'a' ~ '[a-\\d]'", "ERROR 2201B"),
    ("'a' ~ '[\\A]'", "ERROR 2201B"),
    ("'word1' ~ '\\bword'", "false"),
    ("'\u{8}word' ~ '\\bword'", "true"),
    ("'x' ~ '[[:foo:]]'", "ERROR 2201B"),
    ("'x' ~ '[[:alpha:'", "ERROR 2201B"),
    ("'x' ~ '\\p{L}'", "ERROR 2201B"),
    ("'q' ~ '\\q'", "ERROR 2201B"),
    ("'a' ~ 'a\\'", "ERROR 2201B"),
    ("'ſ' ~* 's'", "false"),
    ("'S' ~* 'ſ'", "true"),
    ("'s' ~* 'ſ'", "false"),
    ("'ſ' ~* 'ſ'", "true"),
    ("'ǅ' ~* 'ǅ'", "false"),
    ("'ǆ' ~* 'ǅ'", "true"),
    ("'é' ~* 'É'", "true"),
    ("'É' ~* '[à-ü]'", "true"),
    ("'\u{212a}' ~* 'k'", "false"),
    ("'ẞ' ~* 'ß'", "false"),
    ("'a' ~* '[[:upper:]]'", "true"),
    ("'A' ~* '(?c)a'", "false"),
    ("'A' ~ '(?i)a'", "true"),
    ("'a' ~ '(?z)a'", "ERROR 2201B"),
    ("'a' ~ '(?ia'", "ERROR 2201B"),
    ("'a\nb' ~ '(?s)a.b'", "true"),
    ("'A' !~* 'a'", "false"),
    ("'A' !~ 'a'", "true"),
    ("'a\nb' ~ 'a.b'", "true"),
    ("'a\nb' ~ '^b'", "false"),
    ("'a\nb' ~ 'a$'", "false"),
    ("'ba' ~ 'a$'", "true"),
    ("'ab' ~ '\\Ab'", "false"),
    ("'ab' ~ 'b\\Z'", "true"),
    ("'a' ~ '^*'", "ERROR 2201B"),
    ("'ba' ~ '(^)*a'", "true"),
    ("'a^b' ~ 'a^b'", "false"),
    ("'' ~ '$'", "true"),
    ("'a' ~ 'a**'", "ERROR 2201B"),
    ("'a' ~ 'a+*'", "ERROR 2201B"),
    ("'a' ~ '*a'", "ERROR 2201B"),
    ("'+' ~ '+'", "ERROR 2201B"),
    ("'a' ~ '(*a)'", "ERROR 2201B"),
    ("'b' ~ 'a|*b'", "ERROR 2201B"),
    ("'aa' ~ 'a{1}{2}'", "ERROR 2201B"),
    ("'a' ~ '{1}'", "ERROR 2201B"),
    ("'a' ~ 'a{256}'", "ERROR 2201B"),
    ("'aa' ~ 'a{2,1}'", "ERROR 2201B"),
    ("'a' ~ 'a{1'", "ERROR 2201B"),
    ("'a' ~ 'a{1,x}'", "ERROR 2201B"),
    ("'aa' ~ '^a{2}$'", "true"),
    ("'a' ~ '^a{2}$'", "false"),
    ("'aaa' ~ '^a{2,}$'", "true"),
    ("'a' ~ '^a{2,}$'", "false"),
    ("'aa' ~ '^a{1,2}$'", "true"),
    ("'aaa' ~ '^a{1,2}$'", "false"),
    ("'a{,2}' ~ '^a{,2}$'", "true"),
    ("'aa' ~ '^a{,2}$'", "false"),
    ("'a{' ~ 'a{'", "true"),
    ("'b' ~ '^a{0}b$'", "true"),
    ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' ~ '^a{255}$'", "true"),
    ("'b' ~ 'a{0,}'", "true"),
    ("'{' ~ '{'", "true"),
    ("'a' ~ '(a'", "ERROR 2201B"),
    ("'a' ~ 'a)'", "ERROR 2201B"),
    ("'a' ~ ')'", "ERROR 2201B"),
    ("'a' ~ '()'", "true"),
    ("'x' ~ 'a||b'", "true"),
    ("'x' ~ '|a'", "true"),
    ("'x' ~ ''", "true"),
    ("'bc' ~ '(?:a|b)c'", "true"),
    ("'a' ~ '(?>a)'", "ERROR 2201B"),
    ("'a' ~ '(?P<n>a)'", "ERROR 2201B"),
    ("'aa' ~ 'a(?#remark)*$'", "true"),
    ("'a' ~ '[a'", "ERROR 2201B"),
    ("'a' ~ '[]'", "ERROR 2201B"),
    ("'A' ~ '\\x41'", "true"),
    ("'a' ~ '\\x'", "ERROR 2201B"),
    ("'A' ~ '\\u0041'", "true"),
    ("'A' ~ '\\u41'", "ERROR 2201B"),
    ("'A' ~ '\\U00000041'", "true"),
    ("'A' ~ '\\101'", "true"),
    ("'A' ~ '\\0101'", "false"),
    ("'\u{7}' ~ '\\07'", "true"),
    ("'9' ~ '\\89'", "ERROR 2201B"),
    ("'a\n' ~ '(a)\\12'", "true"),
    ("'a' ~ '\\1'", "ERROR 2201B"),
    ("'\t\n\r\u{c}\u{b}' ~ '\\t\\n\\r\\f\\v'", "true"),
    ("'\u{7}\u{1b}' ~ '\\a\\e'", "true"),
    ("'\u{1}' ~ '\\cA'", "true"),
    ("'\\' ~ '\\B'", "true"),
    ("'\\' ~ '\\\\'", "true"),
    ("'.' ~ '\\.'", "true"),
    ("'a' ~ '\\.'", "false"),
    ("'é' ~ '\\é'", "true"),
    ("'_' ~ '\\_'", "true"),
    ("'￱' ~ '\\xfff1'", "true"),
    ("'a' ~ '\\ud800'", "false"),
    ("'ÿ' ~ '\\377'", "true"),
    ("' 0' ~ '\\400'", "true"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:alnum:]]', '', 'g')", "²_ \t\u{a0}\u{2028}\u{ad}\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:alpha:]]', '', 'g')", "5²_ \t\u{a0}\u{2028}\u{ad}\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:ascii:]]', '', 'g')", "é١²\u{a0}\u{2028}\u{ad}中ʰǅ€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:blank:]]', '', 'g')", "aZé5١²_\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:cntrl:]]', '', 'g')", "aZé5١²_ \u{a0}\u{2028}\u{ad}中ʰǅ!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:digit:]]', '', 'g')", "aZé١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:graph:]]', '', 'g')", " \t\u{2028}\u{7f}"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:lower:]]', '', 'g')", "Z5١²_ \t\u{a0}\u{2028}\u{ad}中\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:print:]]', '', 'g')", "\t\u{2028}\u{7f}"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:punct:]]', '', 'g')", "aZé5١ \t\u{2028}中ʰǅ\u{7f}"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:space:]]', '', 'g')", "aZé5١²_\u{a0}\u{ad}中ʰǅ\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:upper:]]', '', 'g')", "aé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰ\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:word:]]', '', 'g')", "² \t\u{a0}\u{2028}\u{ad}\u{7f}!€"),
    ("regexp_replace('aZé5١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€', '[[:xdigit:]]', '', 'g')", "Zé١²_ \t\u{a0}\u{2028}\u{ad}中ʰǅ\u{7f}!€"),
    ("regexp_replace('foo', '(o)', '<\\0>')", "f<\\0>o"),
    ("regexp_replace('abcd', 'a|ab', 'X')", "Xcd"),
    ("regexp_replace('aaa', 'a*', 'x', 'g')", "xx"),
    ("regexp_replace('baac', 'a*', 'x', 'g')", "xbxxcx"),
    ("regexp_replace('abc', '', '-', 'g')", "-a-b-c-"),
    ("regexp_replace('abc', 'b', '<\\&>')", "a<b>c"),
    ("regexp_replace('abc', 'b', '\\\\')", "a\\c"),
    ("regexp_replace('abc', 'b', '\\')", "a\\c"),
    ("regexp_replace('abc', 'b', '\\q')", "a\\qc"),
    ("regexp_replace('abc', '(b)', '\\1\\2\\9')", "abc"),
    ("regexp_replace('foobar', 'o', '0')", "f0obar"),
    ("regexp_replace('foobar', 'o', '0', 'g')", "f00bar"),
    ("regexp_replace('FOO', 'o', '0', 'gi')", "F00"),
    ("regexp_replace('FOO', 'o', '0', 'ic')", "FOO"),
    ("regexp_replace('FOO', 'o', '0', 'z')", "ERROR 22023"),
    ("regexp_replace('abc', '$', '!', 'g')", "abc!"),
    ("regexp_replace('abc', '^', '!', 'g')", "!abc"),
    ("regexp_replace('aXbX', '^a|X$', '', 'g')", "Xb"),
    ("regexp_replace('äöü', '', '|', 'g')", "|ä|ö|ü|"),
    ("regexp_replace('<b>x</b>', '<.*?>', '', 'g')", "x"),
    ("regexp_replace('<b>x</b>', '<.*>', '', 'g')", ""),
    ("regexp_replace('xaaax', 'a+?', '-')", "x-aax"),
    ("regexp_replace('xyz', 'y??', '-', 'g')", "-x-y-z-"),
    ("regexp_replace('aaab', 'a*?b', '-')", "-"),
    ("regexp_replace('abab', '(?:a|ab)(?:c|b)*?', '-')", "-ab"),
    ("regexp_replace('aabb', 'a*b*?', '-')", "-"),
    ("regexp_replace('aabb', 'a*?b*', '-')", "-aabb"),
    ("regexp_replace('abcd', '(a|ab)(c|bcd)(d*)', '[\\1][\\2][\\3]')", "[ab][c][d]"),
    ("regexp_replace('foobarbaz', 'b(..)', 'X\\1Y', 'g')", "fooXarYXazY"),
    ("regexp_replace('2024-02-29', '(\\d+)-(\\d+)-(\\d+)', '\\3.\\2.\\1')", "29.02.2024"),
    ("regexp_replace('ab', '(?:(a)|b)*', '<\\1>')", "<>"),
    ("regexp_replace('abab', '(a|ab)(ba|b)?', '<\\1,\\2>', 'g')", "<a,ba>b"),
    ("regexp_replace('aaa', '(a*)+', '<\\1>')", "<>"),
    ("regexp_replace('aaa', '(a*)*', '<\\1>')", "<aaa>"),
    ("regexp_replace('aaa', '(a)*', '<\\1>')", "<a>"),
    ("regexp_replace('aab', '(a*?)(a*)b', '<\\1,\\2>')", "<,aa>"),
    ("regexp_replace('aab', '(a*)(a*?)b', '<\\1,\\2>')", "<aa,>"),
    ("regexp_replace('abc', '((a)(b))c', '\\3\\2\\1')", "baab"),
    ("regexp_replace('abc', '((((a))))', '<\\1\\2\\3\\4>')", "<aaaa>bc"),
    ("regexp_replace('xyx', '(x)|(y)', '<\\1|\\2>', 'g')", "<x|><|y><x|>"),
    ("regexp_replace('aabab', '(a+b){2}', '<\\1>')", "<ab>"),
    ("regexp_replace('foo bar', '(\\w+) (\\w+)', '\\2 \\1')", "bar foo"),
    ("regexp_replace('aaaa', '(a{1,2}?)(a*)', '<\\1|\\2>')", "<a|>aaa"),
    ("regexp_replace('abcabc', '(a(b)?c)+', '<\\2>')", "<b>"),
    ("regexp_replace('acabc', '(a(b)?c)+', '<\\2>')", "<b>"),
    ("regexp_replace('abcac', '(a(b)?c)+', '<\\2>')", "<>"),
    ("regexp_replace('bba', '(b){1,1}?b?', 'x')", "xba"),
    ("substring('foobar' from 'o.b')", "oob"),
    ("substring('foobar' from 'o(.)b')", "o"),
    ("substring('foobar' from '(x)?foo')", "NULL"),
    ("substring('foobar' from 'x')", "NULL"),
    ("substring('foobar' from '(o)|(b)')", "o"),
    ("substring('x' from '(b*)?')", ""),
    ("substring('x' from '(b)?')", "NULL"),
    ("substring('x' from '(b??)?')", "NULL"),
    ("substring('foobar' from '(?:o)(b)')", "b"),
    ("substring('abc' from 'b|bc')", "bc"),
    ("substring('a' from '(')", "ERROR 2201B"),
    ("substring('foobar' from '')", ""),
    ("substring('foobar', 'o.b')", "oob"),
    ("substring('foobar', 'o(.)b')", "o"),
    ("substring('foobar', NULL)", "NULL"),
    ("substring(NULL, 'o')", "NULL"),
    ("substring('foobar', 2)", "oobar"),
    ("substring('foobar', 2, 3)", "oob"),
    ("regexp_replace(NULL, 'a', 'b')", "NULL"),
    ("regexp_replace('a', NULL, 'b')", "NULL"),
    ("'a' ~ NULL", "NULL"),
    ("substring('foobar' from 2)", "oobar"),
    ("substring('123', '2')", "2"),
];

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

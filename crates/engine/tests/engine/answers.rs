//! Queries against PostgreSQL's answers, asked once and kept live through changes.
//!
//! `answers/*.sql` are the tables; `answers/*.answers` were recorded from PostgreSQL 15 (database in C.UTF-8, time
//! zone UTC) with `psql -XAtq -F '|' -P null=NULL`: the query, four dashes, the rows. Numerics are compared without
//! trailing zeros.

use std::collections::BTreeMap;

use crate::{
    common::{Db, text},
    kept::take,
};

/// A row's text as the recorded ones are: truth as a letter; numerics in their shortest form.
fn normal(row: &str) -> String {
    let value = |text: &str| match text.split_once('.') {
        Some((whole, fraction))
            if whole.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit())
                && !fraction.is_empty()
                && fraction.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        _ if text == "true" || text == "false" => text[..1].to_owned(),
        _ => text.to_owned(),
    };
    row.split('|').map(value).collect::<Vec<_>>().join("|")
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// Asks each query and keeps it live while the statements run; after each, live is what asking gives; where all
/// statements together change nothing, the answer is the recorded one again.
fn compare<S: AsRef<str>>(tables: &[String], answers: &str, statements: &[S]) {
    let mut db = Db::new();
    for statement in tables {
        db.ok(statement);
    }
    let recorded: Vec<(&str, Vec<String>)> = answers
        .split("\n\n")
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (query, rows) = part.trim_start_matches('\n').split_once("\n----").unwrap();
            (query, rows.trim_start_matches('\n').lines().map(normal).collect())
        })
        .collect();
    let mut live: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, (query, expected)) in recorded.iter().enumerate() {
        let found: Vec<String> = match db.run(query, &[]) {
            Ok(outcome) => outcome.rows.iter().map(|row| normal(&text(row))).collect(),
            Err(error) => vec![format!("ERROR {error}")],
        };
        if found != *expected {
            wrong.push(format!("{query}\n  found    {found:?}\n  recorded {expected:?}"));
            continue;
        }
        let rows = live.entry(number as u64).or_default();
        for got in db.subscribe(number as u64, query) {
            take(rows, &got);
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), recorded.len(), wrong.join("\n"));
    for statement in statements.iter().map(AsRef::as_ref) {
        db.ok(statement);
        for (subscription, got) in db.read() {
            take(live.get_mut(&subscription).unwrap(), &got);
        }
        for (number, rows) in &live {
            let query = recorded[*number as usize].0;
            let fresh = sorted(db.rows(query));
            let start = &statement[..statement.len().min(200)];
            assert_eq!(sorted(rows.clone()), fresh, "after {start}: {query}");
        }
    }
    for (number, rows) in &live {
        let (query, expected) = &recorded[*number as usize];
        let rows = rows.iter().map(|row| normal(row)).collect();
        assert_eq!(sorted(rows), sorted(expected.clone()), "after all: {query}");
    }
}

/// Changes of the library that together change nothing.
const LIBRARY: [&str; 13] = [
    "DELETE FROM book WHERE id = 6",
    "UPDATE author SET country = 'UK' WHERE id = 3",
    "INSERT INTO review VALUES (9, 2, 5, 'x'), (10, 5, 1, 'y')",
    "UPDATE book SET price = 50 WHERE id = 3",
    "BEGIN; UPDATE book SET author_id = 5 WHERE author_id = 2; DELETE FROM review WHERE book_id = 7; COMMIT",
    "INSERT INTO author VALUES (9, 'Flo', 'US', 1843)",
    "DELETE FROM author",
    "INSERT INTO author VALUES (1, 'Ada', 'UK', 1815), (2, 'Bo', 'SE', 1950)",
    "DELETE FROM review",
    "DELETE FROM book",
    "INSERT INTO book VALUES (1, 1, 'Notes', 1843, 10.50), (2, 1, 'Engines', 1842, NULL), \
     (3, 2, 'Snow', 1999, 7.25), (4, 2, 'Ice', 2001, 12.00), (5, 2, 'Thaw', NULL, 7.25), \
     (6, NULL, 'Anon', 1700, 3.00), (7, 4, 'First', 2010, 20.00), (8, 9, 'Lost', 1999, 1.00)",
    "INSERT INTO author VALUES (3, 'Cy', NULL, NULL), (4, 'Di', 'UK', 1980), (5, 'Ed', 'US', 1950)",
    "INSERT INTO review VALUES (1, 1, 5, 'x'), (2, 1, 4, 'y'), (3, 3, NULL, 'x'), (4, 3, 2, 'z'), \
     (5, 4, 5, 'y'), (6, 7, 1, NULL), (7, 7, 1, 'x'), (8, 8, 3, 'z')",
];

fn library(answers: &str) {
    compare(&[include_str!("../answers/library.sql").to_owned()], answers, &LIBRARY);
}

#[test]
fn subqueries_outer_joins_and_set_operations() {
    library(include_str!("../answers/library.answers"));
}

#[test]
fn windows_recursion_and_aggregates_in_subqueries() {
    library(include_str!("../answers/puzzles.answers"));
}

#[test]
fn ranges_of_times() {
    let tables = [include_str!("../answers/ranges.sql").to_owned()];
    let statements = [
        "UPDATE reading SET at = at + INTERVAL '45 minutes' WHERE id = 1",
        "UPDATE reading SET day = NULL, at = '2024-02-29 00:00Z' WHERE sensor = 'a'",
        "DELETE FROM reading WHERE sensor = 'b' OR id = 2",
        "INSERT INTO reading VALUES (11, 'a', '9999-12-31 23:00Z', '9999-12-31', 3), (12, 'a', '0001-01-01', '0001-01-01', 4)",
        "DELETE FROM reading",
        include_str!("../answers/ranges.sql").split_once(';').unwrap().1,
    ];
    compare(&tables, include_str!("../answers/ranges.answers"), &statements);
}

#[test]
fn arrays_of_subqueries() {
    library(include_str!("../answers/arrays.answers"));
}

/// The rows of a CSV file that has no quotes, as INSERTs; those alone whose first field is asked for.
fn inserts(table: &str, csv: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
    let (columns, lines) = csv.split_once('\n').unwrap();
    let rows: Vec<String> = lines
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|fields| wanted(fields[0]))
        .map(|fields| {
            let value = |field: &&str| match *field {
                "" => "NULL".to_owned(),
                field => format!("'{}'", field.replace('\'', "''")),
            };
            format!("({})", fields.iter().map(value).collect::<Vec<_>>().join(", "))
        })
        .collect();
    rows.chunks(2_000)
        .map(|rows| format!("INSERT INTO {table} ({columns}) VALUES {}", rows.join(", ")))
        .collect()
}

#[test]
fn fifty_questions_about_a_week_of_flights() {
    macro_rules! csv {
        ($name:literal) => {
            include_str!(concat!("../../../../examples/flights/", $name, ".csv"))
        };
    }
    let every = |_: &str| true;
    let mut tables = vec![include_str!("../../../../examples/flights/schema.sql").to_owned()];
    tables.extend(inserts("airlines", csv!("airlines"), &every));
    tables.extend(inserts("airports", csv!("airports"), &every));
    tables.extend(inserts("planes", csv!("planes"), &every));
    tables.extend(inserts("weather", csv!("weather"), &every));
    tables.extend(inserts("flights", csv!("flights"), &every));
    // What the statements do to flights is to those below 700, and in the end undone.
    let first = |id: &str| id.parse::<u32>().unwrap() < 700;
    let [again] = <[String; 1]>::try_from(inserts("flights", csv!("flights"), &first)).unwrap();
    let statements = [
        "UPDATE flights SET dep_time = 1200, dep_delay = 400, arr_delay = 390 WHERE id = 17",
        "UPDATE flights SET dep_time = NULL, dep_delay = NULL, air_time = NULL WHERE id < 700 AND id % 5 = 1",
        "UPDATE flights SET carrier = 'HA', dest = 'HNL' WHERE id < 700 AND id % 7 = 1",
        "BEGIN; UPDATE weather SET time_hour = time_hour + '1 year'::interval WHERE hour = 8; \
         UPDATE planes SET tailnum = tailnum || '?' WHERE seats = 182; COMMIT",
        "DELETE FROM airports WHERE faa = 'HNL'; DELETE FROM flights WHERE id < 700 AND origin = 'LGA'",
        "UPDATE flights SET tailnum = NULL, dep_delay = -dep_delay, time_hour = time_hour + '1 day'::interval \
         WHERE id < 700 AND id % 3 = 1",
        "DELETE FROM flights WHERE id < 700",
        "BEGIN; UPDATE weather SET time_hour = time_hour - '1 year'::interval WHERE hour = 8; \
         UPDATE planes SET tailnum = replace(tailnum, '?', '') WHERE seats = 182; COMMIT",
    ];
    let mut statements: Vec<String> = statements.map(str::to_owned).to_vec();
    statements.extend(inserts("airports", csv!("airports"), &|faa| faa == "HNL"));
    statements.push(again);
    compare(&tables, include_str!("../answers/flights.answers"), &statements);
}

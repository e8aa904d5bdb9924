//! Hostile input: words in any order, and trees as deep as the parser lets through.

use proptest::prelude::*;

use super::*;

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "DISTINCT",
    "AS",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "UNION ALL",
    "UNION",
    "VALUES",
    "INSERT INTO",
    "UPDATE",
    "SET",
    "DELETE FROM",
    "RETURNING",
    "CREATE TABLE",
    "PRIMARY KEY",
    "REFERENCES",
    "CHECK",
    "DEFAULT",
    "NOT",
    "NULL",
    "AND",
    "OR",
    "IN",
    "IS",
    "BETWEEN",
    "LIKE",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "::",
    "int",
    "text",
    "numeric(5,2)",
    "int[]",
    "task",
    "project",
    "log",
    "id",
    "title",
    "prio",
    "tags",
    "doc",
    "t",
    "p.id",
    "count(*)",
    "sum",
    "coalesce",
    "upper",
    "ARRAY",
    "ANY",
    "INTERVAL",
    "1",
    "0",
    "2.5",
    "1e400",
    "99999999999999999999",
    "'x'",
    "'{1,2}'",
    "'1 day'",
    "$1",
    "$2",
    "$999",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    ",",
    "*",
    "+",
    "-",
    "/",
    "%",
    "^",
    "=",
    "<",
    ">=",
    "<>",
    "||",
    "->",
    "->>",
    "@>",
    "~",
    ";",
    "\"",
    "é",
    "WITH",
    "ON CONFLICT",
    "DO NOTHING",
    "DO UPDATE",
    "excluded.id",
    "ALTER TABLE",
    "ADD COLUMN",
    "DROP TABLE",
    "CREATE INDEX",
    "EXPLAIN",
    "BEGIN",
    "OVER",
    "EXISTS",
    "true",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn words_in_any_order_never_panic(words in prop::collection::vec(prop::sample::select(WORDS), 1..24)) {
        let catalog = catalog();
        let sql = words.join(" ");
        for now in [None, Some(0)] {
            for parsed in parse(&sql).unwrap_or_default() {
                match bind(&parsed, &BindContext { catalog: &catalog, now }) {
                    Ok(_) => {}
                    Err(error) => {
                        let _ = (error.sqlstate(), error.position(), error.hint(), error.to_string());
                    }
                }
            }
        }
    }

    #[test]
    fn expressions_of_any_words_never_panic(words in prop::collection::vec(prop::sample::select(WORDS), 1..10)) {
        let catalog = catalog();
        for sql in [
            format!("SELECT {} FROM task t", words.join(" ")),
            format!("SELECT id FROM task t WHERE {}", words.join(" ")),
            format!("INSERT INTO task VALUES ({})", words.join(" ")),
        ] {
            for parsed in parse(&sql).unwrap_or_default() {
                let _ = bind(&parsed, &BindContext { catalog: &catalog, now: Some(0) });
            }
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }
}

#[test]
fn deep_trees_bind_or_are_refused() {
    let catalog = catalog();
    for (head, unit, tail) in [
        ("SELECT ", "(", "1"),
        ("SELECT ", "NOT ", "true"),
        ("SELECT ", "- ", "prio FROM task"),
        ("SELECT ", "prio + ", "prio FROM task"),
        ("SELECT ", "title || ", "title FROM task"),
        ("SELECT id FROM task WHERE ", "prio = 1 OR ", "done"),
        ("SELECT id FROM task WHERE ", "(prio = 1 AND done) OR ", "done"),
        ("SELECT id FROM task WHERE ", "done AND (", "done"),
        ("SELECT 1", "::int", ""),
        ("SELECT ", "abs(", "1"),
        ("SELECT ", "coalesce(1, ", "1"),
        ("SELECT ", "ARRAY[", "1"),
        ("SELECT ", "CASE WHEN true THEN ", "1"),
        ("SELECT tags", "[1]", " FROM task"),
        ("SELECT 1 ", "UNION ALL SELECT 1 ", ""),
        ("", "SELECT * FROM (", "SELECT 1"),
        ("SELECT 1 FROM task", " CROSS JOIN log", ""),
        ("SELECT 1 FROM task", ", task", ""),
        ("SELECT task", ".task", " FROM task"),
        ("SELECT prio", " -> 1", " FROM task"),
        ("SELECT 1 IN (", "1, ", "1)"),
    ] {
        for count in [1, 10, 30, 60, 63, 100, 126, 190, 199, 900, 1_000, 5_000] {
            let close = match unit.chars().last() {
                _ if unit.contains("ARRAY") => "]",
                _ if unit.contains("CASE") => " END",
                _ if unit.contains('(') && !unit.contains(')') => ")",
                _ => "",
            };
            let closes = close.repeat(count);
            let alias = if unit.contains("FROM (") {
                format!("{tail}{}", ") AS x".repeat(count))
            } else {
                format!("{tail}{closes}")
            };
            let sql = format!("{head}{}{alias}", unit.repeat(count));
            for parsed in parse(&sql).unwrap_or_default() {
                let bound = bind(&parsed, &BindContext { catalog: &catalog, now: None });
                if let Ok(Bound { statement: Statement::Query(query), .. }) = bound {
                    let _ = format!("{:?}", query.plan.types());
                    let _ = show(&query.plan);
                }
            }
        }
    }
    // Common tables that each use the one before twice would be written out without end.
    let mut sql = String::from("WITH a0 AS (SELECT 1 AS x)");
    for number in 1..30 {
        let before = number - 1;
        let _ = write!(sql, ", a{number} AS (SELECT l.x FROM a{before} l CROSS JOIN a{before} r)");
    }
    let error = run(&catalog, &format!("{sql} SELECT * FROM a29")).unwrap_err();
    assert_eq!(error.sqlstate(), "54001");
}

//! What is exported is imported as it was.

use std::fs;

use super::running::{Directory, Running, run};

/// A column of each type, and of each that merges.
const COLUMNS: &str = "id bigint PRIMARY KEY, flag boolean, small smallint, n integer, big bigint, x double precision,
    d numeric, money numeric(10,2), t text NOT NULL DEFAULT 'x', u uuid, day date, at timestamptz, span interval, doc jsonb,
    texts text[], numbers bigint[], docs jsonb[], votes counter, seen grow_counter, tags add_wins_set(text),
    gone remove_wins_set(bigint), titles multi_value(text), best max(numeric), least min(date), open flag,
    body rich_text DEFAULT '-', \"or \"\"der\" text";

const ROWS: &str = "INSERT INTO a (id, flag, small, n, big, x, d, money, t, u, day, at, span, doc, texts, numbers, docs, votes, seen,
      tags, gone, titles, best, least, open, body, \"or \"\"der\") VALUES
    (1, true, -32768, 2147483647, 9223372036854775807, 0.1, 12345678901234567890.000000000012, 1.5, 'a,b
\"c\" ü', '018f2b3c-0000-7000-8000-000000000001', '0001-01-01', '9999-12-31 23:59:59.999999+00', '1 mon -2 days 03:04:05.000006',
     '{\"a\": [1.50, null, \"\\\"\"], \"b\": {}}', '{\"a,b\",\"\",NULL,\"NULL\",\"\\\"q\\\\\"}', '{1,NULL}',
     ARRAY['null'::jsonb, NULL, '\"s\"', '[1]'], -5, 7, '{b,a}', '{3,1}', '{\"x y\"}', 1.50, '2024-02-29', true, 'line
two', 'q'),
    (2, false, NULL, NULL, -9007199254740993, 'NaN', 0, NULL, '-', NULL, NULL, NULL, NULL, 'null', '{}', NULL, '{}', 0, 3, '{}',
     '{}', '{}', NULL, NULL, false, 'NULL', NULL),
    (3, NULL, 1, 1, 1, '-Infinity', 1e-20, -0.01, '\\N', NULL, NULL, '1970-01-01 00:00:00+00', '-1 year', '\"text\"', NULL, NULL,
     NULL, 1, 1, '{NULL2}', '{-1}', '{}', -1, NULL, false, ' ', '''')";

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[&format!("CREATE TABLE a ({COLUMNS})"), ROWS]);
    let shown = server.sql(&["SELECT *, doc IS NULL, docs IS NULL FROM a ORDER BY id"]);
    assert!(shown.contains("3 rows"), "{shown}");
    for (place, (file, more)) in
        [("a.csv", &["--null", "(none)"][..]), ("a.json", &[])].into_iter().enumerate()
    {
        let file = directory.path().join(file);
        let ended = run(server.client("export").args(["--table", "a", "-o"]).arg(&file).args(more));
        assert_eq!(ended.out, format!("3 rows into {}\n", file.display()), "{}", ended.err);
        // The same bytes go to standard output.
        let format = ["csv", "json"][place];
        let printed = run(server.client("export").args(["--table", "a", "--format", format]).args(more));
        assert_eq!(printed.out, fs::read_to_string(&file).unwrap());
        let copy = ["b", "c"][place];
        server.sql(&[&format!("CREATE TABLE {copy} ({COLUMNS})")]);
        let ended = run(server.client("import").arg(&file).args(["--table", copy]).args(more));
        assert_eq!(ended.out, format!("3 rows into {copy}\n"), "{}", ended.err);
        let sql = format!("SELECT *, doc IS NULL, docs IS NULL FROM {copy} ORDER BY id");
        assert_eq!(server.sql(&[&sql]), shown);
        // Nor is there a difference that is not shown.
        let exact = "id, doc::text, docs::text, x::text, d::text, texts::text, at::text, span::text, big, tags, body, t";
        let sql = format!("SELECT count(*) FROM (SELECT {exact} FROM a EXCEPT SELECT {exact} FROM {copy}) d");
        assert!(server.sql(&[&sql]).contains("\n    0\n"));
    }
}

#[test]
fn a_query_is_exported_and_hidden_keys_are_made_anew() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[
        "CREATE TABLE log (line text, n int); CREATE TABLE copy (line text, n int)",
        "INSERT INTO log VALUES ('b', 1), ('b', 1), (NULL, 2), ('a', NULL)",
    ]);
    let file = directory.path().join("log.csv");
    let ended = run(server.client("export").args(["--table", "log", "-o"]).arg(&file));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let ended = run(server.client("import").arg(&file).args(["--table", "copy"]));
    assert_eq!(ended.out, "4 rows into copy\n", "{}", ended.err);
    let rows = "SELECT line, n, count(*) FROM # GROUP BY line, n ORDER BY line, n";
    assert_eq!(server.sql(&[&rows.replace('#', "copy")]), server.sql(&[&rows.replace('#', "log")]));
    let export = |arguments: &[&str]| run(server.client("export").args(arguments));
    let ended =
        export(&["--query", "SELECT line, n * 2 AS twice FROM log WHERE n > 0 ORDER BY n DESC LIMIT 2"]);
    assert_eq!(ended.out, "line,twice\n,4\nb,2\n", "{}", ended.err);
    for (arguments, message) in [
        (&["--table", "nothing"][..], "error 42P01"),
        (&["--query", "SELECT 1 AS a, 2 AS a"], "two columns are called a"),
        (&["--query", "DELETE FROM copy"], "write a query"),
        (&["--query", "SELECT '' AS a"], "choose another one with --null"),
        (&["--table", "log", "--query", "SELECT 1"], "cannot be used with"),
        (&[], "required"),
    ] {
        let ended = export(arguments);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        assert!(ended.err.contains(message), "{arguments:?}: {}", ended.err);
    }
    // What fails leaves the file that was there.
    let before = fs::read(&file).unwrap();
    let ended = run(server.client("export").args(["--query", "SELECT '' AS a", "-o"]).arg(&file));
    assert_eq!((ended.code, fs::read(&file).unwrap()), (Some(1), before));
    assert_eq!(
        fs::read_dir(directory.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp") })
            .count(),
        0
    );
}

#[test]
fn objects_name_their_columns() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&["CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'x', doc jsonb, n int DEFAULT 5)"]);
    let import = |text: &str| {
        let file = directory.file("t.json", text);
        run(server.client("import").arg(file).args(["--table", "t"]))
    };
    let ended = import(
        "\u{feff}{\"id\": 1, \"doc\": \"1\"}\n\n{\"id\": \"2\", \"a\": null, \"doc\": null}\n{\"id\": 3, \"a\": \"\"}",
    );
    assert_eq!(ended.out, "3 rows into t\n", "{}", ended.err);
    let said = server.sql(&["SELECT id, a, doc::text, n FROM t ORDER BY id"]);
    let lines: Vec<&str> = said.lines().skip(2).map(str::trim_end).collect();
    assert_eq!(lines, [" 1 │ ∅ │ \"1\"  │ 5", " 2 │ ∅ │ null │ 5", " 3 │   │ ∅    │ 5", "3 rows"]);
    for (text, message) in [
        ("{\"id\": 4}\n{\"id\": 1}\n", "line 2: error 23505"),
        ("{\"id\": 4}\n[5]\n", "line 2: no JSON object; nothing was inserted"),
        ("{\"id\": 4", "line 1: no JSON object"),
        ("{}\n", "name 0 columns"),
        ("{\"id\": 4, \"b\": 1}\n", "error 42703"),
    ] {
        let ended = import(text);
        assert_eq!(ended.code, Some(1), "{text}");
        assert!(ended.err.contains(message), "{text}: {}", ended.err);
    }
}

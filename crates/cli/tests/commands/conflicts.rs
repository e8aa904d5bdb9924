//! Conflicts are listed and resolved: those that a client makes who writes late.

use serde_json::{Value as Json, json};

use super::running::{Directory, Ended, Running, run};

/// A request of a client that says what it had seen; what it has seen then.
#[track_caller]
fn by(server: &Running, sql: &str, basis: &str) -> String {
    let body = json!({"sql": sql, "basis": basis}).to_string();
    let mut response = ureq::post(format!("http://{}/v1/sql", server.address())).send(body).unwrap();
    let answer: Json = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
    answer["cut"].as_str().unwrap().to_owned()
}

fn conflicts(server: &Running, arguments: &[&str]) -> Ended {
    run(server.client("conflicts").args(arguments))
}

/// The only value of a query.
#[track_caller]
fn value(server: &Running, sql: &str) -> String {
    server.sql(&[sql]).lines().nth(2).unwrap().trim().to_owned()
}

/// Each column with its type, the value written meanwhile, and the one that comes late.
const COLUMNS: [(&str, &str, &str, &str); 9] = [
    ("title", "text", "'it''s <b>'", "'late'"),
    ("\"a, b\"", "text", "NULL", "'x'"),
    ("big", "bigint", "9007199254740993", "-9007199254740995"),
    ("exact", "numeric", "12345678901234567890.000000000012", "0.10"),
    ("x", "double precision", "'NaN'", "0.1"),
    ("doc", "jsonb", "'{\"a\": [1.50, 12345678901234567890.5, null]}'", "'\"text\"'"),
    ("at", "timestamptz", "'9999-12-31 23:59:59.999999+00'", "'1970-01-01 00:00:00+00'"),
    ("texts", "text[]", "'{\"a,b\",NULL,\"\"}'", "'{}'"),
    ("flag", "boolean", "false", "true"),
];

/// A table of them with a group and a column without a policy, and one row, of NULLs almost all, whose key has two values.
fn table() -> String {
    let columns: Vec<String> =
        COLUMNS.iter().map(|(name, data_type, ..)| format!("{name} {data_type} CONFLICT MANUAL")).collect();
    format!(
        "CREATE TABLE \"the place\" (id int, part text, {}, lat double precision CONFLICT MANUAL, lng numeric, plain text,
         GROUP (lat, lng), PRIMARY KEY (id, part)); INSERT INTO \"the place\" (id, part, \"a, b\") VALUES (1, 'a\"b', 'first')",
        columns.join(", ")
    )
}

/// An UPDATE of all columns with one of their two values.
fn update(of: fn((&'static str, &'static str)) -> &'static str, group: &str, plain: &str) -> String {
    let set = COLUMNS.map(|(name, _, meanwhile, late)| format!("{name} = {}", of((meanwhile, late))));
    format!("UPDATE \"the place\" SET {}, {group}, plain = '{plain}'", set.join(", "))
}

#[test]
fn what_a_late_write_met_is_listed_and_resolved_by_each_choice() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[&table()]);
    let seen = by(&server, "SELECT * FROM \"the place\"", "");
    server.sql(&[&update(|(meanwhile, _)| meanwhile, "lat = 1.5, lng = 2.50", "first")]);
    by(&server, &update(|(_, late)| late, "lat = 3, lng = 4", "second"), &seen);
    let open = "SELECT columns FROM deltaic.conflicts WHERE state = 'open' ORDER BY columns";
    let mut watch = Running::start(server.client("watch").arg(open));
    assert!(watch.line_with("snapshot").contains("lat, lng"));
    let listed = conflicts(&server, &[]).out;
    assert!(listed.ends_with("10 rows\n"), "{listed}");
    for (state, column, both) in [
        ("open", "lat, lng", "[3.0,\"4\"]"),
        ("open", "big", "\"-9007199254740995\""),
        ("open", "a, b", "\"x\""),
    ] {
        let line = listed.lines().find(|line| line.contains(&format!(" {column} ")));
        let line = line.unwrap_or_else(|| panic!("{column}: {listed}"));
        assert!(line.contains(state) && line.contains(both) && line.contains("manual"), "{line}");
    }
    let all = conflicts(&server, &["--all", "--table", "the place"]).out;
    assert!(all.ends_with("11 rows\n") && all.contains("decided"), "{all}");
    let resolve = |column: &str, choice: &[&str]| {
        let column = column.trim_matches('"');
        let ended =
            conflicts(&server, &[&["resolve", "the place", "[1, \"a\\\"b\"]", column], choice].concat());
        assert_eq!(ended.code, Some(0), "{column}: {}", ended.err);
        ended.out
    };
    for (name, data_type, meanwhile, _) in COLUMNS {
        resolve(name, &["--loser"]);
        let sql = format!("SELECT {name} IS NOT DISTINCT FROM {meanwhile}::{data_type} FROM \"the place\"");
        let told = server.sql(&[&format!("SELECT {name} FROM \"the place\"")]);
        assert_eq!(value(&server, &sql), "true", "{name}: {told}");
        let change = watch.line_with("change");
        assert!(change.contains("\"weight\":-1") && change.contains(name.trim_matches('"')), "{change}");
    }
    assert!(resolve("lng", &["--value", "[7, \"8.25\"]"]).contains("lat = 7, lng = \"8.25\" (other values)"));
    assert_eq!(value(&server, "SELECT lat || '/' || lng FROM \"the place\""), "7/8.25");
    assert!(watch.line_with("change").contains("lat, lng"));
    assert_eq!(
        conflicts(&server, &[]).out.lines().next().unwrap().split(';').next(),
        Some("no open conflicts")
    );
    // What a policy had decided can be decided otherwise.
    resolve("plain", &["--loser"]);
    assert_eq!(value(&server, "SELECT plain FROM \"the place\""), "first");
    let all = conflicts(&server, &["--all"]).out;
    assert_eq!((all.matches("resolved").count(), all.matches("open").count()), (11, 0), "{all}");
    let again = conflicts(&server, &["resolve", "the place", "[1, \"a\\\"b\"]", "title", "--loser"]);
    assert!(again.err.contains("no conflict of row"), "{}", again.err);
}

#[test]
fn the_winner_is_chosen_too() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&["CREATE TABLE post (id int PRIMARY KEY, title text CONFLICT MANUAL); INSERT INTO post VALUES (7, 'a')"]);
    let seen = by(&server, "SELECT * FROM post", "");
    server.sql(&["UPDATE post SET title = 'b'"]);
    by(&server, "UPDATE post SET title = 'c'", &seen);
    let ended = conflicts(&server, &["resolve", "post", "7", "title", "--winner"]);
    assert_eq!(ended.out, "post [7]: title = \"c\" (the winner)\n", "{}", ended.err);
    assert_eq!(value(&server, "SELECT title FROM post"), "c");
    assert!(conflicts(&server, &[]).out.starts_with("no open conflicts"));
}

#[test]
fn of_several_conflicts_of_a_column_one_is_named_and_its_choice_ends_all() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&["CREATE TABLE post (id int PRIMARY KEY, title text CONFLICT MANUAL); INSERT INTO post VALUES (7, 'a')"]);
    let seen = by(&server, "SELECT * FROM post", "");
    server.sql(&["UPDATE post SET title = 'b'"]);
    by(&server, "UPDATE post SET title = 'c'", &seen);
    by(&server, "UPDATE post SET title = 'd'", &seen);
    let ended = conflicts(&server, &["resolve", "post", "7", "title", "--loser"]);
    let (_, dots) =
        ended.err.trim().split_once("--dot, with one of ").unwrap_or_else(|| panic!("{}", ended.err));
    let first = dots.split(", ").next().unwrap();
    let ended = conflicts(&server, &["resolve", "post", "7", "title", "--loser", "--dot", first]);
    assert_eq!(ended.out, "post [7]: title = \"b\" (the loser)\n", "{}", ended.err);
    assert_eq!(value(&server, "SELECT title FROM post"), "b");
    assert!(conflicts(&server, &[]).out.starts_with("no open conflicts"));
    // What came while nobody looked is replaced too: whoever resolves has seen all.
    by(&server, "UPDATE post SET title = 'e'", &seen);
    let ended = conflicts(&server, &["resolve", "post", "7", "title", "--value", "f"]);
    assert_eq!(ended.out, "post [7]: title = \"f\" (another value)\n", "{}", ended.err);
    let left = "SELECT count(*) FROM deltaic.conflicts WHERE state <> 'resolved'";
    assert_eq!((value(&server, left), value(&server, "SELECT title FROM post")), ("0".into(), "f".into()));
}

#[test]
fn conflicts_are_listed_and_what_is_none_is_not_resolved() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[
        "CREATE TABLE post (id int PRIMARY KEY, title text CONFLICT MANUAL)",
        "INSERT INTO post VALUES (1, 'a')",
    ]);
    let conflicts = |arguments: &[&str]| conflicts(&server, arguments);
    for arguments in [&[][..], &["--table", "post"]] {
        let ended = conflicts(arguments);
        assert!(ended.out.starts_with("no open conflicts; --all"), "{}{}", ended.out, ended.err);
    }
    assert_eq!(conflicts(&["--all"]).out, "no conflicts\n");
    for (arguments, message) in [
        (&["resolve", "post", "1", "title", "--loser"][..], "no conflict of row 1 of post"),
        (&["resolve", "posts", "1", "title", "--loser"], "there is no table posts"),
        (&["resolve", "post", "1", "title"], "required"),
        (&["resolve", "post", "1", "title", "--loser", "--value", "x"], "cannot be used with"),
        (&["--all", "resolve", "post", "1", "title", "--loser"], "cannot be used"),
    ] {
        let ended = conflicts(arguments);
        assert_ne!(ended.code, Some(0), "{arguments:?}");
        assert!(ended.err.contains(message), "{arguments:?}: {}", ended.err);
    }
}

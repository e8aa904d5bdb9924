//! The program itself: what it prints, where, and with which exit code.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

mod conflicts;
mod exchange;
mod readme;
mod running;
#[cfg(target_os = "linux")]
mod terminal;

use std::{fs, io::Write, process::Stdio};

use running::{Directory, Running, deltaic, run};

const TABLE: &str = "CREATE TABLE t (id integer PRIMARY KEY, name text, n numeric(6,2))";

#[test]
fn statements_come_from_arguments_and_from_a_pipe() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    let said = server.sql(&[TABLE, "INSERT INTO t VALUES (1, 'a', 2.5), (2, NULL, NULL)"]);
    assert_eq!(said, "ok, 0 rows (lsn 1)\nok, 2 rows (lsn 2)\n");
    let mut child = server.client("sql").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT * FROM t ORDER BY id;\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["id │ name │ n", "───┼──────┼─────", " 1 │ a    │ 2.50", " 2 │ ∅    │ ∅", "2 rows"]);
}

#[test]
fn an_error_is_marked_under_the_sql_and_ends_with_1() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    let ended = run(server.client("sql").args([TABLE, "SELECT id,\n  nam FROM t", "SELECT 1"]));
    assert_eq!((ended.out.as_str(), ended.code), ("ok, 0 rows (lsn 1)\n", Some(1)));
    assert!(ended.err.starts_with("deltaic: error 42703: "), "{}", ended.err);
    assert!(ended.err.contains("\n    nam FROM t\n    ^\nhint: "), "{}", ended.err);
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let ended = run(deltaic("sql").args(["SELECT 1", "--url", "http://127.0.0.1:1"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("deltaic serve") && ended.err.contains("--url"), "{}", ended.err);
}

#[test]
fn a_file_is_imported_and_a_wrong_line_is_named() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[TABLE]);
    let import = |file: &str, text: &str, more: &[&str]| {
        let file = directory.file(file, text);
        run(server.client("import").arg(file).args(["--table", "t"]).args(more))
    };
    let ended = import("t.csv", "id,name,n\n1,\"it's, quoted\",1.5\n2,,\n3,NA,0\n", &[]);
    assert_eq!((ended.out.as_str(), ended.code), ("3 rows into t\n", Some(0)), "{}", ended.err);
    let said = server.sql(&["SELECT name FROM t WHERE n IS NULL OR id = 1 ORDER BY id"]);
    assert!(said.contains("it's, quoted") && said.contains('∅'), "{said}");
    let ended = import("wrong.csv", "id,name,n\n4,x,1\n5,y,many\n", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.err.contains("nothing was inserted: line 3: error 22P02: column n is no numeric"),
        "{}",
        ended.err
    );
    let ended = import("torn.csv", "id,name,n\n6,x\n", &[]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("line: 2"), "{}", ended.err);
    assert!(server.sql(&["SELECT count(*) FROM t"]).contains("\n    3\n"));
    let ended = import("again.csv", "id,name,n\n3,other,0\n4,new,0\n", &[]);
    assert!(ended.err.contains("line 2: error 23505"), "{}", ended.err);
    let ended = import("again.csv", "id,name,n\n3,other,0\n4,new,0\n", &["--skip-existing"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let said = server.sql(&["SELECT id, name FROM t WHERE id > 2 ORDER BY id"]);
    assert!(said.contains("NA") && said.contains("new") && !said.contains("other"), "{said}");
}

#[test]
fn a_live_result_is_printed_as_lines_where_there_is_no_terminal() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[TABLE, "INSERT INTO t VALUES (1, 'a', 1)"]);
    let query = "SELECT id, name FROM t WHERE n > $1 ORDER BY id";
    let mut watch = Running::start(server.client("watch").args([query, "--param", "0"]));
    assert!(watch.line_with("snapshot").contains(r#"[[1,"a"]]"#));
    server.sql(&["INSERT INTO t VALUES (2, NULL, 2); DELETE FROM t WHERE id = 1"]);
    let change = watch.line_with("change");
    assert!(change.contains(r#"[1,"a"]"#) && change.contains("[2,null]"), "{change}");
    let ended = run(server.client("watch").arg("SELECT x FROM t"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("42703"), "{}", ended.err);
    let ended = run(server.client("watch").args([query, "--param", "{"]));
    assert!(ended.err.contains("a parameter is JSON"), "{}", ended.err);
    assert_eq!(server.end("-TERM"), Some(0));
    assert_eq!(watch.end("-CONT"), Some(1), "a stream that ends is an error");
}

#[test]
fn a_schema_is_run_once() {
    let directory = Directory::new();
    let schema = directory.file("schema.sql", TABLE);
    let schema = schema.to_str().unwrap();
    for _ in 0..2 {
        let server = Running::serve(&directory, &["--schema", schema]);
        assert!(server.sql(&["SELECT count(*) FROM t"]).contains("\n    0\n"));
        assert_eq!(server.end("-INT"), Some(0));
    }
    let wrong = directory.file("wrong.sql", "CREATE TABLE u (id intger)");
    let empty = Directory::new();
    let mut command = deltaic("serve");
    command.args(["--listen", "127.0.0.1:0", "--schema"]).arg(wrong).arg("--data").arg(empty.path());
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("the schema is refused") && ended.err.contains('^'), "{}", ended.err);
}

#[test]
fn a_data_directory_is_checked() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[TABLE, "INSERT INTO t VALUES (1, 'a', 1)"]);
    let ended = run(deltaic("check").arg(directory.path()));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("another process"), "{}", ended.err);
    assert_eq!(server.end("-INT"), Some(0));
    let store = directory.path().join(deltaic_storage::STORE_FILE);
    let before = fs::read(&store).unwrap();
    let ended = run(deltaic("check").arg(directory.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(fs::read(&store).unwrap() == before, "a check leaves the file as it is");
    assert!(ended.out.contains("t: 1 rows") && ended.out.contains("ok"), "{}", ended.out);
    fs::write(directory.path().join(deltaic_storage::STORE_FILE), "not a store").unwrap();
    for mut command in [deltaic("check"), deltaic("serve")] {
        if command.get_args().any(|argument| argument == "serve") {
            command.args(["--listen", "127.0.0.1:0", "--data"]);
        }
        let ended = run(command.arg(directory.path()));
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.contains("not a deltaic store"), "{}", ended.err);
    }
}

#[test]
fn the_files_of_budgets_are_checked_with_the_database() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&["CREATE BUDGET texts (KEY who text, LIMIT 10) WITH EVENTS"]);
    server.sql(&["SELECT consume('texts', 'ann', 3)"]);
    server.sql(&["SELECT consume('texts', 'bob', 4)"]);
    assert_eq!(server.end("-INT"), Some(0));
    let ended = run(deltaic("check").arg(directory.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("budgets: 2 keys, 2 accounts, 0 leases"), "{}", ended.out);
    assert!(ended.out.contains("events of budgets: 2\n"), "{}", ended.out);
    for (name, said) in [("budgets.redb", "budgets: a row of"), ("events.redb", "damaged")] {
        let path = directory.path().join(name);
        let whole = fs::read(&path).unwrap();
        let (mut damaged, mut told) = (whole.clone(), false);
        // Each place where a key stands, in pages that are in use and others.
        let places = (0..whole.len() - 3).filter(|at| [&b"ann"[..], b"bob"].contains(&&whole[*at..*at + 3]));
        for at in places {
            damaged[at..at + 3].fill(0xa5);
            fs::write(&path, &damaged).unwrap();
            let ended = run(deltaic("check").arg(directory.path()));
            assert!(!ended.err.contains("panicked"), "{}", ended.err);
            told |= ended.code == Some(1) && ended.err.contains(said);
        }
        assert!(told, "{name}: nothing was found");
        fs::write(&path, "not a store").unwrap();
        let ended = run(deltaic("check").arg(directory.path()));
        assert!(ended.err.contains(name) && ended.err.contains("not a deltaic store"), "{}", ended.err);
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(run(deltaic("check").arg(directory.path())).code, Some(0));
}

#[test]
fn a_damaged_directory_is_told_without_a_panic() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[TABLE]);
    for start in (0..20_000).step_by(500) {
        let rows: Vec<String> = (start..start + 500).map(|id| format!("({id}, 'row {id}', 1)")).collect();
        server.sql(&[&format!("INSERT INTO t VALUES {}", rows.join(", "))]);
    }
    assert_eq!(server.end("-INT"), Some(0));
    let store = directory.path().join(deltaic_storage::STORE_FILE);
    let whole = fs::read(&store).unwrap();
    let mut told = 0;
    for page in (1..whole.len() / 4096).step_by(97) {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(&store, damaged).unwrap();
        let ended = run(deltaic("check").arg(directory.path()));
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        told += usize::from(ended.code == Some(1) && ended.err.contains("damaged"));
    }
    assert!(told > 0, "no page that was damaged is in use");
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let directory = Directory::new();
    let serve = |directory: &Directory, listen: &str| {
        run(deltaic("serve").args(["--listen", listen, "--data"]).arg(directory.path()))
    };
    let ended = serve(&directory, "0.0.0.0:0");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("--insecure-no-auth"), "{}", ended.err);
    let server = Running::serve(&directory, &[]);
    let other = Directory::new();
    let ended = serve(&other, server.address());
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("in use") && ended.err.contains("--listen"), "{}", ended.err);
    let ended = serve(&directory, "127.0.0.1:0");
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("another process"), "{}", ended.err);
    let ended = serve(&other, "nowhere");
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("write an address and a port"), "{}", ended.err);
    let file = directory.file("a file", "");
    let ended = run(deltaic("serve").args(["--listen", "localhost:0", "--data"]).arg(&file));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("is in the way"), "{}", ended.err);
    fs::create_dir(other.path().join(deltaic_storage::STORE_FILE)).unwrap();
    let ended = serve(&other, "localhost:0");
    assert!(ended.err.contains("is in the way"), "{}", ended.err);
}

#[test]
fn a_server_whose_output_nobody_reads_still_ends() {
    for name in ["-INT", "-TERM"] {
        let directory = Directory::new();
        let server = Running::serve(&directory, &[]);
        assert_eq!(server.deaf().end(name), Some(0), "{name}");
    }
}

#[test]
fn a_command_whose_output_nobody_reads_ends_quietly() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[TABLE]);
    let mut command = server.client("sql");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"SELECT * FROM t").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn what_was_acknowledged_survives_a_killed_server() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    server.sql(&[TABLE, "INSERT INTO t VALUES (1, 'kept', 1)"]);
    assert_eq!(server.end("-KILL"), None);
    let store = directory.path().join(deltaic_storage::STORE_FILE);
    let before = fs::read(&store).unwrap();
    assert_eq!(run(deltaic("check").arg(directory.path())).code, Some(0));
    assert!(fs::read(&store).unwrap() == before, "what a check mends it mends in memory");
    let server = Running::serve(&directory, &[]);
    assert!(server.sql(&["SELECT name FROM t"]).contains("kept"));
}

#[test]
fn the_demo_loads_replays_and_goes_on_where_it_broke_off() {
    let directory = Directory::new();
    let demo = || {
        let mut command = deltaic("demo");
        command.args(["--listen", "127.0.0.1:0", "--speed", "3600", "--data"]).arg(directory.path());
        command
    };
    let mut broken = Running::start(&mut demo());
    broken.line_with("rows into planes");
    assert_eq!(broken.end("-INT"), Some(0));
    let checked = run(deltaic("check").arg(directory.path()));
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for _ in 0..2 {
        let demo = Running::at(&mut demo());
        let query = "SELECT count(*) FROM flights WHERE status <> 'scheduled'";
        let mut watch = Running::start(demo.client("watch").arg(query));
        watch.line_with("change");
        drop(watch);
        let counts = "SELECT (count(*) = 1458)::text FROM airports UNION ALL \
                      SELECT (count(*) > 6000)::text FROM flights";
        assert_eq!(demo.sql(&[counts]).matches("true").count(), 2);
        assert_eq!(demo.end("-TERM"), Some(0));
    }
}

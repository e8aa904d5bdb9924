//! The program itself: what it prints, where, and with which exit code.

mod running;

use std::{fs, io::Write, process::Stdio};

use running::{Directory, Running, deltaic, run};

const TABLE: &str = "CREATE TABLE t (id integer PRIMARY KEY, name text, n numeric(6,2))";

#[test]
fn statements_come_from_arguments_and_from_a_pipe() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    let (out, _, code) =
        run(server.client("sql").args([TABLE, "INSERT INTO t VALUES (1, 'a', 2.5), (2, NULL, NULL)"]));
    assert_eq!((out.as_str(), code), ("done, 0 rows written, commit 1\ndone, 2 rows written, commit 2\n", 0));
    let mut child = server.client("sql").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT * FROM t ORDER BY id;\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = [
        " id \u{2502} name \u{2502}    n",
        "\u{2500}\u{2500}\u{2500}\u{2500}\u{253c}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{253c}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}\u{2500}",
        "  1 \u{2502} a    \u{2502} 2.50",
        "  2 \u{2502} \u{2205}    \u{2502}    \u{2205}",
        "(2 rows)",
        "",
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines.join("\n"));
}

#[test]
fn an_error_is_marked_under_the_sql_and_ends_with_1() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    let (out, err, code) = run(server.client("sql").args([TABLE, "SELECT id,\n  nam FROM t", "SELECT 1"]));
    assert_eq!((out.as_str(), code), ("done, 0 rows written, commit 1\n", 1));
    assert!(err.starts_with("error 42703: "), "{err}");
    assert!(err.contains("\n  nam FROM t\n  ^\nhint: "), "{err}");
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let (_, err, code) = run(deltaic("sql").args(["SELECT 1", "--url", "http://127.0.0.1:1"]));
    assert_eq!(code, 1);
    assert!(err.contains("is the server running?") && err.contains("--url"), "{err}");
}

#[test]
fn a_file_is_imported_and_a_wrong_line_is_named() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    run(server.client("sql").arg(TABLE));
    let file = directory.file("t.csv", "id,name,n\n1,\"it's, quoted\",1.5\n2,,\n3,NA,0\n");
    let (out, err, code) = run(server.client("import").arg(&file).args(["--table", "t"]));
    assert_eq!((out.as_str(), code), ("3 rows into t\n", 0), "{err}");
    let (out, ..) = run(server.client("sql").arg("SELECT name FROM t WHERE n IS NULL OR id = 1 ORDER BY id"));
    assert!(out.contains(" it's, quoted") && out.contains(" \u{2205}"), "{out}");
    let file = directory.file("wrong.csv", "id,name,n\n4,x,1\n5,y,many\n");
    let (_, err, code) = run(server.client("import").arg(&file).args(["--table", "t"]));
    assert_eq!(code, 1);
    assert!(err.contains("lines 2 to 3, of which none was inserted") && err.contains("many"), "{err}");
    let file = directory.file("torn.csv", "id,name,n\n6,x\n");
    let (_, err, code) = run(server.client("import").arg(&file).args(["--table", "t"]));
    assert_eq!(code, 1);
    assert!(err.contains("line: 2"), "{err}");
    let (out, ..) = run(server.client("sql").arg("SELECT count(*) FROM t"));
    assert!(out.contains(" 3\n"), "{out}");
}

#[test]
fn a_live_result_is_printed_as_lines_where_there_is_no_terminal() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    run(server.client("sql").args([TABLE, "INSERT INTO t VALUES (1, 'a', 1)"]));
    let mut watch = Running::start(server.client("watch").args([
        "SELECT id, name FROM t WHERE n > $1 ORDER BY id",
        "--params",
        "[0]",
    ]));
    assert_eq!(watch.line_with("1 \u{2502} a"), "  1 \u{2502} a");
    run(server.client("sql").arg("INSERT INTO t VALUES (2, NULL, 2); DELETE FROM t WHERE id = 1"));
    assert_eq!(watch.line_with("1 \u{2502} a"), "- 1 \u{2502} a");
    assert_eq!(watch.line_with("2 \u{2502}"), "+ 2 \u{2502} \u{2205}");
    let (_, err, code) = run(server.client("watch").arg("SELECT x FROM t"));
    assert_eq!(code, 1);
    assert!(err.contains("42703"), "{err}");
}

#[test]
fn a_schema_is_run_once() {
    let directory = Directory::new();
    let schema = directory.file("schema.sql", TABLE);
    let schema = schema.to_str().unwrap();
    let server = Running::serve(&directory, &["--schema", schema]);
    let (out, ..) = run(server.client("sql").arg("SELECT count(*) FROM t"));
    assert!(out.contains(" 0\n"), "{out}");
    assert_eq!(server.interrupt(), 0);
    let server = Running::serve(&directory, &["--schema", schema]);
    assert_eq!(server.interrupt(), 0);
    let wrong = directory.file("wrong.sql", "CREATE TABLE u (id intger)");
    let empty = Directory::new();
    let (_, err, code) = run(deltaic("serve")
        .args(["--listen", "127.0.0.1:0", "--schema", wrong.to_str().unwrap(), "--data"])
        .arg(&empty.0));
    assert_eq!(code, 1);
    assert!(err.contains("the schema was refused") && err.contains('^'), "{err}");
}

#[test]
fn a_data_directory_is_checked() {
    let directory = Directory::new();
    let server = Running::serve(&directory, &[]);
    run(server.client("sql").args([TABLE, "INSERT INTO t VALUES (1, 'a', 1)"]));
    let (_, err, code) = run(deltaic("check").arg(&directory.0));
    assert_eq!(code, 1);
    assert!(err.contains("another process uses this data directory"), "{err}");
    assert_eq!(server.interrupt(), 0);
    let (out, err, code) = run(deltaic("check").arg(&directory.0));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 commits") && out.contains("everything is what the log says"), "{out}");
    fs::write(directory.0.join(deltaic_storage::STORE_FILE), "not a store").unwrap();
    let (_, err, code) = run(deltaic("check").arg(&directory.0));
    assert_eq!(code, 1);
    assert!(err.contains("not a deltaic store"), "{err}");
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let directory = Directory::new();
    let (_, err, code) = run(deltaic("serve").args(["--listen", "0.0.0.0:0", "--data"]).arg(&directory.0));
    assert_eq!(code, 1);
    assert!(err.contains("--insecure-no-auth"), "{err}");
    let server = Running::serve(&directory, &[]);
    let other = Directory::new();
    let (_, err, code) = run(deltaic("serve").args(["--listen", server.address(), "--data"]).arg(&other.0));
    assert_eq!(code, 1);
    assert!(err.contains("is in use") && err.contains("--listen"), "{err}");
}

#[test]
fn the_demo_loads_replays_and_ends_cleanly() {
    let directory = Directory::new();
    let mut command = deltaic("demo");
    command.args(["--listen", "127.0.0.1:0", "--speed", "3600", "--data"]).arg(&directory.0);
    let demo = Running::at(&mut command);
    let mut watch =
        Running::start(demo.client("watch").arg("SELECT count(*) FROM flights WHERE status = 'departed'"));
    watch.line_with("+ ");
    drop(watch);
    let (out, ..) = run(demo.client("sql").arg("SELECT count(*) FROM airports"));
    assert!(out.contains(" 1458\n"), "{out}");
    assert_eq!(demo.interrupt(), 0);
    let (out, err, code) = run(deltaic("check").arg(&directory.0));
    assert_eq!(code, 0, "{out}{err}");
}

//! Several requests at once, transactions of several statements, and a store that fails.

use crate::common::{Db, one, text};

#[test]
fn requests_see_the_earlier_ones_and_leave_in_one_append() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a text)");
    let lsn = db.engine.lsn();
    one(&db.subscribe(1, "SELECT count(*) FROM t"));
    let (commits, replies) = db.batch(&[
        "INSERT INTO t VALUES (1, 'x')",
        "INSERT INTO t VALUES (1, 'again')",
        "SELECT a FROM t",
        "UPDATE t SET a = 'y' WHERE id = 1 RETURNING a",
        "SELEKT",
        "SELECT a FROM t",
    ]);
    assert_eq!(commits, 2);
    let shown: Vec<String> = replies
        .iter()
        .map(|reply| match reply {
            Ok(outcome) => {
                let rows: Vec<String> = outcome.rows.iter().map(|row| text(row)).collect();
                format!("{} @{}", rows.join(","), outcome.lsn.0 - lsn.0)
            }
            Err(error) => error.sqlstate().to_owned(),
        })
        .collect();
    assert_eq!(shown, [" @1", "23505", "x @1", "y @2", "42601", "y @2"]);
    assert_eq!(db.engine.lsn().0, lsn.0 + 2);
    assert_eq!(db.news(), ["1: -0 +1"]);
}

#[test]
fn definitions_and_rows_travel_in_one_batch() {
    let mut db = Db::new();
    let (commits, replies) = db.batch(&[
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1)",
        "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p); INSERT INTO c VALUES (1, 1)",
        "DELETE FROM p",
        "DROP TABLE c; DELETE FROM p; ALTER TABLE p ADD COLUMN a int DEFAULT 3",
        "INSERT INTO p VALUES (5)",
        "DROP TABLE p; CREATE TABLE p (id text PRIMARY KEY); INSERT INTO p VALUES ('new')",
    ]);
    assert_eq!(commits, 5);
    assert_eq!(replies[2].as_ref().unwrap_err().sqlstate(), "23503");
    assert_eq!(replies.iter().filter(|reply| reply.is_ok()).count(), 5);
    assert_eq!(db.rows("SELECT * FROM p"), ["new"]);
    assert_eq!(db.restart().rows("SELECT * FROM p"), ["new"]);
}

#[test]
fn the_third_statement_that_fails_takes_the_others_with_it() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    one(&db.subscribe(1, "SELECT id FROM t"));
    for last in ["INSERT INTO t VALUES (1)", "SELECT 1 / (id - 1) FROM t", "SELECT nothing FROM t"] {
        db.fails(&format!("CREATE TABLE u (id int); INSERT INTO t VALUES (2); {last}"));
        assert_eq!(db.rows("SELECT id FROM t"), ["1"]);
        assert_eq!(db.code("SELECT * FROM u"), "42P01");
    }
    assert_eq!(db.news(), [""; 0]);
}

#[test]
fn begin_commit_and_rollback_stand_around_a_request() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY)");
    for sql in [
        "BEGIN; INSERT INTO t VALUES (1); COMMIT",
        "START TRANSACTION; INSERT INTO t VALUES (2); END",
        "BEGIN TRANSACTION; INSERT INTO t VALUES (3); COMMIT;",
        "BEGIN; COMMIT",
        "",
        ";",
        "-- nothing",
    ] {
        db.ok(sql);
    }
    let lsn = db.engine.lsn();
    assert_eq!(db.rows("BEGIN; DELETE FROM t; SELECT count(*) FROM t; ROLLBACK"), ["0"]);
    db.ok("BEGIN; DROP TABLE t; CREATE TABLE t (a text); ROLLBACK");
    assert_eq!(db.engine.lsn(), lsn);
    assert_eq!(db.rows("SELECT * FROM t"), ["1", "2", "3"]);
    for sql in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "BEGIN; INSERT INTO t VALUES (9)",
        "INSERT INTO t VALUES (9); COMMIT",
        "INSERT INTO t VALUES (9); BEGIN",
        "BEGIN; BEGIN; COMMIT",
        "BEGIN; COMMIT; INSERT INTO t VALUES (9)",
        "BEGIN; ROLLBACK; INSERT INTO t VALUES (9)",
    ] {
        let (code, message) = db.error(sql);
        assert_eq!(code, "25P01", "{sql}");
        assert!(message.contains("a transaction is one request"), "{message}");
    }
}

#[test]
fn a_transaction_that_undoes_itself_is_still_right() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)");
    one(&db.subscribe(1, "SELECT * FROM t"));
    db.ok("DELETE FROM t; INSERT INTO t VALUES (1, 1)");
    db.ok("INSERT INTO t VALUES (2, 2); DELETE FROM t WHERE id = 2");
    db.ok("CREATE TABLE u (a int); INSERT INTO u VALUES (1); DROP TABLE u");
    assert_eq!(db.news(), [""; 0]);
    assert_eq!(db.restart().rows("SELECT * FROM t"), ["1|1"]);
}

#[test]
fn nothing_of_a_batch_that_the_store_refused_happened() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x')");
    one(&db.subscribe(1, "SELECT id FROM t"));
    let before = (db.engine.status(), db.engine.lsn());
    let replies = db.batch_refused(&[
        "INSERT INTO t VALUES (2, 'y')",
        "SELECT a FROM t",
        "INSERT INTO t VALUES (1, 'again')",
        "CREATE TABLE u (a int)",
        "DROP TABLE t",
    ]);
    let codes: Vec<&str> = replies.iter().map(|reply| reply.as_ref().unwrap_err().sqlstate()).collect();
    assert_eq!(codes, ["58030", "58030", "23505", "58030", "58030"]);
    assert_eq!((db.engine.status(), db.engine.lsn()), before);
    assert_eq!(db.news(), [""; 0]);
    db.ok("INSERT INTO t VALUES (2, 'z')");
    assert_eq!(db.news(), ["1: +2"]);
    assert_eq!(db.restart().rows("SELECT * FROM t"), ["1|x", "2|z"]);
}

#[test]
fn a_restart_gives_the_same_rows_and_lsn() {
    let mut db = Db::with(
        "CREATE TABLE p (id int PRIMARY KEY, a text UNIQUE); CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE, n numeric);
         INSERT INTO p VALUES (1, 'x'), (2, 'y'); INSERT INTO c VALUES (1, 1.5), (1, 2), (2, 3)",
    );
    db.ok("DELETE FROM p WHERE id = 2");
    let (lsn, query) = (db.engine.lsn(), "SELECT a, sum(n) FROM p JOIN c ON c.p = p.id GROUP BY a");
    let rows = db.rows(query);
    let mut db = db.restart();
    assert_eq!((db.engine.lsn(), db.rows(query)), (lsn, rows));
    assert_eq!(db.code("INSERT INTO p VALUES (3, 'x')"), "23505");
    assert_eq!(one(&db.subscribe(1, query)), "[x|3.5]");
    db.ok("DELETE FROM p");
    assert_eq!(db.news(), ["1: -x|3.5"]);
}

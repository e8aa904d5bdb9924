//! Every error a request can have: code, message, position and hint.

use std::sync::Arc;

use deltaic_engine::{ClientId, Input, Now, RequestError};
use deltaic_storage::StorageError;
use serde_json::json;

use crate::common::{Db, Got};

#[test]
fn of_sql_with_position_and_hint() {
    let mut db = Db::with("CREATE TABLE task (id int PRIMARY KEY, title text)");
    for (sql, code, position, hint) in [
        ("SELECT titel FROM task", "42703", Some(8), Some("Perhaps you meant \"title\".")),
        ("SELECT 1; SELECT 'ä', titel FROM task", "42703", Some(23), Some("Perhaps you meant \"title\".")),
        ("SELECT * FROM tasks", "42P01", Some(15), Some("Perhaps you meant \"task\".")),
        ("SELECT id FROM task WHERE title > 1", "42883", Some(27), None),
        ("SELECT id FROM task GROUP BY ROLLUP (id)", "0A000", None, None),
        ("SELECT 'x'::int", "22P02", None, None),
        ("SELEC", "42601", Some(1), None),
    ] {
        let error = db.fails(sql);
        assert_eq!(error.sqlstate(), code, "{sql}");
        if position.is_some() {
            assert_eq!(error.position(), position, "{sql}");
        }
        if hint.is_some() {
            assert_eq!(error.hint().as_deref(), hint, "{sql}");
        }
        assert!(!error.to_string().is_empty());
    }
    let long = format!("SELECT '{}'", "x".repeat(deltaic_types::limits::STATEMENT_BYTES));
    assert_eq!(db.code(&long), "54000");
    assert_eq!(db.code(&format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))), "54001");
    assert_eq!(db.code(&format!("SELECT {}1", "- ".repeat(10_000))), "54001");
    assert_eq!(db.code(&"SELECT 1;".repeat(deltaic_types::limits::STATEMENTS + 1)), "54000");
}

#[test]
fn of_evaluation_limits_and_circuits() {
    let mut db = Db::with("CREATE TABLE t (a int); INSERT INTO t VALUES (0), (1)");
    assert_eq!(db.error("SELECT 1 / a FROM t"), ("22012".to_owned(), "division by zero".to_owned()));
    assert_eq!(db.code("SELECT sum(a + 9223372036854775807) FROM t"), "22003");
    assert_eq!(db.code("SELECT a FROM t LIMIT -1"), "2201W");
    assert_eq!(db.code("SELECT a FROM t OFFSET -1"), "2201X");
    let run = |db: &mut Db, sql: &str| db.run(sql, &[json!(-1)]).unwrap_err();
    assert_eq!(run(&mut db, "SELECT a FROM t LIMIT $1").sqlstate(), "2201W");
    assert_eq!(run(&mut db, "SELECT a FROM t OFFSET $1").sqlstate(), "2201X");
    let nested = "SELECT a FROM t WHERE a IN (SELECT a FROM t ORDER BY a LIMIT $1)";
    assert_eq!(run(&mut db, nested).sqlstate(), "2201W");
    for (subscription, query) in [(1, "SELECT a FROM t LIMIT $1"), (2, nested)] {
        assert_eq!(crate::common::one(&db.subscribe_with(subscription, query, &[json!(-1)])), "error 2201W");
        assert_eq!(crate::common::one(&db.subscribe_with(subscription, query, &[json!(0)])), "[]");
    }
    let nine: Vec<String> = (0..9).map(|n| format!("t t{n}")).collect();
    let nine = format!("(SELECT t0.a FROM {})", nine.join(", "));
    let error = db.error(&format!("SELECT count(*) FROM {nine} x, {nine} y"));
    assert_eq!(error.0, "54001");
    assert!(error.1.contains("18 relations"), "{}", error.1);
}

#[test]
fn of_parameters() {
    let mut db = Db::with("CREATE TABLE t (a int)");
    let error = db.run("SELECT a FROM t WHERE a = $2 OR a = $1", &[json!(1)]).unwrap_err();
    assert_eq!(error.sqlstate(), "08P01");
    assert_eq!(error.to_string(), "1 values were given for 2 parameters");
    assert_eq!(db.run("SELECT a FROM t", &[json!(1)]).unwrap_err().sqlstate(), "08P01");
    let error = db.run("SELECT a FROM t WHERE a = $1", &[json!("word")]).unwrap_err();
    assert_eq!(error.sqlstate(), "22P02");
    assert_eq!(
        error.to_string(),
        "parameter $1 is no integer: invalid input syntax for type integer: \"word\""
    );
    assert_eq!(
        db.run("INSERT INTO t VALUES ($1)", &[json!(3_000_000_000_u64)]).unwrap_err().sqlstate(),
        "22003"
    );
    // Statements of one request share the values.
    let sql = "INSERT INTO t VALUES ($1); INSERT INTO t VALUES ($1 + $2::int); SELECT a FROM t WHERE a > $1";
    assert_eq!(db.run(sql, &[json!(1), json!(2)]).unwrap().rows.len(), 1);
    assert_eq!(db.run("SELECT $2 + 1", &[json!(1), json!(2)]).unwrap_err().sqlstate(), "42P18");
    // Each takes those that it names, and all of them together take all.
    let sql = "UPDATE t SET a = $1; UPDATE t SET a = $2 WHERE a = 5; SELECT a FROM t WHERE a = $2";
    assert_eq!(db.run(sql, &[json!(5), json!(6)]).unwrap().rows.len(), 2);
    assert_eq!(db.run(sql, &[json!(5), json!(6), json!(7)]).unwrap_err().sqlstate(), "08P01");
    assert_eq!(db.run("SELECT 1; SELECT $1", &[]).unwrap_err().sqlstate(), "08P01");
}

#[test]
fn of_subscriptions() {
    let mut db = Db::with("CREATE TABLE t (a int)");
    let refused = |got: &[Got]| {
        let [Got::Error(error, None)] = got else { panic!("{got:?}") };
        (error.sqlstate().to_owned(), error.to_string())
    };
    for sql in ["INSERT INTO t VALUES (1)", "SELECT 1; SELECT 2", "", "BEGIN", "EXPLAIN SELECT 1"] {
        let (code, message) = refused(&db.subscribe(1, sql));
        assert_eq!(code, "42809", "{sql}");
        assert_eq!(message, "only one SELECT can be live: send other statements to /v1/sql");
    }
    assert_eq!(refused(&db.subscribe(1, "SELECT now()")).0, "0A000");
    assert_eq!(refused(&db.subscribe_with(1, "SELECT a FROM t LIMIT $1", &[json!(-1)])).0, "2201W");
    assert_eq!(refused(&db.subscribe_with(1, "SELECT a FROM t WHERE a = $1", &[])).0, "08P01");
    assert!(db.engine.is_idle());
    db.subscribe(1, "SELECT a FROM t");
    let (code, message) = refused(&db.subscribe(1, "SELECT a FROM t"));
    assert_eq!(code, "42710");
    assert!(message.starts_with("the client has a subscription of this number already"), "{message}");
    assert!(matches!(db.subscribe_as(2, 1, "SELECT a FROM t", &[], None)[..], [Got::Snapshot(_)]));
    // The first subscription goes on.
    db.ok("INSERT INTO t VALUES (1)");
    assert_eq!(db.news(), ["1: +1", "1: +1"]);
    db.step(Input::Disconnect(ClientId(9)));
    db.unsubscribe(77);
}

#[test]
fn of_rows_and_columns_that_are_too_much() {
    let mut db = Db::with("CREATE TABLE t (a text, b text, c text)");
    let long = json!("x".repeat(6 << 20));
    let error = db.run("INSERT INTO t VALUES ($1, $1, $1)", &[long]).unwrap_err();
    assert_eq!(error.sqlstate(), "54000");
    assert!(error.to_string().starts_with("a row of table \"t\" has 188"), "{error}");
    let columns: Vec<String> = (0..1001).map(|n| format!("c{n} int")).collect();
    assert_eq!(db.code(&format!("CREATE TABLE wide ({})", columns.join(", "))), "54011");
    assert_eq!(db.code(&format!("CREATE TABLE {} (a int)", "n".repeat(64))), "42622");
}

#[test]
fn of_the_clock_and_the_store() {
    let mut db = Db::with("CREATE TABLE t (a int)");
    let mut early = db.requests(&["INSERT INTO t VALUES (1)"], &[]);
    early[0].sql.push(';');
    let effects = db.engine.step(Now(0), Input::Requests(early), &db.store);
    assert!(effects.append.is_empty());
    let error = effects.replies[0].result.as_ref().unwrap_err();
    assert_eq!(error.sqlstate(), "57P03", "{error}");
    assert!(db.engine.time_millis() >= 60_000, "the skew can be seen");
    let full = StorageError::DiskFull { source: std::io::Error::other("full") };
    assert_eq!(RequestError::from(full).sqlstate(), "53100");
    assert_eq!(RequestError::from(StorageError::CommitTooLarge { limit: 1 }).sqlstate(), "54000");
    let damage = deltaic_storage::Damage::Checksum;
    assert_eq!(RequestError::from(StorageError::Corrupted { part: "hot", damage }).sqlstate(), "XX001");
    let error = RequestError::from(StorageError::Closed);
    assert_eq!(error.sqlstate(), "58030");
    assert_eq!(error.to_string(), StorageError::Closed.to_string());
    assert!(matches!(error, RequestError::Storage(inner) if Arc::strong_count(&inner) == 1));
}

#[test]
fn of_values_that_are_too_long() {
    let mut db = Db::with("CREATE TABLE t (a text)");
    let long = json!("x".repeat(deltaic_types::limits::VALUE_BYTES + 1));
    assert_eq!(db.run("INSERT INTO t VALUES ($1)", &[long]).unwrap_err().sqlstate(), "54000");
    db.ok("INSERT INTO t VALUES ('x')");
    assert_eq!(db.code("UPDATE t SET a = repeat(a, 9000000)"), "54000");
}

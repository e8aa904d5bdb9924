//! Large statements: nothing in them is quadratic. The sizes are such that a quadratic step would be heard.

use std::fmt::Write as _;

use serde_json::json;

use crate::common::{Db, Got, one};

fn values(rows: usize) -> String {
    let mut sql = String::new();
    for n in 0..rows {
        let _ = write!(sql, "{}({n}, {}, 'text {n}')", if n == 0 { "" } else { "," }, n % 100);
    }
    sql
}

#[test]
fn ten_thousand_rows_a_statement() {
    let mut db = Db::with(
        "CREATE TABLE g (id int PRIMARY KEY);
         CREATE TABLE t (id int PRIMARY KEY, g int REFERENCES g ON DELETE CASCADE ON UPDATE CASCADE, a text UNIQUE CHECK (a <> ''))",
    );
    let mut groups = String::new();
    for n in 0..100 {
        let _ = write!(groups, "{}({n})", if n == 0 { "" } else { "," });
    }
    db.ok(&format!("INSERT INTO g VALUES {groups}"));
    one(&db.subscribe(1, "SELECT g, count(*) FROM t GROUP BY g ORDER BY g LIMIT 2"));
    let rows = values(10_000);
    let affected = |db: &mut Db, sql: &str| match db.run(sql, &[]) {
        Ok(outcome) => outcome.rows_affected,
        Err(error) => panic!("{}: {error}", &sql[..sql.len().min(60)]),
    };
    assert_eq!(affected(&mut db, &format!("INSERT INTO t VALUES {rows}")), 10_000);
    assert_eq!(affected(&mut db, &format!("INSERT INTO t VALUES {rows} ON CONFLICT DO NOTHING")), 0);
    let upsert = format!("INSERT INTO t VALUES {rows} ON CONFLICT (id) DO UPDATE SET a = 'x' || excluded.a");
    assert_eq!(affected(&mut db, &upsert), 10_000);
    assert_eq!(affected(&mut db, "UPDATE t SET id = id + 1, a = a || '!'"), 10_000);
    assert_eq!(affected(&mut db, "UPDATE g SET id = id + 1000"), 100);
    assert_eq!(affected(&mut db, "DELETE FROM g WHERE id < 1050"), 50);
    assert_eq!(db.rows("SELECT count(*), min(id), max(g) FROM t"), ["5000|51|1099"]);
    assert_eq!(affected(&mut db, "DELETE FROM t"), 5_000);
    assert_eq!(db.news().len(), 4);
}

#[test]
fn a_result_asked_once_has_a_limit() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY)");
    db.ok("INSERT INTO t VALUES (1), (2), (3), (4), (5), (6)");
    // 36 rows of eight million bytes.
    let sql = "SELECT a.id, b.id, repeat('x', 7999999 + a.id * 0) FROM t a, t b";
    let (code, message) = db.error(sql);
    assert_eq!(code, "54000");
    assert!(message.contains("over the limit of 268435456: select fewer rows"), "{message}");
    assert_eq!(db.rows(&format!("SELECT sum(length(s.r)) FROM ({sql}) AS s (x, y, r)")), ["287999964"]);
}

#[test]
fn a_join_without_end_is_refused_and_leaves_no_trace() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, k int)");
    for start in [0, 1_250] {
        let rows: Vec<String> =
            (start..start + 1_250).map(|id| format!("({id}, {})", u8::from(id >= 2_490))).collect();
        db.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
    assert_eq!(db.code("SELECT count(*) FROM t a, t b"), "54000");
    // Whatever order the tables are named in, the one of which a condition leaves little comes first.
    assert_eq!(db.rows("SELECT count(*) FROM t a, t b WHERE a.id < 1"), ["2500"]);
    assert_eq!(db.rows("SELECT count(*) FROM t a, t b WHERE b.id < 1"), ["2500"]);
    let refused = |got: &[Got]| matches!(got, [Got::Error(error, None)] if error.sqlstate() == "54000");
    assert!(refused(&db.subscribe(1, "SELECT a.id FROM t a, t b")));
    // A template: with one value it is too much, with another it is not.
    let template = "SELECT b.k, count(*) FROM t a, t b WHERE a.k = $1 GROUP BY b.k";
    assert!(refused(&db.subscribe_with(1, template, &[json!(0)])));
    db.pass(60);
    assert!(db.engine.is_idle());
    assert_eq!(db.subscribe_with(1, template, &[json!(1)])[0].text(), "[0|24900, 1|100]");
    assert!(refused(&db.subscribe_with(2, template, &[json!(0)])));
    db.ok("DELETE FROM t WHERE id = 2499");
    assert_eq!(db.news(), ["1: -0|24900 -1|100 +0|22410 +1|81"]);
    db.unsubscribe(1);
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn what_every_branch_of_an_or_asks_is_a_join_key() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, k int, b text)");
    let rows: Vec<String> = (0..2_500).map(|id| format!("({id}, {}, NULL)", id % 7)).collect();
    db.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    let count = |condition: &str| format!("SELECT count(*) FROM t a, t b WHERE {condition}");
    for (condition, rows) in [
        ("(a.id = b.id AND a.k = 1) OR (a.id = b.id AND b.k = 2)", "714"),
        ("(a.id = b.id AND a.k = 1) OR (b.k = 2 AND (a.id = b.id AND a.b IS NULL)) OR a.id = b.id", "2500"),
        ("(a.id = b.id AND a.b = 'x') OR (a.id = b.id AND b.k = 2)", "357"),
        ("NOT (a.id = b.id AND a.b = 'x') AND (a.id = b.id OR a.id = b.id)", "0"),
    ] {
        assert_eq!(db.rows(&count(condition)), [rows], "{condition}");
    }
    // What can fail is asked where it stands.
    assert_eq!(db.code(&count("(a.id = b.id AND 1 / a.k = 1) OR (a.id = b.id AND b.k = 2)")), "54000");
}

#[test]
fn rows_that_are_too_many_or_too_long_are_refused_whole() {
    let mut db = Db::with(
        "CREATE TABLE s (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, a text, b text, c text)",
    );
    let ids: Vec<String> = (0..1_001).map(|id| format!("({id})")).collect();
    db.ok(&format!("INSERT INTO s VALUES {}", ids.join(", ")));
    let (code, message) = db.error("INSERT INTO t SELECT x.id * 1001 + y.id FROM s x, s y");
    assert_eq!(code, "54000");
    assert!(message.contains("over the limit of 1000000: split it"), "{message}");
    let (code, message) =
        db.error("INSERT INTO t SELECT 1, repeat('a', 6000000), repeat('b', 6000000), repeat('c', 6000000)");
    assert_eq!(code, "54000");
    assert!(
        message.contains("a row of table \"t\" has") && message.contains("over the limit of 16777216"),
        "{message}"
    );
    assert_eq!(db.rows("SELECT count(*) FROM t"), ["0"]);
}

//! Tables without a primary key: a hidden column tells their rows apart and is never seen.

use crate::common::{Db, one};

#[test]
fn duplicates_are_rows_of_their_own() {
    let mut db = Db::with("CREATE TABLE t (a int, b text)");
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM t")), "[]");
    db.ok("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, NULL)");
    assert_eq!(db.news(), ["1: +2*1|x +2|NULL"]);
    assert_eq!(db.rows("SELECT * FROM t ORDER BY a"), ["1|x", "1|x", "2|NULL"]);
    assert_eq!(db.rows("INSERT INTO t VALUES (3, 'y') RETURNING *"), ["3|y"]);
    assert_eq!(db.news(), ["1: +3|y"]);
    assert_eq!(db.rows("UPDATE t SET a = a WHERE a = 1 RETURNING *"), ["1|x", "1|x"]);
    assert_eq!(db.news(), [""; 0]);
    assert_eq!(db.rows("DELETE FROM t WHERE a = 1 RETURNING t.*"), ["1|x", "1|x"]);
    assert_eq!(db.news(), ["1: -2*1|x"]);
    assert_eq!(db.ok("SELECT * FROM t").columns.len(), 2);
}

#[test]
fn the_hidden_column_has_no_name_that_sql_can_say() {
    let mut db = Db::with("CREATE TABLE t (a int)");
    assert_eq!(db.code("INSERT INTO t VALUES (1, 2)"), "42601");
    for sql in [
        "CREATE TABLE u (id int PRIMARY KEY, \"\u{0}row\" text)",
        "ALTER TABLE t ADD COLUMN \"\u{0}row\" text",
        "SELECT \"\u{0}row\" FROM t",
        "INSERT INTO t (a, \"\u{0}row\") VALUES (1, 2)",
    ] {
        db.fails(sql);
    }
    assert_eq!(db.engine.status().tables[0].columns.len(), 1);
}

#[test]
fn a_failed_insert_leaves_no_gap_in_the_hidden_numbers() {
    let numbers = |failed: bool| {
        let mut db = Db::with("CREATE TABLE t (a int CHECK (a > 0))");
        db.ok("INSERT INTO t VALUES (1)");
        if failed {
            db.fails("INSERT INTO t VALUES (5), (-1)");
            db.fails("INSERT INTO t VALUES (5); SELECT 1 / 0");
        }
        db.ok("INSERT INTO t VALUES (2)");
        let store = db.store;
        let mut rows = Vec::new();
        let id = db.engine.status().tables[0].id;
        deltaic_storage::Reader::scan(&store, id, &[0, 1], &mut |row| rows.push(row)).unwrap();
        rows
    };
    assert_eq!(numbers(true), numbers(false));
}

#[test]
fn a_column_is_added_before_the_hidden_one() {
    let mut db = Db::with("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1), (2)");
    assert_eq!(one(&db.subscribe(1, "SELECT a, count(*) FROM t GROUP BY a")), "[1|2, 2|1]");
    db.ok("ALTER TABLE t ADD COLUMN b int DEFAULT 7");
    assert_eq!(db.news(), [""; 0]);
    assert_eq!(db.rows("SELECT * FROM t ORDER BY a"), ["1|7", "1|7", "2|7"]);
    assert_eq!(one(&db.subscribe(2, "SELECT b, sum(a) FROM t GROUP BY b")), "[7|4]");
    db.ok("UPDATE t SET b = 8 WHERE a = 1; INSERT INTO t (a) VALUES (3)");
    assert_eq!(db.news(), ["1: +3|1", "2: -7|4 +7|5 +8|2"]);
    db.ok("DELETE FROM t WHERE b = 8");
    assert_eq!(db.news(), ["1: -1|2", "2: -8|2"]);
    let mut db = db.restart();
    db.ok("ALTER TABLE t ADD COLUMN c text; INSERT INTO t VALUES (4, 5, 'x')");
    assert_eq!(db.rows("SELECT * FROM t ORDER BY a"), ["2|7|NULL", "3|7|NULL", "4|5|x"]);
    db.ok("CREATE INDEX ON t (c); DELETE FROM t WHERE c IS NULL");
    assert_eq!(db.restart().rows("SELECT * FROM t"), ["4|5|x"]);
}

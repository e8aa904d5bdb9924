//! INSERT, UPDATE and DELETE.

use crate::common::Db;

#[test]
fn inserts_fill_in_what_is_not_said() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int DEFAULT 2 * 3, b text DEFAULT 'none', c numeric(5,2))",
    );
    assert_eq!(
        db.rows("INSERT INTO t (c, id) VALUES (1.005, 1), (2, 2) RETURNING *, a + id AS sum"),
        ["1|6|none|1.01|7", "2|6|none|2|8"]
    );
    assert_eq!(db.rows("INSERT INTO t VALUES (3, DEFAULT, NULL) RETURNING *"), ["3|6|NULL|NULL"]);
    assert_eq!(db.ok("INSERT INTO t SELECT id + 10, a, b FROM t WHERE id < 3").rows_affected, 2);
    assert_eq!(db.rows("SELECT id FROM t"), ["1", "2", "3", "11", "12"]);
    for (sql, code) in [
        ("INSERT INTO t VALUES (4, 1, 'x', 1000)", "22003"),
        ("INSERT INTO t VALUES (4, 3000000000)", "22003"),
        ("INSERT INTO t VALUES (4, 'word')", "22P02"),
        ("INSERT INTO t VALUES (4, 1, 'x', 1, 5)", "42601"),
        ("INSERT INTO t (id, a) VALUES (4)", "42601"),
        ("INSERT INTO t (id, id) VALUES (4, 4)", "42701"),
        ("INSERT INTO t (nothing) VALUES (4)", "42703"),
    ] {
        assert_eq!(db.code(sql), code, "{sql}");
    }
}

#[test]
fn updates_read_the_row_as_it_was() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 10, 20), (2, 30, 40)",
    );
    assert_eq!(db.rows("UPDATE t SET a = b, b = a RETURNING *"), ["1|20|10", "2|40|30"]);
    assert_eq!(db.rows("UPDATE t SET id = 5, a = DEFAULT WHERE id = 1 RETURNING id, a"), ["5|NULL"]);
    assert_eq!(db.rows("SELECT * FROM t"), ["2|40|30", "5|NULL|10"]);
    assert_eq!(db.ok("UPDATE t SET a = 1 WHERE a = 99").rows_affected, 0);
    assert_eq!(db.ok("UPDATE t SET a = a").rows_affected, 2);
    assert_eq!(db.code("UPDATE t SET a = 10 / (id - 5)"), "22012");
    assert_eq!(db.code("UPDATE t SET a = 1 WHERE 10 / (id - 5) > 0"), "22012");
    assert_eq!(db.code("UPDATE t SET a = 2147483647 + id"), "22003");
    assert_eq!(db.code("UPDATE t SET a = 1, a = 2"), "42601");
    // The RETURNING of a statement is part of it.
    assert_eq!(db.code("DELETE FROM t RETURNING 10 / (id - 5)"), "22012");
    assert_eq!(db.rows("DELETE FROM t WHERE a IS NULL RETURNING *"), ["5|NULL|10"]);
    assert_eq!(db.rows("SELECT * FROM t"), ["2|40|30"]);
}

#[test]
fn a_row_that_goes_and_comes_back_is_one_change() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)");
    db.subscribe(1, "SELECT * FROM t");
    db.ok("DELETE FROM t; INSERT INTO t VALUES (1, 2); UPDATE t SET a = a + 1; UPDATE t SET id = 2; UPDATE t SET id = 1");
    assert_eq!(db.news(), ["1: -1|1 +1|3"]);
    assert_eq!(db.restart().rows("SELECT * FROM t"), ["1|3"]);
}

#[test]
fn a_key_is_found_by_any_number_that_equals_it() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE TABLE n (id numeric PRIMARY KEY, a int)",
    );
    db.ok("INSERT INTO t VALUES (1, 0), (2, 0); INSERT INTO n VALUES (1.50, 0), (2, 0)");
    for (condition, count) in [
        ("id = 1", 1),
        ("id = 1.0", 1),
        ("1::bigint = id", 1),
        ("id = 1.5", 0),
        ("id = 9223372036854775807", 0),
    ] {
        assert_eq!(
            db.ok(&format!("UPDATE t SET a = a + 1 WHERE {condition}")).rows_affected,
            count,
            "{condition}"
        );
    }
    assert_eq!(db.rows("SELECT id, a FROM t ORDER BY id"), ["1|3", "2|0"]);
    for (condition, count) in
        [("id = 1.5", 1), ("id = 1.500", 1), ("id = 2", 1), ("id = 2.00", 1), ("id = 3", 0)]
    {
        assert_eq!(
            db.ok(&format!("UPDATE n SET a = a + 1 WHERE {condition}")).rows_affected,
            count,
            "{condition}"
        );
    }
    assert_eq!(db.rows("SELECT a FROM n ORDER BY id"), ["2", "2"]);
    assert_eq!(db.ok("DELETE FROM t WHERE id = 1.00").rows_affected, 1);
}

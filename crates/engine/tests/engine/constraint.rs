//! NOT NULL, CHECK and UNIQUE.

use crate::common::Db;

#[test]
fn null_satisfies_a_check_and_false_does_not() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int CHECK (a > 0), b int, CONSTRAINT wide CHECK (a < b))",
    );
    db.ok("INSERT INTO t VALUES (1, NULL, NULL), (2, 1, NULL), (3, 1, 2)");
    assert_eq!(
        db.error("INSERT INTO t VALUES (4, 0, 1)"),
        ("23514".to_owned(), "new row for table \"t\" violates check constraint \"t_a_check\"".to_owned())
    );
    assert_eq!(
        db.error("UPDATE t SET b = 1 WHERE id = 3"),
        ("23514".to_owned(), "new row for table \"t\" violates check constraint \"wide\"".to_owned())
    );
    let mut db = Db::with("CREATE TABLE t (a int CHECK (10 / a > 1))");
    assert_eq!(db.code("INSERT INTO t VALUES (0)"), "22012");
}

#[test]
fn not_null_names_its_column() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL)");
    let message = "null value in column \"a\" of table \"t\" violates its not-null constraint";
    assert_eq!(db.error("INSERT INTO t (id) VALUES (1)"), ("23502".to_owned(), message.to_owned()));
    assert_eq!(db.code("INSERT INTO t VALUES (NULL, 1)"), "23502");
    db.ok("INSERT INTO t VALUES (1, 1)");
    assert_eq!(db.code("UPDATE t SET id = NULL"), "23502");
}

#[test]
fn unique_keys_and_nulls() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b text, c int, UNIQUE (b, c))");
    db.ok("INSERT INTO t VALUES (1, NULL, 'x', NULL), (2, NULL, 'x', NULL), (3, 1, 'x', 1), (4, 2, NULL, 1), (5, 3, NULL, 1)");
    assert_eq!(
        db.error("INSERT INTO t VALUES (1)").1,
        "duplicate key value violates unique constraint \"t_pkey\": (id) = (1) is there already"
    );
    assert_eq!(
        db.error("UPDATE t SET c = 1 WHERE id = 1").1,
        "duplicate key value violates unique constraint \"t_b_c_key\": (b, c) = (x, 1) is there already"
    );
    assert_eq!(db.code("INSERT INTO t VALUES (6, 1)"), "23505");
    assert_eq!(db.code("INSERT INTO t VALUES (6, 9), (7, 9)"), "23505");
    assert_eq!(db.code("UPDATE t SET a = 5"), "23505");
    db.ok("DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 1, 'x', 1)");
}

#[test]
fn unique_values_change_places_in_one_statement() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE); INSERT INTO t VALUES (1, 2), (2, 1), (3, 3)",
    );
    db.ok("UPDATE t SET a = 3 - a WHERE id < 3");
    assert_eq!(db.rows("SELECT * FROM t"), ["1|1", "2|2", "3|3"]);
    db.ok("UPDATE t SET id = id + 1");
    assert_eq!(db.rows("SELECT * FROM t"), ["2|1", "3|2", "4|3"]);
    assert_eq!(db.code("UPDATE t SET id = 4 WHERE id = 2"), "23505");
    db.ok("UPDATE t SET id = 6 - id");
    assert_eq!(db.rows("SELECT * FROM t"), ["2|3", "3|2", "4|1"]);
}

//! INSERT … ON CONFLICT.

use crate::common::Db;

fn db() -> Db {
    Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b text NOT NULL CHECK (b <> ''));
         INSERT INTO t VALUES (1, 10, 'one'), (2, 20, 'two')",
    )
}

#[test]
fn nothing_skips_rows_that_are_there_and_those_that_come_twice() {
    let mut db = db();
    let sql = "INSERT INTO t VALUES (1, 99, 'x'), (3, 30, 'three'), (3, 31, 'x'), (4, 20, 'x') ON CONFLICT DO NOTHING";
    assert_eq!(db.rows(&format!("{sql} RETURNING id")), ["3"]);
    assert_eq!(db.ok(sql).rows_affected, 0);
    assert_eq!(db.rows("SELECT * FROM t"), ["1|10|one", "2|20|two", "3|30|three"]);
    // A target that another key of the table does not cover.
    assert_eq!(db.code("INSERT INTO t VALUES (5, 10, 'x') ON CONFLICT (id) DO NOTHING"), "23505");
    assert_eq!(db.ok("INSERT INTO t VALUES (5, 10, 'x') ON CONFLICT (a) DO NOTHING").rows_affected, 0);
    assert_eq!(db.code("INSERT INTO t VALUES (5, 10, 'x') ON CONFLICT (b) DO NOTHING"), "42P10");
}

#[test]
fn update_sees_the_row_that_is_there_and_the_one_to_come() {
    let mut db = db();
    assert_eq!(
        db.rows(
            "INSERT INTO t AS old VALUES (1, 5, 'x'), (7, 70, 'seven'), (2, 6, 'y')
             ON CONFLICT (id) DO UPDATE SET a = old.a + excluded.a, b = old.b || excluded.b
             WHERE old.id = 1 RETURNING *"
        ),
        ["1|15|onex", "7|70|seven"]
    );
    assert_eq!(db.rows("SELECT * FROM t"), ["1|15|onex", "2|20|two", "7|70|seven"]);
    // The key itself may change, and what it changes to is checked.
    db.ok("INSERT INTO t VALUES (1, 0, 'x') ON CONFLICT (id) DO UPDATE SET id = 9");
    assert_eq!(db.code("INSERT INTO t VALUES (9, 0, 'x') ON CONFLICT (id) DO UPDATE SET id = 2"), "23505");
    assert_eq!(db.code("INSERT INTO t VALUES (9, 0, 'x') ON CONFLICT (id) DO UPDATE SET b = ''"), "23514");
    assert_eq!(db.rows("SELECT id FROM t"), ["2", "7", "9"]);
    let sql = "INSERT INTO t VALUES (2, $1, 'p') ON CONFLICT (id) DO UPDATE SET a = $1 + $2 WHERE t.a < $3 RETURNING a";
    let outcome = db.run(sql, &[1.into(), 2.into(), 100.into()]).unwrap();
    assert_eq!(outcome.rows[0][0].as_i64(), Some(3));
}

#[test]
fn update_changes_no_row_twice() {
    let mut db = db();
    for sql in [
        "INSERT INTO t VALUES (1, 1, 'x'), (1, 2, 'y') ON CONFLICT (id) DO UPDATE SET b = excluded.b",
        "INSERT INTO t VALUES (8, 1, 'x'), (8, 2, 'y') ON CONFLICT (id) DO UPDATE SET b = excluded.b",
        // The second change is refused before its condition is looked at.
        "INSERT INTO t VALUES (8, 1, 'x'), (8, 2, 'y') ON CONFLICT (id) DO UPDATE SET b = excluded.b WHERE false",
    ] {
        let (code, message) = db.error(sql);
        assert_eq!(code, "21000", "{sql}");
        assert!(message.starts_with("ON CONFLICT DO UPDATE cannot change a row a second time"), "{message}");
    }
}

#[test]
fn the_row_to_come_must_be_a_row_of_the_table() {
    let mut db = db();
    for action in ["NOTHING", "UPDATE SET a = 1"] {
        let insert = |values: &str| format!("INSERT INTO t VALUES ({values}) ON CONFLICT (id) DO {action}");
        assert_eq!(db.code(&insert("1, 1, NULL")), "23502", "{action}");
        assert_eq!(db.code(&insert("1, 1, ''")), "23514", "{action}");
    }
}

#[test]
fn references_are_looked_at_when_the_statement_is_done() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t)");
    db.ok("INSERT INTO t VALUES (2, 1), (1, NULL) ON CONFLICT DO NOTHING");
    assert_eq!(db.code("INSERT INTO t VALUES (3, 9) ON CONFLICT DO NOTHING"), "23503");
    db.ok("INSERT INTO t VALUES (1, 5), (5, 2) ON CONFLICT (id) DO UPDATE SET up = excluded.up");
    assert_eq!(db.rows("SELECT * FROM t"), ["1|5", "2|1", "5|2"]);
}

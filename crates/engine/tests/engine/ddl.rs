//! CREATE, ALTER and DROP on tables with rows and with live queries.

use crate::common::{Db, one};

#[test]
fn a_new_column_leaves_live_results_alone() {
    let mut db =
        Db::with("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, NULL)");
    one(&db.subscribe(1, "SELECT * FROM t"));
    one(&db.subscribe(2, "SELECT count(*) FROM t WHERE a IS NULL"));
    db.ok("ALTER TABLE t ADD COLUMN b int NOT NULL DEFAULT 1 + 1; ALTER TABLE t ADD COLUMN c text");
    assert_eq!(db.news(), [""; 0]);
    assert_eq!(db.rows("SELECT * FROM t"), ["1|x|2|NULL", "2|NULL|2|NULL"]);
    db.ok("INSERT INTO t VALUES (3, NULL, 4, 'c'); UPDATE t SET b = 9 WHERE id = 1");
    assert_eq!(db.news(), ["1: +3|NULL", "2: -1 +2"]);
    assert_eq!(one(&db.subscribe(3, "SELECT * FROM t")), "[1|x|9|NULL, 2|NULL|2|NULL, 3|NULL|4|c]");
    assert_eq!(db.code("ALTER TABLE t ADD COLUMN b int"), "42701");
    db.ok("ALTER TABLE t ADD COLUMN IF NOT EXISTS b int");
    assert_eq!(db.code("ALTER TABLE t ADD COLUMN d int NOT NULL"), "23502");
    assert_eq!(db.code("ALTER TABLE t ADD COLUMN d int DEFAULT 1 / 0"), "22012");
    db.ok("DELETE FROM t; ALTER TABLE t ADD COLUMN d int NOT NULL");
    assert_eq!(db.code("INSERT INTO t (id, b) VALUES (1, 1)"), "23502");
}

#[test]
fn a_column_is_added_and_read_in_one_request() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let sql = "ALTER TABLE t ADD COLUMN a int DEFAULT 5; UPDATE t SET a = id WHERE a = 5 AND id = 2;
               CREATE UNIQUE INDEX t_a ON t (a); SELECT * FROM t";
    assert_eq!(db.rows(sql), ["1|5", "2|2"]);
    assert_eq!(db.code("INSERT INTO t VALUES (3, 5)"), "23505");
    assert_eq!(db.restart().code("INSERT INTO t VALUES (3, 5)"), "23505");
}

#[test]
fn indexes_over_rows_that_are_there() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t VALUES (1, 1, 'x'), (2, 1, 'y'), (3, NULL, 'z'), (4, NULL, 'z')",
    );
    db.ok("CREATE INDEX t_a ON t (a)");
    assert_eq!(db.rows("SELECT id FROM t WHERE a = 1 ORDER BY id"), ["1", "2"]);
    let (code, message) = db.error("CREATE UNIQUE INDEX t_a_u ON t (a)");
    assert_eq!((code.as_str(), message.contains("\"t_a_u\": (a) = (1)")), ("23505", true), "{message}");
    db.ok("CREATE UNIQUE INDEX t_a_b ON t (a, b)");
    assert_eq!(db.code("INSERT INTO t VALUES (5, 1, 'x')"), "23505");
    assert_eq!(db.ok("INSERT INTO t VALUES (5, 1, 'x') ON CONFLICT (a, b) DO NOTHING").rows_affected, 0);
    assert_eq!(db.code("CREATE INDEX t_a ON t (b)"), "42P07");
    db.ok("CREATE INDEX IF NOT EXISTS t_a ON t (b)");
    db.ok("DROP INDEX t_a_b, t_a; INSERT INTO t VALUES (5, 1, 'x')");
    assert_eq!(db.code("DROP INDEX t_a"), "42704");
    db.ok("DROP INDEX IF EXISTS t_a");
    assert_eq!(db.restart().rows("SELECT id FROM t WHERE a = 1 AND b = 'x'"), ["1", "5"]);
}

#[test]
fn an_index_that_a_reference_needs_stays() {
    let mut db = Db::with(
        "CREATE TABLE p (id int PRIMARY KEY, a int); CREATE UNIQUE INDEX p_a ON p (a);
         CREATE TABLE c (a int REFERENCES p (a)); INSERT INTO p VALUES (1, 10); INSERT INTO c VALUES (10)",
    );
    let (code, message) = db.error("DROP INDEX p_a");
    assert_eq!(code, "2BP01");
    assert_eq!(message, "cannot drop index \"p_a\": foreign key \"c_a_fkey\" of table \"c\" depends on it");
    db.ok("CREATE UNIQUE INDEX p_b ON p (a); DROP INDEX p_a");
    assert_eq!(db.code("DELETE FROM p"), "23503");
    assert_eq!(db.code("DROP INDEX p_b"), "2BP01");
    db.ok("DROP TABLE c; DROP INDEX p_b");
}

#[test]
fn dropping_a_table_ends_its_live_queries() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
    );
    one(&db.subscribe(1, "SELECT * FROM t"));
    one(&db.subscribe(2, "SELECT t.id FROM t JOIN u ON t.id = u.id"));
    one(&db.subscribe(3, "SELECT * FROM u"));
    one(&db.subscribe_with(4, "SELECT * FROM t WHERE id = $1", &[1.into()]));
    db.unsubscribe(4);
    db.ok("INSERT INTO u VALUES (1); DROP TABLE t");
    let mut news = db.news();
    news.sort();
    assert_eq!(news, ["1: error 42P01", "2: error 42P01", "3: +1"]);
    db.pass(60);
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM t")), "error 42P01");
    db.ok("CREATE TABLE t (id text PRIMARY KEY); INSERT INTO t VALUES ('x')");
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM t")), "[x]");
    for subscription in [1, 2, 3] {
        db.unsubscribe(subscription);
    }
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn a_table_that_others_refer_to_stays() {
    let mut db = Db::with(
        "CREATE TABLE p (id int PRIMARY KEY, up int REFERENCES p); CREATE TABLE c (p int REFERENCES p)",
    );
    let (code, message) = db.error("DROP TABLE p");
    assert_eq!(code, "2BP01");
    assert_eq!(message, "cannot drop table \"p\": foreign key \"c_p_fkey\" of table \"c\" depends on it");
    db.ok("DROP TABLE p, c");
    db.ok("DROP TABLE IF EXISTS p");
    assert_eq!(db.code("DROP TABLE p"), "42P01");
    db.ok("CREATE TABLE p (id int PRIMARY KEY, up int REFERENCES p); DROP TABLE p");
    db.ok("CREATE TABLE IF NOT EXISTS p (id int); CREATE TABLE IF NOT EXISTS p (other text)");
    assert_eq!(db.code("CREATE TABLE p (id int)"), "42P07");
    db.ok("INSERT INTO p (id) VALUES (1)");
}

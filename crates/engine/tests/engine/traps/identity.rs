//! Traps 1 to 8: which row is meant, and what one commit changes.

use crate::kept::Kept;

fn db() -> Kept {
    Kept::with(
        "CREATE TABLE t (id int PRIMARY KEY, g int, a int, b text);
         INSERT INTO t VALUES (1, 1, 9, 'x'), (2, 1, 1, 'y')",
    )
}

#[test]
fn t01_an_update_retracts_the_old_row_where_the_new_one_fails_the_filter() {
    let mut db = db();
    assert_eq!(db.watch("SELECT id, a FROM t WHERE a > 5"), "[1|9]");
    assert_eq!(db.run("UPDATE t SET a = 1 WHERE id = 1"), ["1: -1|9"]);
    assert_eq!(db.run("UPDATE t SET a = 50 WHERE id = 2"), ["1: +2|50"]);
    assert_eq!(db.run("UPDATE t SET a = 60 WHERE id = 2"), ["1: -2|50 +2|60"]);
    assert_eq!(db.run("UPDATE t SET a = 9 - id"), ["1: -2|60 +1|8 +2|7"]);
    db.end();
}

#[test]
fn t02_an_update_of_a_column_that_nobody_reads_says_nothing_and_loses_nothing() {
    let mut db = db();
    db.watch("SELECT id, a FROM t WHERE a > 5");
    db.watch("SELECT g, count(*) FROM t GROUP BY g");
    assert_eq!(db.run("UPDATE t SET b = 'z'"), [""; 0]);
    assert_eq!(db.run("UPDATE t SET b = 'w', a = a + 1"), ["1: -1|9 +1|10"]);
    assert_eq!(db.run("DELETE FROM t WHERE b = 'w' AND id = 1"), ["1: -1|10", "2: -1|2 +1|1"]);
    db.end();
}

#[test]
fn t03_one_commit_gives_the_difference_and_not_its_steps() {
    let mut db = db();
    db.watch("SELECT id, a FROM t");
    db.watch("SELECT count(*), sum(a) FROM t");
    let nothing = [""; 0];
    let again = "BEGIN; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 1, 9, 'x'); COMMIT";
    assert_eq!(db.run(again), nothing);
    let other = "BEGIN; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 1, 7, 'x'); COMMIT";
    assert_eq!(db.run(other), ["1: -1|9 +1|7", "2: -2|10 +2|8"]);
    assert_eq!(
        db.run("BEGIN; INSERT INTO t VALUES (3, 1, 1, 'q'); DELETE FROM t WHERE id = 3; COMMIT"),
        nothing
    );
    let twice = "BEGIN; UPDATE t SET a = 100 WHERE id = 1; UPDATE t SET a = 8 WHERE id = 1; COMMIT";
    assert_eq!(db.run(twice), ["1: -1|7 +1|8", "2: -2|8 +2|9"]);
    assert_eq!(db.run("UPDATE t SET id = 9 WHERE id = 1"), ["1: -1|8 +9|8"]);
    // Requests that arrive together are commits of their own.
    let news = db.run_all(&["DELETE FROM t WHERE id = 9", "INSERT INTO t VALUES (9, 1, 8, 'x')"]);
    assert_eq!(news, ["1: -9|8", "2: -2|9 +1|1", "1: +9|8", "2: -1|1 +2|9"]);
    db.end();
}

#[test]
fn t04_equal_rows_cancel_before_and_after_every_operator() {
    let mut db = db();
    db.watch("SELECT b FROM t");
    db.watch("SELECT b, count(*) FROM t GROUP BY b");
    db.watch("SELECT DISTINCT b FROM t ORDER BY b LIMIT 1");
    db.watch("SELECT t.b, u.id FROM t JOIN t u ON u.g = t.g AND u.id = 2");
    db.watch("SELECT b, row_number() OVER (ORDER BY b) FROM t");
    // An x goes and an x comes.
    assert_eq!(
        db.run("BEGIN; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 1, 5, 'x'); COMMIT"),
        [""; 0]
    );
    // An x goes and a w comes.
    assert_eq!(
        db.run("BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (1, 1, 5, 'w'); COMMIT"),
        ["1: -x +w", "2: -x|1 +w|1", "3: -x +w", "4: -x|2 +w|2", "5: -x|1 +w|1"]
    );
    db.end();
}

#[test]
fn t05_rows_that_are_alike_are_counted_in_a_bag_and_told_once_in_a_set() {
    let mut db = Kept::with("CREATE TABLE n (a int, b int); INSERT INTO n VALUES (1, 1), (1, 2), (1, 3)");
    assert_eq!(db.watch("SELECT a FROM n"), "[1, 1, 1]");
    assert_eq!(db.watch("SELECT DISTINCT a FROM n"), "[1]");
    assert_eq!(db.watch("SELECT a, b FROM n WHERE a = 7"), "[]");
    assert_eq!(db.run("DELETE FROM n WHERE b > 1"), ["1: -2*1"]);
    assert_eq!(db.run("INSERT INTO n VALUES (7, 7), (7, 7), (7, 7)"), ["1: +3*7", "2: +7", "3: +3*7|7"]);
    assert_eq!(db.run("UPDATE n SET a = 1 WHERE a = 7"), ["1: -3*7 +3*1", "2: -7", "3: -3*7|7"]);
    assert_eq!(db.run("DELETE FROM n WHERE b = 1"), ["1: -1"]);
    assert_eq!(db.run("DELETE FROM n"), ["1: -3*1", "2: -1"]);
    db.end();
}

#[test]
fn t06_a_retraction_may_stand_before_its_insertion() {
    let mut db =
        Kept::with("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 10), (2, 20)");
    db.watch("SELECT a FROM t");
    db.watch("SELECT DISTINCT a FROM t");
    db.watch("SELECT a, count(*) FROM t GROUP BY a");
    db.watch("SELECT id, a FROM t");
    assert_eq!(db.run("UPDATE t SET id = 3 - id"), ["4: -1|10 -2|20 +1|20 +2|10"]);
    assert_eq!(db.run("UPDATE t SET id = id + 1, a = 30 - a"), ["4: -1|20 +3|20"]);
    assert_eq!(
        db.run("BEGIN; DELETE FROM t; INSERT INTO t VALUES (3, 10), (2, 20), (4, 10); COMMIT"),
        ["1: +10", "3: -10|1 +10|2", "4: -2|10 -3|20 +2|20 +3|10 +4|10"]
    );
    db.end();
}

#[test]
fn t07_both_sides_of_a_join_change_in_one_commit() {
    let mut db = Kept::with(
        "CREATE TABLE p (id int PRIMARY KEY, name text); CREATE TABLE c (id int PRIMARY KEY, p int);
         INSERT INTO p VALUES (1, 'x'); INSERT INTO c VALUES (1, 1)",
    );
    db.watch("SELECT c.id, name FROM c JOIN p ON p.id = c.p");
    db.watch("SELECT count(*) FROM c, p");
    assert_eq!(
        db.run("BEGIN; INSERT INTO p VALUES (2, 'y'); INSERT INTO c VALUES (2, 2), (3, 1); COMMIT"),
        ["1: +2|y +3|x", "2: -1 +6"]
    );
    assert_eq!(
        db.run("BEGIN; UPDATE p SET id = id + 1; UPDATE c SET p = p + 1; COMMIT"),
        [""; 0],
        "each key moves on both sides"
    );
    assert_eq!(
        db.run("BEGIN; DELETE FROM p WHERE id = 3; DELETE FROM c WHERE id = 2; COMMIT"),
        ["1: -2|y", "2: -6 +2"]
    );
    assert_eq!(db.run("BEGIN; DELETE FROM c; DELETE FROM p; COMMIT"), ["1: -1|x -3|x", "2: -2 +0"]);
    db.end();
}

#[test]
fn t08_a_table_that_reaches_an_operator_by_two_ways() {
    let mut db = db();
    assert_eq!(db.watch("SELECT id FROM t UNION ALL SELECT id FROM t"), "[1, 1, 2, 2]");
    db.watch("SELECT a.id, b.id FROM t a JOIN t b ON a.g = b.g AND a.id <= b.id");
    db.watch("SELECT count(*) FROM t a JOIN t b ON a.g = b.g JOIN t c ON c.g = b.g");
    db.watch(
        "SELECT x.g, n, m FROM (SELECT g, count(*) n FROM t GROUP BY g) x \
         JOIN (SELECT g, max(a) m FROM t GROUP BY g) y ON y.g = x.g",
    );
    db.watch("SELECT id FROM t WHERE a = (SELECT max(a) FROM t)");
    db.watch("SELECT id FROM t EXCEPT SELECT id FROM t");
    assert_eq!(
        db.run("INSERT INTO t VALUES (3, 1, 20, 'z'), (4, 2, 4, 'z')"),
        ["1: +2*3 +2*4", "2: +1|3 +2|3 +3|3 +4|4", "3: -8 +28", "4: -1|2|9 +1|3|20 +2|1|4", "5: -1 +3"]
    );
    assert_eq!(
        db.run("BEGIN; DELETE FROM t WHERE id = 3; UPDATE t SET g = 2 WHERE id = 2; COMMIT"),
        [
            "1: -2*3",
            "2: -1|2 -1|3 -2|3 -3|3 +2|4",
            "3: -28 +9",
            "4: -1|3|20 -2|1|4 +1|1|9 +2|2|4",
            "5: -3 +1"
        ]
    );
    db.end();
}

//! Traps 27 to 30: order, limits, windows and the clock.

use serde_json::json;

use crate::kept::Kept;

fn db() -> Kept {
    Kept::with(
        "CREATE TABLE t (id int PRIMARY KEY, g int, a int); CREATE TABLE p (id int PRIMARY KEY);
         INSERT INTO p VALUES (1), (2), (3), (4);
         INSERT INTO t VALUES (1, 1, 10), (2, 1, 20), (3, 1, 30), (4, 2, 20), (5, 2, 40)",
    )
}

#[test]
fn t27_the_boundary_of_a_limit() {
    let mut db = db();
    assert_eq!(
        db.watch("SELECT id, a FROM t ORDER BY a LIMIT 2"),
        "[1|10, 2|20]",
        "2 before 4: the row decides"
    );
    assert_eq!(db.run("INSERT INTO t VALUES (0, 1, 20)"), ["1: -2|20 +0|20"]);
    assert_eq!(db.run("UPDATE t SET a = 5 WHERE id = 5"), ["1: -0|20 +5|5"]);
    assert_eq!(db.run("UPDATE t SET a = 40 WHERE id = 5"), ["1: -5|5 +0|20"]);
    assert_eq!(db.run("DELETE FROM t WHERE id IN (0, 1)"), ["1: -0|20 -1|10 +2|20 +4|20"]);
    assert_eq!(db.run("DELETE FROM t WHERE a < 40"), ["1: -2|20 -4|20 +5|40"]);
    assert_eq!(db.run("DELETE FROM t"), ["1: -5|40"]);
    db.end();
}

#[test]
fn t27_limits_of_every_kind() {
    let mut db = db();
    assert_eq!(db.watch("SELECT id FROM t ORDER BY id LIMIT 0"), "[]");
    assert_eq!(db.watch("SELECT id FROM t ORDER BY id OFFSET 9"), "[]");
    assert_eq!(db.watch("SELECT id FROM t ORDER BY id OFFSET 4 LIMIT 1"), "[5]");
    assert_eq!(db.watch_with("SELECT id FROM t ORDER BY a DESC, id LIMIT $1", &[json!(1)]), "[5|40]");
    assert_eq!(db.watch("SELECT a FROM t ORDER BY a NULLS FIRST LIMIT 1"), "[10]");
    assert_eq!(db.watch("SELECT a FROM t ORDER BY a DESC NULLS LAST LIMIT 1"), "[40]");
    assert_eq!(db.watch("SELECT id FROM t ORDER BY a % 30, id LIMIT 1"), "[3|0]");
    assert_eq!(db.watch("SELECT g, sum(a) FROM t GROUP BY g ORDER BY sum(a) DESC LIMIT 1"), "[1|60]");
    assert_eq!(
        db.watch(
            "SELECT p.id, x.id FROM p, LATERAL (SELECT id FROM t WHERE g = p.id ORDER BY a DESC LIMIT 1) x"
        ),
        "[1|3, 2|5]",
        "the first of each group"
    );
    assert_eq!(
        db.run("INSERT INTO t VALUES (6, 2, NULL)"),
        ["4: -5|40 +6|NULL", "5: -10 +NULL", "9: -2|5 +2|6"],
        "a NULL is greater than any value, unless it is asked for elsewhere"
    );
    assert_eq!(db.run("UPDATE t SET g = 2 WHERE id = 3"), ["8: -1|60 +2|90", "9: -1|3 +1|2"]);
    assert_eq!(db.run("UPDATE t SET g = 3 WHERE id = 5"), ["8: -2|90 +2|50", "9: +3|5"]);
    db.end();
}

#[test]
fn t28_conditions_stay_outside_a_limit() {
    let mut db = db();
    assert_eq!(db.watch("SELECT DISTINCT a FROM t ORDER BY a LIMIT 2"), "[10, 20]");
    assert_eq!(db.watch("SELECT id FROM t WHERE a IN (SELECT a FROM t ORDER BY a LIMIT 2)"), "[1, 2, 4]");
    assert_eq!(db.watch("SELECT id FROM (SELECT id, g FROM t ORDER BY id LIMIT 3) x WHERE g = 2"), "[]");
    assert_eq!(
        db.watch("SELECT x.id FROM (SELECT id, g FROM t ORDER BY id DESC LIMIT 2) x JOIN p ON p.id = x.g"),
        "[4, 5]"
    );
    assert_eq!(
        db.run("DELETE FROM t WHERE id = 2"),
        ["2: -2", "3: +4"],
        "another row has the value, and the third is now of the group"
    );
    assert_eq!(db.run("DELETE FROM t WHERE id = 4"), ["1: -20 +30", "2: -4 +3", "3: -4 +5", "4: -4 +3"]);
    db.end();
}

#[test]
fn t29_a_row_in_the_middle_of_a_partition() {
    let mut db = db();
    db.watch("SELECT id, row_number() OVER w, rank() OVER w, lag(id) OVER w FROM t WINDOW w AS (PARTITION BY g ORDER BY a)");
    db.watch("SELECT id, sum(a) OVER (PARTITION BY g ORDER BY a) FROM t");
    db.watch("SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY g ORDER BY a DESC) AS n FROM t) x WHERE n = 1");
    assert_eq!(
        db.run("INSERT INTO t VALUES (9, 1, 20)"),
        ["1: -3|3|3|2 +3|4|4|9 +9|3|2|2", "2: -2|30 -3|60 +2|50 +3|80 +9|50"],
        "only what differs, and only of its partition"
    );
    assert_eq!(
        db.run("UPDATE t SET g = 2 WHERE id = 3"),
        ["1: -3|4|4|9 -5|2|2|4 +3|2|2|4 +5|3|3|3", "2: -3|80 -5|60 +3|50 +5|90", "3: -3 +2"]
    );
    assert_eq!(db.run("UPDATE t SET a = a + 1 WHERE g = 9"), [""; 0]);
    assert_eq!(
        db.run("DELETE FROM t WHERE g = 1"),
        ["1: -1|1|1|NULL -2|2|2|1 -9|3|2|2", "2: -1|10 -2|50 -9|50", "3: -2"]
    );
    db.end();
}

#[test]
fn t30_time_moves_a_result_by_a_commit_and_by_nothing_else() {
    let mut db = db().db;
    let got = db.subscribe(1, "SELECT count(*) FROM t WHERE now() >= '2023-11-15'");
    assert_eq!(crate::common::one(&got), "[0]");
    let lsn = db.engine.lsn();
    db.now += 3600 * crate::common::SECOND;
    assert_eq!(db.rows("SELECT count(*) FROM t WHERE now() >= '2023-11-15'"), ["0"]);
    db.now += 3600 * crate::common::SECOND;
    assert!(db.news().is_empty(), "a result is a function of the log");
    db.pass(0);
    assert_eq!(db.news(), ["1: -0 +5"]);
    assert_eq!(db.engine.lsn(), lsn.next());
}

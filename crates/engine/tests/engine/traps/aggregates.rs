//! Traps 14 to 20: aggregates whose groups gain and lose rows.

use crate::kept::Kept;

fn db() -> Kept {
    Kept::with("CREATE TABLE t (id int PRIMARY KEY, g int, a int)")
}

#[test]
fn t14_the_extreme_leaves() {
    let mut db = db();
    db.watch("SELECT g, min(a), max(a) FROM t GROUP BY g");
    assert_eq!(db.run("INSERT INTO t VALUES (1, 1, 5), (2, 1, 9), (3, 1, 9), (4, 1, 7)"), ["1: +1|5|9"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 2"), [""; 0], "one of two equal extremes");
    assert_eq!(db.run("DELETE FROM t WHERE id = 3"), ["1: -1|5|9 +1|5|7"]);
    assert_eq!(
        db.run("BEGIN; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (5, 1, 5); COMMIT"),
        [""; 0],
        "replaced by its equal"
    );
    assert_eq!(db.run("UPDATE t SET a = 6 WHERE id = 5"), ["1: -1|5|7 +1|6|7"]);
    assert_eq!(
        db.run("BEGIN; DELETE FROM t; INSERT INTO t VALUES (8, 1, 1); COMMIT"),
        ["1: -1|6|7 +1|1|1"],
        "empty and not empty in one step"
    );
    assert_eq!(db.run("DELETE FROM t"), ["1: -1|1|1"]);
    db.end();
}

#[test]
fn t15_without_groups_there_is_a_row_over_nothing() {
    let mut db = db();
    assert_eq!(db.watch("SELECT count(*), sum(a), max(a) FROM t"), "[0|NULL|NULL]");
    assert_eq!(db.watch("SELECT g, count(*) FROM t GROUP BY g"), "[]");
    assert_eq!(db.watch("SELECT count(*) FROM t WHERE a > 5 HAVING count(*) = 0"), "[0]");
    assert_eq!(db.run("INSERT INTO t VALUES (1, 1, 9)"), ["1: -0|NULL|NULL +1|9|9", "2: +1|1", "3: -0"]);
    assert_eq!(db.run("DELETE FROM t"), ["1: -1|9|9 +0|NULL|NULL", "2: -1|1", "3: +0"]);
    db.end();
}

#[test]
fn t16_a_sum_forgets_what_has_left() {
    let mut db = Kept::with("CREATE TABLE t (id int PRIMARY KEY, d float8, b bigint)");
    db.watch("SELECT sum(d), avg(d) FROM t");
    db.run("INSERT INTO t VALUES (1, 1e16, 0)");
    db.run("INSERT INTO t VALUES (2, 1, 0)");
    assert_eq!(db.run("DELETE FROM t WHERE id = 1").len(), 1);
    assert_eq!(db.db.rows("SELECT sum(d), avg(d) FROM t"), ["1|1"]);
    assert_eq!(db.run("INSERT INTO t VALUES (3, 'Infinity', 0)"), ["1: -1|1 +Infinity|Infinity"]);
    assert_eq!(db.run("INSERT INTO t VALUES (4, '-Infinity', 0)"), ["1: -Infinity|Infinity +NaN|NaN"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 3"), ["1: -NaN|NaN +-Infinity|-Infinity"]);
    assert_eq!(db.run("UPDATE t SET d = 'NaN' WHERE id = 4"), ["1: --Infinity|-Infinity +NaN|NaN"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 4"), ["1: -NaN|NaN +1|1"]);
    // What is too large for the result's type is an error while it is.
    db.watch("SELECT sum(b)::bigint FROM t");
    db.run("INSERT INTO t VALUES (5, 1, 9223372036854775807)");
    assert_eq!(db.run("INSERT INTO t VALUES (6, -1, 9223372036854775807)")[1], "2: error 22003");
    let news = db.run("INSERT INTO t VALUES (7, 0, -9223372036854775807)");
    assert_eq!(news[1], "2: ", "the sum is again what it was");
    db.end();
}

#[test]
fn t17_nulls_are_rows_and_not_values() {
    let mut db = db();
    db.watch("SELECT g, count(*), count(a), sum(a), avg(a) FROM t GROUP BY g");
    db.watch("SELECT count(*) FILTER (WHERE a > 5), sum(a) FILTER (WHERE g = 2) FROM t");
    assert_eq!(db.run("INSERT INTO t VALUES (1, 1, NULL)"), ["1: +1|1|0|NULL|NULL"]);
    assert_eq!(db.run("INSERT INTO t VALUES (2, 1, 1), (3, 1, 2)"), ["1: -1|1|0|NULL|NULL +1|3|2|3|1.5"]);
    assert_eq!(
        db.run("UPDATE t SET a = 6 WHERE id = 3"),
        ["1: -1|3|2|3|1.5 +1|3|2|7|3.5", "2: -0|NULL +1|NULL"]
    );
    assert_eq!(
        db.run("UPDATE t SET g = 2 WHERE id = 3"),
        ["1: -1|3|2|7|3.5 +1|2|1|1|1 +2|1|1|6|6", "2: -1|NULL +1|6"]
    );
    assert_eq!(
        db.run("UPDATE t SET a = NULL"),
        ["1: -1|2|1|1|1 -2|1|1|6|6 +1|2|0|NULL|NULL +2|1|0|NULL|NULL", "2: -1|6 +0|NULL"]
    );
    assert_eq!(db.run("DELETE FROM t WHERE g = 1"), ["1: -1|2|0|NULL|NULL"]);
    db.end();
}

#[test]
fn t18_duplicates_of_a_distinct_aggregate_leave_one_by_one() {
    let mut db = db();
    db.watch("SELECT count(DISTINCT a), sum(DISTINCT a), count(a) FROM t");
    db.run("INSERT INTO t VALUES (1, 1, 5), (2, 1, 5), (3, 1, 5), (4, 1, NULL), (5, 1, 2)");
    assert_eq!(db.run("DELETE FROM t WHERE id = 1"), ["1: -2|7|4 +2|7|3"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 2"), ["1: -2|7|3 +2|7|2"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 3"), ["1: -2|7|2 +1|2|1"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 4"), [""; 0]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 5"), ["1: -1|2|1 +0|NULL|0"]);
    db.end();
}

#[test]
fn t19_having_is_crossed_both_ways_and_rows_move_between_groups() {
    let mut db = db();
    db.watch("SELECT g, count(*) FROM t GROUP BY g HAVING count(*) > 1");
    db.watch("SELECT n, count(*) FROM (SELECT g, count(*) AS n FROM t GROUP BY g) x GROUP BY n");
    assert_eq!(db.run("INSERT INTO t VALUES (1, 1, 1), (2, 2, 1)"), ["2: +1|2"]);
    assert_eq!(db.run("INSERT INTO t VALUES (3, 1, 1)"), ["1: +1|2", "2: -1|2 +1|1 +2|1"]);
    assert_eq!(db.run("UPDATE t SET g = 2 WHERE id = 3"), ["1: -1|2 +2|2"], "the groups swap their sizes");
    assert_eq!(db.run("DELETE FROM t WHERE id = 2"), ["1: -2|2", "2: -1|1 -2|1 +1|2"]);
    assert_eq!(db.run("UPDATE t SET g = 7"), ["1: +7|2", "2: -1|2 +2|1"]);
    db.end();
}

#[test]
fn t20_collections_percentiles_and_errors_that_come_and_go() {
    let mut db = db();
    db.watch("SELECT array_agg(a ORDER BY a DESC), string_agg(a::text, ',' ORDER BY id) FROM t");
    db.watch(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), mode() WITHIN GROUP (ORDER BY a) FROM t",
    );
    db.watch("SELECT g, sum(10 / a) FROM t GROUP BY g");
    assert_eq!(
        db.run("INSERT INTO t VALUES (1, 1, 5), (2, 1, 2), (3, 1, 5)"),
        ["1: -NULL|NULL +{5,5,2}|5,2,5", "2: -NULL|NULL +5|5", "3: +1|9"]
    );
    assert_eq!(
        db.run("INSERT INTO t VALUES (4, 2, 1)"),
        ["1: -{5,5,2}|5,2,5 +{5,5,2,1}|5,2,5,1", "2: -5|5 +3.5|5", "3: +2|10"]
    );
    assert_eq!(
        db.run("UPDATE t SET a = 0 WHERE id = 3"),
        ["1: -{5,5,2,1}|5,2,5,1 +{5,2,1,0}|5,2,0,1", "2: -3.5|5 +1.5|0", "3: error 22012"]
    );
    assert_eq!(db.run("DELETE FROM t WHERE id = 3")[2], "3: -1|9 +1|7");
    db.end();
}

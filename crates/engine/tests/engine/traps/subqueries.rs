//! Traps 25 and 26: subqueries wherever an expression stands, over each row anew.

use serde_json::json;

use crate::kept::Kept;

fn db() -> Kept {
    Kept::with(
        "CREATE TABLE p (id int PRIMARY KEY, name text); CREATE TABLE t (id int PRIMARY KEY, p int, a int);
         INSERT INTO p VALUES (1, 'x'), (2, 'y'); INSERT INTO t VALUES (1, 1, 10), (2, 2, 20)",
    )
}

#[test]
fn t25_a_scalar_subquery_over_none_one_and_two_rows() {
    let mut db = db();
    assert_eq!(db.watch("SELECT id, (SELECT a FROM t WHERE t.p = p.id) FROM p"), "[1|10, 2|20]");
    db.watch("SELECT id, (SELECT count(*) FROM t WHERE t.p = p.id) FROM p");
    db.watch("SELECT id, (SELECT a FROM t WHERE t.p = p.id ORDER BY a DESC LIMIT 1) FROM p");
    assert_eq!(
        db.run("DELETE FROM t WHERE id = 2"),
        ["1: -2|20 +2|NULL", "2: -2|1 +2|0", "3: -2|20 +2|NULL"],
        "no rows are NULL, and a count of them is 0"
    );
    assert_eq!(
        db.run("INSERT INTO t VALUES (3, 1, 30)"),
        ["1: error 21000", "2: -1|1 +1|2", "3: -1|10 +1|30"],
        "two rows are an error; LIMIT counts for each outer row"
    );
    assert_eq!(
        db.run("INSERT INTO t VALUES (4, 2, 40)"),
        ["2: -2|0 +2|1", "3: -2|NULL +2|40"],
        "an error is told once"
    );
    assert_eq!(
        db.run("DELETE FROM t WHERE id = 1"),
        ["1: -1|10 -2|NULL +1|30 +2|40", "2: -1|2 +1|1"],
        "and withdrawn"
    );
    db.end();
}

#[test]
fn t26_subqueries_in_every_clause() {
    let mut db = db();
    assert_eq!(db.watch("SELECT id FROM t WHERE a > (SELECT avg(a) FROM t)"), "[2]");
    assert_eq!(
        db.watch("SELECT p.id, t.id FROM p LEFT JOIN t ON t.p = p.id AND t.a = (SELECT max(a) FROM t)"),
        "[1|NULL, 2|2]"
    );
    assert_eq!(
        db.watch("SELECT p, sum(a) FROM t GROUP BY p HAVING sum(a) > (SELECT min(a) FROM t)"),
        "[2|20]"
    );
    assert_eq!(
        db.watch("SELECT id FROM p ORDER BY (SELECT max(a) FROM t WHERE t.p = p.id) DESC LIMIT 1"),
        "[2|20]"
    );
    assert_eq!(
        db.watch(
            "SELECT id FROM p WHERE EXISTS (SELECT 1 FROM t WHERE t.p = p.id AND \
             NOT EXISTS (SELECT 1 FROM t u WHERE u.a > t.a AND u.p <> p.id))"
        ),
        "[2]",
        "two levels"
    );
    assert_eq!(
        db.watch("SELECT p.id, x.a FROM p, LATERAL (SELECT a FROM t WHERE t.p = p.id ORDER BY a LIMIT 1) x"),
        "[1|10, 2|20]"
    );
    assert_eq!(
        db.watch_with(
            "SELECT id FROM p WHERE (SELECT count(*) FROM t WHERE t.p = p.id AND a > $1) = 0",
            &[json!(15)]
        ),
        "[1]"
    );
    assert_eq!(
        db.run("INSERT INTO t VALUES (3, 1, 99)"),
        ["1: -2 +3", "2: -1|NULL -2|2 +1|3 +2|NULL", "3: +1|109", "4: -2|20 +1|99", "5: -2 +1", "7: -1"]
    );
    assert_eq!(db.run("DELETE FROM t WHERE id = 1"), ["3: -1|109 -2|20 +1|99", "6: -1|10 +1|99"]);
    assert_eq!(
        db.run("DELETE FROM t"),
        ["1: -3", "2: -1|3 +1|NULL", "3: -1|99", "4: -1|99 +1|NULL", "5: -1", "6: -1|99 -2|20", "7: +1 +2"]
    );
    db.end();
}

//! Trap 31: recursion under deletion. More of it is in the module `recursion` of these tests.

use crate::kept::Kept;

const REACH: &str =
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT e.dst FROM r JOIN edge e ON e.src = r.n) SELECT n FROM r";
const LENGTH: &str = "WITH RECURSIVE w(n, d) AS (SELECT 1, 0 UNION SELECT e.dst, w.d + 1 FROM w JOIN edge e \
                      ON e.src = w.n WHERE w.d < 9) SELECT n, min(d) FROM w GROUP BY n";

fn db() -> Kept {
    Kept::with("CREATE TABLE edge (src int, dst int, PRIMARY KEY (src, dst))")
}

#[test]
fn t31_facts_that_support_each_other_go_together() {
    let mut db = db();
    assert_eq!(db.watch(REACH), "[1]");
    assert_eq!(db.run("INSERT INTO edge VALUES (1, 2), (2, 3), (3, 2), (3, 3), (3, 4)"), ["1: +2 +3 +4"]);
    assert_eq!(db.run("DELETE FROM edge WHERE src = 1"), ["1: -2 -3 -4"]);
    assert_eq!(
        db.run("BEGIN; INSERT INTO edge VALUES (1, 4); INSERT INTO edge VALUES (4, 3); DELETE FROM edge WHERE src = 3 AND dst = 4; COMMIT"),
        ["1: +2 +3 +4"]
    );
    // One way goes and another comes in the same commit: nothing changes.
    assert_eq!(
        db.run("BEGIN; DELETE FROM edge WHERE src = 1; INSERT INTO edge VALUES (1, 3), (2, 4); COMMIT"),
        [""; 0]
    );
    db.end();
}

#[test]
fn t31_row_at_a_time_and_all_at_once_are_the_same() {
    let edges = [(1, 2), (2, 3), (3, 1), (2, 4), (4, 5), (5, 2), (6, 1)];
    let mut one = db();
    let mut all = db();
    for query in [REACH, LENGTH] {
        one.watch(query);
        all.watch(query);
    }
    for (src, dst) in edges {
        one.run(&format!("INSERT INTO edge VALUES ({src}, {dst})"));
    }
    let values: Vec<String> = edges.iter().map(|(src, dst)| format!("({src}, {dst})")).collect();
    all.run(&format!("INSERT INTO edge VALUES {}", values.join(", ")));
    for query in [REACH, LENGTH] {
        assert_eq!(one.db.rows(query), all.db.rows(query));
    }
    one.run("DELETE FROM edge WHERE src = 2 AND dst = 3");
    one.run("DELETE FROM edge WHERE src = 1");
    all.run("DELETE FROM edge WHERE (src = 2 AND dst = 3) OR src = 1");
    for query in [REACH, LENGTH] {
        assert_eq!(one.db.rows(query), all.db.rows(query));
    }
    one.end();
    all.end();
}

#[test]
fn t31_the_shortest_way_lengthens() {
    let mut db = db();
    db.watch(LENGTH);
    db.run("INSERT INTO edge VALUES (1, 2), (2, 3), (3, 4), (1, 4)");
    assert_eq!(db.run("DELETE FROM edge WHERE src = 1 AND dst = 4"), ["1: -4|1 +4|3"]);
    assert_eq!(db.run("INSERT INTO edge VALUES (1, 3)"), ["1: -3|2 -4|3 +3|1 +4|2"]);
    db.end();
}

#[test]
fn t31_a_recursion_without_end_is_an_error_that_ends_with_its_cause() {
    let mut db = db();
    db.watch("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT e.dst FROM r JOIN edge e ON e.src = r.n) SELECT n FROM r");
    assert_eq!(db.run("INSERT INTO edge VALUES (1, 2)"), ["1: +2"]);
    assert_eq!(db.run("INSERT INTO edge VALUES (2, 1)"), ["1: error 54001"]);
    assert_eq!(db.run("UPDATE edge SET dst = 3 WHERE src = 2"), ["1: +3"]);
    // What is not monotone is refused.
    for step in [
        "SELECT count(*)::int FROM r",
        "SELECT src FROM edge WHERE src NOT IN (SELECT n FROM r)",
        "SELECT e.src FROM edge e LEFT JOIN r ON r.n = e.dst",
    ] {
        let sql = format!("WITH RECURSIVE r(n) AS (SELECT 1 UNION {step}) SELECT n FROM r");
        assert_eq!(db.db.code(&sql), "42P19", "{step}");
    }
    db.end();
}

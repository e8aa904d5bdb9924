//! Traps 21 to 24: outer joins and antijoins, whose rows beside NULLs come and go with their partners.

use crate::kept::Kept;

fn db() -> Kept {
    Kept::with(
        "CREATE TABLE l (id int PRIMARY KEY, k int); CREATE TABLE r (id int PRIMARY KEY, k int, a int)",
    )
}

#[test]
fn t21_a_left_row_loses_and_regains_its_partners() {
    let mut db = db();
    db.watch("SELECT l.id, r.id FROM l LEFT JOIN r ON r.k = l.k");
    db.watch("SELECT l.id, r.id FROM l LEFT JOIN r ON r.k = l.k AND r.a > 5");
    db.watch("SELECT l.id, r.id FROM l LEFT JOIN r ON r.k = l.k WHERE r.a > 5");
    assert_eq!(db.run("INSERT INTO l VALUES (1, 1)"), ["1: +1|NULL", "2: +1|NULL"]);
    assert_eq!(db.run("INSERT INTO r VALUES (1, 1, 1)"), ["1: -1|NULL +1|1"]);
    assert_eq!(
        db.run("UPDATE r SET a = 9"),
        ["2: -1|NULL +1|1", "3: +1|1"],
        "the condition of the join, and the one above it"
    );
    // One match replaces another: no row beside NULLs in between.
    assert_eq!(
        db.run("BEGIN; DELETE FROM r WHERE id = 1; INSERT INTO r VALUES (2, 1, 9); COMMIT"),
        ["1: -1|1 +1|2", "2: -1|1 +1|2", "3: -1|1 +1|2"]
    );
    assert_eq!(db.run("INSERT INTO r VALUES (3, 1, 1), (4, 1, 9)"), ["1: +1|3 +1|4", "2: +1|4", "3: +1|4"]);
    assert_eq!(db.run("DELETE FROM r WHERE a = 9"), ["1: -1|2 -1|4", "2: -1|2 -1|4 +1|NULL", "3: -1|2 -1|4"]);
    // Both sides in one commit.
    assert_eq!(
        db.run("BEGIN; UPDATE l SET k = 2; UPDATE r SET k = 2; COMMIT"),
        [""; 0],
        "they move together"
    );
    assert_eq!(
        db.run("BEGIN; INSERT INTO l VALUES (2, 2); DELETE FROM r; COMMIT"),
        ["1: -1|3 +1|NULL +2|NULL", "2: +2|NULL"]
    );
    assert_eq!(
        db.run("BEGIN; DELETE FROM l; INSERT INTO r VALUES (1, 2, 9); COMMIT"),
        ["1: -1|NULL -2|NULL", "2: -1|NULL -2|NULL"]
    );
    db.end();
}

#[test]
fn t21_right_rows_that_are_alike_keep_a_partner_until_the_last_goes() {
    let mut db = Kept::with(
        "CREATE TABLE l (id int PRIMARY KEY); CREATE TABLE d (k int, n int); INSERT INTO l VALUES (1)",
    );
    db.watch("SELECT l.id, d.k FROM l LEFT JOIN d ON d.k = l.id");
    assert_eq!(db.run("INSERT INTO d VALUES (1, 1), (1, 2), (1, 2)"), ["1: -1|NULL +3*1|1"]);
    assert_eq!(db.run("DELETE FROM d WHERE n = 2"), ["1: -2*1|1"]);
    assert_eq!(db.run("DELETE FROM d"), ["1: -1|1 +1|NULL"]);
    db.end();
}

#[test]
fn t22_a_full_join_from_unmatched_to_matched() {
    let mut db = db();
    db.watch("SELECT l.id, r.id FROM l FULL JOIN r ON r.k = l.k");
    assert_eq!(db.run("INSERT INTO l VALUES (1, 1)"), ["1: +1|NULL"]);
    assert_eq!(db.run("INSERT INTO r VALUES (5, 2, 0)"), ["1: +NULL|5"]);
    assert_eq!(db.run("UPDATE r SET k = 1"), ["1: -1|NULL -NULL|5 +1|5"]);
    assert_eq!(db.run("UPDATE l SET k = NULL"), ["1: -1|5 +1|NULL +NULL|5"]);
    assert_eq!(db.run("UPDATE r SET k = NULL"), [""; 0]);
    assert_eq!(db.run("BEGIN; UPDATE r SET k = 3; UPDATE l SET k = 3; COMMIT"), ["1: -1|NULL -NULL|5 +1|5"]);
    assert_eq!(db.run("BEGIN; DELETE FROM r; DELETE FROM l; COMMIT"), ["1: -1|5"]);
    db.end();
}

#[test]
fn t23_the_middle_of_a_chain_of_left_joins_comes_later() {
    let mut db = Kept::with(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int); \
         CREATE TABLE c (id int PRIMARY KEY, b int)",
    );
    db.watch("SELECT a.id, b.id, c.id FROM a LEFT JOIN b ON b.a = a.id LEFT JOIN c ON c.b = b.id");
    db.watch(
        "SELECT a.id, count(c.id) FROM a LEFT JOIN (b JOIN c ON c.b = b.id) ON b.a = a.id GROUP BY a.id",
    );
    assert_eq!(db.run("INSERT INTO c VALUES (3, 2)"), [""; 0]);
    assert_eq!(db.run("INSERT INTO a VALUES (1)"), ["1: +1|NULL|NULL", "2: +1|0"]);
    assert_eq!(db.run("INSERT INTO b VALUES (2, 1)"), ["1: -1|NULL|NULL +1|2|3", "2: -1|0 +1|1"]);
    assert_eq!(
        db.run("BEGIN; INSERT INTO b VALUES (4, 1); INSERT INTO c VALUES (5, 4), (6, 4); COMMIT"),
        ["1: +1|4|5 +1|4|6", "2: -1|1 +1|3"]
    );
    assert_eq!(db.run("DELETE FROM b WHERE id = 2"), ["1: -1|2|3", "2: -1|3 +1|2"]);
    assert_eq!(db.run("DELETE FROM b"), ["1: -1|4|5 -1|4|6 +1|NULL|NULL", "2: -1|2 +1|0"]);
    db.end();
}

#[test]
fn t24_an_antijoin_gives_no_row_more_often_than_it_is_there() {
    let mut db = db();
    db.watch("SELECT k FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k)");
    db.watch("SELECT k FROM l EXCEPT ALL SELECT k FROM r");
    // More partners than rows, and partners before there is a row.
    assert_eq!(db.run("INSERT INTO r VALUES (1, 1, 0), (2, 1, 0), (3, 1, 0)"), [""; 0]);
    assert_eq!(db.run("INSERT INTO l VALUES (1, 1)"), [""; 0]);
    assert_eq!(db.run("INSERT INTO l VALUES (2, 1), (3, 1), (4, 1)"), ["2: +1"]);
    assert_eq!(db.run("DELETE FROM r WHERE id < 3"), ["2: +2*1"]);
    assert_eq!(db.run("DELETE FROM r"), ["1: +4*1", "2: +1"]);
    assert_eq!(
        db.run("BEGIN; DELETE FROM l WHERE id = 1; INSERT INTO r VALUES (1, 1, 0); COMMIT"),
        ["1: -4*1", "2: -2*1"]
    );
    assert_eq!(db.run("DELETE FROM l"), ["2: -2*1"]);
    db.end();
}

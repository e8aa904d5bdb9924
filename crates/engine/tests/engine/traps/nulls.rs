//! Traps 9 to 13: NULL, and what is equal.

use crate::kept::Kept;

#[test]
fn t09_null_join_keys_never_match() {
    let mut db =
        Kept::with("CREATE TABLE l (id int PRIMARY KEY, k int); CREATE TABLE r (id int PRIMARY KEY, k int)");
    db.watch("SELECT l.id, r.id FROM l JOIN r ON l.k = r.k");
    db.watch("SELECT l.id, r.id FROM l JOIN r ON l.k IS NOT DISTINCT FROM r.k");
    db.watch("SELECT l.id, r.id FROM l LEFT JOIN r ON l.k = r.k");
    db.watch("SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)");
    // Across commits, then in one.
    assert_eq!(db.run("INSERT INTO l VALUES (1, NULL)"), ["3: +1|NULL"]);
    assert_eq!(db.run("INSERT INTO r VALUES (1, NULL)"), ["2: +1|1"]);
    assert_eq!(
        db.run(
            "BEGIN; INSERT INTO l VALUES (2, NULL), (3, 5); INSERT INTO r VALUES (2, NULL), (3, 5); COMMIT"
        ),
        ["1: +3|3", "2: +1|2 +2|1 +2|2 +3|3", "3: +2|NULL +3|3", "4: +3"]
    );
    assert_eq!(
        db.run("UPDATE r SET k = NULL WHERE id = 3"),
        ["1: -3|3", "2: -3|3 +1|3 +2|3", "3: -3|3 +3|NULL", "4: -3"]
    );
    db.end();
}

#[test]
fn t09_nulls_are_one_group_one_value_and_equal_in_set_operations() {
    let mut db =
        Kept::with("CREATE TABLE l (id int PRIMARY KEY, k int); CREATE TABLE r (id int PRIMARY KEY, k int)");
    db.watch("SELECT k, count(*) FROM l GROUP BY k");
    db.watch("SELECT DISTINCT k FROM l");
    db.watch("SELECT k FROM l UNION SELECT k FROM r");
    db.watch("SELECT k FROM l EXCEPT SELECT k FROM r");
    db.watch("SELECT k FROM l INTERSECT ALL SELECT k FROM r");
    assert_eq!(
        db.run("INSERT INTO l VALUES (1, NULL), (2, NULL)"),
        ["1: +NULL|2", "2: +NULL", "3: +NULL", "4: +NULL"]
    );
    assert_eq!(db.run("INSERT INTO r VALUES (1, NULL)"), ["4: -NULL", "5: +NULL"]);
    assert_eq!(db.run("DELETE FROM l WHERE id = 1"), ["1: -NULL|2 +NULL|1"]);
    assert_eq!(db.run("DELETE FROM l"), ["1: -NULL|1", "2: -NULL", "5: -NULL"]);
    assert_eq!(db.run("DELETE FROM r"), ["3: -NULL"]);
    db.end();
}

#[test]
fn t10_what_is_unknown_passes_no_filter() {
    let mut db =
        Kept::with("CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    for (condition, rows) in [
        ("x <> 'a'", "[2]"),
        ("NOT (x = 'a')", "[2]"),
        ("NOT (NULL::boolean)", "[]"),
        ("x NOT IN ('a', NULL)", "[]"),
        ("x IN ('b', NULL)", "[2]"),
        ("(x = 'a') IS NOT TRUE", "[2]"),
        ("x IS DISTINCT FROM 'a'", "[2]"),
        ("coalesce(x, 'n') = 'n'", "[]"),
        ("CASE WHEN x = 'a' THEN false WHEN x IS NULL THEN true ELSE NULL END", "[]"),
        ("CASE x WHEN NULL THEN true ELSE false END", "[]"),
        ("x = 'b' OR x IS NULL AND NOT (x = 'a')", "[2]"),
    ] {
        assert_eq!(db.watch(&format!("SELECT id FROM t WHERE {condition}")), rows, "{condition}");
    }
    assert_eq!(db.run("INSERT INTO t VALUES (3, NULL)"), ["6: +3", "7: +3", "8: +3", "9: +3"]);
    assert_eq!(
        db.run("UPDATE t SET x = NULL WHERE id = 2"),
        ["1: -2", "2: -2", "5: -2", "8: +2", "9: +2", "11: -2"]
    );
    assert_eq!(
        db.run("UPDATE t SET x = 'a' WHERE x IS NULL"),
        ["6: -2 -3", "7: -2 -3", "8: -2 -3", "9: -2 -3"]
    );
    db.end();
}

#[test]
fn t11_not_in_empties_where_the_subquery_gains_a_null() {
    let mut db = Kept::with(
        "CREATE TABLE t (id int PRIMARY KEY, x int); CREATE TABLE s (id int PRIMARY KEY, x int);
         INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL)",
    );
    assert_eq!(db.watch("SELECT id FROM t WHERE x NOT IN (SELECT x FROM s)"), "[1, 2, 3]");
    db.watch("SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM s WHERE s.x = t.x)");
    db.watch("SELECT id FROM t WHERE x IN (SELECT x FROM s)");
    db.watch("SELECT id, x IN (SELECT x FROM s) FROM t");
    assert_eq!(
        db.run("INSERT INTO s VALUES (1, 1)"),
        ["1: -1 -3", "2: -1", "3: +1", "4: -1|false -3|false +1|true +3|NULL"]
    );
    assert_eq!(db.run("INSERT INTO s VALUES (2, NULL)"), ["1: -2", "4: -2|false +2|NULL"]);
    assert_eq!(db.run("INSERT INTO s VALUES (3, NULL)"), [""; 0]);
    assert_eq!(db.run("DELETE FROM s WHERE id = 2"), [""; 0]);
    assert_eq!(db.run("DELETE FROM s WHERE id = 3"), ["1: +2", "4: -2|NULL +2|false"]);
    assert_eq!(
        db.run("DELETE FROM s"),
        ["1: +1 +3", "2: +1", "3: -1", "4: -1|true -3|NULL +1|false +3|false"]
    );
    db.end();
}

#[test]
fn t12_numbers_are_equal_across_types_in_every_place() {
    let mut db = Kept::with(
        "CREATE TABLE i (id int PRIMARY KEY, x bigint); CREATE TABLE n (id int PRIMARY KEY, x numeric, d float8)",
    );
    db.watch("SELECT i.id, n.id FROM i JOIN n ON i.x = n.x");
    db.watch("SELECT i.id, n.id FROM i JOIN n ON i.x = n.d");
    db.watch("SELECT id FROM n WHERE x = 1");
    db.watch("SELECT x, count(*) FROM n GROUP BY x");
    db.watch("SELECT x FROM i UNION SELECT x FROM n");
    db.watch("SELECT DISTINCT d FROM n");
    db.run("INSERT INTO i VALUES (1, 1)");
    assert_eq!(
        db.run("INSERT INTO n VALUES (1, 1.0, 1), (2, 1.00, '1e0')"),
        ["1: +1|1 +1|2", "2: +1|1 +1|2", "3: +1 +2", "4: +1|2", "6: +1"]
    );
    // 2^53 and its successor are one double and two integers.
    assert_eq!(
        db.run(
            "BEGIN; INSERT INTO i VALUES (2, 9007199254740992), (3, 9007199254740993); \
                INSERT INTO n VALUES (3, 9007199254740993, 9007199254740993); COMMIT"
        ),
        [
            "1: +3|3",
            "2: +2|3 +3|3",
            "4: +9007199254740993|1",
            "5: +9007199254740992 +9007199254740993",
            "6: +9.007199254740992e+15"
        ]
    );
    // Minus zero is zero, and NaN is one value, greater than all others.
    assert_eq!(
        db.run("DELETE FROM n"),
        [
            "1: -1|1 -1|2 -3|3",
            "2: -1|1 -1|2 -2|3 -3|3",
            "3: -1 -2",
            "4: -1|2 -9007199254740993|1",
            "6: -1 -9.007199254740992e+15"
        ]
    );
    db.watch("SELECT id, d FROM n ORDER BY d DESC LIMIT 1");
    assert_eq!(
        db.run("INSERT INTO n VALUES (1, NULL, '-0'), (2, NULL, 0), (3, NULL, 'NaN'), (4, NULL, 'NaN'), (5, NULL, 'Infinity')"),
        ["4: +NULL|5", "5: +NULL", "6: +0 +Infinity +NaN", "7: +3|NaN"]
    );
    assert_eq!(db.run("DELETE FROM n WHERE id IN (1, 3)"), ["4: -NULL|5 +NULL|3", "7: -3|NaN +4|NaN"]);
    assert_eq!(
        db.run("DELETE FROM n WHERE id = 4"),
        ["4: -NULL|3 +NULL|2", "6: -NaN", "7: -4|NaN +5|Infinity"]
    );
    db.end();
}

#[test]
fn t13_text_is_compared_by_its_bytes() {
    let mut db = Kept::with("CREATE TABLE t (id int PRIMARY KEY, s text)");
    db.watch("SELECT s FROM t WHERE s = 'a'");
    db.watch("SELECT s, count(*) FROM t GROUP BY s");
    db.watch("SELECT s FROM t ORDER BY s DESC LIMIT 2");
    assert_eq!(
        db.run("INSERT INTO t VALUES (1, 'a'), (2, 'A'), (3, 'a '), (4, 'b')"),
        ["1: +a", "2: +A|1 +a|1 +a |1 +b|1", "3: +a  +b"]
    );
    // U+FF5E is below U+1F600 in UTF-8, above it in UTF-16.
    assert_eq!(
        db.run("INSERT INTO t VALUES (5, '\u{ff5e}'), (6, '\u{1f600}')"),
        ["2: +\u{ff5e}|1 +\u{1f600}|1", "3: -a  -b +\u{ff5e} +\u{1f600}"]
    );
    assert_eq!(db.run("DELETE FROM t WHERE id = 6"), ["2: -\u{1f600}|1", "3: -\u{1f600} +b"]);
    db.end();
}

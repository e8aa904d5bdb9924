//! Tables of one WITH RECURSIVE that read each other: against loops, live, and written wrong.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    common::{Db, one, text},
    kept::Kept,
};

const EVEN_AND_ODD: &str = "WITH RECURSIVE even(n) AS (SELECT 0 UNION SELECT n + 1 FROM odd WHERE n < $1), \
     odd(n) AS (SELECT n + 1 FROM even WHERE n < $1 UNION SELECT o FROM extra)";

#[test]
fn even_and_odd_numbers_are_each_other_s_successors() {
    let mut kept = Kept::with("CREATE TABLE extra (o int)");
    let each = |table: &str| format!("{EVEN_AND_ODD} SELECT n FROM {table} ORDER BY n");
    assert_eq!(kept.watch_with(&each("even"), &[json!(7)]), "[0, 2, 4, 6]");
    assert_eq!(kept.watch_with(&each("odd"), &[json!(7)]), "[1, 3, 5, 7]");
    let both = format!("{EVEN_AND_ODD} SELECT e.n, o.n FROM even e JOIN odd o ON o.n = e.n ORDER BY 1");
    assert_eq!(kept.watch_with(&both, &[json!(3)]), "[]");
    assert_eq!(kept.run("INSERT INTO extra VALUES (4)"), ["1: +5 +7", "2: +4 +6"]);
    assert_eq!(
        kept.run("INSERT INTO extra VALUES (4), (-2)"),
        ["1: +-1 +1 +3", "2: +-2 +0 +2", "3: +0|0 +1|1 +2|2 +3|3"]
    );
    kept.run("DELETE FROM extra WHERE o = 4");
    kept.run("DELETE FROM extra");
    kept.end();
}

/// What is reached by bus and by train from a stop, where each ride changes to the other.
fn rides(bus: &BTreeSet<(i64, i64)>, train: &BTreeSet<(i64, i64)>, start: i64) -> [BTreeSet<i64>; 2] {
    let mut reached = [BTreeSet::from([start]), BTreeSet::new()];
    loop {
        let before = reached.clone();
        for (from, to, by) in [(0, 1, train), (1, 0, bus)] {
            let more: Vec<i64> =
                by.iter().filter(|(a, _)| reached[from].contains(a)).map(|(_, b)| *b).collect();
            reached[to].extend(more);
        }
        if reached == before {
            return reached;
        }
    }
}

#[test]
fn rides_by_bus_and_train_are_those_of_a_loop_while_lines_come_and_go() {
    let mut kept = Kept::with(
        "CREATE TABLE bus (src int, dst int, PRIMARY KEY (src, dst)); \
         CREATE TABLE train (src int, dst int, PRIMARY KEY (src, dst))",
    );
    let with = "WITH RECURSIVE by_bus(stop) AS (SELECT $1::int UNION SELECT b.dst FROM by_train t JOIN bus b ON b.src = t.stop), \
                by_train(how, stop) AS (SELECT 'train', t.dst FROM by_bus JOIN train t ON t.src = by_bus.stop \
                UNION SELECT how, stop FROM by_train)";
    let bus_sql = format!("{with} SELECT stop FROM by_bus ORDER BY stop");
    let train_sql = format!("{with} SELECT stop, how FROM by_train ORDER BY stop");
    for start in [0, 1] {
        kept.watch_with(&bus_sql, &[json!(start)]);
        kept.watch_with(&train_sql, &[json!(start)]);
    }
    let mut lines = [BTreeSet::new(), BTreeSet::new()];
    let mut seed = 99_u64;
    for _ in 0..120 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let line = ((seed >> 33) as i64 % 6, (seed >> 43) as i64 % 6);
        let kind = (seed >> 53) as usize % 2;
        let table = ["bus", "train"][kind];
        let (src, dst) = line;
        if lines[kind].remove(&line) {
            kept.run(&format!("DELETE FROM {table} WHERE src = {src} AND dst = {dst}"));
        } else {
            lines[kind].insert(line);
            kept.run(&format!("INSERT INTO {table} VALUES ({src}, {dst})"));
        }
        for start in [0, 1] {
            let [bus, train] = rides(&lines[0], &lines[1], start);
            let mut ask = |sql: &str| {
                let rows = kept.db.run(sql, &[json!(start)]).unwrap().rows;
                rows.iter().map(|row| text(row)).collect::<Vec<_>>()
            };
            assert_eq!(ask(&bus_sql), bus.iter().map(i64::to_string).collect::<Vec<_>>());
            assert_eq!(ask(&train_sql), train.iter().map(|stop| format!("{stop}|train")).collect::<Vec<_>>());
        }
    }
}

#[test]
fn copies_are_counted_and_three_tables_share_one_recursion() {
    let mut db =
        Db::with("CREATE TABLE edge (src int, dst int); INSERT INTO edge VALUES (1, 2), (1, 2), (2, 3)");
    // Ways of one, two and three edges: 1 -> 2 twice, on to 3 twice.
    let ways = "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n FROM c WHERE n > 3), \
                b(n, x) AS (SELECT e.dst, 'b' FROM a JOIN edge e ON e.src = n UNION ALL SELECT 9, 'z' WHERE false), \
                c(n) AS (SELECT e.dst FROM b JOIN edge e ON e.src = n UNION ALL SELECT 7 WHERE false)";
    assert_eq!(db.rows(&format!("{ways} SELECT n, x FROM b ORDER BY 1")), ["2|b", "2|b"]);
    let three = format!(
        "{ways} SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM c WHERE n = 3)"
    );
    assert_eq!(one(&db.subscribe(1, &three)), "[1|2|2]");
    let lines = db.rows(&format!("EXPLAIN {three}"));
    assert!(lines.iter().any(|line| line.contains("recurse all")), "{lines:?}");
    let view = db.engine.status().views[0].id;
    let circuit = db.engine.circuit(view).unwrap();
    assert_eq!(circuit.iter().filter(|node| node.label.starts_with("recurse")).count(), 1);
    db.ok("INSERT INTO edge VALUES (3, 4), (2, 3)");
    assert_eq!(db.news(), ["1: -1|2|2 +1|2|4"]);
    // 2 -> 4 goes back to a, and from there to nowhere.
    db.ok("INSERT INTO edge VALUES (2, 4)");
    assert_eq!(db.news(), ["1: -1|2|4 +3|2|4"]);
}

#[test]
fn a_query_between_is_written_out_where_it_is_read() {
    let mut db =
        Db::with("CREATE TABLE edge (src int, dst int); INSERT INTO edge VALUES (1, 2), (2, 3), (3, 1)");
    let with = "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT dst FROM next), \
                next AS (SELECT r.n AS src, e.dst FROM r JOIN edge e ON e.src = r.n WHERE e.dst < 9)";
    assert_eq!(db.rows(&format!("{with} SELECT n FROM r ORDER BY 1")), ["1", "2", "3"]);
    assert_eq!(db.rows(&format!("{with} SELECT src, dst FROM next ORDER BY 1")), ["1|2", "2|3", "3|1"]);
}

#[test]
fn what_is_no_group_of_recursions_is_refused_with_what_to_do() {
    let mut db = Db::with("CREATE TABLE edge (src int, dst int)");
    for (tables, code, part) in [
        (
            "a(n) AS (SELECT n FROM b UNION SELECT 1 + n FROM b), b(n) AS (SELECT n FROM a UNION SELECT 2 + n FROM a)",
            "42P19",
            "has a first query that reads none of them",
        ),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION ALL SELECT n FROM a)",
            "0A000",
            "UNION and UNION ALL side by side",
        ),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION SELECT a.n FROM a JOIN b ON a.n = b.n)",
            "42P19",
            "more than once",
        ),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION SELECT count(*)::int FROM a)",
            "42P19",
            "aggregates",
        ),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION SELECT n + 0.5 FROM a)",
            "42804",
            "must be of type integer, not numeric",
        ),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION SELECT n, n FROM a)",
            "42601",
            "same number of columns",
        ),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION SELECT n FROM a LIMIT 3)",
            "0A000",
            "ORDER BY and LIMIT",
        ),
        ("a(n) AS (SELECT n FROM b), b(n) AS (SELECT n FROM a)", "42P19", "has not the form"),
        (
            "a(n) AS (SELECT 1 UNION SELECT n FROM b), b(n) AS (SELECT 2 UNION SELECT m FROM a)",
            "42703",
            "column \"m\" does not exist",
        ),
    ] {
        let (found, message) = db.error(&format!("WITH RECURSIVE {tables} SELECT * FROM a"));
        assert_eq!(found, code, "{tables}: {message}");
        assert!(message.contains(part), "{tables}: {message}");
    }
}

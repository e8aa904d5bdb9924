//! `traverse(edges, start, depth)` in FROM: against a breadth-first search, under insertion and deletion, lateral,
//! and written wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    common::{Db, one},
    kept::Kept,
};

const PEOPLE: &str = "CREATE TABLE person (id int PRIMARY KEY, name text); \
     CREATE TABLE knows (id int PRIMARY KEY, since int, a int REFERENCES person (id), b int REFERENCES person (id)); \
     INSERT INTO person VALUES (1, 'ada'), (2, 'bo'), (3, 'cy'), (4, 'di'), (5, 'ed'); \
     INSERT INTO knows VALUES (1, 0, 1, 2), (2, 0, 2, 3), (3, 0, 3, 1), (4, 0, 3, 4), (5, 0, 4, 5)";

#[test]
fn whom_a_person_knows_up_to_a_depth_is_live() {
    let mut kept = Kept::with(PEOPLE);
    let sql = "SELECT p.name, t.depth FROM traverse('knows', $1, $2) AS t JOIN person p ON p.id = t.node ORDER BY 2, 1";
    assert_eq!(kept.watch_with(sql, &[json!(1), json!(2)]), "[ada|0, bo|1, cy|2]");
    assert_eq!(kept.watch_with(sql, &[json!(1), json!(null)]), "[ada|0, bo|1, cy|2, di|3, ed|4]");
    assert_eq!(kept.watch_with(sql, &[json!(5), json!(3)]), "[ed|0]");
    assert_eq!(kept.watch_with(sql, &[json!(null), json!(3)]), "[]");
    let both = "SELECT node, depth FROM traverse(knows, 4, 1, direction => 'both') ORDER BY node";
    assert_eq!(kept.watch(both), "[3|1, 4|0, 5|1]");
    let back = "SELECT * FROM traverse('knows', 4, direction => 'in') ORDER BY depth";
    assert_eq!(kept.watch(back), "[4|0, 3|1, 2|2, 1|3]");
    // A shorter way.
    assert_eq!(
        kept.run("INSERT INTO knows VALUES (6, 0, 1, 4)"),
        ["1: +di|1 +ed|2", "2: -di|3 -ed|4 +di|1 +ed|2", "5: +1|1", "6: -1|3 +1|1"]
    );
    // The cycle is cut; a second edge between the same two changes nothing.
    assert_eq!(
        kept.run("DELETE FROM knows WHERE id = 2; INSERT INTO knows VALUES (7, 0, 1, 4)"),
        ["1: -cy|2", "2: -cy|2", "6: -2|2"]
    );
    assert_eq!(kept.run("DELETE FROM knows WHERE id = 6"), Vec::<String>::new());
    assert_eq!(kept.run("INSERT INTO knows VALUES (8, 0, 5, NULL), (9, 0, NULL, 1)"), Vec::<String>::new());
    kept.run("DELETE FROM knows");
    kept.end();
}

#[test]
fn a_traversal_reads_the_tables_to_its_left() {
    let mut kept = Kept::with(PEOPLE);
    let sql =
        "SELECT p.name, t.node FROM person p, traverse(knows, p.id, 1) AS t WHERE t.depth > 0 ORDER BY 1, 2";
    assert_eq!(kept.watch(sql), "[ada|2, bo|3, cy|1, cy|4, di|5]");
    let count = "SELECT p.id, (SELECT count(*) FROM traverse('knows', p.id, $1) t) FROM person p ORDER BY 1";
    assert_eq!(kept.watch_with(count, &[json!(2)]), "[1|3, 2|4, 3|5, 4|2, 5|1]");
    let own = "SELECT p.id, t.node FROM person p LEFT JOIN LATERAL traverse(knows, p.id, p.id - 3) AS t ON t.depth = 2";
    assert_eq!(kept.watch(&format!("{own} WHERE p.id > 2 ORDER BY 1")), "[3|NULL, 4|NULL, 5|NULL]");
    assert_eq!(
        kept.run("INSERT INTO knows VALUES (6, 0, 5, 1)"),
        ["1: +ed|1", "2: -4|2 -5|1 +4|3 +5|3", "3: -5|NULL +5|2"]
    );
    kept.run("DELETE FROM knows WHERE id = 1");
    kept.run("UPDATE knows SET b = 5 WHERE id = 3");
    kept.run("DELETE FROM knows; DELETE FROM person");
    kept.end();
}

#[test]
fn edges_are_tables_views_and_common_tables() {
    let mut kept = Kept::with(PEOPLE);
    kept.db.ok("CREATE LIVE VIEW old AS SELECT a, b FROM knows WHERE since < 10; \
                CREATE TABLE road (src text, dst text, length int, PRIMARY KEY (src, dst)); \
                INSERT INTO road VALUES ('x', 'y', 1), ('y', 'z', 5)");
    assert_eq!(kept.watch("SELECT * FROM traverse(old, 3, 1) ORDER BY node"), "[1|1, 3|0, 4|1]");
    assert_eq!(
        kept.watch("SELECT * FROM traverse('road', 'x') AS t(place, steps) ORDER BY steps"),
        "[x|0, y|1, z|2]"
    );
    let short = "WITH short AS (SELECT src, dst FROM road WHERE length < 3)";
    assert_eq!(kept.watch(&format!("{short} SELECT * FROM traverse(short, 'x') ORDER BY 2")), "[x|0, y|1]");
    assert_eq!(
        kept.watch("SELECT * FROM traverse(public.road, 'z', source => dst, target => 'src') ORDER BY 2"),
        "[z|0, y|1, x|2]"
    );
    assert_eq!(kept.watch("SELECT * FROM traverse('road', 'z', 1, 'dst') ORDER BY 2"), "[z|0, y|1]");
    kept.run("UPDATE knows SET since = 20 WHERE id = 4");
    kept.run("UPDATE road SET length = 2");
    kept.run("DELETE FROM road WHERE src = 'x'");
    kept.run("DELETE FROM road; DELETE FROM knows");
}

/// Distances by a breadth-first search.
fn search(edges: &BTreeSet<(i64, i64)>, start: i64, depth: i64) -> BTreeMap<i64, i64> {
    let mut found = BTreeMap::from([(start, 0)]);
    let mut last = vec![start];
    for round in 1..=depth {
        let next: BTreeSet<i64> =
            edges.iter().filter(|(from, _)| last.contains(from)).map(|(_, to)| *to).collect();
        last = next.into_iter().filter(|to| !found.contains_key(to)).collect();
        found.extend(last.iter().map(|to| (*to, round)));
    }
    found
}

#[test]
fn distances_are_those_of_a_search_while_edges_come_and_go() {
    let mut kept = Kept::with("CREATE TABLE edge (src int, dst int, PRIMARY KEY (src, dst))");
    let sql = "SELECT node, depth FROM traverse(edge, $1, $2) ORDER BY node";
    for start in 0..3 {
        kept.watch_with(sql, &[json!(start), json!(3 + start)]);
    }
    let mut edges = BTreeSet::new();
    let mut seed = 12345_u64;
    for _ in 0..120 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let edge = ((seed >> 33) as i64 % 9, (seed >> 43) as i64 % 9);
        let (src, dst) = edge;
        if edges.remove(&edge) {
            kept.run(&format!("DELETE FROM edge WHERE src = {src} AND dst = {dst}"));
        } else {
            edges.insert(edge);
            kept.run(&format!("INSERT INTO edge VALUES ({src}, {dst})"));
        }
        for start in 0..3 {
            let rows = search(&edges, start, 3 + start).into_iter();
            let expected: Vec<String> = rows.map(|(node, depth)| format!("{node}|{depth}")).collect();
            let found = kept.db.run(sql, &[json!(start), json!(3 + start)]).unwrap();
            let found: Vec<String> = found.rows.iter().map(|row| crate::common::text(row)).collect();
            assert_eq!(found, expected, "{edges:?}");
        }
    }
}

#[test]
fn subscribers_of_a_traversal_share_its_circuit_and_a_bad_depth_is_one_s_own() {
    let mut db = Db::with(PEOPLE);
    let sql = "SELECT node FROM traverse(knows, $1, $2) ORDER BY node";
    assert_eq!(one(&db.subscribe_with(1, sql, &[json!(1), json!(1)])), "[1, 2]");
    assert_eq!(one(&db.subscribe_with(2, sql, &[json!(4), json!(1)])), "[4, 5]");
    assert_eq!(one(&db.subscribe_with(3, sql, &[json!(4), json!(-1)])), "error 22023");
    let recursion = |db: &Db, view: usize| {
        let circuit = db.engine.circuit(db.engine.status().views[view].id).unwrap().into_iter();
        circuit.filter(|node| node.label.starts_with("recurse")).map(|node| node.node.id).collect::<Vec<_>>()
    };
    assert_eq!(recursion(&db, 0), recursion(&db, 1));
    db.ok("DELETE FROM knows WHERE id = 5");
    assert_eq!(db.news(), ["2: -5"]);
}

#[test]
fn a_traversal_that_is_written_wrong_says_what_is_right() {
    let mut db = Db::with(PEOPLE);
    db.ok("CREATE TABLE mixed (a int, b text)");
    for (call, code, part) in [
        ("traverse(know, 1)", "42P01", "table \"know\" does not exist"),
        ("traverse('knows', 1, source => 'aa')", "42703", "column \"aa\" does not exist"),
        ("traverse(knows, 1, -1)", "22023", "the depth is negative"),
        ("traverse(knows, 1, 'x')", "22P02", "integer"),
        ("traverse(mixed, 1)", "42804", "must be as the source \"a\""),
        ("traverse(knows, true)", "42804", "start of traverse must be of type integer, not boolean"),
        ("traverse(knows, 1, direction => 'up')", "0A000", "the direction 'up'"),
        ("traverse(knows)", "42883", "without edges and start"),
        ("traverse(knows, 1, 2, length => 3)", "42601", "traverse takes edges, start, depth"),
        ("traverse(knows, start => 1, 2)", "42601", "behind one with a name"),
        ("traverse(knows, 1, start => 2)", "42601", "given twice"),
        ("traverse(1 + 1, 1)", "0A000", "as the edges of traverse"),
        ("traverse(knows, 1, (SELECT 1))", "0A000", "subqueries in the depth of traverse"),
        ("other(1)", "0A000", "functions in FROM"),
    ] {
        let (found, message) = db.error(&format!("SELECT * FROM {call}"));
        assert_eq!(found, code, "{call}: {message}");
        assert!(message.contains(part), "{call}: {message}");
    }
    let within = "WITH RECURSIVE r(a, b) AS (SELECT 1, 2 UNION SELECT t.node, t.depth FROM traverse(r, 1) t) SELECT * FROM r";
    assert_eq!(db.code(within), "42P19");
}

#[test]
fn explain_draws_a_traversal() {
    let mut db = Db::with(PEOPLE);
    assert_eq!(
        db.rows("EXPLAIN SELECT node FROM traverse(knows, 1, 3) WHERE depth > 0"),
        [
            "arrange",
            "  filter and project where (round > 0) -> 1",
            "    recurse, each row at its first round",
            "      project -> 1",
            "        constant",
            "      join on (a = feedback.1) and (round < 3) and (NOT (b IS NULL))",
            "        feedback",
            "        table knows",
            "        arrange by (feedback.1)",
            "          feedback"
        ]
    );
}

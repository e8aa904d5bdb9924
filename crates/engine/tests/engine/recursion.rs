//! WITH RECURSIVE: live and asked once, with parameters, on cycles, without end, and written wrong.

use serde_json::json;

use crate::common::{Db, one};

const REACH: &str = "WITH RECURSIVE r(node) AS (SELECT $1::int UNION SELECT e.dst FROM r JOIN edge e ON e.src = r.node) \
                     SELECT node FROM r ORDER BY node";

fn graph() -> Db {
    Db::with(
        "CREATE TABLE edge (src int, dst int, PRIMARY KEY (src, dst)); \
         INSERT INTO edge VALUES (1, 2), (2, 3), (3, 1), (3, 4), (5, 6)",
    )
}

#[test]
fn subscribers_share_a_recursion_and_get_what_they_reach() {
    let mut db = graph();
    assert_eq!(one(&db.subscribe_with(1, REACH, &[json!(1)])), "[1, 2, 3, 4]");
    assert_eq!(one(&db.subscribe_with(2, REACH, &[json!(5)])), "[5, 6]");
    assert_eq!(one(&db.subscribe_with(3, REACH, &[json!(4)])), "[4]");
    db.ok("INSERT INTO edge VALUES (4, 5)");
    assert_eq!(db.news(), ["1: +5 +6", "3: +5 +6"]);
    // The cycle 1, 2, 3 loses its way out, then itself; an edge to it comes in the same commit.
    db.ok("DELETE FROM edge WHERE src = 3; INSERT INTO edge VALUES (6, 2)");
    assert_eq!(db.news(), ["1: -4 -5 -6", "2: +2 +3", "3: +2 +3"]);
    db.ok("DELETE FROM edge WHERE src = 1");
    assert_eq!(db.news(), ["1: -2 -3"]);
    for subscription in 1..=3 {
        db.unsubscribe(subscription);
    }
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn a_recursion_is_asked_once() {
    let mut db = graph();
    assert_eq!(db.run(REACH, &[json!(2)]).unwrap().rows.len(), 4);
    assert_eq!(
        db.rows("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n"),
        ["15"]
    );
    // Used twice, and by a later common table; the first one is no recursion.
    assert_eq!(
        db.rows(
            "WITH RECURSIVE e AS (SELECT src, dst FROM edge WHERE src < 5), \
             p(a, b) AS (SELECT src, dst FROM e UNION SELECT p.a, e.dst FROM p JOIN e ON e.src = p.b), \
             loops AS (SELECT a FROM p WHERE a = b) \
             SELECT l.a, count(*) FROM loops l JOIN p ON p.a = l.a GROUP BY l.a ORDER BY 1"
        ),
        ["1|4", "2|4", "3|4"]
    );
    // A step of two terms, one over the other side of an outer join.
    assert_eq!(
        db.rows(
            "WITH RECURSIVE u(n) AS (SELECT 1 UNION (SELECT e.dst FROM u JOIN edge e ON e.src = u.n \
             UNION ALL SELECT coalesce(e.src, 0) FROM u LEFT JOIN edge e ON e.dst = u.n)) SELECT n FROM u ORDER BY n"
        ),
        ["1", "2", "3", "4"]
    );
    // A recursion that begins with another one.
    assert_eq!(
        db.rows(
            "WITH RECURSIVE a(n) AS (SELECT 4 UNION SELECT e.src FROM a JOIN edge e ON e.dst = a.n), \
             b(n) AS (SELECT n FROM a UNION SELECT b.n * 10 FROM b JOIN a ON a.n = b.n) SELECT n FROM b ORDER BY n"
        ),
        ["1", "2", "3", "4", "10", "20", "30", "40"]
    );
}

#[test]
fn parameters_stand_in_base_and_step() {
    let mut db = graph();
    let sql = "WITH RECURSIVE r(node, depth) AS (SELECT $1::int, 0 UNION SELECT e.dst, depth + 1 FROM r \
               JOIN edge e ON e.src = r.node WHERE depth < $2) SELECT node, min(depth) FROM r GROUP BY node ORDER BY 1";
    assert_eq!(one(&db.subscribe_with(1, sql, &[json!(1), json!(2)])), "[1|0, 2|1, 3|2]");
    assert_eq!(one(&db.subscribe_with(2, sql, &[json!(1), json!(3)])), "[1|0, 2|1, 3|2, 4|3]");
    db.ok("INSERT INTO edge VALUES (1, 4)");
    assert_eq!(db.news(), ["1: +4|1", "2: -4|3 +4|1"]);
    // A constant of the base that an index finds is a parameter like any other.
    let named = |start: i64| {
        format!(
            "WITH RECURSIVE r AS (SELECT dst FROM edge WHERE src = {start} UNION SELECT e.dst FROM edge e JOIN r \
             ON r.dst = e.src) SELECT * FROM r ORDER BY 1"
        )
    };
    assert_eq!(one(&db.subscribe(3, &named(5))), "[6]");
    assert_eq!(one(&db.subscribe(4, &named(2))), "[1, 2, 3, 4]");
    db.ok("INSERT INTO edge VALUES (6, 7)");
    assert_eq!(db.news(), ["3: +7"]);
    // Two parameters that no base reads.
    let step = "WITH RECURSIVE r(n) AS (SELECT src FROM edge UNION SELECT n + $1 FROM r WHERE n < $2::int) \
                SELECT count(*) FROM r";
    assert_eq!(one(&db.subscribe_with(5, step, &[json!(10), json!(9)])), "[10]");
    db.ok("DELETE FROM edge WHERE src = 6");
    assert_eq!(db.news(), ["3: -7", "5: -10 +8"]);
}

#[test]
fn queries_share_a_recursion_though_indexes_came_between() {
    let mut db = Db::with(
        "CREATE TABLE edge (id int PRIMARY KEY, src int, dst int); INSERT INTO edge VALUES (1, 1, 2), (2, 2, 3)",
    );
    let with = "WITH RECURSIVE p(a, b) AS (SELECT src, dst FROM edge UNION SELECT p.a, e.dst FROM p JOIN edge e \
                ON e.src = p.b AND e.dst > p.a)";
    assert_eq!(one(&db.subscribe(1, &format!("{with} SELECT count(*) FROM p"))), "[3]");
    db.ok("CREATE INDEX ON edge (dst, src); CREATE INDEX ON edge (src)");
    assert_eq!(
        one(&db.subscribe(2, &format!("{with} SELECT b, count(*) FROM p GROUP BY b ORDER BY b"))),
        "[2|1, 3|2]"
    );
    let recursions = |db: &Db, view| {
        let circuit = db.engine.circuit(view).unwrap().into_iter();
        let recursion = circuit.filter(|node| node.label.starts_with("recurse"));
        recursion.map(|node| node.node.id).collect::<Vec<_>>()
    };
    let views: Vec<_> = db.engine.status().views.iter().map(|view| view.id).collect();
    assert_eq!(recursions(&db, views[0]), recursions(&db, views[1]));
    db.ok("INSERT INTO edge VALUES (3, 3, 4)");
    assert_eq!(db.news(), ["1: -3 +6", "2: +4|3"]);
    db.unsubscribe(1);
    db.pass(60);
    db.ok("DELETE FROM edge WHERE id = 2");
    assert_eq!(db.news(), ["2: -3|2 -4|3 +4|1"]);
}

#[test]
fn an_organisation_is_kept_with_its_paths() {
    let mut db = Db::with(
        "CREATE TABLE person (id int PRIMARY KEY, name text, boss int); \
         INSERT INTO person VALUES (1, 'ada', NULL), (2, 'bo', 1), (3, 'cy', 2), (4, 'di', 1)",
    );
    let sql = "WITH RECURSIVE below AS (SELECT id, name AS path, 0 AS level FROM person WHERE boss IS NULL \
               UNION ALL SELECT p.id, b.path || '/' || p.name, b.level + 1 FROM below b JOIN person p ON p.boss = b.id) \
               SELECT path, level, (boss.name) FROM below JOIN person me ON me.id = below.id \
               LEFT JOIN person boss ON boss.id = me.boss ORDER BY path";
    assert_eq!(one(&db.subscribe(1, sql)), "[ada|0|NULL, ada/bo|1|ada, ada/bo/cy|2|bo, ada/di|1|ada]");
    db.ok("UPDATE person SET boss = 4 WHERE id = 2");
    assert_eq!(db.news(), ["1: -ada/bo|1|ada -ada/bo/cy|2|bo +ada/di/bo|2|di +ada/di/bo/cy|3|bo"]);
    // Two that are each other's boss are below nobody.
    db.ok("UPDATE person SET boss = 3 WHERE id = 2");
    assert_eq!(db.news(), ["1: -ada/di/bo|2|di -ada/di/bo/cy|3|bo"]);
}

#[test]
fn a_recursion_without_end_is_an_error_of_its_own_result_until_it_ends() {
    let mut db = Db::with(
        "CREATE TABLE edge (src int, dst int, PRIMARY KEY (src, dst)); INSERT INTO edge VALUES (1, 2), (2, 3), (5, 6)",
    );
    let ways = "WITH RECURSIVE w(node, length) AS (SELECT $1::int, 0 UNION ALL SELECT e.dst, w.length + 1 FROM w \
                JOIN edge e ON e.src = w.node) SELECT count(*), max(length) FROM w";
    assert_eq!(one(&db.subscribe_with(1, ways, &[json!(1)])), "[3|2]");
    assert_eq!(one(&db.subscribe_with(2, ways, &[json!(5)])), "[2|1]");
    assert_eq!(one(&db.subscribe(3, "SELECT count(*) FROM edge")), "[3]");
    db.ok("INSERT INTO edge VALUES (3, 1)");
    assert_eq!(db.news(), ["1: error 54001", "3: -3 +4"]);
    // Others go on, those of the same circuit too.
    db.ok("INSERT INTO edge VALUES (6, 7)");
    assert_eq!(db.news(), ["2: -2|1 +3|2", "3: -4 +5"]);
    assert_eq!(one(&db.subscribe_with(4, ways, &[json!(2)])), "error 54001");
    let error = db.run(ways, &[json!(3)]).unwrap_err();
    assert_eq!(error.sqlstate(), "54001");
    assert_eq!(
        error.to_string(),
        "the recursion does not end within 10000 rounds: bound it by a condition in its second query, or use UNION in \
         place of UNION ALL"
    );
    db.ok("DELETE FROM edge WHERE src = 3; INSERT INTO edge VALUES (3, 8)");
    assert_eq!(db.news(), ["1: -3|2 +4|3", "4: [3|2]"]);
    db.ok("DELETE FROM edge WHERE src = 8");
    assert!(db.news().is_empty());
}

#[test]
fn ways_that_multiply_are_cut_off_by_their_number() {
    let mut db = Db::with(
        "CREATE TABLE edge (id int PRIMARY KEY, src int, dst int); \
         INSERT INTO edge VALUES (1, 1, 1), (2, 1, 1), (3, 2, 2)",
    );
    let ways = "WITH RECURSIVE w(node) AS (VALUES (1) UNION ALL SELECT e.dst FROM w JOIN edge e ON e.src = w.node) \
                SELECT count(*) FROM w";
    let error = db.run(ways, &[]).unwrap_err();
    assert_eq!(error.sqlstate(), "54000");
    assert!(
        error.to_string().starts_with("the recursion yields more than 1000000 rows and does not end"),
        "{error}"
    );
    assert_eq!(one(&db.subscribe(1, ways)), "error 54000");
    db.ok("DELETE FROM edge WHERE id = 1");
    assert_eq!(db.news(), ["1: error 54001"]);
    db.ok("DELETE FROM edge WHERE id = 2");
    assert_eq!(db.news(), ["1: [1]"]);
    // Facts of an infinite domain.
    let numbers =
        "WITH RECURSIVE n(i) AS (SELECT src FROM edge UNION SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert_eq!(db.run(numbers, &[]).unwrap_err().sqlstate(), "54001");
    assert_eq!(one(&db.subscribe(2, numbers)), "error 54001");
    db.ok("DELETE FROM edge WHERE true");
    assert_eq!(db.news(), ["2: [0]"]);
}

#[test]
fn an_error_in_the_step_spoils_what_reaches_it() {
    let mut db = graph();
    let sql = "WITH RECURSIVE r(node, share) AS (SELECT $1::int, 100 UNION SELECT e.dst, 100 / (e.dst - 4) FROM r \
               JOIN edge e ON e.src = r.node WHERE e.src <> 6) SELECT count(*) FROM r";
    assert_eq!(one(&db.subscribe_with(1, sql, &[json!(1)])), "error 22012");
    assert_eq!(one(&db.subscribe_with(2, sql, &[json!(5)])), "[2]");
    db.ok("DELETE FROM edge WHERE dst = 4");
    assert_eq!(db.news(), ["1: [4]"]);
    db.ok("INSERT INTO edge VALUES (6, 4), (2, 4)");
    assert_eq!(db.news(), ["1: error 22012"]);
}

#[test]
fn what_is_no_recursion_is_refused_with_what_to_do() {
    let mut db = graph();
    let with = |body: &str| format!("WITH RECURSIVE r(n) AS ({body}) SELECT * FROM r");
    for (body, code, part) in [
        ("SELECT n FROM r", "42P19", "has not the form"),
        ("SELECT 1 UNION SELECT n FROM r UNION SELECT n + 1 FROM r", "42P19", "within the first query"),
        ("SELECT 1 UNION SELECT a.n FROM r a JOIN r b ON a.n = b.n", "42P19", "more than once"),
        ("SELECT 1 UNION SELECT src FROM edge LEFT JOIN r ON r.n = src", "42P19", "outer join"),
        ("SELECT 1 UNION SELECT count(*)::int FROM r", "42P19", "aggregates"),
        ("SELECT 1 UNION ALL SELECT DISTINCT n FROM r", "42P19", "DISTINCT"),
        ("SELECT 1 UNION ALL (SELECT n FROM r UNION SELECT n FROM r)", "42P19", "DISTINCT"),
        ("SELECT 1 UNION (SELECT n FROM r LIMIT 1)", "42P19", "LIMIT"),
        ("SELECT 1 UNION (SELECT n FROM r UNION ALL SELECT 2)", "42P19", "each query"),
        ("SELECT 1 UNION SELECT n + 1.5 FROM r", "42804", "must be of type integer, not numeric"),
        ("SELECT 1 UNION SELECT n, n FROM r", "42601", "same number of columns"),
        ("SELECT 1 UNION SELECT n + 1 FROM r WHERE n < 3 LIMIT 2", "0A000", "ORDER BY and LIMIT"),
        (
            "SELECT 1 UNION SELECT n FROM (WITH RECURSIVE s AS (SELECT n FROM r UNION SELECT n + 1 FROM s WHERE n < 9) \
             SELECT n FROM s) x",
            "0A000",
            "mutual recursion",
        ),
    ] {
        let (found, message) = db.error(&with(body));
        assert_eq!(found, code, "{body}: {message}");
        assert!(message.contains(part), "{body}: {message}");
    }
    for clause in ["SEARCH DEPTH FIRST BY n SET o", "CYCLE n SET c USING p"] {
        let sql = format!("WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n FROM r) {clause} SELECT * FROM r");
        let (code, message) = db.error(&sql);
        assert_eq!(code, "0A000");
        assert!(message.contains("of a recursive query"), "{message}");
    }
}

#[test]
fn explain_draws_base_and_step() {
    let mut db = graph();
    assert_eq!(
        db.rows(
            "EXPLAIN WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM edge UNION SELECT r.a, e.dst FROM r JOIN edge e \
             ON e.src = r.b) SELECT a FROM r WHERE b = 4"
        ),
        [
            "arrange",
            "  filter and project where (dst = 4) -> src",
            "    recurse",
            "      project -> src, dst",
            "        table edge",
            "      join on (src = feedback.dst)",
            "        table edge",
            "        feedback",
            "        arrange by (feedback.dst)",
            "          feedback"
        ]
    );
}

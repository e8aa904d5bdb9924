//! Work and state, counted: what a commit costs follows the change, and what a subscription holds goes with it.
//!
//! Counts are the same on any machine; times are in `benchmarks/`.

use std::collections::BTreeMap;

use deltaic_engine::ViewId;

use crate::common::Db;

/// Rows of a table with ten groups, the second table's rows.
fn db(rows: usize) -> Db {
    let mut db = Db::with(
        "CREATE TABLE g (id int PRIMARY KEY, name text);
         CREATE TABLE t (id int PRIMARY KEY, k int, v int);
         CREATE INDEX ON t (k)",
    );
    let groups: Vec<String> = (0..10).map(|id| format!("({id}, 'group {id}')")).collect();
    db.ok(&format!("INSERT INTO g VALUES {}", groups.join(", ")));
    insert(&mut db, rows, &|id| id % 10);
    db
}

fn insert(db: &mut Db, rows: usize, group: &dyn Fn(usize) -> usize) {
    for ids in (0..rows).collect::<Vec<_>>().chunks(1_000) {
        let values: Vec<String> =
            ids.iter().map(|id| format!("({id}, {}, {})", group(*id), id % 7)).collect();
        db.ok(&format!("INSERT INTO t VALUES {}", values.join(", ")));
    }
}

/// What the circuits of these views have done, each node once: probes, entries read, entries given out, steps.
fn work(db: &Db, views: &[ViewId]) -> [u64; 4] {
    let [probes, rows_in, rows_out, steps, _] = work_and_visits(db, views);
    [probes, rows_in, rows_out, steps]
}

/// The same, and the rows that the probes found.
fn work_and_visits(db: &Db, views: &[ViewId]) -> [u64; 5] {
    let circuits = views.iter().flat_map(|view| db.engine.circuit(*view).unwrap());
    let nodes: BTreeMap<_, _> = circuits.map(|node| (node.node.id, node.node.work)).collect();
    nodes.values().fold([0; 5], |[probes, rows_in, rows_out, steps, visited], work| {
        [
            probes + work.probes,
            rows_in + work.rows_in,
            rows_out + work.rows_out,
            steps + work.steps,
            visited + work.visited,
        ]
    })
}

fn views(db: &Db) -> Vec<ViewId> {
    db.engine.status().views.iter().map(|view| view.id).collect()
}

/// The work of a commit, and how many messages it caused.
fn work_of(db: &mut Db, views: &[ViewId], sql: &str) -> ([u64; 4], usize) {
    let before = work(db, views);
    db.ok(sql);
    let after = work(db, views);
    (std::array::from_fn(|place| after[place] - before[place]), db.messages().len())
}

#[test]
fn the_work_of_a_commit_does_not_follow_the_number_of_live_queries() {
    let done: Vec<_> = [10, 1_000, 10_000]
        .map(|count| {
            let mut db = db(0);
            insert(&mut db, 10_000, &|id| id);
            for key in 0..count {
                db.subscribe_with(key, "SELECT id, v FROM t WHERE k = $1", &[key.into()]);
            }
            let all = views(&db);
            assert_eq!(all.len() as u64, count);
            // One circuit serves them all, so that one of them speaks for all.
            let nodes = |view| db.engine.circuit(view).unwrap().into_iter().map(|node| node.node.id);
            assert!(nodes(all[0]).eq(nodes(all[all.len() - 1])));
            work_of(&mut db, &all[..1], "UPDATE t SET v = v + 1 WHERE id = 3")
        })
        .into();
    let ([probes, rows_in, rows_out, _], messages) = done[0];
    assert_eq!(messages, 1);
    assert!(probes <= 2 && rows_in + rows_out <= 10, "{done:?}");
    assert!(done.iter().all(|work| *work == done[0]), "{done:?}");
}

/// A name, the condition of the nth query, and the most probes and rows found.
type Form<'a> = (&'a str, &'a dyn Fn(u64) -> String, [u64; 2]);

#[test]
fn a_row_finds_the_tuples_that_it_concerns_whatever_they_compare() {
    let range = |n: u64| format!("v > {}", n * 10);
    let interval = |n: u64| format!("v BETWEEN {} AND {}", n * 10, n * 10 + 9);
    let sides = |n: u64| format!("v >= {} AND k <= {}", n * 10, 1_000 - n);
    let list = |n: u64| format!("v IN ({}, {}, 7777777)", n * 10, n * 10 + 5);
    let computed = |n: u64| format!("v * 2 + k = {}", n * 20 + 10);
    let prefix = |n: u64| format!("name LIKE '{n}x%'");
    let within = |n: u64| format!("k = 0 AND v >= {} AND v < {}", n * 10, n * 10 + 10);
    // Of each form the probes that one changed row makes, and the rows that these find.
    let forms: [Form<'_>; 7] = [
        ("range", &range, [2, 3]),
        ("interval", &interval, [2, 1]),
        ("two sides", &sides, [2, 3]),
        ("list", &list, [2, 1]),
        ("computed", &computed, [2, 1]),
        ("prefix", &prefix, [2, 1]),
        ("within a group", &within, [2, 3]),
    ];
    for (kind, condition, expected) in forms {
        for count in [10, 1_000] {
            let mut db = Db::with(
                "CREATE TABLE t (id int PRIMARY KEY, k int, v int, name text);
                 INSERT INTO t VALUES (1, 0, -5, 'none'), (2, 3, 50000, '77777x')",
            );
            for n in 0..count {
                let sql = format!("SELECT id, v FROM t WHERE {}", condition(n));
                db.subscribe(n, &sql);
            }
            let all = views(&db);
            assert_eq!(all.len() as u64, count);
            // The first few have circuits of their own; all others share one.
            let shared = &all[all.len() - 1..];
            let before = work_and_visits(&db, shared);
            // From where no query looks it comes to where one, or the first few, do.
            let v = if matches!(kind, "range" | "two sides" | "within a group") { 25 } else { 20 };
            let v = if kind == "computed" { 15 } else { v };
            db.ok(&format!("UPDATE t SET v = {v}, name = '5xyz' WHERE id = 1"));
            let after = work_and_visits(&db, shared);
            let done = [after[0] - before[0], after[4] - before[4]];
            assert!(done[0] <= expected[0] && done[1] <= expected[1], "{kind}, {count}: {done:?}");
            let news = db.messages().len() as u64;
            assert!((1..=3).contains(&news), "{kind}, {count}: {news}");
        }
    }
}

#[test]
fn the_first_query_of_a_form_keeps_a_circuit_of_its_own() {
    let mut db = db(100);
    for n in 0..1_000 {
        db.subscribe(n, &format!("SELECT id FROM t WHERE v + k > {n}"));
    }
    let all = views(&db);
    let roots: Vec<_> =
        all.iter().map(|view| db.engine.circuit(*view).unwrap().last().unwrap().node.id).collect();
    let distinct: std::collections::BTreeSet<_> = roots.iter().collect();
    assert_eq!(distinct.len(), 2);
    assert!(roots[1..].iter().all(|root| *root == roots[1]));
    // Who asks for the first again finds it there.
    db.subscribe(1_000, "SELECT id FROM t WHERE v + k > 0");
    assert_eq!(views(&db).len(), 1_000);
    for n in 0..=1_000 {
        db.unsubscribe(n);
    }
    db.pass(40);
    assert!(db.engine.is_idle());
}

#[test]
fn a_condition_that_nothing_serves_asks_each_tuple_once_a_row() {
    let mut db = db(100);
    for n in 0..200 {
        db.subscribe_with(n, "SELECT id FROM t WHERE v + $1 <> k", &[n.into()]);
    }
    let all = views(&db);
    let before = work_and_visits(&db, &all[..1]);
    db.ok("UPDATE t SET v = 1000 WHERE id = 1");
    let after = work_and_visits(&db, &all[..1]);
    assert_eq!([after[0] - before[0], after[4] - before[4]], [2, 400]);
}

#[test]
fn the_work_of_a_commit_of_one_row_does_not_follow_the_table() {
    let queries = [
        ("SELECT id, v FROM t WHERE v > 3", 0),
        ("SELECT t.id, g.name FROM t JOIN g ON g.id = t.k WHERE t.v > 3", 2),
        ("SELECT k, count(*) FROM t GROUP BY k", 0),
        ("SELECT k, max(v) FROM t GROUP BY k", 0),
        ("SELECT id, v FROM t ORDER BY v DESC, id LIMIT 10", 0),
    ];
    for (query, most_probes) in queries {
        let done = [100, 10_000].map(|rows| {
            let mut db = db(rows);
            db.subscribe(1, query);
            let views = views(&db);
            // A row comes to the top, changes its group, and goes back.
            ["SET v = 100, k = 3", "SET k = 4", "SET v = 0, k = 0"]
                .map(|change| work_of(&mut db, &views, &format!("UPDATE t {change} WHERE id = 50")))
        });
        assert_eq!(done[0], done[1], "{query}");
        for ([probes, rows_in, rows_out, _], _) in done[0] {
            assert!(probes <= most_probes && rows_in + rows_out <= 24, "{query}: {done:?}");
        }
    }
}

#[test]
fn a_commit_that_concerns_no_query_makes_no_work() {
    let mut db = db(100);
    db.subscribe(1, "SELECT id, v FROM t WHERE k = 3");
    let all = views(&db);
    let ([probes, ..], messages) = work_of(&mut db, &all, "INSERT INTO g VALUES (10, 'another')");
    assert_eq!((probes, messages), (0, 0));
    // A row of another group is looked up among the keys, before and after, and goes no further.
    let ([probes, _, rows_out, _], messages) = work_of(&mut db, &all, "UPDATE t SET v = 9 WHERE id = 4");
    assert_eq!(messages, 0);
    assert!(probes <= 2 && rows_out <= 2, "{probes} probes, {rows_out} rows");
}

#[test]
fn a_dropped_subscription_leaves_no_state() {
    let queries = [
        "SELECT id, v FROM t WHERE k = 3",
        "SELECT t.id, g.name FROM t JOIN g ON g.id = t.k",
        "SELECT k, count(*), max(v) FROM t GROUP BY k",
        "SELECT DISTINCT v FROM t",
        "SELECT id, v FROM t ORDER BY v DESC, id LIMIT 10",
        "SELECT id FROM t WHERE v IN (SELECT id FROM g WHERE name <> 'group 1')",
    ];
    let mut db = db(100);
    // What became hot stays hot, and so do indexes: the second time nothing is added.
    let mut states = (0..2).map(|_| {
        for (number, query) in (0..).zip(queries) {
            db.subscribe(number, query);
        }
        db.ok("UPDATE t SET v = v + 1 WHERE id < 50");
        db.ok("UPDATE t SET v = v - 1 WHERE id < 50");
        db.messages();
        for number in 0..queries.len() as u64 {
            db.unsubscribe(number);
        }
        db.pass(31);
        assert!(db.engine.is_idle());
        db.engine.status().tables
    });
    assert_eq!(states.next(), states.next());
}

#[test]
fn a_dropped_sharer_takes_its_rows_along() {
    let mut db = db(100);
    db.subscribe(0, "SELECT id FROM t WHERE k = 0");
    let first = views(&db)[0];
    let rows = |db: &Db| -> Vec<usize> {
        db.engine.circuit(first).unwrap().iter().map(|node| node.node.rows).collect()
    };
    let alone = rows(&db);
    for key in 1..10 {
        db.subscribe(key, &format!("SELECT id FROM t WHERE k = {key}"));
    }
    assert_ne!(rows(&db), alone);
    for key in 1..10 {
        db.unsubscribe(key);
    }
    db.pass(31);
    assert_eq!(rows(&db), alone);
}

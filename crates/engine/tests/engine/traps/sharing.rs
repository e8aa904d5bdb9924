//! Traps 32 to 40: queries that share circuits, come and go, and fail alone.

use deltaic_engine::{Breaker, Engine, Status};
use serde_json::json;

use crate::{
    common::{Db, one},
    kept::Kept,
};

fn db() -> Kept {
    Kept::with(
        "CREATE TABLE t (id int PRIMARY KEY, p int, a int);
         INSERT INTO t VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30)",
    )
}

#[test]
fn t32_tuples_of_one_template_keep_apart() {
    let mut db = db();
    let template = "SELECT id FROM t WHERE p = $1 OR a > $2";
    db.watch_with(template, &[json!(1), json!(15)]);
    db.watch_with(template, &[json!(2), json!(15)]);
    db.watch_with(template, &[json!(1), json!(15)]);
    db.watch_with("SELECT id FROM t WHERE p = $1", &[json!(null)]);
    db.watch("SELECT id FROM t WHERE p IS NULL");
    db.watch_with("SELECT id FROM t WHERE p = $1", &[json!("1")]);
    db.watch_with("SELECT id FROM t WHERE p = $1", &[json!(1)]);
    assert_eq!(db.db.engine.status().views.len(), 5, "equal tuples are one view");
    assert_eq!(db.run("UPDATE t SET p = NULL WHERE id = 1"), ["1: -1", "3: -1", "5: +1", "6: -1", "7: -1"]);
    assert_eq!(db.run("UPDATE t SET a = 0 WHERE id = 2"), ["2: -2"]);
    // One of two that share goes; the other keeps what it has; one comes back.
    db.drop_live(1);
    assert_eq!(db.run("UPDATE t SET a = 50 WHERE id = 1"), ["2: +1", "3: +1"]);
    db.drop_live(3);
    assert_eq!(db.run("UPDATE t SET a = 0 WHERE id = 1"), ["2: -1"]);
    assert_eq!(db.watch_with(template, &[json!(1), json!(15)]), "[2, 3]");
    assert_eq!(db.run("UPDATE t SET p = 1 WHERE id = 1"), ["5: -1", "6: +1", "7: +1", "8: +1"]);
    db.end();
}

#[test]
fn t33_a_query_comes_between_two_commits() {
    let mut db = db();
    db.watch("SELECT p, sum(a) FROM t GROUP BY p");
    assert_eq!(db.run("UPDATE t SET a = 11 WHERE id = 1"), ["1: -1|30 +1|31"]);
    assert_eq!(db.watch("SELECT p, sum(a) FROM t GROUP BY p"), "[1|31, 2|30]");
    assert_eq!(db.watch("SELECT sum(n) FROM (SELECT p, sum(a) AS n FROM t GROUP BY p) x"), "[61]");
    assert_eq!(
        db.run_all(&["UPDATE t SET a = 12 WHERE id = 1", "DELETE FROM t WHERE id = 1"]),
        ["1: -1|31 +1|32", "2: -1|31 +1|32", "3: -61 +62", "1: -1|32 +1|20", "2: -1|32 +1|20", "3: -62 +50"]
    );
    db.end();
}

#[test]
fn t34_a_row_leaves_by_its_old_values() {
    let mut db = db();
    let template = "SELECT id FROM t WHERE p = $1";
    for p in 1..=3 {
        db.watch_with(template, &[json!(p)]);
    }
    assert_eq!(db.run("UPDATE t SET p = 3 WHERE id = 1"), ["1: -1", "3: +1"]);
    assert_eq!(db.run("UPDATE t SET p = p + 1"), ["1: -2", "2: -3 +2", "3: -1 +3"]);
    assert_eq!(db.run("DELETE FROM t"), ["2: -2", "3: -3"]);
    db.end();
}

#[test]
fn t35_several_branches_that_match_give_one_change() {
    let mut db = db();
    for condition in [
        "p = 1 OR a = 10",
        "p IN (1, 1, 7)",
        "p IN (SELECT p FROM t)",
        "a BETWEEN 5 AND 50 AND (p = 1 OR p < 2)",
    ] {
        db.watch(&format!("SELECT id FROM t WHERE {condition}"));
    }
    assert_eq!(db.run("INSERT INTO t VALUES (4, 1, 10)"), ["1: +4", "2: +4", "3: +4", "4: +4"]);
    assert_eq!(db.run("UPDATE t SET a = 11 WHERE id = 4"), [""; 0]);
    assert_eq!(db.run("UPDATE t SET p = 5, a = 10 WHERE id = 4"), ["2: -4", "4: -4"]);
    assert_eq!(db.run("DELETE FROM t WHERE id = 4"), ["1: -4", "3: -4"]);
    db.end();
}

/// The news of a history, its steps cut off or not.
fn news_of(breaker: Breaker) -> Vec<String> {
    let mut db = db();
    db.db.engine.set_breaker(breaker);
    for sql in [
        "SELECT p, sum(a), count(DISTINCT a) FROM t GROUP BY p",
        "SELECT x.id, y.id FROM t x LEFT JOIN t y ON y.id = x.p",
        "SELECT id FROM t ORDER BY a DESC LIMIT 2",
        "SELECT 10 / (a - 15) FROM t",
    ] {
        db.watch(sql);
    }
    let mut news = Vec::new();
    for sql in [
        "UPDATE t SET a = a + 1",
        "UPDATE t SET a = 15 WHERE id = 1",
        "DELETE FROM t WHERE a = 15",
        "INSERT INTO t SELECT id + 10, p, a FROM t",
        "DELETE FROM t",
    ] {
        news.extend(db.run(sql));
    }
    let recomputed = db.db.engine.status().advances.recomputed;
    let always = breaker == Breaker::ALWAYS;
    assert_eq!(recomputed, if always { 5 } else { 0 });
    db.end();
    news
}

#[test]
fn t36_computing_anew_gives_the_change_that_a_step_gives() {
    let stepped = news_of(Breaker::NEVER);
    assert_eq!(stepped.len(), 16, "{stepped:?}");
    assert_eq!(news_of(Breaker::ALWAYS), stepped);
}

#[test]
fn t37_a_column_comes_under_live_queries() {
    let mut db = db();
    db.watch("SELECT id FROM t WHERE a > 15");
    db.watch("SELECT p, count(*) FROM t GROUP BY p");
    assert_eq!(db.run("ALTER TABLE t ADD COLUMN note text DEFAULT 'n'"), [""; 0]);
    assert_eq!(db.watch("SELECT note, count(*) FROM t GROUP BY note"), "[n|3]");
    assert_eq!(db.run("INSERT INTO t VALUES (4, 1, 40, 'm')"), ["1: +4", "2: -1|2 +1|3", "3: +m|1"]);
    assert_eq!(db.run("UPDATE t SET note = 'm' WHERE id = 1"), ["3: -m|1 -n|3 +m|2 +n|2"]);
    db.end();
}

fn sizes(engine: &Engine) -> (Vec<usize>, usize) {
    let Status { tables, views, .. } = engine.status();
    (tables.iter().map(|table| table.rows).collect(), views.len())
}

#[test]
fn t38_nothing_is_left_of_rows_and_queries_that_are_gone() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, p int, a int)");
    let live = [
        "SELECT p, count(*), max(a), count(DISTINCT a) FROM t GROUP BY p",
        "SELECT x.id, y.id FROM t x LEFT JOIN t y ON y.p = x.id",
        "SELECT DISTINCT a FROM t ORDER BY a LIMIT 3",
        "SELECT id, rank() OVER (PARTITION BY p ORDER BY a) FROM t",
        "WITH RECURSIVE r(n) AS (SELECT id FROM t WHERE p IS NULL UNION SELECT t.id FROM r JOIN t ON t.p = r.n) SELECT n FROM r",
        "SELECT a FROM t EXCEPT SELECT p FROM t",
        "SELECT id FROM t WHERE a NOT IN (SELECT p FROM t WHERE p IS NOT NULL)",
    ];
    for (number, sql) in live.iter().enumerate() {
        db.subscribe(number as u64, sql);
    }
    let states = |db: &Db| -> Vec<Vec<usize>> {
        let views = db.engine.status().views;
        views
            .iter()
            .map(|view| db.engine.circuit(view.id).unwrap().iter().map(|node| node.node.rows).collect())
            .collect()
    };
    let empty = states(&db);
    for round in 0..3 {
        db.ok("INSERT INTO t VALUES (1, NULL, 1), (2, 1, 1), (3, 1, 2), (4, 2, NULL), (5, 4, 7)");
        db.ok("UPDATE t SET a = id WHERE a IS NOT NULL");
        assert_ne!(states(&db), empty);
        db.ok("DELETE FROM t WHERE id > 2");
        db.ok("DELETE FROM t");
        db.read();
        assert_eq!(states(&db), empty, "round {round}");
    }
    // Queries that come and go, of one template and of many.
    for number in 0..2_000 {
        db.subscribe_with(100, "SELECT id FROM t WHERE p = $1", &[json!(number)]);
        db.unsubscribe(100);
        db.subscribe(101, &format!("SELECT id + {number} FROM t"));
        db.unsubscribe(101);
        db.pass(31);
        assert_eq!(sizes(&db.engine), (vec![0], live.len()));
    }
    // One that comes back in time has its difference, one that comes too late its snapshot.
    let first = db.subscribe(200, "SELECT id FROM t");
    db.unsubscribe(200);
    db.ok("INSERT INTO t VALUES (1, 1, 1)");
    db.read();
    let resumed = db.subscribe_as(1, 200, "SELECT id FROM t", &[], Some(first[0].cookie()));
    assert_eq!(one(&resumed), "+1");
    db.unsubscribe(200);
    db.pass(60);
    db.ok("INSERT INTO t VALUES (2, 1, 1)");
    db.read();
    let late = db.subscribe_as(1, 200, "SELECT id FROM t", &[], Some(resumed[0].cookie()));
    assert_eq!(one(&late), "[1, 2]");
}

#[test]
fn t39_one_that_fails_stops_no_other_and_history_repeats_exactly() {
    let history = || {
        let mut db = db();
        db.watch("SELECT id, 100 / a FROM t");
        db.watch("SELECT count(*) FROM t");
        db.watch_with("SELECT id, 100 / (a - $1) FROM t", &[json!(1)]);
        let mut news = db.run("INSERT INTO t VALUES (4, 1, 0)");
        assert_eq!(news, ["1: error 22012", "2: -3 +4", "3: +4|-100"]);
        news.extend(db.run("INSERT INTO t VALUES (5, 1, 1)"));
        assert_eq!(news[3..], ["2: -4 +5", "3: error 22012"]);
        news.extend(db.run("DELETE FROM t WHERE id = 4"));
        assert_eq!(news[5..], ["1: +5|100", "2: -5 +4"]);
        news
    };
    assert_eq!(history(), history());
}

/// What one commit costs in all circuits together: entries read and given, and probes.
fn work(db: &Db) -> u64 {
    let mut nodes = std::collections::BTreeMap::new();
    for view in db.engine.status().views {
        for node in db.engine.circuit(view.id).unwrap() {
            let work = node.node.work;
            nodes.insert(node.node.id, work.steps + work.rows_in + work.rows_out + work.probes);
        }
    }
    nodes.values().sum()
}

#[test]
fn t40_a_change_costs_the_same_under_ten_filters_and_under_ten_thousand() {
    let cost = |filters: usize| {
        let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, p int, a int)");
        for number in 0..filters {
            db.subscribe_with(number as u64, "SELECT id, a FROM t WHERE p = $1", &[json!(number)]);
        }
        db.ok("INSERT INTO t VALUES (1, 3, 1)");
        let before = work(&db);
        db.read();
        db.ok("UPDATE t SET a = 2 WHERE id = 1");
        assert_eq!(db.news(), ["3: -1|1 +1|2"]);
        work(&db) - before
    };
    let (ten, ten_thousand) = (cost(10), cost(10_000));
    assert!(ten > 0);
    assert_eq!(ten, ten_thousand);
}

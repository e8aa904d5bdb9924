//! Large live queries are computed beside the commits, and arrive as if they had been there.

use deltaic_engine::{Input, Slice};
use proptest::prelude::*;

use crate::{
    common::{Db, Got, one, text},
    kept::take,
};

fn db() -> Db {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, k int, v int, s text);
         CREATE TABLE g (k int PRIMARY KEY, name text); CREATE TABLE other (a int PRIMARY KEY)",
    );
    db.ok("INSERT INTO t VALUES (1, 1, 10, 'a'), (2, 1, 20, 'b'), (3, 2, 30, 'c'), (4, 3, NULL, 'd')");
    db.ok("INSERT INTO g VALUES (1, 'one'), (2, 'two')");
    db.engine.set_slice(Slice { rows: 0, ..Slice::default() });
    db.hold = true;
    db
}

#[test]
fn commits_go_on_while_a_large_query_is_computed() {
    let mut db = db();
    db.rows("SELECT k, v, name FROM t JOIN g USING (k)");
    let sql = "SELECT name, sum(v) FROM t JOIN g USING (k) GROUP BY name";
    assert!(db.subscribe(1, sql).is_empty());
    assert_eq!(db.engine.status().waiting, 1);
    db.ok("UPDATE t SET v = 11 WHERE id = 1");
    db.ok("DELETE FROM g WHERE k = 2");
    db.ok("INSERT INTO g VALUES (3, 'three')");
    assert!(db.read().is_empty(), "there is nothing to tell yet");
    db.work();
    assert_eq!(db.news(), ["1: [one|31, three|NULL]"]);
    db.ok("UPDATE t SET v = 5 WHERE id = 4");
    assert_eq!(db.news(), ["1: -three|NULL +three|5"]);
    db.unsubscribe(1);
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn small_tables_with_a_large_join_are_computed_beside_the_commits() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY)");
    let rows: Vec<String> = (0..400).map(|id| format!("({id})")).collect();
    db.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    db.hold = true;
    let pairs = "SELECT count(*) FROM t a, t b WHERE a.id + b.id > 10";
    assert!(db.subscribe(1, pairs).is_empty(), "160,000 pairs are not looked at between two commits");
    db.ok("DELETE FROM t WHERE id > 1");
    db.work();
    assert_eq!(db.news(), ["1: [0]"]);
    assert_eq!(one(&db.subscribe(2, "SELECT count(*) FROM t a, t b")), "[4]");
    // What does not end is refused from there too.
    db.ok(
        "INSERT INTO t SELECT a.id + 2 FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8)) AS a (id)",
    );
    assert_eq!(db.news(), ["1: -0 +55", "2: -4 +121"]);
    let many = "SELECT count(*) FROM t a, t b, t c, t d, t e, t f, t g, t h";
    assert!(db.subscribe(3, many).is_empty());
    db.ok("INSERT INTO t VALUES (1000)");
    db.work();
    assert_eq!(db.news(), ["1: -55 +78", "2: -121 +144", "3: error 54000"]);
    db.ok("DELETE FROM t");
    assert_eq!(db.news(), ["1: -78 +0", "2: -144 +0"]);
}

#[test]
fn columns_that_are_not_in_memory_are_read_beside_the_commits() {
    let mut db = db();
    let cold = |db: &Db| {
        let tables = db.engine.status().tables;
        tables.iter().flat_map(|table| &table.columns).filter(|(_, _, hot)| !hot).count()
    };
    assert_eq!(cold(&db), 4);
    assert!(db.subscribe(1, "SELECT t.s, g.name FROM t JOIN g USING (k)").is_empty());
    assert_eq!(cold(&db), 4, "nothing is read before the next commit");
    db.ok("INSERT INTO other VALUES (1)");
    db.work();
    assert_eq!((db.news(), cold(&db)), (vec!["1: [a|one, b|one, c|two]".to_owned()], 1));
    db.ok("UPDATE t SET s = 'z' WHERE id = 1");
    assert_eq!(db.news(), ["1: -a|one +z|one"]);
    // Where the table is written to meanwhile they are read at once, the second time.
    assert!(db.subscribe(2, "SELECT sum(v) FROM t").is_empty());
    db.ok("UPDATE t SET v = 0 WHERE id = 3");
    db.work();
    assert_eq!((db.news().len(), cold(&db)), (0, 0));
    db.ok("UPDATE t SET v = 1 WHERE id = 3");
    db.work();
    assert_eq!(db.news(), ["2: [31]"]);
    db.ok("DELETE FROM t WHERE id = 2");
    assert_eq!(db.news(), ["1: -b|one", "2: -31 +11"]);
}

#[test]
fn a_large_live_view_is_defined_and_computed_beside_the_commits() {
    let mut db = db();
    db.engine.set_slice(Slice { rows: 0, scans: 2, ..Slice::default() });
    let create = db.ask("CREATE LIVE VIEW names AS SELECT v, name FROM t JOIN g USING (k)");
    db.ok("INSERT INTO other VALUES (1)");
    assert!(db.reply(create).is_none());
    db.work();
    assert_eq!(db.reply(create).unwrap().unwrap().lsn.0, 5);
    assert!(db.subscribe(1, "SELECT * FROM names").is_empty());
    db.ok("UPDATE g SET name = 'ein' WHERE k = 1");
    db.finish();
    assert_eq!(db.news(), ["1: [10|ein, 20|ein, 30|two]"]);
    db.unsubscribe(1);
    db.pass(600);
    assert_eq!(db.engine.status().views[0].names, ["names"]);
    let mut db = db.restart();
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM names")), "[10|ein, 20|ein, 30|two]");
    db.ok("DROP LIVE VIEW names");
    assert_eq!(db.rows("SELECT count(*) FROM t"), ["4"]);
}

#[test]
fn a_computation_that_is_far_behind_catches_up_beside_the_commits() {
    let mut db = db();
    db.rows("SELECT v FROM t");
    db.engine.set_slice(Slice { rows: 0, units: 5, ..Slice::WHOLE });
    assert!(db.subscribe(1, "SELECT sum(v) FROM t").is_empty());
    for id in 1..4 {
        db.ok(&format!("UPDATE t SET v = 2 WHERE id = {id}"));
    }
    db.work();
    assert!(db.news().is_empty() && db.held.len() == 1, "it goes again");
    db.ok("UPDATE t SET v = 7 WHERE id = 1");
    db.work();
    assert_eq!(db.news(), ["1: [11]"]);
    db.ok("DELETE FROM t WHERE id = 1");
    assert_eq!(db.news(), ["1: -11 +4"]);
}

#[test]
fn who_comes_later_waits_too_and_another_query_comes_next() {
    let mut db = db();
    let sql = "SELECT id FROM t WHERE k = $1";
    assert!(db.subscribe_with(1, sql, &[1.into()]).is_empty());
    assert!(db.subscribe_with(2, sql, &[2.into()]).is_empty());
    assert!(db.subscribe(3, "SELECT count(*) FROM t").is_empty());
    assert_eq!(one(&db.subscribe(1, "SELECT 1")), "error 42710", "a number that waits is taken");
    assert_eq!(db.engine.status().waiting, 3);
    db.work();
    assert_eq!(db.news(), ["1: [1, 2]", "2: [3]"]);
    db.ok("INSERT INTO t VALUES (5, 2, 1, '')");
    assert_eq!(db.news(), ["2: +5"]);
    db.work();
    assert_eq!(db.news(), ["3: [5]"]);
    assert_eq!(one(&db.subscribe_with(4, sql, &[3.into()])), "[4]", "its form is there");
}

#[test]
fn who_leaves_does_not_wait() {
    let mut db = db();
    db.subscribe(1, "SELECT id FROM t WHERE k = 1");
    db.subscribe(2, "SELECT max(v) FROM t");
    db.unsubscribe(1);
    db.step(Input::Disconnect(deltaic_engine::ClientId(1)));
    db.work();
    assert!(db.read().is_empty() && db.held.is_empty());
    assert!(db.engine.is_idle());
    // The one that it was computed for left, another of its form stayed.
    db.subscribe(1, "SELECT id FROM t WHERE k = 1");
    db.subscribe(2, "SELECT id FROM t WHERE k = 2");
    db.unsubscribe(1);
    db.work();
    assert_eq!(db.news(), ["2: [3]"]);
    db.ok("INSERT INTO t VALUES (6, 1, 1, ''), (7, 2, 1, '')");
    assert_eq!(db.news(), ["2: +7"]);
    db.unsubscribe(2);
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn definitions_that_change_meanwhile_begin_it_anew() {
    for statement in [
        "ALTER TABLE t ADD COLUMN more int",
        "CREATE INDEX ON t (v)",
        "SELECT s FROM t", // brings a column into memory, and with it new rows
        "CREATE TABLE another (a int)",
    ] {
        let mut db = db();
        db.subscribe(1, "SELECT id, v FROM t WHERE k = 1");
        db.ok(statement);
        db.ok("UPDATE t SET v = 21 WHERE id = 2");
        db.work();
        assert!(db.read().is_empty(), "{statement}");
        db.work();
        assert_eq!(db.news(), ["1: [1|10, 2|21]"], "{statement}");
        db.ok("DELETE FROM t");
        assert_eq!(db.news(), ["1: -1|10 -2|21"], "{statement}");
    }
    let mut db = db();
    db.subscribe(1, "SELECT id, v FROM t WHERE k = 1");
    db.ok("DROP TABLE t");
    db.work();
    assert_eq!(db.news(), ["1: error 42P01"]);
    assert!(db.engine.is_idle());
}

#[test]
fn errors_and_refusals_arrive_like_results() {
    let mut db = db();
    db.rows("SELECT k, v FROM t");
    db.subscribe(1, "SELECT 10 / (v - 20) FROM t WHERE k = $1 OR true");
    db.messages();
    db.subscribe(2, "SELECT 10 / (v - 20) FROM t");
    db.ok("UPDATE t SET v = 7 WHERE id = 1");
    db.work();
    assert_eq!(db.news(), ["2: error 22012"]);
    db.ok("DELETE FROM t WHERE v = 20");
    assert_eq!(db.news(), ["2: [0, 1, NULL]"]);
    let digits = "SELECT generate.a FROM (VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) generate (a)";
    let sql = format!(
        "SELECT count(*) FROM t, ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d, ({digits}) e, ({digits}) f, \
         ({digits}) h, ({digits}) i"
    );
    assert!(db.subscribe(3, &sql).is_empty());
    db.work();
    assert_eq!(db.news(), ["3: error 54000"]);
    assert_eq!(db.engine.status().waiting, 0);
}

const QUERIES: [&str; 12] = [
    "SELECT id, v FROM t WHERE k = 1",
    "SELECT k, count(*), sum(v), max(v), string_agg(s, ',' ORDER BY s) FROM t GROUP BY k",
    "SELECT t.id, g.name FROM t JOIN g USING (k) WHERE v > 5",
    "SELECT t.id, g.name FROM t LEFT JOIN g USING (k)",
    "SELECT id FROM t WHERE k NOT IN (SELECT k FROM g)",
    "SELECT DISTINCT v FROM t",
    "SELECT id FROM t ORDER BY v DESC, id LIMIT 2",
    "SELECT id, row_number() OVER (PARTITION BY k ORDER BY id) FROM t",
    "SELECT k FROM t EXCEPT SELECT k FROM g",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION SELECT t.v FROM r JOIN t ON t.k = r.a) SELECT a FROM r",
    "SELECT count(*) FROM t WHERE k = 7",
    "SELECT id, (SELECT name FROM g WHERE g.k = t.k), 7 / v FROM t",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn it_is_as_if_it_had_been_there(
        queries in proptest::collection::vec(0..QUERIES.len(), 1..4),
        before in any::<bool>(),
        follows in any::<bool>(),
        changes in proptest::collection::vec((0_u8..4, 0_i64..8, 0_i64..4, 0_i64..5), 1..24),
    ) {
        let mut db = db();
        if before {
            // Some of its states are there already.
            db.hold = false;
            db.subscribe(100, QUERIES[queries[0] / 2]);
            db.hold = true;
        }
        let mut live: Vec<Option<Vec<String>>> = vec![None; queries.len()];
        let mut errors = vec![None; queries.len()];
        let mut hear = |number: usize, got: &Got| {
            if let Got::Error(error, _) = got {
                errors[number] = Some(error.sqlstate().to_owned());
            } else {
                errors[number] = None;
                take(live[number].get_or_insert_default(), got);
            }
        };
        for (number, query) in queries.iter().enumerate() {
            for got in db.subscribe(number as u64, QUERIES[*query]) {
                hear(number, &got);
            }
        }
        if follows {
            // Nor does it matter where commits are brought to what is there.
            db.engine.set_slice(Slice { rows: 0, units: 0, ..Slice::WHOLE });
        }
        for (place, (kind, id, k, v)) in changes.into_iter().enumerate() {
            db.ok(&match kind {
                0 => format!("INSERT INTO t VALUES ({id}, {k}, {v}, 's{v}') ON CONFLICT DO NOTHING"),
                1 => format!("UPDATE t SET k = {k}, v = {v} WHERE id = {id}"),
                2 => format!("DELETE FROM t WHERE id = {id}"),
                _ => format!("INSERT INTO g VALUES ({k}, 'g{v}') ON CONFLICT (k) DO UPDATE SET name = excluded.name"),
            });
            if place % 3 == 2 && !db.held.is_empty() {
                db.work();
            }
        }
        db.finish();
        db.ok("UPDATE t SET v = v + 1, k = k + 1 WHERE id < 4");
        db.finish();
        for (number, got) in db.read() {
            if number < 100 {
                hear(number as usize, &got);
            }
        }
        for ((query, live), error) in queries.iter().zip(live).zip(errors) {
            let fresh = db.run(QUERIES[*query], &[]);
            match (fresh, error) {
                (Err(fresh), error) => prop_assert_eq!(Some(fresh.sqlstate().to_owned()), error),
                (Ok(_), Some(error)) => prop_assert!(false, "{} is in {}", QUERIES[*query], error),
                (Ok(fresh), None) => {
                    let mut fresh: Vec<String> = fresh.rows.iter().map(|row| text(row)).collect();
                    let mut live = live.unwrap_or_default();
                    fresh.sort();
                    live.sort();
                    prop_assert_eq!(live, fresh, "{}", QUERIES[*query]);
                }
            }
        }
        db.step(Input::Disconnect(deltaic_engine::ClientId(1)));
        db.pass(60);
        prop_assert!(db.engine.is_idle());
    }
}

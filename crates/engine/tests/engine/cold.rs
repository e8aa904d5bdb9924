//! Columns that no query has read stay in the store until one does.

use crate::common::{Db, one};

fn hot(db: &Db) -> Vec<String> {
    let tables = db.engine.status().tables;
    tables[0].columns.iter().filter(|(_, _, hot)| *hot).map(|(name, _, _)| name.clone()).collect()
}

const SETUP: &str = "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c text);
    INSERT INTO t VALUES (1, 10, 'x', 'one'), (2, 10, 'y', 'two'), (3, 30, 'x', 'three')";

#[test]
fn a_column_gets_hot_when_a_query_reads_it() {
    let mut db = Db::with(SETUP);
    assert_eq!(hot(&db), ["id"]);
    assert_eq!(db.rows("SELECT count(*) FROM t"), ["3"]);
    assert_eq!(hot(&db), ["id"]);
    let small = db.engine.status().tables[0].memory_bytes;
    assert_eq!(db.rows("SELECT id FROM t WHERE b = 'x'"), ["1", "3"]);
    assert_eq!(hot(&db), ["id", "b"]);
    assert!(db.engine.status().tables[0].memory_bytes > small);
    one(&db.subscribe(1, "SELECT a FROM t WHERE id = 3"));
    assert_eq!(hot(&db), ["id", "a", "b"]);
    // What is written and returned is whole, hot or not.
    assert_eq!(db.rows("UPDATE t SET c = c || '!' WHERE id = 1 RETURNING *"), ["1|10|x|one!"]);
    assert_eq!(hot(&db), ["id", "a", "b"]);
    let mut db = db.restart();
    assert_eq!(hot(&db), ["id"]);
    assert_eq!(db.rows("SELECT * FROM t WHERE id = 1"), ["1|10|x|one!"]);
}

#[test]
fn live_results_stay_right_across_it() {
    // Every kind of operator stands over the narrow rows first.
    let queries = [
        "SELECT id FROM t",
        "SELECT DISTINCT a FROM t",
        "SELECT a, count(*), min(id) FROM t GROUP BY a",
        "SELECT a FROM t ORDER BY a DESC LIMIT 2",
        "SELECT x.id, y.id FROM t x JOIN t y ON x.a = y.a",
        "SELECT x.id, y.id FROM t x LEFT JOIN t y ON x.id = y.a",
        "SELECT x.a, y.n FROM t x JOIN (SELECT a, count(*) AS n FROM t GROUP BY a) y ON x.a = y.a",
        "SELECT a FROM t UNION ALL SELECT id FROM t",
        "SELECT id FROM t WHERE a = 10",
    ];
    let steps = [
        "SELECT b FROM t",
        "UPDATE t SET a = 11 WHERE id = 1; SELECT c FROM t",
        "INSERT INTO t VALUES (4, 4, 'z', 'four'); DELETE FROM t WHERE id = 2",
        "UPDATE t SET b = 'w', c = 'changed'",
        "UPDATE t SET a = 10",
    ];
    let mut db = Db::with(SETUP);
    let mut now: Vec<Vec<String>> = Vec::new();
    for (number, query) in queries.iter().enumerate() {
        one(&db.subscribe(number as u64, query));
        now.push(db.rows(query));
    }
    for step in steps {
        // Writes before it in the batch, and a commit after it.
        let (_, replies) =
            db.batch(&["INSERT INTO t VALUES (9, 10, 'n', 'nine')", step, "DELETE FROM t WHERE id = 9"]);
        assert!(replies.iter().all(Result::is_ok), "{step}: {replies:?}");
        for message in db.messages() {
            let deltaic_engine::News::Change(change) = message.news else { panic!("{message:?}") };
            let rows = &mut now[message.subscription.0 as usize];
            for (row, weight) in &change.changes {
                let row = crate::common::text(row);
                for _ in 0..weight.abs() {
                    if *weight > 0 {
                        rows.push(row.clone());
                    } else {
                        let place =
                            rows.iter().position(|other| *other == row).expect("a retracted row is there");
                        rows.remove(place);
                    }
                }
            }
        }
        for (query, live) in queries.iter().zip(&mut now) {
            let mut fresh = db.rows(query);
            fresh.sort();
            live.sort();
            assert_eq!(*live, fresh, "{query} after {step}");
        }
    }
}

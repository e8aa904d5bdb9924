//! Large commits are brought to the live queries beside the commits behind them.

use deltaic_engine::{Input, MemoryLimits, Slice, Work};

use crate::common::{Db, SECOND, one};

fn db() -> Db {
    let mut db =
        Db::with("CREATE TABLE t (id int PRIMARY KEY, v int, s text); CREATE TABLE u (id int PRIMARY KEY)");
    db.ok("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b')");
    db.engine.set_slice(Slice { units: 0, ..Slice::default() });
    db
}

/// A database with two live queries, and a large commit on its way to them.
fn behind() -> Db {
    let mut db = db();
    assert_eq!(one(&db.subscribe(1, "SELECT sum(v) FROM t")), "[30]");
    assert_eq!(one(&db.subscribe(2, "SELECT id, v FROM t WHERE v > 15")), "[2|20]");
    db.hold = true;
    db.ok("UPDATE t SET v = v + 1");
    assert!(matches!(db.held.front(), Some(Work::Following(_))));
    assert!(db.read().is_empty());
    db
}

#[test]
fn commits_behind_it_are_acknowledged_and_told_in_order() {
    let mut db = behind();
    assert_eq!(db.ok("UPDATE t SET v = v + 100 WHERE id = 1").lsn.0, 4);
    assert_eq!(db.rows("SELECT id, v FROM t"), ["1|111", "2|21"], "who asks once sees all that is durable");
    assert_eq!(db.ok("DELETE FROM t WHERE id = 2").lsn.0, 5);
    assert_eq!(db.held.len(), 1, "one is followed at a time");
    assert!(db.read().is_empty());
    db.work();
    assert_eq!(db.news(), ["1: -30 +32", "2: -2|20 +2|21"]);
    db.work();
    assert_eq!(db.news(), ["1: -32 +132", "2: +1|111"]);
    db.work();
    let read = db.read();
    assert_eq!(read.iter().map(|(_, got)| got.text()).collect::<Vec<_>>(), ["-132 +111", "-2|21"]);
    assert!(read.iter().all(|(_, got)| got.cookie().lsn.0 == 5));
    assert!(db.held.is_empty());
    // What follows at once again stands on all of them.
    db.engine.set_slice(Slice::WHOLE);
    db.ok("INSERT INTO t VALUES (3, 1, '')");
    assert_eq!(db.news(), ["1: -111 +112"]);
}

#[test]
fn who_asks_meanwhile_waits_and_stands_where_the_others_do() {
    let mut db = behind();
    assert!(db.subscribe(3, "SELECT count(*) FROM t").is_empty());
    assert!(db.subscribe(4, "SELECT sum(v) FROM t").is_empty());
    assert!(db.subscribe(5, "SELECT sum(v) FROM t").is_empty());
    assert!(db.subscribe(5, "SELECT 1").is_empty(), "what is wrong with it is said in its turn");
    assert_eq!(db.engine.status().waiting, 4);
    db.unsubscribe(4);
    db.unsubscribe(2);
    db.ok("INSERT INTO t VALUES (3, 1, '')");
    db.work();
    assert_eq!(db.news(), ["1: -30 +32"]);
    db.work();
    assert_eq!(db.news(), ["1: -32 +33", "3: [3]", "5: [33]", "5: error 42710"]);
    assert_eq!(db.engine.status().waiting, 0);
    db.step(Input::Disconnect(deltaic_engine::ClientId(1)));
    db.pass(60);
    assert!(db.engine.is_idle());
    let mut db = behind();
    assert!(db.subscribe(3, "SELECT count(*) FROM t").is_empty());
    db.step(Input::Disconnect(deltaic_engine::ClientId(1)));
    db.pass(600);
    db.work();
    assert!(db.read().is_empty(), "nobody is there");
    db.pass(600);
    assert!(db.engine.is_idle());
}

#[test]
fn definitions_and_columns_that_come_meanwhile_are_there_afterwards() {
    let mut db = behind();
    assert_eq!(db.rows("SELECT s FROM t ORDER BY id"), ["a", "b"], "brings a column into memory");
    db.ok("ALTER TABLE t ADD COLUMN w int DEFAULT 7");
    db.ok("CREATE INDEX ON t (s)");
    db.ok("CREATE LIVE VIEW named AS SELECT s, w FROM t");
    db.ok("UPDATE t SET s = 'c', v = 5 WHERE id = 1");
    assert!(db.subscribe(3, "SELECT * FROM named").is_empty());
    db.ok("DROP TABLE u");
    db.finish();
    assert_eq!(db.news(), ["1: -30 +32", "2: -2|20 +2|21", "1: -32 +26", "3: [b|7, c|7]"]);
    db.hold = false;
    db.ok("UPDATE t SET s = 'd' WHERE s = 'b'");
    assert_eq!(db.news(), ["3: -b|7 +d|7"]);
    db.ok("DELETE FROM t");
    assert_eq!(db.news(), ["1: -26 +NULL", "2: -2|21", "3: -c|7 -d|7"]);
    let mut db = behind();
    db.ok("DROP TABLE t");
    db.finish();
    assert_eq!(db.news(), ["1: -30 +32", "2: -2|20 +2|21", "1: error 42P01", "2: error 42P01"]);
    assert!(db.engine.is_idle());
}

#[test]
fn a_result_that_grows_too_large_ends_and_the_others_go_on() {
    let mut db = db();
    db.subscribe(1, "SELECT s FROM t");
    db.subscribe_with(2, "SELECT s FROM t WHERE id = $1", &[1.into()]);
    db.subscribe_with(3, "SELECT s FROM t WHERE id = $1", &[2.into()]);
    db.messages();
    db.engine.set_memory(MemoryLimits { view: 2_000, ..MemoryLimits::default() });
    db.hold = true;
    db.ok("UPDATE t SET s = repeat('x', 1500)");
    db.ok("UPDATE t SET s = repeat('y', 3000) WHERE id = 2");
    db.ok("UPDATE t SET s = 'z'");
    db.finish();
    let news: Vec<String> = db.news().iter().map(|news| news.chars().take(14).collect()).collect();
    assert_eq!(
        news,
        ["2: -a +xxxxxxx", "3: -b +xxxxxxx", "1: error 54000", "3: error 54000", "2: -xxxxxxxxxx"]
    );
    db.unsubscribe(2);
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn a_tuple_that_went_and_came_back_is_there_for_the_commits_that_follow() {
    let mut db = db();
    db.ok("CREATE TABLE e (id int PRIMARY KEY, at timestamptz)");
    db.engine.set_slice(Slice { units: 5, ..Slice::default() });
    db.ok("INSERT INTO e VALUES (1, now())");
    let sql = "SELECT s FROM t WHERE id = $1";
    db.subscribe_with(1, sql, &[1.into()]);
    db.subscribe_with(2, sql, &[2.into()]);
    let timed = "SELECT id FROM e WHERE at > now() - interval '10 seconds'";
    assert_eq!(one(&db.subscribe(3, timed)), "[1]");
    db.engine.set_memory(MemoryLimits { view: 2_000, ..MemoryLimits::default() });
    db.hold = true;
    db.ok("UPDATE t SET s = CASE WHEN id = 1 THEN repeat('x', 3000) ELSE 'q' END");
    db.ok("UPDATE t SET s = 'z' WHERE id = 1");
    db.now += 11 * SECOND;
    assert!(db.subscribe_with(4, sql, &[1.into()]).is_empty());
    assert!(db.subscribe(5, timed).is_empty());
    db.finish();
    assert_eq!(db.news(), ["2: -b +q", "1: error 54000", "3: -1", "4: [z]", "5: []"]);
    db.ok("UPDATE t SET s = 'y' WHERE id = 1");
    assert_eq!(db.news(), ["4: -z +y"]);
}

#[test]
fn the_clock_waits_and_goes_on() {
    let mut db = Db::with("CREATE TABLE e (id int PRIMARY KEY, at timestamptz)");
    db.engine.set_slice(Slice { units: 0, ..Slice::default() });
    db.subscribe(1, "SELECT id FROM e WHERE at > now() - interval '10 seconds'");
    db.ok("INSERT INTO e VALUES (1, now()), (2, now() + interval '5 seconds')");
    assert_eq!(db.news(), ["1: +1 +2"]);
    db.hold = true;
    db.ok("UPDATE e SET id = id + 10");
    db.now += 11 * SECOND;
    assert_eq!(
        db.step(Input::Wake).wake_at,
        None,
        "nothing is to be done about time before it is caught up with"
    );
    db.ok("INSERT INTO e VALUES (3, now())");
    db.finish();
    assert_eq!(db.news(), ["1: -1 -2 +11 +12", "1: -11 +3"]);
    db.pass(6);
    assert_eq!(db.news(), ["1: -12"]);
}

#[test]
fn a_tuple_that_is_much_work_is_brought_in_beside_the_commits() {
    let mut db = db();
    let small = Slice { visits: 3, ..Slice::WHOLE };
    db.engine.set_slice(Slice::WHOLE);
    for id in 3..9 {
        db.ok(&format!("INSERT INTO t VALUES ({id}, {}, 'x')", id % 2));
    }
    let sql = "SELECT a.id, b.id FROM t a, t b WHERE a.v = $1 AND b.s = 'x' AND a.id <> b.id AND a.id = 3";
    assert_eq!(one(&db.subscribe_with(1, sql, &[77.into()])), "[]");
    db.engine.set_slice(small);
    db.hold = true;
    assert!(db.subscribe_with(2, sql, &[1.into()]).is_empty());
    assert!(matches!(db.held.front(), Some(Work::Following(_))));
    assert!(db.subscribe_with(3, sql, &[1.into()]).is_empty());
    assert_eq!(db.engine.status().waiting, 2);
    db.ok("DELETE FROM t WHERE id = 5");
    db.ok("UPDATE t SET v = 77 WHERE id = 4");
    assert!(db.read().is_empty());
    db.finish();
    assert_eq!(db.news(), ["2: [3|4, 3|6, 3|7, 3|8]", "3: [3|4, 3|6, 3|7, 3|8]"]);
    db.ok("DELETE FROM t WHERE id = 6");
    assert_eq!(db.news(), ["2: -3|6", "3: -3|6"]);
    // Whoever leaves meanwhile leaves nothing behind.
    db.unsubscribe(2);
    db.unsubscribe(3);
    db.pass(60);
    assert!(db.subscribe_with(4, sql, &[1.into()]).is_empty() && db.held.len() == 1);
    db.unsubscribe(4);
    db.finish();
    assert!(db.news().is_empty());
    db.unsubscribe(1);
    db.pass(60);
    assert!(db.engine.is_idle());
}

#[test]
fn a_tuple_that_is_too_much_work_is_refused_alone() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, k int)");
    let rows: Vec<String> = (0..202).map(|id| format!("({id}, {})", 1 + i32::from(id > 1))).collect();
    db.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    let sql = "SELECT count(*) FROM t a, t b, t c WHERE a.k = $1 AND b.k = $1 AND c.k = $1";
    assert_eq!(one(&db.subscribe_with(1, sql, &[1.into()])), "[8]");
    db.hold = true;
    assert!(db.subscribe_with(2, sql, &[2.into()]).is_empty());
    db.ok("DELETE FROM t WHERE id = 0");
    db.finish();
    assert_eq!(db.news(), ["2: error 54000", "1: -8 +1"]);
    db.ok("DELETE FROM t WHERE id > 3");
    assert_eq!(one(&db.subscribe_with(2, sql, &[2.into()])), "[8]");
    db.unsubscribe(1);
    db.unsubscribe(2);
    db.pass(60);
    assert!(db.engine.is_idle());
}

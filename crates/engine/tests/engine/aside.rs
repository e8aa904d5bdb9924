//! Large requests run beside the commits, and are committed as if they had just come.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_engine::{
    AsideCounts, Claims, ClientId, Input, Life, News, Now, RequestId, Slice, Subscribe, SubscriptionId, Work,
};
use deltaic_storage::{
    Change, Commit, Header, MemoryStore, Reader, Stager, StorageError, Store, StoredRow, TableSize,
};
use deltaic_types::{Lsn, Row, TableId, Value};
use proptest::prelude::*;

use crate::common::{Db, one};

/// A slice in which a request of more than two rows does not fit.
const SMALL: Slice = Slice { scans: 2, visits: 2, writes: 2, ..Slice::WHOLE };

fn db() -> Db {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, v int, s text);
         CREATE TABLE log (t int REFERENCES t (id) ON DELETE CASCADE, what text);
         CREATE TABLE u (id int PRIMARY KEY)",
    );
    db.ok("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')");
    db.rows("SELECT v FROM t");
    db.engine.set_slice(SMALL);
    db.hold = true;
    db
}

fn lsn(db: &mut Db, id: RequestId) -> u64 {
    db.reply(id).expect("it is answered").expect("it succeeds").lsn.0
}

fn is_aside(db: &Db) -> bool {
    matches!(db.held.front(), Some(Work::Admission(_)))
}

#[test]
fn small_commits_go_on_while_it_runs_and_it_comes_behind_them() {
    let mut db = self::db();
    assert_eq!(one(&db.subscribe(1, "SELECT sum(v) FROM t")), "[60]");
    let large = db.ask("UPDATE t SET v = v + 1 RETURNING id, v");
    assert!(is_aside(&db) && db.reply(large).is_none());
    assert_eq!(db.engine.status().aside, 1);
    assert_eq!(db.ok("INSERT INTO u VALUES (1)").lsn.0, 3);
    assert_eq!(db.rows("SELECT v FROM t WHERE id = 1"), ["10"]);
    assert!(db.read().is_empty());
    db.work();
    let outcome = db.reply(large).unwrap().unwrap();
    assert_eq!((outcome.lsn.0, outcome.rows_affected, outcome.rows.len()), (4, 3, 3));
    assert_eq!(db.news(), ["1: -60 +63"]);
    assert_eq!(db.rows("SELECT v FROM t WHERE id = 1"), ["11"]);
    assert_eq!(db.engine.status().aside_counts, AsideCounts { begun: 1, ..AsideCounts::default() });
    // Dots and times stand in the log in commit order.
    let commits = db.store.commits(deltaic_types::Lsn(0), 10).unwrap();
    assert!(commits.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].time < pair[1].time));
    let large = &commits[3];
    for change in large.changes.as_slice() {
        let Change::Put { row, .. } = change else { panic!("{change:?}") };
        assert!((commits[2].seq + 1..=large.seq).contains(&row.version.seq) && row.time == large.time);
        assert!(row.cells.iter().all(|cell| cell.dot.seq <= commits[1].seq && cell.time < large.time));
    }
}

#[test]
fn who_only_reads_is_answered_as_of_its_snapshot() {
    let mut db = self::db();
    let large = db.ask("SELECT sum(v) FROM t");
    let other = db.ask("SELECT count(*) FROM t a, t b");
    db.ok("UPDATE t SET v = 0 WHERE id = 3");
    assert_eq!(db.engine.status().aside, 2);
    db.work();
    let outcome = db.reply(large).unwrap().unwrap();
    assert_eq!((outcome.lsn.0, crate::common::text(&outcome.rows[0])), (2, "60".to_owned()));
    db.work();
    let outcome = db.reply(other).unwrap().unwrap();
    assert_eq!((outcome.lsn.0, crate::common::text(&outcome.rows[0])), (3, "9".to_owned()));
    assert_eq!(db.engine.status().aside, 0);
}

#[test]
fn where_a_table_has_changed_it_runs_again_and_then_others_wait() {
    let mut db = self::db();
    let large = db.ask("UPDATE t SET v = v * 2");
    db.ok("UPDATE t SET v = 100 WHERE id = 1");
    db.work();
    assert!(is_aside(&db) && db.reply(large).is_none(), "what it read is no more");
    // From now on nobody writes to what it reads, or to what constraints tie to that.
    let waits = [
        "UPDATE t SET v = 7 WHERE id = 2",
        "INSERT INTO log VALUES (1, 'x')",
        "ALTER TABLE u ADD COLUMN w int",
        "UPDATE t SET v = v + 1 WHERE id = 2",
    ]
    .map(|sql| db.ask(sql));
    assert!(waits.iter().all(|id| db.reply(*id).is_none()));
    assert_eq!(db.ok("INSERT INTO u VALUES (1)").lsn.0, 4);
    assert_eq!(db.rows("SELECT v FROM t WHERE id = 2"), ["20"], "who reads does not wait");
    assert_eq!(db.engine.status().aside, 5);
    db.work();
    assert_eq!(lsn(&mut db, large), 5);
    assert_eq!(waits.map(|id| lsn(&mut db, id)), [6, 7, 8, 9], "in their order");
    let counts = AsideCounts { begun: 1, repeated: 1, held: 4 };
    assert_eq!(db.engine.status().aside_counts, counts);
    db.hold = false;
    assert_eq!(db.rows("SELECT id, v FROM t ORDER BY id"), ["1|200", "2|8", "3|60"]);
}

#[test]
fn columns_and_indexes_that_come_meanwhile_do_not_mislead_it() {
    for other in ["CREATE INDEX ON t (v)", "ALTER TABLE u ADD COLUMN w int"] {
        let mut db = self::db();
        let large = db.ask("UPDATE t SET v = v + 1, s = s || '!' WHERE length(s) = 1");
        let other = (db.ask(other), other);
        db.engine.set_slice(Slice::WHOLE);
        db.finish();
        db.reply(large).unwrap().unwrap();
        let (id, other) = other;
        db.reply(id).unwrap().unwrap();
        db.hold = false;
        assert_eq!(
            db.rows("SELECT id, v, s FROM t ORDER BY id"),
            ["1|11|a!", "2|21|b!", "3|31|c!"],
            "{other}"
        );
        db.engine.set_slice(Slice::WHOLE);
        assert_eq!(db.rows("SELECT id FROM t WHERE v = 21"), ["2"]);
    }
    // A column that is brought into memory, and with it new rows.
    let mut db = self::db();
    let large = db.ask("UPDATE t SET v = v + 1");
    db.engine.set_slice(Slice::WHOLE);
    assert_eq!(db.rows("SELECT s FROM t WHERE id = 1"), ["a"]);
    db.finish();
    db.reply(large).unwrap().unwrap();
    assert_eq!(db.engine.status().aside_counts.repeated, 1);
    assert_eq!(db.rows("SELECT v, s FROM t WHERE id = 1"), ["11|a"]);
    // An index that a live query asked for.
    let mut db = self::db();
    let large = db.ask("UPDATE t SET v = v + 1");
    db.engine.set_slice(Slice::WHOLE);
    assert_eq!(one(&db.subscribe_with(1, "SELECT id FROM t WHERE v = $1", &[21.into()])), "[]");
    db.finish();
    db.reply(large).unwrap().unwrap();
    assert_eq!(db.news(), ["1: +2"]);
}

#[test]
fn it_fails_as_it_would_have_and_leaves_nothing() {
    let mut db = self::db();
    for (sql, code) in [
        ("UPDATE t SET v = 1 / (id - 3)", "22012"),
        ("INSERT INTO t SELECT id + 2, 0, '' FROM t", "23505"),
        ("INSERT INTO log SELECT id + 1, 'x' FROM t", "23503"),
        ("SELECT 1 / (id - 3) FROM t", "22012"),
        ("UPDATE t SET v = 0; SELECT", "42601"),
        ("BEGIN; UPDATE t SET v = 0; ROLLBACK", ""),
    ] {
        let id = db.ask(sql);
        db.finish();
        let said = db.reply(id).unwrap().err().map_or(String::new(), |error| error.sqlstate().to_owned());
        assert_eq!(said, code, "{sql}");
        assert_eq!(db.engine.lsn().0, 2, "{sql}");
    }
    // Nor is anything there where the store refuses it.
    let id = db.ask("UPDATE t SET v = 0");
    let Some(Work::Admission(admission)) = db.held.pop_front() else { panic!("it is aside") };
    let worked = Work::Admission(admission).run().unwrap();
    let now = deltaic_engine::Now(db.now);
    let effects = db.engine.step(now, deltaic_engine::Input::Worked(worked), &db.store);
    assert_eq!(effects.append.len(), 1);
    let full = std::sync::Arc::new(deltaic_storage::StorageError::Closed);
    let effects = db.engine.step(now, deltaic_engine::Input::Appended(Err(full)), &db.store);
    assert!(
        effects.replies.len() == 1 && effects.replies[0].request == id && effects.replies[0].result.is_err()
    );
    db.hold = false;
    assert_eq!(db.rows("SELECT v FROM t ORDER BY id"), ["10", "20", "30"]);
}

#[test]
fn a_column_that_it_brings_into_memory_stays() {
    let mut db = self::db();
    let cold = |db: &Db| {
        let tables = db.engine.status().tables;
        tables.iter().flat_map(|table| &table.columns).filter(|(_, _, hot)| !hot).count()
    };
    assert_eq!(cold(&db), 2, "s and what");
    let large = db.ask("SELECT id FROM t WHERE s > 'a'");
    assert!(is_aside(&db));
    // Not where the table has changed meanwhile.
    db.ok("UPDATE t SET v = 1 WHERE id = 1");
    db.work();
    assert_eq!((db.reply(large).unwrap().unwrap().rows.len(), cold(&db)), (2, 2));
    for sql in ["SELECT id FROM t WHERE s > 'a'", "SELECT id FROM t WHERE s > 'a' AND id = 1"] {
        let large = db.ask(sql);
        db.finish();
        db.reply(large).unwrap().unwrap();
        assert_eq!(cold(&db), 1);
    }
    assert_eq!(db.rows("SELECT s FROM t WHERE id = 1"), ["a"], "it is there");
    assert_eq!(db.rows("SELECT what FROM log WHERE t = 1").len(), 0, "an empty table is read at once");
}

#[test]
fn what_comes_to_nothing_leaves_no_row_with_the_columns_that_it_brought() {
    for (sql, code) in [
        ("DELETE FROM t WHERE s > 'a'; INSERT INTO t VALUES (1, 0, '')", "23505"),
        ("BEGIN; DELETE FROM t WHERE s > 'a'; ROLLBACK", ""),
        ("DELETE FROM t WHERE s > 'a'; SELECT 1 / 0", "22012"),
    ] {
        let mut db = self::db();
        assert_eq!(one(&db.subscribe(1, "SELECT id FROM t")), "[1, 2, 3]");
        let id = db.ask(sql);
        db.finish();
        let said = db.reply(id).unwrap().err().map_or(String::new(), |error| error.sqlstate().to_owned());
        assert_eq!(said, code, "{sql}");
        db.hold = false;
        assert_eq!(db.rows("SELECT id, v, s FROM t ORDER BY id"), ["1|10|a", "2|20|b", "3|30|c"], "{sql}");
        db.ok("DELETE FROM t");
        assert_eq!(db.news(), ["1: -1 -2 -3"], "{sql}");
    }
}

#[test]
fn what_is_looked_up_and_not_found_is_read_too() {
    // It would have found the row of the commit that comes before it.
    for (large, small, rows) in [
        ("DELETE FROM u WHERE id = 5; UPDATE t SET v = v + 1", "INSERT INTO u VALUES (5)", vec![]),
        ("UPDATE u SET id = 6 WHERE id = 5; UPDATE t SET v = v + 1", "INSERT INTO u VALUES (5)", vec!["6"]),
    ] {
        let mut db = self::db();
        let id = db.ask(large);
        assert!(is_aside(&db));
        db.ok(small);
        db.finish();
        assert_eq!(lsn(&mut db, id), 4, "{large}");
        assert_eq!(db.rows("SELECT id FROM u"), rows, "{large}");
    }
    for (large, small, rows) in [
        (
            "INSERT INTO u VALUES (5) ON CONFLICT DO NOTHING; UPDATE t SET v = v + 1",
            "DELETE FROM u",
            vec!["5"],
        ),
        (
            "INSERT INTO u VALUES (5) ON CONFLICT (id) DO UPDATE SET id = 7 WHERE u.id = 0; UPDATE t SET v = 1",
            "UPDATE u SET id = 4 WHERE id = 5",
            vec!["4", "5"],
        ),
    ] {
        let mut db = self::db();
        db.ok("INSERT INTO u VALUES (5)");
        let id = db.ask(large);
        assert!(is_aside(&db));
        db.ok(small);
        db.finish();
        assert_eq!(lsn(&mut db, id), 5, "{large}");
        assert_eq!(db.rows("SELECT id FROM u"), rows, "{large}");
    }
}

#[test]
fn few_rows_of_many_bytes_are_too_large_as_well() {
    let mut db = self::db();
    db.engine.set_slice(Slice { bytes: 2_000, ..Slice::WHOLE });
    for sql in [
        "UPDATE t SET s = repeat('x', 1000)",
        "UPDATE t SET v = v + 1",
        "INSERT INTO t VALUES (8, 0, repeat('y', 3000))",
        "SELECT repeat(s, 2) FROM t",
        "DELETE FROM t WHERE id > 1",
    ] {
        let id = db.ask(sql);
        assert!(is_aside(&db), "{sql}");
        db.finish();
        db.reply(id).unwrap().unwrap();
    }
    let id = db.ask("UPDATE u SET id = 1");
    assert!(db.reply(id).is_some());
}

#[test]
fn definitions_run_between_two_inputs() {
    let mut db = self::db();
    db.ok("ALTER TABLE t ADD COLUMN w int DEFAULT 5");
    let mixed = db.ask(
        "UPDATE t SET v = v + w; CREATE TABLE more (id int PRIMARY KEY); INSERT INTO more SELECT id FROM t",
    );
    assert!(is_aside(&db), "what is defined is seen late");
    db.work();
    db.reply(mixed).unwrap().unwrap();
    db.hold = false;
    assert_eq!(db.rows("SELECT t.v FROM t JOIN more USING (id) ORDER BY id"), ["15", "25", "35"]);
}

#[test]
fn rows_without_a_key_of_their_own_get_one_that_no_other_has() {
    let mut db = Db::with("CREATE TABLE a (v int); CREATE TABLE b (v int)");
    db.ok("INSERT INTO a VALUES (1), (2), (3)");
    db.engine.set_slice(SMALL);
    db.hold = true;
    let large = db.ask("INSERT INTO a SELECT v + 3 FROM a");
    db.ok("INSERT INTO b VALUES (1)");
    db.work();
    db.reply(large).unwrap().unwrap();
    db.ok("INSERT INTO a VALUES (7)");
    db.ok("INSERT INTO b VALUES (2)");
    db.hold = false;
    assert_eq!(db.rows("SELECT v FROM a ORDER BY v"), ["1", "2", "3", "4", "5", "6", "7"]);
    assert_eq!(db.rows("SELECT count(*) FROM b"), ["2"]);
    let mut db = db.restart();
    assert_eq!(db.rows("SELECT count(*) FROM a"), ["7"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever runs aside, the result is that of the requests one after the other in the order of their commits.
    #[test]
    fn transactions_are_serial_in_commit_order(
        steps in proptest::collection::vec((0_usize..8, 0_i64..5, any::<bool>()), 1..16),
    ) {
        let mut db = self::db();
        let live = "SELECT id, v FROM t";
        db.engine.set_slice(Slice::WHOLE);
        db.subscribe(1, live);
        db.subscribe(2, "SELECT count(*) FROM log");
        let mut asked = Vec::new();
        for (kind, id, works) in steps {
            db.engine.set_slice(if id % 2 == 0 { SMALL } else { Slice::NONE });
            let sql = match kind {
                0 => "UPDATE t SET v = v + 1".to_owned(),
                1 => format!("UPDATE t SET v = v * 2 WHERE id = {id}"),
                2 => format!("INSERT INTO t VALUES ({id}, {id}, 'n') ON CONFLICT (id) DO UPDATE SET v = t.v + 100"),
                3 => "INSERT INTO log SELECT id, s FROM t".to_owned(),
                4 => format!("DELETE FROM t WHERE id = {id}"),
                5 => format!("INSERT INTO u VALUES ({id}) ON CONFLICT DO NOTHING"),
                6 => "UPDATE t SET v = (SELECT count(*) FROM log)".to_owned(),
                _ => "DELETE FROM log WHERE t IN (SELECT id FROM t WHERE v % 2 = 0)".to_owned(),
            };
            asked.push((db.ask(&sql), sql));
            if works && !db.held.is_empty() {
                db.work();
            }
        }
        db.finish();
        let mut serial: Vec<(u64, bool, String)> = Vec::new();
        for (id, sql) in asked {
            let outcome = db.reply(id).expect("it is answered");
            let outcome = outcome.map_err(|error| TestCaseError::fail(format!("{sql}: {error}")))?;
            serial.push((outcome.lsn.0, outcome.rows_affected == 0, sql));
        }
        serial.sort();
        let mut oracle = self::db();
        oracle.hold = false;
        oracle.engine.set_slice(Slice::WHOLE);
        for (_, _, sql) in serial {
            oracle.ok(&sql);
        }
        db.hold = false;
        db.engine.set_slice(Slice::WHOLE);
        for sql in ["SELECT id, v, s FROM t ORDER BY id", "SELECT t, what FROM log ORDER BY t, what", "SELECT id FROM u ORDER BY id"] {
            prop_assert_eq!(db.rows(sql), oracle.rows(sql), "{}", sql);
        }
        db.messages();
        let fresh = db.rows("SELECT id, v FROM t ORDER BY id");
        db.unsubscribe(1);
        let mut shown: Vec<String> = one(&db.subscribe(1, live)).trim_matches(['[', ']']).split(", ").map(str::to_owned).collect();
        shown.retain(|row| !row.is_empty());
        shown.sort();
        let mut fresh = fresh;
        fresh.sort();
        prop_assert_eq!(shown, fresh);
        let rows = db.rows("SELECT id, v, s FROM t ORDER BY id");
        let mut again = db.restart();
        prop_assert_eq!(again.rows("SELECT id, v, s FROM t ORDER BY id"), rows);
    }
}

/// A store whose tables cannot be read, on a snapshot or off it.
struct Unreadable<'a>(&'a MemoryStore);

impl Reader for Unreadable<'_> {
    fn row(&self, table: TableId, key: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        Failing.row(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        columns: &[usize],
        visit: &mut dyn FnMut(Row),
    ) -> Result<(), StorageError> {
        Failing.scan(table, columns, visit)
    }
}

impl Store for Unreadable<'_> {
    fn header(&self) -> Result<Header, StorageError> {
        self.0.header()
    }

    fn snapshot(&self) -> Result<Arc<dyn Reader + Send + Sync>, StorageError> {
        Ok(Arc::new(Failing))
    }

    fn commits(&self, after: Lsn, limit: usize) -> Result<Vec<Commit>, StorageError> {
        self.0.commits(after, limit)
    }

    fn append(&mut self, _: &[Commit]) -> Result<(), StorageError> {
        Err(StorageError::Closed)
    }

    fn stager(&self) -> Box<dyn Stager> {
        self.0.stager()
    }

    fn settle(&mut self, _: usize) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn first(&self) -> Lsn {
        self.0.first()
    }

    fn sizes(&self) -> Result<BTreeMap<TableId, TableSize>, StorageError> {
        self.0.sizes()
    }
}

/// Every read fails.
struct Failing;

impl Reader for Failing {
    fn row(&self, _: TableId, _: &[Value]) -> Result<Option<StoredRow>, StorageError> {
        Err(StorageError::CommitTooLarge { limit: 0 })
    }

    fn scan(&self, _: TableId, _: &[usize], _: &mut dyn FnMut(Row)) -> Result<(), StorageError> {
        Err(StorageError::CommitTooLarge { limit: 0 })
    }
}

#[test]
fn a_column_that_cannot_be_read_is_not_taken_for_one_in_memory() {
    let mut db = self::db();
    db.engine.set_slice(Slice { rows: 0, ..SMALL });
    let requests = db.requests(&["SELECT id FROM t WHERE s > 'a'"], &[]);
    let id = requests[0].id;
    let subscribe = Subscribe {
        client: ClientId(1),
        subscription: SubscriptionId(1),
        sql: "SELECT s FROM t".into(),
        parameters: vec![],
        claims: Claims::new(),
        resume: None,
        life: Life::default(),
    };
    let now = Now(db.now);
    for input in [Input::Requests(requests), Input::Subscribe(subscribe.clone())] {
        let mut effects = db.engine.step(now, input, &Unreadable(&db.store));
        let work = effects.work.pop().expect("it is done beside");
        let effects = db.engine.step(now, Input::Worked(work.run().unwrap()), &Unreadable(&db.store));
        let refused = effects.replies.iter().any(|reply| reply.request == id && reply.result.is_err());
        let told = effects.send.iter().any(|message| matches!(message.news, News::Error { .. }));
        assert!(refused || told);
    }
    // Nor between two inputs.
    db.engine.set_slice(Slice::WHOLE);
    let requests = db.requests(&["SELECT s FROM t"], &[]);
    for input in [Input::Requests(requests), Input::Subscribe(subscribe)] {
        let effects = db.engine.step(now, input, &Unreadable(&db.store));
        assert!(effects.work.is_empty() && effects.replies.len() + effects.send.len() == 1);
    }
    db.hold = false;
    assert_eq!(db.rows("SELECT s FROM t WHERE id > 1 ORDER BY id"), ["b", "c"]);
    assert_eq!(one(&db.subscribe(2, "SELECT s FROM t")), "[a, b, c]");
}

//! Live queries that ask for the time: rows come and leave when it is time, by commits of the clock.

use deltaic_engine::{Input, Now};
use proptest::prelude::*;

use crate::{
    common::{Db, SECOND, one, text},
    kept::take,
};

/// 2023-11-14 22:13:20, at which a database of these tests begins.
const START: i64 = 1_700_000_000 * SECOND;

fn db() -> Db {
    let mut db = Db::with("CREATE TABLE e (id int PRIMARY KEY, at timestamptz, k int)");
    db.now = START;
    db.ok("INSERT INTO e VALUES (1, '2023-11-14 22:13:00', 1), (2, '2023-11-14 22:13:10', 2),
             (3, '2023-11-14 22:14:00', 1), (4, NULL, 1)");
    db
}

/// Lets the time pass until the engine has nothing more to do by then, as whoever drives it does.
fn pass(db: &mut Db, micros: i64) {
    let end = db.now + micros;
    while let Some(Now(at)) = db.step(Input::Wake).wake_at.filter(|at| at.0 < end) {
        db.now = db.now.max(at - 1000);
    }
    db.now = end - 1000;
    db.step(Input::Wake);
}

#[test]
fn rows_leave_and_come_on_time() {
    let mut db = db();
    let recent = "SELECT id FROM e WHERE at > now() - interval '30 seconds' AND at <= now()";
    assert_eq!(one(&db.subscribe(1, recent)), "[1, 2]");
    let lsn = db.engine.lsn();
    pass(&mut db, 9 * SECOND);
    assert_eq!((db.news(), db.engine.lsn()), (Vec::new(), lsn), "time alone makes no commit");
    pass(&mut db, 2 * SECOND);
    assert_eq!(db.news(), ["1: -1"]);
    assert_eq!(db.engine.lsn().0, lsn.0 + 1);
    pass(&mut db, 60 * SECOND);
    assert_eq!(db.news(), ["1: -2", "1: +3", "1: -3"]);
    db.ok("INSERT INTO e VALUES (5, now(), 1), (6, now() + interval '1 minute', 1)");
    assert_eq!(db.news(), ["1: +5"]);
    db.ok("DELETE FROM e");
    assert_eq!(db.news(), ["1: -5"]);
    pass(&mut db, 1000 * SECOND);
    assert!(db.news().is_empty());
    db.unsubscribe(1);
    pass(&mut db, 1000 * SECOND);
    assert!(db.engine.is_idle());
}

#[test]
fn a_first_result_is_as_of_now() {
    let mut db = db();
    db.now += 60 * SECOND;
    // The last commit is a minute old, and the row it would show has left since.
    assert_eq!(one(&db.subscribe(1, "SELECT id FROM e WHERE at > now() - interval '40 seconds'")), "[3]");
    assert_eq!(one(&db.subscribe(2, "SELECT id FROM e WHERE at > now() - interval '80 seconds'")), "[2, 3]");
}

#[test]
fn a_restart_goes_on_with_the_clock_of_the_log() {
    let mut db = db();
    db.ok("CREATE LIVE VIEW recent AS SELECT id FROM e WHERE at > now() - interval '30 seconds'");
    let mut db = db.restart();
    pass(&mut db, 15 * SECOND);
    assert_eq!(one(&db.subscribe(1, "SELECT * FROM recent")), "[2, 3]");
    let resumed = db.subscribe_as(2, 1, "SELECT * FROM recent", &[], None);
    pass(&mut db, 10 * SECOND);
    let cookie = resumed[0].cookie();
    db.messages();
    assert_eq!(one(&db.subscribe_as(3, 1, "SELECT * FROM recent", &[], Some(cookie))), "-2");
}

#[test]
fn the_time_may_stand_in_any_comparison() {
    let mut db = db();
    for (place, (sql, first, later)) in [
        ("SELECT id, at < now() AS past FROM e WHERE id < 4", "[1|true, 2|true, 3|false]", "-3|false +3|true"),
        ("SELECT count(*) FILTER (WHERE at < now()), count(*) FROM e", "[2|4]", "-2|4 +3|4"),
        ("SELECT k, bool_or(at > now()) FROM e GROUP BY k", "[1|true, 2|false]", "-1|true +1|false"),
        ("SELECT a.id FROM e a JOIN e b ON a.k = b.k AND a.at < now() WHERE b.id = 4", "[1]", "+3"),
        ("SELECT id FROM e WHERE NOT at > now() AND k = 1", "[1]", "+3"),
        ("SELECT id FROM e WHERE at > now() OR k = 2", "[2, 3]", "-3"),
        ("SELECT id FROM e WHERE now() - at BETWEEN interval '0' AND interval '1 minute' AND id = 3", "[]", "+3"),
        ("SELECT id FROM e WHERE CASE WHEN at < now() THEN k ELSE 0 END = 1", "[1]", "+3"),
        ("SELECT id FROM e x WHERE EXISTS (SELECT 1 FROM e y WHERE y.k = x.k AND y.at < now())", "[1, 2, 3, 4]", ""),
        ("SELECT id FROM e x WHERE id = (SELECT max(id) FROM e WHERE at < now())", "[2]", "-2 +3"),
        ("SELECT id FROM e ORDER BY (at > now()) IS TRUE DESC, id LIMIT 1", "[3|true]", "-3|true +1|false"),
        ("SELECT x.id, y.id FROM e x LEFT JOIN e y ON y.id = x.id + 1 AND y.at < now() WHERE x.id < 3",
         "[1|2, 2|NULL]", "-2|NULL +2|3"),
        ("WITH RECURSIVE r(id) AS (SELECT id FROM e WHERE at < now() UNION SELECT r.id + 10 FROM r WHERE r.id < 10) \
          SELECT id FROM r", "[1, 2, 11, 12]", "+3 +13"),
        ("SELECT id FROM e WHERE at < now() EXCEPT SELECT 1", "[2]", "+3"),
        ("SELECT id, row_number() OVER (ORDER BY id) FROM e WHERE at < now()", "[1|1, 2|2]", "+3|3"),
    ]
    .into_iter()
    .enumerate()
    {
        db.now = START;
        let number = place as u64 + 1;
        assert_eq!(one(&db.subscribe(number, sql)), first, "{sql}");
        pass(&mut db, 50 * SECOND);
        let news = db.news();
        assert_eq!(news.join(" ").replace(&format!("{number}: "), ""), later, "{sql}");
        db.unsubscribe(number);
        db = db_again(db);
    }
}

fn db_again(old: Db) -> Db {
    drop(old);
    db()
}

#[test]
fn midnight_and_the_ends_of_months_are_changes_too() {
    let mut db = Db::with("CREATE TABLE d (id int PRIMARY KEY, day date, at timestamptz)");
    db.now = START;
    db.ok(
        "INSERT INTO d VALUES (1, '2023-11-14', '2024-01-30 23:00'), (2, '2023-11-15', '2024-01-31 01:00')",
    );
    assert_eq!(one(&db.subscribe(1, "SELECT id FROM d WHERE day = current_date")), "[1]");
    pass(&mut db, 24 * 3600 * SECOND);
    assert_eq!(db.news(), ["1: -1 +2"]);
    pass(&mut db, 24 * 3600 * SECOND);
    assert_eq!(db.news(), ["1: -2"]);
    db.unsubscribe(1);
    // A month before the 29th, the 30th and the 31st of March is the 29th of February.
    db.ok("UPDATE d SET at = '2024-02-29 12:00' WHERE id = 1");
    db.now = 1_711_670_400 * SECOND; // 2024-03-29
    assert_eq!(
        one(&db.subscribe(1, "SELECT id FROM d WHERE at > now() - interval '1 month' AND id = 1")),
        "[1]"
    );
    let mut seen = Vec::new();
    for _ in 0..16 {
        pass(&mut db, 6 * 3600 * SECOND);
        seen.extend(db.news().into_iter().map(|news| news[3..].to_owned()));
    }
    assert_eq!(
        seen,
        ["-1", "+1", "-1", "+1", "-1"],
        "it leaves at noon of each of the three days, and is back at midnight"
    );
}

#[test]
fn what_changes_with_every_instant_is_refused() {
    let mut db = db();
    for sql in [
        "SELECT now()",
        "SELECT id, now() - at FROM e",
        "SELECT id FROM e ORDER BY at - now()",
        "SELECT max(now() - at) FROM e",
        "SELECT id FROM e WHERE extract(second FROM now()) = 1",
        "SELECT id FROM e WHERE now() > now() - interval '1 day'",
        "SELECT x.id FROM e x LEFT JOIN e y ON x.at < now() - (y.at - x.at)",
    ] {
        assert_eq!(one(&db.subscribe(1, sql)), "error 0A000", "{sql}");
        db.ok(sql);
    }
    assert_eq!(db.code("CREATE TABLE c (at timestamptz CHECK (at < now()))"), "0A000");
    assert!(db.engine.is_idle());
}

#[test]
fn subscribers_with_their_own_ages_share_a_circuit() {
    let mut db = db();
    let sql = "SELECT id FROM e WHERE at > now() - $1::interval AND k = $2";
    let ages = [("25 seconds", 1, "[1, 3]"), ("5 seconds", 1, "[3]"), ("1 hour", 2, "[2]")];
    for (number, (age, k, first)) in ages.into_iter().enumerate() {
        let got = db.subscribe_with(number as u64, sql, &[age.into(), k.into()]);
        assert_eq!(one(&got), first, "{age}");
    }
    assert_eq!(db.engine.status().views.len(), 3);
    pass(&mut db, 100 * SECOND);
    assert_eq!(db.news(), ["0: -1", "1: -3", "0: -3"]);
}

#[test]
fn a_store_that_refuses_the_clock_is_asked_again() {
    let mut db = db();
    db.subscribe(1, "SELECT id FROM e WHERE at > now() - interval '30 seconds'");
    db.now += 11 * SECOND;
    let effects = db.engine.step(Now(db.now), Input::Wake, &db.store);
    assert_eq!(effects.append.len(), 1);
    let refused = std::sync::Arc::new(deltaic_storage::StorageError::Closed);
    let effects = db.engine.step(Now(db.now), Input::Appended(Err(refused)), &db.store);
    assert_eq!(effects.wake_at, Some(Now(db.now + SECOND)), "not at once");
    assert!(effects.send.is_empty() && effects.replies.is_empty());
    pass(&mut db, 2 * SECOND);
    assert_eq!(db.news(), ["1: -1"]);
}

const QUERIES: [&str; 8] = [
    "SELECT id FROM e WHERE at > now() - interval '40 seconds'",
    "SELECT k, count(*), min(at) FROM e WHERE at <= now() GROUP BY k",
    "SELECT id, at < now() - interval '1 month' FROM e",
    "SELECT id FROM e WHERE date_trunc('minute', now()) = date_trunc('minute', at)",
    "SELECT a.id, b.id FROM e a JOIN e b ON a.k = b.k WHERE a.at < now() AND b.at > now() - interval '1 day'",
    "SELECT id FROM e WHERE at >= current_date ORDER BY at, id LIMIT 2",
    "SELECT id FROM e WHERE now() - at < interval '1 month 10 days'",
    "SELECT k FROM e WHERE at <> current_date + 1 EXCEPT SELECT k FROM e WHERE at > now()",
];

#[derive(Debug, Clone)]
enum Step {
    /// A row at so many microseconds from now.
    Put(i64, i64, i64),
    Delete(i64),
    Pass(i64),
}

fn distance() -> impl Strategy<Value = i64> {
    prop_oneof![
        -90 * SECOND..90 * SECOND,
        -3 * 86_400 * SECOND..3 * 86_400 * SECOND,
        (-2_i64..3).prop_map(|months| months * 30 * 86_400 * SECOND),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_i64..6, distance(), 0_i64..3).prop_map(|(id, from_now, k)| Step::Put(id, from_now, k)),
        1 => (0_i64..6).prop_map(Step::Delete),
        3 => distance().prop_map(|micros| Step::Pass(micros.abs() + 1)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn live_results_are_what_asking_at_their_time_gives(
        month in 0_i64..12,
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let mut db = db();
        db.now = START + month * 30 * 86_400 * SECOND;
        let mut live = vec![Vec::new(); QUERIES.len()];
        for (number, sql) in QUERIES.iter().enumerate() {
            let got = db.subscribe(number as u64, sql);
            take(&mut live[number], &got[0]);
        }
        for step in steps {
            match step {
                Step::Put(id, from_now, k) => {
                    let seconds = from_now / SECOND;
                    db.ok(&format!(
                        "INSERT INTO e VALUES ({id}, now() + interval '{seconds} seconds', {k}) \
                         ON CONFLICT (id) DO UPDATE SET at = excluded.at, k = excluded.k"
                    ));
                }
                Step::Delete(id) => drop(db.ok(&format!("DELETE FROM e WHERE id = {id}"))),
                Step::Pass(micros) => pass(&mut db, micros),
            }
            // So that what is due is done, and both are asked at one time.
            pass(&mut db, 100 * 1000);
            for (number, got) in db.read() {
                take(&mut live[number as usize], &got);
            }
            for (sql, live) in QUERIES.iter().zip(&live) {
                db.now -= 1000;
                let mut fresh: Vec<String> = db.ok(sql).rows.iter().map(|row| text(row)).collect();
                let mut live = live.clone();
                fresh.sort();
                live.sort();
                prop_assert_eq!(live, fresh, "{}", sql);
            }
        }
    }
}

//! Two allocations, of which one reads what the other gives, that cross to and fro what is worked out beside the commits.

use std::collections::BTreeMap;

use deltaic_engine::{ClientId, Input, Life, Message, News, Subscribe, SubscriptionId};
use deltaic_types::Row;

use crate::{allocation_faults::run, allocation_random::Seed, common::Db};

/// Steps of a seed, with restarts, appends that fail and work that waits; then both are what a start gives, and a live query of them what
/// it gives if it is asked.
fn crossing(seed: u64, steps: u64) {
    let mut s = Seed(seed);
    let shadow = s.of(&["", "", "SHADOW damped_v2", "POLICY damped_v2 SHADOW max_min"]).to_owned();
    let coalesce = s.of(&["0 ms", "50 ms", "2 seconds"]);
    let make = format!("CREATE ALLOCATION a
        CAPACITY (SELECT 1000 + id AS owner, 1 AS slot, n AS quantity, 'x' AS kind FROM has)
        NEED (SELECT id AS owner, 1 AS slot, n AS quantity, 'x' AS kind, ends FROM wants)
        RECOGNITION (SELECT 1000 + has.id AS \"from\", wants.id AS \"to\", 1 + (has.id * wants.id) % 5 AS weight FROM has, wants)
        {shadow} COALESCE '{coalesce}'");
    let second = "CREATE ALLOCATION b
        CAPACITY (SELECT recipient AS owner, provider AS slot, quantity, kind FROM a WHERE recipient < 20)
        NEED (SELECT 5000 + id AS owner, 1 AS slot, n AS quantity, 'x' AS kind FROM wants WHERE id < 10)
        RECOGNITION (SELECT wants.id AS \"from\", 5000 + other.id AS \"to\", 100 / (other.n - 7) AS weight FROM wants, wants other WHERE wants.id < 20 AND other.id < 10)
        HELD (SELECT provider, capacity, recipient, need, quantity, until FROM c)";
    let mut db = Db::with(&format!("CREATE TABLE has (id integer PRIMARY KEY, n bigint); CREATE TABLE wants (id integer PRIMARY KEY, n bigint, ends timestamptz);
        CREATE TABLE c (provider bigint, capacity bigint, recipient bigint, need bigint, quantity bigint, until timestamptz);
        {make}; {second}"));
    let mut live: Option<BTreeMap<Row, i64>> = Some(BTreeMap::new());
    let watched = "SELECT a.provider, a.recipient, a.quantity, wants.n, b.quantity AS more FROM a JOIN wants ON wants.id = a.recipient LEFT JOIN b ON b.provider = a.recipient";
    let hear = |live: &mut Option<BTreeMap<Row, i64>>, messages: Vec<Message>| {
        for message in messages.into_iter().filter(|message| message.subscription.0 == 2) {
            match message.news {
                News::Snapshot(snapshot) => {
                    let mut rows = BTreeMap::new();
                    for row in &snapshot.rows {
                        *rows.entry(row.clone()).or_default() += 1;
                    }
                    *live = Some(rows);
                }
                News::Change(change) => {
                    if let Some(live) = live {
                        for (row, weight) in &change.changes {
                            let count = live.entry(row.clone()).or_default();
                            *count += weight;
                            if *count == 0 {
                                live.remove(row);
                            }
                        }
                    }
                }
                News::Current(_) => {}
                News::Error { .. } => *live = None,
            }
        }
    };
    let sent = |db: &mut Db| {
        db.step(Input::Subscribe(Subscribe {
            client: ClientId(1),
            subscription: SubscriptionId(2),
            sql: watched.to_owned(),
            parameters: Vec::new(),
            claims: BTreeMap::new(),
            resume: None,
            life: Life::default(),
        }));
    };
    sent(&mut db);
    if s.next(2) == 0 {
        hear(&mut live, db.messages());
        db.subscribe(1, "SELECT sum(a.quantity), count(*), sum(wants.n) FROM a JOIN wants ON wants.id = a.recipient LEFT JOIN b ON b.provider = a.recipient");
    }
    let mut log = Vec::new();
    for step in 0..steps {
        let (from, count, n) = (s.next(60), 1 + s.next(50), s.next(100));
        let sql = match s.next(14) {
            0..=2 => format!("INSERT INTO has VALUES {} ON CONFLICT (id) DO UPDATE SET n = excluded.n", (from..from + count).map(|id| format!("({id}, {n})")).collect::<Vec<_>>().join(", ")),
            3..=5 => format!("INSERT INTO wants VALUES {} ON CONFLICT (id) DO UPDATE SET n = excluded.n", (from..from + count).map(|id| format!("({id}, {n})")).collect::<Vec<_>>().join(", ")),
            6 => format!("DELETE FROM has WHERE id BETWEEN {from} AND {}", from + count),
            7 => format!("DELETE FROM wants WHERE id BETWEEN {from} AND {}", from + count),
            8 => format!("UPDATE wants SET ends = now() + INTERVAL '{} seconds' WHERE id = {from}", s.next(10)),
            9 if s.next(2) == 0 => format!("DROP ALLOCATION b; DROP ALLOCATION a; {make}; {second}"),
            9 => format!("UPDATE wants SET n = 7 WHERE id = {}", s.next(12)),
            10 => { db.hold = !db.hold; log.push(format!("hold {}", db.hold)); if !db.hold { db.finish(); } continue; }
            11 => { log.push("work".into()); if !db.held.is_empty() { db.work(); } drop(db.engine.allocation_status()); continue; }
            12 => match s.next(3) {
                0 => { log.push("restart".into()); db = db.restart(); db.pass(0); sent(&mut db); hear(&mut live, db.messages()); continue; }
                1 => { log.push("refuse".into()); db.refuse_append = true; db.pass(0); db.refuse_append = false; continue; }
                _ => "INSERT INTO c SELECT provider, capacity, recipient, need, quantity, now() + INTERVAL '3 seconds' FROM b LIMIT 3".to_owned(),
            },
            _ => { let t = s.next(4) as i64; log.push(format!("run {t}")); run(&mut db, t); continue; }
        };
        log.push(sql.clone());
        db.ask(&sql);
        hear(&mut live, db.messages());
        if step % 8 == 7 {
            db.hold = false;
            db.finish();
            run(&mut db, 25);
            hear(&mut live, db.messages());
            let raw = "SELECT * FROM deltaic.allocations ORDER BY allocation, policy, provider, capacity, recipient, need, tier";
            let failed = db
                .engine
                .allocation_status()
                .iter()
                .any(|status| status.problems.iter().any(|p| p.contains("division")));
            let mut again = Db::over(db.store.clone());
            again.now = db.now;
            again.step(Input::Wake);
            run(&mut again, 10);
            run(&mut db, 10);
            let why = || {
                format!(
                    "seed {seed}: {}\n{:?}\n{:?}",
                    log.join(";\n"),
                    db.engine.allocation_status(),
                    again.engine.allocation_status()
                )
            };
            let why = why();
            hear(&mut live, db.messages());
            if live.is_none() {
                sent(&mut db);
                hear(&mut live, db.messages());
            }
            if let (Some(live), Ok(outcome)) = (&live, db.run(watched, &[])) {
                let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
                for row in &outcome.rows {
                    *rows.entry(row.clone()).or_default() += 1;
                }
                assert_eq!(live, &rows, "{why}");
            }
            if failed {
                let raw = raw.replace("ORDER", "WHERE allocation = 'a' ORDER");
                assert_eq!(db.rows(&raw), again.rows(&raw), "{why}");
            } else {
                assert_eq!(db.rows(raw), again.rows(raw), "{why}");
                assert_eq!(db.engine.allocation_status(), again.engine.allocation_status(), "{why}");
            }
        }
    }
}

#[test]
fn markets_that_grow_and_shrink_while_they_are_worked_out_elsewhere() {
    crossing(0, 40);
}

//! How long live results stay, how large they may be, and the two ways in which a commit comes to them.

use deltaic_engine::{Breaker, Claims, Input, Life, MemoryLimits, Subscribe, SubscriptionId};

use crate::common::{Db, one};

fn db() -> Db {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, a int, s text)");
    db.ok("INSERT INTO t VALUES (1, 10, 'x'), (2, 20, 'y')");
    db
}

fn subscribe(db: &mut Db, subscription: u64, sql: &str, life: Life) -> String {
    let client = deltaic_engine::ClientId(1);
    db.step(Input::Subscribe(Subscribe {
        client,
        subscription: SubscriptionId(subscription),
        sql: sql.to_owned(),
        parameters: Vec::new(),
        claims: Claims::new(),
        resume: None,
        life,
    }));
    one(&db.read().into_iter().map(|(_, got)| got).collect::<Vec<_>>())
}

fn views(db: &Db) -> usize {
    db.engine.status().views.len()
}

#[test]
fn a_result_stays_as_long_as_its_subscribers_asked() {
    let mut db = db();
    for (life, seconds) in [(Life::Ephemeral, None), (Life::Navigation, Some(30)), (Life::Preload, Some(300))]
    {
        subscribe(&mut db, 1, "SELECT a FROM t", life);
        db.unsubscribe(1);
        let Some(seconds) = seconds else {
            assert_eq!(views(&db), 0, "{life:?}");
            continue;
        };
        db.pass(seconds - 1);
        assert_eq!(views(&db), 1, "{life:?}");
        db.pass(2);
        assert_eq!(views(&db), 0, "{life:?}");
    }
    assert!(db.engine.is_idle());
    let lives = db.engine.status().lives;
    assert_eq!((lives.opened, lives.expired, lives.evicted), (3, 3, 0));
}

#[test]
fn the_longest_life_counts_and_ends_with_the_last_who_asked() {
    let mut db = db();
    subscribe(&mut db, 1, "SELECT a FROM t", Life::Preload);
    subscribe(&mut db, 2, "SELECT a FROM t", Life::Ephemeral);
    db.unsubscribe(1);
    db.unsubscribe(2);
    db.pass(200);
    assert_eq!(views(&db), 1);
    // Somebody came back and asked for less: from then on that counts.
    subscribe(&mut db, 3, "SELECT a FROM t", Life::Ephemeral);
    db.pass(1_000);
    assert_eq!(views(&db), 1, "who is watched does not expire");
    db.unsubscribe(3);
    assert_eq!(views(&db), 0);
    let lives = db.engine.status().lives;
    assert_eq!((lives.opened, lives.shared), (1, 2));
}

#[test]
fn a_result_that_was_left_is_left_again_after_somebody_came_back() {
    let mut db = db();
    for _ in 0..3 {
        subscribe(&mut db, 1, "SELECT a FROM t", Life::Navigation);
        db.unsubscribe(1);
        db.pass(20);
    }
    assert_eq!(views(&db), 1);
    db.pass(11);
    assert!(db.engine.is_idle(), "a view that is popped while it is watched must be queued again");
}

#[test]
fn memory_takes_what_was_left_first_and_what_is_permanent_last() {
    let mut db = db();
    db.ok("INSERT INTO t SELECT 0, 0, 'z'");
    subscribe(&mut db, 1, "SELECT s FROM t", Life::Permanent);
    subscribe(&mut db, 2, "SELECT a FROM t", Life::Navigation);
    subscribe(&mut db, 3, "SELECT id FROM t", Life::Navigation);
    for subscription in 1..=3 {
        db.unsubscribe(subscription);
    }
    db.pass(10_000);
    assert_eq!(views(&db), 1, "a permanent result does not expire");
    subscribe(&mut db, 2, "SELECT a FROM t", Life::Preload);
    db.unsubscribe(2);
    let bytes: usize = db.engine.status().views.iter().map(|view| view.bytes).sum();
    db.engine.set_memory(MemoryLimits { idle: bytes - 1, ..MemoryLimits::default() });
    db.pass(1);
    assert_eq!(db.engine.status().views[0].sql, "SELECT s FROM t");
    assert_eq!((views(&db), db.engine.status().lives.evicted), (1, 1));
}

#[test]
fn a_result_that_ends_amid_a_batch_does_not_come_back_with_the_commits_behind_it() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY, k int)");
    let query = "SELECT id FROM t WHERE k = $1";
    for key in [1, 2] {
        db.subscribe_with(key, query, &[key.into()]);
    }
    db.engine.set_memory(MemoryLimits { view: 600, ..MemoryLimits::default() });
    let values: Vec<String> = (0..100).map(|id| format!("({id}, 1)")).collect();
    let many = format!("INSERT INTO t VALUES {}", values.join(", "));
    let (commits, _) =
        db.batch(&[&many, "INSERT INTO t VALUES (200, 1), (201, 2)", "DELETE FROM t WHERE id < 99"]);
    assert_eq!(commits, 3);
    assert_eq!(db.engine.status().lives.refused, 1);
    db.messages();
    // The tuple is free again, and the one beside it is live.
    db.ok("DELETE FROM t WHERE id = 99");
    let got = db.subscribe_with(3, query, &[1.into()]);
    assert_eq!(got[0].text(), "[200]");
    db.ok("INSERT INTO t VALUES (300, 1), (301, 2)");
    assert_eq!(db.news(), ["2: +301", "3: +300"]);
}

#[test]
fn a_result_over_the_limit_is_refused_and_one_that_grows_over_it_ends() {
    let mut db = db();
    db.engine.set_memory(MemoryLimits { view: 600, ..MemoryLimits::default() });
    assert_eq!(subscribe(&mut db, 1, "SELECT id FROM t", Life::Navigation), "[1, 2]");
    db.ok("INSERT INTO t SELECT id + 10, a FROM t");
    assert_eq!(db.news(), ["1: +11 +12"]);
    db.ok("INSERT INTO t SELECT id + 100, a FROM t; INSERT INTO t SELECT id + 1000, a FROM t");
    assert_eq!(db.news(), ["1: error 54000"]);
    assert!(db.engine.is_idle(), "nothing is left of it");
    assert_eq!(subscribe(&mut db, 1, "SELECT id FROM t", Life::Navigation), "error 54000");
    assert!(db.engine.is_idle());
    assert_eq!(db.engine.status().lives.refused, 2);
    // Others go on, and the same query is welcome when it is small again.
    db.ok("DELETE FROM t WHERE id > 2");
    assert_eq!(subscribe(&mut db, 1, "SELECT id FROM t", Life::Navigation), "[1, 2]");
}

#[test]
fn all_results_together_have_a_limit() {
    let mut db = db();
    subscribe(&mut db, 1, "SELECT id FROM t", Life::Navigation);
    let bytes = db.engine.status().views[0].bytes;
    db.engine.set_memory(MemoryLimits { views: 2 * bytes, ..MemoryLimits::default() });
    subscribe(&mut db, 2, "SELECT a FROM t", Life::Navigation);
    assert_eq!(subscribe(&mut db, 3, "SELECT a + 1 FROM t", Life::Navigation), "error 53200");
    // What nobody watches makes room.
    db.unsubscribe(2);
    assert_eq!(subscribe(&mut db, 3, "SELECT a + 1 FROM t", Life::Navigation), "[11, 21]");
    assert_eq!((views(&db), db.engine.status().lives.evicted), (2, 1));
}

#[test]
fn what_is_kept_to_compute_a_small_result_counts() {
    let mut db = db();
    let rows: Vec<String> = (10..110).map(|id| format!("({id}, {id})")).collect();
    db.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    db.engine.set_memory(MemoryLimits { views: 200_000, ..MemoryLimits::default() });
    assert_eq!(subscribe(&mut db, 1, "SELECT count(*) FROM t", Life::Navigation), "[102]");
    let pairs = "SELECT count(*) FROM (SELECT DISTINCT x.id, y.id FROM t x, t y) AS pair (x, y)";
    assert_eq!(subscribe(&mut db, 2, pairs, Life::Navigation), "error 53200");
    assert_eq!((views(&db), db.engine.status().lives.refused), (1, 1));
    assert!(db.engine.status().held_bytes < 20_000, "nothing is left of it");
    // One that fitted and grows makes others go that nobody watches, and keeps new ones out.
    db.ok("DELETE FROM t WHERE id > 20");
    assert_eq!(db.news(), ["1: -102 +13"]);
    assert_eq!(subscribe(&mut db, 2, pairs, Life::Navigation), "[169]");
    assert_eq!(subscribe(&mut db, 3, "SELECT max(a) FROM t", Life::Permanent), "[20]");
    db.unsubscribe(3);
    db.ok("INSERT INTO t SELECT id + 1000, a FROM t; INSERT INTO t SELECT id + 2000, a FROM t");
    db.ok("INSERT INTO t SELECT id + 4000, a FROM t; INSERT INTO t SELECT id + 8000, a FROM t");
    assert_eq!(db.news(), ["1: -13 +52", "2: -169 +2704", "1: -52 +208", "2: -2704 +43264"]);
    assert_eq!((views(&db), db.engine.status().lives.evicted), (2, 1));
    assert_eq!(subscribe(&mut db, 4, "SELECT min(a) FROM t", Life::Navigation), "error 53200");
    db.ok("DELETE FROM t");
    assert_eq!(db.news(), ["1: -208 +0", "2: -43264 +0"]);
    assert_eq!(subscribe(&mut db, 4, "SELECT min(a) FROM t", Life::Navigation), "[NULL]");
}

#[test]
fn a_large_change_is_not_worked_off_row_by_row() {
    let mut db = Db::with("CREATE TABLE big (id int PRIMARY KEY, a int)");
    let rows: Vec<String> = (0..2_000).map(|id| format!("({id}, {})", id % 7)).collect();
    db.ok(&format!("INSERT INTO big VALUES {}", rows.join(", ")));
    subscribe(&mut db, 1, "SELECT a, count(*) FROM big GROUP BY a", Life::Navigation);
    let before = db.engine.status().advances;
    db.ok("UPDATE big SET a = 9 WHERE id < 10");
    let after = db.engine.status().advances;
    assert_eq!((after.stepped - before.stepped, after.recomputed), (1, 0));
    db.news();
    // Two thousand rows go and come: to count them again is less.
    db.ok("UPDATE big SET a = a + 100");
    assert_eq!(db.engine.status().advances.recomputed, 1);
    let anew = db.news();
    db.engine.set_breaker(Breaker::NEVER);
    db.ok("UPDATE big SET a = a - 100");
    db.news();
    db.ok("UPDATE big SET a = a + 100");
    assert_eq!(db.engine.status().advances.recomputed, 1);
    assert_eq!(db.news(), anew, "both ways tell the same");
}

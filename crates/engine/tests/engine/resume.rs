//! Coming back with a cookie, and how long a view waits.

use deltaic_engine::Cookie;
use deltaic_types::DatabaseId;
use serde_json::json;

use crate::common::{Db, one};

fn db() -> Db {
    Db::with("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1), (2, 2)")
}

const SQL: &str = "SELECT id FROM t WHERE a > $1";

fn texts(got: &[crate::common::Got]) -> Vec<String> {
    got.iter().map(crate::common::Got::text).collect()
}

#[test]
fn exactly_the_missed_changes() {
    let mut db = db();
    let cookie = db.subscribe_with(1, SQL, &[json!(0)])[0].cookie();
    let again = |db: &mut Db, cookie: Cookie| {
        let got = db.subscribe_as(2, 1, SQL, &[json!(0)], Some(cookie));
        db.step(deltaic_engine::Input::Disconnect(deltaic_engine::ClientId(2)));
        texts(&got)
    };
    assert_eq!(again(&mut db, cookie), ["current"]);
    db.ok("INSERT INTO t VALUES (3, 3)");
    db.ok("INSERT INTO t VALUES (4, 0)");
    db.ok("DELETE FROM t WHERE id = 1");
    let news = db.read();
    assert_eq!(again(&mut db, cookie), ["+3", "-1"]);
    assert_eq!(again(&mut db, news[0].1.cookie()), ["-1"]);
    assert_eq!(again(&mut db, news[1].1.cookie()), ["current"]);
    // A cookie survives its text.
    assert_eq!(again(&mut db, cookie.to_string().parse().unwrap()), ["+3", "-1"]);
    // Another database, another query, other parameters, the future.
    for other in [
        Cookie { database: DatabaseId(8), ..cookie },
        Cookie { minor: cookie.minor ^ 1, ..cookie },
        Cookie { lsn: db.engine.lsn().next(), ..cookie },
        Cookie { lsn: deltaic_types::Lsn(0), ..cookie },
        db.subscribe_with(7, SQL, &[json!(1)])[0].cookie(),
        db.subscribe_with(8, "SELECT a FROM t WHERE a > $1", &[json!(0)])[0].cookie(),
    ] {
        assert_eq!(again(&mut db, other), ["[2, 3]"], "{other}");
    }
}

#[test]
fn a_view_waits_half_a_minute_for_its_subscriber() {
    let mut db = db();
    let cookie = db.subscribe_with(1, SQL, &[json!(0)])[0].cookie();
    db.unsubscribe(1);
    db.pass(29);
    assert!(!db.engine.is_idle());
    db.ok("INSERT INTO t VALUES (3, 3)");
    assert_eq!(db.news(), [""; 0]);
    let got = db.subscribe_as(1, 1, SQL, &[json!(0)], Some(cookie));
    assert_eq!(texts(&got), ["+3"]);
    let cookie = got[0].cookie();
    // Someone came back: the wait is off.
    db.pass(60);
    db.ok("DELETE FROM t WHERE id = 3");
    assert_eq!(db.news(), ["1: -3"]);
    db.unsubscribe(1);
    db.pass(31);
    assert!(db.engine.is_idle());
    assert_eq!(texts(&db.subscribe_as(1, 1, SQL, &[json!(0)], Some(cookie))), ["[1, 2]"]);
}

#[test]
fn a_ring_forgets_the_oldest_changes() {
    let mut db = db();
    let cookie = db.subscribe_with(1, SQL, &[json!(0)])[0].cookie();
    let values: Vec<String> = (10..4110).map(|n| format!("({n}, 1)")).collect();
    db.ok("DELETE FROM t WHERE id = 1");
    db.ok(&format!("INSERT INTO t VALUES {}", values.join(",")));
    let old = db.read()[1].1.cookie();
    db.ok("DELETE FROM t WHERE id >= 11");
    db.ok("DELETE FROM t WHERE id = 2");
    let recent = db.read()[0].1.cookie();
    assert_eq!(one(&db.subscribe_as(2, 1, SQL, &[json!(0)], Some(cookie))), "[10]");
    assert_eq!(one(&db.subscribe_as(2, 2, SQL, &[json!(0)], Some(old))), "[10]");
    assert_eq!(one(&db.subscribe_as(2, 3, SQL, &[json!(0)], Some(recent))), "-2");
}

#[test]
fn after_a_restart_a_cookie_of_now_is_current_and_others_are_not() {
    let mut db = db();
    let old = db.subscribe_with(1, SQL, &[json!(0)])[0].cookie();
    db.ok("INSERT INTO t VALUES (3, 3)");
    let now = db.read()[0].1.cookie();
    let mut db = db.restart();
    assert_eq!(one(&db.subscribe_as(1, 1, SQL, &[json!(0)], Some(now))), "current");
    assert_eq!(one(&db.subscribe_as(1, 2, SQL, &[json!(0)], Some(old))), "[1, 2, 3]");
    db.ok("DELETE FROM t WHERE id < 3");
    assert_eq!(db.news(), ["1: -1 -2", "2: -1 -2"]);
}

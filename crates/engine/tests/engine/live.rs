//! Live queries: snapshots, changes, parameters, sharing.

use deltaic_engine::{ClientId, Input, ViewId};
use serde_json::json;

use crate::common::{Db, Got, one};

fn db() -> Db {
    Db::with(
        "CREATE TABLE p (id int PRIMARY KEY, name text);
         CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE, a int);
         INSERT INTO p VALUES (1, 'x'), (2, 'y'); INSERT INTO t VALUES (1, 1, 10), (2, 1, 20), (3, 2, 30)",
    )
}

#[test]
fn a_snapshot_comes_first_and_then_what_each_commit_changed() {
    let mut db = db();
    let first = db.subscribe(1, "SELECT id, a FROM t WHERE a >= 20");
    let [Got::Snapshot(snapshot)] = &first[..] else { panic!("{first:?}") };
    assert_eq!(first[0].text(), "[2|20, 3|30]");
    assert_eq!(snapshot.columns[1].name, "a");
    assert_eq!(snapshot.cookie.lsn, db.engine.lsn());
    db.ok("UPDATE t SET a = a + 10");
    let news = db.read();
    assert_eq!(one(&[news[0].1.clone()]), "-2|20 -3|30 +1|20 +2|30 +3|40");
    assert_eq!(news[0].1.cookie().lsn, db.engine.lsn());
    for nothing in [
        "UPDATE t SET a = a",
        "UPDATE t SET p = 2",
        "INSERT INTO t VALUES (9, NULL, 1)",
        "UPDATE p SET name = 'z'",
    ] {
        db.ok(nothing);
        assert_eq!(db.news(), [""; 0], "{nothing}");
    }
    let (commits, _) = db.batch(&["DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 2"]);
    assert_eq!(commits, 2);
    assert_eq!(db.news(), ["1: -1|20", "1: -2|30"]);
}

#[test]
fn views_that_nobody_watches_are_bounded() {
    let mut db = db();
    let bound = deltaic_types::limits::IDLE_VIEWS;
    for number in 0..bound + 20 {
        db.subscribe(1, &format!("SELECT id FROM t WHERE a = {number}"));
        db.unsubscribe(1);
        db.subscribe(2, &format!("SELECT id + {number} FROM t"));
        db.unsubscribe(2);
    }
    assert_eq!(db.engine.status().views.len(), bound);
    // The last to go is there for who comes back; one that is watched does not count.
    db.subscribe(1, "SELECT id FROM t WHERE a = 20");
    assert_eq!(db.engine.status().views.len(), bound + 1);
}

#[test]
fn the_news_of_a_commit_for_a_client_stand_together() {
    let mut db = db();
    for (client, subscription, sql) in [
        (2, 1, "SELECT count(*) FROM t"),
        (1, 5, "SELECT id FROM t"),
        (1, 2, "SELECT sum(a) FROM t"),
        (2, 9, "SELECT name, count(*) FROM t JOIN p ON t.p = p.id GROUP BY name"),
        (1, 7, "SELECT count(*) FROM t"),
    ] {
        db.subscribe_as(client, subscription, sql, &[], None);
    }
    db.batch(&["DELETE FROM p WHERE id = 2", "INSERT INTO t VALUES (5, 1, 1)"]);
    let order: Vec<(u64, u64, u64)> = db
        .messages()
        .into_iter()
        .map(|message| {
            let deltaic_engine::News::Change(change) = message.news else { panic!() };
            (change.cookie.lsn.0, message.client.0, message.subscription.0)
        })
        .collect();
    assert_eq!(order.len(), 10);
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn hidden_columns_of_the_order_stand_behind_the_row() {
    let mut db = db();
    let first = db.subscribe(1, "SELECT a % 20 AS m FROM t ORDER BY id DESC LIMIT 2");
    let [Got::Snapshot(snapshot)] = &first[..] else { panic!("{first:?}") };
    assert_eq!((snapshot.columns.len(), snapshot.rows[0].len()), (1, 2));
    assert_eq!((snapshot.order[0].column, snapshot.order[0].descending), (1, true));
    assert_eq!(first[0].text(), "[10|3, 0|2]");
    db.ok("INSERT INTO t VALUES (4, 1, 45)");
    assert_eq!(db.news(), ["1: -0|2 +5|4"]);
    db.ok("DELETE FROM t WHERE id > 2");
    assert_eq!(db.news(), ["1: -5|4 -10|3 +0|2 +10|1"]);
    assert_eq!(db.rows("SELECT a % 20 AS m FROM t ORDER BY id DESC LIMIT 2"), ["0", "10"]);
}

#[test]
fn rows_that_are_alike_are_counted() {
    let mut db = db();
    assert_eq!(one(&db.subscribe(1, "SELECT p FROM t")), "[1, 1, 2]");
    db.ok("INSERT INTO t VALUES (4, 1, 0), (5, 1, 0)");
    assert_eq!(db.news(), ["1: +2*1"]);
    db.ok("UPDATE t SET p = 2 WHERE p = 1");
    assert_eq!(db.news(), ["1: -4*1 +4*2"]);
    assert_eq!(one(&db.subscribe(2, "SELECT 1 FROM t LIMIT 3")), "[1, 1, 1]");
    db.ok("DELETE FROM t WHERE id > 2");
    assert_eq!(db.news(), ["1: -3*2", "2: -1"]);
}

#[test]
fn parameters_and_constants_share_a_circuit() {
    let mut db = db();
    let sql = "SELECT t.id FROM t JOIN p ON t.p = p.id WHERE p.id = $1 AND a > 5";
    assert_eq!(one(&db.subscribe_with(1, sql, &[json!(1)])), "[1, 2]");
    assert_eq!(one(&db.subscribe_with(2, sql, &[json!(2)])), "[3]");
    assert_eq!(one(&db.subscribe_with(3, sql, &[json!(null)])), "[]");
    assert_eq!(one(&db.subscribe_with(4, sql, &[json!("2")])), "[3]");
    assert_eq!(one(&db.subscribe(5, "SELECT id FROM t WHERE p = 1")), "[1, 2]");
    assert_eq!(one(&db.subscribe(6, "SELECT id FROM t WHERE p = 2")), "[3]");
    assert_eq!(one(&db.subscribe(7, "SELECT count(*) FROM t WHERE p = 77")), "[0]");
    let views = db.engine.status().views;
    assert_eq!(views.len(), 6, "equal tuples are one view");
    let nodes = |view: ViewId| -> Vec<_> {
        db.engine.circuit(view).unwrap().into_iter().map(|node| node.node.id).collect()
    };
    for (a, b) in [(0, 1), (1, 2), (3, 4)] {
        assert_eq!(nodes(views[a].id), nodes(views[b].id));
    }
    assert_ne!(nodes(views[0].id), nodes(views[3].id));
    assert_eq!(db.engine.circuit(ViewId(u64::MAX)), None);
    db.ok("UPDATE t SET p = 2 WHERE id = 2");
    let mut news = db.news();
    news.sort();
    assert_eq!(news, ["1: -2", "2: +2", "4: +2", "5: -2", "6: +2"]);
    db.ok("UPDATE t SET p = NULL");
    assert_eq!(db.news().len(), 5);
}

#[test]
fn a_limit_with_a_parameter_shares_a_circuit() {
    let mut db = db();
    let sql = "SELECT id FROM t WHERE a > $1 ORDER BY id LIMIT $2";
    assert_eq!(one(&db.subscribe_with(1, sql, &[json!(5), json!(1)])), "[1]");
    assert_eq!(one(&db.subscribe_with(2, sql, &[json!(5), json!(2)])), "[1, 2]");
    assert_eq!(one(&db.subscribe_with(3, sql, &[json!(15), json!(null)])), "[2, 3]");
    assert_eq!(one(&db.subscribe_with(4, sql, &[json!(5), json!(0)])), "[]");
    let views = db.engine.status().views;
    let roots = views.iter().map(|view| db.engine.circuit(view.id).unwrap().last().unwrap().node.id);
    assert_eq!(roots.collect::<std::collections::BTreeSet<_>>().len(), 1);
    db.ok("DELETE FROM t WHERE id = 1");
    assert_eq!(db.news(), ["1: -1 +2", "2: -1 +3"]);
    for subscription in 1..=4 {
        db.unsubscribe(subscription);
    }
    db.pass(31);
    assert!(db.engine.is_idle());
}

#[test]
fn constants_below_every_operator() {
    let mut db = db();
    for (number, sql) in [
        "SELECT id FROM t WHERE p = 1 ORDER BY a DESC LIMIT 1",
        "SELECT p.id, t.id FROM p LEFT JOIN t ON t.p = p.id AND t.a = 20 WHERE p.id = 1",
        "SELECT count(*), sum(a), max(a) FROM t WHERE p = 1",
        "SELECT p, count(*) FROM t WHERE p = 1 GROUP BY p HAVING count(*) > 1",
        "SELECT DISTINCT p FROM t WHERE p = 1",
        "SELECT id FROM t WHERE p = 1 UNION ALL SELECT id FROM t WHERE p = 2",
        "SELECT x.id FROM (SELECT id, p FROM t WHERE a = 20 LIMIT 1) x JOIN p ON p.id = x.p WHERE name = 'x'",
        "SELECT 1 WHERE 1 = 1",
        "VALUES (1, 'a'), (2, 'b')",
    ]
    .iter()
    .enumerate()
    {
        let fresh = format!("[{}]", db.rows(sql).join(", "));
        let live = db.subscribe(number as u64, sql);
        let [Got::Snapshot(snapshot)] = &live[..] else { panic!("{sql}: {live:?}") };
        let width = snapshot.columns.len();
        let rows: Vec<String> = snapshot.rows.iter().map(|row| crate::common::text(&row[..width])).collect();
        assert_eq!(format!("[{}]", rows.join(", ")), fresh, "{sql}");
    }
    db.ok("DELETE FROM t WHERE id = 2");
    let news = db.news();
    assert_eq!(
        news,
        ["0: -2|20 +1|10", "1: -1|2 +1|NULL", "2: -2|30|20 +1|10|10", "3: -1|2", "5: -2", "6: -2"]
    );
}

#[test]
fn columns_are_named_as_each_subscriber_named_them() {
    let mut db = db();
    for (subscription, name) in [(1, "first"), (2, "second")] {
        let got = db.subscribe(subscription, &format!("SELECT id AS {name} FROM t"));
        let [Got::Snapshot(snapshot)] = &got[..] else { panic!("{got:?}") };
        assert_eq!(snapshot.columns[0].name, name);
    }
    db.ok("DELETE FROM t WHERE id = 1");
    let names: Vec<String> = db
        .read()
        .iter()
        .map(
            |(_, got)| {
                if let Got::Change(change) = got { change.columns[0].name.clone() } else { String::new() }
            },
        )
        .collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_client_that_goes_ends_its_subscriptions_and_no_others() {
    let mut db = db();
    for client in 1..=3 {
        db.subscribe_as(client, 1, "SELECT count(*) FROM t", &[], None);
        db.subscribe_as(client, u64::MAX, "SELECT id FROM t WHERE p = $1", &[json!(client)], None);
    }
    db.step(Input::Disconnect(ClientId(2)));
    db.ok("DELETE FROM t");
    let to: Vec<u64> = db.messages().iter().map(|message| message.client.0).collect();
    assert_eq!(to, [1, 1, 3]);
    assert!(db.step(Input::Disconnect(ClientId(1))).wake_at.is_some());
    db.step(Input::Disconnect(ClientId(3)));
    db.pass(31);
    assert!(db.engine.is_idle());
    assert_eq!(db.step(Input::Wake).wake_at, None);
    db.ok("INSERT INTO t VALUES (1, 1, 1)");
    assert_eq!(db.news(), [""; 0]);
}

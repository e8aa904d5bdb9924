//! Results that hold an evaluation error.

use serde_json::json;

use crate::common::{Db, Got, one};

fn db() -> Db {
    Db::with("CREATE TABLE t (id int PRIMARY KEY, g int, a int); INSERT INTO t VALUES (1, 1, 5), (2, 2, 10)")
}

#[test]
fn one_error_then_silence_then_the_net_change() {
    let mut db = db();
    let sql = "SELECT id, 100 / a FROM t";
    assert_eq!(one(&db.subscribe(1, sql)), "[1|20, 2|10]");
    db.ok("INSERT INTO t VALUES (3, 1, 0)");
    assert_eq!(db.news(), ["1: error 22012"]);
    db.ok("INSERT INTO t VALUES (4, 1, 0), (5, 1, 50)");
    db.ok("UPDATE t SET a = 20 WHERE id = 1");
    assert_eq!(db.news(), [""; 0]);
    assert_eq!(db.engine.status().views[0].error.as_deref(), Some("division by zero"));
    assert_eq!(db.code(sql), "22012");
    // One who comes now has nothing to add changes to.
    assert_eq!(one(&db.subscribe(2, sql)), "error 22012");
    db.ok("DELETE FROM t WHERE id = 3");
    assert_eq!(db.news(), [""; 0]);
    db.ok("UPDATE t SET a = 100 WHERE id = 4");
    assert_eq!(db.news(), ["1: -1|20 +1|5 +4|1 +5|2", "2: [1|5, 2|10, 4|1, 5|2]"]);
    db.ok("DELETE FROM t WHERE id > 2");
    assert_eq!(db.news(), ["1: -4|1 -5|2", "2: -4|1 -5|2"]);
}

#[test]
fn an_error_without_another_change_ends_with_an_empty_change() {
    let mut db = db();
    one(&db.subscribe(1, "SELECT 100 / a FROM t WHERE id < 9"));
    db.ok("INSERT INTO t VALUES (3, 1, 0)");
    db.ok("DELETE FROM t WHERE id = 3");
    assert_eq!(db.news(), ["1: error 22012", "1: "]);
}

#[test]
fn an_error_stays_with_its_parameters() {
    let mut db = db();
    let sql = "SELECT id, 100 / a FROM t WHERE g = $1";
    one(&db.subscribe_with(1, sql, &[json!(1)]));
    one(&db.subscribe_with(2, sql, &[json!(2)]));
    one(&db.subscribe(3, "SELECT id FROM t"));
    db.ok("INSERT INTO t VALUES (3, 1, 0)");
    assert_eq!(db.news(), ["1: error 22012", "3: +3"]);
    db.ok("INSERT INTO t VALUES (4, 2, 1)");
    assert_eq!(db.news(), ["2: +4|100", "3: +4"]);
    assert_eq!(one(&db.subscribe_with(4, sql, &[json!(3)])), "[]");
    db.ok("UPDATE t SET g = 3 WHERE a = 0");
    assert_eq!(db.news(), ["1: ", "4: error 22012"]);
}

#[test]
fn a_sum_that_overflows_comes_back() {
    let mut db = Db::with(
        "CREATE TABLE t (id int PRIMARY KEY, a bigint); INSERT INTO t VALUES (1, 9223372036854775807)",
    );
    assert_eq!(
        one(&db.subscribe(1, "SELECT sum(a), sum(a)::bigint FROM t")),
        "[9223372036854775807|9223372036854775807]"
    );
    db.ok("INSERT INTO t VALUES (2, 1)");
    assert_eq!(db.news(), ["1: error 22003"]);
    db.ok("INSERT INTO t VALUES (3, -2)");
    assert_eq!(
        db.news(),
        ["1: -9223372036854775807|9223372036854775807 +9223372036854775806|9223372036854775806"]
    );
}

#[test]
fn who_comes_during_an_error_and_comes_back_after_it_starts_anew() {
    let mut db = db();
    let sql = "SELECT id, 100 / a FROM t";
    let held = db.subscribe(1, sql)[0].cookie();
    db.ok("INSERT INTO t VALUES (3, 1, 0)");
    let [(_, spoiled)] = &db.read()[..] else { panic!() };
    let empty = db.subscribe_as(2, 1, sql, &[], None);
    assert_eq!(empty[0].text(), "error 22012");
    let Got::Error(_, never_had) = &empty[0] else { panic!() };
    db.ok("UPDATE t SET a = 4 WHERE id = 3");
    assert_eq!(db.news(), ["1: +3|25", "1: [1|20, 2|10, 3|25]"]);
    // With a result before the error the net change is enough; without one there is nothing to add it to.
    assert_eq!(one(&db.subscribe_as(3, 1, sql, &[], Some(held))), "+3|25");
    assert_eq!(one(&db.subscribe_as(3, 2, sql, &[], Some(spoiled.cookie()))), "+3|25");
    assert_eq!(one(&db.subscribe_as(3, 3, sql, &[], *never_had)), "[1|20, 2|10, 3|25]");
}

#[test]
fn a_view_opened_in_an_error_does_not_know_the_rows_before_it() {
    let mut db = db();
    let sql = "SELECT id, 100 / a FROM t";
    db.subscribe(1, sql);
    db.ok("UPDATE t SET a = 0 WHERE id = 1");
    let spoiled = db.read()[0].1.cookie();
    let mut db = db.restart();
    assert_eq!(one(&db.subscribe(2, sql)), "error 22012");
    db.ok("UPDATE t SET a = 4 WHERE id = 1");
    assert_eq!(db.news(), ["2: [1|25, 2|10]"]);
    assert_eq!(one(&db.subscribe_as(1, 1, sql, &[], Some(spoiled))), "[1|25, 2|10]");
}

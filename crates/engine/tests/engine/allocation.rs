//! Allocations: what is given follows the rows of their queries.

use deltaic_engine::Input;
use proptest::prelude::*;

use crate::common::{Db, Got, SECOND};

const TEAMS: &str =
    "CREATE TABLE offers (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE wishes (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE trust (giver text, taker text, points integer, PRIMARY KEY (giver, taker));
    CREATE ALLOCATION gpu
        CAPACITY (SELECT team AS owner, slot, hours AS quantity, kind FROM offers)
        NEED (SELECT team AS owner, slot, hours AS quantity, kind FROM wishes)
        RECOGNITION (SELECT giver AS \"from\", taker AS \"to\", points AS weight FROM trust)";

const GIVEN: &str = "SELECT provider, capacity, recipient, need, tier, quantity FROM gpu ORDER BY provider, capacity, recipient, need, tier";

/// Rows for an INSERT.
fn rows(of: impl Iterator<Item = u64>, row: impl Fn(u64) -> String) -> String {
    of.map(row).collect::<Vec<_>>().join(", ")
}

fn teams() -> Db {
    let mut db = Db::with(TEAMS);
    db.ok("INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1), ('lab', 'uni', 1)");
    db.ok("INSERT INTO offers VALUES ('uni', 'a100', 100, 'gpu')");
    db.ok("INSERT INTO wishes VALUES ('lab', 'training', 60, 'gpu'), ('club', 'games', 80, 'gpu')");
    db.pass(1);
    db
}

#[test]
fn what_is_given_follows_the_rows() {
    let mut db = teams();
    // The lab is recognised mutually and comes first; the club gets of the rest.
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|40", "uni|a100|lab|training|mutual|60"]);
    assert_eq!(
        db.rows("SELECT recipient, level, reason FROM gpu ORDER BY recipient"),
        [
            "club|160|capacity a100 of uni is full at level 160",
            "lab|80|need training of lab is met at level 80"
        ]
    );
    db.subscribe(1, GIVEN);
    db.ok("UPDATE wishes SET hours = 90 WHERE team = 'lab'");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|10", "uni|a100|lab|training|mutual|90"]);
    assert_eq!(db.news().len(), 1);
    db.ok("DELETE FROM trust WHERE giver = 'lab'");
    db.pass(1);
    // Three to one, in whole hours.
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|25", "uni|a100|lab|training|generous|75"]);
    let mut db = db.restart();
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|25", "uni|a100|lab|training|generous|75"]);
    db.ok("DELETE FROM offers");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), [""; 0]);
}

#[test]
fn what_cannot_be_an_allocation_is_refused_with_its_reason() {
    let mut db = Db::with(
        "CREATE TABLE t (id integer, name text, n integer, x double precision, PRIMARY KEY (id));
        CREATE TABLE u (id integer PRIMARY KEY, at date)",
    );
    let sides = "NEED (SELECT name AS owner, id AS slot, n AS quantity, name AS kind FROM t)
        RECOGNITION (SELECT name AS \"from\", name AS \"to\", n AS weight FROM t)";
    let capacity = "CAPACITY (SELECT name AS owner, id AS slot, n AS quantity, name AS kind FROM t)";
    for (sql, code, why) in [
        (format!("CREATE ALLOCATION a {sides}"), "42601", "CAPACITY"),
        (format!("CREATE ALLOCATION t {capacity} {sides}"), "42P07", "already exists"),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT name AS owner, id AS slot, n AS quantity FROM t) {sides}"
            ),
            "42P16",
            "CAPACITY lacks a column \"kind\": it must have owner, slot, quantity, kind",
        ),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT name AS owner, id AS slot, n AS quantity, name AS knd FROM t) {sides}"
            ),
            "42P16",
            "CAPACITY has no use for a column \"knd\": it knows kind, perhaps",
        ),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT id AS owner, id AS slot, n AS quantity, name AS kind FROM t) {sides}"
            ),
            "42P16",
            "NEED's column \"owner\" is text: it must be bigint as in the queries before",
        ),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT name AS owner, id AS slot, x AS quantity, name AS kind FROM t) {sides}"
            ),
            "42P16",
            "\"quantity\" is double precision: it must be an integer or a numeric",
        ),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT name AS owner, at AS slot, 1 AS quantity, name AS kind FROM t JOIN u ON t.id = u.id) {sides}"
            ),
            "42P16",
            "\"slot\" is date: it must be an integer, a text or a uuid",
        ),
        (
            format!("CREATE ALLOCATION a {capacity} {sides} SHADOW max_min"),
            "42P16",
            "SHADOW max_min is the policy itself",
        ),
        (
            format!("CREATE ALLOCATION a {capacity} {sides} POLICY best"),
            "42601",
            "MAX_MIN, DAMPED_V2, ROUNDS_V1",
        ),
        (format!("CREATE ALLOCATION a {capacity} {sides} COALESCE '1 month'"), "42P16", "whole milliseconds"),
        (format!("CREATE ALLOCATION a {capacity} {sides} COALESCE 'soon'"), "22007", ""),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT provider AS owner, need AS slot, quantity, kind FROM deltaic.allocations) {sides}"
            ),
            "42P16",
            "read another allocation by its name",
        ),
        (
            format!(
                "CREATE ALLOCATION a CAPACITY (SELECT name AS owner, id AS slot, n AS quantity, name AS kind FROM t WHERE n = $1) {sides}"
            ),
            "0A000",
            "parameters in CREATE ALLOCATION",
        ),
        ("DROP ALLOCATION gpus".to_owned(), "42704", "does not exist"),
    ] {
        let (found, message) = db.error(&sql);
        assert!(found == code && message.contains(why), "{sql}: {found} {message}");
    }
    db.ok(&format!("CREATE ALLOCATION a {capacity} {sides}"));
    db.ok(&format!("CREATE ALLOCATION IF NOT EXISTS a {capacity} {sides}"));
    for (sql, why) in [
        ("DROP TABLE t", "allocation \"a\" reads it"),
        ("DROP LIVE VIEW a", "part of allocation \"a\""),
        ("DROP LIVE VIEW \"a.need\"", "part of allocation \"a\""),
    ] {
        let (code, message) = db.error(sql);
        assert!(code == "2BP01" && message.contains(why), "{sql}: {code} {message}");
    }
    db.ok("CREATE LIVE VIEW reader AS SELECT provider FROM a");
    assert!(db.error("DROP ALLOCATION a").1.contains("reader"));
    db.ok("DROP LIVE VIEW reader; DROP ALLOCATION a; DROP TABLE t; DROP ALLOCATION IF EXISTS a");
}

#[test]
fn rows_that_cannot_be_are_told_of_and_touch_nobody_else() {
    let mut db = Db::with(
        "CREATE TABLE slots (side text, owner integer, slot text, quantity numeric, kind text, PRIMARY KEY (side, owner, slot));
        CREATE TABLE trust (a integer, b integer, w double precision, PRIMARY KEY (a, b));
        CREATE ALLOCATION bread
            CAPACITY (SELECT owner, slot, quantity, kind FROM slots WHERE side = 'has')
            NEED (SELECT owner, slot, quantity, kind FROM slots WHERE side = 'needs')
            RECOGNITION (SELECT a AS \"from\", b AS \"to\", w AS weight FROM trust)",
    );
    db.ok("INSERT INTO trust VALUES (1, 2, 1), (1, 3, 1), (1, 1, 1000000000), (2, 1, 0.5)");
    db.ok("INSERT INTO slots VALUES ('has', 1, 'loaf', 10, 'bread'), ('needs', 2, 'x', 2.5, 'bread'), ('needs', 3, 'y', 100, 'bread')");
    db.pass(1);
    let given = "SELECT recipient, quantity FROM bread ORDER BY recipient";
    assert_eq!(db.rows(given), ["2|2.5", "3|7.5"]);
    for (slot, problem) in [
        ("('needs', 2, 'bad', -1, 'bread')", "need (needs, 2, bad"),
        ("('needs', 2, 'bad', 1e30, 'bread')", "too large"),
        ("('needs', 2, 'bad', NULL, 'bread')", "\"quantity\" is null"),
        ("('needs', 2, 'bad', 1, '')", "a name of 0 bytes"),
    ] {
        db.ok(&format!("INSERT INTO slots VALUES {slot}"));
        db.pass(1);
        let status = &db.engine.allocation_status()[0];
        assert!(status.problems.len() == 1, "{slot}: {:?}", status.problems);
        let wanted = problem.strip_prefix("need (needs, 2").map_or(problem, |_| "must be 0 to");
        assert!(status.problems[0].contains(wanted), "{slot}: {:?}", status.problems);
        assert_eq!(db.rows(given), ["2|2.5", "3|7.5"], "{slot}");
        db.ok("DELETE FROM slots WHERE slot = 'bad'");
        db.pass(1);
        assert_eq!(db.engine.allocation_status()[0].problems, [""; 0], "{slot}");
    }
    // A weight below zero is no recognition; the others' shares stay theirs.
    db.ok("UPDATE trust SET w = -1 WHERE a = 1 AND b = 3");
    db.pass(1);
    assert_eq!(db.rows(given), ["2|2.5"]);
    assert!(db.engine.allocation_status()[0].problems[0].contains("below 0"));
    // Whoever has too many slots has none, until they are fewer.
    db.ok(&format!(
        "UPDATE trust SET w = 1 WHERE b = 3; INSERT INTO slots VALUES {}",
        rows(1..=1000, |n| format!("('needs', 3, '{n}', 1, 'bread')"))
    ));
    db.pass(1);
    assert_eq!(db.rows(given), ["2|2.5"]);
    assert!(db.engine.allocation_status()[0].problems[0].contains("1001 need slots"));
    db.ok("DELETE FROM slots WHERE slot <> 'y' AND owner = 3");
    db.pass(1);
    assert_eq!(db.rows(given), ["2|2.5", "3|7.5"]);
}

#[test]
fn what_a_full_disk_kept_from_being_shown_is_shown_later() {
    let mut db = teams();
    db.subscribe(1, GIVEN);
    let before = db.rows(GIVEN);
    db.ok("UPDATE wishes SET hours = 10 WHERE team = 'lab'");
    db.now += SECOND;
    db.refuse_append = true;
    db.step(Input::Wake);
    assert_eq!((db.rows(GIVEN), db.news()), (before, vec![]));
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["uni|a100|club|games|generous|80", "uni|a100|lab|training|mutual|10"]);
    assert_eq!(db.news().len(), 1);
}

#[test]
fn changes_within_the_interval_are_one_commit() {
    let mut db = Db::with(&TEAMS.replace("FROM trust)", "FROM trust) COALESCE '300 milliseconds'"));
    db.ok("INSERT INTO trust VALUES ('uni', 'lab', 1); INSERT INTO offers VALUES ('uni', 'a', 100, 'gpu')");
    db.pass(1);
    let lsn = db.engine.lsn();
    for n in 0..10 {
        db.now += 20_000;
        db.ok(&format!("INSERT INTO wishes VALUES ('lab', '{n}', 5, 'gpu')"));
    }
    db.pass(1);
    // Ten of ours, the first solution at once and one for the rest.
    assert_eq!(db.engine.lsn().0 - lsn.0, 12);
    assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["50"]);
}

#[test]
fn a_window_that_ends_ends_what_it_gives() {
    let mut db = Db::with(
        "CREATE TABLE t (id integer PRIMARY KEY, until timestamptz);
        CREATE ALLOCATION a
            CAPACITY (SELECT 1 AS owner, 1 AS slot, 10 AS quantity, 'x' AS kind)
            NEED (SELECT 2 AS owner, id AS slot, 6 AS quantity, 'x' AS kind, until AS ends FROM t)
            RECOGNITION (SELECT 1 AS \"from\", 2 AS \"to\", 1 AS weight)",
    );
    db.ok("INSERT INTO t VALUES (1, now() + INTERVAL '10 seconds'), (2, NULL)");
    db.pass(1);
    assert_eq!(db.rows("SELECT need, quantity FROM a ORDER BY need"), ["1|5", "2|5"]);
    let wake = db.wake_at.unwrap();
    assert!(wake.0 > db.now && wake.0 - db.now < 10 * SECOND, "{wake:?}");
    db.pass(20);
    assert_eq!(db.rows("SELECT need, quantity FROM a ORDER BY need"), ["2|6"]);
}

#[test]
fn a_query_that_fails_leaves_what_it_gave_and_is_told_of() {
    let mut db = Db::with(
        "CREATE TABLE t (id integer PRIMARY KEY, n integer);
        CREATE ALLOCATION a
            CAPACITY (SELECT 1 AS owner, 1 AS slot, 10 AS quantity, 'x' AS kind)
            NEED (SELECT 2 AS owner, id AS slot, 12 / n AS quantity, 'x' AS kind FROM t)
            RECOGNITION (SELECT 1 AS \"from\", 2 AS \"to\", 1 AS weight)",
    );
    db.ok("INSERT INTO t VALUES (1, 4)");
    db.pass(1);
    db.ok("INSERT INTO t VALUES (2, 0), (3, 12)");
    db.pass(1);
    assert_eq!(db.rows("SELECT need, quantity FROM a"), ["1|3"]);
    assert_eq!(db.engine.allocation_status()[0].problems, ["need: division by zero"]);
    db.ok("DELETE FROM t WHERE id = 2");
    db.pass(1);
    assert_eq!(db.rows("SELECT need, quantity FROM a ORDER BY need"), ["1|3", "3|1"]);
    assert_eq!(db.engine.allocation_status()[0].problems, [""; 0]);
}

#[test]
fn an_allocation_that_is_made_again_is_another() {
    let mut db = teams();
    let other = TEAMS
        .split(';')
        .next_back()
        .unwrap()
        .replace("hours AS quantity, kind FROM offers", "hours / 2 AS quantity, kind FROM offers");
    db.ok(&format!("DROP ALLOCATION gpu; {other}"));
    db.pass(1);
    db.pass(1);
    assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["50"]);
    db.ok("DROP ALLOCATION gpu");
    db.pass(1);
    assert_eq!(db.rows("SELECT count(*) FROM deltaic.allocations"), ["0"]);
    assert_eq!(db.engine.allocation_status(), []);
}

#[test]
fn the_rule_beside_it_reports_what_it_would_give_otherwise() {
    let mut db = Db::with(&TEAMS.replace("FROM trust)", "FROM trust) SHADOW damped_v2"));
    // Each of two providers offers the whole need: twice as much as is needed.
    db.ok("INSERT INTO trust VALUES ('a', 'lab', 1), ('b', 'lab', 1), ('lab', 'a', 1), ('lab', 'b', 1)");
    db.ok("INSERT INTO offers VALUES ('a', 'x', 100, 'gpu'), ('b', 'x', 100, 'gpu')");
    db.ok("INSERT INTO wishes VALUES ('lab', 'w', 80, 'gpu')");
    for _ in 0..3 {
        db.pass(1);
    }
    assert_eq!(db.rows(GIVEN), ["a|x|lab|w|mutual|40", "b|x|lab|w|mutual|40"]);
    let differences = db.rows("SELECT provider, quantity, shadow FROM \"gpu.shadow\" ORDER BY provider");
    assert_eq!(differences.len(), 2, "{differences:?}");
    let policies = "SELECT policy, sum(quantity) FROM deltaic.allocations GROUP BY policy ORDER BY policy";
    let sums = db.rows(policies);
    let damped: i64 = sums[0].strip_prefix("damped_v2|").unwrap().parse().unwrap();
    assert!(damped > 80 && sums[1] == "max_min|80", "{sums:?}");
    db.ok("DELETE FROM wishes");
    for _ in 0..3 {
        db.pass(1);
    }
    assert_eq!(db.rows(policies), [""; 0]);
}

#[test]
fn a_large_market_is_worked_out_beside_the_commits() {
    let mut db = Db::with(
        "CREATE TABLE has (id integer PRIMARY KEY, n integer);
        CREATE TABLE wants (id integer PRIMARY KEY, n integer);
        CREATE ALLOCATION a
            CAPACITY (SELECT 1000 + id AS owner, 1 AS slot, n AS quantity, 'x' AS kind FROM has)
            NEED (SELECT id AS owner, 1 AS slot, n AS quantity, 'x' AS kind FROM wants)
            RECOGNITION (SELECT 1000 + has.id AS \"from\", wants.id AS \"to\", 1 AS weight FROM has, wants)",
    );
    db.ok(&format!("INSERT INTO has VALUES {}", rows(1..=60, |n| format!("({n}, 100)"))));
    db.ok(&format!("INSERT INTO wants VALUES {}", rows(1..=60, |n| format!("({n}, 200)"))));
    db.pass(1);
    assert_eq!(db.rows("SELECT sum(quantity) FROM a"), ["6000"]);
    db.hold = true;
    db.ok("UPDATE has SET n = 50 WHERE id <= 30");
    db.pass(1);
    assert_eq!(db.held.len(), 1);
    // What comes meanwhile waits for the next one.
    db.ok("DELETE FROM wants WHERE id > 1");
    db.pass(1);
    assert_eq!((db.held.len(), db.rows("SELECT sum(quantity) FROM a")), (1, vec!["6000".to_owned()]));
    db.hold = false;
    db.finish();
    for _ in 0..3 {
        db.pass(1);
    }
    assert_eq!(db.rows("SELECT sum(quantity) FROM a"), ["200"]);
    // One that is dropped while it is worked out leaves nothing.
    db.hold = true;
    db.ok(&format!("INSERT INTO wants VALUES {}", rows(2..=60, |n| format!("({n}, 200)"))));
    db.pass(1);
    db.ok("DROP ALLOCATION a");
    db.hold = false;
    db.finish();
    db.pass(1);
    assert_eq!(db.rows("SELECT count(*) FROM deltaic.allocations"), ["0"]);
}

/// What two have agreed on, and what is held, are rows as well.
const AGREED: &str = "CREATE TABLE deals (provider text, capacity text, recipient text, need text, quantity integer, state text,
        until timestamptz, PRIMARY KEY (provider, capacity, recipient, need))";

fn with_deals() -> String {
    let clauses = "FROM trust)
        ACCEPTED (SELECT provider, capacity, recipient, need, quantity FROM deals WHERE state = 'accepted')
        HELD (SELECT provider, capacity, recipient, need, quantity, until FROM deals WHERE until IS NOT NULL)";
    format!("{AGREED}; {}", TEAMS.replace("FROM trust)", clauses))
}

#[test]
fn what_was_accepted_is_reserved_and_what_is_held_stays_until_its_time() {
    let mut db = Db::with(&with_deals());
    db.ok("INSERT INTO trust VALUES ('uni', 'lab', 1), ('uni', 'club', 1)");
    db.ok("INSERT INTO offers VALUES ('uni', 'a', 100, 'gpu')");
    db.ok("INSERT INTO wishes VALUES ('lab', 'l', 100, 'gpu'), ('club', 'c', 100, 'gpu')");
    db.pass(1);
    let given = "SELECT recipient, tier, quantity FROM gpu ORDER BY recipient, tier";
    assert_eq!(db.rows(given), ["club|generous|50", "lab|generous|50"]);
    // The lab takes what it was offered, as a row of the allocation's own view.
    db.ok("INSERT INTO deals SELECT provider, capacity, recipient, need, quantity, 'accepted' FROM gpu WHERE recipient = 'lab'");
    db.ok("INSERT INTO trust VALUES ('uni', 'late', 8); INSERT INTO wishes VALUES ('late', 'x', 100, 'gpu')");
    db.pass(1);
    assert_eq!(db.rows(given), ["club|generous|5", "lab|accepted|50", "lab|generous|5", "late|generous|40"]);
    // It stands though nobody recognises it any more, and is bounded by what there is.
    db.ok("DELETE FROM trust WHERE taker = 'lab'");
    db.pass(1);
    assert_eq!(db.rows(given), ["club|generous|6", "lab|accepted|50", "late|generous|44"]);
    db.ok("UPDATE offers SET hours = 30");
    db.pass(1);
    assert_eq!(db.rows(given), ["lab|accepted|30"]);
    let problems = &db.engine.allocation_status()[0].problems;
    assert!(problems[0].contains("capacity a of uni and need l of lab have not so much"), "{problems:?}");
    db.ok("UPDATE deals SET state = 'fulfilled'; UPDATE offers SET hours = 100");
    db.pass(1);
    assert_eq!(db.rows(given), ["club|generous|11", "late|generous|89"]);
    // The club keeps what it was promised for ten seconds.
    db.ok("INSERT INTO deals VALUES ('uni', 'a', 'club', 'c', 60, 'offered', now() + INTERVAL '10 seconds')");
    db.pass(1);
    assert_eq!(db.rows(given), ["club|generous|4", "club|held|60", "late|generous|36"]);
    assert!(db.engine.allocation_status()[0].is_certified);
    db.pass(12);
    assert_eq!(db.rows(given), ["club|generous|11", "late|generous|89"]);
    // Who leaves has nothing, and whoever agreed with it is free again.
    db.ok("UPDATE deals SET recipient = 'late', need = 'x', state = 'accepted', until = NULL WHERE recipient = 'club'; DELETE FROM wishes WHERE team = 'late'");
    db.pass(1);
    assert_eq!(db.rows(given), ["club|generous|100"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What is kept is what a new engine gives for the same rows, and nothing is given twice.
    #[test]
    fn what_is_kept_is_what_a_start_gives(
        steps in proptest::collection::vec((0_u8..10, 0_u8..5, 0_u8..5, 0_i64..120), 1..40),
    ) {
        let mut db = Db::with(&with_deals());
        for (kind, one, other, n) in steps {
            db.ok(&match kind {
                0 | 1 => format!("INSERT INTO offers VALUES ('t{one}', 's{other}', {n}, 'k{}') ON CONFLICT (team, slot) DO UPDATE SET hours = excluded.hours", n % 2),
                2 | 3 => format!("INSERT INTO wishes VALUES ('t{one}', 's{other}', {n}, 'k{}') ON CONFLICT (team, slot) DO UPDATE SET hours = excluded.hours", n % 2),
                4 | 5 => format!("INSERT INTO trust VALUES ('t{one}', 't{other}', {n}) ON CONFLICT (giver, taker) DO UPDATE SET points = excluded.points"),
                6 => format!("DELETE FROM offers WHERE team = 't{one}'; DELETE FROM wishes WHERE team = 't{other}'"),
                7 => format!("DELETE FROM trust WHERE giver = 't{one}'"),
                _ => format!(
                    "INSERT INTO deals VALUES ('t{one}', 's{other}', 't{other}', 's{one}', {n}, 'accepted', {}) ON CONFLICT DO NOTHING; DELETE FROM deals WHERE quantity % 7 = 0",
                    if kind == 8 { "NULL" } else { "now() + INTERVAL '1 hour'" }
                ),
            });
            if n % 3 == 0 {
                db.pass(1);
            }
        }
        db.pass(1);
        let all = "SELECT * FROM gpu ORDER BY provider, capacity, recipient, need, tier";
        let (rows, status) = (db.rows(all), db.engine.allocation_status());
        prop_assert!(status[0].is_certified);
        let over = "SELECT count(*) FROM (SELECT provider, capacity, sum(quantity) AS given FROM gpu GROUP BY provider, capacity) g
            JOIN offers ON team = provider AND slot = capacity WHERE given > hours";
        prop_assert_eq!(db.rows(over), ["0"]);
        let over = "SELECT count(*) FROM (SELECT recipient, need, sum(quantity) AS given FROM gpu GROUP BY recipient, need) g
            JOIN wishes ON team = recipient AND slot = need WHERE given > hours";
        prop_assert_eq!(db.rows(over), ["0"]);
        let mut db = db.restart();
        db.pass(1);
        prop_assert_eq!(&db.rows(all), &rows);
        prop_assert_eq!(db.engine.allocation_status(), status);
        let live: Vec<String> = db.subscribe(1, all).iter().map(Got::text).collect();
        prop_assert_eq!(live, [format!("[{}]", rows.join(", "))]);
    }
}

/// Each column of a slot that may be there, each clause.
#[test]
fn every_column_of_a_slot_has_its_say() {
    let mut db = Db::with(
        "CREATE TABLE has (owner text, slot integer, quantity numeric, kind text, unit text, remote boolean, country text, city text,
            latitude double precision, longitude double precision, radius integer, lot numeric, most_each numeric, mutual_only boolean,
            least_mutual double precision, allowed text[], denied text[], required text[], forbidden text[], PRIMARY KEY (owner, slot));
        CREATE TABLE wants (owner text PRIMARY KEY, quantity numeric, country text, city text, latitude double precision, longitude double precision);
        CREATE TABLE trust (a text, b text, w numeric, PRIMARY KEY (a, b));
        CREATE TABLE says (owner text, attribute text, PRIMARY KEY (owner, attribute));
        CREATE TABLE floors (owner text, slot integer, whom text, quantity numeric, PRIMARY KEY (owner, slot, whom));
        CREATE ALLOCATION a CAPACITY (SELECT * FROM has)
            NEED (SELECT owner, 1 AS slot, quantity, 'x' AS kind, 'kg' AS unit, country, city, latitude, longitude FROM wants)
            RECOGNITION (SELECT a AS \"from\", b AS \"to\", w AS weight FROM trust)
            FLOORS (SELECT owner, slot, whom AS \"to\", quantity FROM floors)
            ATTRIBUTES (SELECT owner, attribute FROM says)",
    );
    db.ok("INSERT INTO trust VALUES ('p', 'near', 1), ('p', 'far', 1), ('p', 'friend', 2), ('friend', 'p', 0.5)");
    // Berlin, Lisbon, Potsdam.
    db.ok("INSERT INTO wants VALUES ('near', 50, 'de', 'Berlin', 52.52, 13.405), ('far', 50, 'pt', 'Lisbon', 38.72, -9.14),
        ('friend', 50, 'de', 'Potsdam', 52.39, 13.06)");
    db.ok("INSERT INTO says VALUES ('near', 'school'), ('far', 'school'), ('far', 'new')");
    let given = "SELECT recipient, sum(quantity) FROM a GROUP BY recipient ORDER BY recipient";
    for (columns, values, expected) in [
        ("kind", "'x'", &["far|5", "friend|50", "near|5"][..]),
        ("kind", "'y'", &[]),
        ("kind, remote, country", "'x', true, 'fr'", &["far|5", "friend|50", "near|5"]),
        ("kind, country", "'x', 'pt'", &["far|50"]),
        ("kind, city", "'x', 'Berlin'", &["near|50"]),
        ("kind, latitude, longitude, radius", "'x', 52.5, 13.4, 50000", &["friend|50", "near|10"]),
        ("kind, latitude, longitude, radius", "'x', 52.5, 13.4, 5000", &["near|50"]),
        ("kind, mutual_only", "'x', true", &["friend|50"]),
        ("kind, least_mutual", "'x', 0.6", &[]),
        ("kind, least_mutual", "'x', 0.5", &["friend|50"]),
        ("kind, allowed", "'x', '{near,far}'", &["far|30", "near|30"]),
        ("kind, denied", "'x', '{friend}'", &["far|30", "near|30"]),
        ("kind, required", "'x', '{school}'", &["far|30", "near|30"]),
        ("kind, required, forbidden", "'x', '{school}', '{new}'", &["near|50"]),
        ("kind, most_each", "'x', 12.5", &["far|12.5", "friend|12.5", "near|12.5"]),
        ("kind, lot", "'x', 20", &["friend|40", "near|20"]),
    ] {
        db.ok(&format!("DELETE FROM has; INSERT INTO has (owner, slot, quantity, unit, {columns}) VALUES ('p', 1, 60, 'kg', {values})"));
        db.pass(1);
        let problems = &db.engine.allocation_status()[0].problems;
        assert!(problems.is_empty(), "{columns} {values}: {problems:?}");
        let found = db.rows(given);
        if columns == "kind, lot" {
            // Who of two equals has the lot that is left over is a tie.
            let sum: u64 =
                found.iter().map(|row| row.split('|').nth(1).unwrap().parse::<u64>().unwrap()).sum();
            assert!(
                sum == 60 && found.iter().all(|row| row.ends_with("|20") || row.ends_with("|40")),
                "{found:?}"
            );
            continue;
        }
        assert_eq!(found, expected, "{columns} {values}");
    }
    db.ok("DELETE FROM has; INSERT INTO has (owner, slot, quantity, unit, kind) VALUES ('p', 1, 2.5, 'kg', 'x'); INSERT INTO floors VALUES ('p', 1, 'far', 25)");
    for (change, problem) in [
        ("quantity = 2.5", "participant p guarantees 25 of slot 1, which has 2.5: guarantee less"),
        (
            "quantity = 60, latitude = 91, longitude = 0",
            "participant p's capacity slot 1 is not on the Earth: 90 degrees of latitude, 180 of longitude",
        ),
    ] {
        db.ok(&format!("UPDATE has SET {change}"));
        db.pass(1);
        assert_eq!(db.engine.allocation_status()[0].problems, [problem]);
    }
    db.ok("UPDATE has SET latitude = NULL, longitude = NULL");
    db.pass(1);
    assert_eq!(
        db.rows("SELECT recipient, tier, quantity FROM a ORDER BY recipient, tier"),
        ["far|guaranteed|25", "friend|mutual|35"]
    );
}

//! Offers: rows with a life of their own, over the budget of what each capacity has promised.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_engine::{Effects, Input, Now};
use deltaic_quota::{Fault, FaultyLedger};
use deltaic_storage::StorageError;
use proptest::prelude::*;
use serde_json::json;

use crate::common::{Db, SECOND};

pub(crate) const TEAMS: &str =
    "CREATE TABLE capacities (team text, slot text, hours integer, PRIMARY KEY (team, slot));
    CREATE TABLE wishes (team text, slot text, hours integer, PRIMARY KEY (team, slot));
    CREATE TABLE trust (giver text, taker text, points integer, PRIMARY KEY (giver, taker));
    CREATE ALLOCATION gpu
        CAPACITY (SELECT team AS owner, slot, hours AS quantity, 'gpu' AS kind FROM capacities)
        NEED (SELECT team AS owner, slot, hours AS quantity, 'gpu' AS kind FROM wishes)
        RECOGNITION (SELECT giver AS \"from\", taker AS \"to\", points AS weight FROM trust)
        OFFERS";

const GIVEN: &str = "SELECT recipient, tier, quantity FROM gpu ORDER BY recipient, tier";

pub(crate) fn teams(offers: &str) -> Db {
    let mut db = Db::with(&format!("{TEAMS} {offers}"));
    db.ok("INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1)");
    db.ok("INSERT INTO capacities VALUES ('uni', 'a100', 100)");
    db.ok("INSERT INTO wishes VALUES ('lab', 'training', 60), ('club', 'games', 80)");
    db.pass(1);
    db
}

pub(crate) fn offer(id: &str, to: &str, hours: i64) -> String {
    let need = if to == "lab" { "training" } else { "games" };
    format!(
        "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity) \
         VALUES ('{id}', 'uni', 'a100', '{to}', '{need}', {hours})"
    )
}

/// The error of a request that fails, whatever budgets and allocations do behind it.
#[track_caller]
pub(crate) fn error(db: &mut Db, sql: &str) -> (String, String) {
    // What allocations show is shown.
    db.pass(1);
    let rows = "SELECT * FROM \"gpu.offers\" ORDER BY id";
    let before = db.run(rows, &[]).map(|outcome| outcome.rows).ok();
    let error = db.run(sql, &[]).expect_err(sql);
    assert_eq!(db.run(rows, &[]).map(|outcome| outcome.rows).ok(), before);
    (error.sqlstate().to_owned(), error.to_string())
}

#[track_caller]
pub(crate) fn code_of(db: &mut Db, sql: &str) -> String {
    error(db, sql).0
}

pub(crate) fn answer(id: &str, state: &str) -> String {
    format!("UPDATE \"gpu.offers\" SET state = '{state}' WHERE id = '{id}'")
}

#[test]
fn an_offer_promises_and_gives_back_with_its_end() {
    let mut db = teams("");
    db.ok(&offer("one", "lab", 60));
    db.ok(&offer("two", "club", 40));
    let (code, why) = error(&mut db, &offer("three", "club", 1));
    assert_eq!(code, "53400", "{why}");
    let expected = "[\"uni\",\"a100\"] has promised all but 0 to offers of \"gpu.offers\": offer less, end one of them, or raise the capacity";
    assert_eq!(why, expected);
    // Right behind the answer to the one that gives back.
    db.ok(&answer("two", "declined"));
    db.ok(&offer("three", "club", 25));
    assert_eq!(code_of(&mut db, &offer("four", "club", 16)), "53400");
    db.ok(&answer("one", "accepted"));
    db.ok(&answer("one", "fulfilled"));
    db.ok(&offer("four", "club", 75));
    db.ok(&answer("four", "cancelled"));
    // What ended is history, which may go.
    db.ok("DELETE FROM \"gpu.offers\" WHERE state IN ('declined', 'fulfilled', 'cancelled')");
    assert_eq!(db.rows("SELECT id, state FROM \"gpu.offers\""), ["three|offered"]);
    db.ok(&offer("four", "lab", 75));
    assert_eq!(code_of(&mut db, &offer("five", "lab", 1)), "53400");
    db.pass(2);
    assert_eq!(
        db.rows("SELECT key, \"limit\", available FROM deltaic.budgets WHERE budget = 'gpu.offers'"),
        [r#"["uni","a100"]|100|0"#]
    );
    db.look("gpu.offers", &[json!("uni"), json!("a100")]);
    let states = db.looked.remove(0).result.unwrap();
    assert_eq!((states[0].state.limit.0, states[0].state.available.0), (100, 0));
}

#[test]
fn what_is_offered_is_held_and_what_is_accepted_comes_first() {
    let mut db = teams("");
    assert_eq!(db.rows(GIVEN), ["club|generous|40", "lab|generous|60"]);
    db.ok(&offer("one", "club", 70));
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["club|generous|8", "club|held|70", "lab|generous|22"]);
    db.ok(&answer("one", "accepted"));
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["club|accepted|70", "club|generous|8", "lab|generous|22"]);
    // What is agreed upon does not need to be recognised.
    db.ok("DELETE FROM trust WHERE taker = 'club'");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["club|accepted|70", "lab|generous|30"]);
    db.ok(&answer("one", "fulfilled"));
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["lab|generous|60"]);
    assert!(db.engine.allocation_status()[0].is_certified);
}

/// What each state can become, as the picture in the documentation has it.
#[test]
fn an_offer_goes_the_ways_of_its_life_alone() {
    let states = ["offered", "accepted", "declined", "fulfilled", "cancelled", "expired"];
    let ways = [
        ("offered", "accepted"),
        ("offered", "declined"),
        ("offered", "cancelled"),
        ("accepted", "fulfilled"),
        ("accepted", "cancelled"),
    ];
    for from in states.iter().filter(|from| **from != "expired") {
        for to in states.iter().chain(&["lost"]) {
            let mut db = teams("");
            db.ok(&offer("x", "lab", 10));
            match *from {
                "offered" => {}
                "fulfilled" => {
                    db.ok(&answer("x", "accepted"));
                    db.ok(&answer("x", "fulfilled"));
                }
                other => {
                    db.ok(&answer("x", other));
                }
            }
            if from == to || ways.contains(&(from, to)) {
                db.ok(&answer("x", to));
                continue;
            }
            let (code, why) = error(&mut db, &answer("x", to));
            assert_eq!(code, "55000");
            let early = *to == "expired" && ["offered", "accepted"].contains(from);
            let expected = if early {
                "offer \"x\" expires when its time is over, by itself: cancel or decline it to end it now"
                    .to_owned()
            } else {
                format!("offer \"x\" is {from} and cannot become {to}: ")
            };
            assert!(why.starts_with(&expected), "{why}");
        }
    }
}

#[test]
fn what_cannot_become_of_an_offer_is_refused_with_its_reason() {
    let mut db = teams("");
    db.ok(&offer("x", "lab", 10));
    db.ok("CREATE BUDGET other (KEY k text, LIMIT 5)");
    for (sql, code, why) in [
        (offer("x", "lab", 10), "23505", "duplicate key"),
        (offer("y", "lab", 0), "23514", "violates check"),
        (
            "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity, state)
             VALUES ('y', 'uni', 'a100', 'lab', 'training', 1, 'accepted')"
                .to_owned(),
            "55000",
            "offer \"y\" begins as offered, not as accepted: leave its state out",
        ),
        (
            "UPDATE \"gpu.offers\" SET quantity = 11".to_owned(),
            "55000",
            "offer \"x\" says what was promised, and its quantity stays: cancel it and make another",
        ),
        (
            "UPDATE \"gpu.offers\" SET id = 'z'".to_owned(),
            "55000",
            "offer \"x\" says what was promised, and its id stays",
        ),
        (
            "DELETE FROM \"gpu.offers\"".to_owned(),
            "55000",
            "offer \"x\" is offered: end it before you delete it",
        ),
        (
            answer("x", "fulfilled"),
            "55000",
            "offer \"x\" is offered and cannot become fulfilled: it can become accepted, declined, cancelled, expired",
        ),
        (
            "SELECT consume('gpu.offers', 'uni', 'a100', 5)".to_owned(),
            "55000",
            "budget \"gpu.offers\" is of what is offered: insert a row of \"gpu.offers\"",
        ),
        (
            "DROP BUDGET other, \"gpu.offers\"".to_owned(),
            "2BP01",
            "budget \"gpu.offers\" is part of allocation \"gpu\": DROP ALLOCATION gpu drops it",
        ),
        (
            "DROP TABLE \"gpu.offers\"".to_owned(),
            "2BP01",
            "table \"gpu.offers\" is part of allocation \"gpu\"",
        ),
        (
            "DROP LIVE VIEW \"gpu.accepted\"".to_owned(),
            "2BP01",
            "live view \"gpu.accepted\" is part of allocation",
        ),
        (
            "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity)
             VALUES ('y', 'nobody', 'a100', 'lab', 'training', 1)"
                .to_owned(),
            "53400",
            "[\"nobody\",\"a100\"] has promised all but 0",
        ),
    ] {
        let (found, message) = error(&mut db, &sql);
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(why), "{sql}: {message}");
    }
    db.consume("gpu.offers", &[json!("uni"), json!("a100")], 1);
    let refused = db.asked.remove(0).result.unwrap_err().to_string();
    assert!(refused.contains("is of what is offered"), "{refused}");
    // A transaction that fails gives back what it was admitted.
    assert_eq!(code_of(&mut db, &format!("{}; {}", offer("y", "lab", 90), offer("z", "lab", 1))), "53400");
    assert_eq!(code_of(&mut db, &format!("{}; {}", offer("y", "lab", 80), offer("x", "lab", 1))), "23505");
    db.ok(&offer("y", "lab", 90));
    // One that ends in the transaction that made it promises nothing.
    db.ok(&answer("y", "declined"));
    db.ok(&format!("{}; {}", offer("z", "lab", 90), answer("z", "cancelled")));
    db.ok(&format!("BEGIN; {}; ROLLBACK", offer("w", "lab", 90)));
    let (id, gone) = ("v", "DELETE FROM \"gpu.offers\" WHERE id = 'v'");
    db.ok(&format!("{}; {}; {gone}", offer(id, "lab", 90), answer(id, "declined")));
    db.ok(&offer("w", "lab", 90));
    // And nothing is left of an allocation that is dropped.
    db.ok("DROP ALLOCATION gpu");
    assert_eq!(code_of(&mut db, "SELECT * FROM \"gpu.offers\""), "42P01");
    db.ok(&TEAMS[TEAMS.find("CREATE ALLOCATION").unwrap()..]);
    db.ok(&offer("x", "lab", 100));
}

#[test]
fn offers_are_rows_that_have_more_columns_and_are_referred_to() {
    let mut db = teams("WITHIN '10 minutes'");
    db.ok("ALTER TABLE \"gpu.offers\" ADD COLUMN note text");
    db.ok("CREATE TABLE invoice (id integer PRIMARY KEY, offer text REFERENCES \"gpu.offers\")");
    db.ok("INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity, note)
        SELECT 'week 7: ' || recipient, provider, capacity, recipient, need, sum(quantity), 'all of it' FROM gpu
        WHERE provider = 'uni' GROUP BY provider, capacity, recipient, need");
    db.ok(&answer("week 7: lab", "accepted"));
    db.ok("UPDATE \"gpu.offers\" SET note = 'paid' WHERE id = 'week 7: lab'");
    db.ok("INSERT INTO invoice VALUES (1, 'week 7: lab')");
    let mut db = db.restart();
    db.pass(1);
    let of = "SELECT id, quantity, note, state FROM \"gpu.offers\" ORDER BY id";
    assert_eq!(db.rows(of), ["week 7: club|40|all of it|offered", "week 7: lab|60|paid|accepted"]);
    db.pass(0);
    assert_eq!(code_of(&mut db, "DROP ALLOCATION gpu"), "2BP01");
    // Who leaves takes nothing of what was accepted, and the rest is shared out.
    db.ok("DELETE FROM wishes WHERE team = 'lab'");
    db.pass(1);
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["club|generous|40", "club|held|40"]);
    assert_eq!(
        code_of(&mut db, &offer("x", "club", 1)),
        "53400",
        "a promise stays one until somebody ends it"
    );
    db.ok(&answer("week 7: lab", "cancelled"));
    db.ok(&offer("x", "club", 60));
    db.ok("DROP TABLE invoice; DROP ALLOCATION gpu");
}

#[test]
fn what_cannot_be_declared_is_refused() {
    let mut db = teams("");
    let text = TEAMS[TEAMS.find("CREATE ALLOCATION").unwrap()..].replace("gpu", "b");
    let agreed = "(SELECT provider, capacity, recipient, need, quantity FROM gpu)";
    for (sql, code, why) in [
        (
            text.replace("OFFERS", &format!("ACCEPTED {agreed} OFFERS")),
            "42P16",
            "ACCEPTED is what OFFERS say",
        ),
        (format!("{text} WITHIN '0'"), "42P16", "WITHIN takes a time above nothing"),
        (format!("{text} WITHIN '1 month'"), "42P16", "without months"),
        (format!("{text} WITHIN 5"), "42601", "an interval in quotes, as '10 minutes'"),
        (format!("{text} WITHIN 'soon'"), "22007", "soon"),
    ] {
        let (found, message) = error(&mut db, &sql);
        assert_eq!(found, code, "{sql}: {message}");
        assert!(message.contains(why), "{sql}: {message}");
    }
    db.ok("CREATE TABLE \"b.offers\" (id integer PRIMARY KEY)");
    assert_eq!(code_of(&mut db, &text), "42P07");
    db.ok("DROP TABLE \"b.offers\"; CREATE BUDGET \"b.offers\" (KEY k text, LIMIT 1)");
    assert_eq!(code_of(&mut db, &text), "42710");
    db.ok("DROP BUDGET \"b.offers\"");
    db.ok(&text);
}

#[test]
fn an_offer_expires_when_its_time_is_over() {
    let mut db = teams("WITHIN '10 minutes'");
    db.ok(&offer("one", "lab", 60));
    db.ok(&offer("two", "club", 40));
    db.ok(&answer("two", "accepted"));
    db.ok("UPDATE \"gpu.offers\" SET until = now() + INTERVAL '1 hour' WHERE id = 'two'");
    let wake = db.wake_at.unwrap().0;
    assert!(wake <= db.now + 600 * SECOND, "it wants to be woken");
    db.pass(590);
    db.pass(1);
    assert_eq!(db.rows("SELECT id, state FROM \"gpu.offers\" ORDER BY id"), ["one|offered", "two|accepted"]);
    // Over by the clock, and not yet ended by the engine.
    db.now += 10 * SECOND;
    let late = db.ask(&answer("one", "accepted"));
    let late = db.reply(late).unwrap().unwrap_err();
    assert_eq!(
        (late.sqlstate(), &late.to_string()[..]),
        ("55000", "the time of offer \"one\" is over, and it expires: ask for another")
    );
    db.pass(1);
    db.pass(1);
    assert_eq!(db.rows("SELECT id, state FROM \"gpu.offers\" ORDER BY id"), ["one|expired", "two|accepted"]);
    db.ok(&offer("three", "lab", 60));
    // One whose time is over while nothing runs ends with the start.
    db.now += 3_600 * SECOND;
    let mut db = db.restart();
    db.pass(0);
    db.pass(0);
    assert_eq!(
        db.rows("SELECT id, state FROM \"gpu.offers\" ORDER BY id"),
        ["one|expired", "three|expired", "two|expired"]
    );
    db.ok(&offer("four", "lab", 100));
    assert_eq!(code_of(&mut db, &offer("five", "lab", 1)), "53400");
}

#[test]
fn an_expiry_that_is_not_written_is_written_later() {
    let mut db = teams("WITHIN '1 minute'");
    for number in 0..600 {
        db.ok(&format!("INSERT INTO capacities VALUES ('uni', 's{number}', 1)"));
        db.ok(&format!(
            "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity)
             VALUES ('o{number}', 'uni', 's{number}', 'lab', 'training', 1)"
        ));
    }
    db.pass(1);
    db.now += 61 * SECOND;
    let mut effects = db.engine.step(Now(db.now), Input::Wake, &db.store);
    let mut refused = 0;
    while !effects.append.is_empty() {
        refused += 1;
        assert!(refused < 50, "what is refused is left alone for a while");
        let outcome = Err(Arc::new(StorageError::Closed));
        effects = db.engine.step(Now(db.now), Input::Appended(outcome), &db.store);
    }
    assert_eq!(db.rows("SELECT count(*) FROM \"gpu.offers\" WHERE state = 'expired'"), ["0"]);
    for _ in 0..4 {
        db.pass(1);
    }
    assert_eq!(db.rows("SELECT count(*) FROM \"gpu.offers\" WHERE state = 'expired'"), ["600"]);
    assert!(db.wake_at.is_none_or(|at| at.0 > db.now), "nothing is due any more");
}

#[test]
fn a_capacity_that_shrinks_keeps_its_promises_and_makes_no_more() {
    let mut db = teams("");
    db.ok(&offer("one", "lab", 50));
    db.ok(&answer("one", "accepted"));
    db.ok("UPDATE capacities SET hours = 30");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), ["lab|accepted|30"], "of what was accepted so much as there is");
    assert_eq!(code_of(&mut db, &offer("two", "club", 1)), "53400");
    db.ok("UPDATE capacities SET hours = 60");
    db.pass(1);
    db.ok(&offer("two", "club", 10));
    assert_eq!(code_of(&mut db, &offer("three", "club", 1)), "53400");
    db.ok("DELETE FROM capacities");
    db.pass(1);
    assert_eq!(db.rows(GIVEN), [""; 0]);
    assert_eq!(code_of(&mut db, &offer("three", "club", 1)), "53400");
    db.ok(&answer("one", "cancelled"));
    assert_eq!(code_of(&mut db, &offer("three", "club", 1)), "53400");
}

#[test]
fn parts_of_units_are_promised_in_millionths_rounded_up() {
    let mut db = Db::with(&TEAMS.replace("hours integer", "hours numeric"));
    db.ok("INSERT INTO capacities VALUES ('uni', 'a100', 1.5)");
    let offer = |id: &str, quantity: &str| {
        format!(
            "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity)
             VALUES ('{id}', 'uni', 'a100', 'lab', 'training', {quantity})"
        )
    };
    db.ok(&offer("a", "1.4999985"));
    assert_eq!(code_of(&mut db, &offer("b", "0.0000011")), "53400");
    db.ok(&offer("b", "0.000001"));
    assert_eq!(code_of(&mut db, &offer("c", "0.0000000001")), "53400");
    let (code, why) = error(&mut db, &offer("c", "1e30"));
    assert_eq!(
        (&code[..], &why[..]),
        ("22003", "offer \"c\" has a quantity over every capacity: offer less")
    );
    db.ok(&answer("a", "cancelled"));
    db.ok(&offer("c", "1.499999"));
}

#[test]
fn offers_that_are_made_elsewhere_are_only_known_here() {
    let mut db = teams("ELSEWHERE");
    let (code, why) = error(&mut db, &offer("x", "lab", 1));
    assert_eq!(code, "55000");
    assert!(why.starts_with("offers of allocation \"gpu\" are made and answered elsewhere"), "{why}");
    assert_eq!(db.rows("SELECT count(*) FROM deltaic.budgets"), ["0"]);
    db.ok("DROP ALLOCATION gpu");
}

#[test]
fn a_ledger_that_is_away_makes_offers_wait_and_refuses_none_for_ever() {
    let mut db = teams("");
    db.hold_calls = true;
    let id = db.ask(&offer("one", "lab", 60));
    assert!(db.reply(id).is_none(), "the ledger was not asked yet");
    // The first question is what was spent before.
    db.call_lost();
    assert_eq!(db.reply(id).unwrap().unwrap_err().sqlstate(), "57P03");
    db.hold_calls = false;
    db.ok(&offer("one", "lab", 60));
    db.ok(&offer("two", "club", 40));
}

/// A ledger in the place of the one that had counted knows nothing; the rows do.
#[test]
fn a_ledger_that_knows_nothing_lets_nothing_be_promised_twice() {
    let mut db = teams("");
    db.ok(&offer("one", "lab", 60));
    db.ledger = FaultyLedger::default();
    let mut db = db.restart();
    assert_eq!(code_of(&mut db, &offer("two", "club", 41)), "53400");
    db.ok(&offer("two", "club", 40));
    db.ok(&answer("one", "declined"));
    db.ok(&offer("three", "club", 60));
    assert_eq!(code_of(&mut db, &offer("four", "club", 1)), "53400");
}

/// One thing that somebody does.
#[derive(Debug, Clone)]
enum Step {
    Offer { slot: u8, hours: i64 },
    Answer { which: usize, state: &'static str },
    Capacity { slot: u8, hours: i64 },
    Delete,
    Pass { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let state =
        prop::sample::select(vec!["accepted", "accepted", "declined", "fulfilled", "cancelled", "expired"]);
    prop_oneof![
        5 => (0..2_u8, 1..60_i64).prop_map(|(slot, hours)| Step::Offer { slot, hours }),
        5 => (0..8_usize, state).prop_map(|(which, state)| Step::Answer { which, state }),
        1 => (0..2_u8, 50..120_i64).prop_map(|(slot, hours)| Step::Capacity { slot, hours }),
        1 => Just(Step::Delete),
        1 => (1..2_000_i64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// What goes wrong with a step.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The append is refused, and nothing of it is there.
    Append,
    /// The engine stops before the call of the ledger of this number since the step began.
    CrashBeforeCall(usize),
    /// It stops after the call, before the engine hears the answer.
    CrashAfterCall(usize),
    /// It stops when the commit is durable and nobody was told.
    CrashAfterAppend,
    /// It stops behind the step, without settling.
    CrashBehind,
    /// It stops in order.
    Restart,
}

fn trouble() -> impl Strategy<Value = Option<Trouble>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Trouble::Append)),
        1 => (0..4_usize).prop_map(|call| Some(Trouble::CrashBeforeCall(call))),
        1 => (0..4_usize).prop_map(|call| Some(Trouble::CrashAfterCall(call))),
        1 => Just(Some(Trouble::CrashAfterAppend)),
        1 => Just(Some(Trouble::CrashBehind)),
        1 => Just(Some(Trouble::Restart)),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::TimeoutBefore,
        Fault::TimeoutAfter,
        Fault::Refuse,
        Fault::Duplicate,
        Fault::Reorder,
    ])
}

/// What somebody who keeps a book of their own expects: capacities, and open offers by the answers they had. Of what had no answer
/// either is right.
#[derive(Debug, Default)]
struct Ledger {
    capacity: [i64; 2],
    most: [i64; 2],
    open: BTreeMap<String, (u8, i64)>,
}

impl Ledger {
    fn promised(&self, slot: u8) -> i64 {
        self.open.values().filter(|(other, _)| *other == slot).map(|(_, hours)| hours).sum()
    }
}

/// What the rows say is open.
fn open(db: &mut Db) -> BTreeMap<String, (u8, i64)> {
    let rows =
        db.rows("SELECT id, capacity, quantity FROM \"gpu.offers\" WHERE state IN ('offered', 'accepted')");
    let read = rows.iter().map(|row| {
        let parts: Vec<&str> = row.split('|').collect();
        (parts[0].to_owned(), (parts[1].parse().unwrap(), parts[2].parse().unwrap()))
    });
    read.collect()
}

fn sql_of(step: &Step, ids: &[String], next: &str) -> Option<String> {
    Some(match step {
        Step::Offer { slot, hours } => format!(
            "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity)
             VALUES ('{next}', 'uni', '{slot}', 'lab', 'training', {hours})"
        ),
        Step::Answer { which, state } => answer(ids.get(*which)?, state),
        Step::Capacity { slot, hours } => {
            format!("UPDATE capacities SET hours = {hours} WHERE slot = '{slot}'")
        }
        Step::Delete => "DELETE FROM \"gpu.offers\" WHERE state NOT IN ('offered', 'accepted')".to_owned(),
        Step::Pass { .. } => return None,
    })
}

/// Runs a request under trouble; the engine after it, and the answer, if there was one.
fn under(mut db: Db, sql: &str, trouble: Option<Trouble>) -> (Db, Option<Result<(), String>>) {
    let (before, after) = match trouble {
        Some(Trouble::CrashBeforeCall(call)) => (Some(call), None),
        Some(Trouble::CrashAfterCall(call)) => (None, Some(call)),
        _ => (None, None),
    };
    db.hold_calls = true;
    db.refuse_append = matches!(trouble, Some(Trouble::Append));
    let requests = db.requests(&[sql], &[]);
    let id = requests[0].id;
    let mut effects = db.step(Input::Requests(requests));
    let mut calls = 0;
    loop {
        if !effects.append.is_empty() {
            let outcome = db.append(&effects.append);
            if matches!(trouble, Some(Trouble::CrashAfterAppend)) {
                return (db.restart(), None);
            }
            effects = db.step(Input::Appended(outcome));
            continue;
        }
        if db.calls.is_empty() {
            break;
        }
        if before == Some(calls) {
            return (db.restart(), None);
        }
        if after == Some(calls) {
            db.call_unheard();
            return (db.restart(), None);
        }
        calls += 1;
        db.call();
        effects = Effects::default();
    }
    db.hold_calls = false;
    let mut reply = db.reply(id);
    for _ in 0..100 {
        // The ledger did not answer, and is asked again.
        if reply.is_some() {
            break;
        }
        db.now += SECOND / 10;
        db.step(Input::Wake);
        reply = db.reply(id);
    }
    let reply = reply.map(|reply| reply.map(drop).map_err(|error| error.sqlstate().to_owned()));
    db.refuse_append = false;
    match trouble {
        Some(Trouble::CrashBehind) => (db.restart(), reply),
        Some(Trouble::Restart) => {
            db.step(Input::Settle);
            (db.restart(), reply)
        }
        _ => (db, reply),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever stops at whatever moment: nothing that was answered is lost, nothing is promised twice, and all that is free can be
    /// promised.
    #[test]
    fn an_offer_survives_a_crash_at_each_of_its_steps(
        steps in prop::collection::vec((step(), trouble()), 1..25),
        faults in prop::collection::vec(prop::option::weighted(0.2, fault()), 8),
    ) {
        let mut db = Db::with(&format!("{TEAMS} WITHIN '1 hour'"));
        db.ok("INSERT INTO capacities VALUES ('uni', '0', 100), ('uni', '1', 100)");
        let mut book = Ledger { capacity: [100; 2], most: [100; 2], open: BTreeMap::new() };
        let mut faults = faults.into_iter().cycle();
        for (number, (step, trouble)) in steps.iter().enumerate() {
            if let Step::Pass { seconds } = step {
                db.pass(*seconds);
                db.pass(0);
                // Expiry is the engine's own doing: the rows say what is left, which can only be less.
                let now = open(&mut db);
                prop_assert!(now.iter().all(|(id, offer)| book.open.get(id) == Some(offer)), "{now:?} of {book:?}");
                book.open = now;
                continue;
            }
            let ids: Vec<String> = book.open.keys().cloned().collect();
            let next = format!("o{number}");
            let Some(sql) = sql_of(step, &ids, &next) else { continue };
            if let Some(Some(fault)) = faults.next() {
                db.ledger.plan(fault);
            }
            let mut was = book.open.clone();
            let (after, reply) = under(db, &sql, *trouble);
            db = after;
            let mut wanted = was.clone();
            match step {
                Step::Offer { slot, hours } => { wanted.insert(next, (*slot, *hours)); }
                Step::Answer { which, state } if *state != "accepted" => { wanted.remove(&ids[*which]); }
                _ => {}
            }
            let now = open(&mut db);
            for id in db.rows("SELECT id FROM \"gpu.offers\" WHERE state = 'expired'") {
                // While the ledger was waited for.
                was.remove(&id);
                wanted.remove(&id);
            }
            match &reply {
                Some(Ok(())) => prop_assert_eq!(&now, &wanted, "{}", sql),
                Some(Err(_)) => prop_assert_eq!(&now, &was, "{}", sql),
                None => prop_assert!(now == wanted || now == was, "{sql}: {now:?}"),
            }
            // Denied although there was room: only a ledger that does not answer may say that.
            if let (Step::Offer { slot, hours }, Some(Err(code))) = (step, &reply) {
                let slot_capacity = book.capacity[usize::from(*slot)];
                if code == "53400" {
                    prop_assert!(book.promised(*slot) + hours > slot_capacity, "{sql}: {book:?}");
                }
            }
            if let Step::Capacity { slot, .. } = step {
                let rows = db.rows(&format!("SELECT hours FROM capacities WHERE slot = '{slot}'"));
                let hours: i64 = rows[0].parse().unwrap();
                book.capacity[usize::from(*slot)] = hours;
                book.most[usize::from(*slot)] = book.most[usize::from(*slot)].max(hours);
            }
            book.open = now;
            for slot in 0..2_u8 {
                prop_assert!(book.promised(slot) <= book.most[usize::from(slot)], "{book:?}");
            }
            if let Step::Offer { slot, .. } = step {
                if matches!(reply, Some(Ok(()))) {
                    prop_assert!(book.promised(*slot) <= book.capacity[usize::from(*slot)], "{sql}: {book:?}");
                }
            }
        }
        // In the end all that is free can be promised, and no more.
        db.ledger = FaultyLedger::new(db.ledger.inner.clone());
        let mut db = db.restart();
        // None is to expire behind what is counted.
        db.pass(3_700);
        db.pass(1);
        db.pass(1);
        for slot in 0..2_u8 {
            let free = book.capacity[usize::from(slot)] - open(&mut db).values().filter(|(other, _)| *other == slot).map(|(_, hours)| hours).sum::<i64>();
            let last = |id: &str, hours: i64| sql_of(&Step::Offer { slot, hours }, &[], id).unwrap();
            prop_assert_eq!(code_of(&mut db, &last("over", free.max(0) + 1)), "53400");
            if free > 0 {
                db.ok(&last(&format!("rest{slot}"), free));
            }
        }
    }
}

#[test]
fn an_offer_that_is_over_is_given_no_more_time() {
    for (state, column) in [("offered", "answer_by"), ("accepted", "until")] {
        let more = |minutes: i64| {
            format!(
                "UPDATE \"gpu.offers\" SET {column} = now() + INTERVAL '{minutes} minutes' WHERE id = 'one'"
            )
        };
        let mut db = teams("WITHIN '10 minutes'");
        db.ok(&offer("one", "lab", 10));
        db.ok(&answer("one", state));
        db.ok(&more(20));
        db.pass(1);
        db.now += 1_300 * SECOND;
        let late = db.ask(&more(60));
        assert_eq!(db.reply(late).unwrap().unwrap_err().sqlstate(), "55000", "{state}");
        db.pass(1);
        assert_eq!(db.rows("SELECT state FROM \"gpu.offers\""), ["expired"]);
    }
}

/// A constraint of somebody's own lets some not expire: the others do.
#[test]
fn offers_that_cannot_be_ended_keep_no_others_from_their_end() {
    let mut db = teams("WITHIN '1 minute'");
    db.ok("CREATE UNIQUE INDEX once ON \"gpu.offers\" (recipient, state)");
    let slots: Vec<String> = (0..260).map(|number| format!("('uni', 's{number}', 1)")).collect();
    db.ok(&format!("INSERT INTO capacities VALUES {}", slots.join(", ")));
    // The second of each recipient has one beside it that has expired.
    for (round, within) in [("o", "1 second"), ("p", "10 seconds")] {
        for number in 0..260 {
            db.ok(&format!(
                "INSERT INTO \"gpu.offers\" (id, provider, capacity, recipient, need, quantity, answer_by)
                 VALUES ('{round}{number}', 'uni', 's{number}', 'r{number}', 'n', 1, now() + INTERVAL '{within}')"
            ));
        }
        (0..4).for_each(|_| db.pass(1));
    }
    db.ok(&offer("late", "lab", 1));
    db.pass(70);
    (0..4).for_each(|_| db.pass(1));
    assert_eq!(db.rows("SELECT state FROM \"gpu.offers\" WHERE id = 'late'"), ["expired"]);
    assert_eq!(db.rows("SELECT count(*) FROM \"gpu.offers\" WHERE state = 'offered'"), ["260"]);
}

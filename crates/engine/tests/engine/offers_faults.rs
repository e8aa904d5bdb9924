//! Offers where things come together that seldom do.

use deltaic_causality::ActorId;
use deltaic_engine::{LedgerCall, Outcome, RequestError};
use deltaic_quota::Ledger as _;

use crate::{
    common::Db,
    mesh::Members,
    offers::{TEAMS, answer, code_of, offer, teams},
};

const GIVEN: &str = "SELECT recipient, tier, quantity FROM gpu ORDER BY recipient, tier";

/// The answer to a request that may come after others.
#[track_caller]
fn later(db: &mut Db, sql: &str) -> Result<Outcome, RequestError> {
    db.pass(1);
    let id = db.ask(sql);
    db.pass(1);
    db.pass(1);
    db.reply(id).expect("it is answered")
}

#[track_caller]
fn denied(result: Result<Outcome, RequestError>, why: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.sqlstate(), "53400");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn an_offer_that_has_ended_can_still_be_written_upon() {
    let mut db = teams("");
    db.ok("ALTER TABLE \"gpu.offers\" ADD COLUMN note text");
    db.ok(&offer("x", "lab", 10));
    db.ok("UPDATE \"gpu.offers\" SET state = 'declined'");
    db.ok("UPDATE \"gpu.offers\" SET note = 'too few', until = now()");
    assert_eq!(db.rows("SELECT id, state, note FROM \"gpu.offers\""), ["x|declined|too few"]);
    assert_eq!(code_of(&mut db, "UPDATE \"gpu.offers\" SET note = '', quantity = 9"), "55000");
    assert_eq!(code_of(&mut db, "UPDATE \"gpu.offers\" SET state = 'offered', note = ''"), "55000");
}

/// Where offers are made elsewhere, too, a column comes to rows that are there.
#[test]
fn a_column_is_added_to_offers_that_are_made_elsewhere() {
    let mut members = members("");
    members.dbs[0].ok("INSERT INTO capacities VALUES ('uni', 'a100', 100)");
    members.settle();
    members.dbs[0].ok(&offer("one", "lab", 60));
    members.dbs[0].ok(&offer("two", "lab", 10));
    members.dbs[0].ok(&answer("two", "declined"));
    members.settle();
    for place in 0..2 {
        members.dbs[place].ok("ALTER TABLE \"gpu.offers\" ADD COLUMN note text DEFAULT 'x'");
    }
    members.settle();
    assert_eq!(
        members.rows("SELECT id, state, note FROM \"gpu.offers\""),
        ["one|offered|x", "two|declined|x"]
    );
    for sql in [answer("one", "declined"), "DELETE FROM \"gpu.offers\" WHERE id = 'two'".to_owned()] {
        assert_eq!(members.dbs[1].run(&sql, &[]).unwrap_err().sqlstate(), "55000");
    }
}

/// A home of offers, and another server that knows them.
fn members(within: &str) -> Members {
    let declared = |actor, elsewhere| {
        let mut db = Db::of(ActorId(actor));
        db.ok(&format!("{TEAMS} {within} {elsewhere}"));
        (ActorId(actor), db)
    };
    Members::over(vec![declared(1, ""), declared(2, "ELSEWHERE")])
}

#[test]
fn all_offers_of_a_pair_are_held() {
    for kind in ["integer", "numeric"] {
        let mut db = Db::with(&TEAMS.replace("hours integer", &format!("hours {kind}")));
        db.ok("INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1)");
        db.ok("INSERT INTO capacities VALUES ('uni', 'a100', 100)");
        db.ok("INSERT INTO wishes VALUES ('lab', 'training', 60), ('club', 'games', 80)");
        db.ok(&offer("one", "lab", 20));
        db.ok(&offer("two", "lab", 30));
        db.ok("UPDATE \"gpu.offers\" SET answer_by = now() + INTERVAL '1 hour' WHERE id = 'one'");
        db.pass(1);
        assert_eq!(db.rows(GIVEN), ["club|generous|40", "lab|generous|10", "lab|held|50"]);
        db.ok(&answer("two", "declined"));
        db.pass(1);
        assert_eq!(db.rows(GIVEN), ["club|generous|40", "lab|generous|40", "lab|held|20"]);
    }
}

/// What is left of a lease goes home to the account of the allocation that was dropped.
#[test]
fn an_allocation_that_is_made_again_has_an_account_of_its_own() {
    let mut db = Db::new();
    db.engine.share_ledger();
    db.ok(TEAMS);
    db.ok("INSERT INTO capacities VALUES ('uni', 'a100', 100)");
    db.pass(1);
    let twice = format!("{}; {}", offer("y", "lab", 60), offer("y", "lab", 30));
    assert_eq!(code_of(&mut db, &twice), "23505");
    db.ok(&offer("one", "lab", 5));
    db.hold_calls = true;
    let create = &TEAMS[TEAMS.find("CREATE ALLOCATION").unwrap()..];
    let id = db.ask(&format!("DROP ALLOCATION gpu; {create}"));
    assert!(db.reply(id).unwrap().is_ok());
    let id = db.ask(&offer("x", "lab", 50));
    // The question what was spent is answered before the lease has ended.
    let is_question = |call: &LedgerCall| matches!(call, LedgerCall::Stored(..));
    let place = db.calls.iter().position(is_question).unwrap();
    let question = db.calls.remove(place).unwrap();
    db.calls.push_front(question);
    while db.call() {}
    db.hold_calls = false;
    db.pass(1);
    assert!(db.reply(id).unwrap().is_ok());
    denied(later(&mut db, &offer("over", "lab", 51)), "all but 50");
    db.ok(&offer("rest", "lab", 50));
}

/// A ledger that is shared can be asked before it has an epoch for this life, and a life before still ends a lease.
#[test]
fn what_was_spent_is_asked_for_when_no_life_before_writes() {
    let mut db = Db::new();
    db.engine.share_ledger();
    db.ok(TEAMS);
    db.ok("INSERT INTO capacities VALUES ('uni', 'a100', 100)");
    let twice = format!("{}; {}", offer("y", "lab", 60), offer("y", "lab", 30));
    assert_eq!(code_of(&mut db, &twice), "23505");
    db.hold_calls = true;
    let is_end = |call: &LedgerCall| matches!(call, LedgerCall::Apply(batch) if !batch.entries.is_empty());
    while !db.calls.iter().any(is_end) {
        db.pass(1);
    }
    let late: Vec<LedgerCall> = db.calls.drain(..).collect();
    let mut db = db.restart();
    db.engine.share_ledger();
    db.hold_calls = true;
    db.pass(1);
    // No epoch at first; what was spent is told.
    db.call_lost();
    let id = db.ask(&offer("x", "lab", 10));
    let is_open = |call: &LedgerCall| matches!(call, LedgerCall::Open(_));
    for _ in 0..db.calls.len() {
        let call = db.calls.pop_front().unwrap();
        if is_open(&call) {
            db.calls.push_back(call);
        } else {
            db.calls.push_front(call);
            db.call();
        }
    }
    assert!(db.calls.iter().any(is_open));
    for call in late {
        if let LedgerCall::Apply(batch) = call {
            db.ledger.apply(&batch).unwrap();
        }
    }
    db.hold_calls = false;
    while db.call() {}
    db.pass(1);
    assert!(db.reply(id).unwrap().is_ok());
    denied(later(&mut db, &offer("over", "lab", 91)), "all but 90");
    db.ok(&offer("rest", "lab", 90));
}

#[test]
fn an_offer_over_every_lease_is_refused_for_what_it_is() {
    let mut db = Db::with(&TEAMS.replace("hours integer", "hours bigint"));
    db.ok("INSERT INTO capacities VALUES ('uni', 'a100', 5000000000000000000)");
    let (most, over) = (1 << 61, (1 << 61) + 1);
    assert_eq!(code_of(&mut db, &offer("x", "lab", over)), "22003");
    db.ok(&offer("x", "lab", most));
    db.ok(&offer("y", "lab", most));
}

//! Offers where things come together that seldom do.

use std::collections::BTreeMap;

use deltaic_causality::ActorId;
use deltaic_engine::{Input, LedgerCall, Outcome, RequestError, RequestId, Slice};
use deltaic_quota::Ledger as _;
use proptest::prelude::*;

use crate::{
    common::Db,
    mesh::Members,
    offers::{TEAMS, answer, code_of, offer, teams},
};

const GIVEN: &str = "SELECT recipient, tier, quantity FROM gpu ORDER BY recipient, tier";
const OPEN: &str =
    "SELECT coalesce(sum(quantity), 0) FROM \"gpu.offers\" WHERE state IN ('offered', 'accepted')";

/// What is open of all capacities.
fn open(db: &mut Db) -> i64 {
    db.pass(1);
    db.rows(OPEN)[0].parse().unwrap()
}

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

#[test]
fn an_offer_is_made_of_the_capacity_that_is_there_when_it_is_made() {
    for (to, fits) in [(70, true), (69, false), (0, false)] {
        // Behind a change that is under way.
        let mut db = teams("");
        db.ok(&offer("one", "lab", 10));
        let cut = format!("UPDATE capacities SET hours = {to}");
        let (_, mut replies) = db.batch(&[cut.clone(), offer("x", "lab", 60)]);
        let reply = replies.pop().unwrap();
        if fits {
            reply.unwrap();
        } else {
            denied(reply, &format!("all but {} to", (to - 10).max(0)));
        }
        // Behind a change in the same transaction.
        let mut db = teams("");
        db.ok(&offer("one", "lab", 10));
        let both = format!("{cut}; {}; {}", offer("x", "lab", 50), offer("y", "lab", 10));
        assert_eq!(later(&mut db, &both).is_ok(), fits);
        assert_eq!(open(&mut db), if fits { 70 } else { 10 });
        // The budget itself has nothing of it.
        let mut db = db.restart();
        if !fits {
            later(&mut db, &offer("rest", "lab", 90)).unwrap();
        }
    }
}

#[test]
fn an_offer_behind_a_capacity_that_live_queries_have_not_seen_is_refused() {
    let mut db = teams("");
    db.ok(&offer("one", "lab", 10));
    db.pass(1);
    db.engine.set_slice(Slice { units: 0, ..Slice::default() });
    db.hold = true;
    let cut = db.ask("UPDATE capacities SET hours = 20");
    assert!(db.reply(cut).unwrap().is_ok());
    assert!(!db.held.is_empty(), "live queries have not seen it");
    let id = db.ask(&offer("x", "lab", 60));
    denied(db.reply(id).unwrap(), "all but 10");
    let id = db.ask(&offer("x", "lab", 10));
    assert!(db.reply(id).unwrap().is_ok());
}

#[derive(Debug, Clone)]
enum Part {
    Offer(i64),
    Answer(usize, &'static str),
    Capacity(i64),
    /// In one transaction.
    CapacityAndOffer(i64, i64),
}

fn part() -> impl Strategy<Value = Part> {
    let state = prop::sample::select(vec!["accepted", "declined", "fulfilled", "cancelled"]);
    prop_oneof![
        4 => (1..60_i64).prop_map(Part::Offer),
        3 => (0..6_usize, state).prop_map(|(which, state)| Part::Answer(which, state)),
        2 => (0..120_i64).prop_map(Part::Capacity),
        1 => (0..120_i64, 1..60_i64).prop_map(|(to, hours)| Part::CapacityAndOffer(to, hours)),
    ]
}

/// Follows what was answered, in the order of the commits.
fn follow(done: BTreeMap<u64, (Part, String)>, capacity: &mut i64, promised: &mut BTreeMap<String, i64>) {
    for (part, id) in done.into_values() {
        match part {
            Part::Offer(hours) => drop(promised.insert(id, hours)),
            Part::Answer(_, "accepted") => {}
            Part::Answer(..) => drop(promised.remove(&id)),
            Part::Capacity(to) => *capacity = to,
            Part::CapacityAndOffer(to, hours) => {
                *capacity = to;
                promised.insert(id, hours);
            }
        }
        if matches!(part, Part::Offer(_) | Part::CapacityAndOffer(..)) {
            let sum: i64 = promised.values().sum();
            assert!(sum <= *capacity, "{sum} of {capacity} with {part:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Requests that come together, run aside or are followed behind: each offer finds the capacity that its own commit finds.
    #[test]
    fn offers_that_come_together_keep_within_the_capacity(
        batches in prop::collection::vec(prop::collection::vec(part(), 1..5), 1..12),
        slice in prop::sample::select(vec![Slice::WHOLE, Slice { units: 0, ..Slice::default() }, Slice::NONE]),
    ) {
        let mut db = teams("");
        db.engine.set_slice(slice);
        db.hold = true;
        let (mut capacity, mut promised, mut ids) = (100, BTreeMap::new(), vec!["none".to_owned()]);
        for (number, batch) in batches.into_iter().enumerate() {
            let mut parts = Vec::new();
            let mut statements = Vec::new();
            for (place, part) in batch.into_iter().enumerate() {
                let new = format!("o{number}-{place}");
                let cut = |to| format!("UPDATE capacities SET hours = {to}");
                let (sql, id) = match &part {
                    Part::Offer(hours) => (offer(&new, "lab", *hours), new),
                    Part::Answer(which, state) => {
                        let id = ids[which % ids.len()].clone();
                        (answer(&id, state), id)
                    }
                    Part::Capacity(to) => (cut(to), new),
                    Part::CapacityAndOffer(to, hours) => (format!("{}; {}", cut(to), offer(&new, "lab", *hours)), new),
                };
                statements.push(sql);
                parts.push((part, id));
            }
            let requests = db.requests(&statements, &[]);
            let waiting: Vec<RequestId> = requests.iter().map(|request| request.id).collect();
            let effects = db.step(Input::Requests(requests));
            if !effects.append.is_empty() {
                let outcome = db.append(&effects.append);
                db.step(Input::Appended(outcome));
            }
            let mut done = BTreeMap::new();
            let mut left: Vec<_> = waiting.into_iter().zip(parts).collect();
            for _ in 0..200 {
                left.retain(|(id, (part, offer))| {
                    let Some(reply) = db.reply(*id) else { return true };
                    if let Ok(outcome) = reply.as_ref().map_err(|error| assert!(["53400", "55000", "40001"].contains(&error.sqlstate()), "{error}"))
                        && outcome.rows_affected > 0
                    {
                        done.insert(outcome.lsn.0, (part.clone(), offer.clone()));
                    }
                    false
                });
                if left.is_empty() {
                    break;
                }
                if db.held.is_empty() { db.pass(1) } else { db.work() }
            }
            prop_assert!(left.is_empty(), "{left:?} are not answered");
            follow(done, &mut capacity, &mut promised);
            ids.extend(promised.keys().filter(|id| !ids.contains(id)).cloned().collect::<Vec<_>>());
        }
        db.engine.set_slice(Slice::WHOLE);
        db.hold = false;
        db.finish();
        prop_assert_eq!(open(&mut db), promised.values().sum::<i64>());
        let mut db = db.restart();
        let free = capacity - promised.values().sum::<i64>();
        prop_assert!(later(&mut db, &offer("over", "lab", free.max(0) + 1)).is_err());
        if free > 0 {
            later(&mut db, &offer("rest", "lab", free)).unwrap();
        }
    }
}

/// The home of offers stops, and starts from what it has.
#[test]
fn a_home_that_crashes_among_members_keeps_its_promises() {
    let mut members = members("WITHIN '1 minute'");
    members.dbs[0].ok("INSERT INTO capacities VALUES ('uni', 'a100', 100)");
    members.settle();
    members.dbs[0].ok(&offer("one", "lab", 60));
    members.settle();
    let mut home = members.dbs.remove(0).restart();
    home.step(Input::Peer(deltaic_engine::PeerInput::Join(ActorId(2))));
    members.dbs.insert(0, home);
    members.settle();
    denied(later(&mut members.dbs[0], &offer("two", "lab", 41)), "all but 40");
    members.dbs[0].ok(&offer("two", "lab", 40));
    members.settle();
    members.dbs[1].ok("UPDATE capacities SET hours = 50");
    members.settle();
    members.dbs[0].ok(&answer("one", "declined"));
    denied(later(&mut members.dbs[0], &offer("three", "lab", 11)), "all but 10");
    later(&mut members.dbs[0], &offer("three", "lab", 10)).unwrap();
    members.pass(70);
    members.settle();
    let states = ["one|declined", "three|expired", "two|expired"];
    assert_eq!(members.rows("SELECT id, state FROM \"gpu.offers\" ORDER BY id"), states);
    later(&mut members.dbs[0], &offer("four", "lab", 50)).unwrap();
}

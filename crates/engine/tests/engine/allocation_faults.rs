//! Allocations where their rows, their queries and their time are at their worst.

use std::sync::Arc;

use deltaic_engine::{Input, MemoryLimits, Now};
use deltaic_storage::{StorageError, Store as _};

use crate::common::{Db, SECOND};

/// Lets seconds pass as a server does: it is woken when the engine asks for it, and never else.
pub(crate) fn run(db: &mut Db, seconds: i64) {
    let end = db.now + seconds * SECOND;
    for _ in 0..1_000 {
        match db.wake_at {
            Some(at) if at.0 <= end => {
                db.now = db.now.max(at.0 - 1_000);
                db.step(Input::Wake);
            }
            _ => {
                db.now = db.now.max(end);
                return;
            }
        }
    }
    panic!("it wants to be woken again and again: {:?} at {}", db.wake_at, db.now);
}

const TEAMS: &str =
    "CREATE TABLE offers (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE wishes (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE trust (giver text, taker text, points integer, PRIMARY KEY (giver, taker));
    CREATE TABLE deals (provider text, capacity text, recipient text, need text, quantity integer, until timestamptz);
    CREATE TABLE floors (owner text, slot text, whom text, quantity integer);";

const ALLOCATION: &str = "CREATE ALLOCATION gpu
        CAPACITY (SELECT team AS owner, slot, hours AS quantity, kind FROM offers)
        NEED (SELECT team AS owner, slot, hours AS quantity, kind FROM wishes)
        RECOGNITION (SELECT giver AS \"from\", taker AS \"to\", points AS weight FROM trust)
        FLOORS (SELECT owner, slot, whom AS \"to\", quantity FROM floors)
        ACCEPTED (SELECT provider, capacity, recipient, need, quantity FROM deals WHERE until IS NULL)
        HELD (SELECT provider, capacity, recipient, need, quantity, until FROM deals WHERE until IS NOT NULL)";

fn teams(clauses: &str) -> Db {
    let mut db = Db::with(&format!("{TEAMS} {ALLOCATION} {clauses}"));
    db.ok("INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1), ('lab', 'uni', 1)");
    db.ok("INSERT INTO offers VALUES ('uni', 'a100', 100, 'gpu')");
    db.ok("INSERT INTO wishes VALUES ('lab', 'training', 60, 'gpu'), ('club', 'games', 80, 'gpu')");
    run(&mut db, 1);
    db
}

fn problems(db: &Db) -> Vec<String> {
    db.engine.allocation_status()[0].problems.clone()
}

#[test]
fn what_is_wrong_is_told_in_the_words_of_the_rows() {
    let mut db = teams("");
    db.ok("INSERT INTO floors VALUES ('uni', 'none', 'ghost', 1)");
    run(&mut db, 1);
    assert_eq!(
        problems(&db),
        ["participant uni guarantees something of capacity slot none, which it has not"]
    );
    db.ok("UPDATE floors SET slot = 'a100'; INSERT INTO floors VALUES ('uni', 'a100', 'ghost', 2)");
    run(&mut db, 1);
    assert_eq!(
        problems(&db),
        ["participant uni guarantees ghost something of slot a100 twice: add the quantities"]
    );
    db.ok("DELETE FROM floors; INSERT INTO deals VALUES ('gone', 'x', 'away', 'y', 5)");
    run(&mut db, 1);
    assert_eq!(
        problems(&db),
        ["accepted: capacity x of gone and need y of away have not so much by now: the rest is not reserved"]
    );
}

#[test]
fn rows_say_what_kind_it_is_by_now() {
    let mut db = teams("");
    let kinds = "SELECT DISTINCT kind FROM gpu";
    db.ok("UPDATE offers SET kind = 'cpu'; UPDATE wishes SET kind = 'cpu'");
    run(&mut db, 1);
    assert_eq!(db.rows(kinds), ["cpu"]);
    db.ok("INSERT INTO deals VALUES ('uni', 'a100', 'lab', 'training', 60)");
    run(&mut db, 1);
    db.ok("UPDATE offers SET kind = 'tpu'");
    run(&mut db, 1);
    assert_eq!(db.rows(kinds), ["tpu"]);
}

#[test]
fn one_that_is_made_again_begins_by_itself() {
    let mut db = teams("");
    db.ok(&format!(
        "DROP ALLOCATION gpu; {}",
        ALLOCATION.replace("hours AS quantity, kind FROM offers", "hours / 2 AS quantity, kind FROM offers")
    ));
    run(&mut db, 5);
    assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["50"]);
}

/// Markets of so many providers and as many recipients, all of whom are recognised.
fn large(name: &str) -> String {
    format!(
        "CREATE TABLE {name}_has (id integer PRIMARY KEY, n integer);
        CREATE TABLE {name}_wants (id integer PRIMARY KEY, n integer);
        CREATE ALLOCATION {name}
            CAPACITY (SELECT 1000 + id AS owner, 1 AS slot, n AS quantity, 'x' AS kind FROM {name}_has)
            NEED (SELECT id AS owner, 1 AS slot, n AS quantity, 'x' AS kind FROM {name}_wants)
            RECOGNITION (SELECT 1000 + has.id AS \"from\", wants.id AS \"to\", 1 AS weight FROM {name}_has has, {name}_wants wants)"
    )
}

fn fill(db: &mut Db, name: &str, count: usize) {
    for side in ["has", "wants"] {
        let rows: Vec<String> = (1..=count).map(|n| format!("({n}, 100)")).collect();
        db.ok(&format!("INSERT INTO {name}_{side} VALUES {} ON CONFLICT DO NOTHING", rows.join(", ")));
    }
}

#[test]
fn of_several_large_ones_one_is_worked_out_at_a_time() {
    let mut db = Db::with(&format!("{}; {}", large("a"), large("b")));
    fill(&mut db, "a", 50);
    fill(&mut db, "b", 50);
    run(&mut db, 1);
    db.hold = true;
    db.ok("UPDATE a_has SET n = 50; UPDATE b_has SET n = 50");
    run(&mut db, 1);
    assert_eq!(db.held.len(), 1);
    // One that goes meanwhile, and comes again, waits too.
    db.ok(&format!(
        "DROP ALLOCATION a; CREATE ALLOCATION {}",
        large("a").split("CREATE ALLOCATION ").nth(1).unwrap()
    ));
    run(&mut db, 1);
    assert_eq!(db.held.len(), 1);
    db.hold = false;
    db.finish();
    run(&mut db, 1);
    for name in ["a", "b"] {
        assert_eq!(db.rows(&format!("SELECT sum(quantity) FROM {name}")), ["2500"], "{name}");
    }
}

#[test]
fn a_large_market_is_worked_out_beside_the_commits_from_the_first_time_on() {
    let mut db = Db::with(&large("a"));
    db.hold = true;
    fill(&mut db, "a", 50);
    run(&mut db, 1);
    assert_eq!(db.held.len(), 1);
    db.hold = false;
    db.finish();
    run(&mut db, 1);
    let mut db = db.restart();
    db.hold = true;
    db.pass(1);
    assert_eq!((db.held.len(), db.rows("SELECT count(*) FROM a")), (1, vec!["0".to_owned()]));
    db.hold = false;
    db.finish();
    run(&mut db, 1);
    assert_eq!(db.rows("SELECT sum(quantity) FROM a"), ["5000"]);
    // One row that brings many pairs.
    let mut db = Db::with(
        "CREATE TABLE slots (id integer PRIMARY KEY, owner integer);
        CREATE ALLOCATION a
            CAPACITY (SELECT owner, id AS slot, 1 AS quantity, 'x' AS kind FROM slots WHERE owner = 1)
            NEED (SELECT owner, id AS slot, 1 AS quantity, 'x' AS kind FROM slots WHERE owner = 2)
            RECOGNITION (SELECT 1 AS \"from\", owner AS \"to\", 1 AS weight FROM slots WHERE owner <> 1)",
    );
    let rows = |from: usize, owner| {
        (from..from + 60).map(|n| format!("({n}, {owner})")).collect::<Vec<_>>().join(", ")
    };
    db.ok(&format!("INSERT INTO slots VALUES {}", rows(0, 1)));
    db.ok(&format!("INSERT INTO slots VALUES {}", rows(100, 3)));
    run(&mut db, 1);
    db.hold = true;
    db.ok("UPDATE slots SET owner = 2 WHERE owner = 3");
    run(&mut db, 1);
    assert_eq!(db.held.len(), 1);
}

/// Appends fail for so many seconds, in which the engine is woken when it asks for it; how often it has tried.
fn full_disk(db: &mut Db, input: Input, seconds: i64) -> usize {
    let (end, mut tries, mut input) = (db.now + seconds * SECOND, 0, input);
    loop {
        let mut effects = db.engine.step(Now(db.now), input, &db.store);
        while !effects.append.is_empty() {
            tries += 1;
            assert!(tries < 1_000, "it tries without a rest");
            let refused = Err(Arc::new(StorageError::Closed));
            effects = db.engine.step(Now(db.now), Input::Appended(refused), &db.store);
        }
        db.wake_at = effects.wake_at;
        let Some(at) = effects.wake_at.filter(|at| at.0 <= end) else { break };
        tries += 1;
        assert!(tries < 1_000, "it wakes without a rest");
        (db.now, input) = (db.now.max(at.0), Input::Wake);
    }
    db.now = db.now.max(end);
    tries
}

/// A request whose commit is durable; what comes of it is not looked at yet.
fn committed(db: &mut Db, sql: &str) {
    let requests = db.requests(&[sql], &[]);
    let effects = db.step(Input::Requests(requests));
    db.store.append(&effects.append).unwrap();
}

#[test]
fn a_full_disk_is_not_asked_without_a_rest() {
    for clauses in ["", "COALESCE '0 ms'", "COALESCE '1 day'"] {
        let mut db = teams(clauses);
        db.subscribe(1, "SELECT * FROM gpu");
        run(&mut db, 3 * 86_400);
        committed(&mut db, "UPDATE offers SET hours = 40");
        full_disk(&mut db, Input::Appended(Ok(())), 10);
        run(&mut db, 5);
        assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["40"], "{clauses}");
    }
}

#[test]
fn one_that_goes_while_the_disk_is_full_goes_later() {
    let mut db = teams("");
    db.subscribe(1, "SELECT count(*) FROM deltaic.allocations");
    committed(&mut db, "DROP ALLOCATION gpu");
    full_disk(&mut db, Input::Appended(Ok(())), 10);
    run(&mut db, 5);
    assert_eq!(db.rows("SELECT count(*) FROM deltaic.allocations"), ["0"]);
}

#[test]
fn a_row_of_nobody_is_told_of() {
    for (row, told) in [
        (
            "deals VALUES (NULL, 'a100', 'lab', 'training', 5)",
            "accepted (a100, lab, training, 5): \"provider\" is null",
        ),
        (
            "deals VALUES ('uni', 'a100', 'lab', NULL, 5, now() + INTERVAL '5 minutes')",
            "held (uni, a100, lab, 5, ",
        ),
        ("floors VALUES (NULL, 'a100', 'lab', 5)", "floors (a100, lab, 5): \"owner\" is null"),
    ] {
        let mut db = teams("");
        db.ok(&format!("INSERT INTO {row}"));
        run(&mut db, 1);
        assert!(problems(&db).len() == 1 && problems(&db)[0].contains(told), "{row}: {:?}", problems(&db));
        db.ok("DELETE FROM deals; DELETE FROM floors");
        run(&mut db, 1);
        assert_eq!(problems(&db), [""; 0]);
    }
}

#[test]
fn who_recognises_too_many_is_told_so() {
    let mut db = teams("");
    db.hold = true;
    for thousand in 0..12 {
        let rows: Vec<String> =
            (0..1_000).map(|n| format!("('uni', 'x{}', 1)", thousand * 1_000 + n)).collect();
        db.ok(&format!("INSERT INTO trust VALUES {}", rows.join(", ")));
    }
    db.hold = false;
    db.finish();
    run(&mut db, 1);
    assert_eq!(problems(&db), ["participant uni recognises 12002: at most 10000 are allowed"]);
}

#[test]
fn a_name_is_any_that_its_queries_have_room_beside() {
    for name in ["Größe", "it's", "a \"b\"", "a.need", "x y", &"n".repeat(51)] {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let mut db = Db::with(&format!("{TEAMS} {}", ALLOCATION.replace("gpu", &quoted)));
        db.ok("INSERT INTO trust VALUES ('uni', 'lab', 3)");
        db.ok("INSERT INTO offers VALUES ('uni', 'a100', 100, 'gpu')");
        db.ok("INSERT INTO wishes VALUES ('lab', 'training', 60, 'gpu')");
        run(&mut db, 1);
        let mut db = db.restart();
        db.pass(1);
        assert_eq!(db.rows(&format!("SELECT quantity FROM {quoted}")), ["60"], "{name}");
        db.ok(&format!("DROP ALLOCATION {quoted}"));
    }
    let long = "n".repeat(52);
    let (code, message) = Db::with(TEAMS).error(&ALLOCATION.replace("gpu", &long));
    assert!(code == "42622" && message.contains("51"), "{code} {message}");
}

#[test]
fn a_query_that_was_refused_is_asked_again_by_itself() {
    let mut db = teams("");
    let rows: Vec<String> = (0..1_000).map(|n| format!("('x', 'x{n}', 1)")).collect();
    let little = MemoryLimits { view: 10_000, ..MemoryLimits::default() };
    db.engine.set_memory(little);
    db.ok(&format!("INSERT INTO trust VALUES {}", rows.join(", ")));
    run(&mut db, 5);
    assert!(problems(&db)[0].starts_with("recognition: "), "{:?}", problems(&db));
    assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["100"]);
    db.engine.set_memory(MemoryLimits::default());
    run(&mut db, 5);
    assert_eq!(problems(&db), [""; 0]);
    db.ok("UPDATE offers SET hours = 30");
    run(&mut db, 5);
    assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["30"]);
}

#[test]
fn what_waits_for_other_work_asks_for_no_waking() {
    let mut db = teams("");
    let rows: Vec<String> = (0..30_000).map(|n| format!("({n})")).collect();
    db.ok("CREATE TABLE many (id integer PRIMARY KEY)");
    for rows in rows.chunks(10_000) {
        db.ok(&format!("INSERT INTO many VALUES {}", rows.join(", ")));
    }
    db.hold = true;
    db.subscribe(1, "SELECT id % 7 AS rest, count(*) FROM many GROUP BY id % 7");
    assert_eq!(db.held.len(), 1);
    db.ok("UPDATE offers SET hours = 30");
    run(&mut db, 5);
    db.hold = false;
    db.finish();
    run(&mut db, 5);
    assert_eq!(db.rows("SELECT sum(quantity) FROM gpu"), ["30"]);
}

#[test]
fn a_slot_that_cannot_be_is_left_out_alone() {
    let mut db = Db::with(
        "CREATE TABLE has (slot integer PRIMARY KEY, quantity integer, lot integer, starts timestamptz, ends timestamptz,
            latitude integer, longitude integer, radius integer, least_mutual numeric, required text[]);
        CREATE ALLOCATION a
            CAPACITY (SELECT 1 AS owner, slot, quantity, 'x' AS kind, lot, starts, ends, latitude, longitude, radius, least_mutual, required FROM has)
            NEED (SELECT 2 AS owner, 1 AS slot, 50 AS quantity, 'x' AS kind)
            RECOGNITION (SELECT 1 AS \"from\", 2 AS \"to\", 1 AS weight)",
    );
    db.ok("INSERT INTO has (slot, quantity) VALUES (1, 10)");
    for (columns, values, problem) in [
        ("lot", "0", "participant 1's capacity slot 2 has a lot of nothing: leave it out for no restriction"),
        (
            "starts, ends",
            "now(), now()",
            "participant 1's capacity slot 2 has a window that ends before it begins",
        ),
        (
            "latitude, longitude",
            "91, 0",
            "participant 1's capacity slot 2 is not on the Earth: 90 degrees of latitude, 180 of longitude",
        ),
        (
            "latitude, longitude, radius",
            "9, 0, 20000001",
            "participant 1's capacity slot 2 has a radius of 20000001 m: at most 20000000 is allowed",
        ),
        (
            "least_mutual",
            "1.5",
            "a filter of participant 1's capacity slot 2 asks for a share of 1.5: at most 1 is allowed",
        ),
        (
            "required",
            "'{a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q}'",
            "participant 1's capacity slot 2 has 17 filters: at most 16 are allowed",
        ),
    ] {
        db.ok(&format!("INSERT INTO has (slot, quantity, {columns}) VALUES (2, 10, {values})"));
        run(&mut db, 1);
        assert_eq!(
            (problems(&db), db.rows("SELECT capacity, quantity FROM a")),
            (vec![problem.to_owned()], vec!["1|10".to_owned()])
        );
        db.ok("DELETE FROM has WHERE slot = 2");
        run(&mut db, 1);
    }
}

#[test]
fn a_market_beyond_its_limits_gives_nothing_and_keeps_nobody_waiting() {
    let mut db = Db::with(
        "CREATE TABLE slots (owner integer, slot integer, PRIMARY KEY (owner, slot));
        CREATE ALLOCATION a
            CAPACITY (SELECT owner, slot, 1 AS quantity, 'x' AS kind FROM slots WHERE owner = 1)
            NEED (SELECT owner, slot, 1 AS quantity, 'x' AS kind FROM slots WHERE owner > 1)
            RECOGNITION (SELECT 1 AS \"from\", owner AS \"to\", 1 AS weight FROM slots)",
    );
    for owner in 1..=3 {
        let rows: Vec<String> = (1..=1_000).map(|slot| format!("({owner}, {slot})")).collect();
        db.ok(&format!("INSERT INTO slots VALUES {}", rows.join(", ")));
    }
    run(&mut db, 1);
    assert!(problems(&db)[0].contains("at most 1048576 are allowed"), "{:?}", problems(&db));
    assert_eq!(db.rows("SELECT count(*) FROM a"), ["0"]);
    // What changes now is worked out from nothing: beside the commits.
    db.hold = true;
    db.ok("DELETE FROM slots WHERE slot > 5 AND owner > 1");
    run(&mut db, 1);
    assert_eq!(db.held.len(), 1);
    db.hold = false;
    db.finish();
    run(&mut db, 1);
    assert_eq!((problems(&db), db.rows("SELECT sum(quantity) FROM a")), (vec![], vec!["10".to_owned()]));
}

#[test]
fn what_is_known_of_it_stays_known_while_it_is_worked_out_elsewhere() {
    let mut db = teams("SHADOW damped_v2");
    db.ok("INSERT INTO wishes VALUES ('lab', 'wrong', -1, 'gpu')");
    run(&mut db, 1);
    let before = db.engine.allocation_status();
    assert!(before[0].edges == 2 && before[0].problems.len() == 1, "{before:?}");
    db.hold = true;
    db.ok("UPDATE offers SET hours = 30");
    run(&mut db, 1);
    let meanwhile = db.engine.allocation_status();
    assert_eq!(db.held.len(), 1);
    assert_eq!((meanwhile[0].edges, &meanwhile[0].problems), (before[0].edges, &before[0].problems));
    assert!(before[0].is_certified && meanwhile[0].is_certified, "what was found of it last");
}

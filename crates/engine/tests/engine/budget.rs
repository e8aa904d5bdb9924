//! Budgets in the engine: declared by SQL, spent from outside and within transactions, limited by queries, shown as a table.

use deltaic_engine::{ConsumeError, Input};
use deltaic_quota::{Fault, Permit, Reason};
use serde_json::{Value as Json, json};

use proptest::prelude::*;

use crate::common::{Db, one, text};

const TOKENS: &str = "CREATE BUDGET tokens (KEY tenant text, LIMIT 10)";

/// The answer to the only question since the last: what it says is available, or the error.
#[track_caller]
fn asked(db: &mut Db) -> Result<u64, String> {
    assert_eq!(db.asked.len(), 1, "{:?}", db.asked);
    match db.asked.remove(0).result {
        Ok(admitted) => Ok(admitted.states.iter().map(|state| state.state.available.0).min().unwrap()),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
fn consume(db: &mut Db, budget: &str, key: &str, units: i64) -> Result<u64, String> {
    db.consume(budget, &[json!(key)], units);
    asked(db)
}

/// Spends as long as it is admitted.
fn spend_all(db: &mut Db, budget: &str, key: &[Json]) -> u64 {
    let mut spent = 0;
    loop {
        db.consume(budget, key, 1);
        match db.asked.remove(0).result {
            Ok(_) => spent += 1,
            Err(ConsumeError::Denied { denied, .. }) if denied.reason == Reason::Exhausted => return spent,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_budget_admits_its_limit_and_no_more() {
    let mut db = Db::with(TOKENS);
    assert_eq!(consume(&mut db, "tokens", "acme", 4), Ok(6));
    assert_eq!(consume(&mut db, "tokens", "acme", 6), Ok(0));
    let refused = consume(&mut db, "tokens", "acme", 1).unwrap_err();
    assert_eq!(
        refused,
        "budget \"tokens\", limit per ever: not admitted, 0 available: the budget is used up; wait for its next window, \
         or raise its limit"
    );
    assert_eq!(consume(&mut db, "tokens", "other", 10), Ok(0), "each key has its own");
    assert_eq!(consume(&mut db, "tokens", "acme", 0), Ok(0), "nothing is always admitted");
}

#[test]
fn refunds_come_back_and_a_restart_remembers() {
    let mut db = Db::with(TOKENS);
    db.consume("tokens", &[json!("acme")], 8);
    let permits = db.asked.remove(0).result.unwrap().permits;
    permits.into_iter().for_each(Permit::refund);
    assert_eq!(consume(&mut db, "tokens", "acme", 3), Ok(7));
    db.step(Input::Settle);
    assert!(db.engine.has_settled());
    let mut db = db.restart();
    assert_eq!(spend_all(&mut db, "tokens", &[json!("acme")]), 7);
    // Without settling: what the lease had unspent is burnt, never given twice.
    let mut db = db.restart();
    assert_eq!(spend_all(&mut db, "tokens", &[json!("acme")]), 0);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let mut db = Db::with(TOKENS);
    db.ok("CREATE BUDGET seats (KEY org int, KEY team uuid, LIMIT 5)");
    for (budget, key, units, message) in [
        ("token", vec![json!("a")], 1, "budget \"token\" does not exist: CREATE BUDGET makes one"),
        ("tokens", vec![], 1, "the key of budget \"tokens\" has 1 columns, and 0 values were given"),
        (
            "tokens",
            vec![json!("a")],
            -1,
            "-1 cannot be consumed: amounts are not negative; a refund gives back",
        ),
        (
            "tokens",
            vec![json!(null)],
            1,
            "column \"tenant\" of the key of budget \"tokens\" is NULL: a budget is somebody's",
        ),
        (
            "tokens",
            vec![json!("x".repeat(2_000))],
            1,
            "the key is too long: it may have about a thousand bytes",
        ),
        (
            "seats",
            vec![json!("x"), json!("y")],
            1,
            "column \"org\" of the key of budget \"seats\" is no integer",
        ),
    ] {
        db.consume(budget, &key, units);
        let error = asked(&mut db).unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
    db.consume("seats", &[json!("7"), json!("00000000-0000-0000-0000-000000000001")], i64::MAX);
    let error = asked(&mut db).unwrap_err();
    assert!(error.contains("not admitted, 5 available"), "{error}");
}

#[test]
fn definitions_that_cannot_be_are_refused() {
    let mut db = Db::with("CREATE TABLE plan (tenant text PRIMARY KEY, tokens bigint, name text)");
    db.ok(TOKENS);
    db.ok("CREATE BUDGET IF NOT EXISTS tokens (KEY a text, LIMIT 1)");
    for (sql, code) in [
        (TOKENS, "42710"),
        ("CREATE BUDGET b (LIMIT 1)", "42601"),
        ("CREATE BUDGET b (KEY a text)", "42601"),
        ("CREATE BUDGET b (KEY a text, LIMIT -1)", "42601"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1, KEY c text)", "42601"),
        ("CREATE BUDGET b (KEY a text, KEY a int, LIMIT 1)", "42701"),
        ("CREATE BUDGET b (KEY a jsonb, LIMIT 1)", "0A000"),
        ("CREATE BUDGET b (KEY a text, LIMIT 99999999999999999999)", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER 'a day')", "22007"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '2 months')", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '0 days')", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 microsecond')", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 day', LIMIT 2 PER '24 hours')", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1) GUARANTEE SOON", "42601"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1) GUARANTEE STANDING", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 day' SLIDING) GUARANTEE STANDING", "42P16"),
        (
            "CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 day') GUARANTEE STANDING ON LEDGER FAILURE OPEN",
            "42P16",
        ),
        ("CREATE BUDGET b (KEY a text, LIMIT (SELECT 1) PER '1 day') GUARANTEE STANDING", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 day' BUCKET 0)", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 0 PER '1 day' BUCKET 5)", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 second' BUCKET 9223372036854775807)", "42P16"),
        ("SELECT consume('tokens', 'a', 1) FILTER (WHERE false)", "42P16"),
        ("SELECT consume(DISTINCT 'tokens', 'a', 1)", "42P16"),
        ("SELECT consume('tokens', 'a', 1) OVER ()", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1 PER '1 day' BUCKET 5) GUARANTEE VOLATILE", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT (SELECT 1) PER '1 day' BUCKET 5)", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1) ON LEDGER FAILURE PANIC", "42601"),
        ("CREATE BUDGET b (KEY a text, LIMIT 1) WITH EVENT", "42601"),
        ("CREATE BUDGET b (KEY a text, LIMIT (SELECT name FROM plan WHERE tenant = a))", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT (SELECT tokens, 1 FROM plan))", "42P16"),
        ("CREATE BUDGET b (KEY a text, LIMIT (SELECT tokens FROM plans))", "42P01"),
        ("DROP BUDGET nothing", "42704"),
        ("INSERT INTO deltaic.budgets (budget) VALUES ('x')", "0A000"),
        ("DROP TABLE deltaic.budgets", "0A000"),
        ("CREATE TABLE \"deltaic.budgets\" (a int)", "42P07"),
        ("SELECT 1 WHERE consume('tokens', 'a', 1) > 0", "0A000"),
        ("SELECT consume('token', 'a', 1)", "42704"),
        ("SELECT consume('tokens', 1)", "42P16"),
        ("SELECT consume(tokens, 'a', 1)", "42P16"),
        ("SELECT consume('tokens', 'a', 'b')", "22P02"),
        ("SELECT consume('tokens', NULL, 1)", "22004"),
        ("SELECT consume('tokens', 'a', NULL)", "22004"),
        ("SELECT consume('tokens', 'a', -1)", "22003"),
    ] {
        assert_eq!(db.code(sql), code, "{sql}");
    }
    db.ok("DROP BUDGET IF EXISTS nothing, tokens");
    assert!(consume(&mut db, "tokens", "a", 1).unwrap_err().contains("does not exist"));
}

#[test]
fn a_transaction_consumes_with_its_commit_or_not_at_all() {
    let mut db = Db::with(TOKENS);
    db.ok("CREATE TABLE job (id int PRIMARY KEY, tenant text)");
    let insert = |id: i32, units: i32| {
        format!(
            "INSERT INTO job VALUES ({id}, 'acme'); SELECT consume('tokens', 'acme', {units}) AS available"
        )
    };
    assert_eq!(db.rows(&insert(1, 4)), ["6"]);
    assert_eq!(db.code(&insert(2, 7)), "53400");
    assert_eq!(db.rows("SELECT id FROM job"), ["1"], "nothing of it was done");
    // What fails after it consumed gives it back.
    assert_eq!(db.code(&format!("{}; INSERT INTO job VALUES (1, 'again')", insert(3, 6))), "23505");
    assert_eq!(db.rows("BEGIN; SELECT consume('tokens', 'acme', 6); ROLLBACK"), ["0"]);
    // So does a commit that the store refuses.
    let refused = db.batch_refused(&[&insert(4, 6)]);
    assert!(refused[0].is_err());
    assert_eq!(db.rows(&insert(5, 6)), ["0"]);
    assert_eq!(db.code("SELECT consume('tokens', 'acme', 1)"), "53400");
}

#[test]
fn each_row_consumes() {
    let mut db = Db::with("CREATE TABLE job (id int PRIMARY KEY, tenant text, cost bigint)");
    db.ok(TOKENS);
    db.ok("INSERT INTO job VALUES (1, 'acme', 3), (2, 'other', 4), (3, 'acme', 5)");
    let sql = "SELECT id, consume('tokens', tenant, cost) AS rest, cost FROM job ORDER BY id";
    assert_eq!(db.rows(sql), ["1|7|3", "2|6|4", "3|2|5"]);
    assert_eq!(db.code(sql), "53400", "the third row is not admitted, and so none is");
    assert_eq!(db.rows("SELECT consume('tokens', 'acme', 2)"), ["0"]);
    let outcome = db.run("SELECT consume('tokens', $1, $2)", &[json!("other"), json!(6)]).unwrap();
    assert_eq!(text(&outcome.rows[0]), "0");
}

#[test]
fn stacked_limits_admit_together_or_not_at_all() {
    let mut db = Db::with(
        "CREATE BUDGET calls (KEY who text, LIMIT 3 PER '1 minute', LIMIT 5 PER '1 day' SLIDING, LIMIT 100)",
    );
    let day = 86_400_000_000;
    db.now = (db.now / day + 1) * day;
    let key = [json!("ann")];
    assert_eq!(spend_all(&mut db, "calls", &key), 3);
    db.pass(60);
    assert_eq!(spend_all(&mut db, "calls", &key), 2, "the day refuses before the minute does");
    db.consume("calls", &key, 1);
    let error = asked(&mut db).unwrap_err();
    assert!(error.contains("limit per 1 day sliding"), "{error}");
    db.pass(60);
    db.look("calls", &key);
    let states = db.looked.remove(0).result.unwrap();
    let numbers: Vec<(u64, u64)> =
        states.iter().map(|state| (state.state.available.0, state.state.limit.0)).collect();
    assert_eq!(numbers[1..], [(0, 5), (95, 100)], "refusals of the second gave back what the first admitted");
}

#[test]
fn a_limit_follows_its_query() {
    let mut db = Db::with("CREATE TABLE plan (name text PRIMARY KEY, tokens bigint)");
    db.ok("CREATE TABLE customer (tenant text PRIMARY KEY, plan text REFERENCES plan (name))");
    db.ok("INSERT INTO plan VALUES ('free', 3), ('pro', 10)");
    db.ok("INSERT INTO customer VALUES ('acme', 'free'), ('none', NULL)");
    db.ok(
        "CREATE BUDGET tokens (KEY tenant text, LIMIT (SELECT p.tokens FROM customer c JOIN plan p ON p.name = c.plan \
         WHERE c.tenant = tenant) PER '1 month')",
    );
    assert_eq!(spend_all(&mut db, "tokens", &[json!("acme")]), 3);
    db.ok("UPDATE customer SET plan = 'pro' WHERE tenant = 'acme'");
    assert_eq!(spend_all(&mut db, "tokens", &[json!("acme")]), 7);
    db.ok("UPDATE plan SET tokens = 12 WHERE name = 'pro'");
    assert_eq!(spend_all(&mut db, "tokens", &[json!("acme")]), 2);
    db.ok("UPDATE plan SET tokens = 1 WHERE name = 'pro'");
    assert_eq!(spend_all(&mut db, "tokens", &[json!("acme")]), 0);
    for nobody in ["none", "unknown"] {
        let error = consume(&mut db, "tokens", nobody, 1).unwrap_err();
        assert!(error.ends_with("its query gives none"), "{error}");
    }
    db.ok("INSERT INTO customer VALUES ('unknown', 'free')");
    assert_eq!(spend_all(&mut db, "tokens", &[json!("unknown")]), 3, "who has none may get one");
    assert_eq!(db.code("DROP TABLE customer"), "2BP01");
    db.ok("DROP BUDGET tokens");
    db.ok("DROP TABLE customer");
    assert!(db.engine.status().views.is_empty(), "nobody watches a limit any more");
}

#[test]
fn the_live_table_shows_each_flush_once() {
    let mut db = Db::with(TOKENS);
    let sql = "SELECT key, \"limit\", used, available, denied FROM deltaic.budgets WHERE budget = 'tokens'";
    assert_eq!(one(&db.subscribe(1, sql)), "[]");
    for _ in 0..3 {
        consume(&mut db, "tokens", "acme", 2).unwrap();
    }
    db.pass(1);
    db.pass(1);
    db.pass(1);
    let mut rows = std::collections::BTreeSet::new();
    let news = db.news();
    for change in &news {
        for row in change["1: ".len()..].split(' ') {
            let (sign, row) = row.split_at(1);
            assert!(if sign == "+" { rows.insert(row.to_owned()) } else { rows.remove(row) }, "{news:?}");
        }
    }
    assert_eq!(rows.into_iter().collect::<Vec<_>>(), ["acme|10|6|4|0"]);
    assert!(news.len() <= 4, "{news:?}");
    // The same, asked once.
    assert_eq!(db.rows(sql), ["acme|10|6|4|0"]);
    db.ok("DROP BUDGET tokens");
    db.pass(1);
    assert_eq!(db.rows(sql), [""; 0]);
}

#[test]
fn a_window_ends_and_its_row_with_it() {
    let mut db = Db::with("CREATE BUDGET calls (KEY who text, LIMIT 3 PER '1 minute')");
    assert_eq!(spend_all(&mut db, "calls", &[json!("ann")]), 3);
    db.pass(2);
    db.pass(1);
    let sql = "SELECT key, used FROM deltaic.budgets";
    assert_eq!(db.rows(sql), ["ann|3"]);
    db.pass(60);
    db.pass(1);
    db.pass(1);
    assert_eq!(db.rows(sql), [""; 0]);
    assert_eq!(spend_all(&mut db, "calls", &[json!("ann")]), 3);
}

#[test]
fn looking_spends_nothing_and_knows_what_the_ledger_knows() {
    let mut db = Db::with(TOKENS);
    let look = |db: &mut Db| {
        db.look("tokens", &[json!("acme")]);
        let states = db.looked.remove(0).result.unwrap();
        (states[0].state.available.0, states[0].state.used.0)
    };
    assert_eq!(look(&mut db), (10, 0));
    consume(&mut db, "tokens", "acme", 4).unwrap();
    db.step(Input::Settle);
    let mut db = db.restart();
    assert_eq!(look(&mut db), (6, 4));
}

/// What the windows before this one hold of a sliding limit counts for a key that is not in memory, too.
#[test]
fn looking_counts_the_windows_before_in_a_sliding_limit() {
    let mut db = Db::with("CREATE BUDGET calls (KEY who text, LIMIT 10 PER '16 minutes' SLIDING)");
    consume(&mut db, "calls", "ann", 4).unwrap();
    db.pass(120);
    consume(&mut db, "calls", "ann", 3).unwrap();
    db.step(Input::Settle);
    let mut db = db.restart();
    let look = |db: &mut Db| {
        db.look("calls", &[json!("ann")]);
        let states = db.looked.remove(0).result.unwrap();
        (states[0].state.available.0, states[0].state.used.0)
    };
    assert_eq!(look(&mut db), (3, 3));
    assert_eq!(db.rows("SELECT key, used, available FROM deltaic.budgets"), ["ann|3|3"]);
    db.pass(15 * 60);
    assert_eq!(look(&mut db), (7, 0));
    assert_eq!(db.rows("SELECT key FROM deltaic.budgets"), [""; 0]);
    assert_eq!(consume(&mut db, "calls", "ann", 7), Ok(0));
}

/// Right after a start the table has what the ledger has, in parts; what the node knows itself is shown as it knows it, and a row
/// goes with its window.
#[test]
fn the_ledger_s_keys_are_shown_after_a_start() {
    let mut db = Db::with(
        "CREATE BUDGET tokens (KEY tenant text, LIMIT 10);
         CREATE BUDGET calls (KEY who text, KEY n int, LIMIT 3 PER '1 hour', LIMIT 9);
         CREATE BUDGET drip (KEY who text, LIMIT 5 PER '1 hour' BUCKET 5);
         CREATE BUDGET gone (KEY who text, LIMIT 5)",
    );
    for tenant in 0..1_200 {
        consume(&mut db, "tokens", &format!("t{tenant:04}"), 1 + tenant % 9).unwrap();
    }
    db.consume("calls", &[json!("ann"), json!(7)], 2);
    asked(&mut db).unwrap();
    consume(&mut db, "drip", "ann", 2).unwrap();
    consume(&mut db, "gone", "ann", 2).unwrap();
    db.ok("DROP BUDGET gone");
    db.step(Input::Settle);
    assert!(db.engine.has_settled());
    let tokens = "SELECT count(*), sum(used), sum(available) FROM deltaic.budgets WHERE budget = 'tokens'";
    let calls = "SELECT budget, key, per, used, reserved, available FROM deltaic.budgets WHERE budget <> 'tokens' \
                 ORDER BY per";
    let sum: i64 = (0..1_200).map(|tenant| 1 + tenant % 9).sum();

    let mut db = db.restart();
    db.hold_calls = true;
    db.pass(1);
    assert_eq!(db.rows(tokens), ["0|NULL|NULL"], "nothing is known yet");
    db.call();
    // One is used before the list says what the ledger had of it.
    db.consume("tokens", &[json!("t0000")], 5);
    db.hold_calls = false;
    db.pass(1);
    asked(&mut db).unwrap();
    db.pass(1);
    db.pass(1);
    assert_eq!(db.rows(tokens), [format!("1200|{}|{}", sum + 5, 12_000 - sum - 5)]);
    let text = r#"["ann","7"]"#;
    assert_eq!(db.rows(calls), [format!("calls|{text}|1 hour|2|0|1"), format!("calls|{text}|ever|2|0|7")]);
    db.pass(3_600);
    db.pass(1);
    db.pass(1);
    assert_eq!(db.rows(calls), [format!("calls|{text}|ever|2|0|7")], "a window has ended");
    assert_eq!(spend_all(&mut db, "calls", &[json!("ann"), json!(7)]), 3);
}

/// A ledger that does not answer when its keys are asked for is asked again.
#[test]
fn a_list_that_failed_is_asked_for_again() {
    let mut db = Db::with(TOKENS);
    consume(&mut db, "tokens", "acme", 4).unwrap();
    db.step(Input::Settle);
    let mut db = db.restart();
    db.hold_calls = true;
    db.pass(1);
    db.call();
    while !db.calls.is_empty() {
        db.call_lost();
    }
    db.hold_calls = false;
    db.pass(1);
    let sql = "SELECT key, used FROM deltaic.budgets";
    assert_eq!(db.rows(sql), [""; 0]);
    db.pass(5);
    db.pass(1);
    assert_eq!(db.rows(sql), ["acme|4"]);
}

#[test]
fn a_ledger_that_is_away_is_met_as_the_budget_says() {
    let mut db = Db::with(TOKENS);
    db.ok("CREATE BUDGET strict (KEY a text, LIMIT 10) ON LEDGER FAILURE DENY");
    db.ok("CREATE BUDGET open (KEY a text, LIMIT 10) ON LEDGER FAILURE OPEN");
    for budget in ["tokens", "strict", "open"] {
        consume(&mut db, budget, "a", 1).unwrap();
    }
    db.hold_calls = true;
    db.consume("tokens", &[json!("b")], 1);
    assert!(db.asked.is_empty(), "it waits for its lease");
    db.call_lost();
    assert!(asked(&mut db).unwrap_err().contains("the ledger of budgets does not answer"));
    assert!(consume(&mut db, "strict", "a", 1).unwrap_err().contains("does not answer"));
    assert!(consume(&mut db, "open", "a", 20).is_ok(), "admitted without cover, and said so");
    assert_eq!(db.engine.budget_metrics().wrong_at_most.over.0, 20);
    assert!(!db.trouble.is_empty());
    // It comes back: the same bytes again, and everything goes on.
    db.hold_calls = false;
    db.pass(1);
    db.pass(1);
    assert!(consume(&mut db, "strict", "a", 1).is_ok());
    assert!(consume(&mut db, "tokens", "b", 1).is_ok());
}

#[test]
fn a_ledger_that_forgets_is_found_out() {
    let mut db = Db::with(TOKENS);
    consume(&mut db, "tokens", "a", 1).unwrap();
    db.ledger.plan(Fault::LoseWrite);
    consume(&mut db, "tokens", "b", 5).unwrap();
    let mut last = String::new();
    for _ in 0..4 {
        db.consume("tokens", &[json!("c")], 1);
        last = asked(&mut db).map_or_else(|error| error, |_| String::new());
    }
    assert!(last.contains("has lost a write"), "{last}: {:?}", db.trouble);
}

#[test]
fn a_node_that_was_declared_dead_begins_again() {
    use deltaic_quota::Ledger as _;
    let mut db = Db::with(TOKENS);
    consume(&mut db, "tokens", "a", 4).unwrap();
    let node = db.engine.node();
    db.ledger.open(node).unwrap();
    // What it admits meanwhile is covered by what was burnt.
    let meanwhile = spend_all_or_any(&mut db);
    db.pass(1);
    let after = spend_all(&mut db, "tokens", &[json!("a")]);
    assert!(4 + meanwhile + after <= 10, "4 + {meanwhile} + {after}");
}

fn spend_all_or_any(db: &mut Db) -> u64 {
    let mut spent = 0;
    for _ in 0..10 {
        db.consume("tokens", &[json!("a")], 1);
        spent += u64::from(db.asked.remove(0).result.is_ok());
    }
    spent
}

#[test]
fn a_bucket_fills_with_time_and_says_when() {
    let mut db = Db::with("CREATE BUDGET calls (KEY who text, LIMIT 60 PER '1 minute' BUCKET 5)");
    let key = [json!("ann")];
    let first = spend_all(&mut db, "calls", &key);
    assert!((4..=5).contains(&first), "{first}");
    db.consume("calls", &key, 3);
    let Err(ConsumeError::Denied { denied, .. }) = db.asked.remove(0).result else {
        panic!("it was admitted")
    };
    let retry = denied.retry_after.expect("it says when").0 as i64 * 1_000;
    assert!((db.now..db.now + 4_000_000).contains(&retry), "{} {retry}", db.now);
    db.now = retry;
    assert_eq!(consume(&mut db, "calls", "ann", 3).map(|_| ()), Ok(()));
    // Never more than the burst, however long nobody came; and a restart does not fill it.
    db.pass(3_600);
    assert_eq!(spend_all(&mut db, "calls", &key), 5);
    let mut db = db.restart();
    assert!(spend_all(&mut db, "calls", &key) <= 1);
}

#[test]
fn a_standing_share_costs_one_row() {
    let mut db = Db::with("CREATE BUDGET calls (KEY who int, LIMIT 3 PER '1 minute') GUARANTEE STANDING");
    db.pass(60);
    db.pass(60);
    let rows = db.ledger.inner.rows();
    for who in 0..50 {
        assert_eq!(spend_all(&mut db, "calls", &[json!(who)]), 3, "{who}");
    }
    db.pass(60);
    assert_eq!(spend_all(&mut db, "calls", &[json!(7)]), 3);
    assert_eq!(db.ledger.inner.rows(), rows, "no key has a row");
    db.pass(1);
    let shown = "SELECT \"limit\", used, available FROM deltaic.budgets WHERE key = '7'";
    assert_eq!(db.rows(shown), ["3|3|0"], "what this server has spent of its share");
    // Who crashes waits for the next window.
    let mut db = db.restart();
    db.consume("calls", &[json!(7)], 1);
    assert!(db.asked.remove(0).result.is_err());
    db.pass(60);
    db.pass(60);
    assert_eq!(spend_all(&mut db, "calls", &[json!(7)]), 3);
}

#[test]
fn volatile_and_group_commit_keep_the_limit_too() {
    for guarantee in ["VOLATILE", "GROUP COMMIT"] {
        let mut db = Db::with(&format!("CREATE BUDGET b (KEY k text, LIMIT 7) GUARANTEE {guarantee}"));
        assert_eq!(spend_all(&mut db, "b", &[json!("k")]), 7, "{guarantee}");
        db.step(Input::Settle);
        let mut db = db.restart();
        assert_eq!(spend_all(&mut db, "b", &[json!("k")]), 0, "{guarantee}");
    }
}

#[test]
fn gauges_change_while_a_query_of_them_is_computed_beside() {
    let mut db = Db::with(TOKENS);
    db.ok("CREATE TABLE t (id int PRIMARY KEY)");
    db.ok("INSERT INTO t VALUES (1), (2)");
    consume(&mut db, "tokens", "a", 1).unwrap();
    db.pass(2);
    db.engine.set_slice(deltaic_engine::Slice::NONE);
    db.hold = true;
    let sql = "SELECT key, used, id FROM deltaic.budgets CROSS JOIN t";
    assert!(db.subscribe(1, sql).is_empty(), "it is computed beside");
    for units in [2, 3] {
        consume(&mut db, "tokens", "a", units).unwrap();
        db.pass(2);
        db.pass(2);
    }
    db.hold = false;
    db.finish();
    for _ in 0..3 {
        db.pass(1);
    }
    consume(&mut db, "tokens", "a", 1).unwrap();
    for _ in 0..3 {
        db.pass(1);
    }
    let mut rows = std::collections::BTreeMap::new();
    for (_, got) in db.read() {
        match got {
            crate::common::Got::Snapshot(snapshot) => {
                rows = snapshot.rows.iter().map(|row| (text(row), 1)).collect();
            }
            crate::common::Got::Change(change) => {
                for (row, weight) in &change.changes {
                    *rows.entry(text(row)).or_insert(0) += weight;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    rows.retain(|_, weight| *weight != 0);
    let rows: Vec<String> = rows.into_keys().collect();
    assert_eq!(rows, ["a|7|1", "a|7|2"]);
}

#[test]
fn what_a_request_consumes_may_change_while_it_waits() {
    let mut db = Db::with("CREATE BUDGET b (KEY k text, LIMIT 10)");
    db.ok("CREATE TABLE t (id int PRIMARY KEY)");
    db.ok("INSERT INTO t VALUES (1), (2), (3), (4), (5), (6)");
    db.hold_calls = true;
    let request = db.ask("SELECT consume('b', 'k', count(*)) FROM t");
    assert!(db.reply(request).is_none(), "it waits for its lease");
    db.ok("INSERT INTO t VALUES (7)");
    db.hold_calls = false;
    while db.call() {}
    // The six that it had asked for do not stand in the way of the seven that it asks for now.
    let outcome = db.reply(request).unwrap().unwrap();
    assert_eq!(text(&outcome.rows[0]), "3");
    // As of one time, however often it runs.
    assert_eq!(db.rows("SELECT consume('b', now()::text, 1)"), ["9"]);
    assert_eq!(spend_all(&mut db, "b", &[json!("k")]), 3);
}

#[test]
fn many_rows_consume_in_one_go() {
    let mut db = Db::with("CREATE TABLE t (id int PRIMARY KEY)");
    db.ok("CREATE BUDGET b (KEY k text, LIMIT 3000)");
    let rows: Vec<String> = (0..2_000).map(|id| format!("({id})")).collect();
    db.ok(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    let batches = db.engine.budget_metrics().batches;
    assert_eq!(db.ok("SELECT consume('b', 'k', 1) FROM t").rows.len(), 2_000);
    assert_eq!(db.ok("SELECT consume('b', id::text, 1) FROM t").rows.len(), 2_000);
    assert!(db.engine.budget_metrics().batches - batches < 20);
    assert_eq!(db.code("SELECT consume('b', 'k', 1) FROM t"), "53400");
    assert_eq!(spend_all(&mut db, "b", &[json!("k")]), 1_000, "none of those that were refused together");
    let sql = "SELECT consume('b', 'k', 0) FROM t AS a CROSS JOIN (SELECT id FROM t LIMIT 6) AS c";
    assert_eq!(db.code(sql), "54000");
}

#[test]
fn a_limit_comes_back_when_the_error_of_its_query_goes() {
    let mut db = Db::with("CREATE TABLE plan (k text PRIMARY KEY, n bigint, d bigint)");
    db.ok("INSERT INTO plan VALUES ('a', 100, 1)");
    db.ok("CREATE BUDGET b (KEY k text, LIMIT (SELECT n / d FROM plan WHERE plan.k = k))");
    assert_eq!(consume(&mut db, "b", "a", 1), Ok(99));
    db.ok("UPDATE plan SET d = 0");
    assert!(consume(&mut db, "b", "a", 1).unwrap_err().contains("division by zero"));
    db.ok("UPDATE plan SET d = 1");
    assert_eq!(consume(&mut db, "b", "a", 1), Ok(98));
    // Those that ask for nobody leave nothing behind, and a look waits for the limit.
    for nobody in 0..20 {
        assert!(consume(&mut db, "b", &format!("x{nobody}"), 1).is_err());
    }
    db.ok("INSERT INTO plan VALUES ('c', 7, 1)");
    db.look("b", &[json!("c")]);
    let states = db.looked.remove(0).result.unwrap();
    assert_eq!((states[0].state.limit.0, states[0].state.available.0), (7, 7));
    assert_eq!(db.engine.status().views.len(), 1);
}

#[test]
fn a_bucket_says_what_it_has() {
    let mut db = Db::with("CREATE BUDGET b (KEY k text, LIMIT 60 PER '1 hour' BUCKET 100)");
    let look = |db: &mut Db| {
        db.look("b", &[json!("k")]);
        let state = db.looked.remove(0).result.unwrap()[0].state;
        (state.limit.0, state.available.0)
    };
    assert_eq!(look(&mut db), (100, 100));
    db.consume("b", &[json!("k")], 90);
    let permits = db.asked.remove(0).result.unwrap().permits;
    assert_eq!(look(&mut db), (100, 10));
    permits.into_iter().for_each(Permit::refund);
    assert!((98..=100).contains(&look(&mut db).1));
    assert_eq!(consume(&mut db, "b", "k", 98).map(|left| left <= 2), Ok(true));
    db.step(Input::Settle);
    let mut db = db.restart();
    assert!(look(&mut db).1 <= 2);
}

/// What happens to an engine with a budget.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody spends, and gives it back later or never.
    Consume(i64),
    Refund,
    /// A transaction that spends as much as the row that it inserts says.
    Transaction(i64),
    /// One that breaks a constraint behind that.
    Broken(i64),
    /// One whose append fails, and is not there.
    Unwritten(i64),
    /// The ledger fails so at its next calls.
    Fault(u8),
    Crash,
    Restart,
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_i64..6).prop_map(Step::Consume),
        2 => Just(Step::Refund),
        4 => (0_i64..6).prop_map(Step::Transaction),
        1 => (0_i64..6).prop_map(Step::Broken),
        1 => (0_i64..6).prop_map(Step::Unwritten),
        1 => (0_u8..5).prop_map(Step::Fault),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        2 => (0_i64..4).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever fails, what was admitted is never over the limit; transactions spend with their rows; and without a crash
    /// or a ledger that is away, all of it can be spent in the end.
    #[test]
    fn rows_and_admissions_together_never_exceed_the_limit(
        steps in steps(),
        guarantee in prop_oneof![Just("ESCROW"), Just("GROUP COMMIT")],
    ) {
        const LIMIT: i64 = 40;
        let mut db = Db::with(&format!("CREATE BUDGET b (KEY k text, LIMIT {LIMIT}) GUARANTEE {guarantee}"));
        db.ok("CREATE TABLE spent (id bigint PRIMARY KEY, n bigint)");
        let (mut next, mut admitted, mut is_exact) = (0, 0, true);
        let mut held: Vec<(i64, Vec<Permit<'static>>)> = Vec::new();
        for step in steps {
            let transaction = |next: &mut i64, n: i64| {
                *next += 1;
                format!("INSERT INTO spent VALUES ({next}, {n}); SELECT consume('b', 'k', {n})")
            };
            match step {
                Step::Consume(n) => {
                    db.consume("b", &[json!("k")], n);
                    // A ledger that is away answers when it is back; here it always answers.
                    for asked in db.asked.drain(..) {
                        if let Ok(permitted) = asked.result {
                            admitted += n;
                            held.push((n, permitted.permits));
                        }
                    }
                }
                Step::Refund => {
                    if let Some((n, permits)) = held.pop() {
                        permits.into_iter().for_each(Permit::refund);
                        admitted -= n;
                    }
                }
                Step::Transaction(n) => {
                    let sql = transaction(&mut next, n);
                    let _ = db.run(&sql, &[]);
                }
                Step::Broken(n) => {
                    let sql = format!("{}; INSERT INTO spent VALUES ({next}, 0)", transaction(&mut next, n));
                    prop_assert!(db.run(&sql, &[]).is_err());
                }
                Step::Unwritten(n) => {
                    db.refuse_append = true;
                    let sql = transaction(&mut next, n);
                    prop_assert!(db.run(&sql, &[]).is_err());
                    db.refuse_append = false;
                }
                Step::Fault(which) => {
                    is_exact &= which > 2;
                    db.ledger.plan([
                        Fault::TimeoutBefore, Fault::TimeoutAfter, Fault::Refuse, Fault::Duplicate, Fault::Reorder,
                    ][usize::from(which)]);
                }
                Step::Crash => {
                    is_exact = false;
                    held.clear();
                    db = db.restart();
                }
                Step::Restart => {
                    db.step(Input::Settle);
                    db.pass(1);
                    db.pass(1);
                    prop_assert!(db.engine.has_settled() || !is_exact);
                    held.clear();
                    db = db.restart();
                }
                Step::Pass(seconds) => db.pass(seconds),
            }
            let rows: i64 = db.rows("SELECT coalesce(sum(n), 0) FROM spent")[0].parse().unwrap();
            prop_assert!(admitted + rows <= LIMIT, "{admitted} and {rows} rows");
        }
        db.pass(2);
        db.pass(2);
        let mut rest = 0;
        for _ in 0..=LIMIT {
            db.consume("b", &[json!("k")], 1);
            rest += i64::from(db.asked.drain(..).any(|asked| asked.result.is_ok()));
        }
        let rows: i64 = db.rows("SELECT coalesce(sum(n), 0) FROM spent")[0].parse().unwrap();
        prop_assert!(admitted + rows + rest <= LIMIT, "{admitted}, {rows} rows, {rest}");
        if is_exact {
            prop_assert_eq!(admitted + rows + rest, LIMIT);
        }
    }
}

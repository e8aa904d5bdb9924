//! `/v1/budgets`, `/v1/events`, and budgets over the WebSocket.

use std::collections::BTreeMap;

use std::sync::{Arc, Mutex};

use deltaic_quota::{
    Account, Batch, Event, EventKind, Keys, Ledger, LedgerError, Loaded, MemoryLedger, NodeId, Opened, Reply,
    Silent, Stored, Time, Units, replay,
};
use deltaic_server::{Config, SharedLedger};
use serde_json::{Value as Json, json};

use crate::setting::{Directory, Response, Setting};

const TOKENS: &str = "CREATE BUDGET tokens (KEY tenant text, LIMIT 10) WITH EVENTS";

fn post(setting: &Setting, path: &str, body: &Json) -> Response {
    setting.post(&format!("/v1/budgets/{path}"), body.to_string().as_bytes(), &[])
}

/// Spends and gives the permit.
fn permit(setting: &Setting, call: &str, amount: i64) -> String {
    let (status, body) = post(setting, &format!("tokens/acme/{call}"), &json!({"amount": amount}));
    assert_eq!((status, &body["admitted"]), (200, &json!(true)), "{body}");
    body["permit"].as_str().unwrap().to_owned()
}

fn available(setting: &Setting) -> u64 {
    let (status, body) = setting.get("/v1/budgets/tokens/acme", &[]);
    assert_eq!(status, 200, "{body}");
    body["limits"][0]["available"].as_u64().unwrap()
}

#[test]
fn what_is_admitted_is_spent_and_the_rest_is_refused() {
    let setting = Setting::new(TOKENS);
    let (status, body) = post(&setting, "tokens/acme/consume", &json!({"amount": 7}));
    assert_eq!((status, &body["available"]), (200, &json!(3)));
    let (status, body) = post(&setting, "tokens/acme/consume", &json!({"amount": 4}));
    assert_eq!(status, 429);
    assert_eq!(body["reason"], "exhausted");
    assert_eq!((&body["admitted"], &body["available"]), (&json!(false), &json!(3)));
    // The key as a part of the address: anything that a text may be.
    let (status, body) = post(&setting, "tokens/a%2Fb%20%C3%BC%2C/consume", &json!({}));
    assert_eq!((status, &body["available"]), (200, &json!(9)), "one where nothing is said");
    let (_, body) = setting.get("/v1/budgets/tokens/acme", &[]);
    let limit = &body["limits"][0];
    assert_eq!((&limit["per"], &limit["limit"], &limit["denied"]), (&json!("ever"), &json!(10), &json!(1)));
    setting.end();
}

#[test]
fn a_permit_is_ended_once() {
    let setting = Setting::new(TOKENS);
    let (spent, reserved) = (permit(&setting, "consume", 3), permit(&setting, "reserve", 4));
    let (status, body) = post(&setting, "tokens/acme/refund", &json!({"permit": spent}));
    assert_eq!((status, &body["refunded"], &body["available"]), (200, &json!(3), &json!(6)));
    let (status, body) = post(&setting, "tokens/acme/commit", &json!({"permit": reserved, "actual": 1}));
    assert_eq!((status, &body["refunded"], &body["available"]), (200, &json!(3), &json!(9)));
    for (permit, call) in
        [(&spent, "refund"), (&reserved, "refund"), (&spent, "commit"), (&reserved, "commit")]
    {
        let body =
            if call == "refund" { json!({"permit": permit}) } else { json!({"permit": permit, "actual": 0}) };
        let (status, body) = post(&setting, &format!("tokens/acme/{call}"), &body);
        assert_eq!((status, &body["error"]["code"]), (409, &json!("55000")), "{body}");
    }
    assert_eq!(available(&setting), 9);
    // More than was reserved: the rest is asked for, and a permit that could not be ended is as it was.
    let reserved = permit(&setting, "reserve", 2);
    let commit =
        |actual: i64| post(&setting, "tokens/acme/commit", &json!({"permit": reserved, "actual": actual}));
    assert_eq!(commit(10).0, 429);
    assert_eq!(commit(-1).0, 400);
    assert_eq!(commit(6).0, 200);
    assert_eq!(available(&setting), 3);
    setting.end();
}

#[test]
fn permits_that_are_no_good_are_refused() {
    let setting = Setting::new(TOKENS);
    let good = permit(&setting, "consume", 5);
    let forged = format!("{}{}", &good[1..], &good[..1]);
    for (path, permit, status) in [
        ("tokens/acme/refund", forged.as_str(), 403),
        ("tokens/acme/refund", "", 403),
        ("tokens/acme/refund", "ü", 403),
        ("tokens/other/refund", &good, 400),
        ("others/acme/refund", &good, 400),
    ] {
        let (found, body) = post(&setting, path, &json!({"permit": permit}));
        assert_eq!(found, status, "{path} {permit} {body}");
    }
    for seconds in [0, 100_000] {
        let (status, _) = post(&setting, "tokens/acme/reserve", &json!({"amount": 1, "seconds": seconds}));
        assert_eq!(status, 400);
    }
    assert_eq!(available(&setting), 5);
    // After a restart its lease is closed, and what it stood for is spent.
    let setting = Setting::of(setting.end(), "");
    assert_eq!(post(&setting, "tokens/acme/refund", &json!({"permit": good})).0, 403);
    assert_eq!(available(&setting), 5);
    setting.end();
}

#[test]
fn bad_input_is_refused_with_its_reason() {
    let setting = Setting::new(TOKENS);
    setting.execute("CREATE BUDGET seats (KEY org int, team text, LIMIT 5)");
    for (path, body, status, code) in [
        ("token/acme/consume", "{}", 404, "42704"),
        ("tokens/acme/consume", "{\"amount\": -1}", 400, "22003"),
        ("tokens/acme/consume", "{\"amount\": 1.5}", 400, "08P01"),
        ("tokens/acme/consume", "{\"amount\": 99999999999999999999}", 400, "08P01"),
        ("tokens/acme/consume", "amount", 400, "08P01"),
        ("tokens/acme/consume", "{\"amont\": 1}", 400, "08P01"),
        ("tokens/acme/commit", "{}", 400, "08P01"),
        ("seats/x,y/consume", "{}", 400, "22P02"),
        ("seats/1/consume", "{}", 400, "08P01"),
        ("consume", "{\"requests\": 1}", 400, "08P01"),
    ] {
        let (found, answer) = setting.post(&format!("/v1/budgets/{path}"), body.as_bytes(), &[]);
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{path} {body} {answer}");
    }
    assert_eq!(post(&setting, "tokens/acme/consume", &json!({"amount": i64::MAX})).0, 429);
    assert_eq!(post(&setting, "tokens/acme/consume", &json!({"amount": 0})).0, 200);
    assert_eq!(post(&setting, "seats/7,red/consume", &json!({"amount": 5})).0, 200);
    assert_eq!(setting.get("/v1/budgets/tokens/acme/consume", &[]).0, 405);
    assert_eq!(setting.get("/v1/budgets/token/acme", &[]).0, 404);
    setting.end();
}

#[test]
fn a_batch_asks_many_keys_each_for_itself() {
    let setting = Setting::new(TOKENS);
    setting.execute("CREATE BUDGET seats (KEY org int, team text, LIMIT 5)");
    let requests: Vec<Json> = vec![
        json!({"budget": "tokens", "key": "a", "amount": 4}),
        json!({"budget": "tokens", "key": "a", "amount": 7}),
        json!({"budget": "seats", "key": [7, "a,b"]}),
        json!({"budget": "nothing", "key": "a"}),
        json!({"budget": "seats", "key": "x,y"}),
    ];
    let (status, body) = post(&setting, "consume", &json!({"requests": requests}));
    assert_eq!(status, 200);
    let answers = body["answers"].as_array().unwrap();
    let admitted: Vec<bool> = answers.iter().map(|answer| answer["admitted"] == true).collect();
    assert_eq!(admitted.iter().filter(|admitted| **admitted).count(), 2, "{body}");
    assert!(admitted[0] != admitted[1] && admitted[2], "{body}");
    assert_eq!((&answers[3]["reason"], &answers[4]["reason"]), (&json!("unknown_budget"), &json!("invalid")));
    setting.end();
}

#[test]
fn an_idempotency_key_gives_the_first_answer_again() {
    let setting = Setting::new(TOKENS);
    let ask = |key: &str, amount: i64| {
        let body = json!({"amount": amount}).to_string();
        setting.post("/v1/budgets/tokens/acme/consume", body.as_bytes(), &[("idempotency-key", key)])
    };
    let first = ask("one", 4);
    assert_eq!(first.0, 200);
    assert_eq!(ask("one", 4), first);
    assert_eq!(ask("one", 5).0, 422);
    assert_eq!(ask("two", 7).0, 429);
    assert_eq!(ask("two", 6).0, 200, "a refusal is not remembered");
    assert_eq!(ask(&"x".repeat(300), 0).0, 400);
    assert_eq!(available(&setting), 0);
    setting.end();
}

#[test]
fn many_connections_spend_a_budget_exactly() {
    let setting = Setting::new("CREATE BUDGET tokens (KEY tenant text, LIMIT 500)");
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..200).filter(|_| post(&setting, "tokens/acme/consume", &json!({})).0 == 200).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 500);
    assert_eq!(available(&setting), 0);
    setting.end();
}

#[test]
fn the_log_of_events_adds_up_to_what_the_ledger_says() {
    let setting = Setting::new(TOKENS);
    setting.execute("CREATE TABLE job (id int PRIMARY KEY)");
    permit(&setting, "consume", 2);
    let back = permit(&setting, "consume", 3);
    post(&setting, "tokens/acme/refund", &json!({"permit": back}));
    let reserved = permit(&setting, "reserve", 4);
    post(&setting, "tokens/acme/commit", &json!({"permit": reserved, "actual": 1}));
    setting.execute("INSERT INTO job VALUES (1); SELECT consume('tokens', 'acme', 2)");
    let (status, _) =
        setting.sql("INSERT INTO job VALUES (1); SELECT consume('tokens', 'acme', 2)", &json!([]));
    assert_eq!(status, 409, "what is not done is no event");
    post(&setting, "tokens/other/consume", &json!({"amount": 6}));
    let setting = Setting::of(setting.end(), "");
    let (_, text) = setting.get("/v1/events", &[]);
    let events = text.as_str().unwrap().lines().map(|line| {
        let line: Json = serde_json::from_str(line).unwrap();
        let word = |name: &str| line[name].as_str().unwrap().to_owned();
        Event {
            at: Time(0),
            budget: word("budget"),
            key: word("key"),
            kind: if word("event") == "consumed" { EventKind::Consumed } else { EventKind::Refunded },
            units: Units(line["amount"].as_u64().unwrap()),
            permit: line["permit"].as_u64().unwrap(),
        }
    });
    let spent = replay(events);
    let of = |key: &str| ("tokens".to_owned(), key.to_owned());
    assert_eq!(spent, BTreeMap::from([(of("acme"), 5), (of("other"), 6)]));
    for (key, used) in [("acme", 5), ("other", 6)] {
        let (_, body) = setting.get(&format!("/v1/budgets/tokens/{key}"), &[]);
        assert_eq!(body["limits"][0]["used"], used, "{body}");
    }
    // From a number on.
    let (_, text) = setting.get("/v1/events?after=5&limit=1&budget=tokens", &[]);
    assert!(text["number"] == 6, "{text}");
    setting.end();
}

#[test]
fn a_server_that_ends_gives_back_what_it_did_not_spend() {
    let setting = Setting::new("CREATE BUDGET tokens (KEY tenant text, LIMIT 1000000)");
    for _ in 0..100 {
        assert_eq!(post(&setting, "tokens/acme/consume", &json!({"amount": 10})).0, 200);
    }
    assert!(setting.metric("deltaic_budget_wrong_units_over_at_most").abs() < 0.5);
    let setting = Setting::of(setting.end(), "");
    assert_eq!(available(&setting), 999_000);
    let mut live = setting.live("SELECT key, used FROM deltaic.budgets", None).unwrap();
    live.expect("snapshot");
    post(&setting, "tokens/acme/consume", &json!({"amount": 10}));
    let (_, change) = live.expect("change");
    assert_eq!(change["changes"][0]["row"][0], "acme", "{change}");
    setting.end();
}

#[test]
fn keys_of_several_columns_are_never_taken_for_each_other() {
    let setting = Setting::new("CREATE BUDGET pairs (KEY a text, b text, LIMIT 10)");
    let ask = |key: Json, amount: i64| {
        let body = json!({"requests": [{"budget": "pairs", "key": key, "amount": amount}]});
        let (status, body) = post(&setting, "consume", &body);
        assert_eq!(status, 200);
        body["answers"][0]["admitted"] == true
    };
    assert!(ask(json!(["p", "q,r"]), 10) && !ask(json!(["p", "q,r"]), 1));
    for _ in 0..5 {
        assert!(ask(json!(["p,q", "r"]), 1));
        assert!(!ask(json!(["p", "q,r"]), 1), "it is used up");
    }
    assert!(!ask(json!("p,q,r"), 1), "three texts are no key of two columns");
    assert!(
        !ask(json!([{"x": 1}, "y"]), 1)
            && ask(json!(["{\"x\":1}", "y"]), 1)
            && !ask(json!([{"x": 1}, "y"]), 1)
    );
    let rows = |setting: &Setting| setting.execute("SELECT key, used FROM deltaic.budgets ORDER BY key").rows;
    let mut live = setting.live("SELECT key FROM deltaic.budgets", None).unwrap();
    let mut known = rows(&setting);
    while known.len() < 3 {
        live.next();
        known = rows(&setting);
    }
    let keys: Vec<&Json> = known.iter().map(|row| &row[0]).collect();
    assert_eq!(keys, [r#"["p","q,r"]"#, r#"["p,q","r"]"#, r#"["{\"x\":1}","y"]"#]);
    setting.end();
}

/// A ledger in memory that servers share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryLedger>>);

impl Shared {
    fn place(&self) -> SharedLedger {
        let shared = self.clone();
        SharedLedger::new(move || Ok(Box::new(shared.clone())))
    }
}

impl Ledger for Shared {
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError> {
        self.0.lock().unwrap().open(node)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        self.0.lock().unwrap().apply(batch)
    }

    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError> {
        self.0.lock().unwrap().silent(before)
    }

    fn load(&mut self, account: &Account) -> Result<Option<Loaded>, LedgerError> {
        self.0.lock().unwrap().load(account)
    }

    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError> {
        self.0.lock().unwrap().stored(keys)
    }

    fn image(&mut self) -> Result<Vec<u8>, LedgerError> {
        self.0.lock().unwrap().image()
    }
}

#[test]
fn servers_that_share_a_ledger_spend_one_budget() {
    let ledger = Shared::default();
    let start = |sql: &str| {
        let directory = Directory::new();
        let config = Config { ledger: Some(ledger.place()), ..directory.config() };
        Setting::with(directory, config, sql)
    };
    // Their catalogs differ, and so do the numbers of their budgets.
    let one =
        start("CREATE BUDGET other (KEY a int, LIMIT 1); CREATE BUDGET tokens (KEY tenant text, LIMIT 200)");
    let two = start("CREATE BUDGET tokens (KEY tenant text, LIMIT 200)");
    let spend = |setting: &Setting| post(setting, "tokens/acme/consume", &json!({})).0 == 200;
    let mut spent = [0, 0];
    let mut refused = 0;
    // One asks twice as often as the other; what one has leased ahead comes home when the other is refused.
    for turn in 0_usize.. {
        let which = usize::from(turn % 3 == 0);
        if spend(if which == 0 { &one } else { &two }) {
            spent[which] += 1;
        } else {
            refused += 1;
        }
        if spent[0] + spent[1] == 200 || refused > 100_000 {
            break;
        }
    }
    assert_eq!(spent[0] + spent[1], 200, "{spent:?}");
    assert!(!spend(&one) && !spend(&two) && spent[1] > 0, "{spent:?}");
    one.end();
    two.end();
}

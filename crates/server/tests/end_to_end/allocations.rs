//! What the server says of allocations: that which their live views show.

use serde_json::{Value as Json, json};

use crate::setting::{Live, Setting};

const TEAMS: &str =
    "CREATE TABLE offers (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE wishes (team text, slot text, hours integer, kind text, PRIMARY KEY (team, slot));
    CREATE TABLE trust (giver text, taker text, points integer, PRIMARY KEY (giver, taker));
    INSERT INTO trust VALUES ('uni', 'lab', 3), ('uni', 'club', 1), ('lab', 'uni', 1);
    INSERT INTO offers VALUES ('uni', 'a100', 100, 'gpu');
    INSERT INTO wishes VALUES ('lab', 'training', 60, 'gpu')";

const ALLOCATION: &str = "CREATE ALLOCATION gpu
    CAPACITY (SELECT team AS owner, slot, hours AS quantity, kind FROM offers)
    NEED (SELECT team AS owner, slot, hours AS quantity, kind FROM wishes)
    RECOGNITION (SELECT giver AS \"from\", taker AS \"to\", points AS weight FROM trust)";

/// Reads the changes of a live query until its rows are these; no clock says when.
fn until(live: &mut Live, rows: &mut Vec<Json>, wanted: &Json) {
    while json!(rows) != *wanted {
        let (_, news) = live.next().expect("the stream goes on until the rows are there");
        if let Some(snapshot) = news["rows"].as_array() {
            rows.clone_from(snapshot);
        }
        for change in news["changes"].as_array().into_iter().flatten() {
            match change["weight"].as_i64() {
                Some(1) => rows.push(change["row"].clone()),
                _ => rows.retain(|row| *row != change["row"]),
            }
        }
        rows.sort_by_key(Json::to_string);
    }
}

#[test]
fn status_and_metrics_say_what_the_view_shows() {
    let setting = Setting::new(TEAMS);
    let told = |setting: &Setting| setting.get("/v1/status", &[]).1["allocations"].clone();
    assert_eq!(told(&setting), json!([]));
    assert_eq!(setting.sql(ALLOCATION, &json!([])).0, 200);
    let mut live = setting.live("SELECT recipient, quantity FROM gpu", None).unwrap();
    let mut rows = Vec::new();
    until(&mut live, &mut rows, &json!([["lab", 60]]));
    let before = told(&setting);
    let digest = before[0]["digest"].as_str().unwrap().to_owned();
    assert!(
        digest.len() == 16 && digest.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')),
        "{digest}"
    );
    let expected = json!([{"name": "gpu", "edges": 1, "rows": 1, "digest": digest, "is_certified": true, "problems": []}]);
    assert_eq!(before, expected);
    // A need below zero gives nothing and is told of; the club's other one has what the lab leaves.
    setting.execute(
        "UPDATE wishes SET hours = 100;
        INSERT INTO wishes VALUES ('club', 'games', 30, 'gpu'), ('club', 'debts', -1, 'gpu')",
    );
    until(&mut live, &mut rows, &json!([["lab", 100]]));
    let after = told(&setting);
    assert_eq!((&after[0]["rows"], &after[0]["edges"]), (&json!(1), &json!(2)), "{after}");
    assert_ne!(after[0]["digest"], before[0]["digest"]);
    // The time of an update runs from the request that led to it.
    let views = setting.get("/v1/status", &[]).1["views"].clone();
    let view =
        views.as_array().unwrap().iter().find(|view| view["sql"] == "SELECT recipient, quantity FROM gpu");
    assert!(view.unwrap()["last_ms"].as_f64().is_some_and(|millis| millis > 0.0), "{views}");
    let problems = after[0]["problems"].as_array().unwrap();
    assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains("debts"), "{after}");
    for (figure, value) in [("edges", 2.0), ("rows", 1.0), ("problems", 1.0), ("certified", 1.0)] {
        let found = setting.metric(&format!("deltaic_allocation_{figure}{{allocation=\"gpu\"}}"));
        assert!((found - value).abs() < 0.5, "{figure}: {found}");
    }
    // The same rows have the same digest.
    setting.execute("DELETE FROM wishes WHERE team = 'club'; UPDATE wishes SET hours = 60");
    until(&mut live, &mut rows, &json!([["lab", 60]]));
    assert_eq!(told(&setting), before);
    assert_eq!(setting.sql("DROP ALLOCATION gpu", &json!([])).0, 200);
    assert_eq!(told(&setting), json!([]));
}

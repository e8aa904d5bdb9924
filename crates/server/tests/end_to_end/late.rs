//! Writes of clients that had been away: a basis goes in, a cut comes out, and what did not go together is told.

use serde_json::{Value as Json, json};

use crate::setting::{Directory, Setting};

const POSTS: &str = "CREATE TABLE posts (id integer PRIMARY KEY, title text, note text CONFLICT MANUAL)";

const CONFLICTS: &str = "SELECT columns, loser, winner, state FROM deltaic.conflicts ORDER BY columns";

/// What a client has seen with an answer.
#[track_caller]
fn cut((status, answer): &(u16, Json)) -> String {
    assert_eq!(*status, 200, "{answer}");
    answer["cut"].as_str().unwrap_or_else(|| panic!("no cut: {answer}")).to_owned()
}

#[track_caller]
fn rows(setting: &Setting, sql: &str) -> Json {
    let (status, answer) = setting.sql(sql, &json!([]));
    assert_eq!(status, 200, "{answer}");
    answer["rows"].clone()
}

/// A conflict in both columns; what the second write had seen.
#[track_caller]
fn conflict(setting: &Setting) -> String {
    let seen = cut(&setting.sql_by("SELECT * FROM posts", ""));
    assert_eq!(setting.sql("UPDATE posts SET title = 'b', note = 'y' WHERE id = 1", &json!([])).0, 200);
    cut(&setting.sql_by("UPDATE posts SET title = 'c', note = 'z' WHERE id = 1", &seen));
    seen
}

#[test]
fn a_late_write_is_told_live_and_asked_and_after_a_restart() {
    let setting = Setting::new(POSTS);
    setting.execute("INSERT INTO posts VALUES (1, 'a', 'x')");
    let (_, answer) = setting.sql("SELECT * FROM posts", &json!([]));
    assert!(answer.get("cut").is_none(), "nobody has asked for one: {answer}");
    let mut live = setting.live(CONFLICTS, None).unwrap();
    assert_eq!(live.expect("snapshot").1["rows"], json!([]));
    let seen = conflict(&setting);
    let met = json!([["note", "\"y\"", "\"z\"", "open"], ["title", "\"b\"", "\"c\"", "decided"]]);
    assert_eq!(rows(&setting, CONFLICTS), met);
    let (_, change) = live.expect("change");
    let came: Vec<&Json> =
        change["changes"].as_array().unwrap().iter().map(|change| &change["row"]).collect();
    assert_eq!(json!(came), met, "{change}");
    assert_eq!(rows(&setting, "SELECT * FROM posts"), json!([[1, "c", "z"]]));
    assert!((setting.metric("deltaic_conflicts_total{kind=\"write-write\"}") - 2.0).abs() < 0.5);
    assert!(setting.metric("deltaic_replica_cut_writes") >= 2.0);
    assert!((setting.metric("deltaic_replica_cut_actors") - 1.0).abs() < 0.5);
    let setting = Setting::of(setting.end(), "");
    assert_eq!(rows(&setting, CONFLICTS), met, "what was met is kept");
    // What was seen before the restart is a basis behind it.
    cut(&setting.sql_by("UPDATE posts SET title = 'd' WHERE id = 1", &seen));
    let losers =
        "SELECT loser FROM deltaic.conflicts WHERE columns = 'title' AND state <> 'resolved' ORDER BY loser";
    let losers = rows(&setting, losers);
    assert_eq!(losers, json!([["\"b\""], ["\"c\""]]));
    // Who has seen all replaces all.
    let seen = cut(&setting.sql_by("SELECT * FROM posts", ""));
    cut(&setting.sql_by("UPDATE posts SET title = 'e', note = 'e' WHERE id = 1", &seen));
    let open = "SELECT count(*) FROM deltaic.conflicts WHERE state <> 'resolved'";
    assert_eq!(rows(&setting, open), json!([[0]]));
    assert_eq!(rows(&setting, "SELECT * FROM posts"), json!([[1, "e", "e"]]));
}

#[test]
fn a_cut_is_kept_over_a_restart_in_between() {
    let directory = Directory::new();
    let setting = Setting::of(directory, POSTS);
    setting.execute("INSERT INTO posts VALUES (1, 'a', 'x')");
    let seen = cut(&setting.sql_by("SELECT * FROM posts", ""));
    let setting = Setting::of(setting.end(), "");
    assert_eq!(setting.execute("UPDATE posts SET note = 'y' WHERE id = 1").rows_affected, 1);
    let setting = Setting::of(setting.end(), "");
    let mut live = setting.live(CONFLICTS, None).unwrap();
    assert_eq!(live.expect("snapshot").1["rows"], json!([]));
    cut(&setting.sql_by("UPDATE posts SET note = 'z' WHERE id = 1", &seen));
    let met = json!(["note", "\"y\"", "\"z\"", "open"]);
    assert_eq!(live.expect("change").1["changes"][0]["row"], met);
    assert_eq!(rows(&setting, CONFLICTS), json!([met]));
}

#[test]
fn what_is_no_cut_is_refused_and_nothing_is_written() {
    let setting = Setting::new(POSTS);
    for (basis, reason) in [
        (json!("7:3,1:42"), "actors ascend"),
        (json!("1:0"), "leave out who has written nothing"),
        (json!("1:1,1:2"), "one entry an actor"),
        (json!("seen"), "give a cut back as it came"),
        (json!(7), "expected a string"),
    ] {
        let body = json!({"sql": "INSERT INTO posts VALUES (1, 'a', 'x')", "basis": basis}).to_string();
        let (status, answer) = setting.post("/v1/sql", body.as_bytes(), &[]);
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("08P01")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(reason), "{answer}");
    }
    assert_eq!(rows(&setting, "SELECT * FROM posts"), json!([]));
}

//! `GET /v1/live`.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};

use crate::setting::{PATIENCE, Setting};

const TABLE: &str = "CREATE TABLE t (id integer PRIMARY KEY, n integer, body text);
    INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b')";

#[test]
fn a_snapshot_then_the_changes_of_each_commit() {
    let setting = Setting::new(TABLE);
    let mut live = setting.live("SELECT id, n FROM t WHERE n > 5", None).unwrap();
    let (event, data) = live.expect("snapshot");
    assert!(event.id.is_some());
    assert_eq!(data["columns"][0], json!({"name": "id", "type": "integer"}));
    assert_eq!(data["rows"].as_array().unwrap().len(), 2);
    setting.execute("INSERT INTO t VALUES (3, 0, 'not in the result')");
    let lsn = setting.execute("UPDATE t SET n = 11 WHERE id = 1; DELETE FROM t WHERE id = 2").lsn;
    let (_, data) = live.expect("change");
    assert_eq!(data["lsn"], json!(lsn));
    let mut changes: Vec<Json> = data["changes"].as_array().unwrap().clone();
    assert_eq!(changes[2]["weight"], json!(1), "what went comes first");
    changes.sort_by_key(ToString::to_string);
    assert_eq!(
        json!(changes),
        json!([
            {"row": [1, 10], "weight": -1},
            {"row": [1, 11], "weight": 1},
            {"row": [2, 20], "weight": -1},
        ])
    );
}

#[test]
fn sort_keys_travel_beside_the_rows() {
    let setting = Setting::new(TABLE);
    let mut live = setting.live("SELECT body FROM t ORDER BY n DESC", None).unwrap();
    let (_, data) = live.expect("snapshot");
    assert_eq!(data["rows"], json!([["b"], ["a"]]));
    let key = |json: &Json| json.as_str().unwrap().to_owned();
    let (b, a) = (key(&data["keys"][0]), key(&data["keys"][1]));
    setting.execute("INSERT INTO t VALUES (3, 15, 'c')");
    let (_, data) = live.expect("change");
    assert_eq!((&data["changes"][0]["weight"], &data["changes"][0]["row"]), (&json!(1), &json!(["c"])));
    let c = key(&data["changes"][0]["key"]);
    assert!(b < c && c < a, "{b} {c} {a}");
}

#[test]
fn a_refused_query_is_a_response_and_not_a_stream() {
    let setting = Setting::new(TABLE);
    let refused = |sql: &str| setting.live(sql, None).err().expect("refused");
    let (status, body) = refused("SELECT x FROM t");
    assert_eq!((status, &body["error"]["code"]), (400, &json!("42703")));
    assert_eq!(refused("DELETE FROM t").0, 400);
    assert_eq!(setting.get("/v1/live", &[]).0, 400);
    assert_eq!(setting.get("/v1/live?sql=SELECT%20$1&params=7", &[]).0, 400);
}

#[test]
fn claims_come_with_the_request() {
    let setting = Setting::new(TABLE);
    let body = json!({"sql": "SELECT id FROM t WHERE body = claim('body')", "claims": {"body": "b"}});
    let (status, answer) = setting.post("/v1/sql", body.to_string().as_bytes(), &[]);
    assert_eq!((status, &answer["rows"]), (200, &json!([[2]])));
    let (status, answer) = setting.sql("SELECT id FROM t WHERE body = claim('body')", &json!([]));
    assert_eq!((status, &answer["rows"]), (200, &json!([])));
    let sql = "SELECT id FROM t WHERE body = claim('body')";
    let mut live = setting.live_as(sql, r#"{"body": "a"}"#).unwrap();
    assert_eq!(live.expect("snapshot").1["rows"], json!([[1]]));
    for claims in ["[]", "7", r#"{"body": 7}"#] {
        let (status, body) = setting.live_as(sql, claims).err().expect("refused");
        assert_eq!((status, &body["error"]["code"]), (400, &json!("08P01")), "{claims}");
    }
}

#[test]
fn a_last_event_id_resumes_without_a_gap() {
    let setting = Setting::new(TABLE);
    let sql = "SELECT id, n FROM t";
    let mut live = setting.live(sql, None).unwrap();
    let (snapshot, _) = live.expect("snapshot");
    // Another subscriber keeps the view while this one is away.
    let mut other = setting.live(sql, None).unwrap();
    other.expect("snapshot");
    drop(live);
    let first = setting.execute("INSERT INTO t VALUES (3, 30, 'c')").lsn;
    let second = setting.execute("DELETE FROM t WHERE id = 1").lsn;
    let mut live = setting.live(sql, snapshot.id.as_deref()).unwrap();
    let (_, data) = live.expect("change");
    assert_eq!(data, json!({"lsn": first, "changes": [{"weight": 1, "row": [3, 30]}]}));
    let (last, data) = live.expect("change");
    assert_eq!(data, json!({"lsn": second, "changes": [{"weight": -1, "row": [1, 10]}]}));
    // Nothing was missed: the stream says so and goes on.
    let mut live = setting.live(sql, last.id.as_deref()).unwrap();
    live.expect("current");
    setting.execute("DELETE FROM t WHERE id = 2");
    live.expect("change");
}

#[test]
fn what_cannot_be_resumed_starts_anew() {
    let setting = Setting::new(TABLE);
    let mut live = setting.live("SELECT id FROM t", None).unwrap();
    let (snapshot, _) = live.expect("snapshot");
    // The cookie of another query, of no query, of another database, of the future.
    let id = snapshot.id.unwrap();
    let parts: Vec<&str> = id.split('-').collect();
    let foreign = format!("{:016x}-{}-{}", 1, parts[1], parts[2]);
    let future = format!("{}-999-{}", parts[0], parts[2]);
    for id in [foreign.as_str(), future.as_str(), "nonsense", ""] {
        setting.live("SELECT id FROM t", Some(id)).unwrap().expect("snapshot");
    }
    setting.live("SELECT n FROM t", Some(&id)).unwrap().expect("snapshot");
}

#[test]
fn a_resume_after_a_restart_starts_anew() {
    let setting = Setting::new(TABLE);
    let (snapshot, _) = setting.live("SELECT id FROM t", None).unwrap().expect("snapshot");
    setting.execute("DELETE FROM t WHERE id = 1");
    let setting = Setting::of(setting.end(), "");
    let (_, data) = setting.live("SELECT id FROM t", snapshot.id.as_deref()).unwrap().expect("snapshot");
    assert_eq!(data["rows"], json!([[2]]));
}

#[test]
fn an_error_is_told_once_and_the_recovery_after_it() {
    let setting = Setting::new(TABLE);
    let mut live = setting.live("SELECT id, 100 / n AS share FROM t", None).unwrap();
    live.expect("snapshot");
    setting.execute("UPDATE t SET n = 0 WHERE id = 1");
    let (_, data) = live.expect("error");
    assert_eq!(data["code"], json!("22012"));
    setting.execute("UPDATE t SET n = 50 WHERE id = 1");
    let (_, data) = live.expect("change");
    let rows = [json!({"weight": -1, "row": [1, 10]}), json!({"weight": 1, "row": [1, 2]})];
    assert_eq!(data["changes"], json!(rows));
}

#[test]
fn a_dropped_table_ends_the_stream() {
    let setting = Setting::new(TABLE);
    let mut live = setting.live("SELECT id FROM t", None).unwrap();
    live.expect("snapshot");
    setting.execute("DROP TABLE t");
    let (event, _) = live.expect("error");
    assert_eq!(event.id, None);
    assert!(live.next().is_none());
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let setting =
        Setting::new("CREATE TABLE t (id integer PRIMARY KEY, body text); INSERT INTO t VALUES (1, '')");
    let mut socket = TcpStream::connect(setting.server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = setting.server.address();
    write!(socket, "GET /v1/live?sql=SELECT%20*%20FROM%20t HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    let mut first = [0; 12];
    socket.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let body = "x".repeat(512 << 10);
    // The system's own buffers take some megabytes before anything waits here.
    for round in 0..400 {
        setting.execute(&format!("UPDATE t SET body = '{round}{body}'"));
        if setting.metric("deltaic_clients_cut_off_total") > 0.0 {
            break;
        }
    }
    assert!(setting.metric("deltaic_clients_cut_off_total") > 0.0);
    // What the system had taken still arrives; then the connection ends in the middle.
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a stream that is cut does not look finished");
    assert!(setting.metric("deltaic_queued_bytes") < 1.0);
    setting.end();
}

#[test]
fn rows_come_and_leave_by_the_clock_alone() {
    let setting = Setting::new("CREATE TABLE e (id integer PRIMARY KEY, at timestamptz)");
    setting.execute("CREATE LIVE VIEW due AS SELECT id FROM e WHERE at <= now()");
    let mut live = setting.live("SELECT * FROM due", None).unwrap();
    live.expect("snapshot");
    let lsn = setting.execute("INSERT INTO e VALUES (1, now() + interval '150 milliseconds')").lsn;
    let (_, data) = live.expect("change");
    assert_eq!(data["changes"], json!([{"row": [1], "weight": 1}]));
    assert_eq!(data["lsn"], json!(lsn + 1), "the clock has its own commit");
    // A new server goes on from the log.
    setting.execute("INSERT INTO e VALUES (2, now() + interval '150 milliseconds')");
    let setting = Setting::of(setting.end(), "");
    let mut live = setting.live("SELECT * FROM due", None).unwrap();
    let (_, data) = live.expect("snapshot");
    if data["rows"] == json!([[1]]) {
        assert_eq!(live.expect("change").1["changes"], json!([{"row": [2], "weight": 1}]));
    } else {
        assert_eq!(data["rows"], json!([[1], [2]]));
    }
}

#[test]
fn commits_and_other_queries_go_on_while_a_large_one_is_computed() {
    let setting =
        Setting::new("CREATE TABLE t (id integer PRIMARY KEY, k integer); CREATE TABLE u (a integer)");
    let digits = |name: &str| format!("(VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) {name} (n)");
    let names = ["a", "b", "c", "d"];
    let from: Vec<String> = names.iter().map(|name| digits(name)).collect();
    let from = from.join(", ");
    for part in 0..3 {
        setting.execute(&format!(
            "INSERT INTO t SELECT {part} * 10000 + a.n * 1000 + b.n * 100 + c.n * 10 + d.n, d.n FROM {from}"
        ));
    }
    let mut small = setting.live("SELECT count(*) FROM u", None).unwrap();
    small.expect("snapshot");
    let (setting, large) = (&setting, "SELECT k, count(*) FROM t GROUP BY k");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| setting.live(large, None).unwrap().expect("snapshot").1);
        let second = scope.spawn(|| setting.live(large, None).unwrap().expect("snapshot").1);
        let refused =
            scope.spawn(|| setting.live("SELECT 1 / (id - 29999) FROM t", None).unwrap().next().unwrap().1);
        for place in 1..20 {
            setting.execute("INSERT INTO u VALUES (1)");
            let (_, data) = small.expect("change");
            assert_eq!(data["changes"][1]["row"], json!([place]));
        }
        for reader in [first, second] {
            let data = reader.join().unwrap();
            assert_eq!(data["rows"].as_array().unwrap().len(), 10);
        }
        assert_eq!(refused.join().unwrap()["code"], json!("22012"));
    });
    let (status, body) = setting.get("/v1/status", &[]);
    assert_eq!((status, body["views"].as_array().unwrap().len()), (200, 3));
}

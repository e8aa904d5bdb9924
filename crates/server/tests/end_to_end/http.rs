//! `POST /v1/sql` and the small routes.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use deltaic_types::limits;
use serde_json::{Value as Json, json};

use crate::setting::{PATIENCE, Setting};

fn code(body: &Json) -> &str {
    body["error"]["code"].as_str().unwrap_or_else(|| panic!("no error: {body}"))
}

#[test]
fn values_of_every_type_go_in_and_come_out() {
    let setting = Setting::new(
        "CREATE TABLE t (id integer PRIMARY KEY, b boolean, big bigint, d double precision, n numeric(10,2),
         t text, u uuid, at timestamptz, day date, j jsonb, list integer[])",
    );
    let values = json!([
        1,
        true,
        "9007199254740993",
        "NaN",
        "12.5",
        "naïve ✓ 'quoted'",
        "6fa459ea-ee8a-3ca4-894e-db77e160355e",
        "2013-01-01T05:00:00-05:00",
        "2013-01-01",
        {"a": [1, null]},
        [3, null]
    ]);
    let insert = "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let (status, body) = setting.sql(insert, &values);
    assert_eq!((status, &body["rows_affected"]), (200, &json!(1)), "{body}");
    let (status, body) = setting.sql("SELECT * FROM t", &json!([]));
    assert_eq!(status, 200);
    let expected = json!([
        1,
        true,
        "9007199254740993",
        "NaN",
        "12.50",
        "naïve ✓ 'quoted'",
        "6fa459ea-ee8a-3ca4-894e-db77e160355e",
        "2013-01-01T10:00:00Z",
        "2013-01-01",
        {"a": [1, null]},
        [3, null]
    ]);
    assert_eq!(body["rows"], json!([expected]));
    assert_eq!(body["columns"][2], json!({"name": "big", "type": "bigint"}));
    let nulls = json!([2, null, null, null, null, null, null, null, null, null, null]);
    assert_eq!(setting.sql(insert, &nulls).0, 200);
    let (_, body) = setting.sql("SELECT * FROM t WHERE id = $1", &json!([2]));
    assert_eq!(body["rows"], json!([nulls]));
}

#[test]
fn errors_have_a_code_a_place_and_a_status() {
    let setting = Setting::new("CREATE TABLE t (id integer PRIMARY KEY, price integer CHECK (price > 0))");
    setting.execute("INSERT INTO t VALUES (1, 1)");
    for (sql, status, expected) in [
        ("SELEC 1", 400, "42601"),
        ("SELECT prize FROM t", 400, "42703"),
        ("SELECT * FROM tt", 400, "42P01"),
        ("SELECT 1 / 0", 400, "22012"),
        ("INSERT INTO t VALUES (1, 2)", 409, "23505"),
        ("INSERT INTO t VALUES (2, 0)", 400, "23514"),
        ("INSERT INTO t VALUES (NULL, 1)", 400, "23502"),
        ("SELECT $1", 400, "08P01"),
    ] {
        let (found, body) = setting.sql(sql, &json!([]));
        assert_eq!((found, code(&body)), (status, expected), "{sql}: {body}");
    }
    let (_, body) = setting.sql("SELECT prize FROM t", &json!([]));
    assert_eq!(body["error"]["position"], json!(8), "{body}");
    assert!(body["error"]["hint"].as_str().unwrap().contains("\"price\""), "{body}");
    let (_, body) = setting.sql("SELECT count(*) FROM t", &json!([]));
    assert_eq!(body["rows"], json!([[1]]), "a refused statement leaves no trace");
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    let setting = Setting::new("");
    for body in [&b""[..], b"{", b"SELECT 1", b"[]", b"{\"sql\":1}", b"{\"sql\":\"\",\"x\":1}", b"\xff\xfe"] {
        let (status, answer) = setting.post("/v1/sql", body, &[]);
        assert_eq!((status, code(&answer)), (400, "08P01"), "{answer}");
    }
    let many = vec![0; limits::PARAMETERS + 1];
    assert_eq!(code(&setting.sql("SELECT 1", &json!(many)).1), "54023");
    let long = " ".repeat(limits::STATEMENT_BYTES + 1);
    let (status, answer) = setting.sql(&long, &json!([]));
    assert_eq!((status, code(&answer)), (413, "54000"), "{answer}");
}

/// A body of one chunk.
fn chunk(bytes: usize) -> String {
    format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", " ".repeat(bytes))
}

#[test]
fn an_oversized_body_is_refused_by_its_length() {
    let setting = Setting::new("");
    let address = setting.server.address();
    let too_long = limits::REQUEST_BYTES + 1;
    let announced = format!("content-length: {too_long}");
    // A body whose length nobody knows is refused when it has become too long.
    for (header, body) in
        [(announced.as_str(), String::new()), ("transfer-encoding: chunked", chunk(too_long))]
    {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "POST /v1/sql HTTP/1.1\r\nhost: {address}\r\n{header}\r\n\r\n").unwrap();
        // The server may have answered and gone before all of it is sent.
        let _ = socket.write_all(body.as_bytes());
        let mut answer = String::new();
        let _ = BufReader::new(socket).read_line(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 413"), "{header}: {answer}");
    }
    assert_eq!(setting.sql("SELECT 1", &json!([])).0, 200, "the server is as it was");
}

#[test]
fn foreign_pages_and_names_are_refused() {
    let setting = Setting::new("CREATE TABLE t (id integer PRIMARY KEY)");
    let body = br#"{"sql":"DROP TABLE t"}"#;
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(setting.post("/v1/sql", body, &foreign).0, 403);
    assert_eq!(setting.get("/v1/live?sql=SELECT%201", &foreign).0, 403);
    assert_eq!(setting.get("/v1/status", &[("host", "evil.example")]).0, 403);
    let own = format!("http://{}", setting.server.address());
    assert_eq!(setting.post("/v1/sql", body, &[("origin", &own)]).0, 200);
}

#[test]
fn the_small_routes_answer() {
    let setting =
        Setting::new("CREATE TABLE t (id integer PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'a')");
    assert_eq!(setting.get("/healthz", &[]).0, 200);
    assert_eq!(setting.get("/readyz", &[]), (200, json!("ready\n")));
    assert_eq!(setting.get("/nothing", &[]).0, 404);
    assert_eq!(setting.get("/v1/circuit/99", &[]).0, 404);
    assert_eq!(setting.post("/v1/demo", b"{\"speed\":1}", &[]).0, 404);
    let (_, page) = setting.get("/", &[]);
    assert!(page.as_str().unwrap().contains("<title>Deltaic</title>"));
    for file in ["console.css", "console.js", "circuit.js", "icon.svg"] {
        assert_eq!(setting.get(&format!("/{file}"), &[]).0, 200, "{file}");
    }
    let (_, status) = setting.get("/v1/status", &[]);
    assert_eq!(status["tables"][0]["name"], json!("t"));
    assert_eq!(status["tables"][0]["rows"], json!(1));
    assert!(setting.metric("deltaic_commits_total") >= 1.0);
    let (_, text) = setting.get("/metrics", &[]);
    assert!(text.as_str().unwrap().contains("deltaic_table_rows{table=\"t\"} 1"));
}

//! `/v1/sync`.

use deltaic_protocol::{News, Poke, ServerMessage};
use deltaic_types::limits;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::setting::{PATIENCE, Setting};

const TABLES: &str = "CREATE TABLE a (id integer PRIMARY KEY, n integer);
    CREATE TABLE b (id integer PRIMARY KEY, n integer);
    INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1)";

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(setting: &Setting) -> Self {
        let url = format!("ws://{}/v1/sync", setting.server.address());
        Self(connect_async(url).await.unwrap().0)
    }

    async fn say(&mut self, message: Json) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Option<Result<Message, Error>> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a message in time") {
                Some(Ok(Message::Ping(_))) => {}
                other => return other,
            }
        }
    }

    async fn message(&mut self) -> ServerMessage {
        let message = self.hear().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    async fn poke(&mut self) -> Poke {
        match self.message().await {
            ServerMessage::Poke(poke) => poke,
            other => panic!("no poke: {other:?}"),
        }
    }

    /// Subscribes and gives the first news.
    async fn subscribe(&mut self, id: u64, sql: &str, cookie: Option<&str>) -> News {
        self.say(json!({"subscribe": {"id": id, "sql": sql, "cookie": cookie}})).await;
        let mut poke = self.poke().await;
        assert_eq!(poke.changes.len(), 1);
        poke.changes.remove(0)
    }
}

/// Engine calls block, and a runtime's threads may not.
fn execute(setting: &Setting, sql: &str) -> u64 {
    tokio::task::block_in_place(|| setting.execute(sql).lsn)
}

/// A server must not be dropped inside a runtime.
fn with_server(sql: &str, test: impl AsyncFnOnce(&Setting)) {
    let setting = Setting::new(sql);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(test(&setting));
    drop(runtime);
    setting.end();
}

#[test]
fn all_that_a_commit_changed_arrives_in_one_poke() {
    with_server(TABLES, async |setting| {
        let mut socket = Socket::open(setting).await;
        for (id, sql) in [(1, "SELECT n FROM a"), (2, "SELECT sum(n) FROM b"), (3, "SELECT count(*) FROM a")]
        {
            assert!(socket.subscribe(id, sql, None).await.snapshot.is_some());
        }
        let lsn = execute(setting, "UPDATE a SET n = 2; UPDATE b SET n = 2");
        let poke = socket.poke().await;
        assert_eq!(poke.lsn, lsn);
        let ids: Vec<u64> = poke.changes.iter().map(|news| news.id).collect();
        assert_eq!(ids, [1, 2], "the count did not change");
        assert!(poke.changes.iter().all(|news| news.cookie.is_some() && news.change.is_some()));
        socket.say(json!({"unsubscribe": {"id": 1}})).await;
        socket.say(json!({"ping": 7})).await;
        assert_eq!(socket.message().await, ServerMessage::Pong(7));
        execute(setting, "UPDATE a SET n = 3; UPDATE b SET n = 3");
        let ids: Vec<u64> = socket.poke().await.changes.iter().map(|news| news.id).collect();
        assert_eq!(ids, [2]);
    });
}

#[test]
fn a_connection_has_the_claims_of_its_hello() {
    with_server(TABLES, async |setting| {
        const OWN: &str = "SELECT n FROM a WHERE id = claim('id')::integer";
        let rows = |news: News| news.snapshot.unwrap().rows;
        let mut ann = Socket::open(setting).await;
        ann.say(json!({"hello": {"claims": {"id": "1"}}})).await;
        assert_eq!(rows(ann.subscribe(1, OWN, None).await), [[json!(1)]]);
        let mut ben = Socket::open(setting).await;
        ben.say(json!({"hello": {"claims": {"id": "2"}}})).await;
        assert!(rows(ben.subscribe(1, OWN, None).await).is_empty());
        // Who says no hello has none, and what was subscribed keeps what it was asked with.
        let mut nobody = Socket::open(setting).await;
        assert!(rows(nobody.subscribe(1, OWN, None).await).is_empty());
        for socket in [&mut ann, &mut nobody] {
            socket.say(json!({"hello": {"claims": {"id": "2"}}})).await;
            let ServerMessage::Error(error) = socket.message().await else { panic!("no error") };
            assert_eq!(error.code, "08P01");
        }
        let lsn = execute(setting, "INSERT INTO a VALUES (2, 20)");
        assert_eq!(ben.poke().await.lsn, lsn);
        for socket in [&mut ann, &mut nobody] {
            socket.say(json!({"ping": 7})).await;
            assert_eq!(socket.message().await, ServerMessage::Pong(7), "the row is another session's");
        }
    });
}

#[test]
fn a_cookie_resumes_with_the_difference() {
    with_server(TABLES, async |setting| {
        let mut socket = Socket::open(setting).await;
        let cookie = socket.subscribe(1, "SELECT n FROM a", None).await.cookie.unwrap();
        drop(socket);
        let lsn = execute(setting, "UPDATE a SET n = 2");
        let mut socket = Socket::open(setting).await;
        let news = socket.subscribe(5, "SELECT n FROM a", Some(&cookie)).await;
        assert_eq!(news.change.unwrap().lsn, lsn);
        let news = socket.subscribe(6, "SELECT n FROM a", news.cookie.as_deref()).await;
        assert_eq!(news.current.unwrap().lsn, lsn);
        let news = socket.subscribe(7, "SELECT n FROM a", Some("nonsense")).await;
        assert!(news.snapshot.is_some());
    });
}

#[test]
fn what_is_wrong_is_said_and_the_connection_goes_on() {
    with_server(TABLES, async |setting| {
        let mut socket = Socket::open(setting).await;
        for text in ["", "{", "[]", "{\"x\":1}", "{\"subscribe\":{}}"] {
            socket.0.send(Message::text(text)).await.unwrap();
            let ServerMessage::Error(error) = socket.message().await else { panic!("no error for {text}") };
            assert_eq!(error.code, "08P01");
        }
        let refused = socket.subscribe(1, "SELECT x FROM a", None).await;
        assert_eq!((refused.error.unwrap().code.as_str(), refused.cookie), ("42703", None));
        assert!(socket.subscribe(1, "SELECT n FROM a", None).await.snapshot.is_some());
        // The first subscription is as it was, so this must not look like its end.
        socket.say(json!({"subscribe": {"id": 1, "sql": "SELECT n FROM b"}})).await;
        let ServerMessage::Error(error) = socket.message().await else { panic!("no error") };
        assert_eq!(error.code, "42710");
        let lsn = execute(setting, "UPDATE a SET n = 2");
        assert_eq!(socket.poke().await.lsn, lsn);
    });
}

#[test]
fn subscriptions_are_bounded() {
    with_server(TABLES, async |setting| {
        let mut socket = Socket::open(setting).await;
        for id in 0..limits::SUBSCRIPTIONS as u64 {
            assert!(socket.subscribe(id, "SELECT n FROM a", None).await.snapshot.is_some());
        }
        let refused = socket.subscribe(999_999, "SELECT n FROM a", None).await;
        assert_eq!(refused.error.unwrap().code, "53400");
        socket.say(json!({"unsubscribe": {"id": 0}})).await;
        assert!(socket.subscribe(999_999, "SELECT n FROM a", None).await.snapshot.is_some());
    });
}

#[test]
fn an_oversized_or_binary_message_ends_the_connection_with_the_reason() {
    with_server(TABLES, async |setting| {
        let mut socket = Socket::open(setting).await;
        socket.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        let Some(Ok(Message::Close(Some(frame)))) = socket.hear().await else { panic!("no close frame") };
        assert_eq!(frame.code, CloseCode::Unsupported);
        let mut socket = Socket::open(setting).await;
        let _ = socket.0.send(Message::text(" ".repeat(limits::FRAME_BYTES + 1))).await;
        // The rest of the message may be on its way when the connection ends, which loses the frame.
        match socket.hear().await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Size),
            other => assert!(!matches!(other, Some(Ok(_))), "{other:?}"),
        }
    });
}

#[test]
fn a_foreign_page_gets_no_socket() {
    with_server(TABLES, async |setting| {
        let url = format!("ws://{}/v1/sync", setting.server.address());
        let mut request = url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("origin", "http://evil.example".parse().unwrap());
        let Err(Error::Http(response)) = connect_async(request).await else { panic!("not refused") };
        assert_eq!(response.status(), 403);
        let mut request = url.as_str().into_client_request().unwrap();
        let own = format!("http://{}", setting.server.address());
        request.headers_mut().insert("origin", own.parse().unwrap());
        connect_async(request).await.unwrap();
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_comes_back_with_its_cookie() {
    let sql = "CREATE TABLE t (id integer PRIMARY KEY, body text); INSERT INTO t VALUES (1, '')";
    with_server(sql, async |setting| {
        let mut idle = Socket::open(setting).await;
        let cookie = idle.subscribe(1, "SELECT body FROM t", None).await.cookie.unwrap();
        let body = "x".repeat(512 << 10);
        let cut = || tokio::task::block_in_place(|| setting.metric("deltaic_clients_cut_off_total") > 0.0);
        for round in 0..400 {
            execute(setting, &format!("UPDATE t SET body = '{round}{body}'"));
            if cut() {
                break;
            }
        }
        assert!(cut());
        let lsn = execute(setting, "UPDATE t SET body = 'last'");
        // What the system had taken still arrives; then the connection ends.
        while let Some(Ok(message)) = idle.hear().await {
            assert!(!message.to_text().unwrap().contains("\"last\""));
        }
        // All that was missed is more than may pile up, so the whole result comes instead.
        let mut socket = Socket::open(setting).await;
        let news = socket.subscribe(1, "SELECT body FROM t", Some(&cookie)).await;
        let snapshot = news.snapshot.expect("a snapshot");
        assert_eq!((snapshot.lsn, snapshot.rows), (lsn, vec![vec![json!("last")]]));
    });
}

#[test]
fn the_servers_end_closes_with_a_frame() {
    let setting = Setting::new(TABLES);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut socket = runtime.block_on(async {
        let mut socket = Socket::open(&setting).await;
        socket.subscribe(1, "SELECT n FROM a", None).await;
        socket
    });
    setting.server.stop();
    runtime.block_on(async {
        let Some(Ok(Message::Close(Some(frame)))) = socket.hear().await else { panic!("no close frame") };
        assert_eq!(frame.code, CloseCode::Away);
    });
    drop(socket);
    setting.end();
}

#[test]
fn budgets_are_asked_over_the_socket_too() {
    with_server("CREATE BUDGET tokens (KEY tenant text, LIMIT 10)", async |setting| {
        let mut socket = Socket::open(setting).await;
        let mut ask = async |id: u64, what: Json| {
            socket.say(json!({"budget": {"id": id, "budget": "tokens", "key": "acme", "do": what}})).await;
            match socket.message().await {
                ServerMessage::Budget(answer) if answer.id == id => answer,
                other => panic!("{other:?}"),
            }
        };
        let consumed = ask(1, json!({"consume": {"amount": 4}})).await.consume.unwrap();
        assert!(consumed.admitted && consumed.available == 6);
        let reserved = ask(2, json!({"reserve": {"amount": 6}})).await.consume.unwrap();
        assert!(reserved.deadline.is_some());
        let refused = ask(3, json!({"consume": {}})).await.consume.unwrap();
        assert_eq!((refused.admitted, refused.reason.as_deref()), (false, Some("exhausted")));
        let ended = ask(4, json!({"commit": {"permit": reserved.permit, "actual": 1}})).await.permit.unwrap();
        assert_eq!((ended.refunded, ended.available), (5, 5));
        let ended = ask(5, json!({"refund": {"permit": consumed.permit}})).await.permit.unwrap();
        assert_eq!((ended.refunded, ended.available), (4, 9));
        assert_eq!(ask(6, json!({"refund": {"permit": "x"}})).await.error.unwrap().code, "42501");
    });
}

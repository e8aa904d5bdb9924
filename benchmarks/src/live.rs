//! From a commit to its live change over loopback sockets, durable, beside the disk's own fsync.
//!
//! The time begins when the writer sends its request and ends when the subscriber has read the change. An fsync of
//! four KiB in the same directory is timed between any two commits, so that both see the same disk.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use deltaic_server::{Config, EngineHandle, Server};
use serde_json::json;
use tokio_tungstenite::tungstenite::{WebSocket, client};

use crate::{percentiles, report, writer::Writer};

const COMMITS: usize = 2_000;
const ROWS: usize = 10_000;
/// Writers that commit at the same time.
const WRITERS: usize = 16;

pub(crate) fn run() {
    let data = std::env::temp_dir().join(format!("deltaic-benchmark-{}", std::process::id()));
    let listen = "127.0.0.1:0".parse().expect("an address");
    let server = Server::start(Config::new(&data, listen)).expect("the server starts");
    prepare(&server.engine());
    let address = server.address();
    one_by_one("one live query", address, &data, &["SELECT id, n FROM t WHERE k = 7"]);
    let many: Vec<String> = (0..1_000).map(|k| format!("SELECT id, n FROM t WHERE k = {k}")).collect();
    one_by_one("1,000 live queries of one client, one concerned", address, &data, &many);
    let groups = "SELECT k % 10 AS g, count(*), sum(n), max(n) FROM t GROUP BY k % 10";
    let top = "SELECT id, n FROM t ORDER BY n DESC, id LIMIT 10";
    let mixed = ["SELECT id, n FROM t WHERE k = 7", groups, top];
    one_by_one("a filter, groups and a top 10, all concerned", address, &data, &mixed);
    together(address);
    server.stop();
    server.wait().expect("the server ends");
    let _ = std::fs::remove_dir_all(&data);
}

fn prepare(engine: &EngineHandle) {
    let execute = |sql: &str| engine.execute(sql, Vec::new()).expect("the statement is fine");
    execute("CREATE TABLE t (id integer PRIMARY KEY, k integer NOT NULL, n integer NOT NULL, name text)");
    execute("CREATE INDEX t_k ON t (k)");
    for start in (0..ROWS).step_by(1_000) {
        let rows: Vec<String> =
            (start..start + 1_000).map(|id| format!("({id}, {}, {id}, 'row {id}')", id % 1_000)).collect();
        execute(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
}

/// One commit after the other: how long until the reply, and until the change.
fn one_by_one(name: &str, address: SocketAddr, data: &Path, queries: &[impl AsRef<str>]) {
    let mut socket = subscribe(address, queries);
    let writer = Writer::new(address);
    let mut file = File::create(data.join("fsync")).expect("a file beside the store");
    let page = [7; 4096];
    let (mut syncs, mut replies, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for commit in 0..COMMITS {
        let start = Instant::now();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&page)).expect("a page is written");
        file.sync_data().expect("the disk confirms");
        syncs.push(start.elapsed());
        let id = 7 + 1_000 * (commit % 10);
        let start = Instant::now();
        let writing = writer.clone();
        let reply = thread::scope(|scope| {
            let writing = scope.spawn(move || {
                update(&writing, id, 1_000_000 + commit);
                start.elapsed()
            });
            poke(&mut socket);
            changes.push(start.elapsed());
            writing.join().expect("the writer ends")
        });
        replies.push(reply);
    }
    report(&format!("{name}: an fsync of 4 KiB"), percentiles(syncs));
    report(&format!("{name}: UPDATE to reply"), percentiles(replies));
    report(&format!("{name}: UPDATE to live change"), percentiles(changes));
}

/// Many writers at once: how many commits a second share the disk.
fn together(address: SocketAddr) {
    let mut socket = subscribe(address, &["SELECT count(*), sum(n) FROM t"]);
    let left = Arc::new(AtomicUsize::new(COMMITS));
    let start = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let left = Arc::clone(&left);
            thread::spawn(move || {
                let writer = Writer::new(address);
                let mut commit = 0;
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
                {
                    commit += 1;
                    update(&writer, number, 2_000_000 + commit);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("the writer ends");
    }
    let rate = COMMITS as f64 / start.elapsed().as_secs_f64();
    poke(&mut socket);
    println!("| {WRITERS} writers at once, a live sum beside them | {rate:.0} commits a second | |");
}

/// Opens a socket with live queries, and reads their snapshots.
pub(crate) fn subscribe(address: SocketAddr, queries: &[impl AsRef<str>]) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("a socket option");
    let (mut socket, _) = client(format!("ws://{address}/v1/sync"), stream).expect("a WebSocket");
    for (id, sql) in queries.iter().enumerate() {
        let message = json!({"subscribe": {"id": id, "sql": sql.as_ref()}});
        socket.send(message.to_string().into()).expect("the server reads");
        poke(&mut socket);
    }
    socket
}

pub(crate) fn poke(socket: &mut WebSocket<TcpStream>) {
    let message = socket.read().expect("the server sends");
    let text = message.to_text().expect("messages are text");
    assert!(text.starts_with("{\"poke\""), "{text}");
}

fn update(writer: &Writer, id: usize, n: usize) {
    writer.run("UPDATE t SET n = $2 WHERE id = $1", &[id.into(), n.into()]);
}

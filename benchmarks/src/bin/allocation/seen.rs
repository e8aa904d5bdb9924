//! From a need that is declared to the allocation that another process sees: a server in a process of its own, with the interval
//! that an allocation has if it says nothing, and a client that declares a need over HTTP and waits for its live query.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deltaic_server::{Config, Server};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::{WebSocket, client};

use crate::SEED;
use crate::markets::Dice;
use crate::writer::Writer;

const RUNS: usize = 200;

const SCHEMA: &str = "CREATE TABLE has (owner integer PRIMARY KEY, n integer);
    CREATE TABLE wants (owner integer PRIMARY KEY, n integer);
    CREATE TABLE trust (a integer, b integer, w integer, PRIMARY KEY (a, b));
    CREATE ALLOCATION shares CAPACITY (SELECT owner, 1 AS slot, n AS quantity, 'x' AS kind FROM has)
        NEED (SELECT owner, 1 AS slot, n AS quantity, 'x' AS kind FROM wants)
        RECOGNITION (SELECT a AS \"from\", b AS \"to\", w AS weight FROM trust)";

/// The server, as a process: says where it listens, and ends with its standard input.
pub(crate) fn serve() {
    let data = tempfile::tempdir().expect("a directory");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let server = Server::start(Config::new(data.path().join("data"), listen)).expect("the server starts");
    println!("{}", server.address());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    server.stop();
    server.wait().expect("the server ends");
}

/// A server in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let program = std::env::current_exe().expect("the program has a path");
        let mut command = Command::new(program);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address =
            lines.find_map(|line| line.ok()?.parse().ok()).expect("the server says where it listens");
        Self { child, address }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Reads until the row of a recipient has this quantity.
fn until(socket: &mut WebSocket<TcpStream>, quantity: u64) {
    loop {
        let message = socket.read().expect("the server sends");
        let message: Json =
            serde_json::from_str(message.to_text().expect("messages are text")).expect("JSON");
        let changes = message["poke"]["changes"].as_array().cloned().unwrap_or_default();
        let rows = changes.iter().flat_map(|news| {
            let of_change = news["change"]["changes"].as_array().into_iter().flatten();
            let come = of_change.filter(|change| change["weight"] == 1).map(|change| &change["row"]);
            come.chain(news["snapshot"]["rows"].as_array().into_iter().flatten())
        });
        if rows.into_iter().any(|row| row[0] == quantity) {
            return;
        }
    }
}

/// A market of so many, each provider of which recognises ten.
fn fill(writer: &Writer, dice: &mut Dice, participants: u64) {
    let (providers, recipients) = ((participants / 4).max(1), participants - (participants / 4).max(1));
    let rows = |of: std::ops::Range<u64>, row: &mut dyn FnMut(u64) -> String| of.map(row).collect::<Vec<_>>();
    let insert = |table: &str, rows: Vec<String>| {
        for part in rows.chunks(5_000) {
            writer
                .run(&format!("INSERT INTO {table} VALUES {} ON CONFLICT DO NOTHING", part.join(", ")), &[]);
        }
    };
    insert("has", rows(0..providers, &mut |owner| format!("({owner}, 100000)")));
    let needs = recipients.max(1);
    insert("wants", rows(0..needs, &mut |to| format!("({}, {})", providers + to, 10 + dice.below(90))));
    // The one that is watched is recognised by the first.
    let mut trust = vec![format!("(0, {providers}, 5)")];
    trust.extend(rows(0..providers * 10, &mut |n| {
        format!("({}, {}, {})", n / 10, providers + dice.below(needs), 1 + dice.below(99))
    }));
    insert("trust", trust);
}

pub(crate) fn run() {
    println!("| participants | meanwhile | median, ms | 99 of 100, ms | slowest, ms |");
    println!("| --- | --- | --- | --- | --- |");
    for participants in [10, 100, 1_000, 10_000] {
        let process = Process::start();
        let writer = Writer::new(process.address);
        writer.run(SCHEMA, &[]);
        fill(&writer, &mut Dice(SEED), participants);
        let watched = (participants / 4).max(1);
        for others in [false, true] {
            let stream = TcpStream::connect(process.address).expect("the server listens");
            stream.set_nodelay(true).expect("a socket option");
            let (mut socket, _) =
                client(format!("ws://{}/v1/sync", process.address), stream).expect("a WebSocket");
            let sql = format!("SELECT CAST(sum(quantity) AS bigint) FROM shares WHERE recipient = {watched}");
            let ask = json!({ "subscribe": { "id": 1, "sql": sql } });
            socket.send(ask.to_string().into()).expect("the server reads");
            let times = measure(&writer, &mut socket, (participants, watched), others);
            report(participants, if others { "others change theirs" } else { "nothing" }, times);
        }
    }
}

fn measure(
    writer: &Writer,
    socket: &mut WebSocket<TcpStream>,
    (participants, watched): (u64, u64),
    others: bool,
) -> Vec<Duration> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if others {
            let (writer, is_over) = (writer.clone(), &is_over);
            scope.spawn(move || {
                let mut dice = Dice(SEED + 1);
                while !is_over.load(Ordering::Relaxed) {
                    let other = watched + 1 + dice.below((participants - watched - 1).max(1));
                    writer.run(
                        &format!("UPDATE wants SET n = {} WHERE owner = {other}", 10 + dice.below(90)),
                        &[],
                    );
                }
            });
        }
        let mut times = Vec::new();
        for run in 0..RUNS as u64 {
            // Where nothing else happens, the interval since the last solution is over.
            if !others {
                std::thread::sleep(Duration::from_millis(60));
            }
            let wanted = 1_000 + run + u64::from(others) * 1_000;
            let start = Instant::now();
            writer.run(&format!("UPDATE wants SET n = {wanted} WHERE owner = {watched}"), &[]);
            until(socket, wanted);
            times.push(start.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        times
    })
}

fn report(participants: u64, others: &str, mut times: Vec<Duration>) {
    times.sort();
    let millis = |place: usize| times[place].as_secs_f64() * 1e3;
    let last = times.len() - 1;
    println!(
        "| {participants} | {others} | {:.1} | {:.1} | {:.1} |",
        millis(last / 2),
        millis(last * 99 / 100),
        millis(last)
    );
}

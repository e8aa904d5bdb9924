//! Small commits while something large is done: how long each of them waits.
//!
//! One thread commits a row at a time through the server's engine, durable, as fast as it can; meanwhile a transaction of
//! a million rows, a long query or a first computation runs. What counts is the longest wait.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use deltaic_server::{Config, EngineHandle, Server};

use crate::{live, percentiles};

const SIDE: usize = 1_000;
/// How long small commits are measured alone.
const ALONE: Duration = Duration::from_secs(3);

pub(crate) fn run() {
    let data = std::env::temp_dir().join(format!("deltaic-beside-{}", std::process::id()));
    let listen = "127.0.0.1:0".parse().expect("an address");
    let server = Server::start(Config::new(&data, listen)).expect("the server starts");
    let engine = server.engine();
    let execute = |sql: &str| {
        engine.execute(sql, Vec::new()).expect("the statement is fine");
    };
    execute("CREATE TABLE n (id integer PRIMARY KEY)");
    execute("CREATE TABLE small (id integer PRIMARY KEY, v integer NOT NULL)");
    execute("CREATE TABLE t (id integer PRIMARY KEY, g integer NOT NULL, v integer NOT NULL)");
    let numbers: Vec<String> = (0..SIDE).map(|id| format!("({id})")).collect();
    execute(&format!("INSERT INTO n VALUES {}", numbers.join(", ")));
    execute("INSERT INTO small VALUES (1, 0)");
    println!("| beside {} rows | it takes | small commits | median | p99 | longest |", SIDE * SIDE);
    println!("|---|---|---|---|---|---|");
    let small = || engine.clone();
    measure("nothing", &small(), || thread::sleep(ALONE));
    measure("an INSERT of all rows", &small(), || {
        execute("INSERT INTO t SELECT a.id * 1000 + b.id, a.id, b.id FROM n a, n b");
    });
    let mut socket = live::subscribe(server.address(), &["SELECT g, count(*), sum(v) FROM t GROUP BY g"]);
    measure("an UPDATE of all rows, to the live change of a thousand groups", &small(), || {
        execute("UPDATE t SET v = v + 1");
        live::poke(&mut socket);
    });
    measure("an aggregate over all rows, asked once", &small(), || {
        execute("SELECT v % 10, count(*), sum(v) FROM t GROUP BY v % 10");
    });
    measure("a join that visits four million rows, asked once", &small(), || {
        execute("SELECT count(*) FROM n a, n b, (VALUES (1), (2), (3), (4)) c (x) WHERE a.id + b.id > c.x");
    });
    measure("the first computation of a join over all rows", &small(), || {
        live::subscribe(server.address(), &["SELECT t.g, max(t.v) FROM t JOIN n ON n.id = t.g GROUP BY t.g"]);
    });
    measure("a DELETE of all rows, to the live change", &small(), || {
        execute("DELETE FROM t");
        live::poke(&mut socket);
    });
    server.stop();
    server.wait().expect("the server ends");
    let _ = std::fs::remove_dir_all(&data);
}

/// Commits one row after the other until something large is done.
fn measure(name: &str, engine: &EngineHandle, large: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    let (took, times) = thread::scope(|scope| {
        let commits = scope.spawn(|| {
            let mut times = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let start = Instant::now();
                engine.execute("UPDATE small SET v = v + 1 WHERE id = 1", Vec::new()).expect("it commits");
                times.push(start.elapsed());
            }
            times
        });
        let start = Instant::now();
        large();
        let took = start.elapsed();
        is_done.store(true, Ordering::Relaxed);
        (took, commits.join().expect("the commits end"))
    });
    let longest = times.iter().max().copied().unwrap_or_default();
    let count = times.len();
    let (median, p99) = percentiles(times);
    println!(
        "| {name} | {:.2} s | {count} | {:.2} ms | {:.2} ms | {:.1} ms |",
        took.as_secs_f64(),
        median / 1e3,
        p99 / 1e3,
        longest.as_secs_f64() * 1e3
    );
}

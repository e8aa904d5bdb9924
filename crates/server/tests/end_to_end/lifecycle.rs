//! Start and end: ports, directories, draining, durability.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread,
};

use deltaic_server::{Config, DriverError, ServeError, Server};
use deltaic_storage::{OpenError, RedbStore, STORE_FILE, check};
use serde_json::json;

use crate::setting::{Directory, Setting};

#[test]
fn a_port_in_use_is_named_with_the_option() {
    let setting = Setting::new("");
    let address = setting.server.address();
    let other = Directory::new();
    let error = Server::start(Config::new(&other.0, address)).expect_err("refused");
    assert!(matches!(error, ServeError::PortInUse { .. }));
    let message = error.to_string();
    assert!(message.contains(&address.port().to_string()) && message.contains("--listen"), "{message}");
}

#[test]
fn a_second_process_on_a_directory_is_refused() {
    let setting = Setting::new("");
    let error = Server::start(setting.directory.config()).expect_err("refused");
    assert!(matches!(error, ServeError::Driver(DriverError::Open(OpenError::InUse))), "{error}");
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    std::fs::write(directory.0.join(STORE_FILE), "something else entirely").unwrap();
    let error = Server::start(directory.config()).expect_err("refused");
    assert!(matches!(error, ServeError::Driver(DriverError::Open(OpenError::Foreign))), "{error}");
    let content = std::fs::read_to_string(directory.0.join(STORE_FILE)).unwrap();
    assert_eq!(content, "something else entirely");
}

#[test]
fn other_machines_are_let_in_only_by_the_option() {
    let directory = Directory::new();
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let error = Server::start(Config::new(&directory.0, everywhere)).expect_err("refused");
    assert!(matches!(error, ServeError::NotLoopback { .. }));
    assert!(error.to_string().contains("--insecure-no-auth"), "{error}");
    assert!(!directory.0.exists(), "nothing was made");
    let server =
        Server::start(Config { insecure_no_auth: true, ..Config::new(&directory.0, everywhere) }).unwrap();
    server.stop();
    server.wait().unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_the_end_and_the_directory_is_whole() {
    let setting = Setting::new("CREATE TABLE t (id integer PRIMARY KEY)");
    let engine = setting.server.engine();
    let writers: Vec<thread::JoinHandle<usize>> = (0..4)
        .map(|writer| {
            let engine = engine.clone();
            thread::spawn(move || {
                let rows = 0..100_000;
                // Until the server's end refuses one.
                let mut acknowledged =
                    rows.map(|row| engine.execute(&insert(writer * 100_000 + row), vec![]));
                acknowledged.by_ref().take_while(Result::is_ok).count()
            })
        })
        .collect();
    while setting.server.engine().status().unwrap().lsn < 40 {}
    let directory = setting.end();
    let acknowledged: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    let store = RedbStore::open(directory.0.join(STORE_FILE)).unwrap();
    assert!(check(&store).unwrap().is_clean());
    drop(store);
    let setting = Setting::of(directory, "");
    assert_eq!(setting.execute("SELECT count(*) FROM t").rows, [[json!(acknowledged)]]);
}

fn insert(row: usize) -> String {
    format!("INSERT INTO t VALUES ({row})")
}

#[test]
fn requests_that_arrive_together_share_a_sync() {
    let setting = Setting::new("CREATE TABLE t (id integer PRIMARY KEY)");
    let writers: Vec<thread::JoinHandle<()>> = (0..16)
        .map(|writer| {
            let engine = setting.server.engine();
            thread::spawn(move || {
                for row in 0..20 {
                    engine.execute(&insert(writer * 20 + row), vec![]).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let (commits, syncs) =
        (setting.metric("deltaic_commits_total"), setting.metric("deltaic_append_seconds_count"));
    assert!((320.0..=322.0).contains(&commits), "{commits}");
    assert!(syncs < commits, "{syncs} syncs for {commits} commits");
}

#[test]
fn a_body_that_never_arrives_does_not_hold_the_end() {
    let setting = Setting::new("");
    let mut socket = TcpStream::connect(setting.server.address()).unwrap();
    let head =
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    // The server reads the body now.
    assert!(line.contains("100 Continue"), "{line}");
    setting.server.stop();
    let mut answer = String::new();
    reader.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("503 Service Unavailable") && answer.contains("57P01"), "{answer}");
}

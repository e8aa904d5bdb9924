//! A process that is stopped, replaced, and goes on: what it spends was burnt, and what it says is refused.
//!
//! The process is this program once more, with the address of the ledger in its environment.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use deltaic_postgres::{PostgresLedger, Settings};
use deltaic_quota::{Account, Epoch, Key, Ledger, LedgerError, NodeId, Policy, Units};

use crate::nodes::Node;
use crate::server::{shared, signal};

const ADDRESS: &str = "DELTAIC_TEST_LEDGER";
const NAME: &str = "zombie";
const LIMIT: u64 = 100_000;
const TIME_TO_LIVE: u64 = 30_000;

fn key() -> Key {
    Key::new(b"k").unwrap()
}

fn connect(address: &str) -> PostgresLedger {
    PostgresLedger::connect(Settings::parse(address).unwrap().schema(NAME).unwrap()).unwrap()
}

/// Ends with the test, also while it is stopped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other process: admits, and says so, until its node is refused.
#[test]
fn process() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let mut node = Node::new(connect(&address), 1, Policy::stock(Units(LIMIT)));
    // A line for each unit, written before the next is asked for: what was told is known to the parent.
    for _ in 0..=LIMIT {
        match node.spend(&key()) {
            Ok(admitted) => eprintln!("{}", if admitted { "admitted" } else { "denied" }),
            Err(error) => {
                assert_eq!(error, LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) });
                eprintln!("fenced");
                return;
            }
        }
    }
}

#[test]
fn a_process_that_was_stopped_and_replaced_overspends_nothing() {
    let Some(server) = shared() else { return };
    let address = server.address("owner");
    let mut ledger = connect(&address);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "zombie::process", "--nocapture", "--test-threads=1"])
        .env(ADDRESS, &address)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Process(child);
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    for _ in 0..5 {
        assert_eq!(lines.next().unwrap(), "admitted");
    }
    signal("STOP", child.0.id());
    // Another node hears nothing of it and declares it dead, wherever it was stopped: what it holds is spent.
    let account = Account::stock(key());
    let reserved = |ledger: &mut PostgresLedger| ledger.load(&account).unwrap().unwrap().baseline.reserved;
    assert!(reserved(&mut ledger) > Units::ZERO, "it holds a lease");
    let mut other = Node::new(connect(&address), 2, Policy::stock(Units(LIMIT)));
    other.set_time_to_live(TIME_TO_LIVE);
    while other.buried.is_empty() {
        other.pass(TIME_TO_LIVE / 3).unwrap();
    }
    assert_eq!(other.buried, [NodeId(1)]);
    assert_eq!(reserved(&mut ledger), Units::ZERO);
    // What is left is another's, to the last unit.
    let mut living = 0;
    while other.spend(&key()).unwrap() {
        living += 1;
    }
    signal("CONT", child.0.id());
    let rest: Vec<String> = lines.collect();
    assert!(child.0.wait().unwrap().success());
    let admitted = 5 + rest.iter().filter(|line| *line == "admitted").count() as u64;
    assert_eq!(rest.iter().filter(|line| *line == "fenced").count(), 1, "it was refused, and knows by whom");
    let row = ledger.load(&Account::stock(key())).unwrap().unwrap().baseline;
    assert_eq!(row.used.0 + row.reserved.0, LIMIT);
    assert!(admitted + living <= LIMIT, "{admitted} by the dead, {living} by the living");
    assert!(living > 0 && admitted > 0);
}

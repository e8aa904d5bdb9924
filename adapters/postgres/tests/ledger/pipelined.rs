//! Several batches under way on one connection: sent without waiting, applied in their order, answered each.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use deltaic_postgres::{PostgresLedger, Settings};
use deltaic_quota::conformance::{batch, entry};
use deltaic_quota::{
    Account, Batch, Budgets, Claim, Entry, Flush, Input, Key, Ledger, LedgerError, MemoryLedger, NodeId,
    Permit, Policy, Reply, RequestId, Seq, Time, Units,
};

use crate::server::{Server, shared, waiting};

type Outcome = (Seq, Result<Reply, LedgerError>);

fn key(number: u64) -> Key {
    Key::new(format!("k{number}").as_bytes()).unwrap()
}

/// Batch by batch another key.
fn want(seq: u64) -> Batch {
    let entry = Entry { claim: Claim::Units(Units(5)), ..entry(&Account::stock(key(seq)), Units(100)) };
    batch(NodeId(1), 1, seq, vec![entry])
}

fn begin(ledger: &mut PostgresLedger, batch: Batch, say: &Sender<Outcome>) {
    let (seq, say) = (batch.seq, say.clone());
    ledger.begin(batch, Box::new(move |outcome| drop(say.send((seq, outcome)))));
}

fn memory(batches: impl IntoIterator<Item = Batch>) -> MemoryLedger {
    let mut memory = MemoryLedger::new();
    memory.open(NodeId(1)).unwrap();
    batches.into_iter().for_each(|batch| drop(memory.apply(&batch).unwrap()));
    memory
}

/// A way to the server that lets no answer through while it is shut, and counts the statements that pass.
#[derive(Default)]
struct Gate {
    is_shut: AtomicBool,
    statements: AtomicUsize,
    moved: (Mutex<()>, Condvar),
}

impl Gate {
    fn wait(&self, until: impl Fn() -> bool) {
        let mut held = self.moved.0.lock().unwrap();
        while !until() {
            held = self.moved.1.wait(held).unwrap();
        }
    }

    fn tell(&self, change: impl FnOnce()) {
        let held = self.moved.0.lock().unwrap();
        change();
        drop(held);
        self.moved.1.notify_all();
    }

    /// A connection through it.
    fn open(self: &Arc<Self>, directory: &std::path::Path, server: &Server) -> thread::JoinHandle<()> {
        let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
        let (gate, socket) = (Arc::clone(self), server.socket());
        thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            let far = UnixStream::connect(socket).unwrap();
            let (mut hear, mut say) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let answers = Arc::clone(&gate);
            let back = thread::spawn(move || {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(count @ 1..) = hear.read(&mut bytes) {
                    answers.wait(|| !answers.is_shut.load(Ordering::SeqCst));
                    say.write_all(&bytes[..count]).unwrap();
                }
            });
            gate.forward(near, far);
            back.join().unwrap();
        })
    }

    /// What the client says, message by message: each but the first begins with its kind.
    fn forward(&self, mut near: UnixStream, mut far: UnixStream) {
        let mut head = vec![0; 4];
        while near.read_exact(&mut head).is_ok() {
            let length = u32::from_be_bytes(head[head.len() - 4..].try_into().unwrap()) as usize - 4;
            let mut rest = vec![0; length];
            near.read_exact(&mut rest).unwrap();
            far.write_all(&head).unwrap();
            far.write_all(&rest).unwrap();
            if head.len() == 5 && head[0] == b'E' {
                self.tell(|| {
                    self.statements.fetch_add(1, Ordering::SeqCst);
                });
            }
            head.resize(5, 0);
        }
        let _ = far.shutdown(std::net::Shutdown::Write);
    }
}

#[test]
fn batches_are_sent_without_waiting_for_the_answers_before_them() {
    let Some(server) = shared() else { return };
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let way = gate.open(directory.path(), &server);
    let address = format!("host={} user=owner dbname=postgres", directory.path().display());
    let settings = Settings::parse(&address).unwrap().schema("sent ahead").unwrap();
    let mut ledger = PostgresLedger::connect(settings).unwrap();
    ledger.open(NodeId(1)).unwrap();
    let before = gate.statements.load(Ordering::SeqCst);
    gate.tell(|| gate.is_shut.store(true, Ordering::SeqCst));
    let (say, outcomes) = channel();
    for seq in 1..=8 {
        begin(&mut ledger, want(seq), &say);
    }
    // All of them pass while no answer does.
    gate.wait(|| gate.statements.load(Ordering::SeqCst) == before + 8);
    assert!(outcomes.try_recv().is_err());
    gate.tell(|| gate.is_shut.store(false, Ordering::SeqCst));
    let mut expected = memory([]);
    for seq in 1..=8 {
        assert_eq!(outcomes.recv().unwrap(), (Seq(seq), expected.apply(&want(seq))));
    }
    assert_eq!(ledger.image(), expected.image(), "another call comes behind them");
    drop(ledger);
    way.join().unwrap();
}

#[test]
fn of_batches_that_a_broken_connection_leaves_open_each_is_away_and_may_be_sent_again() {
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("broken");
    ledger.open(NodeId(1)).unwrap();
    for seq in 1..=2 {
        ledger.apply(&want(seq)).unwrap();
    }
    client.batch_execute("BEGIN; SELECT FROM nodes FOR UPDATE").unwrap();
    let (say, outcomes) = channel();
    for seq in 3..=5 {
        begin(&mut ledger, want(seq), &say);
    }
    let mut other = server.client();
    let process = waiting(&mut other, "broken", "transactionid");
    other.execute("SELECT pg_terminate_backend($1)", &[&process]).unwrap();
    for seq in 3..=5 {
        assert_eq!(outcomes.recv().unwrap(), (Seq(seq), Err(LedgerError::Away)));
    }
    client.batch_execute("ROLLBACK").unwrap();
    assert_eq!(ledger.image(), memory((1..=2).map(want)).image());
    for seq in [4, 3, 4, 5] {
        begin(&mut ledger, want(seq), &say);
    }
    let outcome = |seq| {
        let heard = outcomes.recv().unwrap();
        assert_eq!(heard.0, Seq(seq));
        heard.1
    };
    assert_eq!(outcome(4), Err(LedgerError::Gap { sent: Seq(4), expected: Seq(3) }));
    for seq in 3..=5 {
        outcome(seq).unwrap();
    }
    assert_eq!(ledger.image(), memory((1..=5).map(want)).image());
}

/// A node with several batches under way, whose connection is cut now and then.
struct Node {
    budgets: Budgets,
    ledger: PostgresLedger,
    say: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    now: u64,
    most: usize,
    under_way: BTreeMap<Seq, Batch>,
    permits: Vec<Permit<'static>>,
    refused: u64,
}

impl Node {
    fn step(&mut self, input: Input) {
        let effects = self.budgets.step(Time(self.now), input);
        assert!(effects.failed.is_none() && effects.lost.is_none(), "{:?}", effects.failed);
        for batch in effects.send {
            self.under_way.insert(batch.seq, batch.clone());
            begin(&mut self.ledger, batch, &self.say);
        }
        self.most = self.most.max(self.under_way.len());
        for (_, answer) in effects.replies {
            match answer {
                Ok(permit) => self.permits.push(permit),
                Err(_) => self.refused += 1,
            }
        }
    }

    fn hear(&mut self, (seq, outcome): Outcome) {
        if outcome.is_ok() {
            self.under_way.remove(&seq);
        }
        self.step(Input::Replied(seq, outcome));
    }

    /// Until nothing is under way; what has failed is sent again.
    fn settle(&mut self, input: fn() -> Input) {
        while self.budgets.is_waiting() {
            self.now += 1;
            self.step(input());
            let outcome = self.outcomes.recv().unwrap();
            self.hear(outcome);
        }
    }
}

#[test]
fn a_node_whose_connection_is_cut_spends_what_it_was_granted_and_no_more() {
    const KEYS: u64 = 40;
    const EACH: u64 = 6;
    let Some(server) = shared() else { return };
    let (mut ledger, mut client) = server.ledger_and_client("cut");
    let opened = ledger.open(NodeId(1)).unwrap();
    let mut budgets = Budgets::new(NodeId(1));
    budgets.set_depth(4);
    budgets.set_time_to_live(0);
    let flush = Flush { max_age_millis: 20, ..Policy::stock(Units(EACH)).flush };
    let policy = budgets.declare(Policy { flush, ..Policy::stock(Units(EACH)) });
    let (say, outcomes) = channel();
    let mut node = Node {
        budgets,
        ledger,
        say,
        outcomes,
        now: 0,
        most: 0,
        under_way: BTreeMap::new(),
        permits: Vec::new(),
        refused: 0,
    };
    node.step(Input::Opened(opened));
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'";
    let (mut cuts, mut asked) = (0, 0);
    let mut ask = |node: &mut Node, number: u64| {
        asked += 1;
        let request = RequestId(asked);
        node.step(Input::Consume { request, policy, key: key(number), units: Units(1) });
        asked
    };
    for number in 0..KEYS * (EACH + 2) {
        node.now += 3;
        ask(&mut node, number * 7 % KEYS);
        while let Ok(outcome) = node.outcomes.try_recv() {
            node.hear(outcome);
        }
        match number % 40 {
            20 => cuts += client.query(cut, &[]).unwrap().len(),
            39 => node.settle(|| Input::Tick),
            _ => {}
        }
    }
    assert!(cuts > 3 && node.most > 1, "{cuts} cuts, {} under way at the most", node.most);
    // Who was refused because the ledger was away had nothing; all that is left can be spent now.
    for number in 0..KEYS * EACH {
        node.settle(|| Input::Tick);
        ask(&mut node, number % KEYS);
    }
    node.settle(|| Input::Tick);
    let asked = ask(&mut node, 0);
    assert_eq!(node.permits.len() as u64, KEYS * EACH, "each key is spent to its last unit");
    node.step(Input::Close);
    node.settle(|| Input::Close);
    assert_eq!(node.permits.len() as u64 + node.refused, asked);
    let used: i64 = client.query_one("SELECT sum(used)::bigint FROM accounts", &[]).unwrap().get(0);
    assert_eq!(used as u64, KEYS * EACH);
}

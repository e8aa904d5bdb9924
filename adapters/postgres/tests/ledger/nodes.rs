//! Many nodes, each on a thread and a connection of its own, over the same keys.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use deltaic_postgres::PostgresLedger;
use deltaic_quota::conformance::{batch, entry};
use deltaic_quota::{
    Account, Budgets, Claim, Effects, Entry, Input, Key, Ledger, LedgerError, NodeId, Policy, PolicyId,
    RequestId, Time, Units,
};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::server::shared;

/// A node and its ledger: what it sends is carried over at once.
pub(crate) struct Node {
    ledger: PostgresLedger,
    budgets: Budgets,
    policy: PolicyId,
    now: u64,
    requests: u64,
    /// Whom it has declared dead.
    pub(crate) buried: Vec<NodeId>,
}

impl Node {
    /// A node that waits for others for ever: the clock of each runs by its own requests.
    pub(crate) fn new(mut ledger: PostgresLedger, id: u64, policy: Policy) -> Self {
        let opened = ledger.open(NodeId(id)).unwrap();
        let mut budgets = Budgets::new(NodeId(id));
        budgets.set_time_to_live(0);
        let policy = budgets.declare(policy);
        budgets.step(Time(0), Input::Opened(opened));
        Self { ledger, budgets, policy, now: 0, requests: 0, buried: Vec::new() }
    }

    pub(crate) fn set_time_to_live(&mut self, millis: u64) {
        self.budgets.set_time_to_live(millis);
    }

    fn step(&mut self, input: Input) -> Effects {
        let mut effects = self.budgets.step(Time(self.now), input);
        if let Some(before) = effects.ask_silent.take() {
            let silent = self.ledger.silent(before).unwrap();
            let then = self.budgets.step(Time(self.now), Input::Silent(silent));
            effects.send.extend(then.send);
            effects.replies.extend(then.replies);
            for dead in then.declare_dead {
                self.ledger.open(dead).unwrap();
                self.buried.push(dead);
            }
        }
        effects
    }

    /// Time passes; what is due is carried over.
    pub(crate) fn pass(&mut self, millis: u64) -> Result<(), LedgerError> {
        self.now += millis;
        let mut effects = self.step(Input::Tick);
        loop {
            if let Some(error) = effects.failed {
                return Err(error);
            }
            let Some(batch) = effects.send.pop() else { return Ok(()) };
            let outcome = self.ledger.apply(&batch);
            effects = self.step(Input::Replied(batch.seq, outcome));
        }
    }

    /// Whether a unit of the key was admitted; an error if the ledger refuses this node for good.
    pub(crate) fn spend(&mut self, key: &Key) -> Result<bool, LedgerError> {
        self.requests += 1;
        self.now += 10;
        let request = RequestId(self.requests);
        let (policy, key) = (self.policy, key.clone());
        let mut effects = self.step(Input::Consume { request, policy, key, units: Units(1) });
        loop {
            if let Some(error) = effects.failed {
                return Err(error);
            }
            if let Some((_, answer)) = effects.replies.into_iter().find(|(asked, _)| *asked == request) {
                // What is under way is answered before anything else happens.
                let mut next = effects.send;
                while let Some(batch) = next.pop() {
                    let outcome = self.ledger.apply(&batch);
                    next = self.step(Input::Replied(batch.seq, outcome)).send;
                }
                return Ok(answer.is_ok());
            }
            let next = match effects.send.pop() {
                Some(batch) => Input::Replied(batch.seq, self.ledger.apply(&batch)),
                None => Input::Tick,
            };
            effects = self.step(next);
        }
    }
}

const LIMIT: u64 = 301;

#[test]
fn the_last_token_is_given_once_over_all_nodes() {
    let Some(server) = shared() else { return };
    let settings = server.settings();
    let keys: Vec<Key> = ["a", "b", "c"].map(|name| Key::new(name.as_bytes()).unwrap()).into();
    let admitted: [AtomicU64; 3] = Default::default();
    let (nodes, start) = (4, Barrier::new(4));
    thread::scope(|scope| {
        for id in 0..nodes {
            let (settings, keys, admitted, start) = (settings.clone(), &keys, &admitted, &start);
            scope.spawn(move || {
                let ledger = PostgresLedger::connect(settings).unwrap();
                let mut node = Node::new(ledger, id, Policy::stock(Units(LIMIT)));
                start.wait();
                // Until all is spent: units that a node sends home are another's.
                for turn in 0..100_000 {
                    let place = (turn + id as usize) % keys.len();
                    if node.spend(&keys[place]).unwrap() {
                        let before = admitted[place].fetch_add(1, Ordering::SeqCst);
                        assert!(before < LIMIT, "never more");
                    }
                    if admitted.iter().all(|units| units.load(Ordering::SeqCst) == LIMIT) {
                        break;
                    }
                }
                for key in keys {
                    assert!(!node.spend(key).unwrap(), "nothing is left for anybody");
                }
            });
        }
    });
    for (key, units) in keys.iter().zip(&admitted) {
        assert_eq!(units.load(Ordering::SeqCst), LIMIT, "{key}: exactly the limit");
    }
    let mut ledger = PostgresLedger::connect(settings).unwrap();
    for key in keys {
        let row = ledger.load(&Account::stock(key)).unwrap().unwrap().baseline;
        assert_eq!((row.limit.0, row.used.0 + row.reserved.0), (LIMIT, LIMIT));
    }
}

#[test]
fn nodes_wait_for_each_other_and_never_in_a_circle() {
    let Some(server) = shared() else { return };
    let settings = server.settings();
    let account = |number: u64| Account::stock(Key::new(format!("key {number:02}").as_bytes()).unwrap());
    let (nodes, batches, start) = (5_u64, 40_u64, Barrier::new(5));
    let claimed = AtomicU64::new(0);
    thread::scope(|scope| {
        for id in 0..nodes {
            let (settings, start, claimed) = (settings.clone(), &start, &claimed);
            scope.spawn(move || {
                let mut ledger = PostgresLedger::connect(settings).unwrap();
                let mut epoch = ledger.open(NodeId(id)).unwrap().epoch.0;
                start.wait();
                let mut seq = 0;
                for turn in 0..batches {
                    // In any order, with keys that are new to all: the function's order is what counts.
                    let mut random = (id * batches + turn + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let mut entries: Vec<Entry> = Vec::new();
                    while entries.len() < 8 {
                        random =
                            random.rotate_left(21).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(turn + 1);
                        let account = account((random >> 32) % (turn / 2 + 10));
                        if entries.iter().all(|entry| entry.account != account) {
                            entries.push(Entry {
                                claim: Claim::Units(Units(1)),
                                ..entry(&account, Units(1 << 40))
                            });
                        }
                    }
                    seq += 1;
                    ledger.apply(&batch(NodeId(id), epoch, seq, entries)).unwrap();
                    claimed.fetch_add(8, Ordering::Relaxed);
                    // A start in between burns leases, under the same locks.
                    if turn % 13 == 12 {
                        (epoch, seq) = (ledger.open(NodeId(id)).unwrap().epoch.0, 0);
                    }
                }
            });
        }
    });
    let mut ledger = PostgresLedger::connect(settings).unwrap();
    let rows = (0..nodes * batches).filter_map(|number| ledger.load(&account(number)).unwrap());
    let held: u64 = rows.map(|row| row.baseline.used.0 + row.baseline.reserved.0).sum();
    assert_eq!(held, claimed.into_inner(), "every unit that was granted is used or reserved");
    let text = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'";
    assert_eq!(server.client().query_one(text, &[]).unwrap().get::<_, i64>(0), 0);
}

/// Which node asks, how often, and what time passes for all.
fn demand() -> impl Strategy<Value = Vec<(usize, u64, u64)>> {
    let skewed = prop_oneof![4 => Just(0_usize), 1 => 0_usize..4];
    proptest::collection::vec((skewed, 1_u64..12, 0_u64..2_000), 0..30)
}

#[test]
fn the_last_unit_is_admitted_wherever_it_is_asked_for() {
    let Some(server) = shared() else { return };
    let key = Key::new(b"k").unwrap();
    let config = Config { cases: 6, failure_persistence: None, ..Config::default() };
    let inputs = (2_usize..5, 1_u64..80, demand(), 0_usize..4);
    let outcome = TestRunner::new(config).run(&inputs, |(count, limit, demand, asking)| {
        let settings = server.settings();
        let connect = |_| PostgresLedger::connect(settings.clone()).unwrap();
        let mut ledgers = (0..=count).map(connect);
        let mut reader = ledgers.next().unwrap();
        let mut nodes: Vec<Node> =
            ledgers.zip(0..).map(|(ledger, id)| Node::new(ledger, id, Policy::stock(Units(limit)))).collect();
        for node in &mut nodes {
            node.set_time_to_live(30_000);
        }
        let mut admitted = 0;
        let mut turn = |nodes: &mut Vec<Node>, place: usize, times: u64, millis: u64| {
            for _ in 0..times {
                admitted += u64::from(nodes[place].spend(&key).unwrap());
            }
            for node in nodes.iter_mut() {
                node.pass(millis).unwrap();
            }
            admitted
        };
        for (place, times, millis) in demand {
            prop_assert!(turn(&mut nodes, place % count, times, millis) <= limit);
        }
        // One goes on to ask, the others rest.
        for _ in 0..limit + 25 {
            turn(&mut nodes, asking % count, 1, 1_100);
        }
        prop_assert_eq!(turn(&mut nodes, 0, 0, 0), limit, "exactly the limit, and nothing is stranded");
        let row = reader.load(&Account::stock(key.clone())).unwrap().unwrap().baseline;
        prop_assert_eq!(row.used.0 + row.reserved.0, limit);
        prop_assert!(nodes.iter().all(|node| node.buried.is_empty()));
        Ok(())
    });
    outcome.unwrap();
}

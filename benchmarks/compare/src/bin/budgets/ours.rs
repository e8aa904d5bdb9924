//! Deltaic: admission by a handle, under leases that were granted before, or that a thread fetches meanwhile.
//!
//! Invariant: what is admitted is covered by a row of the ledger that was written before it; the ledger is in memory here,
//! so that its rows cost what the node makes of them and no disk decides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use deltaic_quota::{
    Budgets as Node, Chunk, Effects, Handle, Input, Key, Ledger, MemoryLedger, NodeId, Policy, PolicyId,
    Reason, RequestId, Time, Units, Window,
};
use rustc_hash::FxHashMap;

use crate::driver::{Budgets, Contestant, Cost, Limiter, Run, drive};

/// A node with its ledger, and what went between them.
struct World {
    node: Node,
    ledger: MemoryLedger,
    policy: PolicyId,
    cost: Cost,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut node = Node::new(NodeId(1));
        let policy = node.declare(policy);
        let mut ledger = MemoryLedger::new();
        let opened = ledger.open(NodeId(1)).expect("a ledger in memory opens");
        let mut world = Self { node, ledger, policy, cost: Cost::default() };
        let effects = world.node.step(Time(0), Input::Opened(opened));
        world.settle(Time(0), effects);
        world
    }

    fn settle(&mut self, now: Time, mut effects: Effects) {
        for (_, permit) in effects.replies.drain(..) {
            permit.expect("the budget is fresh").refund();
        }
        while let Some(batch) = effects.send.pop() {
            self.cost.rows += batch.entries.len() as u64;
            self.cost.calls += 1;
            self.cost.bytes += batch.encode().len() as u64;
            let reply = self.ledger.apply(&batch);
            effects = self.node.step(now, Input::Replied(batch.seq, reply));
            for (_, permit) in effects.replies.drain(..) {
                permit.expect("the budget is fresh").refund();
            }
        }
    }

    /// The lease of a key, of so much.
    fn lease(&mut self, now: Time, key: &Key, units: Units) -> Handle {
        let ask = Input::Consume { request: RequestId(0), policy: self.policy, key: key.clone(), units };
        let effects = self.node.step(now, ask);
        self.settle(now, effects);
        self.node.handle(now, self.policy, key)
    }

    fn look(&mut self) {
        self.cost.exposure = self.cost.exposure.max(self.node.metrics().wrong_at_most.under.0);
    }
}

fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).expect("a name is short")
}

fn clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    Time(since.as_millis() as u64)
}

/// All of the budget is leased before the first request: admission alone is measured.
pub struct Leased;

struct Held {
    names: Vec<String>,
    handles: FxHashMap<String, Handle>,
    cost: Cost,
}

impl Contestant for Leased {
    fn name(&self) -> &'static str {
        "Deltaic, leased before"
    }

    fn open(&self, budgets: &Budgets, _refunds: bool) -> Option<Box<dyn Limiter>> {
        let mut world = World::new(Policy::stock(Units(budgets.units)));
        let lease = |name: &String| (name.clone(), world.lease(Time(0), &key(name), Units(budgets.units)));
        let handles = budgets.keys.iter().map(lease).collect();
        world.look();
        Some(Box::new(Held { names: budgets.keys.clone(), handles, cost: world.cost }))
    }
}

fn admit(handle: &mut Handle, now: Time, refunds: bool) -> bool {
    match handle.try_consume(now, Units(1)) {
        Ok(permit) if refunds => permit.refund(),
        Ok(permit) => drop(permit),
        Err(_) => return false,
    }
    true
}

impl Limiter for Held {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        let mut handles = self.handles.clone();
        if let [name] = &self.names[..] {
            let handle = handles.get_mut(name).expect("every key has a handle");
            return drive(stream, refunds, start, |_, back| admit(handle, Time(0), back));
        }
        drive(stream, refunds, start, |key, back| {
            let handle = handles.get_mut(&self.names[key]).expect("every key has a handle");
            admit(handle, Time(0), back)
        })
    }

    fn cost(&self) -> Option<Cost> {
        Some(self.cost)
    }
}

/// A rate with a burst, as governor and throttlecrab have it, with the clock read for each request as they do.
pub struct Bucket;

struct Buckets(Held);

impl Contestant for Bucket {
    fn name(&self) -> &'static str {
        "Deltaic, a bucket with its clock"
    }

    fn open(&self, budgets: &Budgets, refunds: bool) -> Option<Box<dyn Limiter>> {
        let window = Window::Bucket { millis: budgets.units * 60_000, burst: Units(budgets.units) };
        let mut world = World::new(Policy { window, ..Policy::stock(Units(budgets.units)) });
        let now = clock();
        let lease = |name: &String| (name.clone(), world.lease(now, &key(name), Units(budgets.units)));
        let handles = budgets.keys.iter().map(lease).collect();
        world.look();
        let held = Held { names: budgets.keys.clone(), handles, cost: world.cost };
        (!refunds).then(|| Box::new(Buckets(held)) as Box<dyn Limiter>)
    }
}

impl Limiter for Buckets {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        let mut handles = self.0.handles.clone();
        drive(stream, refunds, start, |key, back| {
            let handle = handles.get_mut(&self.0.names[key]).expect("every key has a handle");
            admit(handle, clock(), back)
        })
    }

    fn cost(&self) -> Option<Cost> {
        Some(self.0.cost)
    }
}

/// Leases of at most a 32nd of the budget, which a thread fetches while requests go on.
pub struct Refilled;

struct Fetching {
    held: Held,
    world: Arc<Mutex<World>>,
    fetcher: Thread,
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Contestant for Refilled {
    fn name(&self) -> &'static str {
        "Deltaic, leases fetched meanwhile"
    }

    fn open(&self, budgets: &Budgets, _refunds: bool) -> Option<Box<dyn Limiter>> {
        let part = Units((budgets.units / 32).max(1));
        let policy =
            Policy { chunk: Chunk { part: 1, nodes: 1, most: part }, ..Policy::stock(Units(budgets.units)) };
        let mut world = World::new(policy);
        let lease = |name: &String| (name.clone(), world.lease(Time(0), &key(name), part));
        let handles = budgets.keys.iter().map(lease).collect();
        let world = Arc::new(Mutex::new(world));
        let is_done = Arc::new(AtomicBool::new(false));
        let thread = {
            let (world, is_done) = (Arc::clone(&world), Arc::clone(&is_done));
            std::thread::spawn(move || fetch(&world, &is_done))
        };
        let held = Held { names: budgets.keys.clone(), handles, cost: Cost::default() };
        Some(Box::new(Fetching {
            held,
            world,
            fetcher: thread.thread().clone(),
            is_done,
            thread: Some(thread),
        }))
    }
}

/// Speaks to the ledger whenever a lease is low, and looks at least every millisecond.
fn fetch(world: &Mutex<World>, is_done: &AtomicBool) {
    let begun = Instant::now();
    while !is_done.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(1));
        let now = Time(begun.elapsed().as_millis() as u64);
        let mut world = world.lock().expect("nobody panics with the lock");
        let effects = world.node.step(now, Input::Tick);
        world.settle(now, effects);
        if begun.elapsed().subsec_millis() % 8 == 0 {
            world.look();
        }
    }
    world.lock().expect("nobody panics with the lock").look();
}

impl Limiter for Fetching {
    fn run(&self, stream: &[u32], refunds: bool, start: &Barrier) -> Run {
        let mut handles = self.held.handles.clone();
        drive(stream, refunds, start, |key, back| {
            let handle = handles.get_mut(&self.held.names[key]).expect("every key has a handle");
            loop {
                let reason = match handle.try_consume(Time(0), Units(1)) {
                    Ok(permit) if back => break permit.refund(),
                    Ok(permit) => break drop(permit),
                    Err(denied) => denied.reason,
                };
                if reason != Reason::Lease {
                    return false;
                }
                // The ledger may have more: it is waited for, and the waiting is in the time.
                self.fetcher.unpark();
                std::thread::yield_now();
            }
            true
        })
    }

    fn cost(&self) -> Option<Cost> {
        Some(self.world.lock().expect("nobody panics with the lock").cost)
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        self.fetcher.unpark();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread that fetches ends");
        }
    }
}

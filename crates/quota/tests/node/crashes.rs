//! Crashes at every step of the protocol, with a client that counts what it was told: never over, and under by at
//! most the bound that was printed.

use std::collections::VecDeque;

use deltaic_quota::{
    Account, Batch, Budgets, Chunk, Claim, Fault, FaultyLedger, Flush, Guarantee, Input, Ledger, LedgerError,
    MemoryLedger, NodeId, Permit, Policy, Reply, RequestId, Seq, Time, Units,
};
use proptest::prelude::*;

use crate::driver::key;

/// Where a message is when the process dies.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(u8, u8, u64),
    Direct(u8, u8, u64),
    Refund(u8, usize),
    Commit(u8, usize, u64),
    Tick(u8, u64),
    /// The ledger applies what is on its way to it.
    Apply(u8, Delivery),
    /// The node hears the answer.
    Hear(u8),
    Replay(usize),
    Crash(u8),
    Zombie,
    SetLimit(u8, u8, u64),
    Stop(u8),
}

#[derive(Debug, Clone, Copy)]
enum Delivery {
    None,
    Lost,
    LostAck,
    Refused,
    Twice,
}

struct Process {
    node: Budgets,
    policy: deltaic_quota::PolicyId,
    to_ledger: VecDeque<Batch>,
    to_node: VecDeque<(Seq, Result<Reply, LedgerError>)>,
    permits: Vec<(u8, Permit<'static>)>,
    /// Its leases are closed: what comes back later is not given to anybody.
    closing: bool,
}

struct Sim {
    /// Batches of a node that may be under way together.
    depth: usize,
    ledger: MemoryLedger,
    nodes: Vec<Process>,
    zombies: Vec<Process>,
    sent: Vec<Batch>,
    now: u64,
    requests: u64,
    /// What clients hold: admitted and not refunded.
    acknowledged: [u64; 2],
    /// The most by which both keys together may be under.
    bound: u64,
    limit: [u64; 2],
    most: [u64; 2],
}

const LIMIT: u64 = 60;

fn policy(guarantee: Guarantee) -> Policy {
    Policy {
        guarantee,
        flush: Flush { threshold: Units(5), low_water: Units(2), max_age_millis: 40, deadband: Units(1) },
        chunk: Chunk { part: 3, nodes: 2, most: Units(12) },
        idle_millis: 90,
        ..Policy::stock(Units(LIMIT))
    }
}

fn name(which: u8) -> deltaic_quota::Key {
    key(if which == 0 { "a" } else { "b" })
}

impl Sim {
    fn new(guarantee: Guarantee, depth: usize) -> Self {
        let mut sim = Self {
            depth,
            ledger: MemoryLedger::new(),
            nodes: Vec::new(),
            zombies: Vec::new(),
            sent: Vec::new(),
            now: 0,
            requests: 0,
            acknowledged: [0; 2],
            bound: 0,
            limit: [LIMIT; 2],
            most: [LIMIT; 2],
        };
        for id in 0..2 {
            let process = sim.boot(id, guarantee);
            sim.nodes.push(process);
        }
        sim
    }

    fn boot(&mut self, id: u8, guarantee: Guarantee) -> Process {
        let opened = self.ledger.open(NodeId(u64::from(id))).unwrap();
        let mut node = Budgets::new(NodeId(u64::from(id)));
        node.set_depth(self.depth);
        let policy = node.declare(policy(guarantee));
        node.step(Time(self.now), Input::Opened(opened));
        Process {
            node,
            policy,
            to_ledger: VecDeque::new(),
            to_node: VecDeque::new(),
            permits: Vec::new(),
            closing: false,
        }
    }

    /// The node's own word of what its end costs at the most.
    fn note_bound(&mut self, id: u8) {
        self.bound += self.nodes[usize::from(id)].node.metrics().wrong_at_most.under.0;
    }

    fn input(&mut self, id: u8, input: Input, zombie: bool) {
        let now = Time(self.now);
        let processes = if zombie { &mut self.zombies } else { &mut self.nodes };
        let process = &mut processes[usize::from(id)];
        let effects = process.node.step(now, input);
        assert_eq!(effects.lost, None, "this ledger loses nothing");
        for batch in effects.send {
            self.sent.push(batch.clone());
            process.to_ledger.push_back(batch);
        }
        for (request, answer) in effects.replies {
            if let Ok(permit) = answer {
                let which = (request.0 % 2) as u8;
                self.acknowledged[usize::from(which)] += permit.units().0;
                process.permits.push((which, permit));
            }
        }
    }

    fn run(&mut self, step: Step, guarantee: Guarantee) {
        match step {
            Step::Ask(id, which, n) => {
                self.requests += 2;
                let policy = self.nodes[usize::from(id)].policy;
                let request = RequestId(self.requests + u64::from(which));
                self.input(id, Input::Consume { request, policy, key: name(which), units: Units(n) }, false);
            }
            Step::Direct(id, which, n) => {
                let now = Time(self.now);
                let process = &mut self.nodes[usize::from(id)];
                let mut handle = process.node.handle(now, process.policy, &name(which));
                if let Ok(permit) = handle.try_consume_shared(now, Units(n)) {
                    self.acknowledged[usize::from(which)] += n;
                    process.permits.push((which, permit));
                }
            }
            Step::Refund(id, place) => {
                let node = &mut self.nodes[usize::from(id)];
                if !node.permits.is_empty() {
                    let (which, permit) = node.permits.swap_remove(place % node.permits.len());
                    self.bound += if node.closing { permit.units().0 } else { 0 };
                    self.acknowledged[usize::from(which)] -= permit.units().0;
                    permit.refund();
                }
            }
            Step::Commit(id, place, n) => {
                let node = &mut self.nodes[usize::from(id)];
                if !node.permits.is_empty() {
                    let (which, permit) = node.permits.swap_remove(place % node.permits.len());
                    let units = permit.units().0;
                    self.bound += if node.closing { units.saturating_sub(n) } else { 0 };
                    if permit.commit(Units(n)).is_ok() {
                        let told = &mut self.acknowledged[usize::from(which)];
                        *told = *told - units + n;
                    }
                }
            }
            Step::Tick(id, millis) => {
                self.now += millis;
                self.input(id, Input::Tick, false);
            }
            Step::Apply(id, fault) => self.apply(id, fault, false),
            Step::Hear(id) => {
                if let Some((seq, answer)) = self.nodes[usize::from(id)].to_node.pop_front() {
                    self.input(id, Input::Replied(seq, answer), false);
                }
            }
            Step::Replay(place) => {
                if !self.sent.is_empty() {
                    let late = self.sent[place % self.sent.len()].clone();
                    let before = self.ledger.image().unwrap();
                    // It may be one that the ledger has not seen yet: then its node still waits for it.
                    let life = |sent: &&Batch| (sent.node, sent.epoch) == (late.node, late.epoch);
                    let last = self.sent.iter().filter(life).map(|sent| sent.seq).max();
                    let fresh = last.is_some_and(|last| late.seq.0 + self.depth as u64 > last.0);
                    if !fresh {
                        let _ = self.ledger.apply(&late);
                        assert_eq!(self.ledger.image().unwrap(), before, "a late batch changes no byte");
                    }
                }
            }
            Step::Crash(id) => {
                self.note_bound(id);
                let fresh = self.boot(id, guarantee);
                let dead = std::mem::replace(&mut self.nodes[usize::from(id)], fresh);
                // It is stopped and not dead, and goes on later.
                self.zombies = vec![dead];
            }
            Step::Zombie => {
                if !self.zombies.is_empty() {
                    let before = self.ledger.image().unwrap();
                    let now = Time(self.now);
                    let zombie = &mut self.zombies[0];
                    let mut handle = zombie.node.handle(now, zombie.policy, &name(0));
                    // What it spends was burnt: it is in the bound already, and told to its client all the same.
                    if let Ok(permit) = handle.try_consume_shared(now, Units(1)) {
                        self.acknowledged[0] += 1;
                        drop(permit);
                    }
                    self.input(0, Input::Tick, true);
                    self.apply(0, Delivery::None, true);
                    assert_eq!(self.ledger.image().unwrap(), before, "a zombie changes no byte");
                }
            }
            Step::SetLimit(id, which, n) => {
                let policy = self.nodes[usize::from(id)].policy;
                self.limit[usize::from(which)] = n;
                let most = &mut self.most[usize::from(which)];
                *most = (*most).max(n);
                self.input(id, Input::SetLimit { policy, key: name(which), limit: Units(n) }, false);
            }
            Step::Stop(id) => {
                self.nodes[usize::from(id)].closing = true;
                self.input(id, Input::Close, false);
            }
        }
        self.check(guarantee);
    }

    fn apply(&mut self, id: u8, fault: Delivery, zombie: bool) {
        let processes = if zombie { &mut self.zombies } else { &mut self.nodes };
        let process = &mut processes[usize::from(id)];
        let Some(batch) = process.to_ledger.pop_front() else { return };
        let bytes = batch.encode();
        let answer = match fault {
            Delivery::None => self.ledger.apply(&batch),
            Delivery::Twice => {
                let first = self.ledger.apply(&batch);
                let image = self.ledger.image().unwrap();
                assert_eq!(self.ledger.apply(&batch), first);
                assert_eq!(self.ledger.image().unwrap(), image, "a doubled batch changes no byte");
                first
            }
            Delivery::Lost => Err(LedgerError::Away),
            Delivery::LostAck => self.ledger.apply(&batch).and(Err(LedgerError::Away)),
            Delivery::Refused => Err(LedgerError::Refused { why: "full" }),
        };
        let seq = batch.seq;
        assert_eq!(Batch::decode(&bytes), Ok(batch));
        process.to_node.push_back((seq, answer));
    }

    /// Whatever was told to clients, the ledger has room for it in what is used and reserved.
    fn check(&mut self, guarantee: Guarantee) {
        for which in 0..2 {
            let told = self.acknowledged[which];
            assert!(told <= self.most[which], "over: {told} of {} told", self.most[which]);
            if guarantee == Guarantee::Volatile {
                continue;
            }
            let loaded = self.ledger.load(&Account::stock(name(which as u8))).unwrap().unwrap_or_default();
            let covered = loaded.baseline.used.0 + loaded.baseline.reserved.0;
            assert!(told <= covered, "{told} told, {covered} covered");
        }
    }

    /// Everything comes to rest: what the ledger says is spent is what clients were told, and what crashes burnt.
    fn finish(mut self, guarantee: Guarantee) {
        for id in 0..2 {
            let permits = std::mem::take(&mut self.nodes[usize::from(id)].permits);
            drop(permits);
            self.input(id, Input::Close, false);
            for _ in 0..300 {
                self.apply(id, Delivery::None, false);
                match self.nodes[usize::from(id)].to_node.pop_front() {
                    Some((seq, answer)) => self.input(id, Input::Replied(seq, answer), false),
                    None => self.input(id, Input::Tick, false),
                }
            }
            assert!(!self.nodes[usize::from(id)].node.is_waiting(), "a node that closes comes to rest");
        }
        self.check(guarantee);
        let used: u64 = (0..2).map(|which| self.ledger.used(&name(which)).0).sum();
        let told: u64 = self.acknowledged.iter().sum();
        assert!(used - told <= self.bound, "{used} used, {told} told, bound {}", self.bound);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let faults = prop_oneof![
        6 => Just(Delivery::None),
        1 => Just(Delivery::Lost),
        1 => Just(Delivery::LostAck),
        1 => Just(Delivery::Refused),
        1 => Just(Delivery::Twice),
    ];
    let step = prop_oneof![
        5 => (0_u8..2, 0_u8..2, 0_u64..9).prop_map(|(id, which, n)| Step::Ask(id, which, n)),
        6 => (0_u8..2, 0_u8..2, 0_u64..5).prop_map(|(id, which, n)| Step::Direct(id, which, n)),
        3 => (0_u8..2, any::<usize>()).prop_map(|(id, place)| Step::Refund(id, place)),
        2 => (0_u8..2, any::<usize>(), 0_u64..9).prop_map(|(id, place, n)| Step::Commit(id, place, n)),
        5 => (0_u8..2, 0_u64..60).prop_map(|(id, millis)| Step::Tick(id, millis)),
        8 => (0_u8..2, faults).prop_map(|(id, fault)| Step::Apply(id, fault)),
        8 => (0_u8..2).prop_map(Step::Hear),
        2 => any::<usize>().prop_map(Step::Replay),
        1 => (0_u8..2).prop_map(Step::Crash),
        1 => Just(Step::Zombie),
        1 => (0_u8..2, 0_u8..2, 0_u64..90).prop_map(|(id, which, n)| Step::SetLimit(id, which, n)),
        1 => (0_u8..2).prop_map(Step::Stop),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn escrow_is_never_over_and_under_by_its_bound(steps in steps(), depth in 1_usize..4) {
        run(steps, Guarantee::Escrow, depth);
    }

    #[test]
    fn group_commit_is_never_over_and_under_by_its_bound(steps in steps(), depth in 1_usize..4) {
        run(steps, Guarantee::GroupCommit, depth);
    }
}

fn run(steps: Vec<Step>, guarantee: Guarantee, depth: usize) {
    let mut sim = Sim::new(guarantee, depth);
    for step in steps {
        sim.run(step, guarantee);
    }
    sim.finish(guarantee);
}

/// The whole matrix on one key: the process dies before and after each of the six moments of a batch, at each batch.
#[test]
fn a_crash_at_every_step_of_every_batch() {
    let mut points = 0;
    for stop in 0..60 {
        let mut sim = Sim::new(Guarantee::Escrow, 1 + stop % 3);
        let script = [
            Step::Ask(0, 0, 4),
            Step::Apply(0, Delivery::None),
            Step::Hear(0),
            Step::Direct(0, 0, 1),
            Step::Tick(0, 50),
            Step::Apply(0, Delivery::LostAck),
            Step::Hear(0),
            Step::Tick(0, 1),
            Step::Apply(0, Delivery::None),
            Step::Hear(0),
            Step::Refund(0, 0),
            Step::Tick(0, 50),
        ];
        for (moment, step) in script.iter().cycle().take(60).enumerate() {
            if moment == stop {
                sim.run(Step::Crash(0), Guarantee::Escrow);
                sim.run(Step::Zombie, Guarantee::Escrow);
                points += 1;
            }
            sim.run(*step, Guarantee::Escrow);
        }
        sim.finish(Guarantee::Escrow);
    }
    assert_eq!(points, 60);
}

/// The other side of the bound: without cover a crash gives again what was not flushed, and no more.
#[test]
fn volatile_is_over_by_at_most_what_its_bound_said() {
    let volatile = Policy { guarantee: Guarantee::Volatile, ..policy(Guarantee::Volatile) };
    let mut world = crate::driver::World::new(volatile);
    assert!(world.spend("a", 10));
    let mut handle = world.handle("a");
    for _ in 0..30 {
        handle.try_consume_shared(Time(0), Units(1)).unwrap().commit(Units(1)).unwrap();
    }
    let bound = handle.accumulator().unwrap().available().bound;
    assert_eq!((bound.under, bound.over), (Units(0), Units(40)));
    let before = world.used("a");
    let mut world = world.crash(volatile);
    let mut again = 0;
    while world.spend("a", 1) {
        again += 1;
    }
    assert_eq!((before, again), (0, 60));
    assert!(40 + again <= LIMIT + bound.over.0);
}

/// A refund that was not flushed is lost: what the ledger has as spent is not given again.
#[test]
fn volatile_is_under_by_at_most_the_refunds_that_its_bound_said() {
    let volatile = policy(Guarantee::Volatile);
    let mut world = crate::driver::World::new(volatile);
    let permit = world.consume("a", 20).unwrap();
    world.pass(100);
    assert_eq!(world.used("a"), 20);
    permit.refund();
    let bound = world.handle("a").accumulator().unwrap().available().bound;
    assert_eq!((bound.under, bound.over), (Units(20), Units(0)));
    let mut world = world.crash(volatile);
    let mut again = 0;
    while world.spend("a", 1) {
        again += 1;
    }
    assert_eq!(again, LIMIT - 20);
}

#[test]
fn every_fault_of_the_list_is_survived() {
    let faults = [
        Fault::TimeoutBefore,
        Fault::TimeoutAfter,
        Fault::Duplicate,
        Fault::Reorder,
        Fault::Refuse,
        Fault::None,
    ];
    for first in faults {
        for second in faults {
            let mut ledger = FaultyLedger::new(MemoryLedger::new());
            for fault in [first, second, second, first] {
                ledger.plan(fault);
            }
            let mut world = crate::driver::World::on(ledger, NodeId(1), policy(Guarantee::Escrow));
            let mut told = 0;
            for _ in 0..200 {
                world.now += 7;
                told += u64::from(world.spend("a", 1));
            }
            world.close();
            assert_eq!(world.used("a"), told, "{first:?} {second:?}");
            assert!(
                (LIMIT - 2..=LIMIT).contains(&told),
                "{told}: all is spent but what was asked while away"
            );
        }
    }
}

#[test]
fn a_claim_is_never_spent_before_its_answer() {
    let mut world = crate::driver::World::new(policy(Guarantee::Escrow));
    let mut handle = world.handle("a");
    assert!(handle.try_consume(Time(0), Units(1)).is_err());
    let batch = world.step(Input::Tick).send.pop().unwrap();
    assert_eq!(batch.entries[0].claim, Claim::Units(Units(1)));
    world.ledger.apply(&batch).unwrap();
    assert!(handle.try_consume(Time(0), Units(1)).is_err(), "written, and not answered");
}

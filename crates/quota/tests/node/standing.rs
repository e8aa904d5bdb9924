//! Shares of every window: no rows for windows and keys, and never over, whatever crashes and whatever the clock says.

use std::collections::{BTreeMap, VecDeque};

use deltaic_quota::{
    Batch, Budgets, Chunk, Flush, Guarantee, Input, Ledger, LedgerError, Limit, MemoryLedger, NodeId, Permit,
    Policy, PolicyError, PolicyId, Reason, Reply, RequestId, Seq, Time, Units, WhenAway, Window,
};
use proptest::prelude::*;

use crate::driver::{World, key};

const LENGTH: u64 = 100;
const LIMIT: u64 = 20;
/// Of a policy's `max_age` four times: so long before a window the horizon is moved over it.
const LEAD: u64 = 20;

fn policy(nodes: u64) -> Policy {
    Policy {
        window: Window::Fixed { millis: LENGTH, offset: 0 },
        guarantee: Guarantee::Standing,
        flush: Flush { max_age_millis: LEAD / 4, ..Flush::default() },
        chunk: Chunk { nodes, ..Chunk::default() },
        idle_millis: 10,
        ..Policy::stock(Units(LIMIT))
    }
}

/// A node that has its share from window 1 on.
fn standing(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.settle();
    world.now = LENGTH - 1;
    world.pass(0);
    world.now = LENGTH;
    world.pass(0);
    world
}

#[test]
fn a_thousand_keys_in_a_hundred_windows_cost_a_row_for_each_policy_and_node() {
    let mut ledger = MemoryLedger::new();
    let mut rows = 0;
    for id in 0..2 {
        let mut node = Budgets::new(NodeId(id));
        let opened = ledger.open(NodeId(id)).unwrap();
        let policies =
            [policy(2), Policy { limit: Limit::Of(Units(6)), ..policy(2) }].map(|one| node.declare(one));
        let mut send = node.step(Time(0), Input::Opened(opened)).send;
        let mut admitted = 0;
        for now in (0..101 * LENGTH).step_by(5) {
            while let Some(batch) = send.pop() {
                send = node.step(Time(now), Input::Replied(batch.seq, ledger.apply(&batch))).send;
            }
            send = node.step(Time(now), Input::Tick).send;
            if now % LENGTH == 50 {
                for name in 0..1_000 {
                    let key = key(&format!("{name}"));
                    let mut handle = node.handle(Time(now), policies[name % 2], &key);
                    admitted += u64::from(handle.try_consume(Time(now), Units(1)).is_ok());
                }
            }
        }
        assert_eq!(admitted, 1_000 * 100, "all but the window of the start");
        assert_eq!(node.metrics().rows, 2);
        rows += node.metrics().rows;
        assert!(node.metrics().batches <= 102, "a horizon for each window");
    }
    assert_eq!(rows, 4);
    assert_eq!(ledger.rows(), 2 + 4, "accounts and leases");
}

#[test]
fn each_window_and_key_has_the_share_and_says_when_there_is_more() {
    let mut world = standing(policy(2));
    for window in 1..6 {
        world.now = window * LENGTH;
        world.pass(0);
        for name in ["a", "b"] {
            assert!(world.spend(name, LIMIT / 2));
            let denied = world.consume(name, 1).unwrap_err();
            let ends = Some(Time((window + 1) * LENGTH));
            assert_eq!((denied.reason, denied.retry_after), (Reason::Exhausted, ends));
        }
        world.pass(50);
        assert!(!world.spend("a", 1), "it is not forgotten while its window lasts");
        world.now = (window + 1) * LENGTH - 1;
        world.pass(0);
    }
}

#[test]
fn after_a_start_only_windows_from_the_horizon_on_are_spent() {
    for (crash_at, first) in [(LENGTH, 200), (LENGTH + 79, 200), (LENGTH + 80, 300), (2 * LENGTH - 1, 300)] {
        let mut world = standing(policy(1));
        world.now = crash_at;
        world.pass(0);
        assert!(world.spend("k", LIMIT - 1));
        let bound = world.node.metrics().wrong_at_most;
        let next = if first == 300 { LIMIT } else { 0 };
        assert_eq!((bound.under, bound.over), (Units(1 + next), Units(0)));
        let mut world = world.crash(policy(1));
        world.settle();
        world.pass(0);
        let denied = world.consume("k", 1).unwrap_err();
        assert_eq!((denied.reason, denied.retry_after), (Reason::Horizon, Some(Time(first))));
        let tell = |now: u64, world: &mut World| {
            world.now = now;
            world.pass(0);
            world.spend("k", 1)
        };
        assert!((crash_at..first).step_by(7).all(|now| !tell(now, &mut world)));
        assert!(tell(first, &mut world), "{crash_at}");
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_open_a_window_again() {
    let mut world = standing(policy(1));
    world.now = 5 * LENGTH;
    world.pass(0);
    assert!(world.spend("k", LIMIT));
    world.close();
    let mut world = world.crash(policy(1));
    world.now = 2 * LENGTH;
    world.settle();
    world.pass(0);
    for now in 2 * LENGTH..6 * LENGTH {
        world.now = now;
        world.pass(0);
        let denied = world.consume("k", 1).unwrap_err();
        assert_eq!((denied.reason, denied.retry_after), (Reason::Horizon, Some(Time(6 * LENGTH))), "{now}");
    }
    world.now = 6 * LENGTH;
    world.pass(0);
    assert!(world.spend("k", LIMIT));
}

#[test]
fn a_share_changes_with_the_next_window() {
    let mut world = standing(policy(1));
    for (limit, before) in [(30, LIMIT), (4, 30), (4, 4)] {
        let window = world.now / LENGTH;
        let set = Input::SetLimit { policy: world.policy, key: key("any"), limit: Units(limit) };
        world.step(set);
        world.settle();
        world.pass(1);
        assert!(world.spend("a", before) && !world.spend("a", 1), "the window that runs keeps {before}");
        let row = deltaic_quota::Account { key: key("\0standing/0"), window: deltaic_quota::WindowId::EVERY };
        let held = |world: &mut World| world.ledger.load(&row).unwrap().unwrap().baseline.reserved.0;
        assert!(held(&mut world) >= before, "what may be spent is held");
        world.now = (window + 1) * LENGTH - 1;
        world.pass(0);
        world.now = (window + 1) * LENGTH;
        world.pass(0);
        assert!(world.spend("b", limit) && !world.spend("b", 1));
        world.pass(10);
        assert_eq!(held(&mut world), limit, "and the rest goes home");
    }
}

#[test]
fn a_window_is_not_begun_without_its_horizon() {
    let mut world = standing(policy(1));
    world.now = 2 * LENGTH - 1;
    let batch = world.step(Input::Tick).send.pop().unwrap();
    assert!(batch.entries.is_empty() && batch.horizon == Time(2 * LENGTH + 1));
    world.now = 2 * LENGTH;
    let denied = world.handle("k").try_consume(Time(world.now), Units(1)).unwrap_err();
    assert_eq!((denied.reason, denied.retry_after), (Reason::Horizon, None));
    let reply = world.ledger.apply(&batch);
    world.step(Input::Replied(batch.seq, reply));
    assert!(world.handle("k").try_consume(Time(world.now), Units(LIMIT)).is_ok());
}

#[test]
fn only_windows_that_begin_anew_can_stand() {
    let mut node = Budgets::new(NodeId(1));
    let windows = [
        (Window::None, Err(PolicyError::StandingNeedsWindows)),
        (Window::Sliding { millis: 9, parts: 3 }, Err(PolicyError::StandingNeedsWindows)),
        (Window::Bucket { millis: 9, burst: Units(3) }, Err(PolicyError::BucketNeedsEscrow)),
        (Window::Month, Ok(())),
    ];
    for (window, outcome) in windows {
        let declared = node.try_declare(Policy { window, ..policy(1) });
        assert_eq!(declared.map(|_| ()), outcome);
        assert!(declared.err().is_none_or(|error| error.to_string().contains("choose")));
    }
    let open = Policy { when_away: WhenAway::Open, ..policy(1) };
    assert_eq!(node.try_declare(open), Err(PolicyError::StandingCannotBeOpen));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(usize, u8, u64),
    Direct(usize, u8, u64),
    Refund(usize, usize),
    Tick(usize, u64),
    Apply(usize, Delivery),
    Hear(usize),
    /// The process dies, or is stopped and goes on later; another begins, with a clock that may be set back.
    Crash(usize, u64),
    Close(usize),
    Zombie(u8, u64),
    /// Another node declares this one dead, which goes on until the ledger refuses it, and then begins anew.
    Bury(usize),
}

#[derive(Debug, Clone, Copy)]
enum Delivery {
    Whole,
    Lost,
    LostAnswer,
}

struct Process {
    node: Budgets,
    policy: PolicyId,
    /// Its clock may be behind that of others, and the node's own never steps back.
    clock: u64,
    to_ledger: VecDeque<Batch>,
    to_node: VecDeque<(Seq, Result<Reply, LedgerError>)>,
    permits: Vec<(u8, u64, Permit<'static>)>,
    is_buried: bool,
}

#[derive(Default)]
struct Sim {
    guarantee: Guarantee,
    /// Batches of a node that may be under way together.
    depth: usize,
    ledger: MemoryLedger,
    nodes: Vec<Process>,
    zombies: Vec<Process>,
    /// Admitted and not given back, by key and window.
    told: BTreeMap<(u8, u64), u64>,
    requests: u64,
    spent: u64,
}

impl Sim {
    fn new(guarantee: Guarantee, depth: usize) -> Self {
        let mut sim = Self { guarantee, depth, ..Self::default() };
        for id in 0..2 {
            let process = sim.boot(id, 0);
            sim.nodes.push(process);
        }
        sim
    }

    fn boot(&mut self, id: usize, clock: u64) -> Process {
        let opened = self.ledger.open(NodeId(id as u64)).unwrap();
        let mut node = Budgets::new(NodeId(id as u64));
        let policy = node.declare(Policy { guarantee: self.guarantee, ..policy(2) });
        node.set_depth(self.depth);
        let to_ledger = node.step(Time(clock), Input::Opened(opened)).send.into();
        Process {
            node,
            policy,
            clock,
            to_ledger,
            to_node: VecDeque::new(),
            permits: Vec::new(),
            is_buried: false,
        }
    }

    fn note(told: &mut BTreeMap<(u8, u64), u64>, process: &mut Process, which: u8, permit: Permit<'static>) {
        let window = process.clock / LENGTH;
        *told.entry((which, window)).or_default() += permit.units().0;
        process.permits.push((which, window, permit));
    }

    fn step(&mut self, id: usize, input: Input) {
        let process = &mut self.nodes[id];
        let effects = process.node.step(Time(process.clock), input);
        assert_eq!(effects.lost, None, "the ledger forgets nothing");
        if effects.failed.is_some() {
            assert!(process.is_buried, "the ledger takes what a node says");
            return self.run(Step::Crash(id, 0));
        }
        process.to_ledger.extend(effects.send);
        for (request, answer) in effects.replies {
            if let Ok(permit) = answer {
                Self::note(&mut self.told, process, (request.0 % 2) as u8, permit);
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Ask(id, which, n) => {
                self.requests += 2;
                let (policy, request) = (self.nodes[id].policy, RequestId(self.requests + u64::from(which)));
                self.step(
                    id,
                    Input::Consume { request, policy, key: key(&which.to_string()), units: Units(n) },
                );
            }
            Step::Direct(id, which, n) => {
                let process = &mut self.nodes[id];
                let now = Time(process.clock);
                let mut handle = process.node.handle(now, process.policy, &key(&which.to_string()));
                if let Ok(permit) = handle.try_consume_shared(now, Units(n)) {
                    Self::note(&mut self.told, process, which, permit);
                }
            }
            Step::Refund(id, place) => {
                let permits = &mut self.nodes[id].permits;
                if !permits.is_empty() {
                    let (which, window, permit) = permits.swap_remove(place % permits.len());
                    *self.told.get_mut(&(which, window)).unwrap() -= permit.units().0;
                    permit.refund();
                }
            }
            Step::Tick(id, millis) => {
                self.nodes[id].clock += millis;
                self.step(id, Input::Tick);
            }
            Step::Apply(id, delivery) => {
                if let Some(batch) = self.nodes[id].to_ledger.pop_front() {
                    let answer = match delivery {
                        Delivery::Whole => self.ledger.apply(&batch),
                        Delivery::Lost => Err(LedgerError::Away),
                        Delivery::LostAnswer => self.ledger.apply(&batch).and(Err(LedgerError::Away)),
                    };
                    self.nodes[id].to_node.push_back((batch.seq, answer));
                }
            }
            Step::Hear(id) => {
                if let Some((seq, answer)) = self.nodes[id].to_node.pop_front() {
                    // Those who wait go to the window that has begun before they are answered.
                    self.step(id, Input::Tick);
                    self.step(id, Input::Replied(seq, answer));
                }
            }
            Step::Crash(id, back) => {
                let clock = self.nodes[id].clock.saturating_sub(back);
                let fresh = self.boot(id, clock);
                self.zombies.push(std::mem::replace(&mut self.nodes[id], fresh));
            }
            Step::Close(id) => self.step(id, Input::Close),
            Step::Bury(id) => {
                self.ledger.open(NodeId(id as u64)).unwrap();
                self.nodes[id].is_buried = true;
            }
            Step::Zombie(which, n) => {
                if let Some(process) = self.zombies.last_mut() {
                    let now = Time(process.clock);
                    process.node.step(now, Input::Tick);
                    let mut handle = process.node.handle(now, process.policy, &key(&which.to_string()));
                    if let Ok(permit) = handle.try_consume_shared(now, Units(n)) {
                        Self::note(&mut self.told, process, which, permit);
                    }
                }
            }
        }
        for ((which, window), told) in &self.told {
            assert!(*told <= LIMIT, "{told} of key {which} in window {window}");
        }
        self.spent = self.told.values().sum();
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let deliveries =
        prop_oneof![8 => Just(Delivery::Whole), 1 => Just(Delivery::Lost), 1 => Just(Delivery::LostAnswer)];
    let step = prop_oneof![
        4 => (0_usize..2, 0_u8..2, 1_u64..9).prop_map(|(id, which, n)| Step::Ask(id, which, n)),
        4 => (0_usize..2, 0_u8..2, 1_u64..11).prop_map(|(id, which, n)| Step::Direct(id, which, n)),
        1 => (0_usize..2, any::<usize>()).prop_map(|(id, place)| Step::Refund(id, place)),
        6 => (0_usize..2, 0_u64..70).prop_map(|(id, millis)| Step::Tick(id, millis)),
        8 => (0_usize..2, deliveries).prop_map(|(id, delivery)| Step::Apply(id, delivery)),
        8 => (0_usize..2).prop_map(Step::Hear),
        1 => (0_usize..2, prop_oneof![Just(0_u64), 0_u64..400]).prop_map(|(id, back)| Step::Crash(id, back)),
        1 => (0_usize..2).prop_map(Step::Close),
        1 => (0_u8..2, 1_u64..9).prop_map(|(which, n)| Step::Zombie(which, n)),
        1 => (0_usize..2).prop_map(Step::Bury),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// With crashes, zombies, nodes that are declared dead while they live, lost messages and clocks that are apart and set back: no window has more than the limit.
    #[test]
    fn standing_is_never_over(steps in steps(), depth in 1_usize..4) {
        let mut sim = Sim::new(Guarantee::Standing, depth);
        for step in steps {
            sim.run(step);
        }
    }

    /// The same for leases, with the next window's among them.
    #[test]
    fn windows_that_are_leased_ahead_are_never_over(steps in steps(), depth in 1_usize..4) {
        let mut sim = Sim::new(Guarantee::Escrow, depth);
        for step in steps {
            sim.run(step);
        }
    }
}

/// The same steps do spend: a test that never admits shows nothing.
#[test]
fn the_simulation_spends_what_it_may() {
    let mut sim = Sim::default();
    for id in 0..2 {
        let process = sim.boot(id, 0);
        sim.nodes.push(process);
    }
    for round in 0..100 {
        for id in 0..2 {
            for step in
                [Step::Apply(id, Delivery::Whole), Step::Hear(id), Step::Ask(id, 0, 2), Step::Tick(id, 10)]
            {
                sim.run(step);
            }
        }
        if round == 50 {
            sim.run(Step::Crash(0, 0));
        }
    }
    assert!(sim.spent > 8 * LIMIT, "{} in ten windows", sim.spent);
}

//! Nodes that share a ledger: units go to where they are asked for, to the last one; and a node that is not heard of
//! ends, without anything being admitted twice.

use deltaic_quota::{
    Account, Batch, Budgets, Chunk, Effects, Epoch, Flush, Guarantee, Handle, Input, Ledger, LedgerError,
    MemoryLedger, NodeId, Permit, Policy, PolicyId, Reply, RequestId, Time, Units, WindowId,
};
use proptest::prelude::*;

use crate::driver::key;

const TIME_TO_LIVE: u64 = 30_000;

/// A node with a clock of its own. What it sends is carried over at once, unless its ledger is away.
struct Peer {
    node: Budgets,
    policy: PolicyId,
    /// Its clock is ahead of the first node's by so much.
    ahead: u64,
    is_cut_off: bool,
    failed: Option<LedgerError>,
    /// What it admitted, in its client's hands.
    permits: Vec<Permit<'static>>,
    batches: u64,
}

struct Cluster {
    ledger: MemoryLedger,
    peers: Vec<Peer>,
    now: u64,
    requests: u64,
    buried: Vec<NodeId>,
}

impl Cluster {
    fn new(count: u64, policy: Policy) -> Self {
        let mut cluster = Self {
            ledger: MemoryLedger::new(),
            peers: Vec::new(),
            now: 1_000_000,
            requests: 0,
            buried: Vec::new(),
        };
        for id in 0..count {
            let opened = cluster.ledger.open(NodeId(id)).unwrap();
            let mut node = Budgets::new(NodeId(id));
            node.set_time_to_live(TIME_TO_LIVE);
            let policy = node.declare(policy);
            node.step(Time(cluster.now), Input::Opened(opened));
            let (ahead, is_cut_off, failed) = (0, false, None);
            let (permits, batches) = (Vec::new(), 0);
            cluster.peers.push(Peer { node, policy, ahead, is_cut_off, failed, permits, batches });
        }
        cluster
    }

    /// A step, and all that follows from it. How many units it admitted.
    fn step(&mut self, place: usize, input: Input) -> u64 {
        let (mut next, mut admitted) = (Some(input), 0);
        while let Some(input) = next.take() {
            let peer = &mut self.peers[place];
            let Effects { send, replies, ask_silent, declare_dead, failed, lost, .. } =
                peer.node.step(Time(self.now + peer.ahead), input);
            assert_eq!(lost, None);
            for permit in replies.into_iter().filter_map(|(_, answer)| answer.ok()) {
                admitted += permit.units().0;
                peer.permits.push(permit);
            }
            peer.failed = failed.or(peer.failed.take());
            let is_cut_off = peer.is_cut_off;
            for dead in declare_dead {
                self.ledger.open(dead).unwrap();
                self.buried.push(dead);
            }
            if let Some(before) = ask_silent.filter(|_| !is_cut_off) {
                let silent = self.ledger.silent(before).unwrap();
                admitted += self.step(place, Input::Silent(silent));
            }
            next = send.first().map(|batch| Input::Replied(batch.seq, self.carry(place, batch)));
            if is_cut_off && matches!(next, Some(Input::Replied(_, Err(_)))) {
                let peer = &mut self.peers[place];
                peer.node.step(Time(self.now + peer.ahead), next.take().unwrap());
            }
        }
        admitted
    }

    fn carry(&mut self, place: usize, batch: &Batch) -> Result<Reply, LedgerError> {
        self.peers[place].batches += 1;
        if self.peers[place].is_cut_off { Err(LedgerError::Away) } else { self.ledger.apply(batch) }
    }

    fn ask(&mut self, place: usize, units: u64) -> u64 {
        self.requests += 1;
        let request = RequestId(self.requests);
        let policy = self.peers[place].policy;
        self.step(place, Input::Consume { request, policy, key: key("k"), units: Units(units) })
    }

    fn pass(&mut self, millis: u64) -> u64 {
        self.now += millis;
        (0..self.peers.len()).map(|place| self.step(place, Input::Tick)).sum()
    }

    fn handle(&mut self, place: usize) -> Handle {
        let peer = &mut self.peers[place];
        peer.node.handle(Time(self.now + peer.ahead), peer.policy, &key("k"))
    }

    fn row(&mut self) -> (u64, u64) {
        let row = self.ledger.load(&Account::stock(key("k"))).unwrap().unwrap().baseline;
        (row.used.0, row.reserved.0)
    }
}

fn policy(limit: u64, guarantee: Guarantee) -> Policy {
    Policy { guarantee, ..Policy::stock(Units(limit)) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whoever has asked for how much before: in the end those who still ask have admitted all there was, exactly.
    #[test]
    fn the_last_unit_is_admitted_wherever_it_is_asked_for(
        count in 2_u64..5,
        limit in 1_u64..400,
        group_commit: bool,
        // Most of the demand is at the first node.
        skewed in proptest::collection::vec((0_usize..16, 1_u64..12, 0_u64..400, 0_u8..5), 0..120),
        asking in proptest::collection::vec(0_usize..4, 1..4),
        part in 1_u64..9,
    ) {
        let guarantee = if group_commit { Guarantee::GroupCommit } else { Guarantee::Escrow };
        let policy = Policy { chunk: Chunk { part, ..Chunk::default() }, ..policy(limit, guarantee) };
        let mut cluster = Cluster::new(count, policy);
        let mut admitted = 0;
        for (place, units, millis, refund) in skewed {
            let place = if place < 10 { 0 } else { place % count as usize };
            admitted += cluster.ask(place, units);
            admitted += cluster.pass(millis);
            if refund == 0 {
                if let Some(permit) = cluster.peers[place].permits.pop() {
                    admitted -= permit.units().0;
                    permit.refund();
                }
            }
            prop_assert!(admitted <= limit);
        }
        // Some go on to ask for one unit at a time. The others stay alive and say nothing.
        for _ in 0..limit + 40 {
            for place in &asking {
                admitted += cluster.ask(place % count as usize, 1);
            }
            admitted += cluster.pass(1_100);
            prop_assert!(admitted <= limit);
        }
        prop_assert_eq!(admitted, limit, "exactly the limit");
        let (used, reserved) = cluster.row();
        prop_assert_eq!(used + reserved, limit);
        prop_assert_eq!(cluster.buried.clone(), vec![]);
    }

    /// Nodes whose clocks differ by days keep each other alive, whatever they do, as long as each is heard of.
    #[test]
    fn clocks_that_differ_kill_nobody(
        ahead in proptest::collection::vec(0_u64..1 << 30, 3),
        steps in proptest::collection::vec((0_usize..3, 1_u64..TIME_TO_LIVE / 7), 1..200),
    ) {
        let mut cluster = Cluster::new(3, policy(100, Guarantee::Escrow));
        for (peer, ahead) in cluster.peers.iter_mut().zip(ahead) {
            peer.ahead = ahead;
        }
        for (place, millis) in steps {
            cluster.ask(place, 1);
            cluster.pass(millis);
            prop_assert_eq!(cluster.buried.clone(), vec![]);
        }
        prop_assert!(cluster.peers.iter().all(|peer| peer.failed.is_none()));
    }

    /// A node that is cut off for long enough is buried; it and the others never admit more than the limit together,
    /// and what nobody can admit any more is what it held.
    #[test]
    fn who_is_cut_off_is_buried_and_nothing_is_admitted_twice(
        before in proptest::collection::vec((0_usize..3, 1_u64..20), 1..20),
        after in proptest::collection::vec((1_u64..9, 0_u64..4_000), 0..40),
        comes_back: bool,
    ) {
        const LIMIT: u64 = 300;
        let mut cluster = Cluster::new(3, policy(LIMIT, Guarantee::Escrow));
        let mut admitted = cluster.ask(0, 1);
        for (place, units) in before {
            admitted += cluster.ask(place, units);
            admitted += cluster.pass(300);
        }
        let bound = cluster.peers[0].node.metrics().wrong_at_most.under.0;
        let mut handle = cluster.handle(0);
        cluster.peers[0].is_cut_off = true;
        let (mut by_zombie, mut turns) = (0, after.into_iter());
        let mut while_cut_off = |cluster: &mut Cluster| {
            let Some((units, millis)) = turns.next() else { return 1_000 };
            let now = Time(cluster.now);
            by_zombie += handle.try_consume_shared(now, Units(units)).map_or(0, |permit| permit.units().0);
            millis
        };
        for _ in 0..2 * TIME_TO_LIVE / 1_000 + 20 {
            let millis = while_cut_off(&mut cluster);
            admitted += cluster.pass(millis);
        }
        prop_assert_eq!(&cluster.buried, &vec![NodeId(0)], "once");
        if comes_back {
            cluster.peers[0].is_cut_off = false;
            let image = cluster.ledger.image().unwrap();
            admitted += cluster.step(0, Input::Tick);
            let fenced = LedgerError::Fenced { sent: Epoch(1), current: Epoch(2) };
            prop_assert_eq!(cluster.peers[0].failed.clone(), Some(fenced), "and knows it");
            prop_assert_eq!(cluster.ledger.image().unwrap(), image);
        }
        for _ in 0..LIMIT {
            admitted += cluster.ask(1, 1) + cluster.ask(2, 1) + cluster.pass(1_100);
        }
        prop_assert!(admitted + by_zombie <= LIMIT, "{} and {}", admitted, by_zombie);
        prop_assert!(LIMIT - admitted <= bound, "{} of {}, bound {}", admitted, LIMIT, bound);
        prop_assert_eq!(cluster.row(), (LIMIT, 0));
    }
}

#[test]
fn a_node_that_holds_something_is_heard_of_three_times_in_a_life_and_one_that_does_not_is_still() {
    let mut cluster = Cluster::new(2, Policy { idle_millis: u64::MAX, ..policy(100, Guarantee::Escrow) });
    // A key that was never asked for holds nothing.
    cluster.handle(1);
    cluster.pass(1_000);
    assert_eq!(cluster.peers[1].batches, 0, "an opening is a sign of life");
    let mut cluster = Cluster::new(2, Policy { idle_millis: u64::MAX, ..policy(100, Guarantee::Escrow) });
    assert_eq!(cluster.ask(0, 1), 1);
    cluster.pass(1_000);
    let before = [cluster.peers[0].batches, cluster.peers[1].batches];
    for _ in 0..TIME_TO_LIVE / 100 {
        cluster.pass(100);
    }
    let said = [cluster.peers[0].batches - before[0], cluster.peers[1].batches - before[1]];
    assert_eq!(said, [3, 0]);
    // Its rows stay as they were: a sign of life is a row of the node.
    let rows = cluster.peers[0].node.metrics().rows;
    cluster.pass(TIME_TO_LIVE / 3);
    assert_eq!(cluster.peers[0].node.metrics().rows, rows);
    // For ever is for ever.
    cluster.peers[0].node.set_time_to_live(0);
    let before = cluster.peers[0].batches;
    cluster.pass(TIME_TO_LIVE * 9);
    assert_eq!(cluster.peers[0].batches, before);
}

#[test]
fn an_answer_that_was_not_asked_for_buries_nobody() {
    let mut cluster = Cluster::new(2, policy(100, Guarantee::Escrow));
    cluster.ask(1, 1);
    for _ in 0..3 {
        let silent = cluster.ledger.silent(Time::NEVER).unwrap();
        assert_eq!(silent.len(), 1);
        cluster.step(0, Input::Silent(silent));
    }
    assert_eq!(cluster.buried, []);
}

#[test]
fn units_that_were_leased_ahead_are_called_home_at_once_and_not_before_they_are_wanted() {
    let flush = Flush { max_age_millis: 100, ..Flush::default() };
    let limit = 800;
    let mut cluster = Cluster::new(2, Policy { flush, ..policy(limit, Guarantee::Escrow) });
    // The first node leases ahead and rests with what it has.
    for _ in 0..50 {
        cluster.ask(0, 4);
        cluster.pass(10);
    }
    let held = cluster.handle(0).accumulator().unwrap().available().local.0;
    assert!(held > 10, "{held}");
    // The second one spends all there is at home, and wants.
    let mut admitted = 0;
    while cluster.ask(1, 1) == 1 {
        admitted += 1;
    }
    // It settles; what the ledger has said then is believed for a while; then it is asked, and has nothing.
    cluster.pass(100);
    cluster.pass(100);
    assert_eq!(cluster.ask(1, 1), 0);
    assert_eq!(cluster.handle(0).accumulator().unwrap().available().local.0, held, "not heard of yet");
    cluster.pass(TIME_TO_LIVE / 3);
    assert_eq!(cluster.handle(0).accumulator().unwrap().available().local, Units::ZERO);
    while cluster.ask(1, 1) == 1 {
        admitted += 1;
    }
    assert_eq!(200 + admitted, limit);
    let row = cluster.ledger.load(&Account { key: key("k"), window: WindowId(0) }).unwrap().unwrap();
    assert!(row.leases.iter().all(|(_, lease)| lease.wanted.is_zero()), "{row:?}");
}

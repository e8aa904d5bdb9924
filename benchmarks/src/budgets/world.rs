//! [`World`]: a node over a ledger in one thread, its clock an argument, and what went between them counted.
//!
//! Invariant: nothing depends on how fast the machine is: an answer takes as long as the world is told.

use deltaic_quota::{
    Answer, Batch, Budgets, Denied, Effects, Handle, Input, Key, Ledger, NodeId, Permit, Policy, PolicyId,
    Reason, RequestId, Time, Units,
};

/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What the ledger saw, and the most that a crash could have cost at any moment that was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) rows: u64,
    pub(super) calls: u64,
    pub(super) bytes: u64,
    pub(super) exposure: u64,
}

/// A node over its ledger.
pub(super) struct World<L> {
    pub(super) node: Budgets,
    pub(super) ledger: L,
    pub(super) policy: PolicyId,
    pub(super) cost: Cost,
    pub(super) replies: Vec<(RequestId, Answer)>,
    /// How long the ledger takes to answer, in milliseconds.
    latency: u64,
    under_way: Option<(u64, Batch)>,
}

impl<L: Ledger> World<L> {
    pub(super) fn new(mut ledger: L, policy: Policy, latency: u64) -> Self {
        let mut node = Budgets::new(NodeId(1));
        let policy = node.declare(policy);
        let opened = ledger.open(NodeId(1)).expect("the ledger opens");
        let cost = Cost::default();
        let mut world = Self { node, ledger, policy, cost, replies: Vec::new(), latency, under_way: None };
        let effects = world.node.step(Time(0), Input::Opened(opened));
        world.take(0, effects);
        world
    }

    /// Says something to the node, and its batches to the ledger.
    pub(super) fn step(&mut self, now: u64, input: Input) {
        let effects = self.node.step(Time(now), input);
        self.take(now, effects);
    }

    fn take(&mut self, now: u64, mut effects: Effects) {
        assert!(effects.lost.is_none() && effects.failed.is_none(), "the ledger keeps what it says");
        self.replies.append(&mut effects.replies);
        if let Some(batch) = effects.send.pop() {
            self.under_way = Some((now + self.latency, batch));
        }
        self.hear(now);
    }

    /// Gives the node the answer, if it is time.
    fn hear(&mut self, now: u64) {
        while let Some((_, batch)) = self.under_way.take_if(|(at, _)| *at <= now) {
            self.cost.rows += batch.entries.len() as u64;
            self.cost.calls += 1;
            self.cost.bytes += batch.encode().len() as u64;
            let reply = self.ledger.apply(&batch);
            let mut effects = self.node.step(Time(now), Input::Replied(batch.seq, reply));
            self.replies.append(&mut effects.replies);
            self.under_way = effects.send.pop().map(|batch| (now + self.latency, batch));
        }
    }

    pub(super) fn tick(&mut self, now: u64) {
        self.hear(now);
        self.step(now, Input::Tick);
    }

    pub(super) fn look(&mut self) {
        self.cost.exposure = self.cost.exposure.max(self.node.metrics().wrong_at_most.under.0);
    }

    pub(super) fn handle(&mut self, now: u64, key: &Key) -> Handle {
        self.node.handle(Time(now), self.policy, key)
    }

    /// Asks by the handle, and as a request that may wait where the lease does not cover it: with a ledger that answers
    /// at once.
    pub(super) fn consume(
        &mut self,
        now: u64,
        handle: &mut Handle,
        key: &Key,
        units: u64,
    ) -> Result<Permit<'static>, Denied> {
        match handle.try_consume_shared(Time(now), Units(units)) {
            Err(denied) if matches!(denied.reason, Reason::Lease | Reason::WindowOver) => {
                let (policy, key) = (self.policy, key.clone());
                let ask = Input::Consume { request: RequestId(0), policy, key, units: Units(units) };
                self.step(now, ask);
                self.replies.pop().expect("the ledger answers at once").1
            }
            outcome => outcome,
        }
    }

    /// Settles everything and ends.
    pub(super) fn close(mut self, mut now: u64) -> (L, Cost) {
        self.step(now, Input::Close);
        while self.under_way.is_some() {
            now += self.latency;
            self.hear(now);
        }
        assert!(self.node.step(Time(now), Input::Close).closed, "the node ends");
        (self.ledger, self.cost)
    }
}

pub(super) fn key(number: u64) -> Key {
    Key::new(format!("user-{number:06}").as_bytes()).expect("a name is short")
}

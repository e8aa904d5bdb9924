//! A driver for tests: one node, its ledger, and the count of what its client was told.

use deltaic_quota::{
    Answer, Budgets, Effects, FaultyLedger, Handle, Input, Key, Ledger, MemoryLedger, NodeId, Policy,
    PolicyId, RequestId, Time, Units,
};

pub(crate) fn key(name: &str) -> Key {
    Key::new(name.as_bytes()).unwrap()
}

/// One node over one ledger. What it sends is delivered by [`World::settle`] or by hand.
pub(crate) struct World {
    pub(crate) ledger: FaultyLedger,
    pub(crate) node: Budgets,
    pub(crate) policy: PolicyId,
    pub(crate) now: u64,
    pub(crate) last: Effects,
    requests: u64,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::on(FaultyLedger::new(MemoryLedger::new()), NodeId(1), policy)
    }

    pub(crate) fn on(mut ledger: FaultyLedger, id: NodeId, policy: Policy) -> Self {
        let opened = ledger.open(id).unwrap();
        let mut node = Budgets::new(id);
        let policy = node.declare(policy);
        let last = node.step(Time(0), Input::Opened(opened));
        Self { ledger, node, policy, now: 0, last, requests: 0 }
    }

    /// The process dies and another begins on what the ledger has.
    pub(crate) fn crash(self, policy: Policy) -> Self {
        let mut next = Self::on(self.ledger, NodeId(1), policy);
        next.now = self.now;
        next
    }

    pub(crate) fn step(&mut self, input: Input) -> &mut Effects {
        self.last = self.node.step(Time(self.now), input);
        &mut self.last
    }

    /// Delivers what was sent until nothing is under way; gives the answers of all.
    pub(crate) fn settle(&mut self) -> Vec<(RequestId, Answer)> {
        let mut replies = std::mem::take(&mut self.last.replies);
        for _ in 0..1_000 {
            let input = match self.last.send.pop() {
                Some(batch) => Input::Replied(batch.seq, self.ledger.apply(&batch)),
                None if self.node.is_waiting() => Input::Tick,
                None => return replies,
            };
            replies.append(&mut self.step(input).replies);
        }
        panic!("the node never rests");
    }

    /// A request that may wait, to its end.
    pub(crate) fn consume(&mut self, name: &str, units: u64) -> Answer {
        self.requests += 1;
        let (request, policy) = (RequestId(self.requests), self.policy);
        self.step(Input::Consume { request, policy, key: key(name), units: Units(units) });
        let mut replies = self.settle();
        let place = replies.iter().position(|(answered, _)| *answered == request).unwrap();
        replies.swap_remove(place).1
    }

    /// Whether a request that may wait was admitted; the permit is committed.
    pub(crate) fn spend(&mut self, name: &str, units: u64) -> bool {
        self.consume(name, units).is_ok()
    }

    /// So many milliseconds, and a tick.
    pub(crate) fn pass(&mut self, millis: u64) -> Vec<(RequestId, Answer)> {
        self.now += millis;
        self.step(Input::Tick);
        self.settle()
    }

    pub(crate) fn handle(&mut self, name: &str) -> Handle {
        self.node.handle(Time(self.now), self.policy, &key(name))
    }

    pub(crate) fn used(&self, name: &str) -> u64 {
        self.ledger.inner.used(&key(name)).0
    }

    pub(crate) fn close(&mut self) {
        self.step(Input::Close);
        self.settle();
        assert!(self.step(Input::Close).closed);
    }
}

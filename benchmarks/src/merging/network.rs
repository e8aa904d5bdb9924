//! [`Network`]: replicas with their anti-entropy, and links between them that are late and lose, in a time of its own.
//!
//! Invariant: all is chosen from one seed, and the next thing that happens is always the earliest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use deltaic_causality::ActorId;
use deltaic_crdt::anti_entropy::{Effect, Input, Micros, Settings, SyncMetrics};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{AntiEntropy, Plain, PnCounter, Replica, State};

/// How every link behaves; times are in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) latency: u64,
    /// At most so much is added, anything up to it as often.
    pub(super) jitter: u64,
    /// Of a hundred messages.
    pub(super) loss: u64,
}

/// Who speaks with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each with each.
    Mesh,
    /// Each with the first alone.
    Star,
}

pub(super) type Values = Replica<u64, Plain<PnCounter>>;

struct Node {
    values: Values,
    sync: AntiEntropy,
    wake_at: Option<u64>,
}

/// What went over the links, and what came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) messages: u64,
    pub(super) lost: u64,
    pub(super) deltas: u64,
    pub(super) delta_bytes: u64,
    pub(super) wholes: u64,
    pub(super) whole_bytes: u64,
    pub(super) other_bytes: u64,
    pub(super) resent: u64,
    /// Deltas whose receiver held all of it already.
    pub(super) needless: u64,
}

impl Traffic {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            lost: self.lost - before.lost,
            deltas: self.deltas - before.deltas,
            delta_bytes: self.delta_bytes - before.delta_bytes,
            wholes: self.wholes - before.wholes,
            whole_bytes: self.whole_bytes - before.whole_bytes,
            other_bytes: self.other_bytes - before.other_bytes,
            resent: self.resent - before.resent,
            needless: self.needless - before.needless,
        }
    }

    pub(super) fn bytes(self) -> u64 {
        self.delta_bytes + self.whole_bytes + self.other_bytes
    }
}

/// A message on its way: when it comes, which one it is, from and to whom.
type Letter = Reverse<(u64, u64, usize, usize, Vec<u8>)>;

pub(super) struct Network {
    pub(super) now: u64,
    link: Link,
    choices: Choices,
    nodes: Vec<Node>,
    wire: BinaryHeap<Letter>,
    sent: u64,
    lost: u64,
    needless: u64,
}

fn actor(place: usize) -> ActorId {
    ActorId(place as u64 + 1)
}

impl Network {
    /// So many replicas that have heard of each other, and are quiet.
    pub(super) fn new(size: usize, shape: Shape, link: Link, seed: u64) -> Self {
        let node = |place| {
            let values = Values::new(actor(place));
            let sync = AntiEntropy::new(actor(place), 1, &values, Settings::default());
            Node { values, sync, wake_at: None }
        };
        let mut network = Self {
            now: 0,
            link,
            choices: Choices::new(seed),
            nodes: (0..size).map(node).collect(),
            wire: BinaryHeap::new(),
            sent: 0,
            lost: 0,
            needless: 0,
        };
        for (one, other) in (0..size).flat_map(|one| (0..size).map(move |other| (one, other))) {
            if one != other && (shape == Shape::Mesh || one == 0 || other == 0) {
                network.step(one, Input::Join(actor(other)));
            }
        }
        network.run_for(20_000_000);
        network
    }

    /// A replica adds one to a value.
    pub(super) fn write(&mut self, place: usize, key: u64) {
        let values = &mut self.nodes[place].values;
        values.write(&key, |counter, dot| counter.increment(dot, 1)).expect("the write is new");
        let seq = values.cut().last(actor(place));
        self.step(place, Input::Wrote(seq));
    }

    pub(super) fn is_converged(&self) -> bool {
        let mut cuts = self.nodes.iter().map(|node| node.values.cut());
        let first = cuts.next();
        cuts.all(|cut| Some(cut) == first)
    }

    /// Whether all hold the same values, and this many increments.
    pub(super) fn holds(&self, increments: i128) -> bool {
        let all = |node: &Node| node.values.iter().map(|(_, value)| value.value()).sum::<i128>();
        let digest = self.nodes[0].values.digest();
        self.nodes.iter().all(|node| all(node) == increments && node.values.digest() == digest)
    }

    pub(super) fn traffic(&self) -> Traffic {
        let sum = |of: fn(&SyncMetrics) -> u64| self.nodes.iter().map(|node| of(&node.sync.metrics())).sum();
        Traffic {
            messages: self.sent,
            lost: self.lost,
            deltas: sum(|metrics| metrics.deltas),
            delta_bytes: sum(|metrics| metrics.delta_bytes),
            wholes: sum(|metrics| metrics.wholes),
            whole_bytes: sum(|metrics| metrics.whole_bytes),
            other_bytes: sum(|metrics| metrics.other_bytes),
            resent: sum(|metrics| metrics.resent),
            needless: self.needless,
        }
    }

    /// Lets everything happen that happens within this time.
    pub(super) fn run_for(&mut self, micros: u64) {
        let end = self.now + micros;
        while self.next_at().is_some_and(|at| at <= end) {
            self.advance();
        }
        self.now = end;
    }

    fn next_at(&self) -> Option<u64> {
        let letter = self.wire.peek().map(|Reverse((at, ..))| *at);
        self.nodes.iter().filter_map(|node| node.wake_at).chain(letter).min()
    }

    /// The next thing happens.
    pub(super) fn advance(&mut self) {
        let at = self.next_at().expect("somebody always asks again");
        self.now = self.now.max(at);
        if self.wire.peek().is_some_and(|Reverse((letter, ..))| *letter <= at) {
            let Reverse((_, _, from, to, bytes)) = self.wire.pop().expect("there is one");
            return self.step(to, Input::Received(actor(from), bytes));
        }
        let due = self.nodes.iter().position(|node| node.wake_at == Some(at));
        self.step(due.expect("somebody is due"), Input::Tick);
    }

    fn step(&mut self, place: usize, input: Input) {
        let now = Micros(self.now);
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let Node { values, sync, .. } = &mut self.nodes[place];
            for effect in sync.step(now, input, values) {
                match effect {
                    Effect::Send { peer, bytes } => {
                        self.sent += 1;
                        if self.choices.percent(self.link.loss) {
                            self.lost += 1;
                            continue;
                        }
                        let at = self.now + self.link.latency + self.choices.below(self.link.jitter + 1);
                        self.wire.push(Reverse((at, self.sent, place, peer.0 as usize - 1, bytes)));
                    }
                    Effect::Merge { id, to, body, .. } => {
                        let knows = |(actor, seq)| values.cut().last(actor) >= seq;
                        self.needless += u64::from(to.iter().all(knows));
                        values.merge(&body, &to).expect("it is a delta");
                        inputs.push(Input::Merged(id));
                    }
                    Effect::Stable(cut) => drop(values.trim(&cut)),
                    other => panic!("nobody was restored and nothing differs: {other:?}"),
                }
            }
        }
        let Node { values, sync, wake_at } = &mut self.nodes[place];
        *wake_at = sync.wake_at(values).map(|at| at.0.max(self.now));
    }
}

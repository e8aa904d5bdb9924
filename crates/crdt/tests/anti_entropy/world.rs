//! A world of replicas in which everything goes wrong and that comes to one state in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_crdt::anti_entropy::{Effect, Input, MergeId, Micros};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{AntiEntropy, Crdt, DisableWinsFlag, EnableWinsFlag, Merge, Replica, State};

use crate::SETTINGS;
use crate::rows::Rows;
use crate::subjects::{Counters, Maps, Pasts, Registers, Sets, StrictSets, Subject, Titles};

/// A replica with what is on its way into it.
struct Node<V: Merge> {
    replica: Replica<u64, V>,
    sync: AntiEntropy,
    life: u64,
    /// It is an old copy, and nobody has told it so yet.
    is_copy: bool,
    /// It has not got the state of the others yet.
    is_new: bool,
    merging: VecDeque<(MergeId, VersionVector, Vec<u8>)>,
    /// Copies of earlier days.
    backups: Vec<Replica<u64, V>>,
}

struct World<S: Subject> {
    seed: u64,
    choices: Choices,
    now: u64,
    nodes: BTreeMap<ActorId, Node<S::Value>>,
    wire: Vec<(ActorId, ActorId, Vec<u8>)>,
    /// Pairs that cannot reach each other.
    parted: BTreeSet<(ActorId, ActorId)>,
    /// All writes, those of copies excepted, with their keys.
    all: BTreeMap<Dot, (u64, S::All)>,
    /// What the author of each had seen.
    past: Pasts,
    /// What was said to be stable, with what was held by whom it was said.
    stable: Vec<(VersionVector, VersionVector)>,
    /// Members that are none any more, with the writes that say so.
    leaves: Vec<(ActorId, Dot)>,
    writes: u64,
    restored: u64,
    forgotten: u64,
    next_actor: u64,
    trims: bool,
}

#[derive(Debug, Default)]
struct Seen {
    writes: u64,
    deltas: u64,
    wholes: u64,
    resent: u64,
    redundant: u64,
    restored: u64,
    forgotten: u64,
    rounds: u64,
}

impl<S: Subject> World<S> {
    fn new(seed: u64, size: u64) -> Self {
        let mut world = Self {
            seed,
            choices: Choices::new(seed),
            now: 1,
            nodes: BTreeMap::new(),
            wire: Vec::new(),
            parted: BTreeSet::new(),
            all: BTreeMap::new(),
            past: BTreeMap::new(),
            stable: Vec::new(),
            leaves: Vec::new(),
            writes: 0,
            restored: 0,
            forgotten: 0,
            next_actor: 1,
            trims: seed.is_multiple_of(2),
        };
        for _ in 0..size {
            let actor = world.actor();
            world.start(Replica::new(actor), 1);
        }
        world
    }

    fn actor(&mut self) -> ActorId {
        self.next_actor += 1;
        ActorId(self.next_actor - 1)
    }

    /// A replica starts, and every other hears that it is a member.
    fn start(&mut self, replica: Replica<u64, S::Value>, life: u64) {
        let actor = replica.actor();
        let sync = AntiEntropy::new(actor, life, &replica, SETTINGS);
        let others: Vec<ActorId> = self.nodes.keys().copied().filter(|other| *other != actor).collect();
        let is_first = life == 1 && self.writes > 0;
        let before = self.nodes.remove(&actor).map(|node| (node.backups, node.is_copy, node.is_new));
        let (backups, is_copy, is_new) = before.unwrap_or((Vec::new(), false, is_first));
        let node = Node { replica, sync, life, is_copy, is_new, merging: VecDeque::new(), backups };
        self.nodes.insert(actor, node);
        for other in others {
            self.step(actor, Input::Join(other));
            self.step(other, Input::Join(actor));
        }
        // Who the members are is not forgotten, nor that some have left; who brings a new member in tells it.
        for (gone, by) in self.leaves.clone() {
            let knows = self.nodes.get(&actor).is_some_and(|node| is_new || node.replica.cut().contains(by));
            self.step(actor, if knows { Input::Leave(gone, by) } else { Input::Join(gone) });
        }
    }

    /// A member is none any more: somebody writes so, and each hears of it with that write.
    fn leave(&mut self, gone: ActorId, by: ActorId) {
        // Members are removed in one place: none that was removed itself, as it may not have heard, removes another.
        if self.leaves.iter().any(|(left, _)| *left == gone || *left == by) {
            return;
        }
        for _ in 0..100 {
            if let Some(dot) = self.write(by) {
                self.leaves.push((gone, dot));
                return self.hear(by);
            }
            self.now += 50;
        }
    }

    /// A replica hears who has left by the writes that it holds.
    fn hear(&mut self, actor: ActorId) {
        for (gone, by) in self.leaves.clone() {
            let Some(node) = self.nodes.get(&actor) else { return };
            if node.replica.cut().contains(by) && node.sync.peers().any(|peer| peer == gone) {
                self.step(actor, Input::Leave(gone, by));
            }
        }
    }

    fn step(&mut self, actor: ActorId, input: Input) {
        let Some(node) = self.nodes.get_mut(&actor) else { return };
        let effects = node.sync.step(Micros(self.now), input, &node.replica);
        for effect in effects {
            match effect {
                Effect::Send { peer, bytes } => self.wire.push((actor, peer, bytes)),
                Effect::Merge { id, to, body, .. } => {
                    let node = self.nodes.get_mut(&actor).unwrap();
                    node.merging.push_back((id, to, body));
                }
                Effect::Stable(cut) => {
                    let node = self.nodes.get_mut(&actor).unwrap();
                    self.stable.push((cut.clone(), node.replica.cut().clone()));
                    if self.trims {
                        node.replica.trim(&cut);
                    }
                }
                Effect::Restored { .. } => {
                    self.restored += 1;
                    self.comes_back(actor);
                }
                Effect::Forgotten { .. } => {
                    self.forgotten += 1;
                    self.comes_back(actor);
                }
                Effect::Silent(peer) => self.leave(peer, actor),
                Effect::PeerRestored(_) => {}
                Effect::Diverged { peer, .. } => {
                    panic!("seed {}: {actor} and {peer} differ at one cut", self.seed)
                }
            }
        }
    }

    /// A replica that can be none any more goes on as another.
    fn comes_back(&mut self, old: ActorId) {
        self.nodes.remove(&old);
        let new = self.actor();
        self.start(Replica::new(new), 1);
        let by = self.nodes.iter().find(|(_, node)| !node.is_new && !node.is_copy).map(|(actor, _)| *actor);
        if let Some(by) = by {
            self.leave(old, by);
        }
    }

    /// Brings a merge to its end.
    fn merge(&mut self, actor: ActorId) {
        let Some(node) = self.nodes.get_mut(&actor) else { return };
        let Some((id, to, body)) = node.merging.pop_front() else { return };
        if node.sync.peers().all(|peer| peer != id.peer()) {
            return;
        }
        node.replica.merge(&body, &to).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        // A copy that nobody has found out yet has less than the members have, and brings nobody in.
        let from_member = self.nodes.get(&id.peer()).is_some_and(|peer| !peer.is_copy);
        if let Some(node) = self.nodes.get_mut(&actor).filter(|_| from_member) {
            node.is_new = false;
        }
        self.step(actor, Input::Merged(id));
        self.hear(actor);
    }

    fn deliver(&mut self, loss: u64) {
        if self.wire.is_empty() {
            return;
        }
        let place = self.choices.place(self.wire.len());
        let (from, to, bytes) = self.wire.swap_remove(place);
        if self.parted.contains(&(from.min(to), from.max(to))) || self.choices.percent(loss) {
            return;
        }
        if loss > 0 && self.choices.percent(10) {
            self.wire.push((from, to, bytes.clone()));
        }
        self.step(to, Input::Received(from, bytes));
    }

    fn some(&mut self) -> ActorId {
        let place = self.choices.place(self.nodes.len());
        *self.nodes.keys().nth(place).unwrap()
    }

    fn write(&mut self, actor: ActorId) -> Option<Dot> {
        let Self { nodes, choices, now, all, writes, past, .. } = self;
        // What a copy writes is lost with it, and who is new has nothing to write to yet.
        let node = nodes.get_mut(&actor).filter(|node| !node.is_copy && !node.is_new)?;
        let seen = node.replica.cut().clone();
        let (key, delta) = S::write(&mut node.replica, *now, choices, past)?;
        let seq = node.replica.cut().last(actor);
        let dot = Dot { actor, seq };
        past.insert(dot, seen);
        all.insert(dot, (key, delta));
        *writes += 1;
        self.step(actor, Input::Wrote(seq));
        Some(dot)
    }

    fn act(&mut self) {
        let actor = self.some();
        match self.choices.below(100) {
            0..22 => drop(self.write(actor)),
            22..62 => self.deliver(15),
            62..76 => self.merge(actor),
            76..92 => {
                self.now += self.choices.below(4_000);
                self.step(actor, Input::Tick);
            }
            // A crash: what was being merged is not, and nobody remembers the others.
            92..94 => {
                let Node { replica, life, .. } = &self.nodes[&actor];
                let (replica, life) = (replica.clone(), life + 1);
                self.start(replica, life);
                self.hear(actor);
            }
            94..95 => {
                let node = self.nodes.get_mut(&actor).unwrap();
                node.backups.push(node.replica.clone());
            }
            // An old copy under the same name, whose clock may be right or not. Before, everybody has heard all that it has
            // written: what nobody has heard of is lost with it.
            95..96 if self.nodes.len() > 2 => {
                self.heal();
                let Some(node) = self.nodes.get(&actor) else { return };
                let own = node.replica.cut().last(actor);
                if let Some(copy) = node.backups.iter().find(|copy| copy.cut().last(actor) < own).cloned() {
                    let life = node.life + self.choices.below(2);
                    self.start(copy, life);
                    if let Some(node) = self.nodes.get_mut(&actor) {
                        node.is_copy = true;
                    }
                }
            }
            96..97 if self.nodes.len() < 6 => {
                let new = self.actor();
                self.start(Replica::new(new), 1);
            }
            // Everybody sleeps: nobody was heard of for longer than it is waited, and nobody is forgotten.
            97..98 if self.choices.percent(30) => self.now += 2 * SETTINGS.retention,
            // One is away for longer than the retention, and the others are not.
            98..99 if self.nodes.len() > 2 && self.choices.percent(30) => {
                self.parted.clear();
                for other in self.nodes.keys().copied().filter(|other| *other != actor) {
                    self.parted.insert((actor.min(other), actor.max(other)));
                }
                let end = self.now + 2 * SETTINGS.retention;
                while self.now < end {
                    self.now += SETTINGS.most_interval;
                    for other in
                        self.nodes.keys().copied().filter(|other| *other != actor).collect::<Vec<_>>()
                    {
                        self.step(other, Input::Tick);
                        if self.choices.percent(5) {
                            self.write(other);
                        }
                    }
                    while !self.wire.is_empty() {
                        self.deliver(0);
                    }
                    for other in self.nodes.keys().copied().collect::<Vec<_>>() {
                        self.merge(other);
                    }
                }
            }
            97..99 => {
                let other = self.some();
                if other != actor {
                    self.parted.insert((actor.min(other), actor.max(other)));
                }
            }
            _ => self.parted.clear(),
        }
    }

    fn is_settled(&self) -> bool {
        let mut cuts = self.nodes.values().map(|node| node.replica.cut());
        let first = cuts.next().unwrap();
        cuts.all(|cut| cut == first) && self.wire.is_empty()
    }

    /// Everything heals, and all that is left to do is done.
    fn heal(&mut self) -> u64 {
        self.parted.clear();
        let mut rounds = 0;
        loop {
            while !self.wire.is_empty() {
                self.deliver(0);
                for actor in self.nodes.keys().copied().collect::<Vec<_>>() {
                    while self.nodes.get(&actor).is_some_and(|node| !node.merging.is_empty()) {
                        self.merge(actor);
                    }
                }
            }
            if self.is_settled() && rounds > 2 {
                return rounds;
            }
            rounds += 1;
            assert!(rounds < 400, "seed {}: not settled", self.seed);
            self.now += 10_000;
            for actor in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.step(actor, Input::Tick);
            }
        }
    }

    fn run(mut self, steps: usize) -> Seen {
        for _ in 0..steps {
            self.act();
        }
        let rounds = self.heal();
        let seed = self.seed;
        let digests: BTreeSet<u64> = self.nodes.values().map(|node| node.replica.digest()).collect();
        assert_eq!(digests.len(), 1, "seed {seed}: equal cuts and other states");
        // What a member that has left had told nobody is made anew by whoever has a use for it.
        let cut = self.nodes.values().next().unwrap().replica.cut();
        let mut all: BTreeMap<u64, S::All> = BTreeMap::new();
        for (_, (key, delta)) in self.all.iter().filter(|(dot, _)| cut.contains(**dot)) {
            all.entry(*key).or_default().join(delta);
        }
        for (stable, held) in &self.stable {
            for (dot, past) in
                self.past.iter().filter(|(dot, _)| cut.contains(**dot) && !held.contains(**dot))
            {
                assert!(
                    past >= stable,
                    "seed {seed}: {dot} had not seen {stable}, which was stable before it came"
                );
            }
        }
        let lost = self.all.keys().filter(|dot| !cut.contains(**dot)).count();
        assert!(lost == 0 || self.forgotten > 0, "seed {seed}: {lost} writes are lost");
        for (actor, node) in &self.nodes {
            for (key, all) in &all {
                let empty = S::Value::default();
                let value = node.replica.get(key).unwrap_or(&empty);
                assert!(S::is(value, all), "seed {seed}: key {key} at {actor}: {value:?} is not {all:?}");
            }
            if self.trims {
                let stable = node.sync.stable();
                assert!(stable <= node.replica.cut(), "seed {seed}");
            }
        }
        let (restored, forgotten) = (self.restored, self.forgotten);
        let mut seen = Seen { writes: self.writes, restored, forgotten, rounds, ..Seen::default() };
        for node in self.nodes.values() {
            let metrics = node.sync.metrics();
            assert_eq!((metrics.unreadable, metrics.diverged), (0, 0), "seed {seed}");
            seen.deltas += metrics.deltas;
            seen.wholes += metrics.wholes;
            seen.resent += metrics.resent;
            seen.redundant += metrics.redundant;
        }
        seen
    }
}

/// Worlds beyond the first that showed a fault once: 4245, where one that had left handed on what another had told nobody.
const FOUND: [u64; 1] = [4_245];

/// So many seeds; `DELTAIC_SEEDS` says how many instead.
fn converge<S: Subject>() {
    let seeds = std::env::var("DELTAIC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150);
    let mut total = Seen::default();
    for seed in (0..seeds).chain(FOUND) {
        let seen = World::<S>::new(seed, 2 + seed % 4).run(400);
        total.writes += seen.writes;
        total.deltas += seen.deltas;
        total.wholes += seen.wholes;
        total.resent += seen.resent;
        total.redundant += seen.redundant;
        total.restored += seen.restored;
        total.forgotten += seen.forgotten;
        total.rounds = total.rounds.max(seen.rounds);
    }
    println!("{seeds} seeds: {total:?}");
    let Seen { writes, deltas, wholes, resent, redundant, restored, forgotten, .. } = total;
    let happened = [writes, deltas, wholes, resent, redundant, restored, forgotten];
    assert!(happened.iter().all(|count| *count > 0), "everything happens: {total:?}");
}

#[test]
fn counters_converge() {
    converge::<Counters>();
}

#[test]
fn registers_converge() {
    converge::<Registers>();
}

#[test]
fn add_wins_sets_converge() {
    converge::<Sets>();
}

#[test]
fn remove_wins_sets_converge() {
    converge::<StrictSets>();
}

#[test]
fn multi_values_converge() {
    converge::<Titles>();
}

#[test]
fn maps_converge() {
    converge::<Maps>();
}

#[test]
fn rows_converge() {
    converge::<Rows<EnableWinsFlag>>();
}

#[test]
fn rows_of_which_deletions_win_converge() {
    converge::<Rows<DisableWinsFlag>>();
}

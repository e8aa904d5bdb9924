//! Replicas that write apart and are brought together, over links that lose, repeat, reorder and part; with crashes, copies
//! that are restored, members that come and go, and trimming.

#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking, in shared functions too")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::marker::PhantomData;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime, VersionVector};
use deltaic_crdt::anti_entropy::{Effect, Input, MergeId, Message, Micros, Settings};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{
    AddWinsSet, AntiEntropy, Causal, Cell, Change, Crdt, DisableWinsFlag, DotStore, EnableWinsFlag, Exact,
    Existence, LwwRegister, Map, Merge, MvRegister, Plain, PnCounter, RemoveWinsSet, Replica, Row, State,
};
use deltaic_types::Value;
use deltaic_types::codec::{DecodeError, Reader};

const SETTINGS: Settings = Settings {
    least_interval: 1_000,
    most_interval: 64_000,
    patience: 8_000,
    window: 3,
    retention: 2_000_000,
};

/// What the author of each write had seen.
type Pasts = BTreeMap<Dot, VersionVector>;

/// A kind of value, with its writes and a value in which all writes are joined, whatever replica made them.
trait Subject {
    type Value: Merge + PartialEq + Debug;
    type All: Crdt + Debug;

    /// Makes some write and tells everyone's value of it. `past` gives what is known by a write and its author then.
    fn write(
        replica: &mut Replica<u64, Self::Value>,
        now: u64,
        choices: &mut Choices,
        past: &Pasts,
    ) -> Option<(u64, Self::All)>;
    /// Whether the value is that of all writes.
    fn is(value: &Self::Value, all: &Self::All) -> bool;
}

struct Counters;

impl Subject for Counters {
    type Value = Plain<PnCounter>;
    type All = PnCounter;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        _: u64,
        choices: &mut Choices,
        _: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let (key, amount) = (choices.below(5), choices.below(9).cast_signed() - 4);
        Some((key, replica.write(&key, |counter, dot| counter.add(dot, amount)).ok()?))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        **value == *all
    }
}

struct Registers;

impl Subject for Registers {
    type Value = Plain<LwwRegister<u64>>;
    type All = LwwRegister<u64>;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        now: u64,
        choices: &mut Choices,
        _: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let (key, value) = (choices.below(5), choices.below(9));
        // Clocks that differ: some writes come too late to be made.
        let time = HybridTime(now + choices.below(50));
        Some((key, replica.write(&key, |register, dot| register.set(dot, time, value)).ok()?))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        **value == *all
    }
}

fn is_store<S: DotStore>(value: &S, all: &Causal<S>) -> bool {
    value == all.store()
}

struct Sets;

impl Subject for Sets {
    type Value = AddWinsSet<u64>;
    type All = Causal<AddWinsSet<u64>>;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        _: u64,
        choices: &mut Choices,
        _: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let (key, element, adds) = (choices.below(5), choices.below(4), choices.percent(55));
        let delta = replica.update(&key, |set, seen, dot| {
            if adds { set.add(seen, dot, element) } else { set.remove(seen, dot, &element) }
        });
        Some((key, delta.ok()?))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        is_store(value, all)
    }
}

struct StrictSets;

impl Subject for StrictSets {
    type Value = RemoveWinsSet<u64>;
    type All = Causal<RemoveWinsSet<u64>>;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        _: u64,
        choices: &mut Choices,
        _: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let (key, element, adds) = (choices.below(5), choices.below(4), choices.percent(55));
        let delta = replica.update(&key, |set, seen, dot| {
            if adds { set.add(seen, dot, element) } else { set.remove(seen, dot, element) }
        });
        Some((key, delta.ok()?))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        is_store(value, all)
    }
}

struct Titles;

impl Subject for Titles {
    type Value = MvRegister<u64>;
    type All = Causal<MvRegister<u64>>;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        _: u64,
        choices: &mut Choices,
        _: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let (key, value, clears) = (choices.below(3), choices.below(100), choices.percent(15));
        let delta =
            replica.update(
                &key,
                |title, seen, dot| {
                    if clears { title.clear(seen, dot) } else { title.set(seen, dot, value) }
                },
            );
        Some((key, delta.ok()?))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        is_store(value, all)
    }
}

struct Maps;

impl Subject for Maps {
    type Value = Map<u64, EnableWinsFlag>;
    type All = Causal<Map<u64, EnableWinsFlag>>;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        _: u64,
        choices: &mut Choices,
        _: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let (key, inner, what) = (choices.below(3), choices.below(3), choices.below(4));
        let delta = replica.update(&key, |map, seen, dot| match what {
            0 => map.remove(seen, dot, &inner),
            1 => map.update(inner, |flag| flag.disable(seen, dot)),
            _ => map.update(inner, |flag| flag.enable(seen, dot)),
        });
        Some((key, delta.ok()?))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        is_store(value, all)
    }
}

/// Rows, against all writes with what their authors had seen.
struct Rows<E>(PhantomData<E>);

/// What was written to a row, and what its author had seen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrote {
    Inserted,
    /// The title, the counter, the tag that was added or removed, the flag.
    Title(u64),
    Added(i64),
    Tagged(u64, bool),
    Switched(bool),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct History {
    writes: BTreeMap<Dot, (HybridTime, VersionVector, Wrote)>,
}

impl Crdt for History {
    fn join(&mut self, other: &Self) {
        self.writes.extend(other.writes.clone());
    }

    fn decompose(&self) -> Vec<Self> {
        unreachable!("it stays in the test")
    }

    fn novel(&self, _: &CausalContext) -> Self {
        unreachable!("it stays in the test")
    }

    fn write(&self, _: &mut Vec<u8>) {
        unreachable!("it stays in the test")
    }

    fn read(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        unreachable!("it stays in the test")
    }
}

fn exact(number: u64) -> Exact {
    Exact(Value::Integer(number.cast_signed()))
}

impl History {
    /// The writes of the last generation that had seen its beginning: dot, what was seen, the write.
    fn last(&self) -> Vec<(Dot, &VersionVector, &Wrote)> {
        let insertions = self.writes.iter().filter(|(_, (_, _, wrote))| *wrote == Wrote::Inserted);
        let Some((first, _)) = insertions.max_by_key(|(dot, (time, _, _))| (*time, **dot)) else {
            return Vec::new();
        };
        let of = self.writes.iter().filter(|(dot, (_, past, _))| *dot == first || past.contains(*first));
        of.filter(|(dot, (_, _, wrote))| *dot == first || *wrote != Wrote::Inserted)
            .map(|(dot, (_, past, wrote))| (*dot, past, wrote))
            .collect()
    }

    /// Whether the row is there: some write that no deletion had seen; where deletions win, also none that was not seen by a
    /// write behind it.
    fn is_there(&self, deletions_win: bool) -> bool {
        let last = self.last();
        let is_seen = |dot: Dot, by: &dyn Fn(&Wrote) -> bool| {
            last.iter().any(|(_, past, wrote)| past.contains(dot) && by(wrote))
        };
        let deletion = |wrote: &Wrote| *wrote == Wrote::Deleted;
        let alive = last.iter().any(|(dot, _, wrote)| !deletion(wrote) && !is_seen(*dot, &deletion));
        let stands = last.iter().any(|(dot, _, wrote)| deletion(wrote) && !is_seen(*dot, &|_| true));
        alive && !(deletions_win && stands)
    }

    fn is(&self, row: &Row<impl Existence>) -> bool {
        let last = self.last();
        let before = |one: Dot, other: &(Dot, &VersionVector, &Wrote)| other.1.contains(one);
        // The last writes of a column.
        let newest = |is_of: &dyn Fn(&Wrote) -> bool| -> BTreeMap<Dot, Wrote> {
            let of: Vec<_> = last.iter().filter(|(_, _, wrote)| is_of(wrote)).collect();
            let is_newest = |dot: Dot| !of.iter().any(|other| before(dot, other));
            of.iter()
                .filter(|(dot, _, _)| is_newest(*dot))
                .map(|(dot, _, wrote)| (*dot, (*wrote).clone()))
                .collect()
        };
        let titles = newest(&|wrote| matches!(wrote, Wrote::Title(_) | Wrote::Inserted));
        let Some(Cell::Register(register)) = row.cell(0) else { return false };
        let read: BTreeMap<Dot, Wrote> = register
            .iter()
            .map(|(dot, written)| {
                let [Exact(Value::Integer(number))] = written.values[..] else { panic!("{written:?}") };
                (dot, if number == 1_000 { Wrote::Inserted } else { Wrote::Title(number.cast_unsigned()) })
            })
            .collect();
        let sum: i128 = last
            .iter()
            .map(|(_, _, wrote)| if let Wrote::Added(amount) = wrote { i128::from(*amount) } else { 0 })
            .sum();
        let Some(Cell::Counter(counter)) = row.cell(1) else { return false };
        let tags = (0..3).filter(|tag| {
            let newest = newest(&|wrote| matches!(wrote, Wrote::Tagged(of, _) if of == tag));
            newest.values().any(|wrote| matches!(wrote, Wrote::Tagged(_, true)))
        });
        let read_tags: Vec<u64> = match row.cell(2) {
            Some(Cell::AddWinsSet(set)) => {
                set.iter()
                    .map(|tag| {
                        if let Value::Integer(tag) = tag.0 { tag.cast_unsigned() } else { panic!("{tag:?}") }
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        let on = newest(&|wrote| matches!(wrote, Wrote::Switched(_)));
        let on = on.values().any(|wrote| *wrote == Wrote::Switched(true));
        let read_on = matches!(row.cell(3), Some(Cell::Flag(flag)) if flag.is_enabled());
        read == titles && counter.value() == sum && read_tags == tags.collect::<Vec<_>>() && read_on == on
    }
}

impl<E: Existence + PartialEq + Debug> Subject for Rows<E> {
    type Value = Row<E>;
    type All = History;

    fn write(
        replica: &mut Replica<u64, Self::Value>,
        now: u64,
        choices: &mut Choices,
        past: &Pasts,
    ) -> Option<(u64, Self::All)> {
        let key = choices.below(4);
        let time = HybridTime((now + choices.below(50)) << 8 | replica.actor().0);
        let (actor, cut) = (replica.actor(), replica.cut().clone());
        // Some have seen less than is here: what some earlier writer had seen, the row, and all that they did themselves.
        let mut basis = cut.clone();
        if choices.percent(20) {
            let place = choices.place(past.len());
            let of_some = past.keys().copied().nth(place).filter(|dot| cut.contains(*dot));
            let own = Dot { actor, seq: cut.last(actor) };
            let began = replica.get(&key).and_then(Row::generation).map(|began| began.dot);
            basis = VersionVector::default();
            for dot in [of_some, began, Some(own)].into_iter().flatten() {
                past.get(&dot).into_iter().for_each(|past| basis.join(past));
                basis.raise(dot);
            }
        }
        let (tag, amount) = (choices.below(3), choices.below(9).cast_signed() - 4);
        let what = choices.below(10);
        let exists = replica.has(&key);
        let change = |wrote: &Wrote| match wrote {
            Wrote::Title(title) => vec![(0, Change::Write(vec![exact(*title)]))],
            Wrote::Added(amount) => vec![(1, Change::Increment(*amount))],
            Wrote::Tagged(tag, true) => vec![(2, Change::Add(exact(*tag)))],
            Wrote::Tagged(tag, false) => vec![(2, Change::Remove(exact(*tag)))],
            Wrote::Switched(on) => vec![(3, Change::Switch(*on))],
            Wrote::Inserted | Wrote::Deleted => Vec::new(),
        };
        let wrote = match what {
            _ if !exists => Wrote::Inserted,
            0 => Wrote::Deleted,
            1 | 2 => Wrote::Title(choices.below(9)),
            3 | 4 => Wrote::Added(amount),
            5 | 6 => Wrote::Tagged(tag, true),
            7 => Wrote::Tagged(tag, false),
            _ => Wrote::Switched(what == 8),
        };
        // An addition replaces all that is here of the element, whatever its author had seen.
        let seen = if let Wrote::Tagged(_, true) | Wrote::Inserted = wrote { cut } else { basis };
        let done = match &wrote {
            Wrote::Inserted => {
                let changes = [(0, Change::Write(vec![exact(1_000)])), (1, Change::Set(0))];
                replica.insert(&key, time, changes)
            }
            Wrote::Deleted => replica.delete(&key, Some(&seen)),
            wrote => replica.update_row(&key, time, Some(&seen), change(wrote)),
        };
        done.ok()?;
        let dot = Dot { actor, seq: replica.cut().last(actor) };
        Some((key, History { writes: BTreeMap::from([(dot, (time, seen, wrote))]) }))
    }

    fn is(value: &Self::Value, all: &Self::All) -> bool {
        let deletions_win = E::gone(Dot { actor: ActorId(1), seq: 1 }) != E::default();
        let is_there = all.is_there(deletions_win);
        value.is_there() == is_there && (!is_there || all.is(value))
    }
}

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
                Effect::Diverged(peer) => panic!("seed {}: {actor} and {peer} differ at one cut", self.seed),
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

/// So many seeds; `DELTAIC_SEEDS` says how many instead.
fn converge<S: Subject>() {
    let seeds = std::env::var("DELTAIC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150);
    let mut total = Seen::default();
    for seed in 0..seeds {
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

/// Two replicas with the messages between them, none lost.
struct Pair {
    now: u64,
    replicas: BTreeMap<ActorId, (Replica<u64, Plain<PnCounter>>, AntiEntropy)>,
    wire: VecDeque<(ActorId, ActorId, Vec<u8>)>,
    /// What was sent: from whom, and the message.
    sent: Vec<(ActorId, Message)>,
    others: Vec<Effect>,
}

impl Pair {
    fn new() -> Self {
        let new = |actor| {
            let replica = Replica::new(ActorId(actor));
            let sync = AntiEntropy::new(ActorId(actor), 1, &replica, SETTINGS);
            (ActorId(actor), (replica, sync))
        };
        let replicas = BTreeMap::from([new(1), new(2)]);
        let mut pair = Self { now: 0, replicas, wire: VecDeque::new(), sent: Vec::new(), others: Vec::new() };
        pair.step(ActorId(1), Input::Join(ActorId(2)));
        pair.step(ActorId(2), Input::Join(ActorId(1)));
        pair.settle();
        pair
    }

    fn step(&mut self, actor: ActorId, input: Input) {
        let (replica, sync) = self.replicas.get_mut(&actor).unwrap();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in sync.step(Micros(self.now), input, replica) {
                match effect {
                    Effect::Send { peer, bytes } => {
                        self.sent.push((actor, Message::decode(&bytes).unwrap()));
                        self.wire.push_back((actor, peer, bytes));
                    }
                    Effect::Merge { id, to, body, .. } => {
                        let merged = replica.merge(&body, &to);
                        inputs.push_back(if merged.is_ok() { Input::Merged(id) } else { Input::Refused(id) });
                    }
                    other => self.others.push(other),
                }
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            while let Some((from, to, bytes)) = self.wire.pop_front() {
                self.now += 100;
                self.step(to, Input::Received(from, bytes));
            }
            self.now += 10_000;
            for actor in [ActorId(1), ActorId(2)] {
                self.step(actor, Input::Tick);
            }
        }
    }

    fn add(&mut self, actor: u64, amount: i64) {
        let (replica, _) = self.replicas.get_mut(&ActorId(actor)).unwrap();
        replica.write(&7, |counter, dot| counter.add(dot, amount)).unwrap();
        let seq = replica.cut().last(ActorId(actor));
        self.step(ActorId(actor), Input::Wrote(seq));
    }

    fn deltas(&self, actor: u64) -> Vec<&Message> {
        let is_delta =
            |sent: &&(ActorId, Message)| sent.0 == ActorId(actor) && matches!(sent.1, Message::Delta { .. });
        self.sent.iter().filter(is_delta).map(|(_, message)| message).collect()
    }
}

#[test]
fn one_increment_is_twelve_bytes_and_goes_once_and_not_back() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    pair.sent.clear();
    pair.add(1, 1);
    pair.settle();
    assert_eq!(pair.deltas(2), [] as [&Message; 0], "nothing goes back to where it came from");
    let [Message::Delta { body, .. }] = pair.deltas(1)[..] else { panic!("{:?}", pair.deltas(1)) };
    assert_eq!(body.len(), 12, "{body:?}");
    let values: Vec<i128> =
        pair.replicas.values().map(|(replica, _)| replica.get(&7).unwrap().value()).collect();
    assert_eq!(values, [6, 6]);
    let metrics = pair.replicas[&ActorId(1)].1.metrics();
    assert_eq!((metrics.converged, metrics.resent, metrics.redundant), (2, 0, 0));
    assert!(metrics.convergence_most > 0 && metrics.convergence_sum >= metrics.convergence_most);
    assert_eq!(pair.replicas[&ActorId(1)].1.lag(Micros(pair.now)), 0);
    let stable = |effect: &Effect| matches!(effect, Effect::Stable(_));
    assert!(pair.others.iter().all(stable), "{:?}", pair.others);
}

/// A copy that has written as much as was lost has the same numbers as the one it was made of; what it had when it began
/// tells.
#[test]
fn a_copy_that_has_caught_up_is_found_out() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let copy = pair.replicas[&ActorId(1)].0.clone();
    pair.add(1, 1);
    pair.settle();
    let sync = AntiEntropy::new(ActorId(1), 2, &copy, SETTINGS);
    pair.replicas.insert(ActorId(1), (copy, sync));
    pair.add(1, 100);
    pair.step(ActorId(1), Input::Join(ActorId(2)));
    pair.settle();
    assert!(pair.others.contains(&Effect::PeerRestored(ActorId(1))), "{:?}", pair.others);
    assert!(pair.others.contains(&Effect::Restored { by: ActorId(2) }), "{:?}", pair.others);
    assert_eq!(pair.replicas[&ActorId(2)].0.get(&7).unwrap().value(), 6);
    assert_eq!(pair.replicas[&ActorId(1)].1.wake_at(&pair.replicas[&ActorId(1)].0), None);
}

#[test]
fn an_honest_restart_goes_on() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let (replica, _) = &pair.replicas[&ActorId(1)];
    let (replica, sync) = (replica.clone(), AntiEntropy::new(ActorId(1), 2, replica, SETTINGS));
    pair.replicas.insert(ActorId(1), (replica, sync));
    pair.add(1, 1);
    pair.step(ActorId(1), Input::Join(ActorId(2)));
    pair.settle();
    assert_eq!(pair.replicas[&ActorId(2)].0.get(&7).unwrap().value(), 6);
}

#[test]
fn states_that_differ_at_one_cut_raise_the_alarm() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let (replica, _) = pair.replicas.get_mut(&ActorId(2)).unwrap();
    let mut other = Replica::<u64, Plain<PnCounter>>::new(ActorId(1));
    other.write(&7, |counter, dot| counter.add(dot, 6)).unwrap();
    replica.merge(&other.whole(), other.cut()).unwrap();
    pair.now += SETTINGS.most_interval;
    pair.settle();
    assert!(pair.others.contains(&Effect::Diverged(ActorId(2))), "{:?}", pair.others);
}

#[test]
fn foreign_bytes_and_strangers_change_nothing() {
    let mut pair = Pair::new();
    pair.add(1, 5);
    pair.settle();
    let (replica, sync) = pair.replicas.get_mut(&ActorId(1)).unwrap();
    let before = replica.digest();
    assert_eq!(sync.step(Micros(pair.now), Input::Received(ActorId(9), vec![0; 9]), replica), []);
    sync.step(Micros(pair.now), Input::Received(ActorId(2), vec![9, 9]), replica);
    assert_eq!(sync.metrics().unreadable, 2);
    let mut choices = Choices::new(5);
    let cut = replica.cut().clone();
    let good = replica.whole();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=choices.below(3) {
            let place = choices.place(bytes.len());
            bytes[place] = choices.number() as u8;
        }
        bytes.truncate(choices.place(bytes.len() + 1));
        // Whatever is taken of it: no panic, and no write beyond the cut.
        if replica.clone().merge(&bytes, &cut).is_err() {
            assert_eq!(replica.digest(), before);
        }
    }
    // A write that its own cut does not hold.
    let mut far = Replica::<u64, Plain<PnCounter>>::new(ActorId(3));
    far.write(&7, |counter, dot| counter.add(dot, 1)).unwrap();
    assert!(replica.merge(&far.whole(), &VersionVector::default()).is_err());
    assert_eq!(replica.digest(), before);
}

/// What a peer does not understand it refuses, is asked again at its own pace, and takes when it is understood.
#[test]
fn a_refused_delta_is_not_acknowledged_and_comes_again() {
    let mut pair = Pair::new();
    let (_, sync) = pair.replicas.get_mut(&ActorId(1)).unwrap();
    let stream = pair.sent.iter().rev().find_map(|(from, message)| match message {
        Message::Ask { stream, .. } if *from == ActorId(1) => Some(*stream),
        _ => None,
    });
    let to = [Dot { actor: ActorId(2), seq: 1 }].into_iter().collect();
    let (number, after, body) = (1, 0, vec![77]);
    let delta = Message::Delta { stream: stream.unwrap(), number, after, to, is_whole: false, body };
    let replica = Replica::<u64, Plain<PnCounter>>::new(ActorId(1));
    let effects = sync.step(Micros(pair.now), Input::Received(ActorId(2), delta.encode()), &replica);
    let id = effects.iter().find_map(|effect| match effect {
        Effect::Merge { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(id.unwrap().peer(), ActorId(2));
    let effects = sync.step(Micros(pair.now), Input::Refused(id.unwrap()), &replica);
    assert_eq!(effects, [], "it is neither acknowledged nor asked for at once");
    pair.now += SETTINGS.most_interval;
    pair.add(2, 3);
    pair.settle();
    assert_eq!(pair.replicas[&ActorId(1)].0.get(&7).unwrap().value(), 3);
}

/// What a mesh costs beyond what it needs: nobody knows whom the author of a write speaks with, so that each of the others
/// brings it to all from whom it has not heard that they hold it.
#[test]
fn in_a_mesh_a_write_is_brought_on_by_everyone_and_no_more_than_once() {
    const SIZE: u64 = 6;
    let actors = || (1..=SIZE).map(ActorId);
    let mut nodes: BTreeMap<ActorId, (Replica<u64, Plain<PnCounter>>, AntiEntropy)> = actors()
        .map(|actor| {
            let replica = Replica::new(actor);
            let sync = AntiEntropy::new(actor, 1, &replica, SETTINGS);
            (actor, (replica, sync))
        })
        .collect();
    let mut inputs: VecDeque<(ActorId, Input)> =
        actors().flat_map(|one| actors().map(move |other| (one, Input::Join(other)))).collect();
    let (mut deltas, mut needless, mut now) = (0, 0, 0);
    for round in 0..40 {
        if round == 20 {
            let (replica, _) = nodes.get_mut(&ActorId(1)).unwrap();
            replica.write(&7, |counter, dot| counter.add(dot, 5)).unwrap();
            inputs.push_back((ActorId(1), Input::Wrote(1)));
        }
        while let Some((actor, input)) = inputs.pop_front() {
            let (replica, sync) = nodes.get_mut(&actor).unwrap();
            for effect in sync.step(Micros(now), input, replica) {
                match effect {
                    Effect::Send { peer, bytes } => {
                        deltas += u64::from(matches!(Message::decode(&bytes), Ok(Message::Delta { .. })));
                        inputs.push_back((peer, Input::Received(actor, bytes)));
                    }
                    Effect::Merge { id, to, body, .. } => {
                        needless += u64::from(to <= *replica.cut());
                        replica.merge(&body, &to).unwrap();
                        inputs.push_front((actor, Input::Merged(id)));
                    }
                    _ => {}
                }
            }
        }
        now += 10_000;
        inputs.extend(actors().map(|actor| (actor, Input::Tick)));
    }
    assert!(nodes.values().all(|(replica, _)| replica.get(&7).is_some_and(|value| value.value() == 5)));
    let (needed, most) = (SIZE - 1, (SIZE - 1) * (SIZE - 1));
    assert!((needed..=most).contains(&deltas), "{deltas} deltas, {needed} of them needed");
    assert_eq!(deltas - needless, needed, "each replica gets it once that has it not");
    println!("{deltas} deltas, {needless} of them needless");
}

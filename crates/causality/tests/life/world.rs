//! [`World`]: replicas, a link between them, and what goes wrong, all from one seed.
//!
//! A restored backup stands for days: what was in flight before has arrived or is lost, the backups of the life that
//! it ends are thrown away, and no other replica is restored before this one is confirmed or quarantined.

use std::cmp::Ordering;

use deltaic_causality::ActorId;
use deltaic_causality::itc::{Id, Limits, Stamp};
use deltaic_causality::life::{Body, Effect, Epoch, Input, Life, Message, Nonce, State, Table, To};
use deltaic_types::codec::Reader;

use crate::history::{History, Random};
use crate::replica::Replica;

#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault that is tried or not")]
pub(crate) struct Faults {
    /// Messages are lost and repeated. They are always reordered.
    pub(crate) link: bool,
    /// Replicas crash between any two effects, and come back.
    pub(crate) crashes: bool,
    /// Replicas come back with an older state.
    pub(crate) restores: bool,
    /// Operators start new epochs.
    pub(crate) epochs: bool,
    /// Replicas do not come back.
    pub(crate) deaths: bool,
}

impl Faults {
    pub(crate) fn none() -> Self {
        Self { link: false, crashes: false, restores: false, epochs: false, deaths: false }
    }

    /// Whether no part of the line may be lost.
    pub(crate) fn loses_nothing(self) -> bool {
        !self.restores && !self.deaths && !self.epochs
    }
}

/// How often things happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) joined: usize,
    pub(crate) left: usize,
    pub(crate) stamped: usize,
    pub(crate) lost: usize,
    pub(crate) repeated: usize,
    pub(crate) crashed: usize,
    pub(crate) crashed_after_persist: usize,
    pub(crate) restored: usize,
    pub(crate) confirmed: usize,
    pub(crate) quarantined: usize,
    pub(crate) epochs: usize,
    pub(crate) fenced: usize,
    pub(crate) died: usize,
    pub(crate) abandoned: usize,
    pub(crate) before: usize,
    pub(crate) concurrent: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.joined += other.joined;
        self.left += other.left;
        self.stamped += other.stamped;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.crashed += other.crashed;
        self.crashed_after_persist += other.crashed_after_persist;
        self.restored += other.restored;
        self.confirmed += other.confirmed;
        self.quarantined += other.quarantined;
        self.epochs += other.epochs;
        self.fenced += other.fenced;
        self.died += other.died;
        self.abandoned += other.abandoned;
        self.before += other.before;
        self.concurrent += other.concurrent;
    }
}

#[derive(Debug, Clone)]
enum Content {
    Protocol(Message),
    /// Data of an event, with its stamp.
    Data(Epoch, Stamp),
}

#[derive(Debug, Clone)]
struct Packet {
    from: usize,
    to: usize,
    content: Content,
    history: History,
}

/// An event that was told to the world.
#[derive(Debug, Clone)]
struct Moment {
    event: usize,
    epoch: Epoch,
    stamp: Stamp,
    history: History,
}

#[derive(Debug)]
pub(crate) struct World {
    random: Random,
    faults: Faults,
    replicas: Vec<Replica>,
    link: Vec<Packet>,
    tables: Vec<Table>,
    moments: Vec<Moment>,
    events: usize,
    nonces: u128,
    pub(crate) tally: Tally,
    pub(crate) trace: Vec<String>,
    seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Random(seed);
        let count = 3 + random.below(4);
        let state = |place: usize| {
            let actor = ActorId(place as u64);
            if place == 0 { State::founder(actor) } else { State::outside(actor) }
        };
        let replicas = (0..count).map(|place| Replica::new(state(place))).collect();
        let first = Table { epoch: Epoch(0), seats: vec![ActorId(0)], baseline: Stamp::default() };
        Self {
            random,
            faults,
            replicas,
            link: Vec::new(),
            tables: vec![first],
            moments: Vec::new(),
            events: 0,
            nonces: 0,
            tally: Tally::default(),
            trace: Vec::new(),
            seed,
        }
    }

    pub(crate) fn run(&mut self, steps: usize) {
        for at in 0..self.replicas.len() {
            self.start(at);
        }
        for _ in 0..steps {
            self.act();
            self.check();
        }
    }

    fn nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce(self.nonces)
    }

    fn act(&mut self) {
        let at = self.random.below(self.replicas.len());
        match self.random.below(100) {
            0..=9 => self.input(at, Input::Tick),
            10..=18 => self.event(at),
            19..=28 => self.want(at),
            29..=31 => self.retire(at),
            32 if self.faults.crashes => self.crash(at),
            33..=50 => self.start(at),
            51 if self.faults.restores => self.restore(at),
            52 if self.faults.epochs => self.new_epoch(),
            53 if self.faults.deaths => self.die(at),
            54 | 55 => self.abandon(),
            56 | 57 => self.newcomer(),
            _ => {
                self.deliver();
                self.deliver();
            }
        }
    }

    /// Somebody new in place of those who left or died.
    fn newcomer(&mut self) {
        let present = self.replicas.iter().filter(|peer| peer.is_present()).count();
        if present < 6 {
            let place = self.replicas.len();
            self.replicas.push(Replica::new(State::outside(ActorId(place as u64))));
            self.start(place);
        }
    }

    fn start(&mut self, at: usize) {
        if self.replicas[at].dead || self.replicas[at].is_up() {
            return;
        }
        let ask = if self.replicas[at].suspect {
            self.replicas.iter().filter(|peer| !peer.dead).map(|peer| peer.actor).collect()
        } else {
            Vec::new()
        };
        let question = self.nonce();
        let replica = &mut self.replicas[at];
        let (life, effects) = Life::start(replica.disk.read(), ask, question);
        replica.life = Some(life);
        self.carry_out(at, effects);
    }

    fn input(&mut self, at: usize, input: Input) {
        let Some(life) = &mut self.replicas[at].life else { return };
        if let Ok(effects) = life.step(input) {
            self.carry_out(at, effects);
        }
    }

    fn event(&mut self, at: usize) {
        if self.events == History::MOST {
            return;
        }
        let Some(life) = &mut self.replicas[at].life else { return };
        if let Ok(effects) = life.step(Input::Event) {
            self.replicas[at].history.insert(self.events);
            self.events += 1;
            self.carry_out(at, effects);
        }
    }

    /// Someone outside joins, someone who retires looks for an heir.
    fn want(&mut self, at: usize) {
        let nonce = self.nonce();
        let candidates = self.some_peers();
        let replica = &self.replicas[at];
        if replica.needs_heir() {
            self.input(at, Input::Retire { nonce, candidates });
        } else if replica.is_outside() {
            self.input(at, Input::Join { nonce, candidates });
        }
    }

    fn retire(&mut self, at: usize) {
        let members = self.replicas.iter().filter(|peer| !peer.dead && peer.state().is_member()).count();
        if members > 1 && self.replicas[at].state().is_member() {
            let nonce = self.nonce();
            let candidates = self.some_peers();
            self.input(at, Input::Retire { nonce, candidates });
        }
    }

    fn some_peers(&mut self) -> Vec<ActorId> {
        let (n, offset) = (self.replicas.len(), self.random.below(self.replicas.len()));
        let many = 1 + self.random.below(n);
        (0..many).map(|i| self.replicas[(offset + i) % n].actor).collect()
    }

    fn crash(&mut self, at: usize) {
        if self.replicas[at].is_up() {
            self.trace.push(format!("{at} crashes"));
            self.tally.crashed += 1;
            self.replicas[at].crash();
            self.forget_what_nobody_knows();
        }
    }

    fn restore(&mut self, at: usize) {
        // One at a time: what another has not answered yet it may not forget.
        if self.replicas.iter().any(|peer| peer.suspect && peer.actor != self.replicas[at].actor) {
            return;
        }
        let replica = &mut self.replicas[at];
        if replica.dead {
            return;
        }
        let place = self.random.below(replica.backups.len());
        self.trace.push(format!("{at} is restored to its state {place}"));
        self.tally.restored += 1;
        replica.disk = replica.backups[place].clone();
        // Backups of the life that this ends are thrown away.
        replica.backups.truncate(place + 1);
        replica.durable = replica.disk.read();
        replica.suspect = true;
        replica.crash();
        self.link.clear();
        self.forget_what_nobody_knows();
        self.start(at);
    }

    fn die(&mut self, at: usize) {
        let alive = self.replicas.iter().filter(|peer| !peer.dead && peer.state().is_member()).count();
        if alive > 2 && !self.replicas[at].dead {
            self.trace.push(format!("{at} dies"));
            self.tally.died += 1;
            self.replicas[at].crash();
            self.replicas[at].dead = true;
        }
    }

    fn abandon(&mut self) {
        for at in 0..self.replicas.len() {
            let orphan = self.replicas[at].state().outgoing().find_map(|(nonce, transfer)| {
                let (To::Joiner(taker) | To::Heir(taker)) = transfer.to() else { return None };
                self.replicas[taker.0 as usize].dead.then_some(nonce)
            });
            if let Some(nonce) = orphan {
                self.tally.abandoned += 1;
                self.input(at, Input::Abandon { nonce });
            }
        }
    }

    fn new_epoch(&mut self) {
        let epoch = Epoch(self.tables.len() as u64);
        let seats: Vec<ActorId> =
            self.replicas.iter().filter(|peer| peer.is_present()).map(|peer| peer.actor).collect();
        let some: Vec<ActorId> = seats.iter().copied().filter(|_| self.random.percent(70)).collect();
        let seats = if some.is_empty() { seats } else { some };
        if seats.is_empty() {
            return;
        }
        self.trace.push(format!("epoch {epoch:?} with {seats:?}"));
        self.tally.epochs += 1;
        self.tables.push(Table { epoch, seats, baseline: Stamp::default() });
        let at = self.random.below(self.replicas.len());
        self.enter(at, epoch);
    }

    fn enter(&mut self, at: usize, epoch: Epoch) {
        let table = self.tables[epoch.0 as usize].clone();
        let Some(life) = &mut self.replicas[at].life else { return };
        let before = life.state().epoch();
        if let Ok(effects) = life.step(Input::Epoch(table)) {
            if life.state().epoch() > before {
                // Stamps count from nothing again, and so do the events they stand for.
                self.replicas[at].history = History::default();
            }
            self.carry_out(at, effects);
        }
    }

    fn deliver(&mut self) {
        if self.link.is_empty() {
            return;
        }
        let place = self.random.below(self.link.len());
        if self.faults.link && self.random.percent(10) {
            self.tally.lost += 1;
            self.link.swap_remove(place);
            return;
        }
        let packet = if self.faults.link && self.random.percent(15) {
            self.tally.repeated += 1;
            self.link[place].clone()
        } else {
            self.link.swap_remove(place)
        };
        self.arrive(packet);
    }

    fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, content, history } = packet;
        let replica = &mut self.replicas[to];
        let Some(life) = &mut replica.life else { return };
        self.trace.push(format!("{from} to {to}: {content:?}"));
        let epoch = life.state().epoch();
        let (learned, input) = match content {
            Content::Protocol(message) => {
                let learned = match &message.body {
                    Body::Grant { stamp, .. } | Body::Give { stamp, .. } if message.epoch == epoch => {
                        Some(stamp.clone())
                    }
                    _ => None,
                };
                (learned, Input::Received { from: ActorId(from as u64), message })
            }
            Content::Data(theirs, stamp) => {
                ((theirs == epoch).then(|| stamp.clone()), Input::Learned { epoch: theirs, stamp })
            }
        };
        let Ok(effects) = life.step(input) else { return };
        if learned.is_some_and(|stamp| stamp.leq(life.state().stamp())) {
            replica.history.extend(history);
        }
        self.carry_out(to, effects);
    }

    /// Carries out effects in order; a crash may come between any two.
    fn carry_out(&mut self, at: usize, effects: Vec<Effect>) {
        self.replicas[at].note_transfers();
        let mut persisted = false;
        let (mut behind, mut anew) = (None, false);
        for effect in effects {
            if self.faults.crashes && self.random.percent(2) {
                self.tally.crashed_after_persist += usize::from(persisted);
                self.crash(at);
                return;
            }
            let replica = &mut self.replicas[at];
            match effect {
                Effect::Persist(bytes) => {
                    replica.persist(bytes);
                    persisted = true;
                }
                Effect::Send { to, message } => {
                    assert_ne!(to, replica.actor, "nobody sends to itself");
                    let history = match &message.body {
                        Body::Grant { nonce, .. } | Body::Give { nonce, .. } => {
                            replica.transfers.iter().find(|(known, _)| *known == nonce.0).unwrap().1
                        }
                        _ => replica.history,
                    };
                    let mut bytes = Vec::new();
                    message.write(&mut bytes);
                    let message = Message::read(&mut Reader::new(&bytes), Limits::own()).unwrap();
                    self.tally.fenced += usize::from(message.body == Body::Fenced);
                    let content = Content::Protocol(message);
                    self.link.push(Packet { from: at, to: to.0 as usize, content, history });
                }
                Effect::Stamped(stamp) => {
                    assert!(!replica.suspect, "a suspect counts nothing");
                    let (epoch, history) = (replica.state().epoch(), replica.history);
                    self.tally.stamped += 1;
                    self.moments.push(Moment {
                        event: self.events - 1,
                        epoch,
                        stamp: stamp.clone(),
                        history,
                    });
                    for to in (0..self.replicas.len()).filter(|to| *to != at) {
                        if self.random.percent(60) {
                            let content = Content::Data(epoch, stamp.clone());
                            self.link.push(Packet { from: at, to, content, history });
                        }
                    }
                }
                Effect::Confirmed => {
                    assert!(replica.suspect);
                    replica.suspect = false;
                    self.tally.confirmed += 1;
                }
                Effect::Quarantined => {
                    assert!(self.faults.restores, "seed {}: only a copy from before is found out", self.seed);
                    replica.suspect = false;
                    self.tally.quarantined += 1;
                    anew = true;
                }
                Effect::Joined => self.tally.joined += 1,
                Effect::Left => self.tally.left += 1,
                Effect::Behind { epoch } => behind = behind.max(Some(epoch)),
                Effect::Overlap { from } => panic!("seed {}: {at} overlaps what {from} sends", self.seed),
                Effect::JoinRefused { .. } | Effect::HeirRefused { .. } => {}
                other => panic!("unexpected effect {other:?}"),
            }
        }
        if anew {
            self.go_on(at);
        }
        if let Some(epoch) = behind {
            self.enter(at, epoch);
        }
    }

    /// The data of a copy from before go on under a new actor.
    fn go_on(&mut self, at: usize) {
        let place = self.replicas.len();
        let copy = &self.replicas[at];
        let mut replica = Replica::new(copy.state().anew(ActorId(place as u64)));
        replica.history = copy.history;
        replica.disk.history = copy.history;
        replica.backups = vec![replica.disk.clone()];
        self.replicas.push(replica);
        self.start(place);
    }

    /// An event that is in nobody's data did not happen for anybody, and its number in the clock may come again.
    fn forget_what_nobody_knows(&mut self) {
        let replicas = &self.replicas;
        self.moments.retain(|moment| {
            replicas.iter().any(|replica| {
                replica.history.contains(moment.event) || replica.disk.history.contains(moment.event)
            })
        });
    }

    /// No point of the line has two owners, and none is lost that nothing was lost with.
    fn check(&self) {
        let claims: Vec<_> = self
            .replicas
            .iter()
            .filter(|replica| !replica.dead && !replica.suspect)
            .flat_map(Replica::claims)
            .collect();
        for (i, a) in claims.iter().enumerate() {
            for b in &claims[i + 1..] {
                // The states of one replica in memory and on disk are of one owner.
                if a.epoch != b.epoch || a.actor == b.actor {
                    continue;
                }
                let who = || format!("seed {}: {:?} and {:?} in {:?}", self.seed, a.actor, b.actor, a.epoch);
                assert!(!a.owned.overlaps(&b.owned), "two owners, {}\n{}", who(), self.trace.join("\n"));
                // What is under way and somebody owns was taken: its owner knows the event that proves it.
                for (giver, taker) in [(a, b), (b, a)] {
                    for (id, proof) in giver.under_way.iter().filter(|(id, _)| id.overlaps(&taker.owned)) {
                        let common = id.without(&id.without(&taker.owned));
                        assert!(proof.leq_within(&taker.stamp, &common), "not taken, {}", who());
                    }
                }
                // What is under way twice was taken and given on.
                for (first, proof) in &a.under_way {
                    for (second, other) in b.under_way.iter().filter(|(id, _)| id.overlaps(first)) {
                        let common = first.without(&first.without(second));
                        assert!(
                            proof.leq_within(other, &common) || other.leq_within(proof, &common),
                            "two givers, {}",
                            who()
                        );
                    }
                }
            }
        }
        if self.faults.loses_nothing() {
            let held = self
                .replicas
                .iter()
                .filter_map(|replica| replica.claims().into_iter().next())
                .fold(Id::empty(), |held, claim| held.union(&claim.held()));
            assert!(held.is_whole(), "seed {}: a part is lost", self.seed);
        }
    }

    /// The clocks' order of all events that were told to the world is that of their histories.
    pub(crate) fn compare_moments(&mut self) {
        for (i, a) in self.moments.iter().enumerate() {
            for b in self.moments[..i].iter().filter(|b| b.epoch == a.epoch) {
                let order = b.history.inclusion(a.history);
                assert_eq!(b.stamp.partial_cmp(&a.stamp), order, "seed {}: {b:?} {a:?}", self.seed);
                self.tally.before += usize::from(order == Some(Ordering::Less));
                self.tally.concurrent += usize::from(order.is_none());
            }
        }
    }

    /// With all replicas up and a link that works everything comes to an end: who wanted in is in, who retires has
    /// left, and nothing is under way.
    pub(crate) fn settle(&mut self) {
        self.faults = Faults::none();
        for round in 0..60 {
            for at in 0..self.replicas.len() {
                self.start(at);
                self.input(at, Input::Tick);
                if round % 4 == 0 {
                    self.want_everybody(at);
                }
            }
            while !self.link.is_empty() {
                self.deliver();
                self.check();
            }
            if self.is_settled() {
                return;
            }
        }
        panic!("seed {}: not settled: {:?}", self.seed, self.replicas);
    }

    fn is_settled(&self) -> bool {
        self.replicas.iter().map(Replica::state).all(|state| {
            let nothing_under_way = state.outgoing().next().is_none() && state.asked().next().is_none();
            (state.is_member() || state.has_left()) && nothing_under_way
        })
    }

    fn want_everybody(&mut self, at: usize) {
        let nonce = self.nonce();
        let candidates = self.replicas.iter().map(|peer| peer.actor).collect();
        let replica = &self.replicas[at];
        if replica.needs_heir() {
            self.input(at, Input::Retire { nonce, candidates });
        } else if replica.is_outside() {
            self.input(at, Input::Join { nonce, candidates });
        }
    }
}

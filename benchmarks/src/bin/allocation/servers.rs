//! Our way in virtual time: one to sixteen servers, of which each participant is a client of one.
//!
//! Invariant: a participant's row has one writer, its server, and `(incarnation, seq)` alone decides what is stale. Each
//! server has a market of its own, made of nothing but the messages that it got; a run ends with all of them compared, bit
//! by bit, and the certificate checked.
//!
//! A server sends the rows of its own clients to each other server, once an interval, and again until they are
//! acknowledged: a tree of two levels and not gossip, for with few servers each row crosses each of their links once, in
//! one hop, where gossip would send it several times in several. A client says its row until it is acknowledged. A
//! server that does not hear of a client for [`LEASE_MILLIS`] says that it left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deltaic_allocation::baseline::{Agenda, Network, Traffic};
use deltaic_allocation::{Change, Changed, Commitment, EdgeId, Market, ParticipantId, Solution, Stamp, Time};

/// How often a server sends and solves, if there is something new.
const INTERVAL_MILLIS: u64 = 100;
/// After how long something is sent again.
const AGAIN_MILLIS: u64 = 1_000;
/// How often a client says that it is there.
const BEAT_MILLIS: u64 = 3_000;
/// After how long without a word a client has left.
const LEASE_MILLIS: u64 = 10_000;
/// The edges that a server solves in a millisecond: less than what was measured.
const EDGES_A_MILLI: u64 = 500;
/// What a message, a row, and a part of it cost in bytes: as for the seed's rules.
const ENVELOPE_BYTES: u64 = 100;
const ROW_BYTES: u64 = 20;
const SLOT_BYTES: u64 = 24;
const WEIGHT_BYTES: u64 = 12;

/// What happens.
pub(crate) enum Step {
    Say(Commitment),
    Leave(ParticipantId),
}

pub(crate) struct Plan {
    pub(crate) servers: usize,
    pub(crate) network: Network,
    pub(crate) steps: Vec<(Time, Step)>,
    pub(crate) until: Time,
    /// When to add up what is given, by each provider's own server.
    pub(crate) look: Time,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) traffic: Traffic,
    /// When last a server knew or a client heard something different.
    pub(crate) changed: Time,
    /// Who said something and when it saw what it has for it.
    pub(crate) seen: BTreeMap<ParticipantId, u64>,
    /// What was given at the look.
    pub(crate) given_then: BTreeMap<EdgeId, u64>,
    /// What is given at the end, the same at all servers.
    pub(crate) given: BTreeMap<EdgeId, u64>,
}

type Given = Arc<Vec<(EdgeId, u64)>>;

enum Event {
    Step(usize),
    /// A client says its row, for the first time or again.
    Says {
        who: ParticipantId,
        number: u64,
    },
    Said {
        said: Arc<Commitment>,
        number: u64,
    },
    Heard {
        who: ParticipantId,
        number: u64,
    },
    Beat {
        who: ParticipantId,
    },
    Beats {
        who: ParticipantId,
    },
    Tick {
        server: usize,
    },
    Rows {
        from: usize,
        to: usize,
        rows: Arc<Vec<Change>>,
    },
    Acknowledged {
        by: usize,
        to: usize,
        rows: Arc<Vec<Change>>,
    },
    Solved {
        server: usize,
    },
    News {
        to: ParticipantId,
        differs: bool,
        answers: bool,
    },
    Look,
}

struct Server {
    market: Market,
    digest: u64,
    /// Of the market that was solved, and what came of it.
    solved: (u64, Given),
    solving: Option<(u64, Given)>,
    /// The rows of its own clients that a server did not acknowledge, and when they were sent.
    unheard: Vec<BTreeMap<ParticipantId, Time>>,
    rows: BTreeMap<ParticipantId, Row>,
    /// Clients that wait for what their row gives them.
    asking: BTreeSet<ParticipantId>,
    answering: BTreeSet<ParticipantId>,
}

/// A client's row as its server keeps it.
struct Row {
    said: Commitment,
    is_there: bool,
    heard: Time,
    number: u64,
}

struct World<'a> {
    plan: &'a Plan,
    agenda: Agenda<Event>,
    servers: Vec<Server>,
    /// What clients want to be heard: the row and its number; the number that was heard.
    says: BTreeMap<ParticipantId, (Arc<Commitment>, u64)>,
    heard: BTreeMap<ParticipantId, u64>,
    since: BTreeMap<ParticipantId, Time>,
    solutions: BTreeMap<u64, Given>,
    outcome: Outcome,
}

/// The server of a participant. A number of servers that three divides has whole thirds of clients.
pub(crate) fn server_of(who: ParticipantId, servers: usize) -> usize {
    (who.0 % servers as u64) as usize
}

/// Where a server is in the network.
pub(crate) fn address(server: usize) -> ParticipantId {
    ParticipantId((1 << 40) + server as u64)
}

pub(crate) fn run(market: &Market, plan: &Plan) -> Outcome {
    let digest = market.members().map(|said| mark(said.owner, said.stamp)).fold(0, |all, one| all ^ one);
    let given = solve(market);
    let all: Vec<Commitment> = market.members().cloned().collect();
    let servers = (0..plan.servers).map(|server| {
        let own = all.iter().filter(|said| server_of(said.owner, plan.servers) == server);
        let row = |said: &Commitment| Row { said: said.clone(), is_there: true, heard: Time(0), number: 0 };
        Server {
            market: market.clone(),
            digest,
            solved: (digest, Arc::clone(&given)),
            solving: None,
            unheard: vec![BTreeMap::new(); plan.servers],
            rows: own.map(|said| (said.owner, row(said))).collect(),
            asking: BTreeSet::new(),
            answering: BTreeSet::new(),
        }
    });
    let outcome = Outcome {
        traffic: Traffic::default(),
        changed: Time(0),
        seen: BTreeMap::new(),
        given_then: BTreeMap::new(),
        given: BTreeMap::new(),
    };
    let mut world = World {
        plan,
        agenda: Agenda::new(plan.network.clone()),
        servers: servers.collect(),
        says: BTreeMap::new(),
        heard: BTreeMap::new(),
        since: BTreeMap::new(),
        solutions: [(digest, given)].into(),
        outcome,
    };
    for (place, (at, _)) in plan.steps.iter().enumerate() {
        world.agenda.at(*at, Event::Step(place));
    }
    for said in &all {
        let at = world.agenda.chance.below(BEAT_MILLIS);
        world.agenda.at(Time(at), Event::Beat { who: said.owner });
    }
    for server in 0..plan.servers {
        let at = world.agenda.chance.below(INTERVAL_MILLIS);
        world.agenda.at(Time(at), Event::Tick { server });
    }
    world.agenda.at(plan.look, Event::Look);
    while let Some((now, event)) = world.agenda.next(plan.until) {
        world.happens(now, event);
    }
    world.end()
}

/// What a row adds to a digest (the finaliser of splitmix).
fn mark(owner: ParticipantId, stamp: Stamp) -> u64 {
    let mixed = |number: u64| {
        let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mixed(mixed(mixed(owner.0) ^ u64::from(stamp.incarnation)) ^ stamp.seq)
}

fn solve(market: &Market) -> Given {
    let allocations = Solution::of(market, Time(0)).allocations;
    Arc::new(allocations.into_iter().map(|given| (given.edge, given.quantity.0)).collect())
}

/// The edges that differ between two, each of which ascends.
fn differences(a: &[(EdgeId, u64)], b: &[(EdgeId, u64)]) -> Vec<EdgeId> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut differ = Vec::new();
    loop {
        match (a.peek(), b.peek()) {
            (None, None) => return differ,
            (Some(x), Some(y)) if x.0 == y.0 => {
                if x.1 != y.1 {
                    differ.push(x.0);
                }
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                differ.push(x.0);
                a.next();
            }
            (_, Some(y)) => {
                differ.push(y.0);
                b.next();
            }
            (Some(_), None) => unreachable!("invariant: met above"),
        }
    }
}

fn row_bytes(change: &Change) -> u64 {
    let Change::Commit(said) = change else { return ROW_BYTES };
    let slots = said.capacities.len() + said.needs.len();
    ROW_BYTES + SLOT_BYTES * slots as u64 + WEIGHT_BYTES * said.recognition.len() as u64
}

impl World<'_> {
    fn happens(&mut self, now: Time, event: Event) {
        match event {
            Event::Step(place) => match &self.plan.steps[place].1 {
                Step::Leave(who) => self.agenda.leave(*who),
                Step::Say(said) => {
                    let number = self.says.get(&said.owner).map_or(1, |(_, number)| number + 1);
                    self.says.insert(said.owner, (Arc::new(said.clone()), number));
                    self.since.insert(said.owner, now);
                    self.agenda.at(now, Event::Says { who: said.owner, number });
                }
            },
            Event::Says { who, number } => {
                if self.heard.get(&who).is_none_or(|heard| *heard < number) && !self.agenda.is_away(who) {
                    let (said, _) = self.says[&who].clone();
                    let to = address(server_of(who, self.plan.servers));
                    let bytes = ENVELOPE_BYTES + row_bytes(&Change::Commit((*said).clone()));
                    self.agenda.send(now, (who, to), bytes, Event::Said { said, number });
                    self.agenda.at(Time(now.0 + AGAIN_MILLIS), Event::Says { who, number });
                }
            }
            Event::Said { said, number } => {
                let who = said.owner;
                let server = server_of(who, self.plan.servers);
                self.servers[server].listen(who, now);
                let row = self.servers[server].rows.get_mut(&who).expect("invariant: its client");
                if row.number < number {
                    row.number = number;
                    let stamp = row.said.stamp;
                    row.said = Commitment { stamp, ..(*said).clone() };
                    self.write(now, who, true);
                    self.servers[server].asking.insert(who);
                }
                self.agenda.send(now, (address(server), who), ENVELOPE_BYTES, Event::Heard { who, number });
            }
            Event::Heard { who, number } => {
                self.heard.insert(who, number);
            }
            Event::Beat { who } => {
                if !self.agenda.is_away(who) {
                    let to = address(server_of(who, self.plan.servers));
                    self.agenda.send(now, (who, to), ENVELOPE_BYTES, Event::Beats { who });
                    self.agenda.at(Time(now.0 + BEAT_MILLIS), Event::Beat { who });
                }
            }
            Event::Beats { who } => {
                let server = server_of(who, self.plan.servers);
                self.servers[server].listen(who, now);
                if !self.servers[server].rows[&who].is_there {
                    // It was cut off, and is told what it has by now.
                    self.write(now, who, true);
                    self.servers[server].asking.insert(who);
                }
            }
            Event::Tick { server } => {
                self.tick(now, server);
                self.agenda.at(Time(now.0 + INTERVAL_MILLIS), Event::Tick { server });
            }
            Event::Rows { from, to, rows } => {
                for row in rows.iter() {
                    self.take(now, to, row.clone());
                }
                let ids = (address(to), address(from));
                self.agenda.send(now, ids, ENVELOPE_BYTES, Event::Acknowledged { by: to, to: from, rows });
            }
            Event::Acknowledged { by, to, rows } => {
                for row in rows.iter() {
                    let (owner, stamp) = version(row);
                    let own = &mut self.servers[to];
                    if own.rows[&owner].said.stamp == stamp {
                        own.unheard[by].remove(&owner);
                    }
                }
            }
            Event::Solved { server } => self.solved(now, server),
            Event::News { to, differs, answers } => {
                if differs {
                    self.outcome.changed = now;
                }
                if answers && let Some(since) = self.since.remove(&to) {
                    self.outcome.seen.insert(to, now.0 - since.0);
                }
            }
            Event::Look => {
                for server in 0..self.servers.len() {
                    let own = self.servers[server].solved.1.iter();
                    let own =
                        own.filter(|(edge, _)| server_of(edge.capacity.owner, self.plan.servers) == server);
                    self.outcome.given_then.extend(own.copied());
                }
            }
        }
    }

    /// Writes the row of an own client anew.
    fn write(&mut self, now: Time, who: ParticipantId, is_there: bool) {
        let server = server_of(who, self.plan.servers);
        let own = &mut self.servers[server];
        let row = own.rows.get_mut(&who).expect("invariant: its client");
        row.is_there = is_there;
        row.said.stamp.seq += 1;
        for unheard in &mut own.unheard {
            unheard.insert(who, Time(0));
        }
        own.unheard[server].clear();
        let change = row_of(&own.rows[&who]);
        self.take(now, server, change);
    }

    /// Takes a row into a market, and what it replaces out of the digest.
    fn take(&mut self, now: Time, server: usize, change: Change) {
        let (owner, stamp) = version(&change);
        let own = &mut self.servers[server];
        let before = own.market.stamp(owner).map_or(0, |stamp| mark(owner, stamp));
        if own.market.apply(change).expect("invariant: within the limits") == Changed::Applied {
            own.digest ^= before ^ mark(owner, stamp);
            self.outcome.changed = now;
        }
    }

    fn tick(&mut self, now: Time, server: usize) {
        let own = &self.servers[server];
        let late = |row: &Row| row.is_there && row.heard.0 + LEASE_MILLIS < now.0;
        let gone: Vec<ParticipantId> =
            own.rows.iter().filter(|(_, row)| late(row)).map(|(who, _)| *who).collect();
        for who in gone {
            self.write(now, who, false);
        }
        for peer in (0..self.servers.len()).filter(|peer| *peer != server) {
            let own = &mut self.servers[server];
            let due = |sent: Time| sent == Time(0) || sent.0 + AGAIN_MILLIS <= now.0;
            let rows = own.unheard[peer].iter_mut().filter(|(_, sent)| due(**sent)).map(|(who, sent)| {
                *sent = now;
                row_of(&own.rows[who])
            });
            let rows: Vec<Change> = rows.collect();
            if !rows.is_empty() {
                let bytes = ENVELOPE_BYTES + rows.iter().map(row_bytes).sum::<u64>();
                let event = Event::Rows { from: server, to: peer, rows: Arc::new(rows) };
                self.agenda.send(now, (address(server), address(peer)), bytes, event);
            }
        }
        let own = &mut self.servers[server];
        if own.solving.is_none() && own.solved.0 != own.digest {
            let digest = own.digest;
            let given = self.solutions.entry(digest).or_insert_with(|| solve(&own.market));
            let takes = given.len() as u64 / EDGES_A_MILLI + 1;
            own.solving = Some((digest, Arc::clone(given)));
            own.answering = std::mem::take(&mut own.asking);
            self.agenda.at(Time(now.0 + takes), Event::Solved { server });
        }
        let kept: BTreeSet<u64> = self.servers.iter().flat_map(|own| [own.digest, own.solved.0]).collect();
        self.solutions.retain(|digest, _| kept.contains(digest));
    }

    /// Tells its clients what is different for them.
    fn solved(&mut self, now: Time, server: usize) {
        let own = &mut self.servers[server];
        let Some((digest, given)) = own.solving.take() else { return };
        let differ = differences(&own.solved.1, &given);
        own.solved = (digest, given);
        let mut news: BTreeMap<ParticipantId, u64> = BTreeMap::new();
        for who in differ.iter().flat_map(|edge| [edge.capacity.owner, edge.need.owner]) {
            *news.entry(who).or_default() += 1;
        }
        let asked = std::mem::take(&mut own.answering);
        for who in &asked {
            news.entry(*who).or_default();
        }
        news.retain(|who, _| server_of(*who, self.plan.servers) == server);
        if !differ.is_empty() {
            self.outcome.changed = now;
        }
        for (to, edges) in news {
            let bytes = ENVELOPE_BYTES + SLOT_BYTES * edges;
            let event = Event::News { to, differs: edges > 0, answers: asked.contains(&to) };
            self.agenda.send(now, (address(server), to), bytes, event);
        }
    }

    /// Compares all servers, and checks the certificate.
    fn end(mut self) -> Outcome {
        let first = Solution::of(&self.servers[0].market, Time(0));
        let certificate = first.certificate();
        certificate.check(&self.servers[0].market, &first).expect("invariant: the solution is fair");
        for own in &self.servers {
            assert!(
                own.digest == self.servers[0].digest && own.solved.0 == own.digest,
                "not equal at the end"
            );
        }
        // The bits of what each computes of its own market; of two and the last, for the time that it takes.
        for own in self.servers.iter().skip(1).take(2).chain(self.servers.last()) {
            assert!(Solution::of(&own.market, Time(0)) == first, "equal digests and other bits");
        }
        self.outcome.given = self.servers[0].solved.1.iter().copied().collect();
        self.outcome.traffic = self.agenda.traffic;
        self.outcome
    }
}

fn version(change: &Change) -> (ParticipantId, Stamp) {
    match change {
        Change::Commit(said) => (said.owner, said.stamp),
        Change::Leave { owner, stamp } => (*owner, *stamp),
        _ => unreachable!("invariant: servers send rows alone"),
    }
}

fn row_of(row: &Row) -> Change {
    let said = &row.said;
    if row.is_there {
        Change::Commit(said.clone())
    } else {
        Change::Leave { owner: said.owner, stamp: said.stamp }
    }
}

impl Server {
    fn listen(&mut self, who: ParticipantId, now: Time) {
        self.rows.get_mut(&who).expect("invariant: its client").heard = now;
    }
}

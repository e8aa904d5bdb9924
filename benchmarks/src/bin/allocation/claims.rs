//! The seed's claims of latency, convergence, traffic and stalls, in virtual time: its two rules and our way side by side.
//!
//! Invariant: one market, one network, the same declarations for all three; everything that is printed, but for the time
//! that the program took, is the same on any machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use deltaic_allocation::baseline::{Cut, Economy, Network, Run, Step, Trace, Traffic, damped_v2, rounds_v1};
use deltaic_allocation::{Commitment, EdgeId, Market, ParticipantId, Quantity, Time};

use crate::SEED;
use crate::markets::{Dice, Size, market, said};
use crate::servers::{self, Plan, address};
use crate::verdicts::{Figure, Figures, compare};

/// How many there are; the servers; the bytes of the clock of each message of `rounds_v1` and of the stamp of `damped_v2`, as
/// `--bin causality` weighs them where all publish.
pub(crate) const SIZES: [(u64, usize, u64, u64); 4] =
    [(10, 1, 21, 11), (100, 3, 201, 85), (1_000, 3, 2_875, 808), (10_000, 15, 29_875, 5_824)];
/// The most for which `rounds_v1` is run: beyond, one round is 2 x 10^8 messages.
const ROUNDS_MOST: u64 = 1_000;
/// When something happens in `damped_v2` and ours: they have settled by then.
const START: u64 = 5_000;
/// A round, and when something happens in `rounds_v1`: in the middle of the third.
const ROUND: u64 = 90_000;
const ROUNDS_START: u64 = 2 * ROUND + ROUND / 2;
/// The stated cut.
const CUT: u64 = 30_000;

struct Scene {
    count: u64,
    servers: usize,
    stamps: [u64; 2],
    said: Vec<Commitment>,
    market: Market,
    economy: Economy,
    /// The place of a participant's need.
    places: BTreeMap<ParticipantId, usize>,
}

/// What a participant says it needs, in units, from when on.
type Declared = (Time, ParticipantId, u64);

/// What happens in one run.
#[derive(Default, Clone)]
struct Script {
    declared: Vec<Declared>,
    leaves: Vec<(Time, ParticipantId)>,
    cut: Option<(Time, Time)>,
    /// From when to look at what happens, and the end.
    from: u64,
    until: u64,
}

/// What came of it.
struct Seen {
    rule: &'static str,
    traffic: Traffic,
    changed: u64,
    until: u64,
    /// After a change nothing may change for so long, else it has not settled.
    quiet: u64,
    latencies: BTreeMap<ParticipantId, u64>,
    /// Given at the end, in units, and at the end of the cut.
    given: BTreeMap<EdgeId, f64>,
    over_then: f64,
    says_converged: Option<u64>,
    /// The largest difference of a link between the last two looks, in units.
    moving: f64,
    waits: Vec<u64>,
    wall: f64,
}

impl Scene {
    fn new((count, servers, clock, stamp): (u64, usize, u64, u64)) -> Self {
        let providers = (count / 4).max(1);
        let degree = providers.min(10);
        let size =
            Size { providers, recipients: count - providers, degree, load: 100, least: 10, heaviest: 99 };
        let said = said(&mut Dice(SEED), size, 0);
        let market = market(said.clone());
        let economy = Economy::of(&market, Time(0));
        let needs = economy.needs.iter().enumerate();
        let places = needs.map(|(place, (owner, _))| (economy.participants[*owner], place)).collect();
        Self { count, servers, stamps: [clock, stamp], said, market, economy, places }
    }

    /// Different recipients, spread evenly, each of which needs half as much again.
    fn declared(&self, count: u64, at: impl Fn(u64) -> u64) -> Vec<Declared> {
        let first = (self.count / 4).max(1);
        let recipients = self.count - first;
        let declared = (0..count).map(|number| {
            // Of each third some.
            let owner = first + (number * recipients / count + number % 3) % recipients;
            let units = self.said[owner as usize].needs[0].quantity.0 / 1_000_000;
            (Time(at(number)), ParticipantId(owner), units * 3 / 2 + 1)
        });
        declared.collect()
    }

    /// The third that is cut off, with its servers where there are several.
    fn third(&self) -> BTreeSet<ParticipantId> {
        let clients = (0..self.count).filter(|who| who % 3 == 0).map(ParticipantId);
        let servers = (0..self.servers).filter(|server| self.servers > 1 && server % 3 == 0).map(address);
        clients.chain(servers).collect()
    }

    fn network(&self, script: &Script) -> Network {
        let cut = |(from, until): (Time, Time)| Cut { who: self.third(), from, until };
        Network {
            seed: SEED,
            least: 30,
            most: 120,
            cuts: script.cut.map(cut).into_iter().collect(),
            ..Network::default()
        }
    }

    fn baseline(&self, is_rounds: bool, script: &Script) -> Seen {
        let who = |who: &ParticipantId| self.economy.participants.partition_point(|other| other < who);
        let needs = script.declared.iter();
        let needs = needs.map(|(at, who, units)| (*at, Step::Need(self.places[who], *units as f64)));
        let leaves = script.leaves.iter().map(|(at, owner)| (*at, Step::Leave(who(owner))));
        let run = Run {
            until: Time(script.until),
            every: if is_rounds { 1_000 } else { 100 },
            network: self.network(script),
            steps: needs.chain(leaves).collect(),
            stamp_bytes: self.stamps[usize::from(!is_rounds)],
            ..Run::default()
        };
        let start = Instant::now();
        let trace = if is_rounds { rounds_v1(&self.economy, &run) } else { damped_v2(&self.economy, &run) };
        self.seen(is_rounds, script, trace, start.elapsed().as_secs_f64())
    }

    fn seen(&self, is_rounds: bool, script: &Script, trace: Trace, wall: f64) -> Seen {
        let links = self.economy.links.iter().zip(&trace.given);
        let healed = script.cut.map_or(0, |(_, until)| until.0);
        let last = script.declared.iter().map(|(at, ..)| at.0).max().unwrap_or(script.from);
        let then = trace.samples.iter().rfind(|sample| sample.at.0 < healed);
        let converged = trace.samples.iter().find(|sample| sample.at.0 > last && sample.converged);
        let owner = |place: usize| self.economy.participants[self.economy.needs[place].0];
        Seen {
            rule: if is_rounds { "rounds_v1" } else { "damped_v2" },
            traffic: trace.traffic,
            changed: trace.changed.0,
            until: script.until,
            quiet: if is_rounds { ROUND + 5_000 } else { 1_000 },
            latencies: trace.seen.iter().map(|(place, after)| (owner(*place), *after)).collect(),
            given: links.map(|(link, given)| (link.edge, *given)).collect(),
            over_then: then.map_or(0.0, |sample| sample.over),
            says_converged: converged.map(|sample| sample.at.0 - last),
            moving: trace.samples.last().map_or(0.0, |sample| sample.moved),
            waits: trace.waits,
            wall,
        }
    }

    fn ours(&self, script: &Script) -> Seen {
        let says = script.declared.iter().map(|(at, who, units)| {
            let mut said = self.said[who.0 as usize].clone();
            said.needs[0].quantity = Quantity::units(*units);
            (*at, servers::Step::Say(said))
        });
        let leaves = script.leaves.iter().map(|(at, who)| (*at, servers::Step::Leave(*who)));
        let plan = Plan {
            servers: self.servers,
            network: self.network(script),
            steps: says.chain(leaves).collect(),
            until: Time(script.until),
            look: Time(script.cut.map_or(0, |(_, until)| until.0 - 1)),
        };
        let start = Instant::now();
        let outcome = servers::run(&self.market, &plan);
        let units = |given: &BTreeMap<EdgeId, u64>| -> BTreeMap<EdgeId, f64> {
            given.iter().map(|(edge, quantity)| (*edge, *quantity as f64 / 1e6)).collect()
        };
        Seen {
            rule: "ours",
            traffic: outcome.traffic,
            changed: outcome.changed.0,
            until: script.until,
            quiet: 500,
            latencies: outcome.seen,
            over_then: self.over(&units(&outcome.given_then), &script.declared),
            given: units(&outcome.given),
            says_converged: None,
            moving: 0.0,
            waits: Vec::new(),
            wall: start.elapsed().as_secs_f64(),
        }
    }

    /// What needs have beyond what they say.
    fn over(&self, given: &BTreeMap<EdgeId, f64>, declared: &[Declared]) -> f64 {
        let mut needs: BTreeMap<ParticipantId, f64> =
            self.places.iter().map(|(who, place)| (*who, self.economy.needs[*place].1)).collect();
        needs.extend(declared.iter().map(|(_, who, units)| (*who, *units as f64)));
        let mut received: BTreeMap<ParticipantId, f64> = BTreeMap::new();
        for (edge, given) in given {
            *received.entry(edge.need.owner).or_default() += given;
        }
        received.into_iter().map(|(who, units)| (units - needs[&who]).max(0.0)).sum()
    }
}

fn seconds(millis: u64) -> String {
    format!("{:.2} s", millis as f64 / 1e3)
}

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{} kB", count / 1_000),
        10_000_000..10_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{} GB", count / 1_000_000_000),
    }
}

/// The middle and the largest.
fn spread(mut all: Vec<u64>) -> String {
    all.sort_unstable();
    match all.last() {
        Some(last) => format!("{} / {}", seconds(all[all.len() / 2]), seconds(*last)),
        None => "-".to_owned(),
    }
}

impl Seen {
    /// How long after a moment everything is equal.
    fn equal(&self, since: u64) -> Option<u64> {
        (self.changed + self.quiet <= self.until).then(|| self.changed.saturating_sub(since))
    }

    fn equal_text(&self, since: u64) -> String {
        let moving = if self.moving > 0.05 { format!(", {:.0} moving", self.moving) } else { String::new() };
        let none = || format!("not in {}{moving}", seconds(self.until - since));
        self.equal(since).map_or_else(none, seconds)
    }

    fn settling(&self, scene: &Scene, workload: &str, script: &Script) -> Figure {
        let last = script.declared.iter().map(|(at, ..)| at.0).max().unwrap_or(script.from);
        let end = Time(last + self.equal(last).unwrap_or(self.until - last).max(100));
        let (messages, all, peak) = self.traffic.between(Time(last), end);
        let idle = self.traffic.between(Time(script.from.saturating_sub(1_000)), Time(script.from));
        println!(
            "| {} | {workload} | {} | {} | {} of {} | {} | {} | {messages} | {} | {} | {} | {:.0} | {:.1} s |",
            scene.count,
            self.rule,
            spread(self.latencies.values().copied().collect()),
            self.latencies.len(),
            script.declared.len(),
            self.equal_text(last),
            self.says_converged.map_or_else(|| "-".to_owned(), seconds),
            bytes(all),
            bytes(peak),
            idle.0,
            scene.over(&self.given, &script.declared),
            self.wall,
        );
        Figure {
            seen: spread(self.latencies.values().copied().collect()),
            equal: self.equal_text(last),
            messages,
            round: self.traffic.between(Time(script.from), Time(script.from + ROUND)).0,
            peak: bytes(peak),
        }
    }

    fn cut_off(&self, scene: &Scene, script: &Script) {
        let Some((from, until)) = script.cut else { return };
        let third = scene.third();
        let side = |is_cut: bool| {
            let declared = script.declared.iter().filter(|(_, who, _)| third.contains(who) == is_cut);
            let all: Vec<Option<u64>> =
                declared.map(|(_, who, _)| self.latencies.get(who).copied()).collect();
            let unseen = all.iter().filter(|seen| seen.is_none()).count();
            let text = spread(all.into_iter().flatten().collect());
            if unseen == 0 { text } else { format!("{text}, {unseen} never") }
        };
        let held = |is_cut: bool| {
            let waits = self.waits.iter().zip(&scene.economy.participants);
            let waits = waits.filter(|(_, who)| third.contains(who) == is_cut).map(|(wait, _)| *wait);
            let longest = waits.max().map(|wait| wait.saturating_sub(ROUND));
            longest.map_or_else(|| "-".to_owned(), seconds)
        };
        let (messages, all, peak) = self.traffic.between(from, Time(self.changed.max(until.0)));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} | {messages} | {} | {} |",
            scene.count,
            self.rule,
            side(true),
            side(false),
            held(true),
            held(false),
            self.equal_text(until.0),
            self.over_then,
            bytes(all),
            bytes(peak),
        );
    }

    fn left(&self, scene: &Scene, script: &Script) {
        let gone: BTreeSet<ParticipantId> = script.leaves.iter().map(|(_, who)| *who).collect();
        let sum = |is_lost: &dyn Fn(&EdgeId) -> bool| -> f64 {
            self.given.iter().filter(|(edge, _)| is_lost(edge)).fold(0.0, |sum, (_, given)| sum + given)
        };
        let lost = |edge: &EdgeId| (gone.contains(&edge.need.owner), gone.contains(&edge.capacity.owner));
        let longest = self.waits.iter().zip(&scene.economy.participants);
        let longest =
            longest.filter(|(_, who)| !gone.contains(who)).map(|(wait, _)| wait - ROUND.min(*wait)).max();
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {} |",
            scene.count,
            self.rule,
            self.equal_text(script.from),
            sum(&|edge| lost(edge) == (true, false)),
            sum(&|edge| lost(edge) == (false, true)),
            longest.map_or_else(|| "-".to_owned(), seconds),
        );
    }
}

/// The three ways through a script: once for the rounds, whose time is another, and once for the two others.
fn all(scene: &Scene, rounds: &Script, others: &Script, mut print: impl FnMut(&Seen, &Script)) {
    if scene.count <= ROUNDS_MOST {
        print(&scene.baseline(true, rounds), rounds);
    }
    print(&scene.baseline(false, others), others);
    print(&scene.ours(others), others);
}

pub(crate) fn run() {
    println!(
        "Each link is 30 to 120 ms late and loses nothing. A quarter are providers, each recipient has up to ten of them;"
    );
    println!(
        "need/capacity 1.0. A message is 100 B, the clock or stamp of its rule (12 B a row for ours) and 24 B a need or gift."
    );
    println!(
        "Ours: 1, 3, 3, 15 servers; rows go from each server to each other one every 100 ms; a solution takes 2 us an edge.\n"
    );
    let scenes: Vec<Scene> = SIZES.into_iter().map(Scene::new).collect();
    println!(
        "Isolated: one after the other declares a need; burst: a tenth at once. Seen: until who declared sees what it is given for"
    );
    println!(
        "it, the middle / the longest. Equal: from the last declaration until nothing changes any more anywhere; messages, bytes"
    );
    println!(
        "and the busiest second until then, or to the end of the run. Idle: messages in the second before. Over: units given beyond needs, for ever.\n"
    );
    println!(
        "| participants | workload | rule | seen | | equal | says converged | messages | bytes | busiest second | idle | over | wall |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut figures = Figures::new();
    for scene in &scenes {
        let is_large = scene.count > 100;
        let few = if is_large { 3 } else { 20.min(scene.count / 2) };
        let (apart, rest) = if scene.count > 1_000 { (1_500, 4_000) } else { (2_000, 10_000) };
        // Spread over rounds: each at another moment of one.
        let moment = |number: u64| {
            2 * ROUND + number * (ROUND + ROUND / few) * u64::from(is_large) + number * ROUND / few
        };
        let isolated = Script {
            declared: scene.declared(few, |number| START + number * apart),
            from: START,
            until: START + few * apart + rest,
            ..Script::default()
        };
        let declared = scene.declared(few, moment);
        let last = declared.iter().map(|(at, ..)| at.0).max().unwrap_or(0);
        let in_rounds = Script {
            declared,
            from: 2 * ROUND,
            until: last + if is_large { 3 } else { 8 } * ROUND,
            ..Script::default()
        };
        all(scene, &in_rounds, &isolated, |seen, script| {
            figures.insert((scene.count, "isolated", seen.rule), seen.settling(scene, "isolated", script));
        });
        let tenth = scene.count / 10;
        let burst = Script {
            declared: scene.declared(tenth, |_| START),
            from: START,
            until: START + rest,
            ..Script::default()
        };
        let until = ROUNDS_START + if is_large { 3 } else { 8 } * ROUND;
        let declared = scene.declared(tenth, |_| ROUNDS_START);
        let in_rounds = Script { declared, from: ROUNDS_START, until, ..Script::default() };
        all(scene, &in_rounds, &burst, |seen, script| {
            figures.insert((scene.count, "burst", seen.rule), seen.settling(scene, "burst", script));
        });
    }
    cut_off(&scenes);
    left(&scenes);
    compare(&figures);
}

fn cut_off(scenes: &[Scene]) {
    println!(
        "\nA third is cut off for {} s, with its servers; a tenth declares a second later. In rounds_v1 the cut begins 10 s",
        CUT / 1_000
    );
    println!(
        "before a round ends. Equal: from when it is over. Over: units given beyond needs when it is over.\n"
    );
    println!(
        "| participants | rule | seen, those cut off | seen, the others | beyond a round, those cut off | the others | equal | over | messages | bytes | busiest second |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for scene in scenes {
        let script = |start: u64, rest: u64| Script {
            declared: scene.declared(scene.count / 10, |_| start + 1_000),
            cut: Some((Time(start), Time(start + CUT))),
            from: start,
            until: start + CUT + rest,
            ..Script::default()
        };
        let in_rounds = script(2 * ROUND - 10_000, if scene.count > 100 { 2 } else { 8 } * ROUND);
        let others = script(START, 5_000);
        all(scene, &in_rounds, &others, |seen, script| seen.cut_off(scene, script));
    }
}

fn left(scenes: &[Scene]) {
    println!(
        "\nA twentieth (of ten, one) leaves for good and says nothing. Equal: from then on. To, from: units that are promised to those"
    );
    println!(
        "who left, or by them, at the end. The seed's rules do not notice, so nothing changes; ours waits 10 s for a word of a client.\n"
    );
    println!("| participants | rule | equal | to | from | longest beyond a round |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for scene in scenes {
        let script = |start: u64, rest: u64| Script {
            leaves: (0..scene.count)
                .filter(|who| who % 20 == 7)
                .map(|who| (Time(start), ParticipantId(who)))
                .collect(),
            from: start,
            until: start + rest,
            ..Script::default()
        };
        let in_rounds = script(ROUNDS_START, if scene.count > 100 { 2 } else { 8 } * ROUND);
        let others = script(START, if scene.count > 1_000 { 15_000 } else { 20_000 });
        all(scene, &in_rounds, &others, |seen, script| seen.left(scene, script));
    }
}

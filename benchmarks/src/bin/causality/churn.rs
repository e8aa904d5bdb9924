//! How clocks grow when participants come and go, by whom the ids go to and come from.
//!
//! Invariant: at each step one leaves and one joins, so that as many take part at the end as at the start.

use deltaic_causality::itc::{Id, Stamp};
use deltaic_causality::{ActorId, Dot, VersionVector};

use crate::kind::{Forks, Kind, Random, Versioned};
use crate::plot::Plot;
use crate::sizes::id_bytes;
use crate::{SEED, grouped, line};

/// Where an id goes to and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Whoever leaves says nothing; whoever joins forks of anybody.
    Vanish,
    /// The id goes to anybody and comes from anybody.
    Anybody,
    /// The id goes to the hub and comes from the hub, which stays.
    Hub,
    /// The id goes where it fits best and comes from the widest.
    Chosen,
}

const POLICIES: [(Policy, &str); 4] = [
    (Policy::Vanish, "leaves without a word, forks of anybody"),
    (Policy::Anybody, "retires to anybody, forks of anybody"),
    (Policy::Hub, "retires to the hub, forks of the hub"),
    (Policy::Chosen, "retires where it fits best, forks of the widest"),
];

/// After so many have been replaced. 300, 450 and 900 are what the claims speak of.
pub(crate) const STEPS: [usize; 7] = [0, 300, 450, 900, 2_000, 5_000, 10_000];

/// Events between two replacements, of which all hear.
const EVENTS: usize = 10;

/// Those whose clocks are weighed.
#[derive(Debug)]
struct World {
    policy: Policy,
    ids: Vec<Id>,
    known: Stamp,
    random: Random,
}

impl World {
    fn new(policy: Policy, active: u64) -> Self {
        let ids = Forks::Balanced.ids(active, &mut Random(SEED));
        Self { policy, ids, known: Stamp::default(), random: Random(SEED + 4) }
    }

    fn events(&mut self, count: usize) {
        for _ in 0..count {
            let place = self.random.place(self.ids.len());
            self.ids[place].event(&mut self.known);
        }
    }

    /// One leaves, one joins.
    fn replace(&mut self) {
        // The first one is the hub.
        let leaves = 1 + self.random.place(self.ids.len() - 1);
        let id = self.ids.swap_remove(leaves);
        if let Some(heir) = self.heir(&id) {
            self.ids[heir] = self.ids[heir].join(&id).expect("invariant: no point has two owners");
        }
        let donor = match self.policy {
            Policy::Vanish | Policy::Anybody => self.random.place(self.ids.len()),
            Policy::Hub => 0,
            Policy::Chosen => (0..self.ids.len()).max_by_key(|&place| self.ids[place].width()).unwrap_or(0),
        };
        let (kept, given) = self.ids[donor].split();
        self.ids[donor] = kept;
        self.ids.push(given);
    }

    fn heir(&mut self, id: &Id) -> Option<usize> {
        match self.policy {
            Policy::Vanish => None,
            Policy::Anybody => Some(self.random.place(self.ids.len())),
            Policy::Hub => Some(0),
            Policy::Chosen => {
                let grows = |place: &usize| {
                    let own = &self.ids[*place];
                    own.union(id).leaves() as i64 - own.leaves() as i64
                };
                (0..self.ids.len()).min_by_key(grows)
            }
        }
    }
}

/// The bytes of the clock after each of the steps, and of the largest id at the end.
fn weigh(policy: Policy, active: u64, steps: &[usize]) -> (Vec<u64>, u64) {
    let mut world = World::new(policy, active);
    world.events(active as usize * EVENTS);
    let mut bytes = vec![Id::bytes(&world.known)];
    for step in 1..=steps[steps.len() - 1] {
        world.replace();
        world.events(EVENTS);
        if steps.contains(&step) {
            bytes.push(Id::bytes(&world.known));
        }
    }
    (bytes, world.ids.iter().map(id_bytes).max().unwrap_or(0))
}

/// A version vector that names everybody who ever took part.
fn weigh_names(active: u64, steps: &[usize], mut name: impl FnMut(u64) -> ActorId) -> Vec<u64> {
    let mut random = Random(SEED + 4);
    let mut known = VersionVector::default();
    let mut names: Vec<Versioned> = (1..=active).map(|number| Versioned(name(number))).collect();
    for one in &names {
        known.raise(Dot { actor: one.0, seq: EVENTS as u64 });
    }
    let mut bytes = vec![Versioned::bytes(&known)];
    for step in 1..=steps[steps.len() - 1] {
        let leaves = 1 + random.place(names.len() - 1);
        names[leaves] = Versioned(name(active + step as u64));
        names[leaves].event(&mut known);
        for _ in 1..EVENTS {
            names[random.place(names.len())].event(&mut known);
        }
        if steps.contains(&step) {
            bytes.push(Versioned::bytes(&known));
        }
    }
    bytes
}

/// With a hundred who take part: the bytes at each of [`STEPS`].
#[derive(Debug)]
pub(crate) struct Churn {
    pub(crate) vanish: Vec<u64>,
    pub(crate) anybody: Vec<u64>,
    pub(crate) hub: Vec<u64>,
    pub(crate) chosen: Vec<u64>,
    pub(crate) version: Vec<u64>,
    pub(crate) made_up: Vec<u64>,
}

pub(crate) fn run() -> Churn {
    let hundred = table(100, &STEPS);
    table(1_000, &STEPS[..5]);
    let points = |bytes: &[u64]| -> Vec<(f64, f64)> {
        let of = |(step, bytes): (&usize, &u64)| (*step as f64, *bytes as f64);
        STEPS.iter().zip(bytes).skip(1).map(of).collect()
    };
    let lines = vec![
        line("version vector", 1, false, points(&hundred.made_up)),
        line("the same, numbered names", 2, false, points(&hundred.version)),
        line("itc, without a word", 4, false, points(&hundred.vanish)),
        line("itc, anybody", 5, false, points(&hundred.anybody)),
        line("itc, the hub", 3, false, points(&hundred.hub)),
        line("itc, chosen", 0, false, points(&hundred.chosen)),
        line("itc, as claimed", 0, true, STEPS[1..].iter().map(|step| (*step as f64, 200.0)).collect()),
    ];
    let title = "Bytes of a clock under churn, 100 take part".to_owned();
    Plot { title, across: "replaced", up: "bytes", lines }.save("clocks-churn.svg");
    println!();
    hundred
}

fn table(active: u64, steps: &[usize]) -> Churn {
    println!(
        "Bytes of the clock under churn: {} take part; one is replaced, ten events of which all hear, and again.\n",
        grouped(active)
    );
    let heads: Vec<String> = steps.iter().map(|step| grouped(*step as u64)).collect();
    println!("| replaced | {} | largest id |", heads.join(" | "));
    println!("| --- |{} --- |", " --- |".repeat(steps.len()));
    let row = |name: &str, bytes: &[u64], id: &str| {
        let cells: Vec<String> = bytes.iter().map(|bytes| grouped(*bytes)).collect();
        println!("| {name} | {} | {id} |", cells.join(" | "));
    };
    let mut rows = POLICIES.map(|(policy, name)| {
        let (bytes, id) = weigh(policy, active, steps);
        row(&format!("itc: {name}"), &bytes, &grouped(id));
        bytes
    });
    let mut random = Random(SEED + 2);
    let version = weigh_names(active, steps, ActorId);
    row("version vector, numbered names", &version, "");
    let made_up = weigh_names(active, steps, |_| ActorId(random.next()));
    row("version vector, made-up names", &made_up, "");
    println!();
    let [vanish, anybody, hub, chosen] = &mut rows;
    let take = std::mem::take::<Vec<u64>>;
    Churn {
        vanish: take(vanish),
        anybody: take(anybody),
        hub: take(hub),
        chosen: take(chosen),
        version,
        made_up,
    }
}

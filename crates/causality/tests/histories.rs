//! Every clock beside what it stands for: the set of events that a replica knows. Of any two moments in a random run,
//! with forks, joins, messages late and twice, retirements and crashes, each clock has to say what the sets say.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

use std::cmp::Ordering;
use std::collections::BTreeSet;

use deltaic_causality::itc::{Id, Limits, Owner, Stamp};
use deltaic_causality::{ActorId, Dot, VectorClock, VersionVector};
use deltaic_types::codec::Reader;

/// What a replica knew at one moment, in four forms.
#[derive(Debug, Clone)]
struct Moment {
    events: BTreeSet<u64>,
    stamp: Stamp,
    vector: VectorClock,
    cut: VersionVector,
}

#[derive(Debug)]
struct Replica {
    actor: ActorId,
    owner: Owner,
    events: BTreeSet<u64>,
    vector: VectorClock,
    cut: VersionVector,
}

impl Replica {
    fn moment(&self) -> Moment {
        Moment {
            events: self.events.clone(),
            stamp: self.owner.peek().clone(),
            vector: self.vector.clone(),
            cut: self.cut.clone(),
        }
    }

    fn event(&mut self, number: u64) {
        self.events.insert(number);
        self.owner.event().unwrap();
        self.vector.tick(self.actor).unwrap();
        self.cut.raise(self.cut.next(self.actor).unwrap());
    }

    fn learn(&mut self, moment: &Moment) {
        self.events.extend(&moment.events);
        self.owner.receive(&moment.stamp);
        self.vector.learn(&moment.vector);
        self.cut.join(&moment.cut);
    }
}

/// A seed's numbers (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }
}

fn inclusion(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> Option<Ordering> {
    match (a.is_subset(b), b.is_subset(a)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => None,
    }
}

fn run(seed: u64, steps: usize, crowd: usize) -> Vec<Moment> {
    let mut random = Random(seed);
    let seed_replica = Replica {
        actor: ActorId(0),
        owner: Owner::seed(),
        events: BTreeSet::new(),
        vector: VectorClock::default(),
        cut: VersionVector::default(),
    };
    let mut replicas = vec![seed_replica];
    let mut moments: Vec<Moment> = Vec::new();
    let (mut actors, mut number) = (0, 0);
    for _ in 0..steps {
        let (a, b) = (random.below(replicas.len()), random.below(replicas.len()));
        match random.below(20) {
            0..=6 => {
                number += 1;
                replicas[a].event(number);
            }
            7..=9 if replicas.len() < crowd => {
                let owner = replicas[a].owner.fork().unwrap();
                actors += 1;
                let Moment { events, vector, cut, .. } = replicas[a].moment();
                replicas.push(Replica { actor: ActorId(actors), owner, events, vector, cut });
            }
            // A message may be old, may have been received before, and may be one's own.
            10..=15 if !moments.is_empty() => {
                let oldest = moments.len().saturating_sub(30);
                let message = moments[oldest + random.below(moments.len() - oldest)].clone();
                replicas[a].learn(&message);
            }
            16..=17 if a != b => {
                let gone = replicas.swap_remove(b);
                let heir = if a == replicas.len() { b } else { a };
                replicas[heir].learn(&gone.moment());
                replicas[heir].owner.join(gone.owner).unwrap();
            }
            // A crash that nobody comes back from: its part of the line is nobody's.
            18 if replicas.len() > 2 => drop(replicas.swap_remove(b)),
            _ => {}
        }
        moments.push(replicas[a % replicas.len()].moment());
    }
    let mut owned = Id::empty();
    for replica in &replicas {
        owned = owned.join(replica.owner.id()).unwrap();
    }
    moments
}

/// Compares every pair of moments; how many pairs had each outcome.
fn compare(moments: &[Moment]) -> [usize; 4] {
    let mut outcomes = [0; 4];
    for a in moments {
        for b in moments {
            let order = inclusion(&a.events, &b.events);
            assert_eq!(a.stamp.partial_cmp(&b.stamp), order, "{a:?}\n{b:?}");
            assert_eq!(a.stamp.leq(&b.stamp), matches!(order, Some(Ordering::Less | Ordering::Equal)));
            assert_eq!(a.stamp == b.stamp, order == Some(Ordering::Equal));
            assert_eq!(a.vector.partial_cmp(&b.vector), order);
            assert_eq!(a.cut.partial_cmp(&b.cut), order);
            outcomes[order.map_or(3, |order| (order as i8 + 1) as usize)] += 1;
        }
    }
    outcomes
}

#[test]
fn clocks_say_what_the_sets_of_events_say() {
    let mut outcomes = [0; 4];
    for seed in 0..300 {
        let moments = run(seed, 120, 2 + seed as usize % 14);
        for (sum, n) in outcomes.iter_mut().zip(compare(&moments)) {
            *sum += n;
        }
    }
    println!("before, equal, after, concurrent: {outcomes:?} pairs");
    assert!(outcomes.iter().all(|n| *n > 100_000), "{outcomes:?}");
}

#[test]
fn a_crowd_that_lives_long() {
    let moments = run(7, 3_000, 100);
    let last = &moments[moments.len() - 400..];
    let outcomes = compare(last);
    assert!(outcomes.iter().sum::<usize>() == 160_000 && outcomes[3] > 1_000, "{outcomes:?}");
    for moment in last {
        let mut bytes = Vec::new();
        moment.stamp.write(&mut bytes);
        assert_eq!(Stamp::read(&mut Reader::new(&bytes), Limits::own()).as_ref(), Ok(&moment.stamp));
    }
}

#[test]
fn a_vector_clock_of_a_run_is_the_cut_of_it() {
    for moment in run(11, 500, 20) {
        assert_eq!(moment.vector.as_version_vector(), &moment.cut);
        let events: u64 = moment.cut.iter().map(|(_, seq)| seq).sum();
        assert_eq!(events, moment.events.len() as u64);
        assert!(moment.cut.iter().all(|(actor, seq)| moment.cut.contains(Dot { actor, seq })));
    }
}

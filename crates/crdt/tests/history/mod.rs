//! Random histories of replicas, each write an event that says which events its author had seen; a value's reading is
//! compared with what a specification says of the events that its replica has.
//!
//! Invariant: what a replica has is causally closed, as anti-entropy keeps it. A specification sees events alone and
//! shares no code with what it checks.

use std::collections::BTreeSet;
use std::fmt::Debug;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime, VersionVector};
use deltaic_crdt::laws::{Choices, Write};
use deltaic_crdt::{Crdt, WriteError};

/// A write that was made.
#[derive(Debug, Clone)]
pub(crate) struct Event<O> {
    pub(crate) write: Write,
    pub(crate) operation: O,
    /// The events that its author had, by their places.
    pub(crate) sees: BTreeSet<usize>,
}

/// The events that a replica has.
#[derive(Debug)]
pub(crate) struct Known<'a, O> {
    events: &'a [Event<O>],
    places: &'a BTreeSet<usize>,
}

impl<'a, O> Known<'a, O> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &'a Event<O>)> + '_ {
        self.places.iter().map(|place| (*place, &self.events[*place]))
    }

    /// The events that answer true and that no known event replaces: `replaces(later, earlier)`.
    pub(crate) fn standing(
        &self,
        wanted: impl Fn(&O) -> bool,
        replaces: impl Fn(&Event<O>, usize, &Event<O>) -> bool,
    ) -> Vec<&'a Event<O>> {
        let candidates = self.iter().filter(|(_, event)| wanted(&event.operation));
        let stands = |(place, event): &(usize, &Event<O>)| {
            !self.iter().any(|(_, later)| replaces(later, *place, event))
        };
        candidates.filter(stands).map(|(_, event)| event).collect()
    }
}

/// What an author knows when it chooses its operation.
#[derive(Debug)]
pub(crate) struct Situation {
    /// Some cut that the replica holds.
    pub(crate) cut: VersionVector,
    /// A cut that every write still to come has seen.
    pub(crate) stable: VersionVector,
    pub(crate) replicas: u64,
}

pub(crate) trait Specification {
    type Value: Crdt + Debug;
    type Operation: Clone + Debug;
    type Reading: PartialEq + Debug;

    fn choose(choices: &mut Choices, situation: &Situation) -> Self::Operation;
    fn apply(
        value: &mut Self::Value,
        operation: &Self::Operation,
        write: Write,
    ) -> Result<Self::Value, WriteError>;
    fn read(value: &Self::Value) -> Self::Reading;

    /// What the value must read, by the events alone.
    fn specify(known: &Known<'_, Self::Operation>) -> Self::Reading;

    /// Whether the write must be refused, by the events alone.
    fn refuses(known: &Known<'_, Self::Operation>, operation: &Self::Operation, write: Write) -> bool {
        let _ = (known, operation, write);
        false
    }

    /// What must hold of all events there are, wherever they are known.
    fn check_world(events: &[Event<Self::Operation>]) {
        let _ = events;
    }
}

struct Replica<C> {
    value: C,
    known: BTreeSet<usize>,
}

struct World<S: Specification> {
    seed: u64,
    choices: Choices,
    replicas: Vec<Replica<S::Value>>,
    events: Vec<Event<S::Operation>>,
    deltas: Vec<S::Value>,
    refused: u64,
}

/// Runs a history a seed; panics where a reading is not what is specified. How many writes were refused.
pub(crate) fn compare<S: Specification>(seeds: u64) -> u64 {
    let mut refused = 0;
    for seed in 0..seeds {
        let mut choices = Choices::new(seed);
        let count = 2 + choices.place(3);
        let replicas = (0..count).map(|_| Replica { value: S::Value::default(), known: BTreeSet::new() });
        let replicas = replicas.collect();
        let mut world =
            World::<S> { seed, choices, replicas, events: Vec::new(), deltas: Vec::new(), refused: 0 };
        world.run();
        refused += world.refused;
    }
    refused
}

impl<S: Specification> World<S> {
    fn run(&mut self) {
        for _ in 0..10 + self.choices.below(40) {
            let here = self.choices.place(self.replicas.len());
            let there = self.choices.place(self.replicas.len());
            match self.choices.below(10) {
                0..6 => self.write(here),
                6 => self.merge_whole(here, there),
                7 => self.merge_novel(here, there),
                8 => self.merge_past(here, there),
                _ => self.repeat(here),
            }
            self.check(here);
        }
        // In the end everybody has everything, and reads the same.
        for here in 0..self.replicas.len() {
            for there in 0..self.replicas.len() {
                self.merge_novel(here, there);
            }
            self.check(here);
        }
        for here in 1..self.replicas.len() {
            self.merge_novel(0, here);
            self.merge_novel(here, 0);
        }
        let last = self.replicas.len() - 1;
        self.merge_novel(0, last);
        for replica in &self.replicas {
            assert_eq!(replica.known.len(), self.events.len(), "seed {}", self.seed);
            assert_eq!(replica.value, self.replicas[0].value, "seed {}", self.seed);
        }
    }

    fn check(&self, here: usize) {
        let replica = &self.replicas[here];
        let known = Known { events: &self.events, places: &replica.known };
        let (read, wanted) = (S::read(&replica.value), S::specify(&known));
        assert_eq!(read, wanted, "seed {}: {:#?}", self.seed, known.iter().collect::<Vec<_>>());
        S::check_world(&self.events);
    }

    fn write(&mut self, here: usize) {
        let actor = ActorId(here as u64 + 1);
        let known = self.replicas[here].known.clone();
        let dots = || known.iter().map(|place| self.events[*place].write);
        let seq = 1 + dots().filter(|write| write.dot.actor == actor).count() as u64;
        let last = dots().map(|write| write.time.0).max().unwrap_or(0);
        let write = Write { dot: Dot { actor, seq }, time: HybridTime(last + 1 + self.choices.below(3)) };
        let situation = self.situation(here);
        let operation = S::choose(&mut self.choices, &situation);
        let refuses = S::refuses(&Known { events: &self.events, places: &known }, &operation, write);
        match S::apply(&mut self.replicas[here].value, &operation, write) {
            Ok(delta) => {
                assert!(!refuses, "seed {}: {operation:?} was not refused", self.seed);
                self.replicas[here].known.insert(self.events.len());
                self.events.push(Event { write, operation, sees: known });
                self.deltas.push(delta);
            }
            Err(error) => {
                assert!(refuses, "seed {}: {operation:?} was refused: {error}", self.seed);
                self.refused += 1;
            }
        }
    }

    fn situation(&mut self, here: usize) -> Situation {
        let known = &self.replicas[here].known;
        let cut = self.cut(known);
        let mut stable = known.clone();
        for other in &self.replicas {
            stable.retain(|place| other.known.contains(place));
        }
        for (place, event) in self.events.iter().enumerate() {
            if !known.contains(&place) {
                stable.retain(|seen| event.sees.contains(seen));
            }
        }
        let stable = self.cut(&stable);
        let cut = cut.iter().map(|(actor, last)| Dot { actor, seq: self.choices.below(last + 1) }).collect();
        Situation { cut, stable, replicas: self.replicas.len() as u64 }
    }

    fn cut(&self, places: &BTreeSet<usize>) -> VersionVector {
        places.iter().map(|place| self.events[*place].write.dot).collect()
    }

    fn merge_whole(&mut self, here: usize, there: usize) {
        let theirs = self.replicas[there].value.clone();
        let known = self.replicas[there].known.clone();
        self.replicas[here].value.join(&theirs);
        self.replicas[here].known.extend(known);
    }

    /// As anti-entropy does: what the other lacks, as bytes.
    fn merge_novel(&mut self, here: usize, there: usize) {
        let cut = self.cut(&self.replicas[here].known);
        let novel = self.replicas[there].value.novel(&CausalContext::from(&cut));
        let novel = S::Value::decode(&novel.encode()).expect("what was written is read");
        let known = self.replicas[there].known.clone();
        self.replicas[here].value.join(&novel);
        self.replicas[here].known.extend(known);
    }

    /// One event of another replica with all that it has seen, as deltas in any order.
    fn merge_past(&mut self, here: usize, there: usize) {
        let theirs: Vec<usize> = self.replicas[there].known.iter().copied().collect();
        let Some(&event) = theirs.get(self.choices.place(theirs.len())) else { return };
        let mut past = self.events[event].sees.clone();
        past.insert(event);
        let mut missing: Vec<usize> = past.difference(&self.replicas[here].known).copied().collect();
        while !missing.is_empty() {
            let next = missing.swap_remove(self.choices.place(missing.len()));
            self.replicas[here].value.join(&self.deltas[next]);
        }
        self.replicas[here].known.extend(past);
    }

    /// A delta comes a second time.
    fn repeat(&mut self, here: usize) {
        let known: Vec<usize> = self.replicas[here].known.iter().copied().collect();
        if let Some(&event) = known.get(self.choices.place(known.len())) {
            self.replicas[here].value.join(&self.deltas[event]);
        }
    }
}

//! The laws of a [`Crdt`], checked over values that histories reach.
//!
//! Invariant: what is checked was reached by writes and merges of several replicas, with deltas lost, repeated and out of
//! order; nothing is made by hand. A law that is broken comes back as an error with the seed that shows it.
//!
//! ```
//! use deltaic_crdt::laws::{self, Choices, Model, Write};
//! use deltaic_crdt::GCounter;
//!
//! struct Counters;
//!
//! impl Model for Counters {
//!     type Value = GCounter;
//!
//!     fn write(value: &mut GCounter, write: Write, choices: &mut Choices) -> Option<GCounter> {
//!         value.increment(write.dot, choices.below(10)).ok()
//!     }
//! }
//!
//! assert!(laws::check::<Counters>(0..20)?.writes > 100);
//! # Ok::<(), laws::Broken>(())
//! ```

mod choices;

use std::fmt;
use std::ops::Range;

use deltaic_causality::{ActorId, CausalContext, Dot, HybridTime};
use thiserror::Error;

use crate::Crdt;

pub use choices::Choices;

/// A type with the writes that are tried on it.
pub trait Model {
    /// The type that is checked.
    type Value: Crdt + fmt::Debug;

    /// Makes some write and returns its delta, or none where the write was refused.
    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value>;

    /// Whether this part of a decomposed value stands for several writes, as an interval of removed ones does. Such parts
    /// are not asked to be irreducible.
    fn is_bundle(part: &Self::Value) -> bool {
        let _ = part;
        false
    }
}

/// What names a write: its dot and its time. The time is after that of each write the replica has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// The write.
    pub dot: Dot,
    /// When it is made.
    pub time: HybridTime,
}

/// A law of [`Crdt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Law {
    /// `a join b = b join a`.
    Commutative,
    /// `(a join b) join c = a join (b join c)`.
    Associative,
    /// `a join a = a`.
    Idempotent,
    /// The bottom changes nothing that it is joined to, and nothing else is the bottom.
    Bottom,
    /// A write makes the value no less, and a refused one changes nothing.
    Inflation,
    /// A write is the join of its delta.
    Delta,
    /// The deltas that one lacks of another are as good as the other, in any order.
    DeltaGroup,
    /// A value is the join of its parts, and none of the parts is in the join of the others.
    Decompose,
    /// A part has no parts, and is the join of no two lesser values.
    Irreducible,
    /// What is novel is as good as the whole for who has seen what was said, is part of the whole, and is nothing for who
    /// has seen all.
    Novel,
    /// Values are equal where their bytes are, and bytes come back as the value that wrote them.
    Canonical,
    /// Bytes that no value writes are an error.
    Damaged,
}

/// A law that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{law:?} does not hold in the history of seed {seed}: {example}")]
pub struct Broken {
    /// The law.
    pub law: Law,
    /// The history that shows it.
    pub seed: u64,
    /// The values that show it.
    pub example: String,
}

/// What was looked at, so that a test can see that it tested something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Writes that were made.
    pub writes: u64,
    /// Merges that were compared.
    pub merges: u64,
    /// Values that the laws were checked on.
    pub values: u64,
    /// Damaged bytes that were read.
    pub damaged: u64,
}

/// Checks every law over one history a seed.
pub fn check<M: Model>(seeds: Range<u64>) -> Result<Checked, Broken> {
    let mut checked = Checked::default();
    for seed in seeds {
        let mut history = History::<M>::new(seed);
        history.run(&mut checked)?;
        history.check_values(&mut checked)?;
    }
    Ok(checked)
}

/// A replica with the writes that it was given.
#[derive(Debug, Clone)]
struct Replica<C> {
    value: C,
    seen: CausalContext,
    time: u64,
}

#[derive(Debug, Clone)]
struct Delta<C> {
    write: Write,
    value: C,
}

struct History<M: Model> {
    seed: u64,
    choices: Choices,
    replicas: Vec<Replica<M::Value>>,
    deltas: Vec<Delta<M::Value>>,
    /// Values on the way, with what they hold.
    reached: Vec<Replica<M::Value>>,
}

fn joined<C: Crdt>(left: &C, right: &C) -> C {
    let mut joined = left.clone();
    joined.join(right);
    joined
}

fn is_below<C: Crdt>(left: &C, right: &C) -> bool {
    joined(right, left) == *right
}

impl<M: Model> History<M> {
    fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let count = 2 + choices.place(3);
        let replica = Replica { value: M::Value::default(), seen: CausalContext::default(), time: 0 };
        let replicas = vec![replica; count];
        Self { seed, choices, replicas, deltas: Vec::new(), reached: Vec::new() }
    }

    fn require(&self, law: Law, holds: bool, example: impl FnOnce() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(Broken { law, seed: self.seed, example: example() }) }
    }

    fn same(&self, law: Law, left: &M::Value, right: &M::Value) -> Result<(), Broken> {
        self.require(law, left == right, || format!("{left:?} is not {right:?}"))
    }

    fn run(&mut self, checked: &mut Checked) -> Result<(), Broken> {
        for _ in 0..4 + self.choices.below(24) {
            let here = self.choices.place(self.replicas.len());
            let there = self.choices.place(self.replicas.len());
            match self.choices.below(10) {
                0..6 => self.write(here, checked)?,
                6..9 => self.merge(here, there, checked)?,
                _ => self.deliver_one(here),
            }
            self.reached.push(self.replicas[here].clone());
        }
        Ok(())
    }

    fn write(&mut self, here: usize, checked: &mut Checked) -> Result<(), Broken> {
        let actor = ActorId(here as u64 + 1);
        let before = self.replicas[here].value.clone();
        let Some(dot) = self.replicas[here].seen.next(actor) else { return Ok(()) };
        let time = self.replicas[here].time + 1 + self.choices.below(3);
        let write = Write { dot, time: HybridTime(time) };
        let replica = &mut self.replicas[here];
        let delta = M::write(&mut replica.value, write, &mut self.choices);
        let after = &self.replicas[here].value;
        let Some(delta) = delta else { return self.same(Law::Inflation, after, &before) };
        self.same(Law::Inflation, &joined(after, &before), after)?;
        self.same(Law::Delta, &joined(&before, &delta), after)?;
        self.replicas[here].seen.insert(dot);
        self.replicas[here].time = time;
        self.deltas.push(Delta { write, value: delta });
        checked.writes += 1;
        Ok(())
    }

    /// One delta arrives, with what came before it or without, a first time or again.
    fn deliver_one(&mut self, here: usize) {
        if let Some(delta) = self.deltas.get(self.choices.place(self.deltas.len())) {
            let replica = &mut self.replicas[here];
            replica.value.join(&delta.value);
            replica.seen.insert(delta.write.dot);
            replica.time = replica.time.max(delta.write.time.0);
        }
    }

    /// The whole of another replica arrives, in each of the ways that there are.
    fn merge(&mut self, here: usize, there: usize, checked: &mut Checked) -> Result<(), Broken> {
        let (ours, theirs) = (self.replicas[here].clone(), self.replicas[there].clone());
        let whole = joined(&ours.value, &theirs.value);

        let missing = theirs.seen.minus(&ours.seen);
        let lacks = |delta: &&Delta<M::Value>| missing.contains(delta.write.dot);
        let mut group: Vec<M::Value> =
            self.deltas.iter().filter(lacks).map(|delta| delta.value.clone()).collect();
        self.same(Law::DeltaGroup, &self.in_any_order(&ours.value, &mut group), &whole)?;

        let mut parts = theirs.value.decompose();
        self.same(Law::Decompose, &self.in_any_order(&ours.value, &mut parts), &whole)?;

        let replica = &mut self.replicas[here];
        replica.value = whole;
        replica.seen.join(&theirs.seen);
        replica.time = replica.time.max(theirs.time);
        checked.merges += 1;
        Ok(())
    }

    /// Joins the values to one, in an order that the seed chooses.
    fn in_any_order(&self, to: &M::Value, values: &mut Vec<M::Value>) -> M::Value {
        let mut choices = Choices::new(self.seed ^ values.len() as u64);
        let mut sum = to.clone();
        while !values.is_empty() {
            sum.join(&values.swap_remove(choices.place(values.len())));
        }
        sum
    }

    fn check_values(&mut self, checked: &mut Checked) -> Result<(), Broken> {
        const VALUES: usize = 6;
        let mut sample = self.replicas.clone();
        while sample.len() < VALUES && !self.reached.is_empty() {
            let place = self.choices.place(self.reached.len());
            sample.push(self.reached.swap_remove(place));
        }
        let mut values: Vec<M::Value> = sample.iter().map(|replica| replica.value.clone()).collect();
        for _ in 0..2 {
            if let Some(delta) = self.deltas.get(self.choices.place(self.deltas.len())) {
                values.push(delta.value.clone());
            }
        }
        self.check_lattice(&values)?;
        self.check_parts(&values)?;
        self.check_novel(&sample)?;
        self.check_bytes(&values, checked)?;
        checked.values += values.len() as u64;
        Ok(())
    }

    fn check_lattice(&self, values: &[M::Value]) -> Result<(), Broken> {
        let bottom = M::Value::default();
        for one in values {
            self.same(Law::Idempotent, &joined(one, one), one)?;
            self.same(Law::Bottom, &joined(one, &bottom), one)?;
            self.same(Law::Bottom, &joined(&bottom, one), one)?;
            self.require(Law::Bottom, one.is_bottom() == (*one == bottom), || format!("{one:?}"))?;
            for two in values {
                let sum = joined(one, two);
                let example = |which: &str| format!("{which}: {one:?} and {two:?}");
                self.require(Law::Commutative, sum == joined(two, one), || example("two ways"))?;
                for three in values {
                    let left = joined(&sum, three);
                    let right = joined(one, &joined(two, three));
                    self.require(Law::Associative, left == right, || {
                        format!("{} and {three:?}", example(""))
                    })?;
                }
            }
        }
        Ok(())
    }

    fn check_parts(&self, values: &[M::Value]) -> Result<(), Broken> {
        let bottom = M::Value::default();
        self.require(Law::Decompose, bottom.decompose().is_empty(), || "the bottom has parts".to_owned())?;
        // What a part could be made of: the parts and the deltas of the whole history.
        let mut lesser: Vec<M::Value> = values.iter().flat_map(M::Value::decompose).collect();
        lesser.extend(self.deltas.iter().map(|delta| delta.value.clone()));
        for one in values {
            let parts = one.decompose();
            self.same(Law::Decompose, &self.in_any_order(&bottom, &mut parts.clone()), one)?;
            for (place, part) in parts.iter().enumerate() {
                let mut others = parts.clone();
                others.swap_remove(place);
                let others = self.in_any_order(&bottom, &mut others);
                self.require(Law::Decompose, !is_below(part, &others), || {
                    format!("the part {part:?} of {one:?} says nothing that the others do not")
                })?;
                let again = part.decompose();
                self.require(Law::Irreducible, again.len() == 1 && again[0] == *part, || {
                    format!("the part {part:?} of {one:?} has parts: {again:?}")
                })?;
                if M::is_bundle(part) {
                    continue;
                }
                let below: Vec<&M::Value> =
                    lesser.iter().filter(|value| *value != part && is_below(*value, part)).collect();
                for left in &below {
                    for right in &below {
                        self.require(Law::Irreducible, joined(*left, right) != *part, || {
                            format!("the part {part:?} of {one:?} is the join of {left:?} and {right:?}")
                        })?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_novel(&self, replicas: &[Replica<M::Value>]) -> Result<(), Broken> {
        let all: CausalContext = self.deltas.iter().map(|delta| delta.write.dot).collect();
        for theirs in replicas {
            let whole = &theirs.value;
            let nothing = whole.novel(&all);
            self.require(Law::Novel, nothing.is_bottom(), || {
                format!("{nothing:?} of {whole:?} for who has seen all")
            })?;
            self.same(Law::Novel, &whole.novel(&CausalContext::default()), whole)?;
            for ours in replicas {
                let novel = whole.novel(&ours.seen);
                let example = || format!("{novel:?} of {whole:?} for {ours:?}");
                let sum = joined(&ours.value, &novel);
                self.require(Law::Novel, sum == joined(&ours.value, whole), example)?;
                self.require(Law::Novel, is_below(&novel, whole), example)?;
            }
        }
        Ok(())
    }

    fn check_bytes(&mut self, values: &[M::Value], checked: &mut Checked) -> Result<(), Broken> {
        const PREFIXES: usize = 64;
        for one in values {
            let bytes = one.encode();
            let back = M::Value::decode(&bytes);
            self.require(Law::Canonical, back.as_ref() == Ok(one), || {
                format!("{one:?} comes back as {back:?}")
            })?;
            for two in values {
                let agree = (one == two) == (bytes == two.encode());
                self.require(Law::Canonical, agree, || format!("bytes of {one:?} and {two:?}"))?;
            }
            for length in 0..bytes.len().min(PREFIXES) {
                let back = M::Value::decode(&bytes[..length]);
                self.require(Law::Damaged, back.is_err(), || {
                    format!("{length} bytes of {one:?} are {back:?}")
                })?;
            }
            for _ in 0..8 {
                let damaged = self.damage(&bytes);
                checked.damaged += 1;
                let Ok(foreign) = M::Value::decode(&damaged) else { continue };
                let again = foreign.encode();
                self.require(Law::Damaged, again == damaged, || {
                    format!("{damaged:?} are read as {foreign:?}, which writes {again:?}")
                })?;
                // None of these may panic.
                for two in values {
                    let sum = joined(&joined(two, &foreign), &joined(&foreign, two));
                    self.require(
                        Law::Canonical,
                        M::Value::decode(&sum.encode()).as_ref() == Ok(&sum),
                        || format!("{two:?} and the foreign {foreign:?}"),
                    )?;
                }
                foreign.decompose();
            }
        }
        Ok(())
    }

    /// Bytes with a few changes: another byte, one more, one less.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        for _ in 0..=self.choices.below(2) {
            let place = self.choices.place(damaged.len());
            let small = self.choices.percent(70);
            let byte = if small { self.choices.below(4) as u8 } else { self.choices.number() as u8 };
            match self.choices.below(4) {
                0 => damaged.insert(place, byte),
                1 if !damaged.is_empty() => {
                    damaged.remove(place);
                }
                _ => damaged.iter_mut().skip(place).take(1).for_each(|old| *old = byte),
            }
        }
        damaged
    }
}

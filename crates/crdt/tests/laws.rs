//! The laws hold for every type, and the checker rejects joins that are wrong.
//!
//! Invariant: each type is checked over histories that reach its removals, conflicts and repeats; each mutant is one that
//! was seen in a published implementation.

mod subjects;

use std::fmt::Debug;
use std::marker::PhantomData;

use deltaic_causality::{CausalContext, Dot};
use deltaic_crdt::laws::{self, Checked, Choices, Law, Model, Write};
use deltaic_crdt::{AddWinsSet, Causal, Crdt, DotStore, GCounter, Log, LwwRegister};
use deltaic_types::codec::{DecodeError, Reader, write_u64};
use subjects::*;

const HISTORIES: u64 = 400;

fn hold<M: Model>() {
    let checked = laws::check::<M>(0..HISTORIES).unwrap_or_else(|broken| panic!("{broken}"));
    let Checked { writes, merges, values, damaged } = checked;
    assert!(
        writes > HISTORIES && merges > HISTORIES && values > HISTORIES && damaged > HISTORIES,
        "{checked:?}"
    );
}

#[test]
fn counters() {
    hold::<GCounters>();
    hold::<PnCounters>();
    hold::<Counters>();
    hold::<BoundedCounters>();
}

#[test]
fn registers() {
    hold::<LwwRegisters>();
    hold::<MvRegisters>();
    hold::<Maxima>();
    hold::<Minima>();
}

#[test]
fn sets_that_grow() {
    hold::<GSets>();
    hold::<TwoPhaseSets>();
}

#[test]
fn logs() {
    hold::<Logs>();
}

#[test]
fn sets_that_forget() {
    hold::<AddWinsSets>();
    hold::<RemoveWinsSets>();
}

#[test]
fn flags() {
    hold::<EnableWinsFlags>();
    hold::<DisableWinsFlags>();
}

#[test]
fn maps() {
    hold::<MapsOfRegisters>();
    hold::<MapsOfSets>();
    hold::<MapsOfMaps>();
}

#[test]
fn elements_of_sql_values() {
    hold::<ValueSets>();
}

#[test]
fn a_history_repeats() {
    let run = || laws::check::<AddWinsSets>(7..9).unwrap();
    assert_eq!(run(), run());
}

/// A type with one of its functions wrong.
struct Wrong<C, R>(C, PhantomData<R>);

/// What is wrong. The functions that a mutant leaves alone are the right ones.
trait Rule<C: Crdt> {
    fn join(mine: &mut C, other: &C) {
        mine.join(other);
    }

    fn novel(mine: &C, seen: &CausalContext) -> C {
        mine.novel(seen)
    }
}

impl<C: Clone, R> Clone for Wrong<C, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<C: PartialEq, R> PartialEq for Wrong<C, R> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<C: Eq, R> Eq for Wrong<C, R> {}

impl<C: Default, R> Default for Wrong<C, R> {
    fn default() -> Self {
        Self(C::default(), PhantomData)
    }
}

impl<C: Debug, R> Debug for Wrong<C, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<C: Crdt, R: Rule<C>> Crdt for Wrong<C, R> {
    fn join(&mut self, other: &Self) {
        R::join(&mut self.0, &other.0);
    }

    fn decompose(&self) -> Vec<Self> {
        self.0.decompose().into_iter().map(|part| Self(part, PhantomData)).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self(R::novel(&self.0, seen), PhantomData)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self(C::read(reader)?, PhantomData))
    }
}

/// The writes of a right type on its mutant.
struct WrongModel<M, R>(PhantomData<(M, R)>);

impl<M: Model, R: Rule<M::Value>> Model for WrongModel<M, R> {
    type Value = Wrong<M::Value, R>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        M::write(&mut value.0, write, choices).map(|delta| Wrong(delta, PhantomData))
    }

    fn is_bundle(part: &Self::Value) -> bool {
        M::is_bundle(&part.0)
    }
}

/// The law that the mutant breaks first, in each of several stretches of histories.
fn broken<M: Model, R: Rule<M::Value>>() -> Vec<Law> {
    let stretch = |start| match laws::check::<WrongModel<M, R>>(start..start + 50) {
        Ok(checked) => panic!("a wrong type passed: {checked:?}"),
        Err(broken) => {
            assert!(broken.to_string().contains(&format!("seed {}", broken.seed)), "{broken}");
            broken.law
        }
    };
    [0, 1_000, 2_000].into_iter().map(stretch).collect()
}

/// Merges the actors it knows and forgets those that it does not.
struct OwnKeysOnly;

impl Rule<GCounter> for OwnKeysOnly {
    fn join(mine: &mut GCounter, other: &GCounter) {
        // Behind the number of actors, which is 1, stands the actor.
        let actor = |part: &GCounter| part.encode()[1];
        let known: Vec<u8> = mine.decompose().iter().map(actor).collect();
        let parts = other.decompose().into_iter().filter(|part| known.contains(&actor(part)));
        parts.for_each(|part| mine.join(&part));
    }
}

/// Keeps the side whose context holds the other's.
struct DominatesTakesMine;

impl<S: DotStore> Rule<Causal<S>> for DominatesTakesMine {
    fn join(mine: &mut Causal<S>, other: &Causal<S>) {
        if other.context().includes(mine.context()) {
            mine.clone_from(other);
        } else if !mine.context().includes(other.context()) {
            mine.join(other);
        }
    }
}

/// Takes additions and no removals.
struct NeverRemoves;

impl<S: DotStore> Rule<Causal<S>> for NeverRemoves {
    fn join(mine: &mut Causal<S>, other: &Causal<S>) {
        let live = other.decompose().into_iter().filter(|part| !part.store().is_empty());
        live.for_each(|part| mine.join(&part));
    }
}

/// Of two writes of one time the other operand's.
struct TieTakesTheOther;

impl Rule<LwwRegister<i64>> for TieTakesTheOther {
    fn join(mine: &mut LwwRegister<i64>, other: &LwwRegister<i64>) {
        if other.stamp().map(|stamp| stamp.time) >= mine.stamp().map(|stamp| stamp.time) {
            mine.clone_from(other);
        }
    }
}

/// Says what was added since, and not what was removed.
struct NovelWithoutRemovals;

impl<S: DotStore> Rule<Causal<S>> for NovelWithoutRemovals {
    fn novel(mine: &Causal<S>, seen: &CausalContext) -> Causal<S> {
        let store = mine.store().novel(seen);
        let context = store.dots();
        Causal::new(store, context).expect("its own dots")
    }
}

/// Joins two writes of one actor to the later, as a log would whose writes were cut off.
struct KeepsTheLast;

impl Rule<Log> for KeepsTheLast {
    fn join(mine: &mut Log, other: &Log) {
        mine.join(other);
        let last: CausalContext = mine
            .iter()
            .map(|(dot, _)| dot)
            .filter(|dot| !mine.is_next(Dot { seq: dot.seq + 1, ..*dot }))
            .collect();
        *mine = mine.novel(&last);
    }
}

/// Sends everything always.
struct NovelIsAll;

impl Rule<GCounter> for NovelIsAll {
    fn novel(mine: &GCounter, _: &CausalContext) -> GCounter {
        mine.clone()
    }
}

#[test]
fn wrong_joins_are_rejected() {
    // Everything a side lacks is lost already when it receives its first delta.
    assert_eq!(broken::<GCounters, OwnKeysOnly>(), [Law::Delta; 3]);
    for law in broken::<AddWinsSets, DominatesTakesMine>() {
        assert!(matches!(law, Law::DeltaGroup | Law::Decompose | Law::Associative), "{law:?}");
    }
    for law in broken::<MapsOfMaps, DominatesTakesMine>() {
        assert!(matches!(law, Law::DeltaGroup | Law::Decompose | Law::Associative), "{law:?}");
    }
    assert_eq!(broken::<EnableWinsFlags, NeverRemoves>(), [Law::Delta; 3]);
    for law in broken::<Logs, KeepsTheLast>() {
        assert!(matches!(law, Law::Inflation | Law::Delta), "{law:?}");
    }
    for law in broken::<LwwRegisters, TieTakesTheOther>() {
        assert!(matches!(law, Law::Commutative | Law::DeltaGroup | Law::Inflation), "{law:?}");
    }
}

#[test]
fn wrong_ways_to_say_what_is_new_are_rejected() {
    assert_eq!(broken::<AddWinsSets, NovelWithoutRemovals>(), [Law::Novel; 3]);
    assert_eq!(broken::<GCounters, NovelIsAll>(), [Law::Novel; 3]);
}

/// A sum that is merged by adding: what comes twice counts twice. Its bytes are wrong too: a zero is written in two ways.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Added(u64);

impl Crdt for Added {
    fn join(&mut self, other: &Self) {
        self.0 = self.0.saturating_add(other.0);
    }

    fn decompose(&self) -> Vec<Self> {
        if self.is_bottom() { Vec::new() } else { vec![self.clone()] }
    }

    fn novel(&self, _: &CausalContext) -> Self {
        self.clone()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u64().map(Self)
    }
}

struct Sums;

impl Model for Sums {
    type Value = Added;

    fn write(value: &mut Added, _: Write, choices: &mut Choices) -> Option<Added> {
        let delta = Added(1 + choices.below(3));
        value.join(&delta);
        Some(delta)
    }
}

/// The greatest number, with bytes that are read leniently.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Lenient(u64);

impl Crdt for Lenient {
    fn join(&mut self, other: &Self) {
        self.0 = self.0.max(other.0);
    }

    fn decompose(&self) -> Vec<Self> {
        if self.is_bottom() { Vec::new() } else { vec![self.clone()] }
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        if seen.last(deltaic_causality::ActorId(1)) > 0 { Self(0) } else { self.clone() }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.0 as u8);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [byte] = reader.take()?;
        Ok(Self(u64::from(byte.min(200))))
    }
}

/// One write in all.
struct Once;

impl Model for Once {
    type Value = Lenient;

    fn write(value: &mut Lenient, write: Write, _: &mut Choices) -> Option<Lenient> {
        if write.dot.actor.0 == 1 && write.dot.seq == 1 {
            value.0 = 150;
            return Some(value.clone());
        }
        None
    }
}

/// A type that is refused every write and changes nonetheless.
struct Dishonest;

impl Model for Dishonest {
    type Value = Causal<AddWinsSet<u64>>;

    fn write(value: &mut Self::Value, write: Write, _: &mut Choices) -> Option<Self::Value> {
        value.add(write.dot, 1).ok();
        None
    }
}

#[test]
fn other_wrong_types_are_rejected() {
    assert_eq!(laws::check::<Sums>(0..50).unwrap_err().law, Law::Inflation);
    assert_eq!(laws::check::<Once>(0..50).unwrap_err().law, Law::Damaged);
    assert_eq!(laws::check::<Dishonest>(0..50).unwrap_err().law, Law::Inflation);
}

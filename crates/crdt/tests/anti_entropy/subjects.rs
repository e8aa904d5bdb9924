//! Kinds of values that are brought together, each with random writes and the value that all of them make.

use std::collections::BTreeMap;
use std::fmt::Debug;

use deltaic_causality::{Dot, HybridTime, VersionVector};
use deltaic_crdt::laws::Choices;
use deltaic_crdt::{
    AddWinsSet, Causal, Crdt, DotStore, EnableWinsFlag, LwwRegister, Map, Merge, MvRegister, Plain,
    PnCounter, RemoveWinsSet, Replica,
};

/// What the author of each write had seen.
pub(crate) type Pasts = BTreeMap<Dot, VersionVector>;

/// A kind of value, with its writes and a value in which all writes are joined, whatever replica made them.
pub(crate) trait Subject {
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

pub(crate) struct Counters;

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

pub(crate) struct Registers;

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

pub(crate) fn is_store<S: DotStore>(value: &S, all: &Causal<S>) -> bool {
    value == all.store()
}

pub(crate) struct Sets;

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

pub(crate) struct StrictSets;

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

pub(crate) struct Titles;

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

pub(crate) struct Maps;

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

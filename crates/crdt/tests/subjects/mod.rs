//! The types of this crate with random writes, for the checker of laws and for the models.

#![allow(dead_code, reason = "each test takes the subjects that it needs")]

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_crdt::laws::{Choices, Model, Write};
use deltaic_crdt::*;
use deltaic_types::Value;

fn small(choices: &mut Choices) -> i64 {
    match choices.below(12) {
        0 => i64::MAX,
        1 => i64::MIN,
        n => n.cast_signed() - 6,
    }
}

/// Few elements, so that writes meet.
fn element(choices: &mut Choices) -> u64 {
    choices.below(4)
}

/// A cut that the replica has seen.
fn seen_cut<S: DotStore>(value: &Causal<S>, choices: &mut Choices) -> VersionVector {
    let cut = value.context().cut();
    cut.iter().map(|(actor, last)| Dot { actor, seq: choices.below(last + 1) }).collect()
}

pub(crate) struct GCounters;

impl Model for GCounters {
    type Value = GCounter;

    fn write(value: &mut GCounter, write: Write, choices: &mut Choices) -> Option<GCounter> {
        let amount = if choices.percent(5) { u64::MAX } else { choices.below(10) };
        value.increment(write.dot, amount).ok()
    }
}

pub(crate) struct PnCounters;

impl Model for PnCounters {
    type Value = PnCounter;

    fn write(value: &mut PnCounter, write: Write, choices: &mut Choices) -> Option<PnCounter> {
        value.add(write.dot, small(choices)).ok()
    }
}

pub(crate) struct Counters;

impl Model for Counters {
    type Value = Counter;

    fn write(value: &mut Counter, write: Write, choices: &mut Choices) -> Option<Counter> {
        if choices.percent(20) {
            value.set(write.dot, write.time, small(choices)).ok()
        } else {
            value.add(write.dot, small(choices)).ok()
        }
    }
}

pub(crate) struct BoundedCounters;

impl Model for BoundedCounters {
    type Value = BoundedCounter;

    fn write(value: &mut BoundedCounter, write: Write, choices: &mut Choices) -> Option<BoundedCounter> {
        match choices.below(3) {
            0 => value.mint(write.dot, choices.below(10)).ok(),
            1 => value.spend(write.dot, choices.below(6)).ok(),
            _ => value.transfer(write.dot, ActorId(1 + choices.below(4)), choices.below(4)).ok(),
        }
    }
}

pub(crate) struct LwwRegisters;

impl Model for LwwRegisters {
    type Value = LwwRegister<i64>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        value.set(write.dot, write.time, small(choices)).ok()
    }
}

pub(crate) struct MvRegisters;

impl Model for MvRegisters {
    type Value = Causal<MvRegister<i64>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        if choices.percent(20) {
            value.clear(write.dot).ok()
        } else {
            value.set(write.dot, small(choices)).ok()
        }
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

pub(crate) struct Maxima;

impl Model for Maxima {
    type Value = Max<i64>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        value.put(write.dot, small(choices)).ok()
    }
}

pub(crate) struct Minima;

impl Model for Minima {
    type Value = Min<String>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        value.put(write.dot, small(choices).to_string()).ok()
    }
}

pub(crate) struct GSets;

impl Model for GSets {
    type Value = GSet<u64>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        value.add(write.dot, element(choices)).ok()
    }
}

pub(crate) struct Logs;

impl Model for Logs {
    type Value = Log;

    fn write(value: &mut Log, write: Write, choices: &mut Choices) -> Option<Log> {
        let length = choices.place(4);
        let bytes: Vec<u8> = (0..length).map(|_| choices.below(3) as u8).collect();
        value.append(write.dot, bytes).ok()
    }
}

pub(crate) struct TwoPhaseSets;

impl Model for TwoPhaseSets {
    type Value = TwoPhaseSet<u64>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        let element = choices.below(8);
        if choices.percent(30) {
            value.remove(write.dot, &element).ok()
        } else {
            value.add(write.dot, element).ok()
        }
    }
}

pub(crate) struct AddWinsSets;

impl Model for AddWinsSets {
    type Value = Causal<AddWinsSet<u64>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        let element = element(choices);
        match choices.below(4) {
            0 => value.remove(write.dot, &element).ok(),
            1 => {
                let cut = seen_cut(value, choices);
                value.remove_seen(write.dot, &element, &cut).ok()
            }
            _ => value.add(write.dot, element).ok(),
        }
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

pub(crate) struct RemoveWinsSets;

impl Model for RemoveWinsSets {
    type Value = Causal<RemoveWinsSet<u64>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        let element = element(choices);
        match choices.below(8) {
            0..3 => value.remove(write.dot, &element).ok(),
            3 => {
                let cut = seen_cut(value, choices);
                value.forget(write.dot, &cut).ok()
            }
            _ => value.add(write.dot, element).ok(),
        }
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

pub(crate) struct EnableWinsFlags;

impl Model for EnableWinsFlags {
    type Value = Causal<EnableWinsFlag>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        if choices.percent(50) { value.disable(write.dot).ok() } else { value.enable(write.dot).ok() }
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

pub(crate) struct DisableWinsFlags;

impl Model for DisableWinsFlags {
    type Value = Causal<DisableWinsFlag>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        match choices.below(5) {
            0 | 1 => value.disable(write.dot).ok(),
            2 => {
                let cut = seen_cut(value, choices);
                value.forget(write.dot, &cut).ok()
            }
            _ => value.enable(write.dot).ok(),
        }
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

/// Writes to a map: removals of keys, with and without a cut, and updates by the given write.
fn write_map<S: DotStore>(
    value: &mut Causal<Map<u64, S>>,
    write: Write,
    choices: &mut Choices,
    update: impl FnOnce(&mut S, &deltaic_causality::CausalContext, &mut Choices) -> Result<Causal<S>, WriteError>,
) -> Option<Causal<Map<u64, S>>> {
    let key = choices.below(3);
    match choices.below(6) {
        0 => value.remove(write.dot, &key).ok(),
        1 => {
            let cut = seen_cut(value, choices);
            value.remove_seen(write.dot, &key, &cut).ok()
        }
        _ => value.update(key, |store, seen| update(store, seen, choices)).ok(),
    }
}

pub(crate) struct MapsOfRegisters;

impl Model for MapsOfRegisters {
    type Value = Causal<Map<u64, MvRegister<u64>>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        write_map(value, write, choices, |register, seen, choices| {
            register.set(seen, write.dot, element(choices))
        })
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

pub(crate) struct MapsOfSets;

impl Model for MapsOfSets {
    type Value = Causal<Map<u64, AddWinsSet<u64>>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        write_map(value, write, choices, |set, seen, choices| {
            let element = element(choices);
            if choices.percent(30) {
                set.remove(seen, write.dot, &element)
            } else {
                set.add(seen, write.dot, element)
            }
        })
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

pub(crate) struct MapsOfMaps;

impl Model for MapsOfMaps {
    type Value = Causal<Map<u64, Map<u64, DisableWinsFlag>>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        write_map(value, write, choices, |map, seen, choices| {
            let key = choices.below(3);
            match choices.below(4) {
                0 => map.remove(seen, write.dot, &key),
                1 => map.update(key, |flag| flag.disable(seen, write.dot)),
                _ => map.update(key, |flag| flag.enable(seen, write.dot)),
            }
        })
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

/// Sets of values that SQL calls equal and of others.
pub(crate) struct ValueSets;

impl Model for ValueSets {
    type Value = Causal<AddWinsSet<Exact>>;

    fn write(value: &mut Self::Value, write: Write, choices: &mut Choices) -> Option<Self::Value> {
        let number = choices.below(3).cast_signed();
        let element = Exact(match choices.below(6) {
            0 => Value::Integer(number),
            1 => Value::double(number as f64 - 1.0),
            2 => Value::numeric(number.to_string().parse().expect("a number")),
            3 => Value::from(number.to_string()),
            4 => Value::array(vec![Value::Integer(number), Value::Null]),
            _ => Value::Boolean(number == 0),
        });
        if choices.percent(30) {
            value.remove(write.dot, &element).ok()
        } else {
            value.add(write.dot, element).ok()
        }
    }

    fn is_bundle(part: &Self::Value) -> bool {
        part.store().is_empty()
    }
}

//! The bytes of values that merge: each type, tables of rows with what they send each other, and operations in causal order.
//!
//! The valid ones are what a few replicas hold that write apart, lose deltas and hear of each other now and then: so their
//! contexts have gaps, and of much of what was written only the removal is left.

use std::cell::RefCell;
use std::collections::BTreeMap;

use deltaic_causality::{ActorId, Dot, HybridTime, VersionVector};
use deltaic_crdt::anti_entropy::{Message, StreamId};
use deltaic_crdt::{
    AddWinsSet, BoundedCounter, BroadcastLimits, Causal, CausalBroadcast, Change, Counter, Crdt,
    DisableWinsFlag, DotStore, EnableWinsFlag, Exact, Existence, GCounter, GSet, Log, LwwRegister, Map, Max,
    Merge, Min, MvRegister, PnCounter, RemoveWinsSet, Row, State, Table, Theirs, TwoPhaseSet,
};
use deltaic_types::Value;
use deltaic_types::codec::{DecodeError, Reader};

use super::causality::{context, cut, number, whole};
use super::decoders::{DAMAGED, Decoder, Trials, USUAL};
use crate::random::Random;

/// What rows may take: a map of one cell is a node with room for eleven.
const ROWS: u64 = 512;

/// Few keys and elements, so that writes meet.
fn few(random: &mut Random) -> u64 {
    random.below(4) as u64
}

fn amount(random: &mut Random) -> i64 {
    number(random).cast_signed() >> random.below(40)
}

/// A value as SQL has them, and numbers that SQL calls equal.
fn exact(random: &mut Random) -> Exact {
    let number = few(random).cast_signed();
    Exact(match random.below(7) {
        0 => Value::Integer(number),
        1 => Value::double(number as f64 - 1.0),
        2 => number.to_string().parse().map_or(Value::Null, Value::numeric),
        3 => Value::from("é".repeat(number.unsigned_abs() as usize)),
        4 => Value::array(vec![Value::Integer(number), Value::Null, Value::from("a")]),
        5 => Value::Null,
        _ => Value::Boolean(number == 0),
    })
}

/// An operation of a log.
type Operation = deltaic_crdt::Message<String>;

/// A write to one replica's value; none where it is refused.
type Write<T> = fn(&mut T, Dot, HybridTime, &mut Random) -> Option<T>;

/// The values of a few replicas, and what they have sent.
fn grown<T: Crdt>(random: &mut Random, write: Write<T>) -> Vec<T> {
    let actors = if random.one_in(8) { 30 } else { 3 };
    // Those of a while ago: numbers begin anywhere.
    let first = if random.one_in(4) { number(random) >> 8 } else { 0 };
    let (mut values, mut sent, mut seqs) = (vec![T::default(); 3], Vec::new(), BTreeMap::new());
    for step in 0..4 + random.below(24) as u64 {
        let place = random.below(3);
        match random.below(6) {
            0 if !sent.is_empty() => {
                let delta: &T = random.pick(&sent);
                values[place].join(delta);
            }
            1 => {
                let other = values[random.below(3)].clone();
                values[place].join(&other);
            }
            _ => {
                // Each replica has actors of its own.
                let actor = ActorId((random.below(actors) * 3 + place) as u64);
                let seq = seqs.entry(actor).or_insert(first);
                *seq += 1;
                let (dot, time) = (Dot { actor, seq: *seq }, HybridTime::new(1 + step, 0));
                sent.extend(write(&mut values[place], dot, time, random));
            }
        }
    }
    values.extend(sent);
    values
}

fn seen_cut<S: DotStore>(value: &Causal<S>, random: &mut Random) -> VersionVector {
    let cut = value.context().cut();
    cut.iter().map(|(actor, last)| Dot { actor, seq: random.number() % last.saturating_add(1) }).collect()
}

/// A table that has been written to and has heard of others; and as it was when it was half as old.
fn table<E: Existence>(random: &mut Random) -> Result<[Table<u64, E>; 2], String> {
    let mut tables: Vec<Table<u64, E>> = (1..=3).map(|actor| Table::new(ActorId(actor))).collect();
    let steps = 4 + random.below(24) as u64;
    let mut half = tables[0].clone();
    for step in 0..steps {
        let place = random.below(3);
        if step == steps / 2 {
            half = tables[0].clone();
        }
        if random.one_in(4) {
            let other = tables[random.below(3)].clone();
            let delta = other.delta(tables[place].cut()).unwrap_or_else(|| other.whole());
            tables[place].merge(&delta, other.cut()).map_err(|error| error.to_string())?;
            continue;
        }
        if random.one_in(12) {
            // What all hold is not noted any more.
            let mut stable = tables[0].cut().clone();
            for table in &tables {
                stable.meet(table.cut());
            }
            tables[place].trim(&stable);
        }
        write_row(&mut tables[place], HybridTime::new(step + 1, 0), random);
    }
    Ok([tables.swap_remove(0), half])
}

/// An insertion, a write or a deletion; one that the row refuses is none.
fn write_row<E: Existence>(table: &mut Table<u64, E>, time: HybridTime, random: &mut Random) {
    let key = few(random);
    let column = random.below(9) as u32;
    let change = match column {
        0 => Change::Write((0..random.below(3)).map(|_| exact(random)).collect()),
        1 if random.one_in(3) => Change::Set(amount(random)),
        1 => Change::Increment(amount(random)),
        2 => Change::Grow(number(random) >> 8),
        3 if random.one_in(3) => Change::Remove(exact(random)),
        3 => Change::Add(exact(random)),
        4 if random.one_in(3) => Change::RemoveFirst(exact(random)),
        4 => Change::AddUnlessRemoved(exact(random)),
        5 => Change::Switch(random.one_in(2)),
        6 => Change::Raise(exact(random)),
        7 => Change::Append(vec![7; random.below(5)].into()),
        _ => Change::Lower(exact(random)),
    };
    // Where it is refused nothing has changed.
    let _ = match random.below(5) {
        0 => table.delete(&key, None),
        1 => table.insert(&key, time, [(column, change)]),
        _ if table.has(&key) => table.update_row(&key, time, None, [(column, change)]),
        _ => table.insert(&key, time, [(column, change)]),
    };
}

fn holds(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Trials<'_> {
    /// What replicas of values send each other.
    pub(super) fn crdt(&mut self) -> Result<(), String> {
        // Each in turn would make a case long.
        match self.random.below(4) {
            0 => self.counters(),
            1 => self.sets(),
            2 => self.stores(),
            _ => self.maps(),
        }?;
        self.tables::<EnableWinsFlag>()?;
        if self.random.one_in(2) {
            self.tables::<DisableWinsFlag>()?;
        }
        self.rows()?;
        self.messages()
    }

    fn counters(&mut self) -> Result<(), String> {
        self.value::<GCounter>("crdt/g_counter", |value, dot, _, random| {
            value.increment(dot, number(random)).ok()
        })?;
        self.value::<PnCounter>("crdt/pn_counter", |value, dot, _, random| {
            value.add(dot, amount(random)).ok()
        })?;
        self.value::<Counter>("crdt/counter", |value, dot, time, random| match random.below(4) {
            0 => value.set(dot, time, amount(random)).ok(),
            _ => value.add(dot, amount(random)).ok(),
        })?;
        self.value::<BoundedCounter>("crdt/bounded_counter", |value, dot, _, random| match random.below(3) {
            0 => value.mint(dot, few(random)).ok(),
            1 => value.spend(dot, few(random)).ok(),
            _ => value.transfer(dot, ActorId(random.below(9) as u64), few(random)).ok(),
        })
    }

    fn sets(&mut self) -> Result<(), String> {
        self.value::<GSet<u64>>("crdt/g_set", |value, dot, _, random| value.add(dot, few(random)).ok())?;
        self.value::<TwoPhaseSet<String>>("crdt/two_phase_set", |value, dot, _, random| {
            let element = "ab".repeat(random.below(4));
            if random.one_in(3) { value.remove(dot, &element).ok() } else { value.add(dot, element).ok() }
        })?;
        self.value::<Causal<AddWinsSet<Exact>>>("crdt/add_wins_set", |value, dot, _, random| {
            let element = exact(random);
            match random.below(4) {
                0 => value.remove(dot, &element).ok(),
                1 => {
                    let cut = seen_cut(value, random);
                    value.remove_seen(dot, &element, &cut).ok()
                }
                _ => value.add(dot, element).ok(),
            }
        })?;
        self.value::<Causal<RemoveWinsSet<u64>>>("crdt/remove_wins_set", |value, dot, _, random| {
            let element = few(random);
            if random.one_in(3) { value.remove(dot, &element).ok() } else { value.add(dot, element).ok() }
        })
    }

    fn stores(&mut self) -> Result<(), String> {
        self.value::<LwwRegister<Exact>>("crdt/lww_register", |value, dot, time, random| {
            value.set(dot, time, exact(random)).ok()
        })?;
        self.value::<Causal<MvRegister<Exact>>>("crdt/mv_register", |value, dot, _, random| {
            if random.one_in(5) { value.clear(dot).ok() } else { value.set(dot, exact(random)).ok() }
        })?;
        self.value::<Max<Exact>>("crdt/max", |value, dot, _, random| value.put(dot, exact(random)).ok())?;
        self.value::<Log>("crdt/log", |value, dot, _, random| {
            value.append(dot, vec![random.below(3) as u8; random.below(5)]).ok()
        })?;
        self.value::<Min<i64>>("crdt/min", |value, dot, _, random| value.put(dot, amount(random)).ok())?;
        self.value::<Causal<EnableWinsFlag>>("crdt/enable_wins_flag", |value, dot, _, random| {
            if random.one_in(2) { value.enable(dot).ok() } else { value.disable(dot).ok() }
        })?;
        self.value::<Causal<DisableWinsFlag>>("crdt/disable_wins_flag", |value, dot, _, random| {
            if random.one_in(2) { value.enable(dot).ok() } else { value.disable(dot).ok() }
        })
    }

    fn maps(&mut self) -> Result<(), String> {
        self.value::<Causal<Map<u64, AddWinsSet<u64>>>>("crdt/map_of_sets", |value, dot, _, random| {
            let key = few(random);
            match random.below(4) {
                0 => value.remove(dot, &key).ok(),
                1 => value.update(key, |set, seen| set.remove(seen, dot, &few(random))).ok(),
                _ => value.update(key, |set, seen| set.add(seen, dot, few(random))).ok(),
            }
        })?;
        self.value::<Causal<Map<u64, Map<u64, DisableWinsFlag>>>>(
            "crdt/map_of_maps",
            |value, dot, _, random| {
                let (key, inner) = (few(random), few(random));
                match random.below(5) {
                    0 => value.remove(dot, &key).ok(),
                    1 => value.update(key, |map, seen| map.remove(seen, dot, &inner)).ok(),
                    2 => {
                        value.update(key, |map, seen| map.update(inner, |flag| flag.disable(seen, dot))).ok()
                    }
                    _ => value.update(key, |map, seen| map.update(inner, |flag| flag.enable(seen, dot))).ok(),
                }
            },
        )
    }

    /// A value that merges: what is read is joined both ways, divided and compared.
    fn value<T: Crdt>(&mut self, name: &'static str, write: Write<T>) -> Result<(), String> {
        let values = grown(self.random, write);
        let (one, other) = (self.random.pick(&values), self.random.pick(&values));
        let decoder = Decoder { name, factor: USUAL, decode: T::decode, encode: T::encode };
        let seen = context(self.random);
        self.of(&decoder, [&one.encode(), &other.encode()], |read| {
            let (mut left, mut right) = (read.clone(), one.clone());
            left.join(one);
            right.join(read);
            holds(left == right, "is joined to something else the other way")?;
            let again = left.clone();
            left.join(read);
            holds(left == again, "is joined to more the second time")?;
            holds(T::decode(&left.encode()).as_ref() == Ok(&left), "is joined to what has no bytes")?;
            let mut parts = T::default();
            read.decompose().iter().for_each(|part| parts.join(part));
            holds(parts == *read, "is not the join of its parts")?;
            let _ = read.novel(&seen);
            Ok(())
        })
    }

    /// What a table sends: all of it, or what is missing. Whatever is taken of it can be sent on, and comes to the same.
    fn tables<E: Existence>(&mut self) -> Result<(), String> {
        let [table, half] = table::<E>(self.random)?;
        let to = table.cut().clone();
        let empty = Table::<u64, E>::new(ActorId(9));
        let sent = |table: &Table<u64, E>| (table.whole(), table.whole_size());
        let all = table.whole();
        let delta = table.delta(&VersionVector::default()).unwrap_or_else(|| all.clone());
        let late = table.delta(half.cut()).unwrap_or_else(|| delta.clone());
        for (base, valid) in [(&empty, [&all[..], &delta[..]]), (&half, [&late[..], &all[..]])] {
            let of = |mut read: Table<u64, E>, bytes: &[u8]| read.merge(bytes, &to).map(|_| read);
            // A copy of what is there already is not counted.
            let copies = RefCell::new(vec![base.clone(); 2 + DAMAGED]);
            let copy = || copies.borrow_mut().pop().unwrap_or_else(|| base.clone());
            let decoder = Decoder {
                name: "crdt/table",
                factor: ROWS,
                decode: |bytes: &[u8]| of(copy(), bytes).map(|read| (read, bytes.to_vec())),
                encode: |(_, bytes): &(Table<u64, E>, Vec<u8>)| bytes.clone(),
            };
            self.of(&decoder, valid, |(read, _)| {
                let on = of(empty.clone(), &read.whole())
                    .map_err(|error| format!("is taken, and not passed on: {error}"))?;
                holds(on.digest() == read.digest(), "is passed on as another state")?;
                holds(sent(&on) == sent(read), "is passed on as something else")?;
                let mut here = table.clone();
                here.merge(&read.whole(), &to).map_err(|error| format!("is passed on to nobody: {error}"))?;
                let writes = |table: &Table<u64, E>| table.cut().clone();
                holds(writes(&here) == to && writes(read) == to, "brings writes beyond its cut")
            })?;
        }
        Ok(())
    }

    /// A row alone, and what went of one.
    fn rows(&mut self) -> Result<(), String> {
        let [table, _] = table::<EnableWinsFlag>(self.random)?;
        let rows: Vec<Row> = table.iter().map(|(_, row)| row.clone()).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let encode = |row: &Row| {
            let mut bytes = Vec::new();
            row.put(&mut bytes);
            bytes
        };
        let decode = |bytes: &[u8]| whole::<Row, DecodeError>(bytes, Row::take);
        let (one, other) = (self.random.pick(&rows).clone(), self.random.pick(&rows).clone());
        let decoder = Decoder { name: "crdt/row", factor: ROWS, decode, encode };
        let seen = context(self.random);
        self.of(&decoder, [&encode(&one), &encode(&other)], |read| {
            let mut row = one.clone();
            row.merge(&seen, read, Theirs::Whole(&seen));
            row.merge(&seen, &one, Theirs::Part(&[]));
            holds(decode(&encode(&row)) == Ok(row), "is merged to what has no bytes")?;
            holds(decode(&encode(&read.unseen(&seen))) == Ok(read.unseen(&seen)), "has a part without bytes")
        })
    }

    fn messages(&mut self) -> Result<(), String> {
        let message = |random: &mut Random| {
            let stream = StreamId { life: number(random), number: number(random) };
            let number = number(random);
            match random.below(6) {
                0 => Message::Ack { stream, number },
                1 => Message::Missing { stream, number },
                2 => Message::Restored { life: number },
                3 => Message::Delta {
                    stream,
                    number: number.max(1),
                    after: number.max(1) - 1,
                    to: cut(random),
                    is_whole: random.one_in(2),
                    body: vec![7; random.below(9)],
                },
                4 => Message::Forgotten { life: number },
                _ => {
                    let (began, to, digest) = (number, few(random), random.number());
                    Message::Ask { stream, began, to, cut: cut(random), digest }
                }
            }
        };
        let valid = [message(self.random).encode(), message(self.random).encode()];
        let decoder =
            Decoder { name: "crdt/message", factor: USUAL, decode: Message::decode, encode: Message::encode };
        self.of(&decoder, [&valid[0], &valid[1]], |_| Ok(()))?;

        let encode = |operation: &Operation| {
            let mut bytes = Vec::new();
            operation.write(&mut bytes);
            bytes
        };
        let decode = |bytes: &[u8]| whole(bytes, |reader: &mut Reader<'_>| Operation::read(reader));
        let member = |actor| {
            CausalBroadcast::<String>::new(ActorId(actor), (1..=3).map(ActorId), BroadcastLimits::default())
        };
        let (mut ann, mut bob, mut sent) = (member(1), member(2), Vec::new());
        for step in 0..2 + self.random.below(6) {
            let (one, two) = if self.random.one_in(2) { (&mut ann, &mut bob) } else { (&mut bob, &mut ann) };
            let operation = one.send("x".repeat(step)).map_err(|error| error.to_string())?;
            two.receive(operation.clone()).map_err(|error| error.to_string())?;
            sent.push(operation);
        }
        let valid = [encode(self.random.pick(&sent)), encode(self.random.pick(&sent))];
        let decoder = Decoder { name: "crdt/operation", factor: USUAL, decode, encode };
        self.of(&decoder, [&valid[0], &valid[1]], |read| {
            let mut cleo = member(3);
            let _ = cleo.receive(read.clone());
            for operation in &sent {
                let _ = cleo.receive(operation.clone());
            }
            holds(cleo.delivered().last(ActorId(3)) == 0, "makes an operation of somebody else's")
        })
    }
}

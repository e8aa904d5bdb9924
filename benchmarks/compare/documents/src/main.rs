//! One increment of a counter on the wire and in time, and a hundred counters brought to another: Deltaic beside automerge and
//! loro, in turns.
//!
//! Invariant: every round each contestant has fresh state and a turn, and what the other one then has is checked.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::cast_precision_loss, reason = "small counts")]

use std::hint::black_box;
use std::time::Instant;

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ROOT, ReadDoc as _, ScalarValue};
use deltaic_causality::ActorId;
use deltaic_crdt::{Plain, PnCounter, Replica, State};
use loro::{ExportMode, LoroDoc};

/// Increments of the value before the one whose bytes are counted.
const BEFORE: u64 = 99;
const TIMED: u64 = 1_000;
const VALUES: u64 = 100;
const ROUNDS: usize = 15;

/// What a turn gives.
struct Turn {
    /// Bytes of one increment as it is sent.
    increment: usize,
    /// Nanoseconds of an increment with what others get of it, as bytes.
    nanos: f64,
    /// Bytes of a hundred values that were incremented once each.
    hundred: usize,
    /// Microseconds to write those, and to take them in at another that had all before.
    micros: f64,
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begun = Instant::now();
    let result = black_box(work());
    (result, begun.elapsed().as_nanos() as f64)
}

fn names() -> Vec<String> {
    (0..VALUES).map(|value| format!("votes {value}")).collect()
}

fn ours() -> Turn {
    let mut votes = Replica::<String, Plain<PnCounter>>::new(ActorId(1));
    let name = "votes".to_owned();
    let mut increment = || {
        let before = votes.cut().clone();
        votes.write(&name, |counter, dot| counter.increment(dot, 1)).expect("the dot is new");
        votes.delta(&before).expect("nothing was trimmed")
    };
    for _ in 0..BEFORE {
        increment();
    }
    let bytes = increment().len();
    let (_, nanos) = timed(|| (0..TIMED).for_each(|_| drop(black_box(increment()))));
    let value = votes.get(&name).map(|counter| counter.value());
    assert_eq!(value, Some(i128::from(BEFORE + 1 + TIMED)));

    let names = names();
    let mut own = Replica::<String, Plain<PnCounter>>::new(ActorId(1));
    let mut other = Replica::<String, Plain<PnCounter>>::new(ActorId(2));
    let round = |own: &mut Replica<String, Plain<PnCounter>>| {
        for name in &names {
            own.write(name, |counter, dot| counter.increment(dot, 1)).expect("the dot is new");
        }
    };
    round(&mut own);
    other.merge(&own.delta(other.cut()).expect("nothing was trimmed"), own.cut()).expect("it is a delta");
    round(&mut own);
    let (sent, micros) = timed(|| {
        let sent = own.delta(other.cut()).expect("nothing was trimmed");
        other.merge(&sent, own.cut()).expect("it is a delta");
        sent
    });
    let total: i128 = names.iter().filter_map(|name| other.get(name)).map(|counter| counter.value()).sum();
    assert_eq!(total, i128::from(2 * VALUES));
    Turn { increment: bytes, nanos: nanos / TIMED as f64, hundred: sent.len(), micros: micros / 1e3 }
}

fn automerge() -> Turn {
    let mut doc = AutoCommit::new();
    doc.put(ROOT, "votes", ScalarValue::counter(0)).expect("a document takes a counter");
    doc.commit();
    let increment = |doc: &mut AutoCommit| {
        doc.increment(ROOT, "votes", 1).expect("it is a counter");
        doc.commit();
        doc.get_last_local_change().expect("it was just made").raw_bytes().to_vec()
    };
    for _ in 0..BEFORE {
        increment(&mut doc);
    }
    let bytes = increment(&mut doc).len();
    let (_, nanos) = timed(|| (0..TIMED).for_each(|_| drop(black_box(increment(&mut doc)))));

    let names = names();
    let mut own = AutoCommit::new();
    for name in &names {
        own.put(ROOT, name.as_str(), ScalarValue::counter(1)).expect("a document takes a counter");
    }
    let mut other = AutoCommit::load(&own.save()).expect("it was saved here");
    let heads = other.get_heads();
    for name in &names {
        own.increment(ROOT, name.as_str(), 1).expect("it is a counter");
    }
    own.commit();
    let (sent, micros) = timed(|| {
        let sent = own.save_after(&heads);
        other.load_incremental(&sent).expect("it was saved here");
        sent
    });
    let total: i64 = names
        .iter()
        .filter_map(|name| other.get(ROOT, name.as_str()).expect("the root is there"))
        .filter_map(|(value, _)| value.as_i64())
        .sum();
    assert_eq!(total, 2 * VALUES.cast_signed());
    Turn { increment: bytes, nanos: nanos / TIMED as f64, hundred: sent.len(), micros: micros / 1e3 }
}

fn loro() -> Turn {
    let doc = LoroDoc::new();
    let counter = doc.get_counter("votes");
    let increment = || {
        let before = doc.oplog_vv();
        counter.increment(1.0).expect("it is attached");
        doc.commit();
        doc.export(ExportMode::updates(&before)).expect("it is there")
    };
    for _ in 0..BEFORE {
        increment();
    }
    let bytes = increment().len();
    let (_, nanos) = timed(|| (0..TIMED).for_each(|_| drop(black_box(increment()))));

    let names = names();
    let (own, other) = (LoroDoc::new(), LoroDoc::new());
    let round = || {
        for name in &names {
            own.get_counter(name.as_str()).increment(1.0).expect("it is attached");
        }
        own.commit();
    };
    round();
    other.import(&own.export(ExportMode::all_updates()).expect("it is there")).expect("it was exported here");
    round();
    let known = other.oplog_vv();
    let (sent, micros) = timed(|| {
        let sent = own.export(ExportMode::updates(&known)).expect("it is there");
        other.import(&sent).expect("it was exported here");
        sent
    });
    let total: f64 = names.iter().map(|name| other.get_counter(name.as_str()).get()).sum();
    assert!((total - 2.0 * VALUES as f64).abs() < 0.5);
    Turn { increment: bytes, nanos: nanos / TIMED as f64, hundred: sent.len(), micros: micros / 1e3 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let contestants: [(&str, fn() -> Turn); 3] =
        [("Deltaic", ours), ("automerge 0.12", automerge), ("loro 1.17", loro)];
    let mut turns: Vec<Vec<Turn>> = contestants.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((_, turn), turns) in contestants.iter().zip(&mut turns) {
            turns.push(turn());
        }
    }
    println!(
        "| | one increment | an increment, written | {VALUES} values, one increment each | written, read and merged |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for ((name, _), turns) in contestants.iter().zip(&turns) {
        let last = turns.last().expect("there are rounds");
        let nanos = median(turns.iter().map(|turn| turn.nanos).collect());
        let micros = median(turns.iter().map(|turn| turn.micros).collect());
        println!("| {name} | {} B | {nanos:.0} ns | {} B | {micros:.0} us |", last.increment, last.hundred);
    }
}

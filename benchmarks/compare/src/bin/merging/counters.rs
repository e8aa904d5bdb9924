//! Counters: increments with what is to be sent of them, and the merge of two.

use crdts::{CmRDT, CvRDT};
use deltaic_causality::{ActorId, Dot};
use deltaic_crdt::{Crdt, GCounter, Plain, PnCounter, Replica};
use std::hint::black_box;
use std::sync::Arc;
use yrs::{Doc, Map as _, Out, ReadTxn, Transact};

use crate::case::{Case, Contestant, contestant, sum};

fn dot(actor: u64, seq: u64) -> Dot {
    Dot { actor: ActorId(actor), seq }
}

/// Each actor in turn adds one; the delta, operation or update that others would get is made too.
pub fn increments(actors: u64, quick: bool) -> Case {
    let count = if quick { 1 << 12 } else { 1 << 17 };
    let few = count >> 5;
    let each = move |count: u64| (0..count).map(move |number| (1 + number % actors, 1 + number / actors));
    let contestants: Vec<Contestant> = vec![
        contestant("Deltaic `PnCounter`", move |watch| {
            let mut counter = PnCounter::default();
            watch.time(|| {
                for (actor, seq) in each(count) {
                    black_box(counter.increment(dot(actor, seq), 1).expect("the dot is new"));
                }
            });
            sum(count as usize, u64::from(counter.value() == i128::from(count)))
        }),
        contestant("Deltaic `GCounter`", move |watch| {
            let mut counter = GCounter::default();
            watch.time(|| {
                for (actor, seq) in each(count) {
                    black_box(counter.increment(dot(actor, seq), 1).expect("the dot is new"));
                }
            });
            sum(count as usize, u64::from(counter.value() == u128::from(count)))
        }),
        contestant("Deltaic `PnCounter`, and the delta's bytes", move |watch| {
            let mut counter = PnCounter::default();
            watch.time(|| {
                let mut bytes = Vec::new();
                for (actor, seq) in each(count) {
                    bytes.clear();
                    counter.increment(dot(actor, seq), 1).expect("the dot is new").write(&mut bytes);
                    black_box(&bytes);
                }
            });
            sum(count as usize, u64::from(counter.value() == i128::from(count)))
        }),
        contestant("Deltaic `Replica`, by a key", move |watch| {
            let mut replicas: Vec<Replica<u64, Plain<PnCounter>>> =
                (1..=actors).map(|actor| Replica::new(ActorId(actor))).collect();
            watch.time(|| {
                for (actor, _) in each(few) {
                    let replica = &mut replicas[actor as usize - 1];
                    let delta = replica.write(&7, |counter, dot| counter.increment(dot, 1));
                    black_box(delta.expect("the dot is new"));
                }
            });
            let all: i128 =
                replicas.iter().filter_map(|replica| replica.get(&7)).map(|own| own.value()).sum();
            sum(few as usize, u64::from(all == i128::from(few)))
        }),
        contestant("crdts `PNCounter`, `inc` and `apply`", move |watch| {
            let mut counter = crdts::PNCounter::<u64>::new();
            watch.time(|| {
                for (actor, _) in each(count) {
                    let operation = counter.inc(actor);
                    counter.apply(operation.clone());
                    black_box(operation);
                }
            });
            sum(count as usize, u64::from(counter.read() == count.into()))
        }),
        contestant("crdts `GCounter`, `inc` and `apply`", move |watch| {
            let mut counter = crdts::GCounter::<u64>::new();
            watch.time(|| {
                for (actor, _) in each(count) {
                    let operation = counter.inc(actor);
                    counter.apply(operation);
                    black_box(operation);
                }
            });
            sum(count as usize, u64::from(counter.read() == count.into()))
        }),
        contestant("yrs, an actor's total put in a map, and its update", move |watch| {
            let doc = Doc::with_client_id(1);
            let map = doc.get_or_insert_map("totals");
            let names: Vec<Arc<str>> = (0..=actors).map(|actor| actor.to_string().into()).collect();
            watch.time(|| {
                for (actor, seq) in each(few) {
                    let mut transaction = doc.transact_mut();
                    map.insert(&mut transaction, Arc::clone(&names[actor as usize]), seq as f64);
                    black_box(transaction.encode_update_v1());
                }
            });
            let transaction = doc.transact();
            let total = |out: Out| f64::try_from(out).map_or(0, |total| total as u64);
            let all: u64 = map.iter(&transaction).map(|(_, out)| total(out)).sum();
            black_box(transaction.state_vector());
            sum(few as usize, u64::from(all == few))
        }),
    ];
    let aim = Some(100.0);
    let label = format!("increment, {actors} {}", if actors == 1 { "actor" } else { "actors" });
    Case { label, unit: "an increment", aim, contestants }
}

/// A counter of 64 actors takes in another, of which every second actor is ahead.
pub fn merges(quick: bool) -> Case {
    let count = if quick { 64 } else { 4_096 };
    let ours = |ahead: u64| {
        let mut counter = PnCounter::default();
        for actor in 0..64 {
            let seq = 1_000 + actor % 2 * ahead;
            counter.increment(dot(actor, seq), seq).expect("the dot is new");
        }
        counter
    };
    let theirs = |ahead: u64| {
        let mut counter = crdts::PNCounter::<u64>::new();
        for actor in 0..64 {
            counter.apply(counter.inc_many(actor, 1_000 + actor % 2 * ahead));
        }
        counter
    };
    let contestants = vec![
        contestant("Deltaic `PnCounter`", move |watch| {
            let other = ours(5);
            let mut counters = vec![ours(0); count];
            watch.time(|| counters.iter_mut().for_each(|counter| counter.join(black_box(&other))));
            sum(count, counters.iter().map(|counter| counter.value() as u64).sum())
        }),
        contestant("Deltaic `PnCounter`, with its bytes read", move |watch| {
            let bytes = ours(5).encode();
            let mut counters = vec![ours(0); count];
            watch.time(|| {
                for counter in &mut counters {
                    counter.join(&PnCounter::decode(black_box(&bytes)).expect("it was written"));
                }
            });
            sum(count, counters.iter().map(|counter| counter.value() as u64).sum())
        }),
        contestant("crdts `PNCounter`, `merge` alone", move |watch| {
            let others = vec![theirs(5); count];
            let mut counters = vec![theirs(0); count];
            watch.time(|| {
                for (counter, other) in counters.iter_mut().zip(others) {
                    counter.merge(other);
                }
            });
            let value = |counter: &crdts::PNCounter<u64>| u64::try_from(counter.read()).unwrap_or(0);
            sum(count, counters.iter().map(value).sum())
        }),
        contestant("crdts `PNCounter`, `clone` and `merge`", move |watch| {
            let other = theirs(5);
            let mut counters = vec![theirs(0); count];
            watch.time(|| counters.iter_mut().for_each(|counter| counter.merge(other.clone())));
            let value = |counter: &crdts::PNCounter<u64>| u64::try_from(counter.read()).unwrap_or(0);
            sum(count, counters.iter().map(value).sum())
        }),
        contestant("crdts `PNCounter`, with its bytes read (postcard)", move |watch| {
            let bytes = postcard::to_allocvec(&theirs(5)).expect("it is written");
            let mut counters = vec![theirs(0); count];
            watch.time(|| {
                for counter in &mut counters {
                    counter.merge(postcard::from_bytes(black_box(&bytes)).expect("it was written"));
                }
            });
            let value = |counter: &crdts::PNCounter<u64>| u64::try_from(counter.read()).unwrap_or(0);
            sum(count, counters.iter().map(value).sum())
        }),
    ];
    Case { label: "counters of 64 actors".to_owned(), unit: "a merge", aim: None, contestants }
}

//! A whole round of anti-entropy: values that changed at one replica come to another, with every byte encoded and decoded.
//!
//! Invariant: the two have the same values after each turn, whoever brought them.

use std::sync::Arc;

use crdts::{CmRDT, CvRDT};
use deltaic_causality::{ActorId, VersionVector};
use deltaic_crdt::anti_entropy::{Effect, Input, Micros, Settings};
use deltaic_crdt::{AntiEntropy, Plain, PnCounter, Replica, State};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, Map as _, MapRef, ReadTxn, StateVector, Transact, Update};

use crate::case::{Case, Watch, contestant, sum};

/// Values of each side, whether they change or not, and actors that have written to each.
const VALUES: u64 = 1_000;
const ACTORS: u64 = 8;

type Values = Replica<u64, Plain<PnCounter>>;

/// Two replicas with their anti-entropy, and nothing between them that loses.
struct Pair {
    now: u64,
    sides: [(AntiEntropy, Values); 2],
}

impl Pair {
    fn new() -> Self {
        let mut sides = [1, 2].map(|actor| Values::new(ActorId(actor)));
        for actor in 10..10 + ACTORS {
            let mut other = Values::new(ActorId(actor));
            for key in 0..VALUES {
                other.write(&key, |counter, dot| counter.increment(dot, 1_000)).expect("the dot is new");
            }
            let delta = other.delta(&VersionVector::default()).expect("nothing was trimmed");
            for side in &mut sides {
                side.merge(&delta, other.cut()).expect("it is a delta");
            }
        }
        let settings = Settings::default();
        let sides = sides.map(|side| (AntiEntropy::new(side.actor(), 1, &side, settings), side));
        let mut pair = Self { now: 0, sides };
        pair.exchange(0, Input::Join(ActorId(2)));
        pair.exchange(1, Input::Join(ActorId(1)));
        // Until nothing is asked any more but by the clock.
        for _ in 0..20 {
            pair.now += settings.most_interval;
            pair.exchange(0, Input::Tick);
            pair.exchange(1, Input::Tick);
        }
        pair
    }

    /// An input, and all that follows from it.
    fn exchange(&mut self, place: usize, input: Input) {
        let mut inputs = vec![(place, input)];
        while let Some((place, input)) = inputs.pop() {
            let (sync, values) = &mut self.sides[place];
            let from = values.actor();
            for effect in sync.step(Micros(self.now), input, values) {
                match effect {
                    Effect::Send { bytes, .. } => {
                        inputs.insert(0, (1 - place, Input::Received(from, bytes)));
                    }
                    Effect::Merge { id, to, body, .. } => {
                        values.merge(&body, &to).expect("it is a delta");
                        inputs.push((place, Input::Merged(id)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn write(&mut self, dirty: u64) -> u64 {
        let values = &mut self.sides[0].1;
        for number in 0..dirty {
            let key = number * (VALUES / dirty);
            values.write(&key, |counter, dot| counter.increment(dot, 1)).expect("the dot is new");
        }
        values.cut().last(values.actor())
    }

    /// A round of so many values.
    fn round(&mut self, dirty: u64, watch: &mut Watch) {
        let seq = self.write(dirty);
        self.now += 20_000;
        watch.time(|| self.exchange(0, Input::Wrote(seq)));
        assert!(self.is_same(), "one exchange is enough");
    }

    fn is_same(&self) -> bool {
        self.sides[0].1.cut() == self.sides[1].1.cut() && self.sides[0].1.digest() == self.sides[1].1.digest()
    }
}

fn their_counters() -> Vec<crdts::PNCounter<u64>> {
    let mut counter = crdts::PNCounter::new();
    (10..10 + ACTORS).for_each(|actor| counter.apply(counter.inc_many(actor, 1_000)));
    vec![counter; VALUES as usize]
}

fn document(client: u64) -> (Doc, MapRef) {
    let doc = Doc::with_client_id(client);
    let map = doc.get_or_insert_map("totals");
    (doc, map)
}

fn bring(from: &Doc, to: &Doc) {
    let vector = to.transact().state_vector().encode_v1();
    let vector = StateVector::decode_v1(&vector).expect("it was written");
    let bytes = from.transact().encode_diff_v1(&vector);
    let update = Update::decode_v1(&bytes).expect("it was written");
    to.transact_mut().apply_update(update).expect("it is an update");
}

/// So many of a thousand values have changed.
pub fn of(dirty: u64, quick: bool) -> Case {
    let rounds = if quick { 2 } else { (4_000 / dirty).clamp(8, 100) as usize };
    let operations = rounds;
    let keys = move || (0..dirty).map(move |number| (number * (VALUES / dirty)) as usize);
    let mut pair = Pair::new();
    let contestants = vec![
        contestant("Deltaic `AntiEntropy`: delta, acknowledgement", move |watch| {
            (0..rounds).for_each(|_| pair.round(dirty, watch));
            sum(operations, u64::from(pair.is_same()))
        }),
        contestant("crdts, whole `PNCounter`s (postcard)", move |watch| {
            let (mut here, mut there) = (their_counters(), their_counters());
            for _ in 0..rounds {
                for key in keys() {
                    let operation = here[key].inc(1);
                    here[key].apply(operation);
                }
                watch.time(|| {
                    let changed: Vec<_> = keys().map(|key| (key as u64, &here[key])).collect();
                    let bytes = postcard::to_allocvec(&changed).expect("it is written");
                    let changed: Vec<(u64, crdts::PNCounter<u64>)> =
                        postcard::from_bytes(&bytes).expect("it was written");
                    changed.into_iter().for_each(|(key, counter)| there[key as usize].merge(counter));
                });
            }
            sum(operations, u64::from(here == there))
        }),
        contestant("crdts, operations, kept by somebody (postcard)", move |watch| {
            let (mut here, mut there) = (their_counters(), their_counters());
            for _ in 0..rounds {
                let mut kept = Vec::new();
                for key in keys() {
                    let operation = here[key].inc(1);
                    here[key].apply(operation.clone());
                    kept.push((key as u64, operation));
                }
                watch.time(|| {
                    let bytes = postcard::to_allocvec(&kept).expect("it is written");
                    let kept: Vec<(u64, crdts::pncounter::Op<u64>)> =
                        postcard::from_bytes(&bytes).expect("it was written");
                    kept.into_iter().for_each(|(key, operation)| there[key as usize].apply(operation));
                });
            }
            sum(operations, u64::from(here == there))
        }),
        contestant("yrs, state vector and difference of a map", move |watch| {
            let ((here, map), (there, other)) = (document(1), document(2));
            let names: Vec<Arc<str>> = (0..VALUES).map(|key| key.to_string().into()).collect();
            let put = |value: usize, keys: &mut dyn Iterator<Item = usize>| {
                let mut transaction = here.transact_mut();
                for key in keys {
                    map.insert(&mut transaction, Arc::clone(&names[key]), value as f64);
                }
            };
            put(0, &mut (0..VALUES as usize));
            bring(&here, &there);
            for round in 0..rounds {
                put(round + 1, &mut keys());
                watch.time(|| bring(&here, &there));
            }
            let last = other.get(&there.transact(), &names[0]);
            let is_same = last.and_then(|last| f64::try_from(last).ok()) == Some(rounds as f64);
            sum(operations, u64::from(is_same))
        }),
    ];
    let aim = (dirty == 100).then_some(100_000.0);
    Case { label: format!("{dirty} of {VALUES} values changed"), unit: "a round", aim, contestants }
}

/// The bytes of a round with so many changed values: of the delta, of its message, of all other messages.
pub fn bytes(dirty: u64) -> [usize; 3] {
    let mut pair = Pair::new();
    pair.round(1, &mut Watch::default());
    let before = pair.sides.each_ref().map(|(sync, _)| sync.metrics());
    let seq = pair.write(dirty);
    let body = pair.sides[0].1.delta(pair.sides[1].1.cut()).expect("nothing was trimmed").len();
    pair.now += 20_000;
    pair.exchange(0, Input::Wrote(seq));
    let after = pair.sides.each_ref().map(|(sync, _)| sync.metrics());
    let delta = after[0].delta_bytes - before[0].delta_bytes;
    let other: u64 =
        after.iter().zip(&before).map(|(after, before)| after.other_bytes - before.other_bytes).sum();
    [body, delta as usize, other as usize]
}

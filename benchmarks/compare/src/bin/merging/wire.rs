//! One update on its way: its bytes, by who writes it.

use std::sync::Arc;

use crdts::{CmRDT, MVReg};
use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_crdt::{Crdt, GCounter, LwwRegister, PnCounter};
use yrs::{Doc, Map as _, Transact};

use crate::rounds;

fn packed<T: serde::Serialize>(value: &T) -> usize {
    postcard::to_allocvec(value).map_or(0, |bytes| bytes.len())
}

/// Writes of a value that has been written a hundred times by the same actor.
pub fn table() -> String {
    let mut rows: Vec<(&str, usize)> = Vec::new();
    let dot = |seq| Dot { actor: ActorId(1), seq };

    let (mut pn, mut g) = (PnCounter::default(), GCounter::default());
    for seq in 1..100 {
        pn.increment(dot(seq), 1).expect("the dot is new");
        g.increment(dot(seq), 1).expect("the dot is new");
    }
    let delta = pn.increment(dot(100), 1).expect("the dot is new");
    rows.push(("Deltaic `PnCounter`, the delta of an increment", delta.encode().len()));
    let delta = g.increment(dot(100), 1).expect("the dot is new");
    rows.push(("Deltaic `GCounter`, the delta of an increment", delta.encode().len()));
    let [body, message, other] = rounds::bytes(1);
    rows.push(("Deltaic `Replica`, the same with its key and its writes' names", body));
    rows.push(("Deltaic `AntiEntropy`, the message around it", message));
    rows.push(("Deltaic `AntiEntropy`, its acknowledgement", other));
    let [_, message, _] = rounds::bytes(100);
    rows.push(("Deltaic `AntiEntropy`, the message of 100 increments of as many values", message));

    let mut counter = crdts::PNCounter::<u64>::new();
    counter.apply(counter.inc_many(1, 99));
    let operation = counter.inc(1);
    rows.push(("crdts `PNCounter`, an operation (postcard)", packed(&operation)));
    counter.apply(operation);
    rows.push(("crdts `PNCounter`, the whole of it, one actor (postcard)", packed(&counter)));
    (2..65).for_each(|actor| counter.apply(counter.inc_many(actor, 100)));
    rows.push(("crdts `PNCounter`, the whole of it, 64 actors (postcard)", packed(&counter)));

    let mut register = LwwRegister::<u64>::default();
    // A time of today, whose bytes are all there.
    let time = HybridTime::new(1_790_000_000_000, 0);
    let delta = register.set(dot(100), time, 7).expect("the dot is new");
    rows.push(("Deltaic `LwwRegister`, a number put", delta.encode().len()));
    let mut map = crdts::Map::<u64, MVReg<u64, u64>, u64>::new();
    for _ in 0..100 {
        let context = map.read_ctx().derive_add_ctx(1);
        map.apply(map.update(7_u64, context, |own, context| own.write(7, context)));
    }
    let context = map.read_ctx().derive_add_ctx(1);
    let operation = map.update(7_u64, context, |own, context| own.write(7, context));
    rows.push(("crdts `Map` of `MVReg`, an operation (postcard)", packed(&operation)));

    let doc = Doc::with_client_id(1);
    let totals = doc.get_or_insert_map("m");
    let key: Arc<str> = "7".into();
    for total in 0..100 {
        totals.insert(&mut doc.transact_mut(), Arc::clone(&key), f64::from(total));
    }
    let mut transaction = doc.transact_mut();
    totals.insert(&mut transaction, key, 100.0);
    rows.push(("yrs map, a number put over another, client 1", transaction.encode_update_v1().len()));
    drop(transaction);
    let doc = Doc::new();
    let totals = doc.get_or_insert_map("m");
    totals.insert(&mut doc.transact_mut(), "7", 99.0);
    let mut transaction = doc.transact_mut();
    totals.insert(&mut transaction, "7", 100.0);
    rows.push(("yrs map, the same, a client of its own choice", transaction.encode_update_v1().len()));

    let mut text = "| one update on the wire | bytes |\n| --- | --- |\n".to_owned();
    for (name, bytes) in rows {
        text += &format!("| {name} | {bytes} |\n");
    }
    text
}

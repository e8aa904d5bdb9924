//! Sets and maps of registers: what is put into them and taken out, one at a time.

use std::hint::black_box;
use std::sync::Arc;

use crdts::{CmRDT, MVReg, Orswot};
use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_crdt::{AddWinsSet, Causal, EnableWinsFlag, LwwRegister, Map, MvRegister, Plain, Replica};
use yrs::{Doc, Map as _, Transact};

use crate::case::{Case, Contestant, contestant, sum};

const ACTOR: u64 = 1;

fn dot(seq: usize) -> Dot {
    Dot { actor: ActorId(ACTOR), seq: seq as u64 }
}

/// Spread over the order, the same for all.
fn element(number: usize) -> u64 {
    (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

fn our_set(count: usize) -> Causal<AddWinsSet<u64>> {
    let mut set = Causal::<AddWinsSet<u64>>::default();
    for number in 0..count {
        set.add(dot(number + 1), element(number)).expect("the dot is new");
    }
    set
}

fn their_set(count: usize) -> Orswot<u64, u64> {
    let mut set = Orswot::new();
    for number in 0..count {
        set.apply(set.add(element(number), set.read_ctx().derive_add_ctx(ACTOR)));
    }
    set
}

fn names(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|number| element(number).to_string().into()).collect()
}

/// Elements are added to an empty set, or removed from a full one; each with its delta, operation or update.
pub fn sets(removes: bool, quick: bool) -> Case {
    let count = if quick { 256 } else { 10_000 };
    let contestants = vec![
        contestant("Deltaic `Causal<AddWinsSet>`", move |watch| {
            let mut set = our_set(if removes { count } else { 0 });
            watch.time(|| {
                for number in 0..count {
                    let delta = if removes {
                        set.remove(dot(count + number + 1), &element(number))
                    } else {
                        set.add(dot(number + 1), element(number))
                    };
                    black_box(delta.expect("the dot is new"));
                }
            });
            sum(count, set.len() as u64)
        }),
        contestant("Deltaic `Replica`, an element a key", move |watch| {
            let mut replica = Replica::<u64, EnableWinsFlag>::new(ActorId(ACTOR));
            let add = |replica: &mut Replica<_, EnableWinsFlag>, number| {
                replica.update(&element(number), EnableWinsFlag::enable).expect("it is new")
            };
            if removes {
                (0..count).for_each(|number| drop(add(&mut replica, number)));
            }
            watch.time(|| {
                for number in 0..count {
                    if removes {
                        let off = replica.update(&element(number), EnableWinsFlag::disable);
                        black_box(off.expect("it is new"));
                    } else {
                        black_box(add(&mut replica, number));
                    }
                }
            });
            sum(count, replica.iter().filter(|(_, flag)| flag.is_enabled()).count() as u64)
        }),
        contestant("crdts `Orswot`", move |watch| {
            let mut set = their_set(if removes { count } else { 0 });
            watch.time(|| {
                for number in 0..count {
                    let element = element(number);
                    let operation = if removes {
                        set.rm(element, set.contains(&element).derive_rm_ctx())
                    } else {
                        set.add(element, set.read_ctx().derive_add_ctx(ACTOR))
                    };
                    set.apply(operation.clone());
                    black_box(operation);
                }
            });
            sum(count, set.read().val.len() as u64)
        }),
        contestant("yrs map, a transaction and its update each", move |watch| {
            let (names, doc) = (names(count), Doc::with_client_id(ACTOR));
            let map = doc.get_or_insert_map("set");
            if removes {
                let mut transaction = doc.transact_mut();
                for name in &names {
                    map.insert(&mut transaction, Arc::clone(name), true);
                }
            }
            watch.time(|| {
                for name in &names {
                    let mut transaction = doc.transact_mut();
                    if removes {
                        black_box(map.remove(&mut transaction, name));
                    } else {
                        map.insert(&mut transaction, Arc::clone(name), true);
                    }
                    black_box(transaction.encode_update_v1());
                }
            });
            sum(count, u64::from(map.len(&doc.transact())))
        }),
    ];
    let label = format!("{count} elements {}", if removes { "removed" } else { "added" });
    Case { label, unit: "an element", aim: None, contestants }
}

/// One more element in a set that is a single value of a replica, which encodes the value at each write.
pub fn one_large_value(quick: bool) -> Case {
    let writes = if quick { 4 } else { 64 };
    let one = |size: usize| {
        let mut replica = Replica::<u64, AddWinsSet<u64>>::new(ActorId(ACTOR));
        // All of it in one delta, as each write costs what is there.
        let set = our_set(size);
        let mut body = vec![0, 1];
        deltaic_crdt::Element::write(&7_u64, &mut body);
        deltaic_types::codec::write_u64(&mut body, 1);
        dot(size).write(&mut body);
        deltaic_types::codec::write_u64(&mut body, 0);
        deltaic_crdt::DotStore::write(set.store(), &mut body);
        let to = [dot(size)].into_iter().collect();
        replica.merge(&body, &to).expect("it is a delta");
        assert_eq!(replica.get(&7).map(AddWinsSet::len), Some(size));
        contestant(format!("Deltaic `Replica`, {size} elements in one value"), move |watch| {
            let mut replica = replica.clone();
            watch.time(|| {
                for number in 0..writes {
                    let delta =
                        replica.update(&7, |set, seen, dot| set.add(seen, dot, element(size + number)));
                    black_box(delta.expect("the dot is new"));
                }
            });
            sum(writes, writes as u64)
        })
    };
    let contestants: Vec<Contestant> = [10, 100, 1_000, 10_000].map(one).into();
    Case { label: "one more element".to_owned(), unit: "an element", aim: None, contestants }
}

/// Registers by key: 20,000 keys are put once each.
pub fn registers(quick: bool) -> Case {
    let count = if quick { 256 } else { 20_000 };
    let contestants = vec![
        contestant("Deltaic `Replica` of `LwwRegister`", move |watch| {
            let mut replica = Replica::<u64, Plain<LwwRegister<u64>>>::new(ActorId(ACTOR));
            watch.time(|| {
                for number in 0..count {
                    let time = HybridTime(number as u64 + 1);
                    let delta = replica.write(&element(number), |own, dot| own.set(dot, time, number as u64));
                    black_box(delta.expect("the dot is new"));
                }
            });
            sum(count, replica.iter().count() as u64)
        }),
        contestant("Deltaic `Causal<Map>` of `MvRegister`", move |watch| {
            let mut map = Causal::<Map<u64, MvRegister<u64>>>::default();
            watch.time(|| {
                for number in 0..count {
                    let put = map.apply(|map, seen| {
                        map.update(element(number), |own| own.set(seen, dot(number + 1), number as u64))
                    });
                    black_box(put.expect("the dot is new"));
                }
            });
            sum(count, map.len() as u64)
        }),
        contestant("crdts `Map` of `MVReg`", move |watch| {
            let mut map = crdts::Map::<u64, MVReg<u64, u64>, u64>::new();
            watch.time(|| {
                for number in 0..count {
                    let context = map.read_ctx().derive_add_ctx(ACTOR);
                    let put = map
                        .update(element(number), context, |own, context| own.write(number as u64, context));
                    map.apply(put.clone());
                    black_box(put);
                }
            });
            sum(count, map.len().val as u64)
        }),
        contestant("yrs map, one transaction", move |watch| {
            let (names, doc) = (names(count), Doc::with_client_id(ACTOR));
            let map = doc.get_or_insert_map("map");
            watch.time(|| {
                let mut transaction = doc.transact_mut();
                for (number, name) in names.iter().enumerate() {
                    map.insert(&mut transaction, Arc::clone(name), number as f64);
                }
                black_box(transaction.encode_update_v1());
            });
            sum(count, u64::from(map.len(&doc.transact())))
        }),
        contestant("yrs map, a transaction and its update each", move |watch| {
            let (names, doc) = (names(count), Doc::with_client_id(ACTOR));
            let map = doc.get_or_insert_map("map");
            watch.time(|| {
                for (number, name) in names.iter().enumerate() {
                    let mut transaction = doc.transact_mut();
                    map.insert(&mut transaction, Arc::clone(name), number as f64);
                    black_box(transaction.encode_update_v1());
                }
            });
            sum(count, u64::from(map.len(&doc.transact())))
        }),
    ];
    Case { label: format!("{count} keys put"), unit: "a put", aim: None, contestants }
}

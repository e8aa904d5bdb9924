//! What is held in memory: bytes of a replica, a value, an actor, a further write and a removal, as asked of the allocator.

use std::sync::Arc;

use crdts::{CmRDT, MVReg};
use deltaic_causality::{ActorId, Dot, HybridTime};
use deltaic_crdt::anti_entropy::{Input, Micros, Settings};
use deltaic_crdt::{AntiEntropy, EnableWinsFlag, LwwRegister, Plain, PnCounter, Replica, State};
use yrs::{Doc, Map as _, Transact};

use crate::counting::counted;

const CELLS: u64 = 10_000;

fn held<T>(work: impl FnOnce() -> T) -> (T, i64) {
    let (result, _, bytes) = counted(work);
    (result, bytes)
}

/// The size itself too, where something is held in a place of its own.
fn boxed<T>(work: impl FnOnce() -> T) -> i64 {
    held(|| Box::new(work())).1
}

type Cells = Replica<u64, Plain<LwwRegister<u64>>>;

fn put(cells: &mut Cells, round: u64) {
    for key in 0..CELLS {
        let time = HybridTime(round * CELLS + key + 1);
        cells.write(&key, |cell, dot| cell.set(dot, time, round)).expect("the dot is new");
    }
}

/// All lines.
pub fn table() -> String {
    let each = |bytes: i64| bytes as f64 / CELLS as f64;
    let mut rows: Vec<(&str, f64)> = Vec::new();

    rows.push(("Deltaic `Replica`, empty", boxed(|| Cells::new(ActorId(1))) as f64));
    let (mut cells, first) = held(|| {
        let mut cells = Cells::new(ActorId(1));
        put(&mut cells, 1);
        cells
    });
    rows.push(("Deltaic `Replica`, a cell: key, `LwwRegister` of a number, index", each(first)));
    rows.push(("the same, a second write of each cell", each(held(|| put(&mut cells, 2)).1)));
    let mut other = Cells::new(ActorId(2));
    other.merge(&cells.delta(other.cut()).expect("nothing was trimmed"), cells.cut()).expect("it is a delta");
    put(&mut other, 3);
    let delta = other.delta(cells.cut()).expect("nothing was trimmed");
    let merged = held(|| cells.merge(&delta, other.cut()).expect("it is a delta")).1;
    rows.push(("the same, a write of each cell by a second actor", each(merged)));

    let (mut counter, one) = held(|| {
        let mut counter = PnCounter::default();
        counter.increment(Dot { actor: ActorId(0), seq: 1 }, 1).expect("the dot is new");
        counter
    });
    rows.push(("Deltaic `PnCounter` outside a replica, the first actor, on the heap", one as f64));
    let more = held(|| {
        for actor in 1..1_024 {
            counter.increment(Dot { actor: ActorId(actor), seq: 1 }, 1).expect("the dot is new");
        }
    });
    rows.push(("the same, each of 1,024 actors", (one + more.1) as f64 / 1_024.0));

    let mut flags = Replica::<u64, EnableWinsFlag>::new(ActorId(1));
    let on = held(|| {
        for key in 0..CELLS {
            flags.update(&key, EnableWinsFlag::enable).expect("the dot is new");
        }
    });
    rows.push(("Deltaic `Replica`, an element: key, `EnableWinsFlag`, index", each(on.1)));
    let off = held(|| {
        for key in 0..CELLS {
            flags.update(&key, EnableWinsFlag::disable).expect("the dot is new");
        }
    });
    rows.push(("the same, its removal until every member holds it", each(off.1)));
    let cut = flags.cut().clone();
    rows.push(("the same, its removal after that", each(on.1 + off.1 + held(|| drop(flags.trim(&cut))).1)));

    let mut sync = AntiEntropy::new(ActorId(1), 1, &cells, Settings::default());
    let peers = held(|| {
        for peer in 2..66 {
            drop(sync.step(Micros(0), Input::Join(ActorId(peer)), &cells));
        }
    });
    rows.push(("Deltaic `AntiEntropy`, a peer of 64 that has said nothing", peers.1 as f64 / 64.0));

    let mut map = crdts::Map::<u64, MVReg<u64, u64>, u64>::new();
    let mut puts = |actor| {
        held(|| {
            for key in 0..CELLS {
                let context = map.read_ctx().derive_add_ctx(actor);
                map.apply(map.update(key, context, |own, context| own.write(1, context)));
            }
        })
    };
    rows.push(("crdts `Map` of `MVReg`, a cell", each(puts(1).1)));
    rows.push(("the same, a second write of each cell", each(puts(1).1)));
    rows.push(("the same, a write of each cell by a second actor", each(puts(2).1)));

    let names: Vec<Arc<str>> = (0..CELLS).map(|key| key.to_string().into()).collect();
    rows.push(("yrs document, empty", boxed(|| Doc::with_client_id(1)) as f64));
    let doc = Doc::with_client_id(1);
    let map = doc.get_or_insert_map("map");
    let puts = |value: f64| {
        held(|| {
            for name in &names {
                map.insert(&mut doc.transact_mut(), Arc::clone(name), value);
            }
        })
    };
    rows.push(("yrs map, a cell, its name not counted", each(puts(1.0).1)));
    rows.push(("the same, a second write of each cell", each(puts(2.0).1)));

    let mut text = format!("| held in memory, of {CELLS} | bytes |\n| --- | --- |\n");
    for (name, bytes) in rows {
        text += &format!("| {name} | {bytes:.1} |\n");
    }
    text
}

//! Inputs that once found something, and must not again: `tests/corpus/`, a folder a decoder, a line an input.
//!
//! Invariant of each: no panic, little memory, and refused or written again as it came. New ones come from
//! `cargo run -p deltaic-simulation -- mutate`.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

#[path = "../../types/tests/inputs/mod.rs"]
mod inputs;

use deltaic_causality::{ActorId, Dot, VersionVector};
use deltaic_crdt::anti_entropy;
use deltaic_crdt::*;
use deltaic_types::codec::Reader;

fn value<T: Crdt>(bytes: &[u8]) -> Option<Vec<u8>> {
    T::decode(bytes).ok().map(|value| value.encode())
}

/// A table has no bytes of its own: what it takes of these it can pass on, and it comes to the same state.
fn table(bytes: &[u8]) -> Option<Vec<u8>> {
    let to: VersionVector = (1..=3).map(|actor| Dot { actor: ActorId(actor), seq: 9 }).collect();
    let (mut one, mut two) = (Table::<u64>::new(ActorId(9)), Table::<u64>::new(ActorId(9)));
    one.merge(bytes, &to).ok()?;
    two.merge(&one.whole(), &to).unwrap();
    assert_eq!((two.digest(), two.whole_size()), (one.digest(), one.whole_size()));
    Some(bytes.to_vec())
}

/// The bytes that a decoder of this name writes of what it has read of these.
fn again(decoder: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    match decoder {
        "table" => table(bytes),
        "row" => {
            let (mut reader, mut out) = (Reader::new(bytes), Vec::new());
            Row::<EnableWinsFlag>::take(&mut reader).ok()?.put(&mut out);
            reader.finish().ok().map(|()| out)
        }
        "message" => anti_entropy::Message::decode(bytes).ok().map(|message| message.encode()),
        "max" => value::<Max<Exact>>(bytes),
        "log" => value::<Log>(bytes),
        "lww_register" => value::<LwwRegister<Exact>>(bytes),
        "mv_register" => value::<Causal<MvRegister<Exact>>>(bytes),
        "add_wins_set" => value::<Causal<AddWinsSet<Exact>>>(bytes),
        "map_of_sets" => value::<Causal<Map<u64, AddWinsSet<u64>>>>(bytes),
        "map_of_maps" => value::<Causal<Map<u64, Map<u64, DisableWinsFlag>>>>(bytes),
        other => panic!("no decoder is named {other}"),
    }
}

#[test]
fn what_was_found_once_stays_mended() {
    inputs::check(env!("CARGO_MANIFEST_DIR"), (MOST, LEAST), again);
}

/// So many times its bytes may an input take: maps of one cell are nodes with room for eleven.
const MOST: u64 = 512;
const LEAST: usize = 3;

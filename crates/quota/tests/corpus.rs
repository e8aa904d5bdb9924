//! Inputs that once found something, and must not again: `tests/corpus/`, a folder a decoder, a line an input.
//!
//! Invariant of each: no panic, little memory, and refused or written again as it came. New ones come from
//! `cargo run -p deltaic-simulation -- mutate`.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

#[path = "../../types/tests/inputs/mod.rs"]
mod inputs;

use deltaic_quota::{Batch, Event, Key, Max, Monoid, Note, Sum, Union};
use deltaic_types::codec::Reader;

fn aggregate<M: Monoid>(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    M::decode(bytes).ok()?.encode(out);
    Some(())
}

/// The bytes that a decoder of this name writes of what it has read of these.
fn again(decoder: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match decoder {
        "batch" => out = Batch::decode(bytes).ok()?.encode(),
        "event" => out = Event::decode(bytes).ok()?.encode(),
        "note" => {
            let mut reader = Reader::new(bytes);
            Note::decode(&mut reader).ok()?.encode_into(&mut out);
            reader.finish().ok()?;
        }
        "sum" => aggregate::<Sum>(bytes, &mut out)?,
        "max" => aggregate::<Max<Key>>(bytes, &mut out)?,
        "union_of_numbers" => aggregate::<Union<u64>>(bytes, &mut out)?,
        "union_of_keys" => aggregate::<Union<Key>>(bytes, &mut out)?,
        other => panic!("no decoder is named {other}"),
    }
    Some(out)
}

#[test]
fn what_was_found_once_stays_mended() {
    inputs::check(env!("CARGO_MANIFEST_DIR"), (MOST, LEAST), again);
}

/// So many times its bytes may an input take: lists of numbers of a byte.
const MOST: u64 = 64;
const LEAST: usize = 3;

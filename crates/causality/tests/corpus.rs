//! Inputs that once found something, and must not again: `tests/corpus/`, a folder a decoder, a line an input.
//!
//! Invariant of each: no panic, little memory, and refused or written again as it came. New ones come from
//! `cargo run -p deltaic-simulation -- mutate`.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

#[path = "../../types/tests/inputs/mod.rs"]
mod inputs;

use deltaic_causality::itc::{Event, Id, Limits, Stamp};
use deltaic_causality::life::{Message, State};
use deltaic_causality::{CausalContext, HybridTime, VectorClock, VersionVector};
use deltaic_types::codec::Reader;

/// The bytes that a decoder of this name writes of what it has read of these.
fn again(decoder: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut reader, mut out) = (Reader::new(bytes), Vec::new());
    match decoder {
        "cut" => VersionVector::read(&mut reader).ok()?.write(&mut out),
        "vector_clock" => VectorClock::read(&mut reader).ok()?.write(&mut out),
        "context" => CausalContext::read(&mut reader).ok()?.write(&mut out),
        "hybrid_time" => HybridTime::read(&mut reader).ok()?.write(&mut out),
        "stamp" => Stamp::read(&mut reader, Limits::own()).ok()?.write(&mut out),
        "stamp_of_a_peer" => {
            Stamp::read(&mut reader, Limits::peer(&Event::default(), 1 << 20)).ok()?.write(&mut out);
        }
        "id" => Id::read(&mut reader, Limits::own()).ok()?.write(&mut out),
        "life_state" => State::read(&mut reader).ok()?.write(&mut out),
        "life_message" => Message::read(&mut reader, Limits::own()).ok()?.write(&mut out),
        other => panic!("no decoder is named {other}"),
    }
    reader.finish().ok().map(|()| out)
}

#[test]
fn what_was_found_once_stays_mended() {
    inputs::check(env!("CARGO_MANIFEST_DIR"), (MOST, LEAST), again);
}

/// So many times its bytes may an input take: what [`Limits`] says of trees.
const MOST: u64 = 400;
const LEAST: usize = 3;

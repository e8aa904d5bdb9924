//! Damage: valid bytes with a few places changed, as a faulty disk, a torn message or somebody who means harm would.
//!
//! Invariant: the same choices give the same bytes, and mostly the beginning stays, so that a decoder comes far.

use deltaic_types::codec::write_u64;

use crate::random::Random;

/// Numbers that a length or a counter may be blown up to.
const GREAT: [u64; 6] = [0x7f, 1 << 14, 1 << 20, u32::MAX as u64, u64::MAX - 1, u64::MAX];

/// A few bytes changed, taken out, put in, moved or repeated; a part of `other` in the place of a part; a number made great.
pub(super) fn damaged(random: &mut Random, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let place = random.below(bytes.len() + 1);
        match random.below(8) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, random.number() as u8),
            2 if place < bytes.len() => drop(bytes.remove(place)),
            3 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
            // Small numbers are what most tags, lengths and actors are.
            4 if place < bytes.len() => bytes[place] = random.below(6) as u8,
            5 => {
                let mut number = Vec::new();
                write_u64(&mut number, *random.pick(&GREAT));
                bytes.splice(place..(place + 1).min(bytes.len()), number);
            }
            6 if !other.is_empty() => {
                let from = random.below(other.len());
                let part = &other[from..from + random.below(other.len() - from + 1)];
                let end = (place + random.below(part.len() + 2)).min(bytes.len());
                bytes.splice(place..end, part.iter().copied());
            }
            _ => {
                let from = random.below(bytes.len() + 1).min(place);
                let part = bytes[from..place].to_vec();
                let to = random.below(bytes.len() + 1);
                let times = if part.len() < 64 && random.one_in(8) { 16 } else { 1 };
                bytes.splice(to..to, part.repeat(times));
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_a_function_of_the_choices_and_mostly_does_some() {
        let (one, two) = ([1_u8, 2, 3, 4, 5, 6, 7, 8], [9_u8; 8]);
        let of = |seed| damaged(&mut Random::new(seed), &one, &two);
        assert!((0..500).all(|seed| of(seed) == of(seed)));
        let whole = (0..500).filter(|seed| of(*seed) == one).count();
        assert!(whole < 100, "{whole} of 500 are as they were");
        assert!((0..500).any(|seed| of(seed).contains(&9)), "parts of the other come in");
        assert!((0..500).any(|seed| of(seed).len() > 40), "parts are repeated");
    }
}

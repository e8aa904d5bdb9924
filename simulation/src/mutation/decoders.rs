//! [`Trials`]: what every decoder of foreign bytes owes, asked with valid bytes and with damaged ones.
//!
//! Invariant of a trial: what was written is read, and written again with the same bytes. Damaged bytes give no panic, take
//! no more memory than a stated multiple of their own, and are refused or written again as they came; what is read of them
//! can be used. An input that breaks one of these is told in hexadecimal, with the folder where it is kept for ever.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::damage::damaged;
use crate::random::Random;

/// Runs something, and gives the most bytes that were allocated at a time meanwhile.
pub type Measure<'a> = &'a dyn Fn(&mut dyn FnMut()) -> u64;

/// What may be allocated for no bytes at all: an error, the first elements of a few lists.
const BASE: u64 = 4_096;

/// So many times the bytes that came may be allocated to read them.
pub(super) const USUAL: u64 = 64;

/// So many damaged inputs of each pair of valid ones.
pub(super) const DAMAGED: usize = 4;

/// A decoder with its encoder.
pub(super) struct Decoder<D, E> {
    /// Its crate, and its name there.
    pub(super) name: &'static str,
    /// How many times the bytes that came it may allocate.
    pub(super) factor: u64,
    pub(super) decode: D,
    pub(super) encode: E,
}

pub(super) struct Trials<'a> {
    pub(super) random: &'a mut Random,
    pub(super) tell: bool,
    pub(super) measure: Measure<'a>,
    /// How many inputs were tried.
    pub(super) tried: usize,
}

impl Trials<'_> {
    /// A trial of two valid inputs and of damaged ones; `using` does with what was read of these what a program does.
    pub(super) fn of<T, F: Debug>(
        &mut self,
        decoder: &Decoder<impl Fn(&[u8]) -> Result<T, F>, impl Fn(&T) -> Vec<u8>>,
        valid: [&[u8]; 2],
        using: impl Fn(&T) -> Result<(), String>,
    ) -> Result<(), String> {
        for bytes in valid {
            let read = (decoder.decode)(bytes);
            let read = read
                .map_err(|error| found(decoder.name, bytes, &format!("is valid and refused: {error:?}")))?;
            if (decoder.encode)(&read) != bytes {
                return Err(found(decoder.name, bytes, "is valid and written otherwise"));
            }
        }
        for _ in 0..DAMAGED {
            let (one, other) = if self.random.one_in(2) { (0, 1) } else { (1, 0) };
            let bytes = damaged(self.random, valid[one], valid[other]);
            self.damaged(decoder, &bytes, &using)?;
        }
        Ok(())
    }

    fn damaged<T, F>(
        &mut self,
        decoder: &Decoder<impl Fn(&[u8]) -> Result<T, F>, impl Fn(&T) -> Vec<u8>>,
        bytes: &[u8],
        using: impl Fn(&T) -> Result<(), String>,
    ) -> Result<(), String> {
        let name = decoder.name;
        if self.tell {
            println!("{name}: {}", hex(bytes));
        }
        self.tried += 1;
        let measure = self.measure;
        let trial = || {
            let mut read = None;
            let most = measure(&mut || read = (decoder.decode)(bytes).ok());
            let allowed = BASE + decoder.factor * bytes.len() as u64;
            if most > allowed {
                return Err(format!("takes {most} bytes of memory, {allowed} are allowed"));
            }
            let Some(read) = read else { return Ok(()) };
            let again = (decoder.encode)(&read);
            if again != bytes {
                return Err(format!("is read, and written otherwise: {}", hex(&again)));
            }
            using(&read)
        };
        let outcome = catch_unwind(AssertUnwindSafe(trial)).unwrap_or_else(|_| Err("panics".to_owned()));
        outcome.map_err(|what| found(name, bytes, &what))
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What is told of an input, and where it goes.
fn found(name: &str, bytes: &[u8], what: &str) -> String {
    let (home, decoder) = name.split_once('/').unwrap_or((name, ""));
    let hex = hex(bytes);
    format!(
        "{name}: an input {what}\n{hex}\nkeep it as a line of a file in crates/{home}/tests/corpus/{decoder}/"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(decode: impl Fn(&[u8]) -> Result<Vec<u8>, ()>, taken: u64) -> Result<(), String> {
        let mut random = Random::new(7);
        let measure = |run: &mut dyn FnMut()| {
            run();
            taken
        };
        let mut trials = Trials { random: &mut random, tell: false, measure: &measure, tried: 0 };
        let decoder =
            Decoder { name: "types/words", factor: USUAL, decode, encode: |read: &Vec<u8>| read.clone() };
        (0..50).try_for_each(|_| trials.of(&decoder, [&[1, 2, 3], &[4, 5]], |_| Ok(())))
    }

    /// Each fault that a decoder can have is found, and told with its bytes.
    #[test]
    fn a_decoder_that_does_not_do_its_duty_is_found_out() {
        assert_eq!(outcome(|bytes| Ok(bytes.to_vec()), 0), Ok(()));
        let told = |outcome: Result<(), String>, what: &str| {
            let error = outcome.expect_err(what);
            assert!(error.contains(what) && error.contains("crates/types/tests/corpus/words/"), "{error}");
        };
        let is_valid = |bytes: &[u8]| matches!(bytes, [1, 2, 3] | [4, 5]);
        told(outcome(|bytes| if bytes == [4, 5] { Err(()) } else { Ok(bytes.to_vec()) }, 0), "refused");
        told(outcome(|_| Ok(vec![1, 2, 3]), 0), "valid and written otherwise");
        let other = |bytes: &[u8]| Ok(if is_valid(bytes) { bytes.to_vec() } else { vec![0] });
        told(outcome(other, 0), "read, and written otherwise");
        told(outcome(|bytes| Ok(bytes.to_vec()), 1 << 20), "bytes of memory");
        let panics = |bytes: &[u8]| {
            assert!(is_valid(bytes), "on purpose");
            Ok(bytes.to_vec())
        };
        told(outcome(panics, 0), "panics");
    }
}

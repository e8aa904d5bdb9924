//! [`Ended`]: which permits of a key were ended, so that none is ended twice.
//!
//! Invariant: a number that was ended is ended for good. What is remembered is bounded: beyond that the oldest numbers all
//! count as ended, so forgetting refuses and never gives twice.

use std::collections::BTreeSet;

/// The most numbers that are remembered one by one.
const NUMBERS: usize = 1 << 16;

/// Numbers of permits that were ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// All up to this.
    floor: u64,
    /// And these.
    numbers: BTreeSet<u64>,
}

impl Ended {
    /// Ends a permit; false if it was ended before.
    pub(super) fn end(&mut self, number: u64) -> bool {
        if number <= self.floor || !self.numbers.insert(number) {
            return false;
        }
        if self.numbers.len() > NUMBERS {
            self.floor = self.numbers.pop_first().expect("invariant: it has many");
        }
        true
    }

    /// Takes back an end that came to nothing, if that can still be told.
    pub(super) fn resume(&mut self, number: u64) {
        self.numbers.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_twice_and_what_is_forgotten_is_ended() {
        let mut ended = Ended::default();
        assert!(ended.end(5) && !ended.end(5));
        ended.resume(5);
        assert!(ended.end(5));
        let last = NUMBERS as u64 + 10;
        assert!((6..=last).all(|number| ended.end(number)));
        assert!((1..=last).all(|number| !ended.end(number)));
        assert!(ended.numbers.len() <= NUMBERS && ended.end(last + 1));
    }
}

//! [`Ended`]: which permits of a key were ended, so that none is ended twice.
//!
//! Invariant: a number that was ended is ended for good. What is remembered is bounded, as ranges without gaps; beyond that the
//! lowest range and all before it count as ended, so forgetting refuses and never gives twice.

use std::collections::BTreeMap;

/// The most ranges that are remembered.
const RANGES: usize = 1 << 16;

/// Numbers of permits that were ended: ranges by their first number, with their last.
#[derive(Debug, Default)]
pub(super) struct Ended {
    ranges: BTreeMap<u64, u64>,
}

impl Ended {
    fn contains(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    /// Ends a permit; false if it was ended before.
    pub(super) fn end(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let (mut first, mut last) = (number, number);
        if let Some((begin, end)) = self.ranges.range(..number).next_back() {
            if *end + 1 == number {
                first = *begin;
            }
        }
        if let Some(end) = number.checked_add(1).and_then(|next| self.ranges.remove(&next)) {
            last = end;
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES {
            // What lies between the two lowest is forgotten, and so ended.
            if let (Some(_), Some((_, end))) = (self.ranges.pop_first(), self.ranges.pop_first()) {
                self.ranges.insert(0, end);
            }
        }
        true
    }

    /// Takes back an end that came to nothing.
    pub(super) fn resume(&mut self, number: u64) {
        let Some((&first, &last)) = self.ranges.range(..=number).next_back() else { return };
        if number > last {
            return;
        }
        self.ranges.remove(&first);
        if first < number {
            self.ranges.insert(first, number - 1);
        }
        if number < last {
            self.ranges.insert(number + 1, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_ends_twice_whatever_the_order() {
        let (mut ended, mut model) = (Ended::default(), BTreeSet::new());
        let mut state = 7_u64;
        for _ in 0..5_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (state >> 33) % 200;
            if state.is_multiple_of(3) && model.remove(&number) {
                ended.resume(number);
            } else {
                assert_eq!(ended.end(number), model.insert(number), "{number}");
            }
            assert!((0..200).all(|number| ended.contains(number) == model.contains(&number)));
        }
        assert!(ended.end(u64::MAX) && !ended.end(u64::MAX));
    }

    #[test]
    fn what_is_forgotten_is_ended() {
        let mut ended = Ended::default();
        assert!(ended.end(1));
        // A permit that is still out, and very many that were ended behind it.
        assert!((3..300_000).all(|number| ended.end(number)));
        assert!(ended.end(2), "it is not forgotten");
        let mut ended = Ended::default();
        let last = 2 * (RANGES as u64 + 10);
        assert!((2..=last).step_by(2).all(|number| ended.end(number)));
        assert!(!ended.end(1) && !ended.end(3) && ended.end(last - 1));
        assert!(ended.ranges.len() <= RANGES);
    }
}

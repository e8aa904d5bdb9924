//! [`History`]: which events a replica knows of, by number.

use std::cmp::Ordering;

/// A set of at most 256 events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct History([u64; 4]);

impl History {
    pub(crate) const MOST: usize = 256;

    pub(crate) fn insert(&mut self, event: usize) {
        self.0[event / 64] |= 1 << (event % 64);
    }

    pub(crate) fn contains(self, event: usize) -> bool {
        self.0[event / 64] >> (event % 64) & 1 == 1
    }

    pub(crate) fn extend(&mut self, other: Self) {
        for (own, others) in self.0.iter_mut().zip(other.0) {
            *own |= others;
        }
    }

    pub(crate) fn inclusion(self, other: Self) -> Option<Ordering> {
        let within = |a: Self, b: Self| a.0.iter().zip(b.0).all(|(x, y)| x & !y == 0);
        match (within(self, other), within(other, self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }
}

/// A seed's numbers (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }
}

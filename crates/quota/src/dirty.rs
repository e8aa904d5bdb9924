//! [`Segment`]: which accounts have changed, as bits that any thread may set.
//!
//! Invariant: an account that is marked is found by the next [`Segment::take`] that begins after the mark ended.
//! Taking costs the marked accounts and one word per segment of 4,096, not one step per account; marking neither
//! locks nor allocates.

use std::sync::Arc;

use crate::sync::{AtomicBool, AtomicU64, Ordering};

const WORDS: usize = 64;
/// The accounts of a segment.
pub(crate) const SLOTS: usize = 64 * WORDS;

#[derive(Debug)]
pub(crate) struct Segment {
    /// Which words have a bit.
    summary: AtomicU64,
    words: [AtomicU64; WORDS],
    urgent: AtomicBool,
}

impl Segment {
    pub(crate) fn new() -> Self {
        Self {
            summary: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            urgent: AtomicBool::new(false),
        }
    }

    /// First the word, then the summary: a taker that comes between leaves the summary set.
    pub(crate) fn mark(&self, slot: usize, urgent: bool) {
        self.words[slot / 64].fetch_or(1 << (slot % 64), Ordering::SeqCst);
        self.summary.fetch_or(1 << (slot / 64), Ordering::SeqCst);
        if urgent {
            self.urgent.store(true, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }

    /// Unmarks all and tells which they were.
    pub(crate) fn take(&self, mut found: impl FnMut(usize)) {
        self.urgent.store(false, Ordering::SeqCst);
        for word in bits(self.summary.swap(0, Ordering::SeqCst)) {
            for bit in bits(self.words[word].swap(0, Ordering::SeqCst)) {
                found(word * 64 + bit);
            }
        }
    }
}

/// Where an account marks itself.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) segment: Arc<Segment>,
    pub(crate) slot: usize,
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros() as usize;
        (word != 0).then(|| {
            word &= word - 1;
            bit
        })
    })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_found_once_and_in_order() {
        let segment = Segment::new();
        for slot in [4_095, 0, 64, 63, 64] {
            segment.mark(slot, slot == 64);
        }
        assert!(segment.is_urgent());
        let take = || {
            let mut found = Vec::new();
            segment.take(|slot| found.push(slot));
            found
        };
        assert_eq!(take(), [0, 63, 64, 4_095]);
        assert_eq!(take(), [0; 0]);
        assert!(!segment.is_urgent());
    }
}

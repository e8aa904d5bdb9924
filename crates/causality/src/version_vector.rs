//! [`VersionVector`]: a cut, which says of each actor up to which number its writes are known.
//!
//! Invariant: entries ascend by actor and none is zero, so that equal cuts have one representation and equal bytes, and
//! an actor that was never heard of is the same as one of whom nothing is known. Comparison is exact and has four
//! outcomes: before, equal, after, and `None` for concurrent (Parker et al., "Detection of Mutual Inconsistency in
//! Distributed Systems", 1983).
//!
//! ```
//! use deltaic_causality::{ActorId, Dot, VersionVector};
//!
//! let mut ours = VersionVector::default();
//! ours.raise(Dot { actor: ActorId(1), seq: 3 });
//! let mut theirs = ours.clone();
//! theirs.raise(Dot { actor: ActorId(2), seq: 1 });
//! assert!(ours < theirs);
//!
//! ours.raise(Dot { actor: ActorId(1), seq: 4 });
//! assert_eq!(ours.partial_cmp(&theirs), None);
//! ```

use std::cmp::Ordering;
use std::fmt;

use deltaic_types::codec::{DecodeError, Reader, write_u64};
use deltaic_types::limits;

use crate::{ActorId, Dot};

/// For each actor the greatest number of an unbroken row of its writes, from 1 on. 16 bytes an actor, one allocation.
///
/// The order is that of inclusion: `a < b` if `b` holds all that `a` holds and more, and `partial_cmp` is `None` if
/// each holds a write that the other lacks. Comparing, joining and meeting are linear in the actors of both and
/// comparing allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct VersionVector {
    entries: Vec<(ActorId, u64)>,
}

impl VersionVector {
    /// Whether no write is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many actors have written.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of the actor's last write that is held; 0 if there is none.
    pub fn last(&self, actor: ActorId) -> u64 {
        self.find(actor).map_or(0, |place| self.entries[place].1)
    }

    /// Whether the write is held. A number of 0 names no write and is held nowhere.
    pub fn contains(&self, dot: Dot) -> bool {
        dot.seq != 0 && dot.seq <= self.last(dot.actor)
    }

    /// The actor's next write; none after 2^64 - 1 of them.
    pub fn next(&self, actor: ActorId) -> Option<Dot> {
        self.last(actor).checked_add(1).map(|seq| Dot { actor, seq })
    }

    /// Takes in this write and all that its actor made before it. Whether that was more than before.
    pub fn raise(&mut self, dot: Dot) -> bool {
        match self.find(dot.actor) {
            _ if dot.seq == 0 => false,
            Ok(place) => {
                let last = &mut self.entries[place].1;
                let more = dot.seq > *last;
                *last = dot.seq.max(*last);
                more
            }
            Err(place) => {
                self.entries.insert(place, (dot.actor, dot.seq));
                true
            }
        }
    }

    /// Takes in what the other holds.
    pub fn join(&mut self, other: &Self) {
        if let [(actor, seq)] = other.entries[..] {
            self.raise(Dot { actor, seq });
        } else if !self.raise_known(other) {
            let both = Pairs { left: &self.entries, right: &other.entries };
            self.entries = both.map(|(actor, left, right)| (actor, left.max(right))).collect();
        }
    }

    /// Raises the other's actors in their places, up to the first that is not known here. Whether all are: mostly they are,
    /// and nothing moves.
    fn raise_known(&mut self, other: &Self) -> bool {
        let mut own = self.entries.iter_mut();
        other.entries.iter().all(|(actor, seq)| match own.find(|(held, _)| held >= actor) {
            Some((held, last)) if held == actor => {
                *last = (*last).max(*seq);
                true
            }
            _ => false,
        })
    }

    /// Keeps what the other holds too. The meet of all members' cuts is the stable cut: what everybody holds.
    pub fn meet(&mut self, other: &Self) {
        let mut theirs = other.entries.iter().peekable();
        self.entries.retain_mut(|(actor, seq)| {
            while theirs.next_if(|(held, _)| held < actor).is_some() {}
            *seq = theirs.next_if(|(held, _)| held == actor).map_or(0, |(_, last)| (*seq).min(*last));
            *seq != 0
        });
    }

    /// Forgets the actor: for one that has retired, when every member holds all that it wrote.
    pub fn forget(&mut self, actor: ActorId) {
        self.entries.retain(|(held, _)| *held != actor);
    }

    /// The actors that have written, ascending, each with the number of its last write.
    pub fn iter(&self) -> impl Iterator<Item = (ActorId, u64)> + '_ {
        self.entries.iter().copied()
    }

    /// Appends the cut: the number of actors, and each with its number; 2 to 20 bytes an actor.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.entries.len() as u64);
        for &(actor, seq) in &self.entries {
            Dot { actor, seq }.write(bytes);
        }
    }

    /// Reads what [`VersionVector::write`] wrote. Actors out of order, twice, or without a write are an error, and so
    /// are more than [`limits::ACTORS`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(limits::ACTORS)?;
        let mut entries: Vec<(ActorId, u64)> = Vec::with_capacity(length.min(reader.rest().len() / 2));
        for _ in 0..length {
            let Dot { actor, seq } = Dot::read(reader)?;
            if seq == 0 || entries.last().is_some_and(|(before, _)| *before >= actor) {
                return Err(DecodeError::Invalid("cut"));
            }
            entries.push((actor, seq));
        }
        Ok(Self { entries })
    }

    fn find(&self, actor: ActorId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&actor, |(held, _)| *held)
    }
}

impl PartialOrd for VersionVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let mut outcome = Ordering::Equal;
        for (_, left, right) in (Pairs { left: &self.entries, right: &other.entries }) {
            match (outcome, left.cmp(&right)) {
                (_, Ordering::Equal) => {}
                (Ordering::Equal, new) => outcome = new,
                (old, new) if old != new => return None,
                _ => {}
            }
        }
        Some(outcome)
    }
}

impl FromIterator<Dot> for VersionVector {
    /// The least cut that holds these writes, and with each what its actor made before.
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut cut = Self::default();
        for dot in dots {
            cut.raise(dot);
        }
        cut
    }
}

impl fmt::Display for VersionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (actor, seq)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Dot { actor, seq })?;
        }
        f.write_str("}")
    }
}

/// The actors of either side, ascending, with the numbers of both: 0 where a side has none.
struct Pairs<'a> {
    left: &'a [(ActorId, u64)],
    right: &'a [(ActorId, u64)],
}

impl Iterator for Pairs<'_> {
    type Item = (ActorId, u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let actor = match (self.left.first(), self.right.first()) {
            (Some((left, _)), Some((right, _))) => *left.min(right),
            (Some((actor, _)), None) | (None, Some((actor, _))) => *actor,
            (None, None) => return None,
        };
        let take = |side: &mut &[(ActorId, u64)]| match side.split_first() {
            Some(((held, seq), rest)) if *held == actor => {
                *side = rest;
                *seq
            }
            _ => 0,
        };
        Some((actor, take(&mut self.left), take(&mut self.right)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn dots() -> impl Strategy<Value = Vec<Dot>> {
        let dot = (0_u64..5, 0_u64..6).prop_map(|(actor, seq)| Dot { actor: ActorId(actor), seq });
        proptest::collection::vec(dot, 0..8)
    }

    /// The cut as what it stands for: every write, one by one.
    fn writes(dots: &[Dot]) -> BTreeSet<Dot> {
        let below = |dot: &Dot| {
            let actor = dot.actor;
            (1..=dot.seq).map(move |seq| Dot { actor, seq })
        };
        dots.iter().flat_map(below).collect()
    }

    fn all() -> impl Iterator<Item = Dot> {
        (0..6).flat_map(|actor| (0..8).map(move |seq| Dot { actor: ActorId(actor), seq }))
    }

    fn encoded(cut: &VersionVector) -> Vec<u8> {
        let mut bytes = Vec::new();
        cut.write(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn a_cut_is_the_set_of_its_writes(a in dots(), b in dots()) {
            let (left, right): (VersionVector, VersionVector) = (a.iter().copied().collect(), b.iter().copied().collect());
            let (one, two) = (writes(&a), writes(&b));
            for dot in all() {
                prop_assert_eq!(left.contains(dot), one.contains(&dot));
                let mut raised = left.clone();
                let more = raised.raise(dot);
                prop_assert_eq!(more, dot.seq != 0 && !one.contains(&dot));
                prop_assert_eq!(raised.contains(dot), dot.seq != 0);
            }
            let expected = match (one.is_subset(&two), two.is_subset(&one)) {
                (true, true) => Some(Ordering::Equal),
                (true, false) => Some(Ordering::Less),
                (false, true) => Some(Ordering::Greater),
                (false, false) => None,
            };
            prop_assert_eq!(left.partial_cmp(&right), expected);
            prop_assert_eq!(left == right, expected == Some(Ordering::Equal));
            prop_assert_eq!(encoded(&left) == encoded(&right), one == two);
            let (mut joined, mut met) = (left.clone(), left.clone());
            joined.join(&right);
            met.meet(&right);
            for dot in all() {
                prop_assert_eq!(joined.contains(dot), one.contains(&dot) || two.contains(&dot));
                prop_assert_eq!(met.contains(dot), one.contains(&dot) && two.contains(&dot));
            }
            prop_assert_eq!(&joined, &one.union(&two).copied().collect());
            prop_assert_eq!(&met, &one.intersection(&two).copied().collect());
            prop_assert_eq!(met.is_empty(), met.iter().next().is_none());
        }

        #[test]
        fn a_cut_comes_back(entries in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..8), cut in 0_usize..200) {
            let dots = entries.iter().map(|(actor, seq)| Dot { actor: ActorId(*actor), seq: *seq });
            let vector: VersionVector = dots.collect();
            let bytes = encoded(&vector);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(VersionVector::read(&mut reader), Ok(vector));
            prop_assert!(reader.is_empty());
            if cut < bytes.len() {
                prop_assert!(VersionVector::read(&mut Reader::new(&bytes[..cut])).is_err());
            }
        }

        #[test]
        fn what_is_read_from_any_bytes_is_canonical(bytes in proptest::collection::vec(0_u8..6, 0..20)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(cut) = VersionVector::read(&mut reader) {
                let used = bytes.len() - reader.rest().len();
                prop_assert_eq!(&encoded(&cut)[..], &bytes[..used]);
            }
        }
    }

    #[test]
    fn the_next_write_follows_the_last_until_numbers_end() {
        let actor = ActorId(7);
        let mut cut = VersionVector::default();
        assert_eq!(cut.next(actor), Some(Dot { actor, seq: 1 }));
        cut.raise(Dot { actor, seq: u64::MAX });
        assert_eq!(cut.next(actor), None);
        cut.forget(actor);
        assert!(cut.is_empty());
    }

    /// A cut of an actor that only the other side knows is before it, the empty cut is before all others, and a cut
    /// equals itself and is not concurrent with itself.
    #[test]
    fn s2_2_and_s2_3_actors_of_one_side_and_equal_cuts_compare_exactly() {
        let cut = |entries: &[(u64, u64)]| -> VersionVector {
            entries.iter().map(|(actor, seq)| Dot { actor: ActorId(*actor), seq: *seq }).collect()
        };
        assert!(cut(&[(1, 1)]) < cut(&[(1, 1), (2, 1)]));
        assert!(cut(&[]) < cut(&[(1, 1)]));
        assert_eq!(cut(&[(1, 1)]).partial_cmp(&cut(&[(1, 1)])), Some(Ordering::Equal));
        assert_eq!(cut(&[(1, 1), (2, 0)]), cut(&[(1, 1)]));
        assert_eq!(cut(&[(1, 2)]).partial_cmp(&cut(&[(2, 1)])), None);
        assert_eq!(cut(&[(1, 2), (9, 1)]).to_string(), "{1:2, 9:1}");
    }

    #[test]
    fn bytes_that_are_no_cut_are_refused() {
        let read = |bytes: &[u8]| VersionVector::read(&mut Reader::new(bytes));
        assert_eq!(read(&[1, 5, 0]), Err(DecodeError::Invalid("cut")));
        assert_eq!(read(&[2, 5, 1, 5, 2]), Err(DecodeError::Invalid("cut")));
        assert_eq!(read(&[2, 5, 1, 4, 2]), Err(DecodeError::Invalid("cut")));
        assert_eq!(read(&[9, 1, 1]), Err(DecodeError::Truncated));
        let many = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(read(&many), Err(DecodeError::TooLong { limit: limits::ACTORS, .. })));
    }
}

//! [`CausalContext`]: exactly which writes a replica has seen, those behind a gap too.
//!
//! Invariant: the intervals of an actor ascend, no two overlap or touch, and none holds 0, so that equal contexts have
//! one representation and equal bytes. A replica that misses nothing has one interval an actor, which is a cut
//! (Almeida, Shoker and Baquero, "Delta State Replicated Data Types", 2018, section 7).
//!
//! ```
//! use deltaic_causality::{ActorId, CausalContext, Dot};
//!
//! let dot = |seq| Dot { actor: ActorId(1), seq };
//! let mut context = CausalContext::default();
//! context.insert(dot(1));
//! context.insert(dot(3));
//! assert_eq!(context.to_string(), "{1:1, 1:3}");
//! assert!(!context.covers(&context.iter().collect()));
//!
//! context.insert(dot(2));
//! assert_eq!(context.to_string(), "{1:1-3}");
//! assert_eq!(context.cut().last(ActorId(1)), 3);
//! ```

use std::fmt;
use std::ops::RangeInclusive;

use deltaic_types::codec::{DecodeError, Reader, write_u64};
use deltaic_types::limits;

use crate::{ActorId, Dot, VersionVector};

/// A set of dots as intervals. 24 bytes an interval, one allocation.
///
/// Where an actor's next write is added nothing moves: O(log n) for n intervals. A new actor or a gap moves those
/// behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CausalContext {
    runs: Vec<Run>,
}

/// Writes of one actor without a gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Run {
    actor: ActorId,
    first: u64,
    last: u64,
}

/// Where the other side has so few intervals, each is added alone.
const FEW: usize = 16;

impl CausalContext {
    /// Whether no write was seen.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many intervals there are: one an actor where nothing is missing.
    pub fn intervals(&self) -> usize {
        self.runs.len()
    }

    /// Whether the write was seen. O(log n).
    pub fn contains(&self, dot: Dot) -> bool {
        self.contains_run(Run { actor: dot.actor, first: dot.seq, last: dot.seq })
    }

    /// Adds the write; whether it was new. A number of 0 names no write and is not added.
    pub fn insert(&mut self, dot: Dot) -> bool {
        dot.seq != 0 && self.insert_run(Run { actor: dot.actor, first: dot.seq, last: dot.seq })
    }

    /// The greatest number of the actor's that was seen, behind gaps too; 0 if there is none.
    pub fn last(&self, actor: ActorId) -> u64 {
        let behind = self.runs.partition_point(|run| run.actor <= actor);
        let run = behind.checked_sub(1).map(|place| self.runs[place]);
        run.filter(|run| run.actor == actor).map_or(0, |run| run.last)
    }

    /// A write of the actor's behind all that were seen; none after 2^64 - 1 of them.
    pub fn next(&self, actor: ActorId) -> Option<Dot> {
        self.last(actor).checked_add(1).map(|seq| Dot { actor, seq })
    }

    /// Adds what the other has seen.
    pub fn join(&mut self, other: &Self) {
        if other.runs.len() <= FEW {
            for &run in &other.runs {
                self.insert_run(run);
            }
            return;
        }
        let mut joined: Vec<Run> = Vec::with_capacity(self.runs.len() + other.runs.len());
        let (mut left, mut right) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        let key = |run: &Run| (run.actor, run.first);
        loop {
            let from_left = match (left.peek(), right.peek()) {
                (Some(ours), Some(theirs)) => key(ours) <= key(theirs),
                (ours, _) => ours.is_some(),
            };
            let Some(&run) = (if from_left { left.next() } else { right.next() }) else { break };
            match joined.last_mut() {
                Some(before) if before.actor == run.actor && before.last.saturating_add(1) >= run.first => {
                    before.last = before.last.max(run.last);
                }
                _ => joined.push(run),
            }
        }
        self.runs = joined;
    }

    /// What was seen here and not by the other. O(n log m).
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut runs = Vec::new();
        for run in &self.runs {
            let mut rest = Some(*run);
            let start =
                other.runs.partition_point(|taken| (taken.actor, taken.last) < (run.actor, run.first));
            for taken in &other.runs[start..] {
                let Some(left) = rest else { break };
                if taken.actor != run.actor || taken.first > left.last {
                    break;
                }
                if taken.first > left.first {
                    runs.push(Run { last: taken.first - 1, ..left });
                }
                rest = (taken.last < left.last).then(|| Run { first: taken.last + 1, ..left });
            }
            runs.extend(rest);
        }
        Self { runs }
    }

    /// Whether all that the other has seen was seen here. O(m log n).
    pub fn includes(&self, other: &Self) -> bool {
        other.runs.iter().all(|&run| self.contains_run(run))
    }

    /// Whether no write was seen by both. O(m log n) where m is the other's intervals.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        other.runs.iter().all(|run| {
            let behind = self.runs.partition_point(|held| (held.actor, held.last) < (run.actor, run.first));
            self.runs.get(behind).is_none_or(|held| held.actor != run.actor || held.first > run.last)
        })
    }

    /// Whether all that the cut holds was seen. O(actors log n).
    pub fn covers(&self, cut: &VersionVector) -> bool {
        cut.iter().all(|(actor, last)| self.contains_run(Run { actor, first: 1, last }))
    }

    /// The greatest cut that is covered: of each actor what was seen before the first gap.
    pub fn cut(&self) -> VersionVector {
        let prefixes = self.runs.iter().filter(|run| run.first == 1);
        prefixes.map(|run| Dot { actor: run.actor, seq: run.last }).collect()
    }

    /// The actor's writes are forgotten: for one that has retired, when every member has seen all that it wrote.
    pub fn forget(&mut self, actor: ActorId) {
        self.runs.retain(|run| run.actor != actor);
    }

    /// The intervals, ascending by actor and number.
    pub fn runs(&self) -> impl Iterator<Item = (ActorId, RangeInclusive<u64>)> + '_ {
        self.runs.iter().map(|run| (run.actor, run.first..=run.last))
    }

    /// Each interval as a context of its own.
    pub fn parts(&self) -> impl Iterator<Item = Self> + '_ {
        self.runs.iter().map(|&run| Self { runs: vec![run] })
    }

    /// The writes one by one, ascending. As many as were ever made: a context from outside may claim 2^64 of each actor.
    pub fn iter(&self) -> impl Iterator<Item = Dot> + '_ {
        self.runs().flat_map(|(actor, seqs)| seqs.map(move |seq| Dot { actor, seq }))
    }

    /// Appends the context: the number of actors; for each its id, the number of its intervals, and for each of these the
    /// writes missing before it and its length less one. 5 bytes for one write of a small number.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let same = |left: &Run, right: &Run| left.actor == right.actor;
        write_u64(bytes, self.runs.chunk_by(same).count() as u64);
        for runs in self.runs.chunk_by(same) {
            write_u64(bytes, runs[0].actor.0);
            write_u64(bytes, runs.len() as u64);
            let mut least = 1;
            for run in runs {
                write_u64(bytes, run.first - least);
                write_u64(bytes, run.last - run.first);
                // Behind the last number nothing follows.
                least = run.last.saturating_add(2);
            }
        }
    }

    /// Reads what [`CausalContext::write`] wrote. More actors than [`limits::ACTORS`] or intervals than
    /// [`limits::INTERVALS`], actors out of order, and numbers beyond 64 bits are an error.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const INVALID: DecodeError = DecodeError::Invalid("context");
        let actors = reader.length(limits::ACTORS)?;
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..actors {
            let actor = ActorId(reader.u64()?);
            let count = reader.length(limits::INTERVALS - runs.len())?;
            if count == 0 || runs.last().is_some_and(|before| before.actor >= actor) {
                return Err(INVALID);
            }
            let mut least = Some(1_u64);
            for _ in 0..count {
                let (missing, more) = (reader.u64()?, reader.u64()?);
                let first = least.and_then(|least| least.checked_add(missing)).ok_or(INVALID)?;
                let last = first.checked_add(more).ok_or(INVALID)?;
                runs.push(Run { actor, first, last });
                least = last.checked_add(2);
            }
        }
        Ok(Self { runs })
    }

    fn contains_run(&self, wanted: Run) -> bool {
        let behind = self.runs.partition_point(|run| (run.actor, run.first) <= (wanted.actor, wanted.first));
        let run = behind.checked_sub(1).map(|place| self.runs[place]);
        run.is_some_and(|run| run.actor == wanted.actor && wanted.last <= run.last)
    }

    /// Adds an interval; whether it brought anything new.
    fn insert_run(&mut self, new: Run) -> bool {
        let touching = |run: &Run| (run.actor, run.last.saturating_add(1)) < (new.actor, new.first);
        let start = self.runs.partition_point(touching);
        let before_end = |run: &Run| (run.actor, run.first) <= (new.actor, new.last.saturating_add(1));
        let count = self.runs[start..].partition_point(before_end);
        let Some(end) = (start + count).checked_sub(1).filter(|_| count > 0) else {
            self.runs.insert(start, new);
            return true;
        };
        let (first, last) = (new.first.min(self.runs[start].first), new.last.max(self.runs[end].last));
        let joined = Run { actor: new.actor, first, last };
        let more = self.runs[start] != joined;
        self.runs[start] = joined;
        self.runs.drain(start + 1..=end);
        more
    }
}

impl FromIterator<Dot> for CausalContext {
    /// Sorts the dots first: O(n log n) in whatever order they come.
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut dots: Vec<Dot> = dots.into_iter().collect();
        dots.sort_unstable();
        let mut context = Self::default();
        for dot in dots {
            context.insert(dot);
        }
        context
    }
}

impl From<&VersionVector> for CausalContext {
    fn from(cut: &VersionVector) -> Self {
        Self { runs: cut.iter().map(|(actor, last)| Run { actor, first: 1, last }).collect() }
    }
}

impl fmt::Display for CausalContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, run) in self.runs.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}:{}", run.actor, run.first)?;
            if run.last != run.first {
                write!(f, "-{}", run.last)?;
            }
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn dots() -> impl Strategy<Value = Vec<Dot>> {
        let few = (0_u64..4, 0_u64..8);
        // So many gaps that contexts are merged as a whole.
        let many = (0_u64..4, 0_u64..64);
        let vec = |dot, length| proptest::collection::vec(dot, length);
        prop_oneof![vec(few.boxed(), 0..20), vec(many.boxed(), 0..120)].prop_map(|dots| {
            dots.into_iter().map(|(actor, seq)| Dot { actor: ActorId(actor), seq }).collect()
        })
    }

    /// Any numbers, those at the end of all numbers too.
    fn wide() -> impl Strategy<Value = CausalContext> {
        let seq = prop_oneof![any::<u64>(), u64::MAX - 6..=u64::MAX, 0_u64..6];
        proptest::collection::vec((0_u64..4, seq), 0..20).prop_map(|dots| {
            dots.into_iter().map(|(actor, seq)| Dot { actor: ActorId(actor), seq }).collect()
        })
    }

    fn set(dots: &[Dot]) -> BTreeSet<Dot> {
        dots.iter().copied().filter(|dot| dot.seq != 0).collect()
    }

    fn encoded(context: &CausalContext) -> Vec<u8> {
        let mut bytes = Vec::new();
        context.write(&mut bytes);
        bytes
    }

    fn is_canonical(context: &CausalContext) -> bool {
        let apart = |pair: &[Run]| {
            let (left, right) = (pair[0], pair[1]);
            left.actor < right.actor || left.actor == right.actor && right.first - left.last > 1
        };
        context.runs.iter().all(|run| run.first > 0 && run.first <= run.last)
            && context.runs.windows(2).all(apart)
    }

    proptest! {
        #[test]
        fn a_context_is_the_set_of_its_dots(a in dots(), b in dots()) {
            let (one, two) = (set(&a), set(&b));
            let mut left = CausalContext::default();
            let mut so_far = BTreeSet::new();
            for &dot in &a {
                prop_assert_eq!(left.insert(dot), dot.seq != 0 && so_far.insert(dot));
            }
            let right: CausalContext = b.iter().copied().collect();
            prop_assert_eq!(left.iter().collect::<BTreeSet<_>>(), one.clone());
            prop_assert_eq!(left.is_empty(), one.is_empty());
            for actor in 0..5 {
                for seq in 0..66 {
                    let dot = Dot { actor: ActorId(actor), seq };
                    prop_assert_eq!(left.contains(dot), one.contains(&dot));
                }
                let actor = ActorId(actor);
                let last = one.iter().filter(|dot| dot.actor == actor).map(|dot| dot.seq).max();
                prop_assert_eq!(left.last(actor), last.unwrap_or(0));
                prop_assert_eq!(left.next(actor), Some(Dot { actor, seq: last.unwrap_or(0) + 1 }));
                let gapless = (1..100).take_while(|seq| one.contains(&Dot { actor, seq: *seq })).last();
                prop_assert_eq!(left.cut().last(actor), gapless.unwrap_or(0));
                let mut without = left.clone();
                without.forget(actor);
                prop_assert!(without.iter().eq(one.iter().copied().filter(|dot| dot.actor != actor)));
            }
            let mut joined = left.clone();
            joined.join(&right);
            prop_assert!(is_canonical(&joined));
            prop_assert!(joined.iter().eq(one.union(&two).copied()));
            let novel = left.minus(&right);
            prop_assert!(is_canonical(&novel));
            prop_assert!(novel.iter().eq(one.difference(&two).copied()));
            prop_assert_eq!(left.includes(&right), two.is_subset(&one));
            prop_assert_eq!(left.is_disjoint(&right), two.is_disjoint(&one));
            prop_assert_eq!(left == right, one == two);
            let mut whole = CausalContext::default();
            left.parts().for_each(|part| whole.join(&part));
            prop_assert_eq!((&whole, left.parts().count()), (&left, left.intervals()));
            prop_assert_eq!(encoded(&left) == encoded(&right), one == two);
            let cut: VersionVector = b.iter().copied().collect();
            let whole: CausalContext = (&cut).into();
            prop_assert_eq!(left.covers(&cut), whole.iter().all(|dot| one.contains(&dot)));
            prop_assert!(left.covers(&left.cut()) && whole.cut() == cut);
        }

        #[test]
        fn a_context_of_any_numbers_comes_back(left in wide(), right in wide(), cut in 0_usize..200) {
            let bytes = encoded(&left);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(CausalContext::read(&mut reader), Ok(left.clone()));
            prop_assert!(reader.is_empty());
            if cut < bytes.len() {
                prop_assert!(CausalContext::read(&mut Reader::new(&bytes[..cut])).is_err());
            }
            let mut joined = left.clone();
            joined.join(&right);
            let novel = right.minus(&left);
            prop_assert!(is_canonical(&joined) && is_canonical(&novel));
            prop_assert!(joined.includes(&left) && joined.includes(&right));
            let mut again = left.clone();
            again.join(&novel);
            prop_assert_eq!(again, joined);
        }

        #[test]
        fn what_is_read_from_any_bytes_is_canonical(bytes in proptest::collection::vec(0_u8..4, 0..30)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(context) = CausalContext::read(&mut reader) {
                let used = bytes.len() - reader.rest().len();
                prop_assert!(is_canonical(&context));
                prop_assert_eq!(&encoded(&context)[..], &bytes[..used]);
            }
        }
    }

    #[test]
    fn numbers_end_where_they_end() {
        let actor = ActorId(1);
        let end = Dot { actor, seq: u64::MAX };
        let mut context: CausalContext = [end].into_iter().collect();
        assert!(context.contains(end) && context.next(actor).is_none());
        assert!(context.insert(Dot { actor, seq: u64::MAX - 1 }) && !context.insert(end));
        assert_eq!(context.intervals(), 1);
        assert_eq!(context.to_string(), format!("{{1:{}-{}}}", u64::MAX - 1, u64::MAX));
    }

    #[test]
    fn bytes_that_are_no_context_are_refused() {
        let read = |bytes: &[u8]| CausalContext::read(&mut Reader::new(bytes));
        let invalid = Err(DecodeError::Invalid("context"));
        // No interval, an actor twice, an interval behind the last number, and one that ends behind it.
        assert_eq!(read(&[1, 5, 0]), invalid);
        assert_eq!(read(&[2, 5, 1, 0, 0, 5, 1, 0, 0]), invalid);
        let mut bytes = vec![1, 5, 2, 0];
        write_u64(&mut bytes, u64::MAX - 1);
        bytes.extend([0, 0]);
        assert_eq!(read(&bytes), invalid);
        let mut bytes = vec![1, 5, 1, 1];
        write_u64(&mut bytes, u64::MAX);
        assert_eq!(read(&bytes), invalid);
        assert!(matches!(read(&[0xff, 0xff, 0x7f]), Err(DecodeError::TooLong { .. })));
        assert_eq!(read(&[1, 5, 0xff, 0xff, 0x3f]), Err(DecodeError::Truncated));
        assert!(matches!(read(&[1, 5, 0xff, 0xff, 0x7f]), Err(DecodeError::TooLong { .. })));
    }
}

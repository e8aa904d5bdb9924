//! [`Latest`]: the latest word of each of many writers, and one tree that says of all of them what is held.
//!
//! A writer owns a part of the line, as a replica does, and counts each of its words above every point of it ([`Event::mark`]). The
//! join of these counts is a digest: about a byte for each writer, where a version vector has a name and a number. Who is shown a digest
//! answers with the words that it does not cover, and with its own.
//!
//! Invariant: whoever's digest covers the counts of a word holds that word, or a later one of the same writer. So equal digests are equal
//! words. It takes no vote, and no order of messages: an [`Answer`] is taken whole or not at all. As with stamps, no point of the line
//! has two owners at a time, and who inherits a part has heard the last word of whoever had it before it says its own; which of two words
//! is the later is the version's to say, as a writer that has lost its state begins above another part.
//!
//! ```
//! use deltaic_causality::itc::{Id, Latest};
//!
//! let (left, right) = Id::whole().split();
//! let (mut a, mut b) = (Latest::default(), Latest::default());
//! a.say("ann", &left, (1, 1), 60)?;
//! b.say("bob", &right, (1, 1), 40)?;
//! a.say("ann", &left, (1, 2), 70)?;
//!
//! let answer = a.answer(b.digest());
//! assert_eq!(answer.words.len(), 1);
//! b.hear(answer);
//! a.hear(b.answer(a.digest()));
//! assert_eq!(a.digest(), b.digest());
//! assert_eq!(b.get("ann"), Some((&(1, 2), &70)));
//! # Ok::<(), deltaic_causality::itc::SayError>(())
//! ```

use std::borrow::Borrow;
use std::collections::BTreeMap;

use thiserror::Error;

use super::{CounterOverflow, Event, Id};

/// The latest word of each writer that was heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest<K, V, T> {
    digest: Event,
    words: BTreeMap<K, Word<V, T>>,
}

/// What a writer said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<V, T> {
    /// The part of the line that was the writer's.
    pub id: Id,
    /// The counts above that part, and nothing elsewhere.
    pub counts: Event,
    /// Which of two words of the writer is the later: as `(incarnation, seq)`.
    pub version: V,
    /// What it said.
    pub value: T,
}

/// What somebody lacks who has shown a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<K, V, T> {
    /// The words, by writer.
    pub words: Vec<(K, Word<V, T>)>,
    /// What is held by whoever has heard them.
    pub digest: Event,
}

/// Why a word was not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SayError {
    /// Nobody would be told of it.
    #[error("the writer owns no part of the line: fork one for it")]
    NoPart,
    /// A word of this version or a later one is held.
    #[error("the writer has said as much: give the word a greater version")]
    Stale,
    /// The counts are at their end.
    #[error(transparent)]
    Overflow(#[from] CounterOverflow),
}

impl<K, V, T> Default for Latest<K, V, T> {
    fn default() -> Self {
        Self { digest: Event::default(), words: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Ord + Clone, T: Clone> Latest<K, V, T> {
    /// A writer says something here. `O(leaves of the digest)`. An error changes nothing.
    pub fn say(&mut self, writer: K, id: &Id, version: V, value: T) -> Result<(), SayError> {
        if id.is_empty() {
            return Err(SayError::NoPart);
        }
        if self.words.get(&writer).is_some_and(|word| word.version >= version) {
            return Err(SayError::Stale);
        }
        let digest = self.digest.mark(id)?;
        let counts = digest.within(id);
        self.words.insert(writer, Word { id: id.clone(), counts, version, value });
        self.digest = digest;
        Ok(())
    }

    /// What is held of all, in about a byte for each.
    pub fn digest(&self) -> &Event {
        &self.digest
    }

    /// What a writer said last, with its version.
    pub fn get<Q: Ord + ?Sized>(&self, writer: &Q) -> Option<(&V, &T)>
    where
        K: Borrow<Q>,
    {
        self.words.get(writer).map(|word| (&word.version, &word.value))
    }

    /// The words, by writer.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V, &T)> {
        self.words.iter().map(|(writer, word)| (writer, &word.version, &word.value))
    }

    /// What somebody lacks who holds what this digest covers. `O(words * leaves of the digest)`.
    pub fn answer(&self, digest: &Event) -> Answer<K, V, T> {
        let lacks = |(_, word): &(&K, &Word<V, T>)| !word.counts.leq_within(digest, &word.id);
        let words = self.words.iter().filter(lacks).map(|(writer, word)| (writer.clone(), word.clone()));
        Answer { words: words.collect(), digest: self.digest.clone() }
    }

    /// Takes an answer in, however late it comes and however often; the writers who said something new, in their order.
    pub fn hear(&mut self, answer: Answer<K, V, T>) -> Vec<K> {
        let mut new = Vec::new();
        for (writer, word) in answer.words {
            if self.words.get(&writer).is_none_or(|known| known.version < word.version) {
                self.words.insert(writer.clone(), word);
                new.push(writer);
            }
        }
        self.digest = self.digest.join(&answer.digest);
        new
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Words = Latest<usize, (u32, u64), u64>;
    type Told = Answer<usize, (u32, u64), u64>;

    #[derive(Debug, Clone)]
    enum Step {
        Say {
            at: usize,
        },
        /// One asks the other; the answer arrives so many steps later, or never, and perhaps again.
        Ask {
            from: usize,
            to: usize,
            late: usize,
            is_lost: bool,
            again: usize,
        },
        /// The state of one is gone: its writer begins anew above another part.
        Lose {
            at: usize,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..4_usize).prop_map(|at| Step::Say { at }),
            6 => (0..4_usize, 0..4_usize, 0..4_usize, prop::bool::weighted(0.2), 0..3_usize)
                .prop_map(|(from, to, late, is_lost, again)| Step::Ask { from, to, late, is_lost, again }),
            1 => (0..4_usize).prop_map(|at| Step::Lose { at }),
        ]
    }

    /// The versions that are held, without the digest.
    fn held(words: &Words) -> BTreeMap<usize, (u32, u64)> {
        words.iter().map(|(writer, version, _)| (*writer, *version)).collect()
    }

    proptest! {
        /// Digests name what is lacking, whatever is lost, late, repeated and forgotten; the versions alone are the oracle.
        #[test]
        fn whoever_has_an_equal_digest_holds_equal_words(steps in prop::collection::vec(step(), 1..60)) {
            let mut sides: Vec<Words> = vec![Words::default(); 4];
            // Parts for each writer's lives, of a line that is cut finely enough.
            let mut lives = [0_u32; 4];
            let mut seqs = [0_u64; 4];
            let part = |at: usize, life: u32| Id::balanced(at as u64 * 64 + u64::from(life), 256);
            let mut under_way: Vec<(usize, usize, Told)> = Vec::new();
            for (now, step) in steps.iter().enumerate() {
                match *step {
                    Step::Say { at } => {
                        seqs[at] += 1;
                        let version = (lives[at], seqs[at]);
                        sides[at].say(at, &part(at, lives[at]), version, now as u64).unwrap();
                        prop_assert_eq!(sides[at].say(at, &part(at, lives[at]), version, 0), Err(SayError::Stale));
                    }
                    Step::Ask { from, to, late, is_lost, again } => {
                        let answer = sides[to].answer(sides[from].digest());
                        // At least what is newer, and nothing that is held in that version.
                        let (own, other) = (held(&sides[from]), held(&sides[to]));
                        for (writer, version) in &other {
                            let is_newer = own.get(writer).is_none_or(|known| known < version);
                            let is_told = answer.words.iter().any(|(told, _)| told == writer);
                            prop_assert!(is_told || !is_newer, "{writer} {version:?} of {own:?}");
                            prop_assert!(!is_told || own.get(writer) != Some(version), "{writer} is there");
                        }
                        if !is_lost {
                            under_way.extend((0..=again).map(|n| (now + late * (n + 1), from, answer.clone())));
                        }
                    }
                    Step::Lose { at } => {
                        lives[at] += 1;
                        seqs[at] = 0;
                        sides[at] = Words::default();
                        // What was under way to it is not for its next life.
                        under_way.retain(|(_, to, _)| *to != at);
                    }
                }
                let (due, later) = under_way.into_iter().partition(|(at, ..)| *at <= now);
                under_way = later;
                let due: Vec<_> = due;
                for (_, to, answer) in due {
                    sides[to].hear(answer);
                }
                for (place, side) in sides.iter().enumerate() {
                    for other in &sides[place + 1..] {
                        prop_assert!(side.digest() != other.digest() || held(side) == held(other));
                    }
                }
            }
            // Two rounds of all with all, and everybody has everything.
            for _ in 0..2 {
                for from in 0..4 {
                    for to in 0..4 {
                        let answer = sides[to].answer(sides[from].digest());
                        sides[from].hear(answer);
                    }
                }
            }
            prop_assert!(sides.windows(2).all(|pair| pair[0] == pair[1]), "{sides:?}");
        }
    }

    /// Who ends gives its part to another, who has heard its last word.
    #[test]
    fn a_part_that_is_inherited_tells_of_both() {
        let (left, right) = Id::whole().split();
        let mut a: Latest<&str, u64, Option<u64>> = Latest::default();
        let mut b = Latest::default();
        let mut far = Latest::default();
        a.say("ann", &left, 1, Some(1)).unwrap();
        b.say("bob", &right, 1, Some(2)).unwrap();
        far.hear(b.answer(far.digest()));
        b.say("bob", &right, 2, None).unwrap();
        a.hear(b.answer(a.digest()));
        a.say("ann", &left.join(&right).unwrap(), 2, Some(3)).unwrap();
        let answer = a.answer(far.digest());
        assert_eq!(far.hear(answer), ["ann", "bob"]);
        assert_eq!((far.get("ann"), far.get("bob")), (Some((&2, &Some(3))), Some((&2, &None))));
        assert_eq!(far, a);
    }

    #[test]
    fn what_cannot_be_said_changes_nothing() {
        let mut words = Words::default();
        assert_eq!(words.say(1, &Id::empty(), (0, 1), 0), Err(SayError::NoPart));
        words.digest = Event { tree: super::super::tree::Tree::constant(u64::MAX) };
        let before = words.clone();
        assert_eq!(words.say(1, &Id::whole(), (0, 1), 0), Err(SayError::Overflow(CounterOverflow)));
        assert_eq!(words, before);
    }
}

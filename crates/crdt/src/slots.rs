//! [`Slots`]: for each actor the last of its writes, as a total.
//!
//! Invariant: actors ascend, and each entry's number is at least 1. An entry is written by its actor alone, each time
//! with a greater number, so that entries of one actor are a chain and the greatest of two says all that both say. A
//! tie that only a foreign peer can make is decided by the totals, the same way everywhere.

use deltaic_causality::{ActorId, CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::WriteError;

/// What an actor has said last. The order begins with the number of the write.
pub(crate) trait Entry: Ord + Copy {
    /// The number of the write that made it.
    fn seq(&self) -> u64;
    fn write(&self, bytes: &mut Vec<u8>);
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A sorted vector: a join is linear, and a single entry is found by bisection and one allocation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slots<E> {
    entries: Vec<(ActorId, E)>,
}

impl<E> Default for Slots<E> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<E: Entry> Slots<E> {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The actor's entry, if the dot is a write after it.
    pub(crate) fn before(&self, dot: Dot) -> Result<Option<E>, WriteError> {
        let entry = self.find(dot.actor).ok().map(|place| self.entries[place].1);
        let last = entry.map_or(0, |entry| entry.seq());
        if dot.seq > last { Ok(entry) } else { Err(WriteError::UsedDot { dot }) }
    }

    /// Puts the actor's new entry, and gives it alone.
    pub(crate) fn put(&mut self, actor: ActorId, entry: E) -> Self {
        match self.find(actor) {
            Ok(place) => self.entries[place].1 = entry,
            Err(place) => self.entries.insert(place, (actor, entry)),
        }
        Self { entries: vec![(actor, entry)] }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &E> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(crate) fn join(&mut self, other: &Self) {
        if let [(actor, entry)] = other.entries[..] {
            match self.find(actor) {
                Ok(place) => self.entries[place].1 = entry.max(self.entries[place].1),
                Err(place) => self.entries.insert(place, (actor, entry)),
            }
            return;
        }
        if self.raise_known(other) {
            return;
        }
        let mut joined = Vec::with_capacity(self.entries.len() + other.entries.len());
        let (mut left, mut right) = (&self.entries[..], &other.entries[..]);
        while let (Some((ours, left_rest)), Some((theirs, right_rest))) =
            (left.split_first(), right.split_first())
        {
            let actor = ours.0.min(theirs.0);
            let entry = match ours.0.cmp(&theirs.0) {
                std::cmp::Ordering::Less => ours.1,
                std::cmp::Ordering::Equal => ours.1.max(theirs.1),
                std::cmp::Ordering::Greater => theirs.1,
            };
            joined.push((actor, entry));
            left = if ours.0 == actor { left_rest } else { left };
            right = if theirs.0 == actor { right_rest } else { right };
        }
        joined.extend_from_slice(left);
        joined.extend_from_slice(right);
        self.entries = joined;
    }

    /// Joins the other's entries in their places, up to the first actor that is not known here. Whether all are: mostly they
    /// are, and nothing moves.
    fn raise_known(&mut self, other: &Self) -> bool {
        let mut own = self.entries.iter_mut();
        other.entries.iter().all(|(actor, entry)| match own.find(|(held, _)| held >= actor) {
            Some((held, last)) if held == actor => {
                *last = (*last).max(*entry);
                true
            }
            _ => false,
        })
    }

    /// Each entry alone.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Self> + '_ {
        self.entries.iter().map(|&entry| Self { entries: vec![entry] })
    }

    pub(crate) fn novel(&self, seen: &CausalContext) -> Self {
        let unseen = |(actor, entry): &&(ActorId, E)| !seen.contains(Dot { actor: *actor, seq: entry.seq() });
        Self { entries: self.entries.iter().filter(unseen).copied().collect() }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        deltaic_types::codec::write_u64(bytes, self.entries.len() as u64);
        for (actor, entry) in &self.entries {
            deltaic_types::codec::write_u64(bytes, actor.0);
            entry.write(bytes);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(deltaic_types::limits::ACTORS)?;
        let mut entries: Vec<(ActorId, E)> = Vec::with_capacity(length.min(reader.rest().len() / 3));
        for _ in 0..length {
            let actor = ActorId(reader.u64()?);
            let entry = E::read(reader)?;
            if entry.seq() == 0 || entries.last().is_some_and(|(before, _)| *before >= actor) {
                return Err(DecodeError::Invalid("counter: its actors or their numbers"));
            }
            entries.push((actor, entry));
        }
        Ok(Self { entries })
    }

    fn find(&self, actor: ActorId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&actor, |(held, _)| *held)
    }
}

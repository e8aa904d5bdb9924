//! [`Replica`]: values that merge, by key, under one context.
//!
//! Invariant: what is held is a cut. Of each key and actor the index has the last write, and of each removal a note says what
//! went, so that what a peer lacks is found by the writes that it lacks and not by looking at every value. Notes are kept
//! until every member holds the removal; a peer that lacks one by then gets the whole state.
//!
//! ```
//! use deltaic_causality::ActorId;
//! use deltaic_crdt::{AddWinsSet, GCounter, Plain, Replica, State};
//!
//! let mut berlin = Replica::<String, Plain<GCounter>>::new(ActorId(1));
//! let mut tokyo = Replica::<String, Plain<GCounter>>::new(ActorId(2));
//! berlin.write(&"views".into(), |views, dot| views.increment(dot, 1_000))?;
//! tokyo.write(&"views".into(), |views, dot| views.increment(dot, 2_300))?;
//!
//! let delta = berlin.delta(tokyo.cut()).expect("nothing was trimmed");
//! tokyo.merge(&delta, berlin.cut())?;
//! assert_eq!(tokyo.get("views").map(|views| views.value()), Some(3_300));
//!
//! let mut carts = Replica::<String, AddWinsSet<u64>>::new(ActorId(1));
//! carts.update(&"ann".into(), |cart, seen, dot| cart.add(seen, dot, 7))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use deltaic_causality::{ActorId, CausalContext, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader, write_u64};
use deltaic_types::limits;
use siphasher::sip::SipHasher24;
use thiserror::Error;

use crate::{Causal, Crdt, DotStore, Element, Gone, Merge, Plain, State, Theirs, WriteError};

/// Why a write to a replica was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The value refused it.
    #[error(transparent)]
    Refused(#[from] WriteError),
    /// The actor has made 2^64 - 1 writes.
    #[error("actor {actor} has no number left for a write: go on as another actor")]
    Exhausted {
        /// The actor.
        actor: ActorId,
    },
}

/// Writes to a value, each with what it removed.
pub type Removals<V> = Vec<(Dot, <V as Merge>::Gone)>;

/// A value with the last write of each actor to it.
#[derive(Debug, Clone, Default)]
struct Kept<V> {
    value: V,
    writes: Vec<(ActorId, u64)>,
    /// The writes that removed something of it and are noted.
    notes: Vec<Dot>,
    /// Of its key and its bytes, as they are in the digest; 0 where nothing is left of it.
    hash: u64,
    bytes: usize,
}

/// One replica of a set of values by key.
#[derive(Debug, Clone)]
pub struct Replica<K, V: Merge> {
    actor: ActorId,
    values: BTreeMap<K, Kept<V>>,
    /// The key of each write that is the last of its actor there.
    index: BTreeMap<Dot, K>,
    /// By the write that did it: what went.
    removed: BTreeMap<Dot, (K, V::Gone)>,
    /// Removals in this cut are noted no more.
    trimmed: VersionVector,
    cut: VersionVector,
    context: CausalContext,
    /// The sum of the hashes of each kind of key; kinds with none are not here.
    sums: BTreeMap<u64, u64>,
    /// The bytes of all keys and values.
    size: usize,
}

/// What a delta has of a key.
struct Part<K, V: Merge> {
    key: K,
    /// The writes that are the last of their actors, beyond what was seen.
    writes: Vec<Dot>,
    /// Removals, each with what went.
    removed: Vec<(Dot, V::Gone)>,
    value: V,
}

impl<K: Element, S: DotStore> Replica<K, S> {
    /// Writes to a key by one of its store's mutators, which gets the store, what was seen and the name of the write. The
    /// delta is given back. Cost: the change, O(log n) for n keys, and the value's bytes.
    pub fn update(
        &mut self,
        key: &K,
        change: impl FnOnce(&mut S, &CausalContext, Dot) -> Result<Causal<S>, WriteError>,
    ) -> Result<Causal<S>, ReplicaError> {
        let mut delta = Causal::default();
        self.change(key, |store, seen, dot| {
            delta = change(store, seen, dot)?;
            let own = [dot].into_iter().collect();
            Ok(delta.context().minus(&delta.store().dots()).minus(&own))
        })?;
        Ok(delta)
    }
}

impl<K: Element, C: Crdt> Replica<K, Plain<C>> {
    /// Writes to a key by one of its value's mutators, which gets the value and the name of the write. The delta is given
    /// back. Cost: the change, O(log n) for n keys, and the value's bytes.
    pub fn write(
        &mut self,
        key: &K,
        change: impl FnOnce(&mut C, Dot) -> Result<C, WriteError>,
    ) -> Result<C, ReplicaError> {
        let mut delta = C::default();
        self.change(key, |value, _, dot| {
            delta = change(&mut value.0, dot)?;
            Ok(CausalContext::default())
        })?;
        Ok(delta)
    }
}

impl<K: Element, V: Merge> Replica<K, V> {
    /// An empty one. The actor is this replica's alone, for ever.
    pub fn new(actor: ActorId) -> Self {
        Self {
            actor,
            values: BTreeMap::new(),
            index: BTreeMap::new(),
            removed: BTreeMap::new(),
            trimmed: VersionVector::default(),
            cut: VersionVector::default(),
            context: CausalContext::default(),
            sums: BTreeMap::new(),
            size: 0,
        }
    }

    /// Who writes here.
    pub fn actor(&self) -> ActorId {
        self.actor
    }

    /// The value of a key; none if nothing was written there.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.values.get(key).map(|kept| &kept.value)
    }

    /// All keys with their values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.values.iter().map(|(key, kept)| (key, &kept.value))
    }

    /// How many keys something is kept of, those of which nothing is to be seen among them.
    pub fn kept(&self) -> usize {
        self.values.len()
    }

    /// How many removals are noted for those that lack them.
    pub fn notes(&self) -> usize {
        self.removed.len()
    }

    /// Forgets the notes of removals that every member holds, and keys of which nothing is left, which are given back. Cost: the
    /// notes and the keys.
    pub fn trim(&mut self, stable: &VersionVector) -> Vec<K> {
        self.trim_unless(stable, |_| false)
    }

    /// The same, without the keys that are still needed.
    pub fn trim_unless(&mut self, stable: &VersionVector, is_needed: impl Fn(&K) -> bool) -> Vec<K> {
        self.forget_notes(stable);
        let dots = |kept: &Kept<V>| kept.writes.clone().into_iter().map(|(actor, seq)| Dot { actor, seq });
        let mut gone = Vec::new();
        self.values.retain(|key, kept| {
            let stays =
                !kept.value.is_gone() || dots(kept).any(|dot| !stable.contains(dot)) || is_needed(key);
            if !stays {
                dots(kept).for_each(|dot| drop(self.index.remove(&dot)));
                self.size -= kept.bytes;
                gone.push(key.clone());
            }
            stays
        });
        gone
    }

    /// Forgets keys as if they had never been: only where nobody else holds them. They are given back. Cost: all keys and notes.
    pub fn forget(&mut self, is_forgotten: impl Fn(&K) -> bool) -> Vec<K> {
        let keys: Vec<K> = self.values.keys().filter(|key| is_forgotten(key)).cloned().collect();
        for key in &keys {
            let kept = self.values.remove(key).expect("invariant: the key is there");
            for (actor, seq) in kept.writes {
                self.index.remove(&Dot { actor, seq });
            }
            self.size -= kept.bytes;
            let sum = self.sums.entry(key.kind()).or_default();
            *sum = sum.wrapping_sub(kept.hash);
        }
        self.sums.retain(|_, sum| *sum != 0);
        self.removed.retain(|_, (key, _)| !is_forgotten(key));
        keys
    }

    /// Forgets the notes of removals in this cut.
    fn forget_notes(&mut self, stable: &VersionVector) {
        let values = &mut self.values;
        self.removed.retain(|dot, (key, _)| {
            let stays = !stable.contains(*dot);
            if !stays && let Some(kept) = values.get_mut(key) {
                kept.notes.retain(|note| note != dot);
            }
            stays
        });
        self.trimmed.join(stable);
    }

    /// What was seen here, as a context.
    pub fn seen(&self) -> &CausalContext {
        &self.context
    }

    /// Removals in this cut are noted no more.
    pub fn trimmed(&self) -> &VersionVector {
        &self.trimmed
    }

    /// The keys that were written to by writes beyond `since`, each once. Cost: these writes.
    pub fn written_since(&self, since: &VersionVector) -> BTreeSet<&K> {
        let mut keys = BTreeSet::new();
        for (actor, last) in self.cut.iter() {
            let seen = since.last(actor);
            if seen < last {
                let unseen = Dot { actor, seq: seen + 1 }..=Dot { actor, seq: last };
                keys.extend(self.index.range(unseen).map(|(_, key)| key));
            }
        }
        keys
    }

    /// Puts values in place that were made of those that are here by this replica's own writes, each with what it removed, in
    /// their order. Cost: the values' bytes, and O(log n) for each.
    ///
    /// # Panics
    /// Where a write is another actor's or was made before.
    pub fn put(&mut self, values: Vec<(K, V, Removals<V>)>) {
        let is_new = |dot: &Dot| dot.actor == self.actor && !self.context.contains(*dot);
        let dots = values.iter().flat_map(|(_, _, made)| made.iter().map(|(dot, _)| dot));
        assert!(dots.clone().all(is_new), "writes are new and this replica's");
        let latest = dots.map(|dot| dot.seq).max();
        for (key, value, made) in values {
            let Some((last, _)) = made.last() else { continue };
            let last = *last;
            self.values.entry(key.clone()).or_default().value = value;
            let removed = made.into_iter().filter(|(_, gone)| !gone.is_nothing()).collect();
            self.note(&key, &[last], removed);
        }
        self.advance(latest.unwrap_or(0));
    }

    /// Says that this replica has made writes up to this number, of which nothing is kept where nothing was [put](Self::put).
    pub fn advance(&mut self, seq: u64) {
        if seq > self.cut.last(self.actor) {
            self.cut.raise(Dot { actor: self.actor, seq });
            self.context = CausalContext::from(&self.cut);
        }
    }

    /// All that is held of a key as bytes, for [`Replica::restore`]; none if nothing is.
    pub fn record(&self, key: &K) -> Option<Vec<u8>> {
        let kept = self.values.get(key)?;
        let note = |dot: &Dot| self.removed.get(dot).map(|(_, gone)| (*dot, gone.clone()));
        let removed: BTreeMap<Dot, V::Gone> = kept.notes.iter().filter_map(note).collect();
        let removed = removed.into_iter().collect();
        let mut bytes = Vec::new();
        self.part(key, &CausalContext::default(), removed).write(&mut bytes);
        Some(bytes)
    }

    /// A replica of what [`Replica::record`] gave of each key, at a cut. Cost: as many merges as there are keys.
    pub fn restore<'r>(
        actor: ActorId,
        cut: &VersionVector,
        trimmed: &VersionVector,
        records: impl IntoIterator<Item = &'r [u8]>,
    ) -> Result<Self, DecodeError> {
        let mut replica = Self::new(actor);
        replica.trimmed = trimmed.clone();
        let held = CausalContext::from(cut);
        for record in records {
            let mut reader = Reader::new(record);
            let part = Part::<K, V>::read(&mut reader)?;
            reader.finish()?;
            if !part.is_within(&held) {
                return Err(DecodeError::Invalid("record: a write beyond the cut"));
            }
            let Part { key, writes, removed, value } = part;
            replica.values.entry(key.clone()).or_default().value = value;
            replica.note(&key, &writes, removed);
        }
        (replica.cut, replica.context) = (cut.clone(), held);
        Ok(replica)
    }

    /// Makes a write: `change` gets the value, what was seen and the name of the write, and says what it removed. Where it
    /// fails it must have changed nothing. Cost: the change, O(log n) for n keys, and the value's bytes.
    pub fn change(
        &mut self,
        key: &K,
        change: impl FnOnce(&mut V, &CausalContext, Dot) -> Result<V::Gone, WriteError>,
    ) -> Result<(), ReplicaError> {
        let actor = self.actor;
        let dot = self.cut.next(actor).ok_or(ReplicaError::Exhausted { actor })?;
        let gone = match self.values.get_mut(key) {
            Some(kept) => change(&mut kept.value, &self.context, dot)?,
            None => {
                let mut kept = Kept::default();
                let gone = change(&mut kept.value, &self.context, dot)?;
                self.values.insert(key.clone(), kept);
                gone
            }
        };
        self.cut.raise(dot);
        self.context.insert(dot);
        let removed = if gone.is_nothing() { Vec::new() } else { vec![(dot, gone)] };
        self.note(key, &[dot], removed);
        Ok(())
    }

    /// Merges what [`State::delta`] or [`State::whole`] of another replica gave; `to` is what is held then, beyond what was
    /// held before; says which keys have changed. Foreign bytes are an error, and nothing is merged. Cost: what is in it; of a
    /// whole state, what is here too.
    pub fn merge(&mut self, body: &[u8], to: &VersionVector) -> Result<Vec<K>, DecodeError> {
        let mut reader = Reader::new(body);
        let [is_whole] = reader.take()?;
        if is_whole > 1 {
            return Err(DecodeError::UnknownTag(is_whole));
        }
        // Who trimmed more has no notes of it, and what goes on from here has none either.
        let trimmed =
            if is_whole == 1 { VersionVector::read(&mut reader)? } else { VersionVector::default() };
        let count = reader.length(usize::MAX)?;
        let parts =
            (0..count).map(|_| Part::read(&mut reader)).collect::<Result<Vec<Part<K, V>>, DecodeError>>()?;
        reader.finish()?;
        let is_told = |dot: &Dot| dot.seq != 0 && (to.contains(*dot) || self.cut.contains(*dot));
        let dots = |part: &Part<K, V>| {
            let removals = part.removed.iter().map(|(dot, _)| *dot);
            part.writes.iter().copied().chain(removals).collect::<Vec<Dot>>()
        };
        if !parts.iter().flat_map(dots).all(|dot| is_told(&dot)) {
            return Err(DecodeError::Invalid("delta: a write beyond its cut"));
        }
        if !parts.is_sorted_by(|one, next| one.key < next.key) {
            return Err(DecodeError::Invalid("delta: the order of its keys"));
        }
        let mut held = self.context.clone();
        held.join(&to.into());
        if !parts.iter().all(|part| part.is_within(&held)) {
            return Err(DecodeError::Invalid(
                "delta: a value of writes beyond its cut, or with one at two places",
            ));
        }
        if !trimmed.is_empty() {
            self.forget_notes(&trimmed);
        }
        let mut changed = Vec::new();
        if is_whole == 1 {
            // What the other has seen and not any more is gone.
            let theirs = CausalContext::from(to);
            let there: BTreeSet<&K> = parts.iter().map(|part| &part.key).collect();
            let absent: Vec<K> = self.values.keys().filter(|key| !there.contains(key)).cloned().collect();
            for key in absent {
                let (writes, removed, value) = (Vec::new(), Vec::new(), V::default());
                changed.extend(self.absorb(Part { key, writes, removed, value }, Some(&theirs)));
            }
            for part in parts {
                changed.extend(self.absorb(part, Some(&theirs)));
            }
        } else {
            for part in parts {
                changed.extend(self.absorb(part, None));
            }
        }
        self.cut.join(to);
        self.context = held;
        Ok(changed)
    }

    /// Takes in a part, of a whole state with what that holds; the key, if that changed anything of it.
    fn absorb(&mut self, part: Part<K, V>, whole: Option<&CausalContext>) -> Option<K> {
        let Part { key, writes, removed, value } = part;
        let kept = self.values.entry(key.clone()).or_default();
        let before = (kept.hash, kept.bytes, kept.writes.clone(), kept.notes.len());
        let theirs = whole.map_or(Theirs::Part(&removed), Theirs::Whole);
        kept.value.merge(&self.context, &value, theirs);
        self.note(&key, &writes, removed);
        let kept = &self.values[&key];
        (before != (kept.hash, kept.bytes, kept.writes.clone(), kept.notes.len())).then_some(key)
    }

    /// The value of a key has changed by these writes.
    fn note(&mut self, key: &K, writes: &[Dot], removed: Vec<(Dot, V::Gone)>) {
        let kept = self.values.get_mut(key).expect("invariant: it was just written");
        for (dot, gone) in removed {
            if !self.trimmed.contains(dot) && self.removed.insert(dot, (key.clone(), gone)).is_none() {
                kept.notes.push(dot);
            }
        }
        for &Dot { actor, seq } in writes {
            match kept.writes.binary_search_by_key(&actor, |(held, _)| *held) {
                Ok(place) if kept.writes[place].1 >= seq => continue,
                Ok(place) => {
                    let old = std::mem::replace(&mut kept.writes[place].1, seq);
                    self.index.remove(&Dot { actor, seq: old });
                }
                Err(place) => kept.writes.insert(place, (actor, seq)),
            }
            self.index.insert(Dot { actor, seq }, key.clone());
        }
        // Mostly about as long as before.
        let (mut bytes, mut hasher) = (Vec::with_capacity(kept.bytes + 16), SipHasher24::new());
        key.write(&mut bytes);
        kept.value.put(&mut bytes);
        hasher.write(&bytes);
        let new = if kept.value.is_gone() { 0 } else { hasher.finish() };
        let hash = std::mem::replace(&mut kept.hash, new);
        let length = std::mem::replace(&mut kept.bytes, bytes.len());
        let change = kept.hash.wrapping_sub(hash);
        self.size = self.size - length + bytes.len();
        let sum = self.sums.entry(key.kind()).or_default();
        *sum = sum.wrapping_add(change);
        if *sum == 0 {
            self.sums.remove(&key.kind());
        }
    }

    /// What of a key was not seen.
    fn part(&self, key: &K, since: &CausalContext, removed: Vec<(Dot, V::Gone)>) -> Part<K, V> {
        let kept = &self.values[key];
        let writes = kept.writes.iter().map(|&(actor, seq)| Dot { actor, seq });
        let writes = writes.filter(|dot| !since.contains(*dot)).collect();
        Part { key: key.clone(), writes, removed, value: kept.value.unseen(since) }
    }
}

impl<K: Element, V: Merge> Part<K, V> {
    /// Whether all that the value holds, and all that was removed, is held.
    fn is_within(&self, held: &CausalContext) -> bool {
        self.value.is_within(held) && self.removed.iter().all(|(_, gone)| gone.is_within(held))
    }

    /// Appends the key; its writes; its removals, each with what went; the value.
    fn write(&self, bytes: &mut Vec<u8>) {
        self.key.write(bytes);
        write_u64(bytes, self.writes.len() as u64);
        self.writes.iter().for_each(|dot| dot.write(bytes));
        write_u64(bytes, self.removed.len() as u64);
        for (dot, gone) in &self.removed {
            dot.write(bytes);
            gone.put(bytes);
        }
        self.value.put(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = K::read(reader)?;
        let writes = (0..reader.length(limits::ACTORS)?).map(|_| Dot::read(reader));
        let writes = writes.collect::<Result<Vec<Dot>, DecodeError>>()?;
        if !writes.is_sorted_by(|one, next| one.actor < next.actor) {
            return Err(DecodeError::Invalid("delta: the order of a key's writes"));
        }
        let mut removed: Vec<(Dot, V::Gone)> = Vec::new();
        for _ in 0..reader.length(limits::INTERVALS)? {
            let (dot, gone) = (Dot::read(reader)?, V::Gone::take(reader)?);
            if gone.is_nothing() || removed.last().is_some_and(|(before, _)| *before >= dot) {
                return Err(DecodeError::Invalid("delta: the order of its removals, or one of nothing"));
            }
            removed.push((dot, gone));
        }
        Ok(Self { key, writes, removed, value: V::take(reader)? })
    }
}

impl<K: Element, V: Merge> State for Replica<K, V> {
    fn cut(&self) -> &VersionVector {
        &self.cut
    }

    fn delta(&self, since: &VersionVector) -> Option<Vec<u8>> {
        // Notes of removals that were trimmed are missing in what is beyond `since`.
        if self.trimmed.iter().any(|(actor, seq)| since.last(actor) < seq) {
            return None;
        }
        let mut touched: BTreeMap<&K, Vec<(Dot, V::Gone)>> = BTreeMap::new();
        for (actor, last) in self.cut.iter() {
            let seen = since.last(actor);
            if seen < last {
                let unseen = Dot { actor, seq: seen + 1 }..=Dot { actor, seq: last };
                for (_, key) in self.index.range(unseen.clone()) {
                    touched.entry(key).or_default();
                }
                for (dot, (key, gone)) in self.removed.range(unseen) {
                    touched.entry(key).or_default().push((*dot, gone.clone()));
                }
            }
        }
        let since = CausalContext::from(since);
        let mut bytes = vec![0];
        write_u64(&mut bytes, touched.len() as u64);
        for (key, removed) in touched {
            self.part(key, &since, removed).write(&mut bytes);
        }
        Some(bytes)
    }

    fn whole(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        self.trimmed.write(&mut bytes);
        write_u64(&mut bytes, self.values.len() as u64);
        let since = CausalContext::default();
        let mut removed: BTreeMap<&K, Vec<(Dot, V::Gone)>> = BTreeMap::new();
        for (dot, (key, gone)) in &self.removed {
            removed.entry(key).or_default().push((*dot, gone.clone()));
        }
        for key in self.values.keys() {
            let removed = removed.remove(key).unwrap_or_default();
            self.part(key, &since, removed).write(&mut bytes);
        }
        bytes
    }

    fn whole_size(&self) -> usize {
        self.size
    }

    fn sums(&self) -> impl Iterator<Item = (u64, u64)> {
        self.sums.iter().map(|(kind, sum)| (*kind, *sum))
    }
}

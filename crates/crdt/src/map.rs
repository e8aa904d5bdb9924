//! [`Map`]: keys with values that merge.
//!
//! Invariant: no key has an empty value, so that a key is there as long as its value holds a dot.
//!
//! What a removal does: removing a key removes the writes below it that its author saw, at any depth, and no other. A
//! write under the key that is concurrent with the removal stays, and the key is there again with *that write alone*,
//! nothing of what was removed comes back (so it is an observed-remove map whose removals reset). A value that becomes
//! empty by its own writes (a flag switched off, a set whose last element goes) takes its key with it.
//!
//! Counters are no stores and cannot be values: a removal could not tell which part of an actor's total it had seen.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{AddWinsSet, Causal, Crdt, Map};
//!
//! let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
//! let mut here: Causal<Map<String, AddWinsSet<u64>>> = Causal::default();
//! here.update("cart".to_owned(), |set, seen| set.add(seen, dot(1, 1), 7))?;
//! let mut there = here.clone();
//!
//! here.remove(dot(1, 2), &"cart".to_owned())?;
//! there.update("cart".to_owned(), |set, seen| set.add(seen, dot(2, 1), 8))?;
//! here.join(&there);
//! let cart = here.get(&"cart".to_owned()).unwrap();
//! assert_eq!(cart.iter().collect::<Vec<_>>(), [&8]);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use std::collections::BTreeMap;

use deltaic_causality::{CausalContext, Dot, VersionVector};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::crdt::check_fresh;
use crate::{Causal, DotStore, Element, WriteError};

/// An observed-remove map.
///
/// Joining a delta costs the keys of the delta, times the logarithm of the map's, where it removes nothing elsewhere.
/// A delta that does visits every key, as does a whole map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<K, S> {
    entries: BTreeMap<K, S>,
}

/// A delta of so many keys and intervals is looked at more closely, as it is worth not visiting all keys for it.
const FEW: usize = 16;

impl<K, S> Default for Map<K, S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Element, S: DotStore> Map<K, S> {
    /// The key's value. O(log n).
    pub fn get(&self, key: &K) -> Option<&S> {
        self.entries.get(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys with their values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        self.entries.iter()
    }

    /// Writes to the key's value, which begins empty, by one of that value's mutators.
    pub fn update(
        &mut self,
        key: K,
        write: impl FnOnce(&mut S) -> Result<Causal<S>, WriteError>,
    ) -> Result<Causal<Self>, WriteError> {
        let delta = if let Some(store) = self.entries.get_mut(&key) {
            let delta = write(store)?;
            if store.is_empty() {
                self.entries.remove(&key);
            }
            delta
        } else {
            let mut store = S::default();
            let delta = write(&mut store)?;
            if !store.is_empty() {
                self.entries.insert(key.clone(), store);
            }
            delta
        };
        Ok(delta.map(|store| Self::of([(key, store)])))
    }

    /// Removes what is under the key here.
    pub fn remove(&mut self, seen: &CausalContext, dot: Dot, key: &K) -> Result<Causal<Self>, WriteError> {
        check_fresh(seen, dot)?;
        let gone = self.entries.remove(key).unwrap_or_default();
        Ok(Causal::delta(S::default(), dot, &gone).map(|_| Self::default()))
    }

    /// Removes of what is under the key only what the basis holds: what the removal's author had seen. An error if that
    /// holds writes that have not come here yet, as the removal would miss them.
    pub fn remove_seen(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        key: &K,
        basis: &CausalContext,
    ) -> Result<Causal<Self>, WriteError> {
        if !seen.includes(basis) {
            return Err(WriteError::Unseen);
        }
        check_fresh(seen, dot)?;
        let mut context = CausalContext::default();
        if let Some(store) = self.entries.get_mut(key) {
            let left = store.novel(basis);
            context = store.dots().minus(&left.dots());
            if left.is_empty() {
                self.entries.remove(key);
            } else {
                *store = left;
            }
        }
        context.insert(dot);
        Ok(Causal::removal(context))
    }

    /// Removes every key whose value answers true, as one write.
    pub(crate) fn remove_where(
        &mut self,
        seen: &CausalContext,
        dot: Dot,
        gone: impl Fn(&S) -> bool,
    ) -> Result<Causal<Self>, WriteError> {
        check_fresh(seen, dot)?;
        let mut removed = Self::default();
        self.entries.retain(|key, store| {
            let goes = gone(store);
            if goes {
                removed.entries.insert(key.clone(), std::mem::take(store));
            }
            !goes
        });
        Ok(Causal::delta(Self::default(), dot, &removed))
    }

    fn of(entries: impl IntoIterator<Item = (K, S)>) -> Self {
        Self { entries: entries.into_iter().filter(|(_, store)| !store.is_empty()).collect() }
    }

    /// Whether the other side can have removed nothing but what is under its own keys.
    fn removes_nothing_else(&self, own: &CausalContext, other: &Self, theirs: &CausalContext) -> bool {
        if other.entries.len() > FEW || theirs.intervals() > FEW {
            return false;
        }
        let here = other.entries.keys().filter_map(|key| self.entries.get(key));
        let mut dots = Vec::new();
        here.for_each(|store| store.each_dot(&mut |dot| dots.push(dot)));
        own.is_disjoint(&theirs.minus(&dots.into_iter().collect()))
    }
}

impl<K: Element, S: DotStore> Causal<Map<K, S>> {
    /// Writes to the key's value, which begins empty, by one of that value's mutators.
    pub fn update(
        &mut self,
        key: K,
        write: impl FnOnce(&mut S, &CausalContext) -> Result<Causal<S>, WriteError>,
    ) -> Result<Self, WriteError> {
        self.apply(|map, seen| map.update(key, |store| write(store, seen)))
    }

    /// Removes what is under the key here.
    pub fn remove(&mut self, dot: Dot, key: &K) -> Result<Self, WriteError> {
        self.apply(|map, seen| map.remove(seen, dot, key))
    }

    /// Removes of what is under the key only what the cut holds: [`Map::remove_seen`].
    pub fn remove_seen(&mut self, dot: Dot, key: &K, cut: &VersionVector) -> Result<Self, WriteError> {
        self.apply(|map, seen| map.remove_seen(seen, dot, key, &cut.into()))
    }
}

impl<K: Element, S: DotStore> DotStore for Map<K, S> {
    fn join(&mut self, own: &CausalContext, other: &Self, theirs: &CausalContext) {
        if !self.removes_nothing_else(own, other, theirs) {
            let empty = S::default();
            self.entries.retain(|key, store| {
                if !other.entries.contains_key(key) {
                    store.join(own, &empty, theirs);
                }
                !store.is_empty()
            });
        }
        for (key, theirs_there) in &other.entries {
            if let Some(store) = self.entries.get_mut(key) {
                store.join(own, theirs_there, theirs);
                if store.is_empty() {
                    self.entries.remove(key);
                }
            } else {
                let mut store = S::default();
                store.join(own, theirs_there, theirs);
                if !store.is_empty() {
                    self.entries.insert(key.clone(), store);
                }
            }
        }
    }

    fn each_dot(&self, visit: &mut dyn FnMut(Dot)) {
        self.entries.values().for_each(|store| store.each_dot(visit));
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        Self::of(self.entries.iter().map(|(key, store)| (key.clone(), store.novel(seen))))
    }

    fn decompose(&self) -> Vec<Self> {
        let parts = self.entries.iter().flat_map(|(key, store)| {
            store.decompose().into_iter().map(move |part| Self::of([(key.clone(), part)]))
        });
        parts.collect()
    }

    /// The number of keys; each and its value.
    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.entries.len() as u64);
        for (key, store) in &self.entries {
            key.write(bytes);
            store.write(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(usize::MAX)?;
        let mut entries = BTreeMap::new();
        for _ in 0..length {
            let key = K::read(reader)?;
            let store = S::read(reader)?;
            if store.is_empty() || entries.last_key_value().is_some_and(|(before, _)| *before >= key) {
                return Err(DecodeError::Invalid("map: the order of its keys, or an empty value"));
            }
            entries.insert(key, store);
        }
        Ok(Self { entries })
    }
}

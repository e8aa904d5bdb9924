//! [`Chains`]: a map of keys to links of chains.
//!
//! Invariant: a key's value only rises in a total order, so that the greater of two says all that both say, and the map
//! with the greater of each is the least upper bound. Each link names the write that made it.

use std::collections::BTreeMap;

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use crate::Element;

/// A place in a chain.
pub(crate) trait Link<K>: Ord + Clone {
    /// The write that made it.
    fn dot(&self, key: &K) -> Dot;
    fn write(&self, bytes: &mut Vec<u8>);
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chains<K, L> {
    pub(crate) links: BTreeMap<K, L>,
}

impl<K, L> Default for Chains<K, L> {
    fn default() -> Self {
        Self { links: BTreeMap::new() }
    }
}

impl<K: Element, L: Link<K>> Chains<K, L> {
    pub(crate) fn one(key: K, link: L) -> Self {
        Self { links: BTreeMap::from([(key, link)]) }
    }

    /// Raises the key to the link, and gives it alone.
    pub(crate) fn raise(&mut self, key: K, link: L) -> Self {
        let delta = Self::one(key, link);
        self.join(&delta);
        delta
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (key, link) in &other.links {
            match self.links.get_mut(key) {
                Some(held) if *held >= *link => {}
                Some(held) => held.clone_from(link),
                None => {
                    self.links.insert(key.clone(), link.clone());
                }
            }
        }
    }

    /// Each link alone.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Self> + '_ {
        self.links.iter().map(|(key, link)| Self::one(key.clone(), link.clone()))
    }

    pub(crate) fn novel(&self, seen: &CausalContext) -> Self {
        let unseen = self.links.iter().filter(|(key, link)| !seen.contains(link.dot(key)));
        Self { links: unseen.map(|(key, link)| (key.clone(), link.clone())).collect() }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.links.len() as u64);
        for (key, link) in &self.links {
            key.write(bytes);
            link.write(bytes);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length(usize::MAX)?;
        let mut links = BTreeMap::new();
        for _ in 0..length {
            let key = K::read(reader)?;
            let link = L::read(reader)?;
            if link.dot(&key).seq == 0 || links.last_key_value().is_some_and(|(before, _)| *before >= key) {
                return Err(DecodeError::Invalid("set: the order of its elements, or a write's number"));
            }
            links.insert(key, link);
        }
        Ok(Self { links })
    }
}

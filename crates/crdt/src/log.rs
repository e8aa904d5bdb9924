//! [`Log`]: writes by the dots that name them, each as bytes that mean nothing here.
//!
//! Invariant: a write that was appended stays, so that a join is the union and asks nobody what the bytes say. Two writes with one dot,
//! which only copies of an actor or a foreign peer can bring about, are the greater of them everywhere. What the writes come to is for
//! who knows their bytes: `deltaic-text` reads a log as a text.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot};
//! use deltaic_crdt::{Crdt, Log};
//!
//! let (mut here, mut there) = (Log::default(), Log::default());
//! here.append(Dot { actor: ActorId(1), seq: 1 }, b"insert".as_slice())?;
//! there.append(Dot { actor: ActorId(2), seq: 1 }, b"delete".as_slice())?;
//! here.join(&there);
//! assert_eq!(here.iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), [b"insert", b"delete"]);
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use deltaic_causality::{ActorId, CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader, write_bytes, write_u64};
use deltaic_types::limits;

use crate::{Crdt, WriteError};

/// Writes that are kept for ever. About 50 bytes a write besides its own; copies share those.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    writes: BTreeMap<Dot, Arc<[u8]>>,
}

impl Log {
    /// The writes, by actor and then in the order in which each made its own.
    pub fn iter(&self) -> impl Iterator<Item = (Dot, &[u8])> {
        self.writes.iter().map(|(dot, bytes)| (*dot, &bytes[..]))
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The bytes of all writes. O(n).
    pub fn size(&self) -> usize {
        self.writes.values().map(|bytes| bytes.len()).sum()
    }

    /// Whether the dot is the next of its actor's writes, as far as they are here.
    pub fn is_next(&self, dot: Dot) -> bool {
        let later = (Bound::Included(dot), Bound::Included(Dot { seq: u64::MAX, ..dot }));
        dot.seq > 0 && self.writes.range(later).next().is_none()
    }

    /// Adds a write. O(log n).
    pub fn append(&mut self, dot: Dot, bytes: impl Into<Arc<[u8]>>) -> Result<Self, WriteError> {
        if !self.is_next(dot) {
            return Err(WriteError::UsedDot { dot });
        }
        let bytes = bytes.into();
        self.writes.insert(dot, Arc::clone(&bytes));
        Ok(Self { writes: BTreeMap::from([(dot, bytes)]) })
    }
}

impl Crdt for Log {
    fn join(&mut self, other: &Self) {
        for (dot, bytes) in &other.writes {
            match self.writes.entry(*dot) {
                Entry::Vacant(entry) => {
                    entry.insert(Arc::clone(bytes));
                }
                Entry::Occupied(mut entry) => {
                    if bytes > entry.get() {
                        entry.insert(Arc::clone(bytes));
                    }
                }
            }
        }
    }

    fn decompose(&self) -> Vec<Self> {
        let part =
            |(dot, bytes): (&Dot, &Arc<[u8]>)| Self { writes: BTreeMap::from([(*dot, Arc::clone(bytes))]) };
        self.writes.iter().map(part).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        let lacking = self.writes.iter().filter(|(dot, _)| !seen.contains(**dot));
        Self { writes: lacking.map(|(dot, bytes)| (*dot, Arc::clone(bytes))).collect() }
    }

    fn is_bottom(&self) -> bool {
        self.is_empty()
    }

    /// The number of writes; of each its dot, and its bytes with their number.
    fn write(&self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.writes.len() as u64);
        for (dot, write) in &self.writes {
            dot.write(bytes);
            write_bytes(bytes, write);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut writes = BTreeMap::new();
        let mut last = Dot { actor: ActorId(0), seq: 0 };
        for _ in 0..reader.length(limits::INTERVALS)? {
            let dot = Dot::read(reader)?;
            if dot <= last || dot.seq == 0 {
                return Err(DecodeError::Invalid("log: the order of its writes, or a write's number"));
            }
            // A write is what brings a value, and a little more.
            writes.insert(dot, Arc::from(reader.bytes(limits::ROW_BYTES)?));
            last = dot;
        }
        Ok(Self { writes })
    }
}

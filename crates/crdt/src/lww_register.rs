//! [`LwwRegister`]: the last write stands.
//!
//! Invariant: writes are ordered by stamp and then by value, a total order, so that every replica keeps the same one. A
//! write that has seen the one it replaces has the greater time and wins, however wrong any machine's clock is.
//!
//! ```
//! use deltaic_causality::{ActorId, Dot, HybridTime};
//! use deltaic_crdt::{Crdt, LwwRegister};
//!
//! let mut title = LwwRegister::default();
//! title.set(Dot { actor: ActorId(1), seq: 1 }, HybridTime::new(5, 0), "Draft".to_owned())?;
//! let mut other = title.clone();
//! other.set(Dot { actor: ActorId(2), seq: 1 }, HybridTime::new(5, 1), "Final Title".to_owned())?;
//! title.join(&other);
//! assert_eq!(title.get().map(String::as_str), Some("Final Title"));
//! # Ok::<(), deltaic_crdt::WriteError>(())
//! ```

use deltaic_causality::{CausalContext, Dot, HybridTime};
use deltaic_types::codec::{DecodeError, Reader};

use crate::{Crdt, Element, Stamp, WriteError};

/// A last-writer-wins register, empty before its first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LwwRegister<T> {
    /// The stamp and then the value: the order that decides.
    last: Option<(Stamp, T)>,
}

impl<T> Default for LwwRegister<T> {
    fn default() -> Self {
        Self { last: None }
    }
}

impl<T: Element> LwwRegister<T> {
    /// The value, or none before the first write.
    pub fn get(&self) -> Option<&T> {
        self.last.as_ref().map(|(_, value)| value)
    }

    /// When the value was written, and by which write.
    pub fn stamp(&self) -> Option<Stamp> {
        self.last.as_ref().map(|(stamp, _)| *stamp)
    }

    /// Writes the value. `time` must be after that of the write it replaces.
    pub fn set(&mut self, dot: Dot, time: HybridTime, value: T) -> Result<Self, WriteError> {
        let stamp = Stamp { time, dot };
        stamp.check_after(self.stamp())?;
        self.last = Some((stamp, value));
        Ok(self.clone())
    }
}

impl<T: Element> Crdt for LwwRegister<T> {
    fn join(&mut self, other: &Self) {
        if other.last > self.last {
            self.last.clone_from(&other.last);
        }
    }

    fn decompose(&self) -> Vec<Self> {
        self.last.iter().map(|_| self.clone()).collect()
    }

    fn novel(&self, seen: &CausalContext) -> Self {
        let unseen = |(stamp, _): &&(Stamp, T)| !seen.contains(stamp.dot);
        Self { last: self.last.as_ref().filter(unseen).cloned() }
    }

    fn is_bottom(&self) -> bool {
        self.last.is_none()
    }

    /// 0, or 1, the stamp and the value.
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.last.is_some()));
        if let Some((stamp, value)) = &self.last {
            stamp.write(bytes);
            value.write(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let last = match reader.take()? {
            [0] => None,
            [1] => Some((Stamp::read(reader)?, T::read(reader)?)),
            [tag] => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(Self { last })
    }
}

//! [`Dot`]: the name of one write.
//!
//! Invariant: an actor numbers its writes 1, 2, 3, … and never gives a number twice, so that a dot names one write
//! among all replicas and for ever. The order of dots is no order in time; it only decides ties the same way
//! everywhere.

use std::fmt;

use deltaic_types::codec::{DecodeError, Reader, write_u64};

/// A server or an edge replica that gives dots. An id belongs to one owner and is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub u64);

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One write, named by who made it and its number there. Ordered by actor, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who made the write.
    pub actor: ActorId,
    /// Which of the actor's writes: the first is 1.
    pub seq: u64,
}

impl Dot {
    /// Appends the dot: 2 to 20 bytes.
    pub fn write(self, bytes: &mut Vec<u8>) {
        write_u64(bytes, self.actor.0);
        write_u64(bytes, self.seq);
    }

    /// Reads what [`Dot::write`] wrote.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { actor: ActorId(reader.u64()?), seq: reader.u64()? })
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_dot_comes_back(actor in any::<u64>(), seq in any::<u64>()) {
            let dot = Dot { actor: ActorId(actor), seq };
            let mut bytes = Vec::new();
            dot.write(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Dot::read(&mut reader), Ok(dot));
            prop_assert!(reader.is_empty());
            prop_assert!(Dot::read(&mut Reader::new(&bytes[..bytes.len() - 1])).is_err());
        }
    }

    #[test]
    fn the_actor_comes_first_in_order_and_in_print() {
        let dot = |actor, seq| Dot { actor: ActorId(actor), seq };
        assert!(dot(1, 9) < dot(2, 1) && dot(2, 1) < dot(2, 2));
        assert_eq!(dot(2, 7).to_string(), "2:7");
    }
}

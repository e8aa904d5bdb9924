//! [`Crdt`]: what every value that merges can do.
//!
//! Invariant: `join` is the least upper bound of an order: commutative, associative and idempotent, so that lost,
//! repeated and reordered messages are harmless; and equal values have equal bytes. [`crate::laws`] checks both for any
//! type. The names are those of Almeida, Shoker and Baquero, "Delta State Replicated Data Types" (2018), and of Enes,
//! Almeida, Baquero and Leitão, "Efficient Synchronization of State-based CRDTs" (2019).

use deltaic_causality::{CausalContext, Dot};
use deltaic_types::codec::{DecodeError, Reader};

use crate::WriteError;

/// A value that merges with its copies elsewhere, and knows which writes it holds.
///
/// Each mutator takes the [`Dot`] that names its write and returns the *delta*: a value of the same type that, joined
/// to any copy, brings the write there. It never makes the value less: `s <= m(s)` and `m(s) = s join delta`.
///
/// `Default` is the bottom: the value before any write, which changes nothing it is joined to.
pub trait Crdt: Clone + Eq + Default {
    /// Takes in what the other holds: the least value that is above both. Never panics, whatever the other is.
    fn join(&mut self, other: &Self);

    /// The least parts whose join is this value, none of which is the join of lesser ones; none for the bottom.
    ///
    /// Removed writes of a [`crate::Causal`] are an exception: they come an interval at a time and not one by one, as
    /// there are as many as were ever made. A part of a delta is no write: who merges parts separately has seen the
    /// write only when all of them have come.
    fn decompose(&self) -> Vec<Self>;

    /// The part that a copy may lack that holds the writes in `seen`: joining it there gives what joining the whole
    /// gives. The bottom where nothing is missing.
    #[must_use]
    fn novel(&self, seen: &CausalContext) -> Self;

    /// Whether this is the value before any write.
    fn is_bottom(&self) -> bool {
        *self == Self::default()
    }

    /// Appends the value; equal values append equal bytes.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads what [`Crdt::write`] wrote, and no other bytes: foreign ones are an error, never a panic, and never take
    /// more memory than a small multiple of their own.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The value's bytes.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// The value of these bytes and no more.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.finish().map(|()| value)
    }
}

/// Refuses a write that was made before: a dot names one write, for ever.
pub(crate) fn check_fresh(seen: &CausalContext, dot: Dot) -> Result<(), WriteError> {
    if dot.seq == 0 || seen.contains(dot) { Err(WriteError::UsedDot { dot }) } else { Ok(()) }
}

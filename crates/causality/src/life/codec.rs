//! The bytes of a [`State`], for the storage of its replica.
//!
//! Invariant: one state, one form; what is read holds what the machine relies on.

use deltaic_types::codec::{DecodeError, Reader, write_u64};
use thiserror::Error;

use super::state::{Asked, Role, SETTLED, State, TRANSFERS, To, Transfer};
use super::{Epoch, Nonce};
use crate::ActorId;
use crate::itc::{Id, Limits, Overlap, Stamp, TreeError};

const VERSION: u8 = 0x31;

/// What was granted, what came after retiring and goes on, and the own id.
const OUTGOING: usize = 2 * TRANSFERS + 1;

/// Bytes that are no state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The byte in front is another one.
    #[error("{found:#04x} begins no state of an id: written by a newer version, or something else")]
    Version {
        /// The byte.
        found: u8,
    },
    /// A number or a length is none.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An id or a stamp is none.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Two of its ids have a part in common.
    #[error("the state owns a part of the line twice: restore it from a peer, by joining again")]
    Overlap(#[from] Overlap),
}

impl State {
    /// Appends the state.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(VERSION);
        write_u64(bytes, self.me.0);
        write_u64(bytes, self.epoch.0);
        match &self.role {
            Role::Outside => bytes.push(0),
            Role::Member(id) => {
                bytes.push(1);
                id.write(bytes);
            }
            Role::Retiring => bytes.push(2),
            Role::Left => bytes.push(3),
            Role::Quarantined => bytes.push(4),
        }
        self.stamp.write(bytes);
        self.baseline.write(bytes);
        write_u64(bytes, self.asked.len() as u64);
        for (nonce, asked) in &self.asked {
            write_nonce(bytes, *nonce);
            write_u64(bytes, asked.sponsor.0);
            bytes.push(u8::from(asked.withdrawn));
        }
        write_u64(bytes, self.outgoing.len() as u64);
        for (nonce, transfer) in &self.outgoing {
            write_nonce(bytes, *nonce);
            match transfer.to {
                To::Joiner(actor) => {
                    bytes.push(0);
                    write_u64(bytes, actor.0);
                }
                To::Heir(actor) => {
                    bytes.push(1);
                    write_u64(bytes, actor.0);
                }
                To::Anyone => bytes.push(2),
            }
            transfer.id.write(bytes);
            transfer.stamp.write(bytes);
        }
        write_u64(bytes, self.settled.len() as u64);
        for nonce in &self.settled {
            write_nonce(bytes, *nonce);
        }
    }

    /// Reads what [`State::write`] wrote. The bytes may be this replica's own only; that they are its latest, and not
    /// a backup, is what [`Life::start`](super::Life::start) asks about.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let [found] = reader.take()?;
        if found != VERSION {
            return Err(StateError::Version { found });
        }
        let mut state = Self::outside(ActorId(reader.u64()?));
        state.epoch = Epoch(reader.u64()?);
        let mut owned = Id::empty();
        state.role = match reader.take()? {
            [0] => Role::Outside,
            [1] => {
                owned = read_id(reader)?;
                Role::Member(owned.clone())
            }
            [2] => Role::Retiring,
            [3] => Role::Left,
            [4] => Role::Quarantined,
            [other] => return Err(DecodeError::UnknownTag(other).into()),
        };
        state.stamp = Stamp::read(reader, Limits::own())?;
        state.baseline = Stamp::read(reader, Limits::own())?;
        let mut before = None;
        for _ in 0..reader.length(TRANSFERS)? {
            let nonce = read_nonce(reader, &mut before)?;
            let sponsor = ActorId(reader.u64()?);
            let withdrawn = match reader.take()? {
                [flag @ 0..=1] => flag == 1,
                [other] => return Err(DecodeError::UnknownTag(other).into()),
            };
            state.asked.insert(nonce, Asked { sponsor, withdrawn });
        }
        let mut before = None;
        for _ in 0..reader.length(OUTGOING)? {
            let nonce = read_nonce(reader, &mut before)?;
            let to = match reader.take()? {
                [0] => To::Joiner(ActorId(reader.u64()?)),
                [1] => To::Heir(ActorId(reader.u64()?)),
                [2] => To::Anyone,
                [other] => return Err(DecodeError::UnknownTag(other).into()),
            };
            let id = read_id(reader)?;
            let stamp = Stamp::read(reader, Limits::own())?;
            owned = owned.join(&id)?;
            state.outgoing.insert(nonce, Transfer { to, id, stamp });
        }
        for _ in 0..reader.length(SETTLED)? {
            state.settled.push_back(read_nonce(reader, &mut None)?);
        }
        Ok(state)
    }
}

fn write_nonce(bytes: &mut Vec<u8>, nonce: Nonce) {
    bytes.extend_from_slice(&nonce.0.to_be_bytes());
}

/// A nonce above the one before it.
fn read_nonce(reader: &mut Reader<'_>, before: &mut Option<Nonce>) -> Result<Nonce, StateError> {
    let nonce = Nonce(u128::from_be_bytes(reader.take()?));
    if before.is_some_and(|before| before >= nonce) {
        return Err(DecodeError::Invalid("order of nonces").into());
    }
    *before = Some(nonce);
    Ok(nonce)
}

/// An id that owns something.
fn read_id(reader: &mut Reader<'_>) -> Result<Id, StateError> {
    let id = Id::read(reader, Limits::own())?;
    if id.is_empty() { Err(DecodeError::Invalid("id: it owns nothing").into()) } else { Ok(id) }
}

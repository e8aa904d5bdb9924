//! The bytes of a [`Message`].
//!
//! Invariant: one message, one form; whatever bytes come give a message or an error, within the limits.

use deltaic_types::codec::{DecodeError, Reader, write_u64};
use thiserror::Error;

use super::message::{Body, Footprint, Message, Purpose};
use super::{Epoch, Nonce};
use crate::itc::{Id, Limits, Stamp, TreeError};

const VERSION: u8 = 0x41;

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The byte in front is another one.
    #[error("{found:#04x} begins no message about an id: written by a newer version, or something else")]
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
}

impl Message {
    /// Appends the message: 3 to 30 bytes, and the id and the stamp in it.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(VERSION);
        write_u64(bytes, self.epoch.0);
        let (tag, nonce) = match &self.body {
            Body::Hello { nonce, .. } => (0, nonce),
            Body::Known { nonce, .. } => (1, nonce),
            Body::Ask { nonce, purpose: Purpose::Sponsor } => (2, nonce),
            Body::Ask { nonce, purpose: Purpose::Heir(_) } => (3, nonce),
            Body::Offer { nonce, .. } => (4, nonce),
            Body::Join { nonce } => (5, nonce),
            Body::Withdraw { nonce } => (6, nonce),
            Body::Grant { nonce, .. } => (7, nonce),
            Body::Give { nonce, .. } => (8, nonce),
            Body::Taken { nonce, .. } => (9, nonce),
            Body::Refused { nonce } => (10, nonce),
            Body::Fenced => {
                bytes.push(11);
                return;
            }
        };
        bytes.push(tag);
        bytes.extend_from_slice(&nonce.0.to_be_bytes());
        match &self.body {
            Body::Hello { stamp, .. } | Body::Known { stamp, .. } | Body::Taken { stamp, .. } => {
                stamp.write(bytes);
            }
            Body::Ask { purpose: Purpose::Heir(Footprint(id)), .. } => id.write(bytes),
            Body::Offer { rank, .. } => write_u64(bytes, *rank),
            Body::Grant { id, stamp, .. } | Body::Give { id, stamp, .. } => {
                id.write(bytes);
                stamp.write(bytes);
            }
            Body::Ask { .. }
            | Body::Join { .. }
            | Body::Withdraw { .. }
            | Body::Refused { .. }
            | Body::Fenced => {}
        }
    }

    /// Reads what [`Message::write`] wrote. The limits are those of a peer's trees: [`Limits::peer`].
    pub fn read(reader: &mut Reader<'_>, limits: Limits) -> Result<Self, MessageError> {
        let [found] = reader.take()?;
        if found != VERSION {
            return Err(MessageError::Version { found });
        }
        let epoch = Epoch(reader.u64()?);
        let [tag] = reader.take()?;
        if tag == 11 {
            return Ok(Self { epoch, body: Body::Fenced });
        }
        if tag > 11 {
            return Err(DecodeError::UnknownTag(tag).into());
        }
        let nonce = Nonce(u128::from_be_bytes(reader.take()?));
        let mut stamp = || Stamp::read(reader, limits);
        let body = match tag {
            0 => Body::Hello { nonce, stamp: stamp()? },
            1 => Body::Known { nonce, stamp: stamp()? },
            2 => Body::Ask { nonce, purpose: Purpose::Sponsor },
            3 => Body::Ask { nonce, purpose: Purpose::Heir(Footprint(Id::read(reader, limits)?)) },
            4 => Body::Offer { nonce, rank: reader.u64()? },
            5 => Body::Join { nonce },
            6 => Body::Withdraw { nonce },
            9 => Body::Taken { nonce, stamp: stamp()? },
            10 => Body::Refused { nonce },
            _ => {
                let id = Id::read(reader, limits)?;
                let stamp = Stamp::read(reader, limits)?;
                if tag == 7 { Body::Grant { nonce, id, stamp } } else { Body::Give { nonce, id, stamp } }
            }
        };
        Ok(Self { epoch, body })
    }
}

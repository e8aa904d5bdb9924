//! Rights to take from counters that stay above zero: who has none asks the others, who give some of theirs.
//!
//! Invariant: a counter with `CHECK (n >= 0)` is a [`BoundedCounter`](deltaic_crdt::BoundedCounter): each server takes what it has the right to,
//! so that no partition takes the sum below zero. What is asked for may be lost: whoever is refused asks again with their next try.

use std::collections::VecDeque;

use deltaic_causality::ActorId;
use deltaic_crdt::{Cell, Change, Element, WriteError};
use deltaic_types::codec::{DecodeError, Reader, write_u64};

use super::{Mesh, draft::Draft, name::RowKey};

/// How many questions of others are kept.
const WANTS: usize = 1_000;

/// Rights that a server lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) key: RowKey,
    pub(crate) slot: u32,
    pub(crate) units: u64,
}

impl Want {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.key.write(&mut bytes);
        write_u64(&mut bytes, u64::from(self.slot));
        write_u64(&mut bytes, self.units);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let key = RowKey::read(&mut reader)?;
        let slot = u32::try_from(reader.u64()?).map_err(|_| DecodeError::Invalid("want: a column"))?;
        let units = reader.u64()?;
        reader.finish().map(|()| Self { key, slot, units })
    }
}

/// What others have asked for.
#[derive(Debug, Default)]
pub(crate) struct Wants(VecDeque<(ActorId, Want)>);

impl Wants {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Mesh {
    /// Asks all others for rights.
    pub(crate) fn ask_for(&mut self, want: &Want) {
        let bytes = want.encode();
        for peer in self.kept.peers.clone() {
            self.send_want(peer, &bytes);
        }
    }

    /// Takes a question of another.
    pub(crate) fn asked(&mut self, peer: ActorId, bytes: &[u8]) {
        let Ok(want) = Want::decode(bytes) else { return };
        let is_known = self
            .wants
            .0
            .iter()
            .any(|(of, known)| *of == peer && known.key == want.key && known.slot == want.slot);
        if !is_known && self.wants.0.len() < WANTS {
            self.wants.0.push_back((peer, want));
        }
    }

    /// Drafts what this server gives to those who have asked: half of what it has, or so much as was asked for if that is more.
    pub(crate) fn give(&mut self, seq: &mut u64, draft: &mut Draft) -> Result<(), WriteError> {
        let actor = self.state.rows.actor();
        for (peer, want) in std::mem::take(&mut self.wants).0 {
            let Some(row) = draft.row(&want.key).filter(|row| row.is_there()) else { continue };
            let Some(Cell::Bounded(counter)) = row.cell(want.slot) else { continue };
            let rights = counter.rights(actor);
            let units = want.units.max(rights / 2).min(rights);
            if units > 0 {
                draft.adjust(seq, &want.key, want.slot, Change::Send(peer, units))?;
            }
        }
        Ok(())
    }
}

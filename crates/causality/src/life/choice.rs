//! [`Choice`]: which of several candidates is to be the sponsor or the heir.
//!
//! Invariant: the same offers in any order give the same choice. It is forgotten by a crash, and then made anew.

use std::collections::BTreeSet;

use super::{Nonce, Purpose};
use crate::ActorId;

/// Offers that are being collected.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) nonce: Nonce,
    pub(super) purpose: Purpose,
    /// Who has not answered yet.
    waiting: BTreeSet<ActorId>,
    best: Option<Offer>,
}

/// What a candidate offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) actor: ActorId,
    rank: u64,
}

impl Choice {
    pub(super) fn new(nonce: Nonce, purpose: Purpose, candidates: BTreeSet<ActorId>) -> Self {
        Self { nonce, purpose, waiting: candidates, best: None }
    }

    pub(super) fn note(&mut self, nonce: Nonce, actor: ActorId, rank: u64) {
        // Who was not asked, or has answered, has no say.
        if nonce != self.nonce || !self.waiting.remove(&actor) {
            return;
        }
        let better = |best: Offer| (rank, best.actor) > (best.rank, actor);
        if self.best.is_none_or(better) {
            self.best = Some(Offer { actor, rank });
        }
    }

    /// The choice, when everybody has answered.
    pub(super) fn when_all_answered(&self) -> Option<Offer> {
        if self.waiting.is_empty() { self.best } else { None }
    }

    /// The choice among those who have answered by now.
    pub(super) fn now(&self) -> Option<Offer> {
        self.best
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = ActorId> + '_ {
        self.waiting.iter().copied()
    }
}

//! What a message makes of a replica's life.
//!
//! Invariant: no message makes it own what somebody else owns, if each replica keeps to the rules; and none makes it
//! panic, whatever is in it.

use super::Nonce;
use super::choice::Choice;
use super::machine::{Effect, Life};
use super::message::{Body, Message, Purpose};
use super::state::{Role, TRANSFERS, To, Transfer, is_taken};
use crate::ActorId;
use crate::itc::{DEPTH, Id, Stamp};

impl Life {
    pub(super) fn receive(&mut self, from: ActorId, message: Message, effects: &mut Vec<Effect>) {
        let Message { epoch, body } = message;
        if epoch > self.state.epoch {
            effects.push(Effect::Behind { epoch });
            return;
        }
        if epoch < self.state.epoch {
            if body != Body::Fenced {
                effects.push(self.send(from, Body::Fenced));
            }
            return;
        }
        match body {
            Body::Hello { nonce, stamp } => {
                self.witness(&stamp, effects);
                effects.push(self.send(from, Body::Known { nonce, stamp: self.state.stamp.clone() }));
            }
            Body::Known { nonce, stamp } => self.known(from, nonce, &stamp, effects),
            Body::Ask { nonce, purpose } => {
                if let Some(rank) = self.rank(&purpose) {
                    effects.push(self.send(from, Body::Offer { nonce, rank }));
                }
            }
            Body::Offer { nonce, rank } => {
                if let Some(choice) = &mut self.choice {
                    choice.note(nonce, from, rank);
                }
                if let Some(offer) = self.choice.as_ref().and_then(Choice::when_all_answered) {
                    self.choose(offer, effects);
                }
            }
            Body::Join { nonce } => self.asked_for(from, nonce, true, effects),
            Body::Withdraw { nonce } => self.asked_for(from, nonce, false, effects),
            Body::Grant { nonce, id, stamp } => self.granted(from, nonce, id, &stamp, effects),
            Body::Give { nonce, id, stamp } => self.given(from, nonce, &id, &stamp, effects),
            Body::Taken { stamp, .. } => {
                self.witness(&stamp, effects);
            }
            Body::Refused { nonce } => self.refused(from, nonce, effects),
            Body::Fenced => {}
        }
    }

    fn known(&mut self, from: ActorId, nonce: Nonce, stamp: &Stamp, effects: &mut Vec<Effect>) {
        // An answer to an earlier question may be older than what its sender knows now.
        let quarantined = self.witness(stamp, effects);
        if !quarantined
            && nonce == self.question
            && self.unconfirmed.remove(&from)
            && self.unconfirmed.is_empty()
        {
            effects.push(Effect::Confirmed);
        }
    }

    /// How good a sponsor or heir this replica would be, if it could be one now.
    fn rank(&self, purpose: &Purpose) -> Option<u64> {
        let Role::Member(id) = &self.state.role else { return None };
        if !self.unconfirmed.is_empty() {
            return None;
        }
        match purpose {
            Purpose::Sponsor if self.state.outgoing.len() >= TRANSFERS => None,
            Purpose::Sponsor => Some(id.width()),
            Purpose::Heir(shape) => Some(shape.saves(id)),
        }
    }

    /// A newcomer wants an attempt granted, or made sure that it never will be. Its answer is a grant or a refusal.
    fn asked_for(&mut self, from: ActorId, nonce: Nonce, wanted: bool, effects: &mut Vec<Effect>) {
        if let Some(transfer) = self.state.outgoing.get(&nonce) {
            if transfer.to == To::Joiner(from) {
                effects.extend(self.hand_over(nonce, transfer));
            }
            return;
        }
        let refused = Body::Refused { nonce };
        // What ended does not come back: membership, an attempt that was granted and taken, or one that was refused.
        match self.state.role {
            Role::Outside | Role::Quarantined => return,
            Role::Member(_) if !self.state.settled.contains(&nonce) => {}
            Role::Member(_) | Role::Retiring | Role::Left => {
                effects.push(self.send(from, refused));
                return;
            }
        }
        if wanted && (!self.unconfirmed.is_empty() || self.state.outgoing.len() >= TRANSFERS) {
            // It asks again.
            return;
        }
        let granted = if wanted { self.split_for(from) } else { None };
        if let Some(transfer) = granted {
            self.state.outgoing.insert(nonce, transfer);
            effects.push(self.persist());
            effects.extend(self.hand_over(nonce, &self.state.outgoing[&nonce]));
        } else {
            self.state.settle(nonce);
            effects.push(self.persist());
            effects.push(self.send(from, refused));
        }
    }

    /// Halves the own id. None if that would be too deep, or no event can be counted in the half.
    fn split_for(&mut self, joiner: ActorId) -> Option<Transfer> {
        let Role::Member(id) = &self.state.role else { return None };
        let (kept, half) = id.split();
        if kept.depth().max(half.depth()) > DEPTH {
            return None;
        }
        let transfer = Transfer::new(To::Joiner(joiner), half, &self.state.stamp).ok()?;
        self.state.role = Role::Member(kept);
        Some(transfer)
    }

    fn granted(&mut self, from: ActorId, nonce: Nonce, id: Id, stamp: &Stamp, effects: &mut Vec<Effect>) {
        let expected = self.state.asked.get(&nonce).is_some_and(|asked| asked.sponsor == from);
        if is_taken(&id, stamp, &self.state.stamp) {
            if expected {
                self.state.asked.remove(&nonce);
                self.persist_and_leave(effects);
            }
            effects.push(self.send(from, Body::Taken { nonce, stamp: self.state.stamp.clone() }));
            return;
        }
        // Who is not confirmed has asked for nothing.
        if !expected {
            return;
        }
        if self.is_copy(stamp) {
            self.quarantine(effects);
            return;
        }
        if self.state.holds_some_of(&id, stamp) {
            effects.push(Effect::Overlap { from });
            return;
        }
        let mut note = None;
        match &self.state.role {
            Role::Outside => {
                self.state.role = Role::Member(id);
                self.choice = None;
                note = Some(Effect::Joined);
            }
            Role::Member(own) => self.state.role = Role::Member(own.union(&id)),
            // It goes on to an heir, with an event of its own that proves who has it.
            Role::Retiring => {
                let known = self.state.stamp.join(stamp);
                let Ok(transfer) = Transfer::new(To::Anyone, id, &known) else { return };
                self.state.outgoing.insert(nonce, transfer);
                note = Some(Effect::HeirRefused { nonce });
            }
            Role::Left | Role::Quarantined => return,
        }
        self.state.asked.remove(&nonce);
        self.learn(stamp);
        self.state.drop_taken(stamp);
        effects.push(self.persist());
        effects.push(self.send(from, Body::Taken { nonce, stamp: self.state.stamp.clone() }));
        effects.extend(note);
    }

    fn given(&mut self, from: ActorId, nonce: Nonce, id: &Id, stamp: &Stamp, effects: &mut Vec<Effect>) {
        if is_taken(id, stamp, &self.state.stamp) {
            effects.push(self.send(from, Body::Taken { nonce, stamp: self.state.stamp.clone() }));
            return;
        }
        if !self.unconfirmed.is_empty() {
            return;
        }
        match &self.state.role {
            Role::Member(own) => {
                let both = own.union(id);
                if self.state.holds_some_of(id, stamp) {
                    effects.push(Effect::Overlap { from });
                    return;
                }
                if self.is_copy(stamp) {
                    self.quarantine(effects);
                    return;
                }
                self.state.role = Role::Member(both);
                self.learn(stamp);
                self.state.drop_taken(stamp);
                effects.push(self.persist());
                effects.push(self.send(from, Body::Taken { nonce, stamp: self.state.stamp.clone() }));
            }
            // It has not taken it, or it would know the proof; and now it never will.
            Role::Retiring | Role::Left => effects.push(self.send(from, Body::Refused { nonce })),
            // A copy does not know what its other life has taken.
            Role::Outside | Role::Quarantined => {}
        }
    }

    fn refused(&mut self, from: ActorId, nonce: Nonce, effects: &mut Vec<Effect>) {
        if let Some(asked) = self.state.asked.get(&nonce)
            && asked.sponsor == from
        {
            let wanted = !asked.withdrawn;
            self.state.asked.remove(&nonce);
            self.persist_and_leave(effects);
            if wanted {
                effects.push(Effect::JoinRefused { nonce });
            }
        }
        if let Some(transfer) = self.state.outgoing.get_mut(&nonce)
            && transfer.to == To::Heir(from)
        {
            transfer.to = To::Anyone;
            effects.push(self.persist());
            effects.push(Effect::HeirRefused { nonce });
        }
    }
}

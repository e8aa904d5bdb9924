//! [`Life`]: a replica's state and what it is about, driven by inputs.
//!
//! Invariant: whatever an effect tells others is durable by the effects before it.

use std::collections::BTreeSet;
use std::mem;

use thiserror::Error;

use super::choice::{Choice, Offer};
use super::message::{Body, Footprint, Message, Purpose};
use super::state::{Asked, Role, State, TRANSFERS, To, Transfer};
use super::{Epoch, Nonce};
use crate::ActorId;
use crate::itc::{CounterOverflow, Id, Stamp};

/// What happens to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message came. With a `Grant` or a `Give` the data of its stamp have been merged.
    Received {
        /// From whom, as the connection says.
        from: ActorId,
        /// What it says.
        message: Message,
    },
    /// Time to say again what was not answered.
    Tick,
    /// Get an id from one of these.
    Join {
        /// Names the attempt. An earlier one is withdrawn.
        nonce: Nonce,
        /// Whom to ask.
        candidates: Vec<ActorId>,
    },
    /// Give the id to one of these, and leave. Once more with other candidates if none of them took it.
    Retire {
        /// Names the transfer.
        nonce: Nonce,
        /// Whom to ask.
        candidates: Vec<ActorId>,
    },
    /// Count an event.
    Event,
    /// Data of a peer's event were merged, and this was their stamp. Where the data are durable, [`State::write`] the
    /// state with them: events of an older state would not say that their author had seen the data.
    Learned {
        /// The epoch of the stamp.
        epoch: Epoch,
        /// What the peer knew.
        stamp: Stamp,
    },
    /// An operator started a new epoch.
    Epoch(Table),
    /// Give up a transfer whose taker is gone: its part of the line is nobody's until the next epoch.
    Abandon {
        /// Which.
        nonce: Nonce,
    },
}

/// The members of an epoch, the same for all: an operator writes it once, where all can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Above all before it.
    pub epoch: Epoch,
    /// The members, each once. Each owns the part of the line that its place has.
    pub seats: Vec<ActorId>,
    /// What was known of the epoch before. Who enters the new one has the data of it.
    pub baseline: Stamp,
}

/// What is to be done, in order. What a driver keeps no promise about (that a message arrives) needs none.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Make the state durable: [`State::read`] reads the bytes. Nothing after it may happen before it has; if it
    /// fails, this life ends, and a new one starts from what is durable.
    Persist(Vec<u8>),
    /// Send a message.
    Send {
        /// To whom.
        to: ActorId,
        /// What.
        message: Message,
    },
    /// The event was counted: this is its stamp.
    Stamped(Stamp),
    /// Every peer that was to be asked has answered.
    Confirmed,
    /// This replica has an id and counts events.
    Joined,
    /// The sponsor refuses: join again with another nonce.
    JoinRefused {
        /// The attempt.
        nonce: Nonce,
    },
    /// The heir retires itself, or something was granted after all: retire again, with other candidates.
    HeirRefused {
        /// The transfer.
        nonce: Nonce,
    },
    /// All that this replica had is somebody else's.
    Left,
    /// A peer knows more of this replica's events than it does: it is a copy from before, and no replica any more. Its
    /// data go on under the id of a new actor: [`State::anew`].
    Quarantined,
    /// Somebody sends an id that this replica owns a part of: one of both is a copy from before. Nothing was taken.
    Overlap {
        /// Who.
        from: ActorId,
    },
    /// A newer epoch has begun: give its table.
    Behind {
        /// At least this one.
        epoch: Epoch,
    },
}

/// Why an input was not taken. The state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Peers have still to say whether this replica is a copy from before.
    #[error(
        "{waiting} peers have not confirmed this replica since its start: wait, or start it without them"
    )]
    Unconfirmed {
        /// How many.
        waiting: usize,
    },
    /// It owns no id.
    #[error("this replica has no id: join first")]
    NotMember,
    /// It has an id, or had one.
    #[error("this replica is a member, or has left: only one outside can join")]
    NotOutside,
    /// There is nobody to ask.
    #[error("no candidates: name other replicas that are members")]
    NoCandidates,
    /// The nonce names something else already.
    #[error("the nonce was used: draw another")]
    NonceUsed,
    /// Too many attempts or transfers are under way.
    #[error("{limit} transfers are under way: abandon some, or start a new epoch")]
    TooManyTransfers {
        /// The most there may be.
        limit: usize,
    },
    /// There is no such transfer.
    #[error("no transfer under way has this nonce")]
    UnknownTransfer,
    /// What was learned, or the table, is of an epoch that has ended.
    #[error("epoch {} has ended, this is epoch {}: drop it", theirs.0, ours.0)]
    OldEpoch {
        /// The epoch that came.
        theirs: Epoch,
        /// The present one.
        ours: Epoch,
    },
    /// What was learned is of an epoch that this replica has not entered.
    #[error("epoch {} has begun, this replica is in epoch {}: give it the table", theirs.0, ours.0)]
    NewEpoch {
        /// The epoch that came.
        theirs: Epoch,
        /// The present one.
        ours: Epoch,
    },
    /// A replica stands twice in the table.
    #[error("replica {actor} has two seats in the table: each member has one")]
    TwoSeats {
        /// Who.
        actor: ActorId,
    },
    /// No event can be counted.
    #[error(transparent)]
    Counter(#[from] CounterOverflow),
}

/// A replica's life, from one start to the next.
#[derive(Debug)]
pub struct Life {
    pub(super) state: State,
    pub(super) choice: Option<Choice>,
    /// Who was asked at the start, who of them has still to say that this is no copy from before, and the question's
    /// name.
    ask: BTreeSet<ActorId>,
    pub(super) unconfirmed: BTreeSet<ActorId>,
    pub(super) question: Nonce,
}

impl Life {
    /// Starts with what storage has, or a new state.
    ///
    /// If the state may be older than what was durable last (a backup was restored, a machine was copied), `ask`
    /// names every other replica that is not gone for good. Until all have answered, nothing is counted, given or
    /// taken. After a mere crash `ask` may be empty. `question` is a nonce.
    pub fn start(mut state: State, ask: Vec<ActorId>, question: Nonce) -> (Self, Vec<Effect>) {
        let ask: BTreeSet<ActorId> = ask.into_iter().filter(|peer| *peer != state.me).collect();
        if !ask.is_empty() {
            // The other life may have taken what these attempts were granted, and have given it away.
            state.asked.clear();
        }
        let mut life = Self { state, choice: None, unconfirmed: ask.clone(), ask, question };
        let mut effects = vec![life.persist()];
        if life.state.leave_if_done() {
            effects = vec![life.persist(), Effect::Left];
        }
        life.say_again(&mut effects);
        (life, effects)
    }

    /// What is durable of it, when the effects so far have been carried out.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Which peers have still to confirm that this is no copy from before.
    pub fn unconfirmed(&self) -> impl Iterator<Item = ActorId> + '_ {
        self.unconfirmed.iter().copied()
    }

    /// Takes one input. O(leaves of the trees it is about), and of all transfers under way. An error changes nothing;
    /// messages give none, whatever is in them.
    pub fn step(&mut self, input: Input) -> Result<Vec<Effect>, Refusal> {
        let mut effects = Vec::new();
        match input {
            Input::Received { from, message } => self.receive(from, message, &mut effects),
            Input::Tick => {
                if let Some(offer) = self.choice.as_ref().and_then(Choice::now) {
                    self.choose(offer, &mut effects);
                } else {
                    self.say_again(&mut effects);
                }
            }
            Input::Join { nonce, candidates } => self.join(nonce, candidates, &mut effects)?,
            Input::Retire { nonce, candidates } => self.retire(nonce, candidates, &mut effects)?,
            Input::Event => {
                self.confirmed()?;
                let Role::Member(id) = &self.state.role else { return Err(Refusal::NotMember) };
                self.state.stamp = Stamp::from(self.state.stamp.event().event(id)?);
                effects.push(self.persist());
                effects.push(Effect::Stamped(self.state.stamp.clone()));
            }
            Input::Learned { epoch, stamp } => {
                self.same_epoch(epoch)?;
                if !self.is_copy(&stamp) {
                    self.learn(&stamp);
                }
                self.witness(&stamp, &mut effects);
            }
            Input::Epoch(table) => self.enter(table, &mut effects)?,
            Input::Abandon { nonce } => {
                let transfer = self.state.outgoing.remove(&nonce).ok_or(Refusal::UnknownTransfer)?;
                if matches!(transfer.to, To::Joiner(_)) {
                    self.state.settle(nonce);
                }
                self.persist_and_leave(&mut effects);
            }
        }
        Ok(effects)
    }

    fn join(
        &mut self,
        nonce: Nonce,
        candidates: Vec<ActorId>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.confirmed()?;
        if self.state.role != Role::Outside {
            return Err(Refusal::NotOutside);
        }
        if self.state.asked.contains_key(&nonce) {
            return Err(Refusal::NonceUsed);
        }
        if self.state.asked.len() >= TRANSFERS {
            return Err(Refusal::TooManyTransfers { limit: TRANSFERS });
        }
        let choice = self.candidates(nonce, Purpose::Sponsor, candidates)?;
        if self.withdraw_all() {
            effects.push(self.persist());
        }
        self.choice = Some(choice);
        self.say_again(effects);
        Ok(())
    }

    fn retire(
        &mut self,
        nonce: Nonce,
        candidates: Vec<ActorId>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.confirmed()?;
        if let Role::Outside | Role::Left | Role::Quarantined = self.state.role {
            return Err(Refusal::NotMember);
        }
        if self.state.outgoing.contains_key(&nonce) {
            return Err(Refusal::NonceUsed);
        }
        let own = match &self.state.role {
            Role::Member(id) => Some(id.clone()),
            _ => None,
        };
        let shape = self
            .state
            .outgoing
            .values()
            .filter(|transfer| transfer.to == To::Anyone)
            .fold(own.clone().unwrap_or_else(Id::empty), |shape, transfer| shape.union(&transfer.id));
        let choice = self.candidates(nonce, Purpose::Heir(Footprint(shape)), candidates)?;
        if let Some(id) = own {
            let transfer = Transfer::new(To::Anyone, id, &self.state.stamp)?;
            self.state.role = Role::Retiring;
            self.state.outgoing.insert(nonce, transfer);
            self.withdraw_all();
            effects.push(self.persist());
        }
        self.choice = Some(choice);
        self.say_again(effects);
        Ok(())
    }

    fn enter(&mut self, table: Table, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let ours = self.state.epoch;
        if table.epoch == ours {
            return Ok(());
        }
        if table.epoch < ours {
            return Err(Refusal::OldEpoch { theirs: table.epoch, ours });
        }
        let mut seen = BTreeSet::new();
        if let Some(&actor) = table.seats.iter().find(|actor| !seen.insert(**actor)) {
            return Err(Refusal::TwoSeats { actor });
        }
        let seat = table.seats.iter().position(|actor| *actor == self.state.me);
        let state = &mut self.state;
        state.role = match (&state.role, seat) {
            (Role::Quarantined, _) => Role::Quarantined,
            (Role::Left, _) | (Role::Retiring, None) => Role::Left,
            (_, None) => Role::Outside,
            (_, Some(place)) => Role::Member(Id::balanced(place as u64, table.seats.len() as u64)),
        };
        state.epoch = table.epoch;
        state.baseline = table.baseline;
        state.stamp = Stamp::default();
        state.asked.clear();
        state.outgoing.clear();
        state.settled.clear();
        self.choice = None;
        if !self.unconfirmed.is_empty() {
            // Who answered in the epoch before knew nothing of this one.
            self.unconfirmed.clone_from(&self.ask);
        }
        effects.push(self.persist());
        if self.state.is_member() {
            effects.push(Effect::Joined);
        }
        self.say_again(effects);
        Ok(())
    }

    /// Acts on a choice: writes down whom it is about, then says so.
    pub(super) fn choose(&mut self, offer: Offer, effects: &mut Vec<Effect>) {
        let Some(choice) = self.choice.take() else { return };
        match choice.purpose {
            Purpose::Sponsor => {
                let asked = Asked { sponsor: offer.actor, withdrawn: false };
                self.state.asked.insert(choice.nonce, asked);
            }
            Purpose::Heir(_) => {
                for transfer in self.state.outgoing.values_mut().filter(|transfer| transfer.to == To::Anyone)
                {
                    transfer.to = To::Heir(offer.actor);
                }
            }
        }
        effects.push(self.persist());
        self.say_again(effects);
    }

    /// Says everything that waits for an answer.
    fn say_again(&self, effects: &mut Vec<Effect>) {
        for &peer in &self.unconfirmed {
            let hello = Body::Hello { nonce: self.question, stamp: self.state.stamp.clone() };
            effects.push(self.send(peer, hello));
        }
        if !self.unconfirmed.is_empty() {
            return;
        }
        if let Some(choice) = &self.choice {
            for peer in choice.waiting() {
                let ask = Body::Ask { nonce: choice.nonce, purpose: choice.purpose.clone() };
                effects.push(self.send(peer, ask));
            }
        }
        for (&nonce, &Asked { sponsor, withdrawn }) in &self.state.asked {
            let body = if withdrawn { Body::Withdraw { nonce } } else { Body::Join { nonce } };
            effects.push(self.send(sponsor, body));
        }
        for (nonce, transfer) in self.state.outgoing() {
            effects.extend(self.hand_over(nonce, transfer));
        }
    }

    /// Sends a transfer to its taker, if that is known.
    pub(super) fn hand_over(&self, nonce: Nonce, transfer: &Transfer) -> Option<Effect> {
        let (id, stamp) = (transfer.id.clone(), transfer.stamp.clone());
        match transfer.to {
            To::Joiner(actor) => Some(self.send(actor, Body::Grant { nonce, id, stamp })),
            To::Heir(actor) => Some(self.send(actor, Body::Give { nonce, id, stamp })),
            To::Anyone => None,
        }
    }

    pub(super) fn send(&self, to: ActorId, body: Body) -> Effect {
        Effect::Send { to, message: Message { epoch: self.state.epoch, body } }
    }

    pub(super) fn persist(&self) -> Effect {
        let mut bytes = Vec::new();
        self.state.write(&mut bytes);
        Effect::Persist(bytes)
    }

    /// Writes the state down, and leaves if there was nothing else to do.
    pub(super) fn persist_and_leave(&mut self, effects: &mut Vec<Effect>) {
        let left = self.state.leave_if_done();
        effects.push(self.persist());
        if left {
            effects.push(Effect::Left);
        }
    }

    /// Takes note of what somebody knows. Whether that put this replica outside.
    pub(super) fn witness(&mut self, known: &Stamp, effects: &mut Vec<Effect>) -> bool {
        if self.is_copy(known) {
            self.quarantine(effects);
            return true;
        }
        if self.state.drop_taken(known) {
            self.persist_and_leave(effects);
        }
        false
    }

    /// Whether somebody knows more of what this replica alone can have counted than it does itself.
    pub(super) fn is_copy(&self, known: &Stamp) -> bool {
        self.state.id().is_some_and(|id| !known.leq_within(&self.state.stamp, id))
    }

    /// Learns what a stamp knows, whose data are here.
    pub(super) fn learn(&mut self, stamp: &Stamp) {
        if !stamp.leq(&self.state.stamp) {
            self.state.stamp = mem::take(&mut self.state.stamp).join(stamp);
        }
    }

    pub(super) fn quarantine(&mut self, effects: &mut Vec<Effect>) {
        self.state.role = Role::Quarantined;
        self.state.asked.clear();
        self.state.outgoing.clear();
        self.state.settled.clear();
        self.choice = None;
        self.unconfirmed.clear();
        effects.push(self.persist());
        effects.push(Effect::Quarantined);
    }

    /// Earlier attempts are not to be granted any more, if they were not yet. Whether there were any.
    fn withdraw_all(&mut self) -> bool {
        let mut any = false;
        for asked in self.state.asked.values_mut() {
            any |= !mem::replace(&mut asked.withdrawn, true);
        }
        any
    }

    fn candidates(
        &self,
        nonce: Nonce,
        purpose: Purpose,
        candidates: Vec<ActorId>,
    ) -> Result<Choice, Refusal> {
        let others: BTreeSet<ActorId> =
            candidates.into_iter().filter(|peer| *peer != self.state.me).collect();
        if others.is_empty() { Err(Refusal::NoCandidates) } else { Ok(Choice::new(nonce, purpose, others)) }
    }

    fn confirmed(&self) -> Result<(), Refusal> {
        match self.unconfirmed.len() {
            0 => Ok(()),
            waiting => Err(Refusal::Unconfirmed { waiting }),
        }
    }

    fn same_epoch(&self, theirs: Epoch) -> Result<(), Refusal> {
        let ours = self.state.epoch;
        match theirs.cmp(&ours) {
            std::cmp::Ordering::Less => Err(Refusal::OldEpoch { theirs, ours }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Refusal::NewEpoch { theirs, ours }),
        }
    }
}

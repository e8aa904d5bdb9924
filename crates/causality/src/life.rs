//! The life of an interval tree clock's id: how a replica gets one, gives it up, and loses it, across crashes, lost,
//! repeated and reordered messages, and restored backups.
//!
//! Invariant: within an epoch no point of the line has two owners. Where that and not losing a point are at odds, as
//! when a replica is gone with its id, the point is lost until the next epoch.
//!
//! [`Life::step`] takes an input and gives effects, in order: what comes after a [`Effect::Persist`] may happen only
//! when those bytes are durable. It knows no clock, socket or random number. Whoever drives it retries by
//! [`Input::Tick`], and chooses [`Nonce`]s at random.
//!
//! - **Joining.** A newcomer asks candidates what they could give, and asks the one with the widest id for half of
//!   it. The sponsor writes down that it owns the other half and has granted this one, and only then sends it. It
//!   sends the same again whenever it is asked with the same nonce, until it has proof that the newcomer has it.
//! - **Retiring.** A replica stops counting events, writes that down, and gives its id to the candidate whose id
//!   becomes simplest by it.
//! - **Proof.** Above each point of an id that travels the giver counts an event that nobody else hears of. So
//!   whoever knows of that event has taken the point, or heard of it from who has: a transfer that comes twice is not
//!   taken twice, without a list of transfers; an acknowledgement is a stamp that knows the event; and a copy of the
//!   giver from before finds out that a point is not its own any more.
//! - **Restored backups.** A peer that knows more events above a replica's id than the replica itself proves that it
//!   is a copy from before: it loses its id, and its data go on under a new actor. A replica that may be such a copy is
//!   [started](Life::start) with the peers to ask, and neither counts, gives nor takes before each has answered. That
//!   finds every copy whose other life somebody knows of, if messages of that life have arrived or are lost by then,
//!   and no second replica is restored meanwhile.
//! - **Data.** A stamp that is [learned](Input::Learned), or comes with an id, says that this replica has the data of
//!   all events that the stamp knows. The driver passes a `Grant` or a `Give` on when it has merged what its stamp
//!   knows. Stamps of other messages are compared and not learned.
//! - **Epochs.** An operator starts a new one when too much of the line was lost. Its [`Table`] gives each member a
//!   balanced id; the old epoch's events are the [baseline](State::baseline), which is below everything new. What is
//!   sent in another epoch is refused by name.
//!
//! The protocol is this project's; the clock is that of Almeida, Baquero, Fonte (2008), who leave it open how an id
//! travels.
//!
//! ```
//! use deltaic_causality::ActorId;
//! use deltaic_causality::life::{Effect, Input, Life, Nonce, State};
//!
//! let (a, b) = (ActorId(1), ActorId(2));
//! let (mut first, _) = Life::start(State::founder(a), vec![], Nonce(0));
//! let (mut second, _) = Life::start(State::outside(b), vec![], Nonce(0));
//!
//! // The newcomer asks; everything that is sent arrives.
//! let mut effects = second.step(Input::Join { nonce: Nonce(1), candidates: vec![a] })?;
//! let mut from = b;
//! while !effects.is_empty() {
//!     let to = if from == a { &mut second } else { &mut first };
//!     let mut answers = Vec::new();
//!     for effect in effects {
//!         // A driver writes the bytes of `Effect::Persist` before it goes on.
//!         if let Effect::Send { message, .. } = effect {
//!             answers.extend(to.step(Input::Received { from, message })?);
//!         }
//!     }
//!     effects = answers;
//!     from = if from == a { b } else { a };
//! }
//! assert!(first.state().is_member() && second.state().is_member());
//! assert_eq!(first.state().outgoing().count(), 0);
//!
//! // Both count events of their own.
//! first.step(Input::Event)?;
//! second.step(Input::Event)?;
//! assert_eq!(first.state().stamp().partial_cmp(second.state().stamp()), None);
//! # Ok::<(), deltaic_causality::life::Refusal>(())
//! ```

mod choice;
mod codec;
mod machine;
mod message;
mod receive;
mod state;
mod wire;

#[cfg(test)]
mod tests;

pub use codec::StateError;
pub use machine::{Effect, Input, Life, Refusal, Table};
pub use message::{Body, Footprint, Message, Purpose};
pub use state::{State, To, Transfer};
pub use wire::MessageError;

/// Which table of members holds. Ids and stamps of two epochs have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

/// Names one attempt to join, to retire or to make sure of a peer: a random number that is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub u128);

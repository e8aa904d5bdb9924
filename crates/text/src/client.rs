//! [`Client`]: the id under which a writer's units are known in a text.
//!
//! Invariant: a client of [`Client::new`] is the actor's number itself, so that two actors never have one; Yjs keeps 53 bits of an id,
//! and an actor whose number does not fit has none there. [`Client::of`] gives each actor one, for logs: their writes are told apart by
//! their dots, and the client names units only.

use deltaic_causality::ActorId;

use crate::TextError;
use crate::update::Update;

/// An id within the 53 bits that Yjs keeps; never 0, which some of its implementations read as *none*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(u64);

impl Client {
    /// One more than the greatest client.
    pub const END: u64 = 1 << 53;

    /// The actor's client: the same number.
    pub fn new(actor: ActorId) -> Result<Self, TextError> {
        if actor.0 == 0 || actor.0 >= Self::END {
            return Err(TextError::ActorOutOfRange { actor });
        }
        Ok(Self(actor.0))
    }

    /// A client of any actor, for the writes of a log: the same number where it fits, else one that is mixed from it. That two actors
    /// of a text have one client by accident is as likely as that two random numbers of 53 bits are equal; and then the units that
    /// both have written apart, under one name, are those of the lesser dot wherever they meet.
    pub fn of(actor: ActorId) -> Self {
        if actor.0 > 0 && actor.0 < Self::BEGINNING.0 {
            return Self(actor.0);
        }
        Self::mixed(actor.0)
    }

    /// The finisher of `SplitMix64` (Steele, Lea, Flood, 2014), a bijection, so that all 64 bits count.
    fn mixed(number: u64) -> Self {
        let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        Self(1 + mixed % (Self::BEGINNING.0 - 1))
    }

    /// Its name, and those that it takes where foreign bytes hold units under the one before so that no more can be numbered there.
    pub(crate) fn lives(self) -> impl Iterator<Item = Self> {
        const LIVES: usize = 8;
        std::iter::successors(Some(self), |life| Some(Self::mixed(life.0))).take(LIVES)
    }

    /// A client that holds nothing in the text: for an author before its units are numbered.
    pub(crate) fn free(held: &Update) -> Option<Self> {
        let is_free = |client: &u64| !held.blocks.contains_key(client) && !held.deleted.contains_key(client);
        (1..Self::END).rev().find(is_free).map(Self)
    }

    /// Whose units are the text that a log begins with.
    pub(crate) const BEGINNING: Self = Self(Self::END - 2);

    /// Its number.
    pub fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_of_equal_low_bits_are_never_one_client() {
        let (low, high) = (ActorId(7), ActorId(7 + Client::END));
        assert_eq!(Client::new(low).map(Client::get), Ok(7));
        assert_eq!(Client::new(high), Err(TextError::ActorOutOfRange { actor: high }));
        assert_eq!(Client::new(ActorId(0)), Err(TextError::ActorOutOfRange { actor: ActorId(0) }));
        assert_eq!(Client::new(ActorId(Client::END - 1)).map(Client::get), Ok(Client::END - 1));
    }

    #[test]
    fn each_actor_has_a_client_that_no_text_keeps_for_itself() {
        let last = Client::BEGINNING.0 - 1;
        for actor in [1, 7, last] {
            assert_eq!(Client::of(ActorId(actor)).get(), actor);
        }
        let large = [0, last + 1, last + 2, Client::END, 7 + Client::END, 7 + (1 << 60), u64::MAX];
        let clients: std::collections::BTreeSet<Client> =
            large.into_iter().map(|actor| Client::of(ActorId(actor))).collect();
        assert_eq!(clients.len(), large.len(), "{clients:?}");
        assert!(clients.iter().all(|client| client.0 > 7 && client.0 <= last), "{clients:?}");
    }
}

//! [`Client`]: the id under which a writer's units are known in a text.
//!
//! Invariant: two actors never have one client. Yjs keeps 53 bits of an id; the client is the actor's number itself, and
//! an actor whose number does not fit has none, so that nothing is cut off.

use deltaic_causality::ActorId;

use crate::TextError;

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
}

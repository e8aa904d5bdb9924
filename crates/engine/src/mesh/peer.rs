//! [`PeerInput`]: what comes from other engines.

use deltaic_causality::{ActorId, Dot};

/// Something between engines that merge. What they say to each other leaves as [`crate::Effects::peers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerInput {
    /// There is another member. It stays one over restarts. The first one makes of the tables a replica: a commit that writes all
    /// their rows once more.
    Join(ActorId),
    /// A member is none any more, as this write says, which is held here ([`deltaic_crdt::anti_entropy::Input::Leave`]).
    Leave(ActorId, Dot),
    /// A message came from a peer, in the order of arrival or not, once or more often. Who is no member is not heard.
    Received(ActorId, Vec<u8>),
}

//! [`Work`]: what takes long, as a value that can be sent to another thread.
//!
//! It leaves the engine as [`crate::Effects::work`], is run wherever there is room, and comes back as
//! [`crate::Input::Worked`]. Invariant: of each kind one is under way at a time; whatever comes meanwhile is taken in as
//! if the work were not there, or waits for it.

use std::fmt;

use crate::{
    allocations::{Settled, Settling},
    aside::{Admission, Admitted},
    views::{Followed, Following, Hydrated, Hydration},
};

/// Something to be computed beside the commits.
#[derive(Debug)]
pub enum Work {
    /// A large request.
    Admission(Box<Admission>),
    /// The first computation of a large query.
    Hydration(Box<Hydration>),
    /// The way of a large commit to the live queries.
    Following(Box<Following>),
    /// A large allocation.
    Settling(Box<Settling>),
    /// What nobody needs any more and takes long to be given back.
    Discard(Discarded),
}

impl Work {
    /// Does it. Nothing comes back of what is discarded.
    pub fn run(self) -> Option<Worked> {
        match self {
            Self::Admission(admission) => Some(Worked::Admitted(Box::new(admission.run()))),
            Self::Hydration(hydration) => Some(Worked::Hydrated(Box::new(hydration.run()))),
            Self::Following(following) => Some(Worked::Followed(Box::new(following.run()))),
            Self::Settling(settling) => Some(Worked::Settled(Box::new(settling.run()))),
            Self::Discard(Discarded(states)) => {
                drop(states);
                None
            }
        }
    }
}

/// What a [`Work`] came to.
#[derive(Debug)]
pub enum Worked {
    /// A request was run.
    Admitted(Box<Admitted>),
    /// A query was computed.
    Hydrated(Box<Hydrated>),
    /// The live queries' circuits have seen a commit.
    Followed(Box<Followed>),
    /// An allocation was worked out.
    Settled(Box<Settled>),
}

/// States of which this is the last handle.
pub struct Discarded(Box<dyn Send>);

impl Discarded {
    pub(crate) fn new(states: impl Send + 'static) -> Self {
        Self(Box::new(states))
    }
}

impl fmt::Debug for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Discarded").finish_non_exhaustive()
    }
}

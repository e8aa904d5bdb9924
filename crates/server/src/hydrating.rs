//! Large queries are computed on a thread of their own, one after the other.
//!
//! Invariant: each ends in one command to the engine's thread, also where it panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Sender, channel},
    thread,
};

use deltaic_engine::Hydration;

use crate::engine::Command;

/// A query to be computed, and the way back to the engine's thread.
pub(crate) type Work = (Box<Hydration>, Sender<Command>);

/// Starts the thread; it ends when the way to it is dropped.
pub(crate) fn start() -> Sender<Work> {
    let (to, works) = channel::<Work>();
    thread::spawn(move || {
        for (work, back) in works {
            let hydrated = catch_unwind(AssertUnwindSafe(|| work.run())).ok().map(Box::new);
            let again = back.clone();
            // The engine may have gone.
            let _ = back.send(Command::Hydrated { hydrated, back: again });
        }
    });
    to
}

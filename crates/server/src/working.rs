//! What takes long is done on threads of its own, beside the engine's.
//!
//! Invariant: each work that has an end ends in one command to the engine's thread, also where it panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use deltaic_engine::Work;

use crate::engine::Command;

/// As many as there are kinds of work that may be under way at a time: none waits for another.
const THREADS: usize = 4;

/// Starts the threads; they end when the way to them is dropped.
pub(crate) fn start(back: &Sender<Command>) -> Sender<Work> {
    let (to, tasks) = channel::<Work>();
    let tasks = Arc::new(Mutex::new(tasks));
    for _ in 0..THREADS {
        let (tasks, back) = (Arc::clone(&tasks), back.clone());
        thread::spawn(move || {
            while let Some(work) = next(&tasks) {
                let worked = match catch_unwind(AssertUnwindSafe(|| work.run())) {
                    Ok(None) => continue,
                    Ok(Some(worked)) => Some(worked),
                    Err(_) => None,
                };
                // The engine may have gone.
                let _ = back.send(Command::Worked(worked));
            }
        });
    }
    to
}

fn next(tasks: &Mutex<Receiver<Work>>) -> Option<Work> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

//! The thread that writes the log of events.
//!
//! What waits is written in one transaction with one sync. Invariant: who is told that an event is written can read it after
//! any crash.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use deltaic_quota::Event;
use deltaic_storage::{RedbEvents, StorageError};
use tokio::sync::oneshot;

/// Opens the log: at the first event, and after a failure.
pub(crate) type EventsOpener = Box<dyn FnMut() -> Result<RedbEvents, String> + Send>;

/// The most events of one transaction.
const BATCH: usize = 4_096;

/// Why an event was not written, or none read.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum EventsError {
    #[error("the log of events does not open: {0}")]
    Open(String),
    #[error("the log of events: {0}")]
    Storage(Arc<StorageError>),
    #[error("the server is shutting down: try again when it is back")]
    Gone,
}

impl EventsError {
    /// Its SQLSTATE.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Storage(error) if matches!(**error, StorageError::DiskFull { .. }) => "53100",
            Self::Open(_) | Self::Storage(_) => "58030",
            Self::Gone => "57P01",
        }
    }
}

type Written = Box<dyn FnOnce(Result<(), EventsError>) + Send>;

enum Task {
    Write(Vec<Event>, Written),
    /// Close the file and end.
    End(oneshot::Sender<()>),
    Read {
        after: u64,
        limit: usize,
        reply: oneshot::Sender<Result<Vec<(u64, Event)>, EventsError>>,
    },
}

/// A way to the thread; clones are the same way.
#[derive(Clone)]
pub(crate) struct Events(mpsc::Sender<Task>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// Starts the thread; it ends with the last way to it.
    pub(crate) fn start(mut opener: EventsOpener) -> std::io::Result<Self> {
        let (to, tasks) = mpsc::channel();
        thread::Builder::new().name("events".into()).spawn(move || {
            let mut log: Option<RedbEvents> = None;
            while let Ok(first) = tasks.recv() {
                let (mut events, mut waiting, mut reads) = (Vec::new(), Vec::new(), Vec::new());
                let mut end = None;
                let mut next = Some(first);
                while let Some(task) = next {
                    match task {
                        Task::Write(more, written) => {
                            events.extend(more);
                            waiting.push(written);
                        }
                        Task::Read { after, limit, reply } => reads.push((after, limit, reply)),
                        Task::End(ended) => end = Some(ended),
                    }
                    let has_room = events.len() < BATCH && end.is_none();
                    next = if has_room { tasks.try_recv().ok() } else { None };
                }
                let written =
                    with(
                        &mut log,
                        &mut opener,
                        |log| {
                            if events.is_empty() { Ok(()) } else { log.append(&events) }
                        },
                    );
                for waiting in waiting {
                    waiting(written.clone());
                }
                for (after, limit, reply) in reads {
                    // Who asked may have gone.
                    let _ = reply.send(with(&mut log, &mut opener, |log| log.read(after, limit)));
                }
                if let Some(ended) = end {
                    drop(log);
                    let _ = ended.send(());
                    return;
                }
            }
        })?;
        Ok(Self(to))
    }

    /// Writes events and then says so.
    pub(crate) fn write(&self, events: Vec<Event>, written: Written) {
        if let Err(mpsc::SendError(Task::Write(_, written))) = self.0.send(Task::Write(events, written)) {
            written(Err(EventsError::Gone));
        }
    }

    /// Writes what waits, closes the file and ends the thread. Not for use inside a runtime.
    pub(crate) fn end(&self) {
        let (ended, is_over) = oneshot::channel();
        if self.0.send(Task::End(ended)).is_ok() {
            // Where it ended by a bug, nothing is open.
            let _ = is_over.blocking_recv();
        }
    }

    /// Writes events and waits until they are on the disk.
    pub(crate) async fn append(&self, events: Vec<Event>) -> Result<(), EventsError> {
        let (reply, outcome) = oneshot::channel();
        self.write(events, Box::new(move |written| drop(reply.send(written))));
        outcome.await.unwrap_or(Err(EventsError::Gone))
    }

    /// The events behind a number.
    pub(crate) async fn read(&self, after: u64, limit: usize) -> Result<Vec<(u64, Event)>, EventsError> {
        let (reply, outcome) = oneshot::channel();
        self.0.send(Task::Read { after, limit, reply }).map_err(|_| EventsError::Gone)?;
        outcome.await.unwrap_or(Err(EventsError::Gone))
    }
}

fn with<T>(
    log: &mut Option<RedbEvents>,
    opener: &mut EventsOpener,
    run: impl FnOnce(&mut RedbEvents) -> Result<T, StorageError>,
) -> Result<T, EventsError> {
    let open = match log {
        Some(open) => open,
        None => log.insert(opener().map_err(EventsError::Open)?),
    };
    let outcome = run(open).map_err(|error| EventsError::Storage(Arc::new(error)));
    if outcome.is_err() {
        *log = None;
    }
    outcome
}

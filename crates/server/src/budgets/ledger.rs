//! The thread that owns the ledger of budgets.
//!
//! It makes the engine's calls in their order and sends the answers back; a batch is begun while those before it are under
//! way, where the ledger can do that. Invariant: each call but a burial has one answer; a ledger that failed is opened anew
//! before the next call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
};

use deltaic_engine::{LedgerAnswer, LedgerCall};
use deltaic_quota::{Batch, Ledger, LedgerError, Outcome, Reply};

use crate::engine::Command;

/// Opens the ledger: at the first call, and after a failure.
pub(crate) type LedgerOpener = Box<dyn FnMut() -> Result<Box<dyn Ledger + Send>, String> + Send>;

/// A ledger that is opened when it is needed.
struct Lazy {
    opener: LedgerOpener,
    ledger: Option<Box<dyn Ledger + Send>>,
    has_failed: Arc<AtomicBool>,
}

impl Lazy {
    fn open(&mut self) -> Result<&mut (dyn Ledger + Send), LedgerError> {
        if self.has_failed.swap(false, Ordering::Relaxed) {
            self.ledger = None;
        }
        match &mut self.ledger {
            Some(ledger) => Ok(&mut **ledger),
            none => match (self.opener)() {
                Ok(ledger) => Ok(&mut **none.insert(ledger)),
                Err(error) => {
                    eprintln!("deltaic: the ledger of budgets does not open: {error}");
                    Err(LedgerError::Refused { why: "it does not open" })
                }
            },
        }
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let outcome = call(self.open()?);
        note(&self.has_failed, &outcome);
        outcome
    }

    fn begin(&mut self, batch: Batch, done: Outcome) {
        let has_failed = Arc::clone(&self.has_failed);
        match self.open() {
            Ok(ledger) => ledger.begin(
                batch,
                Box::new(move |outcome: Result<Reply, LedgerError>| {
                    note(&has_failed, &outcome);
                    done(outcome);
                }),
            ),
            Err(error) => done(Err(error)),
        }
    }
}

fn note<T>(has_failed: &AtomicBool, outcome: &Result<T, LedgerError>) {
    if matches!(outcome, Err(LedgerError::Away | LedgerError::Refused { .. })) {
        has_failed.store(true, Ordering::Relaxed);
    }
}

/// The thread. It ends with this, and the ledger is closed then.
#[derive(Debug)]
pub(crate) struct LedgerThread {
    calls: Option<Sender<LedgerCall>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LedgerThread {
    /// Has a call made. False where the thread has ended by a bug.
    pub(crate) fn call(&self, call: LedgerCall) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.send(call).is_ok())
    }
}

impl Drop for LedgerThread {
    fn drop(&mut self) {
        self.calls = None;
        // Its own panic was printed.
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Starts the thread.
pub(crate) fn start(opener: LedgerOpener, back: Sender<Command>) -> std::io::Result<LedgerThread> {
    let (to, calls) = std::sync::mpsc::channel::<LedgerCall>();
    let thread = thread::Builder::new().name("ledger".into()).spawn(move || {
        let mut ledger = Lazy { opener, ledger: None, has_failed: Arc::default() };
        for call in calls {
            let answer = match call {
                LedgerCall::Open(node) => LedgerAnswer::Opened(ledger.call(|ledger| ledger.open(node))),
                LedgerCall::Apply(batch) => {
                    let (seq, back) = (batch.seq, back.clone());
                    // Where nobody hears it any more the thread ends too.
                    let done = move |outcome| {
                        drop(back.send(Command::Ledger(LedgerAnswer::Applied(seq, outcome))));
                    };
                    ledger.begin(batch, Box::new(done));
                    continue;
                }
                LedgerCall::Silent(before) => {
                    LedgerAnswer::Silent(ledger.call(|ledger| ledger.silent(before)))
                }
                LedgerCall::Stored(number, keys) => {
                    LedgerAnswer::Stored(number, ledger.call(|ledger| ledger.stored(&keys)))
                }
                LedgerCall::Bury(node) => {
                    // It is found silent once more where this failed.
                    let _ = ledger.call(|ledger| ledger.open(node));
                    continue;
                }
            };
            if back.send(Command::Ledger(answer)).is_err() {
                return;
            }
        }
    })?;
    Ok(LedgerThread { calls: Some(to), thread: Some(thread) })
}

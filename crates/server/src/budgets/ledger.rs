//! The thread that owns the ledger of budgets.
//!
//! It makes the engine's calls one after the other and sends the answers back. Invariant: each call but a burial has one
//! answer; a ledger that failed is opened anew before the next call.

use std::{sync::mpsc::Sender, thread};

use deltaic_engine::{LedgerAnswer, LedgerCall};
use deltaic_quota::{Ledger, LedgerError};

use crate::engine::Command;

/// Opens the ledger: at the first call, and after a failure.
pub(crate) type LedgerOpener = Box<dyn FnMut() -> Result<Box<dyn Ledger + Send>, String> + Send>;

/// A ledger that is opened when it is needed.
struct Lazy {
    opener: LedgerOpener,
    ledger: Option<Box<dyn Ledger + Send>>,
}

impl Lazy {
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            None => match (self.opener)() {
                Ok(ledger) => self.ledger.insert(ledger),
                Err(error) => {
                    eprintln!("deltaic: the ledger of budgets does not open: {error}");
                    return Err(LedgerError::Refused { why: "it does not open" });
                }
            },
        };
        let outcome = call(&mut **ledger);
        if matches!(outcome, Err(LedgerError::Away | LedgerError::Refused { .. })) {
            self.ledger = None;
        }
        outcome
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
        let mut ledger = Lazy { opener, ledger: None };
        for call in calls {
            let answer = match call {
                LedgerCall::Open(node) => LedgerAnswer::Opened(ledger.call(|ledger| ledger.open(node))),
                LedgerCall::Apply(batch) => LedgerAnswer::Applied(ledger.call(|ledger| ledger.apply(&batch))),
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

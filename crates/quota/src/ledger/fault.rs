//! [`FaultyLedger`]: a ledger that fails as stores and networks do, when it is told to.
//!
//! Invariant: every fault is one that a correct store may show to its client, except [`Fault::LoseWrite`], which is
//! the lie that nothing can survive unnoticed.

use std::collections::VecDeque;

use super::{Batch, Keys, Ledger, LedgerError, Loaded, MemoryLedger, Opened, Reply, Silent, Stored};
use crate::{Account, NodeId, Time};

/// What goes wrong with one call of [`Ledger::apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The batch is lost on its way.
    TimeoutBefore,
    /// The batch is written, and its answer is lost.
    TimeoutAfter,
    /// The batch comes twice.
    Duplicate,
    /// The batch before comes once more, after this one.
    Reorder,
    /// The store says that it wrote nothing, and it is true: its disk is full.
    Refuse,
    /// The store answers and then forgets the write.
    LoseWrite,
}

/// A [`MemoryLedger`] with a list of faults, one for each call of `apply`; none when the list is over.
#[derive(Debug, Clone, Default)]
pub struct FaultyLedger {
    /// The store behind the faults.
    pub inner: MemoryLedger,
    plan: VecDeque<Fault>,
    previous: Option<Batch>,
}

impl FaultyLedger {
    /// A ledger that fails as planned.
    pub fn new(inner: MemoryLedger) -> Self {
        Self { inner, plan: VecDeque::new(), previous: None }
    }

    /// What the next call that is not yet planned for shall meet.
    pub fn plan(&mut self, fault: Fault) {
        self.plan.push_back(fault);
    }
}

impl Ledger for FaultyLedger {
    fn open(&mut self, node: NodeId) -> Result<Opened, LedgerError> {
        self.inner.open(node)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Reply, LedgerError> {
        let fault = self.plan.pop_front().unwrap_or(Fault::None);
        let before = self.inner.clone();
        let outcome = match fault {
            Fault::TimeoutBefore => return Err(LedgerError::Away),
            Fault::Refuse => return Err(LedgerError::Refused { why: "no space left on device" }),
            Fault::TimeoutAfter => {
                let _ = self.inner.apply(batch);
                Err(LedgerError::Away)
            }
            Fault::Duplicate => {
                let first = self.inner.apply(batch);
                let second = self.inner.apply(batch);
                assert_eq!(first, second, "invariant: a repeated batch has the same answer");
                second
            }
            Fault::Reorder => {
                let outcome = self.inner.apply(batch);
                if let Some(previous) = &self.previous {
                    let image = self.inner.clone();
                    let _ = self.inner.apply(previous);
                    assert_eq!(self.inner, image, "invariant: a late batch changes nothing");
                }
                outcome
            }
            Fault::LoseWrite => {
                let outcome = self.inner.apply(batch);
                self.inner = before;
                outcome
            }
            Fault::None => self.inner.apply(batch),
        };
        self.previous = Some(batch.clone());
        outcome
    }

    fn silent(&mut self, before: Time) -> Result<Vec<Silent>, LedgerError> {
        self.inner.silent(before)
    }

    fn load(&mut self, account: &Account) -> Result<Option<Loaded>, LedgerError> {
        self.inner.load(account)
    }

    fn stored(&mut self, keys: &Keys) -> Result<Vec<Stored>, LedgerError> {
        self.inner.stored(keys)
    }

    fn image(&mut self) -> Result<Vec<u8>, LedgerError> {
        self.inner.image()
    }
}

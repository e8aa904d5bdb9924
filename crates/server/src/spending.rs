//! What the driver does for budgets: calls of the ledger, answers to who asked, events of what requests consumed, and the end.

use std::{sync::mpsc::RecvTimeoutError, time::Duration};

use deltaic_engine::{
    Asked, ConsumeError, ConsumeId, Effects, Input, LedgerTrouble, LimitState, Looked, Outcome, Permitted,
    RequestError, Spent, budget_key_text,
};
use deltaic_quota::{Event, EventKind, Time};
use tokio::sync::oneshot;

use crate::{
    budgets::EventsError,
    driver::{Driver, DriverError, instant, now},
    engine::{Command, SqlReply},
};

/// How long the ledger may take to settle everything at the end.
const SETTLING: Duration = Duration::from_secs(10);

/// A question to a budget that waits for its answer.
pub(crate) enum Asking {
    Consume(oneshot::Sender<Result<Permitted, ConsumeError>>),
    Look(oneshot::Sender<Result<Vec<LimitState>, ConsumeError>>),
}

impl Driver {
    /// Notes who asks; the question's number.
    pub(crate) fn question(&mut self, asking: Asking) -> ConsumeId {
        let id = ConsumeId(self.next_request);
        self.next_request += 1;
        self.asking.insert(id, asking);
        id
    }

    /// Does what a step asks for budgets, news and replies aside.
    pub(crate) fn budgets(&mut self, effects: &mut Effects) -> Result<(), DriverError> {
        for call in effects.ledger.drain(..) {
            if !self.ledger.call(call) {
                return Err(DriverError::Panicked);
            }
        }
        for Asked { id, result } in effects.asked.drain(..) {
            self.is_away &= result.is_err();
            if let Some(Asking::Consume(reply)) = self.asking.remove(&id) {
                // Who has gone meanwhile has spent it: the permits in the answer are committed.
                let _ = reply.send(result);
            }
        }
        for Looked { id, result } in effects.looked.drain(..) {
            if let Some(Asking::Look(reply)) = self.asking.remove(&id) {
                let _ = reply.send(result);
            }
        }
        for spent in effects.spent.drain(..) {
            self.spent.entry(spent.request).or_default().push(spent);
        }
        if let Some(trouble) = effects.trouble.take() {
            self.tell(&trouble);
        }
        Ok(())
    }

    /// Tells who runs the server what is wrong with the ledger; that it is away, once.
    fn tell(&mut self, trouble: &LedgerTrouble) {
        let was_away = std::mem::replace(&mut self.is_away, matches!(trouble, LedgerTrouble::Away(_)));
        match trouble {
            LedgerTrouble::Away(_) if was_away => {}
            LedgerTrouble::Away(error) => eprintln!("deltaic: budgets: {error}"),
            LedgerTrouble::Lost(lost) => eprintln!(
                "deltaic: budgets: the ledger has lost a write that it had acknowledged ({lost:?}); nothing more is admitted: \
                 restore it, then start again"
            ),
            LedgerTrouble::Failed(error) => {
                eprintln!("deltaic: budgets: {error}; its leases were taken for spent, and it begins anew");
            }
        }
    }

    /// Answers a request. What it consumed of budgets with events is written first.
    pub(crate) fn reply(&self, reply: SqlReply, result: Result<Outcome, RequestError>, spent: &[Spent]) {
        let at = Time(u64::try_from(now().0 / 1_000).unwrap_or(0));
        let events: Vec<Event> = spent
            .iter()
            .filter(|spent| result.is_ok() && spent.budget.with_events && !spent.units.is_zero())
            .map(|spent| Event {
                at,
                budget: spent.budget.name.clone(),
                key: budget_key_text(&spent.key),
                kind: EventKind::Consumed,
                units: spent.units,
                permit: 0,
            })
            .collect();
        if events.is_empty() {
            // Whoever asked may have gone.
            let _ = reply.send(result);
            return;
        }
        self.events.write(
            events,
            Box::new(move |written: Result<(), EventsError>| {
                // The request is committed, and said to be; that its events are missing is for who runs the server.
                if let Err(error) = written {
                    eprintln!("deltaic: budgets: events of a committed request are not written: {error}");
                }
                let _ = reply.send(result);
            }),
        );
    }

    /// Stops admission and settles everything: what is unspent goes back to the ledger.
    pub(crate) fn settle_budgets(&mut self) -> Result<(), DriverError> {
        self.perform(Input::Settle)?;
        let begun = instant();
        while !self.engine.has_settled() {
            let Some(left) = SETTLING.checked_sub(begun.elapsed()) else {
                eprintln!(
                    "deltaic: budgets: the ledger did not answer in time; what leases had unspent is spent"
                );
                return Ok(());
            };
            match self.commands.recv_timeout(left.min(Duration::from_millis(100))) {
                Ok(Command::Ledger(answer)) => self.perform(Input::Ledger(answer))?,
                Ok(Command::Worked(worked)) => {
                    self.perform(Input::Worked(worked.ok_or(DriverError::Panicked)?))?;
                }
                // Nobody is there any more to whom it matters.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => self.perform(Input::Wake)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }
}

//! The way between budgets and the rest of the engine: requests that wait for a permit, limits that queries say, gauges.
//!
//! Invariant: budgets know the catalog and the limits of the last durable commit; nothing here waits, and nothing is appended
//! while an append is under way.

use std::collections::BTreeSet;

use deltaic_quota::{Metrics, NodeId};
use deltaic_storage::{Commit, Store};
use deltaic_types::BUDGETS;

use crate::{
    budgets::{Out, SELF, Wanted},
    effects::{Effects, Reply},
    engine::{Engine, InFlight, Prepared},
    error::RequestError,
    input::{Input, Now, Request, Subscribe},
    showing::Showing,
};

/// What waits until nothing is in flight.
#[derive(Debug, Default)]
pub(crate) struct Spending {
    /// Requests whose permits are there.
    ready: Vec<Request>,
    /// Limits that are to be watched.
    watch: Vec<Subscribe>,
    /// Limits that nobody needs any more.
    unwatch: Vec<u64>,
}

impl Engine {
    /// The counters and gauges of budgets.
    pub fn budget_metrics(&self) -> Metrics {
        self.budgets.metrics()
    }

    /// Whether everything that was admitted is settled, after [`Input::Settle`].
    pub fn has_settled(&self) -> bool {
        self.budgets.is_closed()
    }

    /// The node that the engine is for the ledger of budgets.
    pub fn node(&self) -> NodeId {
        NodeId(self.identity.database.0)
    }

    /// Does what budgets ask for, as far as it can be done now.
    pub(crate) fn spend(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        loop {
            if self.in_flight.is_none() {
                self.budgets.declare(now, self.tables.catalog());
            }
            if self.in_flight.is_none() && self.behind.is_none() {
                // Where they cannot be read who offers waits, and they are read with the next input.
                let _ = self.budgets.begin_offers(&mut self.tables, store);
            }
            self.limit_news(now, effects);
            let Out { ledger, asked, looked, ready, refused, watch, unwatch, trouble } =
                self.budgets.take(now);
            effects.ledger.extend(ledger);
            effects.asked.extend(asked);
            effects.looked.extend(looked);
            effects.trouble = trouble.or(effects.trouble.take());
            effects.replies.extend(
                refused
                    .into_iter()
                    .map(|(request, error)| Reply { request: request.id, result: Err(error.into()) }),
            );
            self.spending.ready.extend(ready);
            self.spending.watch.extend(watch);
            self.spending.unwatch.extend(unwatch);
            if self.in_flight.is_some() {
                return;
            }
            if self.behind.is_none() {
                self.end_watches(now, store, effects);
                if let Some(subscribe) = self.spending.watch.pop() {
                    effects.absorb(self.take(now, Input::Subscribe(subscribe), store));
                    continue;
                }
            }
            if !self.spending.ready.is_empty() {
                let ready = std::mem::take(&mut self.spending.ready);
                effects.absorb(self.admit(now, &ready, store));
                continue;
            }
            self.show(now, effects);
            return;
        }
    }

    fn end_watches(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        for number in std::mem::take(&mut self.spending.unwatch) {
            let subscription = crate::input::SubscriptionId(number);
            self.spending.watch.retain(|subscribe| subscribe.subscription != subscription);
            effects.absorb(self.take(now, Input::Unsubscribe { client: SELF, subscription }, store));
        }
    }

    /// Takes the engine's own news out of what leaves.
    fn limit_news(&mut self, now: Now, effects: &mut Effects) {
        if !effects.send.iter().any(|message| message.client == SELF) {
            return;
        }
        let (own, others) =
            std::mem::take(&mut effects.send).into_iter().partition(|message| message.client == SELF);
        effects.send = others;
        let own: Vec<crate::effects::Message> = own;
        for message in own {
            self.budgets.limit_news(now, message.subscription.0, &message.news);
        }
    }

    /// Writes what changed of `deltaic.budgets`: a commit of its own where a live query reads it.
    fn show(&mut self, now: Now, effects: &mut Effects) {
        if self.behind.is_some() {
            return;
        }
        if self.budgets.gauges.rests(now) {
            return;
        }
        self.budgets.note_changes(now);
        if !self.budgets.gauges.is_due() {
            return;
        }
        if !self.views.reads(BUDGETS) && !self.views.is_hydrating() {
            self.budgets.gauges.write(now, &mut self.tables);
            return;
        }
        let millis = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let Ok(time) = self.clock.tick(millis) else { return };
        let mut after = self.tables.clone();
        let showing = Showing::Gauges(self.budgets.gauges.changes());
        let touched = self.budgets.gauges.write(now, &mut after);
        if touched.is_empty() {
            return;
        }
        let (lsn, seq, tables) = (self.lsn.next(), self.seq, BTreeSet::from([BUDGETS]));
        let prepared = Prepared { lsn, time, touched, tables, after };
        self.in_flight = Some(InFlight { showing: Some(showing), ..InFlight::alone(prepared, seq) });
        effects.append = vec![Commit { lsn, time, seq, changes: Vec::new().into() }];
    }

    /// A request ran until it would have consumed what was not admitted: it waits for that. Others are given up.
    pub(crate) fn is_waiting_for(
        &mut self,
        now: Now,
        request: &Request,
        wanted: Option<Wanted>,
        error: &RequestError,
    ) -> bool {
        match wanted {
            Some(wanted) if matches!(error, RequestError::NotAdmitted) => {
                self.budgets.park(now, request.clone(), wanted);
                true
            }
            _ => {
                self.budgets.grants.give_up(request.id);
                false
            }
        }
    }
}

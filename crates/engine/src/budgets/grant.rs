//! [`Grants`]: what was admitted for requests that consume within their transactions.
//!
//! A request runs until it consumes what was not admitted yet; then it is given up, waits for the budget, and runs again
//! with the grant. Invariant: a grant ends with its request: committed with it, refunded without it.

use std::collections::BTreeMap;

use std::sync::Arc;

use deltaic_quota::{Permit, Units};
use deltaic_types::{Budget, BudgetId, Row};

use crate::input::RequestId;

/// What a statement consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) budget: BudgetId,
    /// The budget's name.
    pub(crate) name: String,
    pub(crate) key: Row,
    pub(crate) units: Units,
}

/// What a request has consumed.
#[derive(Debug)]
pub struct Spent {
    /// The request.
    pub request: RequestId,
    /// The budget.
    pub budget: Arc<Budget>,
    /// The key.
    pub key: Row,
    /// How much.
    pub units: Units,
    permits: Vec<Permit<'static>>,
}

impl Spent {
    /// Nothing of the request happened.
    pub(crate) fn refund(self) {
        self.permits.into_iter().for_each(Permit::refund);
    }
}

/// The permits of requests that wait or run.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_request: BTreeMap<RequestId, Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    grant: Grant,
    budget: Arc<Budget>,
    permits: Vec<Permit<'static>>,
    available: Units,
}

impl Grants {
    pub(super) fn put(
        &mut self,
        request: RequestId,
        (grant, budget): (Grant, Arc<Budget>),
        permits: Vec<Permit<'static>>,
        available: Units,
    ) {
        self.by_request.entry(request).or_default().push(Held { grant, budget, permits, available });
    }

    /// What a request may consume, in the order in which it asked, with what was available behind each.
    pub(crate) fn of(&self, request: RequestId) -> Vec<(Grant, Units)> {
        let held = self.by_request.get(&request).into_iter().flatten();
        held.map(|held| (held.grant.clone(), held.available)).collect()
    }

    /// Takes what a request consumed; what it did not use in the end is refunded.
    pub(crate) fn take(&mut self, request: RequestId, used: &[usize]) -> Vec<Spent> {
        let mut taken = Vec::new();
        for (place, held) in self.by_request.remove(&request).unwrap_or_default().into_iter().enumerate() {
            if used.contains(&place) {
                let Held { grant: Grant { key, units, .. }, budget, permits, .. } = held;
                taken.push(Spent { request, budget, key, units, permits });
            } else {
                held.permits.into_iter().for_each(Permit::refund);
            }
        }
        taken
    }

    /// Refunds what a request was granted: nothing of it happened.
    pub(crate) fn give_up(&mut self, request: RequestId) {
        self.take(request, &[]);
    }
}

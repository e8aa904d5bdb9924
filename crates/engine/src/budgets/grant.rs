//! [`Grants`]: what was admitted for requests that consume within their transactions.
//!
//! A request runs until a statement consumes what was not admitted yet; then it is given up, waits for the budgets, and runs
//! again with its grants, as of the same time. Invariants: a grant ends with its request, committed with it or refunded
//! without it; what a run did not ask for any more is refunded before the next one waits, so that a request never stands in its own way.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_quota::{Permit, Units};
use deltaic_types::{Budget, BudgetId, Row};

use crate::input::{Now, RequestId};

/// How often a request may ask for something else than it asked for before: tables that it reads change meanwhile.
const CHANGES_OF_MIND: u32 = 20;

/// What a statement consumes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

/// Where a budget stood behind a grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Balance {
    /// What was left.
    pub(crate) available: Units,
    /// Of offers: what was promised, with the grant and all others that were out.
    pub(crate) promised: Units,
}

/// What a run of a request may consume, and what it would.
#[derive(Debug, Clone, Default)]
pub(crate) struct Purse {
    /// The places of grants, with how the budget stood behind each; the next one to be used is the last.
    granted: BTreeMap<Grant, Vec<(usize, Balance)>>,
    used: Vec<usize>,
    wanted: Vec<Grant>,
}

impl Purse {
    /// Consumes what was admitted, and says how the budget stood behind it; notes what was not.
    pub(crate) fn consume(&mut self, grant: Grant) -> Option<Balance> {
        match self.granted.get_mut(&grant).and_then(Vec::pop) {
            Some((place, balance)) => {
                self.used.push(place);
                Some(balance)
            }
            None => {
                self.wanted.push(grant);
                None
            }
        }
    }

    /// Whether something was not admitted.
    pub(crate) fn is_short(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// How much was asked of it.
    pub(crate) fn len(&self) -> usize {
        self.used.len() + self.wanted.len()
    }

    /// The places of what was used.
    pub(crate) fn into_used(self) -> Vec<usize> {
        self.used
    }

    /// What was not admitted, and the places of what was used before.
    pub(crate) fn take_wanted(&mut self) -> Option<Wanted> {
        let is_short = self.is_short();
        is_short.then(|| Wanted { grants: std::mem::take(&mut self.wanted), used: self.used.clone() })
    }
}

/// What stopped a run.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) grants: Vec<Grant>,
    used: Vec<usize>,
}

/// The permits of requests that wait or run.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_request: BTreeMap<RequestId, Held>,
}

#[derive(Debug)]
struct Held {
    /// The time as of which the request runs.
    began: Now,
    changes_of_mind: u32,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    grant: Grant,
    budget: Arc<Budget>,
    permits: Vec<Permit<'static>>,
    balance: Balance,
}

impl Part {
    fn refund(self) {
        self.permits.into_iter().for_each(Permit::refund);
    }
}

impl Grants {
    pub(super) fn put(
        &mut self,
        request: RequestId,
        (grant, budget): (Grant, Arc<Budget>),
        permits: Vec<Permit<'static>>,
        balance: Balance,
    ) {
        match self.by_request.get_mut(&request) {
            Some(held) => held.parts.push(Part { grant, budget, permits, balance }),
            // It was given up meanwhile.
            None => Part { grant, budget, permits, balance }.refund(),
        }
    }

    /// What a request may consume.
    pub(crate) fn of(&self, request: RequestId) -> Purse {
        let mut purse = Purse::default();
        let parts = self.by_request.get(&request).into_iter().flat_map(|held| &held.parts);
        for (place, part) in parts.enumerate().collect::<Vec<_>>().into_iter().rev() {
            purse.granted.entry(part.grant.clone()).or_default().push((place, part.balance));
        }
        purse
    }

    /// The time as of which a request runs: that of its first run.
    pub(crate) fn time_of(&self, request: RequestId, now: Now) -> Now {
        self.by_request.get(&request).map_or(now, |held| held.began)
    }

    /// A run of a request ended with something wanted: what it did not use is refunded. False where that happened too often.
    pub(super) fn keep(&mut self, request: RequestId, now: Now, wanted: &Wanted) -> bool {
        let fresh = || Held { began: now, changes_of_mind: 0, parts: Vec::new() };
        let held = self.by_request.entry(request).or_insert_with(fresh);
        let mut kept = vec![false; held.parts.len()];
        for place in &wanted.used {
            kept[*place] = true;
        }
        let before = held.parts.len();
        for (part, is_kept) in std::mem::take(&mut held.parts).into_iter().zip(kept) {
            if is_kept {
                held.parts.push(part);
            } else {
                part.refund();
            }
        }
        held.changes_of_mind += u32::from(held.parts.len() < before);
        held.changes_of_mind <= CHANGES_OF_MIND
    }

    /// Takes what a request consumed; what it did not use in the end is refunded.
    pub(crate) fn take(&mut self, request: RequestId, used: &[usize]) -> Vec<Spent> {
        let Some(held) = self.by_request.remove(&request) else { return Vec::new() };
        let mut is_used = vec![false; held.parts.len()];
        for place in used {
            is_used[*place] = true;
        }
        let mut taken = Vec::new();
        for (part, is_used) in held.parts.into_iter().zip(is_used) {
            if is_used {
                let Part { grant: Grant { key, units, .. }, budget, permits, .. } = part;
                taken.push(Spent { request, budget, key, units, permits });
            } else {
                part.refund();
            }
        }
        taken
    }

    /// Refunds what a request was granted: nothing of it happened.
    pub(crate) fn give_up(&mut self, request: RequestId) {
        self.take(request, &[]);
    }
}

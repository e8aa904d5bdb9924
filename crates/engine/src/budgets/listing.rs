//! [`Listing`]: the keys that the ledger has and this engine has not, for `deltaic.budgets`.
//!
//! Invariant: a key that the node has in memory is shown as the node knows it and never as the ledger told it; a row whose
//! window is over goes. What was used up of keys before the engine started is seen with the first look.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_quota::{Key, Keys, LedgerError, Stored, Time};
use deltaic_types::{BudgetId, Row};

use super::{Budgets, LedgerCall, gauge::row_key, key, time};
use crate::input::Now;

/// How many keys are asked for at a time.
const PART: usize = 500;

/// How many keys are shown that nobody has used since the start. Others appear with their first use.
const MOST: usize = 10_000;

/// How long a ledger that did not answer is left alone.
const REST_MICROS: i64 = 5_000_000;

/// How far it has come.
#[derive(Debug)]
pub(super) enum Listing {
    /// To begin, not before a moment.
    Due(Now),
    /// A part was asked for under a number, behind so many keys.
    Asked { number: u64, told: usize },
    /// Everything was told.
    Done,
}

impl Listing {
    pub(super) fn is_asked(&self, asked: u64) -> bool {
        matches!(self, Self::Asked { number, .. } if *number == asked)
    }
}

/// The rows that stand by the ledger's word alone, by the end of their windows.
pub(super) type Listed = BTreeMap<Time, Vec<(Key, Row)>>;

impl Budgets {
    /// Begins, where it is due.
    pub(super) fn list(&mut self, now: Now) {
        if matches!(self.listing, Listing::Due(from) if from <= now) && !self.is_lost {
            self.list_behind(None, 0);
        }
    }

    fn list_behind(&mut self, key: Option<Key>, told: usize) {
        let number = self.number();
        self.listing = Listing::Asked { number, told };
        self.out.ledger.push(LedgerCall::Stored(number, Keys::Behind(key, PART)));
    }

    /// A part of the keys.
    pub(super) fn listed(&mut self, now: Now, outcome: Result<Vec<Stored>, LedgerError>) {
        let Listing::Asked { told, .. } = self.listing else { return };
        let Ok(part) = outcome else {
            self.listing = Listing::Due(Now(now.0.saturating_add(REST_MICROS)));
            return;
        };
        for stored in &part {
            self.show_stored(now, stored);
        }
        let told = told + part.len();
        match part.last() {
            Some(last) if part.len() == PART && told < MOST => self.list_behind(Some(last.key.clone()), told),
            _ => self.listing = Listing::Done,
        }
    }

    fn show_stored(&mut self, now: Now, stored: &Stored) {
        if self.node.state(&stored.key).is_some() {
            return;
        }
        let Some((id, place)) = self.limit_of(&stored.key) else { return };
        let declared = &self.declared[&id];
        let policy = declared.policies[place];
        let is_of = |values: &Row| values.len() == declared.budget.key.len();
        let Some(values) = key::values_of(&stored.key).filter(is_of) else { return };
        let budget = Arc::clone(&declared.budget);
        let state = self.node.state_by(time(now), policy, Some(stored), stored.target);
        let state = self.seen(&budget, &values, state);
        // A window that nothing was spent in has no row, and a bucket fills without anybody's doing.
        let per = &declared.budget.limits[place].per;
        if state.available >= state.limit || matches!(per, deltaic_types::Per::Bucket { .. }) {
            return;
        }
        let row = row_key(&declared.budget.name, &values, &per.to_string());
        if state.ends != Time::NEVER {
            self.listed.entry(state.ends).or_default().push((stored.key.clone(), row.clone()));
        }
        self.gauges.put(row, &state);
    }

    /// Which limit of which budget a key of the ledger is of. Cost: the budgets.
    fn limit_of(&self, key: &Key) -> Option<(BudgetId, usize)> {
        self.declared.iter().find_map(|(id, declared)| {
            let mut places = 0..declared.budget.limits.len();
            let place = places.find(|place| self.naming.is_of(key, &declared.budget, *place))?;
            Some((*id, place))
        })
    }

    /// Forgets the rows of a budget that has gone.
    pub(super) fn unlist(&mut self, budget: &str) {
        for rows in self.listed.values_mut() {
            rows.retain(|(_, row)| row[0].as_str() != Some(budget));
        }
    }

    /// Lets go of rows whose windows are over and that the node knows nothing of.
    pub(super) fn forget_listed(&mut self, now: Now) {
        while let Some(first) = self.listed.first_entry().filter(|first| *first.key() <= time(now)) {
            for (key, row) in first.remove() {
                if self.node.state(&key).is_none() {
                    self.gauges.remove(row);
                }
            }
        }
    }
}

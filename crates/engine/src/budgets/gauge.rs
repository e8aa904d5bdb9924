//! [`Gauges`]: the rows of `deltaic.budgets`, as the node last said that they are.
//!
//! Invariant: a row changes with a flush of its key and not with each admission, and goes when the node forgets the key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deltaic_quota::{KeyState, Time, Units};
use deltaic_types::{BUDGETS, Row, TableId, Value};

use super::{Budgets, key};
use crate::{input::Now, tables::Tables};

/// The least time between two commits of gauges.
const REST_MICROS: i64 = 100_000;

/// Rows on their way to the table.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// By primary key: what the row is to be.
    changes: BTreeMap<Row, Option<Row>>,
    /// Budgets that were dropped.
    dropped: BTreeSet<String>,
    rest_until: Option<Now>,
}

fn units(units: Units) -> Value {
    Value::Integer(i64::try_from(units.0).unwrap_or(i64::MAX))
}

/// What a row is found by.
pub(super) fn row_key(budget: &str, values: &Row, per: &str) -> Row {
    [budget, &key::to_text(values), per].into_iter().map(Value::from).collect()
}

impl Gauges {
    /// What a row is to say.
    pub(super) fn put(&mut self, key: Row, state: &KeyState) {
        let ends = (state.ends != Time::NEVER)
            .then(|| Value::Timestamp(i64::try_from(state.ends.0.saturating_mul(1_000)).unwrap_or(i64::MAX)));
        let numbers = [
            units(state.limit),
            units(state.used),
            units(state.reserved),
            units(state.available),
            units(state.bound.under),
            units(state.bound.over),
            units(Units(state.denied)),
            ends.unwrap_or(Value::Null),
        ];
        let row = key.iter().cloned().chain(numbers).collect();
        self.changes.insert(key, Some(row));
    }

    /// The row is to go.
    pub(super) fn remove(&mut self, key: Row) {
        self.changes.insert(key, None);
    }

    pub(super) fn retire(&mut self, budget: &str) {
        self.changes.retain(|key, _| key[0].as_str() != Some(budget));
        self.dropped.insert(budget.to_owned());
    }

    /// Whether the last change was shown just now.
    pub(crate) fn rests(&self, now: Now) -> bool {
        self.rest_until.is_some_and(|until| now < until)
    }

    /// Whether there is something to be shown.
    pub(crate) fn is_due(&self) -> bool {
        !self.changes.is_empty() || !self.dropped.is_empty()
    }

    /// What is to be written.
    pub(crate) fn changes(&self) -> BTreeMap<Row, Option<Row>> {
        self.changes.clone()
    }

    /// These were not written.
    pub(crate) fn show_again(&mut self, changes: BTreeMap<Row, Option<Row>>) {
        for (key, row) in changes {
            self.changes.entry(key).or_insert(row);
        }
    }

    /// Writes what changed into the tables; the rows that it touched.
    pub(crate) fn write(&mut self, now: Now, tables: &mut Tables) -> Vec<(TableId, Row)> {
        self.rest_until = Some(Now(now.0.saturating_add(REST_MICROS)));
        for budget in std::mem::take(&mut self.dropped) {
            let rows = tables.relation(BUDGETS).primary().iter();
            let of: Vec<Row> = rows
                .map(|(row, _)| row)
                .filter(|row| row[0].as_str() == Some(&budget))
                .map(|row| row[..3].iter().cloned().collect())
                .collect();
            for key in of {
                self.changes.entry(key).or_insert(None);
            }
        }
        let mut touched = Vec::new();
        for (key, row) in std::mem::take(&mut self.changes) {
            let was = tables.get(BUDGETS, &key).cloned();
            if was == row {
                continue;
            }
            let relation = tables.relation_mut(BUDGETS);
            if let Some(was) = was {
                relation.remove(&was);
            }
            if let Some(row) = row {
                relation.insert(&row);
            }
            touched.push((BUDGETS, key));
        }
        touched
    }
}

impl Budgets {
    /// Takes in which keys have changed, and lets go of what the node has forgotten.
    pub(crate) fn note_changes(&mut self, now: Now) {
        for changed in self.node.changed() {
            let Some(&(id, place)) = self.by_policy.get(&changed.policy) else { continue };
            let Some(declared) = self.declared.get(&id) else { continue };
            // A share is all keys'.
            let Some(values) = key::values_of(&changed.key) else { continue };
            let (name, per) = (declared.budget.name.clone(), declared.budget.limits[place].per.to_string());
            let key = row_key(&name, &values, &per);
            let Some(state) = changed.state else {
                // Its next window may be there already.
                if self.node.state(&changed.key).is_none() {
                    self.gauges.remove(key);
                    self.forget_limit(id, place, &values);
                }
                continue;
            };
            let budget = Arc::clone(&declared.budget);
            let state = self.seen(&budget, &values, state);
            self.gauges.put(key, &state);
        }
        self.forget_listed(now);
    }
}

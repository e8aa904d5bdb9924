//! [`Limits`]: the limits that queries say, key by key, each a live query of its own form.
//!
//! Invariant: a limit is known as the last commit has it; who asks before it is known waits, and is answered.

use std::{collections::BTreeMap, sync::Arc};

use deltaic_quota::Units;
use deltaic_types::{Budget, BudgetAmount, BudgetId, Row, Value, json_format};
use serde_json::Value as Json;

use super::{Budgets, ask::ConsumeError, key, time};
use crate::{
    effects::News,
    input::{ClientId, Now, Subscribe, SubscriptionId},
    life::Life,
};

/// The engine itself, as a client of its own live queries: no driver gives this number.
pub(crate) const SELF: ClientId = ClientId(u64::MAX);

/// A limit that is to be watched.
pub(crate) type Watch = Subscribe;

/// Where the limit of a key stands.
#[derive(Debug)]
struct Watched {
    place: (BudgetId, usize, Row),
    /// None until the query has answered.
    limit: Option<Result<Option<i64>, String>>,
    /// What it said last when it could be computed.
    last: Option<i64>,
    /// Who waits for it.
    waiting: Vec<u64>,
}

/// The limits that are watched.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    by_place: BTreeMap<(BudgetId, usize, Row), u64>,
    watched: BTreeMap<u64, Watched>,
}

impl Limits {
    /// Forgets a budget; the numbers of what was watched.
    pub(super) fn retire(&mut self, id: BudgetId) -> Vec<u64> {
        let of = |place: &(BudgetId, usize, Row)| place.0 == id;
        let gone: Vec<u64> =
            self.by_place.iter().filter(|(place, _)| of(place)).map(|(_, number)| *number).collect();
        for number in &gone {
            if let Some(watched) = self.watched.remove(number) {
                self.by_place.remove(&watched.place);
            }
        }
        gone
    }
}

impl Budgets {
    /// The limit of a key, if its query has answered; an ask waits for it otherwise.
    pub(super) fn known_limit(
        &mut self,
        budget: &Arc<Budget>,
        limit: usize,
        row: &Row,
        ask: u64,
    ) -> Option<Result<Units, ConsumeError>> {
        let place = (budget.id, limit, row.clone());
        let number = match self.limits.by_place.get(&place) {
            Some(number) => *number,
            None => self.watch(budget, place),
        };
        let known = self.limit_at_hand(budget, limit, row);
        if known.is_none() {
            let watched = self.limits.watched.get_mut(&number)?;
            if !watched.waiting.contains(&ask) {
                watched.waiting.push(ask);
            }
        }
        known
    }

    /// The limit of a key, if it is watched and its query has answered.
    pub(super) fn limit_at_hand(
        &self,
        budget: &Budget,
        limit: usize,
        row: &Row,
    ) -> Option<Result<Units, ConsumeError>> {
        let number = self.limits.by_place.get(&(budget.id, limit, row.clone()))?;
        let (name, per) = (|| budget.name.clone(), || budget.limits[limit].per.to_string());
        Some(match self.limits.watched.get(number)?.limit.as_ref()? {
            Ok(Some(units)) => Ok(Units(u64::try_from(*units).unwrap_or(0))),
            Ok(None) => Err(ConsumeError::NoLimit { budget: name(), per: per(), key: key::to_text(row) }),
            Err(why) => Err(ConsumeError::LimitFailed { budget: name(), per: per(), why: why.clone() }),
        })
    }

    fn watch(&mut self, budget: &Budget, place: (BudgetId, usize, Row)) -> u64 {
        let BudgetAmount::Query(query) = &budget.limits[place.1].amount else {
            unreachable!("invariant: the limit is a query");
        };
        self.next += 1;
        let number = self.next;
        let parameters: Vec<Json> = query
            .parameters
            .iter()
            .map(|column| {
                let value = json_format::to_json(&place.2[*column], &budget.key[*column].data_type);
                serde_json::to_value(value).expect("invariant: a key's value has a JSON form")
            })
            .collect();
        self.out.watch.push(Subscribe {
            client: SELF,
            subscription: SubscriptionId(number),
            sql: query.sql.clone(),
            parameters,
            claims: BTreeMap::new(),
            resume: None,
            life: Life::Ephemeral,
        });
        self.limits.by_place.insert(place.clone(), number);
        self.limits.watched.insert(number, Watched { place, limit: None, last: None, waiting: Vec::new() });
        number
    }

    /// News of a limit: who waited for it goes on, and a key that is in use has it from now on.
    pub(crate) fn limit_news(&mut self, now: Now, number: u64, news: &News) {
        let Some(watched) = self.limits.watched.get_mut(&number) else { return };
        let said = |value: Option<&Value>| Ok(value.and_then(Value::as_i64));
        let limit = match news {
            News::Snapshot(snapshot) => said(snapshot.rows.first().map(|row| &row[0])),
            News::Change(change) => {
                match change.changes.iter().find(|(_, weight)| *weight > 0) {
                    Some((row, _)) => said(Some(&row[0])),
                    // An error has ended, and it is what it was.
                    None => Ok(watched.last),
                }
            }
            News::Current(_) => return,
            News::Error { error, .. } => Err(error.to_string()),
        };
        self.going.extend(watched.waiting.drain(..));
        let (budget, place, row) = watched.place.clone();
        watched.limit = Some(limit.clone());
        if let Ok(units) = &limit {
            watched.last = *units;
        }
        let is_over = matches!(news, News::Error { cookie: None, .. });
        if is_over {
            // The subscription ended with it: the next one who asks begins another, and these hear why.
            let waited: Vec<u64> = self.going.drain(..).collect();
            for ask in waited {
                self.go_on(now, ask);
            }
            if let Some(watched) = self.limits.watched.remove(&number) {
                self.limits.by_place.remove(&watched.place);
            }
            return;
        }
        let Some(declared) = self.declared.get(&budget) else { return };
        // No limit, or none that can be computed: nothing more is admitted.
        let units = limit.ok().flatten().map_or(0, |units| u64::try_from(units).unwrap_or(0));
        let policy = declared.policies[place];
        if let Some(account) = self.naming.account(&declared.budget, place, &row) {
            let budget = Arc::clone(&declared.budget);
            let limit = self.with_credit(&budget, &row, Units(units));
            let effects = self.node.set_limit(time(now), policy, &account, limit);
            self.absorb(effects);
        }
    }

    /// Ends the watch of a limit of a key that the node does not have: who only asked costs nothing once it was answered.
    pub(super) fn forget_unused(&mut self, budget: &Budget, limit: usize, row: &Row) {
        let account = self.naming.account(budget, limit, row);
        if account.is_none_or(|account| self.node.state(&account).is_none()) {
            self.forget_limit(budget.id, limit, row);
        }
    }

    /// Ends the watch of the limits of a key that the node has forgotten.
    pub(super) fn forget_limit(&mut self, budget: BudgetId, limit: usize, row: &Row) {
        let place = (budget, limit, row.clone());
        let Some(number) = self.limits.by_place.get(&place).copied() else { return };
        if self.limits.watched.get(&number).is_some_and(|watched| watched.waiting.is_empty()) {
            self.limits.by_place.remove(&place);
            self.limits.watched.remove(&number);
            self.out.unwatch.push(number);
        }
    }
}

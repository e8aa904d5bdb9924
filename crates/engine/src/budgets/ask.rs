//! [`Ask`]: somebody who wants to spend, on the way through the limits of a budget.
//!
//! Invariant: an ask holds a permit of each limit before the one that it stands at, and every ask ends in one answer: all
//! permits, or none and the reason.

use std::sync::Arc;

use deltaic_quota::{
    Denied, Handle, Input as NodeInput, KeyState, Keys, LedgerError, Permit, Reason,
    RequestId as NodeRequest, Stored, Units,
};
use deltaic_types::{Budget, BudgetAmount, Catalog, EvalError, Row};
use serde_json::Value as Json;
use thiserror::Error;

use super::{
    Budgets, LedgerCall,
    grant::{Balance, Grant, Wanted},
    key, time,
};
use crate::input::{Now, Request, RequestId};

/// The number that whoever drives the engine gave a question to a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumeId(pub u64);

/// A question to a budget: whether so much can be spent, or how it stands.
#[derive(Debug, Clone)]
pub struct Consume {
    /// Its number.
    pub id: ConsumeId,
    /// The budget's name.
    pub budget: String,
    /// A text or a JSON value for each column of the key, or one text with commas between the columns' texts.
    pub key: Vec<Json>,
    /// How much; none to look and spend nothing.
    pub units: Option<i64>,
}

/// The answer to a [`Consume`] with an amount.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub id: ConsumeId,
    /// What was admitted, or why nothing was.
    pub result: Result<Admitted, ConsumeError>,
}

/// What was admitted.
#[derive(Debug)]
pub struct Admitted {
    /// The budget.
    pub budget: Arc<Budget>,
    /// The key.
    pub key: Row,
    /// A permit of each limit, in their order. Dropped, they are committed.
    pub permits: Vec<Permit<'static>>,
    /// The way to each limit's admission from now on, by any thread.
    pub handles: Vec<Handle>,
    /// Where each limit stands now.
    pub states: Vec<LimitState>,
}

/// The answer to a [`Consume`] without an amount.
#[derive(Debug)]
pub struct Looked {
    /// The question.
    pub id: ConsumeId,
    /// Where each limit stands, in their order.
    pub result: Result<Vec<LimitState>, ConsumeError>,
}

/// Where a limit of a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitState {
    /// When it begins anew, in words.
    pub per: String,
    /// The numbers.
    pub state: KeyState,
}

/// Why nothing was admitted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// No budget of this name.
    #[error("budget \"{name}\" does not exist: CREATE BUDGET makes one")]
    NoSuchBudget {
        /// The name.
        name: String,
        /// A budget that is called almost so.
        nearest: Option<String>,
    },
    /// Too few values, or too many.
    #[error("the key of budget \"{budget}\" has {expected} columns, and {given} values were given")]
    KeyCount {
        /// The budget.
        budget: String,
        /// How many its key has.
        expected: usize,
        /// How many came.
        given: usize,
    },
    /// A value of another type.
    #[error("column \"{column}\" of the key of budget \"{budget}\" is no {type_name}: {error}")]
    Key {
        /// The budget.
        budget: String,
        /// The column.
        column: String,
        /// Its type.
        type_name: String,
        /// What is wrong.
        error: EvalError,
    },
    /// NULL is nobody's key.
    #[error("column \"{column}\" of the key of budget \"{budget}\" is NULL: a budget is somebody's")]
    NullKey {
        /// The budget.
        budget: String,
        /// The column.
        column: String,
    },
    /// A key of more bytes than a ledger takes.
    #[error("the key is too long: it may have about a thousand bytes")]
    KeyTooLong,
    /// What offers promise is spent by offers alone.
    #[error(
        "budget \"{budget}\" is of what is offered: insert a row of \"{budget}\", or update one to end it"
    )]
    OfOffers {
        /// The budget, and the table of the offers.
        budget: String,
    },
    /// An amount below nothing.
    #[error("{amount} cannot be consumed: amounts are not negative; a refund gives back")]
    Amount {
        /// The amount.
        amount: i64,
    },
    /// No amount.
    #[error("the amount is NULL: say how much is consumed")]
    NullAmount,
    /// The query of a limit has no row for the key.
    #[error("budget \"{budget}\" has no limit per {per} for \"{key}\": its query gives none")]
    NoLimit {
        /// The budget.
        budget: String,
        /// Which of its limits.
        per: String,
        /// The key.
        key: String,
    },
    /// The query of a limit cannot be computed.
    #[error("the limit per {per} of budget \"{budget}\" is not known: {why}")]
    LimitFailed {
        /// The budget.
        budget: String,
        /// Which of its limits.
        per: String,
        /// Why.
        why: String,
    },
    /// A limit refused.
    #[error("budget \"{budget}\", limit per {per}: {denied}")]
    Denied {
        /// The budget.
        budget: String,
        /// Which of its limits.
        per: String,
        /// Why.
        denied: Denied,
    },
    /// A capacity has not so much left that is not promised.
    #[error(
        "{key} has promised all but {left} to offers of \"{budget}\": offer less, end one of them, or raise the capacity"
    )]
    Promised {
        /// The budget, and the table of the offers.
        budget: String,
        /// The provider and its capacity.
        key: String,
        /// What is left, in the units of the budget.
        left: Units,
    },
    /// What a request consumes changed again and again while it waited.
    #[error("what the request consumes changed while it waited for it, again and again: run it anew")]
    Changing,
    /// The ledger did not answer.
    #[error("the ledger of budgets does not answer: try again")]
    LedgerAway,
    /// The ledger forgot what it had acknowledged.
    #[error("the ledger of budgets has lost a write that it had acknowledged: restore it, then start again")]
    LedgerLost,
    /// The engine ends.
    #[error("budgets are being settled for the end: try again when the server is back")]
    Closing,
}

impl ConsumeError {
    /// PostgreSQL's five-letter code.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::NoSuchBudget { .. } | Self::NoLimit { .. } => "42704",
            Self::KeyCount { .. } => "08P01",
            Self::Key { error, .. } => error.sqlstate(),
            Self::NullKey { .. } | Self::NullAmount => "22004",
            Self::KeyTooLong => "54000",
            Self::Amount { .. } => "22003",
            Self::LimitFailed { .. } | Self::OfOffers { .. } => "55000",
            Self::Changing => "40001",
            Self::Denied { .. } | Self::Promised { .. } => "53400",
            Self::LedgerAway | Self::Closing => "57P03",
            Self::LedgerLost => "58030",
        }
    }
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Asker {
    Door(ConsumeId),
    /// A request that consumes within its transaction: one of the things that it does.
    Part(RequestId),
}

/// A request that waits for what it consumes.
#[derive(Debug)]
pub(super) struct Parked {
    request: Request,
    /// How much of it has no answer yet.
    waiting: usize,
    error: Option<ConsumeError>,
}

#[derive(Debug)]
pub(super) struct Ask {
    pub(super) asker: Asker,
    pub(super) budget: Arc<Budget>,
    pub(super) key: Row,
    pub(super) units: Units,
    pub(super) permits: Vec<Permit<'static>>,
}

/// Somebody who looks, and what is not known yet.
#[derive(Debug)]
pub(super) struct Look {
    id: ConsumeId,
    budget: Arc<Budget>,
    key: Row,
    states: Vec<LimitState>,
}

impl Budgets {
    /// A question from outside.
    pub(crate) fn consume(&mut self, consume: Consume, catalog: &Catalog) {
        let Consume { id, budget, key: given, units } = consume;
        let found = self.find(&budget, catalog).and_then(|budget| {
            let key = key::parse(&budget, &given)?;
            Ok((budget, key))
        });
        let Some(units) = units else {
            match found {
                Ok((budget, key)) => self.look(Look { id, budget, key, states: Vec::new() }),
                Err(error) => self.out.looked.push(Looked { id, result: Err(error) }),
            }
            return;
        };
        let asker = Asker::Door(id);
        let checked = found.and_then(|(budget, key)| {
            if budget.is_of_offers {
                return Err(ConsumeError::OfOffers { budget: budget.name.clone() });
            }
            Ok((budget, key, amount(units)?))
        });
        match checked {
            Ok((budget, key, units)) => self.ask(asker, budget, key, units),
            Err(result) => self.answer(asker, Err(result)),
        }
    }

    /// A request that ran until it consumed what was not admitted yet.
    pub(crate) fn park(&mut self, now: Now, request: Request, wanted: Wanted) {
        let id = request.id;
        if !self.grants.keep(id, now, &wanted) {
            self.grants.give_up(id);
            return self.out.refused.push((request, ConsumeError::Changing));
        }
        self.parked.insert(id, Parked { request, waiting: wanted.grants.len(), error: None });
        for Grant { budget, name, key, units } in wanted.grants {
            match self.declared.get(&budget) {
                Some(declared) => {
                    let budget = Arc::clone(&declared.budget);
                    self.ask(Asker::Part(id), budget, key, units);
                }
                // Declared in this very transaction, or dropped meanwhile.
                None => self.part(id, Err(ConsumeError::NoSuchBudget { name, nearest: None })),
            }
        }
    }

    /// A part of what a request consumes was admitted, or refused. With the last one it goes on, or is refused.
    fn part(&mut self, id: RequestId, result: Result<(), ConsumeError>) {
        let Some(parked) = self.parked.get_mut(&id) else { return };
        parked.waiting -= 1;
        if let Err(error) = result {
            parked.error.get_or_insert(error);
        }
        if parked.waiting > 0 {
            return;
        }
        let Some(Parked { request, error, .. }) = self.parked.remove(&id) else { return };
        match error {
            None => self.out.ready.push(request),
            Some(error) => {
                self.grants.give_up(id);
                self.out.refused.push((request, error));
            }
        }
    }

    fn find(&self, name: &str, catalog: &Catalog) -> Result<Arc<Budget>, ConsumeError> {
        let declared = catalog.budget(name).and_then(|budget| self.declared.get(&budget.id));
        declared.map(|declared| Arc::clone(&declared.budget)).ok_or_else(|| {
            let nearest = deltaic_sql::nearest(name, catalog.budgets().map(|budget| budget.name.as_str()));
            ConsumeError::NoSuchBudget { name: name.to_owned(), nearest }
        })
    }

    fn ask(&mut self, asker: Asker, budget: Arc<Budget>, key: Row, units: Units) {
        if self.is_lost {
            return self.answer(asker, Err(ConsumeError::LedgerLost));
        }
        let number = self.number();
        self.asks.insert(number, Ask { asker, budget, key, units, permits: Vec::new() });
        self.going.push_back(number);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Brings an ask to the next limit that it has to wait for, or to its end.
    pub(super) fn go_on(&mut self, now: Now, number: u64) {
        let Some(ask) = self.asks.get(&number) else {
            // Somebody who looks, and waited for a limit.
            if self.looks.contains_key(&number) {
                self.loaded(now, number, Ok(Vec::new()));
            }
            return;
        };
        let (budget, place) = (Arc::clone(&ask.budget), ask.permits.len());
        if place == budget.limits.len() {
            return self.admitted(now, number);
        }
        let (units, key) = (ask.units, ask.key.clone());
        let Some(account) = self.naming.account(&budget, place, &key) else {
            return self.refuse(number, ConsumeError::KeyTooLong);
        };
        let Some(declared) = self.declared.get(&budget.id) else {
            let name = budget.name.clone();
            return self.refuse(number, ConsumeError::NoSuchBudget { name, nearest: None });
        };
        let policy = declared.policies[place];
        if let BudgetAmount::Query(_) = budget.limits[place].amount {
            let limit = match self.known_limit(&budget, place, &key, number) {
                Some(Ok(limit)) => limit,
                Some(Err(error)) => {
                    self.forget_unused(&budget, place, &key);
                    return self.refuse(number, error);
                }
                // It is computed, and goes on with it.
                None => return,
            };
            if budget.is_of_offers && self.known_credit(&budget, &key, number).is_none() {
                return;
            }
            let limit = self.with_credit(&budget, &key, limit);
            let handle = self.node.handle(time(now), policy, &account);
            if let Some(accumulator) = handle.accumulator() {
                if accumulator.limit() != limit {
                    accumulator.set_limit(limit);
                }
            }
        }
        let request = NodeRequest(number);
        self.step(now, NodeInput::Consume { request, policy, key: account, units });
    }

    /// The node's answer to an ask.
    pub(super) fn came(&mut self, number: u64, answer: Result<Permit<'static>, Denied>) {
        let Some(ask) = self.asks.get_mut(&number) else {
            // Whoever asked was refused meanwhile.
            answer.into_iter().for_each(Permit::refund);
            return;
        };
        match answer {
            Ok(permit) => {
                ask.permits.push(permit);
                self.going.push_back(number);
            }
            Err(mut denied) => {
                let place = ask.permits.len();
                let per = ask.budget.limits[place].per.to_string();
                // What the ledger has left counts too.
                let account = self.naming.account(&ask.budget, place, &ask.key);
                let state = account.and_then(|account| self.node.state(&account));
                denied.available = state.map_or(denied.available, |state| state.available);
                let error = match denied.reason {
                    Reason::LedgerAway => ConsumeError::LedgerAway,
                    _ if ask.budget.is_of_offers => ConsumeError::Promised {
                        budget: ask.budget.name.clone(),
                        key: key::to_text(&ask.key),
                        left: denied.available,
                    },
                    _ => ConsumeError::Denied { budget: ask.budget.name.clone(), per, denied },
                };
                self.refuse(number, error);
            }
        }
    }

    fn admitted(&mut self, now: Now, number: u64) {
        let ask = self.asks.remove(&number).expect("invariant: it was there just now");
        let states = self.states(&ask.budget, &ask.key);
        let Ask { asker, budget, key, permits, units } = ask;
        match asker {
            Asker::Door(id) => {
                let handles = (0..budget.limits.len()).map(|place| {
                    let account = self.naming.account(&budget, place, &key);
                    let account = account.expect("invariant: it was admitted under that key");
                    let policy = self.declared[&budget.id].policies[place];
                    self.node.handle(time(now), policy, &account)
                });
                let handles = handles.collect();
                let admitted = Admitted { budget, key, permits, handles, states };
                self.out.asked.push(Asked { id, result: Ok(admitted) });
            }
            Asker::Part(request) => {
                let available = states.iter().map(|state| state.state.available).min().unwrap_or_default();
                let promised = if budget.is_of_offers {
                    self.spent_of(now, &budget, &key).unwrap_or(Units::MAX)
                } else {
                    Units::ZERO
                };
                let balance = Balance { available, promised };
                let grant = Grant { budget: budget.id, name: budget.name.clone(), key, units };
                self.grants.put(request, (grant, budget), permits, balance);
                self.part(request, Ok(()));
            }
        }
    }

    /// Ends an ask with nothing admitted.
    pub(super) fn refuse(&mut self, number: u64, error: ConsumeError) {
        let Some(ask) = self.asks.remove(&number) else { return };
        ask.permits.into_iter().rev().for_each(Permit::refund);
        self.answer(ask.asker, Err(error));
    }

    pub(super) fn refuse_all(&mut self, error: &ConsumeError) {
        let all: Vec<u64> = self.asks.keys().copied().collect();
        for number in all {
            self.refuse(number, error.clone());
        }
        for (_, look) in std::mem::take(&mut self.looks) {
            self.out.looked.push(Looked { id: look.id, result: Err(error.clone()) });
        }
    }

    fn answer(&mut self, asker: Asker, result: Result<Admitted, ConsumeError>) {
        match (asker, result) {
            (Asker::Door(id), result) => self.out.asked.push(Asked { id, result }),
            (Asker::Part(request), Err(error)) => self.part(request, Err(error)),
            (Asker::Part(_), Ok(_)) => unreachable!("invariant: a request's permits become grants"),
        }
    }

    /// What is spent of a key's first limit, settled or not, with what is admitted and not committed.
    fn spent_of(&mut self, now: Now, budget: &Budget, key: &Row) -> Option<Units> {
        let (account, policy) =
            (self.naming.account(budget, 0, key)?, self.declared.get(&budget.id)?.policies[0]);
        let handle = self.node.handle(time(now), policy, &account);
        let unspent = handle.accumulator()?.available_at(time(now)).local;
        let state = self.seen(budget, key, self.node.state(&account)?);
        Some(state.used.plus(state.reserved).minus(unspent))
    }

    /// Where the limits of a key stand that the node has in memory.
    fn states(&self, budget: &Budget, key: &Row) -> Vec<LimitState> {
        let states = budget.limits.iter().enumerate().filter_map(|(place, limit)| {
            let state = self.node.state(&self.naming.account(budget, place, key)?)?;
            let state = self.seen(budget, key, state);
            Some(LimitState { per: limit.per.to_string(), state })
        });
        states.collect()
    }

    /// Tells where a key stands, limit by limit: of what the node does not know the ledger is asked.
    fn look(&mut self, mut look: Look) {
        while let Some(limit) = look.budget.limits.get(look.states.len()) {
            let place = look.states.len();
            let Some(account) = self.naming.account(&look.budget, place, &look.key) else {
                let result = Err(ConsumeError::KeyTooLong);
                return self.out.looked.push(Looked { id: look.id, result });
            };
            let Some(state) = self.node.state(&account).filter(|_| self.node.is_known(&account)) else {
                let number = self.number();
                self.looks.insert(number, look);
                self.out.ledger.push(LedgerCall::Stored(number, Keys::Only(account)));
                return;
            };
            let state = self.seen(&look.budget, &look.key, state);
            look.states.push(LimitState { per: limit.per.to_string(), state });
        }
        self.out.looked.push(Looked { id: look.id, result: Ok(look.states) });
    }

    /// The ledger's answer to somebody who looks.
    pub(super) fn loaded(&mut self, now: Now, number: u64, outcome: Result<Vec<Stored>, LedgerError>) {
        let Some(mut look) = self.looks.remove(&number) else { return };
        let place = look.states.len();
        let Some(declared) = self.declared.get(&look.budget.id) else {
            let error = ConsumeError::NoSuchBudget { name: look.budget.name.clone(), nearest: None };
            return self.out.looked.push(Looked { id: look.id, result: Err(error) });
        };
        let policy = declared.policies[place];
        let limit = look.budget.limits[place].clone();
        let stored = outcome.map(|mut stored| stored.pop());
        let state = match (stored, limit.amount) {
            (Err(_), _) => Err(ConsumeError::LedgerAway),
            (Ok(Some(stored)), _) => Ok(self.node.state_by(time(now), policy, Some(&stored), Units::ZERO)),
            (Ok(None), BudgetAmount::Units(units)) => {
                let limit = Units(u64::try_from(units).unwrap_or(0));
                Ok(self.node.state_by(time(now), policy, None, limit))
            }
            (Ok(None), BudgetAmount::Query(_)) => {
                let (budget, key) = (Arc::clone(&look.budget), look.key.clone());
                let Some(limit) = self.known_limit(&budget, place, &key, number) else {
                    // It is computed, and goes on with it.
                    self.looks.insert(number, look);
                    return;
                };
                self.forget_unused(&budget, place, &key);
                limit.map(|limit| self.node.state_by(time(now), policy, None, limit))
            }
        };
        match state {
            Ok(state) => {
                let state = self.seen(&look.budget, &look.key, state);
                look.states.push(LimitState { per: limit.per.to_string(), state });
                self.look(look);
            }
            Err(error) => self.out.looked.push(Looked { id: look.id, result: Err(error) }),
        }
    }
}

/// An amount that can be consumed.
pub(crate) fn amount(units: i64) -> Result<Units, ConsumeError> {
    u64::try_from(units).map(Units).map_err(|_| ConsumeError::Amount { amount: units })
}

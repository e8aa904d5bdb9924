//! Offers of an allocation: rows with a life of their own.
//!
//! ```text
//! offered ──> accepted ──> fulfilled
//!    │           ├───────> cancelled
//!    │           └───────> expired, at `until`
//!    ├──> declined
//!    ├──> cancelled
//!    └──> expired, at `answer_by`
//! ```
//!
//! Invariant: a row goes these ways alone and says the same promise on all of them; every row that is offered or accepted was
//! admitted by the budget of its capacity, in the transaction that made it, and what ends is given back when that is durable. So what a
//! capacity has promised is never more than what it had when it promised it. Leases as in Gray and Cheriton (SOSP 1989): an end that
//! nobody has to speak.

use std::collections::BTreeMap;

use bigdecimal::RoundingMode;
use deltaic_query::statement::Statement;
use deltaic_quota::Units;
use deltaic_sql::{BindContext, bind, parse};
use deltaic_storage::Store;
use deltaic_types::{
    Allocation, BudgetAmount, BudgetId, Row, TableId, TableSchema, Value, limits, text_format,
};
use serde_json::Value as Json;

use crate::{
    admission::with_constants,
    allocations::scaled,
    budgets::{ConsumeError, Grant, key_text},
    constraint::RowChange,
    effects::Effects,
    engine::Engine,
    error::{OfferError, RequestError},
    input::{Claims, Now, Request, RequestId},
    read,
    transaction::Transaction,
};

/// The columns of the table, by place.
pub(crate) const ID: usize = 0;
pub(crate) const PROVIDER: usize = 1;
pub(crate) const CAPACITY: usize = 2;
pub(crate) const QUANTITY: usize = 5;
pub(crate) const STATE: usize = 6;
pub(crate) const ANSWER_BY: usize = 7;
pub(crate) const UNTIL: usize = 8;

/// The most offers that end in one append.
const TOGETHER: usize = 256;

/// The numbers from here on are the engine's own requests.
const OWN: u64 = u64::MAX - TOGETHER as u64;

/// Where an offer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfferState {
    Offered,
    Accepted,
    Declined,
    Fulfilled,
    Cancelled,
    Expired,
}

impl OfferState {
    const ALL: [Self; 6] =
        [Self::Offered, Self::Accepted, Self::Declined, Self::Fulfilled, Self::Cancelled, Self::Expired];

    fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Fulfilled => "fulfilled",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state that a row says; none where it is no word of ours.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        Self::ALL.into_iter().find(|state| state.name() == text)
    }

    /// Whether its capacity is promised.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Offered | Self::Accepted)
    }

    /// It can always stay what it is: the other columns change then.
    fn can_become(self, next: Self) -> bool {
        match self {
            Self::Offered => !matches!(next, Self::Fulfilled),
            Self::Accepted => {
                matches!(next, Self::Accepted | Self::Fulfilled | Self::Cancelled | Self::Expired)
            }
            _ => next == self,
        }
    }

    /// What it can become, in words.
    fn next(self) -> String {
        let names = Self::ALL.into_iter().filter(|next| *next != self && self.can_become(*next));
        let names: Vec<&str> = names.map(Self::name).collect();
        if names.is_empty() {
            "it stays so".to_owned()
        } else {
            format!("it can become {}", names.join(", "))
        }
    }
}

/// When an offer ends unless something is said before.
pub(crate) fn due(state: OfferState, answer_by: &Value, until: &Value) -> Option<i64> {
    let moment = match state {
        OfferState::Offered => answer_by,
        OfferState::Accepted => until,
        _ => return None,
    };
    if let Value::Timestamp(micros) = moment { Some(*micros) } else { None }
}

/// What a quantity counts in its budget: whole units, or millionths rounded up. None where no lease can hold it.
pub(crate) fn units(quantity: &Value, is_whole: bool) -> Option<Units> {
    let units = if is_whole {
        quantity.as_i64()?
    } else {
        scaled(quantity, 1_000_000, RoundingMode::Ceiling).ok()?
    };
    u64::try_from(units).ok().map(Units).filter(|units| *units <= Units::LEASE_MAX)
}

/// Checks what a statement does to offers, and asks the budget for what it promises. Cost: the rows.
pub(crate) fn check(
    transaction: &mut Transaction<'_>,
    schema: &TableSchema,
    changes: &[RowChange],
) -> Result<(), RequestError> {
    let Some((allocation, offers)) = transaction.tables.catalog().offers_in(schema.id) else { return Ok(()) };
    let (allocation, is_whole) = (allocation.name.clone(), allocation.is_whole);
    let budget = offers.budget;
    let is_step = |change: &&RowChange| match (&change.before, &change.after) {
        // What else the table has, as a column that is being added, is not the offer's.
        (Some(before), Some(after)) => before.values[..=UNTIL] != after[..=UNTIL],
        _ => true,
    };
    let changes: Vec<&RowChange> = changes.iter().filter(is_step).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let Some(budget) = budget else { return Err(OfferError::Elsewhere { allocation }.into()) };
    // By capacity: the most that was promised when one of these was admitted, with it; and what all of these promise.
    let mut promised: BTreeMap<Row, (Units, Units)> = BTreeMap::new();
    for change in changes {
        match (&change.before, &change.after) {
            (Some(before), Some(after)) => step(schema, &before.values, after, transaction.now)?,
            (Some(before), None) => {
                if let Some(state) = OfferState::of(&before.values[STATE]).filter(|state| state.is_open()) {
                    return Err(OfferError::Open { id: id(&before.values), state: state.name() }.into());
                }
            }
            (None, Some(after)) => {
                if OfferState::of(&after[STATE]) != Some(OfferState::Offered) {
                    let state = text_format::to_text(&after[STATE]);
                    return Err(OfferError::Begins { id: id(after), state }.into());
                }
                let name = Allocation::offers_of(&allocation);
                let Some(units) = units(&after[QUANTITY], is_whole) else {
                    return Err(OfferError::TooMuch { id: id(after) }.into());
                };
                let key: Row = [PROVIDER, CAPACITY].into_iter().map(|place| after[place].clone()).collect();
                if transaction.purse.len() >= limits::CONSUMED {
                    let (rows, limit) = (transaction.purse.len() + 1, limits::CONSUMED);
                    return Err(RequestError::TooManyRows { rows, limit });
                }
                // What was not admitted is asked for with all the rest of the statement.
                let grant = Grant { budget, name, key: key.clone(), units };
                if let Some(balance) = transaction.purse.consume(grant) {
                    let (most, own) = promised.entry(key).or_default();
                    (*most, *own) = (balance.promised.max(*most), own.plus(units));
                }
            }
            (None, None) => {}
        }
    }
    if transaction.purse.is_short() || promised.is_empty() {
        Ok(())
    } else {
        check_capacities(transaction, budget, promised)
    }
}

/// Checks that capacities are still as large as they were when offers of them were admitted: the budget knows them as the live queries
/// have them, behind the commits under way and without what the transaction itself has written. Cost: the budget's query, for each.
fn check_capacities(
    transaction: &mut Transaction<'_>,
    id: BudgetId,
    promised: BTreeMap<Row, (Units, Units)>,
) -> Result<(), RequestError> {
    let budget = transaction.tables.catalog().budgets().find(|budget| budget.id == id);
    let budget = budget.expect("invariant: an allocation's budget is in the catalog").clone();
    let BudgetAmount::Query(limit) = &budget.limits[0].amount else {
        unreachable!("invariant: a capacity is what a query says");
    };
    let statements = parse(&limit.sql)?;
    let context = BindContext { catalog: transaction.tables.catalog(), now: Some(transaction.now.0) };
    let Statement::Query(query) = bind(&statements[0], &context)?.statement else {
        unreachable!("invariant: a limit is a query");
    };
    for (key, (promised, own)) in promised {
        let values: Vec<Value> = limit.parameters.iter().map(|column| key[*column].clone()).collect();
        let rows = read::rows(&with_constants(&query, &values), transaction)?;
        let capacity = rows.first().and_then(|row| row[0].as_i64()).unwrap_or(0);
        let capacity = Units(u64::try_from(capacity).unwrap_or(0));
        if promised > capacity {
            let (budget, key, left) =
                (budget.name.clone(), key_text(&key), capacity.minus(promised.minus(own)));
            return Err(ConsumeError::Promised { budget, key, left }.into());
        }
    }
    Ok(())
}

fn id(row: &Row) -> String {
    text_format::to_text(&row[ID])
}

/// One step of a life.
fn step(schema: &TableSchema, before: &Row, after: &Row, now: Now) -> Result<(), OfferError> {
    if let Some(place) = (ID..STATE).find(|place| before[*place] != after[*place]) {
        return Err(OfferError::Fixed { id: id(before), column: schema.columns[place].name.clone() });
    }
    let from = OfferState::of(&before[STATE]);
    let from = from.expect("invariant: an offer's state is one of ours");
    let to = OfferState::of(&after[STATE]).filter(|to| from.can_become(*to));
    let Some(to) = to else {
        let to = text_format::to_text(&after[STATE]);
        return Err(OfferError::Step { id: id(before), from: from.name(), to, next: from.next() });
    };
    let is_over = due(from, &before[ANSWER_BY], &before[UNTIL]).is_some_and(|due| due <= now.0);
    match to {
        // Nor is one that is over given more time.
        to if to.is_open() && is_over => Err(OfferError::Late { id: id(before) }),
        OfferState::Expired if from.is_open() && !is_over => Err(OfferError::Early { id: id(before) }),
        _ => Ok(()),
    }
}

impl Engine {
    /// Ends the offers whose time is over, as anybody's request would.
    pub(crate) fn expire_offers(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        if self.in_flight.is_some() || self.behind.is_some() {
            return;
        }
        let due = self.budgets.promises.take_due(now, TOGETHER);
        let requests: Vec<Request> =
            due.iter().zip(OWN..).filter_map(|(due, number)| self.expiry(due, number)).collect();
        if !requests.is_empty() {
            effects.absorb(self.admit(now, &requests, store));
        }
    }

    fn expiry(&self, (table, id): &(TableId, Row), number: u64) -> Option<Request> {
        let table = &self.tables.catalog().get(*table)?.name;
        Some(Request {
            id: RequestId(number),
            sql: format!("UPDATE {} SET state = 'expired' WHERE id = $1", text_format::quoted(table)),
            parameters: vec![Json::from(id[ID].as_str()?)],
            claims: Claims::new(),
            basis: None,
        })
    }

    /// Keeps the answers to the engine's own requests.
    pub(crate) fn keep_own_replies(effects: &mut Effects) {
        effects.replies.retain(|reply| reply.request.0 < OWN);
    }
}

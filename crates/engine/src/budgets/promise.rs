//! [`Promises`]: what the open offers of allocations promise, and what their budgets are credited for those that ended.
//!
//! An offer consumes of its budget when it is made, and the budget is a stock: what is spent is spent. What ends raises the limit
//! instead. Let O be what is open by the rows, U what the ledger has as used and reserved, both when a capacity is first asked for in
//! this life of the engine, and E what was open then or was spent since, and is not open any more; then its limit is the capacity +
//! (U - O) + E. What a life before spent and no row says (leases that a crash burnt, offers that ended) is in U - O, so that nothing is
//! lost for longer than a restart.
//!
//! Invariant: with C consumed since, U + C <= capacity + (U - O) + E, so O + C - E, what is open, is at most the capacity. For this U is
//! asked for before the first is admitted and when no life before can write any more, and E counts what is durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deltaic_quota::{KeyState, Keys, LedgerError, Stored, Units};
use deltaic_storage::{Reader, StorageError};
use deltaic_types::{Budget, BudgetId, Row, TableId};

use super::{Budgets, LedgerCall, Spent, ask::ConsumeError, time};
use crate::{
    engine::Prepared,
    input::Now,
    offers::{ANSWER_BY, CAPACITY, OfferState, PROVIDER, QUANTITY, STATE, UNTIL, due, units},
    tables::Tables,
};

/// How long an offer whose time is over is left alone that could not be ended.
const REST_MICROS: i64 = 1_000_000;

/// The columns that are followed.
const FOLLOWED: [usize; 6] = [PROVIDER, CAPACITY, QUANTITY, STATE, ANSWER_BY, UNTIL];

/// What is promised.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    tables: BTreeMap<TableId, Kept>,
    credits: BTreeMap<(BudgetId, Row), Credit>,
    /// Whether the ledger has given an epoch since the start.
    has_begun: bool,
    /// Who asks before the rows are known.
    early: Vec<u64>,
}

/// The offers of an allocation.
#[derive(Debug)]
struct Kept {
    budget: BudgetId,
    is_whole: bool,
    /// By id.
    open: BTreeMap<Row, Open>,
    /// The sums, by provider and capacity.
    promised: BTreeMap<Row, Units>,
    /// When they end, with their ids.
    due: BTreeSet<(i64, Row)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    key: Row,
    units: Units,
    due: Option<i64>,
}

/// What a capacity's limit is above the capacity.
#[derive(Debug)]
enum Credit {
    /// The ledger was asked, under a number, for those who wait.
    Asked { number: u64, waiting: Vec<u64> },
    /// Below nothing where rows promise what the ledger never counted, as one that was put in its place.
    Known(i128),
}

impl Kept {
    fn new(budget: BudgetId, is_whole: bool) -> Self {
        let (open, promised, due) = Default::default();
        Self { budget, is_whole, open, promised, due }
    }

    /// An offer as a row in memory says it; none where it is not open.
    fn read(&self, tables: &Tables, table: TableId, row: &Row) -> Option<Open> {
        let values = row.project(&tables.slots(table, &FOLLOWED));
        let state = OfferState::of(&values[3]).filter(|state| state.is_open())?;
        let key = values.project(&[0, 1]);
        // A row that no budget has counted cannot be there: what is no quantity promises nothing.
        let units = units(&values[2], self.is_whole).unwrap_or_default();
        Some(Open { key, units, due: due(state, &values[4], &values[5]) })
    }

    /// An offer is this now, or is not open any more. What it promises less, by capacity, goes into the account.
    fn put(&mut self, id: &Row, now: Option<Open>, less: &mut BTreeMap<Row, i128>) {
        if let Some(was) = self.open.remove(id) {
            if let Some(due) = was.due {
                self.due.remove(&(due, id.clone()));
            }
            let sum = self.promised.entry(was.key.clone()).or_default();
            *sum = sum.minus(was.units);
            if sum.is_zero() {
                self.promised.remove(&was.key);
            }
            *less.entry(was.key).or_default() += i128::from(was.units.0);
        }
        if let Some(now) = now {
            self.due.extend(now.due.map(|due| (due, id.clone())));
            let sum = self.promised.entry(now.key.clone()).or_default();
            *sum = sum.plus(now.units);
            *less.entry(now.key.clone()).or_default() -= i128::from(now.units.0);
            self.open.insert(id.clone(), now);
        }
    }
}

impl Promises {
    /// The offers whose time is over, so many at most: each is due again after a while, unless it has ended by then.
    pub(crate) fn take_due(&mut self, now: Now, most: usize) -> Vec<(TableId, Row)> {
        let mut taken = Vec::new();
        for (table, kept) in &mut self.tables {
            while taken.len() < most && kept.due.first().is_some_and(|(due, _)| *due <= now.0) {
                let Some((_, id)) = kept.due.pop_first() else { break };
                let again = now.0.saturating_add(REST_MICROS);
                let open = kept.open.get_mut(&id).expect("invariant: what is due is open");
                open.due = Some(again);
                kept.due.insert((again, id.clone()));
                taken.push((*table, id));
            }
        }
        taken
    }

    /// When the next offer's time is over.
    pub(crate) fn wake_at(&self) -> Option<Now> {
        self.tables.values().filter_map(|kept| kept.due.first()).map(|(due, _)| Now(*due)).min()
    }

    fn promised(&self, budget: BudgetId, key: &Row) -> Option<Units> {
        let kept = self.tables.values().find(|kept| kept.budget == budget)?;
        Some(kept.promised.get(key).copied().unwrap_or_default())
    }

    /// The credit of a capacity, where it is known.
    fn credit(&self, budget: BudgetId, key: &Row) -> Option<i128> {
        match self.credits.get(&(budget, key.clone()))? {
            Credit::Known(credit) => Some(*credit),
            Credit::Asked { .. } => None,
        }
    }

    /// The ledger has given an epoch. With the first one no life before writes any more, and nothing was admitted: what it has said
    /// until then is asked anew, by those who wait for it.
    pub(super) fn begin(&mut self) -> Vec<u64> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Vec::new();
        }
        let credits = std::mem::take(&mut self.credits).into_values();
        let waiting = credits.filter_map(|credit| match credit {
            Credit::Asked { waiting, .. } => Some(waiting),
            Credit::Known(_) => None,
        });
        waiting.flatten().collect()
    }

    /// Forgets a budget that was dropped.
    pub(super) fn retire(&mut self, budget: BudgetId) {
        self.credits.retain(|(id, _), _| *id != budget);
    }
}

impl Budgets {
    /// Takes in the offers of allocations that are new to this life of the engine. Cost: their rows, once.
    pub(crate) fn begin_offers(
        &mut self,
        tables: &mut Tables,
        store: &dyn Reader,
    ) -> Result<(), StorageError> {
        let catalog = tables.catalog();
        self.promises.tables.retain(|table, kept| {
            catalog.offers_in(*table).is_some_and(|(_, offers)| offers.budget == Some(kept.budget))
        });
        let new: Vec<(TableId, BudgetId, bool)> = catalog
            .allocations()
            .filter_map(|allocation| {
                let offers = allocation.offers.as_ref()?;
                Some((offers.table, offers.budget?, allocation.is_whole))
            })
            .filter(|(table, ..)| !self.promises.tables.contains_key(table))
            .collect();
        for (table, budget, is_whole) in new {
            let columns = FOLLOWED.iter().map(|column| (table, *column)).collect();
            tables.make_hot(&columns, store, &[])?;
            let mut kept = Kept::new(budget, is_whole);
            for (row, _) in tables.relation(table).primary().iter() {
                let open = kept.read(tables, table, row);
                kept.put(&tables.key_in_memory(table, row), open, &mut BTreeMap::new());
            }
            self.promises.tables.insert(table, kept);
            self.going.extend(std::mem::take(&mut self.promises.early));
        }
        Ok(())
    }

    /// Commits are durable, for which this was spent: what of it promises nothing any more is given back.
    pub(crate) fn follow_offers(&mut self, now: Now, prepared: &[Prepared], spent: &[Spent]) {
        if self.promises.tables.is_empty() {
            return;
        }
        let mut less: BTreeMap<BudgetId, BTreeMap<Row, i128>> = BTreeMap::new();
        for Prepared { touched, after, .. } in prepared {
            for (table, id) in touched {
                let Some(kept) = self.promises.tables.get_mut(table) else { continue };
                if after.catalog().get(*table).is_none() {
                    continue;
                }
                let open = after.get(*table, id).and_then(|row| kept.read(after, *table, row));
                kept.put(id, open, less.entry(kept.budget).or_default());
            }
        }
        for Spent { budget, key, units, .. } in spent.iter().filter(|spent| spent.budget.is_of_offers) {
            *less.entry(budget.id).or_default().entry(key.clone()).or_default() += i128::from(units.0);
        }
        for (budget, keys) in less {
            for (key, less) in keys.into_iter().filter(|(_, less)| *less != 0) {
                if let Some(Credit::Known(credit)) = self.promises.credits.get_mut(&(budget, key.clone())) {
                    *credit += less;
                    self.limit_offers(now, budget, &key);
                }
            }
        }
    }

    /// Sets the limit of a capacity whose credit has changed.
    fn limit_offers(&mut self, now: Now, id: BudgetId, key: &Row) {
        let Some(declared) = self.declared.get(&id) else { return };
        let (budget, policy) = (Arc::clone(&declared.budget), declared.policies[0]);
        let (Some(Ok(limit)), Some(credit)) =
            (self.limit_at_hand(&budget, 0, key), self.promises.credit(id, key))
        else {
            return;
        };
        if let Some(account) = self.naming.account(&budget, 0, key) {
            let effects = self.node.set_limit(time(now), policy, &account, raised(limit, credit));
            self.absorb(effects);
        }
    }

    /// The credit of a capacity that somebody asks for: they wait where it is not known.
    pub(super) fn known_credit(&mut self, budget: &Budget, key: &Row, ask: u64) -> Option<i128> {
        if self.promises.promised(budget.id, key).is_none() {
            self.promises.early.push(ask);
            return None;
        }
        let place = (budget.id, key.clone());
        match self.promises.credits.get_mut(&place) {
            Some(Credit::Known(credit)) => return Some(*credit),
            Some(Credit::Asked { waiting, .. }) => {
                waiting.push(ask);
                return None;
            }
            None => {}
        }
        let account = self.naming.account(budget, 0, key)?;
        let number = self.number();
        self.promises.credits.insert(place, Credit::Asked { number, waiting: vec![ask] });
        self.out.ledger.push(LedgerCall::Stored(number, Keys::Only(account)));
        None
    }

    /// The ledger says what was spent of a capacity; false where nobody has asked under this number.
    pub(super) fn credited(&mut self, number: u64, outcome: &Result<Vec<Stored>, LedgerError>) -> bool {
        let is_it =
            |credit: &Credit| matches!(credit, Credit::Asked { number: asked, .. } if *asked == number);
        let found = self.promises.credits.iter().find(|(_, credit)| is_it(credit));
        let Some(place) = found.map(|(place, _)| place.clone()) else { return false };
        let Some(Credit::Asked { waiting, .. }) = self.promises.credits.remove(&place) else { return false };
        match outcome {
            Ok(stored) => {
                let windows = stored.iter().flat_map(|stored| &stored.windows);
                let used =
                    windows.fold(Units::ZERO, |sum, (_, window)| sum.plus(window.used).plus(window.reserved));
                let open = self.promises.promised(place.0, &place.1).unwrap_or_default();
                let credit = i128::from(used.0) - i128::from(open.0);
                self.promises.credits.insert(place, Credit::Known(credit));
                self.going.extend(waiting);
            }
            Err(_) => waiting.into_iter().for_each(|ask| self.refuse(ask, ConsumeError::LedgerAway)),
        }
        true
    }

    /// A key's state as it is to be seen: of offers, what is open counts, and not all that ever was.
    pub(super) fn seen(&self, budget: &Budget, key: &Row, state: KeyState) -> KeyState {
        if !budget.is_of_offers {
            return state;
        }
        let open = self.promises.promised(budget.id, key).unwrap_or_default();
        let credit = self.promises.credit(budget.id, key);
        let credit = credit.unwrap_or_else(|| i128::from(state.used.0) - i128::from(open.0));
        KeyState { limit: raised(state.limit, -credit), used: raised(state.used, -credit), ..state }
    }

    /// The limit of a capacity with its credit, if that is known: another budget's is what it is.
    pub(super) fn with_credit(&self, budget: &Budget, key: &Row, limit: Units) -> Units {
        let credit = self.promises.credit(budget.id, key).filter(|_| budget.is_of_offers);
        raised(limit, credit.unwrap_or_default())
    }
}

fn raised(units: Units, by: i128) -> Units {
    let sum = (i128::from(units.0) + by).clamp(0, i128::from(Units::MAX.0));
    Units(u64::try_from(sum).expect("invariant: it is in the range"))
}

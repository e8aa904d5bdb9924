//! [`Door`]: where budgets are asked from outside, by HTTP and by WebSocket.
//!
//! A key that was asked for before is admitted here, on the thread of its connection, from the lease that the engine's node
//! holds; only the first question of a key and what a lease does not cover go to the engine's thread. Invariants: what is
//! admitted here was taken from the node's own cells, so that it is admitted nowhere else; a permit is ended once; what the
//! log of events is to have is there before the answer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use deltaic_engine::{ConsumeError, LimitState, Permitted, budget_key_text, parse_budget_key};
use deltaic_quota::{Event, EventKind, Handle, Permit, Reason, Time, Units, consume_all};
use deltaic_types::{Budget, BudgetId, Row, json_format};
use serde_json::Value as Json;

use super::{
    ended::Ended,
    events::{Events, EventsError},
    token::{Signer, Token},
};
use crate::engine::EngineHandle;

/// How long a key is remembered that nobody asks for, and with it its permits: its lease stays out so long.
const IDLE_MILLIS: u64 = 300_000;

/// How often what is idle is forgotten.
const SWEEP_MILLIS: u64 = 10_000;

/// The ways to write a key that are remembered.
const TEXTS: usize = 8;

/// The longest reservation.
pub(crate) const LONGEST_SECONDS: u64 = 86_400;

/// A question that spends.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) budget: String,
    /// A value for each column of the key.
    pub(crate) key: Vec<Json>,
    pub(crate) amount: i64,
    /// For how many seconds it is reserved; none where it is spent unless it is refunded.
    pub(crate) seconds: Option<u64>,
}

/// What was admitted.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) token: String,
    pub(crate) deadline: Option<Time>,
    pub(crate) limits: Vec<Standing>,
}

/// Where a limit stands, for headers.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) per: deltaic_types::Per,
    pub(crate) limit: Units,
    pub(crate) available: Units,
    pub(crate) ends: Time,
}

/// Why a question has no pass, or a permit was not ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    #[error(transparent)]
    Events(#[from] EventsError),
    #[error("the server is shutting down: try again when it is back")]
    Gone,
    #[error("not a permit of this server since it started: what it stood for is spent")]
    Forged,
    #[error("the permit was ended before: a permit is committed or refunded once")]
    Ended,
    #[error("the permit's time is over: its {units} units are spent; reserve for longer")]
    Expired { units: Units },
    #[error("the permit's window or lease is over: nothing comes back")]
    Over,
    #[error("the permit is of another budget or key")]
    Other,
    #[error("{amount} was not used: the amount is not negative")]
    Amount { amount: i64 },
    #[error("{seconds} seconds: a reservation lasts from 1 to {LONGEST_SECONDS}")]
    Seconds { seconds: u64 },
}

/// A key that was asked for.
#[derive(Debug)]
struct Entry {
    number: u64,
    budget: Arc<Budget>,
    key: Row,
    text: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    handles: Vec<Handle>,
    /// How it was written by who asked.
    texts: Vec<(String, String)>,
    ended: Ended,
    next_permit: u64,
    used: Time,
    /// Until when a reservation may be ended.
    keep_until: Time,
}

impl Entry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, at: Time, kind: EventKind, units: Units, permit: u64) -> Event {
        Event { at, budget: self.budget.name.clone(), key: self.text.clone(), kind, units, permit }
    }
}

/// The keys that were asked for: by number, by value, and by how they were written.
#[derive(Debug, Default)]
struct Entries {
    by_number: BTreeMap<u64, Arc<Entry>>,
    by_key: BTreeMap<(BudgetId, Row), u64>,
    by_text: BTreeMap<(String, String), u64>,
    swept: Time,
}

impl Entries {
    fn remove(&mut self, number: u64) {
        if let Some(entry) = self.by_number.remove(&number) {
            self.by_key.remove(&(entry.budget.id, entry.key.clone()));
            for text in std::mem::take(&mut entry.lock().texts) {
                self.by_text.remove(&text);
            }
        }
    }
}

/// The door. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Door {
    engine: EngineHandle,
    events: Events,
    signer: Signer,
    entries: Mutex<Entries>,
    next: AtomicU64,
}

impl Door {
    pub(crate) fn new(engine: EngineHandle, events: Events) -> std::io::Result<Self> {
        let (entries, next) = (Mutex::default(), AtomicU64::new(1));
        Ok(Self { engine, events, signer: Signer::new()?, entries, next })
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits, or says why not.
    pub(crate) async fn consume(&self, now: Time, question: &Question) -> Result<Pass, Refused> {
        if let Some(seconds) = question.seconds.filter(|seconds| !(1..=LONGEST_SECONDS).contains(seconds)) {
            return Err(Refused::Seconds { seconds });
        }
        let text = text_of(question);
        self.sweep(now);
        if let Some((entry, permits)) = self.at_hand(now, &text, question.amount) {
            return self.pass(now, &entry, permits, question).await;
        }
        let Question { budget, key, amount, .. } = question.clone();
        let asked = self.engine.consume(budget, key, amount).await.map_err(|_| Refused::Gone)?;
        let Permitted { budget, key, permits, handles, .. } = asked.inspect_err(|error| {
            if matches!(error, ConsumeError::NoSuchBudget { .. }) {
                let mut entries = self.lock();
                if let Some(number) = entries.by_text.get(&text).copied() {
                    entries.remove(number);
                }
            }
        })?;
        let entry = self.enter(now, text, &budget, key, handles);
        self.pass(now, &entry, permits, question).await
    }

    /// What the leases at hand admit.
    fn at_hand(
        &self,
        now: Time,
        text: &(String, String),
        amount: i64,
    ) -> Option<(Arc<Entry>, Vec<Permit<'static>>)> {
        let units = Units(u64::try_from(amount).ok()?);
        let entry = {
            let entries = self.lock();
            Arc::clone(entries.by_number.get(entries.by_text.get(text)?)?)
        };
        let permits = {
            let mut state = entry.lock();
            state.used = now;
            match consume_all(&mut state.handles, now, units) {
                Ok(permits) => permits,
                // It is no refusal yet: the engine is asked.
                Err((place, denied)) => {
                    if let Some(accumulator) = state.handles[place].accumulator() {
                        let is_missed = denied.reason == Reason::Lease;
                        accumulator.wait(if is_missed { units } else { Units::ZERO });
                    }
                    return None;
                }
            }
        };
        Some((entry, permits))
    }

    fn enter(
        &self,
        now: Time,
        text: (String, String),
        budget: &Arc<Budget>,
        key: Row,
        handles: Vec<Handle>,
    ) -> Arc<Entry> {
        let mut entries = self.lock();
        let place = (budget.id, key);
        let known = entries.by_key.get(&place).and_then(|number| entries.by_number.get(number)).cloned();
        let entry = known.unwrap_or_else(|| {
            let number = self.next.fetch_add(1, Relaxed);
            let text = budget_key_text(&place.1);
            let entry = Arc::new(Entry {
                number,
                text,
                budget: Arc::clone(budget),
                key: place.1.clone(),
                state: Mutex::new(State {
                    handles: Vec::new(),
                    texts: Vec::new(),
                    ended: Ended::default(),
                    next_permit: 1,
                    used: now,
                    keep_until: Time(0),
                }),
            });
            entries.by_number.insert(number, Arc::clone(&entry));
            entries.by_key.insert(place, number);
            entry
        });
        let mut state = entry.lock();
        (state.handles, state.used) = (handles, now);
        // A number has no end of ways to be written; beyond a few, the engine is asked.
        if state.texts.len() < TEXTS
            && entries.by_text.insert(text.clone(), entry.number) != Some(entry.number)
        {
            state.texts.push(text);
        }
        drop(state);
        drop(entries);
        entry
    }

    /// Writes the permits down and lets them go: what they admitted is spent unless the text comes back.
    async fn pass(
        &self,
        now: Time,
        entry: &Arc<Entry>,
        permits: Vec<Permit<'static>>,
        question: &Question,
    ) -> Result<Pass, Refused> {
        let units = permits.first().map_or(Units::ZERO, Permit::units);
        let deadline = question.seconds.map(|seconds| now.after(seconds * 1_000));
        let (permit, limits) = {
            let mut state = entry.lock();
            let permit = state.next_permit;
            state.next_permit += 1;
            state.keep_until = state.keep_until.max(deadline.unwrap_or(Time(0)));
            (permit, standings(now, entry, &state.handles))
        };
        if entry.budget.with_events {
            let event = entry.event(now, EventKind::Consumed, units, permit);
            if let Err(error) = self.events.append(vec![event]).await {
                permits.into_iter().rev().for_each(Permit::refund);
                return Err(error.into());
            }
        }
        let notes = permits.iter().map(Permit::note).collect();
        let token =
            Token { entry: entry.number, permit, deadline: deadline.unwrap_or(Time::NEVER), units, notes };
        Ok(Pass { token: self.signer.sign(&token), deadline, limits })
    }

    /// Says what was used of a permit: the rest comes back; of none used, all does. What came back, and where the limits
    /// stand.
    pub(crate) async fn end(
        &self,
        now: Time,
        (budget, key): (&str, &[Json]),
        text: &str,
        used: Option<i64>,
    ) -> Result<(Units, Vec<Standing>), Refused> {
        let actual = match used {
            Some(amount) => Units(u64::try_from(amount).map_err(|_| Refused::Amount { amount })?),
            None => Units::ZERO,
        };
        let token = self.signer.verify(text).ok_or(Refused::Forged)?;
        let entry = {
            let entries = self.lock();
            let entry = entries.by_number.get(&token.entry).cloned().ok_or(Refused::Over)?;
            let is_it = entry.budget.name == budget
                && parse_budget_key(&entry.budget, key).is_ok_and(|key| key == entry.key);
            if !is_it {
                return Err(Refused::Other);
            }
            entry
        };
        if now > token.deadline {
            return Err(Refused::Expired { units: token.units });
        }
        if !entry.lock().ended.end(token.permit) {
            return Err(Refused::Ended);
        }
        // More than permitted: the rest is asked for as anybody would, and the permit stays where it is refused.
        let more = actual.minus(token.units);
        if !more.is_zero() {
            let (name, key) = (entry.budget.name.clone(), json_key(&entry.budget, &entry.key));
            let amount = i64::try_from(more.0).unwrap_or(i64::MAX);
            let asked = self.engine.consume(name, key, amount).await;
            match asked {
                Ok(Ok(permitted)) => drop(permitted),
                Ok(Err(error)) => {
                    entry.lock().ended.resume(token.permit);
                    return Err(error.into());
                }
                Err(_) => return Err(Refused::Gone),
            }
            if entry.budget.with_events {
                let event = entry.event(now, EventKind::Consumed, more, token.permit);
                self.events.append(vec![event]).await?;
            }
            return Ok((Units::ZERO, standings(now, &entry, &entry.lock().handles)));
        }
        let permits: Vec<Permit<'static>> = {
            let state = entry.lock();
            let pairs = state.handles.iter().zip(&token.notes);
            pairs
                .filter_map(|(handle, note)| {
                    let accumulator = handle.accumulator()?;
                    // Of a window that is over nothing comes back, whether or not somebody has gone on to the next.
                    let is_over = accumulator.ends() != Time::NEVER && now >= accumulator.ends();
                    if is_over { None } else { accumulator.redeem(note.as_ref()?) }
                })
                .collect()
        };
        let back = token.units.minus(actual);
        if permits.is_empty() && !back.is_zero() {
            return if used.is_some() {
                Ok((Units::ZERO, standings(now, &entry, &entry.lock().handles)))
            } else {
                Err(Refused::Over)
            };
        }
        if entry.budget.with_events && !back.is_zero() {
            let event = entry.event(now, EventKind::Refunded, back, token.permit);
            if let Err(error) = self.events.append(vec![event]).await {
                entry.lock().ended.resume(token.permit);
                // They stay spent until somebody ends the permit.
                drop(permits);
                return Err(error.into());
            }
        }
        for permit in permits {
            // No more than permitted, so it cannot fall short.
            let _ = permit.commit(actual);
        }
        Ok((back, standings(now, &entry, &entry.lock().handles)))
    }

    /// Where the limits of a key stand, in the order of the budget.
    pub(crate) async fn look(&self, budget: &str, key: Vec<Json>) -> Result<Vec<LimitState>, Refused> {
        let looked = self.engine.look(budget.to_owned(), key).await.map_err(|_| Refused::Gone)?;
        Ok(looked?)
    }

    /// Forgets keys that nobody has asked for, so that the node can settle and forget them too.
    fn sweep(&self, now: Time) {
        let mut entries = self.lock();
        if now.since(entries.swept) < SWEEP_MILLIS {
            return;
        }
        entries.swept = now;
        let idle: Vec<u64> = entries
            .by_number
            .iter()
            .filter(|(_, entry)| {
                let state = entry.lock();
                now.since(state.used) >= IDLE_MILLIS && now > state.keep_until
            })
            .map(|(number, _)| *number)
            .collect();
        for number in idle {
            entries.remove(number);
        }
    }

    /// Forgets all keys: the engine is about to settle them.
    pub(crate) fn close(&self) {
        *self.lock() = Entries::default();
    }
}

/// Whether a refusal is one that time, refunds or a higher limit help against.
pub(crate) fn is_exhausted(error: &ConsumeError) -> bool {
    matches!(error, ConsumeError::Denied { denied, .. } if !matches!(denied.reason, Reason::Closed))
}

fn standings(now: Time, entry: &Entry, handles: &[Handle]) -> Vec<Standing> {
    let limits = entry.budget.limits.iter().zip(handles);
    limits
        .filter_map(|(limit, handle)| {
            let accumulator = handle.accumulator()?;
            let available = accumulator.available_at(now);
            Some(Standing {
                per: limit.per,
                limit: accumulator.limit(),
                available: available.local.plus(available.durable),
                ends: accumulator.ends(),
            })
        })
        .collect()
}

/// How a key was written: no two keys of a budget are written alike.
fn text_of(question: &Question) -> (String, String) {
    let key = serde_json::to_string(&question.key).unwrap_or_default();
    (question.budget.clone(), key)
}

fn json_key(budget: &Budget, key: &Row) -> Vec<Json> {
    let columns = budget.key.iter().zip(key.iter());
    columns
        .map(|(column, value)| {
            let value = json_format::to_json(value, &column.data_type);
            serde_json::to_value(value).unwrap_or(Json::Null)
        })
        .collect()
}

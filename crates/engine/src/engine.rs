//! [`Engine`]: the way of the data, one step at a time.
//!
//! Requests that arrive together are admitted one after the other, each on the state with the writes of those
//! before it; their commits leave in one append. When the append is durable they are merged into the
//! circuits in order, and replies and news leave. Invariants: an lsn is its predecessor's plus one; nothing
//! of a commit is visible before it is durable; the state is a function of the log.

use std::{collections::BTreeSet, sync::Arc};

use deltaic_causality::{HybridLogicalClock, HybridTime};
use deltaic_dataflow::{Breaker, Description};
use deltaic_storage::{Commit, Header, Identity, StorageError, Store};
use deltaic_types::{Lsn, Row, TableId};

use crate::{
    admission::{self, Verdict},
    effects::{Effects, Message, Outcome, Reply},
    error::RequestError,
    input::{Input, Now, Request, Subscribe},
    label::Labels,
    merge::merge,
    tables::{Tables, Writes},
    transaction::{Done, Start, Transaction},
    views::{Advances, Hydrated, Hydration, Lives, MemoryLimits, Opened, Place, ViewId, ViewStatus, Views},
};

/// How far the clock may lie behind what was committed before admission stops: a minute.
const CLOCK_SKEW_MILLIS: u64 = 60_000;

/// The least time between two commits of the clock alone: rows that leave within it leave together.
const TICK_MICROS: i64 = 50_000;

/// How long to wait when such a commit could not be made.
const TICK_FAILED_MICROS: i64 = 1_000_000;

/// The time of a commit as the clock of live queries shows it.
fn micros(time: HybridTime) -> Now {
    Now(i64::try_from(time.millis()).unwrap_or(i64::MAX / 1000) * 1000)
}

/// A live-data engine without clock, thread, socket or file.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    lsn: Lsn,
    seq: u64,
    clock: HybridLogicalClock,
    tables: Tables,
    views: Views,
    in_flight: Option<InFlight>,
    /// The time of the last commit.
    time: HybridTime,
    /// Before this time no commit is made for the clock alone.
    rest_until: Now,
    /// A subscription that waits for the clock's commit.
    late: Option<Subscribe>,
}

/// A batch whose append was asked for.
#[derive(Debug)]
struct InFlight {
    prepared: Vec<Prepared>,
    replies: Vec<Reply>,
    lsn: Lsn,
    seq: u64,
}

/// A commit that waits to be durable.
#[derive(Debug)]
struct Prepared {
    lsn: Lsn,
    time: HybridTime,
    touched: Vec<(TableId, Row)>,
    after: Tables,
}

/// Requests admitted so far, one on the other.
struct Batch {
    tables: Tables,
    writes: Writes,
    lsn: Lsn,
    seq: u64,
    prepared: Vec<Prepared>,
    commits: Vec<Commit>,
    replies: Vec<Reply>,
}

/// A table, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableStatus {
    /// Its number.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: usize,
    /// The bytes of its rows and indexes in memory.
    pub memory_bytes: usize,
    /// Its columns: name, type, and whether it is in memory.
    pub columns: Vec<(String, String, bool)>,
}

/// What an engine holds, for people to read.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The last commit.
    pub lsn: Lsn,
    /// The tables.
    pub tables: Vec<TableStatus>,
    /// The live queries.
    pub views: Vec<ViewStatus>,
    /// How commits were brought to them.
    pub advances: Advances,
    /// What became of live queries so far.
    pub lives: Lives,
    /// Subscriptions whose results are being computed.
    pub waiting: usize,
    /// The bytes of all results and of what the circuits keep to compute them, within a factor of two.
    pub held_bytes: usize,
}

/// An operator of a circuit, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitNode {
    /// What it does, in a line.
    pub label: String,
    /// The node.
    pub node: Description,
}

impl Engine {
    /// An engine over a store: loads the keys and what indexes and constraints use, and computes the live views of the
    /// catalog. Cost: a scan of each table, and the views' queries.
    pub fn open(store: &dyn Store) -> Result<Self, StorageError> {
        let Header { identity, lsn, seq, time, catalog } = store.header()?;
        let mut clock = HybridLogicalClock::new(CLOCK_SKEW_MILLIS);
        clock.observe(time);
        let mut tables = Tables::load(catalog, store)?;
        let mut views = Views::new();
        let place = Place { store, database: identity.database, lsn, time: micros(time) };
        views.keep_named(&mut tables, &place, Now(0));
        let (rest_until, late) = (Now(0), None);
        Ok(Self { identity, lsn, seq, clock, tables, views, in_flight: None, time, rest_until, late })
    }

    /// Sets when results are computed anew and not advanced row by row. Changes no result.
    pub fn set_breaker(&mut self, breaker: Breaker) {
        self.views.set_breaker(breaker);
    }

    /// Sets how many rows the tables of a query have at most where it is computed before the next input. A larger one
    /// leaves as [`Effects::work`].
    pub fn set_slice(&mut self, rows: usize) {
        self.views.set_slice(rows);
    }

    /// Sets how much memory live results may take, from now on.
    pub fn set_memory(&mut self, memory: MemoryLimits) {
        self.views.set_memory(memory);
    }

    /// The last commit.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Takes an input and says what is to be done. After [`Effects::append`] the next input is
    /// [`Input::Appended`].
    pub fn step(&mut self, now: Now, input: Input, store: &dyn Store) -> Effects {
        assert_eq!(
            self.in_flight.is_some(),
            matches!(input, Input::Appended(_)),
            "the outcome of an append comes next after it, and only then"
        );
        let mut effects = match input {
            Input::Requests(requests) => self.admit(now, &requests, store),
            Input::Hydrated(hydrated) => self.hydrated(*hydrated, store),
            Input::Appended(outcome) => self.appended(now, outcome, store),
            Input::Subscribe(subscribe) => self.subscribe(now, subscribe, store),
            Input::Unsubscribe { client, subscription } => {
                self.views.unsubscribe((client, subscription), now);
                Effects::default()
            }
            Input::Disconnect(client) => {
                self.views.disconnect(client, now);
                Effects::default()
            }
            Input::Wake => Effects { append: self.tick(now), ..Effects::default() },
        };
        if self.in_flight.is_none() {
            self.views.expire(now, &mut self.tables);
        }
        let wakes = [self.views.wake_at(), self.ticks_at()];
        effects.wake_at = wakes.into_iter().flatten().min();
        effects
    }

    /// When the clock is to have a commit of its own: when it changes a result, to the millisecond, which is what
    /// commits count, and not at once again.
    fn ticks_at(&self) -> Option<Now> {
        let change = self.views.next_change()?;
        Some(self.rest_until.max(Now(change.0.div_euclid(1000).saturating_add(1).saturating_mul(1000))))
    }

    /// A commit of the clock alone, if time has changed a result since the last commit.
    fn tick(&mut self, now: Now) -> Vec<Commit> {
        if self.ticks_at().is_none_or(|at| at > now) {
            return Vec::new();
        }
        // A clock that stands behind what was committed moves nothing; it is asked again in a while.
        self.rest_until = Now(now.0.saturating_add(TICK_FAILED_MICROS));
        let millis = u64::try_from(now.0 / 1000).unwrap_or(0);
        let Ok(time) = self.clock.tick(millis) else { return Vec::new() };
        self.rest_until = Now(now.0.saturating_add(TICK_MICROS));
        let (lsn, seq) = (self.lsn.next(), self.seq);
        let prepared = Prepared { lsn, time, touched: Vec::new(), after: self.tables.clone() };
        self.in_flight = Some(InFlight { prepared: vec![prepared], replies: Vec::new(), lsn, seq });
        vec![Commit { lsn, time, seq, changes: Vec::new().into() }]
    }

    /// Opens a view and tells its result. Where time has changed it since the last commit, the clock's commit comes first.
    fn subscribe(&mut self, now: Now, subscribe: Subscribe, store: &dyn Store) -> Effects {
        let place = self.place(store);
        let opened = match self.views.open(&subscribe, &mut self.tables, &place) {
            Ok(Opened::View(view)) => Ok(view),
            Ok(Opened::Later(work)) => return Effects { work, ..Effects::default() },
            Err(error) => Err(error),
        };
        if opened.is_ok() {
            self.rest_until = self.rest_until.min(now);
            let append = self.tick(now);
            if !append.is_empty() {
                self.late = Some(subscribe);
                return Effects { append, ..Effects::default() };
            }
        }
        Effects { send: self.views.subscribe(&subscribe, opened, &place), ..Effects::default() }
    }

    /// A large query was computed: those who waited for it have their results, and the next one begins.
    fn hydrated(&mut self, hydrated: Hydrated, store: &dyn Store) -> Effects {
        let place = self.place(store);
        let woken = self.views.hydrated(hydrated, &mut self.tables, &place);
        let mut effects = Effects::default();
        for subscribe in &woken.waiting {
            let opened = match &woken.outcome {
                Ok(_) => self.views.open(subscribe, &mut self.tables, &place),
                Err(error) => Err(error.clone()),
            };
            self.opened(subscribe, opened, &place, &mut effects);
        }
        if let Ok(Some(there)) = &woken.outcome {
            self.views.drop_unclaimed(there, &mut self.tables);
        }
        for subscribe in &woken.queued {
            let opened = self.views.open(subscribe, &mut self.tables, &place);
            self.opened(subscribe, opened, &place, &mut effects);
        }
        effects
    }

    fn opened(
        &mut self,
        subscribe: &Subscribe,
        opened: Result<Opened, RequestError>,
        place: &Place<'_>,
        effects: &mut Effects,
    ) {
        let view = match opened {
            Ok(Opened::View(view)) => Ok(view),
            Ok(Opened::Later(work)) => {
                effects.work = effects.work.take().or(work);
                return;
            }
            Err(error) => Err(error),
        };
        effects.send.extend(self.views.subscribe(subscribe, view, place));
    }

    fn place<'a>(&self, store: &'a dyn Store) -> Place<'a> {
        let (database, lsn, time) = (self.identity.database, self.lsn, micros(self.time));
        Place { store, database, lsn, time }
    }

    /// Admits requests, each on the state with the writes of those before it.
    fn admit(&mut self, now: Now, requests: &[Request], store: &dyn Store) -> Effects {
        let mut batch = Batch {
            tables: self.tables.clone(),
            writes: Writes::new(),
            lsn: self.lsn,
            seq: self.seq,
            prepared: Vec::new(),
            commits: Vec::new(),
            replies: Vec::new(),
        };
        for request in requests {
            let result = self.admit_one(now, request, store, &mut batch);
            batch.replies.push(Reply { request: request.id, result });
        }
        if batch.commits.is_empty() {
            // Nothing was written; what became hot stays hot.
            self.tables = batch.tables;
            return Effects { replies: batch.replies, ..Effects::default() };
        }
        self.in_flight = Some(InFlight {
            prepared: batch.prepared,
            replies: batch.replies,
            lsn: batch.lsn,
            seq: batch.seq,
        });
        Effects { append: batch.commits, ..Effects::default() }
    }

    fn admit_one(
        &mut self,
        now: Now,
        request: &Request,
        store: &dyn Store,
        batch: &mut Batch,
    ) -> Result<Outcome, RequestError> {
        let millis = u64::try_from(now.0 / 1000).unwrap_or(0);
        let time = self.clock.tick(millis).map_err(|error| RequestError::Clock(error.to_string()))?;
        let start = Start { actor: self.identity.actor, seq: batch.seq, time, now };
        let mut transaction = Transaction::new(batch.tables.clone(), store, &batch.writes, start);
        let (result, verdict) = admission::run(&mut transaction, request)?;
        let Done { tables, writes, changes, seq } = transaction.finish();
        if verdict == Verdict::Commit && changes.is_empty() {
            batch.tables = tables;
        } else if verdict == Verdict::Commit {
            let lsn = batch.lsn.next();
            let touched = writes.keys().cloned().collect();
            batch.prepared.push(Prepared { lsn, time, touched, after: tables.clone() });
            batch.commits.push(Commit { lsn, time, seq, changes: changes.into() });
            batch.writes.extend(writes);
            batch.tables = tables;
            batch.lsn = lsn;
            batch.seq = seq;
        }
        Ok(Outcome {
            columns: result.columns,
            rows: result.rows,
            rows_affected: result.rows_affected,
            lsn: batch.lsn,
        })
    }

    /// The commits in flight are durable, or they are not and nothing of them happened.
    fn appended(&mut self, now: Now, outcome: Result<(), Arc<StorageError>>, store: &dyn Store) -> Effects {
        let in_flight = self.in_flight.take().expect("invariant: an append was asked for");
        if let Err(error) = outcome {
            let refuse = |reply: Reply| Reply {
                request: reply.request,
                result: reply.result.and(Err(RequestError::Storage(Arc::clone(&error)))),
            };
            let replies = in_flight.replies.into_iter().map(refuse).collect();
            self.rest_until = Now(now.0.saturating_add(TICK_FAILED_MICROS));
            let (send, work) = self.told_late(store);
            return Effects { replies, send, work, ..Effects::default() };
        }
        let mut send = Vec::new();
        let mut is_defined = false;
        for mut prepared in in_flight.prepared {
            assert_eq!(prepared.lsn, self.lsn.next(), "commits are applied in order");
            self.lsn = prepared.lsn;
            send.extend(self.views.drop_tables(&mut self.tables, &prepared.after));
            self.views.retain_parameters(&mut prepared.after);
            let mut changes = merge(&self.tables, &prepared.after, &prepared.touched);
            self.time = prepared.time;
            self.views.move_clock(&self.tables, &mut prepared.after, micros(self.time), &mut changes);
            let (before, after) = (&self.tables, &prepared.after);
            let place = (self.identity.database, self.lsn, micros(self.time));
            send.extend(self.views.advance(before, after, changes, place));
            is_defined |= !self.tables.has_catalog_of(&prepared.after);
            self.tables = prepared.after;
            send.extend(self.views.end_overgrown(&mut self.tables));
        }
        if is_defined {
            // Only now: the tables of a commit that follows know nothing of what is brought into memory here.
            let place = self.place(store);
            self.views.keep_named(&mut self.tables, &place, now);
        }
        assert_eq!(self.lsn, in_flight.lsn, "a batch ends with its last commit");
        self.seq = in_flight.seq;
        let (late, work) = self.told_late(store);
        send.extend(late);
        Effects { replies: in_flight.replies, send, work, ..Effects::default() }
    }

    /// The first message of a subscription that waited for the clock.
    fn told_late(&mut self, store: &dyn Store) -> (Vec<Message>, Option<Box<Hydration>>) {
        let mut effects = Effects::default();
        if let Some(subscribe) = self.late.take() {
            let place = self.place(store);
            let opened = self.views.open(&subscribe, &mut self.tables, &place);
            self.opened(&subscribe, opened, &place, &mut effects);
        }
        (effects.send, effects.work)
    }

    /// What the engine holds.
    pub fn status(&self) -> Status {
        let tables = self.tables.catalog().tables().map(|table| {
            let relation = self.tables.relation(table.id);
            let hot: BTreeSet<usize> = self.tables.hot_columns(table.id).iter().copied().collect();
            let columns = table
                .visible()
                .map(|place| {
                    let column = &table.columns[place];
                    (column.name.clone(), column.data_type.to_string(), hot.contains(&place))
                })
                .collect();
            TableStatus {
                id: table.id,
                name: table.name.clone(),
                rows: relation.len(),
                memory_bytes: relation.heap_bytes(),
                columns,
            }
        });
        Status {
            lsn: self.lsn,
            tables: tables.collect(),
            views: self.views.status(),
            advances: self.views.advances(),
            lives: self.views.lives(),
            waiting: self.views.waiting(),
            held_bytes: self.views.held_bytes(),
        }
    }

    /// The operators of a view's circuit, inputs first.
    pub fn circuit(&self, view: ViewId) -> Option<Vec<CircuitNode>> {
        let nodes = self.views.circuit(view)?;
        let labels = Labels::of(&nodes, &self.tables);
        let describe = |node: Description| CircuitNode { label: labels.label(&node.operator), node };
        Some(nodes.into_iter().map(describe).collect())
    }

    /// Whether no trace of a live query is left: what a test for leaks asks.
    pub fn is_idle(&self) -> bool {
        self.views.is_empty()
    }
}

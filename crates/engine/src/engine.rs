//! [`Engine`]: the way of the data, one step at a time.
//!
//! Requests that arrive together are admitted one after the other, each on the state with the writes of those
//! before it; their commits leave in one append. When the append is durable they are merged into the
//! circuits in order, and replies and news leave. Invariants: an lsn is its predecessor's plus one; nothing
//! of a commit is visible before it is durable; the state is a function of the log.

use std::{collections::BTreeSet, sync::Arc};

use deltaic_causality::HybridLogicalClock;
use deltaic_dataflow::{Breaker, Description};
use deltaic_storage::{Commit, Header, Identity, StorageError, Store};
use deltaic_types::{Lsn, Row, TableId};

use crate::{
    admission::{self, Verdict},
    effects::{Effects, Outcome, Reply},
    error::RequestError,
    input::{Input, Now, Request},
    label::Labels,
    merge::merge,
    tables::{Tables, Writes},
    transaction::{Done, Start, Transaction},
    views::{Advances, Lives, MemoryLimits, Place, ViewId, ViewStatus, Views},
};

/// How far the clock may lie behind what was committed before admission stops: a minute.
const CLOCK_SKEW_MILLIS: u64 = 60_000;

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
        let mut views = Views::default();
        let place = Place { store, database: identity.database, lsn };
        views.keep_named(&mut tables, &place, Now(0));
        Ok(Self { identity, lsn, seq, clock, tables, views, in_flight: None })
    }

    /// Sets when results are computed anew and not advanced row by row. Changes no result.
    pub fn set_breaker(&mut self, breaker: Breaker) {
        self.views.set_breaker(breaker);
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
            Input::Appended(outcome) => self.appended(now, outcome, store),
            Input::Subscribe(subscribe) => {
                let place = Place { store, database: self.identity.database, lsn: self.lsn };
                let send = self.views.subscribe(&subscribe, &mut self.tables, &place);
                Effects { send, ..Effects::default() }
            }
            Input::Unsubscribe { client, subscription } => {
                self.views.unsubscribe((client, subscription), now);
                Effects::default()
            }
            Input::Disconnect(client) => {
                self.views.disconnect(client, now);
                Effects::default()
            }
            Input::Wake => Effects::default(),
        };
        if self.in_flight.is_none() {
            self.views.expire(now, &mut self.tables);
        }
        effects.wake_at = self.views.wake_at();
        effects
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
            batch.prepared.push(Prepared { lsn, touched, after: tables.clone() });
            batch.commits.push(Commit { lsn, time, seq, changes });
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
            return Effects { replies, ..Effects::default() };
        }
        let mut send = Vec::new();
        let mut is_defined = false;
        for mut prepared in in_flight.prepared {
            assert_eq!(prepared.lsn, self.lsn.next(), "commits are applied in order");
            self.lsn = prepared.lsn;
            send.extend(self.views.drop_tables(&mut self.tables, &prepared.after));
            self.views.retain_parameters(&mut prepared.after);
            let changes = merge(&self.tables, &prepared.after, &prepared.touched);
            let (before, after) = (&self.tables, &prepared.after);
            send.extend(self.views.advance(before, after, changes, self.identity.database, self.lsn));
            is_defined |= !self.tables.has_catalog_of(&prepared.after);
            self.tables = prepared.after;
            send.extend(self.views.end_overgrown(&mut self.tables));
        }
        if is_defined {
            // Only now: the tables of a commit that follows know nothing of what is brought into memory here.
            let place = Place { store, database: self.identity.database, lsn: self.lsn };
            self.views.keep_named(&mut self.tables, &place, now);
        }
        assert_eq!(self.lsn, in_flight.lsn, "a batch ends with its last commit");
        self.seq = in_flight.seq;
        Effects { replies: in_flight.replies, send, ..Effects::default() }
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

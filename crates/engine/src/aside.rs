//! [`Admission`]: a large request, admitted beside the commits and not before them.
//!
//! A request that does more than a slice allows is given up and set aside. It runs on a snapshot of the tables and of the
//! store, wherever whoever drives the engine runs it; then it is committed as if it had just come, if no table that it read or wrote has
//! changed since. If one has, it runs once more, and meanwhile whoever writes to those tables waits. Invariants: transactions are
//! serial in commit order, this one at its own commit and one that only reads at its snapshot; one request is aside at a time, and
//! each ends.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
};

use deltaic_causality::ActorId;
use deltaic_storage::{Changes, Commit, Reader, Stager, StorageError, Store};
use deltaic_types::{Catalog, Lsn, Row, TableId};

use crate::{
    admission::{self, StatementResult, Verdict},
    budgets::{Purse, Wanted},
    effects::{Effects, Outcome, Reply},
    engine::{Engine, InFlight, Prepared},
    error::RequestError,
    input::{Now, Request},
    provisional,
    tables::{Tables, Writes},
    transaction::{Done, Pace, Start, Transaction},
    work::{Discarded, Work},
};

/// How often a request runs on a snapshot before it runs to its end between two inputs.
const TRIES: u32 = 3;

/// The keys that are kept for the rows that one run inserts into tables without a primary key.
const ROW_IDS: u64 = 1 << 24;

/// A request to be admitted: a value that can be sent to another thread.
pub struct Admission {
    request: Request,
    now: Now,
    actor: ActorId,
    tables: Tables,
    rows: Arc<dyn Reader + Send + Sync>,
    stager: Box<dyn Stager>,
    /// The changes that are written with their commit at most; more are written ahead.
    inline: usize,
    row_ids: Range<u64>,
    purse: Purse,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("request", &self.request).finish_non_exhaustive()
    }
}

/// What a request came to on its snapshot.
#[derive(Debug)]
pub struct Admitted {
    result: Result<StatementResult, RequestError>,
    /// Whether it can only be run between two inputs.
    is_bound: bool,
    /// The tables that it read or wrote, or may have.
    concerned: BTreeSet<TableId>,
    /// The tables behind it, with the columns that it brought into memory.
    after: Tables,
    /// What it wrote, if it did.
    written: Option<Written>,
    /// What it would have consumed, where that stopped it.
    wanted: Option<Wanted>,
    /// Which of its grants it has consumed, if it stands.
    used: Vec<usize>,
}

#[derive(Debug)]
struct Written {
    touched: Vec<(TableId, Row)>,
    tables: BTreeSet<TableId>,
    changes: Changes,
    dots: u64,
}

impl Admission {
    /// Admits the request, and writes what it changes ahead where that is much. Cost: its own; nothing else waits for it.
    pub fn run(self) -> Admitted {
        let Self { request, now, actor, tables, rows, stager, inline, row_ids, purse } = self;
        let start = Start { actor, seq: provisional::FIRST, time: provisional::TIME, now };
        let earlier = Writes::new();
        let began = tables.clone();
        let mut transaction = Transaction::new(tables, &*rows, &earlier, start, Pace::Aside { row_ids });
        transaction.purse = purse;
        let result = admission::run(&mut transaction, &request);
        let wanted = transaction.purse.take_wanted();
        let is_bound = transaction.is_stopped();
        let catalog = transaction.tables.catalog().clone();
        let Done { tables: after, writes, changes, reads: mut concerned, seq, mut used, .. } =
            transaction.finish();
        let is_as_it_was = changes.is_empty();
        let keeps = matches!(result, Ok((_, Verdict::Commit))) && !changes.is_empty();
        if !matches!(result, Ok((_, Verdict::Commit))) {
            used.clear();
        }
        let mut result = result.map(|(result, _)| result);
        let mut written = None;
        if keeps {
            let tables = writes.keys().map(|(table, _)| *table).collect();
            concerned.extend(linked(&catalog, &tables));
            let touched = writes.into_keys().collect();
            let is_ahead = changes.len() > inline;
            let staged =
                if is_ahead { stager.stage(changes).map(Changes::Staged) } else { Ok(changes.into()) };
            match staged {
                Ok(changes) => {
                    written = Some(Written { touched, tables, changes, dots: seq - provisional::FIRST });
                }
                Err(error) => {
                    result = Err(RequestError::Storage(Arc::new(error)));
                    used.clear();
                }
            }
        }
        // Of a transaction that comes to nothing the columns stay that it brought into memory, and none of its writes.
        let after = if is_as_it_was || written.is_some() { after } else { began };
        Admitted { result, is_bound, concerned, after, written, wanted, used }
    }
}

/// The tables that constraints look at when rows of some change: those themselves and all that foreign keys tie to them.
fn linked(catalog: &Catalog, tables: &BTreeSet<TableId>) -> BTreeSet<TableId> {
    let mut linked = BTreeSet::new();
    let mut open: Vec<TableId> = tables.iter().copied().collect();
    while let Some(table) = open.pop() {
        if linked.insert(table) {
            open.extend(catalog.references(table).map(|(child, _)| child.id));
            let schema = catalog.get(table).into_iter();
            open.extend(schema.flat_map(|schema| &schema.foreign_keys).map(|key| key.parent));
        }
    }
    linked
}

/// The requests that were set aside, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    running: Option<Running>,
    /// Large requests that are to be set aside.
    queued: VecDeque<Request>,
    /// Requests that write what is reserved for the one that runs.
    held: Vec<Request>,
    /// The last commit that changed each table.
    changed: BTreeMap<TableId, Lsn>,
    counts: AsideCounts,
}

/// What became of the requests that were too large for a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsideCounts {
    /// Those that were set aside.
    pub begun: u64,
    /// Runs that were in vain, because a table had changed.
    pub repeated: u64,
    /// Requests that waited for one to end.
    pub held: u64,
}

#[derive(Debug)]
struct Running {
    request: Request,
    /// The tables that it runs on, and the commit that they are of.
    began: Tables,
    lsn: Lsn,
    tries: u32,
    /// The tables that nobody else writes meanwhile.
    reserved: BTreeSet<TableId>,
}

impl Aside {
    /// Takes a request that was too large.
    pub(crate) fn put(&mut self, request: Request) {
        self.queued.push_back(request);
    }

    /// Notes which tables a commit changes.
    pub(crate) fn changed(&mut self, lsn: Lsn, tables: &BTreeSet<TableId>) {
        self.changed.extend(tables.iter().map(|table| (*table, lsn)));
    }

    /// The last commit that changed each table, of those that any has changed.
    pub(crate) fn last_changes(&self) -> &BTreeMap<TableId, Lsn> {
        &self.changed
    }

    /// Whether a request that writes these tables has to wait, or one that changes a definition.
    pub(crate) fn reserves(&self, tables: &BTreeSet<TableId>, defines: bool) -> bool {
        let reserved = self.running.iter().flat_map(|running| &running.reserved);
        let mut reserved = reserved.peekable();
        reserved.peek().is_some() && (defines || reserved.any(|table| tables.contains(table)))
    }

    /// Lets a request wait for the one that runs.
    pub(crate) fn hold(&mut self, request: Request) {
        self.counts.held += 1;
        self.held.push(request);
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queued.len() + self.held.len() + usize::from(self.running.is_some())
    }

    pub(crate) fn counts(&self) -> AsideCounts {
        self.counts
    }
}

impl Engine {
    /// Takes up what waits: first those who were held up, then the next large request.
    pub(crate) fn resume(&mut self, now: Now, store: &dyn Store, effects: &mut Effects) {
        while self.in_flight.is_none() && self.aside.running.is_none() {
            if !self.aside.held.is_empty() {
                let held = std::mem::take(&mut self.aside.held);
                effects.absorb(self.admit(now, &held, store));
                continue;
            }
            let Some(request) = self.aside.queued.pop_front() else { return };
            self.aside.counts.begun += 1;
            self.set_aside(now, (request, 1, BTreeSet::new()), store, effects);
        }
    }

    /// Sends a request off to run on the tables as they are.
    fn set_aside(
        &mut self,
        now: Now,
        (request, tries, reserved): (Request, u32, BTreeSet<TableId>),
        store: &dyn Store,
        effects: &mut Effects,
    ) {
        let rows = match store.snapshot() {
            Ok(rows) => rows,
            Err(error) => {
                let result = Err(RequestError::Storage(Arc::new(error)));
                self.budgets.grants.give_up(request.id);
                effects.replies.push(Reply { request: request.id, result });
                return;
            }
        };
        let first = self.seq + 1;
        if self.tables.catalog().tables().any(deltaic_types::TableSchema::has_row_id) {
            self.seq += ROW_IDS;
        }
        let admission = Admission {
            request: request.clone(),
            now: self.budgets.grants.time_of(request.id, now),
            actor: self.identity.actor,
            tables: self.tables.clone(),
            rows,
            stager: store.stager(),
            inline: self.slice.writes,
            row_ids: first..self.seq + 1,
            purse: self.budgets.grants.of(request.id),
        };
        effects.work.push(Work::Admission(Box::new(admission)));
        let (began, lsn) = (self.tables.clone(), self.lsn);
        self.aside.running = Some(Running { request, began, lsn, tries, reserved });
    }

    /// A request has run aside: it is answered, committed, or run once more.
    pub(crate) fn admitted(&mut self, now: Now, admitted: Admitted, store: &dyn Store) -> Effects {
        let running = self.aside.running.take().expect("invariant: what was admitted was set aside");
        let Running { request, began, lsn, tries, mut reserved } = running;
        let mut effects = Effects::default();
        // A store that was opened anew has ended its snapshots.
        let is_stale = matches!(&admitted.result, Err(RequestError::Storage(error)) if matches!(**error, StorageError::Closed));
        let Admitted { result, is_bound, concerned, after, written, wanted, used } = admitted;
        let stands = self.stands(&began, lsn, &concerned, &after);
        let is_in_vain = if written.is_some() { !stands } else { is_stale };
        if is_bound || (is_in_vain && tries == TRIES) {
            effects.work.push(Work::Discard(Discarded::new((began, after, written))));
            effects.absorb(self.admit_whole(now, &request, store));
            return effects;
        }
        if let (Err(error), Some(wanted)) = (&result, wanted) {
            if self.is_waiting_for(now, &request, Some(wanted), error) {
                effects.work.push(Work::Discard(Discarded::new((began, after, written))));
                return effects;
            }
        }
        if is_in_vain {
            self.aside.counts.repeated += 1;
            effects.work.push(Work::Discard(Discarded::new((began, after, written))));
            reserved.extend(concerned);
            self.set_aside(now, (request, tries + 1, reserved), store, &mut effects);
            return effects;
        }
        let outcome = |result: StatementResult, lsn| Outcome {
            columns: result.columns,
            rows: result.rows,
            rows_affected: result.rows_affected,
            lsn,
            cut: None,
        };
        let (result, written) = match (result, written) {
            (Ok(result), Some(written)) => (result, written),
            (result, _) => {
                effects.spent = self.budgets.grants.take(request.id, &used);
                if stands {
                    // The columns that it brought into memory stay.
                    self.tables.adopt(&after, &began, &BTreeSet::new());
                }
                let result = result.map(|result| outcome(result, lsn));
                effects.replies.push(Reply { request: request.id, result });
                return effects;
            }
        };
        let time = match self.clock_time(now) {
            Ok(time) => time,
            Err(error) => {
                self.budgets.grants.give_up(request.id);
                effects.replies.push(Reply { request: request.id, result: Err(error) });
                return effects;
            }
        };
        let Written { touched, tables, mut changes, dots } = written;
        let (lsn, seq) = (self.lsn.next(), self.seq + dots);
        if let Changes::Inline(changes) = &mut changes {
            provisional::resolve(changes, self.seq, time);
        }
        let mut standing = self.tables.clone();
        standing.adopt(&after, &began, &tables);
        effects.work.push(Work::Discard(Discarded::new((began, after))));
        let prepared = Prepared { lsn, time, touched, tables, after: standing };
        let replies = vec![Reply { request: request.id, result: Ok(outcome(result, lsn)) }];
        let spent = self.budgets.grants.take(request.id, &used);
        let merged = Vec::new();
        self.in_flight =
            Some(InFlight { prepared: vec![prepared], replies, lsn, seq, spent, merged, showing: None });
        effects.append = vec![Commit { lsn, time, seq, changes }];
        effects
    }

    /// Whether what a request read and wrote is as it was, and its rows are indexed as they are now.
    fn stands(&self, began: &Tables, lsn: Lsn, concerned: &BTreeSet<TableId>, after: &Tables) -> bool {
        let is_as_it_was = |table: &TableId| {
            self.aside.changed.get(table).is_none_or(|changed| *changed <= lsn)
                && after.has_indexes_of(&self.tables, *table)
        };
        self.tables.has_definitions_of(began) && concerned.iter().all(is_as_it_was)
    }
}

//! [`Batch`]: requests that arrived together, admitted one on the other.
//!
//! Invariant: each sees the writes of those before it; their commits leave in one append, in their order. One that is too large
//! for a slice, or writes what is reserved for such a one, leaves no trace in it.

use std::collections::BTreeSet;

use deltaic_storage::{Change, Commit, Reader, Store};
use deltaic_types::{Lsn, Row, TableId};

use crate::{
    admission::{self, Verdict},
    budgets::Spent,
    effects::{Effects, Outcome, Reply},
    engine::{Engine, InFlight, Prepared},
    error::RequestError,
    input::{Now, Request},
    tables::{Tables, Writes},
    transaction::{Done, Pace, Start, Transaction},
};

/// Requests admitted so far, one on the other.
struct Batch {
    tables: Tables,
    writes: Writes,
    lsn: Lsn,
    seq: u64,
    prepared: Vec<Prepared>,
    commits: Vec<Commit>,
    replies: Vec<Reply>,
    spent: Vec<Spent>,
}

impl Engine {
    /// Admits requests, each on the state with the writes of those before it. One that is too large for a slice is set
    /// aside, and waits.
    pub(crate) fn admit(&mut self, now: Now, requests: &[Request], store: &dyn Store) -> Effects {
        self.admit_at(now, requests, &Pace::Slice(self.slice), store)
    }

    /// Admits a request, however large it is.
    pub(crate) fn admit_whole(&mut self, now: Now, request: &Request, store: &dyn Store) -> Effects {
        self.admit_at(now, std::slice::from_ref(request), &Pace::Whole, store)
    }

    fn admit_at(&mut self, now: Now, requests: &[Request], pace: &Pace, store: &dyn Store) -> Effects {
        let mut batch = Batch {
            tables: self.tables.clone(),
            writes: Writes::new(),
            lsn: self.lsn,
            seq: self.seq,
            prepared: Vec::new(),
            commits: Vec::new(),
            replies: Vec::new(),
            spent: Vec::new(),
        };
        for request in requests {
            if let Some(result) = self.admit_one(now, request, pace, store, &mut batch) {
                batch.replies.push(Reply { request: request.id, result });
            }
        }
        if batch.commits.is_empty() {
            // Nothing was written; what became hot stays hot.
            self.tables = batch.tables;
            return Effects { replies: batch.replies, spent: batch.spent, ..Effects::default() };
        }
        self.in_flight = Some(InFlight {
            prepared: batch.prepared,
            replies: batch.replies,
            lsn: batch.lsn,
            seq: batch.seq,
            spent: batch.spent,
            merged: Vec::new(),
            showing: None,
        });
        Effects { append: batch.commits, ..Effects::default() }
    }

    /// Admits a request; None where it waits.
    fn admit_one(
        &mut self,
        now: Now,
        request: &Request,
        pace: &Pace,
        store: &dyn Store,
        batch: &mut Batch,
    ) -> Option<Result<Outcome, RequestError>> {
        if request.basis.is_some() && self.mesh.is_none() {
            self.late_requests.push(request.clone());
            return None;
        }
        // Who only reads needs no time of their own.
        let admitted = self.clock_time(now);
        let time = admitted.as_ref().map_or(self.time, |time| *time);
        let now = self.budgets.grants.time_of(request.id, now);
        let start = Start { actor: self.identity.actor, seq: batch.seq, time, now };
        let reader = store as &dyn Reader;
        // Rows that merge are written where their replica is.
        let pace = if self.mesh.is_some() { &Pace::Whole } else { pace };
        let mut transaction =
            Transaction::new(batch.tables.clone(), reader, &batch.writes, start, pace.clone());
        transaction.draft = self.mesh.as_ref().map(|mesh| mesh.draft(time, request.basis.as_ref()));
        transaction.purse = self.budgets.grants.of(request.id);
        let (result, verdict) = match admission::run(&mut transaction, request) {
            Ok(done) => done,
            Err(_) if transaction.is_stopped() => {
                self.aside.put(request.clone());
                batch.tables = transaction.unwritten().unwrap_or_else(|| batch.tables.clone());
                return None;
            }
            Err(error) => {
                let want = transaction.draft.as_mut().and_then(|draft| draft.want.take());
                if let (Some(want), Some(mesh)) = (want, &mut self.mesh) {
                    mesh.ask_for(&want);
                }
                let wanted = transaction.purse.take_wanted();
                if !self.is_waiting_for(now, request, wanted, &error) {
                    return Some(Err(error));
                }
                batch.tables = transaction.unwritten().unwrap_or_else(|| batch.tables.clone());
                return None;
            }
        };
        let Done { mut tables, writes, mut changes, seq, used, draft, .. } = transaction.finish();
        if verdict == Verdict::Commit && changes.is_empty() {
            batch.tables = tables;
            batch.spent.extend(self.budgets.grants.take(request.id, &used));
        } else if verdict == Verdict::Commit {
            if let Err(error) = admitted {
                self.budgets.grants.give_up(request.id);
                return Some(Err(error));
            }
            let written: BTreeSet<TableId> = writes.keys().map(|(table, _)| *table).collect();
            let defines = matches!(changes.first(), Some(Change::Catalog(_)));
            if self.aside.reserves(&written, defines) {
                self.aside.hold(request.clone());
                return None;
            }
            batch.spent.extend(self.budgets.grants.take(request.id, &used));
            let lsn = batch.lsn.next();
            let mut touched: Vec<(TableId, Row)> = writes.keys().cloned().collect();
            if let (Some(mesh), Some(draft)) = (&mut self.mesh, draft) {
                let (records, conflicts, come) = mesh.put(draft, seq, time, &mut tables);
                self.conflicts.count(&come);
                changes.extend(records);
                touched.extend(conflicts);
            }
            let after = tables.clone();
            batch.prepared.push(Prepared { lsn, time, touched, tables: written, after });
            batch.commits.push(Commit { lsn, time, seq, changes: changes.into() });
            batch.writes.extend(writes);
            batch.tables = tables;
            batch.lsn = lsn;
            batch.seq = seq;
        } else {
            self.budgets.grants.give_up(request.id);
        }
        Some(Ok(Outcome {
            columns: result.columns,
            rows: result.rows,
            rows_affected: result.rows_affected,
            lsn: batch.lsn,
            cut: self.cut(),
        }))
    }
}

//! [`Engine`]: the way of the data, one step at a time.
//!
//! Requests that arrive together are admitted one after the other, each on the state with the writes of those
//! before it; their commits leave in one append. When the append is durable they are merged into the
//! circuits in order, and replies and news leave. Invariants: an lsn is its predecessor's plus one; nothing
//! of a commit is visible before it is durable; the state is a function of the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deltaic_causality::{ActorId, HybridLogicalClock, HybridTime, VersionVector};
use deltaic_crdt::anti_entropy::{Input as Heard, MergeId, Settings, SyncMetrics};
use deltaic_dataflow::Breaker;
use deltaic_quota::NodeId;
use deltaic_storage::{Commit, Header, Identity, StorageError, Store};
use deltaic_types::{Lsn, Row, TableId};

use crate::{
    allocations::Allocations,
    aside::Aside,
    behind::{Behind, Held, Path},
    budgets::{Budgets, Spent},
    effects::{Effects, Reply},
    error::RequestError,
    input::{Input, Now, Request, Subscribe},
    mesh::{Mesh, ReplicaSize},
    semantic::{ConflictCounts, Semantic},
    showing::Showing,
    slice::Slice,
    spending::Spending,
    tables::Tables,
    views::{Arrived, Hydrated, Hydration, MemoryLimits, Opened, Place, Views, Waiting},
    work::{Work, Worked},
};

/// How far the clock may lie behind what was committed before admission stops: a minute.
const CLOCK_SKEW_MILLIS: u64 = 60_000;

/// The least time between two commits of the clock alone: rows that leave within it leave together.
const TICK_MICROS: i64 = 50_000;

/// How long to wait when such a commit could not be made.
const TICK_FAILED_MICROS: i64 = 1_000_000;

/// The time of a commit as the clock of live queries shows it.
pub(crate) fn micros(time: HybridTime) -> Now {
    Now(i64::try_from(time.millis()).unwrap_or(i64::MAX / 1000) * 1000)
}

/// A live-data engine without clock, thread, socket or file.
#[derive(Debug)]
pub struct Engine {
    pub(crate) identity: Identity,
    /// The last durable commit.
    pub(crate) lsn: Lsn,
    pub(crate) seq: u64,
    pub(crate) clock: HybridLogicalClock,
    /// The tables after it.
    pub(crate) tables: Tables,
    pub(crate) views: Views,
    pub(crate) in_flight: Option<InFlight>,
    /// The commits that the live queries have not seen, while a large one is followed.
    pub(crate) behind: Option<Behind>,
    /// What waits for the live queries to catch up.
    pub(crate) held: Held,
    /// Tuples that were brought in for subscriptions that may have ended.
    pub(crate) unclaimed: Vec<(u64, Row)>,
    /// What is too large to be done before the next input.
    pub(crate) aside: Aside,
    pub(crate) slice: Slice,
    pub(crate) budgets: Budgets,
    pub(crate) spending: Spending,
    /// What merges, if there have ever been other members.
    pub(crate) mesh: Option<Mesh>,
    /// Members that came before it was begun.
    pub(crate) joining: BTreeSet<ActorId>,
    pub(crate) mesh_settings: Settings,
    /// Requests of authors who had not seen all, that wait for the replica.
    pub(crate) late_requests: Vec<Request>,
    pub(crate) semantic: Semantic,
    pub(crate) allocations: Allocations,
    pub(crate) conflicts: ConflictCounts,
    /// The time of the last commit.
    pub(crate) time: HybridTime,
    /// Before this time no commit is made for the clock alone.
    rest_until: Now,
    /// A subscription that waits for the clock's commit.
    late: Option<Subscribe>,
}

/// A batch whose append was asked for.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) prepared: Vec<Prepared>,
    pub(crate) replies: Vec<Reply>,
    pub(crate) lsn: Lsn,
    pub(crate) seq: u64,
    /// What its requests have consumed: refunded where nothing of them happened.
    pub(crate) spent: Vec<Spent>,
    /// What peers sent, that it merges.
    pub(crate) merged: Vec<MergeId>,
    /// What it shows of the engine's own.
    pub(crate) showing: Option<Showing>,
}

impl InFlight {
    /// A commit alone that nobody asked for.
    pub(crate) fn alone(prepared: Prepared, seq: u64) -> Self {
        let (lsn, prepared) = (prepared.lsn, vec![prepared]);
        Self { prepared, replies: Vec::new(), lsn, seq, spent: Vec::new(), merged: Vec::new(), showing: None }
    }
}

/// A commit that waits to be durable.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) lsn: Lsn,
    pub(crate) time: HybridTime,
    pub(crate) touched: Vec<(TableId, Row)>,
    /// The tables of these rows.
    pub(crate) tables: BTreeSet<TableId>,
    pub(crate) after: Tables,
}

/// A query to be computed, as what is to be done.
fn computed(hydration: Option<Box<Hydration>>) -> Vec<Work> {
    hydration.map(Work::Hydration).into_iter().collect()
}

impl Engine {
    /// An engine over a store: loads the keys and what indexes and constraints use, and computes the live views of the
    /// catalog. Cost: a scan of each table, and the views' queries.
    pub fn open(store: &dyn Store) -> Result<Self, StorageError> {
        let Header { identity, lsn, seq, time, catalog } = store.header()?;
        let mut clock = HybridLogicalClock::new(CLOCK_SKEW_MILLIS);
        clock.observe(time);
        let mut tables = Tables::load(catalog, store)?;
        let mesh_settings = Settings::default();
        let mesh = Mesh::load(identity.actor, seq, tables.catalog(), store, mesh_settings)?;
        if let Some(mesh) = &mesh {
            clock.observe(mesh.state.latest_of_all());
            tables.show_conflicts(&[], &mesh.state.conflicts().cloned().collect::<Vec<Row>>());
        }
        let mut views = Views::new();
        let place = Place { store, database: identity.database, lsn, time: micros(time) };
        let works = views.keep_named(&mut tables, &place, Now(0), false);
        assert!(works.is_empty(), "nothing is done beside the start");
        let mut budgets = Budgets::new(NodeId(identity.database.0), false);
        budgets.declare(Now(0), tables.catalog());
        Ok(Self {
            identity,
            lsn,
            seq,
            clock,
            tables,
            views,
            in_flight: None,
            behind: None,
            held: Held::default(),
            unclaimed: Vec::new(),
            aside: Aside::default(),
            slice: Slice::default(),
            budgets,
            spending: Spending::default(),
            mesh,
            joining: BTreeSet::new(),
            mesh_settings,
            late_requests: Vec::new(),
            semantic: Semantic::default(),
            allocations: Allocations::default(),
            conflicts: ConflictCounts::default(),
            time,
            rest_until: Now(0),
            late: None,
        })
    }

    /// Says that other databases spend of the same ledger: their budgets of one name are one. Before anything else.
    pub fn share_ledger(&mut self) {
        self.budgets = Budgets::new(self.node(), true);
        self.budgets.declare(Now(0), self.tables.catalog());
    }

    /// Sets when results are computed anew and not advanced row by row. Changes no result.
    pub fn set_breaker(&mut self, breaker: Breaker) {
        self.views.set_breaker(breaker);
    }

    /// Sets what is done before the next input. What is larger leaves as [`Effects::work`]. Changes no result.
    pub fn set_slice(&mut self, slice: Slice) {
        self.slice = slice;
        self.views.set_slice(slice);
    }

    /// Sets how much memory live results may take, from now on.
    pub fn set_memory(&mut self, memory: MemoryLimits) {
        self.views.set_memory(memory);
    }

    /// Sets how replicas speak with each other, before there is one.
    pub fn set_sync(&mut self, settings: Settings) {
        self.mesh_settings = settings;
        if let Some(mesh) = &mut self.mesh {
            mesh.set(settings);
        }
    }

    /// What this replica holds of the writes of all; none if it has always been alone.
    pub fn cut(&self) -> Option<VersionVector> {
        self.mesh.as_ref().map(|mesh| mesh.cut().clone())
    }

    /// A sum of all that is merged, equal where replicas with equal cuts are; none where this database has always been alone.
    pub fn digest(&self) -> Option<u64> {
        self.mesh.as_ref().map(Mesh::digest)
    }

    /// How much the replica keeps; none if this database has always been alone.
    pub fn replica_size(&self) -> Option<ReplicaSize> {
        self.mesh.as_ref().map(Mesh::size)
    }

    /// How many conflicts there have been since the start, by kind.
    pub fn conflict_counts(&self) -> &BTreeMap<String, u64> {
        &self.conflicts.0
    }

    /// What was said between replicas since the start.
    pub fn sync_metrics(&self) -> SyncMetrics {
        self.mesh.as_ref().map(Mesh::metrics).unwrap_or_default()
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
        if let Some(mesh) = &mut self.mesh {
            // Before it writes: what it had written when it began tells a copy from what it was copied from.
            mesh.begin(now);
        }
        if matches!(input, Input::Wake) {
            self.budgets.tick(now);
        }
        let mut effects = match self.hold(input) {
            Some(input) => self.take(now, input, store),
            None => Effects::default(),
        };
        self.release(now, store, &mut effects);
        self.resume(now, store, &mut effects);
        self.spend(now, store, &mut effects);
        self.watch_rules(now, store, &mut effects);
        self.allocate(now, store, &mut effects);
        self.expire_offers(now, store, &mut effects);
        self.merge_peers(now, store, &mut effects);
        effects.wake_at = self.budgets.wake_at(now);
        if self.in_flight.is_none()
            && let Some(mesh) = &mut self.mesh
        {
            effects.wake_at = effects.wake_at.into_iter().chain(mesh.wake_at(now)).min();
        }
        if self.behind.is_none() {
            if self.in_flight.is_none() {
                self.views.expire(now, &mut self.tables);
            }
            let own = [
                self.views.wake_at(),
                self.ticks_at(),
                self.rules_wake_at(),
                self.allocations_wake_at(),
                self.budgets.promises.wake_at(),
            ];
            effects.wake_at = own.into_iter().flatten().chain(effects.wake_at).min();
        }
        Self::keep_own_replies(&mut effects);
        effects
    }

    /// Takes in an input for which the live queries stand where they must.
    pub(crate) fn take(&mut self, now: Now, input: Input, store: &dyn Store) -> Effects {
        match input {
            Input::Requests(requests) => self.admit(now, &requests, store),
            Input::Appended(outcome) => self.appended(now, outcome, store),
            Input::Worked(Worked::Admitted(admitted)) => self.admitted(now, *admitted, store),
            Input::Worked(Worked::Hydrated(hydrated)) => self.hydrated(now, *hydrated, store),
            Input::Worked(Worked::Followed(followed)) => self.followed(now, *followed, store),
            Input::Worked(Worked::Settled(settled)) => {
                self.settled(*settled);
                Effects::default()
            }
            Input::Consume(consume) => {
                self.budgets.consume(consume, self.tables.catalog());
                Effects::default()
            }
            Input::Ledger(answer) => {
                self.budgets.answered(now, answer);
                Effects::default()
            }
            Input::Settle => {
                self.budgets.close(now);
                Effects::default()
            }
            Input::Subscribe(subscribe) => self.subscribe(now, subscribe, store),
            Input::Unsubscribe { client, subscription } => {
                self.views.unsubscribe((client, subscription), now);
                Effects::default()
            }
            Input::Disconnect(client) => {
                self.views.disconnect(client, now);
                Effects::default()
            }
            Input::Peer(input) => {
                self.peer(now, input);
                Effects::default()
            }
            Input::Wake => Effects { append: self.tick(now), ..Effects::default() },
        }
    }

    /// When the clock is to have a commit of its own: when it changes a result, to the millisecond, which is what
    /// commits count, and not at once again.
    fn ticks_at(&self) -> Option<Now> {
        let change = self.views.next_change()?;
        // Commits have times of whole milliseconds: the first that is not before the change.
        let at = change.0.saturating_add(999).div_euclid(1000).saturating_mul(1000);
        Some(self.rest_until.max(Now(at)))
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
        let (touched, tables) = (Vec::new(), BTreeSet::new());
        let prepared = Prepared { lsn, time, touched, tables, after: self.tables.clone() };
        self.in_flight = Some(InFlight::alone(prepared, seq));
        vec![Commit { lsn, time, seq, changes: Vec::new().into() }]
    }

    /// Opens a view and tells its result. Where time has changed it since the last commit, the clock's commit comes first.
    fn subscribe(&mut self, now: Now, subscribe: Subscribe, store: &dyn Store) -> Effects {
        let place = self.place(store);
        let opened = match self.views.open(&subscribe, &mut self.tables, &place) {
            Ok(Opened::View(view)) => Ok(view),
            Ok(Opened::Later(work)) => return Effects { work: computed(work), ..Effects::default() },
            Ok(Opened::Tuple(tuple)) => {
                let mut effects = Effects::default();
                self.follow_tuple(tuple, &subscribe, &mut effects);
                return effects;
            }
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
    fn hydrated(&mut self, now: Now, hydrated: Hydrated, store: &dyn Store) -> Effects {
        let place = self.place(store);
        let woken = match self.views.hydrated(hydrated, &mut self.tables, &place, self.aside.last_changes()) {
            Arrived::Woken(woken) => woken,
            Arrived::Again(again) => {
                return Effects { work: vec![Work::Hydration(again)], ..Effects::default() };
            }
        };
        let mut effects = Effects::default();
        let waited = woken.waiting.into_iter().map(|waiting| (waiting, woken.outcome.as_ref().err()));
        for (waiting, error) in waited.chain(woken.queued.into_iter().map(|waiting| (waiting, None))) {
            match (waiting, error) {
                (Waiting::Subscription(subscribe), None) => self.open_for(&subscribe, &place, &mut effects),
                (Waiting::Subscription(subscribe), Some(error)) => {
                    effects.send.extend(self.views.subscribe(&subscribe, Err(error.clone()), &place));
                }
                (Waiting::Name(_), None) => self.keep_named(now, store, &mut effects),
                (Waiting::Name(name), Some(_)) => self.views.give_up_name(name),
            }
        }
        if let Ok(Some(there)) = woken.outcome {
            self.unclaimed.push(there);
        }
        effects
    }

    /// Opens a view for a subscription and tells its result, now or when the live queries have caught up.
    fn open_for(&mut self, subscribe: &Subscribe, place: &Place<'_>, effects: &mut Effects) {
        if self.behind.is_some() {
            return self.held.put(subscribe.clone());
        }
        let view = match self.views.open(subscribe, &mut self.tables, place) {
            Ok(Opened::View(view)) => Ok(view),
            Ok(Opened::Later(work)) => {
                effects.work.extend(computed(work));
                return;
            }
            Ok(Opened::Tuple(tuple)) => return self.follow_tuple(tuple, subscribe, effects),
            Err(error) => Err(error),
        };
        effects.send.extend(self.views.subscribe(subscribe, view, place));
    }

    pub(crate) fn place<'a>(&self, store: &'a dyn Store) -> Place<'a> {
        let (database, lsn, time) = (self.identity.database, self.lsn, micros(self.time));
        Place { store, database, lsn, time }
    }

    /// The time of a commit.
    pub(crate) fn clock_time(&mut self, now: Now) -> Result<HybridTime, RequestError> {
        let millis = u64::try_from(now.0 / 1000).unwrap_or(0);
        self.clock.tick(millis).map_err(|error| RequestError::Clock(error.to_string()))
    }

    /// The commits in flight are durable, or they are not and nothing of them happened.
    fn appended(&mut self, now: Now, outcome: Result<(), Arc<StorageError>>, store: &dyn Store) -> Effects {
        let in_flight = self.in_flight.take().expect("invariant: an append was asked for");
        if let Err(error) = outcome {
            // Of what is not known, whether it happened, the permits are committed.
            if error.is_undone() {
                in_flight.spent.into_iter().for_each(Spent::refund);
            }
            if let Some(showing) = in_flight.showing {
                self.not_shown(now, showing);
            }
            let refuse = |reply: Reply| Reply {
                request: reply.request,
                result: reply.result.and(Err(RequestError::Storage(Arc::clone(&error)))),
            };
            let replies = in_flight.replies.into_iter().map(refuse).collect();
            self.rest_until = Now(now.0.saturating_add(TICK_FAILED_MICROS));
            let mesh = self.mesh.as_mut();
            let begun = mesh
                .and_then(|mesh| mesh.reload(now, self.seq, self.tables.catalog(), store, in_flight.merged));
            if let Some(peers) = begun {
                self.joining.extend(peers);
                self.mesh = None;
            }
            let mut effects = Effects { replies, ..Effects::default() };
            self.told_late(store, &mut effects);
            return effects;
        }
        for prepared in &in_flight.prepared {
            self.aside.changed(prepared.lsn, &prepared.tables);
            assert_eq!(prepared.lsn, self.lsn.next(), "commits are applied in order");
            (self.lsn, self.time) = (prepared.lsn, prepared.time);
        }
        self.budgets.follow_offers(now, &in_flight.prepared, &in_flight.spent);
        assert_eq!(self.lsn, in_flight.lsn, "a batch ends with its last commit");
        let has_written = in_flight.seq > self.seq;
        self.seq = in_flight.seq;
        if let Some(mesh) = &mut self.mesh {
            in_flight.merged.into_iter().for_each(|id| mesh.hear(now, Heard::Merged(id)));
            if has_written {
                mesh.hear(now, Heard::Wrote(in_flight.seq));
            }
        }
        let mut effects =
            Effects { replies: in_flight.replies, spent: in_flight.spent, ..Effects::default() };
        if let Some(commits) = self.queue(in_flight.prepared.into()) {
            let standing = std::mem::take(&mut self.tables);
            self.follow(
                now,
                Path { standing, newest: None, commits, is_defined: false },
                store,
                &mut effects,
            );
        }
        self.told_late(store, &mut effects);
        effects
    }

    /// The first message of a subscription that waited for the clock.
    fn told_late(&mut self, store: &dyn Store, effects: &mut Effects) {
        if let Some(subscribe) = self.late.take() {
            let place = self.place(store);
            self.open_for(&subscribe, &place, effects);
        }
    }
}

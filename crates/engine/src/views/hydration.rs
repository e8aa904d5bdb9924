//! [`Hydration`]: the first computation of a large query, beside the commits and not before them.
//!
//! It works on a snapshot, in a graph of its own, wherever whoever drives the engine runs it. Commits that come meanwhile
//! are noted; when it is done they are caught up with, and its states move to the shared graph. Invariant: the
//! states that arrive are those that hydrating then would have given; where the definitions of tables have changed
//! meanwhile nothing arrives, and the query begins anew. The columns that it reads and that are not in memory are read on the
//! same snapshot, and arrive with it where their tables have not changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use deltaic_dataflow::{Graph, Relation, RelationId, Relations, ZSet, clock_change};
use deltaic_query::{
    lower::{Circuit, lower},
    optimise::columns_read,
    plan::Query,
};
use deltaic_storage::Reader;
use deltaic_types::{Lsn, Row, TableId, limits};

use super::{Form, Place, TemplateKey, Views};
use crate::{
    error::RequestError,
    input::{ClientId, Now, Subscribe, SubscriptionId},
    tables::Tables,
};

/// A query to be computed: a value that can be sent to another thread. Its end is an input:
/// [`crate::Input::Worked`].
#[derive(Debug)]
pub struct Hydration {
    /// The number that its template is going to have.
    pub(super) number: u64,
    pub(super) graph: Graph,
    relations: Relations,
    /// None until the columns that it reads are in memory.
    circuit: Option<Circuit>,
    cold: Option<Cold>,
    /// Where it was computed already, the commits since.
    missed: Vec<Missed>,
}

/// A query of which columns are not in memory yet.
struct Cold {
    query: Query,
    tuple: Row,
    tables: Tables,
    ids: BTreeSet<TableId>,
    rows: Arc<dyn Reader + Send + Sync>,
    time: Now,
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cold").field("query", &self.query).finish_non_exhaustive()
    }
}

/// A query that was computed.
#[derive(Debug)]
pub struct Hydrated {
    computed: Hydration,
    outcome: Result<(), RequestError>,
}

impl Hydration {
    /// The circuit that was computed.
    pub(super) fn circuit(&self) -> Circuit {
        self.circuit.expect("invariant: what was computed has its circuit")
    }

    /// Computes the query, or catches up with commits. Cost: its own; nothing else waits for it.
    pub fn run(mut self) -> Hydrated {
        let outcome = self.compute();
        Hydrated { computed: self, outcome }
    }

    fn compute(&mut self) -> Result<(), RequestError> {
        let missed = std::mem::take(&mut self.missed);
        if !missed.is_empty() {
            return missed.iter().try_for_each(|commit| self.advance(commit));
        }
        if let Some(cold) = &mut self.cold {
            cold.tables.make_hot(&columns_read(&cold.query.plan), &*cold.rows, &[])?;
            let (graph, relations, circuit) =
                installed(self.number, &cold.query, &cold.tuple, (&cold.ids, &cold.tables), cold.time)?;
            (self.graph, self.relations, self.circuit) = (graph, relations, Some(circuit));
        }
        for (relation, key) in self.graph.required_indexes() {
            if let Some(relation) = self.relations.get_mut(relation) {
                relation.ensure_index(&key);
            }
        }
        Ok(self.graph.hydrate_within(&self.relations, limits::JOINED_ROWS)?)
    }

    /// Catches up with a commit.
    fn advance(&mut self, commit: &Missed) -> Result<(), RequestError> {
        let before = self.relations.clone();
        let mut changes: BTreeMap<RelationId, ZSet> = BTreeMap::new();
        for (id, change) in &commit.changes {
            let Some(relation) = self.relations.get_mut(*id) else { continue };
            for (row, weight) in change.iter() {
                if weight < 0 {
                    relation.remove(row);
                }
            }
            for (row, weight) in change.iter() {
                if weight > 0 {
                    relation.insert(row);
                }
            }
            changes.insert(*id, change.clone());
        }
        if let Some(clock) = before.clock() {
            self.relations.set_clock(commit.time.0);
            changes.insert(RelationId::Clock, clock_change(clock, commit.time.0));
        }
        let limit = limits::JOINED_ROWS;
        self.graph.step_within(&before, &self.relations, changes, &BTreeSet::new(), limit)?;
        Ok(())
    }
}

/// A query's circuit by itself, and what it is computed from.
fn installed(
    number: u64,
    query: &Query,
    tuple: &Row,
    (ids, tables): (&BTreeSet<TableId>, &Tables),
    time: Now,
) -> Result<(Graph, Relations, Circuit), RequestError> {
    let mut relations = Relations::default();
    for table in ids {
        relations.put(RelationId::Table(*table), tables.relation(*table).clone());
    }
    let parameters = (!tuple.is_empty()).then_some((RelationId::Parameters(number), tuple.len()));
    if let Some((id, width)) = parameters {
        let places: Vec<usize> = (0..width).collect();
        relations.put(id, Relation::of(&places, [tuple.clone()]));
    }
    let mut graph = Graph::default();
    let circuit = lower(query, parameters, &mut graph, tables)?;
    if graph.has_clock() {
        relations.set_clock(time.0);
    }
    Ok((graph, relations, circuit))
}

/// A commit that a hydration has not seen.
#[derive(Debug)]
struct Missed {
    time: Now,
    changes: BTreeMap<RelationId, ZSet>,
}

impl Missed {
    fn rows(&self) -> usize {
        self.changes.values().map(ZSet::len).sum()
    }
}

impl Cold {
    /// Whether a commit has changed a table of which columns were brought in. What a commit changed of those columns is not
    /// among the changes that circuits see.
    fn is_written(&self, running: &Running, changed: &BTreeMap<TableId, Lsn>) -> bool {
        let mut since = changed.iter().filter(|(_, lsn)| **lsn > running.lsn);
        since.any(|(table, _)| self.tables.is_wider(&running.began, *table))
    }
}

/// The hydration that runs, and who waits.
#[derive(Debug, Default)]
pub(super) struct Hydrating {
    running: Option<Running>,
    /// Subscriptions to other large queries: one is computed at a time.
    queued: Vec<Waiting>,
    /// The forms whose columns could not be brought in on a snapshot, since their tables are written to.
    in_vain: BTreeSet<TemplateKey>,
}

impl Hydrating {
    pub(super) fn is_busy(&self) -> bool {
        self.running.is_some() || !self.queued.is_empty()
    }
}

/// Who waits for a query to be computed.
#[derive(Debug, Clone)]
pub(crate) enum Waiting {
    Subscription(Subscribe),
    /// The live view of this name in the catalog.
    Name(String),
}

impl Waiting {
    fn subscription(&self) -> Option<&Subscribe> {
        match self {
            Self::Subscription(subscribe) => Some(subscribe),
            Self::Name(_) => None,
        }
    }
}

#[derive(Debug)]
struct Running {
    form: Form,
    /// The tables as they were when it began.
    began: Tables,
    lsn: Lsn,
    missed: Vec<Missed>,
    waiting: Vec<Waiting>,
}

impl Hydrating {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_none() && self.queued.is_empty()
    }

    /// Whether a query is being computed, and misses commits.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a subscription waits.
    pub(super) fn has(&self, id: (ClientId, SubscriptionId)) -> bool {
        let mut subscriptions = self.all().filter_map(Waiting::subscription);
        subscriptions.any(|other| (other.client, other.subscription) == id)
    }

    /// Whether a named view waits.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.all().any(|waiting| matches!(waiting, Waiting::Name(other) if other == name))
    }

    fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.running.iter().flat_map(|running| &running.waiting).chain(&self.queued)
    }

    /// Forgets subscriptions that wait.
    pub(super) fn forget(&mut self, gone: impl Fn(&Subscribe) -> bool) {
        let stays = |waiting: &Waiting| !waiting.subscription().is_some_and(&gone);
        self.queued.retain(stays);
        if let Some(running) = &mut self.running {
            running.waiting.retain(stays);
        }
    }

    /// How many subscriptions wait.
    pub(super) fn waiting(&self) -> usize {
        self.all().count()
    }

    /// Notes a commit.
    pub(super) fn miss(&mut self, time: Now, changes: &BTreeMap<RelationId, ZSet>) {
        if let Some(running) = &mut self.running {
            running.missed.push(Missed { time, changes: changes.clone() });
        }
    }
}

impl Views {
    /// Begins the computation of a large query for a subscription or a name, or lets it wait where one runs.
    pub(super) fn begin(
        &mut self,
        form: Form,
        waiting: Waiting,
        tables: &mut Tables,
        place: &Place<'_>,
    ) -> Result<Option<Box<Hydration>>, RequestError> {
        if let Some(running) = &mut self.hydrating.running {
            let same = running.form.key == form.key;
            let list = if same { &mut running.waiting } else { &mut self.hydrating.queued };
            list.push(waiting);
            return Ok(None);
        }
        let number = self.next;
        let began = tables.clone();
        let is_cold = tables.rows_of_cold(&columns_read(&form.query.plan)) > self.slice.rows;
        let was_in_vain = self.hydrating.in_vain.remove(&form.key);
        let hydration = if is_cold && !was_in_vain {
            let cold = Cold {
                query: form.query.clone(),
                tuple: form.tuple.clone(),
                tables: tables.clone(),
                ids: form.tables.clone(),
                rows: place.store.snapshot()?,
                time: place.time,
            };
            let (graph, relations) = (Graph::default(), Relations::default());
            Hydration { number, graph, relations, circuit: None, cold: Some(cold), missed: Vec::new() }
        } else {
            form.make_hot(tables, place)?;
            let (graph, relations, circuit) =
                installed(number, &form.query, &form.tuple, (&form.tables, &*tables), place.time)?;
            Hydration { number, graph, relations, circuit: Some(circuit), cold: None, missed: Vec::new() }
        };
        let began = if hydration.cold.is_some() { began } else { tables.clone() };
        self.next += 1;
        let (lsn, missed, waiting) = (place.lsn, Vec::new(), vec![waiting]);
        self.hydrating.running = Some(Running { form, began, lsn, missed, waiting });
        Ok(Some(Box::new(hydration)))
    }

    /// Takes in a query that was computed, and gives who waited for it and for others; they are to be opened now, and then
    /// [`Views::drop_unclaimed`]. `changed` names the last commit that changed each table.
    pub(crate) fn hydrated(
        &mut self,
        hydrated: Hydrated,
        tables: &mut Tables,
        place: &Place<'_>,
        changed: &BTreeMap<TableId, Lsn>,
    ) -> Arrived {
        let mut running = self.hydrating.running.take().expect("invariant: what was computed was begun");
        let Hydrated { mut computed, outcome } = hydrated;
        let is_there = self.by_key.contains_key(&running.form.key);
        let is_as_begun = running.began.has_definitions_of(tables);
        let is_wanted = !running.waiting.is_empty() && !is_there && is_as_begun;
        let cold = computed.cold.as_ref();
        let is_written = cold.is_some_and(|cold| cold.is_written(&running, changed));
        let missed: usize = running.missed.iter().map(Missed::rows).sum();
        if is_wanted && !is_written && outcome.is_ok() && missed as u64 > self.slice.units {
            computed.missed = std::mem::take(&mut running.missed);
            self.hydrating.running = Some(running);
            return Arrived::Again(Box::new(computed));
        }
        let queued = std::mem::take(&mut self.hydrating.queued);
        let mut woken = Woken { outcome: Ok(None), waiting: running.waiting, queued };
        if !is_wanted {
            return Arrived::Woken(woken);
        }
        if is_written {
            self.hydrating.in_vain.insert(running.form.key);
            return Arrived::Woken(woken);
        }
        if let Some(cold) = computed.cold.take() {
            tables.adopt(&cold.tables, &running.began, &BTreeSet::new());
        }
        let caught_up = outcome.and_then(|()| {
            running.missed.iter().try_for_each(|commit| computed.advance(commit))?;
            Ok(computed)
        });
        woken.outcome = caught_up.and_then(|computed| {
            for (id, theirs) in computed.relations.iter() {
                if let (RelationId::Table(_), Some(ours)) = (id, tables.relations.get_mut(id)) {
                    ours.take_indexes(theirs);
                }
            }
            let template = self.install(&running.form, Some(computed), tables, place, limits::JOINED_ROWS)?;
            Ok(Some((template, running.form.tuple)))
        });
        Arrived::Woken(woken)
    }

    /// Gives up what was computed for a subscription that did not come for it.
    pub(crate) fn drop_unclaimed(&mut self, (template, tuple): &(u64, Row), tables: &mut Tables) {
        let Some(entry) = self.templates.get(template) else { return };
        if entry.views.contains_key(tuple) {
            return;
        }
        let parameters = entry.parameters;
        if entry.views.is_empty() {
            self.close_template(*template, tables);
        } else if let Some(relation) = parameters {
            self.remove_parameters(relation, tuple, &mut tables.relations);
        }
    }
}

/// Where a query that was computed stands.
pub(crate) enum Arrived {
    Woken(Woken),
    /// So much has been committed meanwhile that it goes again to catch up.
    Again(Box<Hydration>),
}

/// What the end of a hydration sets free.
pub(crate) struct Woken {
    /// The template and the tuple that are there now; None where the query has to begin anew.
    pub(crate) outcome: Result<Option<(u64, Row)>, RequestError>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) queued: Vec<Waiting>,
}

//! [`Hydration`]: the first computation of a large query, beside the commits and not before them.
//!
//! It works on a snapshot, in a graph of its own, wherever whoever drives the engine runs it. Commits that come meanwhile
//! are noted; when it is done they are caught up with, and its states move to the shared graph. Invariant: the
//! states that arrive are those that hydrating then would have given; where the definitions of tables have changed
//! meanwhile nothing arrives, and the query begins anew.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_dataflow::{Graph, Relation, RelationId, Relations, ZSet, clock_change};
use deltaic_query::lower::{Circuit, lower};
use deltaic_types::{Row, limits};

use super::{Form, Place, Views};
use crate::{
    error::RequestError,
    input::{ClientId, Now, Subscribe, SubscriptionId},
    tables::Tables,
};

/// A query to be computed: a value that can be sent to another thread. Its end is an input:
/// [`crate::Input::Worked`].
#[derive(Debug, Clone)]
pub struct Hydration {
    /// The number that its template is going to have.
    pub(super) number: u64,
    pub(super) graph: Graph,
    relations: Relations,
    pub(super) circuit: Circuit,
}

/// A query that was computed.
#[derive(Debug, Clone)]
pub struct Hydrated {
    computed: Hydration,
    outcome: Result<(), RequestError>,
}

impl Hydration {
    /// Computes the query. Cost: its own; nothing else waits for it.
    pub fn run(mut self) -> Hydrated {
        for (relation, key) in self.graph.required_indexes() {
            if let Some(relation) = self.relations.get_mut(relation) {
                relation.ensure_index(&key);
            }
        }
        let outcome = self.graph.hydrate_within(&self.relations, limits::JOINED_ROWS);
        Hydrated { computed: self, outcome: outcome.map_err(RequestError::from) }
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

/// A commit that a hydration has not seen.
#[derive(Debug)]
struct Missed {
    time: Now,
    changes: BTreeMap<RelationId, ZSet>,
}

/// The hydration that runs, and who waits.
#[derive(Debug, Default)]
pub(super) struct Hydrating {
    running: Option<Running>,
    /// Subscriptions to other large queries: one is computed at a time.
    queued: Vec<Subscribe>,
}

#[derive(Debug)]
struct Running {
    form: Form,
    /// The tables as they were when it began.
    began: Tables,
    missed: Vec<Missed>,
    waiting: Vec<Subscribe>,
}

impl Hydrating {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_none() && self.queued.is_empty()
    }

    /// Whether a subscription waits.
    pub(super) fn has(&self, id: (ClientId, SubscriptionId)) -> bool {
        let waiting = self.running.iter().flat_map(|running| &running.waiting);
        waiting.chain(&self.queued).any(|other| (other.client, other.subscription) == id)
    }

    /// Forgets subscriptions that wait.
    pub(super) fn forget(&mut self, gone: impl Fn(&Subscribe) -> bool) {
        self.queued.retain(|subscribe| !gone(subscribe));
        if let Some(running) = &mut self.running {
            running.waiting.retain(|subscribe| !gone(subscribe));
        }
    }

    /// How many subscriptions wait.
    pub(super) fn waiting(&self) -> usize {
        self.queued.len() + self.running.as_ref().map_or(0, |running| running.waiting.len())
    }

    /// Notes a commit.
    pub(super) fn miss(&mut self, time: Now, changes: &BTreeMap<RelationId, ZSet>) {
        if let Some(running) = &mut self.running {
            running.missed.push(Missed { time, changes: changes.clone() });
        }
    }
}

impl Views {
    /// Begins the computation of a large query for a subscription, or lets it wait where one runs.
    pub(super) fn begin(
        &mut self,
        form: Form,
        subscribe: &Subscribe,
        tables: &mut Tables,
        place: &Place<'_>,
    ) -> Result<Option<Box<Hydration>>, RequestError> {
        if let Some(running) = &mut self.hydrating.running {
            let same = running.form.key == form.key;
            let list = if same { &mut running.waiting } else { &mut self.hydrating.queued };
            list.push(subscribe.clone());
            return Ok(None);
        }
        form.make_hot(tables, place)?;
        let number = self.next;
        let mut relations = Relations::default();
        for table in &form.tables {
            relations.put(RelationId::Table(*table), tables.relation(*table).clone());
        }
        let parameters = form.parameters(number);
        if let Some((id, width)) = parameters {
            let places: Vec<usize> = (0..width).collect();
            relations.put(id, Relation::of(&places, [form.tuple.clone()]));
        }
        let mut graph = Graph::default();
        let circuit = lower(&form.query, parameters, &mut graph, tables)?;
        self.next += 1;
        if graph.has_clock() {
            relations.set_clock(place.time.0);
        }
        self.hydrating.running = Some(Running {
            form,
            began: tables.clone(),
            missed: Vec::new(),
            waiting: vec![subscribe.clone()],
        });
        Ok(Some(Box::new(Hydration { number, graph, relations, circuit })))
    }

    /// Takes in a query that was computed, and gives the subscriptions that waited for it and for others; they are to
    /// be opened now, and then [`Views::drop_unclaimed`].
    pub(crate) fn hydrated(&mut self, hydrated: Hydrated, tables: &mut Tables, place: &Place<'_>) -> Woken {
        let running = self.hydrating.running.take().expect("invariant: what was computed was begun");
        let queued = std::mem::take(&mut self.hydrating.queued);
        let mut woken = Woken { outcome: Ok(None), waiting: running.waiting, queued };
        let is_there = self.by_key.contains_key(&running.form.key);
        if woken.waiting.is_empty() || is_there || !running.began.has_definitions_of(tables) {
            return woken;
        }
        let computed = hydrated.outcome.and_then(|()| {
            let mut computed = hydrated.computed;
            running.missed.iter().try_for_each(|commit| computed.advance(commit))?;
            Ok(computed)
        });
        woken.outcome = computed.and_then(|computed| {
            for (id, theirs) in computed.relations.iter() {
                if let (RelationId::Table(_), Some(ours)) = (id, tables.relations.get_mut(id)) {
                    ours.take_indexes(theirs);
                }
            }
            let template = self.install(&running.form, Some(computed), tables, place, limits::JOINED_ROWS)?;
            Ok(Some((template, running.form.tuple)))
        });
        woken
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

/// What the end of a hydration sets free.
pub(crate) struct Woken {
    /// The template and the tuple that are there now; None where the query has to begin anew.
    pub(crate) outcome: Result<Option<(u64, Row)>, RequestError>,
    pub(crate) waiting: Vec<Subscribe>,
    pub(crate) queued: Vec<Subscribe>,
}

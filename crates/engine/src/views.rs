//! [`Views`]: the live queries: templates with their circuits, and a view for each parameter tuple.
//!
//! A subscription is a row of its template's parameter relation; subscribing inserts it, and hydration is
//! that row's delta. Invariant: a view is watched, named, or idle with a time to live; a template has a view, and a
//! circuit has a template.

mod advance;
mod closing;
mod following;
mod form;
mod hydration;
mod named;
mod status;
mod subscription;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deltaic_dataflow::{
    Breaker, ENTRY_BYTES, Exhausted, Graph, KeyColumn, NodeId, Relation, RelationId, Relations, ZSet,
};
use deltaic_query::lower::{Circuit, lower};
use deltaic_storage::Store;
use deltaic_types::{BUDGETS, DatabaseId, Lsn, Row, TableId, limits};

pub use following::{Followed, Following};
use form::{Form, TemplateKey};
use hydration::Hydrating;
pub(crate) use hydration::{Arrived, Waiting};
pub use hydration::{Hydrated, Hydration};
pub use status::{Advances, Lives, ViewStatus};
use view::{Subscriber, View, without_result};

use crate::{
    error::RequestError,
    input::{ClientId, Now, Subscribe, SubscriptionId},
    life::{Idle, Life},
    parameters::Given,
    slice::Slice,
    tables::Tables,
};

/// The number of a view: given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub u64);

#[derive(Debug)]
struct Template {
    key: TemplateKey,
    tables: BTreeSet<TableId>,
    circuit: Circuit,
    /// The relation of its live tuples; None for a template without parameters.
    parameters: Option<RelationId>,
    views: BTreeMap<Row, ViewId>,
    /// The template that it would share with others, where it has a circuit of its own.
    shared: Option<TemplateKey>,
}

/// The live queries of an engine.
#[derive(Debug, Default)]
pub(crate) struct Views {
    graph: Graph,
    templates: BTreeMap<u64, Template>,
    by_key: BTreeMap<TemplateKey, u64>,
    /// The forms of which a query has a circuit of its own.
    own: BTreeSet<TemplateKey>,
    by_id: BTreeMap<ViewId, View>,
    subscriptions: BTreeMap<(ClientId, SubscriptionId), ViewId>,
    named: BTreeMap<String, ViewId>,
    /// The names whose views could not be computed.
    unnamed: BTreeSet<String>,
    idle: Idle,
    memory: MemoryLimits,
    /// The bytes of all results.
    bytes: usize,
    /// The parameters that went, tuples or whole relations, while there may be snapshots of commits that have them still.
    gone: Vec<(RelationId, Option<Row>)>,
    /// Views that a commit made too large.
    overgrown: Vec<ViewId>,
    lives: Lives,
    /// The templates' roots.
    roots: BTreeSet<NodeId>,
    by_root: BTreeMap<NodeId, Vec<u64>>,
    breaker: Breaker,
    advances: Advances,
    hydrating: Hydrating,
    slice: Slice,
    next: u64,
}

/// Where a subscription stands after it was opened.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Its result is there.
    View(ViewId),
    /// It waits for a hydration: this one, or one that runs.
    Later(Option<Box<Hydration>>),
    /// Its template is there, and its tuple is much work to bring in.
    Tuple(Tuple),
}

/// A parameter tuple of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) template: u64,
    pub(crate) relation: RelationId,
    pub(crate) values: Row,
}

impl Tuple {
    /// Inserts it into its relation.
    pub(crate) fn insert(&self, tables: &mut Tables) {
        parameters_of(self.relation, &mut tables.relations).insert(&self.values);
    }
}

/// How much memory results may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The bytes of one result: beyond it a query is refused, or ended.
    pub view: usize,
    /// The bytes of all results and of the states behind them: beyond it those that nobody watches go, then new ones are
    /// refused.
    pub views: usize,
    /// The bytes of the results that nobody watches: beyond it those that were left first go.
    pub idle: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { view: limits::VIEW_BYTES, views: limits::VIEWS_BYTES, idle: limits::IDLE_BYTES }
    }
}

/// Where the engine stands when a subscription comes.
pub(crate) struct Place<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) database: DatabaseId,
    pub(crate) lsn: Lsn,
    /// The time of the last commit.
    pub(crate) time: Now,
}

impl Views {
    /// None.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The view of a subscription to come. A large query that is not there yet is computed beside the commits.
    pub(crate) fn open(
        &mut self,
        subscribe: &Subscribe,
        tables: &mut Tables,
        place: &Place<'_>,
    ) -> Result<Opened, RequestError> {
        let id = (subscribe.client, subscribe.subscription);
        if self.subscriptions.contains_key(&id) || self.hydrating.has(id) {
            return Err(RequestError::SubscriptionExists);
        }
        let given = Given { parameters: &subscribe.parameters, claims: &subscribe.claims };
        let form = self.form(&subscribe.sql, given, tables)?;
        if !self.by_key.contains_key(&form.key) && form.rows(tables) > self.slice.rows {
            let waiting = Waiting::Subscription(subscribe.clone());
            return self.begin(form, waiting, tables, place).map(Opened::Later);
        }
        match self.open_form(&form, &subscribe.sql, tables, place, self.slice.visits) {
            // Little to read and much to combine: it is computed beside the commits too.
            Err(RequestError::TooMuchWork(Exhausted::Rows { limit })) if limit < limits::JOINED_ROWS => {
                let Some(template) = self.by_key.get(&form.key).copied() else {
                    let waiting = Waiting::Subscription(subscribe.clone());
                    return self.begin(form, waiting, tables, place).map(Opened::Later);
                };
                let relation = self.templates[&template].parameters;
                let relation =
                    relation.expect("invariant: a view without parameters comes with its template");
                Ok(Opened::Tuple(Tuple { template, relation, values: form.tuple }))
            }
            opened => opened.map(Opened::View),
        }
    }

    /// A query as it is going to be computed. The first one of a form that has no parameters has a circuit of its own,
    /// which is computed in one pass and keeps no parameters in its rows; all that follow share the form's.
    fn form(&self, sql: &str, given: Given<'_>, tables: &Tables) -> Result<Form, RequestError> {
        let is_own = |own: &TemplateKey, shared: &TemplateKey| {
            let is_first = !self.own.contains(shared) && !self.by_key.contains_key(shared);
            is_first || self.by_key.contains_key(own)
        };
        Form::of(sql, given, tables, &is_own)
    }

    /// The view of a form, which is opened if it is not there, by a first computation whose joins visit so many rows at most.
    fn open_form(
        &mut self,
        form: &Form,
        sql: &str,
        tables: &mut Tables,
        place: &Place<'_>,
        limit: u64,
    ) -> Result<ViewId, RequestError> {
        let template = match self.by_key.get(&form.key) {
            Some(template) => *template,
            None => {
                form.make_hot(tables, place)?;
                self.install(form, None, tables, place, limit)?
            }
        };
        if let Some(view) = self.templates[&template].views.get(&form.tuple) {
            self.lives.shared += 1;
            return Ok(*view);
        }
        let opened = self.open_view(template, form, sql, tables, (place.lsn, limit));
        if opened.is_err() && self.templates[&template].views.is_empty() {
            self.close_template(template, tables);
        }
        let view = opened?;
        self.lives.opened += 1;
        let bytes = self.by_id[&view].bytes;
        if bytes > self.memory.view {
            self.lives.refused += 1;
            self.close(view, tables);
            return Err(RequestError::ViewTooLarge { bytes, limit: self.memory.view });
        }
        while self.held_bytes() > self.memory.views {
            let Some(left) = self.idle.first_left() else {
                self.lives.refused += 1;
                self.close(view, tables);
                return Err(RequestError::ViewsTooLarge { limit: self.memory.views });
            };
            self.evict(left, tables);
        }
        Ok(view)
    }

    /// Makes the template of a form: its circuit is hydrated, or comes with its states from where it was.
    fn install(
        &mut self,
        form: &Form,
        computed: Option<Hydration>,
        tables: &mut Tables,
        place: &Place<'_>,
        limit: u64,
    ) -> Result<u64, RequestError> {
        let id = computed.as_ref().map_or(self.next, |computed| computed.number);
        let relation = RelationId::Parameters(id);
        let parameters = form.parameters(id);
        let circuit =
            lower(&form.query, parameters, &mut self.graph, tables).inspect_err(|_| self.graph.collect())?;
        self.next = self.next.max(id + 1);
        if self.graph.has_clock() && tables.relations.clock().is_none_or(|clock| clock < place.time.0) {
            tables.relations.set_clock(place.time.0);
        }
        if let Some((id, width)) = parameters {
            let places: Vec<usize> = (0..width).collect();
            let tuples = computed.is_some().then(|| form.tuple.clone());
            tables.relations.put(id, Relation::of(&places, tuples));
        }
        self.graph.hold(circuit.root);
        for (relation, key) in self.graph.required_indexes() {
            if let Some(relation) = tables.relations.get_mut(relation) {
                relation.ensure_index(&key);
            }
        }
        if let Some(computed) = computed {
            let twin = computed.circuit().root;
            self.graph.adopt(circuit.root, computed.graph, twin);
        }
        if let Err(exhausted) = self.graph.hydrate_within(&tables.relations, limit) {
            self.graph.release(circuit.root);
            tables.relations.remove(relation);
            return Err(exhausted.into());
        }
        self.roots.insert(circuit.root);
        self.by_root.entry(circuit.root).or_default().push(id);
        self.by_key.insert(form.key.clone(), id);
        if let Some(shared) = &form.shared {
            self.own.insert(shared.clone());
        }
        let template = Template {
            tables: form.tables.clone(),
            key: form.key.clone(),
            circuit,
            parameters: parameters.map(|(relation, _)| relation),
            views: BTreeMap::new(),
            shared: form.shared.clone(),
        };
        self.templates.insert(id, template);
        Ok(id)
    }

    fn open_view(
        &mut self,
        template: u64,
        Form { query, tuple, minor, .. }: &Form,
        sql: &str,
        tables: &mut Tables,
        (lsn, limit): (Lsn, u64),
    ) -> Result<ViewId, RequestError> {
        if let Some(relation) = self.templates[&template].parameters {
            // The first tuple of a template that was hydrated elsewhere came with it.
            if parameters_of(relation, &mut tables.relations).get(tuple).is_none() {
                self.add_parameters(relation, tuple, &mut tables.relations, limit)?;
            }
        }
        let view = ViewId(self.next);
        self.next += 1;
        let entry = self.templates.get_mut(&template).expect("invariant: the template was just found");
        entry.views.insert(tuple.clone(), view);
        let Circuit { root, prefix } = entry.circuit;
        let order = query.order.iter().map(|key| KeyColumn {
            column: key.column,
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
        let error = self.graph.error(root, tuple).cloned();
        let reads_budgets = self.templates[&template].tables.contains(&BUDGETS);
        let of_tuple = tuple.heap_bytes() - Row::empty().heap_bytes();
        let bytes = self
            .graph
            .arranged(root, &tuple[..prefix])
            .into_iter()
            .map(|(row, weight)| (row.heap_bytes() - of_tuple + ENTRY_BYTES) * weight as usize)
            .sum();
        self.bytes += bytes;
        self.by_id.insert(
            view,
            View {
                template,
                tuple: tuple.clone(),
                sql: sql.to_owned(),
                columns: query.columns.clone(),
                order: order.collect(),
                minor: *minor,
                subscribers: BTreeMap::new(),
                names: BTreeSet::new(),
                ring: VecDeque::new(),
                ring_rows: 0,
                // Who has a cookie from before an error may have the rows from before it, which are not known.
                // Budgets as they stand are not in the log: what a client had of them before is not known either.
                since: if error.is_some() || reads_budgets { lsn.next() } else { lsn },
                error,
                withheld: ZSet::default(),
                added_up: 0,
                life: Life::Ephemeral,
                bytes,
                updates: 0,
            },
        );
        Ok(view)
    }

    /// Inserts a tuple whose way to the circuits is still to come.
    pub(crate) fn insert_tuple(&mut self, tuple: &Tuple, tables: &mut Tables) {
        tuple.insert(tables);
        self.is_back(tuple.relation, &tuple.values);
    }

    /// A tuple that went has come back: the commits to follow keep it.
    fn is_back(&mut self, relation: RelationId, tuple: &Row) {
        self.gone.retain(|(other, gone)| *other != relation || gone.as_ref() != Some(tuple));
    }

    /// Inserts a tuple of a parameter relation: the circuits of its template run, and no others.
    fn add_parameters(
        &mut self,
        relation: RelationId,
        tuple: &Row,
        relations: &mut Relations,
        limit: u64,
    ) -> Result<(), Exhausted> {
        let before = relations.clone();
        parameters_of(relation, relations).insert(tuple);
        self.is_back(relation, tuple);
        let change = ZSet::from_iter([(tuple.clone(), 1)]);
        let changes = [(relation, change)];
        self.graph.step_within(&before, relations, changes, &BTreeSet::new(), limit).map(drop).inspect_err(
            |_| {
                parameters_of(relation, relations).remove(tuple);
            },
        )
    }

    /// Removes one.
    fn remove_parameters(&mut self, relation: RelationId, tuple: &Row, relations: &mut Relations) {
        let before = relations.clone();
        parameters_of(relation, relations).remove(tuple);
        let change = ZSet::from_iter([(tuple.clone(), -1)]);
        self.graph.step(&before, relations, [(relation, change)], &BTreeSet::new());
    }

    /// Whether a live query reads a table.
    pub(crate) fn reads(&self, table: TableId) -> bool {
        self.templates.values().any(|template| template.tables.contains(&table))
    }

    /// Whether a large query is being computed, or is to be.
    pub(crate) fn is_hydrating(&self) -> bool {
        self.hydrating.is_busy()
    }

    /// The bytes of all results and of what the circuits keep to compute them.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.max(self.graph.held_bytes())
    }

    /// When the next view's time is over.
    pub(crate) fn wake_at(&self) -> Option<Now> {
        self.idle.wake_at()
    }

    /// Sets when results are computed anew and not advanced row by row.
    pub(crate) fn set_breaker(&mut self, breaker: Breaker) {
        self.breaker = breaker;
    }

    /// Sets what is done at once.
    pub(crate) fn set_slice(&mut self, slice: Slice) {
        self.slice = slice;
    }

    /// How many subscriptions wait for a hydration.
    pub(crate) fn waiting(&self) -> usize {
        self.hydrating.waiting()
    }

    /// Sets how much memory results may take, from now on.
    pub(crate) fn set_memory(&mut self, memory: MemoryLimits) {
        self.memory = memory;
    }

    /// What became of views.
    pub(crate) fn lives(&self) -> Lives {
        self.lives
    }

    /// How commits were brought to the live queries.
    pub(crate) fn advances(&self) -> Advances {
        self.advances
    }

    /// Whether nothing is left of any live query.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
            && self.templates.is_empty()
            && self.graph.is_empty()
            && self.hydrating.is_empty()
    }
}

fn parameters_of(relation: RelationId, relations: &mut Relations) -> &mut Relation {
    relations.get_mut(relation).expect("invariant: a template has its relation")
}

//! [`Views`]: the live queries: templates with their circuits, and a view for each parameter tuple.
//!
//! A subscription is a row of its template's parameter relation; subscribing inserts it, and hydration is
//! that row's delta. Invariant: a view is watched, named, or idle with a time to live; a template has a view, and a
//! circuit has a template.

mod advance;
mod following;
mod form;
mod hydration;
mod named;
mod status;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use deltaic_dataflow::{
    Breaker, ENTRY_BYTES, Exhausted, Graph, KeyColumn, NodeId, Relation, RelationId, Relations, ZSet,
};
use deltaic_query::lower::{Circuit, lower};
use deltaic_storage::Store;
use deltaic_types::{DatabaseId, Lsn, Row, TableId, limits};

pub use following::{Followed, Following};
use form::{Form, TemplateKey};
use hydration::Hydrating;
pub(crate) use hydration::{Arrived, Waiting};
pub use hydration::{Hydrated, Hydration};
pub use status::{Advances, Lives, ViewStatus};
use view::{Subscriber, View, without_result};

use crate::{
    cookie::Cookie,
    effects::{Message, News, Snapshot},
    error::RequestError,
    input::{ClientId, Now, Subscribe, SubscriptionId},
    life::{Idle, Life},
    parameters::Given,
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

/// What is done before the next input, and not beside the inputs that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The rows of the tables of a live query that is computed for the first time.
    pub rows: usize,
    /// The rows that a request reads from end to end.
    pub scans: u64,
    /// The rows that the joins of a query visit.
    pub visits: u64,
    /// The rows that a request writes.
    pub writes: usize,
    /// The work of bringing a commit to the live queries, in probes and rows.
    pub units: u64,
}

impl Slice {
    /// Nothing that may be done beside.
    pub const NONE: Self = Self { rows: 0, scans: 0, visits: 0, writes: 0, units: 0 };
    /// All of it.
    pub const WHOLE: Self = Self {
        rows: usize::MAX,
        scans: u64::MAX,
        visits: limits::JOINED_ROWS,
        writes: usize::MAX,
        units: u64::MAX,
    };
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            rows: limits::SLICE_ROWS,
            scans: limits::SLICE_ROWS as u64,
            visits: limits::SLICE_VISITS,
            writes: limits::SLICE_WRITES,
            units: limits::SLICE_UNITS,
        }
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

    /// The first message of a subscription to a view that was just opened: a snapshot, or what is missing since the
    /// cookie; or why there is none.
    pub(crate) fn subscribe(
        &mut self,
        subscribe: &Subscribe,
        opened: Result<ViewId, RequestError>,
        place: &Place<'_>,
    ) -> Vec<Message> {
        match opened {
            Ok(view) => {
                let id = (subscribe.client, subscribe.subscription);
                self.subscriptions.insert(id, view);
                self.first(view, id, (subscribe.resume, subscribe.life), place)
            }
            Err(error) => vec![Message {
                client: subscribe.client,
                subscription: subscribe.subscription,
                view: None,
                news: News::Error { error: Arc::new(error), cookie: None },
            }],
        }
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
                since: if error.is_some() { lsn.next() } else { lsn },
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

    /// The first message of a subscription.
    fn first(
        &mut self,
        view: ViewId,
        id: (ClientId, SubscriptionId),
        (resume, life): (Option<Cookie>, Life),
        place: &Place<'_>,
    ) -> Vec<Message> {
        let entry = self.by_id.get_mut(&view).expect("invariant: the view was just opened");
        self.idle.take(view);
        entry.life = if entry.subscribers.is_empty() { life } else { entry.life.max(life) };
        let cookie = Cookie { database: place.database, lsn: place.lsn, minor: entry.minor };
        let message = |news| Message { client: id.0, subscription: id.1, view: Some(view), news };
        let mut subscriber = Subscriber { has_result: true };
        let resumable = resume.filter(|resume| {
            resume.database == cookie.database
                && resume.minor == cookie.minor
                && entry.error.is_none()
                && (entry.since..=place.lsn).contains(&resume.lsn)
        });
        let messages = match (resumable, &entry.error) {
            (Some(resume), _) => {
                let missed: Vec<Message> = entry
                    .ring
                    .iter()
                    .filter(|change| change.cookie.lsn > resume.lsn)
                    .map(|change| message(News::Change(Arc::clone(change))))
                    .collect();
                if missed.is_empty() { vec![message(News::Current(cookie))] } else { missed }
            }
            (None, Some(error)) => {
                subscriber.has_result = false;
                let error = Arc::new(RequestError::Evaluation(error.clone()));
                vec![message(News::Error { error, cookie: Some(without_result(cookie)) })]
            }
            (None, None) => {
                vec![message(News::Snapshot(Arc::new(self.snapshot(view, cookie))))]
            }
        };
        let entry = self.by_id.get_mut(&view).expect("invariant: the view was just opened");
        entry.subscribers.insert(id, subscriber);
        messages
    }

    fn snapshot(&self, view: ViewId, cookie: Cookie) -> Snapshot {
        let view = &self.by_id[&view];
        let circuit = self.templates[&view.template].circuit;
        let prefix = &view.tuple[..circuit.prefix];
        let mut rows = Vec::new();
        for (row, weight) in self.graph.arranged(circuit.root, prefix) {
            let row: Row = row[circuit.prefix..].iter().cloned().collect();
            rows.extend(std::iter::repeat_n(row, weight as usize));
        }
        Snapshot { columns: view.columns.clone(), order: view.order.clone(), rows, cookie }
    }

    /// Ends a subscription. The view stays for a while.
    pub(crate) fn unsubscribe(&mut self, id: (ClientId, SubscriptionId), now: Now) {
        let Some(view) = self.subscriptions.remove(&id) else {
            return self.hydrating.forget(|waiting| (waiting.client, waiting.subscription) == id);
        };
        let entry = self.by_id.get_mut(&view).expect("invariant: a subscription has its view");
        entry.subscribers.remove(&id);
        if entry.subscribers.is_empty() && entry.names.is_empty() {
            self.idle.put(view, entry.life, now, entry.bytes);
        }
    }

    /// Ends all subscriptions of a client.
    pub(crate) fn disconnect(&mut self, client: ClientId, now: Now) {
        let first = (client, SubscriptionId(0));
        let last = (client, SubscriptionId(u64::MAX));
        let ended: Vec<_> = self.subscriptions.range(first..=last).map(|(id, _)| *id).collect();
        for id in ended {
            self.unsubscribe(id, now);
        }
        self.hydrating.forget(|waiting| waiting.client == client);
    }

    /// Drops the views whose time is over, and of those that nobody watches the first left while they are too many
    /// or too large. No commit is in flight, so there is no snapshot of the tables any more: what was kept for the sake
    /// of snapshots goes.
    pub(crate) fn expire(&mut self, now: Now, tables: &mut Tables) {
        while let Some(view) = self.idle.over(now) {
            self.lives.expired += 1;
            self.idle.take(view);
            self.close(view, tables);
        }
        while self.idle.len() > limits::IDLE_VIEWS
            || self.idle.bytes() > self.memory.idle
            || self.held_bytes() > self.memory.views
        {
            let Some(view) = self.idle.first_left() else { break };
            self.evict(view, tables);
        }
        self.gone.clear();
        tables.relations.settle();
    }

    /// The bytes of all results and of what the circuits keep to compute them.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.max(self.graph.held_bytes())
    }

    fn evict(&mut self, view: ViewId, tables: &mut Tables) {
        self.lives.evicted += 1;
        self.idle.take(view);
        self.close(view, tables);
    }

    /// Ends the views that the last commit made too large.
    pub(crate) fn end_overgrown(&mut self, tables: &mut Tables) -> Vec<Message> {
        let mut messages = Vec::new();
        for view in std::mem::take(&mut self.overgrown) {
            let bytes = self.by_id[&view].bytes;
            let error = RequestError::ViewTooLarge { bytes, limit: self.memory.view };
            let news = News::Error { error: Arc::new(error), cookie: None };
            self.lives.refused += 1;
            self.end(view, &news, &mut messages);
            self.close(view, tables);
        }
        messages
    }

    /// Tells a view's subscribers that it ends, and forgets them.
    fn end(&mut self, view: ViewId, news: &News, messages: &mut Vec<Message>) {
        self.idle.take(view);
        let entry = self.by_id.get_mut(&view).expect("invariant: a view that ends is there");
        entry.tell(view, news, |_| true, messages);
        for id in std::mem::take(&mut entry.subscribers).into_keys() {
            self.subscriptions.remove(&id);
        }
    }

    /// When the next view's time is over.
    pub(crate) fn wake_at(&self) -> Option<Now> {
        self.idle.wake_at()
    }

    fn close(&mut self, id: ViewId, tables: &mut Tables) {
        let view = self.forget(id);
        let template = self.templates.get_mut(&view.template).expect("invariant: a view has its template");
        template.views.remove(&view.tuple);
        let (parameters, is_last) = (template.parameters, template.views.is_empty());
        if is_last {
            self.close_template(view.template, tables);
        } else if let Some(relation) = parameters {
            self.remove_parameters(relation, &view.tuple, &mut tables.relations);
            self.gone.push((relation, Some(view.tuple)));
        }
    }

    fn forget(&mut self, id: ViewId) -> View {
        let view = self.by_id.remove(&id).expect("invariant: a view that is closed is there");
        for name in &view.names {
            self.named.remove(name);
        }
        self.bytes -= view.bytes;
        view
    }

    fn close_template(&mut self, id: u64, tables: &mut Tables) {
        let template = self.templates.remove(&id).expect("invariant: a template is closed once");
        self.by_key.remove(&template.key);
        if let Some(shared) = template.shared {
            self.own.remove(&shared);
        }
        let root = template.circuit.root;
        let sharers = self.by_root.get_mut(&root).expect("invariant: a root has its templates");
        sharers.retain(|other| *other != id);
        if sharers.is_empty() {
            self.by_root.remove(&root);
            self.roots.remove(&root);
        }
        self.graph.release(root);
        if let Some(relation) = template.parameters {
            tables.relations.remove(relation);
            self.gone.push((relation, None));
        }
    }

    /// Ends the live queries over tables that `after` has no more.
    pub(crate) fn drop_tables(&mut self, tables: &mut Tables, after: &Tables) -> Vec<Message> {
        if tables.has_catalog_of(after) {
            return Vec::new();
        }
        let gone: Vec<u64> = self
            .templates
            .iter()
            .filter(|(_, template)| template.tables.iter().any(|table| after.catalog().get(*table).is_none()))
            .map(|(id, _)| *id)
            .collect();
        let mut messages = Vec::new();
        for id in gone {
            let views: Vec<ViewId> = self.templates[&id].views.values().copied().collect();
            for view in views {
                let news = News::Error { error: Arc::new(RequestError::TableDropped), cookie: None };
                self.end(view, &news, &mut messages);
                self.forget(view);
            }
            self.close_template(id, tables);
        }
        messages
    }

    /// Drops the parameters that have gone since a snapshot was taken. Cost: those that have.
    pub(crate) fn retain_parameters(&self, tables: &mut Tables) {
        for (id, tuple) in &self.gone {
            let Some(tuple) = tuple else {
                tables.relations.remove(*id);
                continue;
            };
            if tables.relations.get(*id).is_some_and(|relation| relation.get(tuple).is_some()) {
                parameters_of(*id, &mut tables.relations).remove(tuple);
            }
        }
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

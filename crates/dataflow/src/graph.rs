//! [`Graph`]: the one graph in which all circuits live.
//!
//! Nodes are hash-consed: an operator that is there already is shared, so two queries with a common part
//! share it. A node is removed when nothing refers to it. A step runs only the nodes whose inputs changed,
//! each once, in the order of their numbers.
//!
//! Invariant: after a step every stateful node holds the integral of its input over the relations as they are
//! after the change; a node hydrated later holds the same as if it had been there from the start.

mod held;
mod hydrate;
mod recompute;
mod rounds;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use deltaic_types::Row;
use held::Held;

use crate::{
    aggregate::Groups,
    budget::{Budget, Exhausted},
    index::{Index, KeyColumn},
    join::{Join, JoinInput, Probe},
    operator::{NodeId, Operator},
    recurse::Recursion,
    relation::{Relation, RelationId, Relations},
    set_operation::Sides,
    temporal::Upcoming,
    zset::{Batch, Errors, Weight, ZSet},
};

/// What a probe costs, in visited rows.
const PROBE: usize = 4;

/// The rows that an input of unknown size is taken to have.
const UNKNOWN: usize = 1 << 20;

/// The circuits of one engine.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: BTreeMap<NodeId, Node>,
    by_operator: BTreeMap<Operator, NodeId>,
    /// The nodes that have no state yet.
    fresh: BTreeSet<NodeId>,
    /// The nodes that nothing refers to yet.
    idle: BTreeSet<NodeId>,
    next: u32,
    probes: Cell<u64>,
    visited: Cell<u64>,
    /// Rows that steps read and gave out.
    rows: u64,
    budget: Budget,
    /// The nodes that the clock moves.
    temporal: BTreeSet<NodeId>,
    /// The bytes of all states.
    held: usize,
}

#[derive(Debug, Clone)]
struct Node {
    operator: Operator,
    state: State,
    /// The integral of the errors that a stateful node gave out.
    errors: Errors,
    /// The nodes that read this one, each once.
    consumers: BTreeSet<NodeId>,
    /// Consumers and holders.
    references: usize,
    /// Whether it depends on the feedback of a recursion that it is inside of.
    recursive: bool,
    work: Work,
    held: Held,
    /// Of an input: the work of all steps that its changes took part in.
    followed: u64,
}

#[derive(Debug, Clone)]
enum State {
    None,
    Arrange(Arrangement),
    Aggregate(Groups),
    Distinct(Index),
    Sides(Sides),
    TopK(Index),
    Recurse(Recursion),
    Window(Index),
    Temporal(Upcoming),
}

impl State {
    /// The state of an operator over nothing.
    fn of(operator: &Operator) -> Self {
        match operator {
            Operator::Arrange { key, .. } => {
                Self::Arrange(Arrangement { now: Index::new(key.as_slice()), before: None })
            }
            Operator::Corner { edges, .. } => {
                Self::Arrange(Arrangement { now: Index::new([]).with_corner(*edges), before: None })
            }
            Operator::Aggregate(_) => Self::Aggregate(Groups::default()),
            Operator::Distinct { .. } => Self::Distinct(Index::new([])),
            Operator::SetOperation(_) => Self::Sides(Sides::default()),
            Operator::TopK(top_k) => Self::TopK(top_k.state()),
            Operator::Recurse(_) => Self::Recurse(Recursion::default()),
            Operator::Window(window) => Self::Window(window.state()),
            Operator::Temporal(_) => Self::Temporal(Upcoming::default()),
            _ => Self::None,
        }
    }
}

/// The integral of a stream of rows.
#[derive(Debug, Clone)]
struct Arrangement {
    now: Index,
    /// The integral before the running step, while one runs and a consumer wants it.
    before: Option<Index>,
}

/// What a node has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Steps in which it ran.
    pub steps: u64,
    /// Entries it read.
    pub rows_in: u64,
    /// Entries it gave out.
    pub rows_out: u64,
    /// Index probes it made.
    pub probes: u64,
    /// Rows that these found, whatever became of them.
    pub visited: u64,
}

/// Which side of the running step an integral is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// The integrals that joins probe: the relations' indexes and the arrangements.
pub(crate) struct Integrals<'a> {
    graph: &'a Graph,
    before: &'a Relations,
    after: &'a Relations,
}

impl<'a> Integrals<'a> {
    pub(crate) fn index(&self, source: NodeId, key: &[KeyColumn], side: Side) -> &'a Index {
        let node = &self.graph.nodes[&source];
        match (&node.operator, &node.state) {
            (Operator::Input(relation), _) => {
                let relations = if side == Side::Before { self.before } else { self.after };
                let relation = relations.get(*relation).expect("invariant: an input's relation is there");
                relation.index(key).expect("invariant: a join's indexes were made when it was added")
            }
            (_, State::Arrange(arrangement)) => {
                assert!(arrangement.now.key().starts_with(key), "a join probes an arrangement by its key");
                match (side, &arrangement.before) {
                    (Side::Before, Some(before)) => before,
                    _ => &arrangement.now,
                }
            }
            _ => unreachable!("invariant: a join reads inputs and arrangements"),
        }
    }

    /// Takes a row of the budget; false ends the join, whose output nobody will use.
    pub(crate) fn spend(&self) -> bool {
        self.graph.budget.spend()
    }

    /// Takes the bytes of a row that was made.
    pub(crate) fn make(&self, row: &Row) -> bool {
        self.graph.budget.make(row)
    }

    pub(crate) fn count_visits(&self, rows: u64) {
        self.graph.visited.set(self.graph.visited.get() + rows);
    }

    pub(crate) fn count_probe(&self) {
        self.graph.probes.set(self.graph.probes.get() + 1);
    }
}

/// A node as a drawing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The node.
    pub id: NodeId,
    /// What it computes.
    pub operator: Operator,
    /// The entries of its state.
    pub rows: usize,
    /// The bytes of its state.
    pub bytes: usize,
    /// Consumers and holders.
    pub references: usize,
    /// What it has done.
    pub work: Work,
}

impl Graph {
    /// The node of an operator: the one that is there, or a new one without state yet.
    ///
    /// The node stays as long as another node or a holder ([`Graph::hold`]) refers to it; one that nothing
    /// refers to goes with the next [`Graph::collect`].
    pub fn add(&mut self, operator: Operator) -> NodeId {
        if let Some(id) = self.by_operator.get(&operator) {
            return *id;
        }
        let id = NodeId(self.next);
        self.next += 1;
        let mut recursive = matches!(operator, Operator::Feedback(_));
        for input in operator.inputs() {
            let node = self.nodes.get_mut(&input).expect("invariant: inputs are added first");
            recursive |= node.recursive && !matches!(operator, Operator::Recurse(_));
            if node.consumers.insert(id) {
                node.references += 1;
                self.idle.remove(&input);
            }
        }
        let state = State::of(&operator);
        if let Operator::Temporal(_) = operator {
            self.temporal.insert(id);
        }
        self.by_operator.insert(operator.clone(), id);
        let node = Node {
            operator,
            state,
            errors: Errors::default(),
            consumers: BTreeSet::new(),
            references: 0,
            recursive,
            work: Work::default(),
            held: Held::default(),
            followed: 0,
        };
        self.nodes.insert(id, node);
        self.fresh.insert(id);
        self.idle.insert(id);
        id
    }

    /// What a node computes.
    pub fn operator(&self, id: NodeId) -> &Operator {
        &self.nodes[&id].operator
    }

    /// Keeps a node.
    pub fn hold(&mut self, id: NodeId) {
        self.node_mut(id).references += 1;
        self.idle.remove(&id);
    }

    /// Gives up a node that was held, and with it what only it referred to.
    pub fn release(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.references = node.references.checked_sub(1).expect("invariant: a release follows a hold");
        if node.references == 0 {
            self.remove(id);
        }
    }

    /// Removes nodes that nothing refers to: what is left of a circuit that was given up half-built. Cost: these nodes.
    pub fn collect(&mut self) {
        for id in std::mem::take(&mut self.idle) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: NodeId) {
        let mut idle = vec![id];
        while let Some(id) = idle.pop() {
            let Some(node) = self.nodes.remove(&id) else { continue };
            self.forget(&node);
            self.temporal.remove(&id);
            self.by_operator.remove(&node.operator);
            self.fresh.remove(&id);
            self.idle.remove(&id);
            for input in node.operator.inputs().into_iter().collect::<BTreeSet<_>>() {
                let node = self.node_mut(input);
                node.consumers.remove(&id);
                node.references -= 1;
                if node.references == 0 {
                    idle.push(input);
                }
            }
        }
    }

    /// Whether a node depends on the clock. O(1).
    pub fn has_clock(&self) -> bool {
        !self.temporal.is_empty()
    }

    /// The next time at which the clock changes what a node gives out, in microseconds. O(nodes that it moves).
    pub fn next_change(&self) -> Option<i64> {
        let upcoming = self.temporal.iter().filter_map(|id| match &self.nodes[id].state {
            State::Temporal(upcoming) => upcoming.next(),
            _ => None,
        });
        upcoming.min()
    }

    /// The index probes that its joins have made.
    pub fn probes(&self) -> u64 {
        self.probes.get()
    }

    /// The rows that these probes found.
    pub fn visited(&self) -> u64 {
        self.visited.get()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The indexes that the joins among the new nodes probe: those of the others are there. Cost: the new nodes.
    pub fn required_indexes(&self) -> BTreeSet<(RelationId, Vec<KeyColumn>)> {
        self.indexes(|join| (0..join.inputs.len()).collect())
    }

    /// The indexes that hydration and [`Graph::contents`] probe: enough for a graph that is never stepped.
    pub fn indexes_to_hydrate(&self, relations: &Relations) -> BTreeSet<(RelationId, Vec<KeyColumn>)> {
        self.indexes(|join| vec![self.start_of(join, relations)])
    }

    fn indexes(&self, starts: impl Fn(&Join) -> Vec<usize>) -> BTreeSet<(RelationId, Vec<KeyColumn>)> {
        let mut required = BTreeSet::new();
        let mut need = |source: NodeId, key: &[KeyColumn]| {
            if let Operator::Input(relation) = self.nodes[&source].operator {
                required.insert((relation, key.to_vec()));
            }
        };
        for id in &self.fresh {
            match &self.nodes[id].operator {
                Operator::Join(join) => {
                    for probe in starts(join).into_iter().flat_map(|start| &join.paths[start].probes) {
                        need(probe.integral, &probe.index);
                    }
                }
                Operator::MatchJoin(join) => {
                    need(join.left.source, &join.left_key);
                    need(join.right.source, &join.right_key);
                }
                _ => {}
            }
        }
        required
    }

    /// The input from which a join is computed from nothing: the smallest whose size is known. Where some input is not
    /// found by an index but read for each row of the others, the rows visited on the way decide, and what an input's
    /// own conditions leave of it counts. A search is taken to find few rows: those of a template's live tuples.
    fn start_of(&self, join: &Join, relations: &Relations) -> usize {
        // Inside a recursion only the feedback's rounds compute anything: from nothing it is empty.
        if let Some(place) = join.inputs.iter().position(|input| self.nodes[&input.source].recursive) {
            return place;
        }
        let size = |input: &JoinInput| match &self.nodes[&input.source].operator {
            Operator::Input(relation) => relations.get(*relation).map_or(0, Relation::len),
            Operator::Constant(rows) => rows.len(),
            _ => usize::MAX,
        };
        let admitted = |input: &JoinInput| match &self.nodes[&input.source].operator {
            Operator::Input(relation) if !input.filter.is_empty() => relations
                .get(*relation)
                .map_or(0, |relation| relation.primary().iter().filter(|(row, _)| input.admits(row)).count()),
            _ => size(input),
        };
        let least = |size: &dyn Fn(&JoinInput) -> usize| {
            let sizes = join.inputs.iter().map(size);
            sizes.enumerate().min_by_key(|(_, size)| *size).map_or(0, |(place, _)| place)
        };
        let reads_all = |probe: &Probe| probe.index.is_empty() && probe.search.is_none();
        let start = least(&size);
        if !join.paths[start].probes.iter().any(reads_all) {
            return start;
        }
        let first = least(&admitted);
        let rows: Vec<usize> = join.inputs.iter().map(|input| admitted(input).min(UNKNOWN)).collect();
        let visits = |place: usize| {
            let (mut visits, mut bound) = (0_usize, rows[place]);
            for probe in &join.paths[place].probes {
                let found = if reads_all(probe) { rows[probe.input] } else { 1 };
                visits = visits.saturating_add(bound.saturating_mul(PROBE.saturating_add(found)));
                bound = bound.saturating_mul(found);
            }
            (visits.saturating_add(rows[place]), place != first)
        };
        let known = (0..rows.len()).filter(|place| size(&join.inputs[*place]) < usize::MAX);
        known.min_by_key(|place| visits(*place)).unwrap_or(first)
    }

    /// Runs one step of `Q^Δ = D ∘ Q ∘ I`: gives every node that the changes reach its change, and returns those of `watched`.
    ///
    /// `before` and `after` are the relations on both sides of the changes, which are consolidated.
    pub fn step(
        &mut self,
        before: &Relations,
        after: &Relations,
        changes: impl IntoIterator<Item = (RelationId, ZSet)>,
        watched: &BTreeSet<NodeId>,
    ) -> BTreeMap<NodeId, Batch> {
        let limit = u64::MAX;
        let outputs = self.step_within(before, after, changes, watched, limit);
        outputs.expect("invariant: this budget is never used up")
    }

    /// The same, if the joins visit so many rows at most. Otherwise all nodes are as they were.
    pub fn step_within(
        &mut self,
        before: &Relations,
        after: &Relations,
        changes: impl IntoIterator<Item = (RelationId, ZSet)>,
        watched: &BTreeSet<NodeId>,
        limit: u64,
    ) -> Result<BTreeMap<NodeId, Batch>, Exhausted> {
        self.budget.begin(limit.into());
        let mut deltas: BTreeMap<NodeId, Batch> = BTreeMap::new();
        let mut pending: BTreeSet<NodeId> = BTreeSet::new();
        let mut arranged: Vec<NodeId> = Vec::new();
        let mut changed: Vec<NodeId> = Vec::new();
        for (relation, rows) in changes {
            if let Some(id) = self.by_operator.get(&Operator::Input(relation)).copied() {
                if !rows.is_empty() {
                    changed.push(id);
                    let node = self.node_mut(id);
                    node.work.steps += 1;
                    node.work.rows_out += rows.len() as u64;
                    pending.extend(&node.consumers);
                    deltas.insert(id, Batch::of(rows));
                }
            }
        }
        let work_before = self.rows + self.probes.get();
        // States are copy-on-write: keeping one costs nothing until it is changed.
        let mut kept: Vec<(NodeId, State, Errors)> = Vec::new();
        let mut outcome = Ok(());
        while let Some(id) = pending.pop_first() {
            if limit < u64::MAX {
                for id in self.changed_by(id) {
                    let node = &self.nodes[&id];
                    kept.push((id, node.state.clone(), node.errors.clone()));
                }
            }
            let (output, rows_in) = self.run(id, &deltas, before, after, &mut arranged);
            if let Some(exhausted) = self.budget.exhausted(limit) {
                outcome = Err(exhausted);
                break;
            }
            if let Some(consumers) = self.count(id, rows_in, &output) {
                pending.extend(consumers);
                deltas.insert(id, output);
            }
        }
        if outcome.is_err() {
            // A node of a recursion may have been kept twice; the first time counts.
            for (id, state, errors) in std::mem::take(&mut kept).into_iter().rev() {
                let node = self.node_mut(id);
                (node.state, node.errors) = (state, errors);
                self.measure(id);
            }
        }
        drop(kept);
        self.settle(arranged);
        let work = self.rows + self.probes.get() - work_before;
        for id in changed {
            self.node_mut(id).followed += work;
        }
        self.budget = Budget::default();
        deltas.retain(|id, _| watched.contains(id));
        outcome.map(|()| deltas)
    }

    /// Forgets the integrals from before a step or a round.
    fn settle(&mut self, arranged: Vec<NodeId>) {
        for id in arranged {
            if let State::Arrange(arrangement) = &mut self.node_mut(id).state {
                arrangement.before = None;
                arrangement.now.settle();
            }
        }
    }

    /// Counts what a node has done, and gives the nodes that its output goes to.
    fn count(&mut self, id: NodeId, rows_in: usize, output: &Batch) -> Option<&BTreeSet<NodeId>> {
        self.rows += rows_in as u64 + output.rows.len() as u64;
        let node = self.node_mut(id);
        node.work.steps += 1;
        node.work.rows_in += rows_in as u64;
        node.work.rows_out += output.rows.len() as u64;
        if output.is_empty() { None } else { Some(&node.consumers) }
    }

    fn run(
        &mut self,
        id: NodeId,
        deltas: &BTreeMap<NodeId, Batch>,
        before: &Relations,
        after: &Relations,
        arranged: &mut Vec<NodeId>,
    ) -> (Batch, usize) {
        let node = &self.nodes[&id];
        let rows_in = node.operator.read(deltas);
        let delta = |input: NodeId| deltas.get(&input);
        let integrals = Integrals { graph: self, before, after };
        let (probes, visited) = (self.probes.get(), self.visited.get());
        let output = match &node.operator {
            Operator::Input(_) | Operator::Constant(_) | Operator::Feedback(_) => Batch::default(),
            Operator::Recurse(spec) => {
                let spec = spec.clone();
                let empty = Batch::default();
                let changes = (delta(spec.base).unwrap_or(&empty), delta(spec.step).unwrap_or(&empty));
                let State::Recurse(mut recursion) =
                    std::mem::replace(&mut self.node_mut(id).state, State::None)
                else {
                    unreachable!("invariant: a node's state is its operator's")
                };
                let output = self.recurse(&spec, &mut recursion, changes, after, arranged).consolidated();
                let node = self.node_mut(id);
                node.state = State::Recurse(recursion);
                node.errors.add(&output.errors);
                self.measure(id);
                return (output, rows_in);
            }
            Operator::Map(map) => {
                delta(map.input).map(|batch| map.apply(batch, &self.budget)).unwrap_or_default()
            }
            Operator::Unnest(unnest) => {
                delta(unnest.input).map(|batch| unnest.apply(batch)).unwrap_or_default()
            }
            Operator::Join(join) => join.step(delta, &integrals),
            Operator::MatchJoin(join) => join.step(delta, &integrals),
            Operator::Union { inputs } => {
                let mut output = Batch::default();
                for batch in inputs.iter().filter_map(|input| delta(*input)) {
                    output.extend(batch.clone());
                }
                output
            }
            Operator::Negate { input } => delta(*input).cloned().unwrap_or_default().negated(),
            Operator::Arrange { .. }
            | Operator::Corner { .. }
            | Operator::Aggregate(_)
            | Operator::Distinct { .. }
            | Operator::SetOperation(_)
            | Operator::TopK(_)
            | Operator::Window(_)
            | Operator::Temporal(_) => {
                let clock = (before, after);
                return (self.run_stateful(id, deltas, clock, arranged), rows_in);
            }
        };
        let (made, found) = (self.probes.get() - probes, self.visited.get() - visited);
        let work = &mut self.node_mut(id).work;
        work.probes += made;
        work.visited += found;
        (output.consolidated(), rows_in)
    }

    fn run_stateful(
        &mut self,
        id: NodeId,
        deltas: &BTreeMap<NodeId, Batch>,
        (before, after): (&Relations, &Relations),
        arranged: &mut Vec<NodeId>,
    ) -> Batch {
        let node = self.nodes.get_mut(&id).expect("invariant: a pending node is there");
        let empty = Batch::default();
        let delta = |input: &NodeId| deltas.get(input).unwrap_or(&empty);
        let output = match (&node.operator, &mut node.state) {
            (
                Operator::Arrange { input, .. } | Operator::Corner { input, .. },
                State::Arrange(arrangement),
            ) => {
                if !node.consumers.is_empty() {
                    arrangement.before = Some(arrangement.now.clone());
                    arranged.push(id);
                }
                let batch = delta(input).clone();
                arrangement.now.extend(&batch.rows);
                batch
            }
            (Operator::Aggregate(spec), State::Aggregate(groups)) => {
                let demands = spec.groups.as_ref().and_then(|groups| deltas.get(groups));
                groups.step(spec, deltas.get(&spec.input), demands).consolidated()
            }
            (Operator::Distinct { input }, State::Distinct(index)) => distinct(index, delta(input)),
            (Operator::SetOperation(spec), State::Sides(sides)) => {
                sides.step(spec.kind, deltas.get(&spec.left), deltas.get(&spec.right))
            }
            (Operator::TopK(spec), State::TopK(index)) => spec.step(index, delta(&spec.input)),
            (Operator::Window(spec), State::Window(index)) => spec.step(index, delta(&spec.input)),
            (Operator::Temporal(spec), State::Temporal(upcoming)) => {
                let clock = (clock_of(before), clock_of(after));
                spec.step(upcoming, deltas.get(&spec.input), clock).consolidated()
            }
            _ => unreachable!("invariant: a node's state is its operator's"),
        };
        node.errors.add(&output.errors);
        self.measure(id);
        output
    }

    /// The rows of an arrangement whose first key columns equal `prefix`, in the arrangement's order.
    pub fn arranged<'a>(&'a self, id: NodeId, prefix: &[deltaic_types::Value]) -> Vec<(&'a Row, Weight)> {
        self.arrangement(id).now.probe(prefix).collect()
    }

    /// The least error of an arrangement that spoils the results of the parameters `key`, if any does.
    pub fn error(&self, id: NodeId, key: &Row) -> Option<&deltaic_types::EvalError> {
        let errors = &self.nodes[&id].errors;
        errors.of(&Row::empty()).or_else(|| errors.of(key))
    }

    fn arrangement(&self, id: NodeId) -> &Arrangement {
        match &self.nodes[&id].state {
            State::Arrange(arrangement) => arrangement,
            _ => unreachable!("invariant: results are read from arrangements"),
        }
    }

    /// The nodes that a node is computed from, inputs first, itself last.
    pub fn describe(&self, root: NodeId) -> Vec<Description> {
        let mut reached = BTreeSet::from([root]);
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            for input in self.nodes[&id].operator.inputs() {
                if reached.insert(input) {
                    pending.push(input);
                }
            }
        }
        reached
            .into_iter()
            .map(|id| {
                let node = &self.nodes[&id];
                let (rows, bytes) = node.size();
                Description {
                    id,
                    operator: node.operator.clone(),
                    rows,
                    bytes,
                    references: node.references,
                    work: node.work,
                }
            })
            .collect()
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("invariant: a named node is there")
    }
}

impl Operator {
    /// How many entries of the step's changes the operator reads.
    fn read(&self, deltas: &BTreeMap<NodeId, Batch>) -> usize {
        let length = |input: &NodeId| deltas.get(input).map_or(0, |batch| batch.rows.len());
        match self {
            Self::Join(join) => join.inputs.iter().map(|input| length(&input.source)).sum(),
            _ => self.inputs().iter().map(length).sum(),
        }
    }
}

fn clock_of(relations: &Relations) -> i64 {
    relations.clock().expect("invariant: where a node depends on the clock there is one")
}

/// `distinct^Δ`: a row comes when its weight rises above zero and goes when it falls back.
fn distinct(index: &mut Index, change: &Batch) -> Batch {
    let mut output = Batch { errors: change.errors.clone(), ..Batch::default() };
    for (row, weight) in change.rows.clone() {
        let after = index.add(&row, weight);
        assert!(after >= 0, "a row is not retracted more often than it came");
        match (after - weight > 0, after > 0) {
            (false, true) => output.rows.push(row, 1),
            (true, false) => output.rows.push(row, -1),
            _ => {}
        }
    }
    output
}

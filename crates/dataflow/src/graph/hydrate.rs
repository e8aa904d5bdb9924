//! Hydration: the states of new nodes, computed from the relations as they are.
//!
//! Invariant: a node that was hydrated has the state that steps from empty relations to these would have given it.

use super::{Graph, Integrals, State, clock_of};
use crate::{
    budget::{Allowance, Budget, Exhausted},
    index::Index,
    operator::{NodeId, Operator},
    relation::Relations,
    zset::{Batch, ErrorRow, Weight},
};

impl Graph {
    /// Gives the new nodes their state from the relations as they are. Cost: the contents of their inputs.
    ///
    /// The relations must have the indexes that [`Graph::required_indexes`] names.
    pub fn hydrate(&mut self, relations: &Relations) {
        self.hydrate_within(relations, u64::MAX).expect("invariant: this budget is never used up");
    }

    /// The same, within an allowance. Beyond it the new nodes are of no use: remove them.
    pub fn hydrate_within(
        &mut self,
        relations: &Relations,
        allowance: impl Into<Allowance>,
    ) -> Result<(), Exhausted> {
        let allowance = allowance.into();
        let limit = allowance.visited;
        self.budget.begin(allowance);
        let fresh: Vec<NodeId> = self.fresh.iter().copied().collect();
        for id in fresh {
            let operator = self.nodes[&id].operator.clone();
            let contents = |graph: &Self, input| graph.contents(input, relations);
            let mut state = std::mem::replace(&mut self.node_mut(id).state, State::None);
            let errors = match (&operator, &mut state) {
                (Operator::Arrange { input, key }, State::Arrange(arrangement)) => {
                    let batch = contents(self, *input);
                    arrangement.now = Index::of(key.as_slice(), batch.rows);
                    batch.errors
                }
                (Operator::Corner { input, edges }, State::Arrange(arrangement)) => {
                    let batch = contents(self, *input);
                    arrangement.now = Index::of([], batch.rows).with_corner(*edges);
                    batch.errors
                }
                (Operator::Aggregate(spec), State::Aggregate(groups)) => {
                    let rows = contents(self, spec.input);
                    let demands = spec.groups.map(|groups| contents(self, groups));
                    groups.step(spec, Some(&rows), demands.as_ref()).errors
                }
                (Operator::Distinct { input }, State::Distinct(index)) => {
                    let batch = contents(self, *input);
                    *index = Index::of([], batch.rows);
                    batch.errors
                }
                (Operator::SetOperation(spec), State::Sides(sides)) => {
                    let (left, right) = (contents(self, spec.left), contents(self, spec.right));
                    sides.step(spec.kind, Some(&left), Some(&right)).errors
                }
                (Operator::TopK(spec), State::TopK(index)) => {
                    let batch = contents(self, spec.input);
                    *index = Index::of(index.key().to_vec(), batch.rows);
                    batch.errors
                }
                (Operator::Recurse(spec), State::Recurse(recursion)) => {
                    let (base, step) = (contents(self, spec.base), contents(self, spec.step));
                    self.recurse(spec, recursion, (&base, &step), relations, &[]).errors
                }
                (Operator::Temporal(spec), State::Temporal(upcoming)) => {
                    let output;
                    (*upcoming, output) = spec.hydrate(&contents(self, spec.input), clock_of(relations));
                    output.errors
                }
                (Operator::Window(spec), State::Window(index)) => {
                    let batch = contents(self, spec.input);
                    *index = Index::of(index.key().to_vec(), batch.rows);
                    [batch.errors, spec.contents(index).errors].concat()
                }
                _ => Vec::new(),
            };
            let exhausted = self.budget.exhausted(limit);
            let node = self.node_mut(id);
            node.state = state;
            node.errors.add(&errors);
            self.measure(id);
            self.fresh.remove(&id);
            if let Some(exhausted) = exhausted {
                return Err(exhausted);
            }
        }
        self.budget = Budget::default();
        Ok(())
    }

    /// Takes the states of the nodes beneath `root` that have none yet from those beneath another graph's node, which
    /// computes the same from the same relations. What has no twin there is left for [`Graph::hydrate`].
    pub fn adopt(&mut self, root: NodeId, mut other: Self, twin: NodeId) {
        let mut open = vec![(root, twin)];
        while let Some((id, twin)) = open.pop() {
            let Some(theirs) = other.nodes.remove(&twin) else { continue };
            let ours = self.nodes.get_mut(&id).expect("invariant: a named node is there");
            let (inputs, twins) = (ours.operator.inputs(), theirs.operator.inputs());
            if ours.operator.name() != theirs.operator.name() || inputs.len() != twins.len() {
                continue;
            }
            if !other.fresh.contains(&twin) && self.fresh.remove(&id) {
                (ours.state, ours.errors) = (theirs.state, theirs.errors);
                self.measure(id);
            }
            open.extend(inputs.into_iter().zip(twins));
        }
    }

    /// The whole collection of a node, computed from the relations and from states that are there.
    pub fn contents(&self, id: NodeId, relations: &Relations) -> Batch {
        let node = &self.nodes[&id];
        let integrals = Integrals { graph: self, before: relations, after: relations };
        match (&node.operator, &node.state) {
            (Operator::Input(relation), _) => {
                let relation = relations.get(*relation).expect("invariant: an input's relation is there");
                if !self.budget.scan(relation.len()) {
                    return Batch::default();
                }
                Batch::of(relation.primary().iter().map(|(row, weight)| (row.clone(), weight)).collect())
            }
            (Operator::Constant(rows), _) => Batch::of(rows.iter().map(|row| (row.clone(), 1)).collect()),
            // What the rounds of its recursion give to it they have given to all that read it.
            (Operator::Feedback(_), _) => Batch::default(),
            (Operator::Recurse(spec), State::Recurse(recursion)) => {
                Batch { rows: recursion.contents(spec), errors: node.errors.to_vec() }
            }
            (Operator::Map(map), _) => match self.lent(map.input, relations) {
                Some((index, errors)) if self.budget.scan(index.len()) => {
                    map.apply_to(index.iter(), errors, &self.budget)
                }
                Some(_) => Batch::default(),
                None => map.apply(&self.contents(map.input, relations), &self.budget),
            },
            (Operator::Unnest(unnest), _) => unnest.apply(&self.contents(unnest.input, relations)),
            (Operator::Arrange { .. } | Operator::Corner { .. }, State::Arrange(arrangement)) => Batch {
                rows: arrangement.now.iter().map(|(row, weight)| (row.clone(), weight)).collect(),
                errors: node.errors.to_vec(),
            },
            (Operator::Join(join), _) => {
                let mut output = Batch::default();
                // The rows of one input meet the integrals of the others; errors come from all.
                let start = self.start_of(join, relations);
                join.term(
                    start,
                    &self.contents(join.inputs[start].source, relations),
                    &integrals,
                    &mut output,
                );
                for (place, input) in join.inputs.iter().enumerate() {
                    if place != start {
                        output.errors.extend(self.errors_at(input.source, relations));
                    }
                }
                output
            }
            (Operator::MatchJoin(join), _) => {
                let mut output = Batch::default();
                join.left_term(&self.contents(join.left.source, relations), &integrals, &mut output);
                output.errors.extend(self.errors_at(join.right.source, relations));
                output
            }
            (Operator::Aggregate(_), State::Aggregate(groups)) => {
                Batch { rows: groups.rows(), errors: node.errors.to_vec() }
            }
            (Operator::Distinct { .. }, State::Distinct(index)) => Batch {
                rows: index.iter().map(|(row, _)| (row.clone(), 1)).collect(),
                errors: node.errors.to_vec(),
            },
            (Operator::Union { inputs }, _) => {
                let mut output = Batch::default();
                for input in inputs {
                    output.extend(self.contents(*input, relations));
                }
                output
            }
            (Operator::Negate { input }, _) => self.contents(*input, relations).negated(),
            (Operator::SetOperation(spec), State::Sides(sides)) => {
                Batch { rows: sides.rows(spec.kind), errors: node.errors.to_vec() }
            }
            (Operator::TopK(spec), State::TopK(index)) => {
                Batch { rows: spec.contents(index), errors: node.errors.to_vec() }
            }
            (Operator::Window(spec), State::Window(index)) => {
                Batch { errors: node.errors.to_vec(), ..spec.contents(index) }
            }
            (Operator::Temporal(spec), _) => {
                spec.contents(&self.contents(spec.input, relations), clock_of(relations))
            }
            _ => unreachable!("invariant: a node's state is its operator's"),
        }
    }

    /// The rows of a node where they stand in an index, and its errors.
    pub(super) fn lent<'a>(
        &'a self,
        id: NodeId,
        relations: &'a Relations,
    ) -> Option<(&'a Index, Vec<(ErrorRow, Weight)>)> {
        let node = &self.nodes[&id];
        match (&node.operator, &node.state) {
            (Operator::Input(relation), _) => Some((relations.get(*relation)?.primary(), Vec::new())),
            (_, State::Arrange(arrangement)) => Some((&arrangement.now, node.errors.to_vec())),
            _ => None,
        }
    }

    /// The errors of a node, without its rows where they need not be computed.
    pub(super) fn errors_at(&self, id: NodeId, relations: &Relations) -> Vec<(ErrorRow, Weight)> {
        let node = &self.nodes[&id];
        match (&node.operator, &node.state) {
            (Operator::Input(_) | Operator::Constant(_) | Operator::Feedback(_), _) => Vec::new(),
            (_, State::None) => self.contents(id, relations).errors,
            _ => node.errors.to_vec(),
        }
    }
}

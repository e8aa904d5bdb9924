//! The rounds of a recursion within a step: the nodes between the feedback and its [`Recurse`] run again and again.
//!
//! Invariant: before the first round every other node below the recursion has run. In a round only the feedback
//! changes, so on both sides of it the relations and all arrangements outside are what they are after the step; those
//! of nodes that depend on the feedback are kept on both sides of the round.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, State};
use crate::{
    index::Index,
    operator::{NodeId, Operator},
    recurse::{Recurse, Recursion, Rounds},
    relation::Relations,
    zset::{Batch, ZSet},
};

impl Graph {
    /// The node that closes the recursion of a feedback, where both are there.
    pub fn recursion(&self, feedback: &Operator) -> Option<NodeId> {
        let feedback = self.by_operator.get(feedback)?;
        let closes = |id: &&NodeId| matches!(&self.nodes[*id].operator, Operator::Recurse(spec) if spec.feedback == *feedback);
        self.nodes[feedback].consumers.iter().find(closes).copied()
    }

    /// A node, and for a recursion all nodes whose states its rounds change.
    pub(super) fn changed_by(&self, id: NodeId) -> Vec<NodeId> {
        let mut reached = BTreeSet::from([id]);
        if let Operator::Recurse(spec) = &self.nodes[&id].operator {
            let mut open = vec![spec.feedback];
            while let Some(next) = open.pop() {
                if reached.insert(next) {
                    open.extend(&self.nodes[&next].consumers);
                }
            }
        }
        reached.into_iter().collect()
    }

    /// Works a change of a recursion's base and step off. `arranged` are the arrangements that the running step has
    /// changed so far.
    pub(super) fn recurse(
        &mut self,
        spec: &Recurse,
        state: &mut Recursion,
        (base, step): (&Batch, &Batch),
        after: &Relations,
        arranged: &[NodeId],
    ) -> Batch {
        let befores: Vec<(NodeId, Index)> = arranged
            .iter()
            .filter_map(|id| match &mut self.node_mut(*id).state {
                State::Arrange(arrangement) => Some((*id, arrangement.before.take()?)),
                _ => None,
            })
            .collect();
        let mut rounds = Rounds::new(spec, state);
        rounds.take_base(base);
        rounds.take_step(step);
        while let Some(delta) = rounds.next_delta() {
            if delta.iter().any(|_| !self.budget.spend()) {
                break;
            }
            let derived = self.round(spec, delta, after);
            if self.budget.is_exhausted() {
                break;
            }
            rounds.take_step(&derived);
        }
        let output = rounds.finish();
        for (id, before) in befores {
            if let State::Arrange(arrangement) = &mut self.node_mut(id).state {
                arrangement.before = Some(before);
            }
        }
        output
    }

    /// Runs the step for a change of the feedback.
    fn round(&mut self, spec: &Recurse, delta: ZSet, after: &Relations) -> Batch {
        let feedback = self.node_mut(spec.feedback);
        feedback.work.steps += 1;
        feedback.work.rows_out += delta.len() as u64;
        let mut pending = feedback.consumers.clone();
        let mut deltas = BTreeMap::from([(spec.feedback, Batch::of(delta))]);
        let mut arranged = Vec::new();
        while let Some(id) = pending.pop_first() {
            if matches!(self.nodes[&id].operator, Operator::Recurse(_)) {
                continue;
            }
            let (output, rows_in) = self.run(id, &deltas, after, after, &mut arranged);
            if let Some(consumers) = self.count(id, rows_in, &output) {
                pending.extend(consumers);
                deltas.insert(id, output);
            }
        }
        self.settle(arranged);
        deltas.remove(&spec.step).unwrap_or_default()
    }
}

//! The other way to advance: the states that a change reaches are computed anew from the relations after it, and what
//! is given out is the difference of the results.
//!
//! Invariant: it leaves the same states and gives the same changes as a step. Which of both is less work is for
//! [`Breaker`] to say before either is begun.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, State};
use crate::{
    breaker::{Advance, Breaker},
    budget::Exhausted,
    operator::{NodeId, Operator},
    relation::{Relation, RelationId, Relations},
    zset::{Batch, Errors, ZSet},
};

/// What is assumed of a changed row's work before any was seen.
const UNITS_OF_A_ROW: u64 = 4;

impl Graph {
    /// Advances by a step or by computing anew, whichever the breaker expects to be less work.
    pub fn advance(
        &mut self,
        breaker: &Breaker,
        before: &Relations,
        after: &Relations,
        changes: impl IntoIterator<Item = (RelationId, ZSet)>,
        watched: &BTreeSet<NodeId>,
    ) -> (BTreeMap<NodeId, Batch>, Advance) {
        let changes: Vec<(RelationId, ZSet)> = changes.into_iter().collect();
        let rows: u64 = changes.iter().map(|(_, rows)| rows.len() as u64).sum();
        if rows >= breaker.least {
            let changed: Vec<RelationId> = changes.iter().map(|(relation, _)| *relation).collect();
            let reached = self.reached(&changed);
            let step = self.units(rows as usize, &changed);
            if !reached.is_empty() && breaker.trips(step, self.units_to_recompute(&reached, after)) {
                let outputs = self.recompute_within(&reached, after, watched, u64::MAX);
                return (outputs.expect("invariant: this budget is never used up"), Advance::Recomputed);
            }
        }
        (self.step(before, after, changes, watched), Advance::Stepped)
    }

    /// The work that is expected to follow so many changed rows of these relations.
    pub fn units(&self, rows: usize, changed: &[RelationId]) -> u64 {
        (rows as u64).saturating_mul(self.units_of_a_row(changed))
    }

    /// The mean work that followed a changed row of these relations so far.
    fn units_of_a_row(&self, changed: &[RelationId]) -> u64 {
        let inputs = changed.iter().filter_map(|relation| {
            let id = self.by_operator.get(&Operator::Input(*relation))?;
            Some(&self.nodes[id])
        });
        let (rows, units) = inputs
            .fold((0_u64, 0_u64), |(rows, units), node| (rows + node.work.rows_out, units + node.followed));
        if rows == 0 { UNITS_OF_A_ROW } else { units.div_ceil(rows).max(1) }
    }

    /// The rows of relations that the nodes would read.
    fn units_to_recompute(&self, reached: &BTreeSet<NodeId>, after: &Relations) -> u64 {
        let sources = reached.iter().flat_map(|id| self.nodes[id].operator.inputs());
        let length = |source: NodeId| match &self.nodes[&source].operator {
            Operator::Input(relation) => after.get(*relation).map_or(0, Relation::len) as u64,
            _ => 0,
        };
        sources.map(length).sum()
    }

    /// The nodes that a change of relations can reach, those that a reached recursion runs among them.
    fn reached(&self, changed: &[RelationId]) -> BTreeSet<NodeId> {
        let inputs = changed.iter().filter_map(|relation| self.by_operator.get(&Operator::Input(*relation)));
        let mut open: Vec<NodeId> = inputs.flat_map(|id| &self.nodes[id].consumers).copied().collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                open.extend(&self.nodes[&id].consumers);
                if let Operator::Recurse(_) = self.nodes[&id].operator {
                    open.extend(self.changed_by(id));
                }
            }
        }
        reached
    }

    /// Computes nodes anew, if the joins visit so many rows at most; otherwise all nodes are as they were.
    fn recompute_within(
        &mut self,
        reached: &BTreeSet<NodeId>,
        after: &Relations,
        watched: &BTreeSet<NodeId>,
        limit: u64,
    ) -> Result<BTreeMap<NodeId, Batch>, Exhausted> {
        let mut kept: BTreeMap<NodeId, (State, Errors)> = BTreeMap::new();
        for id in reached {
            let node = self.node_mut(*id);
            let fresh = State::of(&node.operator);
            let state = std::mem::replace(&mut node.state, fresh);
            kept.insert(*id, (state, std::mem::take(&mut node.errors)));
            self.fresh.insert(*id);
        }
        let outcome = self.hydrate_within(after, limit);
        if let Err(exhausted) = outcome {
            for (id, (state, errors)) in kept {
                let node = self.node_mut(id);
                (node.state, node.errors) = (state, errors);
                self.measure(id);
                self.fresh.remove(&id);
            }
            return Err(exhausted);
        }
        let mut outputs = BTreeMap::new();
        for id in reached {
            let node = self.node_mut(*id);
            node.work.steps += 1;
            let (before, errors_before) = &kept[id];
            if let (true, State::Arrange(before), State::Arrange(now)) =
                (watched.contains(id), before, &node.state)
            {
                let gone = errors_before.to_vec().into_iter().map(|(error, weight)| (error, -weight));
                let errors = gone.chain(node.errors.to_vec()).collect();
                let output = Batch { rows: now.now.difference(&before.now), errors }.consolidated();
                node.work.rows_out += output.rows.len() as u64;
                if !output.is_empty() {
                    outputs.insert(*id, output);
                }
            }
        }
        Ok(outputs)
    }
}

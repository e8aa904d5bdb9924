//! [`Following`]: the way of a large commit through the circuits, or of a large parameter tuple, beside the commits behind it and not
//! before them.
//!
//! It works on a clone of the graph, whose states are copy-on-write, and on the tables before and after the commit. Until it
//! is back nothing else changes the graph: later commits and subscriptions wait. Invariant: what comes back is what
//! [`Views::advance`] would have made of the commit.

use std::collections::{BTreeMap, BTreeSet};

use deltaic_dataflow::{Advance, Batch, Breaker, Exhausted, Graph, NodeId, RelationId, ZSet};
use deltaic_types::{DatabaseId, Lsn, Row, TableId, limits};

use super::{Tuple, Views};
use crate::{
    effects::Message,
    input::Now,
    merge::merge,
    tables::Tables,
    work::{Discarded, Work},
};

/// A large commit on its way: a value that can be sent to another thread.
#[derive(Debug)]
pub struct Following {
    graph: Graph,
    breaker: Breaker,
    roots: BTreeSet<NodeId>,
    before: Tables,
    after: Tables,
    touched: Vec<(TableId, Row)>,
    /// The changes of what is no table.
    changes: BTreeMap<RelationId, ZSet>,
    /// The rows that joins visit at most; None for a commit, which has no choice.
    limit: Option<u64>,
}

/// The circuits after the commit, and what it changed of their results.
#[derive(Debug)]
pub struct Followed {
    graph: Graph,
    outcome: Result<(BTreeMap<NodeId, Batch>, Advance), Exhausted>,
    changes: BTreeMap<RelationId, ZSet>,
}

impl Following {
    /// Brings the commit to the circuits. Cost: an advance over it, or their computation anew.
    pub fn run(self) -> Followed {
        let Self { mut graph, breaker, roots, before, after, touched, mut changes, limit } = self;
        changes.extend(merge(&before, &after, &touched));
        let (before, after) = (&before.relations, &after.relations);
        let outcome = match limit {
            None => Ok(graph.advance(&breaker, before, after, changes.clone(), &roots)),
            Some(limit) => graph
                .step_within(before, after, changes.clone(), &roots, limit)
                .map(|outputs| (outputs, Advance::Stepped)),
        };
        Followed { graph, outcome, changes }
    }
}

impl Views {
    /// Whether anything follows the tables.
    pub(crate) fn is_watching(&self) -> bool {
        !self.roots.is_empty() || self.hydrating.is_running()
    }

    /// Whether bringing a commit to the circuits is expected to be more work than fits between two others.
    pub(crate) fn is_large(&self, touched: &[(TableId, Row)]) -> bool {
        if touched.len() as u64 > self.slice.units {
            return true;
        }
        let tables: BTreeSet<RelationId> = touched.iter().map(|(id, _)| RelationId::Table(*id)).collect();
        let tables: Vec<RelationId> = tables.into_iter().collect();
        self.graph.units(touched.len(), &tables) > self.slice.units
    }

    /// The way of a commit as a value.
    pub(crate) fn follow(
        &self,
        before: Tables,
        after: Tables,
        touched: Vec<(TableId, Row)>,
        changes: BTreeMap<RelationId, ZSet>,
    ) -> Following {
        let (graph, breaker, roots) = (self.graph.clone(), self.breaker, self.roots.clone());
        Following { graph, breaker, roots, before, after, touched, changes, limit: None }
    }

    /// The way of a tuple that was inserted.
    pub(crate) fn follow_tuple(&self, before: Tables, after: Tables, tuple: &Tuple) -> Following {
        let change = ZSet::from_iter([(tuple.values.clone(), 1)]);
        let changes = BTreeMap::from([(tuple.relation, change)]);
        let limit = Some(limits::JOINED_ROWS);
        Following { limit, ..self.follow(before, after, Vec::new(), changes) }
    }

    /// Takes in the circuits that have seen a tuple; or it was too much, and goes again.
    pub(crate) fn followed_tuple(&mut self, followed: Followed, tuple: &Tuple) -> Result<(), Exhausted> {
        match followed.outcome {
            Ok(_) => self.graph = followed.graph,
            Err(_) => self.gone.push((tuple.relation, Some(tuple.values.clone()))),
        }
        followed.outcome.map(drop)
    }

    /// Takes in the circuits that have seen a commit, and gives the news of the results that it changed.
    pub(crate) fn followed(
        &mut self,
        followed: Followed,
        place: (DatabaseId, Lsn, Now),
        work: &mut Vec<Work>,
    ) -> Vec<Message> {
        let Followed { graph, outcome, changes } = followed;
        let (outputs, path) = outcome.expect("invariant: a commit is followed without a limit");
        self.hydrating.miss(place.2, &changes);
        let before = std::mem::replace(&mut self.graph, graph);
        work.push(Work::Discard(Discarded::new((before, changes))));
        self.give_out(&outputs, path, place)
    }
}

//! [`Operator`]: what a node of the circuit computes, as a value that can be compared.
//!
//! Invariant: equal operators over equal inputs compute the same collection, so the graph keeps one node for
//! both ([`crate::Graph::add`]). Inputs are named by node; scalars are equal by name.

use std::sync::Arc;

use deltaic_types::Row;

use crate::{
    aggregate::Aggregate,
    corner::Edges,
    index::KeyColumn,
    join::Join,
    map::Map,
    match_join::{MatchJoin, MatchKind},
    recurse::Recurse,
    relation::RelationId,
    set_operation::{SetKind, SetOperation},
    temporal::Temporal,
    top_k::TopK,
    unnest::Unnest,
    window::Window,
};

/// The number of a node in its graph. A node's inputs have smaller numbers, so ascending order is an order of
/// execution; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The operators.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The rows of a base relation. Its integral are the relation's own indexes, those before a step its delay.
    Input(RelationId),
    /// Rows that never change: DBSP's `δ₀`, which comes at the first step and not again.
    Constant(Vec<Row>),
    /// Filter and projection: linear, without state.
    Map(Map),
    /// DBSP's `I`: the integral of the input, `z' = z + dz`, ordered by a key, for joins to probe and results to be
    /// read from. What it gives out is `dz`. O(log n) a changed row.
    Arrange {
        /// The input.
        input: NodeId,
        /// The order.
        key: Vec<KeyColumn>,
    },
    /// The integral of the input, for joins that look for rows beyond a bound in two columns.
    Corner {
        /// The input.
        input: NodeId,
        /// The columns.
        edges: Edges,
    },
    /// Each row once for every value of a list: linear, without state.
    Unnest(Unnest),
    /// The inner join of two or more inputs: multilinear, without state of its own.
    Join(Join),
    /// A join that asks of each left row which right rows match it, without state of its own.
    MatchJoin(MatchJoin),
    /// One row a group.
    Aggregate(Aggregate),
    /// Each row of positive weight once. `distinct^Δ(dz) = H(z, dz)`, where `H(z, dz)[x]` is 1 if `z[x] ≤ 0` and
    /// `(z + dz)[x] > 0`, -1 if it is the other way round, and else 0. O(log n) a changed row.
    Distinct {
        /// The input.
        input: NodeId,
    },
    /// The sum of the inputs: `(a + b)^Δ = da + db`. O(1) a changed row.
    Union {
        /// The inputs.
        inputs: Vec<NodeId>,
    },
    /// The input with every weight's sign turned, `(-a)^Δ = -da`: with a sum, the difference of what contains and what is contained.
    /// Errors stay as they are: what one of them spoils is spoilt on either side of a difference.
    Negate {
        /// The input.
        input: NodeId,
    },
    /// INTERSECT or EXCEPT of two inputs.
    SetOperation(SetOperation),
    /// The first rows of each partition in an order.
    TopK(TopK),
    /// Window functions over partitions in an order.
    Window(Window),
    /// Rows with the truth of conditions that depend on the time.
    Temporal(Temporal),
    /// The relation of a recursion as its step reads it. The text is all of the recursion, so that two recursions
    /// are never one because their steps begin alike.
    Feedback(Arc<str>),
    /// The recursion of a feedback.
    Recurse(Recurse),
}

impl Operator {
    /// The nodes it reads; one may stand there several times.
    pub fn inputs(&self) -> Vec<NodeId> {
        match self {
            Self::Input(_) | Self::Constant(_) | Self::Feedback(_) => Vec::new(),
            Self::Recurse(recurse) => vec![recurse.base, recurse.step, recurse.feedback],
            Self::Map(map) => vec![map.input],
            Self::Arrange { input, .. }
            | Self::Corner { input, .. }
            | Self::Distinct { input }
            | Self::Negate { input } => vec![*input],
            Self::Unnest(unnest) => vec![unnest.input],
            Self::Join(join) => {
                let sources = join.inputs.iter().map(|input| input.source);
                let probes = join.paths.iter().flat_map(|path| &path.probes);
                sources.chain(probes.map(|probe| probe.integral)).collect()
            }
            Self::MatchJoin(join) => vec![join.left.source, join.right.source],
            Self::Aggregate(aggregate) => std::iter::once(aggregate.input).chain(aggregate.groups).collect(),
            Self::Union { inputs } => inputs.clone(),
            Self::SetOperation(operation) => vec![operation.left, operation.right],
            Self::TopK(top_k) => vec![top_k.input],
            Self::Window(window) => vec![window.input],
            Self::Temporal(temporal) => vec![temporal.input, temporal.clock],
        }
    }

    /// The operator's name in the field's terms.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input(RelationId::Table(_)) => "table",
            Self::Input(RelationId::Parameters(_)) => "parameters",
            Self::Input(RelationId::Clock) => "clock",
            Self::Constant(_) => "constant",
            Self::Map(map) if map.project.is_none() => "filter",
            Self::Map(map) if map.filter.is_empty() => "project",
            Self::Map(_) => "filter and project",
            Self::Arrange { .. } => "arrange",
            Self::Corner { .. } => "arrange by two bounds",
            Self::Unnest(_) => "unnest",
            Self::Join(_) => "join",
            Self::MatchJoin(join) => match join.kind {
                MatchKind::Inner => "join",
                MatchKind::Left => "left join",
                MatchKind::Semi => "semijoin",
                MatchKind::Anti => "antijoin",
                MatchKind::Mark => "mark join",
                MatchKind::Single => "single join",
            },
            Self::Aggregate(_) => "aggregate",
            Self::Distinct { .. } => "distinct",
            Self::Union { .. } => "union all",
            Self::Negate { .. } => "negate",
            Self::SetOperation(operation) => match operation.kind {
                SetKind::Intersect => "intersect",
                SetKind::IntersectAll => "intersect all",
                SetKind::Except => "except",
                SetKind::ExceptAll => "except all",
            },
            Self::TopK(_) => "top k",
            Self::Feedback(_) => "feedback",
            Self::Recurse(recurse) if recurse.all => "recurse all",
            Self::Recurse(_) => "recurse",
            Self::Window(_) => "window",
            Self::Temporal(_) => "temporal",
        }
    }
}

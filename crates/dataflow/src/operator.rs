//! [`Operator`]: what a node of the circuit computes, as a value that can be compared.
//!
//! Invariant: equal operators over equal inputs compute the same collection, so the graph keeps one node for
//! both ([`crate::Graph::add`]). Inputs are named by node; scalars are equal by name.

use deltaic_types::Row;

use crate::{
    aggregate::Aggregate,
    index::KeyColumn,
    join::{Join, LeftJoin},
    map::Map,
    relation::RelationId,
    top_k::TopK,
    window::Window,
};

/// The number of a node in its graph. A node's inputs have smaller numbers, so ascending order is an order of
/// execution; numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The operators.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The rows of a base relation; its integral are the relation's own indexes.
    Input(RelationId),
    /// Rows that never change.
    Constant(Vec<Row>),
    /// Filter and projection: linear, without state.
    Map(Map),
    /// The integral of the input, ordered by a key, for joins to probe and results to be read from.
    Arrange {
        /// The input.
        input: NodeId,
        /// The order.
        key: Vec<KeyColumn>,
    },
    /// The inner join of two or more inputs: multilinear, without state of its own.
    Join(Join),
    /// The left outer join of two inputs, without state of its own.
    LeftJoin(LeftJoin),
    /// One row a group.
    Aggregate(Aggregate),
    /// Each row of positive weight once.
    Distinct {
        /// The input.
        input: NodeId,
    },
    /// The sum of the inputs.
    Union {
        /// The inputs.
        inputs: Vec<NodeId>,
    },
    /// The first rows of each partition in an order.
    TopK(TopK),
    /// Window functions over partitions in an order.
    Window(Window),
}

impl Operator {
    /// The nodes it reads; one may stand there several times.
    pub fn inputs(&self) -> Vec<NodeId> {
        match self {
            Self::Input(_) | Self::Constant(_) => Vec::new(),
            Self::Map(map) => vec![map.input],
            Self::Arrange { input, .. } | Self::Distinct { input } => vec![*input],
            Self::Join(join) => {
                let sources = join.inputs.iter().map(|input| input.source);
                let probes = join.paths.iter().flat_map(|path| &path.probes);
                sources.chain(probes.map(|probe| probe.integral)).collect()
            }
            Self::LeftJoin(join) => vec![join.left.source, join.right.source],
            Self::Aggregate(aggregate) => std::iter::once(aggregate.input).chain(aggregate.groups).collect(),
            Self::Union { inputs } => inputs.clone(),
            Self::TopK(top_k) => vec![top_k.input],
            Self::Window(window) => vec![window.input],
        }
    }

    /// The operator's name in the field's terms.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input(RelationId::Table(_)) => "table",
            Self::Input(RelationId::Parameters(_)) => "parameters",
            Self::Constant(_) => "constant",
            Self::Map(map) if map.project.is_none() => "filter",
            Self::Map(map) if map.filter.is_empty() => "project",
            Self::Map(_) => "filter and project",
            Self::Arrange { .. } => "arrange",
            Self::Join(_) => "join",
            Self::LeftJoin(_) => "left join",
            Self::Aggregate(_) => "aggregate",
            Self::Distinct { .. } => "distinct",
            Self::Union { .. } => "union all",
            Self::TopK(_) => "top k",
            Self::Window(_) => "window",
        }
    }
}

#![doc = include_str!("../README.md")]

mod accumulator;
mod aggregate;
mod budget;
mod cow_tree;
mod exact_sum;
mod graph;
mod index;
mod join;
mod map;
mod match_join;
mod operator;
mod recurse;
mod relation;
mod scalar;
mod set_operation;
mod top_k;
mod zset;

pub use accumulator::AggregateFunction;
pub use aggregate::{Aggregate, AggregateCall};
pub use budget::Exhausted;
pub use cow_tree::{CowTree, Iter};
pub use exact_sum::ExactSum;
pub use graph::{Description, Graph, Work};
pub use index::{Index, KeyColumn, Rows};
pub use join::{Join, JoinInput, Path, Probe};
pub use map::Map;
pub use match_join::{MatchJoin, MatchKind};
pub use operator::{NodeId, Operator};
pub use recurse::{Bounds, Recurse};
pub use relation::{Relation, RelationId, Relations};
pub use scalar::{Function, Scalar};
pub use set_operation::{SetKind, SetOperation};
pub use top_k::TopK;
pub use zset::{Batch, ErrorRow, Errors, Weight, ZSet};

#![doc = include_str!("../README.md")]

mod accumulator;
mod aggregate;
mod budget;
mod collection;
mod cow_tree;
mod exact_sum;
mod graph;
mod index;
mod join;
mod map;
mod operator;
mod order_statistic;
mod relation;
mod scalar;
mod statistics;
mod top_k;
mod zset;

pub use accumulator::AggregateFunction;
pub use aggregate::{Aggregate, AggregateCall};
pub use budget::Exhausted;
pub use collection::Gathering;
pub use cow_tree::{CowTree, Iter};
pub use exact_sum::ExactSum;
pub use graph::{Description, Graph, Work};
pub use index::{Index, KeyColumn, Rows};
pub use join::{Join, JoinInput, LeftJoin, Path, Probe};
pub use map::Map;
pub use operator::{NodeId, Operator};
pub use order_statistic::Rank;
pub use relation::{Relation, RelationId, Relations};
pub use scalar::{Function, Scalar};
pub use statistics::{Bitwise, Dispersion};
pub use top_k::TopK;
pub use zset::{Batch, ErrorRow, Errors, Weight, ZSet};

#![doc = include_str!("../README.md")]
//!
//! # Names and equations
//!
//! A stream `s` has a value for each step; `z⁻¹` gives the value of the step before, and nothing at the first. What
//! DBSP calls each operator, what it is here, and the equation it keeps. Primes are the state after a step, `d` is a
//! change; `tests/laws.rs` shows the equations over random tables.
//!
//! | DBSP | here | equation |
//! | --- | --- | --- |
//! | integrate `I` | [`Operator::Arrange`], [`Relation`]'s indexes | `I(s)[t] = Σ_{i ≤ t} s[i]`, so `z' = z + dz` |
//! | delay `z⁻¹` | the relations before a step; an arrangement's state before it | `z⁻¹(s)[t] = s[t-1]` |
//! | differentiate `D` | [`Index::difference`] | `D(s) = s - z⁻¹(s)`; `D(I(s)) = s` |
//! | incremental form `Q^Δ` | [`Graph::step`] | `Q^Δ = D ∘ Q ∘ I`; `(P ∘ Q)^Δ = P^Δ ∘ Q^Δ` |
//! | delta0 `δ₀` | [`Graph::hydrate`], [`Operator::Constant`] | `δ₀(z) = (z, 0, 0, …)`, so `I(δ₀(z)) = (z, z, …)` |
//! | lifted linear operators `↑σ`, `↑π` | [`Map`] | `Q(a + b) = Q(a) + Q(b)`, so `Q^Δ = Q` |
//! | sum `+` | [`Operator::Union`], [`ZSet::extend`] | linear: `(a + b)^Δ = da + db` |
//! | negate `-` | [`Operator::Negate`], [`ZSet::negated`] | linear: `(-a)^Δ = -da`; `a + -a = 0` |
//! | join `⋈` | [`Join`] | `(a ⋈ b)^Δ = da ⋈ b + a' ⋈ db`, and a term for each input of more |
//! | semijoin, antijoin, outer join | [`MatchJoin`] | `Q^Δ = Q(dL, R') + (Q(L, R') - Q(L, R))` |
//! | distinct | [`Operator::Distinct`] | `distinct^Δ(dz) = H(z, dz)`, see [`Operator::Distinct`] |
//! | intersect, except | [`SetOperation`] | `dz[x] = f(l'[x], r'[x]) - f(l[x], r[x])` |
//! | aggregate | [`Aggregate`] | `dA = Σ_{g touched} A(z'_g) - A(z_g)` |
//! | top k | [`TopK`] | `dT = Σ_{p touched} T(z'_p) - T(z_p)` |
//! | window functions | [`Window`] | `dW = Σ_{p touched} W(z'_p) - W(z_p)` |
//! | recurse (`δ₀`, a loop with `z⁻¹`, `∫`) | [`Recurse`] | the least `r = base + step(r)` |
//!
//! `examples/circuit.rs` builds a circuit of these by hand, without SQL.

mod accumulator;
mod aggregate;
mod breaker;
mod budget;
mod collection;
mod corner;
mod cow_tree;
mod exact_sum;
mod frame;
mod graph;
mod index;
mod join;
mod map;
mod match_join;
mod operator;
mod order_statistic;
mod recurse;
mod relation;
mod sample;
mod scalar;
mod search;
mod set_operation;
mod statistics;
mod temporal;
mod top_k;
mod unnest;
mod window;
mod zset;

pub use accumulator::AggregateFunction;
pub use aggregate::{Aggregate, AggregateCall};
pub use breaker::{Advance, Breaker};
pub use budget::{Allowance, Exhausted};
pub use collection::Gathering;
pub use corner::{Edge, Edges};
pub use cow_tree::{CowTree, Iter};
pub use exact_sum::ExactSum;
pub use frame::{Bound, Frame, Units};
pub use graph::{Description, Graph, Work};
pub use index::{ENTRY_BYTES, Index, KeyColumn, Rows, Within};
pub use join::{Join, JoinInput, Path, Probe};
pub use map::Map;
pub use match_join::{MatchJoin, MatchKind};
pub use operator::{NodeId, Operator};
pub use order_statistic::Rank;
pub use recurse::{Bounds, Recurse};
pub use relation::{Relation, RelationId, Relations, clock_change};
pub use sample::Sample;
pub use scalar::{Comparand, Function, Scalar};
pub use search::{Limit, Search};
pub use set_operation::{SetKind, SetOperation};
pub use statistics::{Bitwise, Dispersion};
pub use temporal::{Course, Temporal, TimeCondition};
pub use top_k::TopK;
pub use unnest::Unnest;
pub use window::{Positional, Window, WindowCall, WindowFunction};
pub use zset::{Batch, ErrorRow, Errors, Weight, ZSet};

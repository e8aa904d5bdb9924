//! Blocks: selections, projections and inner joins over leaves, lowered together.
//!
//! A block of one leaf is a [`Map`]; a block of several is one [`Join`] with a path from each leaf, so it
//! keeps no state between them. Only the block's outermost condition and projection may fail: everything
//! that can fail further down is a leaf of its own, and is evaluated for exactly the rows it would meet there.

use std::collections::BTreeSet;

use deltaic_dataflow::{Join, JoinInput, KeyColumn, Map, NodeId, Operator, Path, Probe, Scalar};
use deltaic_types::{TableId, limits};

use super::{LowerError, Lowered, Lowering, reads_domain, temporal::asks_for_time};
use crate::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    fallible::{can_fail, plain_column},
    optimise::{move_columns, substitute},
    plan::{JoinKind, Plan},
};

/// Selections, projections and inner joins over leaves. Columns are numbered through all leaves.
pub(super) struct Block<'p> {
    pub(super) leaves: Vec<&'p Plan>,
    /// For each column the leaf it comes from and its place there.
    pub(super) columns: Vec<(usize, usize)>,
    pub(super) conditions: Vec<Expr>,
    pub(super) output: Vec<Expr>,
}

/// How far inside a block a plan stands, and so what in it may fail.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Position {
    /// The outermost projection may fail.
    Output,
    /// The outermost condition may fail.
    Condition,
    /// Nothing may fail.
    Inside,
}

pub(super) fn flatten(plan: &Plan, position: Position) -> Block<'_> {
    match plan {
        // A node of its own, whatever it computes.
        leaf if asks_for_time(leaf) => leaf_block(leaf),
        Plan::Project { input, exprs } if position == Position::Output || !exprs.iter().any(can_fail) => {
            let below = if position == Position::Output { Position::Condition } else { position };
            let mut block = flatten(input, below);
            block.output = exprs.iter().map(|expr| substitute(expr, &block.output)).collect();
            block
        }
        Plan::Filter { input, predicate } if position != Position::Inside || !can_fail(predicate) => {
            let mut block = flatten(input, Position::Inside);
            block.conditions.extend(substitute(predicate, &block.output).conjuncts());
            block
        }
        Plan::Join { kind: JoinKind::Inner, left, right, outer, on }
            if outer.is_empty() && (position != Position::Inside || !can_fail(on)) =>
        {
            let mut block = flatten(left, Position::Inside);
            let right = flatten(right, Position::Inside);
            let (leaves, columns) = (block.leaves.len(), block.columns.len());
            let shift = |expr: &Expr| move_columns(expr, |place| place + columns);
            block.leaves.extend(right.leaves);
            block.columns.extend(right.columns.iter().map(|(leaf, place)| (leaf + leaves, *place)));
            block.conditions.extend(right.conditions.iter().map(shift));
            block.output.extend(right.output.iter().map(shift));
            block.conditions.extend(substitute(on, &block.output).conjuncts());
            block
        }
        leaf => leaf_block(leaf),
    }
}

fn leaf_block(leaf: &Plan) -> Block<'_> {
    let types = leaf.types();
    Block {
        leaves: vec![leaf],
        columns: (0..types.len()).map(|place| (0, place)).collect(),
        conditions: Vec::new(),
        output: types
            .into_iter()
            .enumerate()
            .map(|(place, data_type)| Expr::column(place, data_type))
            .collect(),
    }
}

/// A leaf as an input of the block.
#[derive(Clone, Copy)]
struct Leaf {
    node: NodeId,
    /// The table, where the node is its input.
    table: Option<TableId>,
    /// How many columns of the domain its rows begin with.
    prefix: usize,
}

impl Lowering<'_> {
    pub(super) fn block(&mut self, plan: &Plan) -> Result<Lowered, LowerError> {
        let block = flatten(plan, Position::Output);
        let width = block.output.len();
        let mut leaves = Vec::new();
        for leaf in &block.leaves {
            leaves.push(match leaf {
                Plan::Scan { table, .. } => {
                    let relation = deltaic_dataflow::RelationId::Table(*table);
                    Leaf { node: self.graph.add(Operator::Input(relation)), table: Some(*table), prefix: 0 }
                }
                // A filter or a projection that can fail is a block of its own, so this ends.
                other => {
                    let lowered = self.plan(other)?;
                    Leaf { node: lowered.node, table: None, prefix: self.prefix(lowered) }
                }
            });
        }
        let mut places: Vec<(usize, usize)> = block
            .columns
            .iter()
            .map(|(leaf, column)| match leaves[*leaf] {
                Leaf { table: Some(table), .. } => {
                    // A column that the plan does not read has no place, and nobody asks for it.
                    (*leaf, self.tables.slot(table, *column).unwrap_or(usize::MAX))
                }
                Leaf { prefix, .. } => (*leaf, prefix + column),
            })
            .collect();
        let count = self.domain.map_or(0, |domain| domain.width);
        let reads = block.conditions.iter().chain(&block.output).any(reads_domain);
        let mut owner = leaves.iter().position(|leaf| leaf.prefix > 0);
        if let (Some(domain), true, None) = (self.domain, reads, owner) {
            leaves.push(Leaf { node: domain.node, table: None, prefix: count });
            owner = Some(leaves.len() - 1);
        }
        if leaves.len() > limits::JOIN_INPUTS {
            return Err(LowerError::TooManyJoins { inputs: leaves.len(), limit: limits::JOIN_INPUTS });
        }
        // The domain's columns are those of the leaf that owns them.
        let parameter_base = places.len();
        let prefix = owner.map_or(0, |_| count);
        places.extend(owner.into_iter().flat_map(|owner| (0..count).map(move |place| (owner, place))));
        let settle = |expr: &Expr| {
            let at = |place| parameter_base + place;
            self.domain.map_or_else(|| expr.clone(), |domain| domain.settle(expr, &at))
        };
        let shape = Shape {
            conditions: block.conditions.iter().map(settle).collect(),
            output: block.output.iter().map(settle).collect(),
            prefix: owner.into_iter().flat_map(|owner| (0..count).map(move |place| (owner, place))).collect(),
            parameters: owner.and(self.domain).map_or(0, |domain| domain.parameters),
            leaves,
            places,
        };
        let node = if shape.leaves.len() == 1 { self.map(&shape) } else { self.join(&shape) };
        Ok(Lowered { node, dependent: prefix > 0 || (count == 0 && owner.is_some()), width })
    }

    /// A block of one leaf.
    fn map(&mut self, shape: &Shape) -> NodeId {
        let leaf = shape.leaves[0];
        let project: Vec<Scalar> = shape.project();
        let filter: Vec<Scalar> = shape.conditions.iter().map(|condition| shape.compile(condition)).collect();
        let same = leaf.table.is_none()
            && project.len() == leaf.prefix + shape.places.len() - shape.prefix.len()
            && project.iter().enumerate().all(|(place, scalar)| scalar.as_column() == Some((0, place)));
        if same && filter.is_empty() {
            return leaf.node;
        }
        let project = if same { None } else { Some(project) };
        self.graph.add(Operator::Map(Map { input: leaf.node, filter, project, prefix: shape.parameters }))
    }

    /// A block of several leaves.
    fn join(&mut self, shape: &Shape) -> NodeId {
        let mut filters: Vec<Vec<Scalar>> = vec![Vec::new(); shape.leaves.len()];
        let mut conditions: Vec<Expr> = Vec::new();
        for condition in &shape.conditions {
            let leaves = shape.leaves_of(condition);
            match leaves.first() {
                Some(leaf) if leaves.len() == 1 && !can_fail(condition) => {
                    filters[*leaf].push(compile(condition, &|place| (0, shape.places[place].1)));
                }
                _ => conditions.push(condition.clone()),
            }
        }
        let inputs = shape
            .leaves
            .iter()
            .zip(filters)
            .map(|(leaf, filter)| JoinInput { source: leaf.node, filter })
            .collect();
        let paths = (0..shape.leaves.len()).map(|start| self.path(shape, &conditions, start)).collect();
        let join = Join {
            inputs,
            paths,
            conditions: conditions.iter().map(|condition| shape.compile(condition)).collect(),
            project: shape.project(),
            prefix: shape.prefix_scalars()[..shape.parameters].to_vec(),
        };
        self.graph.add(Operator::Join(join))
    }

    fn path(&mut self, shape: &Shape, conditions: &[Expr], start: usize) -> Path {
        let mut bound = BTreeSet::from([start]);
        let mut open: Vec<usize> = (0..conditions.len()).collect();
        let decided = |bound: &BTreeSet<usize>, open: &mut Vec<usize>| -> Vec<usize> {
            let (now, later) =
                open.iter().partition(|place| shape.leaves_of(&conditions[**place]).is_subset(bound));
            *open = later;
            now
        };
        let first = decided(&bound, &mut open);
        let mut probes = Vec::new();
        while bound.len() < shape.leaves.len() {
            let candidates = (0..shape.leaves.len()).filter(|leaf| !bound.contains(leaf));
            let (leaf, access) = candidates
                .map(|leaf| (leaf, self.access(shape, conditions, &open, &bound, leaf)))
                .max_by_key(|(leaf, access)| (access.unique, access.key.len(), usize::MAX - leaf))
                .expect("invariant: a leaf is left to bind");
            bound.insert(leaf);
            open.retain(|place| !access.used.contains(place));
            let index: Vec<KeyColumn> =
                access.key.iter().map(|(column, _)| KeyColumn::ascending(*column)).collect();
            let node = shape.leaves[leaf].node;
            let integral = self.integral(node, &index);
            probes.push(Probe {
                input: leaf,
                integral,
                index,
                key: access.key.into_iter().map(|(_, scalar)| scalar).collect(),
                exact: access.exact,
                conditions: decided(&bound, &mut open),
            });
        }
        Path { conditions: first, probes }
    }

    /// How a leaf is found from the leaves bound so far.
    fn access(
        &self,
        shape: &Shape,
        conditions: &[Expr],
        open: &[usize],
        bound: &BTreeSet<usize>,
        leaf: usize,
    ) -> Access {
        let mut keys: Vec<(usize, Scalar, usize)> = Vec::new();
        for &place in open {
            if let Some((column, value)) = shape.equality(&conditions[place], bound, leaf) {
                if keys.iter().all(|(known, ..)| *known != column) {
                    keys.push((column, value, place));
                }
            }
        }
        // Two dependent leaves meet only in the same row of the domain.
        let other = bound.iter().find(|other| shape.leaves[**other].prefix > 0);
        let exact = if let (Some(other), true) = (other, shape.leaves[leaf].prefix > 0) {
            let count = shape.leaves[leaf].prefix;
            keys.retain(|(column, ..)| *column >= count);
            let prefix: Vec<(usize, Scalar)> =
                (0..count).map(|place| (place, Scalar::column(*other, place))).collect();
            return Access::of(prefix, keys, count, None);
        } else {
            0
        };
        let existing = shape.leaves[leaf].table.map(|table| self.tables.keys(table)).unwrap_or_default();
        let columns: BTreeSet<usize> = keys.iter().map(|(column, ..)| *column).collect();
        let served = |key: &&Vec<usize>| key.iter().all(|column| columns.contains(column));
        let chosen = existing.iter().find(served).cloned().or_else(|| {
            // An index that begins with all of the columns serves them too, in its own order.
            existing
                .iter()
                .filter(|key| key.len() > columns.len() && !columns.is_empty())
                .map(|key| key[..columns.len()].to_vec())
                .find(|head| head.iter().all(|column| columns.contains(column)))
        });
        Access::of(Vec::new(), keys, exact, chosen)
    }
}

/// The key by which a leaf is probed.
struct Access {
    key: Vec<(usize, Scalar)>,
    exact: usize,
    /// The conditions that the key makes true.
    used: Vec<usize>,
    /// Whether an index of the table serves the key.
    unique: bool,
}

impl Access {
    fn of(
        prefix: Vec<(usize, Scalar)>,
        mut keys: Vec<(usize, Scalar, usize)>,
        exact: usize,
        chosen: Option<Vec<usize>>,
    ) -> Self {
        let unique = chosen.is_some();
        if let Some(order) = chosen {
            keys.retain(|(column, ..)| order.contains(column));
            keys.sort_by_key(|(column, ..)| order.iter().position(|place| place == column));
        } else {
            keys.sort_by_key(|(column, ..)| *column);
        }
        let used = keys.iter().map(|(_, _, condition)| *condition).collect();
        let key =
            prefix.into_iter().chain(keys.into_iter().map(|(column, value, _)| (column, value))).collect();
        Self { key, exact, used, unique }
    }
}

/// A block with its leaves as nodes and its columns as places in tuples.
struct Shape {
    leaves: Vec<Leaf>,
    /// For each column the leaf and the place in its row; the parameters' places come last.
    places: Vec<(usize, usize)>,
    conditions: Vec<Expr>,
    output: Vec<Expr>,
    /// Where the domain's columns are.
    prefix: Vec<(usize, usize)>,
    /// How many of these are the template's parameters.
    parameters: usize,
}

impl Shape {
    fn compile(&self, expr: &Expr) -> Scalar {
        compile(expr, &|place| self.places[place])
    }

    fn prefix_scalars(&self) -> Vec<Scalar> {
        self.prefix.iter().map(|(leaf, place)| Scalar::column(*leaf, *place)).collect()
    }

    fn project(&self) -> Vec<Scalar> {
        self.prefix_scalars().into_iter().chain(self.output.iter().map(|expr| self.compile(expr))).collect()
    }

    fn leaves_of(&self, expr: &Expr) -> BTreeSet<usize> {
        expr.columns().into_iter().map(|place| self.places[place].0).collect()
    }

    /// The column of `leaf` that the condition equates with a value of the bound leaves, and that value.
    fn equality(&self, condition: &Expr, bound: &BTreeSet<usize>, leaf: usize) -> Option<(usize, Scalar)> {
        let ExprKind::Compare(Comparison::Eq, a, b) = &condition.kind else { return None };
        if can_fail(condition) {
            return None;
        }
        [(a, b), (b, a)].into_iter().find_map(|(column, value)| {
            let (of, slot) = self.places[plain_column(column)?];
            let from = self.leaves_of(value);
            (of == leaf && !from.is_empty() && from.is_subset(bound)).then(|| (slot, self.compile(value)))
        })
    }
}

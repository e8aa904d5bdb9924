//! Blocks: selections, projections and inner joins over leaves, lowered together.
//!
//! A block of one leaf is a [`Map`]; a block of several is one [`Join`] with a path from each leaf, so it
//! keeps no state between them. Only the block's outermost condition and projection may fail: everything
//! that can fail further down is a leaf of its own, and is evaluated for exactly the rows it would meet there.

use std::collections::BTreeSet;

use deltaic_dataflow::{Join, JoinInput, KeyColumn, Map, NodeId, Operator, Path, Probe, Scalar, Unnest};
use deltaic_types::{DataType, TableId, limits};

use super::{
    Domain, LowerError, Lowered, Lowering,
    access::{By, Searched},
    computed_key::is_by_values_alone,
    estimate::Estimates,
    reads_domain,
    temporal::asks_for_time,
};
use crate::{
    compile,
    expression::{Comparison, Expr, ExprKind},
    fallible::can_fail,
    functions::Function,
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
            if outer.is_empty()
                && (position != Position::Inside || !can_fail(on))
                && !is_by_values_alone(left, on) =>
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
pub(super) struct Leaf {
    pub(super) node: NodeId,
    /// The table, where the node is its input.
    pub(super) table: Option<TableId>,
    /// How many columns of the domain its rows begin with.
    pub(super) prefix: usize,
    /// Whether it is the domain itself.
    pub(super) is_domain: bool,
}

/// A condition that a column is in a list which the domain holds.
struct Listed {
    condition: usize,
    operand: Expr,
    values: Vec<Expr>,
    arrays: bool,
}

impl Lowering<'_> {
    pub(super) fn block(&mut self, plan: &Plan) -> Result<Lowered, LowerError> {
        let mut block = flatten(plan, Position::Output);
        let width = block.output.len();
        let mut leaves = Vec::new();
        for leaf in &block.leaves {
            leaves.push(match leaf {
                Plan::Scan { table, .. } => {
                    let relation = deltaic_dataflow::RelationId::Table(*table);
                    let node = self.graph.add(Operator::Input(relation));
                    Leaf { node, table: Some(*table), prefix: 0, is_domain: false }
                }
                // A filter or a projection that can fail is a block of its own, so this ends.
                other => {
                    let lowered = self.plan(other)?;
                    let prefix = self.prefix(lowered);
                    Leaf { node: lowered.node, table: None, prefix, is_domain: false }
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
        // The domain is not one of the relations that the query joins.
        if leaves.len() > limits::JOIN_INPUTS {
            return Err(LowerError::TooManyJoins { inputs: leaves.len(), limit: limits::JOIN_INPUTS });
        }
        let mut owner = leaves.iter().position(|leaf| leaf.prefix > 0);
        let parameter_base = places.len();
        let mut listed = None;
        if let (Some(domain), true, None) = (self.domain, reads, owner) {
            owner = Some(leaves.len());
            listed = listed_condition(&block.conditions);
            let node = match &listed {
                Some(listed) => self.unnested(domain, listed),
                None => domain.node,
            };
            leaves.push(Leaf { node, table: None, prefix: count, is_domain: true });
        }
        let own = count + usize::from(listed.is_some());
        if let Some(Listed { condition, operand, .. }) = listed {
            // The value of the list stands behind the domain's columns.
            let value = Expr::column(parameter_base + count, operand.data_type.clone());
            let equal = ExprKind::Compare(Comparison::Eq, Box::new(operand), Box::new(value));
            block.conditions[condition] = Expr::new(equal, DataType::Boolean);
        }
        // The domain's columns are those of the leaf that owns them.
        let prefix = owner.map_or(0, |_| count);
        places.extend(owner.into_iter().flat_map(|owner| (0..own).map(move |place| (owner, place))));
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

    /// The domain with a row for each value of a list.
    fn unnested(&mut self, domain: Domain, listed: &Listed) -> NodeId {
        let value = |expr: &Expr| compile(&domain.settle(expr, &|place| place), &|place| (0, place));
        let values = listed.values.iter().map(value).collect();
        self.graph.add(Operator::Unnest(Unnest {
            input: domain.node,
            width: domain.width,
            values,
            arrays: listed.arrays,
        }))
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
        let estimates = Estimates::of(&shape.leaves, self.tables);
        let paths =
            (0..shape.leaves.len()).map(|start| self.path(shape, &conditions, start, &estimates)).collect();
        let join = Join {
            inputs,
            paths,
            conditions: conditions.iter().map(|condition| shape.compile(condition)).collect(),
            project: shape.project(),
            prefix: shape.prefix_scalars()[..shape.parameters].to_vec(),
        };
        self.graph.add(Operator::Join(join))
    }

    fn path(&mut self, shape: &Shape, conditions: &[Expr], start: usize, estimates: &Estimates) -> Path {
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
            let decides = |leaf: usize| {
                let with: BTreeSet<usize> = bound.iter().copied().chain([leaf]).collect();
                open.iter().filter(|place| shape.leaves_of(&conditions[**place]).is_subset(&with)).count()
            };
            let alone = bound.len() + 1 == shape.leaves.len();
            let (leaf, access) = candidates
                .map(|leaf| (leaf, self.access(shape, conditions, &open, &bound, leaf)))
                .max_by_key(|(leaf, access)| {
                    let known = || estimates.found(self.tables, shape.leaves[*leaf], access);
                    let found = if alone { None } else { known() };
                    let served = (access.unique, access.key.len(), access.search.is_some());
                    (u32::MAX - found.unwrap_or(u32::MAX), served, decides(*leaf), usize::MAX - leaf)
                })
                .expect("invariant: a leaf is left to bind");
            bound.insert(leaf);
            open.retain(|place| !access.used.contains(place));
            let mut index: Vec<KeyColumn> =
                access.key.iter().map(|(column, _)| KeyColumn::ascending(*column)).collect();
            let node = shape.leaves[leaf].node;
            let (search, integral) = match access.search {
                Some(Searched { search, by: By::Corner(edges), .. }) => {
                    (Some(search), self.graph.add(Operator::Corner { input: node, edges }))
                }
                Some(Searched { search, by: By::Column(column), .. }) => {
                    index.push(KeyColumn::ascending(column));
                    (Some(search), self.integral(node, &index))
                }
                None => (None, self.integral(node, &index)),
            };
            probes.push(Probe {
                input: leaf,
                integral,
                index,
                key: access.key.into_iter().map(|(_, scalar)| scalar).collect(),
                exact: access.exact,
                search,
                conditions: decided(&bound, &mut open),
            });
        }
        Path { conditions: first, probes }
    }
}

/// The list of the domain by whose values its rows are found, where no equality finds them.
fn listed_condition(conditions: &[Expr]) -> Option<Listed> {
    let of_domain = |expr: &Expr| reads_domain(expr) && expr.columns().is_empty();
    let of_rows = |expr: &Expr| !reads_domain(expr) && !expr.columns().is_empty();
    let equates = |condition: &Expr| match &condition.kind {
        ExprKind::Compare(Comparison::Eq, a, b) => {
            [(a, b), (b, a)].into_iter().any(|(a, b)| of_domain(a) && of_rows(b)) && !can_fail(condition)
        }
        _ => false,
    };
    if conditions.iter().any(equates) {
        return None;
    }
    conditions.iter().enumerate().find_map(|(condition, expr)| {
        let (operand, values, arrays) = match &expr.kind {
            ExprKind::InList(operand, list) => (&**operand, &list[..], false),
            ExprKind::Call(Function::ArrayAny(Comparison::Eq), args) => (&args[0], &args[1..], true),
            _ => return None,
        };
        let listed = !can_fail(expr)
            && of_rows(operand)
            && values.iter().any(reads_domain)
            && values.iter().all(|value| value.columns().is_empty());
        listed.then(|| Listed { condition, operand: operand.clone(), values: values.to_vec(), arrays })
    })
}

/// A block with its leaves as nodes and its columns as places in tuples.
pub(super) struct Shape {
    pub(super) leaves: Vec<Leaf>,
    /// For each column the leaf and the place in its row; the parameters' places come last, and behind them that of a
    /// list's value.
    pub(super) places: Vec<(usize, usize)>,
    conditions: Vec<Expr>,
    output: Vec<Expr>,
    /// Where the domain's columns are.
    prefix: Vec<(usize, usize)>,
    /// How many of these are the template's parameters.
    parameters: usize,
}

impl Shape {
    pub(super) fn compile(&self, expr: &Expr) -> Scalar {
        compile(expr, &|place| self.places[place])
    }

    fn prefix_scalars(&self) -> Vec<Scalar> {
        self.prefix.iter().map(|(leaf, place)| Scalar::column(*leaf, *place)).collect()
    }

    fn project(&self) -> Vec<Scalar> {
        self.prefix_scalars().into_iter().chain(self.output.iter().map(|expr| self.compile(expr))).collect()
    }

    pub(super) fn leaves_of(&self, expr: &Expr) -> BTreeSet<usize> {
        expr.columns().into_iter().map(|place| self.places[place].0).collect()
    }
}

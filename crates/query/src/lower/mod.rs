//! Lowering: an optimised plan becomes nodes of the shared graph.
//!
//! A query is a template with parameters, and a template has one circuit: the dependent join of the relation
//! of its live parameter tuples with the plan (Neumann and Kemper, "Unnesting Arbitrary Queries", 2015). So
//! a subscription is a row of that relation. Invariant: a node is *dependent* when its rows begin with the
//! parameters they belong to; whatever reads a parameter is dependent, a dependent node's groups, windows and
//! matches never mix two tuples, and the root of a template with parameters is dependent.

mod aggregate;
mod block;
mod outer;
mod window;

use deltaic_dataflow::{
    Graph, Join, JoinInput, KeyColumn, NodeId, Operator, Path, Probe, RelationId, Scalar, TopK,
};
use deltaic_types::{EvalError, Row, TableId, Value};
use thiserror::Error;

use crate::{
    compile,
    expression::{Expr, ExprKind},
    optimise::move_columns,
    plan::{self, Plan, Query},
};

/// What the engine knows of the stored tables.
pub trait Tables {
    /// The place of a table's column in its rows in memory; None for a column that no plan has read.
    fn slot(&self, table: TableId, column: usize) -> Option<usize>;

    /// The keys of the indexes that a table has in any case, as places in its rows; unique ones first.
    fn keys(&self, table: TableId) -> Vec<Vec<usize>>;
}

/// A plan that has no circuit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LowerError {
    /// LIMIT or OFFSET is a parameter: such a query has an instance of its own for each tuple; put the value
    /// in place of the parameter and lower again.
    #[error("LIMIT and OFFSET with a parameter have no shared circuit")]
    NeedsInstance,
    /// LIMIT or OFFSET is negative.
    #[error("{clause} must not be negative")]
    NegativeLimit {
        /// LIMIT or OFFSET.
        clause: &'static str,
    },
    /// LIMIT or OFFSET cannot be evaluated.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// Too many relations in one join.
    #[error("a query joins {inputs} relations at once, over the limit of {limit}: split it")]
    TooManyJoins {
        /// How many it joins.
        inputs: usize,
        /// The most that is allowed.
        limit: usize,
    },
}

/// The circuit of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    /// The arrangement of the results: the parameters, the result's columns, then hidden ones, ordered by the
    /// parameters and then by the query's order.
    pub root: NodeId,
    /// How many parameters each row begins with.
    pub prefix: usize,
}

/// Adds the circuit of an optimised query to the graph, without state. `parameters` is the relation of the
/// template's tuples and their length; None for a query without parameters.
pub fn lower(
    query: &Query,
    parameters: Option<(RelationId, usize)>,
    graph: &mut Graph,
    tables: &dyn Tables,
) -> Result<Circuit, LowerError> {
    let mut lowering = Lowering { graph, parameters, tables };
    let mut output = lowering.plan(&query.plan)?;
    if parameters.is_some() {
        output = lowering.dependent(output);
    }
    let prefix = lowering.prefix(output);
    let order = query.order.iter().map(|key| sort_key(key, prefix));
    let key = (0..prefix).map(KeyColumn::ascending).chain(order).collect();
    let root = lowering.graph.add(Operator::Arrange { input: output.node, key });
    Ok(Circuit { root, prefix })
}

fn sort_key(key: &plan::SortKey, prefix: usize) -> KeyColumn {
    KeyColumn { column: key.column + prefix, descending: key.descending, nulls_first: key.nulls_first }
}

/// A plan as a node: its rows are the parameters, if it is dependent, and then the plan's columns.
#[derive(Debug, Clone, Copy)]
struct Lowered {
    node: NodeId,
    dependent: bool,
    width: usize,
}

struct Lowering<'a> {
    graph: &'a mut Graph,
    parameters: Option<(RelationId, usize)>,
    tables: &'a dyn Tables,
}

impl Lowering<'_> {
    fn plan(&mut self, plan: &Plan) -> Result<Lowered, LowerError> {
        match plan {
            Plan::Scan { .. } | Plan::Filter { .. } | Plan::Project { .. } => self.block(plan),
            Plan::Join { kind: plan::JoinKind::Inner, .. } => self.block(plan),
            Plan::Join { kind: plan::JoinKind::Left, left, right, on } => self.left_join(left, right, on),
            Plan::Values { rows, types } => self.values(rows, types.len()),
            Plan::Aggregate { input, keys, calls } => self.aggregate(input, keys, calls),
            Plan::Window { input, partition, order, calls } => self.window(input, partition, order, calls),
            Plan::Distinct { input } => {
                let input = self.plan(input)?;
                let node = self.graph.add(Operator::Distinct { input: input.node });
                Ok(Lowered { node, ..input })
            }
            Plan::UnionAll { inputs } => {
                let width = plan.types().len();
                let mut lowered =
                    inputs.iter().map(|input| self.plan(input)).collect::<Result<Vec<_>, _>>()?;
                let dependent = lowered.iter().any(|input| input.dependent);
                if dependent {
                    lowered = lowered.into_iter().map(|input| self.dependent(input)).collect();
                }
                let inputs = lowered.into_iter().map(|input| input.node).collect();
                Ok(Lowered { node: self.graph.add(Operator::Union { inputs }), dependent, width })
            }
            Plan::TopK { input, order, limit, offset } => {
                let limit = bound(limit.as_ref(), "LIMIT")?;
                let offset = bound(offset.as_ref(), "OFFSET")?.unwrap_or(0);
                let input = self.plan(input)?;
                let prefix = self.prefix(input);
                let order = order.iter().map(|key| sort_key(key, prefix)).collect();
                let node =
                    self.graph.add(Operator::TopK(TopK { input: input.node, prefix, order, offset, limit }));
                Ok(Lowered { node, ..input })
            }
        }
    }

    /// How many parameters a node's rows begin with.
    fn prefix(&self, lowered: Lowered) -> usize {
        match self.parameters {
            Some((_, count)) if lowered.dependent => count,
            _ => 0,
        }
    }

    /// The node's rows once for each live parameter tuple.
    fn dependent(&mut self, input: Lowered) -> Lowered {
        let Some((relation, count)) = self.parameters else { return input };
        if input.dependent {
            return input;
        }
        let parameters = self.graph.add(Operator::Input(relation));
        let rows = self.graph.add(Operator::Arrange { input: input.node, key: Vec::new() });
        let prefix: Vec<Scalar> = (0..count).map(|place| Scalar::column(0, place)).collect();
        let columns = (0..input.width).map(|place| Scalar::column(1, place));
        let every = |input, integral| Path {
            conditions: Vec::new(),
            probes: vec![Probe {
                input,
                integral,
                index: Vec::new(),
                key: Vec::new(),
                exact: 0,
                conditions: Vec::new(),
            }],
        };
        let join = Join {
            inputs: vec![
                JoinInput { source: parameters, filter: Vec::new() },
                JoinInput { source: input.node, filter: Vec::new() },
            ],
            paths: vec![every(1, rows), every(0, parameters)],
            conditions: Vec::new(),
            project: prefix.iter().cloned().chain(columns).collect(),
            prefix,
        };
        Lowered { node: self.graph.add(Operator::Join(join)), dependent: true, width: input.width }
    }

    /// Expressions over a node's rows: columns behind the prefix, parameters in it.
    fn compile_over(&self, expr: &Expr, input: Lowered) -> Scalar {
        let prefix = self.prefix(input);
        let placed = place_parameters(&move_columns(expr, |place| place + prefix), &|place| place);
        compile(&placed, &|place| (0, place))
    }

    fn values(&mut self, rows: &[Vec<Expr>], width: usize) -> Result<Lowered, LowerError> {
        let constant = |expr: &Expr| match &expr.kind {
            ExprKind::Literal(value) => Some(value.clone()),
            _ => None,
        };
        let constants: Option<Vec<Row>> = rows.iter().map(|row| row.iter().map(constant).collect()).collect();
        if let Some(rows) = constants {
            let node = self.graph.add(Operator::Constant(rows));
            return Ok(Lowered { node, dependent: false, width });
        }
        // Each row is the projection of the row without columns.
        let one = Plan::Values { rows: vec![Vec::new()], types: Vec::new() };
        let inputs = rows
            .iter()
            .map(|row| Plan::Project { input: Box::new(one.clone()), exprs: row.clone() })
            .collect();
        self.plan(&Plan::UnionAll { inputs })
    }
}

/// The expression with each parameter replaced by the column at the place it has.
fn place_parameters(expr: &Expr, place: &dyn Fn(usize) -> usize) -> Expr {
    expr.map_leaves(&mut |leaf| match leaf.kind {
        ExprKind::Parameter(number) => Some(Expr::column(place(number), leaf.data_type.clone())),
        _ => None,
    })
}

fn bound(expr: Option<&Expr>, clause: &'static str) -> Result<Option<u64>, LowerError> {
    let Some(expr) = expr else { return Ok(None) };
    if expr.has_parameter() {
        return Err(LowerError::NeedsInstance);
    }
    match compile(expr, &|place| (0, place)).eval(&[Row::empty()])? {
        Value::Integer(n) => u64::try_from(n).map(Some).map_err(|_| LowerError::NegativeLimit { clause }),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;

//! Lowering: an optimised plan becomes nodes of the shared graph.
//!
//! A query is a template with parameters, and a template has one circuit: the dependent join of the relation
//! of its live parameter tuples with the plan (Neumann and Kemper, "Unnesting Arbitrary Queries", 2015). So
//! a subscription is a row of that relation. Subqueries and lateral tables are lowered by the same rule: beneath
//! a dependent join the relation is that of the different outer values of the left side.
//!
//! Invariant: what a plan is computed for is its [`Domain`]; a node is *dependent* when its rows begin with the
//! row of the domain they belong to; whatever reads a parameter or an outer column is dependent, a dependent
//! node's groups, windows and matches never mix two rows of the domain, and the root of a template with parameters
//! is dependent.

mod access;
mod aggregate;
mod block;
mod computed_key;
mod estimate;
mod match_join;
mod recursive;
mod temporal;
mod window;

use deltaic_dataflow::{
    Graph, Join, JoinInput, KeyColumn, NodeId, Operator, Path, Probe, RelationId, Sample, Scalar,
    SetOperation, TopK,
};
use deltaic_types::{EvalError, Row, TableId, Value};
pub use recursive::recurs;
use temporal::{asks_for_time, check_time};
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

    /// How many rows a table has, None where joins are ordered by their keys alone.
    fn rows(&self, _table: TableId) -> Option<usize> {
        None
    }

    /// What an index of a table that serves these columns tells of the rows that share their values; None where there
    /// is no such index.
    fn sample(&self, _table: TableId, _columns: &[usize]) -> Option<Sample> {
        None
    }
}

/// Tables of which nothing is known but their indexes: the planner switched off.
#[allow(missing_debug_implementations, reason = "the tables behind it have no text")]
pub struct Unmeasured<'a>(pub &'a dyn Tables);

impl Tables for Unmeasured<'_> {
    fn slot(&self, table: TableId, column: usize) -> Option<usize> {
        self.0.slot(table, column)
    }

    fn keys(&self, table: TableId) -> Vec<Vec<usize>> {
        self.0.keys(table)
    }
}

/// A plan that has no circuit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LowerError {
    /// The step of a recursion asks of each row of the recursive relation what only a query of its own can tell.
    #[error(
        "a subquery or lateral table in the second query of a recursion reads the recursive table otherwise than in \
         its conditions: write it as a join"
    )]
    DependentStep,
    /// LIMIT or OFFSET is negative.
    #[error("{clause} must not be negative")]
    NegativeLimit {
        /// LIMIT or OFFSET.
        clause: &'static str,
    },
    /// LIMIT or OFFSET cannot be evaluated.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// The time stands where its every move would be a change.
    #[error(
        "in a live query now() and current_date stand in comparisons, such as created > now() - interval '1 hour', in \
         WHERE, HAVING, the select list, aggregates, or ON (of an outer join where it concerns one side): elsewhere, or on both sides, the result \
         would change with every instant"
    )]
    MovingTime,
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
    let domain = parameters.map(|(relation, parameters)| {
        let node = graph.add(Operator::Input(relation));
        Domain { node, parameters, width: parameters }
    });
    check_time(&query.plan)?;
    let mut lowering = Lowering { graph, domain, tables, feedback: None };
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

/// The rows that a plan is computed for, each once: a template's live tuples, and beneath a dependent join these
/// with the values of the outer columns, or the outer values alone where nothing beneath reads a parameter.
#[derive(Debug, Clone, Copy)]
struct Domain {
    node: NodeId,
    /// How many of the first columns are the template's parameters: all, or none.
    parameters: usize,
    /// How many columns there are.
    width: usize,
}

impl Domain {
    /// The column of a parameter or an outer column; None for any other leaf of an expression.
    fn place(&self, leaf: &Expr) -> Option<usize> {
        match leaf.kind {
            ExprKind::Parameter(number) => Some(number),
            ExprKind::Outer(place) => Some(self.parameters + place),
            _ => None,
        }
    }

    /// The expression with what it reads of the domain as columns, which are `at` their places in it.
    fn settle(&self, expr: &Expr, at: &dyn Fn(usize) -> usize) -> Expr {
        expr.map_leaves(&mut |leaf| Some(Expr::column(at(self.place(leaf)?), leaf.data_type.clone())))
    }
}

/// Whether an expression reads the domain.
fn reads_domain(expr: &Expr) -> bool {
    expr.has_parameter() || expr.has_outer()
}

struct Lowering<'a> {
    graph: &'a mut Graph,
    domain: Option<Domain>,
    tables: &'a dyn Tables,
    /// The recursive relation inside of a step.
    feedback: Option<Lowered>,
}

impl Lowering<'_> {
    fn plan(&mut self, plan: &Plan) -> Result<Lowered, LowerError> {
        match plan {
            Plan::Filter { .. } | Plan::Project { .. } if asks_for_time(plan) => self.temporal(plan),
            Plan::Scan { .. } | Plan::Filter { .. } | Plan::Project { .. } => self.block(plan),
            Plan::Join { kind: plan::JoinKind::Inner, left, outer, on, .. }
                if outer.is_empty() && !computed_key::is_by_values_alone(left, on) =>
            {
                self.block(plan)
            }
            Plan::Join { kind, left, right, outer, on } => self.match_join(*kind, left, right, outer, on),
            Plan::Values { rows, types } => self.values(rows, types.len()),
            Plan::Aggregate { input, keys, calls } => self.aggregate(input, keys, calls),
            Plan::Recursive { base, step, all, ranked } => self.recursive(base, step, *all, *ranked),
            Plan::Recurring { .. } => {
                Ok(self.feedback.expect("invariant: a recursive relation is read in its step"))
            }
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
            Plan::SetOperation { kind, left, right } => {
                let (mut left, mut right) = (self.plan(left)?, self.plan(right)?);
                if left.dependent || right.dependent {
                    (left, right) = (self.dependent(left), self.dependent(right));
                }
                let operation = SetOperation { kind: *kind, left: left.node, right: right.node };
                Ok(Lowered { node: self.graph.add(Operator::SetOperation(operation)), ..left })
            }
            Plan::TopK { input, partition, order, limit, offset } => {
                let mut input = self.plan(input)?;
                if limit.iter().chain(offset).any(reads_domain) {
                    input = self.dependent(input);
                }
                let limit = self.row_count(limit.as_ref(), "LIMIT")?;
                let offset = self.row_count(offset.as_ref(), "OFFSET")?;
                let prefix = self.prefix(input);
                let partition = (0..prefix).chain(partition.iter().map(|place| prefix + place)).collect();
                let order = order.iter().map(|key| sort_key(key, prefix)).collect();
                let top_k = TopK { input: input.node, partition, order, offset, limit };
                Ok(Lowered { node: self.graph.add(Operator::TopK(top_k)), ..input })
            }
        }
    }

    /// How many columns of the domain a node's rows begin with.
    fn prefix(&self, lowered: Lowered) -> usize {
        self.domain.filter(|_| lowered.dependent).map_or(0, |domain| domain.width)
    }

    /// How many of these are the template's parameters, to which errors belong.
    fn parameters(&self, lowered: Lowered) -> usize {
        self.domain.filter(|_| lowered.dependent).map_or(0, |domain| domain.parameters)
    }

    /// The node that joins probe for a node's rows by a key.
    fn integral(&mut self, node: NodeId, key: &[KeyColumn]) -> NodeId {
        match self.graph.operator(node) {
            Operator::Input(_) => node,
            _ => self.graph.add(Operator::Arrange { input: node, key: key.to_vec() }),
        }
    }

    /// A number of rows: a scalar over the values of a partition, which begin with the domain's.
    fn row_count(&self, expr: Option<&Expr>, clause: &'static str) -> Result<Scalar, LowerError> {
        let Some(expr) = expr else { return Ok(Scalar::constant(Value::Null)) };
        match self.domain {
            Some(domain) if reads_domain(expr) => {
                Ok(compile(&domain.settle(expr, &|place| place), &|place| (0, place)))
            }
            _ => match compile(expr, &|place| (0, place)).eval(&[Row::empty()])? {
                Value::Integer(..0) => Err(LowerError::NegativeLimit { clause }),
                value => Ok(Scalar::constant(value)),
            },
        }
    }

    /// The node's rows once for each row of the domain.
    fn dependent(&mut self, input: Lowered) -> Lowered {
        let Some(domain) = self.domain else { return input };
        if input.dependent {
            return input;
        }
        let count = domain.width;
        let each = self.integral(domain.node, &[]);
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
                search: None,
                conditions: Vec::new(),
            }],
        };
        let join = Join {
            inputs: vec![
                JoinInput { source: domain.node, filter: Vec::new() },
                JoinInput { source: input.node, filter: Vec::new() },
            ],
            paths: vec![every(1, rows), every(0, each)],
            conditions: Vec::new(),
            project: prefix.iter().cloned().chain(columns).collect(),
            prefix: prefix[..domain.parameters].to_vec(),
        };
        Lowered { node: self.graph.add(Operator::Join(join)), dependent: true, width: input.width }
    }

    /// Expressions over a node's rows: columns behind the prefix, what is read of the domain in it.
    fn compile_over(&self, expr: &Expr, input: Lowered) -> Scalar {
        let prefix = self.prefix(input);
        let moved = move_columns(expr, |place| place + prefix);
        let placed =
            self.domain.map_or_else(|| moved.clone(), |domain| domain.settle(&moved, &|place| place));
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

//! One-shot queries: the same circuits as live ones, hydrated once over a snapshot and read.

use std::collections::BTreeSet;

use deltaic_dataflow::{Graph, Relation, RelationId, Relations};
use deltaic_query::{
    expression::{Expr, ExprKind},
    lower::{Circuit, lower},
    optimise::{columns_read, optimise},
    plan::{Plan, Query},
    template::lift_columns,
};
use deltaic_types::{Row, Value, limits};

use crate::{error::RequestError, transaction::Transaction};

/// The parameter relation of one-shot queries: a graph of their own holds it, so its number is free.
const ONE_SHOT: RelationId = RelationId::Parameters(u64::MAX);

/// The rows of a query in its order, hidden columns cut off. Its parameters are literals already.
pub(crate) fn rows(query: &Query, transaction: &mut Transaction<'_>) -> Result<Vec<Row>, RequestError> {
    let Installed { graph, circuit, tuple, .. } = install(query, transaction, true)?;
    if let Some(error) = graph.error(circuit.root, &tuple) {
        return Err(error.clone().into());
    }
    let width = query.columns.len();
    let mut rows = Vec::new();
    let mut bytes = 0_usize;
    for (row, weight) in graph.arranged(circuit.root, &tuple) {
        let values: Row = row[circuit.prefix..circuit.prefix + width].iter().cloned().collect();
        bytes = bytes.saturating_add(values.heap_bytes().saturating_mul(weight as usize));
        if bytes > limits::VIEW_BYTES {
            return Err(RequestError::ResultTooLarge { bytes, limit: limits::VIEW_BYTES });
        }
        rows.extend(std::iter::repeat_n(values, weight as usize));
    }
    Ok(rows)
}

/// A query's circuit by itself, hydrated.
pub(crate) struct Installed {
    /// Holds nothing but the circuit.
    pub(crate) graph: Graph,
    pub(crate) circuit: Circuit,
    /// The values that were lifted out of the query.
    pub(crate) tuple: Row,
    /// What it was computed from.
    pub(crate) relations: Relations,
}

/// Makes a query's circuit, and computes it where that is wanted.
pub(crate) fn install(
    query: &Query,
    transaction: &mut Transaction<'_>,
    computes: bool,
) -> Result<Installed, RequestError> {
    let mut query = Query { plan: optimise(query.plan.clone()), ..query.clone() };
    transaction.reads(tables_of(&query.plan));
    transaction.make_hot(&columns_read(&query.plan))?;
    // A constant that an index finds is a parameter with one tuple, so the index is probed and not scanned.
    let tables = &transaction.tables;
    let lifted = lift_columns(&query.plan, &|table, column| {
        let schema = tables.schema(table);
        let indexed = schema.unique_keys().map(|(_, columns)| columns);
        let declared = schema.indexes.iter().map(|index| &index.columns[..]);
        let foreign = schema.foreign_keys.iter().map(|key| &key.columns[..]);
        indexed.chain(declared).chain(foreign).any(|columns| columns.first() == Some(&column))
    });
    let tuple: Row = lifted.values.into_iter().collect();
    query.plan = lifted.plan;
    let mut relations = tables.relations.clone();
    let parameters = (!tuple.is_empty()).then(|| {
        let places: Vec<usize> = (0..tuple.len()).collect();
        relations.put(ONE_SHOT, Relation::of(&places, [tuple.clone()]));
        (ONE_SHOT, tuple.len())
    });
    let mut graph = Graph::default();
    let circuit = lower(&query, parameters, &mut graph, tables)?;
    for (relation, key) in graph.indexes_to_hydrate(&relations) {
        if let Some(relation) = relations.get_mut(relation) {
            relation.ensure_index(&key);
        }
    }
    if computes {
        let outcome = graph.hydrate_within(&relations, transaction.allowance());
        outcome.map_err(|exhausted| transaction.exhausted(exhausted))?;
    }
    Ok(Installed { graph, circuit, tuple, relations })
}

/// Rows that an INSERT brings, in the order in which it brings them.
pub(crate) fn source_rows(plan: &Plan, transaction: &mut Transaction<'_>) -> Result<Vec<Row>, RequestError> {
    if let Some(rows) = constant_rows(plan)? {
        return Ok(rows);
    }
    let columns = plan
        .types()
        .into_iter()
        .map(|data_type| deltaic_query::plan::ResultColumn { name: String::new(), data_type })
        .collect();
    rows(&Query { plan: plan.clone(), columns, order: Vec::new() }, transaction)
}

/// VALUES, and projections of it, evaluated row by row.
fn constant_rows(plan: &Plan) -> Result<Option<Vec<Row>>, RequestError> {
    let evaluate = |exprs: &[Expr], row: &Row| -> Result<Row, RequestError> {
        let values: Result<Vec<Value>, _> = exprs
            .iter()
            .map(|expr| match &expr.kind {
                ExprKind::Literal(value) => Ok(value.clone()),
                ExprKind::Column(place) => Ok(row[*place].clone()),
                _ => deltaic_query::evaluate(expr, row),
            })
            .collect();
        Ok(Row::from(values?))
    };
    match plan {
        Plan::Values { rows, .. } if !rows.iter().flatten().any(Expr::has_subquery) => {
            rows.iter().map(|row| evaluate(row, &Row::empty())).collect::<Result<_, _>>().map(Some)
        }
        Plan::Project { input, exprs } if !exprs.iter().any(Expr::has_subquery) => {
            match constant_rows(input)? {
                Some(rows) => rows.iter().map(|row| evaluate(exprs, row)).collect::<Result<_, _>>().map(Some),
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// The rows of a table that satisfy a condition: their primary keys, and then the values of expressions over them.
pub(crate) fn matching(
    transaction: &mut Transaction<'_>,
    table: deltaic_types::TableId,
    filter: Option<&Expr>,
    values: &[&Expr],
) -> Result<Vec<Row>, RequestError> {
    let schema = transaction.tables.schema(table);
    let types: Vec<_> = schema.columns.iter().map(|column| column.data_type.clone()).collect();
    let exprs: Vec<Expr> = schema
        .primary_key
        .iter()
        .map(|place| Expr::column(*place, types[*place].clone()))
        .chain(values.iter().copied().cloned())
        .collect();
    let columns = exprs
        .iter()
        .map(|expr| deltaic_query::plan::ResultColumn {
            name: String::new(),
            data_type: expr.data_type.clone(),
        })
        .collect();
    let scan = Plan::Scan { table, types };
    let input = match filter {
        Some(predicate) => Plan::Filter { input: Box::new(scan), predicate: predicate.clone() },
        None => scan,
    };
    let plan = Plan::Project { input: Box::new(input), exprs };
    rows(&Query { plan, columns, order: Vec::new() }, transaction)
}

/// The tables that a plan reads.
pub(crate) fn tables_of(plan: &Plan) -> BTreeSet<deltaic_types::TableId> {
    let mut tables = BTreeSet::new();
    if let Plan::Scan { table, .. } = plan {
        tables.insert(*table);
    }
    for input in plan.inputs() {
        tables.extend(tables_of(input));
    }
    tables
}

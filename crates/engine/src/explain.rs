//! EXPLAIN: the circuit of a query as indented text, one operator a line.

use std::collections::BTreeMap;

use deltaic_dataflow::{Description, NodeId, Operator};
use deltaic_query::plan::{Query, ResultColumn};
use deltaic_types::{DataType, Row, Value};

use crate::{admission::StatementResult, error::RequestError, label::Labels, read, transaction::Transaction};

/// The lines of EXPLAIN.
pub(crate) fn explain(
    transaction: &mut Transaction<'_>,
    query: &Query,
) -> Result<StatementResult, RequestError> {
    let (graph, circuit, _) = read::install(query, transaction)?;
    let nodes = graph.describe(circuit.root);
    let by_id: BTreeMap<NodeId, &Description> = nodes.iter().map(|node| (node.id, node)).collect();
    let labels = Labels::of(&nodes, &transaction.tables);
    let mut lines = Vec::new();
    draw(circuit.root, 0, &by_id, &labels, &mut lines);
    let rows: Vec<Row> = lines.into_iter().map(|line| Row::from_iter([Value::from(line)])).collect();
    let columns = vec![ResultColumn { name: "QUERY PLAN".to_owned(), data_type: DataType::Text }];
    let rows_affected = rows.len() as u64;
    Ok(StatementResult { columns, rows, rows_affected })
}

fn draw(
    id: NodeId,
    depth: usize,
    nodes: &BTreeMap<NodeId, &Description>,
    labels: &Labels<'_>,
    lines: &mut Vec<String>,
) {
    let node = nodes[&id];
    lines.push(format!("{:indent$}{}", "", labels.label(&node.operator), indent = depth * 2));
    let mut inputs = match &node.operator {
        // Its feedback is drawn where the step reads it.
        Operator::Recurse(recurse) => vec![recurse.base, recurse.step],
        operator => operator.inputs(),
    };
    inputs.sort_unstable();
    inputs.dedup();
    for input in inputs {
        draw(input, depth + 1, nodes, labels, lines);
    }
}

//! EXPLAIN: the circuit of a query as indented text, one operator a line.

use std::{collections::BTreeMap, fmt::Write as _};

use deltaic_dataflow::{Description, NodeId, Operator, RelationId};
use deltaic_query::plan::{Query, ResultColumn};
use deltaic_types::{DataType, Row, Value};

use crate::{
    admission::StatementResult, error::RequestError, read, tables::Tables, transaction::Transaction,
};

/// The lines of EXPLAIN.
pub(crate) fn explain(
    transaction: &mut Transaction<'_>,
    query: &Query,
) -> Result<StatementResult, RequestError> {
    let (graph, circuit, _) = read::install(query, transaction)?;
    let nodes = graph.describe(circuit.root);
    let by_id: BTreeMap<NodeId, &Description> = nodes.iter().map(|node| (node.id, node)).collect();
    let mut lines = Vec::new();
    draw(circuit.root, 0, &by_id, &transaction.tables, &mut lines);
    let rows: Vec<Row> = lines.into_iter().map(|line| Row::from_iter([Value::from(line)])).collect();
    let columns = vec![ResultColumn { name: "QUERY PLAN".to_owned(), data_type: DataType::Text }];
    let rows_affected = rows.len() as u64;
    Ok(StatementResult { columns, rows, rows_affected })
}

fn draw(
    id: NodeId,
    depth: usize,
    nodes: &BTreeMap<NodeId, &Description>,
    tables: &Tables,
    lines: &mut Vec<String>,
) {
    let node = nodes[&id];
    lines.push(format!("{:indent$}{}", "", label(&node.operator, tables), indent = depth * 2));
    let mut inputs = node.operator.inputs();
    inputs.sort_unstable();
    inputs.dedup();
    for input in inputs {
        draw(input, depth + 1, nodes, tables, lines);
    }
}

/// What an operator does, in a line.
pub(crate) fn label(operator: &Operator, tables: &Tables) -> String {
    let mut text = operator.name().to_owned();
    match operator {
        Operator::Input(RelationId::Table(table)) => {
            if let Some(schema) = tables.catalog().get(*table) {
                let _ = write!(text, " {}", schema.name);
            }
        }
        Operator::Map(map) => {
            if !map.filter.is_empty() {
                let _ = write!(text, " where {}", names(&map.filter, " and "));
            }
            if let Some(project) = &map.project {
                let _ = write!(text, " -> {}", names(project, ", "));
            }
        }
        Operator::Arrange { key, .. } => {
            let columns: Vec<String> = key.iter().map(|key| format!("#{}", key.column)).collect();
            let _ = write!(text, " by ({})", columns.join(", "));
        }
        Operator::Join(join) if !join.conditions.is_empty() => {
            let _ = write!(text, " on {}", names(&join.conditions, " and "));
        }
        Operator::LeftJoin(join) if !join.conditions.is_empty() => {
            let _ = write!(text, " on {}", names(&join.conditions, " and "));
        }
        Operator::Aggregate(aggregate) => {
            let calls: Vec<String> = aggregate
                .calls
                .iter()
                .map(|call| {
                    let argument = call.argument.as_ref().map_or("*", |argument| argument.name());
                    format!("{:?}({argument})", call.function)
                })
                .collect();
            let _ = write!(text, " {} by ({})", calls.join(", "), names(&aggregate.key, ", "));
        }
        Operator::TopK(top_k) => {
            if let Some(limit) = top_k.limit {
                let _ = write!(text, " {limit}");
            }
            if top_k.offset > 0 {
                let _ = write!(text, " after {}", top_k.offset);
            }
        }
        _ => {}
    }
    text
}

fn names(scalars: &[deltaic_dataflow::Scalar], separator: &str) -> String {
    let names: Vec<&str> = scalars.iter().map(deltaic_dataflow::Scalar::name).collect();
    names.join(separator)
}

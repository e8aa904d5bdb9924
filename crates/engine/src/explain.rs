//! EXPLAIN: the circuit of a query, one operator a line and its inputs further in; ANALYZE computes it and counts.

use std::collections::BTreeMap;

use deltaic_dataflow::{Description, NodeId};
use deltaic_query::{plan::ResultColumn, statement::Explain};
use deltaic_types::{DataType, Row, Value, text_format::parse_text};
use serde_json::json;

use crate::{
    admission::StatementResult,
    error::RequestError,
    label::Labels,
    read::{self, Installed},
    transaction::Transaction,
};

/// An operator of a circuit that was computed.
struct Operator<'a> {
    node: &'a Description,
    label: String,
    /// The rows that it gives out, where they were counted.
    given: Option<u64>,
    inputs: Vec<NodeId>,
}

/// The lines of EXPLAIN, or one JSON array of the operators, inputs first.
pub(crate) fn explain(
    transaction: &mut Transaction<'_>,
    explain: &Explain,
) -> Result<StatementResult, RequestError> {
    let Installed { graph, circuit, relations, .. } =
        read::install(&explain.query, transaction, explain.analyze)?;
    let nodes = graph.describe(circuit.root);
    let labels = Labels::of(&nodes, &transaction.tables);
    let operators: BTreeMap<NodeId, Operator<'_>> = nodes
        .iter()
        .map(|node| {
            let rows = || graph.contents(node.id, &relations).rows;
            let count = || rows().iter().map(|(_, weight)| weight.unsigned_abs()).sum();
            let mut inputs = match &node.operator {
                // Its feedback is drawn where the step reads it.
                deltaic_dataflow::Operator::Recurse(recurse) => vec![recurse.base, recurse.step],
                operator => operator.inputs(),
            };
            inputs.sort_unstable();
            inputs.dedup();
            let operator = Operator {
                node,
                label: labels.label(&node.operator),
                given: explain.analyze.then(count),
                inputs,
            };
            (node.id, operator)
        })
        .collect();
    let (rows, data_type) = if explain.json {
        (vec![Row::from_iter([in_json(&operators)?])], DataType::Jsonb)
    } else {
        let mut lines = Vec::new();
        draw(circuit.root, 0, &operators, &mut lines);
        if explain.analyze {
            lines.push(format!("index probes: {}", graph.probes()));
        }
        (lines.into_iter().map(|line| Row::from_iter([Value::from(line)])).collect(), DataType::Text)
    };
    let columns = vec![ResultColumn { name: "QUERY PLAN".to_owned(), data_type }];
    let rows_affected = rows.len() as u64;
    Ok(StatementResult { columns, rows, rows_affected })
}

fn draw(id: NodeId, depth: usize, operators: &BTreeMap<NodeId, Operator<'_>>, lines: &mut Vec<String>) {
    let operator = &operators[&id];
    let counted = operator.given.map_or_else(String::new, |given| {
        let state = match (operator.node.rows, operator.node.bytes) {
            (0, 0) => String::new(),
            (rows, bytes) => format!(", keeps {rows} in {bytes} bytes"),
        };
        format!("  (gives {given}{state})")
    });
    lines.push(format!("{:indent$}{}{counted}", "", operator.label, indent = depth * 2));
    for input in &operator.inputs {
        draw(*input, depth + 1, operators, lines);
    }
}

fn in_json(operators: &BTreeMap<NodeId, Operator<'_>>) -> Result<Value, RequestError> {
    let each = operators.iter().map(|(id, operator)| {
        let mut object = json!({
            "id": id.0,
            "operator": operator.node.operator.name(),
            "label": operator.label,
            "inputs": operator.inputs.iter().map(|input| input.0).collect::<Vec<_>>(),
        });
        if let Some(given) = operator.given {
            object["rows"] = json!(given);
            object["state_rows"] = json!(operator.node.rows);
            object["state_bytes"] = json!(operator.node.bytes);
        }
        object
    });
    let text = serde_json::Value::from(each.collect::<Vec<_>>()).to_string();
    Ok(parse_text(&text, &DataType::Jsonb)?)
}

//! Whole queries over VALUES, from the text through a circuit, against what PostgreSQL 15 answers.
//!
//! The answers were recorded from a server (time zone UTC, database in C.UTF-8): the type and the text of the
//! value in each row, numerics without trailing zeros, since a numeric here does not keep them. `json` is `jsonb`.

use deltaic_dataflow::{Graph, Relations};
use deltaic_query::{
    lower::{Tables, lower},
    optimise::optimise,
};
use deltaic_types::{DataType, TableId, text_format::to_text_typed};

use super::functions::asked;

struct NoTables;

impl Tables for NoTables {
    fn slot(&self, _: TableId, _: usize) -> Option<usize> {
        None
    }

    fn keys(&self, _: TableId) -> Vec<Vec<usize>> {
        Vec::new()
    }
}

/// The type of a query's one column and its values, or the SQLSTATE of its error.
fn answer(sql: &str) -> (String, String) {
    let error = |code: &str| (String::new(), format!("ERROR {code}"));
    let mut query = match asked(sql) {
        Ok(query) => query,
        Err(problem) => return error(problem.sqlstate()),
    };
    query.plan = optimise(query.plan);
    let mut graph = Graph::default();
    let circuit = lower(&query, None, &mut graph, &NoTables).unwrap();
    graph.hold(circuit.root);
    graph.hydrate(&Relations::default());
    if let Some(problem) = graph.error(circuit.root, &deltaic_types::Row::empty()) {
        return error(problem.sqlstate());
    }
    let data_type = &query.columns[0].data_type;
    let mut texts = Vec::new();
    for (row, weight) in graph.arranged(circuit.root, &[]) {
        let text = if row[0].is_null() { "NULL".to_owned() } else { to_text_typed(&row[0], data_type) };
        texts.extend(std::iter::repeat_n(text, usize::try_from(weight).unwrap()));
    }
    let name = match data_type {
        DataType::Numeric(_) => "numeric".to_owned(),
        other => other.to_string(),
    };
    (name, texts.join(" ; "))
}

/// Compares the answers of expressions over a FROM with those that were recorded.
pub(crate) fn check(from: &str, answers: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (expression, data_type, text) in answers {
        let (expression, tail) = expression.split_once(" | ").unwrap_or((expression, ""));
        let found = answer(&format!("SELECT {expression} FROM {from} {tail}"));
        if (found.0.as_str(), found.1.as_str()) != (data_type, text) {
            wrong.push(format!("{expression}: {} {}, not {data_type} {text}", found.0, found.1));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), answers.len(), wrong.join("\n"));
}

//! The binder as a whole: plans, statements, errors, coercions, hostile input.

mod errors;
mod merging;
mod plans;
mod rewriting;
mod soup;
mod statements;

use std::fmt::Write as _;

use deltaic_query::{
    compile, evaluate,
    expression::Expr,
    plan::{AggregateCall, Plan, Query, SortKey},
};
use deltaic_types::{Catalog, Row};

use super::*;
use crate::parser::parse;

/// A catalog made by its own DDL.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for sql in [
        "CREATE TABLE project (id int PRIMARY KEY, name text NOT NULL, budget numeric(10,2))",
        "CREATE TABLE task (id bigint PRIMARY KEY, project_id int REFERENCES project ON DELETE CASCADE,
             title text, done boolean NOT NULL DEFAULT false, prio int CHECK (prio >= 0), due timestamptz,
             weight double precision, tags text[], doc jsonb, day date, UNIQUE (project_id, title))",
        "CREATE TABLE log (at timestamptz DEFAULT now(), line text)",
    ] {
        let Statement::CreateTable(Some(table)) = run(&catalog, sql).unwrap().statement else { panic!() };
        catalog.put(table).unwrap();
    }
    let Statement::CreateIndex(Some(create)) =
        run(&catalog, "CREATE INDEX ON task (prio, due)").unwrap().statement
    else {
        panic!()
    };
    let mut task = catalog.remove("task").unwrap();
    task.indexes.push(create.index);
    catalog.put(task).unwrap();
    catalog
}

fn run(catalog: &Catalog, sql: &str) -> Result<Bound, SqlError> {
    let parsed = parse(sql)?;
    bind(&parsed[0], &BindContext { catalog, now: Some(1_700_000_000_000_000) })
}

fn query(catalog: &Catalog, sql: &str) -> Query {
    match run(catalog, sql).unwrap_or_else(|error| panic!("{sql}: {error}")).statement {
        Statement::Query(query) => query,
        other => panic!("{sql}: {other:?}"),
    }
}

fn show_expr(expr: &Expr) -> String {
    compile(expr, &|column| (0, column)).name().replace("#0.", "#")
}

fn show_exprs(exprs: &[Expr]) -> String {
    exprs.iter().map(show_expr).collect::<Vec<_>>().join(", ")
}

fn show_order(order: &[SortKey]) -> String {
    let keys: Vec<String> = order
        .iter()
        .map(|key| {
            let direction = if key.descending { " desc" } else { "" };
            let nulls = if key.nulls_first == key.descending { "" } else { " nulls turned" };
            format!("#{}{direction}{nulls}", key.column)
        })
        .collect();
    keys.join(", ")
}

fn show_call(call: &AggregateCall) -> String {
    let mut text = format!("{:?}(", call.function).to_lowercase();
    if call.distinct {
        text.push_str("distinct ");
    }
    text += &if call.arguments.is_empty() { "*".to_owned() } else { show_exprs(&call.arguments) };
    if !call.order.is_empty() {
        let _ = write!(text, " by {}", show_order(&call.order));
    }
    if let Some(direct) = &call.direct {
        let _ = write!(text, " at {}", show_expr(direct));
    }
    let _ = write!(text, ")::{}", call.data_type);
    if let Some(filter) = &call.filter {
        let _ = write!(text, " filter {}", show_expr(filter));
    }
    text
}

/// A plan in one line.
fn show(plan: &Plan) -> String {
    match plan {
        Plan::Scan { table, .. } => format!("scan {}", table.0),
        Plan::Values { rows, .. } => {
            let rows: Vec<String> = rows.iter().map(|row| format!("({})", show_exprs(row))).collect();
            format!("values {}", rows.join(" "))
        }
        Plan::Filter { input, predicate } => format!("filter {} [{}]", show_expr(predicate), show(input)),
        Plan::Project { input, exprs } => format!("project {} [{}]", show_exprs(exprs), show(input)),
        Plan::Join { kind, left, right, outer, on } => {
            let outer = if outer.is_empty() { String::new() } else { format!(" outer {outer:?}") };
            format!("{kind:?} on {}{outer} [{}] [{}]", show_expr(on), show(left), show(right)).to_lowercase()
        }
        Plan::SetOperation { kind, left, right } => {
            format!("{kind:?} [{}] [{}]", show(left), show(right)).to_lowercase()
        }
        Plan::Aggregate { input, keys, calls } => {
            let calls: Vec<String> = calls.iter().map(show_call).collect();
            format!("group ({}) {} [{}]", show_exprs(keys), calls.join(", "), show(input))
        }
        Plan::Window { input, partition, order, calls } => {
            let calls: Vec<String> = calls.iter().map(|call| format!("{:?}", call.function)).collect();
            format!("window {partition:?} ({}) {} [{}]", show_order(order), calls.join(", "), show(input))
        }
        Plan::Distinct { input } => format!("distinct [{}]", show(input)),
        Plan::UnionAll { inputs } => {
            let inputs: Vec<String> = inputs.iter().map(|input| format!("[{}]", show(input))).collect();
            format!("union {}", inputs.join(" "))
        }
        Plan::Recursive { base, step, all, .. } => {
            format!("recursive{} [{}] [{}]", if *all { " all" } else { "" }, show(base), show(step))
        }
        Plan::Recurring { .. } => "recurring".to_owned(),
        Plan::TopK { input, partition, order, limit, offset } => {
            let count = |expr: &Option<Expr>| expr.as_ref().map_or_else(|| "-".to_owned(), show_expr);
            let each = if partition.is_empty() { String::new() } else { format!(" of each {partition:?}") };
            let window = format!("{} {}", count(limit), count(offset));
            format!("top{each} ({}) {window} [{}]", show_order(order), show(input))
        }
    }
}

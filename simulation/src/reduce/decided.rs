//! Whether a query has one answer: what the generator promises, and what a cut may not take away.
//!
//! Invariant: rows that are told apart by their places alone do so by an order that tells all of them apart. A query
//! that breaks it differs between two right engines, so it is no smaller failure.

use std::ops::ControlFlow;

use deltaic_sql::sqlparser::ast::{
    Distinct, DuplicateTreatment, Expr, Function, FunctionArguments, Query, Select, Statement, TableFactor,
    WindowFrameUnits, WindowType,
};

use super::{
    kinds::{Column, Shapes, columns_of, with_common_tables},
    tree::{self, Part},
};
use crate::naive::last;

/// Calls whose value depends on the order of rows.
const ORDERED: [&str; 10] = [
    "row_number",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
    "string_agg",
    "array_agg",
    "jsonb_agg",
];

/// Whether a statement has one outcome.
pub fn is_decided(statement: &mut Statement, shapes: &Shapes) -> bool {
    match statement {
        Statement::Query(query) => is_query_decided(query, shapes, &[]),
        _ => true,
    }
}

fn is_query_decided(query: &mut Query, shapes: &Shapes, outer: &[Column]) -> bool {
    let shapes = with_common_tables(shapes, query, outer);
    let ctes = query.with.iter_mut().flat_map(|with| &mut with.cte_tables);
    for cte in ctes {
        if !is_query_decided(&mut cte.query, &shapes, outer) {
            return false;
        }
    }
    let chosen = tree::has_limit(query)
        || tree::selects(&mut query.body)
            .iter()
            .any(|select| matches!(select.distinct, Some(Distinct::On(_))));
    if chosen {
        let width = tree::selects(&mut query.body).first().map_or(0, |select| select.projection.len());
        let keys: Vec<String> =
            tree::order_keys(query).into_iter().flatten().map(|key| key.expr.to_string()).collect();
        if !(1..=width).all(|place| keys.contains(&place.to_string())) {
            return false;
        }
    }
    tree::selects(&mut query.body).into_iter().all(|select| is_select_decided(select, &shapes, outer))
}

fn is_select_decided(select: &mut Select, shapes: &Shapes, outer: &[Column]) -> bool {
    let own = columns_of(select, shapes, outer);
    let seen = [&own[..], outer].concat();
    for factor in tree::factors(select) {
        if let TableFactor::Derived { subquery, .. } = factor {
            if !is_query_decided(subquery, shapes, &seen) {
                return false;
            }
        }
    }
    let mut decided = true;
    for expr in tree::expressions(select) {
        tree::walk(expr, &mut |part| {
            match part {
                Part::Expr(Expr::Function(function)) => decided &= is_call_decided(function, &own),
                Part::Query(query) => {
                    decided &= is_query_decided(query, shapes, &seen);
                    // That looked into all of it, with its own columns.
                    return ControlFlow::Break(());
                }
                Part::Expr(_) => {}
            }
            ControlFlow::Continue(())
        });
    }
    decided
}

fn is_call_decided(function: &mut Function, own: &[Column]) -> bool {
    let name = last(&function.name);
    if let Some(WindowType::WindowSpec(spec)) = &function.over {
        let by_rows = spec.window_frame.as_ref().is_some_and(|frame| frame.units == WindowFrameUnits::Rows);
        if !by_rows && !ORDERED.contains(&name.as_str()) {
            return true;
        }
        let keys: Vec<String> = spec.order_by.iter().map(|key| key.expr.to_string()).collect();
        // The key of a table tells its rows apart.
        let has = |column: &Column, name: &str| keys.contains(&format!("{}.{name}", column.alias));
        return own.iter().all(|column| has(column, &column.name) || has(column, "id"));
    }
    let complete = match name.as_str() {
        "string_agg" | "array_agg" | "jsonb_agg" => 1,
        "jsonb_object_agg" => 2,
        _ => return true,
    };
    let distinct = matches!(&function.args, FunctionArguments::List(list)
        if matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct)));
    let keys: Vec<String> = tree::call_order(function).into_iter().map(|key| key.expr.to_string()).collect();
    distinct
        || tree::arguments(function)
            .into_iter()
            .take(complete)
            .all(|argument| keys.contains(&argument.to_string()))
}

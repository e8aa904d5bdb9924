//! What else changes where a column of a query or a table of FROM is gone.
//!
//! Invariant: nothing that is left names what is gone, by its name or by its place.

use std::ops::ControlFlow;

use deltaic_sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Query, Select, TableFactor, Value, WindowType,
};

use super::{
    kinds::{Column, Shapes, constants, kind_of},
    tree::{self, Part},
};

/// Takes a column out of a query; what orders it by places counts anew.
pub(super) fn without_column(query: &mut Query, place: usize) {
    for select in tree::selects(&mut query.body) {
        if place < select.projection.len() {
            select.projection.remove(place);
        }
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            keys.retain_mut(|key| moves(key, place));
            if keys.is_empty() {
                select.distinct = None;
            }
        }
    }
    if let Some(keys) = tree::order_keys(query) {
        keys.retain_mut(|key| moves(&mut key.expr, place));
        if keys.is_empty() {
            query.order_by = None;
        }
    }
}

/// Whether a place is still there when one is gone; those behind it move up.
fn moves(key: &mut Expr, gone: usize) -> bool {
    match key.to_string().parse::<usize>() {
        Ok(number) if number == gone + 1 => false,
        Ok(number) if number > gone + 1 => {
            *key = Expr::Value(Value::Number((number - 1).to_string(), false).with_empty_span());
            true
        }
        _ => true,
    }
}

/// Puts constants where the columns of a table stand that is gone from FROM.
pub(super) fn forget(select: &mut Select, gone: &TableFactor, columns: &[Column]) {
    let Some(gone) = tree::alias_of(gone) else { return };
    let is_gone = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) => {
            parts.first().is_some_and(|part| part.value.to_lowercase() == gone)
        }
        _ => false,
    };
    if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.retain(|key| !is_gone(key));
    }
    for expr in tree::expressions(select) {
        tree::walk(expr, &mut |part| {
            if let Part::Expr(expr) = part {
                if let Expr::Function(function) = expr {
                    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                        spec.order_by.retain(|key| !is_gone(&key.expr));
                        spec.partition_by.retain(|key| !is_gone(key));
                    }
                }
                if is_gone(expr) {
                    let kind = kind_of(expr, &Shapes::new(), columns);
                    *expr = constants(kind).remove(0);
                }
            }
            ControlFlow::Continue(())
        });
    }
}

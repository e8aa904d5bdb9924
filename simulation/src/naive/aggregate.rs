//! Aggregates, computed from the list of a group's rows as their definitions read.

use std::{cmp::Ordering, collections::BTreeSet};

use bigdecimal::BigDecimal;
use deltaic_sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, OrderByExpr,
};

use super::{
    expression::{Scope, arguments, evaluate, holds},
    last,
    select::by,
    value::{Failure, V},
    window::criteria,
};

const AGGREGATES: [&str; 23] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "every",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "variance",
    "var_samp",
    "var_pop",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "string_agg",
    "array_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "percentile_cont",
    "percentile_disc",
];

pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name) || name == "mode"
}

pub(super) fn contains_aggregate(expr: &Expr) -> bool {
    // The generator writes aggregates at the top of an item, or under an operator or a cast.
    match expr {
        Expr::Function(function) => {
            (is_aggregate(&last(&function.name)) && function.over.is_none())
                || criteria(function).into_iter().any(contains_aggregate)
                || arguments(function).is_some_and(|list| list.into_iter().any(contains_aggregate))
        }
        Expr::BinaryOp { left, right, .. } => contains_aggregate(left) || contains_aggregate(right),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::IsNull(inner) => {
            contains_aggregate(inner)
        }
        _ => false,
    }
}

/// The criteria of ORDER BY in a call or in WITHIN GROUP.
fn order_of(function: &Function) -> &[OrderByExpr] {
    if let FunctionArguments::List(list) = &function.args {
        for clause in &list.clauses {
            if let FunctionArgumentClause::OrderBy(order) = clause {
                return order;
            }
        }
    }
    &function.within_group
}

/// The values of an aggregate over a group.
pub(super) fn aggregate(name: &str, function: &Function, group: &[Scope<'_>]) -> Result<V, Failure> {
    let distinct = matches!(&function.args, FunctionArguments::List(list)
        if matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct)));
    let order = order_of(function);
    let ordered_set = matches!(name, "percentile_cont" | "percentile_disc" | "mode");
    // The arguments of each row, and what they are ordered by.
    let mut rows: Vec<(Vec<V>, Vec<V>)> = Vec::new();
    for row in group {
        if !function.filter.as_ref().map_or(Ok(true), |filter| holds(filter, row))? {
            continue;
        }
        let values = |exprs: &mut dyn Iterator<Item = &Expr>| -> Result<Vec<V>, Failure> {
            exprs.map(|expr| evaluate(expr, row)).collect()
        };
        let keys = values(&mut order.iter().map(|key| &key.expr))?;
        let list = match arguments(function) {
            _ if ordered_set => keys.clone(),
            Some(list) => values(&mut list.into_iter())?,
            None => vec![V::Bool(true)],
        };
        rows.push((list, keys));
    }
    if name == "jsonb_object_agg" && rows.iter().any(|(list, _)| list[0] == V::Null) {
        return Err(Failure::Evaluation("field name must not be null"));
    }
    if !matches!(name, "array_agg" | "jsonb_agg" | "jsonb_object_agg") {
        rows.retain(|(list, _)| list[0] != V::Null);
    }
    if distinct {
        let mut seen = BTreeSet::new();
        rows.retain(|(list, _)| seen.insert(list.iter().map(V::canonical).collect::<Vec<_>>()));
        rows.sort_by(|(a, _), (b, _)| {
            a.iter().zip(b).map(|(a, b)| V::order_nulls_last(a, b)).fold(Ordering::Equal, Ordering::then)
        });
    }
    rows.sort_by(|(_, a), (_, b)| {
        let values = order.iter().zip(a.iter().zip(b));
        values.map(|(key, (a, b))| by(key, a, b)).fold(Ordering::Equal, Ordering::then)
    });
    if ordered_set {
        let fraction = match arguments(function).unwrap_or_default().first() {
            None => V::Null,
            Some(fraction) => evaluate(fraction, &Scope::nothing())?.assign(super::Kind::Double)?,
        };
        let values: Vec<V> = rows.into_iter().map(|(mut list, _)| list.remove(0)).collect();
        return ranked(name, &fraction, &values);
    }
    let lists: Vec<Vec<V>> = rows.into_iter().map(|(list, _)| list).collect();
    match name {
        "count" => return Ok(V::Big(lists.len() as i64)),
        _ if lists.is_empty() => return Ok(V::Null),
        "string_agg" => {
            let mut text = String::new();
            for (place, list) in lists.iter().enumerate() {
                // Each text but the first is behind its delimiter.
                for part in [&list[1], &list[0]].into_iter().skip(usize::from(place == 0)) {
                    if let V::Text(part) = part {
                        text += part;
                    }
                }
            }
            return Ok(V::Text(text));
        }
        "jsonb_object_agg" => {
            let mut members: Vec<(String, V)> = Vec::new();
            for list in lists {
                let V::Text(key) = &list[0] else { return Err(unsupported(name, &list[0])) };
                members.retain(|(known, _)| known != key);
                members.push((key.clone(), list[1].to_json()));
            }
            members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
            return Ok(V::Object(members));
        }
        _ => {}
    }
    let values: Vec<V> = lists.into_iter().map(|mut list| list.remove(0)).collect();
    match name {
        "array_agg" => Ok(V::List(values)),
        "jsonb_agg" => Ok(V::List(values.iter().map(V::to_json).collect())),
        "min" => Ok(values.into_iter().min_by(V::order).unwrap_or(V::Null)),
        "max" => Ok(values.into_iter().max_by(V::order).unwrap_or(V::Null)),
        "bool_and" | "every" => Ok(V::Bool(values.iter().all(|value| *value == V::Bool(true)))),
        "bool_or" => Ok(V::Bool(values.contains(&V::Bool(true)))),
        "bit_and" | "bit_or" | "bit_xor" => bits(name, &values),
        "sum" | "avg" => sum(name, &values),
        _ => dispersion(name, &values),
    }
}

fn unsupported(name: &str, value: &V) -> Failure {
    Failure::Unsupported(format!("{name} of {value:?}"))
}

/// Values in order, none of them NULL.
fn ranked(name: &str, fraction: &V, values: &[V]) -> Result<V, Failure> {
    if name == "mode" {
        let mut best = (0, V::Null);
        for value in values {
            let count = values.iter().filter(|other| other.canonical() == value.canonical()).count();
            if count > best.0 {
                best = (count, value.clone());
            }
        }
        return Ok(best.1);
    }
    let V::Double(fraction) = *fraction else { return Ok(V::Null) };
    if !(0.0..=1.0).contains(&fraction) {
        return Err(Failure::Evaluation("no fraction"));
    }
    if values.is_empty() {
        return Ok(V::Null);
    }
    if name == "percentile_disc" {
        let place = (fraction * values.len() as f64).ceil() as usize;
        return Ok(values[place.max(1) - 1].clone());
    }
    let place = fraction * (values.len() - 1) as f64;
    let at = |place: f64| match values[place as usize].clone().assign(super::Kind::Double)? {
        V::Double(x) => Ok(x),
        other => Err(unsupported(name, &other)),
    };
    let (low, high) = (at(place.floor())?, at(place.ceil())?);
    Ok(V::Double(if place.fract() == 0.0 { low } else { low + place.fract() * (high - low) }))
}

fn bits(name: &str, values: &[V]) -> Result<V, Failure> {
    let mut whole = None;
    for value in values {
        let (V::Int(n) | V::Big(n)) = value else { return Err(unsupported(name, value)) };
        whole = Some(match (name, whole) {
            (_, None) => *n,
            ("bit_and", Some(before)) => before & n,
            ("bit_or", Some(before)) => before | n,
            (_, Some(before)) => before ^ n,
        });
    }
    Ok(match (whole, &values[0]) {
        (Some(n), V::Int(_)) => V::Int(n),
        (Some(n), _) => V::Big(n),
        (None, _) => V::Null,
    })
}

/// Numbers that are not doubles as decimals.
fn decimals(name: &str, values: &[V]) -> Result<Vec<BigDecimal>, Failure> {
    values
        .iter()
        .map(|value| match value {
            V::Int(n) | V::Big(n) => Ok(BigDecimal::from(*n)),
            V::Decimal(d) => Ok(d.clone()),
            other => Err(unsupported(name, other)),
        })
        .collect()
}

fn doubles(values: &[V]) -> Vec<f64> {
    values.iter().map(|value| if let V::Double(x) = value { *x } else { f64::NAN }).collect()
}

fn sum(name: &str, values: &[V]) -> Result<V, Failure> {
    let count = values.len() as i64;
    if let V::Double(_) = values[0] {
        let sum: f64 = doubles(values).iter().sum();
        return Ok(V::Double(if name == "avg" { sum / count as f64 } else { sum }));
    }
    let sum: BigDecimal = decimals(name, values)?.iter().sum();
    match (name, &values[0]) {
        ("avg", _) => Ok(V::Decimal(sum / BigDecimal::from(count))),
        (_, V::Int(_)) => {
            let text = sum.to_plain_string();
            text.parse().map(V::Big).map_err(|_| Failure::Evaluation("out of range"))
        }
        _ => Ok(V::Decimal(sum)),
    }
}

/// The mean of the squares of the distances from the mean, or its root.
fn dispersion(name: &str, values: &[V]) -> Result<V, Failure> {
    let count = values.len();
    let divisor = if name.ends_with("pop") { count } else { count - 1 };
    if divisor == 0 {
        return Ok(V::Null);
    }
    let root = name.starts_with("stddev");
    if let V::Double(_) = values[0] {
        let numbers = doubles(values);
        let mean = numbers.iter().sum::<f64>() / count as f64;
        let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / divisor as f64;
        return Ok(V::Double(if root { variance.sqrt() } else { variance }));
    }
    let numbers = decimals(name, values)?;
    let mean = numbers.iter().sum::<BigDecimal>() / BigDecimal::from(count as u64);
    let squares: BigDecimal = numbers.iter().map(|x| (x - &mean) * (x - &mean)).sum();
    let variance = squares / BigDecimal::from(divisor as u64);
    Ok(V::Decimal(if root { variance.sqrt().unwrap_or_default() } else { variance }))
}

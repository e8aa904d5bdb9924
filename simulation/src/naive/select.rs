//! SELECT: nested loops, sorting and counting, in the order in which SQL explains itself.

use std::cmp::Ordering;

use deltaic_sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, LimitClause, OrderByExpr, OrderByKind,
    OrderBySort, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, TableWithJoins,
    Value as Literal,
};

use super::{
    aggregate::contains_aggregate,
    expression::{Around, Scope, evaluate, holds},
    last,
    recursive::with_common_tables,
    value::{Failure, V},
    window,
};

/// Rows with the names of their columns.
type Relation = (Vec<(String, String)>, Vec<Vec<V>>);

/// The order of two values by one criterion.
pub(super) fn by(key: &OrderByExpr, a: &V, b: &V) -> Ordering {
    let descending = matches!(key.options.sort, Some(OrderBySort::Desc));
    let nulls_first = key.options.nulls_first.unwrap_or(descending);
    match (a, b) {
        (V::Null, V::Null) => Ordering::Equal,
        (V::Null, _) if nulls_first => Ordering::Less,
        (V::Null, _) => Ordering::Greater,
        (_, V::Null) if nulls_first => Ordering::Greater,
        (_, V::Null) => Ordering::Less,
        (a, b) if descending => V::order(b, a),
        (a, b) => V::order(a, b),
    }
}

pub(super) fn query(around: Around<'_>, query: &Query) -> Result<Vec<Vec<V>>, Failure> {
    let with = query.with.as_ref();
    let extended = with.map(|with| with_common_tables(around, with, query)).transpose()?;
    let around = Around { database: extended.as_ref().unwrap_or(around.database), ..around };
    let mut rows = body(around, &query.body)?;
    if let Some(order) = &query.order_by {
        let OrderByKind::Expressions(keys) = &order.kind else {
            return Err(Failure::Unsupported(order.to_string()));
        };
        let places = keys.iter().map(|key| place_of(&key.expr)).collect::<Result<Vec<usize>, _>>()?;
        rows.sort_by(|a, b| {
            let orders = keys.iter().zip(&places).map(|(key, place)| by(key, &a[*place], &b[*place]));
            orders.fold(Ordering::Equal, Ordering::then)
        });
    }
    if let SetExpr::Select(select) = &*query.body
        && let Some(Distinct::On(list)) = &select.distinct
    {
        let places = list.iter().map(place_of).collect::<Result<Vec<usize>, _>>()?;
        let mut seen = std::collections::BTreeSet::new();
        rows.retain(|row| {
            seen.insert(places.iter().map(|place| row[*place].canonical()).collect::<Vec<_>>())
        });
    }
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
        let number = |expr: &Expr| match evaluate(expr, &Scope::empty(around))? {
            V::Int(n) | V::Big(n) => Ok(Some(n as usize)),
            V::Null => Ok(None),
            _ => Err(Failure::Unsupported("LIMIT".to_owned())),
        };
        if let Some(offset) = offset {
            rows.drain(..number(&offset.value)?.unwrap_or(0).min(rows.len()));
        }
        if let Some(limit) = limit {
            rows.truncate(number(limit)?.unwrap_or(usize::MAX));
        }
    }
    Ok(rows)
}

/// The column that an ordinal means.
fn place_of(expr: &Expr) -> Result<usize, Failure> {
    let place = match expr {
        Expr::Value(value) => match &value.value {
            Literal::Number(text, _) => text.parse::<usize>().ok(),
            _ => None,
        },
        _ => None,
    };
    place.map(|n| n - 1).ok_or_else(|| Failure::Unsupported(format!("{expr} where a place is expected")))
}

pub(super) fn body(around: Around<'_>, body: &SetExpr) -> Result<Vec<Vec<V>>, Failure> {
    match body {
        SetExpr::Select(select) => self::select(around, select),
        SetExpr::Query(inner) => query(around, inner),
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            let (left, right) = (self::body(around, left)?, self::body(around, right)?);
            Ok(combined(*op, matches!(set_quantifier, SetQuantifier::All), left, right))
        }
        other => Err(Failure::Unsupported(other.to_string())),
    }
}

/// UNION, INTERSECT and EXCEPT by striking out one row for another.
fn combined(op: SetOperator, all: bool, left: Vec<Vec<V>>, right: Vec<Vec<V>>) -> Vec<Vec<V>> {
    let canonical = |row: &Vec<V>| row.iter().map(V::canonical).collect::<Vec<_>>();
    let mut others: Vec<Vec<String>> = right.iter().map(canonical).collect();
    let mut rows = Vec::new();
    match op {
        SetOperator::Union => rows = left.into_iter().chain(right).collect(),
        _ => {
            for row in left {
                let key = canonical(&row);
                let place = others.iter().position(|other| *other == key);
                // With ALL each row of the right side stands for one of the left; without it, for all.
                if let (Some(place), true) = (place, all) {
                    others.swap_remove(place);
                }
                if place.is_some() == (op == SetOperator::Intersect) {
                    rows.push(row);
                }
            }
        }
    }
    if !all {
        let mut seen = std::collections::BTreeSet::new();
        rows.retain(|row| seen.insert(canonical(row)));
    }
    rows
}

/// The names of a query's columns.
fn names_of(body: &SetExpr) -> Result<Vec<String>, Failure> {
    match body {
        SetExpr::Select(select) => Ok(items(select)?.into_iter().map(|(_, name)| name).collect()),
        SetExpr::Query(inner) => names_of(&inner.body),
        SetExpr::SetOperation { left, .. } => names_of(left),
        other => Err(Failure::Unsupported(other.to_string())),
    }
}

fn select(around: Around<'_>, select: &Select) -> Result<Vec<Vec<V>>, Failure> {
    let mut source: Relation = (Vec::new(), vec![Vec::new()]);
    for table in &select.from {
        source = beside(around, source, |around| joined(around, table))?;
    }
    let (names, rows) = source;
    let scope = |values: &Vec<V>| Scope::of(names.clone(), values.clone(), around);
    let mut kept = Vec::new();
    for row in &rows {
        let scope = scope(row);
        if select.selection.as_ref().map_or(Ok(true), |condition| holds(condition, &scope))? {
            kept.push(scope);
        }
    }
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return Err(Failure::Unsupported("GROUP BY ALL".to_owned()));
    };
    let items: Vec<(&Expr, String)> = items(select)?;
    let grouped =
        !keys.is_empty() || select.having.is_some() || items.iter().any(|(expr, _)| contains_aggregate(expr));
    let mut output = Vec::new();
    if grouped {
        let groups = groups(keys, kept)?;
        let mut scopes = Vec::new();
        for (_, group) in &groups {
            let mut scope = group
                .first()
                .cloned()
                .unwrap_or_else(|| Scope::of(names.clone(), vec![V::Null; names.len()], around));
            scope.group = Some(group);
            // Aggregates are computed for every group, also for those that HAVING then drops.
            if !items.iter().any(|(expr, _)| window::contains(expr)) {
                project(&items, &scope)?;
            }
            if select.having.as_ref().map_or(Ok(true), |condition| holds(condition, &scope))? {
                scopes.push(scope);
            }
        }
        window::compute(&items, &mut scopes)?;
        for scope in &scopes {
            output.push(project(&items, scope)?);
        }
    } else {
        window::compute(&items, &mut kept)?;
        for scope in &kept {
            output.push(project(&items, scope)?);
        }
    }
    if let Some(Distinct::Distinct) = &select.distinct {
        let mut seen = std::collections::BTreeSet::new();
        output.retain(|row| seen.insert(row.iter().map(V::canonical).collect::<Vec<_>>()));
    }
    Ok(output)
}

/// Each row of a relation with the rows of another, which is computed for that row: a lateral table sees it.
fn beside(
    around: Around<'_>,
    left: Relation,
    right: impl Fn(Around<'_>) -> Result<Relation, Failure>,
) -> Result<Relation, Failure> {
    let (names, rows) = left;
    let mut all = names.clone();
    let mut output = Vec::new();
    if rows.is_empty() {
        let nothing = vec![V::Null; names.len()];
        let scope = Scope::of(names.clone(), nothing, around);
        all.extend(right(Around { outer: Some(&scope), ..around })?.0);
        return Ok((all, output));
    }
    for (number, row) in rows.into_iter().enumerate() {
        let scope = Scope::of(names.clone(), row.clone(), around);
        let (right_names, right_rows) = right(Around { outer: Some(&scope), ..around })?;
        if number == 0 {
            all.extend(right_names);
        }
        output.extend(right_rows.into_iter().map(|other| row.iter().cloned().chain(other).collect()));
    }
    Ok((all, output))
}

fn project(items: &[(&Expr, String)], scope: &Scope<'_>) -> Result<Vec<V>, Failure> {
    items.iter().map(|(expr, _)| evaluate(expr, scope)).collect()
}

fn items(select: &Select) -> Result<Vec<(&Expr, String)>, Failure> {
    select
        .projection
        .iter()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) => Ok((expr, String::new())),
            SelectItem::ExprWithAlias { expr, alias } => Ok((expr, alias.value.to_lowercase())),
            other => Err(Failure::Unsupported(other.to_string())),
        })
        .collect()
}

/// The values of a group's keys, and its rows.
type Group<'a> = (Vec<String>, Vec<Scope<'a>>);

/// The groups in the order of their first rows; without keys one group, empty or not.
fn groups<'a>(keys: &[Expr], rows: Vec<Scope<'a>>) -> Result<Vec<Group<'a>>, Failure> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    if keys.is_empty() {
        return Ok(vec![(Vec::new(), rows)]);
    }
    for row in rows {
        let key: Vec<String> = keys
            .iter()
            .map(|key| evaluate(key, &row).map(|value| value.canonical()))
            .collect::<Result<_, _>>()?;
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    Ok(groups)
}

fn joined(around: Around<'_>, table: &TableWithJoins) -> Result<Relation, Failure> {
    let mut left = factor(around, &table.relation)?;
    for join in &table.joins {
        let (constraint, keeps_left, keeps_right) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (constraint, false, false),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, true, false),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (constraint, false, true)
            }
            JoinOperator::FullOuter(constraint) => (constraint, true, true),
            JoinOperator::CrossJoin(constraint) => (constraint, false, false),
            _ => return Err(Failure::Unsupported("a join".to_owned())),
        };
        let right_of = |row: &Vec<V>| {
            let scope = Scope::of(left.0.clone(), row.clone(), around);
            factor(Around { outer: Some(&scope), ..around }, &join.relation)
        };
        let nothing = vec![V::Null; left.0.len()];
        let (right_names, plain) = right_of(&nothing)?;
        let names: Vec<(String, String)> = left.0.iter().chain(&right_names).cloned().collect();
        let mut rows = Vec::new();
        let mut partners = vec![false; plain.len()];
        for l in &left.1 {
            let mut matched = false;
            let lateral = matches!(join.relation, TableFactor::Derived { lateral: true, .. });
            let rights = if lateral { right_of(l)?.1 } else { plain.clone() };
            for (place, r) in rights.iter().enumerate() {
                let values: Vec<V> = l.iter().chain(r).cloned().collect();
                let pair = match constraint {
                    JoinConstraint::On(condition) => {
                        let scope = Scope::of(names.clone(), values.clone(), around);
                        holds(condition, &scope)?
                    }
                    JoinConstraint::None => true,
                    _ => return Err(Failure::Unsupported("a join constraint".to_owned())),
                };
                if pair {
                    matched = true;
                    if let Some(partner) = partners.get_mut(place) {
                        *partner = true;
                    }
                    rows.push(values);
                }
            }
            if keeps_left && !matched {
                rows.push(l.iter().cloned().chain(right_names.iter().map(|_| V::Null)).collect());
            }
        }
        if keeps_right {
            for (r, _) in plain.iter().zip(&partners).filter(|(_, partner)| !**partner) {
                rows.push(nothing.iter().chain(r).cloned().collect());
            }
        }
        left = (names, rows);
    }
    Ok(left)
}

fn factor(around: Around<'_>, factor: &TableFactor) -> Result<Relation, Failure> {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            let name = last(name);
            let table =
                around.database.get(&name).ok_or_else(|| Failure::Unsupported(format!("table {name}")))?;
            let alias = alias.as_ref().map_or(name, |alias| alias.name.value.to_lowercase());
            let names = table.columns.iter().map(|column| (alias.clone(), column.clone())).collect();
            Ok((names, table.rows.clone()))
        }
        TableFactor::Derived { subquery, alias: Some(alias), .. } => {
            let names = names_of(&subquery.body)?;
            let rows = query(around, subquery)?;
            let alias = alias.name.value.to_lowercase();
            Ok((names.into_iter().map(|name| (alias.clone(), name)).collect(), rows))
        }
        other => Err(Failure::Unsupported(other.to_string())),
    }
}

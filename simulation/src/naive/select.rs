//! SELECT: nested loops, sorting and counting, in the order in which SQL explains itself.

use std::cmp::Ordering;

use deltaic_query::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, LimitClause, OrderByExpr, OrderByKind,
    OrderBySort, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableFactor, TableWithJoins,
    Value as Literal,
};

use super::{
    Database,
    aggregate::contains_aggregate,
    expression::{Scope, evaluate, holds},
    last,
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

pub(super) fn query(database: &Database, query: &Query, parameters: &[V]) -> Result<Vec<Vec<V>>, Failure> {
    let (_, mut rows) = body(database, &query.body, parameters)?;
    if let Some(order) = &query.order_by {
        let OrderByKind::Expressions(keys) = &order.kind else {
            return Err(Failure::Unsupported(order.to_string()));
        };
        let places = keys
            .iter()
            .map(|key| match &key.expr {
                Expr::Value(value) => match &value.value {
                    Literal::Number(text, _) => text.parse::<usize>().ok().map(|n| n - 1),
                    _ => None,
                },
                _ => None,
            })
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| Failure::Unsupported("ORDER BY of anything but places".to_owned()))?;
        rows.sort_by(|a, b| {
            let orders = keys.iter().zip(&places).map(|(key, place)| by(key, &a[*place], &b[*place]));
            orders.fold(Ordering::Equal, Ordering::then)
        });
    }
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
        let number = |expr: &Expr| match evaluate(expr, &Scope::empty(parameters)) {
            Ok(V::Int(n) | V::Big(n)) => Ok(n as usize),
            _ => Err(Failure::Unsupported("LIMIT".to_owned())),
        };
        if let Some(offset) = offset {
            rows.drain(..number(&offset.value)?.min(rows.len()));
        }
        if let Some(limit) = limit {
            rows.truncate(number(limit)?);
        }
    }
    Ok(rows)
}

fn body(database: &Database, body: &SetExpr, parameters: &[V]) -> Result<Relation, Failure> {
    match body {
        SetExpr::Select(select) => self::select(database, select, parameters),
        SetExpr::Query(inner) => Ok((Vec::new(), query(database, inner, parameters)?)),
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
            let (names, mut rows) = self::body(database, left, parameters)?;
            rows.extend(self::body(database, right, parameters)?.1);
            Ok((names, rows))
        }
        other => Err(Failure::Unsupported(other.to_string())),
    }
}

fn select(database: &Database, select: &Select, parameters: &[V]) -> Result<Relation, Failure> {
    let mut source: Relation = (Vec::new(), vec![Vec::new()]);
    for table in &select.from {
        let right = joined(database, table, parameters)?;
        source = product(&source, &right);
    }
    let (names, rows) = source;
    let scope = |values: &Vec<V>| Scope {
        names: names.clone(),
        values: values.clone(),
        parameters,
        ..Scope::default()
    };
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
            let mut scope = group.first().cloned().unwrap_or_else(|| Scope {
                names: names.clone(),
                values: vec![V::Null; names.len()],
                parameters,
                ..Scope::default()
            });
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
    let names = items.into_iter().map(|(_, name)| (String::new(), name)).collect();
    Ok((names, output))
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

fn joined(database: &Database, table: &TableWithJoins, parameters: &[V]) -> Result<Relation, Failure> {
    let mut left = factor(database, &table.relation, parameters)?;
    for join in &table.joins {
        let right = factor(database, &join.relation, parameters)?;
        let (constraint, outer) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (constraint, false),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, true),
            JoinOperator::CrossJoin(constraint) => (constraint, false),
            _ => return Err(Failure::Unsupported("a join".to_owned())),
        };
        let names: Vec<(String, String)> = left.0.iter().chain(&right.0).cloned().collect();
        let mut rows = Vec::new();
        for l in &left.1 {
            let mut matched = false;
            for r in &right.1 {
                let values: Vec<V> = l.iter().chain(r).cloned().collect();
                let pair = match constraint {
                    JoinConstraint::On(condition) => {
                        let scope = Scope {
                            names: names.clone(),
                            values: values.clone(),
                            parameters,
                            ..Scope::default()
                        };
                        holds(condition, &scope)?
                    }
                    JoinConstraint::None => true,
                    _ => return Err(Failure::Unsupported("a join constraint".to_owned())),
                };
                if pair {
                    matched = true;
                    rows.push(values);
                }
            }
            if outer && !matched {
                rows.push(l.iter().cloned().chain(right.0.iter().map(|_| V::Null)).collect());
            }
        }
        left = (names, rows);
    }
    Ok(left)
}

fn product(left: &Relation, right: &Relation) -> Relation {
    let names = left.0.iter().chain(&right.0).cloned().collect();
    let pairs = left.1.iter().flat_map(|l| right.1.iter().map(move |r| l.iter().chain(r).cloned().collect()));
    (names, pairs.collect())
}

fn factor(database: &Database, factor: &TableFactor, parameters: &[V]) -> Result<Relation, Failure> {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            let name = last(name);
            let table = database.get(&name).ok_or_else(|| Failure::Unsupported(format!("table {name}")))?;
            let alias = alias.as_ref().map_or(name, |alias| alias.name.value.to_lowercase());
            let names = table.columns.iter().map(|column| (alias.clone(), column.clone())).collect();
            Ok((names, table.rows.clone()))
        }
        TableFactor::Derived { subquery, alias: Some(alias), .. } => {
            let (names, _) = body(database, &subquery.body, parameters)?;
            let rows = query(database, subquery, parameters)?;
            let alias = alias.name.value.to_lowercase();
            Ok((names.into_iter().map(|(_, name)| (alias.clone(), name)).collect(), rows))
        }
        other => Err(Failure::Unsupported(other.to_string())),
    }
}

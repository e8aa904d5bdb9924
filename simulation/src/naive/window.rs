//! Windows: for each row its partition is sorted and its frame picked out, row by row as the standard says.

use std::{cmp::Ordering, collections::BTreeSet};

use deltaic_sql::sqlparser::ast::{
    Expr, Function, OrderByExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::{
    aggregate::aggregate,
    expression::{Scope, arguments, evaluate},
    last,
    select::by,
    value::{Failure, V},
};

/// The expressions of a call's window.
pub(super) fn criteria(function: &Function) -> Vec<&Expr> {
    match &function.over {
        Some(WindowType::WindowSpec(spec)) => {
            spec.partition_by.iter().chain(spec.order_by.iter().map(|key| &key.expr)).collect()
        }
        _ => Vec::new(),
    }
}

/// Calls over windows, where the generator writes them: at the top, or under an operator or a function.
fn find<'e>(expr: &'e Expr, found: &mut Vec<&'e Function>) {
    match expr {
        Expr::Function(function) if function.over.is_some() => found.push(function),
        Expr::Function(function) => {
            for argument in arguments(function).unwrap_or_default() {
                find(argument, found);
            }
        }
        Expr::BinaryOp { left, right, .. } => {
            find(left, found);
            find(right, found);
        }
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::IsNull(inner) => find(inner, found),
        _ => {}
    }
}

pub(super) fn contains(expr: &Expr) -> bool {
    let mut found = Vec::new();
    find(expr, &mut found);
    !found.is_empty()
}

/// Gives each row the values of the items' calls over windows.
pub(super) fn compute(items: &[(&Expr, String)], rows: &mut [Scope<'_>]) -> Result<(), Failure> {
    let mut found = Vec::new();
    for (expr, _) in items {
        find(expr, &mut found);
    }
    let mut specs: Vec<String> =
        found.iter().filter_map(|function| function.over.as_ref()).map(ToString::to_string).collect();
    specs.sort();
    specs.dedup();
    if specs.len() > 1 {
        let mut seen = BTreeSet::new();
        let values = |row: &Scope<'_>| row.values.iter().map(V::canonical).collect::<Vec<_>>();
        if !rows.iter().all(|row| seen.insert(values(row))) {
            return Err(Failure::Ambiguous);
        }
    }
    let mut computed = Vec::new();
    for function in found {
        let Some(WindowType::WindowSpec(spec)) = &function.over else {
            return Err(Failure::Unsupported(function.to_string()));
        };
        computed.push((function.to_string(), column(function, spec, rows)?));
    }
    for (text, values) in computed {
        for (row, value) in rows.iter_mut().zip(values) {
            row.windows.insert(text.clone(), value);
        }
    }
    Ok(())
}

/// A row of a partition: its place among all rows, and the values of the order.
struct Member<'r, 'a> {
    number: usize,
    row: &'r Scope<'a>,
    keys: Vec<V>,
}

/// The values of a call for all rows.
fn column(function: &Function, spec: &WindowSpec, rows: &[Scope<'_>]) -> Result<Vec<V>, Failure> {
    let mut partitions: Vec<(Vec<String>, Vec<Member<'_, '_>>)> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let mut parts = Vec::new();
        for expr in &spec.partition_by {
            parts.push(evaluate(expr, row)?.canonical());
        }
        let keys = spec.order_by.iter().map(|key| evaluate(&key.expr, row)).collect::<Result<_, _>>()?;
        let member = Member { number, row, keys };
        match partitions.iter_mut().find(|(known, _)| *known == parts) {
            Some((_, members)) => members.push(member),
            None => partitions.push((parts, vec![member])),
        }
    }
    let mut values = vec![V::Null; rows.len()];
    for (_, mut members) in partitions {
        members.sort_by(|a, b| compare(&spec.order_by, a, b));
        for place in 0..members.len() {
            values[members[place].number] = value(function, spec, &members, place)?;
        }
    }
    Ok(values)
}

fn compare(order: &[OrderByExpr], a: &Member<'_, '_>, b: &Member<'_, '_>) -> Ordering {
    let keys = order.iter().zip(a.keys.iter().zip(&b.keys));
    keys.map(|(key, (a, b))| by(key, a, b)).fold(Ordering::Equal, Ordering::then)
}

fn value(
    function: &Function,
    spec: &WindowSpec,
    members: &[Member<'_, '_>],
    place: usize,
) -> Result<V, Failure> {
    let name = last(&function.name);
    let order = &spec.order_by;
    let count = members.len();
    let me = &members[place];
    let before = members.iter().filter(|other| compare(order, other, me).is_lt()).count();
    let until = members.iter().filter(|other| compare(order, other, me).is_le()).count();
    let list = arguments(function).unwrap_or_default();
    let number = |argument: usize| match list.get(argument).map(|expr| evaluate(expr, me.row)) {
        None => Ok(Some(1)),
        Some(Ok(V::Int(n))) => Ok(Some(n)),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error),
    };
    match name.as_str() {
        "row_number" => return Ok(V::Big(place as i64 + 1)),
        "rank" => return Ok(V::Big(before as i64 + 1)),
        "dense_rank" => {
            let firsts = (1..=place).filter(|at| compare(order, &members[at - 1], &members[*at]).is_lt());
            return Ok(V::Big(firsts.count() as i64 + 1));
        }
        "percent_rank" => return Ok(V::Double(before as f64 / (count - 1).max(1) as f64)),
        "cume_dist" => return Ok(V::Double(until as f64 / count as f64)),
        "ntile" => {
            let Some(parts) = number(0)? else { return Ok(V::Null) };
            if parts <= 0 {
                return Err(Failure::Evaluation("ntile"));
            }
            let mut part = 1;
            let mut left = count as i64;
            let mut at = place as i64;
            loop {
                // Each part takes its share of what is left, rounded up.
                let share = (left + parts - part) / (parts - part + 1);
                if at < share {
                    return Ok(V::Int(part));
                }
                (at, left, part) = (at - share, left - share, part + 1);
            }
        }
        "lag" | "lead" => {
            let Some(distance) = number(1)? else { return Ok(V::Null) };
            let wanted = place as i64 + if name == "lag" { -distance } else { distance };
            return match usize::try_from(wanted).ok().and_then(|wanted| members.get(wanted)) {
                Some(other) => evaluate(list[0], other.row),
                None => list.get(2).map_or(Ok(V::Null), |default| evaluate(default, me.row)),
            };
        }
        _ => {}
    }
    let mut frame = Vec::new();
    for other in 0..count {
        if in_frame(spec, members, place, other)? {
            frame.push(members[other].row.clone());
        }
    }
    let wanted = match name.as_str() {
        "first_value" => frame.first(),
        "last_value" => frame.last(),
        "nth_value" => match number(1)? {
            None => None,
            Some(n) if n <= 0 => return Err(Failure::Evaluation("nth_value")),
            Some(n) => frame.get(n as usize - 1),
        },
        _ => {
            let plain = Function { over: None, ..function.clone() };
            return aggregate(&name, &plain, &frame);
        }
    };
    wanted.map_or(Ok(V::Null), |row| evaluate(list[0], row))
}

/// Whether another row is in a row's frame.
fn in_frame(
    spec: &WindowSpec,
    members: &[Member<'_, '_>],
    place: usize,
    other: usize,
) -> Result<bool, Failure> {
    let default = WindowFrame::default();
    let frame = spec.window_frame.as_ref().unwrap_or(&default);
    let current = WindowFrameBound::CurrentRow;
    let end = frame.end_bound.as_ref().unwrap_or(&current);
    Ok(side(frame.units, &frame.start_bound, spec, members, place, other)?.is_ge()
        && side(frame.units, end, spec, members, place, other)?.is_le())
}

/// Where a row is, seen from a bound of another row's frame.
fn side(
    units: WindowFrameUnits,
    bound: &WindowFrameBound,
    spec: &WindowSpec,
    members: &[Member<'_, '_>],
    place: usize,
    other: usize,
) -> Result<Ordering, Failure> {
    let order = &spec.order_by;
    let (offset, sign) = match bound {
        WindowFrameBound::Preceding(None) => return Ok(Ordering::Greater),
        WindowFrameBound::Following(None) => return Ok(Ordering::Less),
        WindowFrameBound::CurrentRow if units == WindowFrameUnits::Rows => return Ok(other.cmp(&place)),
        WindowFrameBound::CurrentRow => return Ok(compare(order, &members[other], &members[place])),
        WindowFrameBound::Preceding(Some(offset)) => (evaluate(offset, &Scope::nothing())?, -1),
        WindowFrameBound::Following(Some(offset)) => (evaluate(offset, &Scope::nothing())?, 1),
    };
    let group = |at: usize| {
        (1..=at).filter(|at| compare(order, &members[at - 1], &members[*at]).is_lt()).count() as i64
    };
    match (units, offset) {
        (WindowFrameUnits::Rows, V::Int(n)) => Ok((other as i64).cmp(&(place as i64 + sign * n))),
        (WindowFrameUnits::Groups, V::Int(n)) => Ok(group(other).cmp(&(group(place) + sign * n))),
        (WindowFrameUnits::Range, offset) => {
            let (own, key) = (&members[place].keys[0], &order[0]);
            if *own == V::Null || members[other].keys[0] == V::Null {
                return Ok(by(key, &members[other].keys[0], own));
            }
            let descending = by(key, &V::Int(0), &V::Int(1)).is_gt();
            let op = if (sign < 0) == descending { '+' } else { '-' };
            // Beyond the type's range there are no values, and the bound need not be one.
            let widened = match own {
                V::Int(n) | V::Big(n) => V::Decimal((*n).into()),
                own => own.clone(),
            };
            let wanted = V::arithmetic(&widened, op, &offset)?;
            Ok(by(key, &members[other].keys[0], &wanted))
        }
        (_, offset) => Err(Failure::Unsupported(format!("{offset:?} as an offset"))),
    }
}

//! Expressions, evaluated by walking the tree.

use std::collections::BTreeMap;

use deltaic_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Query, UnaryOperator, Value as Literal,
};

use super::{
    Database,
    value::{Failure, V},
};

/// What a query sees beside its own tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) database: &'a Database,
    pub(super) parameters: &'a [V],
    /// The row of the query around, for a subquery.
    pub(super) outer: Option<&'a Scope<'a>>,
}

/// The columns that an expression sees: (table alias, column) and their values.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a> {
    pub(super) names: Vec<(String, String)>,
    pub(super) values: Vec<V>,
    pub(super) around: Around<'a>,
    /// In a grouped query the group's rows; aggregates are computed over them.
    pub(super) group: Option<&'a [Scope<'a>]>,
    /// The values of calls over windows, by the text of the call.
    pub(super) windows: BTreeMap<String, V>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(names: Vec<(String, String)>, values: Vec<V>, around: Around<'a>) -> Self {
        Self { names, values, around, group: None, windows: BTreeMap::new() }
    }

    /// For constants.
    pub(super) fn nothing() -> Scope<'static> {
        static NONE: Database = BTreeMap::new();
        Scope::empty(Around { database: &NONE, parameters: &[], outer: None })
    }

    pub(super) fn empty(around: Around<'a>) -> Self {
        Self::of(Vec::new(), Vec::new(), around)
    }

    pub(super) fn table(alias: &str, columns: &[String], row: &[V], around: Around<'a>) -> Self {
        let names = columns.iter().map(|column| (alias.to_owned(), column.clone())).collect();
        Self::of(names, row.to_vec(), around)
    }

    fn lookup(&self, table: Option<&str>, column: &str) -> Result<V, Failure> {
        let own = self
            .names
            .iter()
            .position(|(alias, name)| name == column && table.is_none_or(|table| table == alias));
        match (own, self.around.outer) {
            (Some(place), _) => Ok(self.values[place].clone()),
            (None, Some(outer)) => outer.lookup(table, column),
            (None, None) => Err(Failure::Unsupported(format!("column {column}"))),
        }
    }

    /// The rows of a subquery for this row.
    fn rows(&self, query: &Query) -> Result<Vec<Vec<V>>, Failure> {
        super::select::query(Around { outer: Some(self), ..self.around }, query)
    }
}

/// Whether a condition holds. Its conjuncts are judged each for itself: one that is not TRUE refuses the row
/// whatever befalls the others, and only if none does does a failure count.
pub(super) fn holds(condition: &Expr, scope: &Scope<'_>) -> Result<bool, Failure> {
    let mut conjuncts = Vec::new();
    flatten(condition, &mut conjuncts);
    let mut failure = None;
    for conjunct in conjuncts {
        match evaluate(conjunct, scope) {
            Ok(V::Bool(true)) => {}
            Ok(_) => return Ok(false),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(true), Err)
}

fn flatten<'e>(condition: &'e Expr, conjuncts: &mut Vec<&'e Expr>) {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            flatten(left, conjuncts);
            flatten(right, conjuncts);
        }
        Expr::Nested(inner) => flatten(inner, conjuncts),
        other => conjuncts.push(other),
    }
}

fn truth(value: &V) -> Result<Option<bool>, Failure> {
    match value {
        V::Bool(b) => Ok(Some(*b)),
        V::Null => Ok(None),
        other => Err(Failure::Unsupported(format!("{other:?} as a condition"))),
    }
}

fn of_truth(truth: Option<bool>) -> V {
    truth.map_or(V::Null, V::Bool)
}

pub(super) fn evaluate(expr: &Expr, scope: &Scope<'_>) -> Result<V, Failure> {
    let unsupported = || Failure::Unsupported(expr.to_string());
    match expr {
        Expr::Nested(inner) => evaluate(inner, scope),
        Expr::Identifier(name) => scope.lookup(None, &name.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => match &parts[..] {
            [table, column] => scope.lookup(Some(&table.value.to_lowercase()), &column.value.to_lowercase()),
            _ => Err(unsupported()),
        },
        Expr::Value(literal) => constant(&literal.value, scope),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let value = evaluate(expr, scope)?;
            let zero = match value {
                V::Double(_) => V::Double(0.0),
                V::Big(_) => V::Big(0),
                _ => V::Int(0),
            };
            V::arithmetic(&zero, '-', &value)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            Ok(of_truth(truth(&evaluate(expr, scope)?)?.map(|b| !b)))
        }
        Expr::IsNull(inner) => Ok(V::Bool(evaluate(inner, scope)? == V::Null)),
        Expr::IsNotNull(inner) => Ok(V::Bool(evaluate(inner, scope)? != V::Null)),
        Expr::IsDistinctFrom(a, b) => Ok(V::Bool(!same(&evaluate(a, scope)?, &evaluate(b, scope)?))),
        Expr::IsNotDistinctFrom(a, b) => Ok(V::Bool(same(&evaluate(a, scope)?, &evaluate(b, scope)?))),
        Expr::InList { expr, list, negated } => {
            let value = evaluate(expr, scope)?;
            let mut found = Some(false);
            for item in list {
                match equal(&value, &evaluate(item, scope)?) {
                    Some(true) => {
                        found = Some(true);
                        break;
                    }
                    None => found = None,
                    Some(false) => {}
                }
            }
            Ok(of_truth(found.map(|b| b != *negated)))
        }
        Expr::Between { expr, negated, low, high } => {
            let value = evaluate(expr, scope)?;
            let above = compare(&evaluate(low, scope)?, &value).map(std::cmp::Ordering::is_le);
            let below = compare(&value, &evaluate(high, scope)?).map(std::cmp::Ordering::is_le);
            let within = match (above, below) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            Ok(of_truth(within.map(|b| b != *negated)))
        }
        Expr::Like { negated, expr, pattern, .. } => {
            match (evaluate(expr, scope)?, evaluate(pattern, scope)?) {
                (V::Text(text), V::Text(pattern)) => {
                    let text: Vec<char> = text.chars().collect();
                    let pattern: Vec<char> = pattern.chars().collect();
                    Ok(V::Bool(like(&text, &pattern) != *negated))
                }
                _ => Ok(V::Null),
            }
        }
        Expr::Case { operand: None, conditions, else_result, .. } => {
            for when in conditions {
                if truth(&evaluate(&when.condition, scope)?)? == Some(true) {
                    return evaluate(&when.result, scope);
                }
            }
            else_result.as_ref().map_or(Ok(V::Null), |result| evaluate(result, scope))
        }
        Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } => {
            cast(evaluate(expr, scope)?, data_type)
        }
        Expr::Exists { subquery, negated } => Ok(V::Bool(scope.rows(subquery)?.is_empty() == *negated)),
        Expr::Subquery(query) => match &scope.rows(query)?[..] {
            [] => Ok(V::Null),
            [row] => Ok(row[0].clone()),
            _ => Err(Failure::Evaluation("more than one row")),
        },
        Expr::InSubquery { expr, subquery, negated } => {
            let found = any(expr, &BinaryOperator::Eq, subquery, scope)?;
            Ok(of_truth(found.map(|b| b != *negated)))
        }
        Expr::AnyOp { left, compare_op, right, .. } => match &**right {
            Expr::Subquery(query) => Ok(of_truth(any(left, compare_op, query, scope)?)),
            _ => Err(unsupported()),
        },
        Expr::AllOp { left, compare_op, right } => match &**right {
            Expr::Subquery(query) => Ok(of_truth(all(left, compare_op, query, scope)?)),
            _ => Err(unsupported()),
        },
        Expr::BinaryOp { left, op, right } => binary(left, op, right, scope),
        Expr::Function(function) => call(function, scope),
        _ => Err(unsupported()),
    }
}

fn constant(literal: &Literal, scope: &Scope<'_>) -> Result<V, Failure> {
    Ok(match literal {
        Literal::Null => V::Null,
        Literal::Boolean(b) => V::Bool(*b),
        Literal::SingleQuotedString(text) => V::Text(text.clone()),
        Literal::Number(text, _) => match text.parse::<i64>() {
            Ok(n) if i32::try_from(n).is_ok() => V::Int(n),
            Ok(n) => V::Big(n),
            Err(_) => V::Decimal(text.parse().map_err(|_| Failure::Unsupported(text.clone()))?),
        },
        Literal::Placeholder(name) => {
            let number: usize = name[1..].parse().map_err(|_| Failure::Unsupported(name.clone()))?;
            scope.around.parameters[number - 1].clone()
        }
        other => return Err(Failure::Unsupported(other.to_string())),
    })
}

fn cast(value: V, data_type: &DataType) -> Result<V, Failure> {
    match (value, data_type) {
        (V::Null, _) => Ok(V::Null),
        (value, DataType::BigInt(_)) => value.assign(super::Kind::Big),
        (value, DataType::Integer(_) | DataType::Int(_)) => value.assign(super::Kind::Int),
        (value, DataType::Numeric(_)) => value.assign(super::Kind::Decimal),
        (value, DataType::DoublePrecision | DataType::Double(_)) => value.assign(super::Kind::Double),
        (V::Int(n) | V::Big(n), DataType::Text) => Ok(V::Text(n.to_string())),
        (value @ V::Text(_), DataType::Text) => Ok(value),
        (value @ V::Bool(_), DataType::Boolean | DataType::Bool) => Ok(value),
        (value, other) => Err(Failure::Unsupported(format!("{value:?} as {other}"))),
    }
}

fn compare(a: &V, b: &V) -> Option<std::cmp::Ordering> {
    (*a != V::Null && *b != V::Null).then(|| V::order(a, b))
}

fn equal(a: &V, b: &V) -> Option<bool> {
    compare(a, b).map(std::cmp::Ordering::is_eq)
}

fn same(a: &V, b: &V) -> bool {
    match (a, b) {
        (V::Null, V::Null) => true,
        _ => equal(a, b) == Some(true),
    }
}

/// Whether a comparison holds for any row of a query: TRUE if for one, else NULL if it is NULL for one.
fn any(left: &Expr, op: &BinaryOperator, query: &Query, scope: &Scope<'_>) -> Result<Option<bool>, Failure> {
    let values: Vec<V> = match left {
        Expr::Tuple(list) => list.iter().map(|item| evaluate(item, scope)).collect::<Result<_, _>>()?,
        other => vec![evaluate(other, scope)?],
    };
    let mut found = Some(false);
    for row in scope.rows(query)? {
        let mut same = Some(true);
        for (a, b) in values.iter().zip(&row) {
            match (same, compared(a, op, b)?) {
                (_, Some(false)) => same = Some(false),
                (Some(true), other) => same = other,
                _ => {}
            }
        }
        match same {
            Some(true) => return Ok(Some(true)),
            None => found = None,
            Some(false) => {}
        }
    }
    Ok(found)
}

/// Whether it holds for all rows: FALSE if it does not for one, else NULL if it is NULL for one.
fn all(left: &Expr, op: &BinaryOperator, query: &Query, scope: &Scope<'_>) -> Result<Option<bool>, Failure> {
    let value = evaluate(left, scope)?;
    let mut holds = Some(true);
    for row in scope.rows(query)? {
        match compared(&value, op, &row[0])? {
            Some(false) => return Ok(Some(false)),
            None => holds = None,
            Some(true) => {}
        }
    }
    Ok(holds)
}

fn compared(a: &V, op: &BinaryOperator, b: &V) -> Result<Option<bool>, Failure> {
    use BinaryOperator as B;
    let test: fn(std::cmp::Ordering) -> bool = match op {
        B::Eq => std::cmp::Ordering::is_eq,
        B::NotEq => std::cmp::Ordering::is_ne,
        B::Lt => std::cmp::Ordering::is_lt,
        B::LtEq => std::cmp::Ordering::is_le,
        B::Gt => std::cmp::Ordering::is_gt,
        B::GtEq => std::cmp::Ordering::is_ge,
        other => return Err(Failure::Unsupported(other.to_string())),
    };
    Ok(compare(a, b).map(test))
}

fn binary(left: &Expr, op: &BinaryOperator, right: &Expr, scope: &Scope<'_>) -> Result<V, Failure> {
    use BinaryOperator as B;
    if matches!(op, B::And | B::Or) {
        let decisive = matches!(op, B::Or);
        let a = truth(&evaluate(left, scope)?)?;
        if a == Some(decisive) {
            return Ok(V::Bool(decisive));
        }
        let b = truth(&evaluate(right, scope)?)?;
        return Ok(of_truth(match (a, b) {
            (_, Some(b)) if b == decisive => Some(decisive),
            (Some(_), Some(_)) => Some(!decisive),
            _ => None,
        }));
    }
    let (a, b) = (evaluate(left, scope)?, evaluate(right, scope)?);
    match op {
        B::Plus => V::arithmetic(&a, '+', &b),
        B::Minus => V::arithmetic(&a, '-', &b),
        B::Multiply => V::arithmetic(&a, '*', &b),
        B::Divide => V::arithmetic(&a, '/', &b),
        B::Modulo => V::arithmetic(&a, '%', &b),
        B::StringConcat => match (a, b) {
            (V::Text(a), V::Text(b)) => Ok(V::Text(a + &b)),
            _ => Ok(V::Null),
        },
        other => Ok(of_truth(compared(&a, other, &b)?)),
    }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ['\\', plain, rest @ ..] => text.first() == Some(plain) && like(&text[1..], rest),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        [first, rest @ ..] => text.first() == Some(first) && like(&text[1..], rest),
    }
}

/// The plain arguments of a function; None for `*`.
pub(super) fn arguments(function: &Function) -> Option<Vec<&Expr>> {
    let FunctionArguments::List(list) = &function.args else { return Some(Vec::new()) };
    list.args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect()
}

fn call(function: &Function, scope: &Scope<'_>) -> Result<V, Failure> {
    let name = super::last(&function.name);
    if function.over.is_some() {
        let known = scope.windows.get(&function.to_string()).cloned();
        return known.ok_or_else(|| Failure::Unsupported(function.to_string()));
    }
    if let Some(group) = scope.group {
        if super::aggregate::is_aggregate(&name) {
            return super::aggregate::aggregate(&name, function, group);
        }
    }
    let arguments = arguments(function).ok_or_else(|| Failure::Unsupported(name.clone()))?;
    if name == "coalesce" {
        for argument in arguments {
            let value = evaluate(argument, scope)?;
            if value != V::Null {
                return Ok(value);
            }
        }
        return Ok(V::Null);
    }
    let values = arguments.iter().map(|expr| evaluate(expr, scope)).collect::<Result<Vec<_>, _>>()?;
    Ok(match (name.as_str(), &values[..]) {
        ("nullif", [a, b]) => {
            if equal(a, b) == Some(true) {
                V::Null
            } else {
                a.clone()
            }
        }
        ("greatest" | "least", values) => {
            let present = values.iter().filter(|value| **value != V::Null);
            let best = if name == "greatest" {
                present.max_by(|a, b| V::order(a, b))
            } else {
                present.min_by(|a, b| V::order(a, b))
            };
            best.cloned().unwrap_or(V::Null)
        }
        (_, values) if values.contains(&V::Null) => V::Null,
        ("abs", [value]) => {
            let zero = V::Int(0);
            if V::order(value, &zero).is_lt() { V::arithmetic(&zero, '-', value)? } else { value.clone() }
        }
        ("length", [V::Text(text)]) => V::Int(text.chars().count() as i64),
        ("upper", [V::Text(text)]) => V::Text(text.to_uppercase()),
        ("lower", [V::Text(text)]) => V::Text(text.to_lowercase()),
        _ => return Err(Failure::Unsupported(name)),
    })
}

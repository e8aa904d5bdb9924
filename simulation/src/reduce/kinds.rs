//! The kinds of columns and expressions, as far as the generator's SQL needs them.
//!
//! Invariant: a kind that is given is right; where it is not known there is none. What takes an expression's place has
//! its kind, because the naive evaluator's values know no common type of several branches.

use std::collections::BTreeMap;

use deltaic_sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, Query, Select, SelectItem, SetExpr,
    TableFactor, UnaryOperator, Value,
};

use super::tree;
use crate::naive::{Kind, last};

/// The columns of the tables by their names.
pub type Shapes = BTreeMap<String, Vec<(String, Option<Kind>)>>;

/// A column that an expression sees.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) alias: String,
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
}

/// The tables with a query's common tables.
pub(super) fn with_common_tables(shapes: &Shapes, query: &mut Query, outer: &[Column]) -> Shapes {
    let mut shapes = shapes.clone();
    for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        let kinds = items_of(&mut cte.query.body, &shapes, outer);
        let names = cte.alias.columns.iter().map(|column| column.name.value.to_lowercase());
        let columns = names.zip(kinds).map(|(name, (_, kind))| (name, kind)).collect();
        shapes.insert(cte.alias.name.value.to_lowercase(), columns);
    }
    shapes
}

/// The columns that FROM brings. A lateral table sees those to its left.
pub(super) fn columns_of(select: &mut Select, shapes: &Shapes, outer: &[Column]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for factor in tree::factors(select) {
        let Some(alias) = tree::alias_of(factor) else { continue };
        let own: Vec<(String, Option<Kind>)> = match factor {
            TableFactor::Table { name, .. } => shapes.get(&last(name)).cloned().unwrap_or_default(),
            TableFactor::Derived { subquery, .. } => {
                let around = [&columns[..], outer].concat();
                items_of(&mut subquery.body, shapes, &around)
            }
            _ => Vec::new(),
        };
        columns.extend(own.into_iter().map(|(name, kind)| Column { alias: alias.clone(), name, kind }));
    }
    columns
}

/// Names and kinds of a query's columns.
fn items_of(body: &mut SetExpr, shapes: &Shapes, outer: &[Column]) -> Vec<(String, Option<Kind>)> {
    let Some(select) = tree::selects(body).into_iter().next() else { return Vec::new() };
    let columns = [&columns_of(select, shapes, outer)[..], outer].concat();
    select
        .projection
        .iter_mut()
        .map(|item| match item {
            SelectItem::UnnamedExpr(expr) => (String::new(), kind_of(expr, shapes, &columns)),
            SelectItem::ExprWithAlias { expr, alias } => {
                (alias.value.to_lowercase(), kind_of(expr, shapes, &columns))
            }
            _ => (String::new(), None),
        })
        .collect()
}

/// The kind of an expression.
pub(super) fn kind_of(expr: &mut Expr, shapes: &Shapes, columns: &[Column]) -> Option<Kind> {
    let of = |expr: &mut Expr| kind_of(expr, shapes, columns);
    match expr {
        Expr::Nested(inner) => of(inner),
        Expr::Identifier(name) => {
            let name = name.value.to_lowercase();
            columns.iter().find(|column| column.name == name)?.kind
        }
        Expr::CompoundIdentifier(parts) => {
            let [alias, name] = &parts[..] else { return None };
            let (alias, name) = (alias.value.to_lowercase(), name.value.to_lowercase());
            columns.iter().find(|column| column.alias == alias && column.name == name)?.kind
        }
        Expr::Value(literal) => match &literal.value {
            Value::Boolean(_) => Some(Kind::Bool),
            Value::SingleQuotedString(_) => Some(Kind::Text),
            Value::Number(text, _) => {
                let number = text.parse::<i64>().ok()?;
                Some(if i32::try_from(number).is_ok() { Kind::Int } else { Kind::Big })
            }
            Value::Placeholder(_) => Some(Kind::Int),
            _ => None,
        },
        Expr::Cast { data_type, .. } => Kind::of(data_type),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => of(expr),
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => {
                let (left, right) = (of(left)?, of(right)?);
                (left == right).then_some(left)
            }
            BinaryOperator::StringConcat => Some(Kind::Text),
            _ => Some(Kind::Bool),
        },
        Expr::Case { conditions, .. } => of(&mut conditions.first_mut()?.result),
        Expr::UnaryOp { op: UnaryOperator::Not, .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::AnyOp { .. }
        | Expr::AllOp { .. }
        | Expr::Exists { .. } => Some(Kind::Bool),
        Expr::Subquery(query) => items_of(&mut query.body, shapes, columns).first()?.1,
        Expr::Function(function) => call(function, shapes, columns),
        _ => None,
    }
}

fn call(function: &mut Function, shapes: &Shapes, columns: &[Column]) -> Option<Kind> {
    let name = last(&function.name);
    let mut first = || kind_of(tree::arguments(function).into_iter().next()?, shapes, columns);
    match name.as_str() {
        "count" | "row_number" | "rank" | "dense_rank" => Some(Kind::Big),
        "length" | "ntile" => Some(Kind::Int),
        "percent_rank" | "cume_dist" | "percentile_cont" => Some(Kind::Double),
        "upper" | "lower" | "string_agg" => Some(Kind::Text),
        "bool_and" | "bool_or" | "every" => Some(Kind::Bool),
        "abs" | "coalesce" | "nullif" | "greatest" | "least" | "min" | "max" | "lag" | "lead"
        | "first_value" | "last_value" | "nth_value" | "bit_and" | "bit_or" | "bit_xor" => first(),
        "sum" => match first()? {
            Kind::Int => Some(Kind::Big),
            Kind::Big | Kind::Decimal => Some(Kind::Decimal),
            Kind::Double => Some(Kind::Double),
            _ => None,
        },
        "avg" | "variance" | "var_samp" | "var_pop" | "stddev" | "stddev_samp" | "stddev_pop" => {
            Some(if first()? == Kind::Double { Kind::Double } else { Kind::Decimal })
        }
        _ => None,
    }
}

/// The shortest constants of a kind; NULL where it is not known.
pub(super) fn constants(kind: Option<Kind>) -> Vec<Expr> {
    let value = |value: Value| Expr::Value(value.with_empty_span());
    let one = || value(Value::Number("1".to_owned(), false));
    let cast = |data_type| Expr::Cast {
        kind: CastKind::DoubleColon,
        expr: Box::new(one()),
        data_type,
        format: None,
    };
    match kind {
        None => vec![value(Value::Null)],
        Some(Kind::Int) => vec![one()],
        Some(Kind::Big) => vec![cast(DataType::BigInt(None))],
        Some(Kind::Decimal) => vec![cast(DataType::Numeric(ExactNumberInfo::None))],
        Some(Kind::Double) => vec![cast(DataType::DoublePrecision)],
        Some(Kind::Text) => vec![value(Value::SingleQuotedString(String::new()))],
        Some(Kind::Bool) => [true, false].map(|b| value(Value::Boolean(b))).to_vec(),
    }
}

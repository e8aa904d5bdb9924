//! [`compile`]: an expression as closures that borrow from the rows they are asked about.
//!
//! Invariant: a compiled expression gives what the expression means, errors included: AND stops at the first
//! FALSE, OR at the first TRUE, CASE and COALESCE at the first that decides, so an error in an operand counts
//! only if the operand is reached. The scalar's name says the whole expression.

mod cast;
mod condition;
mod name;

use std::borrow::Cow;

use deltaic_dataflow::{Comparand, Scalar};
use deltaic_types::{DataType, EvalError, Row, Value};

pub(crate) use cast::cast;
use condition::{Condition, condition};

use crate::{
    expression::{Comparison, Expr, ExprKind},
    functions::{Argument, Function, Pattern},
};

type Places<'a> = &'a dyn Fn(usize) -> (usize, usize);

/// Compiles an expression for tuples in which column `i` of the expression's input is at `place(i)`: the
/// number of the row, and the slot in it.
///
/// Parameters must have been replaced before: a parameter that is left gives
/// [`EvalError::InvalidArgument`] when it is evaluated.
pub fn compile(expr: &Expr, place: &dyn Fn(usize) -> (usize, usize)) -> Scalar {
    match &expr.kind {
        ExprKind::Column(column) => {
            let (input, slot) = place(*column);
            Scalar::column(input, slot)
        }
        ExprKind::Literal(value) => Scalar::constant(value.clone()),
        _ if expr.data_type == DataType::Boolean => {
            let name = name::name(expr, place);
            if let ExprKind::Compare(op, a, b) = &expr.kind
                && let Some(comparison) = comparison(*op, a, b, &name, place)
            {
                return comparison;
            }
            let condition = condition(expr, place);
            Scalar::function(name, move |rows| Ok(boolean(condition(rows)?)))
        }
        _ => {
            let code = code(expr, place);
            Scalar::function(name::name(expr, place), move |rows| code.get(rows).map(Cow::into_owned))
        }
    }
}

/// A comparison of a column with a constant or another column does without a closure; it means the same.
fn comparison(op: Comparison, a: &Expr, b: &Expr, name: &str, place: Places) -> Option<Scalar> {
    let comparand = |expr: &Expr| match &expr.kind {
        ExprKind::Column(column) => {
            let (input, column) = place(*column);
            Some(Comparand::Column { input, column })
        }
        ExprKind::Literal(value) => Some(Comparand::Constant(value.clone())),
        _ => None,
    };
    match (comparand(a)?, comparand(b)?) {
        (Comparand::Column { input, column }, other) => {
            Some(Scalar::comparison(name, (input, column), |order| op.holds(order), other))
        }
        (other, Comparand::Column { input, column }) => {
            Some(Scalar::comparison(name, (input, column), |order| op.holds(order.reverse()), other))
        }
        _ => None,
    }
}

/// The value of an expression whose columns are those of the row. For a single evaluation: it compiles.
pub fn evaluate(expr: &Expr, row: &Row) -> Result<Value, EvalError> {
    match &expr.kind {
        ExprKind::Literal(value) => Ok(value.clone()),
        _ => compile(expr, &|column| (0, column)).eval(std::slice::from_ref(row)),
    }
}

fn boolean(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Boolean)
}

/// A compiled expression that can lend its value.
enum Code {
    Column(usize, usize),
    Constant(Value),
    Computed(Box<deltaic_dataflow::Function>),
}

impl Code {
    fn get<'a>(&'a self, rows: &'a [Row]) -> Result<Argument<'a>, EvalError> {
        match self {
            Self::Column(input, slot) => Ok(Cow::Borrowed(&rows[*input][*slot])),
            Self::Constant(value) => Ok(Cow::Borrowed(value)),
            Self::Computed(compute) => compute(rows).map(Cow::Owned),
        }
    }

    fn computed(compute: impl Fn(&[Row]) -> Result<Value, EvalError> + Send + Sync + 'static) -> Self {
        Self::Computed(Box::new(compute))
    }
}

fn codes(exprs: &[Expr], place: Places) -> Vec<Code> {
    exprs.iter().map(|expr| code(expr, place)).collect()
}

fn code(expr: &Expr, place: Places) -> Code {
    match &expr.kind {
        ExprKind::Column(column) => {
            let (input, slot) = place(*column);
            Code::Column(input, slot)
        }
        ExprKind::Literal(value) => Code::Constant(value.clone()),
        ExprKind::Parameter(_) | ExprKind::Outer(_) | ExprKind::Now | ExprKind::Subquery(_) => {
            Code::computed(|_| Err(unbound()))
        }
        ExprKind::Case(branches, otherwise) => case(branches, otherwise, place),
        ExprKind::Coalesce(list) => {
            let list = codes(list, place);
            Code::computed(move |rows| {
                for item in &list {
                    let value = item.get(rows)?;
                    if !value.is_null() {
                        return Ok(value.into_owned());
                    }
                }
                Ok(Value::Null)
            })
        }
        ExprKind::Cast(operand) => {
            let (from, to) = (operand.data_type.clone(), expr.data_type.clone());
            let operand = code(operand, place);
            Code::computed(move |rows| cast(operand.get(rows)?.as_ref(), &from, &to))
        }
        ExprKind::Call(function, args) if expr.data_type != DataType::Boolean => {
            call(*function, args, &expr.data_type, place)
        }
        // Everything else is a boolean.
        _ => {
            let condition = condition(expr, place);
            Code::computed(move |rows| Ok(boolean(condition(rows)?)))
        }
    }
}

fn unbound() -> EvalError {
    EvalError::InvalidArgument { function: "parameter", reason: "it has no value" }
}

fn case(branches: &[(Expr, Expr)], otherwise: &Expr, place: Places) -> Code {
    let branches: Vec<(Condition, Code)> =
        branches.iter().map(|(when, then)| (condition(when, place), code(then, place))).collect();
    let otherwise = code(otherwise, place);
    Code::computed(move |rows| {
        for (when, then) in &branches {
            if when(rows)? == Some(true) {
                return then.get(rows).map(Cow::into_owned);
            }
        }
        otherwise.get(rows).map(Cow::into_owned)
    })
}

/// The values of literals, if all are literals and none is NULL.
fn constants(exprs: &[Expr]) -> Option<Vec<&Value>> {
    exprs
        .iter()
        .map(|expr| match &expr.kind {
            ExprKind::Literal(value) if !value.is_null() => Some(value),
            _ => None,
        })
        .collect()
}

/// A call; one and two arguments do without a list on the heap.
fn call(function: Function, args: &[Expr], result: &DataType, place: Places) -> Code {
    if function.reads_pattern()
        && let [text, patterns @ ..] = args
        && let Some(constants) = constants(patterns)
    {
        // A constant pattern is read once; one that cannot be read fails where it is used.
        let pattern = Pattern::read(function, &constants);
        let text = code(text, place);
        return Code::computed(move |rows| {
            let text = text.get(rows)?;
            if text.is_null() {
                return Ok(Value::Null);
            }
            pattern.as_ref().map_err(Clone::clone)?.value(&text)
        });
    }
    let strict = function.is_strict();
    let result = result.clone();
    let mut args = codes(args, place);
    match (args.pop(), args.pop(), args.is_empty()) {
        (Some(a), None, _) => Code::computed(move |rows| {
            let a = a.get(rows)?;
            if strict && a.is_null() {
                return Ok(Value::Null);
            }
            function.call(&[a], &result)
        }),
        (Some(b), Some(a), true) => Code::computed(move |rows| {
            let (a, b) = (a.get(rows)?, b.get(rows)?);
            if strict && (a.is_null() || b.is_null()) {
                return Ok(Value::Null);
            }
            function.call(&[a, b], &result)
        }),
        (last, before, _) => {
            args.extend(before);
            args.extend(last);
            Code::computed(move |rows| {
                let values: Vec<Argument> = args.iter().map(|arg| arg.get(rows)).collect::<Result<_, _>>()?;
                if strict && values.iter().any(|value| value.is_null()) {
                    return Ok(Value::Null);
                }
                function.call(&values, &result)
            })
        }
    }
}

#[cfg(test)]
mod tests;

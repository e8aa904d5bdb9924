//! Conditions: expressions of type boolean, compiled to three-valued truth without making values.

use deltaic_types::{EvalError, Row, Value};

use super::{Code, Places, call, case, code, codes, unbound};
use crate::{
    expression::{Comparison, Expr, ExprKind},
    functions::{Function, Pattern, quantified},
};

/// TRUE, FALSE or unknown.
pub(super) type Condition = Box<dyn Fn(&[Row]) -> Result<Option<bool>, EvalError> + Send + Sync>;

pub(super) fn condition(expr: &Expr, place: Places) -> Condition {
    match &expr.kind {
        ExprKind::Literal(value) => {
            let truth = value.as_bool();
            Box::new(move |_| Ok(truth))
        }
        ExprKind::Column(column) => {
            let (input, slot) = place(*column);
            Box::new(move |rows| Ok(rows[input][slot].as_bool()))
        }
        ExprKind::Parameter(_) | ExprKind::Outer(_) | ExprKind::Now | ExprKind::Subquery(_) => {
            Box::new(|_| Err(unbound()))
        }
        ExprKind::And(list) => chain(list, place, false),
        ExprKind::Or(list) => chain(list, place, true),
        ExprKind::Not(operand) => {
            let operand = condition(operand, place);
            Box::new(move |rows| Ok(operand(rows)?.map(|truth| !truth)))
        }
        ExprKind::IsNull(operand) => match code(operand, place) {
            Code::Column(input, slot) => Box::new(move |rows| Ok(Some(rows[input][slot].is_null()))),
            operand => Box::new(move |rows| Ok(Some(operand.get(rows)?.is_null()))),
        },
        ExprKind::IsNotDistinct(a, b) => {
            let (a, b) = (code(a, place), code(b, place));
            Box::new(move |rows| Ok(Some(a.get(rows)? == b.get(rows)?)))
        }
        ExprKind::Compare(op, a, b) => {
            let (a, b) = (code(a, place), code(b, place));
            // Each comparison is a closure of its own, so that the choice is made once.
            match op {
                Comparison::Eq => compare(a, b, |a, b| a == b),
                Comparison::Ne => compare(a, b, |a, b| a != b),
                Comparison::Lt => compare(a, b, |a, b| a < b),
                Comparison::Le => compare(a, b, |a, b| a <= b),
                Comparison::Gt => compare(a, b, |a, b| a > b),
                Comparison::Ge => compare(a, b, |a, b| a >= b),
            }
        }
        ExprKind::InList(operand, list) => in_list(operand, list, place),
        ExprKind::Case(branches, otherwise) => truth_of(case(branches, otherwise, place)),
        ExprKind::Coalesce(_) | ExprKind::Cast(_) => truth_of(code(expr, place)),
        ExprKind::Call(function, args) => called(*function, args, expr, place),
    }
}

fn truth_of(code: Code) -> Condition {
    Box::new(move |rows| Ok(code.get(rows)?.as_bool()))
}

/// AND (`decisive` FALSE) and OR (`decisive` TRUE): the first decisive operand ends it.
fn chain(list: &[Expr], place: Places, decisive: bool) -> Condition {
    let list: Vec<Condition> = list.iter().map(|item| condition(item, place)).collect();
    Box::new(move |rows| {
        let mut truth = Some(!decisive);
        for item in &list {
            match item(rows)? {
                Some(found) if found == decisive => return Ok(Some(decisive)),
                None => truth = None,
                Some(_) => {}
            }
        }
        Ok(truth)
    })
}

fn compare(
    a: Code,
    b: Code,
    test: impl Fn(&Value, &Value) -> bool + Copy + Send + Sync + 'static,
) -> Condition {
    let decide = move |a: &Value, b: &Value| {
        if a.is_null() || b.is_null() { None } else { Some(test(a, b)) }
    };
    match (a, b) {
        (Code::Column(input, slot), Code::Constant(constant)) if !constant.is_null() => {
            Box::new(move |rows| {
                let value = &rows[input][slot];
                Ok(if value.is_null() { None } else { Some(test(value, &constant)) })
            })
        }
        (Code::Column(a, x), Code::Column(b, y)) => {
            Box::new(move |rows| Ok(decide(&rows[a][x], &rows[b][y])))
        }
        (a, b) => Box::new(move |rows| Ok(decide(a.get(rows)?.as_ref(), b.get(rows)?.as_ref()))),
    }
}

fn in_list(operand: &Expr, list: &[Expr], place: Places) -> Condition {
    let operand = code(operand, place);
    let constants: Option<Vec<Value>> = list
        .iter()
        .map(|item| if let ExprKind::Literal(value) = &item.kind { Some(value.clone()) } else { None })
        .collect();
    if let Some(mut constants) = constants {
        let has_null = constants.iter().any(Value::is_null);
        constants.retain(|constant| !constant.is_null());
        constants.sort_unstable();
        return Box::new(move |rows| {
            let value = operand.get(rows)?;
            if value.is_null() {
                return Ok(None);
            }
            let found = constants.binary_search(value.as_ref()).is_ok();
            Ok(if found || !has_null { Some(found) } else { None })
        });
    }
    let list = codes(list, place);
    Box::new(move |rows| {
        let value = operand.get(rows)?;
        let mut truth = Some(false);
        for item in &list {
            let item = item.get(rows)?;
            if value.is_null() || item.is_null() {
                truth = None;
            } else if item == value {
                return Ok(Some(true));
            }
        }
        Ok(truth)
    })
}

fn called(function: Function, args: &[Expr], expr: &Expr, place: Places) -> Condition {
    match (function, args) {
        (
            Function::Like | Function::ILike | Function::RegexMatch | Function::RegexIMatch,
            [text, patterns @ ..],
        ) => {
            // A constant pattern is read once; one that cannot be read fails where it is used.
            let constants: Option<Vec<&Value>> = patterns
                .iter()
                .map(|item| if let ExprKind::Literal(value) = &item.kind { Some(value) } else { None })
                .collect();
            if let Some(constants) = constants {
                if constants.iter().any(|constant| constant.is_null()) {
                    return Box::new(|_| Ok(None));
                }
                let pattern = Pattern::read(function, &constants);
                let text = code(text, place);
                return Box::new(move |rows| {
                    let text = text.get(rows)?;
                    if text.is_null() {
                        return Ok(None);
                    }
                    Ok(Some(pattern.as_ref().map_err(Clone::clone)?.matches(&text)?))
                });
            }
            truth_of(call(function, args, &expr.data_type, place))
        }
        (Function::ArrayAny(op) | Function::ArrayAll(op), [value, array]) => {
            let any = matches!(function, Function::ArrayAny(_));
            let (value, array) = (code(value, place), code(array, place));
            Box::new(move |rows| Ok(quantified(op, any, &*value.get(rows)?, &*array.get(rows)?)))
        }
        _ => truth_of(call(function, args, &expr.data_type, place)),
    }
}

//! Functions of arrays. Arrays count from 1, and equality within them is that of values: NULL equals NULL.

use deltaic_types::{EvalError, Value};

use super::{Argument, Function, argument, check_length, integer_argument, mistyped, text_argument};
use crate::expression::Comparison;

/// `value op ANY (array)`, or ALL.
pub(crate) fn quantified(op: Comparison, any: bool, value: &Value, array: &Value) -> Option<bool> {
    let Value::Array(items) = array else { return None };
    let mut truth = Some(!any);
    for item in items.iter() {
        if value.is_null() || item.is_null() {
            truth = None;
        } else if op.holds(value.cmp(item)) == any {
            return Some(any);
        }
    }
    truth
}

impl Comparison {
    /// Whether two values in this order satisfy the comparison.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
        }
    }
}

/// The items of an array argument; None for NULL.
fn items<'a>(args: &'a [Argument<'_>], place: usize) -> Result<Option<&'a [Value]>, EvalError> {
    match argument(args, place)? {
        Value::Array(items) => Ok(Some(items)),
        Value::Null => Ok(None),
        _ => Err(mistyped()),
    }
}

pub(super) fn call(function: Function, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    match function {
        Function::ArrayMake => {
            check_length(args.iter().map(|arg| size_of::<Value>() + arg.heap_bytes()).sum())?;
            return Ok(Value::array(args.iter().map(|arg| arg.as_ref().clone()).collect()));
        }
        Function::ArrayAny(op) | Function::ArrayAll(op) => {
            let any = matches!(function, Function::ArrayAny(_));
            let truth = quantified(op, any, argument(args, 0)?, argument(args, 1)?);
            return Ok(truth.map_or(Value::Null, Value::Boolean));
        }
        Function::ArrayPrepend => {
            let mut list = vec![argument(args, 0)?.clone()];
            list.extend_from_slice(items(args, 1)?.unwrap_or_default());
            return bounded(list);
        }
        Function::StringToArray => return string_to_array(args),
        _ => {}
    }
    let first = items(args, 0)?;
    match function {
        Function::ArrayAppend => {
            let mut list = first.unwrap_or_default().to_vec();
            list.push(argument(args, 1)?.clone());
            return bounded(list);
        }
        Function::SetAdd => {
            let mut list = first.unwrap_or_default().to_vec();
            list.push(argument(args, 1)?.clone());
            list.sort_unstable();
            list.dedup();
            return bounded(list);
        }
        Function::ArrayCat => {
            return match (first, items(args, 1)?) {
                (None, None) => Ok(Value::Null),
                (a, b) => bounded([a.unwrap_or_default(), b.unwrap_or_default()].concat()),
            };
        }
        _ => {}
    }
    let Some(list) = first else { return Ok(Value::Null) };
    let count = |n: usize| Value::Integer(n as i64);
    Ok(match function {
        Function::ArraySubscript => match integer_argument(args, 1) {
            Ok(place) => usize::try_from(place - 1).ok().and_then(|place| list.get(place)).cloned(),
            Err(_) => None,
        }
        .unwrap_or(Value::Null),
        Function::Cardinality => count(flat_length(list)),
        Function::ArrayNdims => dimension(list, 1).map_or(Value::Null, |_| {
            let mut depth = 1;
            while dimension(list, depth + 1).is_some() {
                depth += 1;
            }
            Value::Integer(depth)
        }),
        Function::ArrayLength => dimension(list, integer_argument(args, 1)?).map_or(Value::Null, count),
        Function::ArrayLower => {
            dimension(list, integer_argument(args, 1)?).map_or(Value::Null, |_| Value::Integer(1))
        }
        Function::ArrayPosition => {
            let wanted = argument(args, 1)?;
            list.iter().position(|item| item == wanted).map_or(Value::Null, |at| count(at + 1))
        }
        Function::ArrayRemove => {
            let gone = argument(args, 1)?;
            Value::array(list.iter().filter(|item| *item != gone).cloned().collect())
        }
        Function::ArrayContains | Function::ArrayOverlaps => {
            let Some(wanted) = items(args, 1)? else { return Ok(Value::Null) };
            let held = |item: &Value| !item.is_null() && list.contains(item);
            let mut wanted = wanted.iter();
            Value::Boolean(if function == Function::ArrayContains {
                wanted.all(held)
            } else {
                wanted.any(held)
            })
        }
        Function::ArrayToString => {
            if argument(args, 1)?.is_null() {
                return Ok(Value::Null);
            }
            let separator = text_argument(args, 1)?;
            let null = args.get(2).and_then(|value| value.as_str());
            let mut text = String::new();
            let mut first = true;
            for item in list {
                let printed = match (item.is_null(), null) {
                    (true, None) => continue,
                    (true, Some(null)) => null.to_owned(),
                    (false, _) => deltaic_types::text_format::to_text(item),
                };
                check_length(text.len() + separator.len() + printed.len())?;
                if !first {
                    text.push_str(separator);
                }
                first = false;
                text.push_str(&printed);
            }
            Value::from(text)
        }
        _ => return Err(mistyped()),
    })
}

fn bounded(list: Vec<Value>) -> Result<Value, EvalError> {
    check_length(list.iter().map(|item| size_of::<Value>() + item.heap_bytes()).sum())?;
    Ok(Value::array(list))
}

/// The length of the nth dimension, as the first element of each has it; None where there is none.
fn dimension(list: &[Value], number: i64) -> Option<usize> {
    let mut current = list;
    for _ in 1..number {
        let Some(Value::Array(inner)) = current.first() else { return None };
        current = inner;
    }
    (number >= 1 && !current.is_empty()).then_some(current.len())
}

/// The number of elements in all dimensions.
fn flat_length(list: &[Value]) -> usize {
    list.iter().map(|item| if let Value::Array(inner) = item { flat_length(inner) } else { 1 }).sum()
}

fn string_to_array(args: &[Argument<'_>]) -> Result<Value, EvalError> {
    if argument(args, 0)?.is_null() {
        return Ok(Value::Null);
    }
    let text = text_argument(args, 0)?;
    let null = args.get(2).and_then(|value| value.as_str());
    let item = |part: &str| if null == Some(part) { Value::Null } else { Value::from(part) };
    if text.is_empty() {
        return Ok(Value::array(Vec::new()));
    }
    let separator = argument(args, 1)?;
    check_length(text.len().saturating_mul(size_of::<Value>()))?;
    Ok(Value::array(match separator.as_str() {
        None => text.chars().map(|c| item(c.encode_utf8(&mut [0; 4]))).collect(),
        Some("") => vec![item(text)],
        Some(separator) => text.split(separator).map(item).collect(),
    }))
}

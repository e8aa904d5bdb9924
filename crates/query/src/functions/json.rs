//! Operators and functions of jsonb.

use deltaic_types::{EvalError, Json, Text, Value, datetime, text_format::to_text};

use super::{Argument, Function, argument, check_length, integer_argument, mistyped, text_argument};

fn document<'a>(args: &'a [Argument<'_>], place: usize) -> Result<&'a Json, EvalError> {
    match argument(args, place)? {
        Value::Json(json) => Ok(json),
        _ => Err(mistyped()),
    }
}

fn invalid(function: &'static str, reason: &'static str) -> EvalError {
    EvalError::InvalidArgument { function, reason }
}

pub(super) fn call(function: Function, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    match function {
        Function::ToJsonb => return to_json(argument(args, 0)?).map(Value::json),
        Function::JsonBuildObject => return build_object(args),
        Function::JsonBuildArray => {
            check_length(args.iter().map(|arg| 16 + arg.heap_bytes()).sum())?;
            let items = args.iter().map(|arg| to_json(arg)).collect::<Result<Vec<_>, _>>()?;
            return Json::Array(items).nested().map(Value::json);
        }
        _ => {}
    }
    let json = document(args, 0)?;
    let found = |found: Option<&Json>| found.map_or(Value::Null, |found| Value::json(found.clone()));
    let plain = |found: Option<&Json>| found.and_then(Json::to_plain_text).map_or(Value::Null, Value::from);
    Ok(match function {
        Function::JsonGet => found(step(json, argument(args, 1)?)),
        Function::JsonGetText => plain(step(json, argument(args, 1)?)),
        Function::JsonPath => found(path(json, elements(args)?)),
        Function::JsonPathText => plain(path(json, elements(args)?)),
        Function::JsonExtractPath => found(path(json, args[1..].iter().map(AsRef::as_ref))),
        Function::JsonExtractPathText => plain(path(json, args[1..].iter().map(AsRef::as_ref))),
        Function::JsonContains => Value::Boolean(contains(json, document(args, 1)?, true)),
        Function::JsonHasKey => Value::Boolean(has_key(json, text_argument(args, 1)?)),
        Function::JsonConcatenate => {
            let other = document(args, 1)?;
            check_length(json.heap_bytes() + other.heap_bytes())?;
            concatenate(json, other)
        }
        Function::JsonDelete => delete(json, args)?,
        Function::JsonTypeof => Value::from(match json {
            Json::Null => "null",
            Json::String(_) => "string",
            Json::Number(_) => "number",
            Json::Boolean(_) => "boolean",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }),
        Function::JsonArrayLength => match json {
            Json::Array(items) => Value::Integer(items.len() as i64),
            Json::Object(_) => {
                return Err(invalid("jsonb_array_length", "cannot get array length of a non-array"));
            }
            _ => return Err(invalid("jsonb_array_length", "cannot get array length of a scalar")),
        },
        Function::JsonStripNulls => Value::json(strip_nulls(json)),
        _ => return Err(mistyped()),
    })
}

/// The member of a key or the element of a place.
fn step<'a>(json: &'a Json, key: &Value) -> Option<&'a Json> {
    match key {
        Value::Integer(place) => json.element(*place),
        key => json.member(key.as_str()?),
    }
}

fn elements<'a>(args: &'a [Argument<'_>]) -> Result<std::slice::Iter<'a, Value>, EvalError> {
    match argument(args, 1)? {
        Value::Array(items) => Ok(items.iter()),
        _ => Err(mistyped()),
    }
}

/// Follows keys; in an array a key is a place.
fn path<'a, 'k>(json: &'a Json, keys: impl Iterator<Item = &'k Value>) -> Option<&'a Json> {
    let mut current = json;
    for key in keys {
        let key = key.as_str()?;
        current = match current {
            Json::Array(_) => current.element(key.trim().parse().ok()?)?,
            _ => current.member(key)?,
        };
    }
    Some(current)
}

fn has_key(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(_) => json.member(key).is_some(),
        Json::Array(items) => items.iter().any(|item| matches!(item, Json::String(text) if **text == *key)),
        Json::String(text) => **text == *key,
        _ => false,
    }
}

/// Whether a document contains another; documents nest no deeper than the limit, and so does this.
fn contains(whole: &Json, part: &Json, top: bool) -> bool {
    match (whole, part) {
        (Json::Object(_), Json::Object(members)) => members
            .iter()
            .all(|(key, wanted)| whole.member(key).is_some_and(|held| contains(held, wanted, false))),
        (Json::Array(items), Json::Array(wanted)) => {
            wanted.iter().all(|wanted| items.iter().any(|item| contains(item, wanted, false)))
        }
        // At the top an array contains a scalar that is one of its elements.
        (Json::Array(items), scalar) if top && !matches!(scalar, Json::Object(_)) => items.contains(scalar),
        (a, b) => a == b,
    }
}

fn concatenate(a: &Json, b: &Json) -> Value {
    let list = |json: &Json| match json {
        Json::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    match (a, b) {
        (Json::Object(left), Json::Object(right)) => {
            let kept = left.iter().filter(|(key, _)| b.member(key).is_none());
            Value::json(Json::object(kept.chain(right).cloned().collect()))
        }
        _ => Value::json(Json::Array([list(a), list(b)].concat())),
    }
}

fn delete(json: &Json, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    if let Value::Integer(_) = argument(args, 1)? {
        let place = integer_argument(args, 1)?;
        let Json::Array(items) = json else {
            return Err(invalid("-", "cannot delete from an object or a scalar using an integer index"));
        };
        let place = if place < 0 { place + items.len() as i64 } else { place };
        let kept = items.iter().enumerate().filter(|(at, _)| *at as i64 != place);
        return Ok(Value::json(Json::Array(kept.map(|(_, item)| item.clone()).collect())));
    }
    let key = text_argument(args, 1)?;
    Ok(Value::json(match json {
        Json::Object(members) => {
            Json::Object(members.iter().filter(|(name, _)| **name != *key).cloned().collect())
        }
        Json::Array(items) => Json::Array(
            items
                .iter()
                .filter(|item| !matches!(item, Json::String(text) if **text == *key))
                .cloned()
                .collect(),
        ),
        _ => return Err(invalid("-", "cannot delete from scalar")),
    }))
}

fn strip_nulls(json: &Json) -> Json {
    match json {
        Json::Object(members) => Json::Object(
            members
                .iter()
                .filter(|(_, value)| *value != Json::Null)
                .map(|(key, value)| (key.clone(), strip_nulls(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(strip_nulls).collect()),
        other => other.clone(),
    }
}

/// A SQL value as a document: numbers and booleans as themselves, times in ISO 8601, the rest as text.
fn to_json(value: &Value) -> Result<Json, EvalError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => Json::Boolean(*b),
        Value::Integer(n) => Json::Number((*n).into()),
        Value::Numeric(n) => Json::Number((**n).clone()),
        Value::Double(x) if x.get().is_finite() => Json::Number(to_text(value).parse()?),
        Value::Json(json) => (**json).clone(),
        Value::Array(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Timestamp(micros) => {
            let iso = datetime::timestamp_to_iso(*micros);
            Json::String(Text::from(iso.trim_end_matches('Z').to_owned() + "+00:00"))
        }
        other => Json::String(Text::from(to_text(other))),
    })
}

fn build_object(args: &[Argument<'_>]) -> Result<Value, EvalError> {
    if args.len() % 2 == 1 {
        return Err(invalid("jsonb_build_object", "argument list must have even number of elements"));
    }
    check_length(args.iter().map(|arg| 16 + arg.heap_bytes()).sum())?;
    let mut members = Vec::new();
    for pair in args.chunks_exact(2) {
        let key = match pair[0].as_ref() {
            Value::Null => return Err(invalid("jsonb_build_object", "a key must not be null")),
            Value::Array(_) | Value::Json(_) => {
                return Err(invalid("jsonb_build_object", "a key must be scalar"));
            }
            key => Text::from(to_text(key)),
        };
        members.push((key, to_json(&pair[1])?));
    }
    Json::object(members).nested().map(Value::json)
}

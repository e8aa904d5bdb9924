//! Functions of text. Lengths and places count characters, from 1; `insert_text` and `delete_text` take places between characters,
//! from 0.

use std::fmt::Write as _;

use deltaic_types::{EvalError, Value, text_format::to_text};

use super::{
    Argument, Function, KEYWORDS, argument, check_length, integer_argument, mistyped, text_argument,
};

fn invalid(function: &'static str, reason: &'static str) -> EvalError {
    EvalError::InvalidArgument { function, reason }
}

fn count(n: usize) -> Value {
    Value::Integer(n as i64)
}

pub(super) fn call(function: Function, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    match function {
        Function::Concat => return concat(args, None),
        Function::ConcatWs => {
            return match argument(args, 0)? {
                Value::Null => Ok(Value::Null),
                separator => concat(&args[1..], Some(separator.as_str().ok_or_else(mistyped)?)),
            };
        }
        Function::Chr => return chr(integer_argument(args, 0)?),
        Function::ToHex => return Ok(Value::from(format!("{:x}", integer_argument(args, 0)? as i32))),
        Function::ToHexBigint => return Ok(Value::from(format!("{:x}", integer_argument(args, 0)?))),
        _ => {}
    }
    let text = text_argument(args, 0)?;
    Ok(match function {
        Function::Concatenate => {
            let other = text_argument(args, 1)?;
            check_length(text.len() + other.len())?;
            Value::from([text, other].concat())
        }
        Function::Length => count(text.chars().count()),
        Function::OctetLength => count(text.len()),
        Function::BitLength => count(text.len() * 8),
        Function::Lower => Value::from(text.chars().map(lower).collect::<String>()),
        Function::Upper => Value::from(text.chars().map(upper).collect::<String>()),
        Function::Initcap => Value::from(initcap(text)),
        Function::Btrim | Function::Ltrim | Function::Rtrim => {
            let set = if args.len() > 1 { text_argument(args, 1)? } else { " " };
            let trimmed =
                if function == Function::Rtrim { text } else { text.trim_start_matches(|c| set.contains(c)) };
            Value::from(if function == Function::Ltrim {
                trimmed
            } else {
                trimmed.trim_end_matches(|c| set.contains(c))
            })
        }
        Function::Substring => {
            let length = if args.len() > 2 { Some(integer_argument(args, 2)?) } else { None };
            Value::from(substring(text, integer_argument(args, 1)?, length)?)
        }
        Function::Left => {
            let wanted = integer_argument(args, 1)?;
            let end = if wanted >= 0 { wanted } else { (text.chars().count() as i64 + wanted).max(0) };
            Value::from(head(text, end))
        }
        Function::Right => {
            let wanted = integer_argument(args, 1)?;
            let length = text.chars().count() as i64;
            let skip = match wanted {
                // In PostgreSQL the least integer has no negative.
                -2_147_483_648 => 0,
                0.. => (length - wanted).max(0),
                _ => (-wanted).min(length),
            };
            Value::from(&text[head(text, skip).len()..])
        }
        Function::Lpad | Function::Rpad => pad(function, text, args)?,
        Function::Replace => {
            let (from, to) = (text_argument(args, 1)?, text_argument(args, 2)?);
            if from.is_empty() {
                return Ok(Value::from(text));
            }
            let found = text.matches(from).count();
            check_length(text.len() - found * from.len() + found.saturating_mul(to.len()))?;
            Value::from(text.replace(from, to))
        }
        Function::Repeat => {
            let times = usize::try_from(integer_argument(args, 1)?).unwrap_or(0);
            check_length(text.len().saturating_mul(times))?;
            Value::from(text.repeat(times))
        }
        Function::Reverse => Value::from(text.chars().rev().collect::<String>()),
        Function::Position => {
            let wanted = text_argument(args, 1)?;
            text.find(wanted).map_or(Value::Integer(0), |at| count(text[..at].chars().count() + 1))
        }
        Function::SplitPart => {
            let (separator, place) = (text_argument(args, 1)?, integer_argument(args, 2)?);
            Value::from(split_part(text, separator, place)?)
        }
        Function::StartsWith => Value::Boolean(text.starts_with(text_argument(args, 1)?)),
        Function::Ascii => Value::Integer(text.chars().next().map_or(0, |c| i64::from(u32::from(c)))),
        Function::Translate => {
            let from: Vec<char> = text_argument(args, 1)?.chars().collect();
            let to: Vec<char> = text_argument(args, 2)?.chars().collect();
            let translated: String = text
                .chars()
                .filter_map(|c| match from.iter().position(|other| *other == c) {
                    Some(place) => to.get(place).copied(),
                    None => Some(c),
                })
                .collect();
            check_length(translated.len())?;
            Value::from(translated)
        }
        Function::Overlay => {
            let part = text_argument(args, 1)?;
            let start = integer_argument(args, 2)?;
            let length =
                if args.len() > 3 { integer_argument(args, 3)? } else { part.chars().count() as i64 };
            if start <= 0 {
                return Err(invalid("overlay", "the start must be at least 1"));
            }
            let before = head(text, start - 1);
            let end = i32::try_from(start + length);
            let rest = end.map_err(|_| EvalError::IntegerOutOfRange { type_name: "integer" })?.into();
            let rest = i64::max(rest, 1) - 1;
            let after = &text[head(text, rest).len()..];
            check_length(before.len() + part.len() + after.len())?;
            Value::from([before, part, after].concat())
        }
        Function::InsertText => {
            let more = text_argument(args, 2)?;
            let (before, after) = split(text, "insert_text", integer_argument(args, 1)?)?;
            check_length(text.len() + more.len())?;
            Value::from([before, more, after].concat())
        }
        Function::DeleteText => {
            let (from, much) = (integer_argument(args, 1)?, integer_argument(args, 2)?);
            let (before, rest) = split(text, "delete_text", from)?;
            let beyond = |_| outside("delete_text", from.saturating_add(much), text);
            let (_, after) = split(rest, "delete_text", much).map_err(beyond)?;
            Value::from([before, after].concat())
        }
        Function::QuoteLiteral => {
            let mut quoted = String::new();
            if text.contains('\\') {
                quoted.push('E');
            }
            check_length(text.len() * 2)?;
            let _ = write!(quoted, "'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
            Value::from(quoted)
        }
        Function::QuoteIdent => {
            let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let keyword = KEYWORDS.binary_search(&text).is_ok();
            if starts && text.chars().all(plain) && !keyword {
                Value::from(text)
            } else {
                check_length(text.len() * 2)?;
                Value::from(format!("\"{}\"", text.replace('"', "\"\"")))
            }
        }
        _ => return Err(mistyped()),
    })
}

/// A text at a place between its characters, which begin at 0.
fn split<'a>(text: &'a str, function: &'static str, place: i64) -> Result<(&'a str, &'a str), EvalError> {
    let wanted = usize::try_from(place).map_err(|_| outside(function, place, text))?;
    let ends = std::iter::once(text.len());
    let at = text.char_indices().map(|(at, _)| at).chain(ends).nth(wanted);
    at.map(|at| text.split_at(at)).ok_or_else(|| outside(function, place, text))
}

fn outside(function: &'static str, place: i64, text: &str) -> EvalError {
    EvalError::PlaceOutOfRange { function, place, length: text.chars().count() as i64 }
}

fn concat(args: &[Argument<'_>], separator: Option<&str>) -> Result<Value, EvalError> {
    let mut text = String::new();
    let mut first = true;
    for arg in args.iter().filter(|arg| !arg.is_null()) {
        if !first {
            text.push_str(separator.unwrap_or_default());
        }
        first = false;
        // concat prints booleans as psql does, other than a cast.
        match arg.as_ref() {
            Value::Boolean(b) => text.push(if *b { 't' } else { 'f' }),
            other => text.push_str(&to_text(other)),
        }
        check_length(text.len())?;
    }
    Ok(Value::from(text))
}

fn chr(n: i64) -> Result<Value, EvalError> {
    if n == 0 {
        return Err(invalid("chr", "null character not permitted"));
    }
    // Another family of errors than those of characters that there are not.
    if n < 0 {
        return Err(invalid("chr(n)", "the number must be positive"));
    }
    u32::try_from(n)
        .ok()
        .and_then(char::from_u32)
        .map(|c| Value::from(c.to_string()))
        .ok_or(invalid("chr", "requested character is not valid"))
}

/// Two's complement of the width that holds the number: 32 bits, else 64.
/// One character for one, so that the length stays.
fn lower(c: char) -> char {
    let mut folded = c.to_lowercase();
    match (folded.next(), folded.next()) {
        (Some(one), None) => one,
        // The dot of the capital is part of the small letter.
        _ if c == 'İ' => 'i',
        _ => c,
    }
}

fn upper(c: char) -> char {
    let mut folded = c.to_uppercase();
    match (folded.next(), folded.next()) {
        (Some(one), None) => one,
        // Greek with an iota below: the capital that is one character, eight or nine further on.
        _ => match c {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => further(c, 8),
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => further(c, 9),
            _ => c,
        },
    }
}

fn further(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

fn initcap(text: &str) -> String {
    let mut in_word = false;
    text.chars()
        .map(|c| {
            let turned = if in_word { lower(c) } else { upper(c) };
            in_word = c.is_alphanumeric();
            turned
        })
        .collect()
}

/// The first characters.
fn head(text: &str, characters: i64) -> &str {
    let characters = usize::try_from(characters).unwrap_or(0);
    text.char_indices().nth(characters).map_or(text, |(at, _)| &text[..at])
}

fn substring(text: &str, start: i64, length: Option<i64>) -> Result<&str, EvalError> {
    let end = match length {
        Some(length) if length < 0 => {
            return Err(invalid("substring", "negative substring length not allowed"));
        }
        Some(length) => start.saturating_add(length),
        None => i64::MAX,
    };
    let from = head(text, start.max(1) - 1).len();
    let to = head(text, end.max(1) - 1).len();
    Ok(&text[from..to.max(from)])
}

fn pad(function: Function, text: &str, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    let width = usize::try_from(integer_argument(args, 1)?).unwrap_or(0);
    let fill = if args.len() > 2 { text_argument(args, 2)? } else { " " };
    let length = text.chars().count();
    if width <= length || fill.is_empty() {
        return Ok(Value::from(head(text, width as i64)));
    }
    let widest = fill.chars().map(char::len_utf8).max().unwrap_or(1);
    check_length(text.len() + (width - length).saturating_mul(widest))?;
    let filling: String = fill.chars().cycle().take(width - length).collect();
    Ok(Value::from(if function == Function::Lpad { filling + text } else { text.to_owned() + &filling }))
}

fn split_part<'t>(text: &'t str, separator: &str, place: i64) -> Result<&'t str, EvalError> {
    if place == 0 {
        return Err(invalid("split_part", "field position must not be zero"));
    }
    let step = usize::try_from(place.unsigned_abs() - 1).unwrap_or(usize::MAX);
    if text.is_empty() {
        return Ok("");
    }
    if separator.is_empty() {
        return Ok(if step == 0 { text } else { "" });
    }
    let found = if place > 0 {
        text.split(separator).nth(step)
    } else {
        let fields: Vec<&str> = text.split(separator).collect();
        fields.len().checked_sub(step.saturating_add(1)).map(|at| fields[at])
    };
    Ok(found.unwrap_or(""))
}

//! Values as text, in and out: what `CAST(x AS text)` prints and `CAST('…' AS type)` reads.

use std::fmt::Write as _;

use crate::{DataType, EvalError, Interval, Json, Value, datetime, limits};

/// A name as SQL has it in double quotes, whatever is in it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Prints a value as PostgreSQL's cast to text does (`t`/`f` is psql's way; a cast gives `true`/`false`).
/// NULL prints as the empty string: the caller decides what NULL looks like.
pub fn to_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Boolean(b) => b.to_string(),
        Value::Integer(n) => n.to_string(),
        Value::Double(x) => double_to_text(x.get()),
        Value::Numeric(n) => n.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Uuid(uuid) => uuid.to_string(),
        Value::Date(days) => datetime::date_to_text(*days),
        Value::Timestamp(micros) => datetime::timestamp_to_text(*micros),
        Value::Interval(interval) => interval.to_string(),
        Value::Json(json) => json.to_string(),
        Value::Array(items) => array_to_text(items),
    }
}

/// Prints a value of a type: as [`to_text`], with the digits that a numeric's declared scale shows.
pub fn to_text_typed(value: &Value, data_type: &DataType) -> String {
    match (value, data_type) {
        (Value::Numeric(n), DataType::Numeric(Some(size))) => n.to_string_scaled(i64::from(size.scale)),
        _ => to_text(value),
    }
}

/// The shortest text that reads back as the double, in PostgreSQL's notation.
pub fn double_to_text(x: f64) -> String {
    if x.is_nan() {
        return String::from("NaN");
    }
    if x.is_infinite() {
        return String::from(if x > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |rest| ("-", rest));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{x}")
}

fn array_to_text(items: &[Value]) -> String {
    let mut text = String::from("{");
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        match item {
            Value::Null => text.push_str("NULL"),
            Value::Array(inner) => text.push_str(&array_to_text(inner)),
            other => {
                let plain = to_text(other);
                let quote = plain.is_empty()
                    || plain.eq_ignore_ascii_case("null")
                    || plain.contains(|c: char| c.is_whitespace() || "{},\"\\".contains(c));
                if quote {
                    let _ = write!(text, "\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""));
                } else {
                    text.push_str(&plain);
                }
            }
        }
    }
    text.push('}');
    text
}

/// Reads a value of a type from text, as PostgreSQL's cast from text does.
pub fn parse_text(text: &str, data_type: &DataType) -> Result<Value, EvalError> {
    let wrong = || EvalError::invalid_text(data_type.name(), text);
    let trimmed = text.trim();
    let value = match data_type {
        DataType::Boolean => Value::Boolean(parse_bool(trimmed).ok_or_else(wrong)?),
        DataType::Smallint | DataType::Integer | DataType::Bigint => Value::Integer(
            parse_integer(trimmed, data_type.name()).map_err(|error| error.unwrap_or_else(wrong))?,
        ),
        DataType::Double => Value::double(parse_double(trimmed).ok_or_else(wrong)??),
        DataType::Numeric(_) => Value::numeric(trimmed.parse()?),
        DataType::Text if text.contains('\0') => return Err(EvalError::NulCharacter),
        DataType::Text => Value::from(text),
        DataType::Uuid => Value::uuid(uuid::Uuid::try_parse(trimmed).map_err(|_| wrong())?),
        DataType::Date => Value::Date(datetime::parse_date(text)?),
        DataType::Timestamptz => Value::Timestamp(datetime::parse_timestamp(text)?),
        DataType::Interval => Value::interval(Interval::parse(text)?),
        DataType::Jsonb => Value::json(Json::parse(text)?),
        DataType::Array(item) => {
            let mut reader = ArrayReader { rest: trimmed, depth: 0 };
            let value = reader.array(item).ok_or_else(wrong)??;
            if reader.rest.is_empty() { value } else { return Err(wrong()) }
        }
    };
    data_type.fit(value)
}

fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Some(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn parse_integer(text: &str, type_name: &'static str) -> Result<i64, Option<EvalError>> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => Some(EvalError::IntegerOutOfRange { type_name }),
        _ => None,
    })
}

fn parse_double(text: &str) -> Option<Result<f64, EvalError>> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "nan" => return Some(Ok(f64::NAN)),
        "infinity" | "inf" | "+infinity" | "+inf" => return Some(Ok(f64::INFINITY)),
        "-infinity" | "-inf" => return Some(Ok(f64::NEG_INFINITY)),
        _ => {}
    }
    let x: f64 = text.parse().ok()?;
    let digits = lower.split('e').next().unwrap_or("");
    let vanished = x == 0.0 && digits.contains(|c: char| ('1'..='9').contains(&c));
    Some(if x.is_infinite() || vanished { Err(EvalError::DoubleOutOfRange) } else { Ok(x) })
}

/// Reads `{1,2,"a b",{…},NULL}`.
struct ArrayReader<'a> {
    rest: &'a str,
    depth: usize,
}

impl ArrayReader<'_> {
    fn array(&mut self, item: &DataType) -> Option<Result<Value, EvalError>> {
        self.depth += 1;
        if self.depth > limits::NESTING {
            return None;
        }
        self.rest = self.rest.strip_prefix('{')?.trim_start();
        let mut items = Vec::new();
        if let Some(rest) = self.rest.strip_prefix('}') {
            self.rest = rest;
            self.depth -= 1;
            return Some(Ok(Value::array(items)));
        }
        loop {
            let value = match item {
                DataType::Array(inner) if self.rest.starts_with('{') => self.array(inner)?,
                _ => self.element(item)?,
            };
            match value {
                Ok(value) => items.push(value),
                Err(error) => return Some(Err(error)),
            }
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(',') {
                self.rest = rest.trim_start();
            } else {
                self.rest = self.rest.strip_prefix('}')?;
                self.depth -= 1;
                return Some(Ok(Value::array(items)));
            }
        }
    }

    fn element(&mut self, item: &DataType) -> Option<Result<Value, EvalError>> {
        let mut text = String::new();
        if let Some(rest) = self.rest.strip_prefix('"') {
            let mut chars = rest.char_indices();
            loop {
                match chars.next()? {
                    (at, '"') => {
                        self.rest = &rest[at + 1..];
                        return Some(parse_text(&text, item));
                    }
                    (_, '\\') => text.push(chars.next()?.1),
                    (_, c) => text.push(c),
                }
            }
        }
        // The length that spaces at the end do not count in, unless they are escaped.
        let mut length = 0;
        let mut escaped = false;
        let mut chars = self.rest.char_indices();
        let end = loop {
            match chars.next()? {
                (at, ',' | '}') => break at,
                (_, '{' | '"') => return None,
                (_, '\\') => {
                    text.push(chars.next()?.1);
                    escaped = true;
                    length = text.len();
                }
                (_, c) => {
                    text.push(c);
                    length = if c.is_whitespace() { length } else { text.len() };
                }
            }
        };
        self.rest = &self.rest[end..];
        text.truncate(length);
        if text.is_empty() {
            return None;
        }
        if !escaped && text.eq_ignore_ascii_case("null") {
            return Some(Ok(Value::Null));
        }
        Some(parse_text(&text, item))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::typed_value;

    #[test]
    fn doubles_print_as_postgresql_prints_them() {
        for (x, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double_to_text(x), text);
        }
    }

    #[test]
    fn bad_text_is_refused_with_the_types_name() {
        for (text, data_type) in [
            ("maybe", DataType::Boolean),
            ("1.5", DataType::Integer),
            ("", DataType::Bigint),
            ("x", DataType::Double),
            ("not-a-uuid", DataType::Uuid),
            ("{1,2", DataType::Integer.array()),
            ("{1,,2}", DataType::Integer.array()),
            ("{1}x", DataType::Integer.array()),
        ] {
            assert!(
                matches!(parse_text(text, &data_type), Err(EvalError::InvalidText { .. })),
                "{text} as {data_type}"
            );
        }
        assert_eq!(
            parse_text("3000000000", &DataType::Integer),
            Err(EvalError::IntegerOutOfRange { type_name: "integer" })
        );
        assert_eq!(parse_text("1e999", &DataType::Double), Err(EvalError::DoubleOutOfRange));
    }

    proptest! {
        #[test]
        fn every_value_reads_back_from_its_text((data_type, value) in typed_value()) {
            if !value.is_null() {
                prop_assert_eq!(parse_text(&to_text(&value), &data_type).unwrap(), value);
            }
        }
    }
}

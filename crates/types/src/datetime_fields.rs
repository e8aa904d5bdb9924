//! The words of a date, a timestamp or an interval: text cut into [`Field`]s, as PostgreSQL cuts it.
//!
//! Invariant: a field's text is lower-case ASCII and of the characters that its [`Kind`] names; what stands
//! between fields is white space or punctuation without a meaning.

use crate::{EvalError, Text, datetime_text::is_date_word};

/// Why a text is no date, timestamp or interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not the form of one.
    Format,
    /// A field is not in the calendar, or the sum of all does not fit.
    Range,
    /// A displacement of sixteen hours or more.
    Zone,
    /// A year before 1 or after 9999.
    Year,
    /// The form of one that is not read here.
    Unsupported(&'static str),
}

impl Fault {
    /// The error for a text of a type.
    pub(crate) fn of(self, type_name: &'static str, text: &str) -> EvalError {
        let cut: String = text.chars().take(64).collect();
        let text = Text::from(cut);
        match self {
            Self::Format => EvalError::InvalidText { type_name, text },
            Self::Range => EvalError::NoSuchTime { type_name, text },
            Self::Year => EvalError::DatetimeOutOfRange,
            Self::Zone => EvalError::ZoneOutOfRange { text },
            Self::Unsupported(what) => EvalError::TimeNotSupported { what, text },
        }
    }
}

/// What a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Digits, with a point perhaps.
    Number,
    /// Digits and letters with `-`, `/` or `.` between.
    Date,
    /// Digits with colons.
    Clock,
    /// Letters, with a sign before them perhaps.
    Word,
    /// A sign and digits, with `:`, `.` and `-` perhaps: a displacement, or a number with its sign.
    Signed,
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// The most fields that a text may have: PostgreSQL's.
const FIELDS: usize = 25;

/// Cuts a text of at most so many bytes.
pub(crate) fn fields(text: &str, longest: usize) -> Result<Vec<Field>, Fault> {
    let text = text.trim_ascii();
    if text.len() > longest {
        return Err(Fault::Format);
    }
    let mut reader = Reader { rest: text.as_bytes() };
    let mut fields = Vec::new();
    while let Some(first) = reader.peek() {
        let is_sign = matches!(first, b'+' | b'-');
        if is_space(first) || (first.is_ascii_punctuation() && !is_sign && first != b'.') {
            reader.rest = &reader.rest[1..];
            continue;
        }
        if fields.len() == FIELDS {
            return Err(Fault::Format);
        }
        fields.push(reader.field(first)?);
    }
    Ok(fields)
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Moves a run of bytes.
    fn take(&mut self, into: &mut String, wanted: impl Fn(u8) -> bool) {
        let end = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        into.extend(self.rest[..end].iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        self.rest = &self.rest[end..];
    }

    fn take_one(&mut self, into: &mut String) {
        if let Some(byte) = self.peek() {
            into.push(char::from(byte.to_ascii_lowercase()));
            self.rest = &self.rest[1..];
        }
    }

    fn field(&mut self, first: u8) -> Result<Field, Fault> {
        let digit = |byte: u8| byte.is_ascii_digit();
        let mut text = String::new();
        let kind = match first {
            b'0'..=b'9' => self.number(&mut text),
            b'.' => {
                self.take_one(&mut text);
                self.take(&mut text, digit);
                Kind::Number
            }
            b'+' | b'-' => {
                self.take_one(&mut text);
                while self.peek().is_some_and(is_space) {
                    self.rest = &self.rest[1..];
                }
                match self.peek() {
                    Some(next) if next.is_ascii_digit() => {
                        self.take(&mut text, |byte| byte.is_ascii_digit() || b":.-".contains(&byte));
                        Kind::Signed
                    }
                    Some(next) if next.is_ascii_alphabetic() => {
                        self.take(&mut text, |byte| byte.is_ascii_alphabetic());
                        Kind::Word
                    }
                    _ => return Err(Fault::Format),
                }
            }
            _ if first.is_ascii_alphabetic() => {
                self.take(&mut text, |byte| byte.is_ascii_alphabetic());
                let is_date = match self.peek() {
                    Some(b'-' | b'/' | b'.') => true,
                    // A word of dates ends here; anything else is a time zone's name.
                    Some(next) if next == b'+' || next.is_ascii_digit() => !is_date_word(&text),
                    _ => false,
                };
                if is_date {
                    self.take(&mut text, |byte| byte.is_ascii_alphanumeric() || b"+-/_.:".contains(&byte));
                    Kind::Date
                } else {
                    Kind::Word
                }
            }
            _ => return Err(Fault::Format),
        };
        Ok(Field { kind, text })
    }

    /// A field that begins with a digit.
    fn number(&mut self, text: &mut String) -> Kind {
        let digit = |byte: u8| byte.is_ascii_digit();
        self.take(text, digit);
        match self.peek() {
            Some(b':') => {
                self.take(text, |byte| byte.is_ascii_digit() || b":.".contains(&byte));
                Kind::Clock
            }
            Some(mark @ (b'-' | b'/' | b'.')) => {
                self.take_one(text);
                if !self.peek().is_some_and(digit) {
                    self.take(text, |byte| byte.is_ascii_alphanumeric() || byte == mark);
                    return Kind::Date;
                }
                self.take(text, digit);
                if self.peek() == Some(mark) {
                    self.take(text, |byte| byte.is_ascii_digit() || byte == mark);
                    return Kind::Date;
                }
                if mark == b'.' { Kind::Number } else { Kind::Date }
            }
            _ => Kind::Number,
        }
    }
}

/// The leading whole number of a text, with its sign, and what follows it.
pub(crate) fn whole(text: &str) -> Result<(i64, &str), Fault> {
    let signed = usize::from(text.starts_with(['+', '-']));
    let digits = text[signed..].bytes().position(|byte| !byte.is_ascii_digit());
    let end = digits.map_or(text.len(), |digits| signed + digits);
    if end == signed {
        return Ok((0, text));
    }
    Ok((text[..end].parse().map_err(|_| Fault::Range)?, &text[end..]))
}

/// As [`whole`], of 32 bits.
pub(crate) fn small(text: &str) -> Result<(i64, &str), Fault> {
    let (n, rest) = whole(text)?;
    i32::try_from(n).map_err(|_| Fault::Range)?;
    Ok((n, rest))
}

/// The fraction that a text is: a point and digits, or the point alone.
pub(crate) fn fraction(text: &str) -> Result<f64, Fault> {
    match text.strip_prefix('.') {
        Some("") => Ok(0.0),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|_| Fault::Format)
        }
        _ => Err(Fault::Format),
    }
}

/// The microseconds of a fraction of a second.
pub(crate) fn micros(text: &str) -> Result<i64, Fault> {
    Ok((fraction(text)? * 1e6).round_ties_even() as i64)
}

/// A time of day, whose hours have no bound yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) micros: i64,
}

impl Clock {
    /// Reads `10:00`, `10:00:00.5`, or `10:00.5`, which is minutes and seconds.
    pub(crate) fn read(text: &str) -> Result<Self, Fault> {
        let (hour, rest) = whole(text)?;
        let (minute, rest) = small(rest.strip_prefix(':').ok_or(Fault::Format)?)?;
        let mut clock = Self { hour, minute, second: 0, micros: 0 };
        if rest.starts_with('.') {
            i32::try_from(hour).map_err(|_| Fault::Range)?;
            clock = Self { hour: 0, minute: hour, second: minute, micros: micros(rest)? };
        } else if let Some(rest) = rest.strip_prefix(':') {
            let (second, rest) = small(rest)?;
            clock.second = second;
            if !rest.is_empty() {
                clock.micros = micros(rest)?;
            }
        } else if !rest.is_empty() {
            return Err(Fault::Format);
        }
        let fits = (0..60).contains(&clock.minute) && (0..=60).contains(&clock.second);
        if fits { Ok(clock) } else { Err(Fault::Range) }
    }

    /// Microseconds in all.
    pub(crate) fn total(self) -> Option<i64> {
        let seconds = self.hour.checked_mul(3_600)?.checked_add(self.minute * 60 + self.second)?;
        seconds.checked_mul(1_000_000)?.checked_add(self.micros)
    }
}

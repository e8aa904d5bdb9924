//! LIKE and regular expressions: patterns, read once where they are constant.

use deltaic_types::{EvalError, Value};

use super::{
    Argument, Function, check_length, mistyped,
    regular_expression::{Expression, Purpose, Work},
};

/// A pattern that was read.
#[derive(Debug)]
pub(crate) enum Pattern {
    Like { parts: Vec<Part>, fold: bool },
    Test(Expression),
    Replace(Replacement),
    Substring(Expression),
}

/// A piece of a LIKE pattern.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    /// This character.
    Char(char),
    /// `_`
    One,
    /// `%`
    Any,
    /// An escape at the end of the pattern: an error if there is text left for it.
    Dangling,
}

impl Pattern {
    /// Reads the arguments after the text: the pattern, and LIKE's escape.
    pub(crate) fn read(function: Function, args: &[&Value]) -> Result<Self, EvalError> {
        let text = |place: usize| args.get(place).and_then(|value| value.as_str());
        let pattern = text(0).ok_or_else(mistyped)?;
        match function {
            Function::Like | Function::ILike => {
                let escape = match text(1) {
                    None => Some('\\'),
                    Some(escape) => {
                        let mut chars = escape.chars();
                        let first = chars.next();
                        if chars.next().is_some() {
                            return Err(EvalError::InvalidPattern {
                                reason: "the escape must be one character or none",
                            });
                        }
                        first
                    }
                };
                let fold = function == Function::ILike;
                Ok(Self::Like { parts: like_parts(pattern, escape, fold), fold })
            }
            Function::RegexMatch | Function::RegexIMatch => {
                Expression::read(pattern, function == Function::RegexIMatch, Purpose::Test).map(Self::Test)
            }
            Function::RegexpReplace => {
                Replacement::read(pattern, text(1).ok_or_else(mistyped)?, text(2).unwrap_or(""))
                    .map(Self::Replace)
            }
            Function::SubstringMatch => {
                Expression::read(pattern, false, Purpose::Groups).map(Self::Substring)
            }
            _ => Err(mistyped()),
        }
    }

    /// Whether there is a text for which the pattern fails.
    pub(crate) fn can_fail(&self) -> bool {
        match self {
            Self::Like { parts, .. } => parts.contains(&Part::Dangling),
            _ => true,
        }
    }

    /// The text that every match begins with, where that is all that is asked, and whether anything may follow it.
    pub(crate) fn prefix(&self) -> Option<(String, bool)> {
        let Self::Like { parts, fold: false } = self else { return None };
        let (parts, open) = match parts.split_last() {
            Some((Part::Any, parts)) => (parts, true),
            _ => (&parts[..], false),
        };
        let chars = parts.iter().map(|part| if let Part::Char(c) = part { Some(*c) } else { None });
        Some((chars.collect::<Option<String>>()?, open))
    }

    /// The function's value for a text.
    pub(crate) fn value(&self, text: &Value) -> Result<Value, EvalError> {
        let string = text.as_str().ok_or_else(mistyped)?;
        match self {
            Self::Like { .. } | Self::Test(_) => self.matches(text).map(Value::Boolean),
            Self::Replace(replacement) => replacement.replace(string).map(Value::from),
            Self::Substring(expression) => {
                let work = Work::on(string);
                let Some(found) = expression.find(string, 0, &work)? else { return Ok(Value::Null) };
                let groups = expression.divide(string, found, &work)?;
                // The first group, if there is one: it may have no part of the match.
                let part = groups[usize::from(expression.groups() > 0)].clone();
                Ok(part.map_or(Value::Null, |part| Value::from(&string[part])))
            }
        }
    }

    /// Whether a text matches.
    pub(crate) fn matches(&self, text: &Value) -> Result<bool, EvalError> {
        let text = text.as_str().ok_or_else(mistyped)?;
        Ok(match self {
            Self::Like { parts, fold } => return like(parts, text, *fold),
            Self::Test(expression) => expression.is_match(text),
            Self::Replace(_) | Self::Substring(_) => return Err(mistyped()),
        })
    }
}

/// `regexp_replace` without its text.
#[derive(Debug)]
pub(crate) struct Replacement {
    expression: Expression,
    parts: Vec<Piece>,
    /// Whether every match is replaced, not the first alone.
    all: bool,
}

/// A piece of what is put in place of a match.
#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    /// `\&` is group 0, `\1` to `\9` are the others.
    Group(usize),
}

impl Replacement {
    fn read(pattern: &str, replacement: &str, flags: &str) -> Result<Self, EvalError> {
        let (mut all, mut ignore_case) = (false, false);
        for flag in flags.chars() {
            match flag {
                'g' => all = true,
                'i' => ignore_case = true,
                'c' => ignore_case = false,
                // What is the default here.
                's' | 't' => {}
                'b' | 'e' | 'm' | 'n' | 'p' | 'q' | 'w' | 'x' => {
                    return Err(EvalError::NotSupported {
                        feature: "flags of regexp_replace other than c, g, i, s and t",
                    });
                }
                _ => {
                    return Err(EvalError::InvalidArgument {
                        function: "regexp_replace",
                        reason: "the flags are c, g, i, s and t",
                    });
                }
            }
        }
        let parts = pieces(replacement);
        let divides = parts.iter().any(|part| matches!(part, Piece::Group(1..)));
        let purpose = if divides { Purpose::Groups } else { Purpose::Extent };
        Ok(Self { expression: Expression::read(pattern, ignore_case, purpose)?, parts, all })
    }

    fn replace(&self, text: &str) -> Result<String, EvalError> {
        let mut result = String::new();
        let (mut copied, mut from) = (0, 0);
        let work = Work::on(text);
        while let Some(found) = self.expression.find(text, from, &work)? {
            result.push_str(&text[copied..found.start]);
            let groups = self.expression.divide(text, found.clone(), &work)?;
            for part in &self.parts {
                match part {
                    Piece::Text(part) => result.push_str(part),
                    Piece::Group(number) => {
                        let group = groups.get(*number).cloned().flatten();
                        result.push_str(group.map_or("", |group| &text[group]));
                    }
                }
                check_length(result.len())?;
            }
            copied = found.end;
            // An empty match is looked for beyond the next character; one right behind a match counts.
            let step =
                if found.is_empty() { text[found.end..].chars().next().map(char::len_utf8) } else { Some(0) };
            match step {
                Some(step) if self.all => from = found.end + step,
                _ => break,
            }
        }
        result.push_str(&text[copied..]);
        check_length(result.len())?;
        Ok(result)
    }
}

fn pieces(replacement: &str) -> Vec<Piece> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        let group = match (c, chars.peek()) {
            ('\\', Some('&')) => 0,
            ('\\', Some(digit @ '1'..='9')) => digit.to_digit(10).unwrap_or(0) as usize,
            ('\\', Some('\\')) => {
                chars.next();
                plain.push('\\');
                continue;
            }
            // Another character, or none, leaves the backslash.
            _ => {
                plain.push(c);
                continue;
            }
        };
        chars.next();
        if !plain.is_empty() {
            parts.push(Piece::Text(std::mem::take(&mut plain)));
        }
        parts.push(Piece::Group(group));
    }
    if !plain.is_empty() {
        parts.push(Piece::Text(plain));
    }
    parts
}

pub(super) fn call(function: Function, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    let (text, pattern) = args.split_first().ok_or_else(mistyped)?;
    let pattern: Vec<&Value> = pattern.iter().map(AsRef::as_ref).collect();
    Pattern::read(function, &pattern)?.value(text)
}

fn fold_case(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

fn like_parts(pattern: &str, escape: Option<char>, fold: bool) -> Vec<Part> {
    let plain = |c: char| Part::Char(if fold { fold_case(c) } else { c });
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(if Some(c) == escape {
            chars.next().map_or(Part::Dangling, plain)
        } else {
            match c {
                '%' if parts.last() == Some(&Part::Any) => continue,
                '%' => Part::Any,
                '_' => Part::One,
                c => plain(c),
            }
        });
    }
    parts
}

/// Matches with one point to return to, the last `%`: time is at most text times pattern.
fn like(parts: &[Part], text: &str, fold: bool) -> Result<bool, EvalError> {
    let mut rest = text.chars();
    let mut at = 0;
    let mut retry: Option<(usize, std::str::Chars)> = None;
    loop {
        match parts.get(at) {
            Some(Part::Any) => {
                at += 1;
                if at == parts.len() {
                    return Ok(true);
                }
                retry = Some((at, rest.clone()));
                continue;
            }
            None if rest.as_str().is_empty() => return Ok(true),
            Some(part) => {
                let matched = match (rest.next(), part) {
                    (None, _) => false,
                    (Some(_), Part::Dangling) => {
                        return Err(EvalError::InvalidPattern {
                            reason: "LIKE pattern must not end with the escape character",
                        });
                    }
                    (Some(c), Part::Char(wanted)) => *wanted == if fold { fold_case(c) } else { c },
                    (Some(_), _) => true,
                };
                if matched {
                    at += 1;
                    continue;
                }
            }
            None => {}
        }
        let Some((start, from)) = &mut retry else { return Ok(false) };
        if from.next().is_none() {
            return Ok(false);
        }
        at = *start;
        rest = from.clone();
    }
}

//! LIKE and regular expressions: patterns, read once where they are constant.

use deltaic_types::{EvalError, Value};
use regex::{Regex, RegexBuilder};

use super::{Argument, Function, mistyped};

/// The most memory that one compiled regular expression may take.
const REGEX_BYTES: usize = 1 << 20;

/// A pattern that was read.
#[derive(Debug)]
pub(crate) enum Pattern {
    Like { parts: Vec<Part>, fold: bool },
    Regex(Regex),
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
            _ => regex(pattern, function == Function::RegexIMatch).map(Self::Regex),
        }
    }

    /// Whether a text matches.
    pub(crate) fn matches(&self, text: &Value) -> Result<bool, EvalError> {
        let text = text.as_str().ok_or_else(mistyped)?;
        Ok(match self {
            Self::Like { parts, fold } => return like(parts, text, *fold),
            Self::Regex(regex) => regex.is_match(text),
        })
    }
}

/// Compiles a regular expression, bounded in size.
pub(super) fn regex(pattern: &str, ignore_case: bool) -> Result<Regex, EvalError> {
    RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .nest_limit(64)
        .build()
        .map_err(|_| EvalError::InvalidArgument {
            function: "regular expression",
            reason: "it cannot be read, or is too large",
        })
}

pub(super) fn call(function: Function, args: &[Argument<'_>]) -> Result<Value, EvalError> {
    let (text, pattern) = args.split_first().ok_or_else(mistyped)?;
    let pattern: Vec<&Value> = pattern.iter().map(AsRef::as_ref).collect();
    Pattern::read(function, &pattern)?.matches(text).map(Value::Boolean)
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

//! [`Function`]: the scalar functions and operators, and what each does to values.
//!
//! Invariant: arguments have the types of the signature that was chosen, and a strict function never
//! sees NULL. A function is pure; the time is a literal, or a column of the clock in a live query.

mod aggregate;
mod arithmetic;
mod array;
mod json;
mod keywords;
mod math;
pub mod operator;
mod overload;
mod pattern;
mod regular_expression;
mod signature;
mod text;
mod time;

use std::borrow::Cow;

use deltaic_types::{DataType, EvalError, Value, limits};

pub use aggregate::{AGGREGATES, aggregate_of};
pub(crate) use array::quantified;
pub use keywords::KEYWORDS;
pub use overload::overload;
pub(crate) use pattern::Pattern;
pub use signature::{Kind, SIGNATURES, Signature};

use crate::expression::Comparison;

/// An argument: borrowed from a row where it can be.
pub(crate) type Argument<'a> = Cow<'a, Value>;

/// A scalar function or operator, resolved for its argument types. The type of the node that calls it says
/// the width of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the SQL function of its name; operators are commented")]
#[non_exhaustive]
pub enum Function {
    /// `-x`
    Negate,
    /// `+`, also of dates, instants and intervals.
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`, `mod`
    Modulo,
    /// `^`, `power`
    Power,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `#`
    BitXor,
    /// `~`
    BitNot,
    Abs,
    Ceil,
    Floor,
    Round,
    Trunc,
    Sign,
    Sqrt,
    Cbrt,
    Exp,
    Ln,
    Log10,
    Log,
    Div,
    Gcd,
    Lcm,
    Pi,
    Degrees,
    Radians,
    Sin,
    Cos,
    Tan,
    Cot,
    Asin,
    Acos,
    Atan,
    Atan2,
    WidthBucket,
    Greatest,
    Least,
    /// `||` of texts.
    Concatenate,
    /// `LIKE`, with the escape as a third argument.
    Like,
    /// `ILIKE`, with the escape as a third argument.
    ILike,
    /// `~`
    RegexMatch,
    /// `~*`
    RegexIMatch,
    Length,
    OctetLength,
    BitLength,
    Lower,
    Upper,
    Initcap,
    Btrim,
    Ltrim,
    Rtrim,
    Substring,
    /// `substring(text, pattern)`, `substring(text FROM pattern)`
    SubstringMatch,
    /// `substring(text, pattern, escape)`, which SQL refuses.
    SubstringSimilar,
    Left,
    Right,
    Lpad,
    Rpad,
    Replace,
    Repeat,
    Reverse,
    /// `strpos`, `position`
    Position,
    SplitPart,
    StartsWith,
    Concat,
    ConcatWs,
    Ascii,
    Chr,
    Translate,
    Overlay,
    InsertText,
    DeleteText,
    QuoteLiteral,
    QuoteIdent,
    /// `to_hex` of 32 bits.
    ToHex,
    /// `to_hex` of 64 bits.
    ToHexBigint,
    RegexpReplace,
    StringToArray,
    DateTrunc,
    DatePart,
    /// `extract`: as `date_part`, exactly.
    Extract,
    MakeDate,
    MakeTimestamptz,
    Age,
    ToTimestamp,
    /// `->`
    JsonGet,
    /// `->>`
    JsonGetText,
    /// `#>`, `jsonb_extract_path`
    JsonPath,
    /// `#>>`, `jsonb_extract_path_text`
    JsonPathText,
    JsonExtractPath,
    JsonExtractPathText,
    /// `@>` of jsonb.
    JsonContains,
    /// `?`
    JsonHasKey,
    /// `||` of jsonb.
    JsonConcatenate,
    /// `-` of jsonb and a key or a place.
    JsonDelete,
    JsonTypeof,
    JsonArrayLength,
    ToJsonb,
    JsonBuildObject,
    JsonBuildArray,
    JsonStripNulls,
    /// `ARRAY[…]`
    ArrayMake,
    /// `a[i]`, from 1.
    ArraySubscript,
    /// `x = ANY (array)` and the other comparisons.
    ArrayAny(Comparison),
    /// `x = ALL (array)` and the other comparisons.
    ArrayAll(Comparison),
    /// `@>` of arrays.
    ArrayContains,
    /// `&&`
    ArrayOverlaps,
    ArrayCat,
    ArrayAppend,
    SetAdd,
    ArrayPrepend,
    ArrayRemove,
    ArrayLength,
    ArrayLower,
    ArrayNdims,
    Cardinality,
    ArrayPosition,
    ArrayToString,
    NumNulls,
    NumNonnulls,
    /// Whether a depth is one that `traverse` takes: TRUE, or an error.
    TraverseDepth,
}

impl Function {
    /// Whether the function has a value for all arguments. Says no where that takes thought.
    pub fn is_total(self) -> bool {
        matches!(
            self,
            Self::Greatest
                | Self::Least
                | Self::Length
                | Self::OctetLength
                | Self::BitLength
                | Self::Lower
                | Self::Upper
                | Self::Initcap
                | Self::Btrim
                | Self::Ltrim
                | Self::Rtrim
                | Self::Left
                | Self::Right
                | Self::Reverse
                | Self::Position
                | Self::StartsWith
                | Self::ArrayAny(_)
                | Self::ArrayAll(_)
        )
    }

    /// Whether the result is NULL as soon as an argument is.
    pub fn is_strict(self) -> bool {
        !matches!(
            self,
            Self::Greatest
                | Self::Least
                | Self::Concat
                | Self::ConcatWs
                | Self::StringToArray
                | Self::JsonBuildObject
                | Self::JsonBuildArray
                | Self::ArrayMake
                | Self::ArrayAny(_)
                | Self::ArrayAll(_)
                | Self::ArrayCat
                | Self::ArrayAppend
                | Self::SetAdd
                | Self::ArrayPrepend
                | Self::ArrayRemove
                | Self::ArrayPosition
                | Self::ArrayToString
                | Self::NumNulls
                | Self::NumNonnulls
                | Self::TraverseDepth
        )
    }

    /// Whether the arguments after the first are a [`Pattern`], which is read once where they are constant.
    pub(crate) fn reads_pattern(self) -> bool {
        matches!(
            self,
            Self::Like
                | Self::ILike
                | Self::RegexMatch
                | Self::RegexIMatch
                | Self::RegexpReplace
                | Self::SubstringMatch
        )
    }

    /// The infix symbol, for functions that are operators.
    pub fn symbol(self) -> Option<&'static str> {
        Some(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
            Self::BitAnd => "&",
            Self::BitOr => "|",
            Self::BitXor => "#",
            Self::Concatenate => "||",
            Self::RegexMatch => "~",
            Self::RegexIMatch => "~*",
            Self::JsonGet => "->",
            Self::JsonGetText => "->>",
            Self::JsonPath => "#>",
            Self::JsonPathText => "#>>",
            Self::JsonHasKey => "?",
            _ => return None,
        })
    }

    /// The value for arguments of the right types; `result` is the type of the calling node. A strict
    /// function must not be given NULL.
    pub(crate) fn call(self, args: &[Argument<'_>], result: &DataType) -> Result<Value, EvalError> {
        match self {
            Self::Negate
            | Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::Modulo
            | Self::BitAnd
            | Self::BitOr
            | Self::BitXor
            | Self::BitNot => arithmetic::call(self, args, result),
            Self::Power
            | Self::Abs
            | Self::Ceil
            | Self::Floor
            | Self::Round
            | Self::Trunc
            | Self::Sign
            | Self::Sqrt
            | Self::Cbrt
            | Self::Exp
            | Self::Ln
            | Self::Log10
            | Self::Log
            | Self::Div
            | Self::Gcd
            | Self::Lcm
            | Self::Pi
            | Self::Degrees
            | Self::Radians
            | Self::Sin
            | Self::Cos
            | Self::Tan
            | Self::Cot
            | Self::Asin
            | Self::Acos
            | Self::Atan
            | Self::Atan2
            | Self::WidthBucket => math::call(self, args, result),
            Self::Greatest => Ok(extreme(args, std::cmp::Ordering::Greater)),
            Self::Least => Ok(extreme(args, std::cmp::Ordering::Less)),
            Self::Like
            | Self::ILike
            | Self::RegexMatch
            | Self::RegexIMatch
            | Self::RegexpReplace
            | Self::SubstringMatch => pattern::call(self, args),
            Self::DateTrunc
            | Self::DatePart
            | Self::Extract
            | Self::MakeDate
            | Self::MakeTimestamptz
            | Self::Age
            | Self::ToTimestamp => time::call(self, args),
            Self::JsonGet
            | Self::JsonGetText
            | Self::JsonPath
            | Self::JsonPathText
            | Self::JsonExtractPath
            | Self::JsonExtractPathText
            | Self::JsonContains
            | Self::JsonHasKey
            | Self::JsonConcatenate
            | Self::JsonDelete
            | Self::JsonTypeof
            | Self::JsonArrayLength
            | Self::ToJsonb
            | Self::JsonBuildObject
            | Self::JsonBuildArray
            | Self::JsonStripNulls => json::call(self, args),
            Self::ArrayMake
            | Self::ArraySubscript
            | Self::ArrayAny(_)
            | Self::ArrayAll(_)
            | Self::ArrayContains
            | Self::ArrayOverlaps
            | Self::ArrayCat
            | Self::ArrayAppend
            | Self::SetAdd
            | Self::ArrayPrepend
            | Self::ArrayRemove
            | Self::ArrayLength
            | Self::ArrayLower
            | Self::ArrayNdims
            | Self::Cardinality
            | Self::ArrayPosition
            | Self::ArrayToString
            | Self::StringToArray => array::call(self, args),
            Self::NumNulls => Ok(Value::Integer(args.iter().filter(|arg| arg.is_null()).count() as i64)),
            Self::NumNonnulls => Ok(Value::Integer(args.iter().filter(|arg| !arg.is_null()).count() as i64)),
            Self::TraverseDepth => match args.first().map(Cow::as_ref) {
                Some(Value::Integer(..0)) => {
                    Err(EvalError::InvalidArgument { function: "traverse", reason: "the depth is negative" })
                }
                _ => Ok(Value::Boolean(true)),
            },
            _ => text::call(self, args),
        }
    }
}

/// The greatest or least argument that is not NULL.
fn extreme(args: &[Argument<'_>], wanted: std::cmp::Ordering) -> Value {
    let mut best: Option<&Value> = None;
    for arg in args.iter().map(Cow::as_ref).filter(|arg| !arg.is_null()) {
        if best.is_none_or(|best| arg.cmp(best) == wanted) {
            best = Some(arg);
        }
    }
    best.cloned().unwrap_or(Value::Null)
}

/// The error for an argument of another class than the signature says: a plan that breaks the
/// invariant.
fn mistyped() -> EvalError {
    EvalError::InvalidArgument { function: "expression", reason: "an argument has the wrong type" }
}

fn argument<'a>(args: &'a [Argument<'_>], place: usize) -> Result<&'a Value, EvalError> {
    args.get(place).map(Cow::as_ref).ok_or_else(mistyped)
}

fn text_argument<'a>(args: &'a [Argument<'_>], place: usize) -> Result<&'a str, EvalError> {
    argument(args, place)?.as_str().ok_or_else(mistyped)
}

fn integer_argument(args: &[Argument<'_>], place: usize) -> Result<i64, EvalError> {
    argument(args, place)?.as_i64().ok_or_else(mistyped)
}

fn double_argument(args: &[Argument<'_>], place: usize) -> Result<f64, EvalError> {
    match argument(args, place)? {
        Value::Double(x) => Ok(x.get()),
        _ => Err(mistyped()),
    }
}

/// Refuses a result of so many bytes before it is built.
fn check_length(bytes: usize) -> Result<(), EvalError> {
    if bytes > limits::VALUE_BYTES {
        return Err(EvalError::ValueTooLong { limit: limits::VALUE_BYTES });
    }
    Ok(())
}

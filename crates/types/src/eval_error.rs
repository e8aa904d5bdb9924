//! [`EvalError`]: what can go wrong when an expression meets a row.
//!
//! Such an error is a value: it travels through a circuit with a weight like a row does, puts the results
//! that hold it in state *error*, and is withdrawn when the offending row leaves. So it is small, ordered,
//! and says the same thing each time the same row is evaluated.

use thiserror::Error;

use crate::Text;

/// The failure of one expression on one row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// `x / 0`, `x % 0`.
    #[error("division by zero")]
    DivisionByZero,
    /// A whole number does not fit its type.
    #[error("{type_name} out of range")]
    IntegerOutOfRange {
        /// The type's SQL name.
        type_name: &'static str,
    },
    /// A double does not fit, or a function left the finite numbers.
    #[error("double precision out of range")]
    DoubleOutOfRange,
    /// A numeric has more digits than [`crate::limits::NUMERIC_DIGITS`] or than its declared precision.
    #[error("numeric out of range")]
    NumericOutOfRange,
    /// A date, a timestamp or an interval does not fit its type.
    #[error("date, timestamp or interval out of range: dates are of the years 1 to 9999")]
    DatetimeOutOfRange,
    /// Text with a field that is not in the calendar or on the clock, or too large for an interval.
    #[error("{type_name} field value out of range: \"{text}\"")]
    NoSuchTime {
        /// The type's SQL name.
        type_name: &'static str,
        /// What was given, cut to 64 characters.
        text: Text,
    },
    /// Text with an offset from UTC of sixteen hours or more.
    #[error("time zone displacement out of range: \"{text}\"")]
    ZoneOutOfRange {
        /// What was given, cut to 64 characters.
        text: Text,
    },
    /// Text of a date or a time in a form that is not read here.
    #[error("not supported in a date or a time: {what}: \"{text}\"")]
    TimeNotSupported {
        /// Which form, and what to write for it.
        what: &'static str,
        /// What was given, cut to 64 characters.
        text: Text,
    },
    /// Text that is not a value of the type.
    #[error("invalid input syntax for type {type_name}: \"{text}\"")]
    InvalidText {
        /// The type's SQL name.
        type_name: &'static str,
        /// What was given, cut to 64 characters.
        text: Text,
    },
    /// Text, or a document, with the character that no text may hold.
    #[error("text cannot hold the character \\u0000")]
    NulCharacter,
    /// A function's argument lies outside its domain.
    #[error("{function}: {reason}")]
    InvalidArgument {
        /// The function's name.
        function: &'static str,
        /// What is wrong with the argument.
        reason: &'static str,
    },
    /// A place that a text has not.
    #[error("{function}: place {place} is outside of a text of {length} characters: count from 0")]
    PlaceOutOfRange {
        /// The function's name.
        function: &'static str,
        /// The place asked for.
        place: i64,
        /// How many characters the text has.
        length: i64,
    },
    /// A pattern or an escape that cannot be used.
    #[error("invalid pattern: {reason}")]
    InvalidPattern {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What PostgreSQL can do and this engine cannot, seen only when the value is there.
    #[error("not supported: {feature}")]
    NotSupported {
        /// What it is, and what to do instead.
        feature: &'static str,
    },
    /// A regular expression that would look at a text over and over.
    #[error(
        "the regular expression takes too long on this text: split the text, or say more exactly what matches"
    )]
    TooMuchWork,
    /// A result would be longer than [`crate::limits::VALUE_BYTES`].
    #[error("value too long: the result would be over {limit} bytes")]
    ValueTooLong {
        /// The most bytes a value may have.
        limit: usize,
    },
    /// A subquery that stands for one value gave more than one row.
    #[error("more than one row returned by a subquery used as an expression: add LIMIT 1, or an aggregate")]
    ManyRows,
    /// A recursion that derives further rows after so many rounds.
    #[error(
        "the recursion does not end within {limit} rounds: bound it by a condition in its second query, or use \
         UNION in place of UNION ALL"
    )]
    RecursionTooDeep {
        /// The most rounds.
        limit: u32,
    },
    /// A recursion that yields more rows than this and would derive further ones.
    #[error(
        "the recursion yields more than {limit} rows and does not end: bound it by a condition in its second query, \
         or use UNION in place of UNION ALL"
    )]
    RecursionTooLarge {
        /// The most rows.
        limit: i64,
    },
    /// The fraction of a percentile is no fraction.
    #[error("percentile value is not between 0 and 1")]
    FractionOutOfRange,
    /// NULL where NULL is not allowed (a not-null column, an array bound).
    #[error("null value where none is allowed: {place}")]
    NullNotAllowed {
        /// Which argument or column.
        place: Text,
    },
}

impl EvalError {
    /// [`EvalError::InvalidText`], with the text cut to what a message can bear.
    pub fn invalid_text(type_name: &'static str, text: &str) -> Self {
        let cut: String = text.chars().take(64).collect();
        Self::InvalidText { type_name, text: Text::from(cut) }
    }

    /// PostgreSQL's five-letter code of the error.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::DivisionByZero => "22012",
            Self::IntegerOutOfRange { .. }
            | Self::DoubleOutOfRange
            | Self::NumericOutOfRange
            | Self::PlaceOutOfRange { .. }
            | Self::FractionOutOfRange => "22003",
            Self::DatetimeOutOfRange => "22008",
            Self::NoSuchTime { type_name: "interval", .. } => "22015",
            Self::NoSuchTime { .. } => "22008",
            Self::ZoneOutOfRange { .. } => "22009",
            Self::TimeNotSupported { .. } => "0A000",
            Self::InvalidText { type_name: "date" | "timestamptz" | "interval", .. } => "22007",
            Self::InvalidText { .. } => "22P02",
            Self::NulCharacter => "22021",
            Self::InvalidArgument { function, .. } => match *function {
                "sqrt" | "power" => "2201F",
                "ln" => "2201E",
                "substring" | "overlay" => "22011",
                "width_bucket" => "2201G",
                "chr" => "54000",
                "frame" => "22013",
                "ntile" => "22014",
                "nth_value" => "22016",
                "regular expression" => "2201B",
                _ => "22023",
            },
            Self::InvalidPattern { .. } => "22025",
            Self::NotSupported { .. } => "0A000",
            Self::ValueTooLong { .. } | Self::TooMuchWork | Self::RecursionTooLarge { .. } => "54000",
            Self::RecursionTooDeep { .. } => "54001",
            Self::ManyRows => "21000",
            Self::NullNotAllowed { .. } => "22004",
        }
    }
}

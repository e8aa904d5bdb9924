//! [`SqlError`]: what is wrong with a statement, found before any row is touched.
//!
//! Invariant: every error has PostgreSQL's SQLSTATE, and a position where the text it complains about is
//! known: the number of the character, from 1, in the text that was parsed.

use deltaic_types::{DataType, EvalError};
use thiserror::Error;

/// Why a statement cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The text is not SQL.
    #[error("syntax error: {message}")]
    Syntax {
        /// What was expected and what was found.
        message: String,
        /// Where.
        position: Option<usize>,
    },
    /// The text is longer than [`deltaic_types::limits::STATEMENT_BYTES`].
    #[error("statement too long: {bytes} bytes, {limit} are allowed")]
    StatementTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested or chained too deep.
    #[error("statement too complex: {what}")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
        /// Where it became too much.
        position: Option<usize>,
    },
    /// No such table.
    #[error("table \"{name}\" does not exist")]
    UndefinedTable {
        /// The name.
        name: String,
        /// A name that is there and looks alike.
        nearest: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// No such column.
    #[error("column \"{name}\" does not exist")]
    UndefinedColumn {
        /// The name.
        name: String,
        /// A name that is there and looks alike.
        nearest: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// No function of this name takes these arguments.
    #[error("function {signature} does not exist")]
    UndefinedFunction {
        /// The name with the types of the arguments.
        signature: String,
        /// What to do instead.
        hint: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// No operator of this name takes these operands.
    #[error("operator does not exist: {operation}")]
    UndefinedOperator {
        /// The operator between the types of its operands.
        operation: String,
        /// Where.
        position: Option<usize>,
    },
    /// No such type.
    #[error("type \"{name}\" does not exist")]
    UndefinedType {
        /// The name.
        name: String,
        /// What to use instead.
        hint: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// A view where a table is asked for.
    #[error("\"{name}\" is a live view; write to the tables that it reads")]
    NotATable {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// No such index or constraint.
    #[error("{kind} \"{name}\" does not exist")]
    UndefinedObject {
        /// `index` or `constraint`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// A name that more than one column has.
    #[error("column reference \"{name}\" is ambiguous")]
    AmbiguousColumn {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// A name given to two tables of one FROM.
    #[error("table name \"{name}\" is used more than once in FROM")]
    DuplicateAlias {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// A value of the wrong type.
    #[error("{place} must be of type {expected}, not {found}")]
    TypeMismatch {
        /// What has the value.
        place: String,
        /// The type it needs.
        expected: String,
        /// The type it has.
        found: String,
        /// Where.
        position: Option<usize>,
    },
    /// Values that must have one type and have none in common.
    #[error("{place} types {left} and {right} cannot be matched")]
    NoCommonType {
        /// What holds the values.
        place: String,
        /// One type.
        left: String,
        /// The other.
        right: String,
        /// Where.
        position: Option<usize>,
    },
    /// There is no such cast.
    #[error("cannot cast type {from} to {to}")]
    CannotCast {
        /// The type of the value.
        from: DataType,
        /// The type asked for.
        to: DataType,
        /// Where.
        position: Option<usize>,
    },
    /// A column outside of an aggregate that is not a group key.
    #[error("column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function")]
    Grouping {
        /// The column.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// An aggregate where there are no groups.
    #[error("aggregate functions are not allowed in {place}")]
    AggregateNotAllowed {
        /// The clause.
        place: &'static str,
        /// Where.
        position: Option<usize>,
    },
    /// A function called as one of another kind: an aggregate or a window function as a plain one, or the other
    /// way round.
    #[error("{reason}")]
    WrongKindOfFunction {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// A window function where there are no windows.
    #[error("window functions are not allowed in {place}")]
    WindowNotAllowed {
        /// The clause.
        place: &'static str,
        /// Where.
        position: Option<usize>,
    },
    /// A window that cannot be.
    #[error("{reason}")]
    InvalidWindow {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// SQL that is understood and not offered.
    #[error("not supported: {what}")]
    NotSupported {
        /// What.
        what: String,
        /// What to do instead.
        instead: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// Nothing says what type a parameter has.
    #[error("could not determine the data type of parameter ${number}")]
    IndeterminateParameter {
        /// The parameter's number, from 1.
        number: usize,
        /// Where.
        position: Option<usize>,
    },
    /// `$0`, or a number beyond [`deltaic_types::limits::PARAMETERS`].
    #[error("there is no parameter {name}")]
    UndefinedParameter {
        /// As written.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// More statements than a request may have.
    #[error("more than {limit} statements in one request: send them in several")]
    TooManyStatements {
        /// The most.
        limit: usize,
        /// Where the first too many is.
        position: Option<usize>,
    },
    /// A constant that is no value of its type, or cannot be computed.
    #[error("{error}")]
    InvalidLiteral {
        /// Why.
        error: EvalError,
        /// Where.
        position: Option<usize>,
    },
    /// The name is taken by a table or an index.
    #[error("relation \"{name}\" already exists")]
    DuplicateTable {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// A column named twice.
    #[error("column \"{name}\" specified more than once")]
    DuplicateColumn {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// A constraint of the table has the name already.
    #[error("constraint \"{name}\" specified more than once")]
    DuplicateConstraint {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// A foreign key that refers to nothing unique, or with other columns than its parent has.
    #[error("invalid foreign key: {reason}")]
    InvalidForeignKey {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// A table that cannot be.
    #[error("invalid table definition: {reason}")]
    InvalidTableDefinition {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// A budget that cannot be, or a call of one that does not fit it.
    #[error("invalid budget: {reason}")]
    InvalidBudget {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// No budget of this name.
    #[error("budget \"{name}\" does not exist")]
    UndefinedBudget {
        /// The name.
        name: String,
        /// A budget that is called almost so.
        nearest: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// A budget whose name is taken.
    #[error("budget \"{name}\" already exists")]
    DuplicateBudget {
        /// The name.
        name: String,
        /// Where.
        position: Option<usize>,
    },
    /// An allocation that cannot be.
    #[error("invalid allocation: {reason}")]
    InvalidAllocation {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// No allocation of this name.
    #[error("allocation \"{name}\" does not exist")]
    UndefinedAllocation {
        /// The name.
        name: String,
        /// An allocation that is called almost so.
        nearest: Option<String>,
        /// Where.
        position: Option<usize>,
    },
    /// A column reference where this column cannot stand: an ordinal beyond the list, ORDER BY beside
    /// DISTINCT, ON CONFLICT without a unique constraint.
    #[error("{reason}")]
    InvalidColumnReference {
        /// What is wrong.
        reason: String,
        /// Where.
        position: Option<usize>,
    },
    /// A WITH RECURSIVE that is not of the form that recursions have.
    #[error("recursive query \"{name}\": {fault}")]
    InvalidRecursion {
        /// The common table.
        name: String,
        /// What is wrong.
        fault: &'static str,
        /// What to do instead.
        instead: &'static str,
        /// Where it reads itself.
        position: Option<usize>,
    },
    /// A LIMIT or OFFSET below zero.
    #[error("{clause} must not be negative")]
    NegativeRowCount {
        /// LIMIT or OFFSET.
        clause: &'static str,
        /// Where.
        position: Option<usize>,
    },
    /// More columns than [`deltaic_types::limits::COLUMNS`].
    #[error("too many columns: {limit} are allowed")]
    TooManyColumns {
        /// The limit.
        limit: usize,
        /// Where.
        position: Option<usize>,
    },
    /// A name longer than [`deltaic_types::limits::NAME_BYTES`].
    #[error("name \"{name}\" is too long: {limit} bytes are allowed")]
    NameTooLong {
        /// The name.
        name: String,
        /// The limit.
        limit: usize,
        /// Where.
        position: Option<usize>,
    },
}

impl SqlError {
    /// PostgreSQL's five-letter code of the error.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "42601",
            Self::StatementTooLong { .. } => "54000",
            Self::TooComplex { .. } => "54001",
            Self::TooManyStatements { .. } => "54000",
            Self::UndefinedTable { .. } => "42P01",
            Self::UndefinedColumn { .. } => "42703",
            Self::UndefinedFunction { .. } | Self::UndefinedOperator { .. } => "42883",
            Self::UndefinedType { .. } | Self::UndefinedObject { .. } => "42704",
            Self::AmbiguousColumn { .. } => "42702",
            Self::DuplicateAlias { .. } => "42712",
            Self::TypeMismatch { .. } | Self::NoCommonType { .. } => "42804",
            Self::CannotCast { .. } => "42846",
            Self::Grouping { .. } | Self::AggregateNotAllowed { .. } => "42803",
            Self::WrongKindOfFunction { .. } | Self::NotATable { .. } => "42809",
            Self::WindowNotAllowed { place: "the arguments of an aggregate", .. } => "42803",
            Self::WindowNotAllowed { .. } | Self::InvalidWindow { .. } => "42P20",
            Self::NotSupported { .. } => "0A000",
            Self::IndeterminateParameter { .. } => "42P18",
            Self::UndefinedParameter { .. } => "42P02",
            Self::InvalidLiteral { error, .. } => error.sqlstate(),
            Self::DuplicateTable { .. } => "42P07",
            Self::DuplicateColumn { .. } => "42701",
            Self::DuplicateConstraint { .. } => "42710",
            Self::InvalidForeignKey { .. } => "42830",
            Self::InvalidTableDefinition { .. }
            | Self::InvalidBudget { .. }
            | Self::InvalidAllocation { .. } => "42P16",
            Self::UndefinedBudget { .. } | Self::UndefinedAllocation { .. } => "42704",
            Self::DuplicateBudget { .. } => "42710",
            Self::InvalidColumnReference { .. } => "42P10",
            Self::InvalidRecursion { .. } => "42P19",
            Self::NegativeRowCount { clause, .. } => {
                if *clause == "LIMIT" {
                    "2201W"
                } else {
                    "2201X"
                }
            }
            Self::TooManyColumns { .. } => "54011",
            Self::NameTooLong { .. } => "42622",
        }
    }

    /// The number of the character the error is about, from 1.
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::StatementTooLong { .. } => None,
            Self::Syntax { position, .. }
            | Self::TooComplex { position, .. }
            | Self::TooManyStatements { position, .. }
            | Self::UndefinedTable { position, .. }
            | Self::UndefinedColumn { position, .. }
            | Self::UndefinedFunction { position, .. }
            | Self::UndefinedOperator { position, .. }
            | Self::UndefinedType { position, .. }
            | Self::UndefinedObject { position, .. }
            | Self::NotATable { position, .. }
            | Self::AmbiguousColumn { position, .. }
            | Self::DuplicateAlias { position, .. }
            | Self::TypeMismatch { position, .. }
            | Self::NoCommonType { position, .. }
            | Self::CannotCast { position, .. }
            | Self::Grouping { position, .. }
            | Self::AggregateNotAllowed { position, .. }
            | Self::WrongKindOfFunction { position, .. }
            | Self::WindowNotAllowed { position, .. }
            | Self::InvalidWindow { position, .. }
            | Self::NotSupported { position, .. }
            | Self::IndeterminateParameter { position, .. }
            | Self::UndefinedParameter { position, .. }
            | Self::InvalidLiteral { position, .. }
            | Self::DuplicateTable { position, .. }
            | Self::DuplicateColumn { position, .. }
            | Self::DuplicateConstraint { position, .. }
            | Self::InvalidForeignKey { position, .. }
            | Self::InvalidTableDefinition { position, .. }
            | Self::InvalidBudget { position, .. }
            | Self::UndefinedBudget { position, .. }
            | Self::DuplicateBudget { position, .. }
            | Self::InvalidAllocation { position, .. }
            | Self::UndefinedAllocation { position, .. }
            | Self::InvalidColumnReference { position, .. }
            | Self::InvalidRecursion { position, .. }
            | Self::NegativeRowCount { position, .. }
            | Self::TooManyColumns { position, .. }
            | Self::NameTooLong { position, .. } => *position,
        }
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UndefinedTable { nearest, .. }
            | Self::UndefinedColumn { nearest, .. }
            | Self::UndefinedBudget { nearest, .. }
            | Self::UndefinedAllocation { nearest, .. } => {
                nearest.as_ref().map(|name| format!("Perhaps you meant \"{name}\"."))
            }
            Self::UndefinedFunction { hint, .. } | Self::UndefinedType { hint, .. } => hint.clone(),
            Self::UndefinedOperator { .. } => {
                Some("Cast one of the operands to the type of the other.".to_owned())
            }
            Self::AmbiguousColumn { .. } => Some("Write the table's name before it.".to_owned()),
            Self::DuplicateAlias { .. } => Some("Give one of them an alias.".to_owned()),
            Self::TooComplex { .. } => {
                Some("Split the statement, or write a long chain as a list.".to_owned())
            }
            Self::NotSupported { instead, .. } => instead.clone(),
            Self::InvalidRecursion { instead, .. } => Some((*instead).to_owned()),
            Self::IndeterminateParameter { number, .. } => {
                Some(format!("Say its type with a cast: ${number}::text."))
            }
            Self::TypeMismatch { expected, .. } => Some(format!("Cast it to {expected}.")),
            _ => None,
        }
    }
}

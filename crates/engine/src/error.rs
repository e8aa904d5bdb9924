//! [`RequestError`]: why a request or a subscription was refused.

use crate::budgets::ConsumeError;
use deltaic_crdt::WriteError;
use deltaic_dataflow::Exhausted;
use deltaic_query::lower::LowerError;
use deltaic_sql::SqlError;
use deltaic_storage::StorageError;
use deltaic_text::TextError;
use deltaic_types::{CatalogError, EvalError};
use std::sync::Arc;
use thiserror::Error;

/// A broken promise of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// Two rows with one unique key.
    #[error(
        "duplicate key value violates unique constraint \"{constraint}\": ({columns}) = ({values}) is there already"
    )]
    Unique {
        /// The constraint's name.
        constraint: String,
        /// Its columns.
        columns: String,
        /// The values that both rows have.
        values: String,
    },
    /// NULL in a column that refuses it.
    #[error("null value in column \"{column}\" of table \"{table}\" violates its not-null constraint")]
    NotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A row that a CHECK refuses.
    #[error("new row for table \"{table}\" violates check constraint \"{constraint}\"")]
    Check {
        /// The table.
        table: String,
        /// The constraint's name.
        constraint: String,
    },
    /// A reference to a row that is not there.
    #[error(
        "insert or update on table \"{table}\" violates foreign key constraint \"{constraint}\": ({values}) is not in \"{parent}\""
    )]
    NoParent {
        /// The referring table.
        table: String,
        /// The constraint's name.
        constraint: String,
        /// The values referred to.
        values: String,
        /// The table referred to.
        parent: String,
    },
    /// A row that others still refer to.
    #[error(
        "update or delete on table \"{parent}\" violates foreign key constraint \"{constraint}\" of table \"{table}\": ({values}) is still referred to"
    )]
    StillReferenced {
        /// The table referred to.
        parent: String,
        /// The referring table.
        table: String,
        /// The constraint's name.
        constraint: String,
        /// The values referred to.
        values: String,
    },
    /// A table that other tables refer to cannot be dropped.
    #[error("cannot drop table \"{table}\": foreign key \"{constraint}\" of table \"{child}\" depends on it")]
    TableReferenced {
        /// The table.
        table: String,
        /// The referring table.
        child: String,
        /// The constraint's name.
        constraint: String,
    },
    /// A table or view that a live view reads cannot be dropped.
    #[error("cannot drop {kind} \"{name}\": live view \"{view}\" reads it; drop that first")]
    ReadByView {
        /// `table` or `live view`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The reader.
        view: String,
    },
    /// A table or view that the limit of a budget reads cannot be dropped.
    #[error("cannot drop {kind} \"{name}\": a limit of budget \"{budget}\" reads it; drop that first")]
    ReadByBudget {
        /// `table` or `live view`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The reader.
        budget: String,
    },
    /// A row of this key is there and not seen, as another row has a value that it must have alone, or what it refers to is gone.
    #[error(
        "a row of table \"{table}\" with ({columns}) = ({values}) is there and not seen: deltaic.conflicts says why; write another key, or let it be seen"
    )]
    HiddenRow {
        /// The table.
        table: String,
        /// The columns of the key.
        columns: String,
        /// Their values.
        values: String,
    },
    /// A table or view that an allocation reads cannot be dropped.
    #[error("cannot drop {kind} \"{name}\": allocation \"{allocation}\" reads it; drop that first")]
    ReadByAllocation {
        /// `table` or `live view`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The reader.
        allocation: String,
    },
    /// What is part of an allocation goes with it alone.
    #[error(
        "{kind} \"{name}\" is part of allocation \"{allocation}\": DROP ALLOCATION {allocation} drops it"
    )]
    PartOfAllocation {
        /// `live view`, `table` or `budget`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The allocation.
        allocation: String,
    },
    /// A unique index that a foreign key refers to cannot be dropped.
    #[error("cannot drop index \"{index}\": foreign key \"{constraint}\" of table \"{child}\" depends on it")]
    IndexReferenced {
        /// The index.
        index: String,
        /// The referring table.
        child: String,
        /// The constraint's name.
        constraint: String,
    },
    /// A grow-only counter that is to be less than it was.
    #[error(
        "column \"{column}\" of table \"{table}\" only grows: {from} cannot become {to}; declare it as counter if it may fall"
    )]
    Shrinks {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it is.
        from: String,
        /// What it was to be.
        to: String,
    },
    /// NULL in a set.
    #[error("null value among those of column \"{column}\" of table \"{table}\": leave it out")]
    NullElement {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// ON CONFLICT DO UPDATE would change one row twice.
    #[error("ON CONFLICT DO UPDATE cannot change a row a second time: the statement brings ({values}) twice")]
    SecondChange {
        /// The key of the row.
        values: String,
    },
}

impl ConstraintError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Unique { .. } | Self::HiddenRow { .. } => "23505",
            Self::NotNull { .. } | Self::NullElement { .. } => "23502",
            Self::Check { .. } | Self::Shrinks { .. } => "23514",
            Self::NoParent { .. } | Self::StillReferenced { .. } => "23503",
            Self::TableReferenced { .. }
            | Self::ReadByView { .. }
            | Self::ReadByBudget { .. }
            | Self::ReadByAllocation { .. }
            | Self::PartOfAllocation { .. }
            | Self::IndexReferenced { .. } => "2BP01",
            Self::SecondChange { .. } => "21000",
        }
    }
}

/// Why a row of several members cannot be written so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A write of the row is none.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An edit of a text is none: its places count in the text that its author had seen.
    #[error("column \"{column}\": {error}")]
    Text {
        /// The column.
        column: String,
        /// What is wrong.
        error: TextError,
    },
    /// A counter that stays above zero has units enough, and this server has not the right to take so many of them.
    #[error(
        "{amount} units were to be taken and {available} are this server's to take; it has asked the others for some: try again"
    )]
    Rights {
        /// How many were to be taken.
        amount: u64,
        /// How many this server may take.
        available: u64,
    },
    /// A new column that merges begins with a value, which each server would write once more.
    #[error("column \"{column}\" merges: add it without a default, and set it once on one server")]
    Default {
        /// The column.
        column: String,
    },
}

impl MergeError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::Write(WriteError::Overflow { .. })
            | Self::Text { error: TextError::BeyondEnd { .. } | TextError::Backwards { .. }, .. } => "22003",
            Self::Text { error: TextError::TooLarge { .. }, .. } => "54000",
            Self::Default { .. } => "0A000",
            Self::Rights { .. } => "40001",
            Self::Write(_) | Self::Text { .. } => "57P03",
        }
    }
}

/// What cannot become of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The offers are made at another server.
    #[error(
        "offers of allocation \"{allocation}\" are made and answered elsewhere: send this to the server that declared it without ELSEWHERE"
    )]
    Elsewhere {
        /// The allocation.
        allocation: String,
    },
    /// A new offer that is something else already.
    #[error(
        "offer \"{id}\" begins as offered, not as {state}: leave its state out, and answer it by an UPDATE"
    )]
    Begins {
        /// The offer.
        id: String,
        /// What it was to be.
        state: String,
    },
    /// A quantity that no budget can count.
    #[error("offer \"{id}\" has a quantity over every capacity: offer less")]
    TooMuch {
        /// The offer.
        id: String,
    },
    /// What was offered is to be something else.
    #[error("offer \"{id}\" says what was promised, and its {column} stays: cancel it and make another")]
    Fixed {
        /// The offer.
        id: String,
        /// The column.
        column: String,
    },
    /// A step that is none.
    #[error("offer \"{id}\" is {from} and cannot become {to}: {next}")]
    Step {
        /// The offer.
        id: String,
        /// What it is.
        from: &'static str,
        /// What it was to be.
        to: String,
        /// What it can become, in words.
        next: String,
    },
    /// Its time is over.
    #[error("the time of offer \"{id}\" is over, and it expires: ask for another")]
    Late {
        /// The offer.
        id: String,
    },
    /// Its time is not over.
    #[error("offer \"{id}\" expires when its time is over, by itself: cancel or decline it to end it now")]
    Early {
        /// The offer.
        id: String,
    },
    /// A promise is to be forgotten.
    #[error("offer \"{id}\" is {state}: end it before you delete it")]
    Open {
        /// The offer.
        id: String,
        /// What it is.
        state: &'static str,
    },
}

impl OfferError {
    fn sqlstate(&self) -> &'static str {
        match self {
            Self::TooMuch { .. } => "22003",
            _ => "55000",
        }
    }
}

/// Why a request was refused. Nothing of it was done.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The SQL is not understood.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// The query has no circuit.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// A constraint is violated.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// A row of several members cannot be written so.
    #[error("table \"{table}\": {error}")]
    Merge {
        /// The table.
        table: String,
        /// What is wrong.
        error: MergeError,
    },
    /// An offer cannot become that.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// An expression fails on a row.
    #[error(transparent)]
    Evaluation(#[from] EvalError),
    /// A name is taken or missing.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The wrong number of parameters.
    #[error("{given} values were given for {expected} parameters")]
    Parameters {
        /// How many the statement has.
        expected: usize,
        /// How many values came.
        given: usize,
    },
    /// A parameter's value is not of the parameter's type.
    #[error("parameter ${number} is no {type_name}: {error}")]
    Parameter {
        /// The parameter.
        number: usize,
        /// The type it has in the statement.
        type_name: String,
        /// What is wrong.
        error: EvalError,
    },
    /// A claim of the session is not of the type that it is cast to.
    #[error("the session's claim \"{name}\" is no {type_name}: {error}")]
    Claim {
        /// The claim.
        name: String,
        /// The type.
        type_name: String,
        /// What is wrong.
        error: EvalError,
    },
    /// Only a SELECT can be subscribed to.
    #[error("only one SELECT can be live: send other statements to /v1/sql")]
    NotAQuery,
    /// The client has a subscription of this number already.
    #[error("the client has a subscription of this number already: end it first or choose another")]
    SubscriptionExists,
    /// COMMIT or ROLLBACK without BEGIN, or BEGIN without COMMIT.
    #[error("{statement}: a transaction is one request; send BEGIN, its statements and COMMIT together")]
    Transaction {
        /// The statement that has no partner.
        statement: &'static str,
    },
    /// A statement would write too many rows.
    #[error("the statement writes {rows} rows, over the limit of {limit}: split it")]
    TooManyRows {
        /// How many it writes.
        rows: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A live result is larger than one may be.
    #[error(
        "the result takes {bytes} bytes, over the limit of {limit} for a live query: select fewer rows or columns"
    )]
    ViewTooLarge {
        /// The bytes of its rows.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// All live results, and what is kept to compute them, are larger than they may be.
    #[error(
        "the live queries hold {limit} bytes, results and what is kept to compute them, which is all they may: end some, \
         or write one that joins and groups less"
    )]
    ViewsTooLarge {
        /// The most that is allowed.
        limit: usize,
    },
    /// A query would combine too many rows, or make too large ones.
    #[error(transparent)]
    TooMuchWork(#[from] Exhausted),
    /// The result of a query that is asked once is too large.
    #[error("the result takes {bytes} bytes, over the limit of {limit}: select fewer rows, or less of each")]
    ResultTooLarge {
        /// Its bytes as far as they were counted.
        bytes: usize,
        /// The most that it may take.
        limit: usize,
    },
    /// A row is too long.
    #[error("a row of table \"{table}\" has {bytes} bytes, over the limit of {limit}")]
    RowTooLong {
        /// The table.
        table: String,
        /// The row's length as encoded.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The table of a live query was dropped.
    #[error("a table of the live query was dropped: subscribe anew")]
    TableDropped,
    /// The clock is behind what was committed.
    #[error("{0}")]
    Clock(String),
    /// This database was restored from an older copy, or was removed by the others.
    #[error(
        "the other servers take nothing more of this database: it was restored from an older copy, or is no member any more; let it join again under another name"
    )]
    Ended,
    /// A budget refused.
    #[error(transparent)]
    Budget(#[from] ConsumeError),
    /// It consumes what was not admitted yet: it waits, and runs again.
    #[error("a budget has to be asked first")]
    NotAdmitted,
    /// The store could not be read or written.
    #[error("{0}")]
    Storage(Arc<StorageError>),
}

impl RequestError {
    /// PostgreSQL's five-letter code.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Sql(error) => error.sqlstate(),
            Self::Lower(LowerError::NegativeLimit { clause: "OFFSET" }) => "2201X",
            Self::Lower(LowerError::NegativeLimit { .. }) => "2201W",
            Self::Lower(LowerError::TooManyJoins { .. }) => "54001",
            Self::Lower(LowerError::MovingTime) => "0A000",
            Self::Lower(LowerError::Evaluation(error)) | Self::Evaluation(error) => error.sqlstate(),
            Self::Lower(_) => "0A000",
            Self::Constraint(error) => error.sqlstate(),
            Self::Offer(error) => error.sqlstate(),
            Self::Catalog(CatalogError::NoSuchTable { .. }) => "42P01",
            Self::Catalog(CatalogError::BudgetExists { .. }) => "42710",
            Self::Catalog(_) => "42P07",
            Self::Parameters { .. } => "08P01",
            Self::Parameter { error, .. } | Self::Claim { error, .. } => error.sqlstate(),
            Self::NotAQuery => "42809",
            Self::SubscriptionExists => "42710",
            Self::Transaction { .. } => "25P01",
            Self::ViewTooLarge { .. } | Self::ResultTooLarge { .. } => "54000",
            Self::ViewsTooLarge { .. } => "53200",
            Self::TooManyRows { .. } | Self::RowTooLong { .. } | Self::TooMuchWork(_) => "54000",
            Self::TableDropped => "42P01",
            Self::Merge { error, .. } => error.sqlstate(),
            Self::Clock(_) | Self::NotAdmitted => "57P03",
            Self::Ended => "55000",
            Self::Budget(error) => error.sqlstate(),
            Self::Storage(error) => match **error {
                StorageError::CommitTooLarge { .. } => "54000",
                StorageError::DiskFull { .. } => "53100",
                StorageError::Corrupted { .. } => "XX001",
                _ => "58030",
            },
        }
    }

    /// The place in the SQL text, in characters from 1.
    pub fn position(&self) -> Option<usize> {
        if let Self::Sql(error) = self { error.position() } else { None }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        if let Self::Sql(error) = self { error.hint() } else { None }
    }
}

impl From<StorageError> for RequestError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}

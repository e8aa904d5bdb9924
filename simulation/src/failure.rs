//! [`Failed`]: how a case fails, precisely enough to say whether a smaller one fails in the same way.
//!
//! Invariant: what the engine or the oracle does not know is a kind of its own and never passes for a wrong result.

use deltaic_engine::RequestError;

/// In which way a case fails. Equal kinds are taken for the same defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A live result has other rows than an oracle's.
    Rows(Oracle),
    /// Some say that the result is an error and some that it is none.
    State {
        /// Whether the live result is one.
        live: bool,
        /// Whether the naive evaluator's is.
        naive: bool,
        /// Whether a new engine's is.
        fresh: bool,
    },
    /// A statement has another outcome than the oracle's.
    Statement {
        /// Whether the engine ran it.
        engine: bool,
        /// Whether the oracle did.
        naive: bool,
    },
    /// A message that no client should have to bear.
    Message,
    /// Something is left when all is unsubscribed.
    Leftover,
    /// A panic at this place of the source.
    Panic(String),
    /// The engine refuses, with this SQLSTATE, what the oracle knows.
    Refused(String),
    /// PostgreSQL refuses, with this SQLSTATE, what the others know.
    RefusedByPostgres(String),
    /// The naive evaluator does not know the SQL.
    Unknown,
}

/// With what a live result is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oracle {
    /// The naive evaluator.
    Naive,
    /// An engine that sees the tables for the first time.
    Fresh,
    /// PostgreSQL.
    Postgres,
}

/// A failure of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// In which way.
    pub kind: Kind,
    /// How many steps were begun.
    pub steps: usize,
    /// The statement, or the live query with the values of its parameters.
    pub what: String,
    /// What was expected and what came.
    pub difference: String,
}

impl Kind {
    /// Whether a smaller case that fails so tells of the same defect. Where the oracle knows nothing, whatever
    /// it does not know is as good.
    pub fn is_shrinkable(&self) -> bool {
        *self != Self::Unknown
    }

    /// Whether it shows only beside PostgreSQL.
    pub fn needs_postgres(&self) -> bool {
        matches!(self, Self::Rows(Oracle::Postgres) | Self::RefusedByPostgres(_))
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)?;
        for text in [&self.what, &self.difference].into_iter().filter(|text| !text.is_empty()) {
            write!(f, "\n{text}")?;
        }
        Ok(())
    }
}

/// Whether the engine says that an expression fails on the data, which is the only error that a result may have.
pub fn is_evaluation(error: &RequestError) -> bool {
    let RequestError::Evaluation(error) = error else { return false };
    is_data_exception(error.sqlstate())
}

/// Whether an SQLSTATE is a data exception, or a subquery's second row.
pub fn is_data_exception(code: &str) -> bool {
    code.starts_with("22") || code == "21000"
}

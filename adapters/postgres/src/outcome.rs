//! What an error of the driver says of the outcome of a call.
//!
//! Invariant: *refused* is said only where nothing was written for certain. That is so where the server answers with an
//! `ERROR`: it has aborted the transaction, and a timeout or a cancelled statement ends before the commit begins. A
//! `FATAL` or a broken connection leaves the commit open, because it may come after it.

use deltaic_quota::{Batch, Epoch, LedgerError, LimitWord, Seq};
use tokio_postgres::error::{DbError, Severity};

/// Why a call to open, to load or to image has no answer.
pub(crate) fn of_call(error: &tokio_postgres::Error) -> LedgerError {
    match aborted(error) {
        Some(said) => LedgerError::Refused { why: why(said) },
        None => LedgerError::Away,
    }
}

/// Why a batch has no answer.
pub(crate) fn of_batch(error: &tokio_postgres::Error, batch: &Batch) -> LedgerError {
    let Some(said) = aborted(error) else { return LedgerError::Away };
    let number = said.detail().and_then(|detail| detail.parse::<u64>().ok());
    let entry = || batch.entries.get(usize::try_from(number?).ok()?.checked_sub(1)?);
    let account = || entry().map(|entry| entry.account.clone());
    let known = match said.code().code() {
        "QU001" => Some(LedgerError::Unopened { node: batch.node }),
        "QU002" => number.map(|epoch| LedgerError::Fenced { sent: batch.epoch, current: Epoch(epoch) }),
        "QU003" => number.map(|seq| LedgerError::Gap { sent: batch.seq, expected: Seq(seq) }),
        "QU004" => account().map(|account| LedgerError::Overdrawn { account }),
        "QU005" => account().map(|account| LedgerError::Backwards { account }),
        "QU006" => entry().map(|entry| {
            let (LimitWord::Initially(limit) | LimitWord::Set(limit)) = entry.limit;
            LedgerError::LimitTooHigh { account: entry.account.clone(), limit }
        }),
        "QU008" => account().map(|account| LedgerError::Twice { account }),
        _ => None,
    };
    known.unwrap_or(LedgerError::Refused { why: why(said) })
}

/// The server's word that it has aborted the transaction.
fn aborted(error: &tokio_postgres::Error) -> Option<&DbError> {
    error.as_db_error().filter(|said| said.parsed_severity() == Some(Severity::Error))
}

/// The store's own word, by SQLSTATE.
fn why(said: &DbError) -> &'static str {
    let code = said.code().code();
    match code {
        "QU000" => "the ledger's tables contradict each other",
        "QU007" => "the transaction is not read committed",
        "55P03" => "another node held the rows longer than lock_timeout",
        "57014" => "the statement was cancelled, or took longer than statement_timeout",
        "53100" => "the server's disk is full",
        "25006" => "the server is read-only: it is a standby",
        "42501" => "the user may not write the ledger's tables",
        "40P01" | "40001" => "the transaction was in the way of another one",
        "3F000" | "42P01" | "42883" | "42704" => "the ledger's schema is gone",
        _ => match &code[..2] {
            "23" => "a constraint of the ledger's tables does not hold",
            "53" => "the server has no room left",
            "58" | "XX" => "the server or its disk failed",
            _ => "the server refused the statement",
        },
    }
}

//! [`Budget`]: a limit on what may be spent for each key, as it was declared.
//!
//! Invariant: a budget's number is given once and never used again, so that permits and the rows of a ledger that name it
//! cannot mean another; and it has a key column and a limit at least. What enforces it knows nothing of SQL; what is declared
//! here knows nothing of leases.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{DataType, TableId};

/// The number of a budget: given once, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BudgetId(pub u32);

/// A budget: for each key, limits that all have to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Its number.
    pub id: BudgetId,
    /// Its name. Budgets have names of their own: a table may be called the same.
    pub name: String,
    /// The columns of its key: at least one.
    pub key: Vec<BudgetKey>,
    /// Its limits, in the order in which they are acquired: at least one.
    pub limits: Vec<BudgetLimit>,
    /// What covers what is admitted.
    pub guarantee: BudgetGuarantee,
    /// What happens while the ledger does not answer.
    pub on_ledger_failure: OnLedgerFailure,
    /// Whether every admission is written to the log of events.
    pub with_events: bool,
    /// Whether what it admits are the offers of an allocation and nothing else: the rows say what is spent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_of_offers: bool,
}

/// A column of a budget's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetKey {
    /// Its name.
    pub name: String,
    /// Its type: one that can be a key.
    pub data_type: DataType,
}

/// How much, and when it begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetLimit {
    /// How much.
    pub amount: BudgetAmount,
    /// When it begins anew.
    pub per: Per,
}

/// How much a limit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetAmount {
    /// The same for every key; not negative.
    Units(i64),
    /// What a query says of the key, kept up to date.
    Query(LimitQuery),
}

/// A query that says a key's limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitQuery {
    /// Its SQL text, as it was written.
    pub text: String,
    /// One SELECT of one bigint, with the key's columns as `$1`, `$2`, …
    pub sql: String,
    /// The key's columns that are `$1`, `$2`, …, by place.
    pub parameters: Vec<usize>,
    /// The tables that it reads itself.
    pub tables: BTreeSet<TableId>,
    /// The live views that it reads itself.
    pub views: BTreeSet<String>,
}

/// When a limit begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Never: what is spent is spent.
    Ever,
    /// With the first of each month, in UTC.
    Month,
    /// Every so many milliseconds; days begin at midnight in UTC, weeks on Monday.
    Fixed {
        /// The length.
        millis: u64,
    },
    /// In no stretch of so many milliseconds more than the limit.
    Sliding {
        /// The length.
        millis: u64,
    },
    /// A bucket that fills with the limit in so many milliseconds, and holds so much at most.
    Bucket {
        /// The length.
        millis: u64,
        /// What it holds.
        burst: i64,
    },
}

/// What covers what a budget admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetGuarantee {
    /// A durable lease.
    #[default]
    Escrow,
    /// A share of every window to come.
    Standing,
    /// A write before the answer, many answers in one.
    GroupCommit,
    /// Nothing: a crash forgets what was not flushed.
    Volatile,
}

/// What happens while a budget's ledger does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLedgerFailure {
    /// Nothing is admitted.
    Deny,
    /// The lease is spent, and then nothing is admitted.
    #[default]
    SpendLease,
    /// The lease is spent, and then everything is admitted.
    Open,
}

/// Writes the length as the largest unit that it is a whole number of: `1 day`, `90 seconds`.
impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |f: &mut fmt::Formatter<'_>, millis: u64| {
            let units = [(604_800_000, "week"), (86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute")];
            let whole = units.into_iter().find(|(unit, _)| millis.is_multiple_of(*unit) && millis > 0);
            let (unit, name) = match whole {
                Some(found) => found,
                None if millis.is_multiple_of(1_000) && millis > 0 => (1_000, "second"),
                None => (1, "millisecond"),
            };
            let count = millis / unit;
            write!(f, "{count} {name}{}", if count == 1 { "" } else { "s" })
        };
        match *self {
            Self::Ever => f.write_str("ever"),
            Self::Month => f.write_str("1 month"),
            Self::Fixed { millis } => length(f, millis),
            Self::Sliding { millis } => {
                length(f, millis)?;
                f.write_str(" sliding")
            }
            Self::Bucket { millis, burst } => {
                length(f, millis)?;
                write!(f, " bucket {burst}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_in_its_largest_unit() {
        let fixed = |millis| Per::Fixed { millis }.to_string();
        assert_eq!(fixed(604_800_000), "1 week");
        assert_eq!(fixed(172_800_000), "2 days");
        assert_eq!(fixed(90_000), "90 seconds");
        assert_eq!(fixed(1), "1 millisecond");
        assert_eq!(Per::Sliding { millis: 60_000 }.to_string(), "1 minute sliding");
        assert_eq!(Per::Bucket { millis: 1_000, burst: 5 }.to_string(), "1 second bucket 5");
        assert_eq!(
            (Per::Ever.to_string(), Per::Month.to_string()),
            ("ever".to_owned(), "1 month".to_owned())
        );
    }
}

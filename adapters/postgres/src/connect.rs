//! [`ConnectError`]: why there is no ledger to speak to.
//!
//! Invariant: nothing was written to the ledger where one of these is returned, but that it was created.

use thiserror::Error;

use crate::settings::said;

/// Why [`PostgresLedger::connect`](crate::PostgresLedger::connect) gives no ledger.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection string cannot be read.
    #[error("the connection string is not understood ({why}): write `host=… port=… user=… dbname=…`")]
    Address {
        /// What is wrong with it.
        why: String,
    },
    /// No name for a schema.
    #[error("`{schema}` is no name for a schema: take 1 to 63 bytes that do not begin with `pg_`")]
    Schema {
        /// What was asked for.
        schema: String,
    },
    /// Nobody answers there, or not as a server of PostgreSQL does.
    #[error("the server cannot be reached ({why}): start it, or mend host and port")]
    Unreachable {
        /// What the connection met.
        why: String,
    },
    /// The server does not let this user in.
    #[error("the server does not let this user in ({why}): mend user, password and dbname, or pg_hba.conf")]
    Login {
        /// The server's word.
        why: String,
    },
    /// The user may not do what is needed.
    #[error(
        "the user may not use schema `{schema}` ({why}): grant it CREATE on the database, or have its owner create the \
         ledger and grant USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on its tables"
    )]
    Permission {
        /// Which schema.
        schema: String,
        /// The server's word.
        why: String,
    },
    /// The server may lose what it acknowledges.
    #[error(
        "the server has {setting} = {found}, by which a crash loses what it has acknowledged, and budgets are overrun: set \
         {setting} = on in postgresql.conf and restart, or allow weaker durability"
    )]
    Weak {
        /// Which setting.
        setting: &'static str,
        /// What it is.
        found: String,
    },
    /// The ledger was made by a later version of this program.
    #[error("schema `{schema}` has format {found}, this program knows {known}: use a newer program")]
    Newer {
        /// Which schema.
        schema: String,
        /// The format that was found.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// The ledger was there, and is not any more.
    #[error("schema `{schema}` has no ledger any more: restore it, or connect anew to begin an empty one")]
    Gone {
        /// Which schema.
        schema: String,
    },
    /// The schema belongs to something else.
    #[error("schema `{schema}` has tables and no ledger: choose another schema")]
    Foreign {
        /// Which schema.
        schema: String,
    },
    /// Anything else that the server said.
    #[error("the server made no ledger ({why}): mend that, then connect again")]
    Server {
        /// The server's word.
        why: String,
    },
}

impl ConnectError {
    /// What an error of the driver means while connecting.
    pub(crate) fn of(error: &tokio_postgres::Error, schema: &str) -> Self {
        let why = said(error);
        let Some(code) = error.code() else { return Self::Unreachable { why } };
        match code.code() {
            "42501" => Self::Permission { schema: schema.to_owned(), why },
            // Also: a database that does not exist.
            code if code.starts_with("28") || code == "3D000" => Self::Login { why },
            // Also: a server that starts or stops, or has no connection left.
            code if code.starts_with("08") || code.starts_with("57P") || code == "53300" => {
                Self::Unreachable { why }
            }
            _ => Self::Server { why },
        }
    }
}

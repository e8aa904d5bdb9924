//! [`Settings`]: where the database is, and how long it is waited for.
//!
//! Invariant: what can be found wrong without asking the server is found wrong here.

use std::time::Duration;

use tokio_postgres::Config;

use crate::ConnectError;

/// The longest name that PostgreSQL keeps whole.
const NAME_BYTES: usize = 63;

/// Where a ledger is and how it is spoken to.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) config: Config,
    pub(crate) schema: String,
    pub(crate) lock_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) allow_weaker_durability: bool,
}

impl Settings {
    /// The schema that is used if none is named.
    pub const SCHEMA: &'static str = "deltaic_budgets";

    /// By a connection string, `host=… user=… dbname=…` or `postgresql://…`.
    pub fn parse(connection: &str) -> Result<Self, ConnectError> {
        let config: Config =
            connection.parse().map_err(|error| ConnectError::Address { why: said(&error) })?;
        Ok(config.into())
    }

    /// The schema of the ledger's tables: one ledger each.
    pub fn schema(mut self, name: &str) -> Result<Self, ConnectError> {
        if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') || name.starts_with("pg_") {
            return Err(ConnectError::Schema { schema: name.to_owned() });
        }
        name.clone_into(&mut self.schema);
        Ok(self)
    }

    /// How long a batch waits for other nodes' batches over the same keys: 5 s if nothing is said, 0 for ever.
    #[must_use]
    pub fn lock_timeout(mut self, most: Duration) -> Self {
        self.lock_timeout = most;
        self
    }

    /// How long the server works on a call: 10 s if nothing is said, 0 for ever.
    #[must_use]
    pub fn statement_timeout(mut self, most: Duration) -> Self {
        self.statement_timeout = most;
        self
    }

    /// How long a call waits for its answer, whatever holds it up: 15 s if nothing is said. Longer than the server's own
    /// limits, so that its word comes first: it knows what was written.
    #[must_use]
    pub fn answer_timeout(mut self, most: Duration) -> Self {
        self.answer_timeout = most;
        self
    }

    /// Takes a server that may lose what it has acknowledged. Budgets are overrun then after such a loss.
    #[must_use]
    pub fn allow_weaker_durability(mut self) -> Self {
        self.allow_weaker_durability = true;
        self
    }
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        Self {
            config,
            schema: Self::SCHEMA.to_owned(),
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            allow_weaker_durability: false,
        }
    }
}

/// An error with what caused it: the driver tells only the outermost of both.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", said(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_or_name_is_refused_before_anything_is_sent() {
        let error = Settings::parse("host=localhost port=many").unwrap_err();
        assert!(matches!(error, ConnectError::Address { .. }));
        assert!(error.to_string().contains("port"), "{error}");
        let settings = Settings::parse("host=localhost").unwrap();
        let long = "é".repeat(32);
        for name in ["", "pg_budgets", "a\0b", &long] {
            let error = settings.clone().schema(name).unwrap_err();
            assert!(error.to_string().contains("63 bytes"), "{error}");
        }
        assert_eq!(settings.schema("a \"b\"").unwrap().schema, "a \"b\"");
    }
}

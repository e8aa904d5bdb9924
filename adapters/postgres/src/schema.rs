//! The ledger's schema: found or made, and the server found fit to keep it.
//!
//! Invariant: a schema is there whole, with its format, or not at all; of two that make it at the same moment one makes
//! it and the other finds it.

use std::time::Duration;

use tokio_postgres::{Client, Transaction};

use crate::{ConnectError, Settings};

/// The format that this program writes, and the newest it knows.
const FORMAT: i32 = 2;

/// The lock under which schemas are made: "deltaic" in ASCII.
const LOCK: i64 = 0x0064_656c_7461_6963;

const TABLES: &str = include_str!("tables.sql");
const RULES: &str = include_str!("rules.sql");
/// What makes a ledger of a format one of the next, by the format that it was.
const STEPS: [&str; 1] = [include_str!("from_1.sql")];

/// What a server has to be for what it acknowledged to survive it.
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

/// A name as an identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What is done where there is no ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is made.
    Make,
    /// That is an error: there was one a moment ago, and an empty one would grant all limits anew.
    Refuse,
}

/// Makes a new connection one of the ledger's.
pub(crate) async fn prepare(
    client: &mut Client,
    settings: &Settings,
    absent: Absent,
) -> Result<(), ConnectError> {
    let of = |error: &tokio_postgres::Error| ConnectError::of(error, &settings.schema);
    client.batch_execute(&session(settings)).await.map_err(|error| of(&error))?;
    if !settings.allow_weaker_durability {
        for setting in DURABLE {
            let row = client.query_one("SELECT current_setting($1)", &[&setting]).await;
            is_durable(setting, row.map_err(|error| of(&error))?.get(0))?;
        }
    }
    let mut found = client.transaction().await.map_err(|error| of(&error))?;
    match (find(&mut found, settings).await?, absent) {
        (Some(FORMAT), _) => {}
        (None, Absent::Refuse) => return Err(ConnectError::Gone { schema: settings.schema.clone() }),
        _ => make(&mut found, settings).await?,
    }
    found.commit().await.map_err(|error| of(&error))
}

/// The session's own settings. A stronger `synchronous_commit` than `on` is left as it is.
fn session(settings: &Settings) -> String {
    // 0 is the server's word for no limit: a limit that rounds to it is one of a millisecond.
    let millis = |time: Duration| {
        if time.is_zero() { 0 } else { time.as_millis().clamp(1, i32::MAX as u128) }
    };
    format!(
        "SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') <> 'remote_apply';
         SET default_transaction_isolation = 'read committed';
         SET lock_timeout = {};
         SET idle_in_transaction_session_timeout = {1};
         SET statement_timeout = {1}",
        millis(settings.lock_timeout),
        millis(settings.statement_timeout)
    )
}

fn is_durable(setting: &'static str, found: String) -> Result<(), ConnectError> {
    if found == "on" || (setting == "synchronous_commit" && found != "off") {
        Ok(())
    } else {
        Err(ConnectError::Weak { setting, found })
    }
}

/// The ledger's format, if it is there: one that is known.
async fn find(transaction: &mut Transaction<'_>, settings: &Settings) -> Result<Option<i32>, ConnectError> {
    let of = |error: &tokio_postgres::Error| ConnectError::of(error, &settings.schema);
    let table = "SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'format'";
    if transaction.query_opt(table, &[&settings.schema]).await.map_err(|error| of(&error))?.is_none() {
        return Ok(None);
    }
    let version = format!("SELECT version FROM {}.format", quoted(&settings.schema));
    let found: i32 = match transaction.query_opt(&version, &[]).await {
        Ok(Some(row)) => {
            row.try_get(0).map_err(|_| ConnectError::Foreign { schema: settings.schema.clone() })?
        }
        // It has another table of this name.
        Ok(None) => return Err(ConnectError::Foreign { schema: settings.schema.clone() }),
        Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_COLUMN) => {
            return Err(ConnectError::Foreign { schema: settings.schema.clone() });
        }
        Err(error) => return Err(of(&error)),
    };
    if found > FORMAT {
        return Err(ConnectError::Newer { schema: settings.schema.clone(), found, known: FORMAT });
    }
    Ok(Some(found))
}

/// Makes the ledger, or makes it one of this format.
async fn make(transaction: &mut Transaction<'_>, settings: &Settings) -> Result<(), ConnectError> {
    let of = |error: &tokio_postgres::Error| ConnectError::of(error, &settings.schema);
    transaction.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(|error| of(&error))?;
    // The functions keep this search path: they are run with it, whatever the caller's is.
    let path = format!("SET LOCAL search_path = {}, pg_temp", quoted(&settings.schema));
    // Who held the lock before may have made it.
    if let Some(found) = find(transaction, settings).await? {
        let step = usize::try_from(found - 1).ok().and_then(|done| STEPS.get(done..));
        let steps = step.ok_or_else(|| ConnectError::Foreign { schema: settings.schema.clone() })?;
        if !steps.is_empty() {
            let format = format!("UPDATE format SET version = {FORMAT}");
            let all = [&path[..]].into_iter().chain(steps.iter().copied()).chain([RULES, &format]);
            for statements in all {
                transaction.batch_execute(statements).await.map_err(|error| of(&error))?;
            }
        }
        return Ok(());
    }
    let schema = "SELECT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid) FROM pg_namespace n
        WHERE n.nspname = $1";
    match transaction.query_opt(schema, &[&settings.schema]).await.map_err(|error| of(&error))? {
        Some(row) if row.get(0) => return Err(ConnectError::Foreign { schema: settings.schema.clone() }),
        // It was made by somebody who may, for this user.
        Some(_) => {}
        None => {
            let create = format!("CREATE SCHEMA {}", quoted(&settings.schema));
            transaction.batch_execute(&create).await.map_err(|error| of(&error))?;
        }
    }
    let format = format!("INSERT INTO format (version) VALUES ({FORMAT})");
    for statements in [&path, TABLES, RULES, &format] {
        transaction.batch_execute(statements).await.map_err(|error| of(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_survives_a_crash_is_on_and_a_commit_is_at_least_flushed() {
        for (setting, found, good) in [
            ("fsync", "on", true),
            ("fsync", "off", false),
            ("full_page_writes", "off", false),
            ("synchronous_commit", "off", false),
            ("synchronous_commit", "local", true),
            ("synchronous_commit", "remote_apply", true),
        ] {
            let expected =
                if good { Ok(()) } else { Err(ConnectError::Weak { setting, found: found.to_owned() }) };
            assert_eq!(is_durable(setting, found.to_owned()), expected);
        }
    }

    #[test]
    fn a_name_is_quoted_and_a_limit_is_never_none_by_rounding() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        let settings = Settings::parse("host=localhost").unwrap().lock_timeout(Duration::from_micros(1));
        let text = session(&settings.statement_timeout(Duration::ZERO));
        assert!(text.contains("lock_timeout = 1;") && text.ends_with("statement_timeout = 0"), "{text}");
    }
}

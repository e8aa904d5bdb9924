//! [`Cookie`]: how far a client's copy of a result has come.
//!
//! Written `database-lsn-minor`, the first and the last in hexadecimal. The database's number tells lsns of
//! different databases apart; the minor part names what was asked (the query and its parameters), so that a
//! cookie of one query is never taken for another's.

use std::{fmt, str::FromStr};

use deltaic_types::{DatabaseId, Lsn};
use thiserror::Error;

/// The state of a result that a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// The database.
    pub database: DatabaseId,
    /// The last commit that the result reflects.
    pub lsn: Lsn,
    /// What was asked.
    pub minor: u64,
}

/// Text that is no cookie.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a cookie: give back the id of the last message as it was, or none")]
pub struct CookieError;

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:x}", self.database, self.lsn, self.minor)
    }
}

impl FromStr for Cookie {
    type Err = CookieError;

    fn from_str(text: &str) -> Result<Self, CookieError> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(CookieError);
        let database = u64::from_str_radix(next()?, 16).map_err(|_| CookieError)?;
        let lsn = next()?.parse().map_err(|_| CookieError)?;
        let minor = u64::from_str_radix(next()?, 16).map_err(|_| CookieError)?;
        match parts.next() {
            None => Ok(Self { database: DatabaseId(database), lsn: Lsn(lsn), minor }),
            Some(_) => Err(CookieError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_nothing_else() {
        let cookie = Cookie { database: DatabaseId(0xfeed), lsn: Lsn(42), minor: 0xabc };
        assert_eq!(cookie.to_string(), "000000000000feed-42-abc");
        assert_eq!(cookie.to_string().parse(), Ok(cookie));
        for text in ["", "1-2", "1-2-3-4", "x-2-3", "1-x-3", "1-2-x"] {
            assert_eq!(text.parse::<Cookie>(), Err(CookieError), "{text}");
        }
    }
}

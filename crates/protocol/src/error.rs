//! [`ErrorBody`]: an error as every interface tells it; [`DecodeError`]: a message that is none.
//!
//! Invariant: the code is a SQLSTATE, so that a client decides by it and never by the words.

use deltaic_types::limits;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What went wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// PostgreSQL's five-letter code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The place in the SQL text, in characters from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
    /// What to do, where there is more to say than the message does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ErrorBody {
    /// An error without a place and a hint.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), position: None, hint: None }
    }

    /// The HTTP status that belongs to the code: what the request got wrong is 4xx, what the server cannot do
    /// now is 5xx.
    ///
    /// ```
    /// assert_eq!(deltaic_protocol::ErrorBody::new("42601", "syntax error").http_status(), 400);
    /// ```
    pub fn http_status(&self) -> u16 {
        match self.code.as_str() {
            "53100" => 507,
            // A budget, or a connection, has no more.
            "53400" => 429,
            "54000" => 413,
            // Shutting down, or not admitting for now.
            "57P01" | "57P03" => 503,
            "28000" | "42501" => 403,
            // A conflict with what others wrote: the request may succeed when it is sent anew.
            "23505" | "40001" => 409,
            code if ["58", "XX", "53"].iter().any(|class| code.starts_with(class)) => 500,
            _ => 400,
        }
    }
}

/// The body of a response that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// The error.
    pub error: ErrorBody,
}

/// Bytes that are not a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than is allowed.
    #[error("the message has {bytes} bytes, over the limit of {limit}: split it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// Not JSON, or JSON of another shape.
    #[error("malformed message: {message}")]
    Malformed {
        /// What was expected and where.
        message: String,
    },
    /// More parameters than a statement may have.
    #[error("{count} parameters, over the limit of {limit}")]
    TooManyParameters {
        /// How many there are.
        count: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// More claims than a session may have.
    #[error(
        "{count} claims of {bytes} bytes: a session has no more than {} of {} bytes",
        limits::CLAIMS,
        limits::CLAIMS_BYTES
    )]
    TooManyClaims {
        /// How many there are.
        count: usize,
        /// The length of their names and values.
        bytes: usize,
    },
    /// More questions than one batch may ask.
    #[error("{count} questions, over the limit of {limit}: ask in several batches")]
    TooManyQuestions {
        /// How many there are.
        count: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// Text in the place of a cookie that is too long to be one.
    #[error("not a cookie: give back the one of the last message as it was, or none")]
    Cookie,
}

impl From<&DecodeError> for ErrorBody {
    fn from(error: &DecodeError) -> Self {
        let code = match error {
            DecodeError::TooLong { .. }
            | DecodeError::TooManyClaims { .. }
            | DecodeError::TooManyQuestions { .. } => "54000",
            DecodeError::TooManyParameters { .. } => "54023",
            DecodeError::Malformed { .. } | DecodeError::Cookie => "08P01",
        };
        Self::new(code, error.to_string())
    }
}

/// Decodes JSON of a bounded length; `serde_json` bounds its depth.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong { bytes: bytes.len(), limit });
    }
    serde_json::from_slice(bytes).map_err(|error| DecodeError::Malformed { message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_status() {
        for (code, status) in [
            ("42601", 400),
            ("22012", 400),
            ("23503", 400),
            ("23505", 409),
            ("40001", 409),
            ("53100", 507),
            ("53400", 429),
            ("54000", 413),
            ("57P01", 503),
            ("58030", 500),
        ] {
            assert_eq!(ErrorBody::new(code, "").http_status(), status, "{code}");
        }
    }
}

//! [`SqlRequest`] and [`SqlResponse`]: `POST /v1/sql`.

use deltaic_types::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    claims::{Claims, check_claims},
    error::{DecodeError, decode},
    live::Column,
};

/// Statements to be run as one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One or more statements.
    pub sql: String,
    /// The values of `$1`, `$2`, …; null is none.
    #[serde(default, deserialize_with = "null_is_none")]
    pub params: Vec<Json>,
    /// The claims of the session.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
}

fn null_is_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Json>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl SqlRequest {
    /// Decodes the body of a request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let request: Self = decode(bytes, limits::REQUEST_BYTES)?;
        check_parameters(&request.params)?;
        check_claims(&request.claims)?;
        Ok(request)
    }
}

pub(crate) fn check_parameters(parameters: &[Json]) -> Result<(), DecodeError> {
    let (count, limit) = (parameters.len(), limits::PARAMETERS);
    if count > limit { Err(DecodeError::TooManyParameters { count, limit }) } else { Ok(()) }
}

/// The result of the last statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlResponse {
    /// Its columns; none for a statement that returns no rows.
    pub columns: Vec<Column>,
    /// Its rows, each in the order of the columns.
    pub rows: Vec<Vec<Json>>,
    /// How many rows the statement returned or wrote.
    pub rows_affected: u64,
    /// The last commit that the result reflects.
    pub lsn: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_and_a_wrong_one_refused_with_its_reason() {
        let request = SqlRequest::decode(br#"{"sql":"SELECT 1"}"#).unwrap();
        assert_eq!(request, SqlRequest { sql: "SELECT 1".into(), params: vec![], claims: Claims::new() });
        assert_eq!(SqlRequest::decode(br#"{"sql":"SELECT 1","params":null}"#).unwrap(), request);
        let error = SqlRequest::decode(br#"{"query":"SELECT 1"}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `query`"), "{error}");
        let many = serde_json::json!({"sql": "", "params": vec![0; limits::PARAMETERS + 1]}).to_string();
        assert!(matches!(SqlRequest::decode(many.as_bytes()), Err(DecodeError::TooManyParameters { .. })));
        let long = vec![b' '; limits::REQUEST_BYTES + 1];
        assert!(matches!(SqlRequest::decode(&long), Err(DecodeError::TooLong { .. })));
        let deep = format!(r#"{{"sql":"","params":[{}"#, "[".repeat(100_000));
        assert!(matches!(SqlRequest::decode(deep.as_bytes()), Err(DecodeError::Malformed { .. })));
    }

    #[test]
    fn claims_are_texts_and_not_too_many() {
        let read = |claims: Json| {
            SqlRequest::decode(serde_json::json!({"sql": "", "claims": claims}).to_string().as_bytes())
        };
        let few = read(serde_json::json!({"sub": "ann", "org": "7"})).unwrap();
        assert_eq!(few.claims, Claims::from([("org".into(), "7".into()), ("sub".into(), "ann".into())]));
        let many: Claims = (0..=limits::CLAIMS).map(|n| (n.to_string(), String::new())).collect();
        let long = Claims::from([("sub".to_owned(), "x".repeat(limits::CLAIMS_BYTES))]);
        for claims in [many, long] {
            let refused = read(serde_json::json!(claims));
            assert!(matches!(refused, Err(DecodeError::TooManyClaims { .. })), "{refused:?}");
        }
        for claims in [serde_json::json!({"org": 7}), serde_json::json!({"sub": "\0"})] {
            assert!(matches!(read(claims), Err(DecodeError::Malformed { .. })));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SqlRequest::decode(&bytes);
        }

        #[test]
        fn what_is_written_is_read(
            sql in ".*",
            numbers in proptest::collection::vec(any::<i64>(), 0..9),
            claims in proptest::collection::btree_map("[a-z]{1,9}", "[^\0]{0,9}", 0..9),
        ) {
            let request = SqlRequest { sql, params: numbers.into_iter().map(Json::from).collect(), claims };
            let bytes = serde_json::to_vec(&request).unwrap();
            prop_assert_eq!(SqlRequest::decode(&bytes).unwrap(), request);
        }
    }
}

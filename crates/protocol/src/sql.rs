//! [`SqlRequest`] and [`SqlResponse`]: `POST /v1/sql`.

use deltaic_types::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    claims::{Claims, check_claims},
    cut::Cut,
    error::{DecodeError, decode},
    live::Column,
};

/// Statements to be run as one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// What their author had seen, where that is not all that is there: the [`SqlResponse::cut`] of what they read; empty for one
    /// who has seen nothing and wants to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Cut>,
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
    /// What its reader has seen with it, of the writes of all: their next [`SqlRequest::basis`]. None before anybody gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cut::tests::cuts;

    #[test]
    fn a_request_is_read_and_a_wrong_one_refused_with_its_reason() {
        let request = SqlRequest::decode(br#"{"sql":"SELECT 1"}"#).unwrap();
        assert_eq!(request, SqlRequest { sql: "SELECT 1".into(), ..SqlRequest::default() });
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
    fn a_basis_is_a_cut_nothing_or_not_there() {
        let read = |basis: Json| {
            SqlRequest::decode(serde_json::json!({"sql": "", "basis": basis}).to_string().as_bytes())
        };
        assert_eq!(read(Json::Null).unwrap().basis, None);
        assert_eq!(read(serde_json::json!("")).unwrap().basis, Some(Cut::default()));
        assert_eq!(read(serde_json::json!("1:42,7:3")).unwrap().basis, Some("1:42,7:3".parse().unwrap()));
        for (basis, reason) in [
            (serde_json::json!("7:3,1:42"), "of actor 1, stands behind one of actor 7"),
            (serde_json::json!(["1:42"]), "expected a string"),
        ] {
            let error = read(basis).unwrap_err();
            assert!(
                matches!(error, DecodeError::Malformed { .. }) && error.to_string().contains(reason),
                "{error}"
            );
        }
    }

    #[test]
    fn a_cut_that_nobody_asked_for_is_not_said() {
        let text = r#"{"columns":[],"rows":[],"rows_affected":1,"lsn":7}"#;
        let response: SqlResponse = serde_json::from_str(text).unwrap();
        assert_eq!((&response.cut, serde_json::to_string(&response).unwrap().as_str()), (&None, text));
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
            basis in proptest::option::of(cuts()),
        ) {
            let request = SqlRequest { sql, params: numbers.into_iter().map(Json::from).collect(), claims, basis };
            let bytes = serde_json::to_vec(&request).unwrap();
            prop_assert_eq!(SqlRequest::decode(&bytes).unwrap(), request);
        }

        #[test]
        fn an_answer_that_is_written_is_read(lsn in any::<u64>(), cut in proptest::option::of(cuts())) {
            let response = SqlResponse { columns: vec![], rows: vec![vec![Json::Null]], rows_affected: 1, lsn, cut };
            let text = serde_json::to_string(&response).unwrap();
            prop_assert_eq!(serde_json::from_str::<SqlResponse>(&text).unwrap(), response);
        }
    }
}

//! `/v1/budgets/…`: what is asked of a budget, and what it answers.
//!
//! Invariant: whatever is refused says `admitted: false` and why, by a word that a client decides by.

use deltaic_types::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{DecodeError, decode};

/// The most questions of one batch.
const BATCH: usize = 1_000;

/// `POST …/consume`: so much, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumeRequest {
    /// How much; one where nothing is said.
    #[serde(default = "one")]
    pub amount: i64,
}

fn one() -> i64 {
    1
}

/// `POST …/reserve`: so much, for somebody who says what was used before the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveRequest {
    /// How much.
    pub amount: i64,
    /// For how long.
    #[serde(default = "minute")]
    pub seconds: u64,
}

fn minute() -> u64 {
    60
}

/// `POST …/commit`: what was used of a permit; the rest comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The permit.
    pub permit: String,
    /// How much was used.
    pub actual: i64,
}

/// `POST …/refund`: nothing of a permit was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// The permit.
    pub permit: String,
}

/// One question of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchItem {
    /// The budget's name.
    pub budget: String,
    /// The key: a value, or a value for each of its columns.
    pub key: Json,
    /// How much.
    #[serde(default = "one")]
    pub amount: i64,
}

impl BatchItem {
    /// The key's values.
    pub fn values(&self) -> Vec<Json> {
        match &self.key {
            Json::Array(values) => values.clone(),
            value => vec![value.clone()],
        }
    }
}

/// `POST /v1/budgets/consume`: many keys at once, each for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The questions.
    pub requests: Vec<BatchItem>,
}

impl BatchRequest {
    /// Decodes the body of a request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let request: Self = decode(bytes, limits::REQUEST_BYTES)?;
        let (count, limit) = (request.requests.len(), BATCH);
        if count > limit { Err(DecodeError::TooManyQuestions { count, limit }) } else { Ok(request) }
    }
}

/// The answers of a batch, in the order of its questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// One for each question.
    pub answers: Vec<ConsumeResponse>,
}

/// Whether something was admitted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConsumeResponse {
    /// Whether.
    pub admitted: bool,
    /// What is left, of the limit that has least.
    pub available: u64,
    /// What gives it back, or says what was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<String>,
    /// Until when a reservation can be committed or refunded, in ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// In so many seconds there is more; none where only refunds or a higher limit help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Why nothing was admitted: `exhausted`, `ledger_away`, `ledger_lost`, `closing`, `unknown_budget`, `no_limit`,
    /// `limit_failed`, `invalid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What came of ending a permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitResponse {
    /// How much came back.
    pub refunded: u64,
    /// What is left, of the limit that has least.
    pub available: u64,
}

/// `GET /v1/budgets/{name}/{key}`: where a key stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// The budget.
    pub budget: String,
    /// The key, as it was asked for.
    pub key: String,
    /// Its limits.
    pub limits: Vec<LimitState>,
}

/// Where a limit stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitState {
    /// When it begins anew, in words.
    pub per: String,
    /// How much there is in all.
    pub limit: u64,
    /// Spent for good.
    pub used: u64,
    /// Held by leases, spent or not.
    pub reserved: u64,
    /// What can be admitted.
    pub available: u64,
    /// What a crash of this server would cost at this moment.
    pub bound: Bound,
    /// Requests that this server has refused in this window.
    pub denied: u64,
    /// When its window is over, in ISO 8601; none where it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end: Option<String>,
}

/// What a crash may cost, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// At most so many are never admitted, although the limit had them.
    pub under: u64,
    /// At most so many are admitted twice.
    pub over: u64,
}

/// A line of `GET /v1/budgets/{name}/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Its number.
    pub number: u64,
    /// When, in ISO 8601.
    pub at: String,
    /// The budget.
    pub budget: String,
    /// The key.
    pub key: String,
    /// `consumed` or `refunded`.
    pub event: String,
    /// How much.
    pub amount: u64,
    /// The permit's number; 0 within a transaction.
    pub permit: u64,
}

/// Decodes the body of a request about one key.
pub fn decode_budget<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    // A list of fields in their order would be taken for them.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(DecodeError::Malformed { message: "the body is no JSON object".to_owned() });
    }
    decode(bytes, limits::REQUEST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_and_bounded() {
        assert_eq!(decode_budget(b""), Ok(ConsumeRequest { amount: 1 }));
        assert_eq!(decode_budget(br#"{"amount": 7}"#), Ok(ReserveRequest { amount: 7, seconds: 60 }));
        assert!(decode_budget::<ConsumeRequest>(br#"{"amout": 7}"#).is_err());
        assert!(decode_budget::<ConsumeRequest>(br#"{"amount": 1.5}"#).is_err());
        assert!(decode_budget::<ConsumeRequest>(b"[]").is_err());
        let item = r#"{"budget":"b","key":["a",1]}"#;
        let batch = |count: usize| format!("{{\"requests\":[{}]}}", vec![item; count].join(","));
        let read = BatchRequest::decode(batch(2).as_bytes()).unwrap();
        assert_eq!(read.requests[1].values(), [Json::from("a"), Json::from(1)]);
        let error = BatchRequest::decode(batch(BATCH + 1).as_bytes()).unwrap_err();
        assert_eq!(error, DecodeError::TooManyQuestions { count: BATCH + 1, limit: BATCH });
    }
}

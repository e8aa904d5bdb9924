//! The WebSocket `/v1/sync`: [`ClientMessage`] up, [`ServerMessage`] down, and [`PokeText`], which puts a poke
//! together from parts that many clients share.
//!
//! Invariant: a poke holds every changed result of one commit, so a client never shows half a transaction.

use std::fmt::Write as _;

use deltaic_types::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    budget::{CommitRequest, ConsumeRequest, ConsumeResponse, PermitResponse, RefundRequest, ReserveRequest},
    claims::{Claims, check_claims},
    error::{DecodeError, ErrorBody, decode},
    live::{Change, Current, Keep, Snapshot},
    sql::check_parameters,
};

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage {
    /// Who asks: before all else, once.
    Hello(Hello),
    /// Keep a result up to date.
    Subscribe(Subscribe),
    /// No more.
    Unsubscribe(Unsubscribe),
    /// Spend, or end a permit.
    Budget(BudgetQuestion),
    /// Answer with the same number.
    Ping(u64),
}

/// A question to a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetQuestion {
    /// The number that the client knows it by.
    pub id: u64,
    /// The budget's name.
    pub budget: String,
    /// The key: a value, or a value for each of its columns.
    pub key: Json,
    /// What is asked.
    #[serde(rename = "do")]
    pub what: What,
}

/// What is asked of a budget: the bodies of the HTTP calls of the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Spend.
    Consume(ConsumeRequest),
    /// Spend at most, and say later how much.
    Reserve(ReserveRequest),
    /// Say how much of a permit was used.
    Commit(CommitRequest),
    /// Give a permit back.
    Refund(RefundRequest),
}

/// The answer to a [`BudgetQuestion`]: one of the last three fields is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetAnswer {
    /// The question's number.
    pub id: u64,
    /// Whether something was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consume: Option<ConsumeResponse>,
    /// What came of ending a permit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<PermitResponse>,
    /// Why neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// What is known of the session, as long as the connection lives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Its claims.
    #[serde(default, skip_serializing_if = "Claims::is_empty")]
    pub claims: Claims,
}

/// A query whose result is to be kept up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The number that the client knows it by.
    pub id: u64,
    /// One SELECT.
    pub sql: String,
    /// The values of `$1`, `$2`, …
    #[serde(default)]
    pub params: Vec<Json>,
    /// The last cookie that the client has of this query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// How long its result is kept when nobody watches it any more.
    #[serde(default, skip_serializing_if = "Keep::is_default")]
    pub keep: Keep,
}

/// The end of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsubscribe {
    /// Its number.
    pub id: u64,
}

impl ClientMessage {
    /// Decodes a frame.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        let message: Self = decode(text.as_bytes(), limits::FRAME_BYTES)?;
        match &message {
            Self::Hello(hello) => check_claims(&hello.claims)?,
            Self::Subscribe(subscribe) => {
                check_parameters(&subscribe.params)?;
                if subscribe.cookie.as_ref().is_some_and(|cookie| cookie.len() > limits::COOKIE_BYTES) {
                    return Err(DecodeError::Cookie);
                }
            }
            Self::Unsubscribe(_) | Self::Budget(_) | Self::Ping(_) => {}
        }
        Ok(message)
    }
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage {
    /// News of live queries.
    Poke(Poke),
    /// The answer to a question to a budget.
    Budget(BudgetAnswer),
    /// The answer to a ping.
    Pong(u64),
    /// The client's last message was not understood; nothing else changed.
    Error(ErrorBody),
}

/// All news of one commit, or the answer to a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poke {
    /// The commit.
    pub lsn: u64,
    /// The subscriptions with news.
    pub changes: Vec<News>,
}

/// News of one subscription: one of the last four fields is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The subscription.
    pub id: u64,
    /// Where its result stands now; not there where the subscription was refused or has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<String>,
    /// The whole result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// What changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The result cannot be told for now; without a cookie: the subscription was refused or has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// The client has the result already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
}

/// The text of a poke, put together from bodies that were encoded once for all who receive them.
#[derive(Debug)]
pub struct PokeText {
    text: String,
    empty: bool,
}

impl PokeText {
    /// A poke of a commit.
    pub fn new(lsn: u64) -> Self {
        Self { text: format!("{{\"poke\":{{\"lsn\":{lsn},\"changes\":["), empty: true }
    }

    /// Adds news: `kind` is a field of [`News`] and `body` its value as JSON.
    pub fn push(&mut self, id: u64, cookie: Option<&str>, kind: &str, body: &str) {
        if !self.empty {
            self.text.push(',');
        }
        self.empty = false;
        // Writing to a string does not fail.
        let _ = write!(self.text, "{{\"id\":{id}");
        if let Some(cookie) = cookie {
            let _ = write!(self.text, ",\"cookie\":{}", Json::from(cookie));
        }
        let _ = write!(self.text, ",\"{kind}\":{body}}}");
    }

    /// The message.
    pub fn finish(mut self) -> String {
        self.text.push_str("]}}");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::RowChange;

    #[test]
    fn messages_have_the_documented_shape() {
        let text = r#"{"subscribe":{"id":1,"sql":"SELECT 1","params":[],"cookie":"a-1-b"}}"#;
        let message = ClientMessage::decode(text).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        let unsubscribe = ClientMessage::decode(r#"{"unsubscribe":{"id":1}}"#).unwrap();
        assert_eq!(unsubscribe, ClientMessage::Unsubscribe(Unsubscribe { id: 1 }));
        let hello = r#"{"hello":{"claims":{"sub":"ann"}}}"#;
        assert_eq!(serde_json::to_string(&ClientMessage::decode(hello).unwrap()).unwrap(), hello);
        assert_eq!(ClientMessage::decode(r#"{"ping":7}"#).unwrap(), ClientMessage::Ping(7));
        assert_eq!(serde_json::to_value(ServerMessage::Pong(7)).unwrap(), json!({"pong": 7}));
    }

    #[test]
    fn wrong_messages_are_refused_with_their_reason() {
        for (text, part) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("[]", "expected value"),
            (r#"{"listen":1}"#, "unknown variant `listen`"),
            (r#"{"subscribe":{"sql":"SELECT 1"}}"#, "missing field `id`"),
            (r#"{"subscribe":{"id":-1,"sql":""}}"#, "invalid"),
            (r#"{"subscribe":{"id":1,"sql":"","extra":0}}"#, "unknown field `extra`"),
        ] {
            let error = ClientMessage::decode(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        let claims = json!({"sub": "x".repeat(limits::CLAIMS_BYTES)});
        let text = json!({"hello": {"claims": claims}}).to_string();
        assert!(matches!(ClientMessage::decode(&text), Err(DecodeError::TooManyClaims { .. })));
        let cookie = "x".repeat(limits::COOKIE_BYTES + 1);
        let text = json!({"subscribe": {"id": 1, "sql": "", "cookie": cookie}}).to_string();
        assert_eq!(ClientMessage::decode(&text), Err(DecodeError::Cookie));
    }

    #[test]
    fn a_poke_of_parts_reads_as_a_poke() {
        let change =
            RowChange { weight: -1, row: vec![json!("12.50"), json!(1e300)], key: Some("-Az".to_owned()) };
        let change = Change { lsn: 9, changes: vec![change] };
        let error = ErrorBody::new("22012", "division by zero");
        let mut text = PokeText::new(9);
        text.push(1, Some("a-9-b"), "change", &serde_json::to_string(&change).unwrap());
        text.push(2, None, "error", &serde_json::to_string(&error).unwrap());
        let news = |id, cookie| News { id, cookie, snapshot: None, change: None, error: None, current: None };
        let expected = ServerMessage::Poke(Poke {
            lsn: 9,
            changes: vec![
                News { change: Some(change), ..news(1, Some("a-9-b".into())) },
                News { error: Some(error), ..news(2, None) },
            ],
        });
        assert_eq!(serde_json::from_str::<ServerMessage>(&text.finish()).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = ClientMessage::decode(&text);
        }

        #[test]
        fn no_broken_message_panics(cut in 0usize..70, letter in any::<char>()) {
            let whole = r#"{"subscribe":{"id":1,"sql":"SELECT 1","params":[1,"a",null,[{}]]}}"#;
            let mut letters: Vec<char> = whole.chars().collect();
            let place = cut % letters.len();
            letters[place] = letter;
            let _ = ClientMessage::decode(&letters.iter().collect::<String>());
            letters.truncate(place);
            let _ = ClientMessage::decode(&letters.into_iter().collect::<String>());
        }

        #[test]
        fn what_is_written_is_read(id in any::<u64>(), sql in ".*", cookie in proptest::option::of("[0-9a-f-]{1,40}")) {
            let message = ClientMessage::Subscribe(Subscribe { id, sql, params: vec![json!(1.5)], cookie, keep: Keep::Preload });
            let text = serde_json::to_string(&message).unwrap();
            prop_assert_eq!(ClientMessage::decode(&text).unwrap(), message);
        }
    }
}

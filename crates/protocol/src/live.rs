//! [`Snapshot`] and [`Change`]: the news of a live query, the same in server-sent events and over WebSocket.
//!
//! Invariant: a client's rows plus a change's rows, by weight, are the result at the change's lsn.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How long the server keeps a result when nobody watches it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Not at all.
    Ephemeral,
    /// Half a minute.
    #[default]
    Navigation,
    /// Five minutes.
    Preload,
    /// As long as the server runs and its memory allows.
    Permanent,
}

impl Keep {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as SQL names it.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// The whole result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, in order.
    pub rows: Vec<Vec<Json>>,
    /// The last commit that it reflects.
    pub lsn: u64,
    /// For each row its sort key, where the query has an order: compared by code points it is that order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// What a commit changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The commit.
    pub lsn: u64,
    /// The rows, those that went before those that came.
    pub changes: Vec<RowChange>,
}

/// A row that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// How often it came; negative: how often it went.
    pub weight: i64,
    /// The row.
    pub row: Vec<Json>,
    /// Its sort key, where the query has an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// The client has the result already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// The commit that its result is known to reflect.
    pub lsn: u64,
}

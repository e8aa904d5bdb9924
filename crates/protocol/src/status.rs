//! [`Status`] and [`CircuitStatus`]: what the console shows of a running server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::live::Keep;

/// What the server holds: `GET /v1/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The last commit.
    pub lsn: u64,
    /// How many commits the log has, up to the last.
    #[serde(default)]
    pub log_commits: u64,
    /// By how many milliseconds the time of commits is ahead of the server's clock: more than 0 where that was set back.
    /// Beyond a minute nothing is written.
    #[serde(default)]
    pub skew_ms: u64,
    /// The tables.
    pub tables: Vec<TableStatus>,
    /// The live queries.
    pub views: Vec<ViewStatus>,
    /// What became of live queries since the start.
    pub counters: Counters,
    /// What budgets did, and the most that could be wrong of them now.
    #[serde(default)]
    pub budgets: BudgetCounters,
    /// How many conflicts there have been since the start, by kind.
    #[serde(default)]
    pub conflicts: BTreeMap<String, u64>,
    /// The allocations, by name.
    #[serde(default)]
    pub allocations: Vec<AllocationStatus>,
    /// What was said between replicas since the start.
    #[serde(default)]
    pub sync: SyncCounters,
    /// How the replay stands, in a demo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demo: Option<DemoStatus>,
}

/// What budgets did since the start, in units where nothing else is said, and the most that could be wrong of them now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetCounters {
    /// Admitted, as of each key's last flush.
    pub admitted: u64,
    /// Requests refused.
    pub denied: u64,
    /// Rows of the ledger written.
    pub rows: u64,
    /// Batches of the ledger acknowledged.
    pub batches: u64,
    /// Spent by crashes before the start, and by reservations that expired.
    pub burnt: u64,
    /// Keys in memory, each window for itself.
    pub keys: u64,
    /// What leases have unspent now.
    pub exposure: u64,
    /// What the ledger holds reserved for this server.
    pub exposure_at_most: u64,
    /// Never admitted, at the most, if the server stopped at this moment.
    pub wrong_under: u64,
    /// Admitted twice, at the most, if the server stopped at this moment.
    pub wrong_over: u64,
}

/// An allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationStatus {
    /// Its name, which is that of the live view of what it gives.
    pub name: String,
    /// The pairs of a capacity and a need that could exchange something.
    pub edges: u64,
    /// The rows that it gives.
    pub rows: u64,
    /// A sum of these rows in 16 hexadecimal digits, equal on all servers where they are.
    pub digest: String,
    /// Whether its solution proves itself, or did when it was last checked, where it is worked out anew; never by another rule than
    /// `max_min`.
    pub is_certified: bool,
    /// What is wrong with its rows and its queries, the first of it; nothing is given of that.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// What a replica said to the others and heard of them since the start, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCounters {
    /// Deltas sent.
    pub deltas: u64,
    /// Their bytes.
    pub delta_bytes: u64,
    /// Whole states sent in the place of a delta.
    pub wholes: u64,
    /// Their bytes.
    pub whole_bytes: u64,
    /// The bytes of questions and acknowledgements.
    pub other_bytes: u64,
    /// Deltas sent again.
    pub resent: u64,
    /// Deltas merged.
    pub merged: u64,
    /// Deltas that brought nothing.
    pub redundant: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Peers that had the same cut and another state.
    pub diverged: u64,
    /// Own writes that every member has acknowledged.
    pub converged: u64,
    /// How long the last of them took, in microseconds.
    pub convergence_last: u64,
    /// The longest.
    pub convergence_most: u64,
    /// The sum.
    pub convergence_sum: u64,
    /// Actors in the cut.
    pub actors: u64,
    /// Writes that are held, of all actors: the sum of the cut.
    pub writes: u64,
    /// Rows that merging keeps, those that are gone among them.
    pub rows: u64,
    /// Removals that are noted, as some server may not know of them.
    pub removals: u64,
    /// Bytes of these rows.
    pub bytes: u64,
}

/// What became of live queries and of large requests since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Results that were computed for a first subscriber.
    pub opened: u64,
    /// Subscriptions that found their result there.
    pub shared: u64,
    /// Results that nobody watched until their time was over.
    pub expired: u64,
    /// Results that went for want of memory while nobody watched them.
    pub evicted: u64,
    /// Results that were refused or ended because they were too large.
    pub refused: u64,
    /// Commits that were worked off row by row.
    pub stepped: u64,
    /// Commits after which results were computed anew.
    pub recomputed: u64,
    /// Requests that ran beside the commits.
    #[serde(default)]
    pub aside: u64,
    /// Runs of such requests that were in vain, because a table had changed.
    #[serde(default)]
    pub repeated: u64,
    /// Requests that waited for such a one to end.
    #[serde(default)]
    pub held: u64,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// The bytes of its rows and indexes in memory.
    pub memory_bytes: u64,
    /// The bytes on disk of keys and hot columns.
    pub hot_bytes: u64,
    /// The bytes on disk of the other columns.
    pub cold_bytes: u64,
    /// Its columns.
    pub columns: Vec<ColumnStatus>,
    /// The names of its primary key's columns; none where rows are told apart by a hidden number.
    #[serde(default)]
    pub key: Vec<String>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnStatus {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it is in memory.
    pub in_memory: bool,
}

/// A live query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewStatus {
    /// Its number.
    pub id: u64,
    /// The query.
    pub sql: String,
    /// Its parameters, constants of the query included.
    pub parameters: Vec<Json>,
    /// The names of the live views whose rows it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How many subscriptions it has.
    pub subscribers: u64,
    /// How many rows its result has.
    pub rows: u64,
    /// The bytes of its result and of the changes kept for those who come back.
    pub bytes: u64,
    /// How many commits changed it.
    pub updates: u64,
    /// How long it stays when its last subscriber has left.
    pub keep: Keep,
    /// Milliseconds from a request's arrival to its change handed to the sockets: the last one.
    pub last_ms: Option<f64>,
    /// The same: the 99th percentile of the last thousand.
    pub p99_ms: Option<f64>,
    /// Why its result cannot be told, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The circuit of a live query: `GET /v1/circuit/{view}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitStatus {
    /// Its operators, inputs first.
    pub nodes: Vec<CircuitNode>,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitNode {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub operator: String,
    /// What it does, in a line.
    pub label: String,
    /// The operators it reads, each once.
    pub inputs: Vec<u32>,
    /// The entries of its state.
    pub rows: u64,
    /// The bytes of its state.
    pub bytes: u64,
    /// Other operators and queries that use it.
    pub references: u64,
    /// Steps in which it ran.
    pub steps: u64,
    /// Entries it read.
    pub rows_in: u64,
    /// Entries it gave out.
    pub rows_out: u64,
    /// Index probes it made.
    pub probes: u64,
}

/// How a demo's replay stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemoStatus {
    /// Simulated seconds a second; 0 is paused.
    pub speed: f64,
    /// The simulated time, in ISO 8601.
    pub time: String,
}

/// `POST /v1/demo`: changes the speed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetDemo {
    /// Simulated seconds a second; 0 pauses.
    pub speed: f64,
}

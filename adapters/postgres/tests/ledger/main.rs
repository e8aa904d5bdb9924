//! The ledger in PostgreSQL, against a real server that the tests start and stop themselves.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking, in shared functions too")]

mod aggregates;
mod conformance;
mod connecting;
mod killed;
mod model;
mod nodes;
mod outcomes;
mod pipelined;
mod server;
mod zombie;

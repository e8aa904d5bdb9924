//! The server from outside: real sockets, a temporary data directory, port 0.
#![expect(clippy::unwrap_used, reason = "what a test relies on fails by panicking")]

mod allocations;
mod budgets;
mod http;
mod late;
mod lifecycle;
mod live;
mod setting;
mod sync;

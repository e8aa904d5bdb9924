//! Budgets at the door: HTTP and WebSocket calls, permits as signed texts, the threads of the ledger and of the log of events.

mod door;
mod ended;
mod events;
mod http;
mod idempotency;
mod ledger;
mod token;

pub(crate) use door::Door;
pub(crate) use events::{Events, EventsError, EventsOpener};
pub(crate) use http::{answer, routes};
pub(crate) use idempotency::Idempotency;
pub(crate) use ledger::{LedgerOpener, LedgerThread, start};

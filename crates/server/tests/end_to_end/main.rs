//! The server from outside: real sockets, a temporary data directory, port 0.
#![allow(clippy::unwrap_used, clippy::unused_async, reason = "a test that cannot go on has failed")]

mod http;
mod lifecycle;
mod live;
mod setting;
mod sync;

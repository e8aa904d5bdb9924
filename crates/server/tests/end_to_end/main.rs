//! The server from outside: real sockets, a temporary data directory, port 0.

mod http;
mod lifecycle;
mod live;
mod setting;
mod sync;

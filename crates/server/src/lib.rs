#![doc = include_str!("../README.md")]

mod budgets;
mod config;
mod connection;
mod console;
mod delivery;
mod demo;
mod driver;
mod engine;
mod http;
mod latency;
mod live;
mod mailbox;
mod metrics;
mod origin;
mod server;
mod serving;
mod spending;
mod status;
mod sync;
mod working;

pub use config::{Config, ServeError, SharedLedger};
pub use demo::DemoClock;
pub use driver::DriverError;
pub use engine::{EngineHandle, SqlFailure};
pub use server::{Server, Stopper};

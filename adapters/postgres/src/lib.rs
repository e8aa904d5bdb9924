#![doc = include_str!("../README.md")]

mod aggregates;
mod columns;
mod connect;
mod ledger;
mod link;
mod outcome;
mod read;
mod schema;
mod settings;
mod unknown;
mod word;

pub use connect::ConnectError;
pub use ledger::PostgresLedger;
pub use settings::Settings;

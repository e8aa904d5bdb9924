//! The stores against each other and against disks that fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in functions that tests share too")]

mod aggregates;
mod check;
mod conformance;
mod crash;
mod damage;
mod directory;
mod events;
mod killed;
mod ledger;
mod stage;
mod stage_crash;
mod trim;
mod world;

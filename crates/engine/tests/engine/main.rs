//! The engine driven by hand: each subject of its contract in a module of its own.

#[path = "../common/mod.rs"]
mod common;

mod batch;
mod cascade;
mod cold;
mod conflict;
mod constraint;
mod ddl;
mod dml;
mod error;
mod large;
mod live;
mod resume;
mod row_id;
mod spoiled;

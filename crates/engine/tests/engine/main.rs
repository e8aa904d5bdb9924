//! The engine driven by hand: each subject of its contract in a module of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in functions that tests share too")]

#[path = "../common/mod.rs"]
mod common;

mod allocation;
mod allocation_crossing;
mod allocation_faults;
mod allocation_random;
mod answers;
mod array;
mod aside;
mod batch;
mod behind;
mod budget;
mod cascade;
mod claims;
mod cold;
mod computed_key;
mod conflict;
mod constraint;
mod ddl;
mod dml;
mod error;
mod explain;
mod kept;
mod large;
mod life;
mod live;
mod live_view;
mod merging;
mod mesh;
mod mesh_faults;
mod mesh_text;
mod mutual;
mod offers;
mod offers_faults;
mod recursion;
mod resume;
mod row_id;
mod search;
mod slice;
mod spoiled;
mod temporal;
mod traps;
mod traverse;
mod work;

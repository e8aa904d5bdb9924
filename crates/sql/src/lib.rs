#![doc = include_str!("../README.md")]

mod allocation;
mod binder;
mod bound;
mod budget;
mod clauses;
pub mod error;
mod lexical;
mod parser;
mod position;
mod suggestion;
mod word;

pub use sqlparser;

pub use binder::{BindContext, bind, bind_check, bind_custom, bind_default};
pub use bound::{Bound, ClaimNames};
pub use error::SqlError;
pub use parser::{CHAIN, LOGICAL_CHAIN, Parsed, parse};
pub use suggestion::nearest;

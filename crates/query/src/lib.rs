#![doc = include_str!("../README.md")]

mod binder;
mod compile;
pub mod error;
pub mod expression;
mod factor;
mod fallible;
pub mod functions;
mod lexical;
mod lift;
pub mod lower;
mod moving;
pub mod optimise;
mod parser;
pub mod plan;
mod position;
pub mod statement;
mod suggestion;
pub mod template;
pub mod unnest;

pub use sqlparser;

pub use binder::{BindContext, bind, bind_check, bind_default};
pub use compile::{compile, evaluate};
pub use error::SqlError;
pub use parser::{CHAIN, LOGICAL_CHAIN, Parsed, parse};

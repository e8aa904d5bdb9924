#![doc = include_str!("../README.md")]

pub mod expression;
pub mod functions;
pub mod plan;
pub mod statement;

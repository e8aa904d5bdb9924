#![doc = include_str!("../README.md")]

pub mod coercion;
mod compile;
pub mod expression;
mod factor;
mod fallible;
pub mod fold;
pub mod functions;
mod lift;
pub mod lower;
mod moving;
pub mod optimise;
pub mod plan;
pub mod statement;
pub mod template;
pub mod traverse;
pub mod unnest;

pub use compile::{compile, evaluate};

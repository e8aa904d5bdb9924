#![doc = include_str!("../README.md")]

mod scalar;

pub use scalar::{Function, Scalar};

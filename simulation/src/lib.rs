#![doc = include_str!("../README.md")]

pub mod case;
pub mod client;
pub mod driver;
pub mod failure;
pub mod fuzz;
pub mod generator;
pub mod mutation;
pub mod naive;
pub mod postgres;
pub mod quiet;
pub mod random;
pub mod reduce;
pub mod run;
pub mod shrink;
pub mod tpch;
pub mod world;

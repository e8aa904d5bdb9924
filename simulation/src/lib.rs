#![doc = include_str!("../README.md")]

pub mod client;
pub mod driver;
pub mod fuzz;
pub mod generator;
pub mod mutation;
pub mod naive;
pub mod postgres;
pub mod random;
pub mod tpch;
pub mod world;

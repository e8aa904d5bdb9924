//! What is asked in SQL against what PostgreSQL 15 answered.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in functions that tests share too")]

mod aggregates;
mod circuit;
mod edges;
mod functions;
mod regular_expression;
mod time_text;
mod transcendental;
mod windows;

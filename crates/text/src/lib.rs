#![doc = include_str!("../README.md")]

mod client;
mod document;
mod error;
mod order;
mod text;
mod text_crdt;
mod text_log;
mod update;
mod wire;
mod yrs_text;

pub use client::Client;
pub use error::TextError;
pub use text::{Edit, Text};
pub use text_crdt::{Format, TextCrdt};
pub use text_log::TextLog;
pub use yrs_text::YrsText;

#![doc = include_str!("../README.md")]

pub mod baseline;

mod allocator;
mod certificate;
mod commitment;
mod edge;
mod error;
mod explain;
mod fill;
mod ids;
mod level;
mod lots;
mod market;
mod name;
mod place;
mod recognition;
mod slot;
mod solution;
mod solve;

pub use allocator::{Allocator, Diff, Move};
pub use certificate::{Certificate, CertificateError};
pub use commitment::{Accepted, Change, Changed, Commitment, Guarantee, Held};
pub use edge::Edge;
pub use error::MarketError;
pub use explain::{EdgeExplanation, EdgeReason, NeedExplanation};
pub use ids::{
    EdgeId, NodeId, ParticipantId, Quantity, QuantityError, Share, Side, SlotId, SlotKey, Stamp, Tier, Time,
};
pub use level::Level;
pub use market::{Market, Overdrawn};
pub use name::{Name, NameError};
pub use place::{Place, Point};
pub use slot::{Filter, Mismatch, Slot, Window};
pub use solution::{Allocation, Bottleneck, Solution};
pub use solve::Bound;

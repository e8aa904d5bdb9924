#![doc = include_str!("../README.md")]

mod admission;
mod allocations;
mod aside;
mod batch;
mod behind;
mod budgets;
mod constraint;
mod cookie;
mod ddl;
mod dml;
mod effects;
mod engine;
mod error;
mod explain;
mod input;
mod label;
mod life;
mod merge;
mod merging;
mod mesh;
mod offers;
mod parameters;
mod provisional;
mod read;
mod semantic;
mod showing;
mod slice;
mod spending;
mod status;
mod tables;
mod transaction;
mod views;
mod watched;
mod work;

pub use allocations::{AllocationStatus, Settled, Settling};
pub use aside::{Admission, Admitted, AsideCounts};
pub use budgets::{
    Admitted as Permitted, Asked, Consume, ConsumeError, ConsumeId, LedgerAnswer, LedgerCall, LedgerTrouble,
    LimitState, Looked, Spent, key_text as budget_key_text, parse_key as parse_budget_key,
};
pub use cookie::{Cookie, CookieError};
pub use deltaic_dataflow::{Breaker, KeyColumn};
pub use effects::{Effects, Message, News, Outcome, PeerNews, Reply, Snapshot, ToPeer, ViewChange};
pub use engine::Engine;
pub use error::{ConstraintError, MergeError, OfferError, RequestError};
pub use input::{Claims, ClientId, Input, Now, Request, RequestId, Subscribe, SubscriptionId};
pub use life::Life;
pub use mesh::{PeerInput, ReplicaSize, SchemaMismatch};
pub use slice::Slice;
pub use status::{CircuitNode, Status, TableStatus};
pub use views::{
    Advances, Followed, Following, Hydrated, Hydration, Lives, MemoryLimits, ViewId, ViewStatus,
};
pub use work::{Discarded, Work, Worked};

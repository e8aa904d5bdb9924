#![doc = include_str!("../README.md")]

pub mod conformance;
pub mod vsa;

mod accumulator;
mod bucket;
mod budgets;
mod coalescer;
mod dirty;
mod event;
mod guarantee;
mod handle;
mod ids;
mod ledger;
mod metrics;
mod monoid;
mod note;
mod permit;
mod policy;
mod sync;
mod timers;
mod tokens;
mod window;

pub use accumulator::{Accumulator, Available, LostWrite, Settings};
pub use bucket::Rate;
pub use budgets::{Answer, Budgets, Changed, Effects, Input, KeyState, Lost, PolicyId, RequestId};
pub use coalescer::{Changes, Coalescer};
pub use deltaic_types::Element;
pub use event::{Event, EventKind, replay};
pub use guarantee::{Bound, Chunk, Exposure, Guarantee};
pub use handle::{Handle, consume_all};
pub use ids::{Account, Epoch, Key, NodeId, Seq, Time, Units, WindowId};
pub use ledger::{
    AccountRow, AggregateLedger, AggregateRows, Baseline, Batch, Claim, Combine, Contradiction, Entry, Fault,
    FaultyLedger, KeyRow, Keys, Lease, Ledger, LedgerError, LimitWord, Loaded, MemoryLedger, NodeRow, Opened,
    Outcome, Reply, Row, Rows, Silent, Stored, Then, combine_bytes,
};
pub use metrics::Metrics;
pub use monoid::{Max, Monoid, Sum, Union};
pub use note::Note;
pub use permit::{CommitError, Denied, Expired, Permit, Reason, Reservation, Shortfall, TooSmall};
pub use policy::{Flush, Limit, Policy, PolicyError, WhenAway};
pub use window::{Place, Window};
